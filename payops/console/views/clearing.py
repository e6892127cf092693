"""Clearing sheets and items: what merchants are owed, down to the transactions each item is the sum of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import ClearingFilter, ClearingItemFilter
from payops.console.lists import MAX_EXPORT_ROWS, list_page
from payops.console.shell import log_download, page, view
from payops.console.tables import (
    item_columns,
    item_row,
    item_table,
    kind_label,
)
from payops.console.vouchers import voucher_table, vouchers_of
from payops.core.exports import csv_lines
from payops.merchants.models import Merchant
from payops.settlement.clearing import SOURCE_KIND
from payops.settlement.models import (
    ClearingItem,
    ClearingSession,
    ClearingSheet,
)
from payops.statements.selectors import RowTotals, StatementRow, ledger_of, row_totals, rows_of

SESSIONS_SHOWN = 6
ROWS_SHOWN = 300


@view("settlement.view")
def clearing_list(request: HttpRequest) -> HttpResponseBase:
    """Clearing sheets under the sessions that made them."""
    sheets = ClearingSheet.objects.select_related("session", "merchant")
    session = _session_asked_for(request)
    if session is not None:
        sheets = sheets.filter(session=session)
    filters = ClearingFilter(request.GET, queryset=sheets, request=request)
    columns = [
        Column(pgettext("clearing", "Sheet")),
        Column(_("Accounting date")),
        Column(_("Session")),
        Column(_("Merchant")),
        Column(_("Count"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Fee"), "c-amount"),
    ]

    def row(sheet: ClearingSheet) -> list[Cell]:
        return [
            cells.number(sheet.pk, link("clearing", sheet.pk)),
            cells.date(sheet.session.own_date),
            cells.text(_session_name(sheet.session)),
            cells.text(
                sheet.merchant.merchant_no, link("merchant", sheet.merchant.merchant_no), note=sheet.merchant.name
            ),
            cells.count(sheet.count),
            cells.money(sheet.amount),
            cells.money(sheet.fee),
        ]

    return list_page(
        request,
        title=_("Clearing"),
        filters=filters,
        columns=columns,
        row=row,
        export_name="clearing_sheets",
        empty=_("There are no such clearing sheets."),
        extra={"sessions": _session_table(filters, session)},
        template="console/clearing_list.html",
    )


def _session_asked_for(request: HttpRequest) -> ClearingSession | None:
    number = request.GET.get("session", "")
    if not (number.isascii() and number.isdigit()):
        return None
    return ClearingSession.objects.filter(pk=number).first()


def _session_name(session: ClearingSession) -> str:
    return f"{session.get_kind_display()} {session.session_no}"


def _session_table(filters: ClearingFilter, chosen: ClearingSession | None) -> Table:
    sessions = ClearingSession.objects.order_by("-own_date", "-pk")
    wanted = filters.form.cleaned_data if filters.form.is_valid() else {}
    if chosen is not None:
        sessions = sessions.filter(pk=chosen.pk)
    if wanted.get("date"):
        sessions = sessions.filter(own_date=wanted["date"])
    if wanted.get("kind"):
        sessions = sessions.filter(kind=wanted["kind"])
    rows = []
    for session in sessions.annotate(sheet_count=Count("sheets"))[:SESSIONS_SHOWN]:
        rows.append(
            [
                cells.date(session.own_date),
                cells.text(_session_name(session), link("clearing_list", session=session.pk)),
                cells.count(session.sheet_count),
                cells.count(session.count),
                cells.money(session.amount),
                cells.money(session.fee),
                cells.moment(session.made_at),
            ]
        )
    columns = [
        Column(_("Accounting date")),
        Column(_("Session")),
        Column(pgettext("clearing", "Sheets"), "c-amount"),
        Column(_("Count"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("Made at")),
    ]
    return Table(columns, rows, title=_("Sessions"), empty=_("Nothing has been cleared for this date."))


def merchant_cell(merchant: Merchant) -> Cell:
    """A merchant's number and name, linked."""
    return cells.text(merchant.merchant_no, link("merchant", merchant.merchant_no), note=merchant.name)


@view("settlement.view")
def clearing(request: HttpRequest, clearing_id: int) -> HttpResponseBase:
    """What one merchant is owed by one session, and the items it is the sum of."""
    sheet = ClearingSheet.objects.select_related("session", "merchant").filter(pk=clearing_id).first()
    if sheet is None:
        raise Http404
    items = sheet.items.select_related("contract", "merchant", "settlement_sheet")
    session = sheet.session
    facts = [
        (_("Merchant"), merchant_cell(sheet.merchant)),
        (_("Accounting date"), cells.date(session.own_date, link("clearing_list", date=session.own_date))),
        (_("Session"), cells.text(_session_name(session), link("clearing_list", session=session.pk))),
        (_("Count"), cells.count(sheet.count)),
        (_("Amount"), cells.money(sheet.amount)),
        (_("Fee"), cells.money(sheet.fee)),
        (_("Made at"), cells.moment(session.made_at)),
    ]
    context = {
        "parent_title": _("Clearing"),
        "parent_url": link("clearing_list", session=session.pk),
        "facts": facts,
        "tables": [item_table(items)],
    }
    title = _("Clearing sheet %(merchant)s %(day)s") % {"merchant": sheet.merchant.merchant_no, "day": session.own_date}
    return page(request, "console/detail.html", context, title=title)


@view("settlement.view")
def clearing_item_list(request: HttpRequest) -> HttpResponseBase:
    """Clearing items; with a date their totals, which the balance check rests on."""
    items = ClearingItem.objects.select_related("contract", "merchant", "settlement_sheet")
    filters = ClearingItemFilter(request.GET, queryset=items, request=request)
    return list_page(
        request,
        title=_("Clearing items"),
        filters=filters,
        columns=item_columns(),
        row=item_row,
        export_name="clearing_items",
        summary=_item_totals(filters),
        empty=_("There are no such clearing items."),
    )


def _item_totals(filters: ClearingItemFilter) -> list[tuple[Any, Cell]]:
    """Sums of what is filtered; only within one accounting date, so that no page sums up years."""
    if not filters.form.is_valid() or not filters.form.cleaned_data.get("date"):
        return []
    names = ("count", "amount", "discount", "fee", "net")
    sums = filters.qs.order_by().aggregate(**{f"sum_{name}": Sum(name, default=0) for name in names})
    return [
        (_("Transactions"), cells.count(sums["sum_count"])),
        (_("Amount"), cells.money(sums["sum_amount"])),
        (_("Discount"), cells.money(sums["sum_discount"])),
        (_("Fee"), cells.money(sums["sum_fee"])),
        (_("Net"), cells.money(sums["sum_net"])),
    ]


@view("settlement.view")
def clearing_item(request: HttpRequest, item_id: int) -> HttpResponseBase:
    """One item: its sum, what transactions and ledger say of it, and the transactions themselves."""
    item = (
        ClearingItem.objects.select_related(
            "contract", "merchant", "settlement_sheet", "sheet__session", "case_action__case"
        )
        .filter(pk=item_id)
        .first()
    )
    if item is None:
        raise Http404
    if request.GET.get("export") == "csv":
        return _rows_as_csv(request, item)
    shown = list(islice(rows_of([item]), ROWS_SHOWN + 1))
    transactions = Table(_row_columns(), [_row_cells(row) for row in shown[:ROWS_SHOWN]], title=_("Transactions"))
    transactions.empty = _("No transaction: the item carries a discount a later run changed.")
    if len(shown) > ROWS_SHOWN:
        transactions.note = _("The first %(shown)d of %(count)d. The CSV file holds all of them.") % {
            "shown": ROWS_SHOWN,
            "count": item.count,
        }
    context = {
        "parent_title": _("Clearing items"),
        "parent_url": link("clearing_item_list", date=item.own_date, contract=item.contract.code),
        "facts": _item_facts(item),
        "tables": [
            _agreement_table(item),
            voucher_table(vouchers_of([(SOURCE_KIND, item.pk)], item.own_date)),
            transactions,
        ],
        "csv_url": f"{link('clearing_item', item.pk)}?export=csv",
    }
    title = f"{item.merchant.merchant_no} {item.contract.code} {item.own_date}"
    return page(request, "console/clearing_item.html", context, title=title)


def _item_facts(item: ClearingItem) -> list[tuple[Any, Cell]]:
    sheet = item.settlement_sheet
    facts = [
        (_("Item"), cells.number(item.pk)),
        (_("Merchant"), merchant_cell(item.merchant)),
        (_("Channel"), cells.text(item.contract.code)),
        (_("Accounting date"), cells.date(item.own_date)),
        (_("Session"), cells.text(_session_name(item.sheet.session), link("clearing", item.sheet_id))),
        (_("Collection"), cells.text(item.get_collection_display())),
        (_("Pay date"), cells.date(item.pay_date)),
        (
            _("Settlement sheet"),
            cells.number(sheet.sheet_no, link("sheet", sheet.pk)) if sheet else cells.text(_("Not settled yet")),
        ),
    ]
    if item.case_action is not None:
        case = item.case_action.case
        facts.append((_("Case"), cells.number(case.case_no, link("case_detail", case.pk))))
    return facts


def _agreement_table(item: ClearingItem) -> Table:
    """The item's terms beside what its transactions and its vouchers come to."""
    rows = row_totals([item]).get(item.pk, RowTotals())
    booked = ledger_of([item]).get(item.pk, 0)
    net_fee = item.fee if item.collection == "net" else 0
    lines: list[tuple[Any, Any, Any, Any, bool]] = [
        (_("Count"), item.count, rows.count, None, True),
        (_("Transactions forward"), item.amount - rows.reverse_amount, rows.forward_amount, None, False),
        (_("Refunds and voids"), item.amount - rows.forward_amount, rows.reverse_amount, None, False),
        (_("Amount"), item.amount, rows.amount, None, False),
        (_("Refunds already taken from the settlement account"), item.refunded_from_settlement, rows.refunded, None,
         False),
        (_("Discount"), -item.discount, None, None, False),
        (_("Fee kept back"), -net_fee, -rows.fee if item.collection == "net" else None, None, False),
        (_("Fee charged afterwards"), item.fee - net_fee, rows.fee if item.collection == "gross" else None, None,
         False),
        (_("Net: added to the settlement account"), item.net, None, booked, False),
    ]  # fmt: skip
    shown = []
    for label, cleared, listed, ledger, is_count in lines:
        if not cleared and not listed and not ledger and not is_count:
            continue
        show = cells.count if is_count else cells.money
        others = [value for value in (listed, ledger) if value is not None]
        shown.append(
            [
                cells.text(label),
                show(cleared),
                show(listed),
                cells.money(ledger),
                _agrees(all(value == cleared for value in others)) if others else cells.text(""),
            ]
        )
    columns = [
        Column(_("Term")),
        Column(_("Clearing item"), "c-amount"),
        Column(_("Its transactions"), "c-amount"),
        Column(_("Its vouchers"), "c-amount"),
        Column(""),
    ]
    return Table(columns, shown, title=_("What the item is"))


def _agrees(equal: bool) -> Cell:
    return cells.yes_no(equal, _("agrees"), _("differs"))


def _row_columns() -> list[Column]:
    return [
        Column(_("Transaction number")),
        Column(_("Kind")),
        Column(_("Accounting date")),
        Column(_("Created")),
        Column(_("Merchant order number")),
        Column(_("Amount"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("Net"), "c-amount"),
    ]


def _row_cells(row: StatementRow) -> list[Cell]:
    return [
        cells.number(row.transaction_no, link("transaction", row.id)),
        cells.text(kind_label(row.kind)),
        cells.date(row.own_date),
        cells.moment(row.created_at),
        cells.number(row.merchant_order_no),
        cells.money(row.amount),
        cells.money(row.fee),
        cells.money(row.net),
    ]


def _rows_as_csv(request: HttpRequest, item: ClearingItem) -> StreamingHttpResponse:
    """All transactions of the item, streamed; logged."""
    name = f"clearing_item_{item.pk}"
    log_download(request, name)
    rows = ([_text(cell) for cell in _row_cells(row)] for row in islice(rows_of([item]), MAX_EXPORT_ROWS))
    lines = csv_lines([str(column.title) for column in _row_columns()], rows)
    response = StreamingHttpResponse(_encoded(lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "no-store"
    return response


def _text(cell: Cell) -> str:
    return str(cell.export)


def _encoded(lines: Iterator[str]) -> Iterator[bytes]:
    return (line.encode() for line in lines)


urlpatterns = [
    path("settlement/clearing/", clearing_list, name="clearing_list"),
    path("settlement/clearing/<int:clearing_id>/", clearing, name="clearing"),
    path("settlement/items/", clearing_item_list, name="clearing_item_list"),
    path("settlement/items/<int:item_id>/", clearing_item, name="clearing_item"),
]
