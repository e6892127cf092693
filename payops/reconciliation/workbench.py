"""What the workbench shows of one channel day: its state among the days around it, and its differences in pages.

Reads result rows, items, files and receipts; of transactions and bill lines only those of the page at hand, by key.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payops.accounts.choices import DayState
from payops.accounts.models import AccountingDay
from payops.channels.choices import BillType, FileState
from payops.channels.models import BillFile, BillLine, ChannelContract
from payops.discrepancies.choices import OPEN_STATES
from payops.identity.models import User
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemState, ResultKind
from payops.reconciliation.models import ChannelReceipt, OpenItem, ReconResult, ReconRun

DAYS_SHOWN: Final = 30


class DayMark(TextChoices):
    """Where a channel day stands, the least finished first. The colours: red is wrong, amber waits, green is done."""

    NONE = "none", _("No accounting day")
    AHEAD = "ahead", _("Not closed yet")
    NO_BILL = "no_bill", _("Bill missing")
    HELD = "held", pgettext_lazy("bill file", "Held")
    TO_RUN = "to_run", _("Ready to run")
    OPEN = "open", _("Differences open")
    WAITING = "waiting", _("Waiting for the other half")
    CLEAN = "clean", _("Nothing open")


MARK_TONES: Final = {
    DayMark.NONE: "base",
    DayMark.AHEAD: "base",
    DayMark.NO_BILL: "danger",
    DayMark.HELD: "danger",
    DayMark.TO_RUN: "info",
    DayMark.OPEN: "danger",
    DayMark.WAITING: "warning",
    DayMark.CLEAN: "success",
}


@dataclass(frozen=True, slots=True)
class TimelineDay:
    """One day of a contract: its mark, definite and in-doubt items first seen on it, its file, run and receipt."""

    day: dt.date
    mark: DayMark
    definite: int
    in_doubt: int
    file: BillFile | None
    run: ReconRun | None
    receipt: ChannelReceipt | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One result of a run with the rows of both sides, where there are any."""

    result: ReconResult
    own: Transaction | None
    line: BillLine | None


def timeline(contract: ChannelContract, last: dt.date, *, days: int = DAYS_SHOWN, batch: int = 1) -> list[TimelineDay]:
    """The days up to `last`, the earliest first: five queries however many days and lines there are."""
    first = last - dt.timedelta(days=days - 1)
    span = {"channel_date__range": (first, last)}
    bills = BillFile.objects.filter(contract=contract, batch=batch, bill_type=BillType.TRADE, **span)
    files = {file.channel_date: file for file in bills.defer("bad_lines", "totals").order_by("id")}
    accepted = {file.channel_date: file for file in files.values() if file.state == FileState.ACCEPTED}
    for file in bills.filter(state=FileState.ACCEPTED).defer("bad_lines", "totals"):
        accepted[file.channel_date] = file
    runs = {
        run.channel_date: run
        for run in ReconRun.objects.filter(contract=contract, batch=batch, is_current=True, **span)
    }
    receipts = {receipt.channel_date: receipt for receipt in ChannelReceipt.objects.filter(contract=contract, **span)}
    own_days = dict(AccountingDay.objects.filter(day__range=(first, last)).values_list("day", "state"))
    live = _live(contract, first, last)
    found = []
    for offset in range(days):
        day = first + dt.timedelta(days=offset)
        definite, in_doubt = live.get(day, (0, 0))
        file, run = files.get(day), runs.get(day)
        if run is not None:
            mark = DayMark.OPEN if definite else DayMark.WAITING if in_doubt else DayMark.CLEAN
        elif own_days.get(day) != DayState.CLOSED:
            mark = DayMark.AHEAD if day in own_days else DayMark.NONE
        elif day in accepted:
            mark = DayMark.TO_RUN
        else:
            mark = DayMark.HELD if file is not None and file.state == FileState.HELD else DayMark.NO_BILL
        found.append(TimelineDay(day, mark, definite, in_doubt, accepted.get(day, file), run, receipts.get(day)))
    return found


def _live(contract: ChannelContract, first: dt.date, last: dt.date) -> dict[dt.date, tuple[int, int]]:
    """Items still open by the day they were first seen on: definite, in doubt."""
    items = OpenItem.objects.filter(contract=contract, first_date__range=(first, last))
    counted = (
        items.filter(state__in=(ItemState.IN_DOUBT, ItemState.DEFINITE))
        .order_by()
        .values("first_date")
        .annotate(
            definite=Count("id", filter=Q(state=ItemState.DEFINITE)),
            in_doubt=Count("id", filter=Q(state=ItemState.IN_DOUBT)),
        )
    )
    return {row["first_date"]: (row["definite"], row["in_doubt"]) for row in counted}


def differences(run: ReconRun, *, kind: str = "", hands: str = "", user: User | None = None) -> QuerySet[ReconResult]:
    """Results of a run: of one kind, and by whose hands their cases are in.

    `hands` is 'open' (somebody still has to act), 'mine' (of `user`), 'nobody' (open and without an owner) or empty.
    """
    rows = run.result_rows.select_related("item", "case__owner")
    if kind:
        rows = rows.filter(kind=kind)
    still_open = Q(case__state__in=OPEN_STATES)
    conditions = {
        "open": still_open,
        "mine": still_open & Q(case__owner=user),
        "nobody": still_open & Q(case__owner=None),
    }
    return rows.filter(conditions[hands]) if hands in conditions else rows


def with_both_sides(results: Sequence[ReconResult]) -> list[Difference]:
    """The rows of a page with our transaction and the channel's line: two look-ups by key for all of them."""
    own_ids = [result.transaction_id for result in results if result.transaction_id]
    line_ids = [result.bill_line_id for result in results if result.bill_line_id]
    own = Transaction.objects.filter(pk__in=own_ids).select_related("merchant").in_bulk() if own_ids else {}
    lines = BillLine.objects.filter(pk__in=line_ids).in_bulk() if line_ids else {}
    return [Difference(result, own.get(result.transaction_id), lines.get(result.bill_line_id)) for result in results]


def kinds_of(run: ReconRun) -> list[tuple[ResultKind, dict[str, Any]]]:
    """Results by kind with count and amount, as the run wrote them down, in the order of DOMAIN 7.2."""
    return [(kind, run.results[kind.value]) for kind in ResultKind if kind.value in run.results]
