"""The ordinary traffic of the sample days: what both sides agree on, and orders that came to nothing.

Works one calendar day at a time and keeps only what later days need (refunds to come), so that a million rows pass
through without being held.
"""

from __future__ import annotations

import datetime as dt
import random
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from payops.dayend.sample.answer import Answers
from payops.dayend.sample.plan import (
    BEIJING,
    CONTRACTS,
    MARGIN,
    OWN_CUT_OFF,
    BillRow,
    Book,
    Contract,
    Options,
    own_date,
)
from payops.dayend.sample.plan import Order as OrderRow
from payops.fees.engine import refund_fee

HOURS: Final = (6, 4, 2, 1, 1, 2, 8, 20, 38, 48, 56, 74, 82, 62, 54, 52, 56, 70, 88, 92, 80, 56, 34, 16)
"""How busy each hour of the day is."""
WEEKDAYS: Final = (95, 92, 94, 98, 112, 128, 118)
"""How busy each day of the week is, Monday first."""
AMOUNTS: Final = (
    (35, 100, 5_000),
    (40, 5_000, 30_000),
    (18, 30_000, 150_000),
    (6, 150_000, 600_000),
    (1, 600_000, 2_000_000),
)
"""Weight and range (minor units) of amounts."""
PAYMENTS_OF_ALL: Final = 95
REFUNDED: Final = 45
VOIDED: Final = 25
FAILED: Final = 30
DISCOUNTED: Final = 40
"""How many per hundred rows are payments; how many per thousand of these are refunded, voided, fail, have a coupon."""
SECOND: Final = dt.timedelta(seconds=1)
DAY: Final = dt.timedelta(days=1)


@dataclass(slots=True)
class Payment:
    """A payment that may be taken back, with what is already taken back of it."""

    order: OrderRow
    row: BillRow
    refunded: int = 0
    returned_fee: int = 0
    returned_discount: int = 0


@dataclass(slots=True)
class Numbers:
    """Gives every movement its numbers: prefix, date and a sequence of its day (DOMAIN 5)."""

    day: dt.date
    next_of: dict[str, int] = field(default_factory=dict)

    def take(self, contract: Contract) -> int:
        number = self.next_of.get(contract.code, 0) + 1
        self.next_of[contract.code] = number
        return number


class Traffic:
    """All natural rows, day by day, into a book."""

    def __init__(self, options: Options, book: Book, answers: Answers) -> None:
        self.options = options
        self.book = book
        self.answers = answers
        self.due: dict[dt.date, list[tuple[dt.datetime, Payment, int]]] = {}
        self.late: dict[dt.date, list[OrderRow]] = {}
        self._merchant_weights = list(accumulate(_merchant_weight(n) for n in range(1, options.merchants + 1)))
        self._costs: dict[tuple[str, str], Callable[[int], int]] = {
            (contract.code, card): contract.cost_function(card)
            for contract in CONTRACTS
            for card in contract.card_types
        }

    def rng(self, *name: object) -> random.Random:
        """A stream of its own for everything with a name, so that one part may change without the others."""
        return random.Random("/".join(map(str, (self.options.seed, *name))))  # noqa: S311 - reproducible, not secret

    def calendar_day(self, day: dt.date, numbers: Numbers) -> None:
        """Everything that happens between 00:00 and 24:00 of `day`."""
        for contract in CONTRACTS:
            rng = self.rng(day, contract.code)
            for at in _moments(day, self._count(day, contract), rng):
                self._payment(contract, at, numbers, rng)
        rng = self.rng(day, "refunds")
        due = sorted(self.due.pop(day, []), key=lambda entry: (entry[0], entry[1].order.request_no))
        for at, payment, amount in due:
            self.refund(payment, at, amount, numbers, late=rng.random() < 0.2)
        for order in self.late.pop(day, []):
            self.book.add_order(order, day)

    def _count(self, day: dt.date, contract: Contract) -> int:
        days = self.options.days
        whole = self.options.transactions * PAYMENTS_OF_ALL // 100 * contract.share // 100
        total = sum(WEEKDAYS[each.weekday()] for each in days)
        before = sum(WEEKDAYS[each.weekday()] for each in days if each < day)
        return whole * (before + WEEKDAYS[day.weekday()]) // total - whole * before // total

    # -- payments ----------------------------------------------------------------------------------------------------

    def _payment(self, contract: Contract, at: dt.datetime, numbers: Numbers, rng: random.Random) -> None:
        merchant = bisect(self._merchant_weights, rng.randrange(self._merchant_weights[-1])) + 1
        amount = _amount(rng)
        discount = 0
        if contract.discounts and amount > 3_000 and rng.randrange(1000) < DISCOUNTED:
            discount = min(2_000, amount // 10) // 10 * 10
        if rng.randrange(1000) < FAILED:
            payment = self.make(contract, at, numbers, merchant=merchant, amount=amount, rng=rng)
            payment.order.status = "failed" if rng.random() < 0.7 else "closed"
            payment.order.succeeded_at, payment.order.trade_no = None, ""
            self.book.add_order(payment.order)
            return
        payment = self.make(contract, at, numbers, merchant=merchant, amount=amount, discount=discount, rng=rng)
        self.put(payment)
        fate = rng.randrange(1000)
        if contract.voids and fate < VOIDED:
            then = at + dt.timedelta(seconds=rng.randrange(60, 1800))
            if then < _evening(at.date()) and own_date(then) == own_date(at):
                self.void(payment, then, numbers)
        elif fate >= 1000 - REFUNDED and amount >= 500:
            self._plan_refunds(payment, at, rng)

    def make(
        self,
        contract: Contract,
        at: dt.datetime,
        numbers: Numbers,
        *,
        merchant: int,
        amount: int,
        discount: int = 0,
        rng: random.Random,
    ) -> Payment:
        """A payment as both sides would have it, not yet in the book."""
        sequence = numbers.take(contract)
        card = contract.card_types[sequence % len(contract.card_types)]
        product = contract.products[sequence % len(contract.products)]
        request_no = f"P{contract.letter}{at:%Y%m%d}{sequence:08d}"
        order = OrderRow(
            contract=contract,
            transaction_no=f"T{contract.letter}{at:%y%m%d}{sequence:08d}",
            kind="payment",
            request_no=request_no,
            merchant=merchant,
            product=product,
            amount=amount,
            created_at=at - rng.randrange(2, 9) * SECOND,
            succeeded_at=at,
            trade_no=trade_number(contract, at, sequence),
            card_type=card,
            payer=_payer(contract, card, rng),
            merchant_order_no=f"O{at:%Y%m%d}{contract.letter}{sequence:08d}",
        )
        row = BillRow(
            contract=contract,
            kind="payment",
            order_no=request_no,
            trade_no=order.trade_no,
            amount=amount,
            discount=discount,
            # What the channel charges is on what it settles: the amount less the coupon.
            fee=self._costs[contract.code, card](amount - discount),
            created_at=order.created_at,
            occurred_at=at,
            card_type=card,
            payer=order.payer,
            merchant=merchant,
            product=product,
        )
        return Payment(order, row)

    def put(self, payment: Payment) -> None:
        """Both sides of a payment into the book."""
        self._put(payment.order, payment.row)

    def _put(self, order: OrderRow, row: BillRow) -> None:
        """Both sides; where the two cut-offs put them on different days, the run carries the line to the next day."""
        self.book.add_order(order)
        self.book.add_row(row)
        channel_date = row.contract.channel_date(row.occurred_at)
        if own_date(order.counted_at) > channel_date:
            self.answers.count_natural(row.contract.code, channel_date, "channel_in_doubt", 1)
            self.answers.count_natural(row.contract.code, channel_date + DAY, "channel_cleared", 1)

    # -- taking back -------------------------------------------------------------------------------------------------

    def _plan_refunds(self, payment: Payment, at: dt.datetime, rng: random.Random) -> None:
        amount = payment.order.amount
        count = rng.choices((1, 2, 3), (80, 14, 6))[0]
        parts = [amount] if count == 1 and rng.random() < 0.6 else [amount * rng.randrange(10, 30) // 100] * count
        for part in parts:
            days = rng.choices((0, 1, 2, 3), (50, 25, 15, 10))[0]
            then = at + dt.timedelta(seconds=rng.randrange(600, 7200))
            day = at.date() + dt.timedelta(days=days)
            if days or then.date() != day:
                day = max(day, at.date() + dt.timedelta(days=1))
                then = dt.datetime.combine(day, dt.time(8), BEIJING) + dt.timedelta(seconds=rng.randrange(15 * 3600))
            if day <= self.options.last:
                self.due.setdefault(day, []).append((then, payment, part))

    def refund(
        self, payment: Payment, at: dt.datetime, amount: int, numbers: Numbers, *, late: bool = False
    ) -> tuple[OrderRow, BillRow]:
        """A refund both sides have. `late`: the channel accepts it today and tells us the success tomorrow only."""
        order, row = self.make_refund(payment, at, amount, numbers)
        if late and order.contract.refund_by_acceptance and at.time() < dt.time(22, 30):
            self._success_tomorrow(order)
            row.pending = True
        self._put(order, row)
        return order, row

    def _success_tomorrow(self, order: OrderRow) -> None:
        tomorrow = order.created_at.date() + dt.timedelta(days=1)
        done = dt.datetime.combine(tomorrow, dt.time(10, 30), BEIJING)
        later = OrderRow(**{name: getattr(order, name) for name in OrderRow.__slots__})
        later.status, later.succeeded_at = "succeeded", done
        order.status, order.succeeded_at = "processing", None
        if tomorrow <= self.options.last:
            self.late.setdefault(tomorrow, []).append(later)

    def make_refund(self, payment: Payment, at: dt.datetime, amount: int, numbers: Numbers) -> tuple[OrderRow, BillRow]:
        """A refund as both sides would have it, not yet in the book."""
        return self._take_back("refund", payment, at, amount, numbers)

    def void(self, payment: Payment, at: dt.datetime, numbers: Numbers) -> tuple[OrderRow, BillRow]:
        """A void of the whole payment, on both sides."""
        order, row = self._take_back("void", payment, at, payment.order.amount, numbers)
        self._put(order, row)
        return order, row

    def make_void(self, payment: Payment, at: dt.datetime, numbers: Numbers) -> tuple[OrderRow, BillRow]:
        """A void as both sides would have it, not yet in the book."""
        return self._take_back("void", payment, at, payment.order.amount, numbers)

    def _take_back(
        self, kind: str, payment: Payment, at: dt.datetime, amount: int, numbers: Numbers
    ) -> tuple[OrderRow, BillRow]:
        paid, contract = payment.order, payment.order.contract
        sequence = numbers.take(contract)
        request_no = f"{kind[0].upper()}{contract.letter}{at:%Y%m%d}{sequence:08d}"
        payment.refunded += amount
        fee = self._share(payment, payment.row.fee, payment.returned_fee)
        discount = self._share(payment, payment.row.discount, payment.returned_discount)
        payment.returned_fee += fee
        payment.returned_discount += discount
        order = OrderRow(
            contract=contract,
            transaction_no=f"T{contract.letter}{at:%y%m%d}{sequence:08d}",
            kind=kind,
            request_no=request_no,
            merchant=paid.merchant,
            product=paid.product,
            amount=amount,
            created_at=at if contract.refund_by_acceptance else at - 3 * SECOND,
            succeeded_at=at + 40 * SECOND if contract.refund_by_acceptance else at,
            trade_no=refund_number(contract, paid.trade_no, at, sequence),
            card_type=paid.card_type,
            payer=paid.payer,
            original_no=paid.transaction_no,
            merchant_order_no=f"B{at:%Y%m%d}{contract.letter}{sequence:08d}",
        )
        row = BillRow(
            contract=contract,
            kind=kind,
            order_no=paid.request_no,
            trade_no=paid.trade_no,
            amount=amount,
            discount=discount,
            fee=-fee,
            created_at=order.created_at,
            occurred_at=at,
            request_no=request_no,
            refund_no=order.trade_no,
            original_at=payment.row.occurred_at,
            card_type=paid.card_type,
            payer=paid.payer,
            merchant=paid.merchant,
            product=paid.product,
        )
        return order, row

    @staticmethod
    def _share(payment: Payment, whole: int, returned: int) -> int:
        return refund_fee(
            policy="pro_rata",
            fee=whole,
            amount=payment.order.amount,
            refunded=payment.refunded,
            returned=returned,
        )


def trade_number(contract: Contract, at: dt.datetime, sequence: int) -> str:
    """The channel's number of a payment, in the channel's own shape."""
    if contract.letter == "W":
        return f"4200003{at:%Y%m%d}{sequence:013d}"
    if contract.letter == "A":
        return f"{at:%Y%m%d}22001{sequence:015d}"
    return f"{at:%Y%m%d%H%M%S}{sequence % 10**7:07d}"


def refund_number(contract: Contract, paid_trade_no: str, at: dt.datetime, sequence: int) -> str:
    """The channel's number of a refund or void; Alipay has none and repeats the payment's."""
    if contract.letter == "W":
        return f"50304{at:%Y%m%d}{sequence:016d}"
    if contract.letter == "A":
        return paid_trade_no
    return f"{at:%Y%m%d%H%M%S}{sequence % 10**7:07d}"


def _moments(day: dt.date, count: int, rng: random.Random) -> Iterator[dt.datetime]:
    """Moments of a day in order, as many as asked for, busy hours fuller.

    UnionPay's and our own day ends at 23:00 exactly, so nothing ordinary happens within a few seconds of a cut-off.
    """
    bounds = list(accumulate(HOURS))
    seconds = sorted(bisect(bounds, rng.randrange(bounds[-1])) * 3600 + rng.randrange(15, 3585) for _n in range(count))
    start = dt.datetime.combine(day, dt.time(0), BEIJING)
    for second in seconds:
        yield start + dt.timedelta(seconds=second)


def _evening(day: dt.date) -> dt.datetime:
    """From here on lies the in-doubt window of the own cut-off."""
    return dt.datetime.combine(day, OWN_CUT_OFF, BEIJING) - MARGIN


def _merchant_weight(number: int) -> int:
    """A few merchants have much of the traffic, many have little."""
    return 10_000 // (number + 9) + 15


def _amount(rng: random.Random) -> int:
    _weight, low, high = rng.choices(AMOUNTS, [entry[0] for entry in AMOUNTS])[0]
    amount = rng.randrange(low, high)
    # Prices end in .00, .50 or .90 more often than not.
    return amount // 100 * 100 + rng.choice((0, 0, 0, 50, 90, amount % 100))


def _payer(contract: Contract, card: str, rng: random.Random) -> str:
    if contract.letter == "W":
        return f"oSAMPLE{rng.randrange(10**21):021d}"
    if contract.letter == "A":
        return f"*某(1{rng.randrange(30, 100)}****{rng.randrange(10**4):04d})"
    head = "621626" if card == "debit" else "622155"
    return f"{head}*********{rng.randrange(10**4):04d}"
