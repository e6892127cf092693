"""Celery's doors into the job queue: they carry an id, everything else is in the JobRun row."""

from __future__ import annotations

from celery import shared_task

from payops.core import jobs


@shared_task(ignore_result=True, acks_late=True)
def run_job(job_id: int) -> None:
    """Run one job; a message for a run that is claimed or finished is dropped."""
    jobs.run_one(job_id)


@shared_task(ignore_result=True)
def sweep_jobs() -> None:
    """Queue again what a dead process left behind (see payops.core.jobs.sweep)."""
    jobs.sweep()
