"""The state of a job: what each is called, its colour, and which may follow."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class JobState(models.TextChoices):
    """States of a JobRun. Waiting (for its parts) and failed are different things and shown differently."""

    QUEUED = "queued", pgettext_lazy("job", "Queued")
    RUNNING = "running", _("Running")
    WAITING = "waiting", _("Waiting for its parts")
    SUCCEEDED = "succeeded", pgettext_lazy("job", "Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


JOB_STATE_COLOURS: Final[dict[str, str]] = {
    JobState.QUEUED: "base",
    JobState.RUNNING: "info",
    JobState.WAITING: "info",
    JobState.SUCCEEDED: "success",
    JobState.FAILED: "danger",
    JobState.CANCELLED: "warning",
}

JOB_STATE_NEXT: Final[dict[str, tuple[str, ...]]] = {
    JobState.QUEUED: (JobState.RUNNING, JobState.FAILED, JobState.CANCELLED),
    JobState.RUNNING: (JobState.QUEUED, JobState.WAITING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED),
    JobState.WAITING: (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED),
    JobState.SUCCEEDED: (),
    JobState.FAILED: (JobState.QUEUED, JobState.WAITING),
    JobState.CANCELLED: (JobState.QUEUED,),
}

FINAL_STATES: Final[tuple[str, ...]] = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
KEY_HOLDING_STATES: Final[tuple[str, ...]] = (
    JobState.QUEUED,
    JobState.RUNNING,
    JobState.WAITING,
    JobState.SUCCEEDED,
)
"""While a run is in one of these its key is taken; a failed or cancelled one gives the key free."""


class ArchiveState(models.TextChoices):
    """How far the archiving of a partition is. Written: the file is kept and proved, the partition still there."""

    WRITTEN = "written", pgettext_lazy("archived partition", "Written")
    ARCHIVED = "archived", pgettext_lazy("archived partition", "Archived")
    RESTORED = "restored", pgettext_lazy("archived partition", "Restored")
    DROPPED = "dropped", pgettext_lazy("archived partition", "Written anew")
