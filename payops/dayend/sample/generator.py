"""Makes the sample days: one calendar day after the other, each written as soon as no later day can add to it."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import yaml

from payops.dayend.sample import bills, differences, setup, writing
from payops.dayend.sample.answer import Answers
from payops.dayend.sample.plan import (
    CONTRACTS,
    RESERVE_ACCOUNT,
    Book,
    Contract,
    Options,
    merchant_no,
    working_day_after,
)
from payops.dayend.sample.traffic import Numbers, Traffic

RECEIPT_SHORT: Final = 1_234
"""How much one channel pays less than its bill says (minor units)."""
RECEIPT_SHORT_CONTRACT: Final = "ALIPAY"
UNKNOWN_CREDIT: Final = 88_888


def generate(out: Path, options: Options) -> dict[str, Any]:
    """Write everything below `out` and return what was made; the same options give the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(setup.build(options), allow_unicode=True, sort_keys=False, width=120)
    (out / "setup.yaml").write_text(text, encoding="utf-8")
    answers = Answers(days=options.days)
    book = Book()
    traffic = Traffic(options, book, answers)
    plantings = differences.schedule(options)
    made = {"orders": 0, "bill_lines": 0}
    for day in options.days:
        numbers = Numbers(day)
        traffic.calendar_day(day, numbers)
        for planting, contract, number in plantings[day]:
            differences.plant(planting, contract, number, day=day, options=options, traffic=traffic, numbers=numbers)
        _write_day(out, day, book, answers, options, made)
    _add_payouts(answers, options)
    answers.write(out / "answers.json", {**asdict(options), "first": str(options.first), "last": str(options.last)})
    return {
        "days": [day.isoformat() for day in options.days],
        **made,
        "differences": len(answers.planted),
        "carried": sum(count for key, count in answers.natural.items() if key[2] == "channel_in_doubt"),
    }


def _write_day(out: Path, day: dt.date, book: Book, answers: Answers, options: Options, made: dict[str, int]) -> None:
    folder = out / day.isoformat()
    folder.mkdir(exist_ok=True)
    made["orders"] += writing.write_orders(folder / "orders.csv", book.orders.pop(day, []))
    settlements = []
    for contract in CONTRACTS:
        rows = book.bills.pop((contract.code, day), [])
        rows.sort(key=lambda row: (row.occurred_at, row.trade_no, row.request_no, row.order_no))
        bills.write_bill(folder, contract, day, rows)
        made["bill_lines"] += len(rows)
        totals = writing.bill_totals(contract, day, rows)
        answers.totals.append(totals)
        settlements += _settlement(contract, day, totals["settled"], answers, options)
    if day == options.first:
        settlements.append(_unknown_credit(day, answers))
    writing.write_settlements(folder, settlements)


def _settlement(contract: Contract, day: dt.date, due: int, answers: Answers, options: Options) -> list[dict[str, Any]]:
    short_day = options.days[min(1, len(options.days) - 1)]
    short = RECEIPT_SHORT if contract.code == RECEIPT_SHORT_CONTRACT and day == short_day else 0
    paid = due - short
    value_date = working_day_after(day)
    answers.receipts.append(
        {
            "contract": contract.code,
            "channel_date": day.isoformat(),
            "value_date": value_date.isoformat(),
            "due": due,
            "paid": paid,
            "case_kind": "receipt_mismatch" if short else "",
            "case_amount": -short,
        }
    )
    if not paid:
        return []
    return [
        {
            "contract": contract.code,
            "channel_date": day.isoformat(),
            "reference": f"CS{contract.letter}{day:%Y%m%d}",
            "account_no": RESERVE_ACCOUNT,
            "value_date": value_date.isoformat(),
            "counterparty": contract.memo,
            "memo": f"{contract.code} settlement {day:%Y%m%d}",
            "direction": "credit" if paid > 0 else "debit",
            "amount": abs(paid),
            "currency": "CNY",
        }
    ]


def _unknown_credit(day: dt.date, answers: Answers) -> dict[str, Any]:
    """Money nobody can name, on the day the first settlements come."""
    value_date = working_day_after(day)
    reference = f"XX{value_date:%Y%m%d}001"
    answers.receipts.append(
        {
            "contract": "",
            "channel_date": value_date.isoformat(),
            "value_date": value_date.isoformat(),
            "reference": reference,
            "due": 0,
            "paid": UNKNOWN_CREDIT,
            "case_kind": "bank_unidentified",
            "case_amount": UNKNOWN_CREDIT,
        }
    )
    return {
        "reference": reference,
        "account_no": RESERVE_ACCOUNT,
        "value_date": value_date.isoformat(),
        "counterparty": "Harbour Trading Co.",
        "memo": "invoice 4711",
        "direction": "credit",
        "amount": UNKNOWN_CREDIT,
        "currency": "CNY",
    }


def _add_payouts(answers: Answers, options: Options) -> None:
    """What becomes of the payouts of the merchants whose bank does not simply pay."""
    fates = {
        "9001": ("failed", "ACCOUNT_NOT_FOUND"),
        "9002": ("succeeded", "OK"),
        "9003": ("failed", "NAME_MISMATCH"),
        "9004": ("returned", "RETURNED_ACCOUNT_CLOSED"),
        "9005": ("failed", "BANK_UNAVAILABLE"),
        "9006": ("succeeded", "OK"),
    }
    for number, ending in setup.PAYOUT_ENDINGS.items():
        if number <= options.merchants:
            state, code = fates[ending]
            answers.payouts.append({"merchant": merchant_no(number), "ending": ending, "state": state, "code": code})
    if options.merchants >= setup.HELD_MERCHANT:
        held = merchant_no(setup.HELD_MERCHANT)
        answers.payouts.append({"merchant": held, "ending": "", "state": "held", "code": ""})
