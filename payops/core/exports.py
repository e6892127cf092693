"""Files for people's spreadsheets: CSV and XLSX without formulas in them, the same bytes for the same data."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

_SHANGHAI: Final[ZoneInfo] = ZoneInfo("Asia/Shanghai")
_NUMBER: Final[re.Pattern[str]] = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?%?", re.ASCII)
# The full-width forms start formulas in East Asian editions of spreadsheet programs.
_FORMULA_STARTS: Final[tuple[str, ...]] = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
_BOM: Final[str] = "\ufeff"
MAX_SHEET_ROWS: Final[int] = 1_048_576
MAX_EXACT_INTEGER: Final[int] = 10**15
"""Spreadsheets keep 15 digits (and JavaScript 2⁵³): a longer number leaves as text, or its end would turn to zeros."""
_FIXED_DATE: Final[dt.datetime] = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def neutralise(cell: Any) -> Any:
    """The cell with an apostrophe before a text that a spreadsheet would run as a formula; numbers stay numbers.

    "=1+1" → "'=1+1", "-1.56" stays. Only text is ever changed. Blanks before the formula do not hide it.
    """
    if not isinstance(cell, str) or not cell:
        return cell
    bare = cell.lstrip(" \u00a0\u3000\ufeff\u200b")
    if not bare.startswith(_FORMULA_STARTS) or _NUMBER.fullmatch(cell):
        return cell
    return "'" + cell


def cell_text(value: Any) -> str:
    """A value as a CSV cell shows it: times in Shanghai, yes and no as words, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        local = value.astimezone(_SHANGHAI) if value.tzinfo else value
        return local.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dt.date):
        return value.isoformat()
    return neutralise(str(value))


def csv_lines(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The file line by line, for streaming; the first line starts with the byte order mark."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    prefix = _BOM
    for row in _chain(header, rows):
        writer.writerow([cell_text(value) for value in row])
        yield prefix + buffer.getvalue()
        prefix = ""
        buffer.seek(0)
        buffer.truncate()


def _chain(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield header
    yield from rows


def write_csv(fileobj: IO[Any], header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> int:
    """Write UTF-8 with byte order mark and CRLF to a binary or text file; returns the number of data rows."""
    is_text = isinstance(fileobj, io.TextIOBase)
    count = -1
    for line in csv_lines(header, rows):
        fileobj.write(line if is_text else line.encode())
        count += 1
    return count


Sheet = tuple[str, Sequence[Any], Iterable[Sequence[Any]]]


def write_xlsx(path_or_file: Any, sheets: Iterable[Sheet]) -> None:
    """Write (title, header, rows) sheets; the same data gives the same bytes (no clock, no user name).

    Decimal and int are numbers (longer than 15 digits: text), everything else is text, never a formula or a link.
    Rows are streamed. Raises PayopsError 'exports.too_many_rows' beyond what a sheet can hold.
    """
    import xlsxwriter

    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    workbook = xlsxwriter.Workbook(path_or_file, options)
    try:
        workbook.set_properties({"created": _FIXED_DATE})
        bold = workbook.add_format({"bold": True})
        formats: dict[int, Any] = {}
        for title, header, rows in sheets:
            worksheet = workbook.add_worksheet(_sheet_title(title))
            worksheet.freeze_panes(1, 0)
            for column, value in enumerate(header):
                worksheet.write_string(0, column, cell_text(value), bold)
                worksheet.set_column(column, column, 18)
            for number, row in enumerate(rows, start=1):
                if number >= MAX_SHEET_ROWS:
                    raise _too_many_rows(title)
                for column, value in enumerate(row):
                    _write_cell(workbook, worksheet, number, column, value, formats)
    finally:
        workbook.close()


def _write_cell(workbook: Any, worksheet: Any, row: int, column: int, value: Any, formats: dict[int, Any]) -> None:
    if value is None or value == "":
        return
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_EXACT_INTEGER:
        worksheet.write_number(row, column, value)
    elif isinstance(value, Decimal) and value.is_finite() and len(value.as_tuple().digits) <= 15:
        decimals = max(-int(value.as_tuple().exponent), 0)
        if decimals not in formats:
            pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
            formats[decimals] = workbook.add_format({"num_format": pattern})
        worksheet.write_number(row, column, value, formats[decimals])
    else:
        worksheet.write_string(row, column, cell_text(value))


def _sheet_title(title: str) -> str:
    return re.sub(r"[\[\]:*?/\\]", " ", title).strip("' ")[:31] or "1"


def _too_many_rows(title: str) -> PayopsError:
    return PayopsError(
        "exports.too_many_rows",
        _("“%(title)s” has more rows than a spreadsheet can hold. Choose a shorter period or the CSV file.")
        % {"title": title},
        {"title": title, "limit": MAX_SHEET_ROWS},
    )
