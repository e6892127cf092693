"""Bill files as received, their lines, and the decisions over held ones."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.approvals.selectors import history_of
from payops.approvals.services import request_submit
from payops.channels.bills.approvals import ACTION, TARGET_KIND, left_out_text
from payops.channels.bills.differences import version_to_compare
from payops.channels.bills.selectors import bill_line_raw, file_of_line, left_out, line_range
from payops.channels.bills.services import bill_enqueue, bill_receive, bill_take_over
from payops.channels.choices import FileState
from payops.channels.formats import KIND_CODES
from payops.channels.mapping.notation import FIGURE_LABELS
from payops.channels.mapping.selectors import mapping_of
from payops.channels.models import BillFile, BillLine
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import BillFileFilter, BillLineFilter
from payops.console.forms import BillUploadForm, ReasonForm
from payops.console.lists import Button, keyset, list_page, missing
from payops.console.shell import action, log_download, page, view
from payops.console.tables import bill_line_columns, bill_line_row, case_table, file_columns, file_row, kind_label
from payops.console.views.bill_versions import (
    file_or_404,
    may_take_over,
    newer_mapping,
    take_over_button,
    version_table,
)
from payops.console.words import word
from payops.core.archive import put_away
from payops.core.errors import PayopsError
from payops.core.formatting import money
from payops.core.retelling import retold
from payops.core.storage import full_path
from payops.discrepancies.models import Discrepancy
from payops.orders.models import Transaction
from payops.reconciliation.models import OpenItem, ReconRun

BAD_LINES_SHOWN: Final = 200


@view("files.view")
def bill_file_list(request: HttpRequest) -> HttpResponseBase:
    """Bill files, the latest first."""
    buttons = []
    if request.user.may("files.upload"):
        buttons.append(Button(_("Upload a bill"), link("bill_file_upload"), primary=True))
    filters = BillFileFilter(request.GET, queryset=BillFile.objects.select_related("contract"), request=request)
    return list_page(
        request,
        title=_("Bill files"),
        filters=filters,
        columns=file_columns(),
        row=file_row,
        buttons=buttons,
        export_name="bill_files",
        empty=_("There are no such bill files."),
    )


@view("files.view")
def bill_file(request: HttpRequest, bill_file_id: int) -> HttpResponseBase:
    """A bill file: as received, what it says of itself, what was read, and its lines."""
    file = file_or_404(bill_file_id)
    lo, hi = line_range(file)
    filters = BillLineFilter(request.GET, queryset=BillLine.objects.in_range(lo, hi), request=request)
    lines = filters.qs if hi and filters.form.is_valid() else BillLine.objects.none()
    pages = keyset(request, lines, descending=False)
    line_table = Table(bill_line_columns(), [bill_line_row(line) for line in pages.rows], title=_("Lines"))
    line_table.empty = _none_of(file)
    request_rows = list(history_of(TARGET_KIND, file.pk))
    context = {
        "parent_title": _("Bill files"),
        "parent_url": link("bill_file_list"),
        "badges": [cells.state(file)],
        "trouble": retold(file.error_message),
        "buttons": _buttons(request, file),
        "facts": _facts(file),
        "totals_table": _totals_table(file),
        "control_table": _control_table(file),
        "bad_table": _bad_table(file),
        "version_table": version_table(file),
        "left_out": left_out_text(file) if file.bad_lines else "",
        "notes_table": _notes_table(file),
        "runs_table": _runs_table(file),
        "approvals_table": _approvals_table(request_rows),
        "hold_form": _hold_form(request, file),
        "bill_file_id": file.pk,
        "filters": filters.form,
        "lines": line_table,
        "pages": pages,
    }
    return page(request, "console/bill_file.html", context, title=file.original_name)


def _none_of(file: BillFile) -> str:
    """What a file without lines to show says: they may be in the archive."""
    lo, hi = line_range(file)
    away = put_away(BillLine, lo, hi) if hi else None
    return str(away) if away else _("The file has no such lines.")


def _buttons(request: HttpRequest, file: BillFile) -> list[Button]:
    buttons = [Button(_("Download as received"), link("bill_file_download", file.pk))]
    before = version_to_compare(file) if file.was_read else None
    if before is not None:
        compare = _("Compare with version %d") % before.version
        buttons.append(Button(compare, link("bill_file_difference", file.pk)))
    if may_take_over(request, file):
        buttons.append(take_over_button(file))
    if not request.user.may("files.upload"):
        return buttons
    newer = newer_mapping(file)
    if newer is not None:
        again = _("Read again with mapping version %d") % newer.version
        buttons.append(Button(again, link("bill_file_read_again", file.pk), post=True))
    if file.state in (FileState.HELD, FileState.REJECTED):
        upload = link("bill_file_upload", contract=file.contract.code, date=file.channel_date.isoformat())
        buttons.append(Button(_("Send a corrected file"), upload))
    return buttons


def _hold_form(request: HttpRequest, file: BillFile) -> ReasonForm | None:
    if file.state == FileState.HELD and file.bad_lines and request.user.may("adjustments.propose"):
        return ReasonForm()
    return None


def _facts(file: BillFile) -> list[tuple[str, Cell]]:
    proven = cells.yes_no(file.proven, _("Proven"), _("Unproven"))
    if not file.proven:
        proven = cells.badge("unproven", _("Unproven"), tone="warning")
    return [
        (_("Channel"), cells.text(file.contract.code)),
        (_("Channel date"), cells.date(file.channel_date)),
        (_("Type"), cells.text(file.get_bill_type_display())),
        (_("Read as"), _read_as(file)),
        (_("Version"), cells.text(file.version)),
        (_("Batch"), cells.text(file.batch)),
        (_("Received"), cells.moment(file.received_at)),
        (_("By"), cells.text(file.received_by or "–")),
        (_("Source"), cells.text(word(file.source))),
        (_("Decided"), cells.moment(file.decided_at)),
        (_("Size (bytes)"), cells.count(file.size)),
        (_("Lines"), cells.count(file.line_count)),
        (_("Proven by totals"), proven),
        (_("SHA-256"), cells.number(file.sha256)),
    ]


def _read_as(file: BillFile) -> Cell:
    """The format; of a mapped one the version, with the way to what it says."""
    mapping = mapping_of(file.format_code)
    return cells.number(file.format_code, link("mapping", mapping.pk) if mapping else "")


def _totals_table(file: BillFile) -> Table:
    currency = file.contract.currency
    rows = []
    for code, sums in file.totals.items():
        if code in {"control", "other_currencies"} or not isinstance(sums, dict):
            continue
        label = kind_label(KIND_CODES[code]) if code in KIND_CODES else word(code)
        rows.append(
            [
                cells.text(label),
                cells.count(sums.get("count")),
                cells.money(sums.get("amount"), currency),
                cells.money(sums.get("settled"), currency),
                cells.money(sums.get("fee"), currency),
            ]
        )
    columns = [
        Column(_("Kind")),
        Column(_("Lines"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("Fee"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Totals of the lines read"), empty=_("No lines were kept."))


def _control_table(file: BillFile) -> Table:
    currency = file.contract.currency
    rows = []
    for figures in file.totals.get("control", []):
        stated, counted = figures.get("stated"), figures.get("computed")
        agrees = stated is None or stated == counted
        is_count = figures.get("unit") == "count"
        show = (lambda value: f"{value:,}" if isinstance(value, int) else value) if is_count else _as_money(currency)
        rows.append(
            [
                cells.text(_figure_name(str(figures.get("name", "")))),
                Cell("–" if stated is None else show(stated), css="c-amount"),
                Cell("–" if counted is None else show(counted), css="c-amount"),
                cells.text("–")
                if stated is None
                else cells.badge("agreed" if agrees else "different", _("agrees") if agrees else _("differs")),
            ]
        )
    columns = [
        Column(_("Control total")),
        Column(_("Stated by the file"), "c-amount"),
        Column(_("Counted"), "c-amount"),
        Column(""),
    ]
    return Table(columns, rows, title=_("Control totals"), empty=_("The file states no totals of its own."))


_FIGURES: Final = {
    "balance.opening": gettext_lazy("Opening balance"),
    "balance.closing": gettext_lazy("Closing balance"),
    "inquiry.count": gettext_lazy("Balance inquiries, not booked"),
    "netted.pairs": gettext_lazy("Pairs that cancel each other"),
}


def _figure_name(name: str) -> str:
    """A control figure in words; those a channel states keep the channel's own name."""
    labels = _FIGURES | FIGURE_LABELS
    if name in labels:
        return str(labels[name])
    kind, _dot, what = name.partition(".")
    if kind in KIND_CODES:
        label = _("lines") if what == "count" else _("amount")
        return f"{kind_label(KIND_CODES[kind])}: {label}"
    return str(word(name))


def _notes_table(file: BillFile) -> Table:
    """What is odd about an accepted file without being wrong."""
    rows = [
        [cells.number(note.get("line_no")), Cell(retold(note.get("message")), css="c-wrap")]
        for note in file.totals.get("warnings", [])
    ]
    return Table([Column(_("Line")), Column(_("Note"))], rows, title=_("Worth a look"))


def _as_money(currency: str) -> Any:
    return lambda value: money(value, currency) if isinstance(value, int) else value


def _bad_table(file: BillFile) -> Table:
    rows = [
        [
            cells.number(line.get("line_no")),
            Cell(retold(line.get("message")), css="c-wrap"),
            Cell(str(line.get("raw", ""))[:300], css="c-num c-wrap"),
        ]
        for line in file.bad_lines[:BAD_LINES_SHOWN]
    ]
    columns = [Column(_("Line")), Column(_("Reason")), Column(_("As received"))]
    table = Table(columns, rows, title=_("Quarantined lines"))
    if len(file.bad_lines) > BAD_LINES_SHOWN:
        table.note = _("The first %(shown)d of %(total)d.") % {"shown": BAD_LINES_SHOWN, "total": len(file.bad_lines)}
    return table


def _runs_table(file: BillFile) -> Table:
    runs = ReconRun.objects.filter(file=file).order_by("-run_no")[:20]
    rows = [
        [
            cells.text(f"#{run.run_no}", link("run", run.pk)),
            cells.state(run),
            cells.count(run.matched_count),
            cells.moment(run.finished_at),
        ]
        for run in runs
    ]
    columns = [Column(_("Run")), Column(_("State")), Column(_("Matched"), "c-amount"), Column(_("Finished"))]
    return Table(columns, rows, title=_("Runs with this file"))


def _approvals_table(requests: list[Any]) -> Table:
    rows = [
        [
            cells.text(f"#{item.pk}", link("approval", item.pk)),
            cells.text(retold(item.title)),
            cells.state(item, "status"),
            cells.text(item.maker.username),
            cells.text(item.checker.username if item.checker else "–"),
        ]
        for item in requests
    ]
    columns = [Column(_("Request")), Column(_("Title")), Column(_("Status")), Column(_("Maker")), Column(_("Checker"))]
    return Table(columns, rows, title=_("Approvals"))


@view("files.view")
def bill_file_download(request: HttpRequest, bill_file_id: int) -> HttpResponseBase:
    """The file exactly as it came; logged."""
    file = file_or_404(bill_file_id)
    path = full_path(file.stored_path)
    if not path.exists():
        raise Http404
    log_download(request, "channels.billfile", file.pk, name=file.original_name)
    response = FileResponse(
        path.open("rb"), as_attachment=True, filename=file.original_name, content_type="application/octet-stream"
    )
    response["Cache-Control"] = "no-store"
    return response


@action("files.upload", methods=("GET", "POST"))
def bill_file_upload(request: HttpRequest) -> HttpResponse:
    """Receive a bill by hand; it is read by a worker."""
    initial = {"contract": request.GET.get("contract"), "channel_date": request.GET.get("date")}
    form = BillUploadForm(initial=initial)
    if request.method == "POST":
        form = BillUploadForm(request.POST, request.FILES)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        file = bill_receive(
            contract=data["contract"],
            channel_date=data["channel_date"],
            stream=data["file"],
            name=data["file"].name,
            user=request.user.get_username(),
        )
        if file.duplicate:
            messages.warning(request, _("This very file is here already; nothing was loaded again."))
        else:
            bill_enqueue(file, user=request.user.get_username())
            messages.success(request, _("The file was received and is being read. Reload this page in a moment."))
        return redirect(link("bill_file", file.pk))
    context = {
        "parent_title": _("Bill files"),
        "parent_url": link("bill_file_list"),
        "form": form,
        "form_url": link("bill_file_upload"),
        "form_button": _("Upload"),
        "lead": _("The file is kept as it comes. A second file of a day becomes its next version."),
    }
    return page(request, "console/form.html", context, title=_("Upload a bill"), status=400 if form.is_bound else 200)


@action("files.upload")
def bill_file_take_over(request: HttpRequest, bill_file_id: int) -> HttpResponse:
    """Let a re-issued version replace the accepted one."""
    file = file_or_404(bill_file_id)
    bill_take_over(bill_file_id=file.pk, user=request.user.get_username())
    messages.success(request, _("This version counts now. Start the run of the day again."))
    return redirect(link("bill_file", file.pk))


@action("adjustments.propose")
def bill_file_propose(request: HttpRequest, bill_file_id: int) -> HttpResponse:
    """Propose to accept a held file without its unreadable lines."""
    file = file_or_404(bill_file_id)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        raise PayopsError("console.reason_missing", _("Write the reason, so that the checker can judge it."))
    proposal = request_submit(
        action=ACTION,
        target_kind=TARGET_KIND,
        target_id=file.pk,
        payload={
            "bill_file": file.pk,
            "bad_lines": len(file.bad_lines),
            "sha256": file.sha256,
            "left_out": [figure._asdict() for figure in left_out(file)],
        },
        amount=None,
        currency=file.contract.currency,
        title=_("%(name)s: accept without %(count)d unreadable lines")
        % {"name": file.original_name, "count": len(file.bad_lines)},
        reason=form.cleaned_data["note"],
        maker=request.user,
    )
    messages.success(request, _("Proposed as request #%d; another person decides.") % proposal.pk)
    return redirect(link("bill_file", file.pk))


@view("files.view")
def bill_line(request: HttpRequest, line_id: int) -> HttpResponseBase:
    """One bill line: normalised, as the channel wrote it, and what it was matched with."""
    line = BillLine.objects.filter(pk=line_id).first()
    if line is None:
        raise missing(BillLine, line_id)
    file = file_of_line(line.pk)
    facts = [
        (_("Bill file"), cells.text(file.original_name, link("bill_file", file.pk))),
        (_("Channel"), cells.text(file.contract.code)),
        (_("Channel date"), cells.date(file.channel_date)),
        (_("Line"), cells.text(line.line_no)),
        (_("Kind"), cells.text(kind_label(line.kind))),
        (_("Status"), cells.text(line.status)),
        (_("Amount"), cells.money(line.amount, line.currency)),
        (_("Settled"), cells.money(line.settled_amount, line.currency)),
        (_("Fee"), cells.money(line.fee, line.currency)),
        (_("Rate"), cells.text(line.rate or "–")),
        (_("Currency"), cells.text(line.currency)),
        (_("Matching key"), cells.number(line.match_key)),
        (_("Channel trade number"), cells.number(line.trade_no)),
        (_("Order number"), cells.number(line.order_no or "–")),
        (_("Refund request number"), cells.number(line.request_no or "–")),
        (_("Original trade number"), cells.number(line.original_trade_no or "–")),
        (_("Payer"), cells.text(line.payer_masked or "–")),
        (_("Occurred"), cells.moment(line.occurred_at)),
        (_("Record number"), cells.number(line.pk)),
    ]
    cases = Discrepancy.objects.filter(bill_line_id=line.pk).select_related("contract", "merchant", "owner")
    tables = [_own_table(line, file)]
    if cases:
        tables.append(case_table(cases, title=_("Cases")))
    items = OpenItem.objects.filter(bill_line_id=line.pk).select_related("first_run")
    if items:
        rows = [
            [
                cells.result(item.result, item.get_result_display()),
                cells.state(item),
                cells.money(item.d, item.currency, signed=True),
                cells.date(item.first_date, link("run", item.first_run_id)),
                cells.date(item.cleared_date),
            ]
            for item in items
        ]
        columns = [Column(_("Result")), Column(_("State")), Column(_("Difference"), "c-amount")]
        tables.append(Table([*columns, Column(_("First seen")), Column(_("Cleared"))], rows, title=_("Open items")))
    try:
        raw = bill_line_raw(line)
    except (PayopsError, OSError):
        raw = ""
    context = {
        "buttons": [Button(_("Whole story"), link("explain", q=line.pk))],
        "parent_title": file.original_name,
        "parent_url": link("bill_file", file.pk),
        "facts": facts,
        "tables": tables,
        "json_blocks": [(_("As the channel wrote it (masked)"), raw)] if raw else [],
    }
    return page(request, "console/detail.html", context, title=_("Line %d") % line.line_no)


def _own_table(line: BillLine, file: BillFile) -> Table:
    import datetime as dt

    from payops.console.views.transactions import transaction_columns, transaction_rows

    first, last = file.channel_date - dt.timedelta(days=7), file.channel_date + dt.timedelta(days=7)
    rows = Transaction.objects.for_days(first, last).filter(contract_id=line.contract_id, match_key=line.match_key)
    found = list(rows.order_by("id")[:20])
    return Table(
        transaction_columns(),
        transaction_rows(found),
        title=_("Our transactions with the same key"),
        empty=_("We have no transaction with this key."),
    )


urlpatterns = [
    path("files/", bill_file_list, name="bill_file_list"),
    path("files/upload/", bill_file_upload, name="bill_file_upload"),
    path("files/<int:bill_file_id>/", bill_file, name="bill_file"),
    path("files/<int:bill_file_id>/download/", bill_file_download, name="bill_file_download"),
    path("files/<int:bill_file_id>/take-over/", bill_file_take_over, name="bill_file_take_over"),
    path("files/<int:bill_file_id>/propose/", bill_file_propose, name="bill_file_propose"),
    path("lines/<int:line_id>/", bill_line, name="bill_line"),
]
