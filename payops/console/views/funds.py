"""The bank's side: its statement lines, and what each channel day should have brought."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.channels.choices import BankLineKind, BankLineState
from payops.channels.models import BankLine
from payops.channels.receipts.services import receipts_load
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import BankLineFilter, ReceiptFilter
from payops.console.forms import ReceiptsUploadForm
from payops.console.lists import Button, list_page
from payops.console.shell import action, page, view
from payops.console.tables import case_table
from payops.console.views.receipt_division import parts_table
from payops.console.vouchers import voucher_table, vouchers_by_id
from payops.core.retelling import retold
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.funds import funds_match
from payops.reconciliation.funds.allocation import lines_of_receipt
from payops.reconciliation.models import BankAssignment, BankRule, ChannelReceipt, ReconRun
from payops.settlement.models import Payout, PayoutEvent


def bank_line_columns() -> list[Column]:
    """Headings of bank lines."""
    return [
        Column(_("Bank reference")),
        Column(_("Bank account")),
        Column(_("Value date")),
        Column(_("Counterparty")),
        Column(_("Memo")),
        Column(_("Amount"), "c-amount"),
        Column(_("Balance"), "c-amount"),
        Column(_("Kind")),
        Column(_("State")),
    ]


def bank_line_row(line: BankLine) -> list[Cell]:
    """One bank line."""
    return [
        cells.number(line.reference, link("bank_line", line.pk)),
        cells.text(line.bank_account.code),
        cells.date(line.value_date),
        cells.text(line.counterparty),
        Cell(line.memo, css="c-wrap" if line.memo else ""),
        cells.money(line.amount, line.currency, signed=True),
        cells.money(line.balance, line.currency),
        cells.text(line.get_kind_display()),
        cells.state(line),
    ]


@view("files.view")
def bank_line_list(request: HttpRequest) -> HttpResponseBase:
    """Statement lines of our bank accounts, the latest first."""
    buttons = []
    if request.user.may("receipts.upload"):
        buttons.append(Button(_("Upload bank receipts"), link("receipts_upload"), primary=True))
        if BankLine.objects.filter(state=BankLineState.NEW).exists():
            buttons.append(Button(_("Identify the new lines"), link("funds_match"), post=True))
    filters = BankLineFilter(request.GET, queryset=BankLine.objects.select_related("bank_account"), request=request)
    return list_page(
        request,
        title=_("Bank lines"),
        filters=filters,
        columns=bank_line_columns(),
        row=bank_line_row,
        buttons=buttons,
        export_name="bank_lines",
        empty=_("There are no such bank lines."),
    )


def _vouchers(line: BankLine) -> Table:
    """What the line booked; of a payout's line, which books nothing more, what its payout booked."""
    if line.voucher_id or not line.payout_no:
        return voucher_table(vouchers_by_id([line.voucher_id]))
    events = PayoutEvent.objects.filter(payout__payout_no=line.payout_no)
    found = vouchers_by_id(events.values_list("voucher_id", flat=True))
    return voucher_table(found, title=_("Vouchers of the payout"))


def _origin(line: BankLine) -> list[tuple[Any, Cell]]:
    """The file and the statement a line came from; either leads to the lines of that name and account."""
    account = line.bank_account.code
    facts: list[tuple[Any, Cell]] = []
    if line.file_sha256:
        row = _("Row %d") % line.file_row
        of_file = link("bank_line_list", account=account, file=line.file_name)
        facts.append((_("File"), cells.text(line.file_name, of_file, note=row)))
    if line.statement:
        of_statement = link("bank_line_list", account=account, statement=line.statement.number)
        day = line.statement.statement_date.isoformat()
        facts.append((_("Bank statement"), cells.text(line.statement.number, of_statement, note=day)))
    return facts


@view("files.view")
def bank_line(request: HttpRequest, bank_line_id: int) -> HttpResponseBase:
    """One bank line: what it was taken for, what it booked, and the case where nobody knows it."""
    line = BankLine.objects.select_related("bank_account", "contract", "statement").filter(pk=bank_line_id).first()
    if line is None:
        raise Http404
    cases = Discrepancy.objects.filter(bank_line_id=line.pk).select_related("contract", "merchant", "owner")
    facts = [
        (_("Bank account"), cells.text(line.bank_account.code, note=line.bank_account.bank_name)),
        (_("Value date"), cells.date(line.value_date)),
        (_("Amount"), cells.money(line.amount, line.currency, signed=True)),
        (_("Currency"), cells.text(line.currency)),
        (_("Balance"), cells.money(line.balance, line.currency)),
        (_("Counterparty"), cells.text(line.counterparty or "–")),
        (_("Memo"), cells.text(line.memo or "–")),
        (_("Kind"), cells.text(line.get_kind_display())),
        (_("Loaded"), cells.moment(line.loaded_at)),
        *_origin(line),
    ]
    if line.contract:
        facts.append((_("Channel"), cells.text(line.contract.code)))
    if line.channel_date:
        facts.append((_("Day it names"), cells.date(line.channel_date)))
    if line.rule_id:
        rule = BankRule.objects.filter(pk=line.rule_id).first()
        facts.append((_("By the rule"), cells.text(rule, link("bank_rule_list"))))
    if line.payout_no:
        payout = Payout.objects.filter(payout_no=line.payout_no).first()
        facts.append((_("Payout"), cells.number(line.payout_no, link("payout", payout.pk) if payout else "")))
    tables = [_vouchers(line)]
    buttons = []
    if line.kind == BankLineKind.SETTLEMENT:
        tables.insert(0, parts_table(line))
        if request.user.may("adjustments.propose"):
            buttons.append(Button(_("Divide among channel days"), link("bank_line_divide", line.pk)))
    if line.state == BankLineState.UNIDENTIFIED and request.user.may("adjustments.propose"):
        buttons.append(Button(_("Say what it is"), link("bank_line_assign", line.pk), primary=True))
    if line.state == BankLineState.WAITING and request.user.may("adjustments.propose"):
        buttons.append(Button(_("Book own money"), link("bank_line_own_money", line.pk), primary=True))
    if cases:
        tables.append(case_table(cases, title=_("Cases")))
    assignment = BankAssignment.objects.filter(bank_line=line).first()
    if assignment is not None:
        facts += [
            (_("Said to be"), cells.text(assignment.get_purpose_display(), note=assignment.made_by)),
            (_("Request"), cells.number(f"#{assignment.approval_id}", link("approval", assignment.approval_id))),
        ]
    context = {
        "parent_title": _("Bank lines"),
        "parent_url": link("bank_line_list"),
        "badges": [cells.state(line)],
        "buttons": buttons,
        "facts": facts,
        "tables": tables,
    }
    return page(request, "console/detail.html", context, title=line.reference)


@action("receipts.upload", methods=("GET", "POST"))
def receipts_upload(request: HttpRequest) -> HttpResponse:
    """Take in a file of bank receipts; faults are listed with their lines and nothing of a refused file is kept."""
    form = ReceiptsUploadForm(request.POST, request.FILES) if request.method == "POST" else ReceiptsUploadForm()
    tables = []
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        result = receipts_load(stream=file, name=file.name, user=request.user.get_username())
        for warning in result.warnings:
            messages.warning(request, warning)
        if result.state == "loaded" and not result.refused_count:
            messages.success(
                request,
                _("%(name)s: %(created)d new lines, %(unchanged)d known already.")
                % {"name": result.name, "created": result.created, "unchanged": result.unchanged},
            )
            return redirect(link("bank_line_list"))
        form.add_error("file", _("%(count)d rows were refused, see below.") % {"count": result.refused_count})
        tables.append(_refused_table(result.refused))
    context = {
        "parent_title": _("Bank lines"),
        "parent_url": link("bank_line_list"),
        "form": form,
        "form_url": link("receipts_upload"),
        "form_button": _("Upload"),
        "lead": _(
            "A statement of the bank in camt.053 or MT940, or CSV with bank_account, value_date, bank_reference, "
            "counterparty, memo, direction, amount, currency, balance."
        ),
        "tables": tables,
    }
    status = 400 if form.is_bound else 200
    return page(request, "console/form.html", context, title=_("Upload bank receipts"), status=status)


def _refused_table(refused: list[dict[str, object]]) -> Table:
    rows = [
        [
            cells.number(fault.get("line")),
            cells.text(fault.get("field")),
            cells.text(fault.get("value")),
            Cell(retold(fault.get("reason")), css="c-wrap"),
        ]
        for fault in refused[:500]
    ]
    columns = [Column(_("Line")), Column(_("Field")), Column(_("Value")), Column(_("Reason"))]
    return Table(columns, rows, title=_("Refused rows"))


@action("receipts.upload")
def match(request: HttpRequest) -> HttpResponse:
    """Identify the lines nobody has looked at yet: settlements, payouts, returns; the rest becomes cases."""
    result = funds_match(username=request.user.get_username())
    messages.success(
        request,
        _("%(lines)d lines: %(settlements)d settlements, %(payouts)d payouts, %(returns)d returns, %(unknown)d open.")
        % {**result, "unknown": result["unidentified"]},
    )
    return redirect(link("bank_line_list"))


# --- channel receipts -------------------------------------------------------------------------------------------------


@view("runs.view")
def receipt_list(request: HttpRequest) -> HttpResponseBase:
    """What each channel day should have brought and did bring."""
    columns = [
        Column(_("Channel")),
        Column(_("Channel date")),
        Column(_("Due by the bill"), "c-amount"),
        Column(pgettext("money", "Received"), "c-amount"),
        Column(_("Difference"), "c-amount"),
        Column(_("In suspense"), "c-amount"),
        Column(_("Due date")),
        Column(_("State")),
        Column(_("Case")),
    ]

    def row(receipt: ChannelReceipt) -> list[Cell]:
        currency = receipt.contract.currency
        return [
            cells.text(receipt.contract.code, link("receipt", receipt.pk)),
            cells.date(receipt.channel_date, link("receipt", receipt.pk)),
            cells.money(receipt.due, currency),
            cells.money(receipt.received, currency),
            cells.money(receipt.received - receipt.due, currency, signed=True),
            cells.money(-receipt.short_booked, currency, signed=True),
            cells.date(receipt.due_date),
            cells.state(receipt),
            cells.number(receipt.case.case_no, link("case_detail", receipt.case_id)) if receipt.case else Cell("–"),
        ]

    filters = ReceiptFilter(
        request.GET, queryset=ChannelReceipt.objects.select_related("contract", "case"), request=request
    )
    return list_page(
        request,
        title=_("Channel receipts"),
        filters=filters,
        columns=columns,
        row=row,
        export_name="channel_receipts",
        empty=_("There are no such channel days."),
    )


@view("runs.view")
def receipt(request: HttpRequest, receipt_id: int) -> HttpResponseBase:
    """One channel day's money: the run it is due by, the bank lines it came in, what was booked as difference."""
    found = ChannelReceipt.objects.select_related("contract", "case").filter(pk=receipt_id).first()
    if found is None:
        raise Http404
    currency = found.contract.currency
    run = ReconRun.objects.filter(contract=found.contract, channel_date=found.channel_date, is_current=True).first()
    parts = lines_of_receipt(found)
    facts = [
        (_("Channel"), cells.text(found.contract.code)),
        (_("Channel date"), cells.date(found.channel_date)),
        (_("Due by the bill"), cells.money(found.due, currency, link("run", run.pk) if run else "")),
        (pgettext("money", "Received"), cells.money(found.received, currency)),
        (_("Difference"), cells.money(found.received - found.due, currency, signed=True)),
        (_("In suspense"), cells.money(-found.short_booked, currency, signed=True)),
        (_("Due date"), cells.date(found.due_date)),
    ]
    tables = [
        Table(
            [*bank_line_columns(), Column(_("Of it for this day"), "c-amount")],
            [
                [*bank_line_row(part.allocation.bank_line), cells.money(part.amount, currency, signed=True)]
                for part in parts
            ],
            title=_("Bank lines of this day"),
            empty=_("The bank has no line of this channel day yet."),
        ),
        voucher_table(
            vouchers_by_id(found.differences.values_list("voucher_id", flat=True)), title=_("Differences booked")
        ),
    ]
    if found.case:
        tables.append(case_table([found.case], title=_("Case")))
    context = {
        "parent_title": _("Channel receipts"),
        "parent_url": link("receipt_list"),
        "badges": [cells.state(found)],
        "facts": facts,
        "tables": tables,
    }
    return page(request, "console/detail.html", context, title=f"{found.contract.code} {found.channel_date}")


urlpatterns = [
    path("bank-lines/", bank_line_list, name="bank_line_list"),
    path("bank-lines/upload/", receipts_upload, name="receipts_upload"),
    path("bank-lines/match/", match, name="funds_match"),
    path("bank-lines/<int:bank_line_id>/", bank_line, name="bank_line"),
    path("receipts/", receipt_list, name="receipt_list"),
    path("receipts/<int:receipt_id>/", receipt, name="receipt"),
]
