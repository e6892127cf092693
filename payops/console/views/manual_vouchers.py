"""Manual vouchers: the list, entering one or a spreadsheet of them, and the page of one or of a batch."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import django_filters
from django.contrib import messages
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.choices import DocumentState, Side
from payops.accounts.manual import (
    ATTACHMENT_BEGINNINGS,
    ManualDraft,
    ManualLine,
    attachment_keep,
    batch_total,
    manual_batch_propose,
    manual_voucher_propose,
    template_account,
    template_get,
    templates,
)
from payops.accounts.manual_sheet import COLUMNS, BatchError, empty_sheet, read_batch
from payops.accounts.models import Account, ManualVoucher
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import choice_filter, date_filter, exact_filter, latest_day
from payops.console.line_rows import LineRow, amount_of, rows_drawn, rows_sent, side_choices
from payops.console.lists import Button, list_page
from payops.console.shell import action, log_download, page, view
from payops.console.vouchers import subject_name, voucher_table, vouchers_by_id
from payops.core.errors import PayopsError
from payops.core.money import CURRENCY_EXPONENTS, exponent
from payops.core.storage import full_path

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# --- the list ---------------------------------------------------------------------------------------------------------


class ManualVoucherFilter(django_filters.FilterSet):
    """Manual vouchers."""

    state = choice_filter("state", gettext_lazy("State"), DocumentState.choices)
    date = date_filter("business_date", gettext_lazy("Business date"))
    number = exact_filter("number", gettext_lazy("Number"))
    batch = exact_filter("batch_no", gettext_lazy("Batch"))

    class Meta:
        model = ManualVoucher
        fields: list[str] = []


def _documents() -> QuerySet[ManualVoucher]:
    return ManualVoucher.objects.select_related("proposed_by", "approval__checker")


@view("ledger.view")
def manual_voucher_list(request: HttpRequest) -> HttpResponseBase:
    """Manual vouchers, the latest first."""
    buttons = []
    if request.user.may("ledger.correct"):
        buttons = [
            Button(_("Enter a voucher"), link("manual_voucher_new"), primary=True),
            Button(_("Upload a spreadsheet"), link("manual_batch_upload")),
        ]
    return list_page(
        request,
        title=_("Manual vouchers"),
        filters=ManualVoucherFilter(request.GET, queryset=_documents(), request=request),
        columns=_columns(),
        row=_row,
        buttons=buttons,
        export_name="manual_vouchers",
        empty=_("No voucher has been entered by hand."),
    )


def _columns() -> list[Column]:
    return [
        Column(_("Manual voucher")),
        Column(_("Memo")),
        Column(_("State")),
        Column(_("Business date")),
        Column(_("Amount"), "c-amount"),
        Column(_("Currency")),
        Column(_("Voucher")),
        Column(_("Batch")),
        Column(_("Maker")),
        Column(_("Checker")),
        Column(_("Entered")),
    ]


def _row(item: ManualVoucher) -> list[Cell]:
    checker = item.approval.checker if item.approval else None
    return [
        cells.number(item.number, link("manual_voucher", item.pk)),
        Cell(item.memo, css="c-wrap"),
        cells.state(item),
        cells.date(item.business_date),
        cells.money(item.amount, item.currency),
        cells.text(item.currency),
        cells.number(item.voucher_id, link("voucher", item.voucher_id)) if item.voucher_id else cells.text("–"),
        cells.number(item.batch_no, link("manual_batch", item.batch_no)) if item.batch_no else cells.text("–"),
        cells.text(item.proposed_by.username),
        cells.text(checker.username if checker else "–"),
        cells.moment(item.created_at),
    ]


# --- one voucher, one batch -------------------------------------------------------------------------------------------


def _document_or_404(manual_voucher_id: int) -> ManualVoucher:
    found = _documents().filter(pk=manual_voucher_id).first()
    if found is None:
        raise Http404
    return found


@view("ledger.view")
def manual_voucher(request: HttpRequest, manual_voucher_id: int) -> HttpResponseBase:
    """One manual voucher: its lines as proposed, and what was booked."""
    found = _document_or_404(manual_voucher_id)
    checker = found.approval.checker if found.approval else None
    template = template_get(found.template) if found.template else None
    facts = [
        (_("Memo"), Cell(found.memo, css="c-wrap")),
        (_("Business date"), cells.date(found.business_date)),
        (_("Amount"), cells.money(found.amount, found.currency)),
        (_("Currency"), cells.text(found.currency)),
        (_("Template"), cells.text(template.name if template else "–")),
        (
            _("Batch"),
            cells.number(found.batch_no, link("manual_batch", found.batch_no)) if found.batch_no else Cell("–"),
        ),
        (_("Maker"), cells.text(found.proposed_by.display_name, note=found.proposed_by.username)),
        (_("Entered"), cells.moment(found.created_at)),
        (
            _("Request"),
            cells.text(f"#{found.approval_id}", link("approval", found.approval_id))
            if found.approval_id
            else Cell("–"),
        ),
        (_("Checker"), cells.text(checker.display_name if checker else "–")),
        (_("Booked"), cells.moment(found.booked_at)),
        (_("SHA-256 of the attachment"), Cell(found.attachment_sha256 or "–", css="c-num c-wrap")),
    ]
    buttons = []
    if found.attachment_path:
        label = _("Download %s") % found.attachment_name
        buttons.append(Button(label, link("manual_voucher_attachment", found.pk)))
    booked = vouchers_by_id([found.voucher_id])
    context = {
        "parent_title": _("Manual vouchers"),
        "parent_url": link("manual_voucher_list"),
        "badges": [cells.state(found)],
        "facts": facts,
        "buttons": buttons,
        "tables": [_lines_table(found), *([voucher_table(booked, title=_("What was booked"))] if booked else [])],
    }
    return page(request, "console/detail.html", context, title=found.number)


def _lines_table(found: ManualVoucher) -> Table:
    numbers = [line["account"] for line in found.lines]
    accounts = Account.objects.select_related("subject").in_bulk(numbers, field_name="account_no")
    rows = []
    for line in found.lines:
        account = accounts[line["account"]]
        debit = line["side"] == Side.DEBIT
        rows.append(
            [
                cells.number(account.account_no, link("account", account.pk)),
                cells.text(subject_name(account.subject), note=account.owner_no),
                cells.money(line["amount"] if debit else None, found.currency),
                cells.money(None if debit else line["amount"], found.currency),
            ]
        )
    columns = [
        Column(_("Account")),
        Column(_("Subject")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Lines as proposed"))


@view("ledger.view")
def manual_voucher_attachment(request: HttpRequest, manual_voucher_id: int) -> HttpResponseBase:
    """The attachment as it was received; the download is logged."""
    found = _document_or_404(manual_voucher_id)
    path_of_file = full_path(found.attachment_path) if found.attachment_path else None
    if path_of_file is None or not path_of_file.is_file():
        raise Http404
    log_download(request, "manual_voucher", found.number, sha256=found.attachment_sha256)
    response = FileResponse(path_of_file.open("rb"), as_attachment=True, filename=found.attachment_name)
    response["Content-Type"] = "application/octet-stream"
    response["Cache-Control"] = "no-store"
    return response


@view("ledger.view")
def manual_batch(request: HttpRequest, batch_no: str) -> HttpResponseBase:
    """The vouchers of one spreadsheet with their total."""
    rows = list(_documents().filter(batch_no=batch_no).order_by("pk"))
    if not rows:
        raise Http404
    first = rows[0]
    total = batch_total(batch_no)
    facts = [
        (_("Vouchers"), cells.count(len(rows))),
        (_("Total"), cells.money(total, first.currency)),
        (_("Currency"), cells.text(first.currency)),
        (_("Maker"), cells.text(first.proposed_by.display_name)),
        (
            _("Request"),
            cells.text(f"#{first.approval_id}", link("approval", first.approval_id))
            if first.approval_id
            else Cell("–"),
        ),
        (_("File"), cells.text(first.attachment_name, link("manual_voucher_attachment", first.pk))),
        (_("SHA-256"), Cell(first.attachment_sha256, css="c-num c-wrap")),
    ]
    context = {
        "parent_title": _("Manual vouchers"),
        "parent_url": link("manual_voucher_list"),
        "badges": [cells.state(first)],
        "facts": facts,
        "tables": [Table(_columns(), [_row(item) for item in rows], title=_("Vouchers"))],
    }
    return page(request, "console/detail.html", context, title=_("Batch %s") % batch_no)


# --- entering one -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Draft:
    """What has been filled in so far."""

    memo: str = ""
    business_date: str = ""
    currency: str = "CNY"
    template: str = ""
    rows: list[LineRow] = field(default_factory=list)


@action("ledger.correct", methods=("GET", "POST"))
def manual_voucher_new(request: HttpRequest) -> HttpResponse:
    """Enter a voucher with any number of lines, from a template or from nothing."""
    if request.method == "POST":
        return _entered(request)
    draft = Draft(business_date=latest_day().isoformat(), rows=[LineRow(side=Side.DEBIT), LineRow(side=Side.CREDIT)])
    template = template_get(request.GET.get("template", ""))
    if template is not None:
        draft.template, draft.memo = template.code, template.memo
        draft.rows = [LineRow(account=template_account(line), side=line["side"]) for line in template.lines]
    return _entry_page(request, draft)


def _entered(request: HttpRequest) -> HttpResponse:
    draft = Draft(
        memo=request.POST.get("memo", "").strip()[:200],
        business_date=request.POST.get("business_date", "")[:10],
        currency=request.POST.get("currency", "CNY")[:3],
        template=request.POST.get("template", "")[:40],
        rows=rows_sent(request),
    )
    try:
        wanted = ManualDraft(
            memo=draft.memo,
            business_date=_day(draft.business_date),
            lines=[ManualLine(row.account, row.side, amount_of(row, draft.currency)) for row in draft.rows],
            currency=draft.currency,
            template=draft.template if template_get(draft.template) else "",
        )
        upload = request.FILES.get("attachment")
        stored = attachment_keep(upload, upload.name) if upload else None
        document = manual_voucher_propose(
            draft=wanted, user=request.user, attachment=stored, attachment_name=upload.name if upload else ""
        )
    except PayopsError as error:
        line = error.context.get("line")
        if line and line <= len(draft.rows):
            draft.rows[line - 1].error = str(error)
        return _entry_page(request, draft, error)
    messages.success(request, _("Proposed as request #%d; another person decides.") % document.approval_id)
    return redirect(link("manual_voucher", document.pk))


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise PayopsError("manual.business_date", _("Write the day as 2026-11-20."), {"value": text}) from None


def _entry_page(request: HttpRequest, draft: Draft, error: PayopsError | None = None) -> HttpResponse:
    context = {
        "parent_title": _("Manual vouchers"),
        "parent_url": link("manual_voucher_list"),
        "trouble": str(error) if error else "",
        "draft": draft,
        "rows": rows_drawn(draft.rows, least=2),
        "with_side": True,
        "sides": side_choices(),
        "templates": templates(),
        "currencies": sorted(CURRENCY_EXPONENTS),
        "currency": draft.currency,
        "exponent": exponent(draft.currency) if draft.currency in CURRENCY_EXPONENTS else 2,
        "attachable": ",".join(ATTACHMENT_BEGINNINGS),
    }
    status = 400 if error else 200
    return page(request, "console/manual_voucher_form.html", context, title=_("Enter a voucher"), status=status)


# --- entering many ----------------------------------------------------------------------------------------------------


@action("ledger.correct", methods=("GET", "POST"))
def manual_batch_upload(request: HttpRequest) -> HttpResponse:
    """Upload a spreadsheet of vouchers: all of it is proposed as one request, or every wrong row is named."""
    trouble, table = "", None
    if request.method == "POST":
        upload = request.FILES.get("file")
        try:
            if upload is None:
                raise PayopsError("manual.batch_unreadable", _("Choose the file first."))
            drafts = read_batch(upload)
            upload.seek(0)
            stored = attachment_keep(upload, upload.name)
            proposed = manual_batch_propose(
                drafts=drafts, user=request.user, attachment=stored, attachment_name=upload.name
            )
        except BatchError as error:
            trouble, table = str(error), _errors_table(error)
        except PayopsError as error:
            trouble = str(error)
        else:
            messages.success(
                request,
                _("%(count)d vouchers are proposed as request #%(request)d; another person decides.")
                % {"count": len(drafts), "request": proposed.pk},
            )
            return redirect(link("manual_batch", proposed.target_id))
    context = {
        "parent_title": _("Manual vouchers"),
        "parent_url": link("manual_voucher_list"),
        "trouble": trouble,
        "columns": [f"{english} {chinese}" for _name, english, chinese in COLUMNS],
        "tables": [table] if table else [],
    }
    status = 400 if trouble else 200
    title = _("Upload a spreadsheet of vouchers")
    return page(request, "console/manual_batch_form.html", context, title=title, status=status)


def _errors_table(error: BatchError) -> Table:
    rows = [
        [cells.count(each.row), cells.text(each.column), cells.text(each.value or "–"), Cell(each.reason, css="c-wrap")]
        for each in error.errors
    ]
    columns = [Column(_("Row"), "c-amount"), Column(_("Column")), Column(_("Value")), Column(_("What is wrong"))]
    return Table(columns, rows, title=_("What to mend"))


@view("ledger.correct")
def manual_batch_sheet(request: HttpRequest) -> HttpResponseBase:
    """The empty spreadsheet to fill in."""
    log_download(request, "manual_batch_sheet")
    response = HttpResponse(empty_sheet(), content_type=XLSX)
    response["Content-Disposition"] = 'attachment; filename="manual_vouchers.xlsx"'
    return response


urlpatterns = [
    path("ledger/manual-vouchers/", manual_voucher_list, name="manual_voucher_list"),
    path("ledger/manual-vouchers/new/", manual_voucher_new, name="manual_voucher_new"),
    path("ledger/manual-vouchers/upload/", manual_batch_upload, name="manual_batch_upload"),
    path("ledger/manual-vouchers/sheet/", manual_batch_sheet, name="manual_batch_sheet"),
    path("ledger/manual-vouchers/batch/<str:batch_no>/", manual_batch, name="manual_batch"),
    path("ledger/manual-vouchers/<int:manual_voucher_id>/", manual_voucher, name="manual_voucher"),
    path(
        "ledger/manual-vouchers/<int:manual_voucher_id>/attachment/",
        manual_voucher_attachment,
        name="manual_voucher_attachment",
    ),
]
