"""Background jobs of reconciliation: the run of a channel day, whole or in buckets that many workers compare."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction

from payops.channels.models import ChannelContract
from payops.channels.selectors import contract_get
from payops.core.jobs import enqueue, fan_out, raise_if_failed, register, run_now
from payops.core.models import JobRun
from payops.reconciliation import exports
from payops.reconciliation.buckets.helpers import helpers
from payops.reconciliation.buckets.services import bucket_compare
from payops.reconciliation.models import ReconRun, RunSplit
from payops.reconciliation.services import run_reconcile, run_split

RUN_JOB = "reconciliation.run"
BUCKET_JOB = "reconciliation.bucket"
JOIN_JOB = "reconciliation.join"


def run_enqueue(
    *,
    contract: ChannelContract,
    day: dt.date,
    batch: int = 1,
    username: str,
    buckets: int | None = None,
    dispatch: bool = True,
) -> JobRun:
    """Have a worker reconcile a channel day; the job's result names the run."""
    return enqueue(
        RUN_JOB,
        {"channel": contract.code, "day": day.isoformat(), "batch": batch, "username": username, "buckets": buckets},
        business_date=day,
        created_by=username,
        dispatch=dispatch,
    )


def run_with_helpers(
    *, contract: ChannelContract, day: dt.date, batch: int, username: str, buckets: int | None, processes: int
) -> ReconRun:
    """The run of a day with its buckets compared by this process, `processes` less one more, and any free worker.

    Raises what the run does.
    """
    job = run_enqueue(contract=contract, day=day, batch=batch, username=username, buckets=buckets, dispatch=False)
    with helpers(job.pk, processes - 1):
        done = raise_if_failed(run_now(job.pk))
    return ReconRun.objects.get(pk=done.result["run"])


@register(RUN_JOB)
def reconcile(
    job: JobRun, *, channel: str, day: str, batch: int, username: str, buckets: int | None = None
) -> dict[str, Any] | None:
    """One run; repeating it books only what differs. A big one becomes the parent of its buckets."""
    contract, date = contract_get(channel), dt.date.fromisoformat(day)
    with transaction.atomic():
        split = run_split(contract=contract, day=date, batch=batch, buckets=buckets, job=job)
        if split is not None:
            parts = [{"split": split.pk, "bucket": bucket} for bucket in range(split.buckets)]
            fan_out(job, BUCKET_JOB, parts, JOIN_JOB)
            return None
    return _made(run_reconcile(contract=contract, day=date, batch=batch, job=job, username=username, buckets=1))


@register(BUCKET_JOB)
def compare_bucket(job: JobRun, *, split: int, bucket: int) -> dict[str, Any]:
    """The child run of one bucket."""
    result = bucket_compare(split=RunSplit.objects.get(pk=split), bucket=bucket, job=job)
    return {"bucket": bucket, "own": result.own_count, "lines": result.line_count, "ms": result.milliseconds}


@register(JOIN_JOB)
def join_buckets(job: JobRun) -> dict[str, Any]:
    """The run itself, from what its buckets found; made already, where only the news of it was lost."""
    parent = job.parent
    made = ReconRun.objects.filter(job=parent).first()
    if made is not None:
        return _made(made)
    split = RunSplit.objects.filter(job=parent).select_related("contract").order_by("id").first()
    run = run_reconcile(
        contract=split.contract,
        day=split.channel_date,
        batch=split.batch,
        job=parent,
        username=parent.params["username"],
        split=split,
    )
    return _made(run)


def _made(run: ReconRun) -> dict[str, Any]:
    return {"run": run.pk, "run_no": run.run_no}


@register(exports.KIND)
def make_export(
    job: JobRun, *, what: str, form: str, values: dict[str, str], username: str, language: str, name: str = ""
) -> dict[str, Any]:
    """One file of results, of a comparison or of open items; started over it is written anew."""
    return exports.export_make(
        job, what=what, form=form, values=values, username=username, language=language, name=name
    )
