"""Intake of the payment core's transactions (FORMATS 8)."""

from __future__ import annotations

from tests.orders.conftest import order, refund, transaction

from payops.accounts.selectors import balance_of
from payops.orders.services import post_missing
from tests.orders.conftest import DAY


def test_a_payment_is_stored_priced_and_booked(load):
    intake = load(order("1"))
    assert intake.state == "loaded", intake.refused
    row = transaction("1")
    assert (row.amount, row.fee, row.expected_cost, row.own_date) == (10_000, 60, 20, DAY)
    assert intake.vouchers == 1
    assert balance_of("2202.01", "merchant", "M-A") == 10_000
    assert balance_of("3001.01", "channel", "WECHAT") == 10_000


def test_loading_the_same_file_again_changes_nothing(load):
    load(order("1"), refund("2", "1"))
    again = load(order("1"), refund("2", "1"))
    assert (again.created, again.updated, again.unchanged, again.vouchers) == (0, 0, 2, 0)
    assert post_missing(DAY) == {"total": 0}
