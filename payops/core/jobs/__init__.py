"""Durable background jobs: the JobRun row is the truth, the broker only a doorbell (see docs/architecture.md)."""

from payops.core.jobs.queue import LeaseLostError, enqueue, fan_out, job_cancel, job_retry, part_results, sweep
from payops.core.jobs.registry import handler_of, kinds, register
from payops.core.jobs.runner import (
    enqueue_and_run,
    job_log,
    job_progress,
    raise_if_failed,
    run_now,
    run_one,
)

__all__ = [
    "LeaseLostError",
    "enqueue",
    "enqueue_and_run",
    "fan_out",
    "handler_of",
    "job_cancel",
    "job_log",
    "job_progress",
    "job_retry",
    "kinds",
    "part_results",
    "raise_if_failed",
    "register",
    "run_now",
    "run_one",
    "sweep",
]
