"""The day-end check voucher ↔ source (DOMAIN 4.6)."""

from __future__ import annotations

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.orders.checks import CHECK, check_vouchers
from payops.orders.intake import load as load_module
from tests.orders.conftest import DAY, order, refund, transaction


def test_a_complete_day_has_no_finding(load):
    load(order("1"), refund("2", "1"), order("3", status="unknown"), order("4", status="failed"))
    assert check_vouchers(DAY) == []


def test_a_transaction_without_voucher_is_found(load, monkeypatch):
    monkeypatch.setattr(load_module._Load, "_post", lambda self: None)
    load(order("1"))
    (finding,) = check_vouchers(DAY)
    assert finding.context["missing"] == [{"transaction": str(transaction("1").pk), "event": int(Event.PAYMENT)}]


def test_a_voucher_of_a_transaction_that_does_not_count_is_found(load):
    load(order("1", status="failed"))
    voucher = ledger.post(
        Posting(
            event=Event.PAYMENT, source_kind="transaction", source_id=transaction("1").pk, amounts={"A": 1},
            owners={"merchant": "M-A", "channel": "WECHAT"}, business_date=DAY,
        )
    )  # fmt: skip
    (finding,) = check_vouchers(DAY)
    assert finding.context["vouchers"] == [str(voucher.pk)]


def test_the_close_of_a_day_asks_it(load, monkeypatch):
    monkeypatch.setattr(load_module._Load, "_post", lambda self: None)
    load(order("1"))
    ledger.day_cut_off(DAY)
    assert CHECK in [finding.check for finding in ledger.close_day(DAY).findings]
