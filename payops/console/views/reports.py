"""Reports of the ledger by day: daily sheet, general ledger, an account by day, a balance at any moment."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import reports
from payops.accounts.choices import Element, Side
from payops.accounts.models import Account, Subject
from payops.accounts.selectors import day_is_closed
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import day_query, latest_day
from payops.console.report_parts import (
    AccountMomentForm,
    AccountRangeForm,
    DayLevelForm,
    SubjectRangeForm,
    file_buttons,
    range_data,
    subject_text,
)
from payops.console.shell import page, view
from payops.console.vouchers import subject_name

ONE_DAY = dt.timedelta(days=1)


def subject_link(code: str, leaf: bool, day: dt.date) -> str:
    """What a subject's figures of a day are made of: its accounts, or the leaves below it."""
    if leaf:
        return link("account_list", subject=code, day=day)
    return link("trial_balance", day=day, within=code)


def leaf_codes() -> set[str]:
    """Codes of subjects that carry accounts."""
    return set(Subject.objects.filter(is_leaf=True).values_list("code", flat=True))


@view("ledger.view")
def daily_sheet(request: HttpRequest) -> HttpResponseBase:
    """The subject daily sheet (日计表): balances of a day with the number of entries on each side."""
    data, day = day_query(request, latest_day)
    form = DayLevelForm(data)
    tables: list[Table] = []
    buttons = []
    if form.is_valid() and day is not None:
        level = form.cleaned_data["level"]
        within = form.cleaned_data["within"].replace(".", "")
        rows = reports.subject_daily_sheet(day, level=int(level) if level else None)
        shown = [row for row in rows if row.balance.code.startswith(within)]
        tables = [_sheet_table(day, shown, each) for each in sorted({row.currency for row in shown})]
        buttons = file_buttons(request, "daily_sheet", day=day, level=level)
    context = {
        "filters": form,
        "badges": [day_badge(day)] if day else [],
        "buttons": buttons,
        "tables": tables or [Table([], [], empty=_("Nothing was booked up to this day."))],
    }
    status = 200 if form.is_valid() and day is not None else 400
    return page(request, "console/ledger_day.html", context, title=_("Subject daily sheet"), status=status)


def day_badge(day: dt.date) -> Cell:
    """Whether the day's figures may still change."""
    closed = day_is_closed(day)
    return cells.badge("closed" if closed else "open", _("Closed day") if closed else _("Day not closed yet"))


def _sheet_table(day: dt.date, rows: list[reports.DailySheetRow], currency: str) -> Table:
    leaves = leaf_codes()
    lines: list[list[Cell]] = []
    sums = [0] * 4
    for row in rows:
        if row.currency != currency:
            continue
        figures = row.balance
        url = subject_link(figures.code, figures.code in leaves, day)
        if figures.element != Element.MEMO:
            for at, value in enumerate((row.debit_count, figures.debit, row.credit_count, figures.credit)):
                sums[at] += value
        lines.append(
            [
                cells.number(figures.dotted_code, url),
                cells.text(subject_name(figures), note=Side(figures.normal_side).label),
                cells.money(figures.opening, currency, url),
                cells.count(row.debit_count, url),
                cells.money(figures.debit or None, currency, url),
                cells.count(row.credit_count, url),
                cells.money(figures.credit or None, currency, url),
                cells.money(figures.closing, currency, url),
            ]
        )
    columns = [
        Column(_("Code")),
        Column(_("Subject")),
        Column(_("Opening"), "c-amount"),
        Column(_("Debit entries"), "c-amount"),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit entries"), "c-amount"),
        Column(_("Credit"), "c-amount"),
        Column(_("Closing"), "c-amount"),
    ]
    foot = [
        cells.text(_("Total")),
        cells.text(""),
        cells.text(""),
        cells.count(sums[0]),
        cells.money(sums[1], currency),
        cells.count(sums[2]),
        cells.money(sums[3], currency),
        cells.text(""),
    ]
    table = Table(columns, lines, title=currency, foot=foot)
    table.note = _("Opening and closing stand on the side named below the subject.")
    return table


@view("ledger.view")
def general_ledger(request: HttpRequest) -> HttpResponseBase:
    """The general ledger (总账): a subject and all below it, day by day."""
    data = range_data(request)
    first_subject = Subject.objects.order_by("code").values_list("code", flat=True).first()
    data.setdefault("subject", first_subject or "")
    form = SubjectRangeForm(data)
    tables: list[Table] = []
    buttons = []
    if form.is_valid():
        values = form.cleaned_data
        subject: Subject = values["subject"]
        parts = reports.general_ledger(subject, values["first"], values["last"])
        tables = [_general_table(part) for part in parts]
        buttons = file_buttons(
            request, "general_ledger", subject=subject.code, first=values["first"], last=values["last"]
        )
    context = {
        "filters": form,
        "buttons": buttons,
        "tables": tables or [Table([], [], empty=_("Nothing was booked under this subject in the range."))],
    }
    status = 200 if form.is_valid() else 400
    return page(request, "console/ledger_day.html", context, title=_("General ledger"), status=status)


def _general_table(part: reports.GeneralLedger) -> Table:
    subject, currency = part.subject, part.currency
    rows = [
        [
            cells.date(row.day, link("day", row.day)),
            *figure_cells(row, currency, subject_link(subject.code, subject.is_leaf, row.day)),
        ]
        for row in part.rows
    ]
    side = Side(subject.normal_side).label
    return Table(
        [Column(_("Accounting day")), *figure_columns()],
        rows,
        title=f"{subject_text(subject)} · {currency} · {side}",
        foot=[cells.text(_("Range")), *figure_cells(part, currency)],
    )


def figure_columns() -> list[Column]:
    """Headings of opening, turnover and closing."""
    return [Column(title, "c-amount") for title in (_("Opening"), _("Debit"), _("Credit"), _("Closing"))]


def figure_cells(row: Any, currency: str, url: str = "") -> list[Cell]:
    """Opening, turnover and closing of anything that has them."""
    return [
        cells.money(row.opening, currency, url),
        cells.money(row.debit or None, currency, url),
        cells.money(row.credit or None, currency, url),
        cells.money(row.closing, currency, url),
    ]


@view("ledger.view")
def account_days(request: HttpRequest) -> HttpResponseBase:
    """An account's day balances over a range; each day leads to its entries."""
    data = range_data(request)
    form = AccountRangeForm(data) if data.get("account") else AccountRangeForm(initial=data.dict())
    tables: list[Table] = []
    buttons = []
    if form.is_bound and form.is_valid():
        values = form.cleaned_data
        account = reports.account_by_number(values["account"])
        tables = [_account_table(account, reports.account_days(account, values["first"], values["last"]))]
        buttons = file_buttons(request, "account_days", **_query(values))
    context = {"filters": form, "buttons": buttons, "tables": tables}
    status = 400 if form.is_bound and not form.is_valid() else 200
    return page(request, "console/ledger_day.html", context, title=_("Day balances of an account"), status=status)


def _query(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("account", "first", "last")}


def _account_table(account: Account, days: list[reports.AccountDayRow]) -> Table:
    rows = [
        [
            cells.date(row.day, link("day", row.day)),
            *figure_cells(row, account.currency, link("account", account.pk, first=row.day, last=row.day)),
        ]
        for row in days
    ]
    side = Side(account.subject.normal_side).label
    title = f"{account.account_no} · {subject_text(account.subject)} · {account.currency} · {side}"
    empty = _("No accounting day lies in this range.")
    return Table([Column(_("Accounting day")), *figure_columns()], rows, title=title, empty=empty)


@view("ledger.view")
def balance_at(request: HttpRequest) -> HttpResponseBase:
    """What an account held at any moment, by posting time."""
    data = request.GET.copy()
    data.setdefault("moment", timezone.localtime().strftime("%Y-%m-%dT%H:%M:%S"))
    form = AccountMomentForm(data) if data.get("account") else AccountMomentForm(initial=data.dict())
    context: dict[str, Any] = {"filters": form}
    if form.is_bound and form.is_valid():
        account = reports.account_by_number(form.cleaned_data["account"])
        found = reports.balance_at(account, form.cleaned_data["moment"])
        context["facts"] = _moment_facts(found)
    status = 400 if form.is_bound and not form.is_valid() else 200
    return page(request, "console/ledger_day.html", context, title=_("Balance at a moment"), status=status)


def _moment_facts(found: reports.BalanceAt) -> list[tuple[Any, Cell]]:
    account, currency = found.account, found.account.currency
    first = found.base_day + ONE_DAY if found.base_day else None
    since = link("account", account.pk, first=first, last=min(_day_after(found), latest_day())) if first else ""
    closing = link("account", account.pk, first=found.base_day, last=found.base_day) if found.base_day else ""
    return [
        (_("Account"), cells.number(account.account_no, link("account", account.pk))),
        (_("Subject"), cells.text(subject_text(account.subject), note=Side(account.subject.normal_side).label)),
        (_("Moment"), cells.moment(found.moment)),
        (_("Balance"), cells.money(found.balance, currency)),
        (_("Last day closed by then"), cells.date(found.base_day, closing) if found.base_day else cells.text("–")),
        (_("Its closing balance"), cells.money(found.base, currency, closing)),
        (_("Entries posted since"), cells.count(found.entries, since)),
        (_("Debit"), cells.money(found.debit, currency, since)),
        (_("Credit"), cells.money(found.credit, currency, since)),
    ]


def _day_after(found: reports.BalanceAt) -> dt.date:
    """Entries of a moment may stand on its own day or on the next, which opens at cut-off."""
    return timezone.localtime(found.moment).date() + ONE_DAY


urlpatterns = [
    path("ledger/daily-sheet/", daily_sheet, name="daily_sheet"),
    path("ledger/general-ledger/", general_ledger, name="general_ledger"),
    path("ledger/account-days/", account_days, name="account_days"),
    path("ledger/balance-at/", balance_at, name="balance_at"),
]
