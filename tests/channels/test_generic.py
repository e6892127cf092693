"""A channel's own file is read as its mapping says, and whatever the mapping does not cover is told, never guessed."""

from __future__ import annotations

import datetime as dt
import io
import zipfile

import pytest
import xlsxwriter

from payops.channels.formats import Expectation, FormatError, Source, generic_xlsx
from payops.channels.formats.generic import GenericFormat
from payops.channels.formats.generic_spec import SpecError, spec_of

DAY = dt.date(2026, 11, 18)
ACCOUNT = "M100"
HEADER = "日期,时间,流水号,订单号,退款单号,类型,金额,手续费"
PAID = "2026-11-18,09:00:00,T1,O1,,支付,100.00,0.60"
REFUNDED = "2026-11-18,10:00:00,T3,O1,R1,退款,20.00,0.12"
FOOTER = "合计,2,120.00"


def at(*columns: str) -> dict[str, list[str]]:
    return {"columns": list(columns)}


SPEC = {
    "fields": {
        "trade_no": at("流水号"),
        "order_no": at("订单号"),
        "request_no": at("退款单号"),
        "amount": at("金额"),
        "fee": at("手续费"),
        "occurred_at": at("日期", "时间"),
    },
    "kinds": [
        {"column": "类型", "value": "支付", "kind": "payment"},
        {"column": "类型", "value": "退款", "kind": "refund"},
        {"column": "类型", "value": "失败", "kind": "ignore"},
    ],
    "fee_sign": "by_kind",
    "footer_mark": "合计",
    "totals": [
        {"figure": "count", "place": "footer", "line": 1, "cell": 2},
        {"figure": "amount", "place": "footer", "line": 1, "cell": 3},
    ],
}


def reader(data, **changes):
    spec = spec_of({**SPEC, **changes})
    if isinstance(data, str):
        data = data.encode(spec.encoding)
    return GenericFormat("generic:demo@1", "Demo", spec).open(
        Source.of(data, "bill.csv"), Expectation(ACCOUNT, DAY, "bill.csv")
    )


def read(data, **changes):
    bill = reader(data, **changes)
    return bill, list(bill)


def bill(*rows, header=HEADER, footer=FOOTER):
    return "\n".join([header, *rows, footer]) + "\n"


def refusal(data, **changes):
    with pytest.raises(FormatError) as caught:
        read(data, **changes)
    return caught.value


def reason(row, **changes):
    """Why one row is set aside; a good one stands beside it, and the file states nothing."""
    found, _lines = read(f"{HEADER}\n{PAID}\n{row}\n", footer_mark="", totals=[], **changes)
    (bad,) = found.bad_lines
    assert bad.line_no == 2
    return bad


# --- reading ---


def test_columns_become_fields_and_the_footer_proves_the_lines():
    found, (paid, refunded) = read(bill(PAID, REFUNDED))
    assert (paid.kind, paid.match_key, paid.amount, paid.settled_amount, paid.fee) == ("payment", "O1", 10000, 9940, 60)
    assert (refunded.kind, refunded.match_key, refunded.settled_amount, refunded.fee) == ("refund", "R1", -1988, -12)
    assert paid.occurred_at == "2026-11-18 09:00:00+08:00"
    assert found.totals.proven


def test_a_title_above_the_header_and_columns_nobody_mapped_do_not_matter():
    text = "某渠道 2026-11-18\n" + bill(PAID, REFUNDED, header=HEADER.replace("类型", "类型"))
    assert read(text)[0].line_count == 2
    wider = text.replace(HEADER, HEADER + ",备注").replace("0.60", "0.60,早餐").replace("0.12", "0.12,")
    _found, (paid, _refunded) = read(wider)
    assert paid.extra == {"备注": "早餐"}


def test_gbk_and_a_byte_order_mark_are_read():
    assert read(bill(PAID, REFUNDED), encoding="gb18030")[0].totals.proven
    assert read(b"\xef\xbb\xbf" + bill(PAID, REFUNDED).encode())[0].totals.proven


def test_quotes_tabs_and_back_ticks_around_cells_are_no_part_of_them():
    row = '"2026-11-18",09:00:00,`T1\t,`O1,,"支付","100.00",0.60'
    found, (paid,) = read(bill(row, footer="合计,1,100.00"), trim="`")
    assert (paid.trade_no, paid.order_no, found.totals.proven) == ("T1", "O1", True)


def test_a_row_that_moves_no_money_is_counted_and_is_no_line():
    found, lines = read(bill(PAID, "2026-11-18,09:00:00,T9,O9,,失败,7.00,0.00", footer="合计,1,100.00"))
    assert (len(lines), found.totals["ignored.count"].computed) == (1, 1)


def test_the_first_rule_that_holds_says_what_a_row_is():
    kinds = [{"column": "类型", "value": "支付", "kind": "payment"}, {"kind": "refund"}]
    assert [line.kind for line in read(bill(PAID, REFUNDED), kinds=kinds)[1]] == ["payment", "refund"]


def test_the_sign_of_the_amount_can_say_what_a_row_is():
    kinds = [{"negative": True, "kind": "refund"}, {"kind": "payment"}]
    text = bill(PAID, REFUNDED.replace("20.00", "-20.00"), footer="合计,2,80.00")
    found, lines = read(text, kinds=kinds, sign="signed")
    assert [(line.kind, line.amount, line.settled_amount) for line in lines] == [
        ("payment", 10000, 9940), ("refund", 2000, -1988),
    ]  # fmt: skip
    assert found.totals.proven


def test_credit_and_debit_columns_are_the_two_directions():
    fields = {**SPEC["fields"], "credit": at("收入"), "debit": at("支出")}
    fields.pop("amount")
    header = HEADER.replace("金额", "收入,支出")
    rows = (PAID.replace("100.00", "100.00,"), REFUNDED.replace("20.00", ",20.00"))
    totals = [
        {"figure": "credit", "place": "footer", "line": 1, "cell": 2},
        {"figure": "debit", "place": "footer", "line": 1, "cell": 3},
    ]
    text = bill(*rows, header=header, footer="合计,100.00,20.00")
    found, lines = read(text, fields=fields, sign="sides", totals=totals)
    assert [line.settled_amount for line in lines] == [9940, -1988]
    assert found.totals.proven
    both = text.replace("支付,100.00,,", "支付,100.00,1.00,")
    assert read(both, fields=fields, sign="sides", totals=[])[0].bad_lines[0].code == "line.amount_sides"


def test_minor_units_thousands_and_a_decimal_comma_are_exact():
    assert (
        read(bill(PAID.replace("100.00", "10000").replace("0.60", "60"), footer="合计,1,10000"), unit="minor")[1][
            0
        ].amount
        == 10000
    )
    row = PAID.replace(",", ";").replace("100.00", "1.234.567,89").replace("0.60", "0,60")
    text = bill(row, header=HEADER.replace(",", ";"), footer="合计;1;1.234.567,89")
    _found, (paid,) = read(text, delimiter=";", decimal=",", thousands=".")
    assert paid.amount == 123456789


def test_words_of_the_file_get_the_meaning_the_mapping_gives_them():
    fields = {**SPEC["fields"], "currency": at("币种"), "status": {"constant": "SUCCESS"}}
    text = bill(PAID + ",156", header=HEADER + ",币种", footer="合计,1,100.00")
    _found, (paid,) = read(text, fields=fields, words={"currency": {"156": "CNY"}})
    assert (paid.currency, paid.status) == ("CNY", "SUCCESS")
    other = bill(PAID + ",156", PAID.replace("T1", "T2") + ",840", header=HEADER + ",币种")
    found, _lines = read(other, fields=fields, words={"currency": {"156": "CNY"}}, totals=[])
    assert found.bad_lines[0].code == "line.currency"


def test_a_payer_is_masked_before_it_leaves_the_reader():
    fields = {**SPEC["fields"], "payer": at("付款人")}
    text = bill(PAID + ",13900001234", header=HEADER + ",付款人", footer="合计,1,100.00")
    assert read(text, fields=fields)[1][0].payer_masked == "****1234"


def test_a_settled_column_leaves_room_for_what_the_merchant_gave():
    fields = {**SPEC["fields"], "settled": at("入账")}
    text = bill(PAID + ",97.40", header=HEADER + ",入账", footer="合计,1,100.00")
    _found, (paid,) = read(text, fields=fields, settled="column")
    assert (paid.amount, paid.settled_amount, paid.fee) == (10000, 9740, 60)


def test_figures_above_the_rows_prove_them_as_well():
    totals = [{"figure": "amount", "place": "header", "line": 1, "cell": 2}]
    text = f"总金额,120.00元\n{HEADER}\n{PAID}\n{REFUNDED}\n"
    assert read(text, totals=totals, footer_mark="")[0].totals.proven
    assert refusal(text.replace("120.00元", "121.00元"), totals=totals, footer_mark="").code == "bill.footer_mismatch"


def test_without_figures_of_its_own_a_file_stays_unproven():
    found, lines = read(f"{HEADER}\n{PAID}\n", totals=[], footer_mark="")
    assert (len(lines), found.totals.proven) == (1, False)


# --- fixed width ---

FIXED = {
    "layout": "fixed",
    "encoding": "gb18030",
    "fields": {
        "trade_no": at("1-6"),
        "order_no": at("7-12"),
        "occurred_at": at("13-26"),
        "amount": at("31-40"),
    },
    "kinds": [{"column": "27-30", "value": "支付", "kind": "payment"}],
    "time_pattern": "YYYYMMDDhhmmss",
    "unit": "minor",
    "fee_sign": "we_pay",
    "footer_mark": "END",
    "totals": [{"figure": "count", "place": "footer", "line": 1, "cell": 2}],
}


def test_fixed_width_is_cut_by_bytes_before_it_is_text():
    text = "T1    O1    20261118090000支付0000010000\nEND 1\n"
    found, (paid,) = read(text, **FIXED)
    assert (paid.trade_no, paid.amount, found.totals.proven) == ("T1", 10000, True)


def test_a_short_fixed_width_line_is_set_aside():
    text = "T1    O1    20261118090000支付0000010000\nT2    O2\nEND 2\n"
    found, lines = read(text, **FIXED)
    assert (len(lines), found.bad_lines[0].code) == (1, "line.short")


# --- workbooks ---


def workbook(rows, *, formula=None):
    packed = io.BytesIO()
    book = xlsxwriter.Workbook(packed)
    sheet = book.add_worksheet("明细")
    moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            if isinstance(value, dt.datetime):
                sheet.write_datetime(number, column, value, moment)
            else:
                sheet.write(number, column, value)
    if formula:
        sheet.write_formula(*formula)
    book.close()
    return packed.getvalue()


SHEET = {
    "layout": "xlsx",
    "fields": {
        "trade_no": at("流水号"), "order_no": at("订单号"), "amount": at("金额"), "occurred_at": at("时间"),
    },
    "kinds": [{"kind": "payment"}],
}  # fmt: skip
SHEET_ROWS = [
    ["时间", "流水号", "订单号", "金额"],
    [dt.datetime(2026, 11, 18, 9, 0, 0), "T1", "O1", 19.99],
    ["2026-11-18 09:00:01", "T2", 700, 0.1 + 0.2],
    ["合计", 2, 20.29],
]


def test_a_workbook_is_read_to_the_cent_with_its_dates():
    found, (first, second) = read(workbook(SHEET_ROWS), **SHEET)
    assert (first.amount, second.amount, second.order_no) == (1999, 30, "700")
    assert first.occurred_at == "2026-11-18 09:00:00+08:00"
    assert found.totals.proven


def test_a_formula_in_a_mapped_cell_holds_its_row():
    found, _lines = read(workbook(SHEET_ROWS, formula=(2, 3, "=1+1", None, 2)), **{**SHEET, "totals": []})
    assert found.bad_lines[0].code == "line.formula"


def test_a_number_a_spreadsheet_rounded_rejects_the_workbook():
    rows = [SHEET_ROWS[0], ["2026-11-18 09:00:01", 2026111822001456, "O1", 1], ["合计", 1, 1]]
    assert refusal(workbook(rows), **SHEET).code == "bill.damaged_number"


def test_a_workbook_inside_an_archive_and_a_named_sheet_are_found():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bill.xlsx", workbook(SHEET_ROWS))
    assert read(packed.getvalue(), **SHEET, sheet="明细")[0].totals.proven
    assert refusal(workbook(SHEET_ROWS), **SHEET, sheet="Sheet9").code == "bill.no_sheet"


def test_a_workbook_that_unpacks_to_far_more_than_it_is_gets_refused(monkeypatch):
    packed = io.BytesIO(workbook(SHEET_ROWS))
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b"<sst>" + b"<si><t>0</t></si>" * 100_000 + b"</sst>")
    monkeypatch.setattr(generic_xlsx, "MAX_STRINGS", 800_000)
    assert refusal(packed.getvalue(), **SHEET).code == "bill.too_large"


def test_a_workbook_with_a_document_type_is_refused():
    packed = io.BytesIO(workbook(SHEET_ROWS))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><sst><si><t>&b;</t></si></sst>')
    assert refusal(packed.getvalue(), **SHEET).code == "bill.damaged_workbook"


# --- what is wrong, said by value, line and what to do ---


@pytest.mark.parametrize(("row", "code", "value"), [
    (PAID.replace("100.00", "100.001").replace("T1", "T2"), "line.amount_decimals", "100.001"),
    (PAID.replace("100.00", "abc").replace("T1", "T2"), "line.amount", "abc"),
    (PAID.replace("100.00", "-1.00").replace("T1", "T2"), "line.amount_sign", "金额"),
    (PAID.replace("09:00:00", "25:00:00").replace("T1", "T2"), "line.time", "25:00:00"),
    (PAID.replace("T1", "=CMD()"), "line.formula", "=CMD()"),
    (PAID.replace("T1", ""), "line.key", "流水号"),
    (PAID.replace("T1", "9" * 65), "line.key", "999"),
    (PAID.replace("支付", "赠送").replace("T1", "T2"), "line.kind", "赠送"),
    (PAID.replace("T1", "T\x002"), "line.control", "NUL"),
    (PAID + ",x,y", "line.cells", "10"),
    (PAID.replace("T1", '"T2'), "line.quotes", "quote"),
])  # fmt: skip
def test_a_line_that_cannot_be_read_is_set_aside_with_its_value(row, code, value):
    bad = reason(row)
    assert bad.code == code
    assert value in bad.message


def test_a_line_of_another_encoding_is_set_aside():
    text = f"{HEADER}\n{PAID}\n".encode() + PAID.replace("T1", "T2").encode("gb18030") + b"\n"
    found, _lines = read(text, footer_mark="", totals=[])
    assert found.bad_lines[0].code == "line.encoding"


def test_a_missing_column_is_named():
    error = refusal(bill(PAID, header=HEADER.replace("手续费", "费用")))
    assert error.code == "bill.unknown_header"
    assert "手续费" in str(error)


def test_a_column_that_is_named_twice_is_refused():
    assert refusal(bill(PAID + ",1", header=HEADER + ",金额")).code == "bill.unknown_header"


def test_a_file_without_its_footer_was_cut():
    assert refusal(f"{HEADER}\n{PAID}\n").code == "bill.truncated"


def test_both_figures_stand_in_the_refusal_when_they_differ():
    error = refusal(bill(PAID, footer="合计,1,100.01"))
    assert error.code == "bill.footer_mismatch"
    assert "100.01" in str(error)
    assert "100.00" in str(error)


def test_a_line_set_aside_explains_a_missing_count_and_holds_the_file():
    found, _lines = read(bill(PAID, REFUNDED.replace("20.00", "x")))
    assert (len(found.bad_lines), found.totals.proven) == (1, False)


def test_a_figure_that_is_none_is_told_with_its_place():
    assert refusal(bill(PAID, footer="合计,一,100.00")).code == "bill.footer_unreadable"


def test_a_row_of_another_day_rejects_the_file_unless_the_mapping_allows_it():
    row = PAID.replace("2026-11-18", "2026-11-17")
    assert refusal(bill(row, footer="合计,1,100.00")).code == "bill.wrong_date"
    assert read(bill(row, footer="合计,1,100.00"), row_days=1)[0].totals.proven


def test_a_row_of_another_merchant_rejects_the_file():
    fields = {**SPEC["fields"], "account": at("商户号")}
    text = bill(PAID + ",M999", header=HEADER + ",商户号", footer="合计,1,100.00")
    assert refusal(text, fields=fields).code == "bill.wrong_account"


def test_the_same_row_twice_rejects_the_file():
    assert refusal(bill(PAID, PAID)).code == "bill.duplicate_row"


def test_a_file_with_no_rows_counts_as_an_empty_day_only_when_it_says_so():
    assert read(bill(footer="合计,0,0.00"))[0].totals.proven
    assert refusal(f"{HEADER}\n", footer_mark="", totals=[]).code == "bill.no_rows"


def test_an_archive_of_two_files_is_refused():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", bill(PAID))
        archive.writestr("b.csv", bill(PAID))
    assert refusal(packed.getvalue()).code == "bill.too_many_members"


def test_a_line_is_found_again_by_its_number():
    text = "Title\n" + bill(PAID, REFUNDED)
    found, lines = read(text)
    assert found.raw_text(lines[1].line_no) == REFUNDED


# --- the mapping itself ---


@pytest.mark.parametrize(("changes", "field"), [
    ({"layout": "pdf"}, "layout"),
    ({"encoding": "ebcdic"}, "encoding"),
    ({"delimiter": ""}, "delimiter"),
    ({"delimiter": '"'}, "delimiter"),
    ({"skip_lines": -1}, "skip_lines"),
    ({"kinds": []}, "kinds"),
    ({"kinds": [{"kind": "gift"}]}, "kinds"),
    ({"kinds": [{"kind": "refund", "negative": True}]}, "kinds"),
    ({"kinds": [{"kind": "adjustment"}]}, "kinds"),
    ({"time_pattern": "YY-MM-DD"}, "time_pattern"),
    ({"thousands": "."}, "thousands"),
    ({"settled": "column"}, "settled"),
    ({"sign": "sides"}, "credit"),
    ({"footer_mark": ""}, "footer_mark"),
    ({"totals": [{"figure": "sum", "place": "footer", "line": 1, "cell": 1}]}, "totals"),
    ({"fields": {**SPEC["fields"], "trade_no": {"constant": "1"}}}, "trade_no"),
    ({"header": False}, "trade_no"),
    ({"layout": "fixed"}, "trade_no"),
    ({"surprise": 1}, "fields"),
    ({"words": {"kind": {"a": "b"}}}, "words"),
])  # fmt: skip
def test_a_mapping_that_cannot_work_is_refused_at_the_field_that_is_wrong(changes, field):
    with pytest.raises(SpecError) as caught:
        spec_of({**SPEC, **changes})
    assert field in caught.value.problems
