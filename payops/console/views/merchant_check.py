"""Merchant reconciliation: statement, clearing and payout of every settlement sheet of a day."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from payops.accounts.selectors import last_closed_day
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import day_query, latest_day
from payops.console.report_parts import file_buttons
from payops.console.shell import page, view
from payops.console.views.internal_check import DayForm
from payops.statements.document import CURRENCY
from payops.statements.merchant_check import AGREES, DIFFERS, WAITING, MerchantCheck, MerchantRow, merchant_check


@view("settlement.view")
def merchant_check_day(request: HttpRequest) -> HttpResponseBase:
    """One row per settlement sheet; what differs is listed below it, what waits says for what."""
    data, day = day_query(request, lambda: last_closed_day() or latest_day())
    form = DayForm(data)
    context: dict[str, Any] = {"filters": form, "tables": []}
    if form.is_valid() and day is not None:
        found = merchant_check(day)
        wanted = form.cleaned_data["merchant"]
        rows = [row for row in found.rows if wanted in ("", row.sheet.merchant.merchant_no)]
        context["tables"] = [_sheets_table(rows), _differences_table(rows)]
        if found.not_settled:
            context["tables"].append(_not_settled_table(found))
        context["badges"] = [
            cells.badge(AGREES, _("%d agree") % found.count(AGREES)),
            *([cells.badge(WAITING, _("%d wait") % found.count(WAITING))] if found.count(WAITING) else []),
            *([cells.badge(DIFFERS, _("%d differ") % found.count(DIFFERS))] if found.count(DIFFERS) else []),
        ]
        context["buttons"] = file_buttons(request, "merchant_check", day=day)
    status = 200 if form.is_valid() and day is not None else 400
    return page(request, "console/ledger_day.html", context, title=_("Merchant reconciliation"), status=status)


def _sheets_table(rows: list[MerchantRow]) -> Table:
    shown = [
        [
            cells.text(row.sheet.merchant.merchant_no, link("merchant", row.sheet.merchant.merchant_no)),
            cells.number(row.sheet.sheet_no, link("sheet", row.sheet.pk)),
            cells.count(row.cleared_count, link("sheet", row.sheet.pk)),
            cells.money(row.cleared_net, CURRENCY, link("sheet", row.sheet.pk)),
            cells.money(row.sheet.payout_amount, CURRENCY, link("sheet", row.sheet.pk)),
            cells.money(row.stated, CURRENCY) if row.stated is not None else cells.text("–"),
            cells.money(row.paid, CURRENCY, link("payout_list", merchant=row.sheet.merchant.merchant_no)),
            cells.money(row.under_way, CURRENCY),
            _verdict(row),
        ]
        for row in rows
    ]
    columns = [
        Column(_("Merchant")),
        Column(_("Settlement sheet")),
        Column(_("Cleared rows"), "c-amount"),
        Column(_("Net cleared"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("On the statement"), "c-amount"),
        Column(_("Paid"), "c-amount"),
        Column(_("Under way"), "c-amount"),
        Column(_("State")),
    ]
    return Table(
        columns, shown, title=_("Statement, clearing and payment"), empty=_("No merchant was settled for this date.")
    )


def _verdict(row: MerchantRow) -> Cell:
    if row.differences:
        return cells.badge(DIFFERS, _("Differs"))
    if row.waits_for:
        return Cell(_("Waiting"), tone="warning", note=_("for %s") % row.waits_for, raw=WAITING)
    return cells.badge(AGREES, _("Agrees"))


def _differences_table(rows: list[MerchantRow]) -> Table:
    shown = [
        [
            cells.text(row.sheet.merchant.merchant_no),
            cells.number(row.sheet.sheet_no, link("sheet", row.sheet.pk)),
            Cell(difference, css="c-wrap"),
        ]
        for row in rows
        for difference in row.differences
    ]
    columns = [Column(_("Merchant")), Column(_("Settlement sheet")), Column(_("What differs"))]
    return Table(columns, shown, title=_("Figures that do not agree"), empty=_("Every figure agrees."))


def _not_settled_table(found: MerchantCheck) -> Table:
    rows = [
        [
            cells.text(each.merchant_no, link("merchant", each.merchant_no)),
            cells.count(each.count, link("clearing_list", date=found.day, merchant=each.merchant_no)),
            cells.money(each.net, CURRENCY),
        ]
        for each in found.not_settled
    ]
    columns = [Column(_("Merchant")), Column(_("Clearing items"), "c-amount"), Column(_("Net cleared"), "c-amount")]
    return Table(columns, rows, title=_("Cleared, on no settlement sheet yet"))


urlpatterns = [
    path("merchant-check/", merchant_check_day, name="merchant_check"),
]
