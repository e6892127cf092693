"""Files for spreadsheets: no formula gets in, the same data gives the same bytes, long numbers keep their end."""

from __future__ import annotations

import csv
import datetime as dt
import io
import time
from decimal import Decimal
from pathlib import Path

import pytest
from django.http import HttpResponse
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from payops.core import exports
from payops.core.errors import PayopsError

ID = 261120000000001001


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        '=HYPERLINK("http://x")',
        " =1",
        "\ufeff=1",
        "-",
        "+86 138",
        "＝1+1",
        "－cmd",
        "-1.56\n=1",
        "-1,5",
        "--1",
        "=-1",
        "-1.",
        "+",
        "-２",
    ],
)
def test_a_text_that_could_run_gets_an_apostrophe(cell: str) -> None:
    assert exports.neutralise(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-1.56", "+0.01", "-1,234.50", "-12%", "1=1", "a@b", "", "M-A", "商户", "'x", "0"])
def test_numbers_and_plain_text_stay(cell: str) -> None:
    assert exports.neutralise(cell) == cell


@pytest.mark.parametrize("cell", [None, 5, -5, Decimal("-1.5"), True, dt.date(2026, 11, 20)])
def test_only_text_is_ever_changed(cell: object) -> None:
    assert exports.neutralise(cell) is cell


@given(text=st.text(max_size=30))
def test_no_text_begins_like_a_formula_after_it(text: str) -> None:
    out = exports.neutralise(text)
    assert out == text or out == "'" + text
    begins = out.lstrip(" \u00a0\u3000\ufeff\u200b")[:1]
    assert begins not in tuple("=@\t\r\n") or begins == ""
    if begins in tuple("+-") and begins:
        Decimal(out.replace(",", "").rstrip("%"))


def test_csv_has_a_byte_order_mark_crlf_and_quotes() -> None:
    out = io.BytesIO()
    rows = [["a,b", "=1", None, ID, Decimal("-1.50")], ["元\n", "-1.56", True, dt.date(2026, 11, 20), ""]]
    assert exports.write_csv(out, ["one", "two", "three", "four", "five"], rows) == 2
    assert (
        out.getvalue()
        == (
            '\ufeffone,two,three,four,five\r\n"a,b",\'=1,,261120000000001001,-1.50\r\n"元\n",-1.56,yes,2026-11-20,\r\n'
        ).encode()
    )


def test_csv_goes_to_text_files_and_responses_too(tmp_path: Path) -> None:
    response = HttpResponse(content_type="text/csv")
    exports.write_csv(response, ["a"], [[1]])
    with open(tmp_path / "x.csv", "w", encoding="utf-8", newline="") as handle:
        exports.write_csv(handle, ["a"], [[1]])
    assert response.content == (tmp_path / "x.csv").read_bytes() == b"\xef\xbb\xbfa\r\n1\r\n"
    assert "".join(exports.csv_lines(["a"], [[1]])) == "\ufeffa\r\n1\r\n"


def test_times_are_shown_in_shanghai() -> None:
    assert exports.cell_text(dt.datetime(2026, 11, 20, 16, 30, tzinfo=dt.UTC)) == "2026-11-21 00:30:00"


@given(cells=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20), min_size=2, max_size=4))
def test_a_csv_reader_sees_the_cells_again(cells: list[str]) -> None:
    lines = "".join(exports.csv_lines(["h"], [cells])).removeprefix("\ufeff")
    assert list(csv.reader(io.StringIO(lines, newline="")))[1] == [exports.neutralise(cell) for cell in cells]


def workbook(rows: list[list[object]]) -> bytes:
    out = io.BytesIO()
    exports.write_xlsx(out, [("Statement: M-A/2026", ["id", "amount"], rows), ("Second", ["x"], [[1]])])
    return out.getvalue()


def test_the_same_data_gives_the_same_workbook_bytes() -> None:
    first = workbook([[ID, Decimal("1.50")]])
    time.sleep(2.1)  # longer than the resolution of a zip entry's time
    assert workbook([[ID, Decimal("1.50")]]) == first


def test_a_workbook_holds_numbers_as_numbers_and_long_numbers_and_formulas_as_text() -> None:
    book = CalamineWorkbook.from_filelike(
        io.BytesIO(workbook([[ID, Decimal("-1234.50")], [7, "=1+1"], ["http://x", Decimal("12345678901234567.89")]]))
    )
    assert book.sheet_names == ["Statement  M-A 2026", "Second"]
    assert book.get_sheet_by_index(0).to_python() == [
        ["id", "amount"],
        [str(ID), -1234.5],
        [7, "'=1+1"],
        ["http://x", "12345678901234567.89"],
    ]


def test_more_rows_than_a_sheet_holds_are_an_error_not_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MAX_SHEET_ROWS", 3)
    with pytest.raises(PayopsError) as caught:
        exports.write_xlsx(io.BytesIO(), [("x", ["a"], ([n] for n in range(3)))])
    assert caught.value.code == "exports.too_many_rows"
