"""What an MT940 statement means, line by line, and what it is refused for."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.channels.statements.conftest import CAMT, SAMPLES, SWIFT, edited, refused, statements

BARE = """:20:STMT
:25:622200001
:28C:7
:60F:C261231CNY100,00
:61:2701011231C12,50NTRFNONREF//B1
:86:PLAIN TEXT
:62F:C261231CNY112,50
-
"""


def test_two_pages_are_one_statement():
    (statement,) = statements(SWIFT)
    assert (statement.account, statement.number, statement.sequence) == ("31050170999900000001", "322", 322)
    assert (statement.opening, statement.closing, len(statement.booked)) == (125_000_000, 222_337_542, 12)


def test_it_says_what_the_camt_of_the_same_day_says():
    swift, camt = statements(SWIFT)[0], statements(CAMT)[0]
    assert (swift.opening, swift.credits, swift.debits, swift.closing) == (
        camt.opening, camt.credits, camt.debits, camt.closing,
    )  # fmt: skip
    assert swift.booked == camt.booked
    whole = {entry.batch or entry.reference for entry in camt.entries}
    assert [entry.reference for entry in swift.entries] == sorted(whole)


def test_a_reversed_debit_comes_in_and_a_reversed_credit_goes_out():
    entry = next(entry for entry in statements(SWIFT)[0].entries if entry.reference == "BNK26111800007")
    assert (entry.amount, entry.end_to_end) == (260_000, "PAYOUT-20261118-02")
    data = BARE.replace("C12,50N", "RC12,50N").replace("CNY112,50", "CNY87,50")
    assert statements(data.encode())[0].entries[0].amount == -1_250


def test_a_narrative_over_two_lines_is_joined_without_a_blank():
    entry = next(entry for entry in statements(SWIFT)[0].entries if entry.reference == "BNK26111800003")
    assert entry.memo == "UNIONPAY CLEARING 777290058999901 20261117 UPSETTLE20261117"


def test_a_bare_file_is_read_without_swifts_blocks():
    (statement,) = statements(BARE.encode())
    entry = statement.entries[0]
    assert (entry.value_date, entry.amount, entry.memo) == (dt.date(2027, 1, 1), 1_250, "PLAIN TEXT")


def test_several_statements_of_several_accounts_come_in_one_file():
    other = BARE.replace("622200001", "622200002").replace(":28C:7", ":28C:9")
    assert [statement.account for statement in statements((BARE + other).encode())] == ["622200001", "622200002"]


def test_a_day_without_entries_is_a_statement():
    data = "".join(line for line in BARE.splitlines(keepends=True) if line[:4] not in (":61:", ":86:"))
    assert statements(data.replace("112,50", "100,00").encode())[0].entries == []


@pytest.mark.parametrize(("name", "code"), [
    ("mt940_missing_62F.sta", "statement.unknown_line"),
    ("mt940_gbk_narrative.sta", "statement.encoding"),
])  # fmt: skip
def test_a_bad_sample_is_refused_for_its_reason(name, code):
    assert refused(SAMPLES / "bad" / name).code == code


@pytest.mark.parametrize(("old", "new", "code"), [
    (":61:2611181118D12,00N", ":61:2611181118D12.00N", "statement.line"),
    (":61:2611181118D12,00N", ":61:2611181118X12,00N", "statement.line"),
    (":61:2611181118D12,00N", ":61:2613181118D12,00N", "statement.date"),
    (":61:2611181118D12,00N", ":6l:2611181118D12,00N", "statement.unknown_line"),
    (":61:2611181118D12,00NCHGNONREF//BNK26111800004\n", "", "statement.missing_field"),
    (":61:2611181118D12,00N", ":61:2611181118D12,01N", "statement.balance"),
    (":61:2611181118D12,00N", ":61:2611181118DD12,00N", "statement.currency"),
    (":62F:C261118CNY2223375,42\n", "", "statement.missing_field"),
    (":62F:C", ":62F:D", "statement.balance"),
    (":62F:C261118CNY", ":62F:C261118USD", "statement.currency"),
    (":62F:", ":62M:", "statement.pages"),
    (":60M:C261118CNY1173377,91", ":60M:C261118CNY1173377,90", "statement.balance"),
    (":60M:", ":60F:", "statement.pages"),
    (":28C:322/2", ":28C:322/3", "statement.pages"),
    (":28C:322/2", ":28C:323/2", "statement.pages"),
    (":28C:322/2", ":28C:X", "statement.number"),
    (":25:31050170999900000001\n:28C:322/2", ":28C:322/2", "statement.missing_field"),
    ("O940", "O950", "statement.not_mt940"),
])  # fmt: skip
def test_what_cannot_be_believed_is_refused(old, new, code):
    assert refused(edited(SWIFT, old, new)).code == code


def test_a_page_of_its_own_is_refused():
    text = SWIFT.read_text(encoding="ascii")
    second = text.index("{1:", 10)
    assert refused(text[second:].encode()).code == "statement.pages"
    assert refused(text[:second].encode()).code == "statement.pages"


def test_a_file_cut_anywhere_is_refused():
    data = SWIFT.read_bytes().rstrip()
    whole = data.index(b":62F:") + len(":62F:C261118CNY2223375,42")
    for end in range(4, whole, 7):
        refused(data[:end])
