"""What UnionPay's fixed-width merchant file means, row by row, and what it is refused or held for."""

from datetime import date

import pytest

from payops.channels.formats import FormatError, Source
from payops.channels.formats.unionpay import LAYOUT
from tests.channels.formats.bills import DAY, UNIONPAY, ZM, copied, edited, expectation, read

CODE = "unionpay_zm"


def refused(data, **expect):
    with pytest.raises(FormatError) as caught:
        read(CODE, data, **expect)
    return caught.value


def put(field, text, *, row=0, data=None):
    """The sample with one field of one row replaced, in bytes."""
    rows = (data or ZM.read_bytes()).split(b"\r\n")
    start, width = LAYOUT.starts[field - 1], LAYOUT.widths[field - 1]
    cell = text.encode("gbk").ljust(width)
    rows[row] = rows[row][:start] + cell + rows[row][start + width :]
    return b"\r\n".join(rows)


def held(data):
    return [(bad.line_no, bad.code) for bad in read(CODE, data)[0].bad_lines]


def test_the_layout_is_the_published_one():
    offsets = dict(enumerate(LAYOUT.starts, 1))
    assert (offsets[7], offsets[12], offsets[20], offsets[33], offsets[41]) == (66, 112, 215, 374, 476)
    assert LAYOUT.row_bytes == 508


def test_a_payment_is_matched_by_our_order_number():
    line = read(CODE, ZM)[1][0]
    assert (line.match_key, line.order_no, line.request_no) == ("PU20261118080500001", "PU20261118080500001", "")
    assert (line.amount, line.settled_amount, line.fee) == (12800, 12751, 49)
    assert line.occurred_at == "2026-11-18 08:05:12+08:00"


def test_a_refund_is_matched_by_its_own_number_and_names_the_original():
    line = read(CODE, ZM)[1][8]
    assert (line.kind, line.match_key, line.request_no) == ("refund", "RU20261118142000001", "RU20261118142000001")
    assert (line.order_no, line.original_trade_no) == ("PU20261118130700006", "202611181307001002066")
    assert (line.amount, line.settled_amount, line.fee) == (30000, -29886, -114)


def test_the_kind_comes_from_field_20_never_from_field_1():
    assert read(CODE, ZM)[1][10].kind == "void"
    assert read(CODE, put(20, "03"))[1][0].kind == "preauth_completion"


def test_card_numbers_are_masked():
    data = put(6, "6216261000000000018")
    assert read(CODE, data)[1][0].payer_masked == "621626*********0018"
    assert copied(CODE, data)[0]["payer_masked"] == "621626*********0018"


def test_a_held_line_shows_no_card_number():
    data = put(7, "00000000O001", data=put(6, "6216261000000000018"))
    bad = read(CODE, data)[0].bad_lines[0]
    assert "6216261000000000018" not in bad.raw
    assert "621626*********0018" in bad.raw


def test_rows_of_new_years_eve_belong_to_last_year():
    data = ZM.read_bytes().replace(b" 1118", b" 1231")
    lines = read(CODE, data, day=date(2027, 1, 1))[1]
    assert lines[0].occurred_at == "2026-12-31 08:05:12+08:00"


def test_a_file_without_a_row_of_its_day_is_rejected():
    assert refused(ZM.read_bytes(), day=date(2026, 11, 25)).code == "bill.wrong_date"


def test_the_date_in_the_file_name_must_be_the_channel_date():
    assert refused(ZM, day=date(2026, 11, 19)).code == "bill.wrong_date"


def test_the_merchant_in_the_file_name_must_be_ours():
    assert refused(Source.of(ZM.read_bytes(), "INN26111888ZM_777290058000000")).code == "bill.wrong_account"


def test_the_merchant_in_every_row_must_be_ours():
    error = refused(put(28, "777290058000000", row=4))
    assert (error.code, error.context["line_no"]) == ("bill.wrong_account", 5)


def test_the_name_the_file_was_uploaded_under_counts_too():
    expect = expectation(CODE, name=f"INN26111788ZM_{UNIONPAY}")
    from payops.channels.formats import get_format

    with pytest.raises(FormatError) as caught:
        get_format(CODE).open(Source.of(ZM.read_bytes(), "upload.bin"), expect)
    assert caught.value.code == "bill.wrong_date"


@pytest.mark.parametrize(("field", "text", "reason"), [
    (5, "1318080512", "line.time"),
    (7, "00000001280O", "line.amount"),
    (10, "", "line.number"),
    (12, "", "line.key"),
    (16, "X000000000049", "line.amount"),
    (16, " 000000000049", "line.amount"),
    (17, "C000000012750", "line.settlement"),
    (20, "02", "line.kind"),
    (20, "99", "line.kind"),
])  # fmt: skip
def test_a_field_that_cannot_be_read_holds_its_line(field, text, reason):
    assert held(put(field, text)) == [(1, reason)]


def test_a_discount_may_explain_the_settlement():
    data = put(36, "D000000000100", data=put(17, "C000000012651", data=put(33, "C000000012651")))
    assert read(CODE, data)[1][0].settled_amount == 12651


def test_the_settlement_check_is_configurable():
    data = put(17, "C000000012750")
    assert len(read(CODE, data, check_settlement=False)[1]) == 11


def test_bytes_shifted_by_a_conversion_to_utf8_hold_the_rows_they_shift():
    data = ZM.read_bytes().decode("gbk").encode()
    assert held(data) == [(5, "line.fields"), (11, "line.fields")]


def test_a_last_row_cut_off_rejects_the_file():
    assert refused(ZM.read_bytes()[:-200]).code == "bill.truncated"


def test_an_empty_file_is_no_bill():
    assert refused(b"").code == "bill.not_a_bill"


def test_a_repeated_query_id_rejects_the_file():
    rows = ZM.read_bytes().split(b"\r\n")
    error = refused(b"\r\n".join([*rows[:11], rows[2], b""]))
    assert (error.code, error.context["line_no"]) == ("bill.duplicate_row", 12)


def test_totals_are_computed_but_prove_nothing():
    bill = read(CODE, ZM)[0]
    assert bill.totals["payment.amount"].computed == 356141
    assert not bill.totals.proven


def test_lf_line_ends_are_accepted():
    assert read(CODE, ZM.read_bytes().replace(b"\r\n", b"\n"))[1] == read(CODE, ZM)[1]


def test_a_sub_merchant_name_in_gbk_is_kept():
    assert read(CODE, ZM)[1][4].extra["sub_merchant_name"] == "示范门店甲"
    assert edited(ZM, "示范门店甲", "示范门店乙", encoding="gbk")
    assert DAY.year == 2026
