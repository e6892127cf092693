"""The books by day: trial balance, accounting days with their checks, the customers' money."""

from __future__ import annotations

import datetime as dt
from typing import Any

import django_filters
from django import forms
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from payops.accounts.chart import dotted
from payops.accounts.choices import DayState, Element, FindingLevel, Side
from payops.accounts.models import (
    AccountingDay,
    DayFinding,
    Subject,
)
from payops.accounts.selectors import (
    MONEY_GUARD_TERMS,
    TrialBalanceRow,
    customers_money_guard,
    day_is_closed,
    trial_balance,
    trial_balance_totals,
)
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import day_query, latest_day
from payops.console.lists import Button, list_page
from payops.console.report_parts import file_buttons
from payops.console.shell import page, view
from payops.console.vouchers import subject_name
from payops.core.errors import PayopsError
from payops.core.formatting import money
from payops.core.retelling import retold
from payops.dayend.models import DayStep

DAYS_OF_MONEY = 7
"""How many closed days the customers' money is looked back on."""

CHECK_LABELS: dict[str, Any] = {
    "complete_vouchers": gettext_lazy("Every voucher has its lines"),
    "debit_equals_credit": gettext_lazy("Debit total = credit total"),
    "trial_balance": gettext_lazy("Trial balance"),
    "subject_totals": gettext_lazy("Subject total = sum of its accounts"),
    "opening_equals_closing": gettext_lazy("Opening = closing of the day before"),
    "stored_balance": gettext_lazy("Stored balances = sum of their entries"),
    "reports": gettext_lazy("Reports = day balances"),
    "customers_money": gettext_lazy("Customers' money guard"),
    "orders.vouchers": gettext_lazy("Every transaction has its voucher, and the reverse"),
    "suspense_equals_open_cases": gettext_lazy("Suspense = open cases"),
    "clearing_accounts_explained": gettext_lazy("Channel pending clearing is explained"),
}
"""The checks of the day end in words."""


class TrialBalanceForm(forms.Form):
    """Which day, how deep."""

    LEVELS = (
        ("", gettext_lazy("Leaf subjects")),
        ("1", gettext_lazy("Level 1")),
        ("2", gettext_lazy("Level 2")),
        ("3", gettext_lazy("Level 3")),
        ("4", gettext_lazy("Level 4")),
    )
    day = forms.DateField(
        label=gettext_lazy("Accounting day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    level = forms.ChoiceField(label=gettext_lazy("Subjects"), choices=LEVELS, required=False)
    within = forms.RegexField(
        label=gettext_lazy("Subject begins with"), regex=r"^[0-9.]{1,13}$", required=False, max_length=13
    )


@view("ledger.view")
def trial_balance_page(request: HttpRequest) -> HttpResponseBase:
    """Opening, turnover and closing by subject; every figure leads to the accounts it is the sum of."""
    data, day = day_query(request, latest_day)
    form = TrialBalanceForm(data)
    tables: list[Table] = []
    badges: list[Cell] = []
    if form.is_valid() and day is not None:
        level = int(form.cleaned_data["level"]) if form.cleaned_data["level"] else None
        rows = trial_balance(day, level=level)
        badges = _trial_badges(day, rows)
        within = form.cleaned_data["within"].replace(".", "")
        shown = [row for row in rows if row.code.startswith(within)]
        currencies = sorted({row.currency for row in shown})
        tables = [_trial_table(day, [row for row in shown if row.currency == each], each) for each in currencies]
    context = {
        "filters": form,
        "badges": badges,
        "tables": tables or [Table([], [], empty=_("Nothing was booked up to this day."))],
        "buttons": _trial_buttons(request, form, day) if form.is_valid() and day is not None else [],
    }
    status = 200 if form.is_valid() and day is not None else 400
    return page(request, "console/ledger_day.html", context, title=_("Trial balance"), status=status)


def _trial_buttons(request: HttpRequest, form: TrialBalanceForm, day: dt.date) -> list[Button]:
    files = file_buttons(request, "trial_balance", day=day, level=form.cleaned_data["level"])
    return [*_day_buttons(day, skip="trial_balance"), *files]


def _trial_badges(day: dt.date, rows: list[TrialBalanceRow]) -> list[Cell]:
    closed = day_is_closed(day)
    badges = [cells.badge("closed" if closed else "open", _("Closed day") if closed else _("Day not closed yet"))]
    for total in trial_balance_totals(rows):
        state = _("balanced") if total.balanced else _("not balanced")
        badges.append(
            cells.badge("", f"{total.currency} {state}", tone="success" if total.balanced else "danger"),
        )
    return badges


def _trial_table(day: dt.date, rows: list[TrialBalanceRow], currency: str) -> Table:
    # A leaf's figures are those of its accounts, any other subject's those of the leaves below it.
    leaves = set(Subject.objects.filter(is_leaf=True).values_list("code", flat=True))
    lines = []
    sums = [0] * 6
    for row in rows:
        figures = _six_columns(row)
        if row.element != Element.MEMO:
            sums = [total + value for total, value in zip(sums, figures, strict=True)]
        leaf = row.code in leaves
        url = (
            link("account_list", subject=row.code, day=day) if leaf else link("trial_balance", day=day, within=row.code)
        )
        lines.append(
            [
                cells.number(row.dotted_code, url),
                cells.text(subject_name(row)),
                cells.text(Element(row.element).label),
                *[cells.money(value or None, currency, url) for value in figures],
            ]
        )
    columns = [
        Column(_("Code")),
        Column(_("Subject")),
        Column(_("Element")),
        Column(_("Opening debit"), "c-amount"),
        Column(_("Opening credit"), "c-amount"),
        Column(_("Debit turnover"), "c-amount"),
        Column(_("Credit turnover"), "c-amount"),
        Column(_("Closing debit"), "c-amount"),
        Column(_("Closing credit"), "c-amount"),
    ]
    foot = [cells.text(_("Total")), cells.text(""), cells.text(""), *[cells.money(value, currency) for value in sums]]
    return Table(columns, lines, title=currency, foot=foot)


def _six_columns(row: TrialBalanceRow) -> list[int]:
    on_debit = row.opening if row.normal_side == Side.DEBIT else -row.opening
    return [
        max(on_debit, 0), max(-on_debit, 0), row.debit, row.credit, row.closing_debit, row.closing_credit
    ]  # fmt: skip


def _day_buttons(day: dt.date, *, skip: str = "") -> list[Button]:
    """From one page of a day to the others."""
    every = [
        ("day", Button(_("Day %s") % day, link("day", day))),
        ("trial_balance", Button(_("Trial balance"), link("trial_balance", day=day))),
        ("daily_sheet", Button(_("Subject daily sheet"), link("daily_sheet", day=day))),
        ("account_list", Button(_("Accounts"), link("account_list", day=day))),
        ("voucher_list", Button(_("Vouchers"), link("voucher_list", day=day))),
        ("money_guard", Button(_("Customers' money"), link("money_guard", day=day))),
    ]
    return [button for name, button in every if name != skip]


class DayStateFilter(django_filters.FilterSet):
    """Accounting days."""

    state = django_filters.ChoiceFilter(
        label=gettext_lazy("State"), choices=DayState.choices, empty_label=gettext_lazy("All")
    )

    class Meta:
        model = AccountingDay
        fields: list[str] = []


@view("ledger.view")
def day_list(request: HttpRequest) -> HttpResponseBase:
    """Accounting days, the latest first, with what their checks found."""
    for name in ("after", "before"):
        if request.GET.get(name) and _day_from(request.GET[name]) is None:
            raise PayopsError("console.period", _("Write a day as 2026-11-20."), {name: request.GET[name]})
    counts: dict[dt.date, int] = {}

    def prepare(days: list[AccountingDay]) -> None:
        findings = DayFinding.objects.filter(day__in=days).order_by().values_list("day_id")
        counts.update(dict(findings.annotate(number=Count("id"))))

    def row(day: AccountingDay) -> list[Cell]:
        return [
            cells.date(day.day, link("day", day.day)),
            cells.state(day),
            cells.count(day.voucher_count, link("voucher_list", day=day.day)),
            cells.count(day.entry_count),
            Cell(_totals_text(day.debit_total), css="c-amount"),
            _finding_cell(day, counts.get(day.day, 0)),
            cells.moment(day.cut_off_at),
            cells.moment(day.closed_at),
            cells.number(day.seal[:16]),
        ]

    columns = [
        Column(_("Day")),
        Column(_("State")),
        Column(_("Vouchers"), "c-amount"),
        Column(_("Entries"), "c-amount"),
        Column(_("Debit total"), "c-amount"),
        Column(_("Findings")),
        Column(_("Cut off")),
        Column(_("Closed")),
        Column(_("Seal")),
    ]
    return list_page(
        request,
        title=_("Accounting days"),
        filters=DayStateFilter(request.GET, queryset=AccountingDay.objects.all(), request=request),
        columns=columns,
        row=row,
        prepare=prepare,
        key="day",
        empty=_("No accounting day has been opened yet."),
    )


def _day_from(text: str) -> dt.date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _totals_text(totals: dict[str, int] | None) -> str:
    return " · ".join(f"{money(amount, currency)} {currency}" for currency, amount in sorted((totals or {}).items()))


def _finding_cell(day: AccountingDay, number: int) -> Cell:
    if day.state != DayState.CLOSED:
        return cells.text("–")
    if not number:
        return cells.badge("", _("none"), tone="success")
    label = ngettext("%d finding", "%d findings", number) % number
    return cells.badge("", label, link("day", day.day), tone="danger")


@view("ledger.view")
def day_page(request: HttpRequest, day: str) -> HttpResponseBase:
    """One accounting day: its checks and what they found, its steps, its balances by subject."""
    wanted = _day_from(day)
    found = AccountingDay.objects.filter(day=wanted).first() if wanted else None
    if found is None:
        raise Http404
    rows = trial_balance(found.day, level=1)
    tables = [_finding_table(found)]
    currencies = sorted({row.currency for row in rows})
    for currency in currencies:
        table = _trial_table(found.day, [row for row in rows if row.currency == currency], currency)
        table.title = _("Balances by subject (%s)") % currency
        tables.append(table)
    context = {
        "parent_title": _("Accounting days"),
        "parent_url": link("day_list"),
        "badges": [cells.state(found)],
        "buttons": _day_buttons(found.day, skip="day"),
        "facts": _day_facts(found),
        "columns": [table for table in (_check_table(found), _step_table(found)) if table.rows],
        "tables": [table for table in tables if table.rows],
    }
    return page(request, "console/day.html", context, title=found.day.isoformat())


def _day_facts(found: AccountingDay) -> list[tuple[Any, Cell]]:
    return [
        (_("Opened"), cells.moment(found.opened_at)),
        (_("Cut off"), cells.moment(found.cut_off_at)),
        (_("Closed"), cells.moment(found.closed_at)),
        (_("Vouchers"), cells.count(found.voucher_count, link("voucher_list", day=found.day))),
        (_("Entries"), cells.count(found.entry_count)),
        (_("Debit total"), Cell(_totals_text(found.debit_total), css="c-amount")),
        (_("Seal"), cells.number(found.seal or "–")),
    ]


def _check_table(found: AccountingDay) -> Table:
    """Each check with what it found; a day that is not closed has not been checked."""
    if found.state != DayState.CLOSED:
        return Table([], [])
    counts = dict(found.findings.order_by().values_list("check_name").annotate(number=Count("id")))
    names = [*CHECK_LABELS, *(name for name in sorted(counts) if name not in CHECK_LABELS)]
    rows = [
        [
            cells.text(CHECK_LABELS.get(name, name)),
            cells.badge("", _("nothing found"), tone="success")
            if not counts.get(name)
            else cells.badge("", ngettext("%d finding", "%d findings", counts[name]) % counts[name], tone="danger"),
        ]
        for name in names
    ]
    return Table([Column(_("Check")), Column(_("Result"))], rows, title=_("Checks of the day end"))


def _finding_table(found: AccountingDay) -> Table:
    tones = {FindingLevel.INFO: "info", FindingLevel.WARNING: "warning", FindingLevel.ERROR: "danger"}
    rows = [
        [
            cells.badge(finding.level, finding.get_level_display(), tone=tones[FindingLevel(finding.level)]),
            cells.text(CHECK_LABELS.get(finding.check_name, finding.check_name)),
            Cell(retold(finding.message), css="c-wrap"),
            cells.moment(finding.found_at),
        ]
        for finding in found.findings.order_by("id")[:500]
    ]
    columns = [Column(_("Level")), Column(_("Check")), Column(_("Message")), Column(_("Found at"))]
    return Table(columns, rows, title=_("Findings, sealed with the day"))


def _step_table(found: AccountingDay) -> Table:
    rows = [
        [
            cells.text(step.get_step_display()),
            cells.state(step),
            Cell(retold(step.message), css="c-wrap" if step.message else ""),
            cells.number(step.job_id, link("job", step.job_id)) if step.job_id else cells.text("–"),
            cells.moment(step.updated_at),
        ]
        for step in DayStep.objects.filter(day=found.day).order_by("id")
    ]
    columns = [Column(_("Step")), Column(_("State")), Column(_("Message")), Column(_("Job")), Column(_("Updated"))]
    return Table(columns, rows, title=_("Steps of the day"))


GUARD_LABELS: dict[str, Any] = {
    "reserve": gettext_lazy("Reserve deposits"),
    "payable_to_merchants": gettext_lazy("Payable to merchants"),
    "merchants_deposits": gettext_lazy("Merchants' deposits"),
    "payouts_in_flight": gettext_lazy("Merchants' payouts in flight"),
    "surplus": gettext_lazy("Surplus in suspense"),
    "receivable_from_channels": gettext_lazy("Receivable from channels"),
    "channel_pending_clearing": gettext_lazy("Channel pending clearing"),
    "shortage": gettext_lazy("Shortage in suspense"),
    "escrow": gettext_lazy("Escrow not confirmed"),
    "between_reserve_accounts": gettext_lazy("Between reserve accounts"),
}


class DayOnlyForm(forms.Form):
    """Which day."""

    day = forms.DateField(
        label=gettext_lazy("Accounting day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )


@view("ledger.view")
def money_guard(request: HttpRequest) -> HttpResponseBase:
    """Whether customers' money is touched: own money in the reserve, term by term."""
    data, day = day_query(request, latest_day)
    form = DayOnlyForm(data)
    tables, badges = [], []
    if form.is_valid() and day is not None:
        guard = customers_money_guard(day)
        badges = [cells.yes_no(guard["ok"], _("Customers' money is whole"), _("Customers' money is being used"))]
        tables = [_guard_table(day, currency, each) for currency, each in sorted(guard["currencies"].items())]
        tables.append(_guard_history(day))
    context = {
        "filters": form,
        "badges": badges,
        "buttons": _day_buttons(day, skip="money_guard") if day else [],
        "tables": [table for table in tables if table.rows],
    }
    status = 200 if form.is_valid() and day is not None else 400
    return page(request, "console/ledger_day.html", context, title=_("Customers' money"), status=status)


def _guard_table(day: dt.date, currency: str, guard: dict[str, Any]) -> Table:
    rows = []
    for name, balance in guard["terms"].items():
        prefixes, owner_kind, sign = MONEY_GUARD_TERMS[name]
        (prefix,) = prefixes
        leaf = len(prefix) > 4
        url = (
            link("account_list", subject=prefix, owner_kind=owner_kind, day=day)
            if leaf
            else link("trial_balance", day=day, within=prefix)
        )
        rows.append(
            [
                cells.text("+" if sign > 0 else "−"),
                cells.text(GUARD_LABELS[name], url),
                cells.number(dotted(prefix)),
                cells.money(balance, currency, url),
            ]
        )
    columns = [Column(""), Column(_("Term")), Column(_("Subject")), Column(_("Amount"), "c-amount")]
    foot = [
        cells.text("="),
        cells.text(_("Own money in the reserve")),
        cells.text(""),
        cells.money(guard["own_money"], currency),
    ]
    table = Table(
        columns, rows, title=_("Guard of %(day)s (%(currency)s)") % {"day": day, "currency": currency}, foot=foot
    )
    table.note = _("Below zero the reserve holds less than what belongs to customers.")
    return table


def _guard_history(day: dt.date) -> Table:
    """Own money on the closed days before."""
    days = AccountingDay.objects.filter(state=DayState.CLOSED, day__lt=day).order_by("-day")
    rows = []
    for earlier in days.values_list("day", flat=True)[:DAYS_OF_MONEY]:
        for currency, each in sorted(customers_money_guard(earlier)["currencies"].items()):
            rows.append(
                [
                    cells.date(earlier, link("money_guard", day=earlier)),
                    cells.text(currency),
                    cells.money(each["terms"]["reserve"], currency),
                    cells.money(each["own_money"], currency),
                ]
            )
    columns = [
        Column(_("Day")),
        Column(_("Currency")),
        Column(_("Reserve deposits"), "c-amount"),
        Column(_("Own money in the reserve"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Days before"))


urlpatterns = [
    path("ledger/trial-balance/", trial_balance_page, name="trial_balance"),
    path("ledger/days/", day_list, name="day_list"),
    path("ledger/days/<str:day>/", day_page, name="day"),
    path("ledger/customers-money/", money_guard, name="money_guard"),
]
