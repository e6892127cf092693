"""Every write on approval requests: submit, approve, reject, withdraw (DESIGN 4, maker-checker).

What a checker approves is what the maker proposed: the payload is frozen and hashed, the target's fingerprint is taken
at submission and compared at approval. Execution happens inside the transaction of the decision, so there is no moment
in which a request is approved and not executed, or executed twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.registry import Action, action_get
from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.locks import lock_timeout
from payops.identity.models import User

LOCK_WAIT_SECONDS = 15
TITLE_LENGTH = 200
SYSTEM = "system"


def canonical_json(payload: Any) -> str:
    """The one text form of a payload: sorted keys, no spaces. Floats are refused, because amounts are integers."""
    _refuse_floats(payload)
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, cls=DjangoJSONEncoder)


def payload_hash(payload: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def target_fingerprint(action: Action, target_kind: str, target_id: str) -> str:
    """The target's present fingerprint in the stored form: SHA-256 of whatever text the action gives."""
    return hashlib.sha256(action.fingerprint(target_kind, target_id).encode()).hexdigest()


@transaction.atomic
def request_submit(
    *,
    action: str,
    target_kind: str,
    target_id: str | int,
    payload: Mapping[str, Any],
    amount: int | None,
    currency: str,
    title: str,
    reason: str,
    maker: User,
) -> ApprovalRequest:
    """Propose an action; the payload (JSON values, at most dates and Decimals besides) is frozen from here on.

    `amount` in minor units decides the tier by its magnitude; for one request over many targets it is their total.
    Raises PayopsError 'approvals.not_allowed' (maker lacks the permission) or 'approvals.already_pending' (the same
    action already waits for this target: a double click, or somebody was faster).
    """
    kind = action_get(action)
    _require(maker, kind.maker_permission, _("You may not propose this (%(permission)s is missing)."))
    frozen = json.loads(canonical_json(payload))
    request = ApprovalRequest(
        action=action,
        title=str(title)[:TITLE_LENGTH],
        payload=frozen,
        payload_hash=payload_hash(frozen),
        target_kind=target_kind,
        target_id=str(target_id),
        target_fingerprint=target_fingerprint(kind, target_kind, str(target_id)),
        amount=amount,
        currency=currency,
        tier=kind.tier_of(amount),
        maker=maker,
        reason=reason,
    )
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError as error:
        if "approval_one_pending_per_target" not in str(error):
            raise
        raise _already_pending(request) from error
    _record(request, "approval.submitted", maker.username)
    return request


@transaction.atomic
def request_approve(*, request_id: int, checker: User, note: str = "") -> ApprovalRequest:
    """Approve and execute, once: PENDING → EXECUTED together with everything the action does, or nothing at all.

    Raises PayopsError 'approvals.not_found', 'approvals.not_allowed', 'approvals.own_request',
    'approvals.already_decided', 'approvals.payload_changed', 'approvals.target_changed', 'locks.busy', and whatever
    the action itself refuses with; in every case nothing has changed.
    """
    request, action = _decidable(request_id, checker)
    if payload_hash(request.payload) != request.payload_hash:
        raise PayopsError(
            "approvals.payload_changed",
            _("What was proposed in request #%(id)s is not what is stored now. Do not approve it; tell security.")
            % {"id": request.pk},
            {"request": request.pk},
        )
    # Locked late, when everything that can be refused without a lock has been: a second approver waits here, and then
    # reads the decision of the first instead of executing again.
    request = _lock(request_id)
    if target_fingerprint(action, request.target_kind, request.target_id) != request.target_fingerprint:
        raise PayopsError(
            "approvals.target_changed",
            _(
                "%(title)s: the target has changed since this was proposed. Reject request #%(id)s, "
                "look at the target as it is now, and have it proposed again."
            )
            % {"title": request.title, "id": request.pk},
            {"request": request.pk, "target_kind": request.target_kind, "target_id": request.target_id},
        )
    request.checker = checker
    result = json.loads(canonical_json(action.execute(request) or {}))
    return _decide(request, RequestStatus.EXECUTED, checker, note, result)


@transaction.atomic
def request_reject(*, request_id: int, checker: User, note: str) -> ApprovalRequest:
    """Refuse a request with a reason the maker can act on ("approvals.note_missing"); raises as `request_approve`."""
    if not note.strip():
        raise PayopsError("approvals.note_missing", _("Say why you reject, so that the maker knows what to change."))
    _decidable(request_id, checker)
    return _close(_lock(request_id), RequestStatus.REJECTED, checker, note)


@transaction.atomic
def request_withdraw(*, request_id: int, maker: User, note: str = "") -> ApprovalRequest:
    """The maker takes an undecided request back; nobody else can ('approvals.not_maker')."""
    request = _get(request_id)
    if request.maker_id != maker.pk:
        raise PayopsError(
            "approvals.not_maker",
            _("Request #%(id)s was made by %(maker)s; only they can withdraw it. You can reject it instead.")
            % {"id": request.pk, "maker": request.maker.username},
            {"request": request.pk},
        )
    return _close(_lock(request_id), RequestStatus.WITHDRAWN, None, note, by=maker.username)


@transaction.atomic
def request_overtake(*, request_id: int, note: str, by: str = SYSTEM) -> ApprovalRequest | None:
    """Withdraw a request because events settled its target first (the other half arrived); None if it is decided."""
    request = _lock(request_id, must_be_pending=False)
    if request.status != RequestStatus.PENDING:
        return None
    return _close(request, RequestStatus.WITHDRAWN, None, note, by=by)


def _decidable(request_id: int, checker: User) -> tuple[ApprovalRequest, Action]:
    """The request and its action, if this person may decide it at all; no lock is taken."""
    request = _get(request_id)
    if request.status != RequestStatus.PENDING:
        raise _already_decided(request)
    if request.maker_id == checker.pk:
        raise PayopsError(
            "approvals.own_request",
            _("Request #%(id)s is your own. Somebody else has to decide it; you can only withdraw it.")
            % {"id": request.pk},
            {"request": request.pk},
        )
    action = action_get(request.action)
    _require(checker, action.permission_for(request.tier), _("You may not decide this (%(permission)s is missing)."))
    return request, action


def _get(request_id: int) -> ApprovalRequest:
    request = ApprovalRequest.objects.select_related("maker", "checker").filter(pk=request_id).first()
    if request is None:
        raise PayopsError(
            "approvals.not_found", _("There is no request #%(id)s.") % {"id": request_id}, {"request": request_id}
        )
    return request


def _lock(request_id: int, *, must_be_pending: bool = True) -> ApprovalRequest:
    """The request's row, locked until the transaction ends, as it is now."""
    with lock_timeout(LOCK_WAIT_SECONDS):
        request = ApprovalRequest.objects.select_for_update(of=("self",)).select_related("maker").get(pk=request_id)
    if must_be_pending and request.status != RequestStatus.PENDING:
        raise _already_decided(request)
    return request


def _close(
    request: ApprovalRequest, status: RequestStatus, checker: User | None, note: str, *, by: str = ""
) -> ApprovalRequest:
    """End a request without executing it, and tell the app that owns the target."""
    action = action_get(request.action)
    decided = _decide(request, status, checker, note, None, by=by)
    if action.closed is not None:
        action.closed(decided)
    return decided


def _decide(
    request: ApprovalRequest,
    status: RequestStatus,
    checker: User | None,
    note: str,
    result: Any,
    *,
    by: str = "",
) -> ApprovalRequest:
    """The one update of a request's life; zero rows means somebody else decided it."""
    now = timezone.now()
    changed = ApprovalRequest.objects.filter(pk=request.pk, status=RequestStatus.PENDING).update(
        status=status, checker=checker, decided_at=now, decision_note=note, result=result
    )
    if not changed:
        raise _already_decided(_get(request.pk))
    request.status, request.checker, request.decided_at = status, checker, now
    request.decision_note, request.result = note, result
    request.decided_by_name = by or checker.username
    _record(request, f"approval.{status.value}", request.decided_by_name)
    return request


def _require(user: User, permission: str, message: str) -> None:
    if not user.may(permission):
        raise PayopsError(
            "approvals.not_allowed",
            message % {"permission": permission},
            {"username": user.username, "permission": permission},
        )


def _already_decided(request: ApprovalRequest) -> PayopsError:
    by = request.checker.username if request.checker else request.maker.username
    return PayopsError(
        "approvals.already_decided",
        _("Request #%(id)s is already decided: %(status)s by %(by)s. Reload the page; there is nothing left to do.")
        % {"id": request.pk, "status": request.get_status_display(), "by": by},
        {"request": request.pk, "status": request.status, "by": by},
    )


def _already_pending(request: ApprovalRequest) -> PayopsError:
    other = ApprovalRequest.objects.filter(
        action=request.action,
        target_kind=request.target_kind,
        target_id=request.target_id,
        status=RequestStatus.PENDING,
    ).first()
    number = other.pk if other else "?"
    return PayopsError(
        "approvals.already_pending",
        _("%(title)s: this already waits for approval as request #%(id)s. Decide or withdraw that one first.")
        % {"title": request.title, "id": number},
        {"request": number, "target_kind": request.target_kind, "target_id": request.target_id},
    )


def _record(request: ApprovalRequest, what: str, username: str) -> None:
    audit.record(
        username=username,
        action=what,
        object_kind="approval",
        object_id=request.pk,
        detail={
            "action": request.action,
            "target": f"{request.target_kind}:{request.target_id}",
            "amount": request.amount,
            "currency": request.currency,
            "note": request.decision_note,
        },
    )


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float; amounts are integers of minor units, rates are Decimals")
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
