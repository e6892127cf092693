"""Balances, trial balance, account ledger, money guard, freezes and the two commands."""

from __future__ import annotations

import datetime as dt
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from payops.accounts import selectors, services
from payops.accounts.choices import Event
from payops.accounts.models import Account
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, TUESDAY, Book


def close(day: dt.date) -> None:
    services.day_cut_off(day)
    services.close_day(day)


@pytest.fixture
def two_days(book: Book) -> Book:
    """Monday (closed): 100 paid, 60 refunded. Tuesday (open): 40 paid at the other channel."""
    book(Event.PAYMENT, A=100)
    book(Event.VOID, A=60)
    close(MONDAY)
    book(Event.PAYMENT, {"channel": "up", "merchant": "M-B"}, A=40)
    return book


def rows_by_code(day: dt.date, level: int | None = None) -> dict[str, tuple[int, int, int, int]]:
    return {
        row.dotted_code: (row.opening, row.debit, row.credit, row.closing)
        for row in selectors.trial_balance(day, level=level)
    }


def test_trial_balance_of_a_closed_day(two_days: Book) -> None:
    assert rows_by_code(MONDAY) == {"2202.01": (0, 60, 100, 40), "3001.01": (0, 100, 60, 40)}


def test_trial_balance_of_an_open_day_opens_with_the_closing_before(two_days: Book) -> None:
    assert rows_by_code(TUESDAY) == {"2202.01": (40, 0, 40, 80), "3001.01": (40, 40, 0, 80)}


def test_trial_balance_of_an_open_day_equals_that_of_the_same_day_closed(two_days: Book) -> None:
    before = selectors.trial_balance(TUESDAY)
    close(TUESDAY)
    assert selectors.trial_balance(TUESDAY) == before


def test_trial_balance_counts_a_day_cut_off_but_not_closed_into_the_opening(two_days: Book) -> None:
    services.day_cut_off(TUESDAY)
    two_days(Event.PAYMENT, A=1)
    assert rows_by_code(dt.date(2026, 11, 18))["2202.01"] == (80, 0, 1, 81)


def test_trial_balance_sums_up_to_a_level(two_days: Book) -> None:
    two_days(Event.REFUND_ACCEPTED_PENDING, A=10)
    assert rows_by_code(TUESDAY, level=1)["2202"] == (40, 10, 50, 80)


def test_trial_balance_balances(two_days: Book) -> None:
    two_days(Event.BILL_NETTED, S=99, K=1)
    for level in (None, 1, 2):
        (total,) = selectors.trial_balance_totals(selectors.trial_balance(TUESDAY, level=level))
        assert total.balanced


def test_trial_balance_keeps_currencies_apart(ledger: dt.date, book: Book) -> None:
    services.open_channel_accounts("wx", "USD")
    services.open_merchant_accounts("M-A", "USD")
    book(Event.PAYMENT, A=100)
    posting = book.posting(Event.PAYMENT, A=7)

    services.post(posting._replace(currency="USD"))
    totals = selectors.trial_balance_totals(selectors.trial_balance(MONDAY))
    assert [(total.currency, total.debit) for total in totals] == [("CNY", 100), ("USD", 7)]


def test_account_ledger_runs_from_opening_to_closing(two_days: Book) -> None:
    two_days(Event.PAYMENT, A=5)
    account = selectors.account_get("2202.01", "merchant", "M-A")
    monday = selectors.account_ledger(account, MONDAY, MONDAY)
    assert [(row.side, row.amount, row.balance) for row in monday.rows] == [("C", 100, 100), ("D", 60, 40)]
    both = selectors.account_ledger(account, MONDAY, TUESDAY)
    assert (both.opening, both.debit, both.credit, both.closing) == (0, 60, 105, 45)
    tuesday = selectors.account_ledger(account, TUESDAY, TUESDAY)
    assert (tuesday.opening, tuesday.closing) == (40, 45)
    assert tuesday.rows[0].source_kind == "test"


def test_running_balance_equals_the_balance_after_of_the_entries(two_days: Book) -> None:
    account = selectors.account_get("3001.01", "channel", "wx")
    ledger = selectors.account_ledger(account, MONDAY, TUESDAY)
    stored = [
        entry.balance_after
        for row in ledger.rows
        for entry in selectors.voucher_entries(row.voucher_id)
        if entry.pk == row.entry_id
    ]
    assert [row.balance for row in ledger.rows] == stored


def test_balance_at_the_end_of_a_day(two_days: Book) -> None:
    account = selectors.account_get("2202.01", "merchant", "M-B")
    assert selectors.balance_at_end_of(account, MONDAY) == 0
    assert selectors.balance_at_end_of(account, TUESDAY) == 40


def test_subject_balance_sums_what_is_below_it(two_days: Book) -> None:
    two_days(Event.REFUND_ACCEPTED_PENDING, A=10)
    assert selectors.subject_balance("2202.01") == 70
    assert selectors.subject_balance("2202") == 80
    assert selectors.subject_balance("9999") == 0
    assert selectors.balances_of("2202.01", "merchant") == {"M-A": 30, "M-B": 40}


def test_an_account_nobody_opened_has_no_balance_and_is_named_when_asked_for(ledger: dt.date) -> None:
    assert selectors.balance_of("2202.01", "merchant", "M-X") == 0
    with pytest.raises(PayopsError) as caught:
        selectors.account_get("2202.01", "merchant", "M-X")
    assert caught.value.code == "ledger.no_account"


def test_customers_money_guard_shows_its_terms(book: Book) -> None:
    book(Event.PAYMENT, A=10_000)
    book(Event.BILL_NETTED, S=9_962, K=38)
    book(Event.RECEIPT, R=9_962)
    book(Event.CLEARING_NET, A=10_000, X=0, F=60)
    guard = selectors.customers_money_guard()
    assert guard["ok"]
    assert guard["currencies"]["CNY"]["own_money"] == 22
    assert guard["currencies"]["CNY"]["terms"]["reserve"] == 9_962
    assert guard["currencies"]["CNY"]["terms"]["payable_to_merchants"] == 9_940


def test_customers_money_guard_of_a_day_is_that_of_its_end(book: Book) -> None:
    book(Event.OWN_FUNDS_COVER, P=50)
    close(MONDAY)
    book(Event.FEE_CARRIED, P=80)
    assert selectors.customers_money_guard(MONDAY)["currencies"]["CNY"]["own_money"] == 50
    assert selectors.customers_money_guard(TUESDAY)["currencies"]["CNY"]["own_money"] == -30
    assert not selectors.customers_money_guard()["ok"]


# --- freezes ---


def freeze(account: Account, amount: int) -> object:
    return services.freeze_place(
        account=account, amount=amount, reason="dispute", source_kind="case", source_id=1, created_by="alice"
    )


def test_a_freeze_takes_from_the_available_amount_and_may_exceed_the_balance(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    account = selectors.account_get("2202.01", "merchant", "M-A")
    freeze(account, 130)
    account.refresh_from_db()
    assert (account.balance, account.frozen, account.available) == (100, 130, -30)


def test_a_freeze_is_released_in_parts(book: Book) -> None:
    account = selectors.account_get("2202.01", "merchant", "M-A")
    slip = freeze(account, 100)
    slip = services.freeze_release(freeze=slip, amount=40)
    assert (slip.remaining, slip.released_at) == (60, None)
    slip = services.freeze_release(freeze=slip)
    assert slip.remaining == 0
    assert slip.released_at is not None
    account.refresh_from_db()
    assert account.frozen == 0


def test_more_than_is_frozen_cannot_be_released(book: Book) -> None:
    slip = freeze(selectors.account_get("2202.01", "merchant", "M-A"), 100)
    with pytest.raises(PayopsError) as caught:
        services.freeze_release(freeze=slip, amount=101)
    assert caught.value.code == "freeze.amount"


@pytest.mark.parametrize("amount", [0, -5])
def test_a_freeze_is_positive(ledger: dt.date, amount: int) -> None:
    with pytest.raises(PayopsError):
        freeze(selectors.account_get("2202.01", "merchant", "M-A"), amount)


# --- commands ---


def output_of(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_trial_balance_command_prints_json(two_days: Book) -> None:
    result = json.loads(output_of("trial_balance", "--date", "2026-11-17", "--json"))
    assert result["balanced"]
    assert result["rows"][0] == {
        "code": "2202.01",
        "name": "Pending settlement",
        "name_zh": "待结算",
        "element": "liability",
        "normal_side": "C",
        "currency": "CNY",
        "opening": 40,
        "debit": 0,
        "credit": 40,
        "closing": 80,
    }


def test_trial_balance_command_prints_a_table(two_days: Book) -> None:
    assert "2202.01" in output_of("trial_balance")


def test_verify_command_counts_what_it_recomputed(two_days: Book) -> None:
    assert json.loads(output_of("verify_ledger", "--json")) == {
        "days": 1,
        "entries": 4,
        "archived": [],
        "problems": [],
        "ok": True,
    }


def test_verify_command_fails_when_a_balance_does_not_fit(two_days: Book) -> None:
    Account.objects.filter(account_no="220201-M-A").update(balance=1)
    with pytest.raises(CommandError, match="220201-M-A shows 1, its entries make 40"):
        output_of("verify_ledger")
