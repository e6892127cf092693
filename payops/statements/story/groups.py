"""Matches of a story that are not one key on both sides: the group, who is in it beside these rows, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest
from payops.channels.models import BillLine, ChannelContract
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemSide
from payops.reconciliation.models import KeptApart, MatchGroup, MatchMember
from payops.reconciliation.rows import line_rows_of
from payops.statements.story.events import Event
from payops.statements.story.finding import Subjects

MEMBERS_TOLD: Final = 50
"""Of each group at most; its page has all."""


def group_events(subjects: Subjects) -> Iterator[Event]:
    """Each group one of the rows is in or was in, the request that made it, its other members, and how it ended.

    Besides, that two people kept a row apart from what would have taken it back.
    """
    for group in groups_of(subjects).select_related("contract", "end").order_by("pk"):
        yield from _told(group, subjects)
    yield from _kept_apart(subjects)


def groups_of(subjects: Subjects) -> QuerySet[MatchGroup]:
    """The groups one of the rows is or was a member of."""
    mine = Q(members__side=ItemSide.OWN, members__row_id__in=list(subjects.transactions))
    mine |= Q(members__side=ItemSide.CHANNEL, members__row_id__in=list(subjects.lines))
    return MatchGroup.objects.filter(mine).distinct()


def _kept_apart(subjects: Subjects) -> Iterator[Event]:
    own = [str(pk) for pk in subjects.transactions]
    lines = [
        row.name
        for contract_id in {line.contract_id for line in subjects.lines.values()}
        for row in line_rows_of(subjects.lines, ChannelContract.objects.get(pk=contract_id)).values()
    ]
    mine = Q(side=ItemSide.OWN) & (Q(one__in=own) | Q(other__in=own))
    mine |= Q(side=ItemSide.CHANNEL) & (Q(one__in=lines) | Q(other__in=lines))
    contracts = {contract_id for contract_id, _key in subjects.keys}
    for pair in KeptApart.objects.filter(mine, contract__in=contracts).order_by("pk"):
        title = _("No offset, by two people")
        yield Event(pair.made_at, "run", "kept_apart", title, ("approval", pair.approval_id), by=pair.made_by)
        yield from _decision(pair.approval_id, title)


def _told(group: MatchGroup, subjects: Subjects) -> Iterator[Event]:
    currency = group.contract.currency
    members = list(group.members.order_by("-side", "row_id"))
    label = f"{group.get_kind_display()} #{group.pk}"
    sides = [sum(member.side == side for member in members) for side in (ItemSide.OWN, ItemSide.CHANNEL)]
    text = _("%(own)d of ours with %(channel)d of the channel's") % {"own": sides[0], "channel": sides[1]}
    yield Event(
        group.made_at,
        "run",
        "match_group",
        label,
        ("match_group", group.pk),
        text,
        group.channel_amount,
        currency,
        group.made_by,
    )
    yield from _members(group, members, subjects)
    yield from _decision(group.approval_id, label)
    end = getattr(group, "end", None)
    if end is not None:
        title = _("%s counts no more") % label
        yield Event(end.made_at, "run", "match_group_ended", title, ("match_group", group.pk))
        yield from _decision(end.approval_id, title)


def _members(group: MatchGroup, members: list[MatchMember], subjects: Subjects) -> Iterator[Event]:
    known = {ItemSide.OWN: subjects.transactions, ItemSide.CHANNEL: subjects.lines}
    others = [row for row in members if row.row_id not in known[ItemSide(row.side)]][:MEMBERS_TOLD]
    own = Transaction.objects.filter(pk__in=[row.row_id for row in others if row.side == ItemSide.OWN])
    lines = BillLine.objects.filter(pk__in=[row.row_id for row in others if row.side == ItemSide.CHANNEL])
    keys = {
        ItemSide.OWN: dict(own.values_list("pk", "match_key")),
        ItemSide.CHANNEL: dict(lines.values_list("pk", "match_key")),
    }
    for member in others:
        side = ItemSide(member.side)
        yield Event(
            group.made_at,
            "run",
            "match_member",
            _("Matched together with %s") % keys[side].get(member.row_id, member.row_id),
            ("transaction" if side == ItemSide.OWN else "bill_line", member.row_id),
            side.label,
            member.amount,
            group.contract.currency,
        )


def _decision(approval_id: int | None, label: str) -> Iterator[Event]:
    request = ApprovalRequest.objects.filter(pk=approval_id).select_related("checker").first() if approval_id else None
    if request is None or request.decided_at is None:
        return
    title = _("%(case)s – request #%(request)d: %(status)s") % {
        "case": label,
        "request": request.pk,
        "status": request.get_status_display(),
    }
    by = request.checker.username if request.checker else ""
    yield Event(request.decided_at, "case", "approval", title, ("approval", request.pk), request.reason, by=by)
