"""Results, comparisons and open items as files: asked for, made by a worker, watched, downloaded."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _

from payops.console import cells
from payops.console.cells import link
from payops.console.shell import action, came_from, log_download, view
from payops.core.choices import JobState
from payops.core.job_files import job_file
from payops.core.models import JobRun
from payops.core.retelling import retold
from payops.reconciliation.export_rows import OPEN_ITEM_FILTERS
from payops.reconciliation.exports import export_request, exports

SHOWN: Final = 6
UNDER_WAY: Final = (JobState.QUEUED, JobState.RUNNING, JobState.WAITING)
TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
ASKED: Final = ("run", "before", "change", "kind", "hands", *OPEN_ITEM_FILTERS)
"""What an export may be asked with; everything else a form sends is left out."""


def my_exports(request: HttpRequest) -> dict[str, Any]:
    """One person's latest exports, and whether any is still being made: the page asks again until none is."""
    jobs = list(exports(request.user.get_username())[:SHOWN])
    return {
        "exports": [_line(job) for job in jobs],
        "exports_under_way": any(job.state in UNDER_WAY for job in jobs),
        "exports_url": link("result_export_list"),
    }


def export_offer(request: HttpRequest, what: str, **values: Any) -> dict[str, Any]:
    """What a page's export buttons send: what is exported and with which filters; nothing for who may not export."""
    if not request.user.may("reports.export"):
        return {}
    return {"export_fields": {"what": what} | {name: value for name, value in values.items() if value}}


def _line(job: JobRun) -> dict[str, Any]:
    result = job.result or {}
    ready = job.state == JobState.SUCCEEDED and bool(result.get("stored_path"))
    return {
        "job": cells.number(f"#{job.pk}", link("job", job.pk)),
        "name": result.get("file_name") or job.params.get("name") or f"{job.params['what']} · {job.params['form']}",
        "state": cells.state(job),
        "url": link("result_export_download", job.pk) if ready else "",
        "gone": job.state == JobState.SUCCEEDED and not ready,
        "rows": _("%s rows") % cells.count(result.get("rows", job.progress_done)).text,
        "written": _("%s rows written") % cells.count(job.progress_done).text,
        "done": job.progress_done,
        "of": max(job.progress_total, job.progress_done, 1),
        "under_way": job.state in UNDER_WAY,
        "queued": job.state == JobState.QUEUED,
        "trouble": retold(job.error_message),
        "at": cells.moment(job.queued_at),
    }


@view("runs.view")
def result_export_list(request: HttpRequest) -> HttpResponseBase:
    """The exports of whoever asks, as the part of a page that watches them."""
    return render(request, "console/_exports.html", my_exports(request))


@action("reports.export")
def result_export(request: HttpRequest) -> HttpResponse:
    """Queue an export of what a page shows."""
    job = export_request(
        what=request.POST.get("what", ""),
        form=request.POST.get("form", ""),
        values={name: request.POST.get(name, "") for name in ASKED},
        username=request.user.get_username(),
    )
    messages.success(request, _("Job %d makes the file; it will stand below when it is done.") % job.pk)
    return redirect(came_from(request, link("workbench")))


@view("runs.view")
def result_export_download(request: HttpRequest, result_export_id: int) -> HttpResponseBase:
    """A finished export; logged with its digest."""
    found = job_file(exports().filter(pk=result_export_id).first())
    log_download(
        request, "reconciliation.export", result_export_id, name=found.file_name, sha256=found.sha256, size=found.size
    )
    suffix = found.file_name.rsplit(".", 1)[-1]
    response = FileResponse(
        found.path.open("rb"), as_attachment=True, filename=found.file_name, content_type=TYPES[suffix]
    )
    response["Cache-Control"] = "no-store"
    return response


urlpatterns = [
    path("workbench/exports/", result_export_list, name="result_export_list"),
    path("workbench/exports/make/", result_export, name="result_export"),
    path("workbench/exports/<int:result_export_id>/", result_export_download, name="result_export_download"),
]
