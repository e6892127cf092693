"""Settlement statements: their figures agree with the ledger, they are made once and stay the same for ever."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from python_calamine import CalamineWorkbook

from payops.accounts import services as ledger
from payops.accounts.selectors import balance_of
from payops.channels.models import Channel
from payops.core.errors import PayopsError
from payops.core.models import AuditLog
from payops.merchants.models import Merchant, MerchantStatus, SettlementTerms
from payops.orders.models import Transaction
from payops.orders.services import transactions_load
from payops.settlement.choices import SheetState
from payops.settlement.clearing import clearing_run
from payops.settlement.models import ClearingItem, SettlementSheet
from payops.statements import selectors
from payops.statements.models import Statement
from payops.statements.services import digest_of, statement_file, statements_build
from tests.orders.conftest import DAY, ndjson, order, refund
from tests.settlement.books import damage

pytestmark = pytest.mark.django_db


def build(**changes):
    return statements_build(day=DAY, username="alice", **changes)


def lines_of(statement: Statement) -> list[list[str]]:
    with statement_file(statement).open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def section(lines: list[list[str]], title: str) -> list[list[str]]:
    """The rows of a section, below its column names."""
    start = next(number for number, row in enumerate(lines) if len(row) == 1 and row[0].startswith(title))
    rows = []
    for row in lines[start + 2 :]:
        if not row:
            break
        rows.append(row)
    return rows


def of(merchant: str, form: str = "csv") -> Statement:
    return Statement.objects.get(merchant__merchant_no=merchant, format=form)


def test_a_day_makes_a_csv_and_an_xlsx_file_for_every_sheet(settled):
    made = build()
    assert [(each.merchant.merchant_no, each.format) for each in made] == [
        ("M-A", "csv"),
        ("M-A", "xlsx"),
        ("M-B", "csv"),
        ("M-B", "xlsx"),
    ]


def test_the_totals_equal_sheet_and_settlement_account(settled):
    build()
    totals = of("M-A").totals
    assert totals["forward_amount"] == 43050
    assert totals["reverse_amount"] == -5050
    assert totals["payout_amount"] == balance_of("220202", "merchant", "M-A") == settled["M-A"].payout_amount


def test_every_transaction_stands_on_it_with_amount_fee_and_net(settled):
    build()
    rows = section(lines_of(of("M-A")), "正向交易")
    assert [(row[2], row[6], row[7], row[8]) for row in rows] == [
        ("T1", "100.00", "0.60", "99.40"),
        ("T2", "250.50", "1.50", "249.00"),
        ("T3", "80.00", "0.48", "79.52"),
    ]


def test_refunds_stand_in_a_section_of_their_own_with_their_sign(settled):
    build()
    rows = section(lines_of(of("M-A")), "退款与撤销 Refunds")
    assert [(row[2], row[6]) for row in rows] == [("R1", "-50.50")]


def test_the_rows_sum_to_the_printed_totals(settled):
    build()
    lines = lines_of(of("M-A"))
    rows = [*section(lines, "正向交易 Transactions"), *section(lines, "退款与撤销 Refunds")]
    net = sum(round(float(row[8]) * 100) for row in rows)
    assert net == of("M-A").totals["settlement_amount"]


def test_the_account_is_masked(settled):
    build()
    text = statement_file(of("M-A")).read_text(encoding="utf-8")
    assert "****1234" in text
    assert "6222020000001234" not in text


def test_a_formula_in_an_order_number_is_neutralised(settled):
    build()
    assert section(lines_of(of("M-A")), "正向交易")[0][3] == "'=1+1"


def test_a_csv_file_begins_with_the_byte_order_mark_and_ends_lines_like_windows(settled):
    build()
    content = statement_file(of("M-A")).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\n") == content.count(b"\r\n")


def test_the_xlsx_file_holds_the_same_figures_as_numbers(settled):
    build()
    book = CalamineWorkbook.from_path(str(statement_file(of("M-A", "xlsx"))))
    assert book.sheet_names[:3] == [
        "商户结算单 Settlement statement",
        "正向交易 Transactions",
        "退款与撤销 Refunds and voids",
    ]
    rows = book.get_sheet_by_name("正向交易 Transactions").to_python()
    assert [row[6] for row in rows[1:]] == [100, 250.5, 80]


def test_building_again_changes_nothing(settled):
    first = {(each.pk, each.sha256, each.made_at) for each in build()}
    assert {(each.pk, each.sha256, each.made_at) for each in build()} == first


def test_the_digest_is_that_of_the_stored_bytes(settled):
    for statement in build():
        assert hashlib.sha256(statement_file(statement).read_bytes()).hexdigest() == statement.sha256


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_lost_file_is_made_again_byte_for_byte(settled, form):
    build()
    path = statement_file(of("M-A", form))
    before = path.read_bytes()
    path.unlink()
    assert statement_file(of("M-A", form)).read_bytes() == before


def test_a_damaged_file_is_replaced_by_the_right_bytes(settled):
    build()
    path = statement_file(of("M-A"))
    path.write_bytes(b"x" * path.stat().st_size)
    assert digest_of(statement_file(of("M-A"))) == of("M-A").sha256


def test_a_merchant_that_changed_its_name_keeps_its_old_statements(settled):
    build()
    path = statement_file(of("M-A"))
    path.unlink()
    Merchant.objects.filter(merchant_no="M-A").update(name="Renamed")
    Channel.objects.update(name="Renamed")
    assert digest_of(statement_file(of("M-A"))) == of("M-A").sha256


def test_a_payment_that_failed_later_leaves_the_statement_as_it_was(settled):
    build()
    statement_file(of("M-A")).unlink()
    SettlementSheet.objects.filter(pk=settled["M-A"].pk).update(state=SheetState.FAILED, carry_out=F("payout_amount"))
    assert digest_of(statement_file(of("M-A"))) == of("M-A").sha256


def test_a_lost_file_that_would_come_out_different_is_an_error(settled):
    build()
    Statement.objects.filter(pk=of("M-A").pk).update(sha256="0" * 64)
    with pytest.raises(PayopsError) as refused:
        statement_file(of("M-A"))
    assert refused.value.code == "statements.changed"


def test_a_draft_has_no_statement_yet(cleared, settle_day):
    settle_day(check=False)
    assert build() == []


def test_a_sheet_below_the_minimum_has_a_statement_with_what_is_carried(cleared, settle_day):
    SettlementTerms.objects.filter(merchant=cleared.a).update(minimum_amount=10_000_00)
    assert settle_day()["M-A"].state == SheetState.CARRIED
    build()
    assert (of("M-A").totals["payout_amount"], of("M-A").totals["carried_forward"]) == (0, 37772)


def test_a_held_merchant_has_a_statement_too(cleared, settle_day):
    Merchant.objects.filter(pk=cleared.a.pk).update(status=MerchantStatus.HELD)
    assert settle_day()["M-A"].state == SheetState.HELD
    build()
    assert (of("M-A").totals["payout_amount"], of("M-A").totals["carried_forward"]) == (0, 37772)


def test_what_the_balance_check_withheld_is_named_and_its_transactions_are_not_listed(cleared, settle_day):
    settle_day(failing=("ALIPAY",))
    build()
    lines = lines_of(of("M-A"))
    assert section(lines, "暂缓结算 Withheld")[0][1:] == ["ALIPAY", "79.52"]
    assert [row[2] for row in section(lines, "正向交易")] == ["T1", "T2"]
    assert of("M-A").totals["payout_amount"] == 29820


@pytest.fixture
def second_day(cleared, settle_day):
    """21 November: what was carried and withheld is settled, and a refund was taken from the settlement account."""
    SettlementTerms.objects.filter(merchant=cleared.a).update(minimum_amount=10_000_00)
    settle_day(failing=("ALIPAY",))
    build()
    next_day = DAY + dt.timedelta(days=1)
    later = {"created_at": "2026-11-21T10:00:00", "succeeded_at": "2026-11-21T10:00:05"}
    rows = [order("T4", amount="500.00", **later), refund("R2", "T1", "100.00", **later)]
    assert not transactions_load(source=ndjson(*rows), name="orders.ndjson", user="alice").refused
    ledger.day_cut_off(next_day)
    ledger.close_day(next_day)
    clearing_run(day=next_day, username="alice")
    SettlementTerms.objects.filter(merchant=cleared.a).update(minimum_amount=0)
    settle_day(next_day)
    statements_build(day=next_day, username="alice")
    return Statement.objects.get(merchant=cleared.a, format="csv", sheet__session__own_date=next_day)


def test_a_refund_from_the_settlement_account_stands_among_the_adjustments(second_day):
    rows = section(lines_of(second_day), "调整 Adjustments")
    assert [(row[1].split()[0], row[2], row[3]) for row in rows] == [
        ("已从结算户支付的退款加回", "", "100.00"),
        ("从结算户退款", "R2", "-100.00"),
    ]


def test_what_was_carried_names_the_sheet_it_comes_from(second_day):
    before = SettlementSheet.objects.get(merchant__merchant_no="M-A", session__own_date=DAY)
    rows = section(lines_of(second_day), "前期结转 Carried")
    assert [(row[1], row[2]) for row in rows] == [(before.sheet_no, "298.20")]


def test_what_was_withheld_is_on_the_next_statement_with_its_transactions(second_day):
    lines = lines_of(second_day)
    assert [row[2] for row in section(lines, "正向交易")] == ["T3", "T4"]
    assert [row[2] for row in section(lines, "退款与撤销")] == ["R2"]


def test_the_payout_of_the_second_day_is_the_settlement_account(second_day):
    assert second_day.totals["payout_amount"] == balance_of("220202", "merchant", "M-A")


def test_the_first_statement_is_rebuilt_byte_for_byte_after_the_second_day(second_day):
    first = Statement.objects.get(merchant__merchant_no="M-A", format="csv", sheet__session__own_date=DAY)
    statement_file(first).unlink()
    assert digest_of(statement_file(first)) == first.sha256


def test_an_item_that_lost_a_cent_stops_the_statement_and_names_both_figures(settled):
    SettlementSheet.objects.filter(pk=settled["M-A"].pk).update(fee=settled["M-A"].fee + 1)
    with pytest.raises(PayopsError) as refused:
        build()
    assert refused.value.code == "statements.do_not_agree"
    assert "2.28" in str(refused.value)
    assert "2.29" in str(refused.value)
    assert not Statement.objects.exists()


def test_a_clearing_that_disagrees_with_its_transactions_stops_the_statement(settled):
    item = ClearingItem.objects.filter(merchant__merchant_no="M-A").first()
    damage(item, count=item.count + 1)
    with pytest.raises(PayopsError, match="count"):
        build()


def test_a_sheet_that_disagrees_with_the_ledger_stops_the_statement(settled):
    item = ClearingItem.objects.filter(merchant__merchant_no="M-A").first()
    damage(item, net=item.net + 1, fee=item.fee - 1)
    with pytest.raises(PayopsError) as refused:
        build()
    assert refused.value.code == "statements.do_not_agree"


def test_one_merchant_can_be_built_alone(settled):
    assert {each.merchant.merchant_no for each in build(merchant_no="M-B")} == {"M-B"}


def test_an_unknown_merchant_is_an_error(settled):
    with pytest.raises(PayopsError) as refused:
        build(merchant_no="M-X")
    assert refused.value.code == "merchants.unknown"


def test_a_day_without_settlement_has_no_statements(db):
    assert statements_build(day=dt.date(2026, 11, 12), username="alice") == []


def test_making_a_statement_is_in_the_audit_log_with_its_digest(settled):
    build()
    entry = AuditLog.objects.get(action="statement.made", object_id=settled["M-A"].sheet_no)
    assert entry.detail["csv"] == of("M-A").sha256


def test_a_merchant_reads_its_own_statements_only(settled, mei, omar, alice):
    build()
    numbers = [{each.merchant.merchant_no for each in selectors.statements_for_user(who)} for who in (mei, omar, alice)]
    assert numbers == [{"M-A"}, {"M-B"}, {"M-A", "M-B"}]


def test_the_transactions_of_an_item_are_those_that_were_cleared(settled):
    item = ClearingItem.objects.get(merchant__merchant_no="M-A", contract__code="WECHAT")
    rows = selectors.transactions_of_item(item)
    assert sorted(row.transaction_no for row in rows) == ["R1", "T1", "T2"]
    assert sum(row.amount for row in rows) == item.amount


def test_sections_longer_than_a_worksheet_go_on_in_another(settled, monkeypatch):
    from payops.statements import document

    monkeypatch.setattr(document, "ROWS_PER_WORKSHEET", 2)
    build()
    book = CalamineWorkbook.from_path(str(statement_file(of("M-A", "xlsx"))))
    names = [name for name in book.sheet_names if name.startswith("正向交易")]
    assert [len(book.get_sheet_by_name(name).to_python()) for name in names] == [3, 2]
    assert of("M-A").rows == Transaction.objects.for_days(DAY).filter(merchant__merchant_no="M-A").count()


def test_the_number_of_queries_does_not_grow_with_the_merchants(settled, django_assert_max_num_queries):
    with django_assert_max_num_queries(40):
        build()


def test_the_command_copies_the_files_and_tells_their_digests(settled, tmp_path, capsys):
    call_command("statements", date=DAY, merchant="M-A", out=tmp_path / "out", json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["count"] == 2
    for each in told["statements"]:
        assert hashlib.sha256((Path(told["out"]) / each["file"]).read_bytes()).hexdigest() == each["sha256"]


def test_the_command_refuses_an_unknown_merchant_with_exit_code_1(settled, capsys):
    with pytest.raises(SystemExit) as stopped:
        call_command("statements", date=DAY, merchant="M-X", json=True)
    assert stopped.value.code == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "merchants.unknown"


def test_the_command_wants_a_real_date(db):
    with pytest.raises(CommandError):
        call_command("statements", "--date", "20 November")
