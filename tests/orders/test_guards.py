"""What the database itself refuses on transactions, attacked with raw SQL (docs/orders.md)."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from payops.accounts import services as ledger
from payops.orders.models import RefundTotal, TransactionKey
from tests.orders.conftest import DAY, order, refund
from tests.orders.conftest import transaction as stored


def attack(statement: str, *parameters) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1",
        "kind = 12",
        "merchant_id = merchant_id + 1",
        "contract_id = contract_id + 1",
        "currency = 'USD'",
        "transaction_no = 'X'",
        "match_key = 'X'",
        "original_id = 1",
        "origin = 'supplement'",
        "fee = 0",
        "own_date = own_date - 1",
        "effective_at = NULL",
        "status = 'failed'",
        "status = 'processing'",
    ],
)
def test_what_a_booked_transaction_is_never_changes(load, change):
    load(order("1"))
    with pytest.raises(DatabaseError):
        attack(f"UPDATE orders_transaction SET {change} WHERE id = %s", stored("1").pk)


@pytest.mark.parametrize("change", ["refund_source = 'settlement'", "refund_source = ''", "collection = 'gross'"])
def test_a_refund_keeps_where_its_money_came_from(load, change):
    load(order("1"), refund("2", "1", status="processing"))
    with pytest.raises(DatabaseError, match="keeps its refund source"):
        attack(f"UPDATE orders_transaction SET {change} WHERE id = %s", stored("2").pk)


def test_a_status_never_goes_backward(load):
    load(order("1", status="unknown"))
    with pytest.raises(DatabaseError):
        attack("UPDATE orders_transaction SET status = 'processing' WHERE id = %s", stored("1").pk)


def test_a_failed_order_comes_back_only_on_the_open_day(load):
    load(order("1", status="failed"))
    pk = stored("1").pk
    with pytest.raises(DatabaseError):
        attack("UPDATE orders_transaction SET status = 'succeeded' WHERE id = %s", pk)
    with pytest.raises(DatabaseError):
        attack(
            "UPDATE orders_transaction SET status = 'succeeded', effective_at = now(), own_date = '2026-11-19'"
            " WHERE id = %s",
            pk,
        )
    attack(
        "UPDATE orders_transaction SET status = 'succeeded', effective_at = now(), own_date = '2026-11-20'"
        " WHERE id = %s",
        pk,
    )


TWIN = """
INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object(
    'id', t.id + 1, 'transaction_no', 'late', 'match_key', 'late', 'own_date', %s::text
))).* FROM orders_transaction t WHERE id = %s
"""


@pytest.mark.parametrize("table", ["orders_transaction", "orders_transaction_p261120"])
def test_a_closed_day_takes_no_more_transactions(load, table):
    load(order("1"))
    pk = stored("1").pk
    ledger.day_cut_off(DAY)
    ledger.close_day(DAY)
    with pytest.raises(DatabaseError, match="closed and takes no more transactions"):
        attack(TWIN.format(table=table), "2026-11-20", pk)
    # What comes late counts on the open day, and a day that is not yet open waits for its rows.
    attack(TWIN.format(table=table), "2026-11-21", pk)


@pytest.mark.parametrize("table", ["orders_transaction", "orders_transaction_p261120"])
def test_transactions_are_never_removed(load, table):
    load(order("1"))
    with pytest.raises(DatabaseError):
        attack(f"DELETE FROM {table} WHERE id = %s", stored("1").pk)
    with pytest.raises(DatabaseError):
        attack(f"TRUNCATE {table}")


def test_a_transaction_number_is_never_given_away(load):
    load(order("1"))
    for statement in (
        "UPDATE orders_transactionkey SET transaction_id = 1",
        "DELETE FROM orders_transactionkey",
        "TRUNCATE orders_transactionkey",
    ):
        with pytest.raises(DatabaseError):
            attack(statement)
    with pytest.raises(DatabaseError), transaction.atomic():
        TransactionKey.objects.create(transaction_no="1", transaction_id=2)


def test_refunds_above_the_paid_amount_are_impossible(load):
    load(order("1"), refund("2", "1"))
    with pytest.raises(DatabaseError), transaction.atomic():
        RefundTotal.objects.update(refunded=10_001)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders_refundtotal",
        "TRUNCATE orders_refundtotal",
        "UPDATE orders_refundtotal SET paid = paid + 1",
        "UPDATE orders_refundtotal SET original_id = 1",
    ],
)
def test_what_was_refunded_is_never_forgotten(load, statement):
    load(order("1"), refund("2", "1"))
    with pytest.raises(DatabaseError, match="refused"):
        attack(statement)


def test_a_negative_amount_is_impossible(load):
    load(order("1"))
    with pytest.raises(DatabaseError):
        attack(
            'INSERT INTO orders_transaction SELECT (jsonb_populate_record(t, \'{"id": 261120000000000999, '
            '"amount": -1}\')).* FROM orders_transaction t WHERE id = %s',
            stored("1").pk,
        )
