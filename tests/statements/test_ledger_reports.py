"""The ledger's reports as files: on the command line, as downloads and made in the background."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation
from python_calamine import CalamineWorkbook

from payops.accounts import checks, reports, services
from payops.accounts.choices import Event
from payops.accounts.models import Subject
from payops.core.errors import PayopsError
from payops.core.jobs import run_now
from payops.core.models import AuditLog, JobRun
from payops.core.partitions import ensure_days
from payops.statements.exports import KIND, export_file, export_request
from payops.statements.ledger_reports import FORMS, REPORTS, query_from, report_write
from tests.accounts.conftest import Book, set_up_ledger

SUNDAY = dt.date(2026, 11, 29)
MONDAY = dt.date(2026, 11, 30)
TUESDAY = dt.date(2026, 12, 1)
EVERYTHING = {
    "day": MONDAY.isoformat(),
    "first": SUNDAY.isoformat(),
    "last": MONDAY.isoformat(),
    "subject": "2202.01",
    "account": "220201-M-A",
    "period": "2026-11",
    "mapping": "customer_flows",
}


@pytest.fixture
def books(db: None, monkeypatch: pytest.MonkeyPatch) -> Book:
    """November has ended with two days of payments; Tuesday is open; a memo tries to be a formula."""
    monkeypatch.setattr(checks, "_registered", {})
    ensure_days(SUNDAY, TUESDAY + dt.timedelta(days=3))
    set_up_ledger(SUNDAY)
    Subject.objects.filter(is_leaf=True).update(erp_code="E1")
    book = Book()
    book(Event.PAYMENT, A=123_456)
    close(SUNDAY)
    book(Event.VOID, A=56)
    close(MONDAY)
    services.freeze_place(
        account=reports.account_by_number("220201-M-A"),
        amount=500,
        reason="=1+1",
        source_kind="case",
        source_id=1,
        created_by="alice",
    )
    return book


def close(day: dt.date) -> None:
    services.day_cut_off(day)
    services.close_day(day)


def written(tmp_path: Path, name: str, **values: Any) -> list[dict[str, str]]:
    """The rows of a CSV file by heading."""
    path = tmp_path / f"{name}.csv"
    report_write(path, name=name, query=query_from({**EVERYTHING, **values}), form="csv")
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


# Reports on what these books do not hold: they have tests of their own.
COMPARISONS = ("bank_reconciliation", "internal_check", "merchant_check")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [name for name in REPORTS if name not in COMPARISONS])
def test_every_report_is_written_in_both_forms(books: Book, tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / "report"
    rows = report_write(path, name=name, query=query_from(EVERYTHING), form=form)
    assert rows > 0
    if form == "csv":
        assert len(list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))) == rows + 1
    else:
        sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
        assert len(sheet.to_python(skip_empty_area=False)) == rows + 1


def test_amounts_leave_in_major_units_and_numbers_as_text(books: Book, tmp_path: Path) -> None:
    first, second = written(tmp_path, "account_ledger")
    assert (first["Credit"], first["Balance"], second["Debit"], second["Balance"]) == (
        "1234.56",
        "1234.56",
        "0.56",
        "1234.00",
    )
    path = tmp_path / "report.xlsx"
    report_write(path, name="account_ledger", query=query_from(EVERYTHING), form="xlsx")
    row = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()[1]
    assert row[1] == first["Voucher"]
    assert row[-1] == 1234.56


def test_what_would_run_as_a_formula_is_neutralised(books: Book, tmp_path: Path) -> None:
    (row,) = written(tmp_path, "freezes")
    assert row["Reason"] == "'=1+1"


def test_the_daily_sheet_and_the_period_agree_with_the_trial_balance(books: Book, tmp_path: Path) -> None:
    sheet = {row["Code"]: row["Closing"] for row in written(tmp_path, "daily_sheet")}
    assert sheet == {row["Code"]: row["Closing"] for row in written(tmp_path, "trial_balance")}
    assert sheet == {row["Code"]: row["Closing"] for row in written(tmp_path, "period_balances")}


def test_headings_are_in_the_readers_language(books: Book, tmp_path: Path) -> None:
    with translation.override("zh-hans"):
        (row, *_others) = written(tmp_path, "trial_balance")
    assert "待结算" in row.values()


@pytest.mark.parametrize("name", [name for name, report in REPORTS.items() if report.required])
def test_a_report_that_was_not_told_what_it_needs_says_so(books: Book, tmp_path: Path, name: str) -> None:
    with pytest.raises(PayopsError) as caught:
        report_write(tmp_path / "x", name=name, query=query_from({}), form="csv")
    assert caught.value.code == "reports.missing"


@pytest.mark.parametrize(
    "values",
    [
        {"day": "x"},
        {"first": "1990-01-01"},
        {"first": "2026-12-01", "last": "2026-11-01"},
        {"level": "9"},
        {"last": "20261120T"},
    ],
)
def test_a_value_that_cannot_be_read_is_named(books: Book, values: dict[str, str]) -> None:
    with pytest.raises(PayopsError) as caught:
        query_from(values)
    assert caught.value.code == "reports.parameter"


def test_a_report_beyond_the_limit_is_refused(books: Book, tmp_path: Path) -> None:
    with pytest.raises(PayopsError) as caught:
        report_write(tmp_path / "x", name="account_ledger", query=query_from(EVERYTHING), form="csv", limit=1)
    assert caught.value.code == "reports.too_large"


def test_a_report_and_a_form_nobody_knows_are_refused(books: Book, tmp_path: Path) -> None:
    for name, form, code in (("stars", "csv", "reports.unknown"), ("erp", "pdf", "reports.form_unknown")):
        with pytest.raises(PayopsError) as caught:
            report_write(tmp_path / "x", name=name, query=query_from({}), form=form)
        assert caught.value.code == code


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_report(books: Book, tmp_path: Path) -> None:
    path, err = tmp_path / "erp.csv", io.StringIO()
    call_command("report", "erp", "--from", "2026-11-29", "--to", "2026-11-30", "--out", str(path), stderr=err)
    assert "4 rows" in err.getvalue()
    assert path.read_text(encoding="utf-8-sig").startswith("Accounting day,ERP voucher,Line,ERP code,")


def test_the_command_says_what_is_missing_and_leaves_nothing(books: Book, tmp_path: Path) -> None:
    Subject.objects.update(erp_code="")
    with pytest.raises(CommandError, match=r"2202\.01, 3001\.01"):
        call_command("report", "erp", "--from", "2026-11-29", "--to", "2026-11-30", "--out", str(tmp_path / "erp.csv"))
    assert list(tmp_path.iterdir()) == []


# --- in the background ------------------------------------------------------------------------------------------------


def made(report: str, form: str, **values: str) -> JobRun:
    """An export asked for by Alice and made by a worker."""
    job = export_request(report=report, form=form, values={**EVERYTHING, **values}, username="alice")
    return run_now(job.pk)


@pytest.mark.parametrize(
    ("report", "form", "name"),
    [
        ("account_ledger", "csv", "account_ledger_20261129_20261130.csv"),
        ("day_balances", "xlsx", "day_balances_20261130.xlsx"),
        ("journal", "beancount", "journal_20261129_20261130.beancount"),
        ("journal", "hledger", "journal_20261129_20261130.journal"),
    ],
)
def test_an_export_ends_in_a_file_with_its_digest(books: Book, report: str, form: str, name: str) -> None:
    job = made(report, form)
    assert job.state == "succeeded", job.error_message
    found = export_file(job.pk)
    content = found.path.read_bytes()
    assert (found.file_name, found.size) == (name, len(content))
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_the_same_export_of_closed_days_has_the_same_digest(books: Book) -> None:
    assert made("account_ledger", "xlsx").result["sha256"] == made("account_ledger", "xlsx").result["sha256"]


def test_asking_for_an_export_is_in_the_audit_log(books: Book) -> None:
    job = export_request(report="journal", form="hledger", values=EVERYTHING, username="alice")
    entry = AuditLog.objects.get(action="statements.export_requested")
    assert (entry.username, entry.object_id, entry.detail["form"]) == ("alice", str(job.pk), "hledger")


def test_an_export_that_cannot_be_made_fails_with_its_sentence(books: Book) -> None:
    Subject.objects.update(erp_code="")
    job = made("erp", "csv")
    assert (job.state, job.error_code) == ("failed", "erp.no_code")
    with pytest.raises(PayopsError) as caught:
        export_file(job.pk)
    assert caught.value.code == "exports.not_found"


def test_a_file_that_is_gone_is_said_to_be_gone(books: Book) -> None:
    job = made("trial_balance", "csv")
    export_file(job.pk).path.unlink()
    with pytest.raises(PayopsError) as caught:
        export_file(job.pk)
    assert caught.value.code == "exports.not_found"


@pytest.mark.parametrize(("report", "form"), [("stars", "csv"), ("erp", "pdf"), ("journal", "csv")])
def test_nothing_is_queued_that_no_file_could_come_of(books: Book, report: str, form: str) -> None:
    with pytest.raises(PayopsError):
        export_request(report=report, form=form, values=EVERYTHING, username="alice")
    assert not JobRun.objects.filter(kind=KIND).exists()
