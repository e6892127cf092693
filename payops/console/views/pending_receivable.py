"""Pending receivable (DOMAIN 7.4): what each channel still owes per date, and whether the ledger says the same."""

from __future__ import annotations

from collections import defaultdict

from django.db.models import F, Q
from django.http import HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.accounts.choices import OwnerKind
from payops.accounts.selectors import balance_of
from payops.channels.models import ChannelContract
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import ReceiptFilter, latest_day
from payops.console.lists import list_page
from payops.console.shell import view
from payops.reconciliation.models import ChannelReceipt

RECEIVABLE = "112201"


@view("runs.view")
def pending_receivable(request: HttpRequest) -> HttpResponseBase:
    """Channel dates whose money has not come, or not as billed; below, each channel's sum beside its ledger account."""
    today = latest_day()
    columns = [
        Column(_("Channel")),
        Column(_("Channel date")),
        Column(_("Due by the bill"), "c-amount"),
        Column(pgettext("money", "Received"), "c-amount"),
        Column(_("Difference"), "c-amount"),
        Column(_("In suspense"), "c-amount"),
        Column(_("Still receivable"), "c-amount"),
        Column(_("Due date")),
        Column(_("Days overdue"), "c-amount"),
        Column(_("State")),
        Column(_("Case")),
    ]

    def row(receipt: ChannelReceipt) -> list[Cell]:
        currency, url = receipt.contract.currency, link("receipt", receipt.pk)
        overdue = (today - receipt.due_date).days
        return [
            cells.text(receipt.contract.code, url),
            cells.date(receipt.channel_date, url),
            cells.money(receipt.due, currency, url),
            cells.money(receipt.received, currency, url),
            cells.money(receipt.received - receipt.due, currency, signed=True),
            cells.money(-receipt.short_booked, currency, signed=True),
            cells.money(_receivable(receipt), currency),
            cells.date(receipt.due_date),
            cells.count(overdue) if overdue > 0 else cells.text("–"),
            cells.state(receipt),
            cells.number(receipt.case.case_no, link("case_detail", receipt.case_id)) if receipt.case else Cell("–"),
        ]

    pending = ChannelReceipt.objects.exclude(due=F("received")).select_related("contract", "case")
    return list_page(
        request,
        title=_("Pending receivable"),
        filters=ReceiptFilter(request.GET, queryset=pending, request=request),
        columns=columns,
        row=row,
        export_name="pending_receivable",
        empty=_("Every channel has paid what its bills say."),
        extra={"channels_table": _channels_table()},
        template="console/pending_receivable.html",
    )


def _receivable(receipt: ChannelReceipt) -> int:
    """What of the day stands on the receivable now: due, less what came, less what went to suspense."""
    return receipt.due - receipt.received - receipt.short_booked


def _channels_table() -> Table:
    """Flow and funds must also agree with each other: the dates of a channel come to its receivable in the ledger."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    open_days = ChannelReceipt.objects.filter(~Q(due=F("received") + F("short_booked")))
    for receipt in open_days.iterator():
        figures = sums[receipt.contract_id]
        figures[0] += 1
        figures[1] += _receivable(receipt)
    rows = []
    for contract in ChannelContract.objects.order_by("code"):
        balance = balance_of(RECEIVABLE, OwnerKind.CHANNEL, contract.code, contract.currency)
        count, total = sums[contract.pk]
        if not (contract.active or balance or total):
            continue
        rows.append(
            [
                cells.text(contract.code, link("pending_receivable", contract=contract.code)),
                cells.count(count, link("pending_receivable", contract=contract.code)),
                cells.money(total, contract.currency, link("pending_receivable", contract=contract.code)),
                cells.money(
                    balance, contract.currency, link("account_list", subject=RECEIVABLE, owner_no=contract.code)
                ),
                cells.badge("agreed", _("Agrees")) if balance == total else cells.badge("different", _("Differs")),
            ]
        )
    columns = [
        Column(_("Channel")),
        Column(_("Dates open"), "c-amount"),
        Column(_("Still receivable"), "c-amount"),
        Column(_("Ledger"), "c-amount"),
        Column(_("State")),
    ]
    return Table(columns, rows, title=_("By channel, beside the ledger"), empty=_("There is no channel yet."))


urlpatterns = [
    path("receipts/pending/", pending_receivable, name="pending_receivable"),
]
