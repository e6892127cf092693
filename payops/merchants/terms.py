"""When a merchant is paid: settlement terms turned into dates (DOMAIN 3)."""

from __future__ import annotations

import datetime as dt
import re

from django.utils.translation import gettext as _

from payops.core.business_days import MAX_WORKING_DAYS, add_working_days
from payops.core.errors import PayopsError
from payops.merchants.models import CycleUnit, SettlementTerms

_CYCLE = re.compile(r"(?P<unit>[TD])\s*\+?\s*(?P<days>\d{1,3})", re.ASCII)


def pay_date(terms: SettlementTerms, own_date: dt.date) -> dt.date:
    """The date on which what was traded on own date `own_date` is paid under `terms`.

    T+n is the n-th working day after the own date: Friday, Saturday and Sunday + 1 are all Monday; make-up working
    days count. T+0 is the own date itself or the next working day. D+n counts natural days. Raises PayopsError
    'business_days.not_seeded' when the calendar does not reach that far.
    """
    if terms.cycle_unit == CycleUnit.D:
        return own_date + dt.timedelta(days=terms.cycle_days)
    return add_working_days(own_date, terms.cycle_days)


def parse_cycle(text: str) -> tuple[str, int]:
    """("T", 1) from "T+1" or "T1"; PayopsError 'merchants.bad_cycle' otherwise."""
    match = _CYCLE.fullmatch(text.strip().upper())
    if match is None or int(match["days"]) > MAX_WORKING_DAYS:
        raise PayopsError(
            "merchants.bad_cycle",
            _("“%(value)s” is not a settlement cycle. Write T+1 for working days or D+1 for natural days.")
            % {"value": text[:20]},
            {"value": text[:20]},
        )
    return match["unit"], int(match["days"])
