"""Kinds of jobs for the tests; a worker process includes this module to know them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from django.db import OperationalError, transaction

from payops.core import jobs
from payops.core.business_days import business_day_set
from payops.core.errors import PayopsError
from payops.core.models import BusinessDay, JobRun

calls: list[tuple[str, int]] = []


@jobs.register("test.add")
def add(job: JobRun, *, a: int, b: int) -> dict[str, Any]:
    """a + b."""
    calls.append(("test.add", job.pk))
    jobs.job_log(job, "adding")
    jobs.job_progress(job, 1, 1, "added")
    return {"sum": a + b}


@jobs.register("test.refuse")
def refuse(job: JobRun) -> None:
    """Refuses, as a business rule does."""
    raise PayopsError("test.refused", "bill of 2026-11-20 is missing; fetch it", {"day": "2026-11-20"})


@jobs.register("test.defect")
def defect(job: JobRun) -> None:
    """Breaks, as a programming error does."""
    raise ZeroDivisionError("secret detail")


@jobs.register("test.flaky")
def flaky(job: JobRun, *, until: int, domain: bool = False) -> dict[str, Any]:
    """Fails for a passing reason until the given attempt."""
    if job.attempt < until:
        if domain:
            raise PayopsError("locks.busy", "busy", {"retryable": True})
        raise OperationalError("deadlock detected")
    return {"attempt": job.attempt}


@jobs.register("test.split")
def split(job: JobRun, *, numbers: list[int], kind: str = "test.part") -> None:
    """Makes one part per number."""
    jobs.fan_out(job, kind, [{"number": number} for number in numbers], "test.join")


@jobs.register("test.part")
def part(job: JobRun, *, number: int) -> dict[str, Any]:
    """The square; odd jobs with number 13 refuse while `calls` does not say otherwise."""
    if number == 13 and ("unlucky", 0) in calls:
        raise PayopsError("test.unlucky", "13 is unlucky")
    return {"square": number * number}


@jobs.register("test.nested")
def nested(job: JobRun, *, number: int) -> None:
    """A part that has parts itself."""
    jobs.fan_out(job, "test.part", [{"number": number}, {"number": number + 1}], "test.join")


@jobs.register("test.join")
def join(job: JobRun) -> dict[str, Any]:
    """The sum of the parts."""
    assert job.parent is not None
    results = jobs.part_results(job.parent)
    return {"square": sum(result["square"] for result in results if result)}


@jobs.register("test.sleep")
def sleep_once(job: JobRun, *, marker: str) -> dict[str, Any]:
    """Its first attempt says that it started and then sleeps until it is killed."""
    if job.attempt == 1:
        Path(marker).write_text(str(os.getpid()))
        time.sleep(120)
    return {"attempt": job.attempt}


@jobs.register("test.write_part")
def write_part(job: JobRun, *, number: int) -> dict[str, Any]:
    """Writes a row, slowly, in a transaction of its own; idempotent."""
    import datetime as dt

    day = dt.date(2090, 1, 1) + dt.timedelta(days=number)
    for step in range(3):
        with transaction.atomic():
            business_day_set(day=day, is_working=True, note=str(step))
            time.sleep(0.05)
    return {"square": 1}


@jobs.register("test.cancelled")
def cancelled(job: JobRun) -> None:
    """Is cancelled while it works."""
    jobs.job_cancel(job_id=job.pk)
    jobs.job_progress(job, 1, 2)
    BusinessDay.objects.create(day="2091-01-01", is_working=True)


@jobs.register("test.interrupt")
def interrupt(job: JobRun) -> dict[str, Any]:
    """Is asked to stop in its first attempt."""
    if job.attempt == 1:
        raise KeyboardInterrupt
    return {"attempt": job.attempt}
