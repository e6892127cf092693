"""What UnionPay's fixed-width files share (FORMATS 3, 4): cut on bytes before decoding, one space between two fields.

None has a header or totals, so nothing in a file proves it complete: totals are computed only and the bill stays
unproven until the funds arrive. Account and date come from the file name and are checked in the rows as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from operator import itemgetter
from typing import Final

from django.utils.translation import gettext as _

from payops.channels.formats.base import Batch, Expectation, FormatError, Reader
from payops.channels.formats.columns import (
    BEIJING,
    IrregularError,
    mask_card,
    mask_cards_in_text,
    mask_digits,
    show,
)
from payops.channels.formats.container import DEFAULT_LIMITS, Limits, LineStream, Source, unwrap

_SPACE: Final = 0x20
_SIGNED: Final = re.compile(rb"[CD ][0-9]+")
_CLOCK: Final = re.compile(r"[0-9]{4}(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One field that is read: its place in the row and the channel's name for it."""

    start: int
    width: int
    label: str
    number: int

    @property
    def where(self) -> slice:
        """The bytes of the field."""
        return slice(self.start, self.start + self.width)


class Layout:
    """The widths of a row's leading fields, which of them are read, and where the spaces between them stand."""

    def __init__(self, widths: Sequence[int], names: Mapping[int, tuple[str, str]], *, row_bytes: int = 0) -> None:
        starts = (0, *(total + index + 1 for index, total in enumerate(accumulate(widths[:-1]))))
        self.widths: Final = tuple(widths)
        self.starts: Final = starts
        self.row_bytes: Final = row_bytes or starts[-1] + widths[-1]
        """A shorter row was cut."""
        self.fields: Final = {
            name: Field(starts[number - 1], widths[number - 1], label, number)
            for number, (name, label) in names.items()
        }
        self.slices: Final = {name: field.where for name, field in self.fields.items()}
        self._gaps = tuple(start - 1 for start in starts[1:] if start - 1 < self.row_bytes)
        self._spaces = (_SPACE,) * len(self._gaps)
        self._at_gaps = itemgetter(*self._gaps)

    def is_cut_right(self, row: bytes) -> bool:
        """The row is long enough and a space stands between any two fields."""
        return len(row) >= self.row_bytes and self._at_gaps(row) == self._spaces

    def cells(self, rows: Sequence[bytes]) -> dict[str, list[bytes]]:
        """The fields that are read, as columns; IrregularError when a row's fields are not where they belong."""
        if set(map(self._at_gaps, rows)) != {self._spaces}:
            raise IrregularError(
                "line.fields",
                _("The fields are not where they belong: bytes were lost or added (a conversion of the encoding?)."),
            )
        return {name: [row[where] for row in rows] for name, where in self.slices.items()}

    def label(self, name: str) -> str:
        """A field as the channel numbers and names it."""
        field = self.fields[name]
        return _("%(label)s (field %(number)s)") % {"label": field.label, "number": field.number}


class FixedWidthFormat:
    """What the registry entries of fixed-width files share; a subclass says how its reader is made and named."""

    label: str
    reader: type[FixedWidthReader]

    def sniff(self, head: bytes, name: str) -> bool:
        """The first row's shape."""
        raise NotImplementedError

    def open(self, source: Source, expect: Expectation, *, limits: Limits = DEFAULT_LIMITS) -> FixedWidthReader:
        """A reader over the file in `source`, alone or beside other members of the day's archive."""
        members = unwrap(source, limits)
        if len(members) == 1:
            return self.reader(members[0], expect)
        found = [member for member in members if self.sniff(member.head(), member.name)]
        if len(found) != 1:
            raise FormatError(
                "bill.not_a_bill",
                _("“%(name)s” holds %(count)s files of the kind %(kind)s among %(names)s; exactly one is needed.")
                % {
                    "name": source.name,
                    "count": len(found),
                    "kind": self.label,
                    "names": ", ".join(m.name for m in members[:10]) or "–",
                },
                {"name": source.name, "members": [member.name for member in members]},
            )
        return self.reader(found[0], expect)

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """One line by its number, the card number masked."""
        reader = self.open(source, expect)
        lines = reader.lines()
        try:
            for number, line in enumerate(iter(lines.line, None), start=1):
                if number == line_no:
                    return reader.show_cells([line])
        finally:
            lines.close()
        return ""


class FixedWidthReader(Reader):
    """One pass over one fixed-width file. Subclasses name the layout and turn cells into a batch."""

    layout: Layout
    kind_of_file: str
    """What the file is, in the channel's words."""

    def __init__(self, source: Source, expect: Expectation) -> None:
        super().__init__(expect)
        self.source = source
        self._account = expect.account.encode()
        self._next = 1
        self._on_day = False
        self.check_name()
        self.check_first(source.head())

    def reopen(self) -> FixedWidthReader:
        """A fresh reader over the same bill."""
        return type(self)(self.source, self.expect)

    def lines(self) -> LineStream:
        """The bill's lines from the first byte."""
        return LineStream(self.source.open(), self.source.name)

    # -- name and first row -------------------------------------------------------------------------------------

    def check_name(self) -> None:
        """Compare what the name given by the channel says; a renamed file is checked by its rows alone."""
        raise NotImplementedError

    def check_first(self, head: bytes) -> None:
        """Refuse at once what plainly is another file."""
        raise NotImplementedError

    def name_matches(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The name the file came under, inside its archive or at its upload, read by a pattern."""
        return pattern.search(self.source.name) or pattern.search(self.expect.file_name)

    def check_day_of_name(self, day: str) -> None:
        """The YYMMDD of the name must be the channel date."""
        expected = self.expect.channel_date
        if day != expected.strftime("%y%m%d"):
            raise FormatError(
                "bill.wrong_date",
                _("The file name says %(found)s (YYMMDD), but the bill was loaded for %(expected)s.")
                % {"found": day, "expected": expected.isoformat()},
                {"found": day, "expected": expected.isoformat()},
            )

    def not_this(self, row: bytes) -> FormatError:
        """The first row is of no file read here."""
        if not row.strip():
            return FormatError(
                "bill.not_a_bill",
                _("“%(name)s” is empty; a day without a bill is an answer of the channel, not an empty file.")
                % {"name": self.source.name},
                {"name": self.source.name},
            )
        return FormatError(
            "bill.not_a_bill",
            _("“%(name)s” is not a %(kind)s; it starts with “%(start)s”. Check what was uploaded.")
            % {"name": self.source.name, "kind": self.kind_of_file, "start": mask_digits(show(row))},
            {"name": self.source.name},
        )

    def other_file(self, found: str) -> FormatError:
        """The file is one of UnionPay's, but not the one read here."""
        return FormatError(
            "bill.wrong_format",
            _("“%(name)s” is a %(found)s; load a %(kind)s here.")
            % {"name": self.source.name, "found": found, "kind": self.kind_of_file},
            {"name": self.source.name},
        )

    # -- rows ---------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """All rows; then the day and the computed totals."""
        for block, _last in self.row_blocks():
            yield from self.block_rows(block)
        self.finish()

    def row_blocks(self) -> Iterator[tuple[bytes, bool]]:
        """The file in blocks of whole lines, none marked as the last."""
        lines = self.lines()
        try:
            for block in lines.blocks():
                yield block, False
        finally:
            lines.close()

    def finish(self) -> None:
        """What only the whole file can say: that anything was read, that it is of the day, and its sums."""
        if not self.line_count:
            first = self.bad_lines[0].message if self.bad_lines else "–"
            raise FormatError(
                "bill.not_a_bill",
                _("No row of “%(name)s” can be read; the first: %(reason)s Check what was uploaded.")
                % {"name": self.source.name, "reason": first},
                {"name": self.source.name},
            )
        if not self._on_day:
            raise FormatError(
                "bill.wrong_date",
                _("No row of the file is of %(day)s or the day before. Load the file for its own day.")
                % {"day": self.expect.channel_date.isoformat()},
                {"expected": self.expect.channel_date.isoformat()},
            )
        for kind, sums in self.sums_by_kind.items():
            self.totals.add(f"{kind}.count", None, sums.count, unit="count")
            self.totals.add(f"{kind}.amount", None, sums.amount)

    def block_rows(self, block: bytes) -> Iterator[Batch]:
        """The good rows of one block."""
        start = self._next
        whole = block.endswith(b"\n")
        rows = [row.removesuffix(b"\r") for row in block.removesuffix(b"\n").split(b"\n")]
        self._next = start + len(rows)
        numbers: Sequence[int] = range(start, self._next)
        if min(map(len, rows)) < self.layout.row_bytes:
            if not whole and len(rows[-1]) < self.layout.row_bytes and rows[-1].strip():
                raise FormatError(
                    "bill.truncated",
                    _(
                        "The last row %(row)s has %(found)s bytes of at least %(needed)s and no line end: the file was "
                        "cut. Fetch it again from the channel."
                    )
                    % {"row": self._next - 1, "found": len(rows[-1]), "needed": self.layout.row_bytes},
                    {"line_no": self._next - 1},
                )
            kept = []
            for number, row in zip(numbers, rows, strict=True):
                if len(row) >= self.layout.row_bytes:
                    kept.append((number, row))
                elif row.strip():
                    self.add_bad_line(
                        number,
                        self.show_cells([row]),
                        IrregularError(
                            "line.short",
                            _("The line has %(found)s bytes; a row has at least %(needed)s.")
                            % {"found": len(row), "needed": self.layout.row_bytes},
                        ),
                    )
            if not kept:
                return
            numbers, rows = [number for number, _row in kept], [row for _number, row in kept]
        numbers, rows = self.booked(numbers, rows)
        if rows:
            yield from self.convert_all(numbers, [rows])

    def booked(self, numbers: Sequence[int], rows: list[bytes]) -> tuple[Sequence[int], list[bytes]]:
        """The rows that move money; a format whose file lists others counts those and leaves them out."""
        return numbers, rows

    def times(self, cells: Sequence[bytes], label: str) -> list[bytes]:
        """MMDDhhmmss with the year of the file's date; a later day of the year means last year."""
        day = self.expect.channel_date
        near = {day.strftime("%m%d").encode()}
        for back in range(1, int(self.expect.options.get("row_days", 1)) + 1):
            near.add((day - timedelta(days=back)).strftime("%m%d").encode())
        table: dict[bytes, bytes] = {}
        for cell in set(cells):
            table[cell] = moment(cell, day, label)
            self._on_day = self._on_day or cell[:4] in near
        return list(map(table.__getitem__, cells))

    def show_cells(self, cells: Sequence[bytes]) -> str:
        """The line with its card number masked, wherever else one may stand."""
        row = cells[0]
        card = self.layout.slices["card"]
        if len(row) >= card.stop:
            row = row[: card.start] + mask_card(row[card]).ljust(19) + row[card.stop :]
        return mask_cards_in_text(row.decode("gb18030", "replace"), self.expect.account)


def signed_amounts(cells: Sequence[bytes], label: str) -> list[int]:
    """A sign letter and digits: C is credit to us (+), D debit (−), a blank stands only before zero."""
    table: dict[bytes, int] = {}
    for cell in set(cells):
        value = int(cell[1:]) if _SIGNED.fullmatch(cell) else -1
        if value < 0 or (cell[:1] == b" " and value):
            raise IrregularError(
                "line.amount",
                _("“%(value)s” in %(name)s is not C, D or a blank with %(digits)s digits.")
                % {"value": show(cell), "name": label, "digits": len(cell) - 1},
            )
        table[cell] = -value if cell[:1] == b"D" else value
    return list(map(table.__getitem__, cells))


def optional_signed_amounts(cells: Sequence[bytes], label: str) -> list[int | None]:
    """Signed amounts: None where the field is blank."""
    table: dict[bytes, int | None] = {}
    for cell in set(cells):
        if not _SIGNED.fullmatch(cell):
            if cell.strip():
                raise IrregularError(
                    "line.amount",
                    _("“%(value)s” in %(name)s is not C, D or a blank with %(digits)s digits.")
                    % {"value": show(cell), "name": label, "digits": len(cell) - 1},
                )
            table[cell] = None
            continue
        value = int(cell[1:])
        table[cell] = -value if cell[:1] == b"D" else value
    return list(map(table.__getitem__, cells))


def plain_amounts(cells: Sequence[bytes], label: str) -> list[int]:
    """Amounts of digits only."""
    if not b"".join(cells).isdigit():
        raise IrregularError(
            "line.amount",
            _("“%(value)s” in %(name)s is not %(digits)s digits.")
            % {"value": show(cells[0]), "name": label, "digits": len(cells[0])},
        )
    return list(map(int, cells))


def moment(cell: bytes, day: date, label: str) -> bytes:
    """MMDDhhmmss as ISO text in Beijing time; a day of the year past the file's date is last year's."""
    text = cell.decode("latin-1")
    if _CLOCK.fullmatch(text):
        year = day.year - (text[:4] > day.strftime("%m%d"))
        try:
            found = date(year, int(text[:2]), int(text[2:4]))
        except ValueError:
            pass
        else:
            return f"{found.isoformat()} {text[4:6]}:{text[6:8]}:{text[8:]}".encode() + BEIJING
    raise IrregularError(
        "line.time", _("“%(value)s” in %(name)s is not a time.") % {"value": show(cell), "name": label}
    )


def joined(*columns: Sequence[bytes]) -> list[bytes]:
    """The institutions' joining key of every row: its parts without padding, with hyphens between them."""
    return [b"-".join([part.strip() for part in parts]) for parts in zip(*columns, strict=True)]
