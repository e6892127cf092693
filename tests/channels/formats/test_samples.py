"""Every sample of the formats read here behaves as its README says, and both ways of reading agree on all of them."""

from pathlib import Path

import pytest

from payops.channels.formats import FORMATS, KIND_CODES, FormatError, Source, detect_source, row_hash
from tests.channels.formats.bills import (
    ALIPAY,
    ALIPAY_DETAIL,
    ALIPAY_SUMMARY,
    ALIPAY_ZIP,
    DAY,
    SAMPLES,
    UNIONPAY,
    WECHAT_ALL,
    WECHAT_PROVIDER,
    ZM,
    copied,
    expectation,
    read,
    reader,
)

WX, ALI, UP = SAMPLES / "wechat", SAMPLES / "alipay", SAMPLES / "unionpay"
EVE = DAY.replace(day=17)

# file, format, account, day, rows, sums by kind (count, amount, settled, fee)
GOOD = [
    (WECHAT_ALL, "wechat_trade", "", DAY, 19, {
        "payment": (10, 330959, 309094, 1865), "refund": (8, 184231, -173186, -1045), "void": (1, 7500, -7455, -45)}),
    (WX / "wx_trade_ALL_20261118.csv.gz", "wechat_trade", "", DAY, 19, {
        "payment": (10, 330959, 309094, 1865), "refund": (8, 184231, -173186, -1045), "void": (1, 7500, -7455, -45)}),
    (WX / "wx_trade_ALL_sp_20261118.csv", "wechat_trade", WECHAT_PROVIDER, DAY, 17, {
        "payment": (9, 323459, 301696, 1763), "refund": (8, 184231, -173243, -988)}),
    (WX / "wx_trade_SUCCESS_20261118.csv", "wechat_trade", "", DAY, 10, {"payment": (10, 330959, 309094, 1865)}),
    (WX / "wx_trade_REFUND_20261118.csv", "wechat_trade", "", DAY, 8, {"refund": (8, 184231, -173186, -1045)}),
    (WX / "wx_trade_ALL_empty_20261117.csv", "wechat_trade", "", EVE, 0, {}),
    (ALIPAY_DETAIL, "alipay_trade", "", DAY, 12, {
        "payment": (8, 323141, 313251, 1890), "refund": (4, 105600, -101030, -570)}),
    (ALIPAY_ZIP, "alipay_trade", "", DAY, 12, {
        "payment": (8, 323141, 313251, 1890), "refund": (4, 105600, -101030, -570)}),
    (ALI / f"{ALIPAY}_20261117_业务明细_empty.csv", "alipay_trade", "", EVE, 0, {}),
    (SAMPLES / "tolerate" / "alipay_utf8_bom.csv", "alipay_trade", "", DAY, 12, {
        "payment": (8, 323141, 313251, 1890), "refund": (4, 105600, -101030, -570)}),
    (ZM, "unionpay_zm", "", DAY, 11, {
        "payment": (8, 356141, 354786, 1355), "refund": (2, 80000, -79696, -304), "void": (1, 8850, -8816, -34)}),
    (UP / f"{UNIONPAY}_20261118.zip", "unionpay_zm", "", DAY, 11, {
        "payment": (8, 356141, 354786, 1355), "refund": (2, 80000, -79696, -304), "void": (1, 8850, -8816, -34)}),
    (UP / "fileContent_base64_deflate.txt", "unionpay_zm", "", DAY, 11, {
        "payment": (8, 356141, 354786, 1355), "refund": (2, 80000, -79696, -304), "void": (1, 8850, -8816, -34)}),
    (SAMPLES / "tolerate" / "unionpay_zm_trailing_spaces_trimmed", "unionpay_zm", "", DAY, 11, {
        "payment": (8, 356141, 354786, 1355), "refund": (2, 80000, -79696, -304), "void": (1, 8850, -8816, -34)}),
]  # fmt: skip
HELD = [
    ("alipay_newline_in_remark.csv", "alipay_trade", 12, 3, "line.cells"),
    ("unionpay_zm_short_line", "unionpay_zm", 10, 2, "line.short"),
    ("unionpay_zm_bad_amount", "unionpay_zm", 10, 3, "line.amount"),
]
REJECTED = [
    (WX / "wx_fundflow_BASIC_20261118.csv", "wechat_trade", "bill.wrong_format", "fund-flow"),
    (WX / "wx_v2_no_bill.xml", "wechat_trade", "bill.no_bill", "No Bill Exist"),
    (WX / "wx_v3_no_statement_http400.json", "wechat_trade", "bill.no_bill", "账单文件不存在"),
    (WX / "wx_v3_statement_creating_http400.json", "wechat_trade", "bill.creating", "账单生成中"),
    (WX / "wx_trade_ALL_20261118.v3_response.json", "wechat_trade", "bill.not_a_bill", "answer of the API"),
    (SAMPLES / "bad" / "wechat_footer_mismatch.csv", "wechat_trade", "bill.footer_mismatch", "1817.32"),
    (SAMPLES / "bad" / "wechat_truncated_no_footer.csv", "wechat_trade", "bill.truncated", "footer"),
    (SAMPLES / "bad" / "wechat_error_xml_saved_as.csv", "wechat_trade", "bill.no_bill", "No Bill Exist"),
    (SAMPLES / "bad" / "wechat_duplicate_row.csv", "wechat_trade", "bill.duplicate_row", "4200003001202611187"),
    (SAMPLES / "bad" / "alipay_excel_resaved_utf8.csv", "alipay_trade", "bill.damaged_number", "2.02611E+27"),
    (SAMPLES / "bad" / "alipay_no_end_marker.csv", "alipay_trade", "bill.truncated", "业务明细列表结束"),
    (SAMPLES / "bad" / "alipay_count_mismatch.csv", "alipay_trade", "bill.footer_mismatch", "退款合计笔数 5"),
    (SAMPLES / "bad" / "alipay_acct_missing_total.csv", "alipay_trade", "bill.wrong_format", "账务明细"),
    (SAMPLES / "bad" / f"unionpay_zm_wrong_merchant_INN26111888ZM_{UNIONPAY}", "unionpay_zm", "bill.wrong_account",
     "777290058000000"),
    (SAMPLES / "bad" / f"unionpay_zme_parsed_as_zm_INN26111888ZM_{UNIONPAY}", "unionpay_zm", "bill.wrong_format",
     "ZME"),
    (ALIPAY_SUMMARY, "alipay_trade", "bill.summary_only", "汇总"),
    (ALI / f"{ALIPAY}_20261118_账务明细.csv", "alipay_trade", "bill.wrong_format", "账务明细"),
    (ALI / "signcustomer" / f"{ALIPAY}_20261118.csv.zip", "alipay_trade", "bill.wrong_format", "账务明细"),
    (UP / f"INN26111888ZME_{UNIONPAY}", "unionpay_zm", "bill.wrong_format", "ZME"),
]  # fmt: skip


def name_of(value: object) -> str | None:
    return value.name if isinstance(value, Path) else None


@pytest.mark.parametrize(("path", "code", "account", "day", "rows", "sums"), GOOD, ids=name_of)
def test_a_good_sample_is_read_whole(path, code, account, day, rows, sums):
    bill, lines = read(code, path, account=account, day=day)
    assert (bill.line_count, len(lines), bill.bad_lines) == (rows, rows, [])
    assert {kind: tuple(figures) for kind, figures in bill.sums_by_kind.items()} == sums
    assert bill.totals.proven is (code != "unionpay_zm")


@pytest.mark.parametrize(("path", "code", "account", "day", "rows", "sums"), GOOD, ids=name_of)
def test_lines_and_copy_text_agree(path, code, account, day, rows, sums):
    prefix = 261118 * 10**12 + 3 * 10**8
    lines = read(code, path, account=account, day=day)[1]
    rows_copied = copied(code, path, account=account, day=day, prefix=prefix)
    assert [as_copied(line, prefix) for line in lines] == rows_copied


def as_copied(line, prefix):
    """What a line must look like in the table."""
    return {
        "id": str(prefix + line.line_no),
        "contract_id": "7",
        "kind": str(KIND_CODES[line.kind]),
        "match_key": line.match_key,
        "trade_no": line.trade_no,
        "order_no": line.order_no or None,
        "request_no": line.request_no or None,
        "original_trade_no": line.original_trade_no or None,
        "status": line.status,
        "amount": str(line.amount),
        "settled_amount": str(line.settled_amount),
        "fee": str(line.fee),
        "rate": line.rate or None,
        "currency": line.currency,
        "occurred_at": line.occurred_at,
        "payer_masked": line.payer_masked or None,
        "row_hash": str(row_hash(line.row_key)),
    }


@pytest.mark.parametrize(("name", "code", "rows", "line_no", "reason"), HELD)
def test_an_unreadable_line_is_set_aside_and_the_rest_read(name, code, rows, line_no, reason):
    bill, lines = read(code, SAMPLES / "bad" / name)
    assert len(lines) == bill.line_count == rows
    assert [(bad.line_no, bad.code) for bad in bill.bad_lines] == [(line_no, reason)]
    assert bill.bad_lines[0].raw
    assert bill.bad_lines[0].message


@pytest.mark.parametrize(("path", "code", "error", "words"), REJECTED, ids=name_of)
def test_a_bad_sample_is_rejected_with_its_reason(path, code, error, words):
    with pytest.raises(FormatError) as caught:
        read(code, path)
    assert caught.value.code == error
    assert words in str(caught.value)


OWN = {"wechat_trade": "wx_trade wechat", "alipay_trade": f"{ALIPAY} alipay", "unionpay_zm": "unionpay ZM fileC 77729"}
FOREIGN = [
    (code, path)
    for code in FORMATS
    for path in sorted(SAMPLES.rglob("*"))
    if path.is_file() and not any(word in path.name for word in OWN[code].split())
]


@pytest.mark.parametrize(("code", "path"), FOREIGN, ids=name_of)
def test_a_file_of_another_format_is_refused(code, path):
    with pytest.raises(FormatError) as caught:
        read(code, path)
    assert caught.value.code.startswith("bill.")


@pytest.mark.parametrize(("path", "code", "account", "day", "rows", "sums"), GOOD, ids=name_of)
def test_the_format_is_recognised_by_content(path, code, account, day, rows, sums):
    found = detect_source(Source.of(path))
    assert found is not None
    assert found.code == code


def test_a_tolerated_file_equals_its_normal_twin():
    assert (
        read("alipay_trade", SAMPLES / "tolerate" / "alipay_utf8_bom.csv")[1] == read("alipay_trade", ALIPAY_DETAIL)[1]
    )
    trimmed = read("unionpay_zm", SAMPLES / "tolerate" / "unionpay_zm_trailing_spaces_trimmed")[1]
    assert trimmed == read("unionpay_zm", ZM)[1]


@pytest.mark.parametrize(
    ("path", "code"), [(WECHAT_ALL, "wechat_trade"), (ALIPAY_ZIP, "alipay_trade"), (ZM, "unionpay_zm")]
)
def test_a_line_is_found_again_by_its_number(path, code):
    lines = read(code, path)[1]
    for line in lines:
        raw = FORMATS[code].raw_line(Source.of(path), expectation(code), line.line_no)
        assert line.trade_no in raw
    assert FORMATS[code].raw_line(Source.of(path), expectation(code), 10_000) == ""


def test_a_reader_is_read_only_once():
    bill = reader("wechat_trade", WECHAT_ALL)
    list(bill)
    with pytest.raises(AssertionError):
        list(bill)
