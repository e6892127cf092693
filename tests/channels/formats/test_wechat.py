"""What the WeChat trade bill means, row by row, and what it is refused or held for."""

import re

import pytest

from payops.channels.formats import FormatError
from tests.channels.formats.bills import DAY, SAMPLES, WECHAT_ALL, edited, read

CODE = "wechat_trade"
FIRST = "`2026-11-18 09:01:12,`wx0f0e0d0c0b0a0908,`1699999901"


def edit(old, new, path=WECHAT_ALL):
    return edited(path, old, new)


def refused(data, **expect):
    with pytest.raises(FormatError) as caught:
        read(CODE, data, **expect)
    return caught.value


def held(data):
    bill = read(CODE, data)[0]
    return [(bad.line_no, bad.code) for bad in bill.bad_lines]


def line_of(order_no, kind="payment", **expect):
    return next(ln for ln in read(CODE, WECHAT_ALL, **expect)[1] if (ln.order_no, ln.kind) == (order_no, kind))


def test_a_payment_with_a_coupon_settles_the_base_less_the_fee():
    line = line_of("PO2026111810440004")
    assert (line.amount, line.settled_amount, line.fee) == (219900, 199900 - 1199, 1199)
    assert line.occurred_at == "2026-11-18 10:44:51+08:00"


def test_a_refund_takes_requested_amount_and_returns_the_fee():
    line = line_of("PO2026111810440004", "refund")
    assert (line.amount, line.settled_amount, line.fee) == (109950, -99950 + 600, -600)
    assert line.match_key == line.request_no == "RF2026111816400002"
    assert line.original_trade_no == line.trade_no == "4200003004202611187000054316"


def test_a_refund_keeps_its_state_at_the_channel():
    states = {line.status for line in read(CODE, WECHAT_ALL)[1] if line.kind == "refund"}
    assert states == {"SUCCESS", "PROCESSING", "CHANGE"}


def test_a_revoked_payment_is_a_void_of_the_same_order():
    line = line_of("PO2026111820300010", "void")
    assert (line.match_key, line.settled_amount) == ("PO2026111820300010", -7500 + 45)


def test_the_kind_of_a_revocation_is_configurable():
    assert line_of("PO2026111820300010", "reversal", revoked_kind="reversal").amount == 7500


def test_the_matching_key_is_configurable():
    line = line_of("PO2026111809010001", payment_key="trade_no")
    assert line.match_key == line.trade_no
    refund = line_of("PO2026111810440004", "refund", refund_key="order_no")
    assert refund.match_key == "PO2026111810440004"


def test_an_unknown_matching_key_names_the_choices():
    assert refused(WECHAT_ALL, payment_key="openid").code == "bill.bad_option"


def test_a_payer_is_masked():
    assert {line.payer_masked[:4] for line in read(CODE, WECHAT_ALL)[1]} == {"****"}


def test_line_ends_of_lf_are_accepted():
    assert read(CODE, WECHAT_ALL.read_bytes().replace(b"\r\n", b"\n"))[1] == read(CODE, WECHAT_ALL)[1]


def test_a_lost_byte_order_mark_is_accepted():
    assert read(CODE, WECHAT_ALL.read_bytes().removeprefix(b"\xef\xbb\xbf"))[1] == read(CODE, WECHAT_ALL)[1]


def test_mixed_line_ends_are_accepted():
    data = WECHAT_ALL.read_bytes().replace(b"\r\n", b"\n", 5)
    assert read(CODE, data)[1] == read(CODE, WECHAT_ALL)[1]


def test_columns_are_found_by_name_not_by_place():
    rows = [row.split("\t") for row in tabbed(WECHAT_ALL)]
    turned = [[row[-1], *row[:-1]] for row in rows[:20]]
    data = ",".join(turned[0]) + "\r\n" + "".join("`" + ",`".join(row) + "\r\n" for row in turned[1:])
    footer = b"\r\n".join(WECHAT_ALL.read_bytes().split(b"\r\n")[-3:])
    assert read(CODE, data.encode() + footer)[1] == read(CODE, WECHAT_ALL)[1]


def tabbed(path):
    """Header and rows with a tab between cells."""
    text = path.read_text("utf-8-sig")
    return [line.removeprefix("`").replace(",`", "\t") if line[0] == "`" else line.replace(",", "\t")
            for line in text.splitlines()]  # fmt: skip


@pytest.mark.parametrize("size", [24, 18, 26])
def test_legacy_headers_are_read(size):
    source = {24: "wx_trade_ALL_20261118.csv", 18: "wx_trade_SUCCESS_20261118.csv", 26: "wx_trade_REFUND_20261118.csv"}
    path = SAMPLES / "wechat" / source[size]
    bill, lines = read(CODE, legacy(path))
    assert len(lines) == len(read(CODE, path)[1])
    assert bill.totals.proven
    assert lines[0].amount in (12800, 1880)


def legacy(path):
    """The sample as merchants with old headers get it: without the last three columns, old names, five totals."""
    rows = [row.split("\t") for row in tabbed(path)]
    header, *details = rows[:-2]
    count, _base, refund, coupon, fee, *_rest = rows[-1]
    names = {
        "特约商户号": "子商户号",
        "应结订单金额": "总金额",
        "代金券金额": "企业红包金额",
        "充值券退款金额": "企业红包退款金额",
    }
    keep = [i for i, name in enumerate(header) if name not in ("订单金额", "申请退款金额", "费率备注")]
    total = rows[-1][1]
    text = "\ufeff" + ",".join(names.get(header[i], header[i]) for i in keep) + "\r\n"
    text += "".join("`" + ",`".join(row[i] for i in keep) + "\r\n" for row in details)
    text += "总交易单数,总交易额,总退款金额,总企业红包退款金额,手续费总金额\r\n"
    return (text + f"`{count},`{total},`{refund},`{coupon},`{fee}\r\n").encode()


def test_the_short_footer_of_success_bills_is_accepted():
    path = SAMPLES / "wechat" / "wx_trade_SUCCESS_20261118.csv"
    lines = path.read_text("utf-8").splitlines()
    short = "总交易单数,应结订单总金额,手续费总金额,订单总金额\r\n`10,`3109.59,`18.65000,`3309.59\r\n"
    bill = read(CODE, ("\r\n".join(lines[:11]) + "\r\n" + short).encode())[0]
    assert bill.totals.proven


def test_merchant_text_may_hold_commas_quotes_and_line_breaks():
    data = edit("`会员月卡,", '`会员,"月"\r\n卡,')
    bill, lines = read(CODE, data)
    assert (bill.bad_lines, bill.totals.proven) == ([], True)
    assert [line.amount for line in lines] == [line.amount for line in read(CODE, WECHAT_ALL)[1]]
    assert [line.line_no for line in lines[:3]] == [1, 3, 4]


def test_a_separator_inside_merchant_text_holds_the_line():
    bill, lines = read(CODE, edit("`会员月卡,", "`会员,`月卡,"))
    assert [(bad.line_no, bad.code) for bad in bill.bad_lines] == [(1, "line.cells")]
    assert len(lines) == 18


def test_a_held_line_is_explained_by_the_footer_and_both_figures_are_shown():
    bill = read(CODE, edit("`128.00,`0.00,`0,", "`12x.00,`0.00,`0,"))[0]
    assert [(bad.line_no, bad.code) for bad in bill.bad_lines] == [(1, "line.amount")]
    count = bill.totals["总交易单数"]
    assert (count.stated, count.computed, bill.totals.proven) == (19, 18, False)
    assert bill.totals["应结订单总金额"].stated - bill.totals["应结订单总金额"].computed == 12800


def test_a_bad_line_does_not_excuse_a_wrong_footer_count():
    data = edit("`128.00,`0.00,`0,", "`12x.00,`0.00,`0,").replace(b"`19,`", b"`22,`")
    assert refused(data).code == "bill.footer_mismatch"


def test_a_footer_off_by_a_cent_shows_both_figures():
    error = refused(edit("`1817.31", "`1817.32"))
    assert error.code == "bill.footer_mismatch"
    for words in ("1817.32", "1817.31", "0.01"):
        assert words in str(error)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("`0.77000,", "`0.77100,", "line.amount_decimals"),
        ("`0.77000,", "`0,77,", "line.amount"),
        ("`CNY,`128.00", "`CNX,`128.00", "line.currency"),
        (FIRST, FIRST.replace("09:01:12", "25:01:12"), "line.time"),
        ("`4200003001202611187000013579,", "`420000300120261118700001357X,", "line.number"),
        ("`PO2026111809010001,", "`,", "line.key"),
        ("`PO2026111809010001,", "`PO 2026111809010001,", "line.key"),
        ("`SUCCESS,`CMB_DEBIT", "`CLOSED,`CMB_DEBIT", "line.kind"),
        ("`ORIGINAL,`CHANGE", "`ORIGINAL,`LATER", "line.status"),
        ("`0.60%,`128.00", "`sixty,`128.00", "line.rate"),
        ("`128.00,`0.00,`\r\n", "`-128.00,`0.00,`\r\n", "line.amount"),
        ("`oPAYOPSx00000000000000000001", "`oPAYOPS\x0000000000000000000001", "line.key"),
    ],
)
def test_a_cell_that_cannot_be_read_holds_its_line(old, new, reason):
    assert [code for _line, code in held(edit(old, new))] == [reason]


def test_a_bad_line_message_names_the_value_and_the_column():
    bill = read(CODE, edit("`128.00,`0.00,`0,", "`12x.00,`0.00,`0,"))[0]
    assert "12x.00" in bill.bad_lines[0].message
    assert "应结订单金额" in bill.bad_lines[0].message
    assert "oPAYOPSx" not in bill.bad_lines[0].raw


def test_a_row_of_another_day_rejects_the_file():
    error = refused(edit("`2026-11-18 11:30:00", "`2026-11-17 11:30:00"))
    assert error.code == "bill.wrong_date"
    assert error.context["line_no"] == 7


def test_a_bill_of_another_day_is_rejected():
    assert refused(WECHAT_ALL, day=DAY.replace(day=17)).code == "bill.wrong_date"


def test_a_bill_of_another_merchant_is_rejected():
    error = refused(WECHAT_ALL, account="1699999902")
    assert error.code == "bill.wrong_account"
    assert "1699999901" in str(error)
    assert "1699999902" in str(error)


def test_a_trade_number_rounded_by_a_spreadsheet_rejects_the_file():
    error = refused(edit("`4200003001202611187000013579,", "`4.20000E+27,"))
    assert error.code == "bill.damaged_number"


def test_a_bill_saved_as_gbk_is_rejected_as_such():
    data = WECHAT_ALL.read_text("utf-8-sig").encode("gb18030")
    assert refused(data).code == "bill.encoding"


def test_an_unknown_extra_column_is_ignored():
    text = WECHAT_ALL.read_text("utf-8")
    text = text.replace("费率备注\n", "费率备注,新列\n", 1)
    text = re.sub(r"(?m)^(`2026.*)$", r"\1,`x", text)
    assert read(CODE, text.encode())[1] == read(CODE, WECHAT_ALL)[1]


def test_a_missing_required_column_is_named():
    error = refused(edit("手续费,费率", "手续费X,费率"))
    assert error.code == "bill.unknown_header"
    assert "手续费" in str(error)


def test_a_repeated_column_is_refused():
    assert refused(edit("设备号", "手续费")).code == "bill.unknown_header"


def test_a_second_bill_after_the_footer_is_rejected():
    assert refused(WECHAT_ALL.read_bytes() * 2).code == "bill.after_footer"


def test_a_bill_cut_anywhere_is_never_accepted_whole():
    data = WECHAT_ALL.read_bytes()
    whole = read(CODE, WECHAT_ALL)[1]
    for end in range(0, len(data) - 3, 41):
        with pytest.raises(FormatError):
            assert read(CODE, data[:end])[1] != whole


def test_amounts_of_another_currency_use_its_decimals():
    data = edit("`CNY,`128.00", "`JPY,`128.00").replace(b"`0.77000,`0.60%,`128.00", b"`1.00000,`0.60%,`128.00")
    data = data.replace(b"`7.75000", b"`7.98000")
    bill, lines = read(CODE, data)
    assert (lines[0].currency, lines[0].amount, lines[0].fee) == ("JPY", 128, 1)
    assert bill.sums_by_currency["JPY"]["payment"].amount == 128
    assert bill.sums_by_kind["payment"].count == 9
    assert bill.totals.proven


def test_a_yen_amount_with_sen_holds_the_line():
    assert held(edit("`CNY,`59.90", "`JPY,`59.90")) == [(2, "line.amount_decimals")]


def test_many_bad_lines_are_no_bill():
    row = WECHAT_ALL.read_bytes().split(b"\r\n")[1].replace(b"`128.00,`0.00,`0,", b"`12x.00,`0.00,`0,")
    data = WECHAT_ALL.read_bytes().split(b"\r\n")[0] + b"\r\n" + (row + b"\r\n") * 1100
    assert refused(data).code == "bill.too_many_bad_lines"
