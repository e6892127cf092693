"""Balance checks: the equation of a channel-date term by term; with the addresses of everything settlement shows."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.equation import check_columns, check_row, equation_table, holds_table, passed_cell
from payops.console.filters import BalanceCheckFilter
from payops.console.lists import list_page
from payops.console.shell import page, view
from payops.console.views import clearing, sheets
from payops.core.formatting import local_name, money
from payops.core.retelling import retold
from payops.reconciliation.models import ChannelReceipt
from payops.reconciliation.selectors import current_run
from payops.settlement.models import (
    BalanceCheck,
    ClearingHold,
    ClearingItem,
)


@view("settlement.view")
def balance_check_list(request: HttpRequest) -> HttpResponseBase:
    """Balance checks, the latest first, earlier attempts too."""
    checks = BalanceCheck.objects.select_related("contract")
    filters = BalanceCheckFilter(request.GET, queryset=checks, request=request)
    return list_page(
        request,
        title=_("Balance checks"),
        filters=filters,
        columns=check_columns(),
        row=check_row,
        export_name="balance_checks",
        empty=_("There are no such balance checks."),
    )


@view("settlement.view")
def balance_check(request: HttpRequest, check_id: int) -> HttpResponseBase:
    """One attempt: the equation term by term, what each term is made of, and which part is off."""
    check = BalanceCheck.objects.select_related("contract__channel").filter(pk=check_id).first()
    if check is None:
        raise Http404
    contract, day = check.contract, check.own_date
    receipt = ChannelReceipt.objects.filter(contract=contract, channel_date=day).first()
    run = current_run(contract, day)
    attempts = list(
        BalanceCheck.objects.filter(contract=contract, own_date=day).select_related("contract").order_by("-attempt")
    )
    holds = ClearingHold.objects.filter(contract=contract).select_related("merchant", "case", "released_in")
    of_day = [*holds.filter(own_date=day), *holds.filter(released_date=day).exclude(own_date=day)]
    tables = [_cleared_table(check)]
    if of_day:
        tables.append(holds_table(of_day, day))
    if len(attempts) > 1:
        rows = [check_row(attempt) for attempt in attempts]
        tables.append(Table(check_columns(), rows, title=_("Attempts")))
    newest = attempts[0].pk == check.pk
    context = {
        "parent_title": _("Balance checks"),
        "parent_url": link("balance_check_list", date=day),
        "badges": [passed_cell(check), *([] if newest else [cells.badge("replaced", _("A later attempt counts"))])],
        "trouble": retold(check.reason),
        "beside": _check_facts(check, receipt, run),
        "equation": equation_table(check, receipt=receipt, run=run, newest=newest),
        "tables": tables,
    }
    title = f"{contract.code} {day} #{check.attempt}"
    return page(request, "console/balance_check.html", context, title=title)


def _check_facts(check: BalanceCheck, receipt: ChannelReceipt | None, run: Any) -> list[tuple[Any, Cell]]:
    contract, day = check.contract, check.own_date
    return [
        (_("Channel"), cells.text(contract.code, note=local_name(contract.channel))),
        (_("Accounting date"), cells.date(day)),
        (_("Attempt"), cells.text(check.attempt)),
        (_("Checked at"), cells.moment(check.checked_at)),
        (_("Run"), cells.text(f"#{run.run_no}", link("run", run.pk)) if run else cells.text(_("No accepted run"))),
        (
            _("Channel receipt"),
            cells.text(
                receipt.get_state_display(),
                link("receipt", receipt.pk),
                note=_("due %(due)s, received %(received)s")
                % {
                    "due": money(receipt.due, contract.currency),
                    "received": money(receipt.received, contract.currency),
                },
            )
            if receipt
            else cells.text("–"),
        ),
        (
            _("Clearing items"),
            cells.money(
                check.clearing_amount,
                contract.currency,
                link("clearing_item_list", date=day, contract=contract.code),
            ),
        ),
        (
            _("Difference"),
            cells.money(check.difference, contract.currency, signed=True),
        ),
    ]


def _cleared_table(check: BalanceCheck) -> Table:
    """What the clearing amount is: items of the channel-date by session kind and collection."""
    items = ClearingItem.objects.filter(contract=check.contract, own_date=check.own_date).order_by()
    groups = items.values("kind", "collection").annotate(
        number=Count("id"), rows=Sum("count"), a=Sum("amount"), x=Sum("discount"), f=Sum("fee")
    )
    kinds, collections = (
        dict(ClearingItem._meta.get_field("kind").choices or []),
        dict(ClearingItem._meta.get_field("collection").choices or []),
    )
    currency = check.contract.currency
    url = link("clearing_item_list", date=check.own_date, contract=check.contract.code)
    rows = []
    total = 0
    for group in groups.order_by("-kind", "collection"):
        kept = group["f"] if group["collection"] == "net" else 0
        part = group["a"] - group["x"] - kept
        total += part
        rows.append(
            [
                cells.text(kinds[group["kind"]]),
                cells.text(collections[group["collection"]]),
                cells.count(group["number"], url),
                cells.count(group["rows"]),
                cells.money(group["a"], currency),
                cells.money(-group["x"], currency),
                cells.money(-kept, currency),
                cells.money(part, currency),
            ]
        )
    columns = [
        Column(_("Session")),
        Column(_("Collection")),
        Column(_("Items"), "c-amount"),
        Column(_("Transactions"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Discount"), "c-amount"),
        Column(_("Fee kept back"), "c-amount"),
        Column(_("Clearing amount"), "c-amount"),
    ]
    foot = [cells.text(_("Total")), *[cells.text("")] * 6, cells.money(total, currency)]
    return Table(
        columns,
        rows,
        title=_("What was cleared of this date, as it is now"),
        foot=foot,
        empty=_("Nothing was cleared."),
    )


urlpatterns = [
    *clearing.urlpatterns,
    *sheets.urlpatterns,
    path("settlement/checks/", balance_check_list, name="balance_check_list"),
    path("settlement/checks/<int:check_id>/", balance_check, name="balance_check"),
]
