"""Opening cases, and what people do with one without booking: take it on, note something, close it when empty."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.channels.models import BankAccount, ChannelContract
from payops.core.errors import PayopsError
from payops.discrepancies import sql
from payops.discrepancies.choices import WORKABLE_STATES, CaseEventKind, CaseState
from payops.discrepancies.models import CaseEvent, Discrepancy
from payops.discrepancies.rules import derive_reason, suggest_action
from payops.discrepancies.services.history import SYSTEM, event, lock_case, lock_cases, move, require, tell
from payops.identity.models import User
from payops.merchants.models import Merchant

CHUNK = 2000
MOST_AT_ONCE = 5000
"""Cases that change hands in one transaction."""
REOPENABLE = (CaseState.AUTO_CLEARED, CaseState.WITHDRAWN)
# What a reopened case takes from the new finding; what it is about (key, contract, date) stays.
FINDING_FIELDS = (
    "kind",
    "reason_code",
    "merchant",
    "transaction_id",
    "bill_line_id",
    "bank_line_id",
    "amount",
    "suspense",
    "currency",
    "evidence",
    "suggested_action",
)


def case_open(
    *,
    dedupe_key: str,
    kind: str,
    amount: int,
    suspense: int,
    currency: str,
    business_date: dt.date,
    evidence: Mapping[str, Any],
    reason_code: str = "",
    contract: ChannelContract | None = None,
    bank_account: BankAccount | None = None,
    merchant: Merchant | None = None,
    transaction_id: int | None = None,
    bill_line_id: int | None = None,
    bank_line_id: int | None = None,
    suggested_action: str = "",
) -> Discrepancy:
    """Open the case of one difference, or return the one its `dedupe_key` already has (`opened_now` tells which).

    `amount` is d = channel − own, `suspense` what of it is booked to suspense now (same sign, or 0), in minor units.
    A case cleared automatically or withdrawn is reopened with the new finding; one closed by an action stays closed,
    because what was decided is not decided again. Books nothing: whoever finds the difference books its suspense.
    """
    return cases_open_many([{name: value for name, value in locals().items() if value is not None}])[0]


@transaction.atomic
def cases_open_many(findings: Sequence[Mapping[str, Any]]) -> list[Discrepancy]:
    """`case_open` for many findings (the same arguments, as mappings); cases in the order given, one per key."""
    cases: dict[str, Discrepancy] = {}
    for start in range(0, len(findings), CHUNK):
        cases.update(_open_chunk(findings[start : start + CHUNK]))
    return [cases[finding["dedupe_key"]] for finding in findings]


@transaction.atomic
def case_assign(*, case_id: int, owner: User, user: User, note: str = "") -> Discrepancy:
    """Put a case into somebody's hands; an open one becomes investigated.

    Raises PayopsError 'discrepancies.wrong_state' for a case that is done.
    """
    require(user, "cases.propose")
    require(owner, "cases.propose")
    case = lock_case(case_id)
    if not case.is_open:
        raise PayopsError(
            "discrepancies.wrong_state",
            _("Case %(case)s is %(state)s; nobody works on it any more.")
            % {"case": case.case_no, "state": case.get_state_display()},
            {"case": case.pk, "state": case.state},
        )
    source = case.state
    if case.state == CaseState.OPEN:
        move(case, CaseState.INVESTIGATING, owner=owner)
    else:
        case.owner = owner
        case.save(update_fields=["owner"])
    tell(case, CaseEventKind.ASSIGNED, by=user, from_state=source, note=note or owner.username)
    return case


@transaction.atomic
def cases_assign_many(*, case_ids: Collection[int], owner: User, user: User, note: str = "") -> int:
    """Put many cases into one person's hands; returns how many changed hands.

    Cases that are no longer open, or that person's already, are left as they are. Both need 'cases.propose'. Raises
    PayopsError 'discrepancies.too_many' beyond MOST_AT_ONCE: the locks of one transaction are not to stop a run.
    """
    require(user, "cases.propose")
    require(owner, "cases.propose")
    if len(case_ids) > MOST_AT_ONCE:
        raise PayopsError(
            "discrepancies.too_many",
            _("%(count)d cases are more than the %(limit)d that change hands at once. Filter them first.")
            % {"count": len(case_ids), "limit": MOST_AT_ONCE},
            {"count": len(case_ids)},
        )
    cases = [case for case in lock_cases(case_ids).values() if case.is_open and case.owner_id != owner.pk]
    fresh = [case for case in cases if case.state == CaseState.OPEN]
    Discrepancy.objects.filter(pk__in=[case.pk for case in cases]).update(owner=owner)
    Discrepancy.objects.filter(pk__in=[case.pk for case in fresh]).update(state=CaseState.INVESTIGATING)
    told = []
    for case in cases:
        source = case.state
        case.owner = owner
        case.state = CaseState.INVESTIGATING if source == CaseState.OPEN else source
        told.append(event(case, CaseEventKind.ASSIGNED, by=user, from_state=source, note=note or owner.username))
    CaseEvent.objects.bulk_create(told, batch_size=CHUNK)
    return len(cases)


@transaction.atomic
def case_note(*, case_id: int, user: User, note: str) -> CaseEvent:
    """Add a remark to the history; whoever proposes or approves may, at any time."""
    if not (user.may("cases.propose") or user.may("cases.approve")):
        require(user, "cases.propose")
    if not note.strip():
        raise PayopsError("discrepancies.note_missing", _("Write the note first; an empty one says nothing."))
    case = lock_case(case_id)
    remark = event(case, CaseEventKind.NOTED, by=user, from_state=case.state, note=note)
    remark.save(force_insert=True)
    return remark


@transaction.atomic
def case_close(*, case_id: int, note: str, user: User) -> Discrepancy:
    """Close a case that has nothing in suspense (status, kind, currency or fee within its claim), saying why.

    Raises PayopsError 'discrepancies.suspense_left' otherwise: suspense is emptied by an action that resolves it.
    """
    require(user, "cases.propose")
    if not note.strip():
        raise PayopsError("discrepancies.note_missing", _("Say why the case can be closed."))
    case = lock_case(case_id)
    if case.suspense:
        raise PayopsError(
            "discrepancies.suspense_left",
            _("Case %(case)s still has money in suspense. Propose an action that resolves it.")
            % {"case": case.case_no},
            {"case": case.pk, "suspense": case.suspense},
        )
    if case.state not in WORKABLE_STATES:
        raise PayopsError(
            "discrepancies.wrong_state",
            _("Case %(case)s is %(state)s and cannot be closed by hand.")
            % {"case": case.case_no, "state": case.get_state_display()},
            {"case": case.pk, "state": case.state},
        )
    source = move(case, CaseState.CLOSED, closed_at=timezone.now(), wait_until=None)
    tell(case, CaseEventKind.CLOSED, by=user, from_state=source, note=note)
    return case


def next_numbers(prefix: str, days: Sequence[dt.date]) -> list[str]:
    """One new number per day given, e.g. DC261120000123: prefix, day, and a sequence that never repeats."""
    with connection.cursor() as cursor:
        cursor.execute(sql.NEXT_NUMBERS, [len(days)])
        sequence = [row[0] for row in cursor.fetchall()]
    return [f"{prefix}{day:%y%m%d}{number:06d}" for day, number in zip(days, sequence, strict=True)]


def _open_chunk(findings: Sequence[Mapping[str, Any]]) -> dict[str, Discrepancy]:
    first_of_key: dict[str, Mapping[str, Any]] = {}
    for finding in findings:
        first_of_key.setdefault(finding["dedupe_key"], finding)
    known = _by_key(list(first_of_key))
    new = _insert([finding for key, finding in first_of_key.items() if key not in known])
    for key, case in known.items():
        if case.state in REOPENABLE:
            known[key] = _reopen(case.pk, first_of_key[key])
    return {**known, **new}


def _by_key(keys: list[str]) -> dict[str, Discrepancy]:
    cases = Discrepancy.objects.filter(dedupe_key__in=keys).select_related("contract", "merchant", "bank_account")
    return {case.dedupe_key: case for case in cases}


def _insert(findings: list[Mapping[str, Any]]) -> dict[str, Discrepancy]:
    """New cases; a key another transaction inserted meanwhile gives that one's case instead."""
    if not findings:
        return {}
    numbers = next_numbers("DC", [finding["business_date"] for finding in findings])
    rows = [Discrepancy(case_no=number, **_values(finding)) for number, finding in zip(numbers, findings, strict=True)]
    Discrepancy.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    stored = _by_key([row.dedupe_key for row in rows])
    own_numbers = set(numbers)
    events = []
    for case in stored.values():
        case.opened_now = case.case_no in own_numbers
        if case.opened_now:
            events.append(event(case, CaseEventKind.OPENED, by=SYSTEM, amount=case.amount))
    CaseEvent.objects.bulk_create(events, batch_size=1000)
    return stored


def _reopen(case_id: int, finding: Mapping[str, Any]) -> Discrepancy:
    """The same difference is back: open again with what was found now."""
    case = lock_case(case_id)
    if case.state not in REOPENABLE:
        return case
    values = _values(finding)
    fresh = {name: values.get(name) for name in FINDING_FIELDS if name in values or name in NULLABLE_FINDINGS}
    source = move(case, CaseState.OPEN, closed_at=None, escalated_at=None, wait_until=None, **fresh)
    case.opened_now = True
    tell(case, CaseEventKind.REOPENED, by=SYSTEM, from_state=source, amount=case.amount)
    return case


NULLABLE_FINDINGS = ("merchant", "transaction_id", "bill_line_id", "bank_line_id")


def _values(finding: Mapping[str, Any]) -> dict[str, Any]:
    """The finding with reason and suggestion derived where it gives none."""
    values = dict(finding)
    evidence = values["evidence"]
    values["reason_code"] = values.get("reason_code") or derive_reason(values["kind"], evidence)
    values["suggested_action"] = values.get("suggested_action") or suggest_action(
        values["kind"],
        values["suspense"],
        merchant_known=values.get("merchant") is not None,
        reason=values["reason_code"],
    )
    return values
