"""The details an action needs, completed from the case and checked before anybody is asked to approve them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.discrepancies.choices import ActionKind
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.rules import NEEDS_MERCHANT
from payops.discrepancies.selectors import certain_merchant_of, merchant_of, reference_day
from payops.merchants.models import Merchant

DEFAULT_WAIT_DAYS = 1
LONGEST_WAIT_DAYS = 30
NEEDS_NOTE = (ActionKind.LOSS, ActionKind.INCOME)
REQUEST_NUMBER = re.compile(r"[0-9A-Za-z_*-]{6,32}")


def normalise(case: Discrepancy, kind: ActionKind, given: Mapping[str, Any], note: str) -> dict[str, Any]:
    """What exactly will be done, as JSON values; raises PayopsError 'discrepancies.*' naming the wrong value."""
    if kind in NEEDS_NOTE and not note.strip():
        raise PayopsError(
            "discrepancies.note_missing",
            _("Case %(case)s: “%(action)s” needs a reason, so that finance can judge it.")
            % {"case": case.case_no, "action": kind.label},
            {"case": case.pk, "action": kind.value},
        )
    if kind == ActionKind.WAIT:
        return _waiting(case, given)
    if kind not in NEEDS_MERCHANT:
        return {}
    params: dict[str, Any] = {"merchant_no": _merchant(case, kind, given).merchant_no}
    if kind == ActionKind.REFUND_PAYER:
        params["match_key"] = _request_number(case, given)
    return params


def prefill(case: Discrepancy) -> dict[str, Any]:
    """What a form shows before anybody typed: the merchant of the evidence, one day of waiting."""
    merchant = merchant_of(case)
    return {"merchant_no": merchant.merchant_no if merchant else "", "days": DEFAULT_WAIT_DAYS}


def _waiting(case: Discrepancy, given: Mapping[str, Any]) -> dict[str, Any]:
    value = given.get("days", DEFAULT_WAIT_DAYS)
    days = int(value) if str(value).isascii() and str(value).isdigit() else 0
    if not 1 <= days <= LONGEST_WAIT_DAYS:
        raise PayopsError(
            "discrepancies.wait_days",
            _("Case %(case)s: wait from 1 to %(most)d days, not %(given)s.")
            % {"case": case.case_no, "most": LONGEST_WAIT_DAYS, "given": value},
            {"case": case.pk, "days": str(value)},
        )
    return {"days": days, "until": (reference_day() + dt.timedelta(days=days)).isoformat()}


def _merchant(case: Discrepancy, kind: ActionKind, given: Mapping[str, Any]) -> Merchant:
    number = str(given.get("merchant_no") or "").strip()
    known = merchant_of(case)
    if not number:
        if known is not None:
            return known
        raise PayopsError(
            "discrepancies.merchant_missing",
            _("Case %(case)s: “%(action)s” needs a merchant, and the evidence names none. Give its number.")
            % {"case": case.case_no, "action": kind.label},
            {"case": case.pk, "action": kind.value},
        )
    merchant = Merchant.objects.filter(merchant_no=number).first()
    if merchant is None:
        raise PayopsError(
            "discrepancies.unknown_merchant",
            _("Case %(case)s: there is no merchant %(merchant)s. Check the number.")
            % {"case": case.case_no, "merchant": number},
            {"case": case.pk, "merchant_no": number},
        )
    # Money of one merchant's own row must not be credited to, or taken from, another by a slip of the keyboard.
    certain = certain_merchant_of(case)
    if certain is not None and certain != merchant:
        raise PayopsError(
            "discrepancies.other_merchant",
            _("Case %(case)s concerns merchant %(known)s, not %(given)s.")
            % {"case": case.case_no, "known": certain.merchant_no, "given": number},
            {"case": case.pk, "merchant_no": number},
        )
    return merchant


def _request_number(case: Discrepancy, given: Mapping[str, Any]) -> str:
    """The refund's request number at the channel: as given, else the case number with an R and the attempt."""
    number = str(given.get("match_key") or "").strip()
    if not number:
        attempt = case.actions.filter(kind=ActionKind.REFUND_PAYER).count() + 1
        return f"{case.case_no}R{attempt}"
    if not REQUEST_NUMBER.fullmatch(number):
        raise PayopsError(
            "discrepancies.request_number",
            _("Case %(case)s: “%(number)s” is no request number; it has 6 to 32 letters, digits, - _ or *.")
            % {"case": case.case_no, "number": number},
            {"case": case.pk, "match_key": number},
        )
    return number
