"""Lists that grow for years: no page counts or skips what it does not show, and each finds its rows by an index."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from payops.accounts.models import Account
from payops.channels.models import BillFile
from payops.console import lists
from payops.console.filters import TransactionFilter
from payops.orders.models import Transaction
from payops.orders.vouchers import DAYS_AFTER, DAYS_BEFORE
from payops.reconciliation.models import ReconRun
from tests.console.conftest import MON, Books, address, text_of

LONG_AGO = dt.date(2026, 11, 2)
BIG = (
    *("orders_transaction", "channels_billline", "accounts_voucher", "accounts_entry", "core_auditlog"),
    *("reconciliation_openitem", "reconciliation_reconresult", "discrepancies_discrepancy"),
    *("settlement_clearingitem", "settlement_settlementsheet", "settlement_payout"),
)
LISTS: dict[str, Callable[[], str]] = {
    "transactions": lambda: address("transaction_list", day=MON),
    "transactions, failed": lambda: address("transaction_list", day=MON, status="failed"),
    "transactions of a merchant": lambda: address("transaction_list", day=MON, merchant="M00001"),
    "transactions by number": lambda: address("transaction_list", day=MON, number="X"),
    "transactions, deep": lambda: address("transaction_list", day=MON, after=_middle()),
    "vouchers": lambda: address("voucher_list", day=MON),
    "vouchers of a source": lambda: address("voucher_list", day=MON, source_kind="transaction", source_id=1),
    "bill lines": lambda: address("bill_file", BillFile.objects.filter(line_count__gt=0).first().pk),
    "results": lambda: address("run", ReconRun.objects.first().pk),
    "open items": lambda: address("open_item_list"),
    "cases": lambda: address("case_list"),
    "entries": lambda: address("account", Account.objects.filter(owner_kind="channel").first().pk, first=MON, last=MON),
    "clearing items": lambda: address("clearing_item_list"),
    "sheets": lambda: address("sheet_list"),
    "payouts": lambda: address("payout_list"),
    "audit log": lambda: address("audit_list"),
    "audit log of a day": lambda: address("audit_list", date=MON),
    "audit log of an action": lambda: address("audit_list", action="console.downloaded"),
}


def _middle() -> int:
    return Transaction.objects.for_days(MON).filter(own_date=MON).order_by("id")[20].pk


def asked(books: Books, url: str) -> list[str]:
    """What the page asks of the big tables."""
    client = books.client("carol")
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    statements = [query["sql"] for query in queries if any(f'"{table}' in query["sql"] for table in BIG)]
    return [statement for statement in statements if statement.startswith("SELECT")]


def plan_of(statement: str) -> list[dict[str, Any]]:
    """The nodes of the plan, when reading a table through is the last thing to be thought of."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (FORMAT json) {statement}")
        (plan,) = cursor.fetchone()
        cursor.execute("SET LOCAL enable_seqscan = on")
    return list(_nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


@pytest.mark.parametrize("name", LISTS)
def test_no_page_skips_rows_by_offset(books: Books, name: str) -> None:
    statements = asked(books, LISTS[name]())
    assert statements
    assert not [each for each in statements if re.search(r"\bOFFSET\b", each)]


@pytest.mark.parametrize("name", LISTS)
def test_every_page_finds_its_rows_by_an_index(books: Books, name: str) -> None:
    for statement in asked(books, LISTS[name]()):
        read_through = {node["Relation Name"] for node in plan_of(statement) if node["Node Type"] == "Seq Scan"}
        assert not [table for table in read_through if table.startswith(BIG)], statement


@pytest.mark.parametrize("name", [name for name in LISTS if name.startswith("transactions")])
def test_a_day_of_transactions_touches_the_days_around_it_only(books: Books, name: str) -> None:
    for statement in asked(books, LISTS[name]()):
        touched = {node.get("Relation Name", "") for node in plan_of(statement)}
        days = [table for table in touched if table.startswith("orders_transaction_p")]
        assert len(days) <= DAYS_BEFORE + DAYS_AFTER + 1


@pytest.mark.parametrize("name", ["vouchers", "vouchers of a source", "bill lines", "entries"])
def test_a_day_of_anything_else_touches_that_day_only(books: Books, name: str) -> None:
    for statement in asked(books, LISTS[name]()):
        for table in ("accounts_voucher_p", "accounts_entry_p", "channels_billline_p"):
            touched = {node.get("Relation Name", "") for node in plan_of(statement)}
            assert len([each for each in touched if each.startswith(table)]) <= 1, statement


# --- figures of what is too many to count -----------------------------------------------------------------------------


def test_a_small_list_is_counted_and_added_up(books: Books) -> None:
    text = text_of(books.client("alice").get(address("transaction_list", day=MON)))
    assert "In (CNY)" in text
    assert "about" not in text


def test_a_big_list_is_estimated_until_its_totals_are_asked_for(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "EXACT_ROWS", -1)
    client = books.client("alice")
    text = text_of(client.get(address("transaction_list", day=MON)))
    assert "about" in text
    assert "In (CNY)" not in text
    assert "totals=1" in text
    assert "In (CNY)" in text_of(client.get(address("transaction_list", day=MON, totals=1)))


def test_an_estimate_reads_no_row(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "EXACT_ROWS", -1)
    statements = asked(books, address("transaction_list", day=MON))
    assert not [each for each in statements if "COUNT(" in each or "SUM(" in each]


@pytest.mark.parametrize(("estimate", "shown"), [(999, "999"), (12_345, "12,300"), (979_999, "979,000")])
def test_an_estimate_shows_three_digits(estimate: int, shown: str) -> None:
    assert f"{lists._rounded(estimate):,}" == shown


def test_a_number_finds_a_transaction_by_each_of_its_numbers(books: Books) -> None:
    rows = Transaction.objects.for_days(MON).filter(own_date=MON)
    row = rows.exclude(merchant_order_no="").order_by("id").first()
    for number in (row.transaction_no, row.match_key, row.merchant_order_no):
        found = TransactionFilter({"number": number, "day": MON.isoformat()}, queryset=rows).qs
        assert row in found
