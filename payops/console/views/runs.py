"""Reconciliation runs: what was compared, what came out, and every row behind each figure."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _

from payops.accounts.choices import Event
from payops.channels.bills.selectors import accepted_file
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import OpenItemFilter, ResultFilter, RunFilter
from payops.console.lists import Button, keyset, list_page, without
from payops.console.run_buckets import bucket_table
from payops.console.shell import action, page, view
from payops.console.tables import booked_amounts, kind_label
from payops.console.views.matching import suggestion_cells
from payops.console.views.result_exports import export_offer, my_exports
from payops.core.formatting import local_name, money
from payops.core.retelling import retold
from payops.discrepancies.selectors import reference_day
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemState, ResultKind, RunState
from payops.reconciliation.export_rows import EVERY_STATE, OPEN_ITEM_FILTERS
from payops.reconciliation.jobs import run_enqueue
from payops.reconciliation.models import OpenItem, ReconResult, ReconRun
from payops.reconciliation.selectors import items_by_first_date

_RESULTS = dict(ResultKind.choices)
AGES_SHOWN = 7
"""Open items older than T+7 are counted together."""


@view("runs.view")
def run_list(request: HttpRequest) -> HttpResponseBase:
    """Runs, the latest first."""
    columns = [
        Column(_("Run")),
        Column(_("Channel")),
        Column(_("Channel date")),
        Column(_("State")),
        Column(_("Own rows"), "c-amount"),
        Column(_("Own total"), "c-amount"),
        Column(_("Channel lines"), "c-amount"),
        Column(_("Channel total"), "c-amount"),
        Column(_("Matched"), "c-amount"),
        Column(_("Not matched"), "c-amount"),
        Column(_("Finished")),
    ]

    def row(run: ReconRun) -> list[Cell]:
        currency = run.contract.currency
        return [
            cells.text(f"#{run.run_no}", link("run", run.pk), note="" if run.is_current else _("replaced")),
            cells.text(run.contract.code),
            cells.date(run.channel_date),
            cells.state(run),
            cells.count(run.own_count),
            cells.money(run.own_amount, currency),
            cells.count(run.channel_count),
            cells.money(run.channel_amount, currency),
            cells.count(run.matched_count),
            cells.count(unmatched_count(run), link("run", run.pk)),
            cells.moment(run.finished_at),
        ]

    filters = RunFilter(request.GET, queryset=ReconRun.objects.select_related("contract"), request=request)
    return list_page(
        request,
        title=_("Runs"),
        filters=filters,
        columns=columns,
        row=row,
        export_name="runs",
        empty=_("There are no such runs."),
    )


def unmatched_count(run: ReconRun) -> int:
    """Rows of a run that did not simply match."""
    return sum(figures["count"] for kind, figures in run.results.items() if kind != ResultKind.MATCHED)


@view("runs.view")
def run(request: HttpRequest, run_id: int) -> HttpResponseBase:
    """One run: totals on both sides, the equation, vouchers, and the rows that did not simply match."""
    found = ReconRun.objects.select_related("contract__channel", "file", "job").filter(pk=run_id).first()
    if found is None:
        raise Http404
    filters = ResultFilter(request.GET, queryset=found.result_rows.select_related("case", "item"), request=request)
    rows = filters.qs if filters.form.is_valid() else ReconResult.objects.none()
    pages = keyset(request, rows, descending=False)
    context = {
        "parent_title": _("Runs"),
        "parent_url": link("run_list"),
        "badges": [
            cells.state(found),
            *([] if found.is_current else [cells.badge("replaced", _("Replaced by a later run"))]),
        ],
        "trouble": retold(found.error),
        "buttons": _buttons(request, found),
        "facts": _facts(found),
        "tiles": _tiles(request, found),
        "totals_table": _totals_table(found),
        "equation_table": equation_table(found),
        "voucher_table": _voucher_table(found),
        "bucket_table": bucket_table(found),
        "runs_table": _other_runs(found),
        "filters": filters.form,
        "results": _result_table(pages.rows, found.contract.currency),
        "pages": pages,
    }
    title = f"{found.contract.code} {found.channel_date} #{found.run_no}"
    return page(request, "console/run.html", context, title=title)


def _buttons(request: HttpRequest, found: ReconRun) -> list[Button]:
    buttons = []
    if found.run_no > 1 and found.state == RunState.COMPLETE:
        buttons.append(Button(_("Compare with another run"), link("run_compare", found.pk)))
    if ResultKind.OFFSET.value in found.results:
        buttons.append(Button(_("Internal offsets"), link("run_offset_list", found.pk)))
    if not request.user.may("runs.start") or accepted_file(found.contract, found.channel_date, found.batch) is None:
        return buttons
    return [
        *buttons,
        Button(
            _("Run again"),
            link("run_start", found.pk),
            post=True,
            confirm=_("The day is compared again; only what differs is booked. Go on?"),
        ),
    ]


def _facts(found: ReconRun) -> list[tuple[str, Cell]]:
    currency = found.contract.currency
    day = found.channel_date.isoformat()
    return [
        (_("Channel"), cells.text(found.contract.code, note=local_name(found.contract.channel))),
        (_("Channel date"), cells.date(found.channel_date)),
        (_("Own rows"), cells.count(found.own_count, link("transaction_list", day=day, contract=found.contract.code))),
        (_("Own total"), cells.money(found.own_amount, currency)),
        (_("Channel lines"), cells.count(found.channel_count, link("bill_file", found.file_id))),
        (_("Channel total"), cells.money(found.channel_amount, currency)),
        (_("Matched"), cells.count(found.matched_count)),
        (
            _("Bill file"),
            cells.text(
                f"{found.file.original_name} v{found.file.version}",
                link("bill_file", found.file_id),
                note="" if found.file.proven else _("Unproven"),
            ),
        ),
        (_("Started"), cells.moment(found.started_at)),
        (_("Finished"), cells.moment(found.finished_at)),
        (_("Job"), cells.number(found.job_id, link("job", found.job_id)) if found.job_id else cells.text("–")),
        (_("Batch"), cells.text(found.batch)),
    ]


def _tiles(request: HttpRequest, found: ReconRun) -> list[dict[str, Any]]:
    """One tile per result; choosing one filters the rows below, choosing it again shows all."""
    chosen = request.GET.get("kind", "")
    tiles = []
    for kind in ResultKind:
        figures = found.results.get(kind.value)
        if figures is None:
            continue
        is_matched = kind == ResultKind.MATCHED
        address = without(request, "kind") if chosen == kind else f"{without(request, 'kind')}&kind={kind.value}"
        tiles.append(
            {
                "value": f"{figures['count']:,}",
                "label": kind.label,
                "note": money(figures["amount"], found.contract.currency),
                "tone": "success" if is_matched else cells.RESULT_TONES.get(kind.value, "danger"),
                "url": "" if is_matched else address,
                "chosen": chosen == kind,
            }
        )
    return tiles


def _totals_table(found: ReconRun) -> Table:
    currency = found.contract.currency
    rows = [
        [
            cells.text(kind_label(int(kind))),
            cells.count(sums.get("own_count", 0)),
            cells.money(sums.get("own_amount", 0), currency),
            cells.count(sums.get("channel_count", 0)),
            cells.money(sums.get("channel_amount", 0), currency),
            cells.money(sums.get("channel_fee", 0), currency),
        ]
        for kind, sums in found.totals.items()
    ]
    columns = [
        Column(_("Kind")),
        Column(_("Own rows"), "c-amount"),
        Column(_("Own amount"), "c-amount"),
        Column(_("Channel lines"), "c-amount"),
        Column(_("Channel amount"), "c-amount"),
        Column(_("Channel fee"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Totals by kind"), empty=_("Neither side has a row for this day."))


def equation_table(found: ReconRun) -> Table:
    """own total + Σd first seen − Σd cleared = channel total, line by line (DOMAIN 7.3)."""
    equation, currency = found.equation, found.contract.currency
    if not equation:
        return Table([], [], title=_("Equation"), empty=_("The run has not come to its end."))
    terms = [(_("Own total"), equation["own_total"], "")]
    for name, sign, word in (("new", 1, _("first seen: %s")), ("cleared", -1, _("cleared: %s"))):
        for kind, total in sorted(equation[name].items()):
            terms.append((word % _RESULTS.get(kind, kind), sign * total, f"?kind={kind}" if name == "new" else ""))
    rows = [[cells.text(label, url), cells.money(amount, currency, signed=True)] for label, amount, url in terms]
    rows.append([cells.text(_("= sum")), cells.money(equation["left"], currency)])
    verdict = _("Channel total: agrees") if equation["holds"] else _("Channel total: differs")
    note = _("Channel total after merchant-funded discounts of %s.") % money(equation["discount"], currency)
    table = Table([Column(_("Term")), Column(_("Amount"), "c-amount")], rows, title=_("Equation"), note=note)
    table.foot = [
        cells.badge("agreed" if equation["holds"] else "different", verdict),
        cells.money(equation["channel_total"], currency),
    ]
    return table


def _voucher_table(found: ReconRun) -> Table:
    currency = found.contract.currency
    rows = [
        [
            cells.text(Event(row.event).label),
            cells.text(row.merchant_no or "–"),
            cells.text(booked_amounts(row.amounts, currency)),
            cells.number(row.voucher_id, link("voucher", row.voucher_id)) if row.voucher_id else cells.text("–"),
        ]
        for row in found.vouchers.order_by("event", "merchant_no")[:200]
    ]
    columns = [Column(_("Rule")), Column(_("Merchant")), Column(_("Amounts")), Column(_("Voucher"))]
    return Table(columns, rows, title=_("Vouchers of this run"), empty=_("Nothing had to be booked."))


def _other_runs(found: ReconRun) -> Table:
    others = ReconRun.objects.filter(
        contract=found.contract, channel_date=found.channel_date, batch=found.batch
    ).order_by("-run_no")
    rows = [
        [
            cells.text(f"#{other.run_no}", link("run", other.pk) if other.pk != found.pk else ""),
            cells.state(other),
            cells.count(other.matched_count),
            cells.count(unmatched_count(other)),
            cells.moment(other.finished_at),
        ]
        for other in others
    ]
    columns = [
        Column(_("Run")),
        Column(_("State")),
        Column(_("Matched"), "c-amount"),
        Column(_("Not matched"), "c-amount"),
        Column(_("Finished")),
    ]
    return Table(columns, rows if len(rows) > 1 else [], title=_("All runs of this day"))


def _result_table(results: list[ReconResult], currency: str) -> Table:
    numbers = _transaction_numbers(results)
    rows = [
        [
            cells.result(result.kind, result.get_kind_display()),
            cells.number(result.match_key, link("explain", q=result.transaction_id or result.bill_line_id)),
            _own_cell(result, numbers),
            cells.number(_("Line %d") % (result.bill_line_id % 10**8), link("bill_line", result.bill_line_id))
            if result.bill_line_id
            else cells.text("–"),
            cells.money(result.own_amount, currency),
            cells.money(result.channel_amount, currency),
            cells.money(result.d, currency, signed=True),
            cells.money(result.own_fee, currency),
            cells.money(result.channel_fee, currency),
            cells.state(result.item) if result.item else cells.text("–"),
            cells.number(result.case.case_no, link("case_detail", result.case_id)) if result.case else cells.text("–"),
        ]
        for result in results
    ]
    columns = [
        Column(_("Result")),
        Column(_("Matching key")),
        Column(_("Transaction")),
        Column(_("Bill line")),
        Column(_("Own amount"), "c-amount"),
        Column(_("Channel amount"), "c-amount"),
        Column(_("Difference"), "c-amount"),
        Column(_("Expected fee"), "c-amount"),
        Column(_("Channel fee"), "c-amount"),
        Column(_("Now")),
        Column(_("Case")),
    ]
    return Table(columns, rows, title=_("Rows that did not simply match"), empty=_("Every row matched."))


def _transaction_numbers(results: list[ReconResult]) -> dict[int, str]:
    ids = [result.transaction_id for result in results if result.transaction_id]
    return dict(Transaction.objects.filter(pk__in=ids).values_list("pk", "transaction_no")) if ids else {}


def _own_cell(result: ReconResult, numbers: dict[int, str]) -> Cell:
    if not result.transaction_id:
        return cells.text("–")
    return cells.number(
        numbers.get(result.transaction_id, result.transaction_id), link("transaction", result.transaction_id)
    )


@action("runs.start")
def run_start(request: HttpRequest, run_id: int) -> HttpResponse:
    """Run the same channel day again."""
    found = ReconRun.objects.select_related("contract").filter(pk=run_id).first()
    if found is None:
        raise Http404
    job = run_enqueue(
        contract=found.contract,
        day=found.channel_date,
        batch=found.batch,
        username=request.user.get_username(),
    )
    messages.success(request, _("The run is queued as job %d.") % job.pk)
    return redirect(link("job", job.pk))


# --- open items -------------------------------------------------------------------------------------------------------


@view("runs.view")
def open_item_list(request: HttpRequest) -> HttpResponseBase:
    """Everything a next run tries again: in doubt and definite, with its case."""
    columns = [
        Column(_("Result")),
        Column(_("State")),
        Column(_("Channel")),
        Column(_("Matching key")),
        Column(_("Difference"), "c-amount"),
        Column(_("First seen")),
        Column(_("Age")),
        Column(_("Escalates on")),
        Column(_("Definite since")),
        Column(_("Cleared on")),
        Column(_("Case")),
        Column(_("Suggested")),
    ]
    today = reference_day()
    suggested: dict[int, Cell] = {}

    def row(item: OpenItem) -> list[Cell]:
        return [
            cells.result(item.result, item.get_result_display()),
            cells.state(item),
            cells.text(item.contract.code),
            cells.number(item.match_key, _item_url(item)),
            cells.money(item.d, item.currency, signed=True),
            cells.date(item.first_date, link("run", item.first_run_id)),
            *_ageing_cells(item, today),
            cells.date(item.definite_date, link("run", item.definite_run_id) if item.definite_run_id else ""),
            cells.date(item.cleared_date, link("run", item.cleared_run_id) if item.cleared_run_id else ""),
            cells.number(item.case.case_no, link("case_detail", item.case_id)) if item.case else cells.text("–"),
            suggested.get(item.pk, cells.text("–")),
        ]

    data = request.GET.copy()
    if not data:
        data["state"] = "live"
    filters = OpenItemFilter(data, queryset=OpenItem.objects.select_related("contract", "case"), request=request)
    asked = {name: data.get(name, "") for name in OPEN_ITEM_FILTERS} | {"state": data.get("state") or EVERY_STATE}
    return list_page(
        request,
        title=_("Open items"),
        filters=filters,
        columns=columns,
        row=row,
        summary=_ages(today),
        prepare=lambda items: suggested.update(suggestion_cells(request, items)),
        extra={**export_offer(request, "open_items", **asked), **my_exports(request)},
        template="console/exportable_list.html",
        empty=_("Nothing is open: every row has found its other half."),
    )


def _ageing_cells(item: OpenItem, today: dt.date) -> list[Cell]:
    """T+n, and the channel date whose run escalates the item, or did."""
    if item.state not in (ItemState.IN_DOUBT, ItemState.DEFINITE):
        return [cells.text("–"), cells.text("–")]
    age = f"T+{max(0, (today - item.first_date).days)}"
    if item.case is not None and item.case.escalated_at:
        return [cells.text(age), cells.badge("escalated", _("Escalated"), tone="danger")]
    due = item.first_date + dt.timedelta(days=item.contract.escalate_after_days)
    return [cells.text(age), cells.date(due)]


def _ages(today: dt.date) -> list[tuple[str, Cell]]:
    """How many items are how old; each of the younger ages leads to its day."""
    older = 0
    ages = []
    for first_date, number in items_by_first_date():
        age = max(0, (today - first_date).days)
        if age > AGES_SHOWN:
            older += number
        else:
            url = link("open_item_list", state="live", first_date=first_date.isoformat())
            ages.append((f"T+{age}", cells.count(number, url)))
    if older:
        ages.append((_("older than T+%d") % AGES_SHOWN, cells.count(older)))
    return ages


def _item_url(item: OpenItem) -> str:
    if item.transaction_id:
        return link("transaction", item.transaction_id)
    return link("bill_line", item.bill_line_id) if item.bill_line_id else ""


urlpatterns = [
    path("runs/", run_list, name="run_list"),
    path("runs/<int:run_id>/", run, name="run"),
    path("runs/<int:run_id>/start/", run_start, name="run_start"),
    path("open-items/", open_item_list, name="open_item_list"),
]
