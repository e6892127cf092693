"""Accounts and their ledgers page by page; with the addresses of everything the ledger shows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from django import forms
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts import selectors as ledger
from payops.accounts.chart import dotted
from payops.accounts.choices import AccountStatus, Event, OwnerKind, PostingMode, Side
from payops.accounts.models import (
    Account,
    Entry,
    Voucher,
)
from payops.accounts.modes import in_force
from payops.console import cells
from payops.console.balances import (
    DayFigures,
    balances_after,
    day_figures,
    ledger_entries,
    ledger_totals,
    subject_figures,
)
from payops.console.cells import Cell, Column, Table, link
from payops.console.correction_marks import correction_marks
from payops.console.filters import AccountFilter, DayFilterSet, day_query, latest_day
from payops.console.lists import Button, keyset, list_page
from payops.console.report_parts import file_buttons
from payops.console.shell import page, view
from payops.console.sources import source_cells
from payops.console.views import days, vouchers
from payops.console.views.accounts_admin import owner_url, status_table
from payops.console.views.freezes import slip_table
from payops.console.vouchers import subject_name
from payops.core.errors import PayopsError
from payops.core.ids import day_of

ONE_DAY = dt.timedelta(days=1)
LONGEST_PERIOD = 92
"""Days of an account's ledger shown at once; each day is a partition."""


def _subject_text(code: str, subject: Any) -> str:
    return f"{dotted(code)} {subject_name(subject)}"


class DayAccountFilter(AccountFilter, DayFilterSet):
    """Accounts as they are on one accounting day."""

    class Meta:
        model = Account
        fields: list[str] = []


@view("ledger.view")
def account_list(request: HttpRequest) -> HttpResponseBase:
    """Accounts with their figures of a day; under one subject also the sum, which the trial balance shows."""
    data, day = day_query(request, latest_day)
    accounts = Account.objects.select_related("subject")
    filters = DayAccountFilter(data, queryset=accounts if day else accounts.none(), request=request)
    found: dict[int, DayFigures] = {}

    def prepare(rows: list[Account]) -> None:
        if day is not None:
            found.update(day_figures(day, rows))

    def row(account: Account) -> list[Cell]:
        figures = found.get(account.pk, DayFigures())
        of_day = link("account", account.pk, first=day, last=day)
        return [
            cells.number(account.account_no, link("account", account.pk)),
            cells.text(_subject_text(account.subject.code, account.subject)),
            _owner_cell(account),
            cells.text(account.currency),
            cells.state(account, "status"),
            cells.money(figures.opening, account.currency),
            cells.money(figures.debit or None, account.currency, of_day),
            cells.money(figures.credit or None, account.currency, of_day),
            cells.money(figures.closing, account.currency),
            cells.money(account.frozen or None, account.currency),
        ]

    columns = [
        Column(_("Account")),
        Column(_("Subject")),
        Column(_("Owner")),
        Column(_("Currency")),
        Column(_("Status")),
        Column(_("Opening"), "c-amount"),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
        Column(_("Closing"), "c-amount"),
        Column(_("Frozen now"), "c-amount"),
    ]
    return list_page(
        request,
        title=_("Accounts"),
        filters=filters,
        columns=columns,
        row=row,
        descending=False,
        prepare=prepare,
        summary=_subject_sums(filters, day),
        export_name=f"accounts_{day}" if day else "",
        empty=_("There are no such accounts."),
    )


def _subject_sums(filters: DayAccountFilter, day: dt.date | None) -> list[tuple[Any, Cell]]:
    if day is None or not filters.form.is_valid() or filters.form.cleaned_data.get("subject") is None:
        return []
    subject = filters.form.cleaned_data["subject"]
    currencies = filters.qs.order_by().values_list("currency", flat=True).distinct()
    shown: list[tuple[Any, Cell]] = []
    for currency in sorted(currencies):
        sums = subject_figures(day, filters.qs.filter(currency=currency), subject.normal_side)
        side = Side(subject.normal_side).label
        shown += [
            (_("Opening (%s)") % side, cells.money(sums.opening, currency)),
            (_("Debit"), cells.money(sums.debit, currency)),
            (_("Credit"), cells.money(sums.credit, currency)),
            (_("Closing (%s)") % side, cells.money(sums.closing, currency)),
        ]
    return shown


def _owner_cell(account: Account) -> Cell:
    """Whose account it is, linking to the owner's page."""
    urls = {
        OwnerKind.MERCHANT: ("merchant", (account.owner_no,), {}),
        OwnerKind.CHANNEL: ("run_list", (), {"contract": account.owner_no}),
        OwnerKind.BANK: ("bank_line_list", (), {"account": account.owner_no}),
    }
    kind = account.get_owner_kind_display()
    if account.owner_kind not in urls:
        return cells.text(kind)
    name, arguments, query = urls[OwnerKind(account.owner_kind)]
    return cells.text(account.owner_no, link(name, *arguments, **query))


class PeriodForm(forms.Form):
    """From one day to another."""

    first = forms.DateField(
        label=gettext_lazy("From"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last = forms.DateField(label=gettext_lazy("To"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))


def _period(request: HttpRequest) -> tuple[PeriodForm, dt.date, dt.date]:
    """The period asked for, by default the week up to the open day; PayopsError for none or too long a one."""
    newest = latest_day()
    data = {
        "first": request.GET.get("first") or (newest - 6 * ONE_DAY).isoformat(),
        "last": request.GET.get("last") or newest.isoformat(),
    }
    form = PeriodForm(data)
    if not form.is_valid():
        raise PayopsError("console.period", _("Write both days as 2026-11-20."), data)
    first, last = form.cleaned_data["first"], form.cleaned_data["last"]
    if (last - first).days >= LONGEST_PERIOD:
        raise PayopsError(
            "console.period_too_long",
            _("At most %(days)d days are shown at once; %(first)s to %(last)s are more.")
            % {"days": LONGEST_PERIOD, "first": first, "last": last},
            data,
        )
    return form, first, last


@view("ledger.view")
def account(request: HttpRequest, account_id: int) -> HttpResponseBase:
    """An account's ledger: entries of a period with the balance after each."""
    found = Account.objects.select_related("subject").filter(pk=account_id).first()
    if found is None:
        raise Http404
    form, first, last = _period(request)
    context = {
        "parent_title": _("Accounts"),
        "parent_url": link("account_list", subject=found.subject.code),
        "badges": [cells.state(found, "status")],
        "facts": _account_facts(found),
        "filters": form,
        "buttons": [*_account_buttons(request, found, first, last), *_configuring_buttons(request, found)],
        "tables": [table for table in (slip_table(found), status_table(found)) if table.rows],
        **_ledger(request, found, first, last),
    }
    return page(request, "console/account.html", context, title=found.account_no)


def _ledger(request: HttpRequest, found: Account, first: dt.date, last: dt.date) -> dict[str, Any]:
    """The entries of the period with their sums; of a period partly in the archive only that it is."""
    try:
        ledger.entries_require(first, last)
    except PayopsError as away:
        if away.code != "archive.put_away":
            raise
        return {"ledger": Table([], [], title=_("Entries"), empty=str(away))}
    totals = ledger_totals(found, first, last)
    pages = keyset(request, ledger_entries(found, first, last), descending=False)
    return {
        "summary": _period_summary(found, totals),
        "ledger": _ledger_table(found, first, totals.opening, pages.rows),
        "pages": pages,
    }


def _configuring_buttons(request: HttpRequest, found: Account) -> list[Button]:
    buttons = [Button(_("Accounts of the owner"), owner_url(found.owner_kind, found.owner_no))]
    if request.user.may("adjustments.propose") and found.status != AccountStatus.CLOSED:
        buttons += [
            Button(_("Place a freeze"), link("freeze_new", found.pk)),
            Button(_("Change the status"), link("account_status", found.pk)),
        ]
    return buttons


def _account_facts(found: Account) -> list[tuple[Any, Cell]]:
    # Read in one statement: between two, a drain could move the one into the other.
    now = ledger.balances_now("a.id = %(id)s", {"id": found.pk})[0]
    later = now["balance"] - now["stored"]
    return [
        (_("Subject"), cells.text(_subject_text(found.subject.code, found.subject))),
        (_("Normal side"), cells.text(Side(found.subject.normal_side).label)),
        (_("Owner"), replace(_owner_cell(found), note=found.get_owner_kind_display())),
        (_("Currency"), cells.text(found.currency)),
        (_("Balance now"), cells.money(now["balance"], found.currency)),
        *([(_("Of this not in the stored balance yet"), cells.money(later, found.currency))] if later else []),
        (_("Frozen"), cells.money(found.frozen, found.currency)),
        (_("Available"), cells.money(found.available, found.currency)),
        (_("Posting mode"), cells.text(_posting_modes(found))),
        (_("Opened"), cells.moment(found.opened_at)),
        *([(_("Closed"), cells.moment(found.closed_at))] if found.closed_at else []),
    ]


def _posting_modes(found: Account) -> str:
    """The rules that are in force or to come, or real-time."""
    rules = found.mode_rules.filter(in_force(ledger.open_day()) | Q(effective_day__gt=ledger.open_day()))
    return ", ".join(f"{rule.get_event_display()}: {rule.get_mode_display()}" for rule in rules) or str(
        PostingMode.REALTIME.label
    )


def _account_buttons(request: HttpRequest, found: Account, first: dt.date, last: dt.date) -> list[Button]:
    period = {"account": found.account_no, "first": first, "last": last}
    return [
        Button(_("Day by day"), link("account_days", **period)),
        Button(_("Balance at a moment"), link("balance_at", account=found.account_no)),
        *file_buttons(request, "account_ledger", **period),
    ]


def _period_summary(found: Account, totals: Any) -> list[tuple[Any, Cell]]:
    return [
        (_("Opening"), cells.money(totals.opening, found.currency)),
        (_("Debit"), cells.money(totals.debit, found.currency)),
        (_("Credit"), cells.money(totals.credit, found.currency)),
        (_("Closing"), cells.money(totals.closing, found.currency)),
    ]


def _ledger_table(found: Account, first: dt.date, opening: int, entries: list[Entry]) -> Table:
    vouchers = Voucher.objects.in_bulk({entry.voucher_id for entry in entries}) if entries else {}
    marks = correction_marks(entries)
    sources = source_cells((voucher.source_kind, voucher.source_id) for voucher in vouchers.values())
    rows = []
    for entry, balance in zip(entries, balances_after(found, first, opening, entries), strict=True):
        voucher = vouchers[entry.voucher_id]
        debit = entry.side == Side.DEBIT
        rows.append(
            [
                cells.date(day_of(entry.pk), link("day", day_of(entry.pk))),
                cells.number(voucher.pk, link("voucher", voucher.pk)),
                cells.text(Event(entry.event).label, note=marks[entry.pk].note if entry.pk in marks else ""),
                sources[voucher.source_kind, voucher.source_id],
                cells.date(voucher.business_date),
                cells.money(entry.amount if debit else None, entry.currency),
                cells.money(None if debit else entry.amount, entry.currency),
                cells.money(balance, entry.currency),
            ]
        )
    columns = [
        Column(_("Accounting day")),
        Column(_("Voucher")),
        Column(_("Event")),
        Column(_("Source")),
        Column(_("Business date")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
        Column(_("Balance"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Entries"), empty=_("Nothing was booked on this account in the period."))


urlpatterns = [
    *days.urlpatterns,
    *vouchers.urlpatterns,
    path("ledger/accounts/", account_list, name="account_list"),
    path("ledger/accounts/<int:account_id>/", account, name="account"),
]
