"""A small institution for the tests of orders: one WeChat and one Alipay contract, merchants M-A and M-B."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from payops.accounts import services as ledger
from payops.channels.models import BankAccount, Channel, ChannelContract
from payops.core.institution import institution_update
from payops.fees.models import FeePackage, FeeRule
from payops.merchants.models import Customer, Merchant, MerchantProduct
from payops.orders.models import Intake, Transaction
from payops.orders.services import transactions_load

DAY = dt.date(2026, 11, 20)


@dataclass
class World:
    """What the tests refer to."""

    wechat: ChannelContract
    alipay: ChannelContract
    a: Merchant
    b: Merchant


def _package(code: str, rate: str, **extra: Any) -> FeePackage:
    package = FeePackage.objects.create(code=code, name=code)
    FeeRule.objects.create(
        package=package, components=[{"name": "fee", "rate": rate}], effective_from=dt.date(2026, 1, 1), **extra
    )
    return package


def _merchant(number: str, package: FeePackage) -> Merchant:
    customer = Customer.objects.create(
        customer_no=f"C-{number}", name=number, certificate_no=number, certificate_index=number
    )
    merchant = Merchant.objects.create(merchant_no=number, customer=customer, name=number)
    MerchantProduct.objects.create(merchant=merchant, product="qr", package=package, effective_from=dt.date(2026, 1, 1))
    ledger.open_merchant_accounts(number)
    return merchant


def _contract(code: str, reserve: BankAccount, **fields: Any) -> ChannelContract:
    channel = Channel.objects.create(code=code.lower(), name=code)
    contract = ChannelContract.objects.create(
        channel=channel, code=code, cut_off=dt.time(0, 0), reserve_account=reserve, **fields
    )
    ledger.open_channel_accounts(code)
    return contract


def build_world() -> World:
    """Everything but the accounting day."""
    institution_update(name="Test", own_cut_off=dt.time(0, 0))
    ledger.ledger_setup()
    reserve = BankAccount.objects.create(code="RSV", bank_name="Bank", account_no="6222", kind="reserve")
    ledger.open_bank_account("RSV", "reserve")
    cost = _package("COST", "0.002")
    fee = _package("STD", "0.006")
    return World(
        wechat=_contract(
            "WECHAT", reserve, account_no="1699999901", bill_format="wechat_trade", refund_date="acceptance",
            cost_package=cost,
        ),
        alipay=_contract("ALIPAY", reserve, account_no="20889900112233440156", bill_format="alipay_trade"),
        a=_merchant("M-A", fee),
        b=_merchant("M-B", fee),
    )  # fmt: skip


@pytest.fixture
def world(db: None) -> World:
    """The institution on its first open day."""
    made = build_world()
    ledger.day_open(DAY)
    return made


def order(number: str, **changes: Any) -> dict[str, Any]:
    """A paid QR order of M-A over WeChat for 100.00, with changes."""
    row = {
        "transaction_no": number,
        "kind": "payment",
        "merchant_no": "M-A",
        "merchant_order_no": f"O-{number}",
        "product": "qr",
        "channel": "wechat",
        "channel_account": "1699999901",
        "channel_request_no": f"R-{number}",
        "channel_trade_no": "",
        "amount": "100.00",
        "currency": "CNY",
        "status": "succeeded",
        "card_type": "",
        "created_at": "2026-11-20T10:00:00",
        "succeeded_at": "2026-11-20T10:00:05",
    }
    row.update(changes)
    if row["status"] != "succeeded" and "succeeded_at" not in changes:
        row["succeeded_at"] = ""
    return row


def refund(number: str, original: str, amount: str = "40.00", **changes: Any) -> dict[str, Any]:
    """A succeeded refund."""
    return order(number, kind="refund", original_transaction_no=original, amount=amount, **changes)


def ndjson(*rows: dict[str, Any]) -> io.BytesIO:
    """Rows as the payment core streams them."""
    return io.BytesIO("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


@pytest.fixture
def load(world: World) -> Callable[..., Intake]:
    """``load(order("1"), …)`` takes rows in."""

    def take(*rows: dict[str, Any]) -> Intake:
        return transactions_load(source=ndjson(*rows), name="orders.ndjson", user="alice")

    return take


def transaction(number: str) -> Transaction:
    """The stored row."""
    return Transaction.objects.for_days(dt.date(2026, 11, 10), dt.date(2026, 11, 21)).get(transaction_no=number)
