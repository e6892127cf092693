"""Running a job: claim it, keep its lease alive, call its handler, write how it ended.

Killing the process at any moment is safe: the lease runs out, the sweeper queues the run again, and the handler, being
idempotent, starts over. A process that was only slow notices that its lease is gone and writes nothing more.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import secrets
import socket
import threading
import time
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext as _

from payops.core.choices import JobState
from payops.core.errors import PayopsError
from payops.core.jobs import queue
from payops.core.jobs.queue import LeaseLostError
from payops.core.jobs.registry import handler_of
from payops.core.models import JobRun

logger = logging.getLogger(__name__)

RETRYABLE: Final[tuple[type[Exception], ...]] = (OperationalError, InterfaceError, ConnectionError, TimeoutError)
PROGRESS_SECONDS: Final[float] = 0.5
POLL_SECONDS: Final[float] = 0.2
LOG_LIMIT: Final[int] = 64_000
MESSAGE_LIMIT: Final[int] = 500


def lease() -> dt.timedelta:
    """How long a claim holds without a heartbeat."""
    return dt.timedelta(seconds=getattr(settings, "PAYOPS_JOBS_LEASE_SECONDS", 60))


# --- claim ------------------------------------------------------------------------------------------------------------


def claim(job_id: int) -> JobRun | None:
    """Take a queued run for this process; None when it is not queued: somebody has it, or it is finished."""
    token = f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(6)}"
    changed = JobRun.objects.filter(pk=job_id, state=JobState.QUEUED, attempt__lt=F("max_attempts")).update(
        state=JobState.RUNNING,
        attempt=F("attempt") + 1,
        lease_until=Now() + lease(),
        leased_by=token,
        started_at=Coalesce("started_at", Now()),
        progress_done=0,
        message="",
        error_code="",
        error_message="",
    )
    return JobRun.objects.get(pk=job_id, leased_by=token) if changed else None


# --- heartbeat and progress -------------------------------------------------------------------------------------------


class Heartbeat(threading.Thread):
    """Renews a claim, and writes progress reported inside a transaction, on a connection of its own.

    Reported on the handler's connection, progress would stay invisible until commit and its row lock would hold up
    the renewal itself.
    """

    def __init__(self, job: JobRun) -> None:
        super().__init__(name=f"heartbeat-{job.pk}", daemon=True)
        self.job_id = job.pk
        self.token = job.leased_by
        self.lost = False
        self._report: dict[str, Any] = {}
        self._guard = threading.Lock()
        self._stop_asked = threading.Event()
        self.written_at = 0.0

    def report(self, **fields: Any) -> None:
        """Values to write with the next beat, within a second."""
        with self._guard:
            self._report.update(fields)

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop_asked.set()
        self.join(timeout=10)

    def run(self) -> None:
        """Beat four times per lease, and sooner when there is progress to write."""
        interval = lease().total_seconds() / 4
        beat_at = time.monotonic() + interval
        try:
            while not self._stop_asked.wait(min(1.0, interval)):
                if self._report or time.monotonic() >= beat_at:
                    self._beat()
                    beat_at = time.monotonic() + interval
        finally:
            connection.close()

    def _beat(self) -> None:
        with self._guard:
            report, self._report = self._report, {}
        try:
            mine = JobRun.objects.filter(pk=self.job_id, state=JobState.RUNNING, leased_by=self.token)
            if not mine.update(lease_until=Now() + lease(), **report):
                # A row this connection cannot see yet belongs to a transaction still open: nothing is lost.
                self.lost = JobRun.objects.filter(pk=self.job_id).exclude(state=JobState.WAITING).exists()
        except DatabaseError:
            logger.warning("heartbeat of job %s failed, trying again", self.job_id, exc_info=True)
            connection.close()


def job_progress(job: JobRun, done: int, total: int, message: str = "") -> None:
    """Report that `done` of `total` is done; cheap enough per batch. Raises LeaseLostError when it is time to stop."""
    job.progress_done, job.progress_total = done, total
    job.message = str(message)[:MESSAGE_LIMIT] or job.message
    heartbeat: Heartbeat | None = getattr(job, "_heartbeat", None)
    if heartbeat is None:
        return
    if heartbeat.lost:
        raise LeaseLostError(job.pk)
    fields = {"progress_done": done, "progress_total": total, "message": job.message}
    if connection.in_atomic_block:
        heartbeat.report(**fields)
    elif time.monotonic() - heartbeat.written_at >= PROGRESS_SECONDS:
        heartbeat.written_at = time.monotonic()
        mine = JobRun.objects.filter(pk=job.pk, state=JobState.RUNNING, leased_by=job.leased_by)
        if not mine.update(lease_until=Now() + lease(), **fields):
            raise LeaseLostError(job.pk)


def job_log(job: JobRun, line: str) -> None:
    """Add a line to the run's log, shown with it in the console; written when the attempt ends."""
    stamp = dt.datetime.now(dt.UTC).strftime("%H:%M:%SZ")
    job.log = f"{job.log}{stamp} {line}\n"[-LOG_LIMIT:]


# --- run --------------------------------------------------------------------------------------------------------------


def run_one(job_id: int) -> JobRun | None:
    """Claim and run a queued job in this process; None when there was nothing to claim (the message is dropped)."""
    job = claim(job_id)
    if job is None:
        return None
    heartbeat = Heartbeat(job)
    job._heartbeat = heartbeat
    heartbeat.start()
    try:
        result = handler_of(job.kind)(job, **job.params)
        heartbeat.stop()
        _succeed(job, result)
    except LeaseLostError:
        logger.warning("job %s (%s) was taken away from %s", job.pk, job.kind, job.leased_by)
    except Exception as error:
        heartbeat.stop()
        _fail(job, error)
    except BaseException:
        # Asked to stop (Ctrl-C, SystemExit): hand the run back at once instead of waiting for the lease.
        heartbeat.stop()
        _hand_back(job)
        raise
    finally:
        heartbeat.stop()
    return JobRun.objects.get(pk=job_id)


def _mine(job: JobRun) -> Any:
    return JobRun.objects.filter(pk=job.pk, state=JobState.RUNNING, leased_by=job.leased_by)


def _succeed(job: JobRun, result: dict[str, Any] | None) -> None:
    with transaction.atomic():
        changed = _mine(job).update(
            state=JobState.SUCCEEDED,
            result=result,
            lease_until=None,
            finished_at=Now(),
            progress_done=job.progress_done,
            progress_total=job.progress_total,
            message=job.message,
            log=job.log,
        )
        if changed:
            _tell_parent(job, result)
        elif job.state != JobState.WAITING:
            raise LeaseLostError(job.pk)
        else:
            JobRun.objects.filter(pk=job.pk).update(log=job.log)


def _tell_parent(job: JobRun, result: dict[str, Any] | None) -> None:
    if job.parent_id is None:
        return
    if not job.is_join:
        if queue.count_down_parent(job.parent_id) == 0:
            queue.insert_join(job.parent_id)
        return
    parent = JobRun.objects.get(pk=job.parent_id)
    changed = JobRun.objects.filter(pk=parent.pk, state=JobState.WAITING).update(
        state=JobState.SUCCEEDED, result=result, finished_at=Now()
    )
    if changed:
        _tell_parent(parent, result)


def _fail(job: JobRun, error: Exception) -> None:
    """Queue the run again when another attempt may help, end it in failure otherwise."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    retryable = isinstance(error, RETRYABLE) or (
        isinstance(error, PayopsError) and error.context.get("retryable") is True
    )
    code, message = _explain(job, error)
    job_log(job, f"attempt {job.attempt}: {code} {message}")
    with transaction.atomic():
        if retryable and job.attempt < job.max_attempts:
            if _mine(job).update(**queue.QUEUED_AGAIN, log=job.log, error_code=code, error_message=message):
                queue.ring(job.pk, delay_seconds=2**job.attempt)
            return
        progress = {"progress_done": job.progress_done, "progress_total": job.progress_total}
        _mine(job).update(log=job.log, message=job.message, **progress)
        if not queue.fail(job.pk, code, message, state=JobState.RUNNING, leased_by=job.leased_by):
            logger.warning("job %s failed after it was taken away: %s", job.pk, code)


def _explain(job: JobRun, error: Exception) -> tuple[str, str]:
    if isinstance(error, PayopsError):
        return error.code, str(error)
    reference = secrets.token_hex(4).upper()
    logger.error("job %s (%s) failed, reference %s", job.pk, job.kind, reference, exc_info=error)
    if isinstance(error, RETRYABLE):
        return "jobs.unavailable", _("The database or another service did not answer. Reference %(ref)s.") % {
            "ref": reference
        }
    return "jobs.defect", _("Something happened that this program did not foresee. Give reference %(ref)s.") % {
        "ref": reference
    }


def _hand_back(job: JobRun) -> None:
    try:
        if job.attempt < job.max_attempts:
            _mine(job).update(**queue.QUEUED_AGAIN, log=job.log)
    except DatabaseError:
        logger.warning("job %s could not be handed back; its lease will run out", job.pk, exc_info=True)


# --- synchronous ------------------------------------------------------------------------------------------------------


def run_now(job_id: int, *, timeout_seconds: float | None = None) -> JobRun:
    """Bring a run to its end from this process and return it: the path of commands and tests.

    Claims and runs it here, with its parts and its join; what a worker has claimed meanwhile is waited for. A failed
    run is returned as it is (see `raise_if_failed`). PayopsError 'jobs.timeout' after `timeout_seconds`.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        job = JobRun.objects.get(pk=job_id)
        if job.is_finished:
            return job
        if deadline is not None and time.monotonic() > deadline:
            raise PayopsError("jobs.timeout", _("Job %(id)d is still at work.") % {"id": job_id}, {"id": job_id})
        if job.state == JobState.QUEUED:
            if job.attempt:
                time.sleep(POLL_SECONDS * job.attempt)
            moved = run_one(job_id) is not None
        elif job.state == JobState.WAITING:
            moved = _run_part(job_id)
        else:
            moved = False
        if not moved:
            queue.sweep()
            time.sleep(POLL_SECONDS)


def _run_part(parent_id: int) -> bool:
    """Run one part (or part of a part) that is free; False when all are in other hands."""
    parts = JobRun.objects.filter(parent_id=parent_id, state__in=[JobState.QUEUED, JobState.WAITING]).order_by("id")
    for part_id, state in parts.values_list("pk", "state"):
        if (run_one(part_id) is not None) if state == JobState.QUEUED else _run_part(part_id):
            return True
    return False


def enqueue_and_run(kind: str, params: dict[str, Any] | None = None, **options: Any) -> JobRun:
    """`enqueue` without telling the broker, then `run_now`; options are those of `enqueue`."""
    job = queue.enqueue(kind, params, dispatch=False, **options)
    return run_now(job.pk)


def raise_if_failed(job: JobRun) -> JobRun:
    """The run itself when it succeeded, else a PayopsError with the run's own code and message."""
    if job.state == JobState.SUCCEEDED:
        return job
    raise PayopsError(
        job.error_code or f"jobs.{job.state}",
        job.error_message or _("Job %(id)d did not succeed.") % {"id": job.pk},
        {"job": job.pk, "state": job.state},
    )
