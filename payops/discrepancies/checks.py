"""The day-end check of suspense: every cent in it is remembered by an open case (DOMAIN 4.5, invariants)."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

from django.db.models import Sum
from django.utils.translation import gettext as _

from payops.accounts.checks import Finding
from payops.accounts.choices import OwnerKind
from payops.accounts.selectors import balances_now
from payops.core.money import format_amount
from payops.discrepancies.choices import OPEN_STATES
from payops.discrepancies.models import Discrepancy

CHECK = "suspense_equals_open_cases"
SURPLUS = "224101"
SHORTAGE = "122101"

Owner = tuple[str, str, str]


def suspense_by_owner() -> dict[Owner, int]:
    """Surplus − shortage of the ledger per (owner kind, owner, currency), minor units, signed."""
    totals: dict[Owner, int] = defaultdict(int)
    for row in balances_now("s.code = ANY (%(codes)s)", {"codes": [SURPLUS, SHORTAGE]}):
        sign = 1 if row["code"] == SURPLUS else -1
        totals[row["owner_kind"], row["owner_no"], row["currency"]] += sign * row["balance"]
    return dict(totals)


def cases_by_owner() -> dict[Owner, int]:
    """Σ suspense of open cases per owner of the suspense: channel contract, else bank account, else institution."""
    totals: dict[Owner, int] = defaultdict(int)
    rows = (
        Discrepancy.objects.filter(state__in=OPEN_STATES)
        .exclude(suspense=0)
        .order_by()
        .values("contract__code", "bank_account__code", "currency")
        .annotate(total=Sum("suspense"))
    )
    for row in rows:
        channel, bank = row["contract__code"], row["bank_account__code"]
        kind = OwnerKind.CHANNEL if channel else OwnerKind.BANK if bank else OwnerKind.INSTITUTION
        owner = (kind.value, channel or bank or "")
        totals[(*owner, row["currency"])] += row["total"]
    return dict(totals)


def check_suspense(day: dt.date) -> list[Finding]:
    """Per channel and bank account: surplus − shortage = Σ suspense of open cases. Both sides as they are now."""
    ledger, cases = suspense_by_owner(), cases_by_owner()
    findings = []
    for owner in sorted({*ledger, *cases}):
        booked, remembered = ledger.get(owner, 0), cases.get(owner, 0)
        if booked == remembered:
            continue
        kind, number, currency = owner
        findings.append(
            Finding(
                check=CHECK,
                message=_(
                    "%(owner)s: %(booked)s %(currency)s net in suspense, but open cases account for %(cases)s. "
                    "Look for a case closed or changed without its booking, or a booking without a case."
                )
                % {
                    "owner": number,
                    "booked": format_amount(booked, currency),
                    "cases": format_amount(remembered, currency),
                    "currency": currency,
                },
                context={"owner_kind": kind, "owner_no": number, "booked": booked, "cases": remembered},
            )
        )
    return findings
