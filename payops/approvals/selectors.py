"""Reads of approval requests: what waits for whom, what was decided, and how a request describes itself."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.registry import Description, action_get, actions
from payops.core.errors import PayopsError
from payops.identity.models import User


def requests_for(user: User) -> QuerySet[ApprovalRequest]:
    """All requests the user may see; none without `approvals.view`."""
    requests = ApprovalRequest.objects.select_related("maker", "checker")
    return requests if user.may("approvals.view") else requests.none()


def pending_for(user: User) -> QuerySet[ApprovalRequest]:
    """What waits for this person: pending, not made by them, of an action and tier they may decide. Oldest first."""
    whole, decidable = [], Q()
    for action in actions():
        tiers = [tier for tier in range(1, len(action.tiers) + 2) if user.may(action.permission_for(tier))]
        if len(tiers) == len(action.tiers) + 1:
            whole.append(action.name)
        elif tiers:
            decidable |= Q(action=action.name, tier__in=tiers)
    if not whole and not decidable:
        return requests_for(user).none()
    decidable |= Q(action__in=whole)
    return requests_for(user).filter(decidable, status=RequestStatus.PENDING).exclude(maker=user).order_by("id")


def pending_made_by(user: User) -> QuerySet[ApprovalRequest]:
    """What this person proposed and nobody decided yet; they may withdraw it."""
    return requests_for(user).filter(maker=user, status=RequestStatus.PENDING)


def history(user: User) -> QuerySet[ApprovalRequest]:
    """Decided requests the user may see, the latest decision first."""
    return requests_for(user).exclude(status=RequestStatus.PENDING).order_by("-decided_at", "-id")


def history_of(target_kind: str, target_id: str | int) -> QuerySet[ApprovalRequest]:
    """Everything ever proposed for one target, the newest first."""
    return ApprovalRequest.objects.select_related("maker", "checker").filter(
        target_kind=target_kind, target_id=str(target_id)
    )


def may_decide(user: User, request: ApprovalRequest) -> bool:
    """Whether this person could approve or reject the request now (a changed target apart)."""
    if request.status != RequestStatus.PENDING or request.maker_id == user.pk:
        return False
    return user.may(action_get(request.action).permission_for(request.tier))


def describe(request: ApprovalRequest) -> Description:
    """Title, link and facts of a request; its stored title alone when no app knows the action any more."""
    try:
        return action_get(request.action).describe(request)
    except PayopsError:
        return Description(title=request.title)
