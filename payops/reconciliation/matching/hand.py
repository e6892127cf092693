"""A match made by hand, by maker and checker ('reconciliation.hand_match'): open items that answer each other.

Approving claims their rows and runs the contract's latest day again, which clears the items and books that by its
totals, as it does when another half arrives (docs/matching.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.registry import Description
from payops.approvals.services import request_submit
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.locks import xact_lock
from payops.core.money import format_amount
from payops.discrepancies.choices import CaseState
from payops.identity.models import User
from payops.reconciliation.choices import GroupKind, ItemSide, ItemState, ResultKind
from payops.reconciliation.matching.approval import register_match_action
from payops.reconciliation.matching.claims import LIVE, add_members, claim_of
from payops.reconciliation.matching.rules import amount_tolerance_of, rule_of
from payops.reconciliation.models import MatchGroup, MatchMember, OpenItem, ReconRun

ACTION: Final = "reconciliation.hand_match"
TARGET: Final = "reconciliation.openitem"
MOST_ITEMS: Final = 200
MATCHABLE: Final = (
    ResultKind.OWN_ONLY,
    ResultKind.OWN_IN_DOUBT,
    ResultKind.DUPLICATE_OWN,
    ResultKind.CHANNEL_ONLY,
    ResultKind.CHANNEL_IN_DOUBT,
    ResultKind.DUPLICATE_CHANNEL,
)


@dataclass(frozen=True, slots=True)
class HandMatch:
    """Items that are to answer each other; sums are gross, signed, in minor units."""

    contract: ChannelContract
    items: Sequence[OpenItem]
    own_amount: int
    channel_amount: int

    @property
    def difference(self) -> int:
        """What they still differ by: channel − own."""
        return self.channel_amount - self.own_amount


def hand_match_check(item_ids: Iterable[int], *, lock: bool = False) -> HandMatch:
    """What a match of these items would be.

    Raises PayopsError 'matching.choose' without items of both sides of one channel, 'matching.not_open' for one that is
    open no more, 'matching.not_matchable' for one that is not a row standing alone, 'matching.busy' for one whose case
    has a proposal, 'matching.discount' for a line that carries a merchant's discount, 'matching.differs' for sums
    that differ by more than the contract's rule tolerates.
    """
    wanted = sorted(set(item_ids))
    items = OpenItem.objects.select_related("contract").filter(pk__in=wanted).order_by("pk")
    items = list(items.select_for_update(of=("self",)) if lock else items.select_related("contract", "case"))
    sides = {item.side for item in items}
    one = {(item.contract_id, item.currency) for item in items}
    if len(items) != len(wanted) or not 2 <= len(items) <= MOST_ITEMS or len(one) != 1 or len(sides) < 2:
        raise PayopsError(
            "matching.choose",
            _("Choose open items of both sides of one channel, %(most)d at most.") % {"most": MOST_ITEMS},
            {"items": wanted},
        )
    for item in items:
        _refuse_unmatchable(item)
    own = sum(item.own_amount for item in items if item.side == ItemSide.OWN)
    channel = sum(item.channel_amount for item in items if item.side == ItemSide.CHANNEL)
    match = HandMatch(items[0].contract, items, own, channel)
    _refuse_difference(match)
    return match


def _refuse_unmatchable(item: OpenItem) -> None:
    context = {"item": item.pk}
    if item.state not in LIVE:
        raise PayopsError(
            "matching.not_open", _("%(key)s is not open any more. Look again.") % {"key": item.match_key}, context
        )
    if item.result not in MATCHABLE or item.d == 0:
        raise PayopsError(
            "matching.not_matchable",
            _("%(key)s (%(result)s) cannot be matched by hand.")
            % {"key": item.match_key, "result": item.get_result_display()},
            context,
        )
    if item.case is not None and item.case.state in (CaseState.PROPOSED, CaseState.BOOKED):
        raise PayopsError(
            "matching.busy",
            _("Case %(case)s already has a proposal. Decide or withdraw it first.") % {"case": item.case.case_no},
            context,
        )
    if item.side == ItemSide.CHANNEL and item.channel_amount != item.d:
        raise PayopsError(
            "matching.discount",
            _("%(key)s carries a discount of its merchant and cannot be matched by hand.") % {"key": item.match_key},
            context,
        )


def _refuse_difference(match: HandMatch) -> None:
    tolerated = amount_tolerance_of(match.contract, _latest_run(match.contract).channel_date)
    if match.difference == 0 or (len(match.items) == 2 and abs(match.difference) <= tolerated):
        return
    currency = match.contract.currency
    raise PayopsError(
        "matching.differs",
        _("Ours is %(own)s, the channel's %(channel)s: they differ by %(difference)s, and %(tolerated)s is tolerated.")
        % {
            "own": format_amount(match.own_amount, currency),
            "channel": format_amount(match.channel_amount, currency),
            "difference": format_amount(match.difference, currency),
            "tolerated": format_amount(tolerated, currency),
        },
        {"difference": match.difference},
    )


def _latest_run(contract: ChannelContract) -> ReconRun:
    """The run that counts for the contract's latest day; there are no open items without one."""
    return ReconRun.objects.filter(contract=contract, is_current=True).order_by("-channel_date", "-batch")[0]


@transaction.atomic
def hand_match_propose(*, item_ids: Iterable[int], reason: str, maker: User) -> ApprovalRequest:
    """Propose that these items answer each other.

    Raises what `hand_match_check` raises, PayopsError 'matching.proposed' where one of them stands in another proposal,
    and what `request_submit` raises.
    """
    match = hand_match_check(item_ids)
    _refuse_proposed({item.pk for item in match.items})
    payload = {
        "channel": match.contract.code,
        "own": match.own_amount,
        "channel_amount": match.channel_amount,
        "difference": match.difference,
        "items": [
            {
                "item": item.pk,
                "side": item.side,
                "key": item.match_key,
                "result": item.result,
                "state": item.state,
                "d": item.d,
                "first": item.first_date.isoformat(),
            }
            for item in match.items
        ],
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=str(match.items[0].pk),
        payload=payload,
        amount=match.channel_amount,
        currency=match.contract.currency,
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def proposed_items() -> dict[int, int]:
    """Items that stand in a proposal waiting for approval → its request."""
    pending = ApprovalRequest.objects.filter(action=ACTION, status=RequestStatus.PENDING).order_by("pk")
    return {row["item"]: pk for pk, payload in pending.values_list("pk", "payload") for row in payload["items"]}


def _refuse_proposed(item_ids: set[int]) -> None:
    waiting = {request for item, request in proposed_items().items() if item in item_ids}
    if waiting:
        raise PayopsError(
            "matching.proposed",
            _("Request #%(request)d already proposes a match of one of them. Decide or withdraw it first.")
            % {"request": min(waiting)},
            {"request": min(waiting)},
        )


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_match_action(ACTION, execute=_execute, fingerprint=_fingerprint, describe=_describe)


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """The first item as it is; the others are compared with the payload when the match is made."""
    item = OpenItem.objects.get(pk=int(target_id))
    return f"{item.state} {item.d} {item.case.state if item.case else ''}"


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """Claim the rows, then run the latest day again: both halves leave suspense in this transaction, or none does."""
    from payops.reconciliation.services import LOCK, run_reconcile

    proposed = {row["item"]: row for row in request.payload["items"]}
    xact_lock(LOCK, request.payload["channel"])
    match = hand_match_check(proposed, lock=True)
    for item in match.items:
        if (item.state, item.d) != (proposed[item.pk]["state"], proposed[item.pk]["d"]):
            raise PayopsError(
                "matching.changed",
                _("%(key)s has changed since this was proposed. Reject it, look again and propose anew.")
                % {"key": item.match_key},
                {"item": item.pk},
            )
    latest = _latest_run(match.contract)
    group = _claim(match, latest, request)
    run = run_reconcile(
        contract=match.contract, day=latest.channel_date, batch=latest.batch, username=request.checker.username
    )
    if OpenItem.objects.filter(pk__in=proposed).exclude(state=ItemState.CLEARED).exists():
        raise PayopsError("matching.not_cleared", _("The run did not clear these items. Nothing was booked."))
    return {"group": group.pk, "run": run.pk}


def _claim(match: HandMatch, latest: ReconRun, request: ApprovalRequest) -> MatchGroup:
    group = MatchGroup.objects.create(
        contract=match.contract,
        kind=GroupKind.BY_HAND,
        own_amount=match.own_amount,
        channel_amount=match.channel_amount,
        difference=match.difference,
        rule=rule_of(match.contract, latest.channel_date) if match.difference else None,
        why={"reason": request.reason},
        approval_id=request.pk,
        made_by=request.maker.username,
    )
    members = []
    for item in match.items:
        side, row_id = claim_of(item)
        amount = item.own_amount if item.side == ItemSide.OWN else item.channel_amount
        members.append(MatchMember(group=group, side=side, row_id=row_id, amount=amount))
    add_members(members)
    return group


def _describe(request: ApprovalRequest) -> Description:
    payload, currency = request.payload, request.currency
    rows: list[tuple[Any, Any]] = [
        (_("Channel"), payload["channel"]),
        (_("Ours"), format_amount(payload["own"], currency)),
        (_("The channel's"), format_amount(payload["channel_amount"], currency)),
        (_("Difference"), format_amount(payload["difference"], currency)),
    ]
    if payload["difference"]:
        rows.append((_("Then"), _("The difference stays in suspense as an amount mismatch with a case of its own.")))
    return Description(_title(payload), "", (), rows)


def _title(payload: dict[str, Any]) -> str:
    return _("Match %(count)d open items of %(channel)s by hand") % {
        "count": len(payload["items"]),
        "channel": payload["channel"],
    }
