"""Settlement sheets: every term of what a merchant is paid, as a sum one can follow."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from payops.accounts.choices import Event, OwnerKind
from payops.accounts.models import Account
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.equation import check_columns, check_row
from payops.console.filters import SheetFilter
from payops.console.lists import list_page
from payops.console.shell import log_download, page, view
from payops.console.tables import (
    item_table,
    payout_columns,
    payout_row,
    sheet_columns,
    sheet_row,
)
from payops.console.views.clearing import merchant_cell
from payops.console.vouchers import voucher_table, vouchers_of
from payops.settlement.choices import SheetState
from payops.settlement.models import (
    ClearingItem,
    Payout,
    SettlementSheet,
)
from payops.settlement.selectors import last_checks, sheet_total
from payops.settlement.sheets import SETTLEMENT_ACCOUNT, SHEET_SOURCE
from payops.statements.models import Statement
from payops.statements.selectors import contents_of
from payops.statements.services import statement_file


@view("settlement.view")
def sheet_list(request: HttpRequest) -> HttpResponseBase:
    """Settlement sheets, the latest first; with a pay date their totals."""
    sheets = SettlementSheet.objects.select_related("merchant")
    filters = SheetFilter(request.GET, queryset=sheets, request=request)
    return list_page(
        request,
        title=_("Settlement sheets"),
        filters=filters,
        columns=sheet_columns(),
        row=sheet_row,
        export_name="settlement_sheets",
        summary=_sheet_totals(filters),
        empty=_("There are no such settlement sheets."),
    )


def _sheet_totals(filters: SheetFilter) -> list[tuple[Any, Cell]]:
    if not filters.form.is_valid() or not filters.form.cleaned_data.get("date"):
        return []
    sums = filters.qs.order_by().aggregate(
        number=Count("id"),
        settled=Sum("settlement_amount", default=0),
        withheld=Sum("withheld_amount", default=0),
        paid=Sum("payout_amount", default=0),
        carried=Sum("carry_out", default=0),
    )
    return [
        (_("Sheets"), cells.count(sums["number"])),
        (_("Settlement amount"), cells.money(sums["settled"])),
        (_("Withheld"), cells.money(sums["withheld"])),
        (_("Payout amount"), cells.money(sums["paid"])),
        (_("Carried out"), cells.money(sums["carried"])),
    ]


@view("settlement.view")
def sheet(request: HttpRequest, sheet_id: int) -> HttpResponseBase:
    """One sheet: every term of what is paid as a sum one can follow, down to the items and the money."""
    found = (
        SettlementSheet.objects.select_related("merchant", "session", "settlement_account", "carried_to")
        .filter(pk=sheet_id)
        .first()
    )
    if found is None:
        raise Http404
    (content,) = contents_of([found])
    items = found.items.select_related("contract", "merchant", "settlement_sheet")
    withheld = [] if not content.withheld else _with_names(content.withheld)
    tables = [] if withheld and not content.items else [item_table(items)]
    if withheld:
        tables.append(item_table(withheld, title=_("Withheld items")))
    if content.movements:
        tables.append(_movement_table(content.movements))
    booked = vouchers_of([(SHEET_SOURCE, found.pk)], found.session.own_date)
    if booked:
        tables.append(voucher_table(booked))
    tables += [_payout_table(found), _check_table([*content.items, *content.withheld]), _statement_table(found)]
    context = {
        "parent_title": _("Settlement sheets"),
        "parent_url": link("sheet_list", date=found.pay_date),
        "badges": [cells.state(found)],
        "beside": _sheet_facts(found),
        "sum_table": _sum_table(content),
        "tables": tables,
    }
    return page(request, "console/sheet.html", context, title=found.sheet_no)


def _with_names(items: list[ClearingItem]) -> QuerySet[ClearingItem]:
    found = ClearingItem.objects.filter(pk__in=[item.pk for item in items])
    return found.select_related("contract", "merchant", "settlement_sheet")


def _sheet_facts(found: SettlementSheet) -> list[tuple[Any, Cell]]:
    account = found.settlement_account
    facts = [
        (_("Merchant"), merchant_cell(found.merchant)),
        (_("Pay date"), cells.date(found.pay_date, link("sheet_list", date=found.pay_date))),
        (_("Session"), cells.text(f"{found.session.pay_date} {found.session.session_no}")),
        (_("Accounting date"), cells.date(found.session.own_date)),
        (
            _("Payee"),
            cells.text(f"{account.holder} {account.number_masked}", note=f"{account.bank_name} {account.branch_code}")
            if account
            else cells.text(_("No settlement account")),
        ),
        (_("Transactions"), cells.count(found.count)),
        (_("Made at"), cells.moment(found.made_at)),
    ]
    if found.carried_to is not None:
        facts.append((_("Carried to"), cells.number(found.carried_to.sheet_no, link("sheet", found.carried_to_id))))
    return facts


def _sum_table(content: Any) -> Table:
    """The equation of DOMAIN 11.3, line by line."""
    found: SettlementSheet = content.sheet
    every = [*content.items, *content.withheld]
    kept = sum(item.fee for item in every if item.collection == "net")
    discount = sum(item.discount for item in every)
    added_back = sum(item.refunded_from_settlement for item in every)
    moved = sum(movement.amount for movement in content.movements)
    rest = found.adjustment_amount - added_back - moved
    ledger_url = _ledger_url(found)
    rows = [
        _sum_row(_("Amount"), found.amount, _("%d clearing items") % len(every)),
        _sum_row(_("Discount"), -discount),
        _sum_row(_("Fee kept back"), -kept),
        _sum_row(_("Settlement amount"), found.settlement_amount, total=True),
        _sum_row(_("Refunds already taken from the settlement account, added back"), added_back),
        _sum_row(_("Other bookings on the settlement account"), moved, _("Account ledger"), ledger_url),
        _sum_row(
            _("Negative pending settlement: refunds held back from clearing"), rest, _("Account ledger"), ledger_url
        ),
        _sum_row(_("Adjustment amount"), found.adjustment_amount, total=True),
    ]
    if content.carried:
        for earlier in content.carried:
            rows.append(
                _sum_row(_("Carried from before"), earlier.carry_out, earlier.sheet_no, link("sheet", earlier.pk))
            )
    else:
        rows.append(_sum_row(_("Carried from before"), found.carried_in))
    rows.append(_sum_row(_("Withheld by the balance check"), -found.withheld_amount))
    rows.append(_sum_row(_("Due in all"), sheet_total(found), total=True))
    rows.append(_sum_row(_("Payout amount"), found.payout_amount, total=True))
    if found.carry_out:
        reason = found.get_state_display() if found.state in (SheetState.CARRIED, SheetState.HELD) else ""
        rows.append(_sum_row(_("Carried to the next sheet"), found.carry_out, reason))
    if found.fee != kept:
        rows.append(_sum_row(_("Fee charged afterwards, not part of the sum"), found.fee - kept))
    always = {_("Amount"), _("Settlement amount"), _("Adjustment amount"), _("Due in all"), _("Payout amount")}
    rows = [row for row in rows if row[1].raw != "0.00" or row[0].text in always]
    columns = [Column(_("Term")), Column(_("Amount"), "c-amount"), Column(_("Made of"))]
    return Table(columns, rows, title=_("How the payout comes about"))


def _sum_row(label: Any, amount: int, source: Any = "", url: str = "", *, total: bool = False) -> list[Cell]:
    shown = cells.money(amount)
    css = "c-sum" if total else ""
    figure = Cell(shown.text, css=f"{shown.css} {css}".strip(), raw=shown.raw)
    return [Cell(label, css=css), figure, Cell(source, url, css)]


def _ledger_url(found: SettlementSheet) -> str:
    account = Account.objects.filter(
        subject__code=SETTLEMENT_ACCOUNT, owner_kind=OwnerKind.MERCHANT, owner_no=found.merchant.merchant_no
    ).first()
    if account is None:
        return ""
    return link("account", account.pk, first=found.session.own_date, last=found.pay_date)


def _movement_table(movements: Any) -> Table:
    rows = [
        [
            cells.moment(movement.posted_at),
            cells.text(Event(movement.event).label),
            cells.number(movement.reference, link("find", q=movement.reference) if movement.reference else ""),
            cells.money(movement.amount, signed=True),
        ]
        for movement in movements
    ]
    columns = [Column(_("Posted at")), Column(_("Event")), Column(_("Number")), Column(_("Amount"), "c-amount")]
    return Table(columns, rows, title=_("Other bookings on the settlement account since the sheet before"))


def _payout_table(found: SettlementSheet) -> Table:
    payouts = Payout.objects.filter(sheet=found).select_related("merchant", "settlement_account", "sheet", "batch")
    return Table(
        payout_columns(),
        [payout_row(payout) for payout in payouts],
        title=_("Payouts"),
        empty=_("Nothing has been paid from this sheet."),
    )


def _check_table(items: list[ClearingItem]) -> Table:
    """The balance checks of the channel-dates the sheet pays."""
    pairs = {(item.contract_id, item.own_date) for item in items}
    days = {day for _contract, day in pairs}
    checks = last_checks().filter(own_date__in=days, contract_id__in={contract for contract, _day in pairs})
    rows = [check_row(check) for check in checks if (check.contract_id, check.own_date) in pairs]
    return Table(check_columns(), rows, title=_("Balance checks"), empty=_("None has been made yet."))


def _statement_table(found: SettlementSheet) -> Table:
    rows = [
        [
            cells.text(statement.file_name, link("sheet_statement", statement.pk)),
            cells.count(statement.rows),
            cells.count(statement.size),
            cells.number(statement.sha256),
            cells.moment(statement.made_at),
        ]
        for statement in Statement.objects.filter(sheet=found).order_by("format")
    ]
    columns = [
        Column(_("File name")),
        Column(_("Rows"), "c-amount"),
        Column(_("Size (bytes)"), "c-amount"),
        Column(_("SHA-256")),
        Column(_("Made at")),
    ]
    return Table(columns, rows, title=_("Statements"), empty=_("No statement has been made yet."))


@view("settlement.view")
def sheet_statement(request: HttpRequest, statement_id: int) -> HttpResponseBase:
    """The very bytes the merchant downloads; logged."""
    statement = Statement.objects.filter(pk=statement_id).first()
    if statement is None:
        raise Http404
    file = statement_file(statement).open("rb")
    log_download(request, "statements.statement", statement.pk, name=statement.file_name)
    response = FileResponse(
        file, as_attachment=True, filename=statement.file_name, content_type="application/octet-stream"
    )
    response["Cache-Control"] = "no-store"
    return response


urlpatterns = [
    path("settlement/sheets/", sheet_list, name="sheet_list"),
    path("settlement/sheets/<int:sheet_id>/", sheet, name="sheet"),
    path("settlement/statements/<int:statement_id>/", sheet_statement, name="sheet_statement"),
]
