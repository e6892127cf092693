"""Bank, internal and merchant reconciliation and the pending receivable in the console."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models import F

from payops.approvals.models import ApprovalRequest
from payops.channels.models import BankAccount, BankLine
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.bank.services import bank_reconcile_all
from payops.reconciliation.funds import funds_match
from payops.reconciliation.models import BankReconciliation, ChannelReceipt
from payops.settlement.models import SettlementSheet
from payops.statements.models import Statement
from tests.console.conftest import MON, TUE, Books, address, read_out

Read = Callable[..., str]
RESERVE_ACCOUNT = "RESERVE"


def statement(day=TUE) -> BankReconciliation:
    bank_reconcile_all(day=day)
    return BankReconciliation.objects.filter(day=day, is_current=True).order_by("bank_account__code").first()


def test_the_close_of_a_day_has_made_its_statements(books: Books, read: Read) -> None:
    made = BankReconciliation.objects.filter(day=MON, is_current=True)
    assert made.exists()
    text = read("carol", "bank_reconciliation_list", date=MON)
    for each in made:
        assert address("bank_reconciliation", each.pk) in text


def test_a_statement_shows_both_adjusted_balances_and_every_open_item(books: Books, read: Read) -> None:
    made = statement()
    text = read("bob", "bank_reconciliation", made.pk)
    assert text.count(f"{made.adjusted_bank / 100:,.2f}") >= 2
    for item in made.items.all()[:50]:
        if item.bank_line_id:
            assert address("bank_line", item.bank_line_id) in text
        else:
            assert address("voucher", item.entry_id - item.entry_id % 1000) in text


def test_a_kind_of_open_items_filters_them(books: Books, read: Read) -> None:
    BankLine.objects.create(
        bank_account=BankAccount.objects.get(code=RESERVE_ACCOUNT),
        value_date=TUE, reference="ODD-1", memo="what is this", amount=12_345, currency="CNY",
    )  # fmt: skip
    made = statement()
    assert "ODD-1" in read("alice", "bank_reconciliation", made.pk, kind="bank_received")
    assert "ODD-1" not in read("alice", "bank_reconciliation", made.pk, kind="we_paid")


def test_operations_compare_a_day_and_see_the_statement(books: Books) -> None:
    form = {"account": RESERVE_ACCOUNT, "day": TUE.isoformat()}
    response = books.client("alice").post(address("bank_reconcile"), form, follow=True)
    assert response.status_code == 200
    assert TUE.isoformat() in response.content.decode()
    assert books.client("carol").post(address("bank_reconcile"), form).status_code == 403


def test_a_statement_is_a_file_too(books: Books) -> None:
    made = statement()
    url = address("report_file", "bank_reconciliation", "csv", account=made.bank_account.code, day=TUE)
    response = read_out(books.client("carol").get(url))
    assert "Adjusted balance" in response.content_read.decode("utf-8-sig")
    assert books.client("carol").get(url.replace("/csv/", "/xlsx/")).status_code == 200


def test_a_day_without_a_statement_says_so(books: Books) -> None:
    url = address("report_file", "bank_reconciliation", "csv", account=RESERVE_ACCOUNT, day="2026-11-30")
    assert books.client("carol").get(url).status_code == 404


def test_the_internal_check_of_a_day_agrees_and_leads_to_its_transactions(books: Books, read: Read) -> None:
    text = read("bob", "internal_check", day=MON)
    assert "Every row agrees." in text
    assert f"transactions/?day={MON.isoformat()}&amp;merchant=" in text


def test_the_merchant_check_has_a_row_per_sheet(books: Books, read: Read) -> None:
    text = read("bob", "merchant_check", day=MON)
    for sheet in SettlementSheet.objects.filter(session__own_date=MON):
        assert address("sheet", sheet.pk) in text
    assert "Every figure agrees." in text


def test_a_sheet_without_its_payment_waits_and_is_not_wrong(books: Books, read: Read) -> None:
    assert "for the payment" in read("bob", "merchant_check", day=TUE)


def test_a_statement_that_says_another_payout_is_shown_with_both_figures(books: Books, read: Read) -> None:
    made = Statement.objects.filter(sheet__session__own_date=MON, totals__payout_amount__gt=0).first()
    made.totals["payout_amount"] += 5
    made.save(update_fields=["totals"])
    text = read("bob", "merchant_check", day=MON)
    assert made.file_name in text
    assert "Differs" in text


@pytest.mark.parametrize("name", ["internal_check", "merchant_check"])
def test_a_check_of_a_day_is_a_file_too(books: Books, name: str) -> None:
    response = read_out(books.client("carol").get(address("report_file", name, "csv", day=MON)))
    assert response.status_code == 200
    assert len(response.content_read.splitlines()) > 1


@pytest.mark.parametrize("name", ["internal_check", "merchant_check"])
def test_a_day_that_is_none_is_said_so(books: Books, name: str) -> None:
    assert books.client("alice").get(address(name, day="yesterday")).status_code == 400


def test_the_pending_receivable_of_each_channel_is_what_the_ledger_says(books: Books, read: Read) -> None:
    text = read("bob", "pending_receivable")
    assert "Differs" not in text.split("By channel, beside the ledger")[1]


def test_a_channel_date_that_was_not_paid_as_billed_is_listed(books: Books, read: Read) -> None:
    text = read("bob", "pending_receivable")
    for receipt in ChannelReceipt.objects.all():
        listed = address("receipt", receipt.pk) in text
        assert listed == (receipt.due != receipt.received)
    assert ChannelReceipt.objects.filter(due=F("received")).exists()


# --- what nobody could identify ---------------------------------------------------------------------------------------


def an_odd_line(amount: int) -> BankLine:
    line = BankLine.objects.create(
        bank_account=BankAccount.objects.get(code=RESERVE_ACCOUNT),
        value_date=TUE, reference=f"ODD{amount}", memo="what is this", amount=amount, currency="CNY",
    )  # fmt: skip
    funds_match()
    return line


def test_unidentified_lines_stand_in_one_list_with_their_cases(books: Books, read: Read) -> None:
    line = an_odd_line(12_345)
    text = read("carol", "bank_unexplained")
    case = Discrepancy.objects.get(bank_line_id=line.pk)
    assert address("bank_line", line.pk) in text
    assert address("case_detail", case.pk) in text
    assert address("bank_line_assign", line.pk) not in text
    assert address("bank_line_assign", line.pk) in read("alice", "bank_unexplained")


def test_what_a_line_is_becomes_a_proposal_for_finance(books: Books, read: Read) -> None:
    line = an_odd_line(12_345)
    url = address("bank_line_assign", line.pk, purpose="interest")
    response = books.client("alice").post(url, {"reason": "interest of November"})
    proposed = ApprovalRequest.objects.latest("pk")
    assert response.url == address("approval", proposed.pk)
    assert "Interest" in read("bob", "approval", proposed.pk)
    assert address("approval", proposed.pk) in read("alice", "bank_unexplained")


def test_a_channels_dates_are_offered_and_shares_that_do_not_add_up_stay_on_the_form(books: Books) -> None:
    line = an_odd_line(12_345)
    receipt = ChannelReceipt.objects.filter(channel_date=MON).first()
    ChannelReceipt.objects.filter(pk=receipt.pk).update(due=receipt.due + 12_345)
    url = address("bank_line_assign", line.pk, purpose="settlement", channel=receipt.contract.code)
    form = {f"day_{receipt.pk}": "100.00", "reason": "advice"}
    response = books.client("alice").post(url, form)
    assert response.status_code == 400
    assert "Correct them by 23.45" in response.content.decode()


def test_a_merchant_that_does_not_exist_is_named(books: Books) -> None:
    url = address("bank_line_assign", an_odd_line(500).pk, purpose="offline")
    response = books.client("alice").post(url, {"target": "M-NOBODY", "reason": "?"})
    assert "There is no merchant M-NOBODY." in response.content.decode()


def test_the_auditor_proposes_nothing(books: Books) -> None:
    url = address("bank_line_assign", an_odd_line(500).pk, purpose="interest")
    assert books.client("carol").post(url, {"reason": "x"}).status_code == 403
