"""What the sample world consists of: its contracts, its rows, and which day a moment belongs to on either side."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import chinese_calendar

from payops.fees.engine import Component, compile_components

BEIJING: Final = dt.timezone(dt.timedelta(hours=8))
OWN_CUT_OFF: Final = dt.time(23, 0)
MARGIN: Final = dt.timedelta(minutes=10)
RESERVE_ACCOUNT: Final = "0200001009014400001"
OWN_ACCOUNT: Final = "0200001009014400002"
FEE_TOLERANCE: Final = 5
"""Minor units a line's channel fee may differ; contracts of the sample all have the same."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much to make, from which seed and for which days."""

    seed: int = 20261113
    merchants: int = 200
    transactions: int = 20_000
    first: dt.date = dt.date(2026, 11, 13)
    last: dt.date = dt.date(2026, 11, 17)

    @property
    def days(self) -> list[dt.date]:
        return [self.first + dt.timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class Contract:
    """One channel contract of the sample; `cut_off` None is midnight. `share` is its part of the traffic in percent."""

    code: str
    name: str
    name_zh: str
    letter: str
    account_no: str
    bill_format: str
    cut_off: dt.time | None
    refund_by_acceptance: bool
    products: tuple[str, ...]
    card_types: tuple[str, ...]
    costs: dict[str, tuple[Component, ...]]
    share: int
    discounts: bool = False
    voids: bool = False
    memo: str = ""

    def channel_date(self, at: dt.datetime) -> dt.date:
        """The channel's accounting date of a moment."""
        return _logical_day(at, self.cut_off)

    def cut_off_at(self, day: dt.date) -> dt.datetime:
        """The moment the channel's day ends."""
        if self.cut_off is None:
            return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(0), BEIJING)
        return dt.datetime.combine(day, self.cut_off, BEIJING)

    def cost_function(self, card_type: str) -> Callable[[int], int]:
        """Amount → what the channel charges, minor units."""
        return compile_components(self.costs[card_type])


def _rate(value: str, **bounds: int) -> Component:
    return Component(rate=Decimal(value), **bounds)


CONTRACTS: Final[tuple[Contract, ...]] = (
    Contract(
        code="WECHAT",
        name="WeChat Pay",
        name_zh="微信支付",
        letter="W",
        account_no="1699999901",
        bill_format="wechat_trade",
        cut_off=None,
        refund_by_acceptance=True,
        products=("jsapi", "native"),
        card_types=("",),
        costs={"": (_rate("0.0020"),)},
        share=45,
        discounts=True,
        memo="WeChat Pay clearing",
    ),
    Contract(
        code="ALIPAY",
        name="Alipay",
        name_zh="支付宝",
        letter="A",
        account_no="20889900112233440156",
        bill_format="alipay_trade",
        cut_off=None,
        refund_by_acceptance=False,
        products=("qr",),
        card_types=("",),
        costs={"": (_rate("0.0018"),)},
        share=35,
        discounts=True,
        memo="Alipay clearing",
    ),
    Contract(
        code="UNIONPAY",
        name="UnionPay",
        name_zh="银联",
        letter="U",
        account_no="777290058999901",
        bill_format="unionpay_zm",
        cut_off=dt.time(23, 0),
        refund_by_acceptance=False,
        products=("card",),
        card_types=("debit", "credit"),
        costs={
            "debit": (_rate("0.0035", maximum=1300), _rate("0.000325", maximum=325)),
            "credit": (_rate("0.0045"), _rate("0.000325", maximum=325)),
        },
        share=20,
        voids=True,
        memo="China UnionPay clearing",
    ),
)
BY_CODE: Final = {contract.code: contract for contract in CONTRACTS}


@dataclass(slots=True)
class Order:
    """One row of the order file: what the payment core tells about a movement. Amounts are minor units."""

    contract: Contract
    transaction_no: str
    kind: str
    request_no: str
    merchant: int
    product: str
    amount: int
    created_at: dt.datetime
    succeeded_at: dt.datetime | None
    status: str = "succeeded"
    trade_no: str = ""
    card_type: str = ""
    payer: str = ""
    original_no: str = ""
    merchant_order_no: str = ""

    @property
    def counted_at(self) -> dt.datetime:
        """The moment that decides the own day: acceptance or completion, as the contract says."""
        if self.succeeded_at is None or (self.kind == "refund" and self.contract.refund_by_acceptance):
            return self.created_at
        return self.succeeded_at


@dataclass(slots=True)
class BillRow:
    """One row of a channel's bill. `discount` is what the merchant funded; `fee` is positive when we pay it.

    A refund or void carries the original's order and trade number beside its own `request_no` and `refund_no`.
    """

    contract: Contract
    kind: str
    order_no: str
    trade_no: str
    amount: int
    fee: int
    created_at: dt.datetime
    occurred_at: dt.datetime
    discount: int = 0
    request_no: str = ""
    refund_no: str = ""
    original_at: dt.datetime | None = None
    currency: str = "CNY"
    card_type: str = ""
    payer: str = ""
    merchant: int = 0
    product: str = ""
    pending: bool = False

    @property
    def settled(self) -> int:
        """What the row adds to the channel's settlement, minor units, signed."""
        gross = self.amount - self.discount
        return (gross if self.kind == "payment" else -gross) - self.fee

    @property
    def key(self) -> str:
        """The matching key: our own number of the movement."""
        return self.request_no or self.order_no


@dataclass(slots=True)
class Book:
    """Rows by the day they will be written for: orders by own date, bills by contract and channel date."""

    orders: dict[dt.date, list[Order]] = field(default_factory=dict)
    bills: dict[tuple[str, dt.date], list[BillRow]] = field(default_factory=dict)

    def add_order(self, order: Order, day: dt.date | None = None) -> None:
        self.orders.setdefault(day or own_date(order.counted_at), []).append(order)

    def add_row(self, row: BillRow, day: dt.date | None = None) -> None:
        when = day or row.contract.channel_date(row.occurred_at)
        self.bills.setdefault((row.contract.code, when), []).append(row)


def own_date(at: dt.datetime) -> dt.date:
    """The institution's own accounting date of a moment."""
    return _logical_day(at, OWN_CUT_OFF)


def _logical_day(at: dt.datetime, cut_off: dt.time | None) -> dt.date:
    if cut_off is None or at.timetz().replace(tzinfo=None) < cut_off:
        return at.date()
    return at.date() + dt.timedelta(days=1)


def working_day_after(day: dt.date, count: int = 1) -> dt.date:
    """The count-th working day after `day` by the published Chinese calendar."""
    while count:
        day += dt.timedelta(days=1)
        if chinese_calendar.is_workday(day):
            count -= 1
    return day


def merchant_no(number: int) -> str:
    return f"M{number:05d}"
