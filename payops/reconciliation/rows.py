"""The two sides of a comparison as small records, read by id once the join has said which ones matter."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice

from payops.channels.models import BillLine, ChannelContract
from payops.orders.choices import Kind, Status
from payops.orders.models import Transaction

FETCH_STEP = 5000
REVERSE_KINDS = (Kind.REFUND, Kind.VOID)
BILL_REVERSAL = 4


def sign_of(kind: int) -> int:
    """+1 brings money, −1 takes it back."""
    return -1 if kind in REVERSE_KINDS else 1


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A transaction of ours. `value` is what it put on channel pending clearing: ±amount, 0 while it does not count.

    `original_key` and `original_trade_no` are the numbers of the payment a refund or void takes back.
    """

    id: int
    transaction_no: str
    key: str
    kind: int
    status: str
    amount: int
    currency: str
    expected_cost: int
    merchant_id: int
    merchant_no: str
    merchant_status: str
    own_date: date
    counts: bool
    at: datetime
    trade_no: str
    original_id: int | None
    order_no: str
    origin: str
    original_key: str = ""
    original_trade_no: str = ""

    @property
    def sign(self) -> int:
        """+1 brings money, −1 takes it back."""
        return sign_of(self.kind)

    @property
    def name(self) -> str:
        """What it is called whatever file or day it stands in."""
        return str(self.id)

    @property
    def value(self) -> int:
        """What it put on channel pending clearing, minor units."""
        return self.sign * self.amount if self.counts else 0

    def evidence(self) -> dict:
        """What a case shows of it."""
        return {
            "id": str(self.id),
            "transaction_no": self.transaction_no,
            "match_key": self.key,
            "kind": self.kind,
            "status": self.status,
            "amount": self.amount,
            "currency": self.currency,
            "merchant_no": self.merchant_no,
            "own_date": self.own_date.isoformat(),
            "occurred_at": self.at.isoformat(),
            "channel_trade_no": self.trade_no,
            "expected_cost": self.expected_cost,
        }


@dataclass(frozen=True, slots=True)
class LineRow:
    """A bill line. `value` is what it takes from channel pending clearing: S + K where netted, S where billed."""

    id: int
    key: str
    kind: int
    amount: int
    settled: int
    fee: int
    currency: str
    at: datetime
    trade_no: str
    order_no: str
    request_no: str
    status: str
    value: int
    original_trade_no: str = ""

    @property
    def sign(self) -> int:
        """+1 brings money, −1 takes it back."""
        return sign_of(self.kind)

    @property
    def name(self) -> str:
        """What it is called in every version of its bill, whose lines have numbers of their own."""
        return f"{self.key}|{self.kind}|{self.trade_no}"

    @property
    def discount(self) -> int:
        """X = gross − value: merchant-funded discount or a split taken at the channel, minor units."""
        return self.sign * self.amount - self.value

    def evidence(self) -> dict:
        """What a case shows of it."""
        return {
            "id": str(self.id),
            "kind": self.kind,
            "status": self.status,
            "amount": self.amount,
            "settled_amount": self.settled,
            "fee": self.fee,
            "currency": self.currency,
            "match_key": self.key,
            "occurred_at": self.at.isoformat(),
            "channel_trade_no": self.trade_no,
            "merchant_order_no": self.order_no,
            "request_no": self.request_no,
        }


def _batches(ids: Iterable[int]) -> Iterator[list[int]]:
    source = iter(ids)
    while batch := list(islice(source, FETCH_STEP)):
        yield batch


def own_rows_of(ids: Iterable[int]) -> dict[int, OwnRow]:
    """The transactions with these ids."""
    found = {}
    for batch in _batches(ids):
        rows = list(Transaction.objects.filter(id__in=batch).select_related("merchant"))
        originals = {row.original_id for row in rows if row.original_id}
        numbers = {}
        if originals:
            paid = Transaction.objects.filter(id__in=originals)
            numbers = {pk: (key, trade) for pk, key, trade in paid.values_list("pk", "match_key", "channel_trade_no")}
        for row in rows:
            found[row.pk] = own_row(row, numbers.get(row.original_id, ("", "")))
    return found


def own_row(row: Transaction, original: tuple[str, str] = ("", "")) -> OwnRow:
    """One transaction as a record; its merchant should be selected along. `original`: key and trade number of it."""
    return OwnRow(
        id=row.pk,
        transaction_no=row.transaction_no,
        key=row.match_key,
        kind=row.kind,
        status=Status(row.status).value,
        amount=row.amount,
        currency=row.currency,
        expected_cost=row.expected_cost,
        merchant_id=row.merchant_id,
        merchant_no=row.merchant.merchant_no,
        merchant_status=row.merchant.status,
        own_date=row.own_date,
        counts=row.effective_at is not None,
        at=row.effective_at or row.created_at,
        trade_no=row.channel_trade_no,
        original_id=row.original_id,
        order_no=row.merchant_order_no,
        origin=row.origin,
        original_key=original[0],
        original_trade_no=original[1],
    )


def line_rows_of(ids: Iterable[int], contract: ChannelContract) -> dict[int, LineRow]:
    """The bill lines with these ids."""
    found = {}
    netted = contract.cost_mode == "netted"
    for batch in _batches(ids):
        for row in BillLine.objects.filter(id__in=batch):
            kind = Kind.VOID.value if row.kind == BILL_REVERSAL else row.kind
            found[row.pk] = LineRow(
                id=row.pk,
                key=row.match_key,
                kind=kind,
                amount=row.amount,
                settled=row.settled_amount,
                fee=row.fee,
                currency=row.currency,
                at=row.occurred_at,
                trade_no=row.trade_no,
                order_no=row.order_no or "",
                request_no=row.request_no or "",
                status=row.status,
                value=row.settled_amount + (row.fee if netted else 0),
                original_trade_no=row.original_trade_no or "",
            )
    return found
