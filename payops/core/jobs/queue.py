"""Putting jobs into the queue, ringing the broker, retrying, cancelling and sweeping up after crashes.

The JobRun row is written in the caller's transaction; the broker is told on commit. A lost message costs a minute (the
sweeper rings again), a doubled one nothing (a run already claimed is not claimed again).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from payops.core.choices import KEY_HOLDING_STATES, JobState
from payops.core.errors import PayopsError
from payops.core.models import JobRun

logger = logging.getLogger(__name__)

RING_AGAIN_AFTER: Final[dt.timedelta] = dt.timedelta(seconds=60)
SWEEP_BATCH: Final[int] = 500
MAX_PARTS: Final[int] = 10_000


def enqueue(
    kind: str,
    params: dict[str, Any] | None = None,
    *,
    key: str | None = None,
    business_date: dt.date | None = None,
    parent: JobRun | None = None,
    created_by: str = "",
    max_attempts: int = 3,
    dispatch: bool = True,
) -> JobRun:
    """Insert a run in the caller's transaction and tell the workers when it commits.

    With a `key` there is one run at a time: the unfinished or succeeded run of that key is returned instead; a failed
    or cancelled one is not in the way. `dispatch=False` leaves the broker alone (the caller uses `run_now`).
    """
    fields = {
        "kind": kind,
        "key": key,
        "params": params or {},
        "business_date": business_date,
        "parent": parent,
        "created_by": created_by,
        "max_attempts": max_attempts,
    }
    while True:
        existing = _holder_of(key)
        if existing is not None:
            return existing
        try:
            with transaction.atomic():
                job = JobRun.objects.create(**fields)
        except IntegrityError:
            # Another caller was faster. Its row is there now, or it has already failed and freed the key.
            if key is None:
                raise
            continue
        if dispatch:
            ring(job.pk)
        return job


def _holder_of(key: str | None) -> JobRun | None:
    if key is None:
        return None
    return JobRun.objects.filter(key=key, state__in=KEY_HOLDING_STATES).first()


def ring(job_id: int, *, delay_seconds: int = 0) -> None:
    """Send the worker's message when the transaction commits; a broker that is down is logged, never raised."""
    if getattr(settings, "PAYOPS_JOBS_DISPATCH", True):
        transaction.on_commit(lambda: _send(job_id, delay_seconds))


def _send(job_id: int, delay_seconds: int) -> None:
    from payops.core.tasks import run_job

    try:
        run_job.apply_async((job_id,), countdown=delay_seconds or None)
    except Exception:
        # The run is safe in its table and the sweeper rings again; failing the committed request would be worse.
        logger.warning("the broker did not take the message of job %s", job_id, exc_info=True)


def fan_out(
    parent: JobRun,
    kind: str,
    params_list: Iterable[dict[str, Any]],
    join_kind: str,
    *,
    dispatch: bool = True,
) -> list[JobRun]:
    """Split the running job `parent` into parts; its handler returns right afterwards.

    All parts are inserted in one transaction with `pending` = their number. When the last one succeeds, a run of
    `join_kind` is inserted (no params: it reads `job.parent` and `part_results`); its result becomes the parent's.
    Without parts the join is inserted at once.
    """
    params = list(params_list)
    if len(params) > MAX_PARTS:
        raise PayopsError(
            "jobs.too_many_parts",
            _("%(count)d parts are more than the %(limit)d a job may have.")
            % {"count": len(params), "limit": MAX_PARTS},
            {"count": len(params)},
        )
    with transaction.atomic():
        changed = JobRun.objects.filter(pk=parent.pk, state=JobState.RUNNING, leased_by=parent.leased_by).update(
            state=JobState.WAITING,
            pending=len(params),
            join_kind=join_kind,
            lease_until=None,
        )
        if not changed:
            raise LeaseLostError(parent.pk)
        parent.refresh_from_db(fields=["state", "pending", "join_kind", "lease_until"])
        children = JobRun.objects.bulk_create(
            JobRun(
                kind=kind,
                key=f"part:{parent.pk}:{number}",
                params=part,
                parent=parent,
                business_date=parent.business_date,
                created_by=parent.created_by,
                max_attempts=parent.max_attempts,
            )
            for number, part in enumerate(params)
        )
        if not children:
            insert_join(parent.pk)
        elif dispatch:
            for child in children:
                ring(child.pk)
    return children


def insert_join(parent_id: int, *, dispatch: bool = True) -> JobRun | None:
    """Insert the run that puts the parts' results together, in the transaction of the last part.

    None when the parent no longer waits (it was cancelled).
    """
    parent = JobRun.objects.get(pk=parent_id)
    if parent.state != JobState.WAITING:
        return None
    join = JobRun.objects.create(
        kind=parent.join_kind,
        key=f"join:{parent.pk}",
        parent=parent,
        is_join=True,
        business_date=parent.business_date,
        created_by=parent.created_by,
        max_attempts=parent.max_attempts,
    )
    if dispatch:
        ring(join.pk)
    return join


def part_results(parent: JobRun) -> list[dict[str, Any] | None]:
    """The results of a parent's parts in the order they were given, for the join."""
    parts = JobRun.objects.filter(parent_id=parent.pk, is_join=False).order_by("id")
    return list(parts.values_list("result", flat=True))


class LeaseLostError(Exception):
    """The run was cancelled, or its lease ran out and somebody else has it now: stop working, write nothing more."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"job {job_id} is no longer ours")
        self.job_id = job_id


def job_retry(*, job_id: int) -> JobRun:
    """Queue a failed or cancelled run again, with all its attempts; a parent that failed with it waits again.

    A run that has parts is not started over: those of its parts that failed are. Raises PayopsError
    'jobs.not_retryable' when the run is in another state, 'jobs.key_taken' when its work has been queued anew.
    """
    try:
        with transaction.atomic():
            job = _retry(job_id)
            _let_parents_wait(job.parent_id)
    except IntegrityError:
        raise PayopsError(
            "jobs.key_taken",
            _("The work of job %(id)d has been queued again already.") % {"id": job_id},
            {"id": job_id},
        ) from None
    return job


def _retry(job_id: int) -> JobRun:
    stopped = Q(state__in=[JobState.FAILED, JobState.CANCELLED])
    # Parts before parents, in every service here: whoever locks in one order cannot deadlock with a finishing part.
    for part_id in JobRun.objects.filter(stopped, parent_id=job_id).order_by("id").values_list("pk", flat=True):
        _retry(part_id)
    has_parts = JobRun.objects.filter(parent_id=job_id).exists()
    state = {"state": JobState.WAITING} if has_parts else {**QUEUED_AGAIN, "attempt": 0}
    changed = JobRun.objects.filter(stopped, pk=job_id).update(
        **state, finished_at=None, error_code="", error_message=""
    )
    if not changed:
        raise PayopsError(
            "jobs.not_retryable",
            _("Job %(id)d has neither failed nor been cancelled. Reload the page.") % {"id": job_id},
            {"id": job_id},
        )
    if not has_parts:
        ring(job_id)
    return JobRun.objects.get(pk=job_id)


def _let_parents_wait(parent_id: int | None) -> None:
    while parent_id is not None:
        JobRun.objects.filter(pk=parent_id, state__in=[JobState.FAILED, JobState.CANCELLED]).update(
            state=JobState.WAITING, finished_at=None, error_code="", error_message=""
        )
        parent_id = JobRun.objects.values_list("parent_id", flat=True).get(pk=parent_id)


def job_cancel(*, job_id: int) -> JobRun:
    """Cancel a run and its unfinished parts; a handler at work notices at its next progress report or heartbeat.

    A parent whose part is cancelled fails: its result would not be whole. Raises 'jobs.finished' when it is too late.
    """
    with transaction.atomic():
        job = _cancel(job_id)
        if job.parent_id is not None:
            fail_parents(job)
    return job


def _cancel(job_id: int) -> JobRun:
    open_states = Q(state__in=[JobState.QUEUED, JobState.RUNNING, JobState.WAITING])
    for part_id in JobRun.objects.filter(open_states, parent_id=job_id).order_by("id").values_list("pk", flat=True):
        _cancel(part_id)
    changed = JobRun.objects.filter(open_states, pk=job_id).update(
        state=JobState.CANCELLED, lease_until=None, finished_at=Now()
    )
    if not changed:
        raise PayopsError("jobs.finished", _("Job %(id)d has finished already.") % {"id": job_id}, {"id": job_id})
    return JobRun.objects.get(pk=job_id)


def fail(job_id: int, code: str, message: str, **guard: Any) -> bool:
    """End a run in failure, and the parents that wait for it; False when it is no longer in the `guard`ed state."""
    with transaction.atomic():
        changed = JobRun.objects.filter(pk=job_id, **guard).update(
            state=JobState.FAILED, error_code=code, error_message=message, lease_until=None, finished_at=Now()
        )
        if changed:
            fail_parents(JobRun.objects.get(pk=job_id))
    return bool(changed)


def fail_parents(job: JobRun) -> None:
    """A parent whose part came to nothing fails too, naming the part; retrying the part lets it wait again."""
    message = _("Part %(id)d (%(kind)s) did not succeed: %(why)s") % {
        "id": job.pk,
        "kind": job.kind,
        "why": job.error_message or JobState(job.state).label,
    }
    parent_id = job.parent_id
    while parent_id is not None:
        JobRun.objects.filter(pk=parent_id, state=JobState.WAITING).update(
            state=JobState.FAILED, error_code="jobs.part_failed", error_message=message, finished_at=Now()
        )
        parent_id = JobRun.objects.values_list("parent_id", flat=True).get(pk=parent_id)


QUEUED_AGAIN: Final[dict[str, Any]] = {
    "state": JobState.QUEUED,
    "queued_at": Now(),
    "lease_until": None,
    "leased_by": "",
}


@dataclass(frozen=True)
class SweepResult:
    """What a sweep did: runs queued again, runs given up, messages sent again."""

    requeued: int
    failed: int
    rung: int


def sweep() -> SweepResult:
    """Queue runs whose lease ran out again (or fail them after their last attempt) and ring for forgotten ones.

    Any number of sweepers may run at once: they skip each other's rows.
    """
    requeued = failed = 0
    with transaction.atomic():
        expired = JobRun.objects.select_for_update(skip_locked=True, no_key=True).filter(
            state=JobState.RUNNING, lease_until__lt=Now()
        )
        for job in expired.order_by("id")[:SWEEP_BATCH]:
            if job.attempt < job.max_attempts:
                JobRun.objects.filter(pk=job.pk).update(**QUEUED_AGAIN)
                ring(job.pk)
                requeued += 1
            else:
                message = _("The program running it ended %(count)d times before the work was done.")
                fail(job.pk, "jobs.lease_expired", message % {"count": job.attempt}, state=JobState.RUNNING)
                failed += 1
            logger.warning("lease of job %s (%s) expired in attempt %s", job.pk, job.kind, job.attempt)
    return SweepResult(requeued=requeued, failed=failed, rung=_ring_forgotten())


def _ring_forgotten() -> int:
    with transaction.atomic():
        forgotten = JobRun.objects.select_for_update(skip_locked=True, no_key=True).filter(
            Q(state=JobState.QUEUED) & Q(queued_at__lt=Now() - RING_AGAIN_AFTER)
        )
        ids = list(forgotten.order_by("id").values_list("pk", flat=True)[:SWEEP_BATCH])
        JobRun.objects.filter(pk__in=ids).update(queued_at=Now())
        for job_id in ids:
            ring(job_id)
    return len(ids)


def count_down_parent(parent_id: int) -> int:
    """One part less to wait for, in the transaction of the part's result; returns how many remain."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_jobrun SET pending = pending - 1 WHERE id = %s RETURNING pending", [parent_id])
        return cursor.fetchone()[0]
