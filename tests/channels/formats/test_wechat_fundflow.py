"""WeChat's fund-flow bill: the log of our account, row by row, and what it is refused or held for."""

import pytest

from payops.channels.formats import BillType, FormatError, get_format
from tests.channels.formats.bills import FUNDFLOW, edited, read

CODE = "wechat_fundflow"


def refused(data, **expect):
    with pytest.raises(FormatError) as caught:
        read(CODE, data, **expect)
    return caught.value


def held(data):
    return [(bad.line_no, bad.code) for bad in read(CODE, data)[0].bad_lines]


def test_it_is_an_account_log_and_no_bill_of_trades():
    assert get_format(CODE).bill_type == BillType.ACCOUNT_LOG
    assert get_format("wechat_trade").bill_type == BillType.TRADE


def test_a_payment_and_its_fee_are_rows_of_their_own():
    payment, fee, *_rest = read(CODE, FUNDFLOW)[1]
    assert (payment.kind, payment.amount, payment.settled_amount, payment.fee) == ("payment", 12800, 12800, 0)
    assert (fee.kind, fee.amount, fee.settled_amount, fee.fee) == ("fee", 77, -77, 77)
    assert payment.trade_no == fee.trade_no
    assert payment.match_key != fee.match_key


def test_the_lines_add_up_to_the_movement_of_the_balance():
    bill, lines = read(CODE, FUNDFLOW)
    opening, closing = (bill.totals[f"balance.{end}"].computed for end in ("opening", "closing"))
    assert opening + sum(line.settled_amount for line in lines) == closing == 329_953


@pytest.mark.parametrize(("word", "kind"), [
    ("退款", "refund"), ("退款关闭", "refund_return"), ("企业付款", "payout"), ("分账", "transfer"),
    ("退还交易手续费", "fee"), ("一种新业务", "adjustment"),
])  # fmt: skip
def test_the_kind_comes_from_wechats_word_and_an_unknown_word_is_an_adjustment(word, kind):
    line = read(CODE, edited(FUNDFLOW, "`交易,`交易,`收入", f"`交易,`{word},`收入"))[1][0]
    assert (line.kind, line.status, line.settled_amount) == (kind, word, 12800)


def test_full_width_brackets_and_lf_are_the_same_bill():
    data = FUNDFLOW.read_bytes().replace("收支金额(元)".encode(), "收支金额（元）".encode()).replace(b"\r\n", b"\n")
    assert read(CODE, data)[1] == read(CODE, FUNDFLOW)[1]


def test_counts_of_the_footer_may_be_printed_with_a_decimal():
    data = edited(FUNDFLOW, "`27,`10,", "`27.0,`10.0,")
    assert read(CODE, data)[0].totals.proven


@pytest.mark.parametrize(("old", "new", "code"), [
    ("`27,`10,", "`28,`10,", "bill.footer_mismatch"),
    ("3049.59", "3049.58", "bill.footer_mismatch"),
    ("`27,`10,", "`27.5,`10,", "bill.footer_unreadable"),
    ("`5127.23,", "`5127.24,", "bill.balance_break"),
    ("2026-11-18 09:01:12", "2026-11-17 09:01:12", "bill.wrong_date"),
    ("169999990120261118880000000002", "169999990120261118880000000001", "bill.duplicate_row"),
    ("169999990120261118880000000002", "1.69999E+29", "bill.damaged_number"),
    ("账户结余(元)", "账户", "bill.unknown_header"),
    (",支出金额", "", "bill.truncated"),
])  # fmt: skip
def test_what_cannot_be_believed_rejects_the_file(old, new, code):
    assert refused(edited(FUNDFLOW, old, new)).code == code


@pytest.mark.parametrize(("old", "new", "reason"), [
    ("`收入,`128.00", "`不变,`128.00", "line.direction"),
    ("`128.00,", "`-128.00,", "line.amount"),
    ("`128.00,", "`128.001,", "line.amount_decimals"),
    ("2026-11-18 09:01:12", "2026-11-18 25:01:12", "line.time"),
])  # fmt: skip
def test_a_cell_that_cannot_be_read_holds_its_line(old, new, reason):
    assert held(edited(FUNDFLOW, old, new)) == [(1, reason)]


def test_a_break_may_be_taken_as_the_channel_sends_it():
    data = edited(FUNDFLOW, "`5127.23,", "`5127.24,")
    assert len(read(CODE, data, balance_break="accept")[1]) == 27


def test_flow_numbers_of_another_merchant_are_refused_where_the_contract_says_so():
    assert len(read(CODE, FUNDFLOW, flow_account=True)[1]) == 27
    assert refused(edited(FUNDFLOW, "`1699999901202611188", "`1699999902202611188"), flow_account=True).code == (
        "bill.wrong_account"
    )


@pytest.mark.parametrize("code", ["wechat_trade", CODE])
def test_an_answer_that_the_bill_is_being_made_is_never_an_empty_day(code):
    answer = b"<xml><return_msg>Bill Creating</return_msg><error_code>20002</error_code></xml>"
    with pytest.raises(FormatError) as caught:
        read(code, answer)
    assert caught.value.code == "bill.creating"
