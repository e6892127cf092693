"""What earlier runs left behind, put back to how it was before the day at hand was first run.

A re-run starts from the items open at the end of the previous date's run. So items first seen by runs of this date are
decided anew, items they cleared or made definite are seen as they were before, and what other dates' runs or people
have acted on since stays as it is (DOMAIN 7.2).
"""

import hashlib
from dataclasses import dataclass, field
from datetime import date

from django.db.models import Q

from payops.channels.models import BillLine, ChannelContract
from payops.discrepancies.choices import CaseState
from payops.reconciliation.choices import ItemSide, ItemState
from payops.reconciliation.classify import Difference, PoolItem
from payops.reconciliation.models import MatchLink, OpenItem, ReconRun
from payops.reconciliation.rows import LineRow, line_rows_of, own_rows_of

LIVE = (ItemState.IN_DOUBT, ItemState.DEFINITE)
TRACKED = (
    "state",
    "result",
    "definite_date",
    "definite_run_id",
    "cleared_date",
    "cleared_run_id",
    "transaction_id",
    "bill_line_id",
)


def identity_of(difference: Difference) -> str:
    """What makes two findings the same difference: side, row and, for a pair, what differs. Survives a re-issue."""
    own, line = difference.own, difference.line
    parts = [difference.side.value]
    if own is not None:
        parts.append(str(own.id))
    if line is not None:
        parts += [line.key, str(line.kind), line.trade_no]
    if difference.side == ItemSide.PAIR:
        parts.append(difference.result.value)
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Before:
    """The state a run starts from."""

    pool: list[PoolItem] = field(default_factory=list)
    stored: dict[int, tuple] = field(default_factory=dict)
    redo: dict[str, OpenItem] = field(default_factory=dict)
    frozen: list[OpenItem] = field(default_factory=list)
    unlinked: list[int] = field(default_factory=list)


def snapshot(item: OpenItem) -> tuple:
    """The fields a run may change, to write only what did change."""
    return tuple(getattr(item, name) for name in TRACKED)


def load_before(contract: ChannelContract, day: date, batch: int) -> Before:
    """Read the contract's items and undo, in memory, what earlier runs of this day did to them."""
    of_day = ReconRun.objects.filter(contract=contract, channel_date=day, batch=batch).values_list("pk", flat=True)
    run_ids = set(of_day)
    before = Before()
    items = list(
        OpenItem.objects.filter(contract=contract)
        .filter(Q(state__in=LIVE) | Q(first_run__in=run_ids) | Q(cleared_run__in=run_ids))
        .exclude(state=ItemState.WITHDRAWN)
        .select_related("case", "contract")
        .order_by("id")
    )
    before.stored = {item.pk: snapshot(item) for item in items}
    of_others = []
    for item in items:
        if item.first_run_id not in run_ids:
            of_others.append(item)
        elif _acted_on(item, run_ids):
            before.frozen.append(item)
        else:
            before.redo[item.identity] = item
    # A pair that was acted on keeps the clearing it came from: undone, its half would look unmatched.
    kept = {item.transaction_id for item in before.frozen if item.side == ItemSide.PAIR}
    pooled = []
    for item in of_others:
        if item.state == ItemState.RESOLVED or (item.state == ItemState.CLEARED and item.transaction_id in kept):
            continue
        if item.state == ItemState.CLEARED:
            before.unlinked.append(item.transaction_id)
        _undo(item, run_ids)
        if item.side != ItemSide.PAIR:
            pooled.append(item)
    before.pool = _with_rows(pooled, contract)
    return before


def _acted_on(item: OpenItem, run_ids: set[int]) -> bool:
    if item.state == ItemState.RESOLVED:
        return True
    if item.state == ItemState.CLEARED and item.cleared_run_id not in run_ids:
        return True
    return item.case is not None and item.case.state in (CaseState.BOOKED, CaseState.CLOSED)


def _undo(item: OpenItem, run_ids: set[int]) -> None:
    if item.cleared_run_id in run_ids:
        item.cleared_run_id = item.cleared_date = None
        item.state = ItemState.DEFINITE if item.definite_run_id else ItemState.IN_DOUBT
        if item.side == ItemSide.OWN:
            item.bill_line_id = None
        else:
            item.transaction_id = None
    if item.definite_run_id in run_ids:
        item.definite_run_id = item.definite_date = None
        item.state = ItemState.IN_DOUBT


def _with_rows(items: list[OpenItem], contract: ChannelContract) -> list[PoolItem]:
    own = own_rows_of([i.transaction_id for i in items if i.side == ItemSide.OWN])
    lines = line_rows_of([i.bill_line_id for i in items if i.side == ItemSide.CHANNEL], contract)
    return [
        PoolItem(item, own=own.get(item.transaction_id))
        if item.side == ItemSide.OWN
        else PoolItem(item, line=lines.get(item.bill_line_id))
        for item in items
    ]


@dataclass(slots=True)
class Skips:
    """Rows of the day that are spoken for and stay out of the join, with what a re-issue changed about them."""

    own: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    changed: list[tuple[LineRow, LineRow | None]] = field(default_factory=list)


def frozen_rows(frozen: list[OpenItem], contract: ChannelContract, line_lo: int, line_hi: int) -> Skips:
    """The rows of frozen items; lines of a superseded file are found again in the new one by key and trade number."""
    skips = Skips(own=[item.transaction_id for item in frozen if item.transaction_id and item.side != ItemSide.CHANNEL])
    stale = []
    for item in frozen:
        if item.bill_line_id is None or item.side == ItemSide.OWN:
            continue
        if line_lo <= item.bill_line_id < line_hi:
            skips.lines.append(item.bill_line_id)
        else:
            stale.append(item)
    if stale:
        _find_again(stale, skips, contract, line_lo, line_hi)
    return skips


def _find_again(stale: list[OpenItem], skips: Skips, contract: ChannelContract, lo: int, hi: int) -> None:
    old = line_rows_of([item.bill_line_id for item in stale], contract)
    keys = {line.key for line in old.values()}
    ids = BillLine.objects.in_range(lo, hi).filter(match_key__in=keys).values_list("pk", flat=True)
    again = {(line.key, line.kind, line.trade_no): line for line in line_rows_of(ids, contract).values()}
    for item in stale:
        was = old[item.bill_line_id]
        now = again.get((was.key, was.kind, was.trade_no))
        if now is not None:
            skips.lines.append(now.id)
            MatchLink.objects.filter(bill_line_id=was.id).update(bill_line_id=now.id)
            OpenItem.objects.filter(pk=item.pk).update(bill_line_id=now.id)
        if now is None or now.value != was.value:
            skips.changed.append((was, now))
