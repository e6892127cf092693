"""The steps every write on a case is made of: lock it, move its state, tell its history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.locks import lock_timeout
from payops.discrepancies.choices import CASE_TRANSITIONS, CaseEventKind, CaseState
from payops.discrepancies.models import CaseEvent, Discrepancy
from payops.identity.models import User

LOCK_WAIT_SECONDS = 15
SYSTEM = "system"
"""The name under which runs and other jobs write history."""


def lock_cases(case_ids: Iterable[int]) -> dict[int, Discrepancy]:
    """The cases, locked in order of their ids until the transaction ends, as they are now.

    The lock keeps two actions, or an action and a run, from working on the same suspense. Whoever needs the lock of an
    approval request as well takes that one first.
    """
    wanted = sorted(set(case_ids))
    with lock_timeout(LOCK_WAIT_SECONDS):
        cases = (
            Discrepancy.objects.filter(pk__in=wanted)
            .select_for_update(of=("self",), no_key=True)
            .select_related("contract", "merchant", "bank_account")
            .order_by("pk")
        )
        found = {case.pk: case for case in cases}
    missing = [pk for pk in wanted if pk not in found]
    if missing:
        raise PayopsError(
            "discrepancies.not_found",
            _("There is no case with the number %(id)s.") % {"id": missing[0]},
            {"case": missing[0]},
        )
    return found


def lock_case(case_id: int) -> Discrepancy:
    """One case, locked."""
    return lock_cases([case_id])[case_id]


def move(case: Discrepancy, to: CaseState, **fields: Any) -> str:
    """Change the state by a conditional update, with other fields; returns the state it came from.

    Raises PayopsError 'discrepancies.wrong_state' where the transition table has no such step, and
    'discrepancies.changed_meanwhile' when the row is no longer in the state read.
    """
    source = case.state
    if to not in CASE_TRANSITIONS[source]:
        raise PayopsError(
            "discrepancies.wrong_state",
            _("Case %(case)s is %(state)s; it cannot become %(wanted)s.")
            % {"case": case.case_no, "state": case.get_state_display(), "wanted": to.label},
            {"case": case.pk, "state": source, "wanted": to.value},
        )
    if not Discrepancy.objects.filter(pk=case.pk, state=source).update(state=to, **fields):
        raise PayopsError(
            "discrepancies.changed_meanwhile",
            _("Somebody changed case %(case)s at the same moment. Reload the page and look at it again.")
            % {"case": case.case_no},
            {"case": case.pk},
        )
    case.state = to
    for name, value in fields.items():
        setattr(case, name, value)
    return source


def event(case: Discrepancy, what: CaseEventKind, *, by: User | str, from_state: str = "", **facts: Any) -> CaseEvent:
    """One line of history, not saved yet. `facts`: note, voucher_id, amount (minor units)."""
    return CaseEvent(
        case=case,
        what=what,
        username=by if isinstance(by, str) else by.username,
        from_state=from_state,
        to_state=case.state,
        **facts,
    )


def tell(case: Discrepancy, what: CaseEventKind, *, by: User | str, from_state: str = "", **facts: Any) -> None:
    """Write one line of history."""
    event(case, what, by=by, from_state=from_state or case.state, **facts).save(force_insert=True)


def require(user: User, permission: str) -> None:
    """PayopsError 'discrepancies.not_allowed' unless the user holds the permission."""
    if not user.may(permission):
        raise PayopsError(
            "discrepancies.not_allowed",
            _("You may not do this: it needs the permission %(permission)s.") % {"permission": permission},
            {"username": user.username, "permission": permission},
        )
