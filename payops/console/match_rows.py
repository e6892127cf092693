"""Rows of both sides beside each other, as whoever says that they belong together, or do not, wants to compare them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.approvals.models import ApprovalRequest
from payops.channels.models import BillLine
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemSide, ResultKind
from payops.reconciliation.matching import apart, hand, undo
from payops.reconciliation.matching.suggest import payer_as_billed
from payops.reconciliation.models import OpenItem

_RESULTS = dict(ResultKind.choices)


@dataclass(frozen=True, slots=True)
class MatchRow:
    """One transaction or bill line; `amount` in minor units, `result` what a run called it, where one did."""

    side: str
    row_id: int
    amount: int
    result: str = ""


def rows_of_items(items: Iterable[OpenItem]) -> list[MatchRow]:
    """The rows behind open items that are alone on their side, ours first."""
    rows = [
        MatchRow(item.side, item.transaction_id, item.own_amount, item.result)
        if item.side == ItemSide.OWN
        else MatchRow(item.side, item.bill_line_id, item.channel_amount, item.result)
        for item in items
    ]
    return sorted(rows, key=lambda row: (row.side != ItemSide.OWN, row.row_id))


def match_row_table(rows: list[MatchRow], currency: str, *, title: str) -> Table:
    """What tells rows apart or shows that they are the same: numbers, whose they are, when, how much."""
    own = Transaction.objects.select_related("merchant").in_bulk(_ids(rows, ItemSide.OWN))
    lines = BillLine.objects.in_bulk(_ids(rows, ItemSide.CHANNEL))
    body = [
        _own_row(row, own.get(row.row_id), currency)
        if row.side == ItemSide.OWN
        else _line_row(row, lines.get(row.row_id), currency)
        for row in rows
    ]
    columns = [
        Column(pgettext("reconciliation", "Side")),
        Column(_("Matching key")),
        Column(_("Amount"), "c-amount"),
        Column(_("Time")),
        Column(_("Channel trade number")),
        Column(_("Merchant")),
        Column(_("Payer")),
        Column(""),
    ]
    return Table(columns, body, title=title)


def _ids(rows: list[MatchRow], side: ItemSide) -> list[int]:
    return [row.row_id for row in rows if row.side == side]


def _own_row(row: MatchRow, found: Transaction | None, currency: str) -> list[Cell]:
    key = found.match_key if found else row.row_id
    return [
        cells.text(ItemSide.OWN.label, note=_RESULTS.get(row.result, "")),
        cells.number(key, link("transaction", row.row_id), note=found.transaction_no if found else ""),
        cells.money(row.amount, currency),
        cells.moment(found.created_at if found else None),
        cells.number((found and found.channel_trade_no) or "–"),
        cells.text(found.merchant.merchant_no, link("merchant", found.merchant.merchant_no), note=found.merchant.name)
        if found
        else cells.text("–"),
        cells.number((found and payer_as_billed(found.payer)) or "–"),
        _story(row),
    ]


def _line_row(row: MatchRow, found: BillLine | None, currency: str) -> list[Cell]:
    key = found.match_key if found else row.row_id
    return [
        cells.text(ItemSide.CHANNEL.label, note=_RESULTS.get(row.result, "")),
        cells.number(key, link("bill_line", row.row_id), note=_("Line %d") % found.line_no if found else ""),
        cells.money(row.amount, currency),
        cells.moment(found.occurred_at if found else None),
        cells.number((found and found.trade_no) or "–"),
        cells.text("–"),
        cells.number((found and found.payer_masked) or "–"),
        _story(row),
    ]


def _story(row: MatchRow) -> Cell:
    return cells.text(_("Whole story"), link("explain", q=row.row_id))


def rows_of_request(request: ApprovalRequest) -> list[MatchRow]:
    """The rows a request about a match or an offset is about; none for requests about anything else."""
    payload: dict[str, Any] = request.payload
    if request.action in {hand.ACTION, undo.ACTION}:
        items = OpenItem.objects.in_bulk([row["item"] for row in payload["items"]])
        return rows_of_items(items[row["item"]] for row in payload["items"] if row["item"] in items)
    if request.action == apart.ACTION:
        return [MatchRow(payload["side"], row["row"], row["amount"]) for row in payload["rows"]]
    return []
