"""What the tests of bill formats share: the samples, their accounts and days, and reading a file both ways."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from payops.channels.formats import BILL_COPY_COLUMNS, Expectation, Line, Reader, Source, get_format

SAMPLES = Path(__file__).parents[2] / "samples"
DAY = date(2026, 11, 18)
WECHAT, WECHAT_PROVIDER = "1699999901", "1699999955"
ALIPAY = "20889900112233440156"
UNIONPAY = "777290058999901"
ACQUIRER = "48990000"
ACCOUNTS = {
    "wechat_trade": WECHAT,
    "wechat_fundflow": WECHAT,
    "alipay_trade": ALIPAY,
    "alipay_account": ALIPAY,
    "unionpay_zm": UNIONPAY,
    "unionpay_zme": UNIONPAY,
    "unionpay_acomn": ACQUIRER,
    "unionpay_acoma": ACQUIRER,
    "unionpay_aerr": ACQUIRER,
    "unionpay_alfee": ACQUIRER,
}

WECHAT_ALL = SAMPLES / "wechat" / "wx_trade_ALL_20261118.csv"
ALIPAY_DETAIL = SAMPLES / "alipay" / f"{ALIPAY}_20261118_业务明细.csv"
ALIPAY_SUMMARY = SAMPLES / "alipay" / f"{ALIPAY}_20261118_业务明细(汇总).csv"
ALIPAY_ZIP = SAMPLES / "alipay" / "trade" / f"{ALIPAY}_20261118.csv.zip"
ZM = SAMPLES / "unionpay" / f"INN26111888ZM_{UNIONPAY}"
ZME = SAMPLES / "unionpay" / f"INN26111888ZME_{UNIONPAY}"
FUNDFLOW = SAMPLES / "wechat" / "wx_fundflow_BASIC_20261118.csv"
ALIPAY_LOG = SAMPLES / "alipay" / f"{ALIPAY}_20261118_账务明细.csv"
ALIPAY_LOG_OLD = SAMPLES / "alipay" / f"{ALIPAY}_20261118_账务明细_legacy12.csv"
ALIPAY_LOG_SUMMARY = SAMPLES / "alipay" / f"{ALIPAY}_20261118_账务明细(汇总).csv"
ALIPAY_LOG_ZIP = SAMPLES / "alipay" / "signcustomer" / f"{ALIPAY}_20261118.csv.zip"
ACOMN = SAMPLES / "unionpay" / "IND26111801ACOMN"
ACOMA = SAMPLES / "unionpay" / "IND26111832ACOMA"
AERRN = SAMPLES / "unionpay" / "IND26111801AERRN"
AERRA = SAMPLES / "unionpay" / "IND26111832AERRA"
ALFEE = SAMPLES / "unionpay" / "IND26111899ALFEE"
BILLS = {
    "wechat_trade": WECHAT_ALL,
    "wechat_fundflow": FUNDFLOW,
    "alipay_trade": ALIPAY_DETAIL,
    "alipay_account": ALIPAY_LOG,
    "unionpay_zm": ZM,
    "unionpay_zme": ZME,
    "unionpay_acomn": ACOMN,
    "unionpay_acoma": ACOMA,
    "unionpay_aerr": AERRN,
    "unionpay_alfee": ALFEE,
}
"""One good bill of every format."""
UNPROVEN = {code for code in BILLS if code.startswith("unionpay")}
"""Formats that state no totals."""


def expectation(code: str, *, account: str = "", day: date = DAY, name: str = "", **options: object) -> Expectation:
    """What a sample of a format is expected to be."""
    return Expectation(account or ACCOUNTS[code], day, name, options=options)


def reader(code: str, file: Path | bytes | Source, *, account: str = "", day: date = DAY, **options: object) -> Reader:
    """A fresh reader over a file."""
    return get_format(code).open(Source.of(file), expectation(code, account=account, day=day, **options))


def read(code: str, file: Path | bytes | Source, **expect: object) -> tuple[Reader, list[Line]]:
    """The exhausted reader and its lines."""
    bill = reader(code, file, **expect)
    return bill, list(bill)


def copied(code: str, file: Path | bytes | Source, *, prefix: int = 261118 * 10**12, **expect: object) -> list[dict]:
    """The rows of the COPY text as dictionaries of text, NULL as None."""
    bill = reader(code, file, **expect)
    text = b"".join(bill.copy_chunks(prefix, 7)).decode()
    assert text.endswith("\n") or not text
    rows = [row.split("\t") for row in text.split("\n")[:-1]]
    return [
        {
            column: None if cell == "\\N" else cell.replace("\\\\", "\\")
            for column, cell in zip(BILL_COPY_COLUMNS, row, strict=True)
        }
        for row in rows
    ]


def edited(path: Path, old: str | bytes, new: str | bytes, *, encoding: str = "utf-8", count: int = 1) -> bytes:
    """A sample with one passage replaced; the passage must be there."""
    data = path.read_bytes()
    before = old.encode(encoding) if isinstance(old, str) else old
    after = new.encode(encoding) if isinstance(new, str) else new
    assert before in data
    return data.replace(before, after, count)


def at(text: str) -> datetime:
    """A moment in Beijing time from ISO text without offset."""
    return datetime.fromisoformat(text + "+08:00")
