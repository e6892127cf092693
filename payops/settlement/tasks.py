"""Celery's clock for settlement: open payouts are asked about again and again, with growing pauses."""

from __future__ import annotations

from celery import shared_task

from payops.settlement.models import Payout
from payops.settlement.payouts import payouts_poll
from payops.settlement.payouts.history import IN_DOUBT


@shared_task(ignore_result=True)
def poll_open_payouts() -> None:
    """Query what has no result yet; does not touch the bank when there is nothing to ask."""
    if Payout.objects.filter(state__in=IN_DOUBT).exists():
        payouts_poll(patient=True)
