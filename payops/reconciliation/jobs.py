"""Background jobs of reconciliation: one run of a channel day, started by a person."""

from __future__ import annotations

import datetime as dt
from typing import Any

from payops.channels.models import ChannelContract
from payops.channels.selectors import contract_get
from payops.core.jobs import enqueue, register
from payops.core.models import JobRun
from payops.reconciliation import exports
from payops.reconciliation.services import run_reconcile

RUN_JOB = "reconciliation.run"


def run_enqueue(*, contract: ChannelContract, day: dt.date, batch: int = 1, username: str) -> JobRun:
    """Have a worker reconcile a channel day; the job's result names the run."""
    return enqueue(
        RUN_JOB,
        {"channel": contract.code, "day": day.isoformat(), "batch": batch, "username": username},
        business_date=day,
        created_by=username,
    )


@register(RUN_JOB)
def reconcile(job: JobRun, *, channel: str, day: str, batch: int, username: str) -> dict[str, Any]:
    """One run; repeating it books only what differs."""
    run = run_reconcile(
        contract=contract_get(channel), day=dt.date.fromisoformat(day), batch=batch, job=job, username=username
    )
    return {"run": run.pk, "run_no": run.run_no}


@register(exports.KIND)
def make_export(
    job: JobRun, *, what: str, form: str, values: dict[str, str], username: str, language: str
) -> dict[str, Any]:
    """One file of results, of a comparison or of open items; started over it is written anew."""
    return exports.export_make(job, what=what, form=form, values=values, username=username, language=language)
