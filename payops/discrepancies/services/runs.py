"""What runs do with cases: clear, withdraw, escalate, change the suspense. They book by their own totals, not here."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.approvals.services import request_overtake
from payops.core.errors import PayopsError
from payops.discrepancies.choices import ActionState, CaseEventKind, CaseState
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.services.history import SYSTEM, lock_case, lock_cases, move, tell


def case_auto_clear(*, case_id: int, note: str, run_id: int | None = None) -> Discrepancy:
    """The other half arrived: suspense is gone (the run books that) and the case is done.

    A proposal still waiting for approval is withdrawn first, so that nobody approves what is settled. Clearing a case
    twice changes nothing; one that an action closed is refused ('discrepancies.already_resolved'), because its
    suspense went elsewhere and the arriving half is a new difference.
    """
    return cases_auto_clear_many([case_id], note=note, run_id=run_id)[0]


def cases_auto_clear_many(case_ids: Iterable[int], *, note: str, run_id: int | None = None) -> list[Discrepancy]:
    """`case_auto_clear` for many cases, in one transaction."""
    return _end(case_ids, CaseState.AUTO_CLEARED, CaseEventKind.AUTO_CLEARED, _with_run(note, run_id))


def case_withdraw(*, case_id: int, note: str) -> Discrepancy:
    """A new run no longer finds the difference (a re-issued bill, a late file): the case never was one."""
    return _end([case_id], CaseState.WITHDRAWN, CaseEventKind.WITHDRAWN, note)[0]


@transaction.atomic
def case_escalate(*, case_id: int, note: str = "") -> Discrepancy:
    """After T+n the rolling re-try gives up and a person has to act; the first escalation counts."""
    case = lock_case(case_id)
    if case.escalated_at is None and case.is_open:
        case.escalated_at = timezone.now()
        case.save(update_fields=["escalated_at"])
        tell(case, CaseEventKind.ESCALATED, by=SYSTEM, note=note)
    return case


@transaction.atomic
def case_suspense_set(*, case_id: int, suspense: int, note: str, amount: int | None = None) -> Discrepancy:
    """A re-run changed what is in suspense (minor units, signed); `amount` gives a new d where that changed too.

    Zero clears the case. A proposal waiting for approval becomes stale by this, and its approval says so. Refused for
    a case an action closed ('discrepancies.already_resolved').
    """
    if suspense == 0 and Discrepancy.objects.filter(pk=case_id).exclude(suspense=0).exists():
        return case_auto_clear(case_id=case_id, note=note)
    case = lock_case(case_id)
    _refuse_resolved(case)
    if not case.is_open:
        raise PayopsError(
            "discrepancies.wrong_state",
            _("Case %(case)s is %(state)s; open it again before its suspense changes.")
            % {"case": case.case_no, "state": case.get_state_display()},
            {"case": case.pk, "state": case.state},
        )
    before = case.suspense
    case.suspense, case.amount = suspense, case.amount if amount is None else amount
    case.save(update_fields=["suspense", "amount"])
    if before != suspense:
        tell(case, CaseEventKind.SUSPENSE, by=SYSTEM, note=note, amount=suspense)
    return case


@transaction.atomic
def _end(case_ids: Iterable[int], to: CaseState, what: CaseEventKind, note: str) -> list[Discrepancy]:
    wanted = list(case_ids)
    _overtake_proposals(wanted, note)
    cases = lock_cases(wanted)
    if any(case.state == CaseState.PROPOSED for case in cases.values()):
        # Proposed between the two statements; no further proposal can come while the cases are locked.
        _overtake_proposals(wanted, note)
        cases = lock_cases(wanted)
    for case in cases.values():
        if case.state == to:
            continue
        _refuse_resolved(case)
        cleared = case.suspense
        source = move(case, to, suspense=0, closed_at=timezone.now(), wait_until=None)
        tell(case, what, by=SYSTEM, from_state=source, note=note, amount=cleared)
    return [cases[pk] for pk in wanted]


def _overtake_proposals(case_ids: list[int], note: str) -> None:
    """Withdraw what waits for approval on these cases; requests are locked before cases, everywhere."""
    waiting = (
        CaseAction.objects.filter(case__in=case_ids, state=ActionState.PROPOSED, approval__isnull=False)
        .order_by("approval_id")
        .values_list("approval_id", flat=True)
        .distinct()
    )
    for request_id in list(waiting):
        request_overtake(request_id=request_id, note=note)


def _refuse_resolved(case: Discrepancy) -> None:
    if case.state == CaseState.CLOSED:
        raise PayopsError(
            "discrepancies.already_resolved",
            _("Case %(case)s was closed by an action; what happens to it now is a new difference.")
            % {"case": case.case_no},
            {"case": case.pk},
        )


def _with_run(note: str, run_id: int | None) -> str:
    return note if run_id is None else _("%(note)s (run %(run)s)") % {"note": note, "run": run_id}
