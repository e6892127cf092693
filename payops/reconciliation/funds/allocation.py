"""Which channel days a settlement line pays (DOMAIN 7.4, 11.4: one receipt for a group of dates).

A channel pays Friday to Sunday in one sum on Monday. The books know only the channel, so dividing a line among days
moves no money: it moves what each day has received, and the comparison with the bills follows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from payops.channels.choices import BankLineKind
from payops.channels.models import BankLine, ChannelContract
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.discrepancies.choices import CaseState
from payops.reconciliation.choices import AllocationKind, RunState
from payops.reconciliation.funds.days import receipt_of
from payops.reconciliation.models import ChannelReceipt, ReceiptAllocation, ReceiptPart, ReconRun

GROUP_DAYS: Final = 31
"""How far from the day a line names the other days of its group may be."""
DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WaitingDay:
    """A channel day and what it still waits for (minor units, − = owed by us)."""

    receipt_id: int
    channel_date: dt.date
    waits_for: int


def line_allocate(*, line: BankLine, contract: ChannelContract, channel_date: dt.date) -> ReceiptAllocation:
    """Give a line to the day it names, or to the one group of waiting days around it whose sum it is exactly."""
    named = receipt_of(contract, channel_date)
    shares = _group_of(named, line.amount)
    kind = AllocationKind.GROUP if shares else AllocationKind.NAMED
    return _allocate(line, shares or {named.pk: line.amount}, kind)


def lines_regroup(*, day: dt.date) -> int:
    """Divide lines that came before the bills of their group, now that these are known; returns how many.

    Looked at are lines still whole on the day they name, while that day differs. A day whose difference somebody
    decided about is left as it is, and so is a line a person allocated.
    """
    differing = (
        ReceiptPart.objects.filter(
            allocation__is_current=True,
            allocation__kind=AllocationKind.NAMED,
            receipt__channel_date__gte=day - 2 * GROUP_DAYS * DAY,
        )
        .exclude(receipt__received=F("receipt__due"))
        .exclude(receipt__case__state=CaseState.CLOSED)
    )
    lines = differing.order_by("receipt__channel_date", "allocation__bank_line_id")
    return sum(_regroup(line_id) for line_id in list(lines.values_list("allocation__bank_line_id", flat=True)))


@transaction.atomic
def _regroup(line_id: int) -> bool:
    line = BankLine.objects.select_for_update(no_key=True, of=("self",)).get(pk=line_id)
    part = (
        ReceiptPart.objects.select_related("receipt")
        .filter(allocation__bank_line=line, allocation__is_current=True, allocation__kind=AllocationKind.NAMED)
        .first()
    )
    if part is None:
        return False
    shares = _group_of(part.receipt, line.amount, taken_off=line.amount)
    if shares:
        _allocate(line, shares, AllocationKind.GROUP)
    return bool(shares)


def _group_of(named: ChannelReceipt, amount: int, *, taken_off: int = 0) -> dict[int, int]:
    """Shares by receipt, where exactly one group of consecutive waiting days, `named` among them, sums to `amount`.

    Empty where the day alone explains the line, where nothing does, and where two groups would: a person decides then.
    `taken_off` is what of the line the named day holds already.
    """
    days = [day for day in _known_days(named, taken_off) if day.waits_for]
    at = next((index for index, day in enumerate(days) if day.receipt_id == named.pk), None)
    if at is None or days[at].waits_for == amount:
        return {}
    before = [0, *accumulate(day.waits_for for day in days)]
    groups = [
        (first, last)
        for first in range(at + 1)
        for last in range(at, len(days))
        if before[last + 1] - before[first] == amount
    ]
    if len(groups) != 1:
        return {}
    first, last = groups[0]
    return {day.receipt_id: day.waits_for for day in days[first : last + 1]}


def _known_days(named: ChannelReceipt, taken_off: int) -> list[WaitingDay]:
    """The unbroken stretch of days with a bill around `named`; a day without one ends it, whatever lies beyond."""
    span = (named.channel_date - GROUP_DAYS * DAY, named.channel_date + GROUP_DAYS * DAY)
    ran = set(
        ReconRun.objects.filter(
            contract=named.contract_id, channel_date__range=span, is_current=True, state=RunState.COMPLETE
        ).values_list("channel_date", flat=True)
    )
    # Locked, so that two lines taken at once cannot both be the money one group waits for.
    receipts = (
        ChannelReceipt.objects.select_for_update(no_key=True, of=("self",))
        .select_related("case")
        .filter(contract=named.contract_id, channel_date__range=span)
    )
    by_date = {receipt.channel_date: receipt for receipt in receipts.order_by("id") if receipt.channel_date in ran}
    days: list[WaitingDay] = []
    for step, start in ((-DAY, named.channel_date), (DAY, named.channel_date + DAY)):
        date = start
        while date in by_date:
            receipt = by_date[date]
            days.append(WaitingDay(receipt.pk, date, _waits_for(receipt) + taken_off * (receipt.pk == named.pk)))
            date += step
    return sorted(days, key=lambda day: day.channel_date)


def _waits_for(receipt: ChannelReceipt) -> int:
    """Due less received; a difference that was decided about is no longer waited for."""
    decided = receipt.case is not None and receipt.case.state == CaseState.CLOSED
    return receipt.due - receipt.received - (receipt.short_booked if decided else 0)


# --- by a person ------------------------------------------------------------------------------------------------------


@transaction.atomic
def allocation_set(
    *, bank_line_id: int, shares: Mapping[int, int], attributed: bool, by: str, approval_id: int
) -> ReceiptAllocation:
    """Divide a settlement line among channel days by hand: minor units by id of the channel receipt.

    `attributed` False says that what the line lacks or has beyond the bills belongs to these days together: the balance
    check then passes or fails them as one. Raises what `shares_check` raises.
    """
    line = BankLine.objects.select_for_update(no_key=True, of=("self",)).get(pk=bank_line_id)
    shares_check(line=line, shares=shares)
    return _allocate(line, shares, AllocationKind.PERSON, attributed=attributed, by=by, approval_id=approval_id)


def shares_check(*, line: BankLine, shares: Mapping[int, int]) -> None:
    """PayopsError unless the line is a channel's settlement, the days are its channel's, and the shares add up."""
    if line.kind != BankLineKind.SETTLEMENT:
        raise PayopsError(
            "funds.not_a_settlement",
            _("Bank line %(line)s is not a channel's settlement, so there are no channel days to divide it among.")
            % {"line": line.reference},
            {"bank_line": line.pk},
        )
    days = ChannelReceipt.objects.filter(pk__in=list(shares), contract=line.contract_id)
    if not shares or 0 in shares.values() or days.count() != len(shares):
        raise PayopsError(
            "funds.not_its_days",
            _("Give an amount to at least one channel day of %(channel)s, and to no day of another channel.")
            % {"channel": line.contract.code if line.contract else "?"},
            {"bank_line": line.pk},
        )
    total = sum(shares.values())
    if total != line.amount:
        raise PayopsError(
            "funds.shares_do_not_add_up",
            _("The shares add up to %(shares)s, the bank line is %(line)s. Correct them by %(off)s.")
            % {
                "shares": format_amount(total, line.currency),
                "line": format_amount(line.amount, line.currency),
                "off": format_amount(line.amount - total, line.currency),
            },
            {"bank_line": line.pk, "shares": total, "line": line.amount},
        )


# --- rows -------------------------------------------------------------------------------------------------------------


def _allocate(
    line: BankLine,
    shares: Mapping[int, int],
    kind: AllocationKind,
    *,
    attributed: bool = True,
    by: str = "system",
    approval_id: int | None = None,
) -> ReceiptAllocation:
    """Put a new division of the line in the place of the one before, and move what its days have received."""
    changes = dict(shares)
    last = ReceiptAllocation.objects.filter(bank_line=line, is_current=True).first()
    if last is not None:
        for receipt_id, amount in last.parts.values_list("receipt_id", "amount"):
            changes[receipt_id] = changes.get(receipt_id, 0) - amount
        ReceiptAllocation.objects.filter(pk=last.pk).update(is_current=False)
    allocation = ReceiptAllocation.objects.create(
        bank_line=line,
        number=last.number + 1 if last else 1,
        kind=kind,
        attributed=attributed,
        made_by=by,
        approval_id=approval_id,
    )
    ReceiptPart.objects.bulk_create(
        ReceiptPart(allocation=allocation, receipt_id=receipt_id, amount=amount)
        for receipt_id, amount in sorted(shares.items())
    )
    for receipt_id, change in sorted(changes.items()):
        if change:
            ChannelReceipt.objects.filter(pk=receipt_id).update(received=F("received") + change)
    return allocation


# --- reads ------------------------------------------------------------------------------------------------------------


def group_of_receipt(receipt: ChannelReceipt) -> Sequence[ChannelReceipt]:
    """The days that share a line whose difference belongs to no single one of them, `receipt` first; else it alone."""
    group = {receipt.pk}
    while True:
        shared = ReceiptAllocation.objects.filter(is_current=True, attributed=False, parts__receipt__in=group)
        wider = group | set(ReceiptPart.objects.filter(allocation__in=shared).values_list("receipt_id", flat=True))
        if wider == group:
            break
        group = wider
    others = ChannelReceipt.objects.filter(pk__in=group - {receipt.pk}).order_by("channel_date")
    return [receipt, *others]


def lines_of_receipt(receipt: ChannelReceipt) -> list[ReceiptPart]:
    """The parts of bank lines that make up what a day has received, with their lines."""
    return list(
        ReceiptPart.objects.filter(receipt=receipt, allocation__is_current=True)
        .select_related("allocation__bank_line__bank_account")
        .order_by("allocation__bank_line_id")
    )
