"""Reports of the ledger over ranges: months, quarters and years, totals by classification code, mapped reports."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts import classification, reports
from payops.accounts.choices import Element, Event, Side
from payops.accounts.models import ClassificationCode, ClassificationRule, DayTotal
from payops.accounts.periods import PERIOD_KINDS, Period, period_of
from payops.accounts.selectors import TrialBalanceRow
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import latest_day
from payops.console.lists import PAGE_SIZE, Button
from payops.console.report_parts import LEVELS, RangeForm, file_buttons, range_data, subject_text
from payops.console.shell import page, view
from payops.console.views.reports import figure_cells, figure_columns, leaf_codes
from payops.console.vouchers import subject_name
from payops.core.errors import PayopsError
from payops.core.formatting import local_name

KIND_LABELS: dict[str, Any] = {
    "month": gettext_lazy("Month"),
    "quarter": gettext_lazy("Quarter"),
    "year": gettext_lazy("Year"),
}
MAPPING_LABELS: dict[str, Any] = {
    "customer_flows": gettext_lazy("Customers' money by flow"),
    "result": gettext_lazy("Result of the days"),
}
"""The mapped reports that come with payops, in words."""


# --- periods ----------------------------------------------------------------------------------------------------------


class PeriodForm(forms.Form):
    """Which period, how deep, or one subject's accounts."""

    period = forms.ChoiceField(label=gettext_lazy("Period"))
    level = forms.ChoiceField(label=gettext_lazy("Subjects"), choices=LEVELS, required=False)
    subject = forms.RegexField(
        label=gettext_lazy("Accounts of subject"), regex=r"^[0-9.]{4,13}$", required=False, max_length=13
    )

    def __init__(self, *args: Any, periods: list[Period], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["period"].choices = [
            (period.label, f"{period.label} · {KIND_LABELS[period.kind]}") for period in periods
        ]


@view("ledger.view")
def period_page(request: HttpRequest) -> HttpResponseBase:
    """Balances of a month, quarter or year that has ended: by subject, and by account within one."""
    periods = reports.periods_written()
    if not periods:
        empty = _("No period has ended yet. A month is written when its last day closes.")
        context = {"tables": [Table([], [], empty=empty), _waiting_table()]}
        return page(request, "console/detail.html", context, title=_("Period balances"))
    data = request.GET.copy()
    data.setdefault("period", periods[0].label)
    form = PeriodForm(data, periods=periods)
    tables: list[Table] = []
    buttons: list[Button] = []
    badges: list[Cell] = []
    if form.is_valid():
        period = reports.period_named(form.cleaned_data["period"])
        level, subject = form.cleaned_data["level"], form.cleaned_data["subject"].replace(".", "")
        if subject:
            tables = [_period_accounts(request, period, subject)]
            buttons = file_buttons(request, "period_accounts", period=period.label, subject=subject)
        else:
            tables = _period_tables(period, int(level) if level else None)
            buttons = file_buttons(request, "period_balances", period=period.label, level=level)
        badges = [cells.badge("", f"{period.first_day} – {period.last_day}", tone="success")]
    context = {"filters": form, "tables": [*tables, _waiting_table()], "buttons": buttons, "badges": badges}
    status = 200 if form.is_valid() else 400
    return page(request, "console/ledger_day.html", context, title=_("Period balances"), status=status)


def _period_tables(period: Period, level: int | None) -> list[Table]:
    rows = reports.period_trial_balance(period, level=level)
    return [_period_table(period, rows, each) for each in sorted({row.currency for row in rows})]


def _period_table(period: Period, rows: list[TrialBalanceRow], currency: str) -> Table:
    leaves = leaf_codes()
    lines = []
    debit = credit = 0
    for row in rows:
        if row.currency != currency:
            continue
        url = (
            link("period_list", period=period.label, subject=row.code)
            if row.code in leaves
            else link("general_ledger", subject=row.code, first=period.first_day, last=period.last_day)
        )
        if row.element != Element.MEMO:
            debit, credit = debit + row.debit, credit + row.credit
        lines.append(
            [
                cells.number(row.dotted_code, url),
                cells.text(subject_name(row), note=Side(row.normal_side).label),
                *figure_cells(row, currency, url),
            ]
        )
    foot = [
        cells.text(_("Total")),
        cells.text(""),
        cells.text(""),
        cells.money(debit, currency),
        cells.money(credit, currency),
        cells.text(""),
    ]
    columns = [Column(_("Code")), Column(_("Subject")), *figure_columns()]
    return Table(columns, lines, title=f"{period.label} · {currency}", foot=foot)


def _period_accounts(request: HttpRequest, period: Period, subject: str) -> Table:
    after = request.GET.get("after", "")
    rows = list(
        islice(
            reports.period_account_balances(period, subject=subject, after=int(after) if after.isdecimal() else 0),
            PAGE_SIZE + 1,
        )
    )
    lines = [
        [
            cells.number(
                row.account_no,
                link("account_days", account=row.account_no, first=period.first_day, last=period.last_day),
            ),
            cells.text(row.owner_no or "–"),
            cells.text(row.currency),
            *figure_cells(
                row,
                row.currency,
                link("account_days", account=row.account_no, first=period.first_day, last=period.last_day),
            ),
        ]
        for row in rows[:PAGE_SIZE]
    ]
    if len(rows) > PAGE_SIZE:
        more = link("period_list", period=period.label, subject=subject, after=rows[PAGE_SIZE - 1].account_id)
        lines.append([cells.text(_("more accounts"), more), *[cells.text("") for _each in range(6)]])
    columns = [Column(_("Account")), Column(_("Owner")), Column(_("Currency")), *figure_columns()]
    found = reports.subject_by_code(subject)
    return Table(
        columns, lines, title=f"{period.label} · {subject_text(found)}", empty=_("No account moved or held anything.")
    )


def _waiting_table() -> Table:
    """The periods under way, which have balances when their last day closes."""
    today = latest_day()
    rows = [
        [
            cells.text(KIND_LABELS[period.kind]),
            cells.text(period.label),
            cells.date(period.first_day),
            cells.date(period.last_day),
        ]
        for period in (period_of(kind, today) for kind in PERIOD_KINDS)
    ]
    columns = [Column(_("Period")), Column(_("Name")), Column(_("From")), Column(_("To"))]
    return Table(columns, rows, title=_("Under way"))


# --- classification ---------------------------------------------------------------------------------------------------


@view("ledger.view")
def classification_page(request: HttpRequest) -> HttpResponseBase:
    """A range of days summed by classification code first, then by subject; a code leads to its events by day."""
    form = RangeForm(range_data(request, days=1))
    tables: list[Table] = []
    buttons: list[Button] = []
    if form.is_valid():
        first, last = form.cleaned_data["first"], form.cleaned_data["last"]
        rows = classification.classified(first, last)
        currencies = sorted({row.currency for row in rows})
        tables = [_code_table(rows, each, first, last) for each in currencies]
        buttons = [
            *file_buttons(request, "classification", first=first, last=last),
            *(
                Button(_mapping_name(each), link("mapped_report", mapping=each, first=first, last=last))
                for each in classification.mapped_reports()
            ),
        ]
    context = {
        "filters": form,
        "buttons": buttons,
        "tables": tables or [Table([], [], empty=_("Nothing was booked in this range."))],
    }
    status = 200 if form.is_valid() else 400
    return page(request, "console/ledger_day.html", context, title=_("Classification"), status=status)


def _mapping_name(name: str) -> Any:
    return MAPPING_LABELS.get(name, name)


def _code_table(rows: list[classification.ClassifiedRow], currency: str, first: dt.date, last: dt.date) -> Table:
    lines: list[list[Cell]] = []
    previous: Any = object()
    for row in rows:
        if row.currency != currency:
            continue
        head = row.code != previous
        previous = row.code
        url = link("classification_code", row.code.code if row.code else "-", first=first, last=last)
        ledger = link("general_ledger", subject=row.subject.code, first=first, last=last)
        lines.append(
            [
                cells.number(row.code.code if row.code else "–", url) if head else cells.text(""),
                cells.text(local_name(row.code) if row.code else _("Not classified")) if head else cells.text(""),
                cells.text(subject_text(row.subject), ledger),
                cells.count(row.entries, url),
                cells.money(row.debit or None, currency, url),
                cells.money(row.credit or None, currency, url),
            ]
        )
    columns = [
        Column(_("Code")),
        Column(_("Name")),
        Column(_("Subject")),
        Column(_("Entries"), "c-amount"),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
    ]
    foot = [
        cells.text(_("Total")),
        cells.text(""),
        cells.text(""),
        cells.count(sum(row.entries for row in rows if row.currency == currency)),
        cells.money(sum(row.debit for row in rows if row.currency == currency), currency),
        cells.money(sum(row.credit for row in rows if row.currency == currency), currency),
    ]
    return Table(columns, lines, title=currency, foot=foot)


@view("ledger.view")
def classification_code(request: HttpRequest, code: str) -> HttpResponseBase:
    """One code over a range: its events day by day, each leading to the vouchers. "-" stands for no code."""
    found = ClassificationCode.objects.filter(code=code).first()
    if found is None and code != "-":
        raise _no_code(code)
    form = RangeForm(range_data(request, days=1))
    if not form.is_valid():
        return page(request, "console/ledger_day.html", {"filters": form}, title=code, status=400)
    first, last = form.cleaned_data["first"], form.cleaned_data["last"]
    events = set(ClassificationRule.objects.filter(code=found).values_list("event", flat=True))
    if found is None:
        events = {event.value for event in Event} - set(ClassificationRule.objects.values_list("event", flat=True))
    context = {
        "parent_title": _("Classification"),
        "parent_url": link("classification", first=first, last=last),
        "filters": form,
        "tables": [_event_table(sorted(events), first, last), _open_event_table(sorted(events), first, last)],
    }
    context["tables"] = [table for table in context["tables"] if table.rows or table.empty]
    title = f"{found.code} {local_name(found)}" if found else _("Not classified")
    return page(request, "console/ledger_day.html", context, title=title)


def _no_code(code: str) -> PayopsError:
    return PayopsError("classification.unknown", _("There is no classification code “%s”.") % code, {"code": code})


def _event_table(events: list[int], first: dt.date, last: dt.date) -> Table:
    """Closed days from their totals."""
    totals = DayTotal.objects.filter(day__range=(first, last), event__in=events).select_related("subject")
    rows = [
        _event_row(total.day, total.event, total.subject, total.currency, total)
        for total in totals.order_by("day", "event", "subject__code", "currency")[:500]
    ]
    return Table(_event_columns(), rows, title=_("Closed days"), empty=_("Nothing of this was booked on closed days."))


def _open_event_table(events: list[int], first: dt.date, last: dt.date) -> Table:
    """The open day, where it is in the range."""
    day = latest_day()
    if not first <= day <= last or reports.day_is_closed(day):
        return Table([], [])
    rows = [
        _event_row(day, total.event, total.subject, total.currency, total)
        for total in classification.event_totals(day, day)
        if total.event in events
    ]
    return Table(_event_columns(), rows, title=_("The open day"))


def _event_columns() -> list[Column]:
    return [
        Column(_("Accounting day")),
        Column(_("Event")),
        Column(_("Subject")),
        Column(_("Currency")),
        Column(_("Entries"), "c-amount"),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
    ]


def _event_row(day: dt.date, event: int, subject: Any, currency: str, total: Any) -> list[Cell]:
    url = link("voucher_list", day=day, event=event)
    return [
        cells.date(day, link("day", day)),
        cells.text(Event(event).label, url),
        cells.text(subject_text(subject)),
        cells.text(currency),
        cells.count(total.debit_count + total.credit_count, url),
        cells.money(total.debit or None, currency, url),
        cells.money(total.credit or None, currency, url),
    ]


class MappingForm(RangeForm):
    """A mapped report over a range of days."""

    field_order = ("mapping", "first", "last")
    mapping = forms.ChoiceField(label=gettext_lazy("Report"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mapping"].choices = [(name, _mapping_name(name)) for name in classification.mapped_reports()]


@view("ledger.view")
def mapped_report(request: HttpRequest) -> HttpResponseBase:
    """A report that is nothing but a mapping of codes; below each line stands what it is made of."""
    names = classification.mapped_reports()
    if not names:
        empty = _("No mapped report is set up. Load the classification.")
        context = {"tables": [Table([], [], empty=empty)]}
        return page(request, "console/detail.html", context, title=_("Mapped reports"))
    data = range_data(request, days=1)
    data.setdefault("mapping", names[0])
    form = MappingForm(data)
    tables: list[Table] = []
    buttons: list[Button] = []
    if form.is_valid():
        name, first, last = (form.cleaned_data[each] for each in ("mapping", "first", "last"))
        rows = classification.mapped_report(name, first, last)
        currencies = sorted({row.currency for row in rows})
        tables = [
            table for each in currencies for table in (_mapped_table(rows, each), _term_table(rows, each, first, last))
        ]
        buttons = file_buttons(request, "mapped", mapping=name, first=first, last=last)
    context = {
        "filters": form,
        "buttons": buttons,
        "tables": tables or [Table([], [], empty=_("Nothing was booked in this range."))],
    }
    status = 200 if form.is_valid() else 400
    return page(request, "console/ledger_day.html", context, title=_("Mapped reports"), status=status)


def _mapped_table(rows: list[classification.MappedRow], currency: str) -> Table:
    lines = [
        [
            cells.number(row.line.number),
            cells.text(local_name(row.line)),
            cells.money(row.amount, currency),
        ]
        for row in rows
        if row.currency == currency
    ]
    total = sum(row.amount for row in rows if row.currency == currency)
    columns = [Column(_("Line")), Column(_("Name")), Column(_("Amount"), "c-amount")]
    foot = [cells.text(""), cells.text(_("Total")), cells.money(total, currency)]
    return Table(columns, lines, title=currency, foot=foot)


def _term_table(rows: list[classification.MappedRow], currency: str, first: dt.date, last: dt.date) -> Table:
    """What each line is made of, leading to the codes' events."""
    lines = [
        [
            cells.number(row.line.number),
            cells.text(local_name(row.line)),
            cells.number(term.code.code, link("classification_code", term.code.code, first=first, last=last)),
            cells.text(local_name(term.code)),
            cells.text(
                subject_text(term.subject), link("general_ledger", subject=term.subject.code, first=first, last=last)
            ),
            cells.text(Side(term.side).label),
            cells.money(
                amount, currency, link("classification_code", term.code.code, first=first, last=last), signed=True
            ),
        ]
        for row in rows
        if row.currency == currency
        for term, amount in row.terms
        if amount
    ]
    columns = [
        Column(_("Line")),
        Column(_("Name")),
        Column(_("Code")),
        Column(_("Classification")),
        Column(_("Subject")),
        Column(_("Side")),
        Column(_("Amount"), "c-amount"),
    ]
    table = Table(columns, lines, title=_("What the lines are made of (%s)") % currency)
    table.note = _("Terms that came to nothing in the range are left out.")
    return table


urlpatterns = [
    path("ledger/periods/", period_page, name="period_list"),
    path("ledger/classification/", classification_page, name="classification"),
    path("ledger/classification/<str:code>/", classification_code, name="classification_code"),
    path("ledger/mapped-reports/", mapped_report, name="mapped_report"),
]
