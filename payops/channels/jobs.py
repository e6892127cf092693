"""Background jobs of channels: fetching bill files and reading them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from payops.channels.bills.services import PARSE_JOB, bill_parse
from payops.channels.fetch.models import FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.schedules import FETCH_JOB
from payops.core.jobs import register


@register(PARSE_JOB)
def parse(job: Any, *, bill_file_id: int) -> dict[str, Any]:
    """Idempotent: a file read already comes back as it is, a killed reading left it received."""
    bill_file = bill_parse(bill_file_id)
    return {
        "bill_file": bill_file.pk,
        "state": bill_file.state,
        "lines": bill_file.line_count,
        "error": bill_file.error_message,
    }


@register(FETCH_JOB)
def fetch(job: Any, *, source_id: int, day: str | None, username: str = "") -> dict[str, Any]:
    """Idempotent: what a killed try registered is known by its digest. A source changed since is tried as it is now.

    A try without a file is a result, not a failure of the job: the timetable tries again.
    """
    named = FileSource.objects.get(pk=source_id)
    source = FileSource.objects.select_related("contract").get(
        contract=named.contract_id, name=named.name, is_current=True
    )
    attempts = fetch_run(source=source, day=dt.date.fromisoformat(day) if day else None, by=username)
    return {
        "attempts": [
            {
                "attempt": attempt.pk,
                "day": attempt.channel_date.isoformat(),
                "outcome": attempt.outcome,
                "bill_file": attempt.bill_file_id,
                "message": attempt.message,
            }
            for attempt in attempts
        ]
    }
