"""Ids that carry their day: `YYMMDD × 10¹² + n`, the key and the partition key of the four big tables.

Ids exceed 2⁵³, so they leave the system as text in JSON, JavaScript and XLSX.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

DAY_STEP: Final[int] = 10**12
FIRST_YEAR: Final[int] = 2000
LAST_YEAR: Final[int] = 2099


def day_code(day: dt.date) -> int:
    """The day as YYMMDD: 2026-11-20 → 261120. Years 2000 to 2099 only ('ids.day_out_of_range')."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise PayopsError(
            "ids.day_out_of_range",
            _("%(day)s is outside the years %(first)d to %(last)d that ids can carry.")
            % {"day": day.isoformat(), "first": FIRST_YEAR, "last": LAST_YEAR},
            {"day": day.isoformat()},
        )
    return (day.year - FIRST_YEAR) * 10_000 + day.month * 100 + day.day


def day_floor(day: dt.date) -> int:
    """The smallest id of the day."""
    return day_code(day) * DAY_STEP


def day_of(id: int) -> dt.date:
    """The day an id carries; PayopsError 'ids.no_day' when it carries none."""
    code = int(id) // DAY_STEP
    year, rest = divmod(code, 10_000)
    month, day = divmod(rest, 100)
    try:
        if code < 0 or year > LAST_YEAR - FIRST_YEAR:
            raise ValueError(code)
        return dt.date(FIRST_YEAR + year, month, day)
    except ValueError:
        raise PayopsError(
            "ids.no_day", _("%(id)s is not the number of a record: it carries no day.") % {"id": id}, {"id": str(id)}
        ) from None


def id_range(first_day: dt.date, last_day: dt.date) -> tuple[int, int]:
    """Half-open id window (lo, hi) of the days from `first_day` to `last_day`, both included.

    `hi` is the floor of the code after the last day's, which need not be a calendar day: 261130 → 261131.
    """
    if last_day < first_day:
        raise PayopsError(
            "ids.empty_range",
            _("The last day %(last)s lies before the first day %(first)s.")
            % {"first": first_day.isoformat(), "last": last_day.isoformat()},
            {"first": first_day.isoformat(), "last": last_day.isoformat()},
        )
    return day_floor(first_day), day_floor(last_day) + DAY_STEP
