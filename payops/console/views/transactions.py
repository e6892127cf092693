"""Transactions, their intake, and the search by number in the page's head."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import Count, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.accounts.models import Account, Correction, ManualVoucher
from payops.accounts.selectors import open_day
from payops.channels.models import BillLine, ChannelContract
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import IntakeFilter, TransactionFilter, day_query, latest_day
from payops.console.forms import OrdersUploadForm
from payops.console.lists import Button, figures, list_page, missing, nothing_of
from payops.console.shell import action, page, view
from payops.console.tables import bill_line_table, case_table, open_item_table
from payops.console.vouchers import voucher_table, vouchers_of
from payops.core.errors import PayopsError
from payops.core.ids import day_of
from payops.core.retelling import retold
from payops.discrepancies.models import Discrepancy
from payops.merchants.models import Merchant
from payops.orders.choices import Kind
from payops.orders.models import Intake, Transaction
from payops.orders.selectors import own_strays, own_window, refunds_of, transaction_by_number
from payops.orders.services import intake_enqueue
from payops.reconciliation.models import OpenItem
from payops.settlement.models import ClearingHold, ClearingItem, Payout, PayoutBatch, SettlementSheet
from payops.statements.story import subjects_of

SEARCH_DAYS = 45
"""How many days of partitions the search by key goes back."""


def transactions_of(day: dt.date) -> QuerySet[Transaction]:
    """Transactions of an accounting date, inside the id window they can live in."""
    lo, hi = own_window(day)
    strays = own_strays(day)
    rows = Transaction.objects.in_range(min([lo, *strays]), max([hi, *(stray + 1 for stray in strays)]))
    window = Q(id__gte=lo, id__lt=hi) | Q(id__in=strays) if strays else Q()
    return rows.filter(window, own_date=day)


def _default_day() -> dt.date:
    """The open day, or the one before while nothing has come in yet."""
    day = latest_day()
    lo, hi = own_window(day)
    if Transaction.objects.in_range(lo, hi).filter(own_date=day).exists():
        return day
    return day - dt.timedelta(days=1)


def transaction_columns() -> list[Column]:
    """Headings of transactions wherever they are listed."""
    return [
        Column(_("Transaction number")),
        Column(_("Kind")),
        Column(_("Status")),
        Column(_("Channel")),
        Column(_("Merchant")),
        Column(_("Created")),
        Column(_("Amount"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("Channel request number")),
    ]


def transaction_row(row: Transaction, codes: Mapping[int, str], numbers: Mapping[int, str]) -> list[Cell]:
    """One transaction in a list, with `contract_codes` and `merchant_numbers`; amounts carry the sign of the money."""
    merchant_no = numbers[row.merchant_id]
    return [
        cells.number(row.transaction_no, link("transaction", row.pk)),
        cells.text(cells.label_of(row, "kind")),
        cells.state(row, "status"),
        cells.text(codes[row.contract_id]),
        cells.text(merchant_no, link("merchant", merchant_no)),
        cells.moment(row.created_at),
        cells.money(row.sign * row.amount, row.currency),
        cells.money(row.fee, row.currency),
        cells.number(row.match_key),
    ]


def contract_codes() -> dict[int, str]:
    """Codes of all contracts. Asked apart: joined to a list over several partitions they double its time."""
    return dict(ChannelContract.objects.order_by().values_list("pk", "code"))


def merchant_numbers(rows: Iterable[Transaction]) -> dict[int, str]:
    """Numbers of the merchants of these transactions."""
    merchants = Merchant.objects.filter(pk__in={row.merchant_id for row in rows})
    return dict(merchants.order_by().values_list("pk", "merchant_no"))


def transaction_rows(rows: Sequence[Transaction]) -> list[list[Cell]]:
    """Transactions wherever a few are listed."""
    codes, numbers = contract_codes(), merchant_numbers(rows)
    return [transaction_row(row, codes, numbers) for row in rows]


@view("transactions.view")
def transaction_list(request: HttpRequest) -> HttpResponseBase:
    """Transactions of one accounting date."""
    data, day = day_query(request, _default_day)
    rows = transactions_of(day) if day else Transaction.objects.none()
    filters = TransactionFilter(data, queryset=rows, request=request)
    summary = figures(request, _("Transactions"), filters.qs, _sums) if filters.form.is_valid() and day else []
    codes, numbers = contract_codes(), {}
    return list_page(
        request,
        title=_("Transactions"),
        filters=filters,
        columns=transaction_columns(),
        row=lambda row: transaction_row(row, codes, numbers),
        prepare=lambda rows: numbers.update(merchant_numbers(rows)),
        export_name=f"transactions_{day}" if day else "",
        summary=summary,
        empty=nothing_of(Transaction, day, _("There are no such transactions on this accounting date.")),
    )


def _sums(rows: QuerySet[Transaction]) -> list[tuple[Any, Cell]]:
    sums = (
        rows.order_by()
        .values("currency")
        .annotate(
            number=Count("id"),
            paid=Sum("amount", filter=Q(effective_at__isnull=False) & ~Q(kind__in=[Kind.REFUND, Kind.VOID])),
            returned=Sum("amount", filter=Q(effective_at__isnull=False, kind__in=[Kind.REFUND, Kind.VOID])),
        )
    )
    summary: list[tuple[Any, Cell]] = []
    for sum_ in sums:
        summary += [
            (_("Transactions"), cells.count(sum_["number"])),
            (_("In (%s)") % sum_["currency"], cells.money(sum_["paid"] or 0, sum_["currency"])),
            (_("Out (%s)") % sum_["currency"], cells.money(sum_["returned"] or 0, sum_["currency"])),
        ]
    return summary


@view("transactions.view")
def transaction(request: HttpRequest, transaction_id: int) -> HttpResponseBase:
    """Everything known about one transaction, on both sides and in the books."""
    row = Transaction.objects.select_related("merchant", "contract__channel").filter(pk=transaction_id).first()
    if row is None:
        raise missing(Transaction, transaction_id)
    cases = list(Discrepancy.objects.filter(transaction_id=row.pk).select_related("contract", "merchant", "owner"))
    vouchers = vouchers_of([("transaction", row.pk)], min(row.own_date, day_of(row.pk)))
    tables = [
        voucher_table(vouchers),
        bill_line_table(_lines_of(row), title=_("Bill lines with the same key")),
        case_table(cases, title=_("Cases")),
        open_item_table(_items_of(row)),
        _clearing_table(row),
        _related_table(row),
    ]
    context = {
        "parent_title": _("Transactions"),
        "parent_url": link("transaction_list", day=row.own_date.isoformat()),
        "badges": [cells.state(row, "status")],
        "buttons": [Button(_("Whole story"), link("explain", q=row.transaction_no))],
        "facts": _facts(row),
        "tables": [table for table in tables if table.rows or table is tables[0] or table is tables[1]],
        "json_blocks": [(_("Extra"), row.extra)] if row.extra else [],
    }
    return page(request, "console/detail.html", context, title=row.transaction_no)


def _facts(row: Transaction) -> list[tuple[str, Cell]]:
    facts = [
        (_("Transaction number"), cells.number(row.transaction_no)),
        (_("Kind"), cells.text(row.get_kind_display())),
        (_("Amount"), cells.money(row.amount, row.currency)),
        (_("Currency"), cells.text(row.currency)),
        (_("Merchant fee"), cells.money(row.fee, row.currency)),
        (_("Collection"), cells.text(row.get_collection_display())),
        (_("Expected channel cost"), cells.money(row.expected_cost, row.currency)),
        (_("Merchant"), cells.text(str(row.merchant), link("merchant", row.merchant.merchant_no))),
        (_("Channel"), cells.text(row.contract.code)),
        (_("Channel request number"), cells.number(row.match_key)),
        (_("Channel trade number"), cells.number(row.channel_trade_no or "–")),
        (_("Merchant order number"), cells.number(row.merchant_order_no or "–")),
        (_("Product"), cells.text(f"{row.product} {row.get_card_type_display()}".strip())),
        (_("Accounting date"), cells.date(row.own_date, link("transaction_list", day=row.own_date.isoformat()))),
        (_("Business date"), cells.date(row.business_date)),
        (_("Created"), cells.moment(row.created_at)),
        (_("Succeeded"), cells.moment(row.succeeded_at)),
        (_("Counts since"), cells.moment(row.effective_at)),
        (_("Origin"), cells.text(row.get_origin_display())),
        (_("Record number"), cells.number(row.pk)),
    ]
    if row.original_id:
        facts.append((_("Original transaction"), cells.number(row.original_id, link("transaction", row.original_id))))
    if row.refund_source:
        facts.append((_("Refund taken from"), cells.text(row.get_refund_source_display())))
    return facts


def _lines_of(row: Transaction) -> list[BillLine]:
    first = min(row.own_date, day_of(row.pk)) - dt.timedelta(days=2)
    lines = BillLine.objects.for_days(first, row.own_date + dt.timedelta(days=7))
    return list(lines.filter(contract_id=row.contract_id, match_key=row.match_key).order_by("id")[:20])


def _items_of(row: Transaction) -> QuerySet[OpenItem]:
    return OpenItem.objects.filter(transaction_id=row.pk).select_related("first_run", "cleared_run", "case")


def _clearing_table(row: Transaction) -> Table:
    hold = ClearingHold.objects.filter(transaction_id=row.pk).select_related("released_in").first()
    if hold is not None and hold.released_in is None:
        items: list[ClearingItem] = []
    elif hold is not None:
        items = [hold.released_in]
    else:
        items = list(
            ClearingItem.objects.filter(
                merchant=row.merchant_id, contract=row.contract_id, own_date=row.own_date, collection=row.collection
            ).select_related("settlement_sheet")[:3]
        )
    if row.effective_at is None:
        items = []
    rows = [
        [
            cells.number(item.pk, link("clearing_item", item.pk)),
            cells.date(item.own_date),
            cells.date(item.pay_date),
            cells.number(item.settlement_sheet.sheet_no, link("sheet", item.settlement_sheet_id))
            if item.settlement_sheet
            else cells.text("–"),
            cells.text(hold.get_state_display() if hold else ""),
        ]
        for item in items
    ]
    if hold is not None and not rows:
        rows = [[cells.text("–"), cells.date(hold.own_date), cells.text(""), cells.text(""), cells.state(hold)]]
    columns = [
        Column(_("Clearing item")),
        Column(_("Accounting date")),
        Column(_("Pay date")),
        Column(_("Settlement sheet")),
        Column(_("Held")),
    ]
    return Table(columns, rows, title=_("Clearing"))


def _related_table(row: Transaction) -> Table:
    try:
        until = open_day()
    except PayopsError:
        until = day_of(row.pk)
    last = min(max(until, day_of(row.pk)), day_of(row.pk) + dt.timedelta(days=SEARCH_DAYS))
    found = list(refunds_of(row, last)[:50])
    return Table(transaction_columns(), transaction_rows(found), title=_("Refunds, voids and returns"))


# --- intake -----------------------------------------------------------------------------------------------------------


@view("transactions.view")
def intake_list(request: HttpRequest) -> HttpResponseBase:
    """Files and requests of the payment core."""
    columns = [
        Column(_("File name")),
        Column(_("State")),
        Column(_("Received")),
        Column(_("By")),
        Column(_("Rows"), "c-amount"),
        Column(pgettext("number of rows", "Created"), "c-amount"),
        Column(_("Updated"), "c-amount"),
        Column(_("Unchanged"), "c-amount"),
        Column(_("Refused"), "c-amount"),
        Column(_("Vouchers"), "c-amount"),
    ]

    def row(intake: Intake) -> list[Cell]:
        return [
            cells.text(intake.source_name, link("intake", intake.pk)),
            cells.state(intake),
            cells.moment(intake.received_at),
            cells.text(intake.received_by),
            cells.count(intake.rows),
            cells.count(intake.created),
            cells.count(intake.updated),
            cells.count(intake.unchanged),
            cells.count(intake.refused_count),
            cells.count(intake.vouchers),
        ]

    buttons = []
    if request.user.may("orders.upload"):
        buttons.append(Button(_("Upload transactions"), link("intake_upload"), primary=True))
    filters = IntakeFilter(request.GET, queryset=Intake.objects.defer("refused"), request=request)
    return list_page(
        request,
        title=_("Intake"),
        filters=filters,
        columns=columns,
        row=row,
        buttons=buttons,
        empty=_("No file of the payment core has come in yet."),
    )


@view("transactions.view")
def intake(request: HttpRequest, intake_id: int) -> HttpResponseBase:
    """One intake with the rows refused."""
    found = Intake.objects.filter(pk=intake_id).first()
    if found is None:
        raise Http404
    rows = [
        [
            cells.count(fault.get("line")),
            cells.text(fault.get("field", "")),
            cells.text(fault.get("value", "")),
            Cell(retold(fault.get("reason")), css="c-wrap"),
        ]
        for fault in found.refused[:1000]
    ]
    columns = [Column(_("Line"), "c-amount"), Column(_("Field")), Column(_("Value")), Column(_("Reason"))]
    facts = [
        (_("Received"), cells.moment(found.received_at)),
        (_("By"), cells.text(found.received_by)),
        (_("Size (bytes)"), cells.count(found.size)),
        (_("Rows"), cells.count(found.rows)),
        (pgettext("number of rows", "Created"), cells.count(found.created)),
        (_("Updated"), cells.count(found.updated)),
        (_("Unchanged"), cells.count(found.unchanged)),
        (_("Refused"), cells.count(found.refused_count)),
        (_("Vouchers"), cells.count(found.vouchers)),
        (_("SHA-256"), cells.number(found.sha256)),
    ]
    context = {
        "parent_title": _("Intake"),
        "parent_url": link("intake_list"),
        "badges": [cells.state(found)],
        "facts": facts,
        "tables": [Table(columns, rows, title=_("Refused rows"), empty=_("Every row was taken."))],
    }
    return page(request, "console/detail.html", context, title=found.source_name)


@action("orders.upload", methods=("GET", "POST"))
def intake_upload(request: HttpRequest) -> HttpResponse:
    """Take in a file of the payment core, read by a worker."""
    form = OrdersUploadForm(request.POST, request.FILES) if request.method == "POST" else OrdersUploadForm()
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        job = intake_enqueue(stream=file, name=file.name, user=request.user.get_username())
        messages.success(request, _("%(name)s is being read as job %(job)s.") % {"name": file.name, "job": job.pk})
        return redirect(link("job", job.pk))
    context = {
        "parent_title": _("Intake"),
        "parent_url": link("intake_list"),
        "form": form,
        "form_url": link("intake_upload"),
        "form_button": _("Upload"),
        "lead": _("CSV or NDJSON, plain, .gz or .zip. A row that is known already changes nothing."),
    }
    status = 400 if form.is_bound else 200
    return page(request, "console/form.html", context, title=_("Upload transactions"), status=status)


# --- search by number -------------------------------------------------------------------------------------------------


@view("dashboard.view")
def find(request: HttpRequest) -> HttpResponseBase:
    """Go to whatever has exactly this number; several hits are listed."""
    wanted = request.GET.get("q", "").strip()[:64]
    hits = _hits(wanted, request.user) if wanted else []
    if len(hits) == 1:
        return redirect(hits[0][1].url)
    if not hits and wanted and request.user.may("transactions.view") and _has_a_story(wanted):
        return redirect(link("explain", q=wanted))
    table = Table(
        [Column(_("What")), Column(_("Number"))],
        [list(hit) for hit in hits],
        empty=_("Nothing has the number “%s”. Numbers are searched exactly as they are written.") % wanted,
    )
    buttons = []
    if wanted and request.user.may("transactions.view"):
        buttons.append(Button(_("Look through the bills"), link("explain", q=wanted)))
    context = {"tables": [table], "buttons": buttons}
    return page(request, "console/detail.html", context, title=_("Search: %s") % wanted)


def _has_a_story(wanted: str) -> bool:
    """Whether an index knows the number as an order's, a trade's or a bill line's, or its row is in the archive."""
    try:
        subjects_of(wanted, read=False)
    except PayopsError as error:
        return error.code == "archive.put_away"
    return True


def _hits(wanted: str, user: Any) -> list[tuple[Cell, Cell]]:
    hits: list[tuple[Cell, Cell]] = []
    if user.may("transactions.view"):
        hits += [
            _hit(_("Transaction"), row.transaction_no, "transaction", row.pk) for row in transactions_named(wanted)
        ]
    named: list[tuple[str, Any, str, str, str, str]] = [
        ("cases.view", Discrepancy, "case_no", _("Case"), "case_detail", "pk"),
        ("settlement.view", SettlementSheet, "sheet_no", _("Settlement sheet"), "sheet", "pk"),
        ("payouts.view", Payout, "payout_no", _("Payout"), "payout", "pk"),
        ("payouts.view", PayoutBatch, "batch_no", _("Payout batch"), "payout_batch", "pk"),
        ("merchants.view", Merchant, "merchant_no", _("Merchant"), "merchant", "merchant_no"),
        ("ledger.view", Account, "account_no", _("Account"), "account", "pk"),
        ("ledger.view", Correction, "number", _("Correction"), "correction", "pk"),
        ("ledger.view", ManualVoucher, "number", _("Manual voucher"), "manual_voucher", "pk"),
    ]
    for permission, model, name, label, url_name, argument in named:
        if user.may(permission):
            rows = model.objects.filter(**{name: wanted})
            hits += [_hit(label, wanted, url_name, getattr(row, argument)) for row in rows]
    if wanted.isascii() and wanted.isdigit() and 15 <= len(wanted) <= 18:
        hits += _by_record_number(int(wanted), user)
    return hits


def _hit(label: str, number: str, url_name: str, argument: Any) -> tuple[Cell, Cell]:
    return cells.text(label), cells.number(number, link(url_name, argument))


def transactions_named(wanted: str) -> list[Transaction]:
    """Transactions of the payment core's number, else the latest of a channel request number."""
    row = transaction_by_number(wanted)
    if row is not None:
        return [row]
    last = latest_day()
    recent = Transaction.objects.for_days(last - dt.timedelta(days=SEARCH_DAYS), last)
    return list(recent.filter(match_key=wanted).order_by("-id")[:20])


def _by_record_number(number: int, user: Any) -> list[tuple[Cell, Cell]]:
    from payops.accounts.models import Voucher

    try:
        day_of(number)
    except PayopsError:
        return []
    hits = []
    if user.may("ledger.view") and Voucher.objects.filter(pk=number).exists():
        hits.append(_hit(_("Voucher"), str(number), "voucher", number))
    if user.may("files.view") and BillLine.objects.filter(pk=number).exists():
        hits.append(_hit(_("Bill line"), str(number), "bill_line", number))
    if user.may("transactions.view") and Transaction.objects.filter(pk=number).exists():
        hits.append(_hit(_("Transaction"), str(number), "transaction", number))
    return hits


urlpatterns = [
    path("transactions/", transaction_list, name="transaction_list"),
    path("transactions/<int:transaction_id>/", transaction, name="transaction"),
    path("intake/", intake_list, name="intake_list"),
    path("intake/upload/", intake_upload, name="intake_upload"),
    path("intake/<int:intake_id>/", intake, name="intake"),
    path("find/", find, name="find"),
]
