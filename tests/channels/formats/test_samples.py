"""Every sample of the formats read here behaves as its README says, and both ways of reading agree on all of them."""

from pathlib import Path

import pytest

from payops.channels.formats import FORMATS, KIND_CODES, FormatError, Source, detect_all, detect_source, row_hash
from tests.channels.formats.bills import (
    ACOMA,
    ACOMN,
    AERRA,
    AERRN,
    ALFEE,
    ALIPAY,
    ALIPAY_DETAIL,
    ALIPAY_LOG,
    ALIPAY_LOG_OLD,
    ALIPAY_LOG_SUMMARY,
    ALIPAY_LOG_ZIP,
    ALIPAY_SUMMARY,
    ALIPAY_ZIP,
    BILLS,
    DAY,
    FUNDFLOW,
    SAMPLES,
    UNIONPAY,
    UNPROVEN,
    WECHAT_ALL,
    WECHAT_PROVIDER,
    ZM,
    ZME,
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
    (FUNDFLOW, "wechat_fundflow", "", DAY, 27, {
        "payment": (9, 303459, 303459, 0), "refund": (8, 173186, -173186, 0), "fee": (8, 1820, -1820, 1820),
        "refund_return": (1, 1500, 1500, 0), "transfer": (1, 300000, -300000, 0)}),
    (ALIPAY_LOG, "alipay_account", "", DAY, 23, {
        "payment": (8, 315141, 315141, 0), "refund": (4, 101600, -101600, 0), "transfer": (1, 200000, -200000, 0),
        "fee": (10, 2460, -1320, 1320)}),
    (ALIPAY_LOG_OLD, "alipay_account", "", DAY, 23, {
        "payment": (8, 315141, 315141, 0), "refund": (4, 101600, -101600, 0), "transfer": (1, 200000, -200000, 0),
        "fee": (10, 2460, -1320, 1320)}),
    (ALIPAY_LOG_ZIP, "alipay_account", "", DAY, 23, {
        "payment": (8, 315141, 315141, 0), "refund": (4, 101600, -101600, 0), "transfer": (1, 200000, -200000, 0),
        "fee": (10, 2460, -1320, 1320)}),
    (ZME, "unionpay_zme", "", DAY, 11, {
        "dispute": (4, 146500, -36959, -141), "adjustment": (1, 3000, -2989, -11), "refund": (6, 21666, -21602, -64)}),
    (ACOMN, "unionpay_acomn", "", DAY, 12, {
        "payment": (7, 302850, 301691, 1159), "void": (1, 88800, -88460, -340), "reversal": (1, 9900, -9862, -38),
        "refund": (1, 40000, -39847, -153), "preauth_completion": (1, 20000, 19923, 77),
        "payout": (1, 500000, -500050, 50)}),
    (ACOMA, "unionpay_acoma", "", DAY, 12, {
        "payment": (7, 302850, 301691, 1159), "void": (1, 88800, -88460, -340), "reversal": (1, 9900, -9862, -38),
        "refund": (1, 40000, -39847, -153), "preauth_completion": (1, 20000, 19923, 77),
        "payout": (1, 500000, -500050, 50)}),
    (AERRN, "unionpay_aerr", "", DAY, 10, {
        "dispute": (4, 305650, -41222, 4872), "adjustment": (3, 82900, -82889, -11), "fee": (1, 1500, 1500, -1500),
        "refund": (2, 93800, -93489, -311)}),
    (AERRA, "unionpay_aerr", "", DAY, 10, {
        "dispute": (4, 305650, -41222, 4872), "adjustment": (3, 82900, -82889, -11), "fee": (1, 1500, 1500, -1500),
        "refund": (2, 93800, -93489, -311)}),
    (ALFEE, "unionpay_alfee", "", DAY, 11, {"fee": (11, 93, -37, 37)}),
]  # fmt: skip
HELD = [
    ("alipay_newline_in_remark.csv", "alipay_trade", 12, 3, "line.cells"),
    ("unionpay_zm_short_line", "unionpay_zm", 10, 2, "line.short"),
    ("unionpay_zm_bad_amount", "unionpay_zm", 10, 3, "line.amount"),
    ("unionpay_alfee_bad_sign", "unionpay_alfee", 10, 1, "line.amount"),
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
    (ALIPAY_LOG, "alipay_trade", "bill.wrong_format", "账务明细"),
    (ALIPAY_LOG_ZIP, "alipay_trade", "bill.wrong_format", "账务明细"),
    (ZME, "unionpay_zm", "bill.wrong_format", "ZME"),
    (ZM, "unionpay_zme", "bill.wrong_format", "ZM"),
    (ACOMA, "unionpay_acomn", "bill.wrong_format", "ACOMA"),
    (ACOMN, "unionpay_acoma", "bill.wrong_format", "ACOMN"),
    (AERRN, "unionpay_alfee", "bill.wrong_format", "AERR"),
    (WECHAT_ALL, "wechat_fundflow", "bill.wrong_format", "交易账单"),
    (WX / "wx_v2_no_bill.xml", "wechat_fundflow", "bill.no_bill", "No Bill Exist"),
    (WX / "wx_v3_statement_creating_http400.json", "wechat_fundflow", "bill.creating", "账单生成中"),
    (ALIPAY_ZIP, "alipay_account", "bill.wrong_format", "业务明细"),
    (ALIPAY_LOG_SUMMARY, "alipay_account", "bill.summary_only", "汇总"),
    (SAMPLES / "bad" / "alipay_acct_missing_total.csv", "alipay_account", "bill.truncated", "支出合计"),
    (SAMPLES / "bad" / "unionpay_acoma_settle_date_mixed", "unionpay_acoma", "bill.wrong_date", "1117"),
]  # fmt: skip


def name_of(value: object) -> str | None:
    return value.name if isinstance(value, Path) else None


@pytest.mark.parametrize(("path", "code", "account", "day", "rows", "sums"), GOOD, ids=name_of)
def test_a_good_sample_is_read_whole(path, code, account, day, rows, sums):
    bill, lines = read(code, path, account=account, day=day)
    assert (bill.line_count, len(lines), bill.bad_lines) == (rows, rows, [])
    assert {kind: tuple(figures) for kind, figures in bill.sums_by_kind.items()} == sums
    assert bill.totals.proven is (code not in UNPROVEN)


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


# Words in the names of files a format does read, or reads as far as it must to refuse them for a reason of their own.
OWN = {
    "wechat_trade": "wx_trade wechat",
    "wechat_fundflow": "fundflow",
    "alipay_trade": "业务明细 alipay_utf8 alipay_excel alipay_no_end alipay_count alipay_newline 20261118.csv.zip",
    "alipay_account": "账务明细 alipay_acct 20261118.csv.zip",
    "unionpay_zm": "88ZM_ unionpay_zm fileC 77729",
    "unionpay_zme": "ZME zme 77729 fileC",
    "unionpay_acomn": "ACOMN",
    "unionpay_acoma": "ACOMA acoma",
    "unionpay_aerr": "AERR",
    "unionpay_alfee": "ALFEE alfee",
}
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


@pytest.mark.parametrize("name", [f"{UNIONPAY}_20261118.zip", "fileContent_base64_deflate.txt"])
def test_the_error_file_in_a_days_archive_is_read_as_well_as_the_bill(name):
    assert read("unionpay_zme", UP / name)[1] == read("unionpay_zme", ZME)[1]
    assert [found.code for found in detect_all(Source.of(UP / name))] == ["unionpay_zm", "unionpay_zme"]


def test_a_log_with_12_columns_says_the_same_as_one_with_16():
    said = [
        [line._replace(extra=None, request_no="") for line in read("alipay_account", path)[1]]
        for path in (ALIPAY_LOG, ALIPAY_LOG_OLD)
    ]
    assert said[0] == said[1]


def test_a_tolerated_file_equals_its_normal_twin():
    assert (
        read("alipay_trade", SAMPLES / "tolerate" / "alipay_utf8_bom.csv")[1] == read("alipay_trade", ALIPAY_DETAIL)[1]
    )
    trimmed = read("unionpay_zm", SAMPLES / "tolerate" / "unionpay_zm_trailing_spaces_trimmed")[1]
    assert trimmed == read("unionpay_zm", ZM)[1]


@pytest.mark.parametrize(
    ("path", "code"),
    [(ALIPAY_ZIP, "alipay_trade"), (ALIPAY_LOG_ZIP, "alipay_account"), *((path, code) for code, path in BILLS.items())],
    ids=name_of,
)
def test_a_line_is_found_again_by_its_number(path, code):
    lines = read(code, path)[1]
    for line in lines:
        raw = FORMATS[code].raw_line(Source.of(path), expectation(code), line.line_no)
        # Fixed-width files hold the joining key in parts.
        assert all(part in raw for part in line.trade_no.split("-"))
    assert FORMATS[code].raw_line(Source.of(path), expectation(code), 10_000) == ""


def test_every_sample_has_a_place_in_these_tests_or_in_those_of_the_banks_statements():
    placed = {path for path, *_rest in (*GOOD, *REJECTED)} | {SAMPLES / "bad" / name for name, *_rest in HELD}
    left = {
        path.relative_to(SAMPLES).as_posix()
        for path in SAMPLES.rglob("*")
        if path.is_file() and path not in placed and path.name != "README.md"
    }
    assert left == {
        "bank/camt053_001_02_20261118.xml",
        "bank/mt940_20261118_swift_blocks.sta",
        "bad/camt053_balance_mismatch.xml",
        "bad/camt053_truncated.xml",
        "bad/camt053_unknown_namespace.xml",
        "bad/mt940_gbk_narrative.sta",
        "bad/mt940_missing_62F.sta",
    }


def test_a_reader_is_read_only_once():
    bill = reader("wechat_trade", WECHAT_ALL)
    list(bill)
    with pytest.raises(AssertionError):
        list(bill)
