"""The internal reconciliation (DOMAIN 7.1): transactions beside their vouchers, per event and merchant."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.orders.ledger_comparison import ledger_comparison
from payops.orders.services import transactions_load
from tests.orders.conftest import DAY, World, build_world, ndjson, order


@pytest.fixture
def sold(db: None) -> World:
    """M-A sold twice, M-B once; all of it is posted."""
    world = build_world()
    ledger.day_open(DAY)
    rows = [order("T1", amount="100.00"), order("T2", amount="250.50"), order("T3", amount="10.00", merchant_no="M-B")]
    assert not transactions_load(source=ndjson(*rows), name="orders.ndjson", user="alice").refused
    ledger.day_cut_off(DAY)
    ledger.close_day(DAY)
    return world


def damaged(statement: str) -> None:
    """What the database would not let anybody do, to see who notices."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")


def test_counts_and_amounts_of_both_sides_stand_per_event_and_merchant(sold: World) -> None:
    found = ledger_comparison(DAY)
    figures = [
        (row.merchant_no, row.own_count, row.own_amount, row.booked_count, row.booked_amount) for row in found.rows
    ]
    assert figures == [("M-A", 2, 35_050, 2, 35_050), ("M-B", 1, 1_000, 1, 1_000)]
    assert {row.event for row in found.rows} == {Event.PAYMENT}
    assert found.agrees


def test_a_transaction_without_its_voucher_is_listed(sold: World) -> None:
    damaged("DELETE FROM accounts_postingkey WHERE source_id = (SELECT max(source_id) FROM accounts_postingkey)")
    (row,) = ledger_comparison(DAY).differing
    assert (row.merchant_no, row.own_amount, row.booked_amount) == ("M-B", 1_000, None)


def test_an_amount_booked_otherwise_is_listed_with_both(sold: World) -> None:
    damaged("UPDATE accounts_entry SET amount = 1001 WHERE amount = 1000 AND id > 0")
    found = ledger_comparison(DAY)
    (row,) = found.differing
    assert (row.own_amount, row.booked_amount) == (1_000, 1_001)
    assert [each.differing for each in found.rows] == [0, 1]


def test_the_command_says_so_as_json_and_by_its_exit_code(sold: World) -> None:
    out = StringIO()
    call_command("internal_check", "--date", DAY.isoformat(), "--json", stdout=out)
    assert json.loads(out.getvalue())["agrees"] is True
    damaged("DELETE FROM accounts_postingkey WHERE source_id = (SELECT max(source_id) FROM accounts_postingkey)")
    with pytest.raises(SystemExit):
        call_command("internal_check", "--date", DAY.isoformat(), stdout=StringIO())
