"""What the portal shows: balances, transactions with filters, settlements traceable to transactions, statements."""

from __future__ import annotations

import csv
import hashlib
import io

import pytest

from payops.core.models import AuditLog
from payops.merchants.models import SettlementTerms
from payops.orders.services import transactions_load
from payops.portal import states
from payops.settlement.choices import SheetState
from payops.settlement.models import ClearingItem, SettlementSheet
from payops.statements.services import statement_file
from tests.orders.conftest import ndjson, order, transaction
from tests.portal.conftest import body, statement_of
from tests.settlement.books import damage

pytestmark = pytest.mark.django_db
DAYS = {"first": "2026-11-20", "last": "2026-11-20"}


@pytest.fixture
def see(client_for, mei, made):
    """``see(path, **query)``: the text Mei sees."""
    client = client_for(mei)

    def get(path: str, expect: int = 200, **query: str) -> str:
        response = client.get(path, query)
        assert response.status_code == expect
        return body(response)

    return get


def shown(text: str) -> list[str]:
    """Which of M-A's transactions a page lists."""
    return [number for number in ("T1", "T2", "T3", "R1") if f">{number}</a>" in text]


# --- home -------------------------------------------------------------------------------------------------------------


def test_home_shows_the_balances(see):
    text = see("/portal/")
    assert "377.72" in text
    assert "On its way to your bank" in text


def test_home_says_in_plain_words_how_the_last_settlement_stands(see):
    assert "We are about to send the payment to your bank." in see("/portal/")


def test_every_state_of_a_settlement_has_words(see, settled):
    for state in sorted(set(SheetState.values) - {SheetState.DRAFT}):
        total = settled["M-A"].payout_amount
        unpaid = state in {SheetState.CARRIED, SheetState.HELD}
        back = state in {SheetState.FAILED, SheetState.RETURNED}
        SettlementSheet.objects.filter(pk=settled["M-A"].pk).update(
            state=state, payout_amount=0 if unpaid else total, carry_out=total if unpaid or back else 0
        )
        assert str(states.SHEETS[state].sentence) in see("/portal/")
        assert str(states.SHEETS[state].label) in see(f"/portal/settlements/{settled['M-A'].sheet_no}/")


def test_home_tells_what_is_expected_and_when(client_for, mei, cleared):
    text = body(client_for(mei).get("/portal/"))
    assert "2026-11-21" in text
    assert "377.72" in text


def test_home_tells_what_is_carried_to_the_next_settlement(client_for, mei, cleared, settle_day):
    SettlementTerms.objects.update(minimum_amount=10_000_00)
    settle_day()
    assert "Carried to your next settlement" in body(client_for(mei).get("/portal/"))


def test_home_warns_when_there_is_no_account_to_pay_to(client_for, mei, cleared):
    cleared.a.settlement_accounts.all().delete()
    assert "We have no account to pay you to." in body(client_for(mei).get("/portal/"))


def test_a_merchant_without_anything_sees_a_friendly_page(client_for, mei, world):
    assert "There is no settlement yet." in body(client_for(mei).get("/portal/"))


# --- transactions -----------------------------------------------------------------------------------------------------


def test_the_list_shows_the_last_days_without_being_asked(see):
    assert shown(see("/portal/transactions/")) == ["T1", "T2", "T3", "R1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"kind": "2"}, ["R1"]),
        ({"channel": "alipay"}, ["T3"]),
        ({"status": "succeeded", "kind": "1"}, ["T1", "T2", "T3"]),
        ({"status": "failed"}, []),
        ({"number": "T2"}, ["T2"]),
        ({"number": "O-T3"}, ["T3"]),
        ({"number": "T9"}, []),
        ({"number": "T"}, []),
        ({"first": "2026-11-18", "last": "2026-11-19"}, []),
    ],
)
def test_filters_are_exact(see, query, expected):
    assert shown(see("/portal/transactions/", **{**DAYS, **query})) == expected


def test_a_transaction_number_is_found_whatever_the_days(see):
    assert shown(see("/portal/transactions/", number="T1", first="2026-11-12", last="2026-11-13")) == ["T1"]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"first": "20 November"}, "valid date"),
        ({"first": "2026-11-21", "last": "2026-11-20"}, "before the first"),
        ({"first": "2026-01-01", "last": "2026-11-20"}, "at most 93 days"),
        ({"first": "0001-01-01", "last": "0001-01-02"}, "Choose days between"),
        ({"last": "9999-12-31"}, "Choose days between"),
        ({"kind": "99"}, "valid choice"),
        ({"kind": "'; DROP TABLE"}, "valid choice"),
        ({"status": "rich"}, "valid choice"),
        ({"channel": "nowhere"}, "valid choice"),
        ({"number": "x" * 65}, "at most 64"),
        ({"number": "a\x00b"}, "not allowed"),
        ({"before": "abc"}, "whole number"),
        ({"before": "9" * 30}, "less than or equal"),
    ],
)
def test_bad_filters_are_explained(see, query, complaint):
    for address in ("/portal/transactions/", "/portal/transactions/export.csv"):
        assert complaint in see(address, expect=400, **query)


def test_pages_follow_each_other_without_gap_or_repetition(see, monkeypatch):
    from payops.portal import views

    monkeypatch.setattr(views, "ROWS", 3)
    first = see("/portal/transactions/", **DAYS)
    last_id = transaction("T2").pk
    assert f"before={last_id}" in first
    assert shown(first) == ["T2", "T3", "R1"]
    second = see("/portal/transactions/", before=str(last_id), **DAYS)
    assert shown(second) == ["T1"]
    assert "Older" not in second


def test_a_transaction_shows_its_fee_and_never_our_cost(see):
    row = transaction("T2")
    text = see(f"/portal/transactions/{row.pk}/")
    assert "1.50" in text
    assert "cost" not in text.lower()


def test_a_payment_names_its_refunds_and_a_refund_its_payment(see):
    assert ">R1</a>" in see(f"/portal/transactions/{transaction('T2').pk}/")
    assert ">T2</a>" in see(f"/portal/transactions/{transaction('R1').pk}/")


def test_a_number_nobody_has_is_not_found(see):
    for pk in ("1", "261120999999999999", "9" * 18, "9" * 40):
        see(f"/portal/transactions/{pk}/", expect=404)


def test_a_failed_payment_shows_no_fee(see, cleared):
    rows = [order("F1", status="failed", created_at="2026-11-21T10:00:00")]
    transactions_load(source=ndjson(*rows), name="orders.ndjson", user="alice")
    text = see("/portal/transactions/", number="F1")
    assert "Failed" in text
    assert "0.60" not in text


def test_the_export_holds_the_filtered_rows_with_signs(see):
    rows = list(csv.reader(io.StringIO(see("/portal/transactions/export.csv", **DAYS))))
    assert {row[2]: row[7] for row in rows[1:]} == {"T1": "100.00", "T2": "250.50", "T3": "80.00", "R1": "-50.50"}


def test_the_export_neutralises_formulas(see):
    assert "'=1+1" in see("/portal/transactions/export.csv", **DAYS)


def test_the_export_is_a_file_and_in_the_audit_log(client_for, mei, made):
    response = client_for(mei).get("/portal/transactions/export.csv", DAYS)
    assert response["Content-Disposition"].startswith("attachment; filename=")
    entry = AuditLog.objects.get(action="transactions.exported")
    assert (entry.username, entry.object_id, entry.ip) == ("mei", "M-A", "127.0.0.1")


# --- settlements ------------------------------------------------------------------------------------------------------


def test_a_settlement_shows_every_term(see, settled):
    text = see(f"/portal/settlements/{settled['M-A'].sheet_no}/")
    for figure in ("380.00", "2.28", "377.72"):
        assert figure in text
    assert "****1234" in text


def test_every_line_of_a_settlement_leads_to_the_transactions_it_is_the_sum_of(see, settled):
    sheet = settled["M-A"]
    for item in ClearingItem.objects.filter(settlement_sheet=sheet):
        address = f"/portal/settlements/{sheet.sheet_no}/{item.pk}/"
        assert address in see(f"/portal/settlements/{sheet.sheet_no}/")
        assert shown(see(address)) == (["T3"] if item.contract.code == "ALIPAY" else ["T1", "T2", "R1"])


def test_an_item_of_another_sheet_is_not_found(see, settled):
    item = ClearingItem.objects.get(settlement_sheet=settled["M-B"])
    see(f"/portal/settlements/{settled['M-A'].sheet_no}/{item.pk}/", expect=404)


def test_the_transactions_of_an_item_come_in_pages(see, settled, monkeypatch):
    from payops.portal import views

    monkeypatch.setattr(views, "ITEM_ROWS", 2)
    item = ClearingItem.objects.get(settlement_sheet=settled["M-A"], contract__code="WECHAT")
    address = f"/portal/settlements/{settled['M-A'].sheet_no}/{item.pk}/"
    assert shown(see(address)) == ["T1", "T2"]
    assert shown(see(address, page="2")) == ["R1"]


def test_a_page_that_does_not_exist_is_not_found(see):
    for number in ("0", "x", "99", "-1"):
        see("/portal/statements/", expect=404, page=number)


def test_a_draft_is_not_shown(client_for, mei, cleared, settle_day):
    sheet = settle_day(check=False)["M-A"]
    assert client_for(mei).get(f"/portal/settlements/{sheet.sheet_no}/").status_code == 404
    assert sheet.sheet_no not in body(client_for(mei).get("/portal/settlements/"))


# --- statements -------------------------------------------------------------------------------------------------------


def test_the_list_shows_the_digest_of_every_statement(see):
    text = see("/portal/statements/")
    assert statement_of("M-A").sha256 in text
    assert statement_of("M-A", "xlsx").sha256 in text


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_download_has_the_stored_bytes_and_name(client_for, mei, made, form):
    statement = statement_of("M-A", form)
    response = client_for(mei).get(f"/portal/statements/{statement.pk}/")
    content = b"".join(response.streaming_content)
    assert hashlib.sha256(content).hexdigest() == statement.sha256
    assert response["Content-Disposition"] == f'attachment; filename="{statement.file_name}"'


def test_a_download_is_in_the_audit_log(see):
    see(f"/portal/statements/{statement_of('M-A').pk}/")
    entry = AuditLog.objects.get(action="statement.downloaded")
    assert (entry.username, entry.detail["sha256"]) == ("mei", statement_of("M-A").sha256)


def test_a_file_that_cannot_be_proven_is_not_handed_out(see):
    statement = statement_of("M-A")
    statement_file(statement).write_bytes(b"damaged")
    for item in ClearingItem.objects.filter(settlement_sheet=statement.sheet):
        damage(item, settlement_sheet=None)
    assert "nothing is wrong on your side" in see(f"/portal/statements/{statement.pk}/", expect=409)
    assert not AuditLog.objects.filter(action="statement.downloaded").exists()


# --- language ---------------------------------------------------------------------------------------------------------


def test_the_language_is_switched_and_remembered(client_for, mei, made):
    client = client_for(mei)
    response = client.post("/portal/language/", {"language": "zh-hans", "next": "/portal/statements/"})
    assert response.url == "/portal/statements/"
    assert 'lang="zh-hans"' in body(client.get("/portal/"))
    mei.refresh_from_db()
    assert mei.language == "zh-hans"


def test_the_language_switch_leads_to_no_other_site(client_for, mei, made):
    response = client_for(mei).post("/portal/language/", {"language": "zh-hans", "next": "https://evil.example/"})
    assert "evil" not in response.url


def test_the_language_switch_takes_posts_of_merchants_only(client_for, mei, alice, made):
    assert client_for(mei).get("/portal/language/").status_code == 405
    assert client_for(alice).post("/portal/language/").status_code == 404
    assert client_for(None).post("/portal/language/").status_code == 302
