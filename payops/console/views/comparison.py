"""Two runs of a channel day side by side: what they read, what it came to, which differences came, went or changed."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.choices import Event
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import Page
from payops.console.shell import page, view
from payops.console.tables import booked_amounts
from payops.console.views.result_exports import export_offer, my_exports
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.comparison import (
    PAGE,
    Change,
    Comparison,
    Pair,
    Row,
    previous_run,
    rows_compared,
    run_by_number,
    run_compare,
)
from payops.reconciliation.models import ReconRun

TONES = {Change.ADDED: "danger", Change.REMOVED: "success", Change.CHANGED: "warning", Change.SAME: "base"}
SIDES = {"own": gettext_lazy("Ours"), "channel": gettext_lazy("Channel")}


class OtherRunForm(forms.Form):
    """Which run to set beside this one."""

    run = forms.TypedChoiceField(label=gettext_lazy("Compared with run"), coerce=int)

    def __init__(self, numbers: list[int], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["run"].choices = [(number, f"#{number}") for number in numbers]


@view("runs.view")
def run_compare_page(request: HttpRequest, run_id: int) -> HttpResponseBase:
    """A run against the one before it, or against the one asked for."""
    now = ReconRun.objects.select_related("contract", "file").filter(pk=run_id, state="complete").first()
    if now is None:
        raise Http404
    context: dict[str, Any] = {
        "parent_title": f"{now.contract.code} {now.channel_date} #{now.run_no}",
        "parent_url": link("run", now.pk),
    }
    title = _("Compared with another run")
    others = ReconRun.objects.filter(
        contract=now.contract, channel_date=now.channel_date, batch=now.batch, state="complete"
    )
    numbers = list(others.exclude(pk=now.pk).order_by("-run_no").values_list("run_no", flat=True))
    if not numbers:
        context["lead"] = _("This is the only run of its day; there is nothing to compare it with.")
        return page(request, "console/comparison.html", context, title=title)
    form = OtherRunForm(numbers, request.GET) if "run" in request.GET else None
    if form is not None and not form.is_valid():
        return page(request, "console/comparison.html", context | {"filters": form}, title=title, status=400)
    before = (
        run_by_number(now, form.cleaned_data["run"]) if form else previous_run(now) or run_by_number(now, numbers[0])
    )
    context |= {"filters": OtherRunForm(numbers, {"run": before.run_no})}
    context |= _compared(request, run_compare(now, before)) | my_exports(request)
    return page(request, "console/comparison.html", context, title=_("Compared with run #%d") % before.run_no)


def _compared(request: HttpRequest, comparison: Comparison) -> dict[str, Any]:
    change = request.GET.get("change", "")
    change = change if change in Change.values else ""
    rows = rows_compared(comparison.now, comparison.before, change=change, after=_cursor(request), limit=PAGE + 1)
    here = link("run_compare", comparison.now.pk, run=comparison.before.run_no, change=change)
    older = f"{here}&after={rows[PAGE - 1].n}~{rows[PAGE - 1].match_key}" if len(rows) > PAGE else ""
    return {
        "tiles": _tiles(comparison, change),
        "input_table": _input_table(comparison),
        "figure_table": _figure_table(comparison),
        "voucher_table": _voucher_table(comparison),
        "difference_table": _difference_table(rows[:PAGE], comparison.now.contract.currency),
        **export_offer(request, "comparison", run=comparison.now.pk, before=comparison.before.pk, change=change),
        "difference_pages": Page([], newer=here if "after" in request.GET else "", older=older),
    }


def _cursor(request: HttpRequest) -> tuple[str, int] | None:
    place, _mark, key = request.GET.get("after", "").partition("~")
    return (key, int(place)) if place.isascii() and place.isdigit() and len(place) < 10 else None


def _tiles(comparison: Comparison, chosen: str) -> list[dict[str, Any]]:
    tiles = []
    for change in Change:
        number = comparison.changes[change.value]
        wanted = "" if chosen == change else change.value
        tiles.append(
            {
                "value": f"{number:,}",
                "label": change.label,
                "tone": TONES[change] if number else "success",
                "url": link("run_compare", comparison.now.pk, run=comparison.before.run_no, change=wanted),
                "chosen": chosen == change,
            }
        )
    return tiles


def _both(comparison: Comparison) -> list[Column]:
    before, now = comparison.before, comparison.now
    return [Column(f"#{before.run_no}", "c-amount"), Column(f"#{now.run_no}", "c-amount")]


def _input_table(comparison: Comparison) -> Table:
    runs = (comparison.before, comparison.now)
    proven = [cells.yes_no(run.file.proven, _("Proven"), _("Unproven")) for run in runs]
    rows = [
        [
            cells.text(_("Bill file")),
            *(
                cells.text(f"v{run.file.version}", link("bill_file", run.file_id), note=run.file.original_name)
                for run in runs
            ),
        ],
        [cells.text(_("SHA-256")), *(cells.number(run.file.sha256[:16]) for run in runs)],
        [cells.text(_("Totals of the bill")), *proven],
        [cells.text(_("Run")), *(cells.text(f"#{run.run_no}", link("run", run.pk)) for run in runs)],
        [cells.text(_("Finished")), *(cells.moment(run.finished_at) for run in runs)],
    ]
    columns = [Column(""), *(Column(f"#{run.run_no}") for run in runs)]
    note = "" if comparison.same_file else _("They read different versions of the bill.")
    return Table(columns, rows, title=_("What they read"), note=note)


def _figure_table(comparison: Comparison) -> Table:
    currency = comparison.now.contract.currency
    rows = []
    for pair in (*comparison.totals, *comparison.results):
        label = SIDES.get(pair.name) or ResultKind(pair.name).label
        rows.append(
            [
                cells.text(label),
                cells.count(pair.before_count),
                cells.count(pair.now_count),
                _moved(pair),
                cells.money(pair.before_amount, currency),
                cells.money(pair.now_amount, currency),
                cells.money(pair.now_amount - pair.before_amount or None, currency, signed=True),
            ]
        )
    columns = [
        Column(_("Result")),
        *_both(comparison),
        Column(_("Change"), "c-amount"),
        *_both(comparison),
        Column(_("Change"), "c-amount"),
    ]
    return Table(columns, rows, title=_("What it came to"))


def _moved(pair: Pair) -> Cell:
    moved = pair.now_count - pair.before_count
    return Cell(f"{moved:+,}" if moved else "", css="c-amount c-neg" if moved < 0 else "c-amount", raw=moved)


def _voucher_table(comparison: Comparison) -> Table:
    currency = comparison.now.contract.currency
    rows = [
        [
            cells.text(Event(pair.event).label),
            cells.text(pair.merchant_no or "–"),
            _booked(pair.before, pair.before_voucher, currency),
            _booked(pair.now, pair.now_voucher, currency),
        ]
        for pair in comparison.vouchers[:200]
    ]
    columns = [Column(_("Rule")), Column(_("Merchant")), *_both(comparison)]
    note = _("A later run books only what differs from what earlier runs of the day booked.")
    return Table(columns, rows, title=_("Vouchers"), note=note, empty=_("Nothing had to be booked."))


def _booked(amounts: dict[str, int], voucher_id: int | None, currency: str) -> Cell:
    return Cell(booked_amounts(amounts, currency) or "–", link("voucher", voucher_id) if voucher_id else "", "c-amount")


def _difference_table(rows: list[Row], currency: str) -> Table:
    # A side that no row has would be four empty columns.
    had, have = any(row.before for row in rows), any(row.now for row in rows)
    body = [
        [
            cells.badge(row.change, Change(row.change).label, tone=TONES[Change(row.change)]),
            cells.number(row.match_key, link("explain", q=_number_of(row))),
            *(_side(row.before, currency) if had else []),
            *(_side(row.now, currency) if have else []),
        ]
        for row in rows
    ]
    side = [Column(_("Ours"), "c-amount"), Column(_("Channel"), "c-amount"), Column(_("Difference"), "c-amount")]
    columns = [
        Column(_("Change")),
        Column(_("Matching key")),
        *([Column(_("Before")), *side] if had else []),
        *([Column(_("Now")), *side] if have else []),
    ]
    return Table(columns, body, title=_("Differences"), empty=_("Both runs found the same differences."))


def _number_of(row: Row) -> str:
    """The record that tells most: our own row, else the line of the later run."""
    sides = [side for side in (row.now, row.before) if side]
    return str(
        next(
            (side[name] for name in ("transaction", "bill_line") for side in sides if side[name] is not None),
            row.match_key,
        )
    )


def _side(side: dict[str, Any] | None, currency: str) -> list[Cell]:
    if side is None:
        return [cells.text("–"), cells.text(""), cells.text(""), cells.text("")]
    label = ResultKind(side["kind"]).label
    url = link("case_detail", side["case"]) if side["case"] else ""
    return [
        cells.result(side["kind"], label, url),
        cells.money(side["own_amount"], currency),
        cells.money(side["channel_amount"], currency),
        cells.money(side["d"], currency, signed=True),
    ]


urlpatterns = [path("runs/<int:run_id>/compare/", run_compare_page, name="run_compare")]
