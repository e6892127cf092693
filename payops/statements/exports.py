"""Large exports of the ledger, made in the background: a job with progress, and a file to download (DOMAIN 13).

The file is kept by its digest; the job's result names it. What the ledger holds is exported again from the same books
as the same bytes, as long as the days asked for are closed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from payops.accounts.journal import journal_write
from payops.accounts.journal_formats import FORMATS, format_get
from payops.core import audit, storage
from payops.core.choices import JobState
from payops.core.errors import PayopsError
from payops.core.job_files import job_file_keep
from payops.core.jobs import enqueue, job_log, job_progress
from payops.core.models import JobRun
from payops.statements.ledger_reports import FORMS, ReportQuery, query_from, report_get, report_write

KIND: Final = "statements.ledger_export"
JOURNAL: Final = "journal"


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A finished export on disk."""

    path: Path
    file_name: str
    sha256: str
    size: int


def export_request(*, report: str, form: str, values: Mapping[str, Any], username: str, language: str = "") -> JobRun:
    """Queue an export; returns its job.

    `report` is a report of `ledger_reports` with `form` csv or xlsx, or 'journal' with beancount or hledger; `values`
    are its parameters as text. Raises PayopsError for what no export could be made of, before anything is queued.
    """
    if report == JOURNAL:
        format_get(form)
    else:
        report_get(report)
        if form not in FORMS:
            raise PayopsError("reports.form_unknown", _("A report is a CSV or an XLSX file."), {"form": form})
    query = query_from(values)
    params = {
        "report": report,
        "form": form,
        "query": {name: str(value) for name, value in asdict(query).items() if value not in ("", None)},
        "language": language or translation.get_language() or "en",
    }
    job = enqueue(KIND, params, business_date=query.last, created_by=username)
    audit.record(
        username=username,
        action="statements.export_requested",
        object_kind="job",
        object_id=job.pk,
        detail={"report": report, "form": form, **params["query"]},
    )
    return job


def export_make(job: JobRun, *, report: str, form: str, query: Mapping[str, str], language: str) -> dict[str, Any]:
    """The handler of an export's job: write the file beside the store, then keep it. May be started over."""
    folder = Path(settings.PAYOPS_FILES_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = query_from(query)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as made, translation.override(language):
        draft = Path(made) / "export"
        rows = _journal(job, draft, form, wanted) if report == JOURNAL else _report(job, draft, report, form, wanted)
        name = _file_name(report, form, wanted)
        kept = job_file_keep(draft, name=name, rows=rows)
        job_log(job, f"{name}: {rows} rows, {kept['size']} bytes, SHA-256 {kept['sha256']}")
    return kept


def _report(job: JobRun, draft: Path, report: str, form: str, query: ReportQuery) -> int:
    return report_write(
        draft, name=report, query=query, form=form, progress=lambda rows: job_progress(job, rows, 0, _("rows written"))
    )


def _journal(job: JobRun, draft: Path, form: str, query: ReportQuery) -> int:
    with draft.open("w", encoding="utf-8", newline="\n") as stream:
        summary = journal_write(
            stream.write,
            form=form,
            first=query.first,
            last=query.last,
            progress=lambda done, days: job_progress(job, done, days, _("days written")),
        )
    return summary.vouchers


def _file_name(report: str, form: str, query: ReportQuery) -> str:
    """Ours and harmless on every system: what it is and which days."""
    suffix = FORMATS[form].suffix if report == JOURNAL else form
    needs = ("first", "last") if report == JOURNAL else report_get(report).needs
    days = [getattr(query, name).strftime("%Y%m%d") for name in needs if name in {"day", "first", "last"}]
    return "_".join([report, *days]) + f".{suffix}"


def exports() -> QuerySet[JobRun]:
    """Exports asked for, the latest first."""
    return JobRun.objects.filter(kind=KIND).order_by("-id")


def export_file(job_id: int) -> ExportFile:
    """The file of a finished export; PayopsError 'exports.not_found' when there is none (any more)."""
    job = exports().filter(pk=job_id, state=JobState.SUCCEEDED).first()
    result = job.result if job else None
    path = storage.full_path(result["stored_path"]) if result else None
    if result is None or path is None or not path.is_file():
        raise PayopsError("exports.not_found", _("There is no such export file. Ask for it again."), {"job": job_id})
    return ExportFile(path, result["file_name"], result["sha256"], result["size"])
