"""Opening a closed case again: the register that took its money over (refunds in flight, recoveries) gave it back."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts.choices import Event
from payops.accounts.models import PostingKey
from payops.core.errors import PayopsError
from payops.discrepancies.choices import ActionKind, ActionState, CaseEventKind, CaseState
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.services.history import SYSTEM, lock_case, move, tell
from payops.orders import services as orders


@transaction.atomic
def case_reopen(
    *, case_id: int, suspense: int, note: str, username: str = SYSTEM, voucher_id: int | None = None
) -> Discrepancy:
    """Open a closed case again with what is back in suspense (minor units, the sign of the difference).

    The caller booked the suspense in this transaction and names the voucher. Raises 'discrepancies.wrong_state' for a
    case that is still worked on.
    """
    case = lock_case(case_id)
    source = move(case, CaseState.OPEN, suspense=suspense, closed_at=None, wait_until=None)
    tell(
        case,
        CaseEventKind.REOPENED,
        by=username,
        from_state=source,
        note=note,
        amount=suspense,
        voucher_id=voucher_id,
    )
    return case


@transaction.atomic
def surplus_refund_failed(*, transaction_id: int, note: str = "", username: str = SYSTEM) -> Discrepancy | None:
    """The refund of a surplus failed for good or came back: the case is open again with what is back in suspense.

    `transaction_id` is the refund an action created; None when none did. Confirms the failure with orders, which books
    refunds in flight → surplus, unless that was done already. A second call changes nothing, whatever became of the
    case since.
    """
    action = (
        CaseAction.objects.filter(transaction_id=transaction_id, kind=ActionKind.REFUND_PAYER, state=ActionState.BOOKED)
        .order_by("id")
        .first()
    )
    if action is None:
        return None
    case = lock_case(action.case_id)
    if case.state != CaseState.CLOSED:
        return case
    orders.refund_confirm_failed(transaction_id, username=username)
    voucher_id = (
        PostingKey.objects.filter(event=Event.SURPLUS_TO_PAYER, source_id=transaction_id)
        .values_list("voucher_id", flat=True)
        .first()
    )
    if voucher_id is None:
        raise PayopsError(
            "discrepancies.refund_not_back",
            _("Case %(case)s: the money of refund %(id)s is not back in the surplus, so the case stays closed.")
            % {"case": case.case_no, "id": transaction_id},
            {"case": case.pk, "transaction": str(transaction_id)},
        )
    if case.events.filter(what=CaseEventKind.REOPENED, voucher_id=voucher_id).exists():
        # Told once more after the case was resolved another way: the money came back once and is not in suspense now.
        return case
    return case_reopen(
        case_id=case.pk,
        suspense=action.amount,
        note=note or _("The refund failed."),
        username=username,
        voucher_id=voucher_id,
    )
