"""Celery's clock for exports: what nobody needs any more is removed."""

from __future__ import annotations

from celery import shared_task

from payops.core.job_files import job_files_remove
from payops.reconciliation.exports import KIND as RECONCILIATION_EXPORT
from payops.statements.exports import KIND as LEDGER_EXPORT


@shared_task(ignore_result=True)
def remove_old_exports() -> None:
    """Remove export files by age; their jobs stay and say when."""
    job_files_remove(kinds=(RECONCILIATION_EXPORT, LEDGER_EXPORT))
