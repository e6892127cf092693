"""Internal reconciliation: transactions beside their vouchers, per event and merchant of an accounting date."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.choices import Event
from payops.console import cells
from payops.console.cells import Column, Table, link
from payops.console.filters import day_query, latest_day
from payops.console.forms import DATE
from payops.console.report_parts import file_buttons
from payops.console.shell import page, view
from payops.core.errors import PayopsError
from payops.orders.choices import Kind
from payops.orders.ledger_comparison import ComparedRow, DifferingRow, LedgerComparison, ledger_comparison

_KINDS: dict[int, Kind] = {
    Event.PAYMENT: Kind.PAYMENT,
    Event.TOPUP: Kind.TOPUP,
    Event.VOID: Kind.VOID,
    Event.REFUND_ACCEPTED_PENDING: Kind.REFUND,
    Event.REFUND_ACCEPTED_SETTLEMENT: Kind.REFUND,
    Event.REFUND_TAKEN: Kind.REFUND,
}
"""The kind of transaction behind an event, where there is one only."""


class DayForm(forms.Form):
    """Which accounting date, optionally of one merchant."""

    day = forms.DateField(label=gettext_lazy("Accounting date"), widget=DATE)
    merchant = forms.CharField(label=gettext_lazy("Merchant"), required=False, max_length=40)


@view("runs.view")
def internal_check(request: HttpRequest) -> HttpResponseBase:
    """Counts and amounts on both sides, and the rows that do not agree."""
    title = _("Internal reconciliation")
    data, day = day_query(request, latest_day)
    form = DayForm(data)
    tables: list[Table] = []
    context: dict[str, Any] = {"filters": form}
    if form.is_valid() and day is not None:
        try:
            found = ledger_comparison(day)
        except PayopsError as error:
            return page(request, "console/ledger_day.html", {**context, "trouble": str(error)}, title=title)
        wanted = form.cleaned_data["merchant"]
        rows = [row for row in found.rows if wanted in ("", row.merchant_no)]
        tables = [_sums_table(found, rows), _differing_table(found.differing)]
        context["badges"] = [
            cells.badge("agreed", _("Agrees"))
            if found.agrees
            else cells.badge("different", _("%d rows differ") % len(found.differing))
        ]
        context["buttons"] = file_buttons(request, "internal_check", day=day)
    context["tables"] = tables
    status = 200 if form.is_valid() and day is not None else 400
    return page(request, "console/ledger_day.html", context, title=title, status=status)


def _sums_table(found: LedgerComparison, rows: list[ComparedRow]) -> Table:
    day = found.day
    shown = []
    for row in rows:
        url = link("transaction_list", day=day, merchant=row.merchant_no, kind=_KINDS.get(row.event, ""))
        vouchers = link("voucher_list", day=day, event=row.event)
        shown.append(
            [
                cells.text(row.merchant_no, link("merchant", row.merchant_no)),
                cells.text(Event(row.event).label),
                cells.count(row.own_count, url),
                cells.money(row.own_amount, row.currency, url),
                cells.count(row.booked_count, vouchers),
                cells.money(row.booked_amount, row.currency, vouchers),
                cells.money(row.booked_amount - row.own_amount, row.currency, signed=True),
                cells.badge("agreed", _("Agrees"))
                if row.agrees
                else cells.badge("different", _("%d differ") % row.differing, "#differing"),
            ]
        )
    columns = [
        Column(_("Merchant")),
        Column(_("Event")),
        Column(_("Transactions"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Vouchers"), "c-amount"),
        Column(_("Booked"), "c-amount"),
        Column(_("Difference"), "c-amount"),
        Column(_("State")),
    ]
    return Table(
        columns, shown, title=_("Transactions and vouchers"), empty=_("No transaction of this date owes a voucher.")
    )


def _differing_table(differing: list[DifferingRow]) -> Table:
    rows = [
        [
            cells.text(_reason(row)),
            cells.text(row.merchant_no or "–"),
            cells.text(Event(row.event).label if row.event else "–"),
            cells.number(row.transaction_id, link("transaction", row.transaction_id))
            if row.transaction_id
            else cells.text("–"),
            cells.money(row.own_amount, row.currency or "CNY") if row.own_amount is not None else cells.text("–"),
            cells.number(row.voucher_id, link("voucher", row.voucher_id)) if row.voucher_id else cells.text("–"),
            cells.money(row.booked_amount, row.currency) if row.booked_amount is not None else cells.text("–"),
        ]
        for row in differing
    ]
    columns = [
        Column(_("What differs")),
        Column(_("Merchant")),
        Column(_("Event")),
        Column(_("Transaction")),
        Column(_("Amount"), "c-amount"),
        Column(_("Voucher")),
        Column(_("Booked"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Rows that do not agree"), empty=_("Every row agrees."))


def _reason(row: DifferingRow) -> str:
    if row.transaction_id is None:
        return _("Voucher without a transaction")
    return _("Without a voucher") if row.booked_amount is None else _("Another amount")


urlpatterns = [
    path("internal-check/", internal_check, name="internal_check"),
]
