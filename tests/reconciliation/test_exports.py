"""Results as files: what is in them, that nothing in them runs, and that they go when they are old."""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from payops.core import storage
from payops.core.errors import PayopsError
from payops.core.job_files import job_file, job_files_remove
from payops.core.jobs import run_now
from payops.core.models import AuditLog, JobRun
from payops.reconciliation import exports
from payops.reconciliation.exports import export_request
from payops.reconciliation.models import ReconRun
from tests.reconciliation.builders import MON, TUE, Town, line, pay

ORDERS = [pay("1", MON), pay("2", MON), pay("3", MON)]
LINES = [line("R-1", MON), line("R-2", MON, amount=9_000), line("R-8", MON, trade_no="=1+1")]


@pytest.fixture(autouse=True)
def _files(settings: Any, tmp_path: Path) -> None:
    settings.PAYOPS_FILES_DIR = tmp_path


def made(form: str = "csv", *, what: str = "results", **values: Any) -> JobRun:
    """The job of an export, done."""
    return run_now(export_request(what=what, form=form, values=values, username="alice").pk)


def rows_of(job: JobRun) -> list[dict[str, str]]:
    text = job_file(job).path.read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_an_export_has_both_sides_of_every_difference(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    rows = {row["Matching key"]: row for row in rows_of(made(run=run.pk))}
    assert set(rows) == set(run.result_rows.values_list("match_key", flat=True))
    assert (rows["R-2"]["Own amount"], rows["R-2"]["Channel amount"]) == ("100.00", "90.00")
    assert (rows["R-2"]["Difference"], rows["R-2"]["Result"]) == ("-10.00", "Amount mismatch")
    assert rows["R-3"]["Channel trade number"] == ""
    assert rows["R-8"]["Transaction number"] == ""
    assert all(row["Case"] for row in rows.values())


def test_an_export_of_one_result_has_only_that(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    assert [row["Matching key"] for row in rows_of(made(run=run.pk, kind="own_only"))] == ["R-3"]


def test_what_matched_is_exported_from_the_bill_and_our_rows(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    (row,) = rows_of(made(run=run.pk, kind="matched"))
    assert (row["Matching key"], row["Own amount"], row["Channel amount"]) == ("R-1", "100.00", "100.00")
    assert row["Transaction number"]


def test_matched_rows_are_as_many_as_the_run_counted_in_pieces_of_any_size(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payops.reconciliation.export_rows.PIECE", 3)
    orders = [pay(str(number), MON, "09:00:00") for number in range(20)]
    run = town.day(MON, orders, [line(f"R-{number}", MON, "09:00:00") for number in range(20)])
    job = made(run=run.pk, kind="matched")
    assert job.result["rows"] == run.matched_count == 20
    assert len({row["Matching key"] for row in rows_of(job)}) == 20


def test_a_channels_text_is_never_a_formula(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    rows = {row["Matching key"]: row for row in rows_of(made(run=run.pk))}
    assert rows["R-8"]["Channel trade number"] == "'=1+1"


def test_a_spreadsheet_goes_on_in_another_sheet_when_one_is_full(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from python_calamine import CalamineWorkbook

    monkeypatch.setattr(exports, "SHEET_ROWS", 2)
    run = town.day(MON, ORDERS, LINES)
    book = CalamineWorkbook.from_path(str(job_file(made("xlsx", run=run.pk)).path))
    assert [len(book.get_sheet_by_name(name).to_python()) for name in book.sheet_names] == [3, 2]


def test_a_spreadsheet_of_nothing_has_its_headings(town: Town) -> None:
    from python_calamine import CalamineWorkbook

    run = town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    book = CalamineWorkbook.from_path(str(job_file(made("xlsx", run=run.pk)).path))
    assert len(book.sheet_names) == 1
    assert book.get_sheet_by_index(0).to_python()[0][0] == "Result"


def test_a_job_knows_how_far_it_is(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    run = town.day(MON, ORDERS, LINES)
    job = export_request(what="results", form="csv", values={"run": run.pk}, username="alice")
    job.refresh_from_db()
    assert (job.progress_done, job.progress_total) == (0, 3)
    seen: list[int] = []
    monkeypatch.setattr(exports, "PROGRESS_STEP", 1)
    monkeypatch.setattr(exports, "job_progress", lambda _job, done, _total, _text: seen.append(done))
    run_now(job.pk)
    assert seen == [1, 2, 3, 3]


def test_a_comparison_can_be_exported(town: Town) -> None:
    before = town.day(MON, ORDERS, LINES)
    town.bill(MON, line("R-1", MON), line("R-2", MON, amount=8_000), line("R-3", MON), line("R-8", MON))
    now = town.run(MON)
    rows = {row["Matching key"]: row for row in rows_of(made(what="comparison", run=now.pk, before=before.pk))}
    assert {key: row["Change"] for key, row in rows.items()} == {"R-2": "Changed", "R-3": "Gone"}
    assert (rows["R-2"]["Before: Difference"], rows["R-2"]["Now: Difference"]) == ("-10.00", "-20.00")


def test_open_items_can_be_exported(town: Town) -> None:
    town.day(MON, ORDERS, LINES)
    rows = rows_of(made(what="open_items", contract=town.contract.code))
    assert {row["Matching key"] for row in rows} == {"R-2", "R-3", "R-8"}
    assert {row["First seen"] for row in rows} == {MON.isoformat()}


@pytest.mark.parametrize(
    ("what", "form", "values"),
    [
        ("everything", "csv", {}),
        ("results", "pdf", {"run": "1"}),
        ("results", "csv", {"run": "999999"}),
        ("results", "csv", {"run": "x"}),
        ("results", "csv", {"run": "1; drop table"}),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_queued(
    town: Town, what: str, form: str, values: dict[str, str]
) -> None:
    with pytest.raises(PayopsError):
        export_request(what=what, form=form, values=values, username="alice")
    assert not exports.exports().exists()


def test_who_asked_for_an_export_is_in_the_audit_log(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    job = made(run=run.pk)
    assert AuditLog.objects.filter(
        username="alice", action="reconciliation.export_requested", object_id=str(job.pk)
    ).exists()


def old(job: JobRun) -> None:
    JobRun.objects.filter(pk=job.pk).update(finished_at=timezone.now() - dt.timedelta(days=15))


def test_an_old_export_is_removed_and_its_job_says_so(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    job = made(run=run.pk)
    path = job_file(job).path
    old(job)
    assert job_files_remove(kinds=[exports.KIND]) == 1
    assert not path.exists()
    job.refresh_from_db()
    assert job.result["removed_at"]
    with pytest.raises(PayopsError, match="Ask for it again"):
        job_file(job)
    assert job_files_remove(kinds=[exports.KIND]) == 0


def test_a_file_a_younger_export_shares_stays(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    first, second = made(run=run.pk), made(run=run.pk)
    assert job_file(first).path == job_file(second).path
    old(first)
    assert job_files_remove(kinds=[exports.KIND]) == 1
    assert job_file(second).path.is_file()


def test_an_export_attached_to_something_stays_there_when_it_is_removed(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    job = made(run=run.pk)
    attached = storage.keep(job_file(job).path, name="evidence.csv")
    old(job)
    assert job_files_remove(kinds=[exports.KIND]) == 1
    assert storage.full_path(attached.path).is_file()


def test_an_export_of_yesterday_stays(town: Town) -> None:
    run = town.day(MON, ORDERS, LINES)
    job = made(run=run.pk)
    assert job_files_remove(kinds=[exports.KIND]) == 0
    assert job_file(job).path.is_file()


def test_a_run_of_another_day_is_another_file(town: Town) -> None:
    town.day(MON, ORDERS, LINES)
    later: ReconRun = town.day(TUE, [pay("9", TUE)], [])
    assert made(run=later.pk).result["file_name"] == f"{town.contract.code}_20261117_run1_results.csv"
