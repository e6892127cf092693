"""Rows of one sheet of an XLSX file as text, read as a stream.

A workbook comes from outside and is a zip of XML: sizes are limited while unpacking, a DOCTYPE is refused, nothing is
fetched and no formula is believed. Numbers stay the digits of the file, rounded to the fifteen a spreadsheet shows: no
float is ever made of them. Dates are numbers with a date format and become
`YYYY-MM-DD`, `hh:mm:ss` or both, as the format shows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any, BinaryIO, Final

from django.utils.translation import gettext as _
from lxml import etree

from payops.channels.formats.base import FormatError
from payops.channels.formats.container import DEFAULT_LIMITS, Limits, Source, is_workbook, members_of
from payops.channels.formats.refusals import not_a_bill

FORMULA: Final = "\x00="
"""What stands for a cell that holds a formula; no text of a sheet can hold a NUL."""
ERROR: Final = "\x00#"
MAX_CELLS: Final = 1000
MAX_STRINGS: Final = 64 << 20
"""Characters all shared texts may have together: they are the only part kept in memory."""
_DIGITS: Final = Context(prec=15)
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's time has no zone
_LAST_SERIAL: Final = 2958466
_DATES: Final = {14, 15, 16, 17, 22, *range(27, 32), 36, *range(50, 55), 57, 58}
_TIMES: Final = {18, 19, 20, 21, 22, *range(32, 36), 45, 46, 47, 55, 56}
"""Numbers of the built-in formats that show a day, and those that show a time."""
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_NOT_A_FORMAT: Final = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')

Row = tuple[int, list[str]]


def sheet_rows(source: Source, sheet: str, limits: Limits = DEFAULT_LIMITS) -> Iterator[Row]:
    """Row numbers from 1 and their cells; the first sheet when no name is given. FormatError for anything damaged."""
    if not is_workbook(source, limits):
        raise not_a_bill(source.name, _("workbook (XLSX)"), source.head(40))
    try:
        with members_of(source, limits) as open_member:
            book = _Workbook(open_member, source.name)
            yield from book.rows(book.member_of(sheet))
    except (ValueError, OverflowError, etree.LxmlError) as error:
        raise FormatError(
            "bill.damaged_workbook",
            _("“%(name)s” is no workbook that can be read (%(reason)s). Save it as XLSX again.")
            % {"name": source.name, "reason": str(error)[:120]},
            {"name": source.name},
        ) from error


class _Workbook:
    """One open workbook: its shared texts and which of its formats are dates."""

    def __init__(self, open_member: Callable[[str], BinaryIO | None], name: str) -> None:
        self._open = open_member
        self._name = name
        self._strings = list(self._shared_strings())
        self._dates = self._date_styles()

    def _events(self, member: str, *tags: str) -> Iterator[tuple[str, Any]]:
        """Ends of the named elements, each let go once it was looked at."""
        stream = self._open(member)
        if stream is None:
            return
        with stream:
            walk = etree.iterparse(
                stream, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False,
                huge_tree=False, remove_comments=True, remove_pis=True,
            )  # fmt: skip
            depth = 0
            for event, element in walk:
                if event == "start":
                    depth += 1
                    if depth == 1 and element.getroottree().docinfo.internalDTD is not None:
                        raise ValueError("DOCTYPE")
                    continue
                depth -= 1
                name = _local(element)
                if name in tags:
                    yield name, element
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]

    def _shared_strings(self) -> Iterator[str]:
        length = 0
        for _tag, element in self._events("xl/sharedStrings.xml", "si"):
            text = _text_of(element)
            length += len(text) + 8
            if length > MAX_STRINGS:
                raise FormatError(
                    "bill.too_large",
                    _("“%(name)s” holds more text than any bill. Save the sheet as CSV and load that.")
                    % {"name": self._name},
                    {"name": self._name},
                )
            yield text

    def _date_styles(self) -> dict[int, str]:
        """Styles of moments, with the pattern their cells become text by."""
        dates, times, styles = set(_DATES), set(_TIMES), []
        for tag, element in self._events("xl/styles.xml", "numFmt", "cellXfs"):
            if tag == "numFmt":
                code = _NOT_A_FORMAT.sub("", element.get("formatCode", "")).lower()
                number = int(element.get("numFmtId", "0"))
                if "general" not in code:
                    dates |= {number} if "y" in code or "d" in code else set()
                    times |= {number} if "h" in code or "s" in code else set()
            else:
                styles = [int(child.get("numFmtId", "0")) for child in element]
        patterns = {(True, False): "%Y-%m-%d", (False, True): "%H:%M:%S", (True, True): "%Y-%m-%d %H:%M:%S"}
        shown = {style: patterns.get((code in dates, code in times)) for style, code in enumerate(styles)}
        return {style: pattern for style, pattern in shown.items() if pattern}

    def member_of(self, sheet: str) -> str:
        """The member that holds the named sheet, or the first; its target is looked up, never guessed."""
        found = [
            (element.get("name", ""), next((value for key, value in element.items() if key.endswith("}id")), ""))
            for _tag, element in self._events("xl/workbook.xml", "sheet")
        ]
        wanted = next((key for name, key in found if not sheet or name == sheet), None)
        if wanted is None:
            raise FormatError(
                "bill.no_sheet",
                _("“%(name)s” has no sheet “%(sheet)s”; it has: %(known)s.")
                % {"name": self._name, "sheet": sheet, "known": ", ".join(name for name, _key in found)[:200] or "–"},
                {"sheet": sheet},
            )
        for _tag, element in self._events("xl/_rels/workbook.xml.rels", "Relationship"):
            if element.get("Id") == wanted:
                target = element.get("Target", "")
                return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        raise ValueError(f"no sheet behind {wanted}")

    def rows(self, member: str) -> Iterator[Row]:
        last = 0
        for _tag, element in self._events(member, "row"):
            number = int(element.get("r", last + 1))
            if number <= last:
                raise ValueError(f"row {number} after row {last}")
            last = number
            yield number, self._cells(element)

    def _cells(self, row: Any) -> list[str]:
        cells: list[str] = []
        for cell in row:
            if _local(cell) != "c":
                continue
            match = _REFERENCE.fullmatch(cell.get("r", ""))
            column = _column_number(match[1]) if match else len(cells) + 1
            if column > MAX_CELLS or column <= len(cells):
                raise ValueError(f"cell {cell.get('r')}")
            cells.extend([""] * (column - len(cells) - 1))
            cells.append(self._value(cell))
        return cells

    def _value(self, cell: Any) -> str:
        kind, text, formula = cell.get("t", "n"), "", False
        for part in cell:
            match _local(part):
                case "f":
                    formula = True
                case "v":
                    text = part.text or ""
                case "is":
                    text = _text_of(part)
        if formula:
            return FORMULA + text
        match kind:
            case "s":
                return self._strings[int(text)] if text.isdigit() and int(text) < len(self._strings) else ERROR + text
            case "inlineStr" | "str" | "d":
                return text
            case "e":
                return ERROR + text
            case "b":
                return {"1": "TRUE", "0": "FALSE"}.get(text, text)
        return self._number(text, int(cell.get("s", "0"))) if text else ""

    def _number(self, text: str, style: int) -> str:
        try:
            value = _DIGITS.create_decimal(text)
        except InvalidOperation:
            return ERROR + text
        if not value.is_finite() or abs(value.adjusted()) > 30:
            return ERROR + text
        if style in self._dates:
            return _moment(value, self._dates[style]) if 0 <= value < _LAST_SERIAL else ERROR + text
        # Sixteen digits or more were rounded before the file was written: nobody may take them for a number.
        if value.adjusted() >= 15:
            return f"{value:E}"
        shown = format(value, "f")
        return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _moment(serial: Decimal, pattern: str) -> str:
    seconds = int((serial * 86400).to_integral_value())
    return (_EPOCH + timedelta(seconds=seconds)).strftime(pattern)


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _text_of(element: Any) -> str:
    """The text of a shared or inline string; phonetic readings are no part of it."""
    parts = []
    for node in element.iter():
        if _local(node) == "t" and not any(_local(parent) == "rPh" for parent in node.iterancestors()):
            parts.append(node.text or "")
    return "".join(parts)


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number
