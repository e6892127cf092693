"""Whatever arrives as a statement is proven or refused with a clear error: never a crash, never other money."""

from __future__ import annotations

import contextlib
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from payops.channels.statements import StatementError
from tests.channels.statements.conftest import CAMT, SWIFT, statements

FILES = [CAMT, SWIFT]


@st.composite
def mutated(draw):
    """A real statement with a few things done to it."""
    path = draw(st.sampled_from(FILES))
    data = bytearray(path.read_bytes())
    for _n in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        end = min(len(data), start + draw(st.integers(1, 900)))
        match draw(st.sampled_from(["cut", "drop", "repeat", "flip", "insert", "swap"])):
            case "cut":
                del data[start:]
            case "drop":
                del data[start:end]
            case "repeat":
                data[end:end] = data[start:end]
            case "flip" if data:
                data[start] ^= draw(st.integers(1, 255))
            case "insert":
                data[start:start] = draw(st.binary(max_size=30))
            case _:
                data[start:end] = bytes(reversed(data[start:end]))
    return bytes(data)


def attempt(data):
    """The statements, or none; a refusal must be ours and worded."""
    refusal = None
    try:
        return statements(data)
    except StatementError as error:
        refusal = error
    assert re.fullmatch(r"statement\.[a-z0-9_]+", refusal.code)
    assert str(refusal)
    return []


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_a_damaged_statement_proves_itself_or_is_refused(data):
    for statement in attempt(data):
        assert statement.opening + sum(entry.amount for entry in statement.entries) == statement.closing
        assert len({entry.reference for entry in statement.entries}) == len(statement.entries)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from([b"<", b":20:", b"{1:x}{4:\n:20:"]))
def test_random_bytes_are_refused(data, start):
    assert attempt(start + data) == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.sampled_from(["utf-16", "gb18030", "latin-1", "utf-8-sig", "cp037"]))
def test_another_encoding_is_read_right_or_refused(path, encoding):
    with contextlib.suppress(UnicodeError):
        data = path.read_bytes().decode("utf-8").encode(encoding)
        for statement in attempt(data):
            assert statement.closing == 222_337_542
