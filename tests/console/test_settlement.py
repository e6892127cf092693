"""Clearing, settlement sheets and balance checks in the console: every figure is a sum one can follow."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from pytest_django import DjangoAssertNumQueries

from payops.console.views.clearing import ROWS_SHOWN
from payops.core.audit import AuditLog
from payops.core.formatting import money
from payops.reconciliation.models import ChannelReceipt, OpenItem
from payops.reconciliation.selectors import current_run
from payops.settlement.models import BalanceCheck, ClearingItem, ClearingSession, ClearingSheet, Payout, SettlementSheet
from payops.settlement.selectors import check_terms, last_checks, sheet_total
from payops.settlement.services import balance_check_run
from payops.statements.models import Statement
from tests.console.conftest import MON, TUE, Books, address, read_out, text_of
from tests.settlement.books import damage

Read = Callable[..., str]


def minor(cell: Any) -> int:
    """The amount a cell shows, in minor units."""
    return int(Decimal(cell.raw or 0) * 100)


def context(books: Books, name: str, *args: Any) -> Any:
    response = books.client("carol").get(address(name, *args))
    assert response.status_code == 200
    return response.context


# --- clearing ---------------------------------------------------------------------------------------------------------


def test_clearing_sheets_stand_under_the_sessions_that_made_them(books: Books, read: Read) -> None:
    session = ClearingSession.objects.get(own_date=MON, kind="trade")
    text = read("carol", "clearing_list", date=MON)
    assert address("clearing_list", session=session.pk) in text
    assert money(session.amount) in text
    for sheet in session.sheets.all():
        assert address("clearing", sheet.pk) in text


def test_a_session_narrows_the_list_to_its_own_sheets(books: Books, read: Read) -> None:
    monday, tuesday = (ClearingSession.objects.get(own_date=day, kind="trade") for day in (MON, TUE))
    text = read("carol", "clearing_list", session=monday.pk)
    assert address("clearing", monday.sheets.first().pk) in text
    assert address("clearing", tuesday.sheets.first().pk) not in text


@pytest.mark.parametrize("session", ["x", "-1", "999999999999999999999999", "²"])
def test_a_session_that_is_none_narrows_nothing_or_to_nothing(books: Books, read: Read, session: str) -> None:
    assert "c-table" in read("carol", "clearing_list", session=session)


def test_a_clearing_sheet_is_the_sum_of_its_items(books: Books) -> None:
    for sheet in ClearingSheet.objects.filter(session__own_date=MON):
        (table,) = context(books, "clearing", sheet.pk)["tables"]
        assert minor(table.foot[7]) == sheet.amount
        assert minor(table.foot[9]) == sheet.fee


def test_clearing_items_of_a_date_show_their_totals(books: Books, read: Read) -> None:
    text = read("carol", "clearing_item_list", date=MON, contract="WECHAT")
    of_day = ClearingItem.objects.filter(own_date=MON, contract__code="WECHAT")
    assert money(of_day.aggregate(total=Sum("net"))["total"]) in text
    assert address("clearing_item", of_day.first().pk) in text


def test_an_item_lists_exactly_the_transactions_it_sums_up(books: Books) -> None:
    for item in ClearingItem.objects.filter(own_date=MON).order_by("pk"):
        table = context(books, "clearing_item", item.pk)["tables"][-1]
        assert len(table.rows) == item.count
        assert sum(minor(row[5]) for row in table.rows) == item.amount
        assert sum(minor(row[6]) for row in table.rows) == item.fee


def test_an_items_transactions_and_vouchers_agree_with_it(books: Books, read: Read) -> None:
    item = ClearingItem.objects.filter(own_date=MON).order_by("-count").first()
    text = read("carol", "clearing_item", item.pk)
    assert "agrees" in text
    assert "differs" not in text
    assert address("voucher", item.voucher_id) in text


def test_an_item_its_vouchers_do_not_bear_out_is_shown_as_one_that_differs(
    books: Books, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = ClearingItem.objects.filter(own_date=MON).order_by("-count").first()
    monkeypatch.setattr("payops.console.views.clearing.ledger_of", lambda items: {item.pk: item.net + 1})
    assert "differs" in read("carol", "clearing_item", item.pk)


def test_the_csv_of_an_item_holds_all_its_transactions_and_is_logged(books: Books) -> None:
    item = ClearingItem.objects.filter(own_date=MON).order_by("-count").first()
    response = books.client("carol").get(address("clearing_item", item.pk, export="csv"))
    assert len(text_of(response).strip().splitlines()) == item.count + 1
    log = AuditLog.objects.filter(action="console.downloaded", username="carol").latest("id")
    assert log.object_kind == f"clearing_item_{item.pk}"


def test_a_long_item_shows_its_first_transactions_and_says_so(
    books: Books, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ROWS_SHOWN == 300
    monkeypatch.setattr("payops.console.views.clearing.ROWS_SHOWN", 1)
    item = ClearingItem.objects.filter(own_date=MON, count__gt=1).first()
    assert f"The first 1 of {item.count}" in read("carol", "clearing_item", item.pk)


# --- sheets -----------------------------------------------------------------------------------------------------------


def test_the_terms_of_every_sheet_add_up_to_what_is_due(books: Books) -> None:
    for sheet in SettlementSheet.objects.order_by("pk"):
        rows = context(books, "sheet", sheet.pk)["sum_table"].rows
        by_term = {str(row[0].text): minor(row[1]) for row in rows}
        plain = [minor(row[1]) for row in rows if "c-sum" not in row[0].css]
        left = {"Carried to the next sheet", "Fee charged afterwards, not part of the sum"}
        beside = sum(minor(row[1]) for row in rows if row[0].text in left)
        assert sum(plain) - beside == by_term["Due in all"] == sheet_total(sheet)
        assert by_term["Settlement amount"] == sheet.settlement_amount
        assert by_term["Adjustment amount"] == sheet.adjustment_amount
        assert by_term["Payout amount"] == sheet.payout_amount


def test_a_sheet_leads_to_items_payouts_checks_and_statements(books: Books, read: Read) -> None:
    sheet = SettlementSheet.objects.filter(state="paid").first()
    text = read("carol", "sheet", sheet.pk)
    for item in sheet.items.all():
        assert address("clearing_item", item.pk) in text
        check = last_checks(item.own_date).get(contract_id=item.contract_id)
        assert address("balance_check", check.pk) in text
    assert address("payout", Payout.objects.get(sheet=sheet).pk) in text
    for statement in Statement.objects.filter(sheet=sheet):
        assert address("sheet_statement", statement.pk) in text


def test_a_carried_sheet_names_its_next_one_and_the_next_one_it(books: Books, read: Read) -> None:
    carrier = SettlementSheet.objects.filter(carried_to__isnull=False).first()
    assert carrier is not None
    assert carrier.carried_to.sheet_no in read("carol", "sheet", carrier.pk)
    assert address("sheet", carrier.pk) in read("carol", "sheet", carrier.carried_to_id)


def test_a_staff_download_of_a_statement_is_the_merchants_file_and_logged(books: Books) -> None:
    statement = Statement.objects.filter(format="csv").first()
    response = books.client("carol").get(address("sheet_statement", statement.pk))
    assert len(read_out(response).content_read) == statement.size
    assert AuditLog.objects.filter(object_kind="statements.statement", object_id=str(statement.pk)).exists()


def test_sheets_of_a_pay_date_show_their_totals(books: Books, read: Read) -> None:
    sheets = SettlementSheet.objects.filter(pay_date=TUE)
    text = read("carol", "sheet_list", date=TUE)
    assert money(sheets.aggregate(total=Sum("payout_amount"))["total"]) in text
    assert address("sheet", sheets.first().pk) in text


def test_a_sheet_is_found_by_state_and_number(books: Books, read: Read) -> None:
    sheet = SettlementSheet.objects.filter(state="paid").first()
    assert sheet.sheet_no in read("carol", "sheet_list", sheet_no=sheet.sheet_no)
    assert sheet.sheet_no not in read("carol", "sheet_list", state="held")


# --- balance checks ---------------------------------------------------------------------------------------------------


def test_a_balance_check_shows_every_term_and_what_it_comes_to(books: Books) -> None:
    for check in last_checks(MON):
        page = context(books, "balance_check", check.pk)
        table = page["equation"]
        terms = [minor(row[2]) for row in table.rows if row[2].text and "c-sum" not in row[0].css]
        assert terms == [term["amount"] for term in check_terms(check)]
        assert sum(terms) == check.computed == check.clearing_amount
        assert minor(page["tables"][0].foot[-1]) == check.clearing_amount


def test_a_term_is_shown_by_kind_and_leads_to_its_rows(books: Books, read: Read) -> None:
    checks = [check for check in last_checks() if any(term["code"].startswith("new.") for term in check.terms)]
    check = checks[0]
    text = read("carol", "balance_check", check.pk)
    receipt = ChannelReceipt.objects.get(contract=check.contract, channel_date=check.own_date)
    assert address("receipt", receipt.pk) in text
    assert address("run", current_run(check.contract, check.own_date).pk) in text
    term = next(term for term in check.terms if term["code"].startswith("new."))
    kind, amount = next(iter(term["detail"].items()))
    assert OpenItem.objects.filter(contract=check.contract, first_date=check.own_date).exists()
    assert f"first_date={check.own_date}&amp;result={kind}" in text
    assert money(amount) in text


def test_a_check_that_fails_shows_where_to_look(books: Books, read: Read) -> None:
    receipt = ChannelReceipt.objects.get(contract__code="WECHAT", channel_date=MON)
    damage(receipt, received=receipt.received - 100)
    balance_check_run(day=MON)
    check = BalanceCheck.objects.filter(contract__code="WECHAT", own_date=MON).latest("attempt")
    assert not check.passed
    page = context(books, "balance_check", check.pk)
    marked = [row[0].text for row in page["equation"].rows if row[3].text]
    assert "Receipt" in marked
    assert "Fees of net-settled merchants" not in marked
    assert page["trouble"] == check.reason
    assert "-1.00" in read("carol", "balance_check", check.pk)


def test_an_attempt_that_no_longer_counts_says_so(books: Books, read: Read) -> None:
    receipt = ChannelReceipt.objects.get(contract__code="WECHAT", channel_date=MON)
    damage(receipt, received=receipt.received - 100)
    balance_check_run(day=MON)
    attempts = BalanceCheck.objects.filter(contract__code="WECHAT", own_date=MON).order_by("attempt")
    assert "A later attempt counts" in read("carol", "balance_check", attempts[0].pk)
    assert address("balance_check", attempts.last().pk) in read("carol", "balance_check", attempts[0].pk)


def test_failed_checks_can_be_listed_alone(books: Books, read: Read) -> None:
    passed = last_checks(MON).first()
    assert address("balance_check", passed.pk) in read("carol", "balance_check_list", passed="1")
    assert address("balance_check", passed.pk) not in read("carol", "balance_check_list", passed="0")


# --- every list -------------------------------------------------------------------------------------------------------

LISTS = ["clearing_list", "clearing_item_list", "sheet_list", "balance_check_list"]


@pytest.mark.parametrize("name", LISTS)
def test_a_date_that_is_none_is_answered_at_its_field(read: Read, name: str) -> None:
    text = read("carol", name, date="2026-02-31")
    assert "Enter a valid date." in text


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("cursor", ["abc", "99999999999999999999999999", "-5"])
def test_a_broken_cursor_is_no_error(read: Read, name: str, cursor: str) -> None:
    assert "</html>" in read("carol", name, after=cursor)


@pytest.mark.parametrize(
    ("name", "queries"), [("clearing_list", 4), ("clearing_item_list", 4), ("sheet_list", 3), ("balance_check_list", 4)]
)
def test_a_list_costs_the_same_queries_however_long(
    books: Books, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int
) -> None:
    client = books.client("carol")
    with django_assert_num_queries(queries):
        client.get(address(name))
