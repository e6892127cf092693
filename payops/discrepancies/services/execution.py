"""What approving, rejecting and showing a proposal means; registered with approvals when the app starts."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.registry import LARGE_AMOUNT, Description, register_action
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.discrepancies.choices import ActionKind, ActionState, CaseEventKind, CaseState
from payops.discrepancies.handlers import tell_resolved
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.selectors import fingerprint
from payops.discrepancies.services.bookings import Booking, book, refuse_reversed
from payops.discrepancies.services.history import lock_cases, move, tell
from payops.discrepancies.services.proposals import ACTION, TARGET_CASE, title_of

ROWS_SHOWN = 50


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=execute,
        fingerprint=target_fingerprint,
        describe=describe,
        closed=proposal_closed,
        maker_permission="cases.propose",
        checker_permission="cases.approve",
        tiers=LARGE_AMOUNT,
    )


def target_fingerprint(target_kind: str, target_id: str) -> str:
    """Everything the checker decides on: the state, suspense and evidence of each case of the proposal."""
    if target_kind == TARGET_CASE:
        cases = Discrepancy.objects.filter(pk=int(target_id))
    else:
        cases = Discrepancy.objects.filter(actions__batch_no=target_id).order_by("pk")
    return "|".join(fingerprint(case) for case in cases)


def execute(request: ApprovalRequest) -> dict[str, Any]:
    """Book every action of the request; called in the transaction of the approval, with the request's row locked."""
    items = sorted(request.payload["actions"], key=lambda item: item["case"])
    cases = lock_cases(item["case"] for item in items)
    if request.payload["kind"] != ActionKind.WAIT:
        refuse_reversed(list(cases.values()))
    # One proposal row per case may wait at a time, and its case is locked: nobody else touches these actions now.
    actions = {action.pk: action for action in CaseAction.objects.filter(approval=request)}
    vouchers = []
    for item in items:
        case, action = cases[item["case"]], actions[item["action"]]
        _refuse_changed(case, action, item)
        booking = book(case, action, item["params"], request.checker)
        _mark_booked(case, action, booking)
        _advance(case, action, request)
        vouchers.append({"case": case.case_no, "voucher": str(booking.voucher_id or ""), "event": booking.event})
    return {"cases": len(items), "vouchers": vouchers}


def proposal_closed(request: ApprovalRequest) -> None:
    """A rejected or withdrawn proposal: its actions are rejected, the cases are open again."""
    proposed = CaseAction.objects.filter(approval=request, state=ActionState.PROPOSED)
    actions = {action.case_id: action for action in proposed}
    proposed.update(state=ActionState.REJECTED)
    what = CaseEventKind.REJECTED if request.status == RequestStatus.REJECTED else CaseEventKind.TAKEN_BACK
    for case in lock_cases(actions).values():
        source = move(case, CaseState.OPEN)
        tell(
            case,
            what,
            by=request.decided_by_name,
            from_state=source,
            note=request.decision_note,
            action=actions[case.pk],
        )


def describe(request: ApprovalRequest) -> Description:
    """The decision page: what is done, to which cases, with which totals."""
    payload = request.payload
    kind, currency = ActionKind(payload["kind"]), payload["currency"]
    rows: list[tuple[Any, Any]] = [
        (_("Action"), kind.label),
        (_("Cases"), payload["count"]),
        (_("Total"), f"{format_amount(payload['total'], currency)} {currency}"),
    ]
    for name, label in (("merchant_no", _("Merchant")), ("match_key", _("Request number")), ("until", _("Until"))):
        values = sorted({item["params"][name] for item in payload["actions"] if name in item["params"]})
        if values:
            rows.append((label, ", ".join(values[:ROWS_SHOWN])))
    if payload["count"] > 1:
        rows += [(item["case_no"], format_amount(item["amount"], currency)) for item in payload["actions"][:ROWS_SHOWN]]
    if payload["count"] > ROWS_SHOWN:
        rows.append(("…", _("and %(count)d more") % {"count": payload["count"] - ROWS_SHOWN}))
    if request.target_kind == TARGET_CASE:
        title = title_of(payload["actions"][0]["case_no"], kind, payload)
        return Description(title, "console:case_detail", (int(request.target_id),), rows)
    return Description(title_of("", kind, payload), "console:case_list", (), rows)


def _refuse_changed(case: Discrepancy, action: CaseAction, item: dict[str, Any]) -> None:
    """The fingerprint was compared a moment ago without the case's lock; under the lock nothing may differ."""
    fresh = case.state == CaseState.PROPOSED and case.suspense == item["amount"] == action.amount
    if not fresh or action.state != ActionState.PROPOSED:
        raise PayopsError(
            "discrepancies.changed_meanwhile",
            _("Case %(case)s changed at this very moment; nothing was booked. Reject this request and look again.")
            % {"case": case.case_no},
            {"case": case.pk, "action": action.pk},
        )


def _mark_booked(case: Discrepancy, action: CaseAction, booking: Booking) -> None:
    """The conditional update that makes a second execution impossible even past all locks."""
    now = timezone.now()
    changed = CaseAction.objects.filter(pk=action.pk, state=ActionState.PROPOSED).update(
        state=ActionState.BOOKED,
        booked_at=now,
        voucher_id=booking.voucher_id,
        transaction_id=booking.transaction_id,
    )
    if not changed:
        raise PayopsError(
            "discrepancies.already_booked",
            _("The action on case %(case)s is already booked.") % {"case": case.case_no},
            {"case": case.pk, "action": action.pk},
        )
    action.state, action.booked_at = ActionState.BOOKED, now
    action.voucher_id, action.transaction_id = booking.voucher_id, booking.transaction_id


def _advance(case: Discrepancy, action: CaseAction, request: ApprovalRequest) -> None:
    """Waiting returns the case to open; anything else emptied the suspense, so the case closes."""
    checker, note = request.checker, request.decision_note
    if action.kind == ActionKind.WAIT:
        source = move(case, CaseState.OPEN, wait_until=parse_date(action.params["until"]))
        tell(case, CaseEventKind.WAITING, by=checker, from_state=source, note=note, action=action)
        return
    source = move(case, CaseState.BOOKED, suspense=0)
    tell(
        case,
        CaseEventKind.BOOKED,
        by=checker,
        from_state=source,
        voucher_id=action.voucher_id,
        amount=action.amount,
        note=note,
        action=action,
    )
    source = move(case, CaseState.CLOSED, closed_at=timezone.now(), wait_until=None)
    tell(case, CaseEventKind.CLOSED, by=checker, from_state=source)
    tell_resolved(case, action)
