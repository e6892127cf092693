"""Rows of a mapped file as lists of text, whatever its layout, with what stands before and after them.

`GenericRows` finds the header line, yields pieces of rows and keeps the lines before them and the footer. A line that
cannot be cut into cells is told to its reader; what is wrong with the file as a whole is a FormatError.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final, NamedTuple

from django.utils.translation import gettext as _

from payops.channels.formats.base import FormatError
from payops.channels.formats.columns import IrregularError
from payops.channels.formats.container import LineStream, Source
from payops.channels.formats.generic_spec import FIXED, XLSX, Spec
from payops.channels.formats.generic_xlsx import FORMULA, sheet_rows

HEADER_WITHIN: Final = 30
"""Lines after the skipped ones among which the one that names the columns must be."""
FOOTER_LINES: Final = 50
PIECE: Final = 2000
PIECE_CHARACTERS: Final = 4 << 20
"""A piece ends at whichever comes first, so that long lines cost no more memory than many."""
_BOM: Final = b"\xef\xbb\xbf"


class Raw(NamedTuple):
    """One line: its number in the file from 1, its cells, the line as it came, and why it has no cells."""

    number: int
    cells: list[str]
    text: str
    trouble: IrregularError | None = None


class GenericRows:
    """One pass over the lines of a mapped file."""

    def __init__(self, source: Source, spec: Spec) -> None:
        self.source = source
        self.spec = spec
        self.before: list[Raw] = []
        """Lines before the first row, the header line included."""
        self.footer: list[Raw] = []
        self.names: list[str] = []
        self._lines = self._numbered()
        self._trim = spec.trim + " \t\u3000"
        ranges = [column.split("-") for column in spec.columns] if spec.layout == FIXED else []
        self._bytes = [slice(int(first) - 1, int(last)) for first, last in ranges]
        self._row_bytes = max((piece.stop for piece in self._bytes), default=0)

    @property
    def header_lines(self) -> int:
        """Physical lines before the first row."""
        return self.before[-1].number if self.before else 0

    def lines(self) -> Iterator[Raw]:
        """The lines from where reading stands."""
        return self._lines

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()  # type: ignore[attr-defined]

    # -- lines --------------------------------------------------------------------------------------------------

    def _numbered(self) -> Iterator[Raw]:
        if self.spec.layout == XLSX:
            for number, cells in sheet_rows(self.source, self.spec.sheet):
                yield Raw(number, [self._plain(cell) for cell in cells], " | ".join(cells).replace("\x00", ""))
            return
        lines = LineStream(self.source.open(), self.source.name)
        try:
            number = 0
            for block in lines.blocks():
                for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), start=number + 1):  # noqa: B020
                    text = line.removesuffix(b"\r")
                    if not text:
                        yield Raw(number, [], "")
                        continue
                    yield self._cut(number, text.removeprefix(_BOM) if number == 1 else text)
        finally:
            lines.close()

    def _cut(self, number: int, line: bytes) -> Raw:
        shown = line.decode(self.spec.encoding, "replace")
        if self.spec.layout == FIXED:
            return Raw(number, [], shown, self._unreadable(line)) if b"\x00" in line else self._sliced(number, line)
        trouble = self._unreadable(line)
        if trouble is not None:
            return Raw(number, [], shown, trouble)
        try:
            cells = self._split(shown)
        except IrregularError as error:
            return Raw(number, [], shown, error)
        return Raw(number, [self._plain(cell) for cell in cells], shown)

    def _unreadable(self, line: bytes) -> IrregularError | None:
        if b"\x00" in line:
            return IrregularError("line.control", _("The line holds a NUL character, which no text does."))
        try:
            line.decode(self.spec.encoding)
        except UnicodeDecodeError:
            return IrregularError(
                "line.encoding",
                _("The line holds bytes that are not %(encoding)s text; check the encoding of the mapping.")
                % {"encoding": self.spec.encoding},
            )
        return None

    def _sliced(self, number: int, line: bytes) -> Raw:
        """The bytes each column names, decoded one by one: a row is cut before it is text."""
        shown = line.decode(self.spec.encoding, "replace")
        if len(line) < self._row_bytes:
            short = _("The line has %(found)s bytes; a row has at least %(needed)s.") % {
                "found": len(line), "needed": self._row_bytes,
            }  # fmt: skip
            return Raw(number, [], shown, IrregularError("line.short", short))
        cells = []
        for at in self._bytes:
            trouble = self._unreadable(line[at])
            if trouble is not None:
                return Raw(number, [], shown, trouble)
            cells.append(self._plain(line[at].decode(self.spec.encoding)))
        return Raw(number, cells, shown)

    def _split(self, text: str) -> list[str]:
        quote = self.spec.quote
        if not quote or quote not in text:
            return text.split(self.spec.delimiter)
        try:
            (cells,) = csv.reader([text], delimiter=self.spec.delimiter, quotechar=quote, strict=True)
        except (csv.Error, ValueError):
            raise IrregularError(
                "line.quotes",
                _("The quotes of the line do not close: a line break inside a cell, or a quote too many."),
            ) from None
        return cells

    def _plain(self, cell: str) -> str:
        return cell if cell.startswith(FORMULA[0]) else cell.strip(self._trim)

    def is_blank(self, raw: Raw) -> bool:
        """Whether nothing stands on the line."""
        if self.spec.layout == FIXED or raw.trouble is not None:
            return not raw.text.strip(self._trim)
        return not any(raw.cells)

    # -- header -------------------------------------------------------------------------------------------------

    def find_header(self) -> None:
        """Read up to the first row: the skipped lines, then the line that names the columns."""
        for _number in range(self.spec.skip_lines):
            self.before.append(self._next_line())
        if not self.spec.header:
            return
        best: list[str] = list(self.spec.columns)
        found: list[str] = []
        for _number in range(HEADER_WITHIN):
            raw = next(self._lines, None)
            if raw is None:
                break
            self.before.append(raw)
            missing = [name for name in self.spec.columns if name not in raw.cells]
            if not missing:
                self._take_names(raw)
                return
            if len(missing) < len(best):
                best, found = missing, raw.cells
        raise FormatError(
            "bill.unknown_header",
            _(
                "No line of “%(name)s” names the columns of the mapping: missing %(missing)s. Check the file, its "
                "encoding and the mapping."
            )
            % {"name": self.source.name, "missing": "、".join(best)},
            {"missing": best, "header": found[:50]},
        )

    def _next_line(self) -> Raw:
        raw = next(self._lines, None)
        if raw is None:
            raise FormatError(
                "bill.truncated",
                _("“%(name)s” ends after line %(line)s, before its rows begin: the file was cut. Fetch it again.")
                % {"name": self.source.name, "line": self.header_lines},
                {"name": self.source.name},
            )
        return raw

    def _take_names(self, raw: Raw) -> None:
        self.names = raw.cells
        repeated = [name for name in self.spec.columns if raw.cells.count(name) > 1]
        if repeated:
            raise FormatError(
                "bill.unknown_header",
                _("Line %(line)s names column %(column)s twice; which of them holds the value cannot be told.")
                % {"line": raw.number, "column": repeated[0]},
                {"repeated": repeated},
            )

    # -- rows ---------------------------------------------------------------------------------------------------

    def pieces(self) -> Iterator[list[Raw]]:
        """Rows, some at a time, blank lines left out; the footer is kept when it comes."""
        piece: list[Raw] = []
        length = 0
        for raw in self._lines:
            if self._ends(raw):
                if piece:
                    yield piece
                self._read_footer(raw)
                return
            if self.is_blank(raw):
                continue
            piece.append(raw)
            length += len(raw.text)
            if len(piece) == PIECE or length > PIECE_CHARACTERS:
                yield piece
                piece, length = [], 0
        if piece:
            yield piece
        if self.spec.footer_mark:
            raise FormatError(
                "bill.truncated",
                _("“%(name)s” ends without its footer (%(words)s): the file was cut. Fetch it again from the channel.")
                % {"name": self.source.name, "words": self.spec.footer_mark},
                {"name": self.source.name},
            )

    def _ends(self, raw: Raw) -> bool:
        mark = self.spec.footer_mark
        around = self._trim + self.spec.quote + ("|" if self.spec.layout == XLSX else "")
        return bool(mark) and raw.text.lstrip(around).startswith(mark)

    def _read_footer(self, first: Raw) -> None:
        self.footer.append(first)
        for raw in self._lines:
            if self.is_blank(raw):
                continue
            self.footer.append(raw)
            if len(self.footer) > FOOTER_LINES:
                raise FormatError(
                    "bill.after_footer",
                    _("Far too much text follows the end of the list. Two bills in one file? Load each by itself."),
                )

    def footer_cells(self, raw: Raw) -> list[str]:
        """The cells of a line outside the rows; a fixed-width file has none there, its words are cut at blanks."""
        return raw.text.split() if self.spec.layout == FIXED else raw.cells
