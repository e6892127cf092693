"""Opening, cutting off and closing accounting days; the checks and the seal."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection

from payops.accounts import selectors, services, verify
from payops.accounts.checks import check_opening
from payops.accounts.choices import DayState, Event, FindingLevel
from payops.accounts.days import day_digests, day_seal
from payops.accounts.models import Account, AccountingDay, DayBalance
from payops.core.errors import PayopsError
from payops.core.ids import day_floor
from tests.accounts.conftest import MONDAY, TUESDAY, Book

WEDNESDAY = dt.date(2026, 11, 18)


def close(day: dt.date) -> services.CloseResult:
    services.day_cut_off(day)
    return services.close_day(day)


def test_at_cut_off_the_next_day_opens(ledger: dt.date) -> None:
    following = services.day_cut_off(MONDAY)
    assert (following.day, following.state) == (TUESDAY, DayState.OPEN)
    assert selectors.open_day() == TUESDAY
    assert AccountingDay.objects.get(day=MONDAY).state == DayState.CUT_OFF


def test_cutting_off_twice_is_cutting_off_once(ledger: dt.date) -> None:
    services.day_cut_off(MONDAY)
    assert services.day_cut_off(MONDAY).day == TUESDAY
    assert AccountingDay.objects.count() == 2


def test_opening_the_open_day_again_changes_nothing(ledger: dt.date) -> None:
    services.day_open(MONDAY)
    assert AccountingDay.objects.count() == 1


def test_days_follow_one_another(ledger: dt.date) -> None:
    with pytest.raises(PayopsError) as caught:
        services.day_open(WEDNESDAY)
    assert caught.value.code == "ledger.day_order"


def test_a_fact_goes_to_its_own_day_until_that_is_closed(ledger: dt.date) -> None:
    services.day_cut_off(MONDAY)
    assert selectors.posting_day_for(MONDAY) == MONDAY
    services.close_day(MONDAY)
    assert selectors.posting_day_for(MONDAY) == TUESDAY


def test_an_open_day_cannot_be_closed_before_its_cut_off(ledger: dt.date) -> None:
    with pytest.raises(PayopsError) as caught:
        services.close_day(MONDAY)
    assert caught.value.code == "ledger.day_not_cut_off"


def test_a_day_closes_after_the_day_before(ledger: dt.date) -> None:
    services.day_cut_off(MONDAY)
    services.day_cut_off(TUESDAY)
    with pytest.raises(PayopsError) as caught:
        services.close_day(TUESDAY)
    assert caught.value.code == "ledger.day_order"


def test_closing_counts_and_seals(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    book(Event.CLEARING_NET, A=100, X=0, F=1)
    result = close(MONDAY)
    assert (result.voucher_count, result.entry_count, result.debit_total) == (2, 5, {"CNY": 200})
    assert len(result.seal) == 64
    assert result.findings == ()
    assert result.closed_now


def test_closing_a_closed_day_gives_the_stored_result(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    first = close(MONDAY)
    second = services.close_day(MONDAY)
    assert not second.closed_now
    assert (second.seal, second.voucher_count, second.debit_total) == (
        first.seal,
        first.voucher_count,
        first.debit_total,
    )


def test_the_next_day_opens_with_the_closing_of_the_day_before(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    close(MONDAY)
    book(Event.PAYMENT, A=40)
    close(TUESDAY)
    account = selectors.account_get("2202.01", "merchant", "M-A")
    monday, tuesday = DayBalance.objects.filter(account=account).order_by("day")
    assert (monday.opening, monday.credit, monday.closing) == (0, 100, 100)
    assert (tuesday.opening, tuesday.credit, tuesday.closing) == (100, 40, 140)


def test_an_account_that_did_not_move_is_carried_forward(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    close(MONDAY)
    close(TUESDAY)
    tuesday = DayBalance.objects.filter(day=TUESDAY)
    assert {row.opening for row in tuesday} == {row.closing for row in tuesday} == {100}


def test_accounts_without_balance_and_movement_have_no_row(ledger: dt.date) -> None:
    close(MONDAY)
    assert not DayBalance.objects.exists()


def test_what_was_booked_on_the_next_day_is_not_in_the_closing(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    services.day_cut_off(MONDAY)
    book(Event.PAYMENT, A=40)
    result = services.close_day(MONDAY)
    account = selectors.account_get("2202.01", "merchant", "M-A")
    assert DayBalance.objects.get(day=MONDAY, account=account).closing == 100
    assert account.balance == 140
    assert result.findings == ()


def test_a_stored_balance_that_is_not_the_sum_of_its_entries_is_rebuilt_and_reported(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    account = selectors.account_get("2202.01", "merchant", "M-A")
    Account.objects.filter(pk=account.pk).update(balance=77)
    services.day_cut_off(MONDAY)
    book(Event.PAYMENT, A=40)
    result = services.close_day(MONDAY)
    assert [finding.check for finding in result.findings] == ["stored_balance"]
    assert result.findings[0].context["stored"] == 117
    assert "showed 1.17; its entries make 1.40." in result.findings[0].message
    account.refresh_from_db()
    assert account.balance == 140


def test_a_day_that_opens_with_another_balance_than_the_day_before_closed_with_is_told_in_amounts(book: Book) -> None:
    book(Event.PAYMENT, A=123_456)
    close(MONDAY)
    close(TUESDAY)
    account = selectors.account_get("2202.01", "merchant", "M-A")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE accounts_daybalance SET opening = 0 WHERE day = %s AND account_id = %s", [TUESDAY, account.pk]
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
    (finding,) = check_opening(TUESDAY)
    assert finding.message.endswith("opens with 0.00 but closed the day before with 1,234.56.")


def test_using_customers_money_is_found(book: Book) -> None:
    book(Event.FEE_CARRIED, P=500)
    result = close(MONDAY)
    (finding,) = result.findings
    assert finding.check == "customers_money"
    assert "-5.00 CNY" in finding.message


def test_a_header_without_entries_is_found(book: Book) -> None:
    voucher = day_floor(MONDAY) + 5_000_000
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO accounts_postingkey VALUES (101, 99, %s)", [voucher])
        cursor.execute(
            "INSERT INTO accounts_voucher (id, event, source_kind, source_id, business_date, line_count, rule_version,"
            " memo, posted_at, posted_by) VALUES (%s, 101, 'raw', 99, '2026-11-16', 2, 1, '', now(), '')",
            [voucher],
        )
    result = close(MONDAY)
    assert [finding.check for finding in result.findings] == ["complete_vouchers"]


@pytest.fixture
def check() -> str:
    """A name for a registered check; none of them outlives its test."""
    return "test_check"


def test_checks_of_other_apps_run_with_the_close(ledger: dt.date, check: str) -> None:
    services.register_check(
        check, lambda day: [services.Finding(check, f"seen {day}", FindingLevel.WARNING.value, {"n": 1})]
    )
    result = close(MONDAY)
    (finding,) = result.findings
    assert (finding.message, finding.level, finding.context) == ("seen 2026-11-16", "warning", {"n": 1})
    assert services.close_day(MONDAY).findings == result.findings


def test_a_check_that_breaks_is_a_finding_and_the_day_closes(ledger: dt.date, check: str) -> None:
    def broken(day: dt.date) -> list[services.Finding]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        return []

    services.register_check(check, broken)
    result = close(MONDAY)
    assert [finding.check for finding in result.findings] == [check]
    assert AccountingDay.objects.get(day=MONDAY).state == DayState.CLOSED


# --- the seal ---


def test_each_seal_contains_the_seal_before(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    monday, tuesday = close(MONDAY), close(TUESDAY)
    assert day_seal(TUESDAY, monday.seal, day_digests(TUESDAY)) == tuesday.seal
    assert day_seal(TUESDAY, "", day_digests(TUESDAY)) != tuesday.seal


def test_verifying_finds_nothing_in_untouched_books(book: Book) -> None:
    book(Event.PAYMENT, A=100)
    close(MONDAY)
    book(Event.PAYMENT, A=40)
    close(TUESDAY)
    report = verify.ledger_verify()
    assert report.problems == []
    assert (report.days, report.entries) == (2, 4)


def tamper(statement: str) -> None:
    """What only a superuser can do: switch the guards off."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE accounts_entry_p261116 SET amount = amount + 1 WHERE side = 'D'", "261116"),
        ("UPDATE accounts_daybalance SET closing = closing + 1 WHERE day = '2026-11-16'", "2026-11-16"),
        ("UPDATE accounts_voucher_p261116 SET memo = 'other'", "2026-11-16"),
        ("DELETE FROM accounts_entry_p261116", "261116"),
    ],
)
def test_verifying_names_the_first_thing_that_does_not_fit(book: Book, statement: str, named: str) -> None:
    book(Event.PAYMENT, A=100)
    close(MONDAY)
    close(TUESDAY)
    tamper(statement)
    report = verify.ledger_verify()
    assert report.problems
    assert named in report.problems[0]
