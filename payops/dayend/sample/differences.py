"""The planted differences: one small function per kind, each leaving its mark on one or both sides and in the answers.

Everything is planted in the middle of the day, away from the in-doubt window, unless the window is what it is about.
Which rule finds it is DOMAIN 7.2; d = channel − own.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from payops.dayend.sample.answer import Answers, Finding, Planted
from payops.dayend.sample.plan import BEIJING, CONTRACTS, Book, Contract, Options, working_day_after
from payops.dayend.sample.traffic import Numbers, Payment, Traffic

ESCALATE_AFTER: Final = 2
OTHER_CURRENCY: Final = "HKD"
FEE_EXCESS: Final = 150
AMOUNT_CHANGE: Final = 100


@dataclass(slots=True)
class Spot:
    """Where one difference goes: contract, day, and what is needed to make rows there."""

    contract: Contract
    day: dt.date
    traffic: Traffic
    numbers: Numbers
    book: Book
    answers: Answers
    rng: random.Random
    merchant: int

    def at(self, hour: int, minute: int = 0, second: int | None = None, *, days: int = 0) -> dt.datetime:
        day = self.day + dt.timedelta(days=days)
        moment = dt.time(hour, minute, self.rng.randrange(60) if second is None else second)
        return dt.datetime.combine(day, moment, BEIJING)

    def payment(self, at: dt.datetime | None = None) -> Payment:
        """A payment both sides would have, not yet in the book; noon-ish unless told otherwise."""
        moment = at or self.at(self.rng.randrange(10, 18), self.rng.randrange(60))
        amount = self.rng.randrange(5_000, 90_000)
        return self.traffic.make(
            self.contract, moment, self.numbers, merchant=self.merchant, amount=amount, rng=self.rng
        )

    def plant(
        self,
        name: str,
        payment: Payment,
        findings: list[tuple[int, str, int]],
        fate: str,
        *,
        key: str = "",
        other_key: str = "",
        case: tuple[str, int] = ("", 0),
        fate_after: int | None = None,
        transactions: list[str] | None = None,
        note: str = "",
    ) -> None:
        """Write the answer; findings are (days after the first, kind, d), `other_key` is of a second row like it."""
        key = key or payment.order.request_no
        found = [
            Finding(self.day + dt.timedelta(days=after), kind, d, each)
            for after, kind, d in findings
            for each in (key, other_key)
            if each
        ]
        fate_date = self.day + dt.timedelta(days=fate_after) if fate_after is not None else None
        if fate == "open":
            escalated = working_day_after(self.day, ESCALATE_AFTER)
            if escalated <= self.answers.days[-1]:
                fate, fate_date = "escalated", escalated
        self.answers.plant(
            Planted(
                name=name,
                contract=self.contract.code,
                key=key,
                currency=payment.row.currency,
                findings=found,
                fate=fate,
                fate_date=fate_date,
                case_kind=case[0],
                case_amount=case[1],
                transactions=[payment.order.transaction_no] if transactions is None else transactions,
                note=note,
            )
        )


# -- one side only -----------------------------------------------------------------------------------------------------


def own_only(spot: Spot) -> None:
    payment = spot.payment()
    spot.book.add_order(payment.order)
    d = -payment.order.amount
    spot.plant("own_only", payment, [(0, "own_only", d)], "open", case=("own_only", d))


def channel_only(spot: Spot) -> None:
    payment = spot.payment()
    spot.book.add_row(payment.row)
    d = payment.row.amount
    spot.plant("channel_only", payment, [(0, "channel_only", d)], "open", case=("channel_only", d), transactions=[])


def refund_missing(spot: Spot) -> None:
    payment = spot.payment(spot.at(9, 30))
    spot.traffic.put(payment)
    order, _row = spot.traffic.make_refund(payment, spot.at(16, 20), payment.order.amount // 2, spot.numbers)
    spot.book.add_order(order)
    spot.plant(
        "refund_missing",
        payment,
        [(0, "own_only", order.amount)],
        "open",
        key=order.request_no,
        case=("own_only", order.amount),
        transactions=[order.transaction_no],
        note="A refund the channel does not know: we took it from the merchant, nobody got it.",
    )


def late_bill(spot: Spot) -> None:
    """The channel brings a line one day late: own only, cleared the day after."""
    payment = spot.payment()
    spot.book.add_order(payment.order)
    payment.row.occurred_at = spot.at(3, 15, days=1)
    spot.book.add_row(payment.row, spot.day + dt.timedelta(days=1))
    d = -payment.order.amount
    found = [(0, "own_only", d), (1, "own_cleared", d)]
    spot.plant("late_bill_line", payment, found, "cleared", fate_after=1, case=("own_only", d))


def late_order(spot: Spot) -> None:
    """The payment core tells us one day late: channel only, cleared the day after."""
    payment = spot.payment()
    spot.book.add_row(payment.row)
    spot.book.add_order(payment.order, spot.day + dt.timedelta(days=1))
    d = payment.row.amount
    found = [(0, "channel_only", d), (1, "channel_cleared", d)]
    spot.plant("late_order", payment, found, "cleared", fate_after=1, case=("channel_only", d))


# -- the cut-off -------------------------------------------------------------------------------------------------------


def own_in_doubt(spot: Spot) -> None:
    """Ours just before the cut-off, the channel's on its next day."""
    payment = spot.payment(spot.at(22, 58))
    spot.book.add_order(payment.order)
    cut_off = spot.contract.cut_off_at(spot.day)
    payment.row.occurred_at = cut_off + dt.timedelta(seconds=20)
    spot.book.add_row(payment.row)
    d = -payment.order.amount
    found = [(0, "own_in_doubt", d), (1, "own_cleared", d)]
    spot.plant("own_in_doubt_cleared", payment, found, "cleared", fate_after=1)


def own_in_doubt_never(spot: Spot) -> None:
    """Ours in the window, and the channel never brings it."""
    payment = spot.payment(spot.at(22, 56))
    spot.book.add_order(payment.order)
    d = -payment.order.amount
    found = [(0, "own_in_doubt", d), (1, "own_only", d)]
    spot.plant("own_in_doubt_never", payment, found, "open", case=("own_only", d))


def channel_in_doubt(spot: Spot) -> None:
    """The channel's just before its cut-off, ours on our next day."""
    payment = spot.payment(spot.at(23, 0, 12))
    spot.book.add_order(payment.order)
    payment.row.occurred_at = spot.at(22, 59, 48)
    spot.book.add_row(payment.row)
    d = payment.row.amount
    found = [(0, "channel_in_doubt", d), (1, "channel_cleared", d)]
    spot.plant("channel_in_doubt_cleared", payment, found, "cleared", fate_after=1)


def channel_in_doubt_never(spot: Spot) -> None:
    """The channel's in the window, and we never hear of it."""
    payment = spot.payment(spot.at(22, 57) if spot.contract.cut_off else spot.at(23, 20))
    spot.book.add_row(payment.row)
    d = payment.row.amount
    found = [(0, "channel_in_doubt", d), (1, "channel_only", d)]
    spot.plant("channel_in_doubt_never", payment, found, "open", case=("channel_only", d), transactions=[])


# -- both sides, not the same ------------------------------------------------------------------------------------------


def amount_more(spot: Spot) -> None:
    _amount(spot, "amount_more", AMOUNT_CHANGE)


def amount_less(spot: Spot) -> None:
    _amount(spot, "amount_less", -AMOUNT_CHANGE)


def _amount(spot: Spot, name: str, d: int) -> None:
    payment = spot.payment()
    payment.row.amount += d
    spot.traffic.put(payment)
    spot.plant(name, payment, [(0, "amount_mismatch", d)], "open", case=("amount_mismatch", d))


def fee(spot: Spot) -> None:
    payment = spot.payment()
    payment.row.fee += FEE_EXCESS
    spot.traffic.put(payment)
    # The amounts agree, so d is nothing; what is claimed back from the channel stands in the case.
    case = ("fee_mismatch", -FEE_EXCESS)
    spot.plant("fee_too_high", payment, [(0, "fee_mismatch", 0)], "open", case=case)


def currency(spot: Spot) -> None:
    payment = spot.payment()
    payment.row.currency = OTHER_CURRENCY
    spot.traffic.put(payment)
    spot.plant("currency", payment, [(0, "currency_mismatch", 0)], "open", case=("currency_mismatch", 0))


def kind(spot: Spot) -> None:
    """We voided, the channel calls it a refund."""
    payment = spot.payment(spot.at(11, 5))
    spot.traffic.put(payment)
    order, row = spot.traffic.make_void(payment, spot.at(11, 25), spot.numbers)
    row.kind = "refund"
    spot.book.add_order(order)
    spot.book.add_row(row)
    spot.plant(
        "void_as_refund",
        payment,
        [(0, "kind_mismatch", 0)],
        "open",
        key=order.request_no,
        case=("kind_mismatch", 0),
        transactions=[order.transaction_no],
    )


def lost_unknown(spot: Spot) -> None:
    _lost(spot, "lost_order_unknown", "unknown")


def lost_failed(spot: Spot) -> None:
    _lost(spot, "lost_order_failed", "failed")


def _lost(spot: Spot, name: str, status: str) -> None:
    """Succeeded at the channel, and we do not know it: the run recovers it with the next day's own date."""
    payment = spot.payment()
    _unsuccessful(payment, status)
    spot.traffic.put(payment)
    d = payment.row.amount
    found = [(0, "status_mismatch", d), (1, "channel_cleared", d)]
    spot.plant(name, payment, found, "recovered", fate_after=1, case=("status_mismatch", d))


def closed_paid(spot: Spot) -> None:
    """Closed by us, paid at the channel: a person decides."""
    payment = spot.payment()
    _unsuccessful(payment, "closed")
    spot.traffic.put(payment)
    d = payment.row.amount
    spot.plant("closed_but_paid", payment, [(0, "status_mismatch", d)], "open", case=("status_mismatch", d))


def unknown_absent(spot: Spot) -> None:
    payment = spot.payment()
    _unsuccessful(payment, "unknown")
    spot.book.add_order(payment.order)
    spot.plant("unknown_and_absent", payment, [(0, "failed_absent", 0)], "failed", fate_after=0)


def _unsuccessful(payment: Payment, status: str) -> None:
    payment.order.status, payment.order.succeeded_at, payment.order.trade_no = status, None, ""


# -- twice -------------------------------------------------------------------------------------------------------------


def duplicate_channel(spot: Spot) -> None:
    """The payer paid one order twice: two lines with our number, two trade numbers."""
    payment = spot.payment()
    spot.traffic.put(payment)
    again = spot.payment(payment.row.occurred_at + dt.timedelta(minutes=2))
    again.row.order_no, again.row.amount, again.row.fee = payment.row.order_no, payment.row.amount, payment.row.fee
    spot.book.add_row(again.row)
    d = payment.row.amount
    spot.plant("duplicate_in_bill", payment, [(0, "duplicate_channel", d)], "open", case=("duplicate_channel", d))


def duplicate_next_day(spot: Spot) -> None:
    """A line that was matched yesterday stands in today's bill again."""
    yesterday = spot.day - dt.timedelta(days=1)
    payment = spot.payment(spot.at(14, 10, days=-1))
    assert payment.order.counted_at.date() == yesterday
    again = spot.payment(spot.at(2, 40))
    again.row.order_no, again.row.trade_no = payment.row.order_no, payment.row.trade_no
    again.row.amount, again.row.fee = payment.row.amount, payment.row.fee
    spot.traffic.put(payment)
    spot.book.add_row(again.row)
    d = payment.row.amount
    spot.plant("duplicate_next_day", payment, [(0, "duplicate_channel", d)], "open", case=("duplicate_channel", d))


def duplicate_own(spot: Spot) -> None:
    """We sent one channel request number for two orders."""
    payment = spot.payment()
    spot.traffic.put(payment)
    again = spot.payment(payment.row.occurred_at + dt.timedelta(minutes=5))
    again.order.request_no, again.order.trade_no = payment.order.request_no, payment.order.trade_no
    again.order.amount, again.order.card_type = payment.order.amount, payment.order.card_type
    spot.book.add_order(again.order)
    d = -payment.order.amount
    numbers = [payment.order.transaction_no, again.order.transaction_no]
    spot.plant(
        "duplicate_of_ours",
        payment,
        [(0, "duplicate_own", d)],
        "open",
        case=("duplicate_own", d),
        transactions=numbers,
    )


def offset(spot: Spot) -> None:
    """A payment and its void, neither at the channel: nothing happened."""
    payment = spot.payment(spot.at(12, 10))
    order, _row = spot.traffic.make_void(payment, spot.at(12, 20), spot.numbers)
    spot.book.add_order(payment.order)
    spot.book.add_order(order)
    spot.plant(
        "payment_and_void_absent",
        payment,
        [(0, "offset", 0)],
        "cleared",
        other_key=order.request_no,
        fate_after=0,
        transactions=[payment.order.transaction_no, order.transaction_no],
    )


@dataclass(frozen=True, slots=True)
class Planting:
    """When and where a kind is planted: `after` days are needed behind it, `before` days in front of it."""

    make: Callable[[Spot], None]
    channels: str = "WAU"
    before: int = 0
    after: int = 0


PLANTINGS: Final = (
    Planting(own_only),
    Planting(channel_only),
    Planting(own_in_doubt_never, after=1),
    Planting(channel_in_doubt_never, after=1),
    Planting(amount_more),
    Planting(amount_less),
    Planting(fee),
    Planting(lost_unknown, after=1),
    Planting(lost_failed, after=1),
    Planting(closed_paid),
    Planting(unknown_absent),
    Planting(currency, channels="W"),
    Planting(kind, channels="U"),
    Planting(duplicate_channel),
    Planting(duplicate_next_day, before=1),
    Planting(duplicate_own),
    Planting(own_in_doubt, after=1),
    Planting(channel_in_doubt, channels="U", after=1),
    Planting(refund_missing),
    Planting(late_bill, after=1),
    Planting(late_order, after=1),
    Planting(offset, channels="U"),
)
FIRST_PLANTED_MERCHANT: Final = 30


def schedule(options: Options) -> dict[dt.date, list[tuple[Planting, Contract, int]]]:
    """Which plantings go on which calendar day; the number makes each use its own merchant and stream.

    What is planted for a day but begins the day before (a duplicate across days) is made with that earlier day.
    """
    days = options.days
    plan: dict[dt.date, list[tuple[Planting, Contract, int]]] = {day: [] for day in days}
    number = 0
    for index, planting in enumerate(PLANTINGS):
        for offset_by, contract in enumerate(CONTRACTS):
            number += 1
            room = len(days) - planting.before - planting.after
            if contract.letter not in planting.channels or room < 1:
                continue
            # The first kinds all begin on the first day, so that escalation after T+2 falls into the sample.
            spread = 0 if index < 2 and offset_by == 0 else index // 2 + offset_by
            plan[days[spread % room]].append((planting, contract, number))
    return plan


def plant(
    planting: Planting,
    contract: Contract,
    number: int,
    *,
    day: dt.date,
    options: Options,
    traffic: Traffic,
    numbers: Numbers,
) -> None:
    """Make one difference. `day` is the calendar day being made; the difference shows `before` days later."""
    merchant = (FIRST_PLANTED_MERCHANT + number * 3) % options.merchants + 1
    spot = Spot(
        contract=contract,
        day=day + dt.timedelta(days=planting.before),
        traffic=traffic,
        numbers=numbers,
        book=traffic.book,
        answers=traffic.answers,
        rng=traffic.rng("planted", number),
        merchant=merchant,
    )
    planting.make(spot)
