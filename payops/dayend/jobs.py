"""Job handlers of the day end: one step, or a whole day as far as it goes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from payops.core.jobs import register
from payops.core.models import JobRun
from payops.dayend.models import Step
from payops.dayend.services import DAY_JOB, STEP_JOB, day_run, step_do


@register(STEP_JOB)
def run_step(job: JobRun, day: str, step: str, username: str = "") -> dict[str, Any]:
    """One step of one day."""
    return step_do(job, day=dt.date.fromisoformat(day), step=Step(step), username=username)


@register(DAY_JOB)
def run_day(job: JobRun, day: str, username: str = "", from_step: str | None = None) -> dict[str, Any]:
    """A day as far as it goes."""
    steps = day_run(dt.date.fromisoformat(day), username=username, from_step=from_step)
    return {row.step: row.state for row in steps}
