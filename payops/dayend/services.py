"""Walking a day through its timetable: each step a JobRun, resumable, in the order of DOMAIN 4.6."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.jobs import enqueue, enqueue_and_run, job_log, raise_if_failed
from payops.core.models import JobRun
from payops.dayend.models import DayStep, Step, StepState
from payops.dayend.steps import TIMETABLE, Context, day_is_known

STEP_JOB = "dayend.step"
DAY_JOB = "dayend.day"


def day_run(day: dt.date, *, username: str = "", from_step: str | None = None, force: bool = False) -> list[DayStep]:
    """Take the day as far as it goes and return its steps; call again when what it waits for has come.

    Steps that are done are not done again, except from `from_step` on. A failed step raises its PayopsError after its
    state is kept; steps that need it wait. `force` starts steps although one they need still waits (a late channel
    that is skipped), never although one failed.
    """
    if not day_is_known(day):
        raise PayopsError(
            "dayend.unknown_day",
            _("%(day)s was never opened as an accounting day. Days follow each other; run the one before first.")
            % {"day": day},
            {"day": day.isoformat()},
        )
    steps = _steps_of(day)
    if from_step is not None:
        _reset(steps, from_step)
    for step in Step:
        row = steps[step]
        if row.state == StepState.DONE or not _may_start(steps, step, force):
            continue
        job = enqueue_and_run(
            STEP_JOB,
            {"day": day.isoformat(), "step": step.value, "username": username},
            business_date=day,
            created_by=username,
            max_attempts=1,
        )
        row.refresh_from_db()
        raise_if_failed(job)
    return list(steps.values())


def day_run_enqueue(day: dt.date, *, username: str, from_step: str | None = None) -> JobRun:
    """Have a worker take the day as far as it goes; the job's result names the state of each step."""
    return enqueue(
        DAY_JOB,
        {"day": day.isoformat(), "username": username, "from_step": from_step},
        business_date=day,
        created_by=username,
    )


def step_do(job: JobRun, *, day: dt.date, step: Step, username: str) -> dict[str, Any]:
    """Run one step inside its job and keep how it stands."""
    row = _steps_of(day)[step]
    DayStep.objects.filter(pk=row.pk).update(state=StepState.RUNNING, job=job)
    try:
        result = TIMETABLE[step].do(Context(day, username, job))
    except Exception as error:
        known = isinstance(error, PayopsError)
        message = str(error) if known else _("Stopped by an error. See job %d.") % job.pk
        DayStep.objects.filter(pk=row.pk).update(state=StepState.FAILED, message=message)
        raise
    row.refresh_from_db()
    row.state = StepState.DONE if result.done else StepState.WAITING
    row.summary, row.message = result.summary, result.message
    row.save(update_fields=["state", "summary", "message", "updated_at"])
    if result.message:
        job_log(job, result.message)
    return {"state": row.state, **result.summary}


def _steps_of(day: dt.date) -> dict[Step, DayStep]:
    """The day's steps in their order; made when the day is first run."""
    DayStep.objects.bulk_create([DayStep(day=day, step=step) for step in Step], ignore_conflicts=True)
    rows = {row.step: row for row in DayStep.objects.filter(day=day)}
    return {step: rows[step.value] for step in Step}


def _reset(steps: dict[Step, DayStep], from_step: str) -> None:
    if from_step not in Step.values:
        raise PayopsError(
            "dayend.unknown_step",
            _("There is no step %(step)s. Steps: %(known)s.") % {"step": from_step, "known": ", ".join(Step.values)},
            {"step": from_step},
        )
    order = list(Step)
    for step in order[order.index(Step(from_step)) :]:
        row = steps[step]
        if row.state != StepState.PENDING:
            row.state = StepState.PENDING
            row.save(update_fields=["state", "updated_at"])


def _may_start(steps: dict[Step, DayStep], step: Step, force: bool) -> bool:
    enough = {StepState.DONE, StepState.WAITING} if force else {StepState.DONE}
    return all(steps[needed].state in enough for needed in TIMETABLE[step].needs)
