"""Reports of the ledger in the console: figures that agree, lead down to entries, and leave as files."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from payops.accounts import reports
from payops.accounts.classification import classified, mapped_report
from payops.accounts.models import Account, AccountingDay, DayBalance, Entry, Subject
from payops.accounts.selectors import account_ledger, trial_balance
from payops.accounts.services import close_day, day_cut_off
from payops.console.views import exports as exports_views
from payops.core.jobs import run_now
from payops.core.models import AuditLog, JobRun
from payops.statements.exports import KIND, exports
from payops.statements.ledger_reports import REPORTS
from tests.console.conftest import MON, TUE, Books, address, read_out

Read = Callable[..., str]
ONE_DAY = dt.timedelta(days=1)


def minor(cell: Any) -> int:
    """The amount a cell shows, in minor units."""
    return int(Decimal(cell.raw or 0) * 100)


def context(books: Books, name: str, *args: Any, **query: Any) -> Any:
    response = books.client("carol").get(address(name, *args, **query))
    assert response.status_code == 200
    return response.context


def busiest(subject: str) -> Account:
    """The account under a subject that moved most on Monday."""
    rows = DayBalance.objects.filter(day=MON, account__subject__code=subject)
    return rows.annotate(moved=F("debit") + F("credit")).order_by("-moved").select_related("account").first().account


def opened(books: Books, cells: Iterator[Any]) -> None:
    """Every link leads to a page that is there."""
    for url in sorted({cell.url for cell in cells if cell.url and not cell.url.startswith("#")}):
        assert read_out(books.client("carol").get(url)).status_code == 200, url


# --- by day -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", [MON, TUE + ONE_DAY])
def test_the_daily_sheet_shows_the_trial_balance_with_the_number_of_entries(books: Books, day: dt.date) -> None:
    (table,) = context(books, "daily_sheet", day=day)["tables"]
    shown = {row[0].text: [minor(row[at]) for at in (2, 4, 6, 7)] for row in table.rows}
    assert shown == {row.dotted_code: [row.opening, row.debit, row.credit, row.closing] for row in trial_balance(day)}
    assert table.foot[3].raw + table.foot[5].raw == Entry.objects.for_days(day, day).count()


def test_every_figure_of_the_daily_sheet_leads_down(books: Books) -> None:
    for level in ("", "1"):
        (table,) = context(books, "daily_sheet", day=MON, level=level)["tables"]
        opened(books, (cell for row in table.rows for cell in row))


def test_the_general_ledger_runs_from_day_to_day(books: Books) -> None:
    (table,) = context(books, "general_ledger", subject="220201", first=MON, last=TUE + ONE_DAY)["tables"]
    days = list(AccountingDay.objects.filter(day__gte=MON).order_by("day").values_list("day", flat=True))
    assert [row[0].text for row in table.rows] == [day.isoformat() for day in days]
    for before, after in zip(table.rows, table.rows[1:], strict=False):
        assert minor(before[4]) == minor(after[1])
    assert minor(table.foot[4]) == minor(table.rows[-1][4])
    opened(books, (cell for row in table.rows for cell in row))


def test_a_higher_subject_has_a_general_ledger_too(books: Books) -> None:
    (table,) = context(books, "general_ledger", subject="2202", first=MON, last=MON)["tables"]
    (line,) = [row for row in trial_balance(MON, level=1) if row.code == "2202"]
    assert [minor(cell) for cell in table.rows[0][1:]] == [line.opening, line.debit, line.credit, line.closing]


def test_an_account_is_shown_day_by_day(books: Books) -> None:
    account = busiest("220201")
    (table,) = context(books, "account_days", account=account.account_no, first=MON, last=MON)["tables"]
    ledger = account_ledger(account, MON, MON)
    assert [minor(cell) for cell in table.rows[0][1:]] == [ledger.opening, ledger.debit, ledger.credit, ledger.closing]
    assert table.rows[0][1].url == address("account", account.pk, first=MON, last=MON)


def test_before_an_account_is_named_nothing_is_shown(books: Books) -> None:
    assert context(books, "account_days")["tables"] == []
    assert not context(books, "balance_at").get("facts")


def test_the_balance_at_a_moment_says_what_it_is_made_of(books: Books) -> None:
    account = busiest("220201")
    moment = timezone.localtime() + dt.timedelta(minutes=1)
    facts = dict(
        context(books, "balance_at", account=account.account_no, moment=f"{moment:%Y-%m-%dT%H:%M:%S}")["facts"]
    )
    found = reports.balance_at(account, moment)
    assert minor(facts["Balance"]) == found.balance
    assert facts["Entries posted since"].raw == found.entries
    opened(books, iter(facts.values()))


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("daily_sheet", {"day": "x"}),
        ("daily_sheet", {"level": "9"}),
        ("general_ledger", {"subject": "9999"}),
        ("general_ledger", {"subject": "2202", "first": "2026-11-18", "last": "2026-11-16"}),
        ("general_ledger", {"subject": "2202", "first": "2020-01-01", "last": "2026-11-16"}),
        ("account_days", {"account": "NOBODY"}),
        ("account_days", {"account": "220201", "first": "x"}),
        ("balance_at", {"account": "NOBODY"}),
        ("balance_at", {"account": "x", "moment": "soon"}),
        ("classification", {"first": "x"}),
        ("mapped_report", {"mapping": "stars"}),
        ("erp_vouchers", {"first": "x"}),
        ("report_file", {"day": "x"}),
    ],
)
def test_nonsense_is_answered_in_words(books: Books, name: str, query: dict[str, str]) -> None:
    arguments = ["trial_balance", "csv"] if name == "report_file" else []
    response = books.client("carol").get(address(name, *arguments, **query))
    assert response.status_code == 400
    assert 'class="c-error"' in response.content.decode() or "c-message-error" in response.content.decode()


# --- periods ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def november(books: Books) -> Books:
    """The month has ended: every day up to the 30th is closed."""
    day = AccountingDay.objects.exclude(state="closed").order_by("day").values_list("day", flat=True).first()
    while day.month == 11:
        day_cut_off(day)
        close_day(day)
        day += ONE_DAY
    return books


def test_a_month_has_balances_when_its_last_day_closes(november: Books) -> None:
    page = context(november, "period_list", period="2026-11")
    table, waiting = page["tables"]
    last = {row.dotted_code: row.closing for row in trial_balance(dt.date(2026, 11, 30))}
    assert {row[0].text: minor(row[5]) for row in table.rows if row[5].raw != "0.00"} == last
    assert minor(table.foot[3]) == minor(table.foot[4]) > 0
    assert [row[1].text for row in waiting.rows] == ["2026-12", "2026-Q4", "2026"]
    opened(november, (cell for row in table.rows for cell in row))


def test_a_subject_of_a_month_leads_to_its_accounts_and_they_add_up(november: Books) -> None:
    (line,) = [row for row in reports.period_trial_balance(reports.period_named("2026-11")) if row.code == "300101"]
    table = context(november, "period_list", period="2026-11", subject="300101")["tables"][0]
    figures = [[minor(cell) for cell in row[3:]] for row in table.rows]
    assert [sum(column) for column in zip(*figures, strict=True)] == [
        line.opening,
        line.debit,
        line.credit,
        line.closing,
    ]
    opened(november, (cell for row in table.rows for cell in row))


def test_before_a_period_has_ended_the_page_says_when_it_will(read: Read) -> None:
    text = read("carol", "period_list")
    assert "No period has ended yet" in text
    assert "2026-11" in text


# --- classification ---------------------------------------------------------------------------------------------------


def test_codes_come_first_then_subjects_and_both_sides_agree(books: Books) -> None:
    (table,) = context(books, "classification", first=MON, last=TUE)["tables"]
    rows = classified(MON, TUE)
    assert len(table.rows) == len(rows)
    assert minor(table.foot[4]) == minor(table.foot[5]) == sum(row.debit for row in rows)
    opened(books, (cell for row in table.rows for cell in row))


def test_a_code_leads_to_its_events_and_their_vouchers(books: Books) -> None:
    table = context(books, "classification_code", "PAY", first=MON, last=MON)["tables"][0]
    (row, *_others) = table.rows
    assert row[1].url == address("voucher_list", day=MON, event=101)


def test_what_nobody_classified_has_a_page_of_its_own(read: Read) -> None:
    assert "Not classified" in read("carol", "classification_code", "-", first=MON, last=MON)


def test_a_mapped_report_shows_its_lines_and_what_they_are_made_of(books: Books) -> None:
    table, mapping = context(books, "mapped_report", mapping="customer_flows", first=MON, last=TUE)["tables"]
    amounts = [row.amount for row in mapped_report("customer_flows", MON, TUE)]
    assert [minor(row[2]) for row in table.rows] == amounts
    assert minor(table.foot[2]) == sum(amounts)
    assert sum(minor(row[6]) for row in mapping.rows) == sum(amounts)
    assert all(minor(row[6]) for row in mapping.rows)
    opened(books, (cell for row in mapping.rows for cell in row))


# --- the ERP ----------------------------------------------------------------------------------------------------------


def test_erp_vouchers_balance_and_lead_to_accounts(books: Books) -> None:
    Subject.objects.filter(is_leaf=True).update(erp_code="E1")
    (table,) = context(books, "erp_vouchers", first=MON, last=MON)["tables"]
    assert table.title == f"PAYOPS-{MON:%Y%m%d}-CNY"
    assert minor(table.foot[4]) == minor(table.foot[5]) > 0
    opened(books, (cell for row in table.rows for cell in row))


def test_subjects_without_an_erp_code_are_named_on_the_page(books: Books, read: Read) -> None:
    Subject.objects.update(erp_code="")
    assert "These subjects have no ERP code yet: " in read("carol", "erp_vouchers", first=MON, last=MON)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_page_leaves_as_csv_with_the_figures_it_shows(books: Books) -> None:
    response = read_out(books.client("carol").get(address("report_file", "daily_sheet", "csv", day=MON)))
    assert response["Content-Disposition"] == 'attachment; filename="daily_sheet.csv"'
    rows = list(csv.DictReader(io.StringIO(response.content_read.decode("utf-8-sig"))))
    shown = context(books, "daily_sheet", day=MON)["tables"][0].rows
    assert [row["Closing"] for row in rows] == [row[7].raw for row in shown]


def test_a_page_leaves_as_a_spreadsheet(books: Books) -> None:
    account = busiest("300101")
    query = {"account": account.account_no, "first": MON, "last": MON}
    response = read_out(books.client("carol").get(address("report_file", "account_ledger", "xlsx", **query)))
    assert response.content_read[:2] == b"PK"


def test_every_download_is_logged(books: Books) -> None:
    read_out(books.client("carol").get(address("report_file", "trial_balance", "csv", day=MON)))
    entry = AuditLog.objects.filter(action="console.downloaded").latest("id")
    assert (entry.username, entry.object_kind, entry.object_id) == ("carol", "ledger.trial_balance", "csv")


def test_a_file_too_large_for_at_once_is_sent_to_the_background(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports_views, "MAX_EXPORT_ROWS", 1)
    response = books.client("carol").get(address("report_file", "trial_balance", "csv", day=MON))
    assert response.status_code == 400
    assert "in the background" in response.content.decode()


def test_an_export_is_asked_for_made_and_downloaded(books: Books) -> None:
    values = {"report": "journal", "form": "hledger", "first": MON.isoformat(), "last": MON.isoformat()}
    response = books.client("bob").post(address("report_export"), values)
    assert response.url == address("report_list")
    job = exports().first()
    assert (job.created_by, job.params["form"]) == ("bob", "hledger")
    run_now(job.pk)
    page = books.client("carol").get(address("report_list")).content.decode()
    assert address("report_download", job.pk) in page
    downloaded = read_out(books.client("carol").get(address("report_download", job.pk)))
    digest = hashlib.sha256(downloaded.content_read).hexdigest()
    assert digest[:16] in page
    entry = AuditLog.objects.filter(action="console.downloaded").latest("id")
    assert (entry.username, entry.detail["sha256"]) == ("carol", digest)


@pytest.mark.parametrize(
    "values", [{}, {"report": "stars", "form": "csv"}, {"report": "erp", "form": "csv", "first": "x"}]
)
def test_an_export_of_nonsense_is_refused_and_not_queued(books: Books, values: dict[str, str]) -> None:
    books.client("alice").post(address("report_export"), values)
    assert not JobRun.objects.filter(kind=KIND).exists()


def test_the_auditor_is_not_offered_what_she_may_not_do(read: Read) -> None:
    assert address("report_export") in read("alice", "report_list")
    assert address("report_export") not in read("carol", "report_list")
    query = {"report": "daily_sheet", "day": MON}
    assert address("report_list", **query).replace("&", "&amp;") in read("alice", "daily_sheet", day=MON)
    assert address("report_list", **query).replace("&", "&amp;") not in read("carol", "daily_sheet", day=MON)


def test_a_report_is_asked_for_with_what_its_page_showed(books: Books) -> None:
    account = busiest("220201").account_no
    query = {"report": "account_days", "account": account, "first": MON.isoformat(), "last": MON.isoformat()}
    form = books.client("alice").get(address("report_list", **query)).context["form"]
    values = {name: field.initial or form.initial.get(name) for name, field in form.fields.items()}
    books.client("alice").post(address("report_export"), {**values, "form": "xlsx"})
    job = run_now(exports().first().pk)
    assert (job.params["report"], job.params["query"]["account"]) == ("account_days", account)
    assert job.result["file_name"] == f"account_days_{MON:%Y%m%d}_{MON:%Y%m%d}.xlsx"


def test_every_report_is_on_the_list(books: Books) -> None:
    table = context(books, "report_list")["tables"][0]
    assert len(table.rows) == len(REPORTS)
    Subject.objects.filter(is_leaf=True).update(erp_code="E1")
    opened(books, (cell for row in table.rows for cell in row))


def test_the_trial_balance_and_an_account_offer_files(books: Books, read: Read) -> None:
    assert address("report_file", "trial_balance", "xlsx", day=MON) in read("carol", "trial_balance", day=MON)
    account = busiest("220201")
    text = read("carol", "account", account.pk, first=MON, last=MON)
    assert address("account_days", account=account.account_no, first=MON, last=MON).replace("&", "&amp;") in text


# --- cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "query", "limit"),
    [
        ("daily_sheet", {"day": MON}, 18),
        ("general_ledger", {"subject": "220201", "first": MON, "last": TUE}, 18),
        ("classification", {"first": MON, "last": MON}, 18),
        ("mapped_report", {"first": MON, "last": MON}, 22),
        ("report_list", {}, 14),
    ],
)
def test_a_page_costs_a_few_queries(
    books: Books,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    name: str,
    query: dict[str, Any],
    limit: int,
) -> None:
    client = books.client("carol")
    with django_assert_max_num_queries(limit):
        client.get(address(name, **query))
