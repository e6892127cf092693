"""Hot accounts recognised by their rate, so that buffering them can be proposed (DOMAIN 4.3)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.utils import timezone

from payops.accounts import sql
from payops.accounts.choices import LINE_EVENTS, DayState
from payops.accounts.models import AccountingDay
from payops.accounts.modes import MERCHANTS_MONEY
from payops.core.ids import id_range

WINDOW: Final = dt.timedelta(minutes=5)
SAMPLE: Final = 50_000
"""At most so many vouchers are looked at: the newest of the open day, whose ids are a range."""


@dataclass(frozen=True, slots=True)
class HotAccount:
    """An account and business code with more entries a minute than real-time posting bears well."""

    account_id: int
    account_no: str
    event: int
    entries: int
    per_minute: int


def hot_accounts(
    *, window: dt.timedelta = WINDOW, per_minute: int | None = None, now: dt.datetime | None = None
) -> list[HotAccount]:
    """Accounts and events with at least `per_minute` entries a minute over the last `window`, busiest first.

    Default limit: PAYOPS_HOT_ENTRIES_PER_MINUTE. Read from the newest vouchers of the open day. Left out are merchants'
    debits, which are real-time whatever the rule, lines of documents, and what has a posting mode rule already.
    """
    day = AccountingDay.objects.filter(state=DayState.OPEN).values_list("day", flat=True).first()
    if day is None:
        return []
    limit = settings.PAYOPS_HOT_ENTRIES_PER_MINUTE if per_minute is None else per_minute
    now = now or timezone.now()
    lo, hi = id_range(day, day)
    newest = sql.fetch(sql.bounded(sql.NEWEST_VOUCHERS, lo, hi), {"since": now - window, "sample": SAMPLE})[0]
    if not newest["vouchers"]:
        return []
    # A sample that ends inside the window covers the time it reaches back to, at least a second.
    span = window if newest["vouchers"] < SAMPLE else max(now - newest["oldest"], dt.timedelta(seconds=1))
    minutes = span / dt.timedelta(minutes=1)
    rows = sql.fetch(
        sql.bounded(sql.BUSIEST, newest["lo"], newest["hi"] + 1000),
        {
            "since": now - window,
            "at_least": max(round(limit * minutes), 1),
            "day": day,
            "merchants": list(MERCHANTS_MONEY),
            "documents": [int(event) for event in LINE_EVENTS],
        },
    )
    return [HotAccount(**row, per_minute=round(row["entries"] / minutes)) for row in rows]
