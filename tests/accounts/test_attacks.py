"""Raw SQL by the role the site connects as in production: what it may do is posting, and nothing that undoes a guard.

The role has the rights that deploy/postgres/roles.sql gives, read from that file. `test_guards.py` attacks the same
guards as the owner; here are the ways around them: COPY, partitions, one statement that does several things, temporary
tables that shadow real ones, switching triggers off.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from payops.accounts import selectors, services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.models import Account
from tests.accounts.conftest import MONDAY, Book
from tests.accounts.test_guards import (
    BOTH_TABLES,
    PARTITION,
    VOUCHER,
    account,
    close,
    entries,
    header,
    key,
    refused,
    run,
)

ROLES_FILE = Path(settings.BASE_DIR) / "deploy" / "postgres" / "roles.sql"
ENTRY_COLUMNS = "id, account_id, side, amount, currency, event"
NOT_ALLOWED = "42501"


def rights(what: str) -> str:
    """The rights roles.sql gives the site's role by default on TABLES or SEQUENCES."""
    found = re.search(rf"GRANT ([A-Z, ]+) ON {what} TO payops_app;", ROLES_FILE.read_text(encoding="utf-8"))
    assert found, f"roles.sql grants nothing on {what}"
    return found[1]


@pytest.fixture
def site(ledger: dt.date) -> Iterator[None]:
    """The test goes on as the production role of the site, in a ledger with Monday open."""
    role = f"site_of_{connection.settings_dict['NAME']}"
    run(f'CREATE ROLE "{role}"')
    run(f'GRANT USAGE ON SCHEMA public TO "{role}"')
    run(f'GRANT {rights("TABLES")} ON ALL TABLES IN SCHEMA public TO "{role}"')
    run(f'GRANT {rights("SEQUENCES")} ON ALL SEQUENCES IN SCHEMA public TO "{role}"')
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run(f'SET LOCAL ROLE "{role}"')
    yield
    run("RESET ROLE")


@pytest.fixture
def pair(ledger: dt.date) -> tuple[int, int]:
    """Two accounts to book between."""
    return account("300101", "wx"), account("220201", "M-A")


def copy(table: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
    statement = f"COPY {table} ({columns}) FROM STDIN"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)


def copied(pair: tuple[int, int], debit: int, credit: int, *, suffix: str = "", voucher: int = VOUCHER) -> None:
    """Two entries of a voucher by COPY."""
    copy(
        f"accounts_entry{suffix}",
        ENTRY_COLUMNS,
        [(voucher + 1, pair[0], "D", debit, "CNY", 101), (voucher + 2, pair[1], "C", credit, "CNY", 101)],
    )


# --- what the site may do ---


def test_the_site_posts_one_by_one_and_in_bulk(site: None, book: Book) -> None:
    book(Event.PAYMENT, A=700)
    services.post_many([book.posting(Event.PAYMENT, A=n) for n in range(1, 50)])
    assert selectors.balance_of("2202.01", "merchant", "M-A") == 700 + sum(range(1, 50))


def test_the_site_closes_a_day(site: None, book: Book) -> None:
    book(Event.PAYMENT, A=700)
    run("UPDATE accounts_accountingday SET state = 'cut_off' WHERE day = '2026-11-16'")
    assert services.close_day(MONDAY).closed_now


@BOTH_TABLES
def test_the_site_copies_a_balanced_voucher(site: None, pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix)
    copied(pair, 5, 5, suffix=suffix)


# --- unbalanced ---


@BOTH_TABLES
def test_an_unbalanced_voucher_is_not_copied_in(site: None, pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix)
    with refused("PL001"):
        copied(pair, 5, 4, suffix=suffix)


@BOTH_TABLES
def test_half_a_voucher_is_not_copied_in(site: None, pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix)
    with refused("PL002"):
        copy(f"accounts_entry{suffix}", ENTRY_COLUMNS, [(VOUCHER + 1, pair[0], "D", 5, "CNY", 101)])


def test_a_voucher_is_not_split_between_parent_and_partition(site: None, pair: tuple[int, int]) -> None:
    """Each table's guard sees its own half of the one statement, and neither half is a voucher."""
    key()
    header()
    with refused("PL002"):
        run(
            f"WITH half AS (INSERT INTO accounts_entry{PARTITION} ({ENTRY_COLUMNS})"
            " VALUES (%s, %s, 'D', 5, 'CNY', 101))"
            f" INSERT INTO accounts_entry ({ENTRY_COLUMNS}) VALUES (%s, %s, 'C', 4, 'CNY', 101)",
            VOUCHER + 1,
            pair[0],
            VOUCHER + 2,
            pair[1],
        )


def test_key_header_and_entries_in_one_statement_are_checked_together(site: None, pair: tuple[int, int]) -> None:
    statement = (
        "WITH k AS (INSERT INTO accounts_postingkey VALUES (101, 1, %(voucher)s)),"
        " v AS (INSERT INTO accounts_voucher (id, event, source_kind, source_id, business_date, line_count,"
        " rule_version, memo, posted_at, posted_by)"
        " VALUES (%(voucher)s, 101, 'raw', 1, '2026-11-16', 2, 1, '', now(), ''))"
        f" INSERT INTO accounts_entry ({ENTRY_COLUMNS}) VALUES (%(voucher)s + 1, %(debit)s, 'D', 5, 'CNY', 101),"
        " (%(voucher)s + 2, %(credit)s, 'C', {amount}, 'CNY', 101)"
    )
    values = {"voucher": VOUCHER, "debit": pair[0], "credit": pair[1]}
    with refused("PL001"), connection.cursor() as cursor:
        cursor.execute(statement.format(amount=4), values)
    with connection.cursor() as cursor:
        cursor.execute(statement.format(amount=5), values)


def test_a_red_line_balances_nothing_by_itself(site: None, pair: tuple[int, int]) -> None:
    key()
    header()
    with refused("PL001"):
        entries((1, pair[0], "D", -5), (2, pair[1], "C", 5))


# --- changing and removing ---


CHANGES = (
    "UPDATE {table} SET event = 102",
    "UPDATE {table} SET id = id + 1000",
    "DELETE FROM {table}",
    "INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET event = 102",
    "MERGE INTO {table} t USING {table} s ON t.id = s.id WHEN MATCHED THEN DELETE",
    "MERGE INTO {table} t USING {table} s ON t.id = s.id WHEN MATCHED THEN UPDATE SET event = 102",
)


@BOTH_TABLES
@pytest.mark.parametrize("table", ["accounts_voucher", "accounts_entry"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_booked_is_never_changed(site: None, book: Book, change: str, table: str, suffix: str) -> None:
    book(Event.PAYMENT, A=5)
    with refused("23001"):
        run(change.format(table=table + suffix))


@pytest.mark.parametrize(
    "table",
    [
        "accounts_voucher",
        "accounts_entry",
        f"accounts_voucher{PARTITION}",
        f"accounts_entry{PARTITION}",
        "accounts_postingkey",
        "accounts_daybalance",
        "accounts_accountingday",
        "accounts_account",
    ],
)
def test_the_site_empties_no_table(site: None, table: str) -> None:
    with refused(NOT_ALLOWED):
        run(f"TRUNCATE {table} CASCADE")


def test_emptying_the_chart_does_not_take_the_accounts_along(book: Book) -> None:
    """By the owner, who may TRUNCATE: CASCADE reaches the accounts, and their guard."""
    book(Event.PAYMENT, A=5)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"):
        run("TRUNCATE accounts_subject CASCADE")


# --- days, keys, accounts ---


@BOTH_TABLES
def test_nothing_is_copied_into_a_closed_day(ledger: dt.date, pair: tuple[int, int], suffix: str) -> None:
    key()
    header(suffix)
    close(MONDAY)
    with refused("PL006"):
        copied(pair, 5, 5, suffix=suffix)


@BOTH_TABLES
def test_no_header_is_copied_into_a_closed_day(ledger: dt.date, suffix: str) -> None:
    close(MONDAY)
    key()
    with refused("PL006"):
        copy(
            f"accounts_voucher{suffix}",
            "id, event, source_kind, source_id, business_date, line_count, rule_version, memo, posted_at, posted_by",
            [(VOUCHER, 101, "raw", 1, "2026-11-16", 2, 1, "", "2026-11-16 12:00:00+00", "")],
        )


def test_a_second_posting_key_is_not_copied_in(site: None) -> None:
    key()
    with refused("23505"):
        copy("accounts_postingkey", "event, source_id, voucher_id", [(101, 1, VOUCHER + 1000)])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE accounts_postingkey SET source_id = source_id + 1000",
        "DELETE FROM accounts_postingkey",
        "INSERT INTO accounts_postingkey SELECT * FROM accounts_postingkey"
        " ON CONFLICT (event, source_id) DO UPDATE SET source_id = 999",
    ],
)
def test_a_key_is_never_set_free(site: None, book: Book, change: str) -> None:
    book(Event.PAYMENT, A=5)
    with refused("23001"):
        run(change)


@BOTH_TABLES
def test_nothing_is_copied_onto_a_closed_account(ledger: dt.date, pair: tuple[int, int], suffix: str) -> None:
    services.account_status_set(account=Account.objects.get(pk=pair[1]), status=AccountStatus.CLOSED)
    key()
    header(suffix)
    with refused("PL004"):
        copied(pair, 5, 5, suffix=suffix)


def test_a_closed_day_is_not_reopened_in_the_transaction_that_closed_it(ledger: dt.date) -> None:
    close(MONDAY)
    with refused("PL006"):
        run("UPDATE accounts_accountingday SET state = 'cut_off' WHERE day = '2026-11-16'")
    with refused("PL006"):
        run("MERGE INTO accounts_accountingday d USING (SELECT 1) s ON d.day = '2026-11-16' WHEN MATCHED THEN DELETE")


# --- switching guards off ---


OFF = (
    "SET session_replication_role = replica",
    "SET LOCAL session_replication_role = replica",
    "ALTER TABLE accounts_entry DISABLE TRIGGER ALL",
    "ALTER TABLE accounts_entry DISABLE TRIGGER entry_guard",
    f"ALTER TABLE accounts_entry{PARTITION} DISABLE TRIGGER USER",
    f"DROP TRIGGER entry_guard ON accounts_entry{PARTITION}",
    "DROP TRIGGER append_only ON accounts_voucher",
    "ALTER TABLE accounts_account DROP CONSTRAINT account_closed_only_at_zero",
    "ALTER TABLE accounts_postingkey DROP CONSTRAINT accounts_postingkey_pkey",
    f"ALTER TABLE accounts_entry DETACH PARTITION accounts_entry{PARTITION}",
    f"DROP TABLE accounts_entry{PARTITION}",
    "CREATE TABLE public.accounts_mine (id bigint)",
    "CREATE RULE quiet AS ON INSERT TO accounts_queuedmovement DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON accounts_entry FOR EACH ROW EXECUTE FUNCTION core_refuse_change()",
    "CREATE OR REPLACE FUNCTION accounts_require_open_days(p_codes integer[]) RETURNS void LANGUAGE sql AS 'SELECT'",
    "CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "DROP FUNCTION accounts_entry_guard CASCADE",
    "ALTER FUNCTION accounts_entry_guard SET search_path = pg_temp, public",
    "ALTER TABLE accounts_entry OWNER TO CURRENT_USER",
)


@pytest.mark.parametrize("statement", OFF)
def test_the_site_switches_no_guard_off(site: None, statement: str) -> None:
    with refused(NOT_ALLOWED):
        run(statement)


def test_a_temporary_table_deceives_no_guard_about_the_day(site: None, book: Book, pair: tuple[int, int]) -> None:
    run("UPDATE accounts_accountingday SET state = 'cut_off' WHERE day = '2026-11-16'")
    services.close_day(MONDAY)
    run("CREATE TEMP TABLE accounts_accountingday AS SELECT day, 'open'::text AS state FROM accounts_accountingday")
    key()
    with refused("PL006"):
        header()


def test_a_temporary_table_deceives_no_guard_about_header_and_account(site: None, pair: tuple[int, int]) -> None:
    run("CREATE TEMP TABLE accounts_account AS SELECT * FROM accounts_account")
    run(f"CREATE TEMP TABLE accounts_voucher AS SELECT {VOUCHER}::bigint AS id, 2 AS line_count, 101 AS event")
    with refused("PL002"):
        run(
            f"INSERT INTO public.accounts_entry ({ENTRY_COLUMNS})"
            " VALUES (%s, %s, 'D', 5, 'CNY', 101), (%s, %s, 'C', 5, 'CNY', 101)",
            VOUCHER + 1,
            pair[0],
            VOUCHER + 2,
            pair[1],
        )


def test_a_temporary_table_is_not_posted_to(site: None, book: Book) -> None:
    run("CREATE TEMP TABLE accounts_entry (LIKE accounts_entry)")
    run("CREATE TEMP TABLE accounts_voucher (LIKE accounts_voucher)")
    services.post(book.posting(Event.PAYMENT, A=5))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM public.accounts_entry")
        assert cursor.fetchone() == (2,)


# --- the rights themselves ---


def test_every_guard_stands_on_every_partition(ledger: dt.date) -> None:
    """Statement triggers are not cloned: a partition without them would take anything."""
    for table, guard in (("accounts_voucher", "voucher_guard"), ("accounts_entry", "entry_guard")):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT i.inhrelid::regclass::text, array_agg(t.tgname::text) FROM pg_inherits i"
                " LEFT JOIN pg_trigger t ON t.tgrelid = i.inhrelid AND t.tgenabled = 'O'"
                " WHERE i.inhparent = %s::regclass GROUP BY 1",
                [table],
            )
            found = cursor.fetchall()
        assert found
        for partition, triggers in found:
            assert {guard, "append_only", "no_truncate"} <= set(triggers), partition


def test_the_site_owns_nothing_and_is_no_superuser() -> None:
    text = re.sub(r"--.*", "", ROLES_FILE.read_text(encoding="utf-8"))
    assert not re.search(r"SUPERUSER|BYPASSRLS|OWNER payops_app|GRANT payops_owner|REPLICATION", text)
    assert "TRUNCATE" not in rights("TABLES")
    assert "TRIGGER" not in rights("TABLES")
    assert not re.search(r"GRANT [^;]*CREATE[^;]* TO payops_app", text)
