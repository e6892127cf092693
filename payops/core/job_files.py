"""Files that background jobs make for people to download: kept by their digest, named by the job, removed by age.

The job's row stays; of a file that is gone it says when it went. A file two jobs made alike is one file on disk and
goes with the last of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.core import storage
from payops.core.choices import JobState
from payops.core.errors import PayopsError
from payops.core.models import JobRun

KEPT_FOR: Final = dt.timedelta(days=14)
"""An export is made again in minutes; what lies about for longer is only a copy of customers' data too many."""

FOLDER: Final = "exports"
"""Below the store: an export may have been attached to a voucher, and that copy stays."""

LARGEST: Final = 1 << 40
"""Bytes; exports are our own, only a full disk stops them."""


@dataclass(frozen=True, slots=True)
class JobFile:
    """A finished file on disk."""

    path: Path
    file_name: str
    sha256: str
    size: int


def job_file_keep(draft: Path, *, name: str, rows: int) -> dict[str, Any]:
    """Move a finished draft into the store; returns what the job's result says of it."""
    kept = storage.keep(draft, name=name, limit=LARGEST, below=FOLDER)
    return {"file_name": name, "stored_path": kept.path, "sha256": kept.sha256, "size": kept.size, "rows": rows}


def job_file(job: JobRun | None) -> JobFile:
    """The file a job made; PayopsError 'exports.not_found' when there is none (any more)."""
    result = job.result if job is not None and job.state == JobState.SUCCEEDED else None
    path = storage.full_path(result["stored_path"]) if result and result.get("stored_path") else None
    if result is None or path is None or not path.is_file():
        raise PayopsError(
            "exports.not_found",
            _("There is no such export file. Ask for it again."),
            {"job": job.pk if job else None},
        )
    return JobFile(path, result["file_name"], result["sha256"], result["size"])


def job_files_remove(*, kinds: Collection[str], before: dt.datetime | None = None) -> int:
    """Remove the files of jobs of these kinds that finished before an instant (default: KEPT_FOR ago); how many.

    Safe to repeat and to be killed: the row forgets its file in the transaction, the disk follows.
    """
    limit = before or timezone.now() - KEPT_FOR
    made = JobRun.objects.filter(kind__in=kinds, state=JobState.SUCCEEDED, result__stored_path__isnull=False)
    removed = 0
    for job in made.filter(finished_at__lt=limit).exclude(result__stored_path="").order_by("id"):
        path = job.result["stored_path"]
        with transaction.atomic():
            forgotten = job.result | {"stored_path": "", "removed_at": timezone.now().isoformat()}
            JobRun.objects.filter(pk=job.pk).update(result=forgotten)
        if path.startswith(f"{FOLDER}/") and not made.filter(result__stored_path=path).exists():
            storage.full_path(path).unlink(missing_ok=True)
        removed += 1
    return removed
