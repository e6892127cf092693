"""Hands the sample's bill rows to the writers of the channels' formats, under the names the channels use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from payops.channels.formats import writers
from payops.dayend.sample.plan import BillRow, Contract

PRODUCTS: Final = {"jsapi": "小程序订单", "native": "扫码订单", "qr": "当面付订单", "card": ""}


def bill_name(contract: Contract, day: dt.date) -> str:
    """The file's name: WeChat delivers a nameless stream, the others name account and day themselves."""
    if contract.bill_format == "wechat_trade":
        return f"bill_{contract.code}_ALL_{day:%Y%m%d}.csv"
    if contract.bill_format == "alipay_trade":
        return f"bill_{contract.code}_{contract.account_no}_{day:%Y%m%d}.csv.zip"
    return f"bill_{contract.code}_{writers.unionpay_zm_name(contract.account_no, day)}"


def write_bill(folder: Path, contract: Contract, day: dt.date, rows: Iterable[BillRow]) -> Path:
    """Write one contract's bill of one channel date into `folder` and return its path."""
    path = folder / bill_name(contract, day)
    if contract.bill_format == "alipay_trade":
        writers.write_alipay_zip(path, contract.account_no, day, _written(rows))
        return path
    with path.open("wb") as stream:
        if contract.bill_format == "wechat_trade":
            writers.write_wechat_all(stream, contract.account_no, _written(rows))
        else:
            writers.write_unionpay_zm(stream, contract.account_no, day, _written(rows))
    return path


def _written(rows: Iterable[BillRow]) -> Iterator[writers.BillRow]:
    """Ours as the writers take them: fees given back positive, UnionPay's reverse rows under their own trade number."""
    for row in rows:
        paid = row.kind == "payment"
        own_number = row.contract.letter == "U" and not paid
        yield writers.BillRow(
            kind=row.kind,
            order_no=row.order_no,
            trade_no=row.refund_no if own_number else row.trade_no,
            amount=row.amount,
            fee=row.fee if paid else -row.fee,
            occurred_at=row.occurred_at,
            request_no=row.request_no,
            original_trade_no="" if paid else row.trade_no,
            original_at=row.created_at if paid else row.original_at,
            discount=row.discount,
            rate=_rate(row.contract),
            payer=row.payer,
            status="PROCESSING" if row.pending else "SUCCESS",
            product=PRODUCTS.get(row.product, ""),
            currency=row.currency,
        )


def _rate(contract: Contract) -> str:
    """The rate as the bill prints it: 0.0020 → 0.20%."""
    return f"{contract.costs[contract.card_types[0]][0].rate * 100:.2f}%"
