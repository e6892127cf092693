"""Whatever arrives under a mapping is read or refused with a clear error; a file proves itself only when whole."""

from __future__ import annotations

import contextlib
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payops.channels.formats import FormatError
from payops.channels.formats.generic_spec import DEFAULTS, SpecError, spec_of
from tests.channels.test_generic import FIXED, HEADER, SHEET, SHEET_ROWS, SPEC, reader, workbook

ROWS = [
    f"2026-11-18,09:00:{second:02d},T{second},O{second},,支付,{second + 1}.0{second % 10},0.60" for second in range(40)
]
TOTAL = sum((second + 1) * 100 + second % 10 for second in range(40))
TEXT = "\r\n".join([HEADER, *ROWS, f"合计,40,{TOTAL // 100}.{TOTAL % 100:02d}", ""])
FIXED_TEXT = "".join(f"T{n:<5}O{n:<5}20261118090000支付{n:010d}\n" for n in range(1, 30)) + "END 29\n"
CASES = {
    "delimited": (TEXT.encode(), {}),
    "gbk": (TEXT.encode("gb18030"), {"encoding": "gb18030"}),
    "fixed": (FIXED_TEXT.encode("gb18030"), FIXED),
    "xlsx": (workbook(SHEET_ROWS), SHEET),
}
SUMS = {"delimited": TOTAL, "gbk": TOTAL, "xlsx": 2029}
"""What the amounts of the files that state their sum add up to."""


def attempt(data: bytes, changes: dict) -> tuple:
    """Read both ways; the outcome is the same and an error is ours and worded."""
    outcomes = []
    for way in (list, lambda bill: list(bill.copy_chunks(10**17, 1))):
        try:
            bill = reader(data, **changes)
            way(bill)
            outcomes.append(("read", bill.line_count, len(bill.bad_lines), dict(bill.sums_by_kind), bill.totals.proven))
        except FormatError as error:
            outcomes.append(("refused", error.code if str(error) else "no message"))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == "read" or re.fullmatch(r"bill\.[a-z_]+", outcomes[0][1])
    return outcomes[0]


@st.composite
def damaged(draw):
    """A good file with a few things done to it."""
    case = draw(st.sampled_from(sorted(CASES)))
    data = bytearray(CASES[case][0])
    for _n in range(draw(st.integers(1, 4))):
        if not data:
            break
        start = draw(st.integers(0, len(data) - 1))
        end = min(len(data), start + draw(st.integers(1, 300)))
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
    return case, bytes(data)


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_a_damaged_file_is_read_or_refused_and_proves_itself_only_when_whole(case):
    name, data = case
    outcome = attempt(data, CASES[name][1])
    if name in SUMS and outcome[0] == "read" and outcome[4] and not outcome[2]:
        # Count and sum agree: not a cent may have moved, unless the damage made an empty list and its figures.
        assert not outcome[1] or sum(sums.amount for sums in outcome[3].values()) == SUMS[name]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.binary(max_size=3000))
def test_random_bytes_are_never_a_proven_bill(name, data):
    outcome = attempt(data, CASES[name][1])
    assert outcome[0] == "refused" or not outcome[1]


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("filler", [b"\x00", b"\n", b",", b'"', b" ", b"a,"])
def test_three_megabytes_of_one_character_are_refused_quickly(name, filler):
    data = HEADER.encode() + b"\n" + filler * ((3 << 20) // len(filler))
    start = time.monotonic()
    assert attempt(data, CASES[name][1])[0] == "refused"
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("name", sorted(CASES))
def test_three_megabytes_of_random_bytes_behind_a_header_are_refused_quickly(name):
    start = time.monotonic()
    attempt(HEADER.encode() + b"\n" + random.Random(5).randbytes(3 << 20), CASES[name][1])
    assert time.monotonic() - start < 20


@settings(max_examples=60, deadline=None)
@given(st.randoms())
def test_rows_in_another_order_read_the_same(rnd):
    rows = ROWS.copy()
    rnd.shuffle(rows)
    data = "\r\n".join([HEADER, *rows, *TEXT.split("\r\n")[-2:]]).encode()
    assert attempt(data, {}) == attempt(TEXT.encode(), {})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), ANYTHING, max_size=4))
def test_whatever_a_mapping_says_it_is_checked_and_never_crashes(changes):
    with contextlib.suppress(SpecError, FormatError):
        spec_of({**SPEC, **changes})
        bill = reader(TEXT.encode(), **changes)
        list(bill)
