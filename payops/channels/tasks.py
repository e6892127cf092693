"""Celery's clock for bill files: every minute, what the timetable of the sources says is due; see PAYOPS_TIMETABLE."""

from celery import shared_task
from django.conf import settings

from payops.channels.schedules import fetch_tick


@shared_task(name="channels.fetch_timetable", ignore_result=True)
def fetch_timetable() -> int:
    """Queue the tries that are due; how many."""
    return len(fetch_tick()) if settings.PAYOPS_TIMETABLE else 0
