"""The clock's part: cut the open day off when its time has come, and take unfinished days up again."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from payops.accounts import selectors as ledger
from payops.core.institution import day_bounds
from payops.core.jobs import enqueue
from payops.dayend.models import DayStep, StepState
from payops.dayend.services import DAY_JOB

LOOK_BACK = dt.timedelta(days=10)


def timetable_tick(*, now: dt.datetime | None = None) -> list[dt.date]:
    """Queue the days that have something to do at this moment; returns them. Called every few minutes by beat.

    The key keeps one run per day and quarter of an hour in the queue, however often the clock ticks.
    """
    now = now or timezone.now()
    open_day = ledger.open_day()
    due = set(
        DayStep.objects.filter(day__gte=open_day - LOOK_BACK, day__lt=open_day)
        .exclude(state=StepState.DONE)
        .values_list("day", flat=True)
    )
    if now >= day_bounds(open_day)[1]:
        due.add(open_day)
    slot = int(now.timestamp()) // 900
    for day in sorted(due):
        enqueue(DAY_JOB, {"day": day.isoformat()}, key=f"{DAY_JOB}:{day}:{slot}", business_date=day)
    return sorted(due)
