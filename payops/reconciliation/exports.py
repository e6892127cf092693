"""Results of a run, comparisons and open items as files, made in the background: a job with progress, then a download.

Rows are read and written a few thousand at a time: a million matched rows take no more memory than ten.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.exports import write_csv, write_xlsx
from payops.core.job_files import job_file_keep
from payops.core.jobs import enqueue, job_log, job_progress
from payops.core.models import JobRun
from payops.reconciliation import export_rows
from payops.reconciliation.choices import ItemState, ResultKind
from payops.reconciliation.comparison import Change
from payops.reconciliation.export_rows import Rows
from payops.reconciliation.models import ReconRun

KIND: Final = "reconciliation.export"
FORMS: Final = ("csv", "xlsx")
SHEET_ROWS: Final = 1_000_000
"""Rows of one sheet; what is more goes on in the next sheet of the same file."""
SHEET_NAME: Final = 26
"""Letters of a sheet's name that leave room for its number."""
PROGRESS_STEP: Final = 5_000


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of export: its heading row, its rows, about how many there are, and the stem of its file name."""

    header: Sequence[Any]
    rows: Rows
    expected: int
    stem: str


def export_request(*, what: str, form: str, values: Mapping[str, Any], username: str, language: str = "") -> JobRun:
    """Queue an export; returns its job.

    `what` is 'results' (values: run, kind, hands), 'comparison' (run, before, change) or 'open_items' (the filters of
    its list, see OPEN_ITEM_FILTERS);
    `form` csv or xlsx. Raises PayopsError for what no export could be made of, before anything is queued.
    """
    if form not in FORMS:
        raise PayopsError("reports.form_unknown", _("A report is a CSV or an XLSX file."), {"form": form})
    wanted = {name: str(value) for name, value in values.items() if value not in ("", None)}
    found = _export(what, wanted, username)
    params = {
        "what": what,
        "form": form,
        "values": wanted,
        "username": username,
        "language": language or translation.get_language() or "en",
        "name": f"{found.stem}.{form}",
    }
    job = enqueue(KIND, params, business_date=_day(wanted), created_by=username)
    JobRun.objects.filter(pk=job.pk).update(progress_total=found.expected)
    audit.record(
        username=username,
        action="reconciliation.export_requested",
        object_kind="job",
        object_id=job.pk,
        detail={"what": what, "form": form, **wanted},
    )
    return job


def _day(values: Mapping[str, str]) -> Any:
    run = ReconRun.objects.filter(pk=values["run"]).first() if "run" in values else None
    return run.channel_date if run else None


def export_make(
    job: JobRun, *, what: str, form: str, values: Mapping[str, str], username: str, language: str, name: str = ""
) -> dict[str, Any]:
    """The handler of an export's job: write the file beside the store, then keep it. May be started over.

    `name` is what the file was called when it was asked for.
    """
    folder = Path(settings.PAYOPS_FILES_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as made, translation.override(language):
        found = _export(what, values, username)
        draft = Path(made) / "export"
        written = _Counted(
            found.rows, lambda rows: job_progress(job, rows, max(found.expected, rows), _("rows written"))
        )
        if form == "csv":
            with draft.open("wb") as stream:
                write_csv(stream, found.header, written)
        else:
            write_xlsx(str(draft), _sheets(found.stem, found.header, written))
        result = job_file_keep(draft, name=name or f"{found.stem}.{form}", rows=written.rows)
        job_log(job, f"{result['file_name']}: {written.rows} rows, {result['size']} bytes, SHA-256 {result['sha256']}")
    return result


class _Counted:
    """Rows that report how many have gone by."""

    def __init__(self, rows: Rows, report: Callable[[int], None]) -> None:
        self._source, self._report = rows, report
        self.rows = 0

    def __iter__(self) -> Iterator[Sequence[Any]]:
        for row in self._source:
            self.rows += 1
            if self.rows % PROGRESS_STEP == 0:
                self._report(self.rows)
            yield row
        self._report(self.rows)


def _sheets(
    title: str, header: Sequence[Any], rows: Iterable[Sequence[Any]]
) -> Iterator[tuple[str, Sequence[Any], Any]]:
    """As many sheets as the rows need, at least one, none of them held in memory."""
    left = iter(rows)
    for number in count(1):
        first = list(islice(left, 1))
        if not first and number > 1:
            return
        name = title[:SHEET_NAME] if number == 1 else f"{title[:SHEET_NAME]} {number}"
        yield name, header, chain(first, islice(left, SHEET_ROWS - 1))


def _export(what: str, values: Mapping[str, str], username: str) -> Export:
    if what == "results":
        return _results(values, username)
    if what == "comparison":
        return _comparison(values)
    if what == "open_items":
        return _open_items(values)
    raise _unknown(what)


def _results(values: Mapping[str, str], username: str) -> Export:
    run = _run(values.get("run", ""))
    kind = values.get("kind", "")
    if kind and kind not in ResultKind.values:
        raise _unknown(kind)
    if kind == ResultKind.MATCHED:
        rows, expected = export_rows.matched_rows(run), run.matched_count
    else:
        rows, expected = export_rows.result_rows(run, kind=kind, hands=values.get("hands", ""), username=username)
    parts = [run.contract.code, f"{run.channel_date:%Y%m%d}", f"run{run.run_no}", kind or "results"]
    return Export(export_rows.result_header(), rows, expected, "_".join(parts))


def _comparison(values: Mapping[str, str]) -> Export:
    now, before = _run(values.get("run", "")), _run(values.get("before", ""))
    change = values.get("change", "")
    if change and change not in Change.values:
        raise _unknown(change)
    rows, expected = export_rows.comparison_rows(now, before, change)
    stem = f"{now.contract.code}_{now.channel_date:%Y%m%d}_run{before.run_no}_run{now.run_no}"
    return Export(export_rows.comparison_header(), rows, expected, stem)


def _open_items(values: Mapping[str, str]) -> Export:
    known = {
        "state": (export_rows.ALL_LIVE, export_rows.EVERY_STATE, *ItemState.values),
        "result": ResultKind.values,
    }
    for name, choices in known.items():
        if name in values and values[name] not in choices:
            raise _unknown(values[name])
    for name in ("first_date", "cleared_date"):
        try:
            dt.date.fromisoformat(values.get(name, "2026-01-01"))
        except ValueError:
            raise _unknown(values[name]) from None
    rows, expected = export_rows.open_item_rows(values)
    return Export(export_rows.open_item_header(), rows, expected, f"open_items_{timezone.localdate():%Y%m%d}")


def _unknown(what: str) -> PayopsError:
    return PayopsError("exports.unknown", _("There is no export “%s”.") % what, {"what": what})


def _run(number: str) -> ReconRun:
    run = None
    if number.isascii() and number.isdigit():
        run = ReconRun.objects.select_related("contract", "file").filter(pk=number, state="complete").first()
    if run is None:
        raise PayopsError("recon.run_not_found", _("There is no complete run with the number %s.") % number, {})
    return run


def exports(username: str = "") -> QuerySet[JobRun]:
    """Exports asked for, by one person or by all, the latest first."""
    jobs = JobRun.objects.filter(kind=KIND).order_by("-id")
    return jobs.filter(created_by=username) if username else jobs
