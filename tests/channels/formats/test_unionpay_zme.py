"""UnionPay's error file of a merchant: disputes, adjustments and manual refunds, and what each does to our money."""

import pytest

from payops.channels.formats import BillType, FormatError, Source, get_format
from payops.channels.formats.unionpay_zme import LAYOUT
from tests.channels.formats.bills import UNIONPAY, ZME, expectation, read

CODE = "unionpay_zme"


def put(field, text, *, row=0):
    """The sample with one field of one row replaced, in bytes."""
    rows = ZME.read_bytes().split(b"\r\n")
    start, width = LAYOUT.starts[field - 1], LAYOUT.widths[field - 1]
    rows[row] = rows[row][:start] + text.encode().ljust(width) + rows[row][start + width :]
    return b"\r\n".join(rows)


def held(data, **options):
    return [(bad.line_no, bad.code) for bad in read(CODE, data, **options)[0].bad_lines]


def test_the_layout_is_the_published_one():
    offsets = dict(enumerate(LAYOUT.starts, 1))
    assert (offsets[11], offsets[14], offsets[16], offsets[18], offsets[21]) == (90, 113, 140, 170, 201)


def test_it_is_no_version_of_the_bill():
    assert get_format(CODE).bill_type == BillType.ERRORS


def test_a_chargeback_takes_the_money_and_gives_the_fee_back():
    line = read(CODE, ZME)[1][1]
    assert (line.kind, line.amount, line.settled_amount, line.fee) == ("dispute", 45900, -45726, -174)
    assert line.original_trade_no == "099102-1025141500-000000045900"


def test_a_representment_brings_it_again():
    line = read(CODE, ZME)[1][2]
    assert (line.kind, line.settled_amount, line.fee) == ("dispute", 45726, 174)


def test_a_manual_refund_whose_original_was_not_found_names_none():
    line = read(CODE, ZME)[1][6]
    assert (line.extra["code"], line.kind, line.original_trade_no) == ("E84", "refund", "")


def test_an_unknown_code_sets_its_row_aside_until_the_contract_names_it():
    data = put(1, "E99")
    assert held(data) == [(1, "line.kind")]
    assert read(CODE, data, error_codes={"E99": ["adjustment", -1]})[1][0].kind == "adjustment"


def test_money_against_the_direction_of_its_code_is_taken_as_the_file_has_it_and_noted():
    bill, lines = read(CODE, put(1, "E22"))
    assert lines[0].settled_amount == -11954
    assert [(note["code"], note["line_no"]) for note in bill.warnings] == [("line.direction", 1)]


@pytest.mark.parametrize(("field", "text", "reason"), [
    (7, "00000001200O", "line.amount"),
    (15, "X000000000046", "line.amount"),
    (16, "D000000045727", "line.settlement"),
    (4, "2OOOO1", "line.number"),
    (5, "1318101010", "line.time"),
])  # fmt: skip
def test_a_field_that_cannot_be_read_holds_its_line(field, text, reason):
    assert held(put(field, text, row=1)) == [(2, reason)]


def test_the_settlement_check_is_configurable():
    assert held(put(16, "D000000011955"), check_settlement=False) == []


def test_the_merchant_in_every_row_must_be_ours():
    with pytest.raises(FormatError) as caught:
        read(CODE, put(18, "777290058000000", row=3))
    assert (caught.value.code, caught.value.context["line_no"]) == ("bill.wrong_account", 4)


def test_the_name_says_day_and_kind():
    cases = {f"INN26111788ZME_{UNIONPAY}": "bill.wrong_date", f"INN26111888ZM_{UNIONPAY}": "bill.wrong_format"}
    for name, code in cases.items():
        with pytest.raises(FormatError) as caught:
            get_format(CODE).open(Source.of(ZME.read_bytes(), name), expectation(CODE))
        assert caught.value.code == code


@pytest.mark.parametrize("option", [{"E99": "dispute"}, {"E99": ["nothing", 1]}, {"E99": ["dispute", 2]}, "E99", 5])
def test_an_option_that_says_nothing_readable_is_an_error(option):
    with pytest.raises(FormatError) as caught:
        read(CODE, ZME, error_codes=option)
    assert caught.value.code == "bill.bad_option"
