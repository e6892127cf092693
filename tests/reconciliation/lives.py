"""Invented lives of transactions between us and a channel, each told once with what must be true in the end.

A life says when its orders reach us, in which bills its lines stand, what it adds to the merchant's pending settlement
and what remains to be worked on. Whatever the order of files and runs, the end is the same; `walk` plays lives by a
programme of late bills, drafts that are issued again, and repeated runs.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from payops.channels.models import ChannelContract
from payops.reconciliation.models import OpenItem
from tests.reconciliation.builders import FRI, MON, THU, TUE, WED, Bill, Town, cost, line, pay, reverse

STORY_DAYS = (MON, TUE, WED)
BILL_DAYS = (MON, TUE, WED, THU)
DAYS = (*BILL_DAYS, FRI)
ONE_DAY = dt.timedelta(days=1)
WECHAT, ALIPAY = "WECHAT", "ALIPAY"


@dataclass
class Life:
    """One life. `pending` is what the merchant is owed in the end, `open` what stays: (result, key) → d.

    `claim` is what is claimed of the channel's fee, in minor units like everything else.
    """

    number: int
    channel: str
    day: dt.date
    amount: int
    orders: list[tuple[dt.date, dict[str, Any]]] = field(default_factory=list)
    lines: list[tuple[dt.date, Bill]] = field(default_factory=list)
    pending: int = 0
    open: dict[tuple[str, str], int] = field(default_factory=dict)
    claim: int = 0

    @classmethod
    def all_of(cls, drawn: Iterable[tuple[str, int, str, int]]) -> list[Life]:
        """Lives from (name, which day, channel, amount), numbered."""
        return [
            LIVES[name](cls(number, channel, STORY_DAYS[day], amount))
            for number, (name, day, channel, amount) in enumerate(drawn, start=1)
        ]

    @property
    def key(self) -> str:
        """The matching key of its payment."""
        return f"R-{self.number}"

    @property
    def merchant(self) -> str:
        return "M-B" if self.number % 3 == 0 else "M-A"

    @property
    def next_day(self) -> dt.date:
        return self.day + ONE_DAY

    # -- parts -----------------------------------------------------------------------------------------------------

    def pays(self, day: dt.date | None = None, clock: str = "10:00:00", **changes: Any) -> Life:
        """Our payment; `to_us` is the day it reaches us, by default its own."""
        return self._order(pay, self.number, day, clock, changes)

    def reverses(self, day: dt.date | None = None, clock: str = "12:00:00", **changes: Any) -> Life:
        """Our refund (or void) of the payment."""
        changes.setdefault("original", str(self.number))
        return self._order(reverse, f"{self.number}r", day, clock, changes)

    def _order(self, make: Callable[..., Any], number: Any, day: dt.date | None, clock: str, changes: Any) -> Life:
        day = day or self.day
        amount = changes.pop("amount", self.amount)
        to_us = changes.pop("to_us", day)
        if self.channel == ALIPAY:
            changes |= {"channel": "alipay", "channel_account": "20889900112233440156"}
        positional = [str(number), changes.pop("original")] if make is reverse else [str(number)]
        changes["amount"] = f"{amount // 100}.{amount % 100:02d}"
        row = make(*positional, day, clock, merchant_no=self.merchant, **changes)
        self.orders.append((to_us, row))
        return self

    def billed(self, day: dt.date | None = None, clock: str = "10:00:00", **fields: Any) -> Life:
        """A line of the channel; `bill` is the bill it stands in, by default that of its day."""
        day = day or self.day
        key = fields.pop("key", self.key)
        amount = fields.pop("amount", self.amount)
        bill = fields.pop("bill", day)
        self.lines.append((bill, line(key, day, clock, amount, **fields)))
        return self

    def refunded(self, day: dt.date | None = None, clock: str = "12:00:00", **fields: Any) -> Life:
        """The channel's line of the refund."""
        return self.billed(day, clock, key=f"{self.key}r", kind=fields.pop("kind", "refund"), **fields)

    def owed(self, pending: int) -> Life:
        self.pending = pending
        return self

    def stays(self, result: str, d: int, key: str = "") -> Life:
        self.open[result, key or self.key] = d
        return self


Maker = Callable[[Life], Life]
LIVES: dict[str, Maker] = {}


def life(maker: Maker) -> Maker:
    LIVES[maker.__name__] = maker
    return maker


# --- both sides agree in the end --------------------------------------------------------------------------------------


@life
def matched(it: Life) -> Life:
    return it.pays().billed().owed(it.amount)


@life
def paid_before_midnight_billed_after(it: Life) -> Life:
    return it.pays(clock="22:55:00").billed(it.next_day, "00:00:30").owed(it.amount)


@life
def billed_before_our_next_day_began(it: Life) -> Life:
    return it.pays(clock="23:30:00", to_us=it.next_day).billed(clock="23:30:00").owed(it.amount)


@life
def billed_a_day_late(it: Life) -> Life:
    return it.pays().billed(it.next_day).owed(it.amount)


@life
def billed_a_day_early(it: Life) -> Life:
    return it.pays(it.next_day).billed().owed(it.amount)


@life
def refunded_in_part_the_same_day(it: Life) -> Life:
    half = it.amount // 2
    # The channel gives its fee back in proportion, as we expect it to.
    fee = -((2 * cost(it.amount) * half + it.amount) // (2 * it.amount)) if it.channel == WECHAT else 0
    it.pays().billed().reverses(amount=half).refunded(amount=half, fee=fee)
    return it.owed(it.amount - half)


@life
def refunded_the_next_day(it: Life) -> Life:
    return it.pays().billed().reverses(it.next_day).refunded(it.next_day).owed(0)


@life
def refund_in_doubt_over_midnight(it: Life) -> Life:
    return it.pays().billed().reverses(clock="22:55:00").refunded(it.next_day, "00:00:30").owed(0)


@life
def refund_under_way_until_the_next_day(it: Life) -> Life:
    it.pays().billed().reverses(status="processing").refunded()
    return it.reverses(to_us=it.next_day, succeeded_at=f"{it.day}T12:00:00").owed(0)


@life
def refund_that_failed(it: Life) -> Life:
    # With WeChat a refund counts when it is accepted, so a failure after that comes back as money, not as a failure.
    return it.pays().billed().reverses(status="failed").owed(it.amount)


@life
def void_in_the_bill(it: Life) -> Life:
    return it.pays().billed().reverses(kind="void").refunded(kind="reversal").owed(0)


@life
def void_the_channel_never_saw(it: Life) -> Life:
    return it.pays().reverses(kind="void").owed(0)


@life
def discount_of_the_merchant(it: Life) -> Life:
    discount = it.amount // 10
    fee = cost(it.amount - discount) if it.channel == WECHAT else 0
    return it.pays().billed(discount=discount, fee=fee).owed(it.amount - discount)


# --- orders without a result ------------------------------------------------------------------------------------------


@life
def lost_order(it: Life) -> Life:
    return it.pays(status="unknown").billed().owed(it.amount)


@life
def failed_with_us_paid_at_the_channel(it: Life) -> Life:
    return it.pays(status="failed").billed().owed(it.amount)


@life
def lost_order_over_midnight(it: Life) -> Life:
    return it.pays(clock="22:55:00", status="processing").billed(it.next_day, "00:00:30").owed(it.amount)


@life
def unknown_and_absent(it: Life) -> Life:
    return it.pays(status="unknown")


@life
def unknown_and_absent_at_midnight(it: Life) -> Life:
    return it.pays(clock="22:55:00", status="unknown")


@life
def failed_on_both_sides(it: Life) -> Life:
    return it.pays(status="failed")


# --- differences that stay --------------------------------------------------------------------------------------------


@life
def own_only(it: Life) -> Life:
    return it.pays().owed(it.amount).stays("own_only", -it.amount)


@life
def own_only_at_midnight(it: Life) -> Life:
    return it.pays(clock="22:55:00").owed(it.amount).stays("own_only", -it.amount)


@life
def channel_only(it: Life) -> Life:
    return it.billed().stays("channel_only", it.amount)


@life
def channel_only_at_midnight(it: Life) -> Life:
    return it.billed(clock="23:30:00").stays("channel_only", it.amount)


@life
def channel_only_after_midnight(it: Life) -> Life:
    return it.billed(clock="00:05:00").stays("channel_only", it.amount)


@life
def own_only_after_midnight(it: Life) -> Life:
    return it.pays(clock="00:05:00").owed(it.amount).stays("own_only", -it.amount)


@life
def refund_only_at_the_channel(it: Life) -> Life:
    return it.billed(kind="refund").stays("channel_only", -it.amount)


@life
def more_at_the_channel(it: Life) -> Life:
    return it.pays().billed(amount=it.amount + 100).owed(it.amount).stays("amount_mismatch", 100)


@life
def less_at_the_channel(it: Life) -> Life:
    return it.pays().billed(amount=it.amount - 100).owed(it.amount).stays("amount_mismatch", -100)


@life
def less_over_midnight(it: Life) -> Life:
    it.pays(clock="22:55:00").billed(it.next_day, "00:00:30", amount=it.amount - 100)
    return it.owed(it.amount).stays("amount_mismatch", -100)


@life
def less_refunded_at_the_channel(it: Life) -> Life:
    it.pays().billed().reverses().refunded(amount=it.amount - 100)
    return it.owed(0).stays("amount_mismatch", 100, f"{it.key}r")


@life
def twice_in_one_bill(it: Life) -> Life:
    it.pays().billed().billed(clock="10:00:09", trade_no=f"T-{it.number}-again")
    return it.owed(it.amount).stays("duplicate_channel", it.amount)


@life
def again_in_the_next_bill(it: Life) -> Life:
    it.pays().billed().billed(it.next_day, trade_no=f"T-{it.number}-again")
    return it.owed(it.amount).stays("duplicate_channel", it.amount)


@life
def twice_with_us(it: Life) -> Life:
    it.pays().billed()
    it._order(pay, f"{it.number}again", it.day, "10:00:09", {"channel_request_no": it.key})
    return it.owed(2 * it.amount).stays("duplicate_own", -it.amount)


@life
def again_with_us_the_next_day(it: Life) -> Life:
    it.pays().billed()
    it._order(pay, f"{it.number}again", it.next_day, "10:00:09", {"channel_request_no": it.key})
    return it.owed(2 * it.amount).stays("duplicate_own", -it.amount)


@life
def twice_with_us_never_billed(it: Life) -> Life:
    it.pays()
    it._order(pay, f"{it.number}again", it.day, "10:00:09", {"channel_request_no": it.key})
    return it.owed(2 * it.amount).stays("own_only", -it.amount).stays("duplicate_own", -it.amount)


@life
def twice_in_one_bill_never_ours(it: Life) -> Life:
    it.billed().billed(clock="10:00:09", trade_no=f"T-{it.number}-again")
    return it.stays("channel_only", it.amount).stays("duplicate_channel", it.amount)


@life
def closed_with_us_paid_at_the_channel(it: Life) -> Life:
    return it.pays(status="closed").billed().stays("status_mismatch", it.amount)


@life
def another_kind_at_the_channel(it: Life) -> Life:
    return it.pays().billed(kind="refund").owed(it.amount).stays("kind_mismatch", -2 * it.amount)


@life
def another_currency_at_the_channel(it: Life) -> Life:
    return it.pays().billed(currency="USD").owed(it.amount).stays("currency_mismatch", 0)


@life
def dearer_than_agreed(it: Life) -> Life:
    if it.channel == ALIPAY:
        return matched(it)
    it.pays().billed(fee=cost(it.amount) + 40).owed(it.amount).stays("fee_mismatch", 0)
    it.claim = 40
    return it


# --- a programme ------------------------------------------------------------------------------------------------------


@dataclass
class Programme:
    """How the files of these lives come and when runs are made.

    `delays`: days a bill is late, by (channel, day). `drafts`: bills that come in time but wrong and are issued again
    later: lines chosen by the bits of a number are missing, or (True) have another amount. `again`: runs repeated, as
    (morning, channel, day).
    """

    delays: dict[tuple[str, dt.date], int] = field(default_factory=dict)
    drafts: dict[tuple[str, dt.date], tuple[int, bool]] = field(default_factory=dict)
    again: list[tuple[dt.date, str, dt.date]] = field(default_factory=list)
    backwards: bool = False

    def issues(self, morning_of: dt.date, bills: dict[tuple[str, dt.date], list[Bill]]) -> Iterator[Any]:
        """The files that arrive on the morning after a day: ((channel, day), lines)."""
        order = sorted(bills, key=lambda bill: (bill[1], bill[0]), reverse=self.backwards)
        for bill in order:
            day = bill[1]
            draft = self.drafts.get(bill)
            late = max(self.delays.get(bill, 0), 1 if draft else 0)
            if draft and day == morning_of:
                yield bill, draft_of(bills[bill], *draft)
            if min(day + ONE_DAY * late, max(THU, day)) == morning_of:
                yield bill, bills[bill]


def draft_of(lines: list[Bill], which: int, amounts: bool) -> list[Bill]:
    """A bill before it was corrected: every line whose bit is set in `which` is missing, or off by 7."""
    changed = []
    for position, entry in enumerate(lines):
        if not which >> position % 8 & 1:
            changed.append(entry)
        elif amounts:
            changed.append(dataclasses.replace(entry, amount=entry.amount + 7))
    return changed


class Walk:
    """Plays lives by a programme; `after_run` is called after every run, `morning` when a day's files are run."""

    def __init__(self, town: Town, lives: list[Life], programme: Programme) -> None:
        self.town, self.lives, self.programme = town, lives, programme
        self.contracts = {WECHAT: town.world.wechat, ALIPAY: town.world.alipay}
        self.bills: dict[tuple[str, dt.date], list[Bill]] = {(c, d): [] for d in DAYS for c in self.contracts}
        for it in lives:
            for day, entry in it.lines:
                self.bills[it.channel, day].append(entry)
        self.ran: set[tuple[str, dt.date]] = set()
        self.after_run: Callable[[], None] = lambda: None
        self.morning: Callable[[dt.date], None] = lambda _day: None

    def play(self) -> None:
        deliveries = defaultdict(list)
        for it in self.lives:
            for day, row in it.orders:
                deliveries[day].append(row)
        for day in DAYS:
            if deliveries[day]:
                self.town.orders(*deliveries[day])
            self.town.close(day)
            for bill, lines in self.programme.issues(day, self.bills):
                self.town.bill(bill[1], *lines, contract=self.contracts[bill[0]])
                self.run(*bill)
            for morning, channel, which in self.programme.again:
                if morning == day and (channel, which) in self.ran:
                    self.run(channel, which)
            self.morning(day)

    def run(self, channel: str, day: dt.date) -> Any:
        self.ran.add((channel, day))
        run = self.town.run(day, self.contracts[channel])
        self.after_run()
        return run

    def run_all_again(self) -> None:
        for channel, day in sorted(self.ran, key=lambda bill: (bill[1], bill[0])):
            self.run(channel, day)


def open_of(contract: ChannelContract) -> dict[tuple[str, str], int]:
    """(result, key) → Σd of what is open, in doubt or definite."""
    items = OpenItem.objects.filter(contract=contract, state__in=("in_doubt", "definite"))
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for result, key, d in items.values_list("result", "match_key", "d"):
        totals[result, key] += d
    return dict(totals)
