"""Background jobs of orders: taking in a file somebody uploaded."""

from __future__ import annotations

from typing import Any

from payops.core.jobs import register
from payops.core.storage import full_path
from payops.orders.services import LOAD_JOB, transactions_load


@register(LOAD_JOB)
def load(job: Any, *, stored_path: str, name: str, user: str) -> dict[str, Any]:
    """Idempotent: a second run finds every row unchanged."""
    intake = transactions_load(source=full_path(stored_path), name=name, user=user)
    return {
        "intake": intake.pk,
        "state": intake.state,
        "rows": intake.rows,
        "created": intake.created,
        "refused": intake.refused_count,
    }
