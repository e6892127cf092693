"""What each difference is: pure decisions over the few rows the join did not match (DOMAIN 7.2).

Nothing here touches the database; the caller hands in everything and applies the `Outcome`. Amounts are minor units,
d = channel − own with the sign of channel pending clearing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from payops.discrepancies.choices import ReasonCode
from payops.orders.choices import Kind, Status
from payops.reconciliation.choices import GroupBy, ItemSide, ItemState, ResultKind
from payops.reconciliation.matching.groups import Grouped, Residue, find_groups, line_offsets, own_offsets
from payops.reconciliation.models import OpenItem
from payops.reconciliation.rows import LineRow, OwnRow
from payops.reconciliation.windows import DoubtWindow

Row = TypeVar("Row", OwnRow, LineRow)
UNDECIDED = {Status.CREATED, Status.PROCESSING, Status.UNKNOWN}


@dataclass(frozen=True, slots=True)
class PoolItem:
    """An open item carried into this run with the row it stands for."""

    item: OpenItem
    own: OwnRow | None = None
    line: LineRow | None = None


@dataclass(slots=True)
class Difference:
    """An item this run sees for the first time.

    `change_no` counts the items that were acted on before on the same line: the difference is what changed since.
    """

    result: ResultKind
    side: ItemSide
    state: ItemState
    d: int
    own: OwnRow | None = None
    line: LineRow | None = None
    reason: ReasonCode = ReasonCode.OTHER
    fee_claim: int = 0
    related: OwnRow | None = None
    change_no: int = 0


@dataclass(slots=True)
class Clearing:
    """A pool item whose other half arrived."""

    pooled: PoolItem
    result: ResultKind
    own: OwnRow
    line: LineRow


@dataclass(slots=True)
class Outcome:
    """Everything a run decided."""

    new: list[Difference] = field(default_factory=list)
    notes: list[Difference] = field(default_factory=list)
    cleared: list[Clearing] = field(default_factory=list)
    definite: list[PoolItem] = field(default_factory=list)
    dropped: list[PoolItem] = field(default_factory=list)
    gone: list[PoolItem] = field(default_factory=list)
    recovered: list[tuple[OwnRow, LineRow]] = field(default_factory=list)
    set_failed: list[OwnRow] = field(default_factory=list)
    refunds_failed: list[OwnRow] = field(default_factory=list)
    groups: list[Grouped] = field(default_factory=list)
    discounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run knows besides its rows.

    `own_elsewhere` holds transactions of ours of any other day by (key, kind); `runs_done` the contract's dates with a
    complete run; `recovered_keys` what an earlier run of this same day recovered as lost; `kept_own` and `kept_lines`
    the keys of the day's rows that are spoken for, each with the id after which a row of it is a duplicate;
    `kept_apart` pairs of rows that do not take each other back, whatever they look like.
    """

    day: date
    window: DoubtWindow
    check_fee: bool
    tolerance: int
    own_elsewhere: dict[tuple[str, int], OwnRow]
    runs_done: frozenset[date]
    recovered_keys: frozenset[tuple[str, int]] = frozenset()
    kept_own: Mapping[tuple[str, int], int] = field(default_factory=dict)
    kept_lines: Mapping[tuple[str, int], int] = field(default_factory=dict)
    group_by: GroupBy = GroupBy.NONE
    kept_apart: Collection[frozenset[str]] = ()


class Judge:
    """Takes the leftovers of the join and decides, in the order of DOMAIN 7.2."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.outcome = Outcome()

    def decide(
        self,
        *,
        pairs: list[tuple[OwnRow, LineRow]],
        own_left: list[OwnRow],
        lines_left: list[LineRow],
        repeated_own: list[OwnRow],
        repeated_lines: list[LineRow],
        pool: list[PoolItem],
    ) -> Outcome:
        """All leftovers of one run; each row ends in exactly one place of the outcome."""
        own_left, lines_left, pool = self._try_pool(own_left, lines_left, pool)
        residue = Residue(pairs, own_left, lines_left, repeated_own, repeated_lines, pool)
        self._group(residue)
        for own, line in residue.pairs:
            self._pair(own, line)
        for own in residue.repeated_own:
            self._repeated_own(own)
        for line in residue.repeated_lines:
            self._repeated_line(line)
        self._offset(residue)
        own_left, lines_left = self._kind_mismatches(residue.own, residue.lines)
        for own, again in _told_apart(own_left, self.around.kept_own):
            self._own_alone(own, again)
        for line, again in _told_apart(lines_left, self.around.kept_lines):
            self._line_alone(line, again)
        for pooled in residue.pool:
            self._still_open(pooled)
        return self.outcome

    # --- both halves are there ------------------------------------------------------------------------------------

    def _pair(self, own: OwnRow, line: LineRow) -> None:
        if not own.counts:
            self._lost(own, line)
            return
        self._take_discount(own, line)
        self._compare(own, line)

    def _take_discount(self, own: OwnRow, line: LineRow) -> None:
        if line.discount:
            self.outcome.discounts[own.merchant_no] += line.discount

    def _compare(self, own: OwnRow, line: LineRow) -> None:
        """Amount, currency and fee of a pair; each difference is one discrepancy with both values."""
        d = own.sign * (line.amount - own.amount)
        if own.currency != line.currency:
            self._pair_difference(ResultKind.CURRENCY, own, line, d, ReasonCode.OTHER)
        elif d:
            self._pair_difference(ResultKind.AMOUNT, own, line, d, ReasonCode.AMOUNT_CHANGED)
        elif not self._fee_agrees(own, line):
            claim = max(line.fee - own.expected_cost, 0)
            self._pair_difference(ResultKind.FEE, own, line, 0, ReasonCode.FEE_RATE, claim)

    def _fee_agrees(self, own: OwnRow, line: LineRow) -> bool:
        around = self.around
        if not around.check_fee or abs(line.fee - own.expected_cost) <= around.tolerance:
            return True
        if not line.discount:
            return False
        # The channel takes its fee on what was paid after the merchant's discount; we knew the gross amount only.
        paid = line.amount - line.sign * line.discount
        return abs(line.fee * line.amount - own.expected_cost * paid) <= (around.tolerance + 1) * line.amount

    def _pair_difference(
        self, result: ResultKind, own: OwnRow, line: LineRow, d: int, reason: ReasonCode, claim: int = 0
    ) -> None:
        self.outcome.new.append(
            Difference(result, ItemSide.PAIR, ItemState.DEFINITE, d, own, line, reason, fee_claim=claim)
        )

    def _lost(self, own: OwnRow, line: LineRow) -> None:
        """Channel success for an order of ours that is not: the line stands alone for this day, the order is recovered.

        A closed order or a merchant who may not take payments is left to a person.
        """
        self.outcome.new.append(
            Difference(
                ResultKind.STATUS,
                ItemSide.CHANNEL,
                ItemState.DEFINITE,
                line.value,
                line=line,
                reason=ReasonCode.LATE_SUCCESS if own.status == Status.CLOSED else ReasonCode.LOST_ORDER,
                related=own,
            )
        )
        if own.status != Status.CLOSED and own.merchant_status not in ("suspended", "closed"):
            self.outcome.recovered.append((own, line))

    # --- items carried into this run ------------------------------------------------------------------------------

    def _try_pool(
        self, own_left: list[OwnRow], lines_left: list[LineRow], pool: list[PoolItem]
    ) -> tuple[list[OwnRow], list[LineRow], list[PoolItem]]:
        # Of several with one key the oldest is the one that waits for its other half; the others are its duplicates.
        oldest_last = pool[::-1]
        lines = [p for p in oldest_last if p.item.side == ItemSide.CHANNEL and p.line]
        waiting_lines = {(p.line.key, p.line.kind): p for p in lines}
        waiting_own = {(p.own.key, p.own.kind): p for p in oldest_last if p.item.side == ItemSide.OWN and p.own}
        done: set[int] = set()
        rest_own = []
        for own in own_left:
            pooled = waiting_lines.get((own.key, own.kind))
            if pooled is None or pooled.item.pk in done:
                rest_own.append(own)
            elif own.counts:
                done.add(pooled.item.pk)
                self._clear(pooled, ResultKind.CHANNEL_CLEARED, own, pooled.line)
            else:
                self.outcome.recovered.append((own, pooled.line))
        rest_lines = []
        for line in lines_left:
            pooled = waiting_own.get((line.key, line.kind))
            if pooled is None or pooled.item.pk in done:
                rest_lines.append(line)
                continue
            done.add(pooled.item.pk)
            if pooled.own.counts:
                self._clear(pooled, ResultKind.OWN_CLEARED, pooled.own, line)
            else:
                self.outcome.dropped.append(pooled)
                self._lost(pooled.own, line)
        for key, pooled in waiting_own.items():
            other = waiting_lines.get(key)
            if other and pooled.own.counts and not {pooled.item.pk, other.item.pk} & done:
                done |= {pooled.item.pk, other.item.pk}
                self._clear(pooled, ResultKind.OWN_CLEARED, pooled.own, other.line)
                self.outcome.cleared.append(Clearing(other, ResultKind.CHANNEL_CLEARED, pooled.own, other.line))
        return rest_own, rest_lines, [p for p in pool if p.item.pk not in done]

    def _clear(self, pooled: PoolItem, result: ResultKind, own: OwnRow, line: LineRow) -> None:
        self.outcome.cleared.append(Clearing(pooled, result, own, line))
        self._take_discount(own, line)
        self._compare(own, line)

    def _still_open(self, pooled: PoolItem) -> None:
        """Carried once and still unmatched: definite now. What has no amount yet waits or is set failed."""
        item = pooled.item
        if item.state != ItemState.IN_DOUBT or item.side == ItemSide.PAIR:
            return
        if not self._carried_once(item):
            return
        if pooled.own is not None and not pooled.own.counts:
            if self._settle_absent(pooled.own):
                self.outcome.dropped.append(pooled)
            return
        self.outcome.definite.append(pooled)

    def _carried_once(self, item: OpenItem) -> bool:
        return item.first_date < self.around.day and self._next_day_ran(item.first_date)

    def _next_day_ran(self, first: date) -> bool:
        following = date.fromordinal(first.toordinal() + 1)
        return following == self.around.day or following in self.around.runs_done

    # --- one half alone -------------------------------------------------------------------------------------------

    def _repeated_own(self, own: OwnRow) -> None:
        if own.counts:
            self._own_difference(ResultKind.DUPLICATE_OWN, ItemState.DEFINITE, own, ReasonCode.DUPLICATE)

    def _repeated_line(self, line: LineRow) -> None:
        self._line_difference(ResultKind.DUPLICATE_CHANNEL, ItemState.DEFINITE, line, ReasonCode.DUPLICATE)

    # --- several that answer one, and what cancels on one side ------------------------------------------------------

    def _group(self, residue: Residue) -> None:
        found = find_groups(residue, self.around.group_by, self._fees_agree)
        residue.take(found)
        self.outcome.groups += found
        for group in found:
            for line in group.lines:
                self._take_discount(group.own[0], line)

    def _fees_agree(self, own: list[OwnRow], lines: list[LineRow]) -> bool:
        """Within the tolerance of each line; besides, every row on either side is rounded by half a unit at most."""
        off = sum(line.fee for line in lines) - sum(row.expected_cost for row in own)
        rounding = (len(own) + len(lines)) // 2
        return not self.around.check_fee or abs(off) <= self.around.tolerance * len(lines) + rounding

    def _offset(self, residue: Residue) -> None:
        """What cancels on one side alone and need not wait any more leaves without a case.

        Inside the window both halves wait: they may stand in the next bill together.
        """
        around = self.around
        ripe = [pooled for pooled in residue.pool if pooled.item.d and self._waits_no_more(pooled)]
        own_rows = (own for own in residue.own if not around.window.covers(own.at))
        found = own_offsets(own_rows, ripe, around.kept_apart)
        lines = (
            line
            for line in residue.lines
            if not around.window.covers(line.at)
            and (line.key, line.kind) not in around.own_elsewhere
            and (line.key, line.kind) not in around.recovered_keys
        )
        found += line_offsets(lines, ripe, around.kept_apart)
        residue.take(found)
        self.outcome.groups += found

    def _waits_no_more(self, pooled: PoolItem) -> bool:
        item = pooled.item
        if item.state == ItemState.DEFINITE:
            return item.result in (ResultKind.OWN_ONLY, ResultKind.CHANNEL_ONLY)
        return self._carried_once(item)

    def _kind_mismatches(self, own_left: list[OwnRow], lines_left: list[LineRow]) -> tuple[list[OwnRow], list[LineRow]]:
        by_key = {own.key: own for own in own_left if own.counts}
        rest = []
        for line in lines_left:
            own = by_key.pop(line.key, None)
            if own is None:
                rest.append(line)
                continue
            self._pair_difference(ResultKind.KIND, own, line, line.value - own.value, ReasonCode.OTHER)
        paired = {d.own.id for d in self.outcome.new if d.result == ResultKind.KIND}
        return [own for own in own_left if own.id not in paired], rest

    def _own_alone(self, own: OwnRow, again: bool) -> None:
        inside = self.around.window.covers(own.at)
        if not own.counts:
            waits = own.kind == Kind.REFUND and own.status in UNDECIDED
            if inside or waits:
                self._own_difference(ResultKind.OWN_IN_DOUBT, ItemState.IN_DOUBT, own, ReasonCode.CUT_OFF)
            else:
                self._settle_absent(own)
            return
        elsewhere = self.around.own_elsewhere.get((own.key, own.kind))
        if again:
            self._own_difference(ResultKind.DUPLICATE_OWN, ItemState.DEFINITE, own, ReasonCode.DUPLICATE)
        elif elsewhere is not None and elsewhere.counts and elsewhere.own_date < own.own_date:
            self._own_difference(ResultKind.DUPLICATE_OWN, ItemState.DEFINITE, own, ReasonCode.DUPLICATE, elsewhere)
        elif inside:
            self._own_difference(ResultKind.OWN_IN_DOUBT, ItemState.IN_DOUBT, own, ReasonCode.CUT_OFF)
        else:
            self._own_difference(ResultKind.OWN_ONLY, ItemState.DEFINITE, own, ReasonCode.NOT_AT_CHANNEL)

    def _settle_absent(self, own: OwnRow) -> bool:
        """An order without result that the channel does not know has failed; a failed refund is confirmed failed."""
        if own.kind == Kind.REFUND:
            if own.status in UNDECIDED:
                return False
            self.outcome.refunds_failed.append(own)
        elif own.status in UNDECIDED:
            self.outcome.set_failed.append(own)
        return True

    def _line_alone(self, line: LineRow, again: bool) -> None:
        ours = self.around.own_elsewhere.get((line.key, line.kind))
        if again:
            self._line_difference(ResultKind.DUPLICATE_CHANNEL, ItemState.DEFINITE, line, ReasonCode.DUPLICATE, ours)
        elif ours is not None and not ours.counts:
            self._lost(ours, line)
        elif (line.key, line.kind) in self.around.recovered_keys:
            self._line_difference(ResultKind.STATUS, ItemState.DEFINITE, line, ReasonCode.LOST_ORDER, ours)
        elif ours is not None and ours.own_date <= self.around.day:
            self._line_difference(ResultKind.DUPLICATE_CHANNEL, ItemState.DEFINITE, line, ReasonCode.DUPLICATE, ours)
        elif self.around.window.covers(line.at):
            self._line_difference(ResultKind.CHANNEL_IN_DOUBT, ItemState.IN_DOUBT, line, ReasonCode.CUT_OFF)
        else:
            self._line_difference(ResultKind.CHANNEL_ONLY, ItemState.DEFINITE, line, ReasonCode.NOT_OURS)

    def _own_difference(
        self, result: ResultKind, state: ItemState, own: OwnRow, reason: ReasonCode, related: OwnRow | None = None
    ) -> None:
        self.outcome.new.append(
            Difference(result, ItemSide.OWN, state, -own.value, own=own, reason=reason, related=related)
        )

    def _line_difference(
        self, result: ResultKind, state: ItemState, line: LineRow, reason: ReasonCode, related: OwnRow | None = None
    ) -> None:
        self.outcome.new.append(
            Difference(result, ItemSide.CHANNEL, state, line.value, line=line, reason=reason, related=related)
        )


def _told_apart(rows: list[Row], kept: Mapping[tuple[str, int], int]) -> Iterator[tuple[Row, bool]]:
    """Rows by age, each with whether one of the same key and kind stands before it; what does not count is none."""
    before = dict(kept)
    for row in sorted(rows, key=lambda left: left.id):
        key = (row.key, row.kind)
        yield row, key in before and before[key] < row.id
        if row.value:
            before[key] = min(row.id, before.get(key, row.id))
