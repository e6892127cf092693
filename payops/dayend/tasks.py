"""Celery's doorbell for the timetable; switched on by PAYOPS_TIMETABLE."""

from celery import shared_task
from django.conf import settings

from payops.dayend.timetable import timetable_tick


@shared_task(name="dayend.timetable", ignore_result=True)
def timetable() -> int:
    """Queue the days that have something to do; how many."""
    return len(timetable_tick()) if settings.PAYOPS_TIMETABLE else 0
