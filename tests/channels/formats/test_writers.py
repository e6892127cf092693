"""What the writers write, the parsers read back: row by row, with right totals."""

import io
import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payops.channels.formats import FORMATS, FormatError, Source, detect_source
from payops.channels.formats.base import KindSums
from payops.channels.formats.container import unwrap
from payops.channels.formats.writers import (
    BillRow,
    unionpay_zm_name,
    write_alipay_zip,
    write_unionpay_zm,
    write_wechat_all,
)
from tests.channels.formats.bills import ALIPAY, DAY, UNIONPAY, WECHAT, at, read

PRODUCTS = st.text(st.characters(codec="gbk", exclude_categories=["Cc", "Cs"], exclude_characters=",`#"), max_size=8)


@st.composite
def bill_rows(draw, *, kinds=("payment", "refund"), discounts=True, currencies=("CNY",), width=28):
    """Rows of one day with unique numbers."""
    rows = []
    for n in range(draw(st.integers(0, 30))):
        kind = draw(st.sampled_from(kinds))
        amount = draw(st.integers(1, 10**10))
        moment = at("2026-11-18T00:00:00") + timedelta(seconds=draw(st.integers(0, 86399)))
        back = kind != "payment"
        rows.append(
            BillRow(
                kind=kind,
                order_no=f"P{n:015d}",
                trade_no=f"42{n:0{width - 2}d}",
                amount=amount,
                fee=draw(st.integers(0, amount)),
                occurred_at=moment,
                request_no=f"R{n:015d}" if back else "",
                original_trade_no=f"42{n:0{width - 2}d}" if back else "",
                original_at=moment - timedelta(hours=1) if back else None,
                discount=draw(st.integers(0, amount)) if discounts else 0,
                product=draw(PRODUCTS),
                currency=draw(st.sampled_from(currencies)),
            )
        )
    return rows


def expected(row):
    """The figures a row must come back with."""
    sign = 1 if row.kind in ("payment", "preauth_completion") else -1
    return (row.kind, row.request_no or row.order_no, row.amount, sign * (row.amount - row.discount - row.fee),
            sign * row.fee, row.currency)  # fmt: skip


def found(line):
    return (line.kind, line.match_key, line.amount, line.settled_amount, line.fee, line.currency)


@settings(max_examples=60, deadline=None)
@given(bill_rows(kinds=("payment", "refund", "void"), currencies=("CNY", "CNY", "USD", "JPY", "HKD")))
def test_wechat_bills_come_back_as_written(rows):
    file = io.BytesIO()
    assert write_wechat_all(file, WECHAT, rows) == len(rows)
    bill, lines = read("wechat_trade", file.getvalue())
    assert [found(line) for line in lines] == [expected(row) for row in rows]
    assert bill.totals.proven


@settings(max_examples=60, deadline=None)
@given(rows=bill_rows())
def test_alipay_deliveries_come_back_as_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("alipay") / f"{ALIPAY}_20261118.csv.zip"
    assert write_alipay_zip(path, ALIPAY, DAY, rows) == len(rows)
    bill, lines = read("alipay_trade", path)
    assert [found(line) for line in lines] == [expected(row) for row in rows]
    assert bill.totals.proven
    assert bill.totals["汇总实收净额"].agrees


@settings(max_examples=60, deadline=None)
@given(bill_rows(kinds=("payment", "refund", "void", "preauth_completion"), discounts=False, width=21).filter(bool))
def test_unionpay_files_come_back_as_written(rows):
    file = io.BytesIO()
    assert write_unionpay_zm(file, UNIONPAY, DAY, rows) == len(rows)
    lines = read("unionpay_zm", Source.of(file.getvalue(), unionpay_zm_name(UNIONPAY, DAY)))[1]
    assert [found(line)[0] for line in lines] == [row.kind for row in rows]
    assert [found(line)[2:] for line in lines] == [expected(row)[2:] for row in rows]


def test_the_alipay_zip_is_written_like_the_channel_does(tmp_path):
    path = tmp_path / "a.zip"
    write_alipay_zip(path, ALIPAY, DAY, [])
    again = tmp_path / "b.zip"
    write_alipay_zip(again, ALIPAY, DAY, [])
    assert path.read_bytes() == again.read_bytes()
    assert "业务明细".encode("gbk") in path.read_bytes()
    assert [member.name for member in unwrap(Source.of(path))][1] == f"{ALIPAY}_20261118_业务明细.csv"
    assert detect_source(Source.of(path)) is FORMATS["alipay_trade"]


def test_a_zm_row_has_the_length_of_the_channels():
    file = io.BytesIO()
    row = BillRow("payment", "P1", "2" * 21, 100, 1, datetime(2026, 11, 18, 9))
    write_unionpay_zm(file, UNIONPAY, DAY, [row])
    assert len(file.getvalue()) == 610


def test_a_bill_of_many_blocks_keeps_its_numbers_and_sums():
    rows = many_rows(5000)
    file = io.BytesIO()
    write_wechat_all(file, WECHAT, rows)
    bill, lines = read("wechat_trade", file.getvalue())
    assert [line.line_no for line in lines] == list(range(1, 5001))
    for kind, sums in bill.sums_by_kind.items():
        own = [line for line in lines if line.kind == kind]
        figures = [sum(getattr(line, name) for line in own) for name in ("amount", "settled_amount", "fee")]
        assert sums == KindSums(len(own), *figures)


def test_a_repeated_row_far_from_its_twin_is_named():
    rows = many_rows(5000)
    file = io.BytesIO()
    write_wechat_all(file, WECHAT, [*rows, rows[7]])
    with pytest.raises(FormatError) as caught:
        read("wechat_trade", file.getvalue())
    assert (caught.value.code, caught.value.context["line_no"]) == ("bill.duplicate_row", 5001)


def many_rows(count):
    rnd = random.Random(7)
    return [
        BillRow(
            kind := "payment" if rnd.random() < 0.9 else "refund",
            f"P{n:015d}",
            f"42{n:026d}",
            amount := rnd.randint(1, 100000),
            amount // 100,
            at("2026-11-18T00:00:00") + timedelta(seconds=n * 17),
            request_no="" if kind == "payment" else f"R{n:015d}",
        )
        for n in range(count)
    ]
