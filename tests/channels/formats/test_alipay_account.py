"""Alipay's accounting detail: the log of our account, row by row, and what it is refused or held for."""

import pytest

from payops.channels.formats import BillType, FormatError, Source, get_format
from tests.channels.formats.bills import ALIPAY_LOG, ALIPAY_LOG_SUMMARY, edited, expectation, read

CODE = "alipay_account"


def edit(old, new, **options):
    return edited(ALIPAY_LOG, old, new, encoding="gb18030", **options)


def refused(data, **expect):
    with pytest.raises(FormatError) as caught:
        read(CODE, data, **expect)
    return caught.value


def held(data, **expect):
    return [(bad.line_no, bad.code) for bad in read(CODE, data, **expect)[0].bad_lines]


def with_summary(summary):
    bill = get_format(CODE).open(Source.of(ALIPAY_LOG), expectation(CODE), summary=Source.of(summary))
    list(bill)
    return bill


def test_it_is_an_account_log_and_no_bill_of_trades():
    assert get_format(CODE).bill_type == BillType.ACCOUNT_LOG


def test_a_fee_is_a_row_of_its_own_and_nothing_but_a_fee():
    payment, fee, *_rest = read(CODE, ALIPAY_LOG)[1]
    assert (payment.kind, payment.settled_amount, payment.fee) == ("payment", 29900, 0)
    assert (fee.kind, fee.amount, fee.settled_amount, fee.fee) == ("fee", 179, -179, 179)


def test_a_refund_names_its_request_and_the_trade_it_goes_back_to():
    refund = next(line for line in read(CODE, ALIPAY_LOG)[1] if line.kind == "refund")
    assert (refund.request_no, refund.settled_amount) == ("RA2026111814220001", -20000)
    assert refund.original_trade_no == refund.trade_no == "2026111822001998800000047514"


def test_a_withdrawal_is_a_transfer_out():
    line = read(CODE, ALIPAY_LOG)[1][-1]
    assert (line.kind, line.settled_amount, line.order_no, line.status) == ("transfer", -200_000, "", "提现")


def test_the_lines_add_up_to_the_movement_of_the_balance():
    bill, lines = read(CODE, ALIPAY_LOG)
    opening, closing = (bill.totals[f"balance.{end}"].computed for end in ("opening", "closing"))
    assert opening + sum(line.settled_amount for line in lines) == closing == 1_012_221


def test_a_break_of_the_balance_is_a_warning_with_its_row():
    bill, lines = read(CODE, edit("10297.21", "10297.22"))
    assert (len(lines), bill.totals.proven) == (23, True)
    assert [(note["code"], note["line_no"]) for note in bill.warnings] == [("bill.balance_break", 2)]
    assert "10297.22" in bill.warnings[0]["message"]


def test_columns_are_found_by_name_in_any_order_with_any_brackets():
    rows = ALIPAY_LOG.read_bytes().decode("gb18030").split("\r\n")
    for i in range(4, 28):
        cells = rows[i].split(",")
        cells[5:9] = [cells[8], cells[7], cells[6], cells[5]]
        rows[i] = ",".join(cells)
    rows[4] = rows[4].replace("收入金额（+元）", "收入金额").replace("支出金额（-元）", "支出金额(-元)")
    assert read(CODE, "\r\n".join(rows).encode("gb18030"))[1] == read(CODE, ALIPAY_LOG)[1]


def test_hash_lines_padded_with_commas_by_a_spreadsheet_are_the_same_file():
    rows = ALIPAY_LOG.read_bytes().decode("gb18030").split("\r\n")
    rows = [row + "," * 15 if row.startswith("#") else row.replace("\t", "") for row in rows]
    assert read(CODE, "\r\n".join(rows).encode("utf-8-sig"))[1] == read(CODE, ALIPAY_LOG)[1]


def test_the_summary_that_comes_with_the_detail_is_checked_against_it():
    assert with_summary(ALIPAY_LOG_SUMMARY).totals["汇总支出金额"].stated == -303_490
    wrong = edited(ALIPAY_LOG_SUMMARY, "11,3157.11,12", "11,3157.12,12", encoding="gb18030")
    with pytest.raises(FormatError) as caught:
        with_summary(wrong)
    assert caught.value.code == "bill.footer_mismatch"


def test_a_summary_without_a_total_row_is_added_up():
    rows = [
        row for row in ALIPAY_LOG_SUMMARY.read_bytes().decode("gb18030").split("\r\n") if not row.startswith("合计")
    ]
    assert with_summary("\r\n".join(rows).encode("gb18030")).totals["汇总收入笔数"].stated == 11


def test_the_summary_must_be_of_the_same_day():
    with pytest.raises(FormatError) as caught:
        with_summary(edited(ALIPAY_LOG_SUMMARY, "2026年11月18日", "2026年11月17日", encoding="gb18030"))
    assert caught.value.code == "bill.wrong_date"


@pytest.mark.parametrize(("old", "new", "code"), [
    ("支出合计：12笔", "支出合计：13笔", "bill.footer_mismatch"),
    ("共3157.11元", "共3157.12元", "bill.footer_mismatch"),
    ("#支出合计", "#支出总计", "bill.truncated"),
    ("账务明细列表结束", "账务明细列表", "bill.truncated"),
    ("#账号：[20889900112233440156]", "#账号：[20889900112233440157]", "bill.wrong_account"),
    ("2026年11月18日 00", "2026年11月17日 00", "bill.wrong_date"),
    ("2026-11-18 08:30:15", "2026-11-17 08:30:15", "bill.wrong_date"),
    ("700000000000194\t", "700000000000097\t", "bill.duplicate_row"),
    ("700000000000194\t", "7.00000E+14\t", "bill.damaged_number"),
    ("账户余额（元）", "余额", "bill.unknown_header"),
])  # fmt: skip
def test_what_cannot_be_believed_rejects_the_file(old, new, code):
    assert refused(edit(old, new)).code == code


@pytest.mark.parametrize(("old", "new", "reason"), [
    (",299.00,0.00,", ",299.00,-1.00,", "line.amount_sign"),
    (",299.00,0.00,", ",-299.00,0.00,", "line.amount_sign"),
    (",299.00,0.00,", ",0.00,299.00,", "line.amount_sign"),
    (",299.00,0.00,", ",299.001,0.00,", "line.amount_decimals"),
])  # fmt: skip
def test_a_row_that_cannot_be_read_holds_the_file(old, new, reason):
    assert held(edit(old, new)) == [(1, reason)]


def test_commas_in_merchant_text_are_read_where_only_one_reading_exists():
    bill, lines = read(CODE, edit("会员季卡", "会员,季卡"))
    assert (bill.bad_lines, lines[0].extra["product"]) == ([], "会员,季卡")


def test_which_sign_money_out_has_is_an_option():
    text = ALIPAY_LOG.read_bytes().decode("gb18030")
    for amount in ("1.79", "0.27", "9.00", "1.13", "1.20", "200.00", "0.12", "375.00", "5.39", "66.00", "2000.00"):
        text = text.replace(f",0.00,-{amount},", f",0.00,{amount},")
    text = text.replace("共-3034.90元", "共3034.90元")
    data = text.encode("gb18030")
    assert read(CODE, data, expense_sign="positive")[1] == read(CODE, ALIPAY_LOG)[1]
    assert held(data)[0][1] == "line.amount_sign"
