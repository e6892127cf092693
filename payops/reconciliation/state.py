"""What earlier runs left behind, put back to how it was before the day at hand was first run.

A re-run starts from the items open at the end of the previous date's run. So items first seen by runs of this date are
decided anew, items they cleared or made definite are seen as they were before, and what other dates' runs or people
have acted on since stays as it is (DOMAIN 7.2).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from django.db.models import Q
from django.utils.translation import gettext as _

from payops.channels.models import BillLine, ChannelContract
from payops.core.errors import PayopsError
from payops.core.ids import day_of
from payops.discrepancies.choices import CaseState, ReasonCode
from payops.reconciliation.choices import ItemSide, ItemState, ResultKind
from payops.reconciliation.classify import Difference, PoolItem
from payops.reconciliation.matching.claims import ByHand, follow_line, load_by_hand
from payops.reconciliation.models import MatchLink, OpenItem, ReconRun
from payops.reconciliation.rows import LineRow, OwnRow, line_rows_of, own_rows_of

LIVE = (ItemState.IN_DOUBT, ItemState.DEFINITE)
DUPLICATES = (ResultKind.DUPLICATE_OWN, ResultKind.DUPLICATE_CHANNEL)

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
    if difference.change_no:
        parts.append(str(difference.change_no))
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def base_of(identity: str) -> str:
    """The part of a stored identity that an item shares with those it replaced."""
    return identity[:30]


@dataclass(slots=True)
class Before:
    """The state a run starts from.

    `redo` are differences of this day that are decided anew, by the base of their identity; `frozen` those somebody
    acted on; `promoted` those another day's run made definite. The latter stand in the pool like items of other days.
    `pairs` are other days' mismatches, `replaced` those of them that a change of their line takes up. `by_hand` are
    items claimed by a match by hand: never tried again, cleared by the first run that sees them.
    """

    pool: list[PoolItem] = field(default_factory=list)
    stored: dict[int, tuple] = field(default_factory=dict)
    redo: dict[str, OpenItem] = field(default_factory=dict)
    frozen: list[OpenItem] = field(default_factory=list)
    promoted: list[OpenItem] = field(default_factory=list)
    unlinked: list[int] = field(default_factory=list)
    pairs: list[OpenItem] = field(default_factory=list)
    replaced: list[OpenItem] = field(default_factory=list)
    by_hand: ByHand = field(default_factory=ByHand)

    def kept_keys(self, side: ItemSide, gone: set[int]) -> dict[tuple[str, int], int]:
        """Keys of the day's rows on one side that stay out of the join: what has one of them too is a duplicate.

        With each key the id after which that holds: 0 where the first of the key is kept; where only a duplicate of it
        is, that row's own id, because the first is older and stays what it is. `gone` are promoted items whose line
        the bill does not have any more.
        """
        kept = (item for item in (*self.frozen, *self.promoted) if item.pk not in gone)
        kept = (item for item in kept if item.d or item.side == ItemSide.PAIR)
        keys: dict[tuple[str, int], int] = {}
        for item in kept:
            if item.side not in (side, ItemSide.PAIR):
                continue
            row_id = (item.transaction_id if side == ItemSide.OWN else item.bill_line_id) or 0
            after = row_id if item.result in DUPLICATES else 0
            key = (item.match_key, item.kind)
            keys[key] = min(after, keys.get(key, after))
        return keys


def snapshot(item: OpenItem) -> tuple:
    """The fields a run may change, to write only what did change."""
    return tuple(getattr(item, name) for name in TRACKED)


def item_write(before: Before, item: OpenItem) -> None:
    """Store what the run changed of an item, if nobody decided about it since the run read it.

    An action approved meanwhile took its difference out of suspense; written over, it would be cleared a second time.
    Raises PayopsError 'recon.changed_meanwhile' (retry), and nothing of the run is kept.
    """
    was = before.stored[item.pk]
    if snapshot(item) == was:
        return
    undecided = OpenItem.objects.filter(pk=item.pk, state=was[TRACKED.index("state")])
    if not undecided.update(**dict(zip(TRACKED, snapshot(item), strict=True))):
        raise PayopsError(
            "recon.changed_meanwhile",
            _("Somebody decided about %(key)s while the day was being run. Run it again.") % {"key": item.match_key},
            {"item": item.pk, "retryable": True},
        )


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
    before.by_hand = load_by_hand(contract, items, run_ids)
    of_others = []
    for item in items:
        if item.pk in before.by_hand.claimed:
            if item.first_run_id in run_ids:
                before.frozen.append(item)
        elif item.first_run_id not in run_ids:
            of_others.append(item)
        elif _acted_on(item, run_ids):
            before.frozen.append(item)
        elif item.definite_run_id is not None and item.definite_run_id not in run_ids:
            before.promoted.append(item)
        else:
            before.redo[base_of(item.identity)] = item
    # A pair that was acted on keeps the clearing it came from: undone, its half would look unmatched.
    kept = {item.transaction_id for item in before.frozen if item.side == ItemSide.PAIR}
    pooled = []
    for item in (*of_others, *before.promoted):
        if item.state == ItemState.RESOLVED or (item.state == ItemState.CLEARED and item.transaction_id in kept):
            continue
        if item.state == ItemState.CLEARED and item.side != ItemSide.PAIR:
            before.unlinked.append(item.transaction_id)
        _undo(item, run_ids)
        (before.pairs if item.side == ItemSide.PAIR else pooled).append(item)
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
        elif item.side == ItemSide.CHANNEL:
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


# --- rows of the day that are spoken for ------------------------------------------------------------------------------

LineName = tuple[str, int, str]


@dataclass(slots=True)
class Skips:
    """Rows of the day that are spoken for and stay out of the join, and what a re-issue changed about them.

    `gone` are promoted items whose line is not in the bill any more; `discounts` X of acted-on pairs by merchant.
    """

    own: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    changed: list[Difference] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    discounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def settled_rows(before: Before, contract: ChannelContract, day: date, lines: tuple[int, int]) -> Skips:
    """The rows of frozen and promoted items; `lines` is the id range of the bill.

    Lines of a superseded file are found again in the new one by key, kind and trade number. What they differ from the
    sum of what was acted on is a difference of its own.
    """
    spoken_for = [*before.frozen, *before.promoted]
    skips = Skips(own=[i.transaction_id for i in spoken_for if i.transaction_id and i.side != ItemSide.CHANNEL])
    known = line_rows_of([i.bill_line_id for i in spoken_for if i.bill_line_id and i.side != ItemSide.OWN], contract)
    now = _found_again(known.values(), contract, *lines)
    pairs = own_rows_of([i.transaction_id for i in before.frozen if i.transaction_id and i.side == ItemSide.PAIR])
    frozen: dict[LineName, list[OpenItem]] = defaultdict(list)
    for item in before.frozen:
        if item.side != ItemSide.OWN and item.bill_line_id in known:
            frozen[_name(known[item.bill_line_id])].append(item)
    follow_ups = _follow_ups(before, contract)
    for name, items in frozen.items():
        was = known[items[0].bill_line_id]
        if day_of(was.id) == day:
            difference = _compare_acted(skips, items, pairs, was, now.get(name), before.by_hand.claimed)
            _take_note(before, skips, difference, follow_ups.get(name))
        else:
            _take_discount(skips, _own_of(items, pairs), items, was)
    _follow_promoted(before, skips, known, now)
    return skips


def _name(line: LineRow) -> LineName:
    return line.key, line.kind, line.trade_no


def _found_again(lines: Iterable[LineRow], contract: ChannelContract, lo: int, hi: int) -> dict[LineName, LineRow]:
    keys = {line.key for line in lines}
    ids = BillLine.objects.in_range(lo, hi).filter(match_key__in=keys).values_list("pk", flat=True)
    return {_name(line): line for line in line_rows_of(ids, contract).values()}


def _own_of(items: list[OpenItem], pairs: dict[int, OwnRow]) -> OwnRow | None:
    return next((pairs[i.transaction_id] for i in items if i.side == ItemSide.PAIR and i.transaction_id), None)


def _take_discount(skips: Skips, own: OwnRow | None, items: list[OpenItem], line: LineRow) -> bool:
    """X of an acted-on pair goes on as it does for any pair; False where the pair is none that carries a discount."""
    if own is None or items[0].result == ResultKind.KIND:
        return False
    if line.discount:
        skips.discounts[own.merchant_no] += line.discount
    return True


def _compare_acted(
    skips: Skips,
    items: list[OpenItem],
    pairs: dict[int, OwnRow],
    was: LineRow,
    now: LineRow | None,
    by_hand: set[int],
) -> Difference:
    """The line against what the items on it claim: Σ d, and for a pair our own amount.

    A pair left by a match by hand stands in the place of the item that was cleared by it.
    """
    own = _own_of(items, pairs)
    claimed = sum(item.d for item in items if own is None or item.pk not in by_hand) + (own.value if own else 0)
    value = 0
    if now is not None:
        value = now.sign * now.amount if _take_discount(skips, own, items, now) else now.value
        skips.lines.append(now.id)
        # Only to a line that says the same: whoever cleared it must find what was cleared when that day runs again.
        if now.id != was.id and (now.value, now.amount, now.fee) == (was.value, was.amount, was.fee):
            MatchLink.objects.filter(bill_line_id=was.id).update(bill_line_id=now.id)
            OpenItem.objects.filter(bill_line_id=was.id, pk__in=[item.pk for item in items]).update(bill_line_id=now.id)
            follow_line(was.id, now.id)
    return Difference(
        ResultKind.AMOUNT,
        ItemSide.PAIR,
        ItemState.DEFINITE,
        value - claimed,
        own,
        now or was,
        ReasonCode.AMOUNT_CHANGED,
        change_no=len(items),
    )


def _follow_ups(before: Before, contract: ChannelContract) -> dict[LineName, OpenItem]:
    """Amount mismatches that another day's run found when it cleared a line of this day."""
    found = {i.bill_line_id: i for i in before.pairs if i.result == ResultKind.AMOUNT and i.transaction_id}
    return {_name(line): found[pk] for pk, line in line_rows_of(found, contract).items()}


def _take_note(before: Before, skips: Skips, difference: Difference, follow_up: OpenItem | None) -> None:
    """What changed is a difference; one that another day's run found on this line already is taken up in it.

    Side by side the two would stay in suspense as a surplus and a shortage of which nobody owes anything.
    """
    if difference.d == 0:
        return
    if follow_up is not None:
        before.replaced.append(follow_up)
        difference.d += follow_up.d
        difference.related = own_rows_of([follow_up.transaction_id])[follow_up.transaction_id]
    if difference.d:
        skips.changed.append(difference)


def _follow_promoted(before: Before, skips: Skips, known: dict[int, LineRow], now: dict[LineName, LineRow]) -> None:
    """Channel items made definite since: they stay while the bill still has their line as it was."""
    promoted = {item.pk for item in before.promoted}
    for position, pooled in enumerate(before.pool):
        item = pooled.item
        if item.pk not in promoted or item.side != ItemSide.CHANNEL:
            continue
        line = now.get(_name(known[item.bill_line_id]))
        if line is None or line.value != item.d:
            skips.gone.add(item.pk)
            continue
        item.bill_line_id = line.id
        skips.lines.append(line.id)
        before.pool[position] = PoolItem(item, line=line)
