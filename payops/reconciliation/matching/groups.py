"""One-to-many, many-to-one and internal offset among the rows a run could not match one to one (DOMAIN 7.2).

Pure decisions: nothing here touches the database. Only exact sums are found, of one kind and currency, under the key
the contract's matching rule names; everything else stays a difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from payops.orders.choices import Kind, Origin
from payops.reconciliation.choices import GroupBy, GroupKind, ResultKind
from payops.reconciliation.rows import REVERSE_KINDS, LineRow, OwnRow

if TYPE_CHECKING:
    from payops.reconciliation.classify import PoolItem


@dataclass(slots=True)
class Grouped:
    """Rows that answer each other: `own` and `lines` with those of earlier days, `pooled` the items of the latter."""

    result: ResultKind
    own: list[OwnRow] = field(default_factory=list)
    lines: list[LineRow] = field(default_factory=list)
    pooled: list[PoolItem] = field(default_factory=list)

    @property
    def kind(self) -> GroupKind | None:
        """What it is stored as; None for an offset, which claims nothing of the other side."""
        return None if self.result == ResultKind.OFFSET else GroupKind(self.result.value)


@dataclass(slots=True)
class Residue:
    """What the join and the waiting items left over; groups take rows out of it.

    `pairs` have one key and another amount: where the rest of the amount stands beside them they are no difference.
    """

    pairs: list[tuple[OwnRow, LineRow]]
    own: list[OwnRow]
    lines: list[LineRow]
    repeated_own: list[OwnRow]
    repeated_lines: list[LineRow]
    pool: list[PoolItem]

    def take(self, groups: Iterable[Grouped]) -> None:
        """Leave only what is in none of the groups."""
        taken = list(groups)
        own = {row.id for group in taken for row in group.own}
        lines = {row.id for group in taken for row in group.lines}
        items = {pooled.item.pk for group in taken for pooled in group.pooled}
        self.pairs = [pair for pair in self.pairs if pair[0].id not in own]
        self.own = [row for row in self.own if row.id not in own]
        self.repeated_own = [row for row in self.repeated_own if row.id not in own]
        self.lines = [row for row in self.lines if row.id not in lines]
        self.repeated_lines = [row for row in self.repeated_lines if row.id not in lines]
        self.pool = [pooled for pooled in self.pool if pooled.item.pk not in items]


FeesAgree = Callable[[list[OwnRow], list[LineRow]], bool]

_OWN_KEYS: dict[GroupBy, Callable[[OwnRow], str]] = {
    GroupBy.KEY: lambda own: own.key,
    GroupBy.REQUEST: lambda own: own.key,
    GroupBy.ORDER: lambda own: own.order_no,
    GroupBy.ORIGINAL: lambda own: own.original_key or own.key,
    GroupBy.TRADE: lambda own: own.trade_no,
}
_LINE_KEYS: dict[GroupBy, Callable[[LineRow], str]] = {
    GroupBy.KEY: lambda line: line.key,
    GroupBy.REQUEST: lambda line: line.order_no,
    GroupBy.ORDER: lambda line: line.order_no,
    GroupBy.TRADE: lambda line: line.trade_no,
}


def _line_keys(by: GroupBy, own_rows: Iterable[OwnRow]) -> Callable[[LineRow], str]:
    """What a line is grouped by; a bill that names the original's trade number only is read through our own rows."""
    if by != GroupBy.ORIGINAL:
        return _LINE_KEYS[by]
    named = {own.original_trade_no or own.trade_no: own.original_key or own.key for own in own_rows}
    named.pop("", None)
    return lambda line: line.order_no or named.get(line.original_trade_no, "")


def find_groups(residue: Residue, by: GroupBy, fees_agree: FeesAgree) -> list[Grouped]:
    """Split payments and lump lines; all rows of a key must be in it, one on one side, and the sums must be equal."""
    if by == GroupBy.NONE:
        return []
    buckets: dict[tuple[str, int, str], Grouped] = defaultdict(lambda: Grouped(ResultKind.SPLIT))
    own_key = _OWN_KEYS[by]
    differing = [(own, line) for own, line in residue.pairs if own.counts and own.amount != line.amount]
    own_rows = [*(own for own, _line in differing), *residue.own, *residue.repeated_own]
    line_key = _line_keys(by, [*own_rows, *(pooled.own for pooled in residue.pool if pooled.own is not None)])
    lines = [*(line for _own, line in differing), *residue.lines, *residue.repeated_lines]
    for own in own_rows:
        if own.counts:
            buckets[own_key(own), own.kind, own.currency].own.append(own)
    for line in lines:
        buckets[line_key(line), line.kind, line.currency].lines.append(line)
    for pooled in residue.pool:
        if pooled.own is not None and pooled.own.counts:
            bucket = buckets[own_key(pooled.own), pooled.own.kind, pooled.own.currency]
            bucket.own.append(pooled.own)
            bucket.pooled.append(pooled)
        elif pooled.line is not None:
            bucket = buckets[line_key(pooled.line), pooled.line.kind, pooled.line.currency]
            bucket.lines.append(pooled.line)
            bucket.pooled.append(pooled)
    paired = {own.id: line.id for own, line in differing}
    found = []
    for (key, _kind, _currency), bucket in buckets.items():
        if key and _is_whole(bucket, paired) and fees_agree(bucket.own, bucket.lines):
            bucket.result = ResultKind.SPLIT if len(bucket.own) == 1 else ResultKind.LUMP
            found.append(bucket)
    return found


def _is_whole(bucket: Grouped, paired: dict[int, int]) -> bool:
    """One against several, of the same sum; a pair is in it with both its halves or not at all."""
    fewer, more = sorted((len(bucket.own), len(bucket.lines)))
    if fewer != 1 or more < 2:
        return False
    if len(bucket.own) > 1 and any(line.discount for line in bucket.lines):
        return False
    lines = {line.id for line in bucket.lines}
    own = {row.id for row in bucket.own}
    if any(
        (row_id in own) != (line_id in lines)
        for row_id, line_id in paired.items()
        if {row_id} & own or {line_id} & lines
    ):
        return False
    return sum(row.amount for row in bucket.own) == sum(line.amount for line in bucket.lines)


# --- internal offset --------------------------------------------------------------------------------------------------


Apart = Collection[frozenset[str]]
"""Pairs of names two people said are no offset."""


def own_offsets(own: Iterable[OwnRow], pooled: Iterable[PoolItem], apart: Apart = ()) -> list[Grouped]:
    """A payment of ours and what takes all of it back, neither at the channel, cancel each other."""
    items = {item.own.id: item for item in pooled if item.own is not None}
    rows = sorted([*own, *(item.own for item in items.values())], key=lambda row: row.id)
    payments = {row.id: row for row in rows if row.counts and row.kind == Kind.PAYMENT}
    found = []
    for back in rows:
        if not back.counts or back.kind not in REVERSE_KINDS or back.origin == Origin.SURPLUS_REFUND:
            continue
        payment = payments.get(back.original_id)
        if payment is not None and frozenset((payment.name, back.name)) in apart:
            continue
        if payment is not None and (payment.amount, payment.currency) == (back.amount, back.currency):
            del payments[payment.id]
            both = [payment, back]
            found.append(
                Grouped(ResultKind.OFFSET, own=both, pooled=[items[row.id] for row in both if row.id in items])
            )
    return found


def line_offsets(lines: Iterable[LineRow], pooled: Iterable[PoolItem], apart: Apart = ()) -> list[Grouped]:
    """A line and the one that takes it back, neither with us: one key or trade number, worth nothing together."""
    items = {item.line.id: item for item in pooled if item.line is not None}
    rows = sorted([*lines, *(item.line for item in items.values())], key=lambda row: row.id)
    named: dict[str, list[LineRow]] = defaultdict(list)
    for line in rows:
        if line.kind == Kind.PAYMENT:
            for name in {line.key, line.trade_no} - {""}:
                named[name].append(line)
    found = []
    taken: set[int] = set()
    for back in rows:
        if back.kind not in REVERSE_KINDS:
            continue
        line = next(
            (
                line
                for name in (back.key, back.trade_no)
                for line in named.get(name, [])
                if line.id not in taken
                and line.value + back.value == 0
                and line.currency == back.currency
                and frozenset((line.name, back.name)) not in apart
            ),
            None,
        )
        if line is not None:
            taken.add(line.id)
            both = [line, back]
            found.append(
                Grouped(ResultKind.OFFSET, lines=both, pooled=[items[row.id] for row in both if row.id in items])
            )
    return found
