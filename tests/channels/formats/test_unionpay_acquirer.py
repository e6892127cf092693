"""UnionPay's acquirer files: what each row is, what it costs, and how rows that cancel each other net to nothing."""

import pytest

from payops.channels.formats import BillType, FormatError, Source, get_format
from payops.channels.formats import unionpay_acom as acom
from payops.channels.formats import unionpay_aerr as aerr
from payops.channels.formats import unionpay_alfee as alfee
from tests.channels.formats.bills import ACOMA, ACOMN, AERRA, AERRN, ALFEE, expectation, read

LAYOUTS = {ACOMN: acom.ACOMN, ACOMA: acom.ACOMA, AERRN: aerr.LAYOUT, AERRA: aerr.LAYOUT, ALFEE: alfee.LAYOUT}
CODES = {
    ACOMN: "unionpay_acomn", ACOMA: "unionpay_acoma", AERRN: "unionpay_aerr", AERRA: "unionpay_aerr",
    ALFEE: "unionpay_alfee",
}  # fmt: skip


def put(path, field, text, *, row=0, data=None):
    """A sample with one field of one row replaced, in bytes."""
    rows = (data or path.read_bytes()).split(b"\r\n")
    layout = LAYOUTS[path]
    start, width = layout.starts[field - 1], layout.widths[field - 1]
    rows[row] = rows[row][:start] + text.encode("gbk").ljust(width) + rows[row][start + width :]
    return b"\r\n".join(rows)


def lines_of(path, data=None, **options):
    return read(CODES[path], data or path, **options)[1]


def held(path, data, **options):
    return [(bad.line_no, bad.code) for bad in read(CODES[path], data, **options)[0].bad_lines]


def refused(path, data, **expect):
    with pytest.raises(FormatError) as caught:
        read(CODES[path], data, **expect)
    return caught.value


def test_the_layouts_are_the_published_ones():
    assert (acom.ACOMN.starts[20], acom.ACOMN.starts[32]) == (192, 272)
    assert (acom.ACOMA.starts[36], acom.ACOMA.starts[38], acom.ACOMA.starts[43]) == (324, 328, 391)
    assert (aerr.LAYOUT.starts[19], aerr.LAYOUT.starts[35], aerr.LAYOUT.starts[48]) == (166, 337, 490)
    assert (alfee.LAYOUT.starts[18], alfee.LAYOUT.starts[27]) == (134, 319)


def test_only_the_detail_is_a_bill_of_trades():
    types = {code: get_format(code).bill_type for code in CODES.values()}
    assert types == {
        "unionpay_acomn": BillType.TRADE, "unionpay_acoma": BillType.TRADE, "unionpay_aerr": BillType.ERRORS,
        "unionpay_alfee": BillType.BRAND_FEE,
    }  # fmt: skip


# --- ACOMN ---


def test_a_purchase_costs_interchange_and_the_switch_fee():
    line = lines_of(ACOMN)[0]
    assert (line.kind, line.amount, line.settled_amount, line.fee) == ("payment", 25000, 24904, 96)
    assert line.match_key == line.trade_no == "48990000-00049992-300001-1117230105"
    assert line.payer_masked == "621626*********0018"


@pytest.mark.parametrize(("message", "code", "condition", "kind"), [
    ("0200", "000000", "00", "payment"),
    ("0200", "200000", "00", "void"),
    ("0220", "200000", "00", "refund"),
    ("0220", "000000", "00", "payment"),
    ("0420", "000000", "00", "reversal"),
    ("0200", "000000", "06", "preauth_completion"),
    ("0200", "200000", "06", "void"),
    ("0200", "290000", "00", "payout"),
])  # fmt: skip
def test_message_code_and_condition_say_what_a_row_is(message, code, condition, kind):
    data = put(ACOMN, 15, condition, data=put(ACOMN, 10, code, data=put(ACOMN, 9, message)))
    line = lines_of(ACOMN, data)[0]
    assert line.kind == kind
    assert line.settled_amount == (24904 if kind in ("payment", "preauth_completion") else -25096)


def test_a_preauthorisation_moves_no_money_and_is_set_aside():
    data = put(ACOMN, 10, "030000", data=put(ACOMN, 9, "0100"))
    assert held(ACOMN, data) == [(1, "line.kind")]


def test_balance_inquiries_are_counted_and_are_no_lines():
    bill, lines = read("unionpay_acomn", ACOMN)
    assert bill.totals["inquiry.count"].computed == 1
    assert 12 not in {line.line_no for line in lines}


def test_an_inquiry_with_an_amount_is_none():
    assert held(ACOMN, put(ACOMN, 6, "000000000100", row=11)) == [(12, "line.kind")]


def test_a_void_names_the_trade_it_cancels():
    void = lines_of(ACOMN)[7]
    assert void.original_trade_no == "48990000-00049992-300007-1118173000"


def test_the_matching_key_may_be_the_order_number_of_the_tail():
    lines = lines_of(ACOMN, payment_key="order_no", refund_key="request_no")
    assert (lines[0].match_key, lines[9].match_key) == ("AC2026111800000000", "AR2026111800000001")


def test_rows_may_end_early_and_then_have_no_order_number():
    rows = [row[:290].rstrip() for row in ACOMN.read_bytes().split(b"\r\n")]
    data = b"\r\n".join(rows)
    assert [line.order_no for line in lines_of(ACOMN, data)] == [""] * 12


def test_a_row_without_the_number_it_is_matched_by_is_held():
    rows = ACOMN.read_bytes().split(b"\r\n")
    rows[1] = rows[1][:300]
    assert held(ACOMN, b"\r\n".join(rows), payment_key="order_no", refund_key="order_no") == [(2, "line.key")]


@pytest.mark.parametrize(("field", "text", "reason"), [
    (6, "00000002500O", "line.amount"),
    (23, "X00000000008", "line.amount"),
    (3, "30000X", "line.number"),
    (4, "1117250105", "line.time"),
    (18, "ABCDEF", "line.number"),
])  # fmt: skip
def test_a_field_that_cannot_be_read_holds_its_line(field, text, reason):
    assert held(ACOMN, put(ACOMN, field, text)) == [(1, reason)]


@pytest.mark.parametrize("path", list(CODES), ids=lambda path: path.name)
def test_every_row_must_be_our_acquirers(path):
    field = {AERRN: 2, AERRA: 2, ALFEE: 9}.get(path, 1)
    assert refused(path, put(path, field, "48990001", row=2)).code == "bill.wrong_account"


@pytest.mark.parametrize("path", list(CODES), ids=lambda path: path.name)
def test_the_name_says_day_and_kind(path):
    name = path.name.replace("261118", "261117")
    with pytest.raises(FormatError) as caught:
        get_format(CODES[path]).open(Source.of(path.read_bytes(), name), expectation(CODES[path]))
    assert caught.value.code == "bill.wrong_date"
    other = "IND26111899ALFEE" if path is not ALFEE else "IND26111801ACOMN"
    with pytest.raises(FormatError) as caught:
        get_format(CODES[path]).open(Source.of(path.read_bytes(), other), expectation(CODES[path]))
    assert caught.value.code == "bill.wrong_format"


# --- ACOMA ---


def test_rows_flagged_as_cancelled_net_to_nothing_with_their_partners():
    bill, lines = read("unionpay_acoma", ACOMA)
    by_key = {line.trade_no: line for line in lines}
    flagged = [line for line in lines if "voided" in line.extra or "reversed" in line.extra]
    assert len(flagged) == bill.totals["netted.pairs"].computed == 2
    for line in flagged:
        assert line.settled_amount + by_key[line.original_trade_no].settled_amount == 0


def test_a_flagged_row_of_another_amount_than_its_partner_is_held():
    assert held(ACOMA, put(ACOMA, 6, "000000088801", row=7)) == [(8, "line.partner")]


def test_a_row_flagged_as_cancelled_that_nothing_cancels_is_held():
    assert held(ACOMA, put(ACOMA, 38, "C", row=3)) == [(4, "line.partner")]


def test_a_flag_on_the_cancelled_row_itself_finds_what_cancels_it():
    data = put(ACOMA, 38, "C", row=6)
    assert held(ACOMA, data) == []
    assert read("unionpay_acoma", data)[0].totals["netted.pairs"].computed == 1 + 1


def test_a_void_of_an_earlier_days_trade_stands_alone():
    assert held(ACOMA, put(ACOMA, 18, "299999", row=7)) == []


def test_a_partner_with_another_fee_is_noted():
    bill = read("unionpay_acoma", put(ACOMA, 21, "000000000310", row=7))[0]
    assert [(note["code"], note["line_no"]) for note in bill.warnings] == [("line.partner_fee", 8)]


def test_a_row_of_another_clearing_day_rejects_the_file():
    error = refused(ACOMA, put(ACOMA, 39, "1119", row=4))
    assert (error.code, error.context["line_no"]) == ("bill.wrong_date", 5)


# --- AERR ---


def test_the_core_of_both_error_files_says_the_same():
    assert lines_of(AERRN) == lines_of(AERRA)


def test_a_chargeback_takes_amount_and_charge_and_gives_interchange_back():
    line = lines_of(AERRN)[1]
    assert (line.extra["code"], line.kind, line.amount) == ("E23", "dispute", 128000)
    assert (line.fee, line.settled_amount) == (2000 - 448, -128000 - 2000 + 448)
    assert line.original_trade_no == "48990000-00049992-290002-1020111111"


def test_the_reply_to_a_copy_request_is_nothing_but_its_fee():
    line = lines_of(AERRN)[5]
    assert (line.extra["code"], line.kind, line.amount, line.fee, line.settled_amount) == (
        "E05", "fee", 1500, -1500, 1500,
    )  # fmt: skip


def test_a_reply_whose_fee_is_no_charge_of_the_row_is_held():
    assert held(AERRN, put(AERRN, 7, "000000001501", row=5)) == [(6, "line.settlement")]


def test_an_unknown_code_sets_its_row_aside():
    assert held(AERRN, put(AERRN, 1, "E99")) == [(1, "line.kind")]


def test_a_code_whose_direction_is_not_published_waits_for_the_contract():
    data = put(AERRN, 1, "E33")
    assert held(AERRN, data) == [(1, "line.kind")]
    line = lines_of(AERRN, data, error_codes={"E33": ["transfer", -1]})[0]
    assert (line.kind, line.settled_amount) == ("transfer", -6650 - 23)


def test_whether_field_23_is_a_fee_of_ours_is_an_option():
    data = put(AERRN, 23, "D00000000007")
    assert lines_of(AERRN, data)[0].fee == 30
    assert lines_of(AERRN, data, error_switch_fee=False)[0].fee == 23


def test_all_three_card_numbers_are_masked_in_what_is_shown():
    data = put(AERRN, 28, "6216261000000000018", data=put(AERRN, 30, "6216261000000000018"))
    raw = get_format("unionpay_aerr").raw_line(Source.of(data), expectation("unionpay_aerr"), 1)
    assert "6216261000000000018" not in raw
    assert raw.count("621626*********0018") == 3


# --- ALFEE ---


def test_a_brand_fee_is_nothing_but_a_fee_of_its_trade():
    line = lines_of(ALFEE)[0]
    assert (line.kind, line.amount, line.settled_amount, line.fee) == ("fee", 5, -5, 5)
    assert line.original_trade_no == lines_of(ACOMN)[0].trade_no


def test_a_brand_fee_comes_back_with_the_trade():
    line = lines_of(ALFEE)[7]
    assert (line.amount, line.settled_amount, line.fee) == (18, 18, -18)


def test_a_sign_that_is_neither_credit_nor_debit_holds_its_line():
    assert held(ALFEE, put(ALFEE, 28, "X00000000005")) == [(1, "line.amount")]
