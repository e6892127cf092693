"""Job handlers of reports and exports."""

from __future__ import annotations

from typing import Any

from payops.core.jobs import register
from payops.core.models import JobRun
from payops.statements.exports import KIND, export_make


@register(KIND)
def make_export(job: JobRun, report: str, form: str, query: dict[str, str], language: str) -> dict[str, Any]:
    """One file of a ledger report or of the journal."""
    return export_make(job, report=report, form=form, query=query, language=language)
