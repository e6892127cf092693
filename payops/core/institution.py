"""The institution's own settings and its logical day."""

from __future__ import annotations

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.models import Institution
from payops.core.money import exponent

SHANGHAI: Final[ZoneInfo] = ZoneInfo("Asia/Shanghai")
MIDNIGHT: Final[dt.time] = dt.time(0, 0)


def get_institution() -> Institution:
    """The institution; before it is set up, an unsaved one with the defaults (cut-off 23:00, CNY)."""
    return Institution.objects.filter(id=1).first() or Institution(id=1, name="payops")


def institution_update(*, name: str, own_cut_off: dt.time = dt.time(23, 0), base_currency: str = "CNY") -> Institution:
    """Write the one row. A cut-off of 00:00 stands for 24:00."""
    exponent(base_currency)
    with transaction.atomic():
        institution, _created = Institution.objects.update_or_create(
            id=1, defaults={"name": name, "own_cut_off": own_cut_off, "base_currency": base_currency}
        )
    return institution


def own_day(instant: dt.datetime, cut_off: dt.time | None = None) -> dt.date:
    """The own day D an instant falls in: [cut-off of D−1, cut-off of D) in Shanghai time.

    `cut_off` defaults to the institution's; 00:00 means 24:00, the calendar day. A datetime without a time zone is
    refused ('institution.naive_time'): it does not say when it was.
    """
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise PayopsError(
            "institution.naive_time",
            _("The time %(instant)s carries no time zone.") % {"instant": instant.isoformat()},
            {"instant": instant.isoformat()},
        )
    local = instant.astimezone(SHANGHAI)
    limit = get_institution().own_cut_off if cut_off is None else cut_off
    if limit == MIDNIGHT or local.time() < limit:
        return local.date()
    return local.date() + dt.timedelta(days=1)


def day_bounds(day: dt.date, cut_off: dt.time | None = None) -> tuple[dt.datetime, dt.datetime]:
    """The instants [start, end) of the own day; `end` is its cut-off."""
    limit = get_institution().own_cut_off if cut_off is None else cut_off
    end_date = day + dt.timedelta(days=1) if limit == MIDNIGHT else day
    end = dt.datetime.combine(end_date, limit, tzinfo=SHANGHAI)
    return end - dt.timedelta(days=1), end
