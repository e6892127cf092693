"""The whole story of one payment on one page, and the way to it from any number."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.chart import dotted
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.forms import DATE
from payops.console.shell import page, view
from payops.core.errors import PayopsError
from payops.reconciliation.choices import ResultKind
from payops.statements.story import Event, Story, story_of

CHAPTERS: Final[dict[str, Any]] = {
    "order": gettext_lazy("Order"),
    "bill": gettext_lazy("Bill"),
    "run": gettext_lazy("Reconciliation"),
    "case": gettext_lazy("Case"),
    "settlement": gettext_lazy("Settlement"),
    "money": gettext_lazy("Bank"),
    "ledger": gettext_lazy("Voucher"),
}
PAGES: Final = {"case": "case_detail"}
"""The page of each kind of document, where it is not called the same."""


class ExplainForm(forms.Form):
    """Which number, and where to look for what is old."""

    q = forms.CharField(label=gettext_lazy("Number"), max_length=64)
    day = forms.DateField(label=gettext_lazy("Channel day, if old"), required=False, widget=DATE)


@view("transactions.view")
def explain(request: HttpRequest) -> HttpResponseBase:
    """Order, bill lines, runs, vouchers, case, clearing and payout of one payment, in the order of time."""
    form = ExplainForm(request.GET) if "q" in request.GET else ExplainForm()
    context: dict[str, Any] = {"filters": form}
    title = _("What happened to a payment")
    if form.is_bound and form.is_valid():
        wanted = form.cleaned_data["q"].strip()
        title = _("What happened to %s") % wanted
        try:
            context |= _told(story_of(wanted, day=form.cleaned_data["day"]))
        except PayopsError as error:
            context["trouble"] = str(error)
    else:
        context["lead"] = _(
            "Any number of a payment: transaction, refund, order, channel trade, record or case number, matching key."
        )
    return page(request, "console/explain.html", context, title=title)


def _told(story: Story) -> dict[str, Any]:
    rows = story.subjects.transactions.values()
    lines = story.subjects.lines.values()
    facts = [
        *((_("Transaction"), cells.number(row.transaction_no, link("transaction", row.pk))) for row in rows),
        *((_("Bill line"), cells.number(line.trade_no or line.pk, link("bill_line", line.pk))) for line in lines),
    ]
    return {"facts": facts, "story_table": _story_table(story.events)}


def _story_table(events: list[Event]) -> Table:
    rows: list[list[Cell]] = []
    previous: dt.date | None = None
    for event in events:
        moment = cells.moment(event.at)
        day, clock = moment.text[:10], moment.text[11:]
        rows.append(
            [
                Cell(day if day != previous else "", css="c-date"),
                Cell(clock, css="c-date"),
                cells.text(CHAPTERS[event.chapter]),
                Cell(event.title, _page_of(event), "c-wrap", note=_note(event)),
                _said(event),
                cells.money(event.amount, event.currency, signed=event.chapter in {"run", "case"}),
                cells.text(event.by),
            ]
        )
        previous = day
    columns = [
        Column(_("Date")),
        Column(_("Time")),
        Column(_("Where")),
        Column(_("What happened")),
        Column(_("Details")),
        Column(_("Amount"), "c-amount"),
        Column(_("By")),
    ]
    return Table(columns, rows, title=_("In the order of time"))


def _page_of(event: Event) -> str:
    kind, number = event.page
    return link(PAGES.get(kind, kind), number)


def _note(event: Event) -> str:
    """The entries of a voucher, as a bookkeeper writes them."""
    return "\n".join(
        f"{entry.side} {dotted(entry.subject_code)} {entry.subject_name}"
        f" {cells.money(entry.amount, entry.currency).text}"
        for entry in event.entries
    )


def _said(event: Event) -> Cell:
    if event.kind == "run_result":
        return cells.result(event.tone if event.tone in ResultKind.values else "matched", event.text)
    return Cell(event.text, css="c-wrap", tone=event.tone)


urlpatterns = [path("explain/", explain, name="explain")]
