"""Background jobs of settlement: sending an approved batch and asking for results."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.jobs import register
from payops.settlement.payouts import payouts_poll, payouts_send
from payops.settlement.payouts.approval import SEND_JOB

POLL_JOB = "settlement.payouts_poll"


@register(SEND_JOB)
def send(job: Any, *, batch_id: int) -> dict[str, Any]:
    """Send one batch and ask once; killed anywhere it starts again without paying twice."""
    sent = payouts_send(batch_id=batch_id, username=job.created_by or "system")
    if sent["stopped"]:
        raise PayopsError(
            "bank.unreachable",
            _("The bank cannot be reached. Start this job again, or send the payouts, once it can be."),
            {"retryable": True},
        )
    return {"sent": sent, "polled": payouts_poll(batch_id=batch_id)}


@register(POLL_JOB)
def poll(job: Any) -> dict[str, Any]:
    """Ask about every payout without a result, and whether recent ones came back."""
    return payouts_poll(username=job.created_by or "system")
