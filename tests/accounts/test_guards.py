"""Raw SQL against the ledger: what PostgreSQL itself refuses, on the parents and on the partitions alike."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction

from payops import accounts
from payops.accounts import services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.errors import GUARDS
from payops.accounts.models import Account, Freeze
from payops.core.ids import day_floor
from tests.accounts.conftest import MONDAY, TUESDAY, Book

VOUCHER = day_floor(MONDAY) + 900_000_000_000
PARTITION = "_p261116"
BOTH_TABLES = pytest.mark.parametrize("suffix", ["", PARTITION], ids=["parent", "partition"])


@contextmanager
def refused(state: str) -> Iterator[None]:
    """The block ends in a database error with this SQLSTATE."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        yield
    assert caught.value.__cause__.sqlstate == state, caught.value


def run(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def account(subject: str, owner: str) -> int:
    return Account.objects.get(subject__code=subject, owner_no=owner, currency="CNY").pk


def key(voucher: int = VOUCHER, source: int = 1, event: int = Event.PAYMENT) -> None:
    run("INSERT INTO accounts_postingkey VALUES (%s, %s, %s)", int(event), source, voucher)


def header(
    suffix: str = "", voucher: int = VOUCHER, lines: int = 2, source: int = 1, event: int = Event.PAYMENT
) -> None:
    run(
        f"INSERT INTO accounts_voucher{suffix} (id, event, source_kind, source_id, business_date, line_count,"
        " rule_version, memo, posted_at, posted_by) VALUES (%s, %s, 'raw', %s, '2026-11-16', %s, 1, '', now(), '')",
        voucher,
        int(event),
        source,
        lines,
    )


def entries(
    *rows: tuple[int, int, str, int], suffix: str = "", voucher: int = VOUCHER, currency: str = "CNY", event: int = 101
) -> None:
    """Rows of line number, account, side, amount; all in one statement."""
    values = ", ".join(
        f"({voucher + line}, {acc}, '{side}', {amount}, '{currency}', {event})" for line, acc, side, amount in rows
    )
    run(f"INSERT INTO accounts_entry{suffix} (id, account_id, side, amount, currency, event) VALUES {values}")


@pytest.fixture
def pair(ledger: dt.date) -> tuple[int, int]:
    """Two accounts to book between."""
    return account("300101", "wx"), account("220201", "M-A")


# --- what is right goes in ---


@BOTH_TABLES
def test_a_complete_balanced_voucher_is_accepted(pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix)
    entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), suffix=suffix)


# --- balance and completeness ---


@BOTH_TABLES
def test_an_unbalanced_voucher_is_refused(pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix)
    with refused("PL001"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 4), suffix=suffix)


def test_a_voucher_balanced_only_across_currencies_is_refused(pair: tuple[int, int]) -> None:
    usd = services.account_open(subject_code="220201", owner_kind="merchant", owner_no="M-A", currency="USD")
    key()
    header()
    with refused("PL001"):
        run(
            "INSERT INTO accounts_entry (id, account_id, side, amount, currency, event)"
            " VALUES (%s, %s, 'D', 5, 'CNY', 101), (%s, %s, 'C', 5, 'USD', 101)",
            VOUCHER + 1,
            pair[0],
            VOUCHER + 2,
            usd.pk,
        )


def test_two_unbalanced_vouchers_that_cancel_out_are_refused(pair: tuple[int, int]) -> None:
    for source, voucher in enumerate((VOUCHER, VOUCHER + 1000), start=1):
        key(voucher, source)
        header(voucher=voucher, source=source)
    with refused("PL001"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 4), (1001, pair[0], "D", 5), (1002, pair[1], "C", 6))


@BOTH_TABLES
def test_entries_without_a_header_are_refused(pair: tuple[int, int], suffix: str) -> None:
    with refused("PL002"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), suffix=suffix)


@BOTH_TABLES
def test_entries_fewer_than_the_header_announces_are_refused(pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix, lines=3)
    with refused("PL002"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), suffix=suffix)


def test_a_line_added_to_a_booked_voucher_is_refused(pair: tuple[int, int]) -> None:
    key()
    header()
    entries((1, pair[0], "D", 5), (2, pair[1], "C", 5))
    with refused("PL002"):
        entries((3, pair[0], "D", 0))


def test_lines_that_are_not_numbered_from_one_are_refused(pair: tuple[int, int]) -> None:
    key()
    header()
    with refused("PL002"):
        entries((2, pair[0], "D", 5), (3, pair[1], "C", 5))


def test_a_voucher_in_two_statements_is_refused(pair: tuple[int, int]) -> None:
    key()
    header()
    with refused("PL002"):
        entries((1, pair[0], "D", 5))


def test_entries_of_another_event_than_the_header_are_refused(pair: tuple[int, int]) -> None:
    key()
    header()
    with refused("PL002"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), event=102)


def test_a_side_that_is_neither_debit_nor_credit_is_refused(pair: tuple[int, int]) -> None:
    key()
    header()
    with refused("23514"):
        entries((1, pair[0], "X", 5), (2, pair[1], "C", 5))


def test_a_header_between_the_thousands_is_refused(ledger: dt.date) -> None:
    key(VOUCHER + 7)
    with refused("23514"):
        header(voucher=VOUCHER + 7)


# --- accounts ---


def test_an_account_that_does_not_exist_is_refused(pair: tuple[int, int]) -> None:
    key()
    header()
    with refused("PL003"):
        entries((1, 999_999_999, "D", 5), (2, pair[1], "C", 5))


def test_a_currency_that_is_not_the_accounts_is_refused(pair: tuple[int, int]) -> None:
    key()
    header()
    with refused("PL003"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), currency="USD")


@BOTH_TABLES
def test_a_closed_account_takes_no_entries(pair: tuple[int, int], suffix: str) -> None:
    services.account_status_set(account=Account.objects.get(pk=pair[1]), status=AccountStatus.CLOSED)
    key()
    header(suffix)
    with refused("PL004"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), suffix=suffix)


def test_an_account_under_a_subject_with_sub_subjects_takes_no_entries(pair: tuple[int, int]) -> None:
    # The chart's own guard never lets it come to this.
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("ALTER TABLE accounts_subject DISABLE TRIGGER leaf_guard")
    run("UPDATE accounts_subject SET is_leaf = false WHERE code = '220201'")
    key()
    header()
    with refused("PL003"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5))


def test_an_account_with_a_balance_cannot_be_closed(book: Book) -> None:
    book(Event.PAYMENT, A=5)
    with refused("23514"):
        run("UPDATE accounts_account SET status = 'closed' WHERE account_no = '220201-M-A'")


def test_an_account_cannot_change_owner_or_be_removed(pair: tuple[int, int]) -> None:
    with refused("PL010"):
        run("UPDATE accounts_account SET owner_no = 'M-B2' WHERE id = %s", pair[1])
    with refused("PL010"):
        run("DELETE FROM accounts_account WHERE id = %s", pair[1])


# --- keys ---


def test_a_second_posting_key_is_refused(ledger: dt.date) -> None:
    key()
    with refused("23505"):
        key(VOUCHER + 1000)


@BOTH_TABLES
def test_a_voucher_without_a_posting_key_is_refused(ledger: dt.date, suffix: str) -> None:
    with refused("PL009"):
        header(suffix)


def test_a_voucher_under_the_key_of_another_is_refused(ledger: dt.date) -> None:
    key(VOUCHER + 1000)
    with refused("PL009"):
        header()


@pytest.mark.parametrize("far", [1, 1_000_000], ids=["in a row", "far apart"])
@pytest.mark.parametrize("wrong", ["missing", "another's"])
@BOTH_TABLES
def test_one_of_many_vouchers_without_a_key_of_its_own_is_refused(
    ledger: dt.date, suffix: str, wrong: str, far: int
) -> None:
    """Many at once are compared with their keys in another way than one, and only where their sources lie close."""
    for n in range(5):
        key(VOUCHER + n * 1000, source=1 + n * far)
    if wrong == "another's":
        key(VOUCHER + 9_000, source=1 + 5 * far)
    vouchers = [[VOUCHER + n * 1000, 1 + n * far] for n in range(6)]
    with refused("PL009"):
        run(
            f"INSERT INTO accounts_voucher{suffix} (id, event, source_kind, source_id, business_date, line_count,"
            " rule_version, memo, posted_at, posted_by) SELECT id, %s, 'raw', source, '2026-11-16', 2, 1, '', now(), ''"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS v(id, source)",
            int(Event.PAYMENT),
            *map(list, zip(*vouchers, strict=True)),
        )


@pytest.mark.parametrize(
    "statement",
    ["UPDATE accounts_postingkey SET source_id = 9", "DELETE FROM accounts_postingkey", "TRUNCATE accounts_postingkey"],
)
def test_posting_keys_are_append_only(book: Book, statement: str) -> None:
    book(Event.PAYMENT, A=5)
    with refused("23001"):
        run(statement)


# --- append-only ---


@BOTH_TABLES
@pytest.mark.parametrize("table", ["accounts_voucher", "accounts_entry"])
def test_rows_are_never_updated(book: Book, table: str, suffix: str) -> None:
    book(Event.PAYMENT, A=5)
    with refused("23001"):
        run(f"UPDATE {table}{suffix} SET event = 102")


@BOTH_TABLES
@pytest.mark.parametrize("table", ["accounts_voucher", "accounts_entry"])
def test_rows_are_never_deleted(book: Book, table: str, suffix: str) -> None:
    book(Event.PAYMENT, A=5)
    with refused("23001"):
        run(f"DELETE FROM {table}{suffix}")


@BOTH_TABLES
@pytest.mark.parametrize("table", ["accounts_voucher", "accounts_entry"])
def test_tables_are_never_truncated(book: Book, table: str, suffix: str) -> None:
    book(Event.PAYMENT, A=5)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"):
        run(f"TRUNCATE {table}{suffix}")


# --- days ---


def close(day: dt.date) -> None:
    services.day_cut_off(day)
    services.close_day(day)


@BOTH_TABLES
def test_nothing_is_booked_into_a_closed_day(pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix)
    close(MONDAY)
    with refused("PL006"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), suffix=suffix)
    key(VOUCHER + 1000, source=2)
    with refused("PL006"):
        header(suffix, voucher=VOUCHER + 1000, source=2)


def test_nothing_is_booked_into_a_day_never_opened(pair: tuple[int, int]) -> None:
    voucher = day_floor(dt.date(2026, 11, 18)) + 1000
    key(voucher)
    with refused("PL005"):
        header(voucher=voucher)


def test_a_closed_day_is_not_reopened_changed_or_removed(ledger: dt.date) -> None:
    close(MONDAY)
    for statement in (
        "UPDATE accounts_accountingday SET state = 'open' WHERE day = '2026-11-16'",
        "UPDATE accounts_accountingday SET seal = repeat('0', 64) WHERE day = '2026-11-16'",
        "DELETE FROM accounts_accountingday WHERE day = '2026-11-16'",
    ):
        with refused("PL006"):
            run(statement)


def test_a_day_goes_through_its_states_in_order(ledger: dt.date) -> None:
    with refused("PL007"):
        run("UPDATE accounts_accountingday SET state = 'closed', seal = repeat('0', 64) WHERE day = '2026-11-16'")
    services.day_cut_off(MONDAY)
    with refused("PL007"):
        run("UPDATE accounts_accountingday SET state = 'open' WHERE day = '2026-11-16'")
    with refused("PL007"):
        run("UPDATE accounts_accountingday SET state = 'closed' WHERE day = '2026-11-16'")


def test_a_day_is_never_inserted_before_another_or_closed(ledger: dt.date) -> None:
    with refused("PL007"):
        run("INSERT INTO accounts_accountingday (day, state, opened_at, seal) VALUES ('2026-11-15', 'open', now(), '')")
    with refused("PL007"):
        run(
            "INSERT INTO accounts_accountingday (day, state, opened_at, seal)"
            " VALUES ('2026-11-18', 'closed', now(), '')"
        )


def test_only_one_day_is_open(ledger: dt.date) -> None:
    with refused("23505"):
        run("INSERT INTO accounts_accountingday (day, state, opened_at, seal) VALUES ('2026-11-17', 'open', now(), '')")


def test_balances_and_findings_of_a_closed_day_stay_as_they_are(book: Book) -> None:
    book(Event.PAYMENT, A=5)
    close(MONDAY)
    with refused("23001"):
        run("UPDATE accounts_daybalance SET closing = 0")
    with refused("23001"):
        run("DELETE FROM accounts_daybalance")
    other = account("220201", "M-B")
    with refused("PL006"):
        run("INSERT INTO accounts_daybalance VALUES ('2026-11-16', 0, 0, 0, 0, %s)", other)
    with refused("PL006"):
        run(
            "INSERT INTO accounts_dayfinding (day_id, check_name, level, message, context, found_at)"
            " VALUES ('2026-11-16', 'x', 'info', '', '{}', now())"
        )


def test_a_posting_rule_that_was_used_never_changes(ledger: dt.date) -> None:
    with refused("PL010"):
        run("UPDATE accounts_postingrule SET lines = '[]' WHERE event = 101")
    with refused("PL010"):
        run("DELETE FROM accounts_postingrule WHERE event = 101")


def test_a_rule_never_begins_on_a_day_that_has_begun(ledger: dt.date) -> None:
    statement = (
        "INSERT INTO accounts_postingrule"
        " (event, version, effective_day, lines, summary, state, created_by, created_at)"
        " SELECT event, version + 1, %s, lines, summary, state, '', now() FROM accounts_postingrule WHERE event = 101"
    )
    with refused("PL010"):
        run(statement, MONDAY)
    run(statement, TUESDAY)


def test_posting_rules_are_never_emptied(ledger: dt.date) -> None:
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"):
        run("TRUNCATE accounts_postingrule")


@pytest.mark.parametrize("change", ["normal_side = 'D'", "element = 'asset'", "code = '220299'"])
def test_a_subject_with_accounts_keeps_its_meaning(ledger: dt.date, change: str) -> None:
    with refused("PL010"):
        run(f"UPDATE accounts_subject SET {change} WHERE code = '220201'")


def test_an_owner_has_one_account_of_a_subject_and_currency(ledger: dt.date) -> None:
    with refused("23505"):
        run(
            "INSERT INTO accounts_account (account_no, subject_id, currency, owner_kind, owner_no,"
            " status, balance, frozen, opened_at) SELECT 'X', subject_id, currency, owner_kind, owner_no,"
            " status, 0, 0, now() FROM accounts_account WHERE account_no = '220201-M-A'"
        )


@pytest.mark.parametrize(
    "change", ["amount = amount + 1", "remaining = remaining + 1", "account_id = account_id + 1", "reason = 'other'"]
)
def test_a_freeze_is_only_released(ledger: dt.date, change: str) -> None:
    services.freeze_place(
        account=Account.objects.get(account_no="220202-M-A"),
        amount=100,
        reason="court order",
        source_kind="court",
        source_id="1",
        created_by="bob",
    )
    services.freeze_release(freeze=Freeze.objects.get(), amount=40)
    with refused("PL010"):
        run(f"UPDATE accounts_freeze SET {change}")
    with refused("PL010"):
        run("DELETE FROM accounts_freeze")
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"):
        run("TRUNCATE accounts_freeze CASCADE")


@pytest.mark.parametrize("table", ["accounts_account", "accounts_accountingday", "accounts_daybalance"])
def test_accounts_days_and_balances_are_never_emptied(book: Book, table: str) -> None:
    book(Event.PAYMENT, A=5)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"):
        run(f"TRUNCATE {table} CASCADE")


def test_partitions_made_later_carry_the_same_guards(pair: tuple[int, int]) -> None:
    close(MONDAY)
    voucher = day_floor(TUESDAY) + 1000
    key(voucher)
    header("_p261117", voucher=voucher)
    with refused("PL001"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 4), suffix="_p261117", voucher=voucher)


def test_whatever_the_guards_raise_is_told_in_a_sentence() -> None:
    raised = {
        code
        for source in Path(accounts.__file__).parent.glob("*guards*.py")
        for code in re.findall(r"ERRCODE = '(PL\d+)'", source.read_text(encoding="utf-8"))
    }
    assert raised
    assert raised <= GUARDS.keys()


def test_the_guard_of_vouchers_looks_their_keys_up_and_never_scans_all_keys(book: Book) -> None:
    """A session keeps its plan: one made while there were few keys would still be used when there are millions."""

    def scans() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'accounts_postingkey'")
            return cursor.fetchone()[0]

    before = scans()
    book(Event.PAYMENT, A=100)
    services.post_many([book.posting(Event.PAYMENT, A=100) for _ in range(5)])
    assert scans() == before
