"""Totals of days and balances of months, quarters and years: derived, chained, never changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payops.accounts import days, periods, services
from payops.accounts.choices import Event
from payops.accounts.models import Account, DayTotal, PeriodBalance
from payops.accounts.periods import day_results_problems, period_of, periods_ending
from payops.accounts.verify import ledger_verify
from payops.core.partitions import ensure_days
from tests.accounts.conftest import MONDAY, Book, set_up_ledger

ONE_DAY = dt.timedelta(days=1)
NOVEMBER_29 = dt.date(2026, 11, 29)
NOVEMBER_30 = dt.date(2026, 11, 30)
DECEMBER_31 = dt.date(2026, 12, 31)


def close(day: dt.date) -> services.CloseResult:
    services.day_cut_off(day)
    return services.close_day(day)


def close_until(first: dt.date, last: dt.date) -> None:
    ensure_days(first, last + 3 * ONE_DAY)
    for number in range((last - first).days + 1):
        close(first + number * ONE_DAY)


@pytest.fixture
def month_end(db: None) -> Book:
    """The ledger opened on 29 November."""
    set_up_ledger(NOVEMBER_29)
    return Book()


def balances(kind: str, owner: str = "M-A", subject: str = "220201") -> list[tuple[Any, ...]]:
    rows = PeriodBalance.objects.filter(kind=kind, account__owner_no=owner, account__subject__code=subject)
    return [(row.first_day, row.opening, row.debit, row.credit, row.closing) for row in rows.order_by("first_day")]


# --- the calendar ---


def test_a_quarter_is_three_months_and_a_year_twelve() -> None:
    assert (period_of("quarter", MONDAY).first_day, period_of("quarter", MONDAY).last_day) == (
        dt.date(2026, 10, 1),
        DECEMBER_31,
    )
    assert period_of("year", MONDAY).label == "2026"
    assert period_of("quarter", MONDAY).label == "2026-Q4"
    assert period_of("month", dt.date(2028, 2, 3)).last_day == dt.date(2028, 2, 29)


def test_the_last_day_of_december_ends_three_periods_and_most_days_none() -> None:
    assert [period.kind for period in periods_ending(DECEMBER_31)] == ["month", "quarter", "year"]
    assert [period.kind for period in periods_ending(NOVEMBER_30)] == ["month"]
    assert periods_ending(MONDAY) == []


# --- balances ---


def test_a_month_is_written_when_its_last_day_closes_and_not_before(month_end: Book) -> None:
    month_end(Event.PAYMENT, A=100)
    close(NOVEMBER_29)
    assert not PeriodBalance.objects.exists()
    month_end(Event.PAYMENT, A=40)
    close(NOVEMBER_30)
    assert balances("month") == [(dt.date(2026, 11, 1), 0, 0, 140, 140)]


def test_every_period_opens_with_the_closing_of_the_one_before(month_end: Book) -> None:
    month_end(Event.PAYMENT, A=100)
    close_until(NOVEMBER_29, NOVEMBER_30)
    month_end(Event.VOID, A=30)
    close_until(NOVEMBER_30 + ONE_DAY, DECEMBER_31)
    month_end(Event.PAYMENT, A=7)
    close_until(DECEMBER_31 + ONE_DAY, dt.date(2027, 1, 31))
    assert balances("month") == [
        (dt.date(2026, 11, 1), 0, 0, 100, 100),
        (dt.date(2026, 12, 1), 100, 30, 0, 70),
        (dt.date(2027, 1, 1), 70, 0, 7, 77),
    ]
    assert balances("quarter") == [(dt.date(2026, 10, 1), 0, 30, 100, 70)]
    assert balances("year") == [(dt.date(2026, 1, 1), 0, 30, 100, 70)]
    report = ledger_verify()
    assert (report.days, report.problems) == (64, [])


def test_an_account_that_did_not_move_keeps_its_balance_through_the_month(month_end: Book) -> None:
    month_end(Event.PAYMENT, A=100)
    close_until(NOVEMBER_29, NOVEMBER_30)
    close_until(NOVEMBER_30 + ONE_DAY, DECEMBER_31)
    assert balances("month")[1] == (dt.date(2026, 12, 1), 100, 0, 0, 100)
    assert PeriodBalance.objects.filter(kind="year").count() == 2


# --- totals of a day ---


def test_a_day_is_summed_by_event_and_subject(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    book(Event.PAYMENT, {"merchant": "M-B"}, A=40)
    book(Event.VOID, A=30)
    close(MONDAY)
    totals = DayTotal.objects.filter(subject__code="220201").order_by("event")
    assert [(t.event, t.debit, t.credit, t.debit_count, t.credit_count) for t in totals] == [
        (Event.PAYMENT, 0, 140, 0, 2),
        (Event.VOID, 30, 0, 1, 0),
    ]


# --- verification ---


def tamper(statement: str) -> None:
    """Change sealed rows past all guards, as only the owner of the tables could."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_a_changed_day_total_is_named(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    close(MONDAY)
    assert list(day_results_problems(MONDAY)) == []
    tamper("UPDATE accounts_daytotal SET credit = 1 WHERE credit = 100")
    assert ledger_verify().problems == ["2026-11-16: day totals of subject 220201 are not the sum of its entries"]


@pytest.mark.parametrize(
    "change", ["SET opening = opening + 1", "SET credit = credit + 1, closing = closing + 1", "SET closing = 5"]
)
def test_a_changed_period_balance_is_named(month_end: Book, change: str) -> None:
    month_end(Event.PAYMENT, A=100)
    close_until(NOVEMBER_29, NOVEMBER_30)
    account = Account.objects.get(account_no="220201-M-A").pk
    tamper(f"UPDATE accounts_periodbalance {change} WHERE account_id = {account}")
    assert ledger_verify().problems == ["2026-11-30: month balance of 220201-M-A is not made of its days"]


def test_a_missing_period_balance_is_named(month_end: Book) -> None:
    month_end(Event.PAYMENT, A=100)
    close_until(NOVEMBER_29, NOVEMBER_30)
    tamper("DELETE FROM accounts_periodbalance")
    assert "month balance of" in ledger_verify().problems[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE accounts_daytotal SET credit = 1 WHERE credit = 40", "totals by event of subject 2202.01"),
        ("UPDATE accounts_periodbalance SET opening = 9", "for 2026-11 is not made of its days"),
    ],
)
def test_the_close_finds_reports_that_are_not_the_ledger(
    month_end: Book, monkeypatch: pytest.MonkeyPatch, change: str, message: str
) -> None:
    def write_wrongly(day: dt.date) -> None:
        periods.day_results_write(day)
        tamper(change)

    close(NOVEMBER_29)
    month_end(Event.PAYMENT, A=40)
    monkeypatch.setattr(days, "day_results_write", write_wrongly)
    (finding,) = close(NOVEMBER_30).findings
    assert finding.check == "reports"
    assert message in finding.message


# --- the guards ---


@contextmanager
def refused(state: str) -> Iterator[None]:
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        yield
    assert caught.value.__cause__.sqlstate == state, caught.value


def period_row(kind: str, first: str, last: str, *, closing: int = 5) -> None:
    account = Account.objects.get(account_no="220201-M-A").pk
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_periodbalance"
            " (kind, first_day, last_day, account_id, opening, debit, credit, closing)"
            " VALUES (%s, %s, %s, %s, 0, 0, 5, %s)",
            [kind, first, last, account, closing],
        )


def test_a_period_once_closed_takes_no_balance(month_end: Book) -> None:
    close_until(NOVEMBER_29, NOVEMBER_30)
    with refused("PL006"):
        period_row("month", "2026-11-01", "2026-11-30")


def test_a_period_that_is_not_being_closed_takes_no_balance(month_end: Book) -> None:
    with refused("PL006"):
        period_row("month", "2026-11-01", "2026-11-30")


def test_a_period_is_one_of_the_calendar(month_end: Book) -> None:
    with refused("PL031"):
        period_row("month", "2026-11-02", "2026-11-30")
    with refused("PL031"):
        period_row("quarter", "2026-11-01", "2026-11-30")


def test_a_period_balance_that_does_not_add_up_is_refused(month_end: Book) -> None:
    close(NOVEMBER_29)
    services.day_cut_off(NOVEMBER_30)
    with refused("PL031"):
        period_row("month", "2026-11-01", "2026-11-30", closing=6)


@pytest.mark.parametrize("table", ["accounts_periodbalance", "accounts_daytotal"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET debit = 9", "DELETE FROM {}", "TRUNCATE {}"])
def test_totals_and_period_balances_are_never_changed(month_end: Book, table: str, statement: str) -> None:
    month_end(Event.PAYMENT, A=100)
    close_until(NOVEMBER_29, NOVEMBER_30)
    with connection.cursor() as cursor:
        # Foreign keys wait for the commit, and a table with checks to make is not truncated anyway.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


def test_a_closed_day_takes_no_totals(book: Book) -> None:
    close(MONDAY)
    subject = Account.objects.get(account_no="220201-M-A").subject_id
    with refused("PL006"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_daytotal (event, currency, debit, credit, debit_count, credit_count, subject_id, day)"
            " VALUES (101, 'CNY', 0, 0, 0, 0, %s, '2026-11-16')",
            [subject],
        )
