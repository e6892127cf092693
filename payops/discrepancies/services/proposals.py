"""Proposing actions: one for a case, or one for hundreds, frozen into one approval request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.discrepancies.choices import WORKABLE_STATES, ActionKind, CaseEventKind, CaseState
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.rules import allowed_actions
from payops.discrepancies.selectors import fingerprint, reference_day
from payops.discrepancies.services.bookings import refuse_reversed
from payops.discrepancies.services.cases import next_numbers
from payops.discrepancies.services.history import lock_cases, move, require, tell
from payops.discrepancies.services.params import normalise
from payops.identity.models import User

ACTION = "discrepancies.action"
TARGET_CASE = "case"
TARGET_BATCH = "case_batch"
LARGEST_BATCH = 2000


@transaction.atomic
def action_propose(
    *,
    case_id: int,
    kind: str,
    params: Mapping[str, Any],
    user: User,
    note: str = "",
    expected_fingerprint: str = "",
) -> CaseAction:
    """Propose one action for the whole suspense of a case; it is booked when another user approves it.

    `params`: {"days"} to wait; {"merchant_no"} to supplement, refund or recover, taken from the evidence when left
    out; {"match_key"} for a refund's request number, made when left out. `expected_fingerprint` is the one the page
    was drawn with. Raises PayopsError 'discrepancies.not_allowed', '.stale_page', '.action_pending', '.wrong_state',
    '.action_not_allowed', '.suspense_reversed' and what the details lack.
    """
    require(user, "cases.propose")
    case = lock_cases([case_id])[case_id]
    if expected_fingerprint and expected_fingerprint != fingerprint(case):
        raise PayopsError(
            "discrepancies.stale_page",
            _("Case %(case)s has changed since you opened the page. Reload it and look again before you propose.")
            % {"case": case.case_no},
            {"case": case.pk},
        )
    if kind != ActionKind.WAIT:
        refuse_reversed([case])
    action = _create(case, kind, params, user, note)
    request = _submit(TARGET_CASE, str(case.pk), [action], user, note)
    _attach([action], request)
    return action


@transaction.atomic
def actions_propose_many(
    *, case_ids: Iterable[int], kind: str, params: Mapping[str, Any], user: User, note: str = ""
) -> ApprovalRequest:
    """Propose one kind of action for many cases as a single approval with totals: all are booked, or none.

    The cases must be of one currency ('discrepancies.mixed_currencies') and each must allow the action; the error
    names the first case that does not, and nothing is proposed.
    """
    require(user, "cases.propose")
    cases = list(lock_cases(case_ids).values())
    if not 1 <= len(cases) <= LARGEST_BATCH:
        raise PayopsError(
            "discrepancies.batch_size",
            _("Choose from 1 to %(most)d cases; you chose %(count)d.") % {"most": LARGEST_BATCH, "count": len(cases)},
            {"count": len(cases)},
        )
    currencies = sorted({case.currency for case in cases})
    if len(currencies) > 1:
        raise PayopsError(
            "discrepancies.mixed_currencies",
            _("The chosen cases are in %(currencies)s. Propose one currency at a time, so that there is one total.")
            % {"currencies": ", ".join(currencies)},
            {"currencies": currencies},
        )
    if kind != ActionKind.WAIT:
        refuse_reversed(cases)
    batch_no = next_numbers("DB", [reference_day()])[0]
    actions = [_create(case, kind, params, user, note, batch_no=batch_no) for case in cases]
    request = _submit(TARGET_BATCH, batch_no, actions, user, note)
    _attach(actions, request)
    return request


def _create(
    case: Discrepancy, kind: str, params: Mapping[str, Any], user: User, note: str, *, batch_no: str = ""
) -> CaseAction:
    """The proposed action with its history line, the case (locked by the caller) moved to "proposed"."""
    _refuse_unless_workable(case)
    if kind not in allowed_actions(case):
        raise PayopsError(
            "discrepancies.action_not_allowed",
            _("Case %(case)s: “%(action)s” is not possible here. Possible: %(allowed)s.")
            % {
                "case": case.case_no,
                "action": dict(ActionKind.choices).get(kind, kind),
                "allowed": ", ".join(str(allowed.label) for allowed in allowed_actions(case)),
            },
            {"case": case.pk, "action": kind},
        )
    wanted = ActionKind(kind)
    action = CaseAction(
        case=case,
        kind=wanted,
        params=normalise(case, wanted, params, note),
        amount=case.suspense,
        proposed_by=user,
        batch_no=batch_no,
    )
    action.save(force_insert=True)
    source = move(case, CaseState.PROPOSED)
    tell(case, CaseEventKind.PROPOSED, by=user, from_state=source, amount=action.amount, note=note, action=action)
    return action


def _submit(kind: str, target_id: str, actions: list[CaseAction], user: User, note: str) -> ApprovalRequest:
    first = actions[0]
    total = sum(abs(action.amount) for action in actions)
    payload = {
        "kind": first.kind,
        "currency": first.case.currency,
        "count": len(actions),
        "total": total,
        "actions": [
            {
                "action": action.pk,
                "case": action.case_id,
                "case_no": action.case.case_no,
                "amount": action.amount,
                "params": action.params,
            }
            for action in actions
        ],
    }
    return request_submit(
        action=ACTION,
        target_kind=kind,
        target_id=target_id,
        payload=payload,
        amount=total,
        currency=first.case.currency,
        title=title_of(first.case.case_no if kind == TARGET_CASE else "", ActionKind(first.kind), payload),
        reason=note,
        maker=user,
    )


def title_of(case_no: str, kind: ActionKind, payload: Mapping[str, Any]) -> str:
    """One line for a proposal in the reader's language; without a case number it stands for all its cases."""
    currency = payload["currency"]
    what = case_no or _("%(count)d cases") % {"count": payload["count"]}
    return f"{what}: {kind.label}, {format_amount(payload['total'], currency)} {currency}"


def _attach(actions: list[CaseAction], request: ApprovalRequest) -> None:
    CaseAction.objects.filter(pk__in=[action.pk for action in actions]).update(approval=request)
    for action in actions:
        action.approval = request


def _refuse_unless_workable(case: Discrepancy) -> None:
    if case.state in WORKABLE_STATES:
        return
    if case.state == CaseState.PROPOSED:
        waiting = case.actions.filter(state="proposed").select_related("proposed_by").first()
        raise PayopsError(
            "discrepancies.action_pending",
            _("Case %(case)s already has a proposal waiting: %(action)s by %(user)s. Decide or withdraw it first.")
            % {
                "case": case.case_no,
                "action": waiting.get_kind_display() if waiting else "?",
                "user": waiting.proposed_by.username if waiting else "?",
            },
            {"case": case.pk, "request": waiting.approval_id if waiting else None},
        )
    raise PayopsError(
        "discrepancies.wrong_state",
        _("Case %(case)s is %(state)s; nothing can be proposed for it.")
        % {"case": case.case_no, "state": case.get_state_display()},
        {"case": case.pk, "state": case.state},
    )
