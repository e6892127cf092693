"""Which days may go into the archive, and which not yet: whatever is still worked on stays where it is.

A day goes only when it is closed and sealed and nothing of it waits any more: no open item, no case, no transaction or
refund without an end, no bill without a decision, no receipt that is awaited, no sheet that is not paid. What stands in
the way is said for each day. See docs/archive.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.db.models import Max, Q
from django.utils.translation import gettext as _

from payops.accounts.choices import DayState
from payops.accounts.days import day_digests
from payops.accounts.models import AccountingDay, Entry, Voucher
from payops.channels.choices import FileState
from payops.channels.models import BillFile
from payops.core.archive import (
    Partition,
    archived_on,
    partition_archive,
    partition_restore,
    partitions_of,
    unfinished,
)
from payops.core.errors import PayopsError
from payops.core.ids import id_range
from payops.core.models import ArchivedPartition
from payops.core.partitions import DayPartitionedModel, partitioned_models
from payops.discrepancies.choices import OPEN_STATES
from payops.discrepancies.models import Discrepancy
from payops.orders.models import OpenTransaction, Transaction
from payops.reconciliation.choices import ItemState, ReceiptState, RunState
from payops.reconciliation.models import ChannelReceipt, OpenItem, ReconRun
from payops.settlement.choices import HoldState, SheetState
from payops.settlement.models import ClearingHold, ClearingItem

LEAST_DAYS: Final = 35
"""A month and the window in which a transaction's day may move."""

UNPAID: Final = (SheetState.DRAFT.value, SheetState.READY.value, SheetState.IN_PAYMENT.value)
CARRIED: Final = (SheetState.CARRIED.value, SheetState.HELD.value, SheetState.FAILED.value, SheetState.RETURNED.value)
IN_SEAL: Final[dict[type[DayPartitionedModel], str]] = {Voucher: "vouchers", Entry: "entries"}


@dataclass(slots=True)
class ArchiveReport:
    """What one call archived (or, for a dry run, would archive) and why days stay."""

    archived: list[dict[str, Any]] = field(default_factory=list)
    obstacles: dict[dt.date, list[str]] = field(default_factory=dict)


def obstacles(day: dt.date) -> list[str]:
    """Sentences about what keeps the day's rows where they are; none when it may be archived."""
    return [sentence for check in CHECKS for sentence in check(day)]


def partitions_archive(
    *,
    older_than: int,
    tables: Sequence[str] = (),
    keep: bool = False,
    dry_run: bool = False,
    by: str,
    on_done: Callable[[dict[str, Any]], None] = lambda _done: None,
) -> ArchiveReport:
    """Archive the partitions of all days more than `older_than` days before the open day that nothing keeps.

    Partitions an interrupted call left half-way are finished first. Raises PayopsError 'archive.too_young' below
    LEAST_DAYS and 'archive.unknown_table'.
    """
    models = _models(tables)
    if older_than < LEAST_DAYS:
        raise PayopsError(
            "archive.too_young",
            _("Days are archived after %(least)d days at the earliest; %(days)d is too few.")
            % {"least": LEAST_DAYS, "days": older_than},
            {"days": older_than},
        )
    report = ArchiveReport()
    for partition in _due(models, older_than, report):
        done = {"table": partition.parent, "partition": partition.name, "day": partition.day.isoformat()}
        if not dry_run:
            row = partition_archive(partition, by=by, keep=keep, ledger_digest=_ledger_digest(partition))
            done |= {"rows": row.rows, "file": row.path, "sha256": row.sha256}
        report.archived.append(done)
        on_done(done)
    return report


def _models(tables: Sequence[str]) -> list[type[DayPartitionedModel]]:
    known = {model._meta.db_table: model for model in partitioned_models()}
    unknown = sorted(set(tables) - set(known))
    if unknown:
        raise PayopsError(
            "archive.unknown_table",
            _("%(tables)s is not kept by day. There are: %(known)s.")
            % {"tables": ", ".join(unknown), "known": ", ".join(known)},
            {"tables": unknown},
        )
    return [known[table] for table in (tables or known)]


def _due(models: list[type[DayPartitionedModel]], older_than: int, report: ArchiveReport) -> Iterator[Partition]:
    for model in models:
        yield from (partition for partition, _row in unfinished(model))
    newest = AccountingDay.objects.order_by("-day").values_list("day", flat=True).first()
    if newest is None:
        return
    before = newest - dt.timedelta(days=older_than)
    for model in models:
        for partition in partitions_of(model):
            if partition.day >= before:
                break
            if partition.day not in report.obstacles:
                report.obstacles[partition.day] = obstacles(partition.day)
            if not report.obstacles[partition.day]:
                yield partition
    report.obstacles = {day: found for day, found in sorted(report.obstacles.items()) if found}


def _ledger_digest(partition: Partition) -> dict[str, Any] | None:
    """What the seal of the day holds of these rows, while they can still be read."""
    name = IN_SEAL.get(partition.model)
    return day_digests(partition.day)[name] if name else None


def partitions_restore(*, day: dt.date, tables: Sequence[str] = (), by: str) -> list[ArchivedPartition]:
    """Bring back what of a day is in the archive; PayopsError 'archive.nothing' when there is none."""
    rows = [(model, row) for model in _models(tables) for row in archived_on(model, day)]
    if not rows:
        raise PayopsError(
            "archive.nothing",
            _("Nothing of %(day)s is in the archive.") % {"day": day.isoformat()},
            {"day": day.isoformat()},
        )
    return [partition_restore(model, row, by=by) for model, row in rows]


def retention_days() -> int:
    """After how many days the institution archives (PAYOPS_ARCHIVE_AFTER_DAYS)."""
    return settings.PAYOPS_ARCHIVE_AFTER_DAYS


# --- what may stand in the way ----------------------------------------------------------------------------------------


def _not_sealed(day: dt.date) -> Iterator[str]:
    row = AccountingDay.objects.filter(day=day).first()
    if row is None:
        yield _("it never was an accounting day")
    elif row.state != DayState.CLOSED or not row.seal:
        yield _("it is not closed and sealed")


def _open_items(day: dt.date) -> Iterator[str]:
    lo, hi = id_range(day, day)
    live = OpenItem.objects.filter(state__in=[ItemState.IN_DOUBT.value, ItemState.DEFINITE.value])
    number = live.filter(
        Q(first_date=day)
        | Q(transaction_id__gte=lo, transaction_id__lt=hi)
        | Q(bill_line_id__gte=lo, bill_line_id__lt=hi)
    ).count()
    if number:
        yield _("open items: %d") % number


def _open_cases(day: dt.date) -> Iterator[str]:
    lo, hi = id_range(day, day)
    of_day = Q(business_date=day) | Q(transaction_id__gte=lo, transaction_id__lt=hi)
    numbers = list(
        Discrepancy.objects.filter(of_day | Q(bill_line_id__gte=lo, bill_line_id__lt=hi), state__in=OPEN_STATES)
        .order_by("case_no")
        .values_list("case_no", flat=True)[:6]
    )
    if numbers:
        yield _("open cases: %s") % _listed(numbers)


def _open_transactions(day: dt.date) -> Iterator[str]:
    lo, hi = id_range(day, day)
    number = OpenTransaction.objects.filter(Q(own_date=day) | Q(transaction_id__gte=lo, transaction_id__lt=hi)).count()
    if number:
        yield _("transactions without an end: %d") % number
    live = list(OpenTransaction.objects.values_list("transaction_id", flat=True))
    waiting = Transaction.objects.filter(id__in=live, original_id__gte=lo, original_id__lt=hi).count()
    if waiting:
        yield _("refunds of its payments without an end: %d") % waiting
    latest = Transaction.objects.for_days(day).aggregate(latest=Max("own_date"))["latest"]
    if latest and latest != day and AccountingDay.objects.filter(day=latest).exclude(state=DayState.CLOSED).exists():
        yield _("some of its transactions belong to %s, which is not closed") % latest.isoformat()


def _undecided_bills(day: dt.date) -> Iterator[str]:
    waiting = BillFile.objects.filter(channel_date=day, state__in=[FileState.RECEIVED.value, FileState.HELD.value])
    names = list(waiting.order_by("pk").values_list("original_name", flat=True)[:6])
    if names:
        yield _("bills without a decision: %s") % _listed(names)
    if ReconRun.objects.filter(channel_date=day, state=RunState.RUNNING).exists():
        yield _("a run is under way")


def _awaited_receipts(day: dt.date) -> Iterator[str]:
    number = ChannelReceipt.objects.filter(channel_date=day, state=ReceiptState.WAITING.value).count()
    if number:
        yield _("receipts not yet seen: %d") % number


def _unpaid_sheets(day: dt.date) -> Iterator[str]:
    items = ClearingItem.objects.filter(own_date=day)
    unsettled = items.filter(settlement_sheet=None).exclude(net=0).count()
    if unsettled:
        yield _("cleared and not yet settled: %d") % unsettled
    unpaid = Q(settlement_sheet__state__in=UNPAID) | Q(
        settlement_sheet__state__in=CARRIED, settlement_sheet__carried_to=None
    )
    numbers = list(
        items.filter(unpaid)
        .order_by("settlement_sheet__sheet_no")
        .values_list("settlement_sheet__sheet_no", flat=True)
        .distinct()[:6]
    )
    if numbers:
        yield _("settlement sheets not paid: %s") % _listed(numbers)
    held = ClearingHold.objects.filter(own_date=day, state=HoldState.HELD.value).count()
    if held:
        yield _("transactions kept out of clearing: %d") % held


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


CHECKS: Final[tuple[Callable[[dt.date], Iterator[str]], ...]] = (
    _not_sealed,
    _open_items,
    _open_cases,
    _open_transactions,
    _undecided_bills,
    _awaited_receipts,
    _unpaid_sheets,
)
