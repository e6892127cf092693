"""Whatever arrives is read or refused with a clear error: never a crash, a hang or a bill half believed."""

import contextlib
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payops.channels.formats import FORMATS, FormatError, Source, detect_source, get_format
from tests.channels.formats.bills import ALIPAY_ZIP, BILLS, UNPROVEN, WECHAT_ALL, copied, expectation, reader

CODES = sorted(BILLS)
LOGS = {"wechat_fundflow", "alipay_account"}
"""Account logs state what came and went; which of it were fees is the rows' own word."""


def net(outcome):
    """What the lines that were read did to the account."""
    return sum(figures.settled for figures in outcome[3].values())


def attempt(code, data):
    """Read data both ways; the outcome must be the same, and an error must be ours and worded."""
    outcomes = []
    for way in (list, lambda bill: list(bill.copy_chunks(10**17, 1))):
        bill = None
        try:
            bill = reader(code, data)
            way(bill)
            outcomes.append(("read", bill.line_count, len(bill.bad_lines), dict(bill.sums_by_kind), bill.totals.proven))
        except FormatError as error:
            outcomes.append(("refused", error.code if str(error) else "no message"))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == "read" or re.fullmatch(r"bill\.[a-z_]+", outcomes[0][1])
    return outcomes[0]


@st.composite
def mutated(draw):
    """A real bill with a few things done to it."""
    code = draw(st.sampled_from(CODES))
    data = bytearray(BILLS[code].read_bytes())
    for _n in range(draw(st.integers(1, 4))):
        if not data:
            break
        start = draw(st.integers(0, len(data) - 1))
        end = min(len(data), start + draw(st.integers(1, 700)))
        match draw(st.sampled_from(["cut", "drop", "repeat", "flip", "insert", "swap"])):
            case "cut":
                del data[start:]
            case "drop":
                del data[start:end]
            case "repeat":
                data[end:end] = data[start:end]
            case "flip":
                data[start] ^= draw(st.integers(1, 255))
            case "insert":
                data[start:start] = draw(st.binary(max_size=30))
            case "swap":
                data[start:end] = bytes(reversed(data[start:end]))
    return code, bytes(data)


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_a_damaged_bill_is_read_or_refused(case):
    code, data = case
    whole = attempt(code, BILLS[code].read_bytes())
    outcome = attempt(code, data)
    if outcome[0] != "read":
        return
    if code in UNPROVEN:
        assert not outcome[4]
    elif outcome[2] == 0:
        # With totals that agree and nothing held, not a cent may have moved.
        assert outcome[4]
        assert (
            sum(figures.fee for figures in outcome[3].values()) == sum(f.fee for f in whole[3].values())
            or not outcome[1]
            or code in LOGS
        )
        assert net(outcome) == net(whole) or not outcome[1] or code not in LOGS


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CODES), st.binary(max_size=3000))
def test_random_bytes_are_refused(code, data):
    assert attempt(code, data)[0] == "refused"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CODES), st.binary(max_size=600))
def test_random_bytes_behind_a_real_header_are_refused_or_held(code, data):
    head = BILLS[code].read_bytes().split(b"\r\n")
    outcome = attempt(code, b"\r\n".join(head[:6]) + b"\r\n" + data)
    assert outcome[0] == "refused" or code in UNPROVEN


@pytest.mark.parametrize("code", CODES)
def test_three_megabytes_of_random_bytes_are_refused_quickly(code):
    data = random.Random(3).randbytes(3 << 20)
    start = time.monotonic()
    assert attempt(code, data)[0] == "refused"
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("code", CODES)
def test_three_megabytes_behind_a_real_header_are_refused_quickly(code):
    head = b"\r\n".join(BILLS[code].read_bytes().split(b"\r\n")[:6]) + b"\r\n"
    start = time.monotonic()
    assert attempt(code, head + random.Random(4).randbytes(3 << 20))[0] == "refused"
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("filler", [b"\x00", b"\n", b"`", b",", b" ", b"#", b"`,`"])
def test_three_megabytes_of_one_character_are_refused_quickly(code, filler):
    head = b"\r\n".join(BILLS[code].read_bytes().split(b"\r\n")[:6]) + b"\r\n"
    start = time.monotonic()
    attempt(code, head + filler * ((3 << 20) // len(filler)))
    assert attempt(code, filler * 100_000)[0] == "refused"
    assert time.monotonic() - start < 10


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(CODES), st.randoms())
def test_reordered_rows_read_the_same_or_are_refused(code, rnd):
    rows = BILLS[code].read_bytes().split(b"\r\n")
    first, last = {"wechat": (1, -3), "alipay": (5, -5), "unionpay": (0, -1)}[code.split("_")[0]]
    middle = rows[first:last]
    rnd.shuffle(middle)
    data = b"\r\n".join([*rows[:first], *middle, *rows[last:]])
    outcome = attempt(code, data)
    if code == "wechat_fundflow":
        # Its running balances have an order.
        assert outcome[0] == "read" or outcome[1] == "bill.balance_break"
    else:
        assert outcome == attempt(code, BILLS[code].read_bytes())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("source", "target"), [
    ("utf-8", "gb18030"), ("gb18030", "utf-8"), ("utf-8", "utf-16"), ("gb18030", "utf-16"), ("latin-1", "utf-8"),
])  # fmt: skip
def test_a_bill_in_another_encoding_is_read_right_or_refused(code, source, target):
    try:
        data = BILLS[code].read_bytes().decode(source).encode(target)
    except UnicodeError:
        return
    outcome = attempt(code, data)
    assert outcome[0] == "refused" or outcome == attempt(code, BILLS[code].read_bytes()) or outcome[2]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_flipped_byte_in_a_zip_is_read_or_refused(position, value):
    data = bytearray(ALIPAY_ZIP.read_bytes())
    data[position % len(data)] = value
    attempt("alipay_trade", bytes(data))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=500))
def test_detection_never_crashes(data):
    with contextlib.suppress(FormatError):
        detect_source(Source.of(data, "x"))


@settings(max_examples=60, deadline=None)
@given(mutated(), st.integers(-5, 40))
def test_showing_a_line_never_crashes(case, number):
    code, data = case
    with contextlib.suppress(FormatError):
        assert isinstance(get_format(code).raw_line(Source.of(data), expectation(code), number), str)


def test_a_backslash_in_an_order_number_reaches_the_table_as_it_is():
    data = WECHAT_ALL.read_bytes().replace(b"`PO2026111809010001,", b"`PO\\N026111809010001,")
    assert copied("wechat_trade", data)[0]["order_no"] == "PO\\N026111809010001"
    assert set(FORMATS) == set(CODES)
