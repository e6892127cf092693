"""Celery's doorbell for balances that follow later: drain the queue within the interval (DOMAIN 4.3)."""

from celery import shared_task

from payops.accounts import buffering


@shared_task(name="accounts.drain", ignore_result=True)
def drain() -> int:
    """Move everything queued into the stored balances; how many movements."""
    return buffering.drain_all()
