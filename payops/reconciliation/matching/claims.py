"""Who claims which row: groups found by runs, groups made by hand, and what a run does about them.

A claim is a row of MatchMember, unique per transaction and per line among live groups; the database looks into the
links of one with one as well. Groups are only added and ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _

from payops.channels.models import ChannelContract
from payops.discrepancies import services as cases
from payops.discrepancies.choices import ReasonCode
from payops.reconciliation.choices import GroupKind, ItemSide, ItemState, ResultKind
from payops.reconciliation.models import MatchEnd, MatchGroup, MatchMember, OpenItem, ReconRun
from payops.reconciliation.rows import LineRow, OwnRow, line_rows_of, own_rows_of

if TYPE_CHECKING:
    from payops.reconciliation.classify import Difference
    from payops.reconciliation.matching.groups import Grouped
    from payops.reconciliation.state import Before

LIVE: Final = (ItemState.IN_DOUBT, ItemState.DEFINITE)
ROWS_AT_ONCE: Final = 5000
NOT_FOUND: Final = "not found again"
RE_ISSUED: Final = "bill re-issued"
UNDONE: Final = "taken back"

Claim = tuple[str, int]


@dataclass(slots=True)
class ByHand:
    """Items of live groups made by hand, as one run meets them.

    `claimed` are all of them by id; `now` those this run clears; `of_day` those it or an earlier run of its day
    cleared, each with its group.
    """

    claimed: set[int] = field(default_factory=set)
    now: list[OpenItem] = field(default_factory=list)
    of_day: list[tuple[OpenItem, MatchGroup]] = field(default_factory=list)


def claim_of(item: OpenItem) -> Claim | None:
    """The row an item of one side stands for; a pair stands for none alone."""
    if item.side == ItemSide.OWN:
        return ItemSide.OWN.value, item.transaction_id
    return (ItemSide.CHANNEL.value, item.bill_line_id) if item.side == ItemSide.CHANNEL else None


def load_by_hand(contract: ChannelContract, items: Sequence[OpenItem], run_ids: set[int]) -> ByHand:
    """Which of the items are claimed by hand; those still live are cleared by the run that asks."""
    found = ByHand()
    groups = MatchGroup.objects.filter(contract=contract, kind=GroupKind.BY_HAND, end__isnull=True)
    members = MatchMember.objects.filter(group__in=groups, is_live=True).select_related("group")
    by_row = {(member.side, member.row_id): member.group for member in members}
    for item in items:
        claim = claim_of(item)
        group = by_row.get(claim) if claim else None
        if group is None or item.state not in (*LIVE, ItemState.CLEARED):
            continue
        found.claimed.add(item.pk)
        if item.state in LIVE:
            found.now.append(item)
        if item.state in LIVE or item.cleared_run_id in run_ids:
            found.of_day.append((item, group))
    return found


def remainders(found: ByHand, acted_on: Iterable[OpenItem]) -> list[Difference]:
    """What pairs matched by hand still differ by: a mismatch of the day that cleared them, unless it was acted on."""
    from payops.reconciliation.classify import Difference

    done = {item.transaction_id for item in acted_on if item.side == ItemSide.PAIR}
    differing = {group.pk: group for _item, group in found.of_day if group.difference}
    rest = []
    for group in differing.values():
        own, line = _pair_of(group)
        if own.id not in done:
            rest.append(
                Difference(
                    ResultKind.AMOUNT,
                    ItemSide.PAIR,
                    ItemState.DEFINITE,
                    group.difference,
                    own,
                    line,
                    ReasonCode.AMOUNT_CHANGED,
                )
            )
    return rest


def _pair_of(group: MatchGroup) -> tuple[OwnRow, LineRow]:
    ids = dict(group.members.values_list("side", "row_id"))
    own_id, line_id = ids[ItemSide.OWN], ids[ItemSide.CHANNEL]
    return own_rows_of([own_id])[own_id], line_rows_of([line_id], group.contract)[line_id]


def clear_by_hand(run: ReconRun, before: Before) -> None:
    """Both halves leave suspense by this run's totals, and their cases are done."""
    from payops.reconciliation.state import item_write

    found = before.by_hand
    partners = _partners({group.pk for _item, group in found.of_day})
    groups = {item.pk: group for item, group in found.of_day}
    for item in found.now:
        own_id, line_id = partners[groups[item.pk].pk]
        item.state, item.cleared_run, item.cleared_date = ItemState.CLEARED, run, run.channel_date
        if item.side == ItemSide.OWN:
            item.bill_line_id = line_id
        else:
            item.transaction_id = own_id
        item_write(before, item)
    ended = [item.case_id for item in found.now if item.case is not None and item.case.is_open]
    cases.cases_auto_clear_many(ended, note=_("Matched by hand."), run_id=run.pk)


def _partners(group_ids: set[int]) -> dict[int, tuple[int, int]]:
    """The first row of each side of the groups."""
    first: dict[int, dict[str, int]] = {}
    for group_id, side, row_id in (
        MatchMember.objects.filter(group__in=group_ids).order_by("-id").values_list("group_id", "side", "row_id")
    ):
        first.setdefault(group_id, {})[side] = row_id
    return {pk: (rows[ItemSide.OWN], rows[ItemSide.CHANNEL]) for pk, rows in first.items()}


# --- groups found by runs ---------------------------------------------------------------------------------------------


def end_stale(run: ReconRun, groups: Iterable[Grouped]) -> list[Grouped]:
    """End what earlier runs of this day found and this one does not; returns the groups that are new."""
    runs = ReconRun.objects.filter(contract=run.contract, channel_date=run.channel_date, batch=run.batch)
    known: dict[frozenset[Claim], int] = {}
    rows: dict[int, set[Claim]] = {}
    of_day = MatchMember.objects.filter(group__run__in=runs, group__end__isnull=True)
    for group_id, side, row_id in of_day.values_list("group_id", "side", "row_id"):
        rows.setdefault(group_id, set()).add((side, row_id))
    for group_id, claims in rows.items():
        known[frozenset(claims)] = group_id
    fresh = [group for group in groups if group.kind and known.pop(_claims(group), None) is None]
    MatchEnd.objects.bulk_create([MatchEnd(group_id=pk, run=run, why=NOT_FOUND) for pk in sorted(known.values())])
    return fresh


def _claims(group: Grouped) -> frozenset[Claim]:
    return frozenset(
        [(ItemSide.OWN.value, row.id) for row in group.own] + [(ItemSide.CHANNEL.value, row.id) for row in group.lines]
    )


def add_found(run: ReconRun, groups: Sequence[Grouped]) -> None:
    """The groups a run found, each with all its members."""
    made = [
        MatchGroup(
            contract=run.contract,
            kind=group.kind,
            own_amount=sum(row.sign * row.amount for row in group.own),
            channel_amount=sum(row.sign * row.amount for row in group.lines),
            difference=0,
            run=run,
            made_by="system",
        )
        for group in groups
    ]
    MatchGroup.objects.bulk_create(made)
    add_members(
        [
            MatchMember(group=group, side=side, row_id=row.id, amount=row.sign * row.amount)
            for group, found in zip(made, groups, strict=True)
            for side, rows in ((ItemSide.OWN, found.own), (ItemSide.CHANNEL, found.lines))
            for row in rows
        ]
    )


def add_members(members: Sequence[MatchMember]) -> None:
    """Members in order of their groups; those of one group go in by one statement, which the database checks."""
    batch: list[MatchMember] = []
    for position, member in enumerate(members):
        if len(batch) >= ROWS_AT_ONCE and member.group_id != members[position - 1].group_id:
            MatchMember.objects.bulk_create(batch)
            batch = []
        batch.append(member)
    MatchMember.objects.bulk_create(batch)


def follow_line(was: int, now: int) -> None:
    """A re-issued bill has the line again, unchanged: its group goes on under the new line's number."""
    member = MatchMember.objects.filter(side=ItemSide.CHANNEL, row_id=was, is_live=True).select_related("group").first()
    if member is None:
        return
    group = member.group
    members = list(group.members.order_by("pk"))
    MatchEnd.objects.create(group=group, why=RE_ISSUED)
    group.pk, group._state.adding = None, True
    group.save(force_insert=True)
    MatchMember.objects.bulk_create(
        [
            MatchMember(
                group=group,
                side=row.side,
                row_id=now if (row.side, row.row_id) == (ItemSide.CHANNEL, was) else row.row_id,
                amount=row.amount,
            )
            for row in members
        ]
    )
