"""Ledger reports as files: downloads at once, exports made in the background, vouchers for the ERP."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django import forms
from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.erp import ErpLine, erp_lines
from payops.accounts.selectors import last_closed_day
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import latest_day
from payops.console.forms import DATE
from payops.console.lists import MAX_EXPORT_ROWS
from payops.console.report_parts import RangeForm, file_buttons, require_valid
from payops.console.shell import action, log_download, page, view
from payops.core.choices import JobState
from payops.core.errors import PayopsError
from payops.core.formatting import local_name
from payops.core.models import JobRun
from payops.statements.exports import JOURNAL, export_file, export_request, exports
from payops.statements.ledger_reports import REPORTS, query_from, report_get, report_write

LATEST = 30

SCREENS: dict[str, str] = {
    "trial_balance": "trial_balance",
    "daily_sheet": "daily_sheet",
    "general_ledger": "general_ledger",
    "account_ledger": "account_list",
    "account_days": "account_days",
    "day_balances": "account_list",
    "period_balances": "period_list",
    "period_accounts": "period_list",
    "classification": "classification",
    "mapped": "mapped_report",
    "erp": "erp_vouchers",
    "bank_reconciliation": "bank_reconciliation_list",
    "internal_check": "internal_check",
    "merchant_check": "merchant_check",
}
"""The page of each report; the others are files only."""

DESCRIPTIONS: dict[str, Any] = {
    "trial_balance": gettext_lazy("Opening, turnover and closing of every subject on a day."),
    "daily_sheet": gettext_lazy("The same with the number of entries on each side."),
    "general_ledger": gettext_lazy("A subject day by day."),
    "account_ledger": gettext_lazy("Every entry of an account with the balance after it; open an account for it."),
    "account_days": gettext_lazy("An account day by day."),
    "day_balances": gettext_lazy("All accounts on a closed day."),
    "period_balances": gettext_lazy("Subjects over a month, quarter or year that has ended."),
    "period_accounts": gettext_lazy("Accounts over a month, quarter or year that has ended."),
    "classification": gettext_lazy("Turnover by classification code, then by subject."),
    "mapped": gettext_lazy("Reports that are nothing but a mapping of codes."),
    "erp": gettext_lazy("One summary voucher per closed day for the finance department's ERP."),
    "freezes": gettext_lazy("All freeze slips with what is still frozen."),
    "bank_reconciliation": gettext_lazy("A reserve account's journal and the bank's balance adjusted to each other."),
    "internal_check": gettext_lazy("Transactions and vouchers of a date per event and merchant."),
    "merchant_check": gettext_lazy("Statement, clearing and payment of every settlement sheet of a date."),
}
TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


class JournalForm(forms.Form):
    """A journal for a plain-text accounting program."""

    report = forms.CharField(widget=forms.HiddenInput, initial=JOURNAL)
    form = forms.ChoiceField(
        label=gettext_lazy("Journal for"), choices=[("beancount", "beancount"), ("hledger", "hledger")]
    )
    first = forms.DateField(label=gettext_lazy("From"), widget=DATE)
    last = forms.DateField(label=gettext_lazy("To"), widget=DATE)


class ExportForm(forms.Form):
    """One report as a file, with what it was asked on its page."""

    report = forms.CharField(widget=forms.HiddenInput)
    form = forms.ChoiceField(label=gettext_lazy("File"), choices=[("csv", "CSV"), ("xlsx", "XLSX")])

    def __init__(self, *args: Any, query: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in query.items():
            self.fields[name] = forms.CharField(widget=forms.HiddenInput, initial=value)


@view("reports.view")
def report_list(request: HttpRequest) -> HttpResponseBase:
    """All reports of the ledger, and the files made from them."""
    context: dict[str, Any] = {
        **(_asked_for(request) if request.user.may("reports.export") else {}),
        "form_url": link("report_export"),
        "tables": [_report_table(), _export_table()],
        "reload_seconds": 3 if exports().filter(state__in=[JobState.QUEUED, JobState.RUNNING]).exists() else 0,
    }
    return page(request, "console/report_list.html", context, title=_("Reports and exports"))


def _asked_for(request: HttpRequest) -> dict[str, Any]:
    """The form of the report whose page one came from, else that of the journal."""
    name = request.GET.get("report", "")
    if name in REPORTS:
        query = {each: request.GET[each] for each in REPORTS[name].needs if request.GET.get(each)}
        return {
            "form": ExportForm(initial={"report": name}, query=query),
            "form_title": REPORTS[name].title,
            "form_lead": " · ".join(query.values()),
            "form_button": _("Make the file"),
        }
    day = last_closed_day() or latest_day()
    return {
        "form": JournalForm(initial={"first": day, "last": day, "report": JOURNAL}),
        "form_title": _("Journal for plain-text accounting"),
        "form_lead": _("Another program recomputes every balance from it."),
        "form_button": _("Make the journal"),
    }


def _report_table() -> Table:
    rows = []
    # Some reports are of closed days only; one day serves all.
    day = last_closed_day() or latest_day()
    for name, report in REPORTS.items():
        query = {each: day for each in report.needs if each in {"day", "first", "last"}}
        url = link(SCREENS[name]) if name in SCREENS else ""
        files = "" if report.required else link("report_file", name, "csv", **query)
        rows.append(
            [
                cells.text(report.title, url),
                Cell(DESCRIPTIONS[name], css="c-wrap"),
                cells.text("CSV", files) if files else cells.text(_("from its page")),
            ]
        )
    return Table([Column(_("Report")), Column(_("What it shows")), Column(_("File"))], rows, title=_("Reports"))


def _export_table() -> Table:
    columns = [
        Column(_("Job")),
        Column(_("Report")),
        Column(_("Of")),
        Column(_("State")),
        Column(_("Progress"), "c-amount"),
        Column(_("File")),
        Column(_("Size (bytes)"), "c-amount"),
        Column(_("SHA-256")),
        Column(_("By")),
        Column(_("Asked at")),
    ]
    rows = [_export_row(job) for job in exports()[:LATEST]]
    empty = _("No export has been asked for yet.")
    return Table(columns, rows, title=_("Exports made in the background"), empty=empty)


def _export_row(job: JobRun) -> list[Cell]:
    result = job.result or {}
    query = job.params["query"]
    of = " ".join(str(query[name]) for name in ("account", "subject", "period", "mapping") if query.get(name))
    name = job.params["report"]
    title = _("Journal") if name == JOURNAL else report_get(name).title
    progress = f"{job.progress_done:,}" + (f" / {job.progress_total:,}" if job.progress_total else "")
    return [
        cells.number(job.pk, link("job", job.pk)),
        cells.text(title, note=job.params["form"]),
        Cell(query["first"] if query["first"] == query["last"] else f"{query['first']} – {query['last']}", note=of),
        cells.state(job),
        Cell(progress if job.progress_done else "", css="c-amount"),
        cells.text(result.get("file_name", "–"), link("report_download", job.pk) if result.get("stored_path") else ""),
        cells.count(result.get("size")),
        cells.number(result.get("sha256", "")[:16]),
        cells.text(job.created_by),
        cells.moment(job.queued_at),
    ]


@view("reports.view")
def report_file(request: HttpRequest, report: str, form: str) -> HttpResponseBase:
    """A report as a file at once; larger ones are refused and made in the background."""
    query = query_from(request.GET)
    name = f"{report}.{form}"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "report"
        report_write(target, name=report, query=query, form=form, limit=MAX_EXPORT_ROWS)
        # Opened before its folder goes: the file lives until the response has been sent.
        content = target.open("rb")
    log_download(request, f"ledger.{report}", form, query=request.GET.urlencode()[:500])
    return _as_download(content, name, TYPES[form])


def _as_download(content: Any, name: str, content_type: str) -> FileResponse:
    response = FileResponse(content, as_attachment=True, filename=name, content_type=content_type)
    response["Cache-Control"] = "no-store"
    return response


@action("reports.export")
def report_export(request: HttpRequest) -> HttpResponse:
    """Queue an export."""
    values = request.POST.dict()
    job = export_request(
        report=values.pop("report", ""),
        form=values.pop("form", ""),
        values=values,
        username=request.user.get_username(),
    )
    messages.success(request, _("Job %d makes the file; it will stand below when it is done.") % job.pk)
    return redirect(link("report_list"))


@view("reports.view")
def report_download(request: HttpRequest, export_id: int) -> HttpResponseBase:
    """A finished export; logged with its digest."""
    found = export_file(export_id)
    log_download(request, "statements.ledger_export", export_id, name=found.file_name, sha256=found.sha256)
    suffix = found.file_name.rsplit(".", 1)[-1]
    return _as_download(found.path.open("rb"), found.file_name, TYPES.get(suffix, "text/plain; charset=utf-8"))


@view("reports.view")
def erp_vouchers(request: HttpRequest) -> HttpResponseBase:
    """The summary vouchers for the ERP; subjects without an ERP code are named instead."""
    day = last_closed_day() or latest_day()
    data = request.GET.copy()
    data.setdefault("last", day.isoformat())
    data.setdefault("first", data["last"])
    form = RangeForm(data)
    context: dict[str, Any] = {"filters": form}
    if form.is_valid():
        first, last = require_valid(form)["first"], require_valid(form)["last"]
        try:
            context["tables"] = _erp_tables(erp_lines(first, last))
            context["buttons"] = file_buttons(request, "erp", first=first, last=last)
        except PayopsError as error:
            context["trouble"] = str(error)
    status = 200 if form.is_valid() else 400
    return page(request, "console/ledger_day.html", context, title=_("ERP vouchers"), status=status)


def _erp_tables(lines: list[ErpLine]) -> list[Table]:
    return [
        _erp_table([line for line in lines if line.voucher_no == number])
        for number in dict.fromkeys(line.voucher_no for line in lines)
    ]


def _erp_table(lines: list[ErpLine]) -> Table:
    currency = lines[0].currency
    rows = [
        [
            cells.count(line.line_no),
            cells.number(line.erp_code),
            cells.number(line.dotted_code),
            cells.text(local_name(line)),
            cells.money(line.debit or None, currency, link("account_list", subject=line.subject_code, day=line.day)),
            cells.money(line.credit or None, currency, link("account_list", subject=line.subject_code, day=line.day)),
        ]
        for line in lines
    ]
    columns = [
        Column(_("Line"), "c-amount"),
        Column(_("ERP code")),
        Column(_("Subject")),
        Column(_("Subject name")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
    ]
    foot = [
        cells.text(_("Total")),
        cells.text(""),
        cells.text(""),
        cells.text(""),
        cells.money(sum(line.debit for line in lines), currency),
        cells.money(sum(line.credit for line in lines), currency),
    ]
    return Table(columns, rows, title=lines[0].voucher_no, foot=foot)


urlpatterns = [
    path("ledger/reports/", report_list, name="report_list"),
    path("ledger/reports/export/", report_export, name="report_export"),
    path("ledger/reports/exports/<int:export_id>/", report_download, name="report_download"),
    path("ledger/reports/file/<str:report>/<str:form>/", report_file, name="report_file"),
    path("ledger/erp-vouchers/", erp_vouchers, name="erp_vouchers"),
]
