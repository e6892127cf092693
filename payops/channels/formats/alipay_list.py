"""What Alipay's lists share (FORMATS 2): rows between `#` lines, usually GBK, a TAB after every number.

No quoting. Cells are cut on bytes: no GBK character contains a comma, a TAB or a line end, so decoding waits until a
cell is kept. Columns are found by header name, whatever brackets stand behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.channels.formats.alipay_members import titled
from payops.channels.formats.base import Expectation, FormatError, Reader
from payops.channels.formats.columns import Grid, IrregularError, mask_cards_in_text
from payops.channels.formats.container import LineStream, Source

_MAX_FOOTER: Final = 1 << 16
_MAX_HEADER_LINES: Final = 30
_UNIT: Final = re.compile(r"[（(][+-]?元[）)]$")
_ACCOUNT: Final = re.compile(r"#账号：\[([0-9]+)\]")
_PERIOD: Final = re.compile(r"#起始日期：\[(.+?)\]\s*终止日期：\[(.+?)\]")
_TIME: Final = re.compile(r"(\d{4})年(\d{2})月(\d{2})日 00:00:00")


class AlipayListReader(Reader):
    """One pass over one list. Subclasses name its title, end and columns, and turn cells into a batch."""

    title: str
    end_mark: str
    """The words of the line that ends the list."""
    footer_words: str
    """What stands at the end of a whole file, for messages."""
    kind_of_file: Any
    columns: Mapping[str, str]
    """Header name without its unit → our name; several names may have one meaning."""
    required: Sequence[str]
    free_text: Sequence[str]
    amounts: Sequence[str]
    """Columns of amounts, on which the repair of a row with commas in its text rests."""
    times: Sequence[str]

    def __init__(self, source: Source, expect: Expectation) -> None:
        super().__init__(expect)
        self.source = source
        self._at: dict[str, int] = {}
        self._width = 0
        self._repair: re.Pattern[bytes] | None = None
        self._next = 1
        self.no_backslash = False
        self._footer = b""
        lines = self.lines()
        try:
            self._read_header(lines)
        finally:
            lines.close()

    def lines(self) -> LineStream:
        """The bill's lines from the first byte."""
        return LineStream(self.source.open(), self.source.name)

    def raw_text(self, line_no: int) -> str:
        """The line with this number as the file has it, masked; empty when there is none."""
        lines = self.lines()
        try:
            for number, line in enumerate(iter(lines.line, None), start=1 - self.header_lines):
                if number == line_no:
                    return self.show_cells([line])
        finally:
            lines.close()
        return ""

    # -- header -------------------------------------------------------------------------------------------------

    def _read_header(self, lines: LineStream) -> None:
        first = lines.line() or b""
        self._encoding = titled(first, self.title) or "gb18030"
        account = period = None
        for number in range(2, _MAX_HEADER_LINES):
            line = lines.line()
            if line is None:
                raise self.truncated()
            if line.startswith(b"#"):
                text = line.decode(self._encoding, "replace").rstrip(",\t ")
                account = account or _ACCOUNT.match(text)
                period = period or _PERIOD.match(text)
                continue
            self.header_lines = number
            self._check_columns(line)
            self._check_account(account[1] if account else "")
            self._check_period(period.groups() if period else ("", ""))
            return
        raise self.truncated()

    def _check_columns(self, line: bytes) -> None:
        names = [_UNIT.sub("", name.strip()) for name in line.decode(self._encoding, "replace").split(",")]
        known = [self.columns.get(name, "") for name in names]
        missing = [self.name_of(column) for column in self.required if column not in known]
        repeated = [self.name_of(column) for column in set(known) - {""} if known.count(column) > 1]
        if missing or repeated:
            raise FormatError(
                "bill.unknown_header",
                _(
                    "The column header on line %(line)s is not that of a %(kind)s: missing %(missing)s, "
                    "repeated %(repeated)s."
                )
                % {
                    "line": self.header_lines,
                    "kind": self.kind_of_file,
                    "missing": "、".join(missing) or "–",
                    "repeated": "、".join(repeated) or "–",
                },
                {"missing": missing, "repeated": repeated, "header": names},
            )
        self._at = {column: index for index, column in enumerate(known) if column}
        self._width = len(names)
        self._repair = self._repair_pattern(known)

    def _check_account(self, found: str) -> None:
        # The file has the 16-digit account with 0156 behind it; contracts may hold either.
        expected = self.expect.account
        if found != expected and found != expected + "0156":
            raise FormatError(
                "bill.wrong_account",
                _(
                    "The file is of Alipay account %(found)s, but this contract is %(expected)s. "
                    "Load the file for the contract it belongs to."
                )
                % {"found": found or "–", "expected": expected},
                {"found": found, "expected": expected},
            )

    def _check_period(self, period: tuple[str, ...]) -> None:
        days = []
        for text in period:
            match = _TIME.fullmatch(text.strip())
            try:
                days.append(date(*map(int, match.groups())) if match else None)
            except ValueError:
                days.append(None)
        day = self.expect.channel_date
        if days != [day, day + timedelta(days=1)]:
            raise FormatError(
                "bill.wrong_date",
                _("The file covers %(start)s to %(end)s, but was loaded for %(day)s. Load it for its own day.")
                % {"start": period[0] or "–", "end": period[1] or "–", "day": day.isoformat()},
                {"found": list(period), "expected": day.isoformat()},
            )

    @classmethod
    def name_of(cls, column: str) -> str:
        """The channel's name of a column, the newest where it had several."""
        return next(name for name, ours in cls.columns.items() if ours == column)

    # -- rows ---------------------------------------------------------------------------------------------------

    def tables(self) -> Iterator[tuple[Sequence[int], Sequence[Sequence[bytes]]]]:
        """Row numbers and columns of raw cells, block by block; leaves the footer in `_footer`."""
        for block, _last in self.row_blocks():
            yield from self.tables_of(block)

    def row_blocks(self) -> Iterator[tuple[bytes, bool]]:
        """The rows as blocks of whole lines, each with whether it is the last; leaves the footer in `_footer`."""
        end = self.end_mark.encode(self._encoding)
        lines = self.lines()
        try:
            for _n in range(self.header_lines):
                lines.line()
            blocks = lines.blocks()
            for block in blocks:
                found = block.find(end)
                at = block.rfind(b"\n", 0, found) + 1 if found >= 0 else -1
                if at >= 0 and block.startswith(b"#", at):
                    yield block[:at], True
                    self._footer = _bounded(block[at:], blocks)
                    return
                yield block, False
            raise self.truncated()
        finally:
            lines.close()

    def tables_of(self, block: bytes) -> Iterator[tuple[Sequence[int], Sequence[Sequence[bytes]]]]:
        """Row numbers and columns of a block, at most one table."""
        if not block:
            return
        self.no_backslash = b"\\" not in block
        start = self._next
        ending = b"\r\n" if block.endswith(b"\r\n") else b"\n"
        grid = self._grid(block, ending)
        if grid is not None:
            self._next = start + len(grid[0])
            yield range(start, self._next), grid
            return
        text = block.replace(b"\t,", b",").replace(b"\t" + ending, ending)
        if not text.strip():
            self._next = start + text.count(b"\n")
            return
        numbers: list[int] = []
        rows = []
        for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=start):
            self._next = number + 1
            cells = self._cells(number, line.rstrip(b"\r"))
            if cells is not None:
                numbers.append(number)
                rows.append(cells)
        if rows:
            yield numbers, list(zip(*rows, strict=True))

    def _grid(self, block: bytes, ending: bytes) -> Grid | None:
        """The cells of a block all of whose rows are as they should be, None when one is not."""
        text = block.translate(None, b"\t")
        tabs = len(block) - len(text) - block.count(b"\t,")
        if tabs and tabs != block.count(b"\t" + ending):
            return None
        # Line ends become cells of their own: where each stands then proves the width of every row at once.
        lines = text.splitlines()
        rows, step = len(lines), self._width + 1
        # A line end of one byte less, or one inside a row, makes more lines than there are line feeds.
        if text.count(b"\n") != rows:
            return None
        lines.append(b"")
        cells = b",\n,".join(lines).split(b",")
        if len(cells) != rows * step + 1 or cells.pop() or cells[self._width :: step].count(b"\n") != rows:
            return None
        return Grid(cells, self._width, step)

    def _cells(self, number: int, line: bytes) -> Sequence[bytes] | None:
        """The cells of a line that came with the wrong number of commas: one repair, else it is set aside."""
        if not line.strip():
            return None
        cells: Sequence[bytes] = line.split(b",")
        if len(cells) == self._width:
            return cells
        if len(cells) > self._width and self._repair is not None:
            # Free text takes as little as possible, then as much as possible; only one reading may exist.
            repaired = self._repair.fullmatch(line)
            if repaired is not None and self._only_reading(repaired, line):
                return repaired.groups()
        self.add_bad_line(
            number,
            self.show_cells([line]),
            IrregularError(
                "line.cells",
                _("The line has %(found)s cells instead of %(width)s: a comma or a line break inside merchant text.")
                % {"found": len(cells), "width": self._width},
            ),
        )
        return None

    def _only_reading(self, repaired: re.Match[bytes], line: bytes) -> bool:
        pattern = self._repair.pattern if self._repair is not None else b""
        greedy = re.compile(pattern.replace(b".*?", b".*"), re.DOTALL).fullmatch(line)
        return greedy is not None and greedy.groups() == repaired.groups()

    def _repair_pattern(self, columns: list[str]) -> re.Pattern[bytes] | None:
        """A row whose free text may hold commas, anchored on its times and amounts; needs the usual columns."""
        if not set(self.times) <= set(columns) or set(self.amounts).isdisjoint(columns):
            return None
        parts = []
        for column in columns:
            if column in self.free_text:
                parts.append(rb"(.*?)")
            elif column in self.times:
                parts.append(rb"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})")
            elif column in self.amounts:
                parts.append(rb"(-?[0-9]{1,15}\.[0-9]{2})")
            else:
                parts.append(rb"([^,]*)")
        return re.compile(b",".join(parts), re.DOTALL)

    def show_cells(self, cells: Sequence[bytes]) -> str:
        """The row as the file has it, card numbers masked."""
        text = b",".join(cells).decode(self._encoding, "replace")
        return mask_cards_in_text(text, self.expect.account)

    def truncated(self) -> FormatError:
        """The file ends before its list or its totals do."""
        return FormatError(
            "bill.truncated",
            _(
                "The bill ends after row %(row)s without its end (%(words)s): the file was cut. "
                "Fetch it again from the channel."
            )
            % {"row": self._next - 1, "words": self.footer_words},
            {"line_no": self._next - 1},
        )


def _bounded(text: bytes, blocks: Iterator[bytes]) -> bytes:
    for block in blocks:
        text += block
        if len(text) > _MAX_FOOTER:
            raise FormatError(
                "bill.after_footer",
                _("Far too much text follows the end of the list. Two bills in one file? Load each by itself."),
            )
    return text
