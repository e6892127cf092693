"""What the Alipay business detail means, row by row, and what it is refused or held for."""

import zipfile

import pytest

from payops.channels.formats import FormatError, Source, get_format
from tests.channels.formats.bills import (
    ALIPAY,
    ALIPAY_DETAIL,
    ALIPAY_SUMMARY,
    ALIPAY_ZIP,
    DAY,
    edited,
    expectation,
    read,
)

CODE = "alipay_trade"


def edit(old, new, *, count=1):
    return edited(ALIPAY_DETAIL, old, new, encoding="gb18030", count=count)


def refused(data, **expect):
    with pytest.raises(FormatError) as caught:
        read(CODE, data, **expect)
    return caught.value


def held(data):
    return [(bad.line_no, bad.code) for bad in read(CODE, data)[0].bad_lines]


def test_a_payment_settles_what_was_received_less_the_fee():
    line = read(CODE, ALIPAY_DETAIL)[1][3]
    assert (line.kind, line.amount, line.settled_amount, line.fee) == ("payment", 158000, 150000 - 900, 900)
    assert line.match_key == line.order_no == "PA2026111810100004"


def test_several_refunds_of_one_trade_are_told_apart_by_request_number():
    refunds = [ln for ln in read(CODE, ALIPAY_DETAIL)[1] if ln.trade_no.endswith("31676") and ln.kind == "refund"]
    assert [line.match_key for line in refunds] == ["RA2026111816180002", "RA2026111817400003"]
    assert {(line.amount, line.settled_amount, line.fee) for line in refunds} == {(39500, -37500 + 225, -225)}


def test_a_refund_is_dated_by_its_completion():
    line = read(CODE, ALIPAY_DETAIL)[1][11]
    assert (line.occurred_at, line.order_no) == ("2026-11-18 20:01:01+08:00", "PA2026101009000090")


def test_chinese_payer_text_is_kept():
    assert read(CODE, ALIPAY_DETAIL)[1][5].payer_masked == "*某(177****0004)"


def test_the_summary_in_the_zip_is_checked():
    totals = read(CODE, ALIPAY_ZIP)[0].totals
    assert totals["汇总实收净额"].stated == totals["汇总实收净额"].computed == 212221
    assert totals["汇总交易订单总笔数"].computed == 8


def test_a_summary_given_beside_the_detail_is_checked():
    bill = get_format(CODE).open(Source.of(ALIPAY_DETAIL), expectation(CODE), summary=Source.of(ALIPAY_SUMMARY))
    list(bill)
    assert bill.totals["汇总服务费"].agrees


def test_a_summary_that_disagrees_rejects_the_bill():
    summary = edited(ALIPAY_SUMMARY, "合计\t,\t,8,4,2175.41", "合计\t,\t,8,4,2175.42", encoding="gb18030")
    bill = get_format(CODE).open(Source.of(ALIPAY_DETAIL), expectation(CODE), summary=Source.of(summary))
    with pytest.raises(FormatError) as caught:
        list(bill)
    assert caught.value.code == "bill.footer_mismatch"
    assert "2175.42" in str(caught.value)


@pytest.mark.parametrize(("old", "new", "code"), [
    (ALIPAY, "20889900112233450156", "bill.wrong_account"),
    ("2026年11月18日", "2026年11月17日", "bill.wrong_date"),
    ("业务汇总列表结束", "业务汇总列表", "bill.summary_unreadable"),
    ("合计\t,\t,8", "合计\t,\t,x", "bill.summary_unreadable"),
])  # fmt: skip
def test_a_summary_that_cannot_be_used_is_refused(old, new, code):
    summary = edited(ALIPAY_SUMMARY, old, new, encoding="gb18030")
    with pytest.raises(FormatError) as caught:
        list(get_format(CODE).open(Source.of(ALIPAY_DETAIL), expectation(CODE), summary=Source.of(summary)))
    assert caught.value.code == code


def test_a_zip_with_only_the_summary_says_what_is_missing(tmp_path):
    path = tmp_path / "only.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", ALIPAY_SUMMARY.read_bytes())
    assert refused(path).code == "bill.summary_only"


def test_members_are_recognised_by_content_not_by_name(tmp_path):
    path = tmp_path / "renamed.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b", ALIPAY_SUMMARY.read_bytes())
        archive.writestr("a", ALIPAY_DETAIL.read_bytes())
    assert read(CODE, path)[1] == read(CODE, ALIPAY_ZIP)[1]


def test_the_contract_may_hold_the_sixteen_digit_account():
    assert len(read(CODE, ALIPAY_DETAIL, account=ALIPAY[:16])[1]) == 12


@pytest.mark.parametrize("old", [ALIPAY, "#账号"])
def test_a_file_of_another_account_is_rejected(old):
    assert refused(edit(old, "#" if old[0] == "#" else "20889900112233450156")).code == "bill.wrong_account"


def test_a_file_of_another_day_is_rejected():
    assert refused(ALIPAY_DETAIL, day=DAY.replace(day=17)).code == "bill.wrong_date"


def test_a_file_of_a_whole_month_is_rejected():
    assert refused(edit("2026年11月19日 00", "2026年12月01日 00")).code == "bill.wrong_date"


def test_a_row_completed_on_another_day_rejects_the_file():
    error = refused(edit("2026-11-18 09:12:09", "2026-11-17 09:12:09"))
    assert (error.code, error.context["line_no"]) == ("bill.wrong_date", 2)


def test_full_and_half_width_brackets_in_headers_are_the_same():
    assert read(CODE, edit("（元）", "(元)", count=99))[1] == read(CODE, ALIPAY_DETAIL)[1]


def test_tabs_may_be_absent():
    assert read(CODE, ALIPAY_DETAIL.read_bytes().replace(b"\t", b""))[1] == read(CODE, ALIPAY_DETAIL)[1]


def test_spaces_around_cells_do_not_matter():
    data = edit("299.00,299.00", " 299.00,299.00 ").replace(b"PA2026111808300001", b" PA2026111808300001 ")
    assert read(CODE, data)[1] == read(CODE, ALIPAY_DETAIL)[1]


def test_lf_line_ends_and_dash_counts_do_not_matter():
    data = ALIPAY_DETAIL.read_bytes().replace(b"\r\n", b"\n").replace(b"-" * 30, b"-" * 7)
    assert read(CODE, data)[1] == read(CODE, ALIPAY_DETAIL)[1]


def test_header_lines_padded_with_commas_are_read():
    text = ALIPAY_DETAIL.read_text("gb18030")
    data = "".join(line + "," * 24 + "\n" if line.startswith("#") else line + "\n" for line in text.splitlines())
    assert read(CODE, data.encode("gb18030"))[1] == read(CODE, ALIPAY_DETAIL)[1]


def test_the_older_footer_wording_is_checked_too():
    data = edit("商家实收共3151.41元，商家优惠共80.00元", "交易金额共3231.41元，优惠金额共80.00元")
    data = data.replace("商家实收退款共-1016.00元，商家优惠退款共".encode("gb18030"),
                        "交易退款金额共-1056.00元，优惠退款金额共".encode("gb18030"))  # fmt: skip
    assert read(CODE, data)[0].totals.proven
    assert refused(data.replace(b"3231.41", b"3231.42")).code == "bill.footer_mismatch"


def test_a_positive_fee_convention_is_inferred_from_payments():
    bill, lines = read(CODE, positive())
    assert lines == read(CODE, ALIPAY_DETAIL)[1]
    assert bill.totals.proven


def positive():
    """The sample with every service fee's sign turned."""
    text = ALIPAY_DETAIL.read_text("gb18030")
    rows = []
    for line in text.splitlines():
        cells = line.split(",")
        if len(cells) == 25 and cells[22][-1].isdigit() and float(cells[22]):
            cells[22] = cells[22][1:] if cells[22][0] == "-" else "-" + cells[22]
        rows.append(",".join(cells))
    return "\r\n".join(rows).encode("gb18030")


def test_fee_signs_that_contradict_each_other_are_refused():
    error = refused(edit(",-1.13,", ",1.13,"))
    assert (error.code, error.context["line_no"]) == ("bill.fee_sign_mixed", 5)


def test_a_configured_fee_sign_is_not_guessed():
    assert refused(ALIPAY_DETAIL, fee_sign="positive").code == "bill.fee_sign_mixed"
    assert len(read(CODE, ALIPAY_DETAIL, fee_sign="negative")[1]) == 12


def test_a_comma_in_merchant_text_is_repaired_once():
    data = edit("绿植盆栽", "绿植,盆栽").replace("桌号A12".encode("gb18030"), "桌,号".encode("gb18030"))
    bill, lines = read(CODE, data)
    assert (bill.bad_lines, bill.totals.proven) == ([], True)
    assert [line.match_key for line in lines] == [line.match_key for line in read(CODE, ALIPAY_DETAIL)[1]]
    assert lines[1].extra["product"] == "绿植,盆栽"


def test_a_line_that_can_be_repaired_in_two_ways_is_held():
    # The coupon's name has the shape of the amounts behind it, so where it ends cannot be told.
    data = edit("满减券-双十一返场", "满减券,0.00,0.00,,-9.00,0.00")
    assert held(data) == [(4, "line.cells")]


@pytest.mark.parametrize(("old", "new", "reason"), [
    ("299.00,299.00", "299.00,x", "line.amount"),
    ("299.00,299.00", "299.001,299.00", "line.amount_decimals"),
    ("299.00,299.00", "-299.00,-299.00", "line.amount_sign"),
    ("交易\t,会员季卡", "转账\t,会员季卡", "line.kind"),
    ("2026-11-18 08:30:15", "2026-11-18 0830:15", "line.time"),
    ("2026111822001998800000007919", "20261118220019988000000079I9", "line.number"),
    ("PA2026111808300001", "", "line.key"),
    ("PA2026111808300001", "PA20261118\t08300001", "line.key"),
    ("**店(ops", "**\x01(ops", "line.control"),
])  # fmt: skip
def test_a_cell_that_cannot_be_read_holds_its_line(old, new, reason):
    assert held(edit(old, new)) == [(1, reason)]


def test_an_order_number_rounded_by_a_spreadsheet_holds_its_line_wherever_it_stands():
    assert held(edit("PA2026111810100004", "2.02611E+15")) == [(4, "line.key")]


def test_a_cut_bill_is_never_accepted_whole():
    data = ALIPAY_DETAIL.read_bytes()
    last = data.index("#导出时间".encode("gb18030")) - 4
    for end in range(0, last, 37):
        with pytest.raises(FormatError):
            read(CODE, data[:end])


def test_a_row_twice_is_rejected():
    row = ALIPAY_DETAIL.read_bytes().split(b"\r\n")[5] + b"\r\n"
    data = edit("#交易合计：8笔，商家实收共3151.41元", "#交易合计：9笔，商家实收共3450.41元")
    assert refused(data.replace(row, row + row)).code == "bill.duplicate_row"


def test_a_wrong_column_header_names_what_is_missing():
    error = refused(edit("服务费（元）", "手续费（元）"))
    assert error.code == "bill.unknown_header"
    assert "服务费" in str(error)


def test_two_details_in_one_zip_are_refused(tmp_path):
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", ALIPAY_DETAIL.read_bytes())
        archive.writestr("b", ALIPAY_DETAIL.read_bytes())
    assert refused(path).code == "bill.several_details"
