"""Taking a match by hand back, by maker and checker ('reconciliation.hand_match_undo').

Approving ends the group and runs the day that cleared its items again: they are open as that day now finds them, their
cases too, and the run's totals book the reverse of what the match booked (docs/matching.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from payops.accounts.choices import Event
from payops.accounts.corrections import reversed_vouchers
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description
from payops.approvals.services import request_submit
from payops.channels.bills.selectors import accepted_file
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.locks import xact_lock
from payops.core.money import format_amount
from payops.discrepancies import services as cases
from payops.discrepancies.choices import CaseState
from payops.identity.models import User
from payops.reconciliation.choices import GroupKind, ItemSide, ItemState, ResultKind
from payops.reconciliation.matching.approval import register_match_action
from payops.reconciliation.matching.claims import LIVE, UNDONE
from payops.reconciliation.models import MatchEnd, MatchGroup, OpenItem, ReconRun, RunVoucher

ACTION: Final = "reconciliation.hand_match_undo"
TARGET: Final = "reconciliation.matchgroup"
DUPLICATES: Final = (ResultKind.DUPLICATE_OWN, ResultKind.DUPLICATE_CHANNEL)
CLEARED_EVENTS: Final = (Event.SURPLUS_CLEARED, Event.SHORTAGE_CLEARED)

DependentCheck = Callable[[Sequence[int], datetime, bool], Iterable[str]]
_dependent_checks: list[DependentCheck] = []


def register_dependent_check(check: DependentCheck) -> None:
    """Ask `check(transaction ids, since, lock)` for the documents that rest on these rows being matched since then.

    With `lock` nobody may make such a document until the transaction ends.
    """
    if check not in _dependent_checks:
        _dependent_checks.append(check)


@dataclass(frozen=True, slots=True)
class Undo:
    """A match by hand that can be taken back: its items, the run day that cleared them, days to run again after it."""

    group: MatchGroup
    items: Sequence[OpenItem]
    day: date
    batch: int
    later_days: Sequence[date]


def hand_match_undo_check(group_id: int, *, lock: bool = False) -> Undo:
    """What taking this match back would do.

    Raises PayopsError 'matching.no_group' for a number of no match by hand, 'matching.ended' for one that counts no
    more, 'matching.run_first' where the day has a newer bill than its run read, 'matching.built_on' where a decision,
    a reversal or a clearing rests on the match, 'matching.busy' where such a decision is proposed.
    """
    groups = MatchGroup.objects.filter(kind=GroupKind.BY_HAND)
    group = (groups.select_for_update(of=("self",)) if lock else groups).filter(pk=group_id).first()
    if group is None:
        raise PayopsError("matching.no_group", _("There is no match by hand #%d.") % group_id, {"group": group_id})
    if MatchEnd.objects.filter(group=group).exists():
        raise PayopsError("matching.ended", _("Match #%d counts no more already.") % group_id, {"group": group_id})
    items = _items_of(group)
    cleared = {item.cleared_run for item in items}
    if len(cleared) != 1 or None in cleared:
        raise PayopsError("matching.ended", _("Match #%d has cleared nothing.") % group_id, {"group": group_id})
    run = cleared.pop()
    refuse_newer_bill(group.contract, run)
    later = _built_on(group, items, run, lock=lock)
    days = sorted({item.first_date for item in later} - {run.channel_date})
    return Undo(group, items, run.channel_date, run.batch, days)


def _items_of(group: MatchGroup) -> list[OpenItem]:
    rows: dict[str, list[int]] = {ItemSide.OWN: [], ItemSide.CHANNEL: []}
    for side, row_id in group.members.values_list("side", "row_id"):
        rows[side].append(row_id)
    mine = Q(side=ItemSide.OWN, transaction_id__in=rows[ItemSide.OWN])
    mine |= Q(side=ItemSide.CHANNEL, bill_line_id__in=rows[ItemSide.CHANNEL])
    items = OpenItem.objects.filter(mine, contract=group.contract, state=ItemState.CLEARED)
    newest = {(item.side, item.match_key, item.kind, item.d): item for item in items.order_by("pk")}
    rows_of = items.filter(pk__in=[item.pk for item in newest.values()])
    return list(rows_of.select_related("contract", "case", "cleared_run").order_by("pk"))


def refuse_newer_bill(contract: ChannelContract, run: ReconRun) -> None:
    """Only what the match booked is to be booked back: whatever else the day has to say is said by a run before."""
    day, batch = run.channel_date, run.batch
    read = ReconRun.objects.filter(contract=contract, channel_date=day, batch=batch, is_current=True).first()
    bill = accepted_file(contract, day, batch)
    if read is None or bill is None or bill.pk != read.file_id:
        raise PayopsError(
            "matching.run_first",
            _("The bill of %(day)s has changed since its run. Run the day first, then take the match back.")
            % {"day": day},
            {"day": day.isoformat()},
        )


def _built_on(group: MatchGroup, items: Sequence[OpenItem], run: ReconRun, *, lock: bool) -> list[OpenItem]:
    """Open items that exist because of the match, to be decided anew; refuses where something was done about one.

    These are its remainder, what a re-issue changed about its lines, and duplicates of its numbers.
    """
    own = [item.transaction_id for item in items if item.side == ItemSide.OWN]
    lines = [item.bill_line_id for item in items if item.side == ItemSide.CHANNEL]
    about = Q(side=ItemSide.PAIR) & (Q(transaction_id__in=own) | Q(bill_line_id__in=lines))
    for item in items:
        about |= Q(result__in=DUPLICATES, match_key=item.match_key, kind=item.kind)
    booked = RunVoucher.objects.filter(run=run, event__in=CLEARED_EVENTS, voucher_id__isnull=False)
    documents = [str(number) for number in reversed_vouchers(booked.values_list("voucher_id", flat=True))]
    later = later_items(about, group.contract, run, besides=[item.pk for item in items])
    refuse_dependents(documents, own, run.started_at, lock=lock)
    return later


def later_items(about: Q, contract: ChannelContract, run: ReconRun, *, besides: Sequence[int] = ()) -> list[OpenItem]:
    """Live items found since `run` because of a match; refuses where one was decided or is proposed to be."""
    items = OpenItem.objects.filter(about, contract=contract, first_run__gte=run.pk).exclude(pk__in=besides)
    later = list(items.select_related("case").order_by("pk"))
    for item in later:
        case = item.case
        if case is not None and case.state in (CaseState.PROPOSED, CaseState.BOOKED):
            raise PayopsError(
                "matching.busy",
                _("Case %(case)s already has a proposal. Decide or withdraw it first.") % {"case": case.case_no},
                {"case": case.pk},
            )
        if item.state == ItemState.RESOLVED:
            raise _rests_on([case.case_no if case is not None else item.match_key])
    return [item for item in later if item.state in LIVE]


def refuse_dependents(documents: Sequence[str], own: Sequence[int], since: datetime, *, lock: bool) -> None:
    """PayopsError 'matching.built_on' where these documents, or any a higher floor knows of, rest on the match."""
    found = [*documents, *(document for check in _dependent_checks for document in check(own, since, lock))]
    if found:
        raise _rests_on(found)


def _rests_on(documents: Sequence[str]) -> PayopsError:
    return PayopsError(
        "matching.built_on",
        _("This cannot be taken back: %s rests on it.") % ", ".join(documents),
        {"documents": list(documents)},
    )


@transaction.atomic
def hand_match_undo_propose(*, group_id: int, reason: str, maker: User) -> ApprovalRequest:
    """Propose to take a match by hand back; raises what `hand_match_undo_check` and `request_submit` raise."""
    undo = hand_match_undo_check(group_id)
    group = undo.group
    payload = {
        "group": group.pk,
        "channel": group.contract.code,
        "own": group.own_amount,
        "channel_amount": group.channel_amount,
        "difference": group.difference,
        "day": undo.day.isoformat(),
        "request": group.approval_id,
        "items": [
            {"item": item.pk, "side": item.side, "key": item.match_key, "result": item.result, "d": item.d}
            for item in undo.items
        ],
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=str(group.pk),
        payload=payload,
        amount=group.channel_amount,
        currency=group.contract.currency,
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def undo_proposed(group: MatchGroup) -> ApprovalRequest | None:
    """The request to take this match back that waits for approval."""
    waiting = ApprovalRequest.objects.filter(action=ACTION, target_kind=TARGET, target_id=str(group.pk))
    return waiting.filter(status="pending").first()


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_match_action(ACTION, execute=_execute, fingerprint=_fingerprint, describe=_describe)


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """Whether the match counts, and when its items were cleared."""
    group = MatchGroup.objects.get(pk=int(target_id))
    items = [f"{item.pk} {item.state} {item.cleared_run_id}" for item in _items_of(group)]
    return f"{MatchEnd.objects.filter(group=group).exists()} {items}"


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """End the group, then run the day that cleared its items, and those its consequences were found on."""
    from payops.reconciliation.services import LOCK, run_reconcile

    xact_lock(LOCK, request.payload["channel"])
    undo = hand_match_undo_check(request.payload["group"], lock=True)
    contract, by = undo.group.contract, request.checker
    cleared = {item.pk: item.cleared_run_id for item in undo.items}
    MatchEnd.objects.create(group=undo.group, why=UNDONE, approval_id=request.pk)
    run = run_reconcile(contract=contract, day=undo.day, batch=undo.batch, username=by.username)
    for day in undo.later_days:
        run_reconcile(contract=contract, day=day, batch=undo.batch, username=by.username)
    after = list(OpenItem.objects.filter(pk__in=cleared).select_related("case"))
    if any(item.state == ItemState.CLEARED and item.cleared_run_id == cleared[item.pk] for item in after):
        raise PayopsError("matching.not_undone", _("The run did not open these items again. Nothing was booked."))
    for item in after:
        if item.case is not None and item.case.is_open:
            note = _("The match by hand of request #%(request)d was taken back.")
            cases.case_note(case_id=item.case_id, user=by, note=note % {"request": undo.group.approval_id})
    return {"group": undo.group.pk, "run": run.pk}


def _describe(request: ApprovalRequest) -> Description:
    payload, currency = request.payload, request.currency
    rows: list[tuple[Any, Any]] = [
        (_("Channel"), payload["channel"]),
        (_("Ours"), format_amount(payload["own"], currency)),
        (_("The channel's"), format_amount(payload["channel_amount"], currency)),
        (_("Difference"), format_amount(payload["difference"], currency)),
        (_("Cleared on"), payload["day"]),
        (_("Then"), _("That day is run again: the items and their cases are open, what was booked is booked back.")),
    ]
    return Description(_title(payload), "console:match_group", (payload["group"],), rows)


def _title(payload: dict[str, Any]) -> str:
    return _("Take back match #%(group)d of %(channel)s") % {"group": payload["group"], "channel": payload["channel"]}
