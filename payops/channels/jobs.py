"""Background jobs of channels: reading a big bill file."""

from __future__ import annotations

from typing import Any

from payops.channels.bills.services import PARSE_JOB, bill_parse
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
