"""Writes the files of one sample day: orders, bills, what the channels will pay, and the same as plain receipts."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from payops.core.money import format_amount
from payops.dayend.sample.plan import BillRow, Contract, Order, merchant_no

ORDER_COLUMNS: Final = (
    "transaction_no",
    "kind",
    "original_transaction_no",
    "merchant_no",
    "merchant_order_no",
    "product",
    "channel",
    "channel_account",
    "channel_request_no",
    "channel_trade_no",
    "amount",
    "currency",
    "status",
    "card_type",
    "payer",
    "created_at",
    "succeeded_at",
    "extra",
)
RECEIPT_COLUMNS: Final = (
    "bank_account",
    "value_date",
    "bank_reference",
    "counterparty",
    "memo",
    "direction",
    "amount",
    "currency",
    "balance",
)


def write_orders(path: Path, orders: list[Order]) -> int:
    """The order file of one day in the order things happened; returns the number of rows."""
    orders.sort(key=lambda order: (order.created_at, order.transaction_no))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(ORDER_COLUMNS)
        writer.writerows(map(_order_cells, orders))
    return len(orders)


def _order_cells(order: Order) -> tuple[str, ...]:
    return (
        order.transaction_no,
        order.kind,
        order.original_no,
        merchant_no(order.merchant),
        order.merchant_order_no,
        order.product,
        order.contract.code,
        order.contract.account_no,
        order.request_no,
        order.trade_no,
        money(order.amount),
        "CNY",
        order.status,
        order.card_type,
        order.payer,
        order.created_at.isoformat(),
        order.succeeded_at.isoformat() if order.succeeded_at else "",
        "",
    )


def bill_totals(contract: Contract, day: dt.date, rows: list[BillRow]) -> dict[str, Any]:
    """What one bill adds up to: lines, gross, settled and fee in minor units, and by kind."""
    kinds: dict[str, dict[str, int]] = {}
    for row in rows:
        sums = kinds.setdefault(row.kind, {"count": 0, "amount": 0, "settled": 0, "fee": 0})
        sums["count"] += 1
        sums["amount"] += row.amount
        sums["settled"] += row.settled
        sums["fee"] += row.fee
    whole = {name: sum(sums[name] for sums in kinds.values()) for name in ("count", "settled", "fee")}
    return {
        "contract": contract.code,
        "channel_date": day.isoformat(),
        **whole,
        "kinds": dict(sorted(kinds.items())),
    }


def write_settlements(folder: Path, settlements: list[dict[str, Any]]) -> None:
    """`settlements.json` for the simulated bank and `receipts.csv`, the same lines as a bank statement has them."""
    document = {"settlements": settlements}
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    (folder / "settlements.json").write_text(text, encoding="utf-8")
    with (folder / "receipts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(RECEIPT_COLUMNS)
        writer.writerows(_receipt_cells(settlements))


def _receipt_cells(settlements: Iterable[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for entry in settlements:
        yield (
            entry["account_no"],
            entry["value_date"],
            entry["reference"],
            entry["counterparty"],
            entry["memo"],
            entry["direction"],
            money(entry["amount"]),
            entry["currency"],
            "",
        )


def money(minor: int) -> str:
    """Minor units as files have them: 123450 → 1234.50."""
    return format_amount(minor, "CNY", grouping=False)
