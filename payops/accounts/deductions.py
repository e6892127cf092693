"""Deductions: taking from an account what there is, freezing the rest, and booking it as money arrives (DOMAIN 4.4).

A deduction that is short leaves a freeze slip over its rest. Slips stand in line by age: what arrives belongs to the
oldest slip, and when that is one of a deduction it is unfrozen and booked. A part is the source document of its
voucher, so each is booked once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from payops.accounts.buffering import take_queued
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.freezes import REASON_LENGTH, SLIP_SOURCE, freeze_place, freeze_release
from payops.accounts.guards import DAY_LOCK
from payops.accounts.models import Account, Deduction, DeductionPart, Freeze
from payops.accounts.posting import Posting, open_accounting_day, post
from payops.accounts.rules import rule_for
from payops.core.errors import PayopsError
from payops.core.ids import day_code
from payops.core.locks import xact_lock

PART_SOURCE: Final = "deduction_part"
_MAY_BE_TAKEN: Final = (AccountStatus.NORMAL, AccountStatus.DEBIT_ONLY)


@transaction.atomic
def deduct(
    *,
    account: Account,
    amount: int,
    event: Event,
    variable: str,
    owners: Mapping[str, str],
    source_kind: str,
    source_id: str | int,
    business_date: dt.date,
    reason: str,
    created_by: str,
) -> Deduction:
    """Take `amount` minor units from an account by an event's rule: what is there at once, the rest as it comes.

    `variable` is the rule's one variable, `owners` its owners by role. Nothing frozen before is touched, and from a
    restricted account nothing is taken yet. One deduction per source and event: a second raises PayopsError
    'deductions.exists'. Also raises 'deductions.amount', 'deductions.rule' and what `post` raises.
    """
    if amount <= 0:
        raise PayopsError("deductions.amount", _("The amount to deduct must be positive."), {"amount": amount})
    day = _held_day()
    _check_rule(event, variable, day)
    _lock_all([*_booked_on(event, owners, account.currency, day), account.pk])
    locked = _account(account.pk)
    deduction, made = Deduction.objects.get_or_create(
        source_kind=source_kind,
        source_id=str(source_id),
        event=event,
        defaults={
            "account": locked,
            "variable": variable,
            "owners": dict(owners),
            "business_date": business_date,
            "amount": amount,
            "reason": reason[:REASON_LENGTH],
            "created_by": created_by,
        },
    )
    if not made:
        raise PayopsError(
            "deductions.exists",
            _("%(kind)s %(id)s is deducted already, as deduction %(deduction)d.")
            % {"kind": source_kind, "id": source_id, "deduction": deduction.pk},
            {"deduction": deduction.pk},
        )
    there = max(0, min(amount, locked.available)) if locked.status in _MAY_BE_TAKEN else 0
    if there:
        _book(deduction, locked, there, day, created_by)
    if there < amount:
        deduction.freeze = freeze_place(
            account=locked,
            amount=amount - there,
            reason=reason,
            source_kind=SLIP_SOURCE,
            source_id=deduction.pk,
            created_by=created_by,
        )
        deduction.save(update_fields=["freeze"])
    deduction.refresh_from_db()
    return deduction


@transaction.atomic
def deductions_collect(account_ids: Iterable[int] | None = None, *, posted_by: str = "system") -> list[DeductionPart]:
    """Book what can be taken now of deductions still short, oldest slip first; returns the parts booked.

    `account_ids`: the accounts that got money, None for all. Call it after crediting: it does nothing where nothing is
    owed, and asking again takes nothing twice.
    """
    owing = Deduction.objects.filter(collected__lt=F("amount")).select_related("account")
    if account_ids is not None:
        owing = owing.filter(account__in=list(account_ids))
    found = list(owing)
    if not found:
        return []
    day = _held_day()
    wanted = {each.account_id for each in found}
    touched = [_booked_on(each.event, each.owners, each.account.currency, day) for each in found]
    _lock_all(wanted.union(*touched))
    take_queued(wanted)
    return [part for pk in sorted(wanted) for part in _collect(_account(pk), day, posted_by)]


def _collect(account: Account, day: dt.date, posted_by: str) -> list[DeductionPart]:
    """Walk the account's slips by age as far as its money reaches; the account is locked."""
    parts: list[DeductionPart] = []
    if account.status not in _MAY_BE_TAKEN:
        return parts
    money = account.balance
    slips = Freeze.objects.filter(account=account, remaining__gt=0).select_related("deduction").order_by("id")
    for slip in slips:
        if money <= 0:
            break
        taken = min(slip.remaining, money)
        # What another slip holds is not there for the younger ones either.
        money -= taken
        deduction = getattr(slip, "deduction", None)
        if deduction is not None:
            freeze_release(freeze=slip, amount=taken, reason=_("Collected"), released_by=posted_by)
            parts.append(_book(deduction, account, taken, day, posted_by))
    return parts


def _book(deduction: Deduction, account: Account, amount: int, day: dt.date, posted_by: str) -> DeductionPart:
    """One part with its voucher. The number comes first, because it is the voucher's source."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('accounts_deductionpart_id_seq')")
        number = cursor.fetchone()[0]
    voucher = post(
        Posting(
            event=deduction.event,
            source_kind=PART_SOURCE,
            source_id=number,
            amounts={deduction.variable: amount},
            owners=deduction.owners,
            business_date=deduction.business_date,
            currency=account.currency,
            memo=deduction.reason,
        ),
        day=day,
        posted_by=posted_by,
    )
    before = account.balance
    account.refresh_from_db(fields=["balance", "frozen"])
    if voucher is None or before - account.balance != amount:
        raise PayopsError(
            "deductions.rule",
            _("“%(event)s” does not take %(variable)s from account %(account)s.")
            % {
                "event": Event(deduction.event).label,
                "variable": deduction.variable,
                "account": account.account_no,
            },
            {"event": deduction.event, "account_no": account.account_no},
        )
    return DeductionPart.objects.create(id=number, deduction=deduction, amount=amount, voucher_id=voucher.pk)


def _check_rule(event: Event, variable: str, day: dt.date) -> None:
    variables = rule_for(event, day).variables
    if variables != {variable}:
        raise PayopsError(
            "deductions.rule",
            _("“%(event)s” books %(variables)s; a deduction has one amount, %(variable)s.")
            % {"event": Event(event).label, "variables": ", ".join(sorted(variables)), "variable": variable},
            {"event": int(event), "variables": sorted(variables)},
        )


def _held_day() -> dt.date:
    """The open day, which cannot be closed until the caller's transaction ends: it is locked before any account."""
    day = open_accounting_day()
    xact_lock(DAY_LOCK, day_code(day), shared=True)
    return day


def _booked_on(event: int, owners: Mapping[str, str], currency: str, day: dt.date) -> list[int]:
    """The accounts that a voucher of the event touches."""
    places = Q(pk__in=[])
    for line in rule_for(event, day).lines:
        owner_no = owners.get(line.owner_key, "") if line.owner_key else ""
        places |= Q(subject__code=line.subject, owner_kind=line.owner_kind, owner_no=owner_no, currency=currency)
    return list(Account.objects.filter(places).values_list("pk", flat=True))


def _lock_all(account_ids: Iterable[int]) -> None:
    """Lock everything that will be booked on, in order of id like every posting, so that nobody waits in a circle."""
    rows = Account.objects.filter(pk__in=set(account_ids)).select_for_update(no_key=True).order_by("id")
    list(rows.values_list("pk", flat=True))


def _account(account_id: int) -> Account:
    return Account.objects.select_related("subject").get(pk=account_id)
