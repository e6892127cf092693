"""The chart of accounts: the tree with its balances, the chart as a file, and taking over another by two people."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from django import forms
from django.contrib import messages
from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.chart import dotted
from payops.accounts.chart_files import (
    FORMATS,
    ChartDifference,
    chart_difference,
    chart_export,
    chart_propose,
    chart_read,
    column_names,
)
from payops.accounts.models import Account, Subject
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import Button
from payops.console.shell import action, log_download, page, view
from payops.console.vouchers import subject_name
from payops.core.errors import PayopsError
from payops.core.formatting import money_with_currency

INDENT: Final = "\u2003"
"""One level down in the tree."""


@dataclass(slots=True)
class _Figures:
    """Accounts at and below a subject, and their balances on its normal side by currency (minor units)."""

    accounts: int = 0
    balances: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@view("ledger.view")
def chart(request: HttpRequest) -> HttpResponseBase:
    """The tree: each subject with its level, element, side, ERP code, accounts and balance now."""
    subjects = list(Subject.objects.order_by("code"))
    figures = _figures(subjects)
    rows = [_row(subject, figures[subject.code]) for subject in subjects]
    columns = [
        Column(_("Code")),
        Column(_("Name")),
        Column(_("Balance now"), "c-amount"),
        Column(_("Accounts"), "c-amount"),
        Column(_("Normal side")),
        Column(_("Element")),
        Column(_("Level"), "c-amount"),
        Column(_("ERP code")),
    ]
    table = Table(columns, rows, empty=_("No chart has been loaded yet."))
    table.note = _("Only subjects without sub-subjects carry accounts. A balance stands on the subject's normal side.")
    return page(request, "console/detail.html", {"buttons": _buttons(request), "tables": [table]}, title=_("Chart"))


def _buttons(request: HttpRequest) -> list[Button]:
    buttons = [Button(name.upper(), link("chart_export", name)) for name in FORMATS]
    if request.user.may("adjustments.propose"):
        buttons.insert(0, Button(_("Take over a file"), link("chart_import"), primary=True))
    return [*buttons, Button(_("Accounts by owner"), link("owner_list"))]


def _figures(subjects: list[Subject]) -> dict[str, _Figures]:
    sides = {subject.code: subject.normal_side for subject in subjects}
    found = {code: _Figures() for code in sides}
    sums = Account.objects.order_by().values_list("subject__code", "currency").annotate(n=Count("pk"), s=Sum("balance"))
    for code, currency, accounts, balance in sums:
        for length in range(4, len(code) + 1, 2):
            at = found[code[:length]]
            at.accounts += accounts
            at.balances[currency] += balance if sides[code] == sides[code[:length]] else -balance
    return found


def _row(subject: Subject, figures: _Figures) -> list[Cell]:
    level = (len(subject.code) - 2) // 2
    url = link("account_list", subject=subject.code) if subject.is_leaf else link("trial_balance", within=subject.code)
    shown = sorted(figures.balances.items())
    first = shown[0] if len(shown) == 1 else None
    balance = (
        cells.money(first[1], first[0], url)
        if first
        else Cell(" · ".join(money_with_currency(minor, currency) for currency, minor in shown), url, "c-amount")
    )
    return [
        cells.number(f"{INDENT * (level - 1)}{dotted(subject.code)}", url),
        cells.text(subject_name(subject)),
        balance,
        cells.count(figures.accounts, url if figures.accounts else ""),
        cells.text(subject.get_normal_side_display()),
        cells.text(subject.get_element_display()),
        cells.count(level),
        cells.number(subject.erp_code or "–"),
    ]


@view("ledger.view")
def chart_download(request: HttpRequest, file_format: str) -> HttpResponseBase:
    """The chart as YAML, CSV or XLSX."""
    if file_format not in FORMATS:
        raise Http404
    response = HttpResponse(chart_export(file_format), content_type=FORMATS[file_format])
    response["Content-Disposition"] = f'attachment; filename="chart.{file_format}"'
    response["Cache-Control"] = "no-store"
    log_download(request, "chart", format=file_format)
    return response


# --- taking over a file -----------------------------------------------------------------------------------------------


class ChartForm(forms.Form):
    """A chart file and why."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        max_length=200,
        help_text=gettext_lazy("YAML, CSV or XLSX as exported here. Subjects not in the file stay as they are."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 2}), max_length=2000
    )


@action("adjustments.propose", methods=("GET", "POST"))
def chart_import(request: HttpRequest) -> HttpResponse:
    """Compare a file with the chart, then propose it; errors are listed row by row."""
    form = ChartForm(request.POST or None, request.FILES or None)
    tables: list[Table] = []
    trouble = ""
    if request.method == "POST" and form.is_valid():
        upload = form.cleaned_data["file"]
        content, name = upload.read(), upload.name
        try:
            difference = chart_difference(chart_read(content, name))
            tables = difference_tables(difference)
            if "propose" in request.POST and not difference.errors:
                proposed = chart_propose(
                    content=content, name=name, reason=form.cleaned_data["reason"], maker=request.user
                )
                messages.success(request, _("Proposed as request #%d; another person decides.") % proposed.pk)
                return redirect(link("approval", proposed.pk))
            trouble = _("The file has errors; nothing can be proposed.") if difference.errors else ""
        except PayopsError as error:
            trouble = str(error)
    context = {
        "parent_title": _("Chart"),
        "parent_url": link("chart"),
        "form": form,
        "trouble": trouble,
        "tables": tables,
    }
    status = 400 if trouble or form.errors else 200
    return page(request, "console/chart_import.html", context, title=_("Take over a chart"), status=status)


def difference_tables(difference: ChartDifference) -> list[Table]:
    """What a file would change, or what is wrong with it."""
    if difference.errors:
        rows = [
            [cells.count(error.row), cells.number(dotted(error.code)), Cell(error.message, css="c-wrap")]
            for error in difference.errors
        ]
        columns = [Column(_("Row"), "c-amount"), Column(_("Code")), Column(_("What is wrong"))]
        return [Table(columns, rows, title=_("Errors"))]
    names = column_names()
    added = [
        [cells.number(dotted(row["code"])), *(cells.text(row[name]) for name in ("name", "name_zh", "element", "side"))]
        for row in difference.added
    ]
    changed = [
        [cells.number(dotted(code)), cells.text(names[column]), cells.text(before or "–"), cells.text(after or "–")]
        for code, column, before, after in difference.changed
    ]
    return [
        Table(
            [Column(names[name]) for name in ("code", "name", "name_zh", "element", "side")],
            added,
            title=_("Subjects added"),
            empty=_("None."),
        ),
        Table(
            [Column(names["code"]), Column(_("What")), Column(_("Now")), Column(_("In the file"))],
            changed,
            title=_("Changes"),
            empty=_("None."),
        ),
    ]


urlpatterns = [
    path("ledger/chart/", chart, name="chart"),
    path("ledger/chart/export/<str:file_format>/", chart_download, name="chart_export"),
    path("ledger/chart/import/", chart_import, name="chart_import"),
]
