"""Exact, fast reading of whole columns of cells: amounts, fees, times, keys, and masking.

Every function takes a column of bytes and either converts all of it or raises `IrregularError`; the reader then
halves the rows until the odd one stands alone, so the code that reads a million good rows explains the one bad one.
Distinct values are read once per block: bills repeat amounts, rates and times heavily, and no cache outlives a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from django.utils.translation import gettext as _


class IrregularError(Exception):
    """A cell that cannot be read; the message is right once the row stands alone."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def show(cell: bytes) -> str:
    """A cell for a message: decoded as far as possible and shortened."""
    text = cell.decode("utf-8", "replace")
    return text if len(text) <= 60 else text[:60] + "…"


def show_hundredths(value: int) -> str:
    """A figure as bills print it, with two decimals."""
    sign = "-" if value < 0 else ""
    return f"{sign}{abs(value) // 100}.{abs(value) % 100:02d}"


class Grid(Sequence[Sequence[bytes]]):
    """Columns of a block whose cells lie in one list, row by row with `step` between rows; cut out when asked for."""

    def __init__(self, cells: list[bytes], width: int, step: int) -> None:
        self._cells = cells
        self._width = width
        self._step = step

    def __len__(self) -> int:
        return self._width

    def __getitem__(self, index: int) -> list[bytes]:  # type: ignore[override]
        if not 0 <= index < self._width:
            raise IndexError(index)
        return self._cells[index :: self._step]


# Two decimals and nothing else, one value a line; possessive, so that a long column costs no backtracking stack.
_TWO_DECIMALS: Final = re.compile(rb"(?:[0-9]{1,15}\.[0-9]{2}\n)*+")
_SIGNED_TWO_DECIMALS: Final = re.compile(rb"(?:-?[0-9]{1,15}\.[0-9]{2}\n)*+")
_FIVE_DECIMALS: Final = re.compile(rb"(?:-?[0-9]{1,15}\.[0-9]{2}000\n)*+")
_AMOUNT: Final = re.compile(rb"(-?)([0-9]{1,15})(?:\.([0-9]{1,12}))?")


def hundredths(cell: bytes, name: str, *, signed: bool) -> int:
    """One amount with at most two significant decimals, in hundredths."""
    match = _AMOUNT.fullmatch(cell)
    if match is None or (match[1] and not signed and match[2].strip(b"0") + (match[3] or b"").strip(b"0")):
        raise IrregularError(
            "line.amount", _("“%(value)s” in column %(name)s is not an amount.") % {"value": show(cell), "name": name}
        )
    fraction = match[3] or b""
    if fraction[2:].strip(b"0"):
        raise IrregularError(
            "line.amount_decimals",
            _("“%(value)s” in column %(name)s has more than two decimals.") % {"value": show(cell), "name": name},
        )
    value = int(match[2]) * 100 + int(fraction[:2].ljust(2, b"0"))
    return -value if match[1] else value


def amount_table(columns: Iterable[tuple[str, Sequence[bytes]]], *, signed: bool) -> dict[bytes, int]:
    """Every distinct cell of the named columns with its value in hundredths."""
    table: dict[bytes, int] = {}
    for name, cells in columns:
        for cell in set(cells):
            if cell not in table:
                table[cell] = hundredths(cell, name, signed=signed)
    return table


def amount_column(name: str, cells: Sequence[bytes]) -> list[int]:
    """A column of unsigned amounts in hundredths; quicker than a table where amounts seldom repeat."""
    text = b"\n".join(cells) + b"\n"
    if _TWO_DECIMALS.fullmatch(text):
        values = list(map(int, text.replace(b".", b"").split()))
        if len(values) == len(cells):
            return values
    return [hundredths(cell, name, signed=False) for cell in cells]


def signed_column(name: str, cells: Sequence[bytes]) -> list[int]:
    """A column of amounts that may be negative, in hundredths."""
    text = b"\n".join(cells) + b"\n"
    if _SIGNED_TWO_DECIMALS.fullmatch(text):
        values = list(map(int, text.replace(b".", b"").split()))
        if len(values) == len(cells):
            return values
    table = amount_table([(name, cells)], signed=True)
    return list(map(table.__getitem__, cells))


def fee_column(name: str, cells: Sequence[bytes]) -> list[int]:
    """A column of signed fees in hundredths, printed with five decimals of which only two count."""
    text = b"\n".join(cells) + b"\n"
    if _FIVE_DECIMALS.fullmatch(text):
        values = list(map(int, text.replace(b"000\n", b"\n").replace(b".", b"").split()))
        if len(values) == len(cells):
            return values
    return [hundredths(cell, name, signed=True) for cell in cells]


def sparse_amounts(name: str, cells: Sequence[bytes], *, signed: bool = False) -> list[int]:
    """A column of amounts most of which are 0.00."""
    values = [0] * len(cells)
    if cells.count(b"0.00") != len(cells):
        for i, cell in [(i, cell) for i, cell in enumerate(cells) if cell != b"0.00"]:
            values[i] = hundredths(cell, name, signed=signed)
    return values


_TIME: Final = re.compile(rb"([0-9]{4}-[0-9]{2}-[0-9]{2}) (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]")
BEIJING: Final = b"+08:00"


def time_table(cells: Sequence[bytes], name: str, day: date) -> tuple[dict[bytes, bytes], bytes | None]:
    """Distinct `YYYY-MM-DD hh:mm:ss` cells with their ISO text in Beijing time, and the first cell of another day."""
    wanted = day.isoformat().encode()
    table: dict[bytes, bytes] = {}
    stray = None
    for cell in set(cells):
        match = _TIME.fullmatch(cell)
        if match is None:
            raise IrregularError(
                "line.time", _("“%(value)s” in column %(name)s is not a time.") % {"value": show(cell), "name": name}
            )
        if match[1] != wanted:
            try:
                date.fromisoformat(match[1].decode())
            except ValueError:
                raise IrregularError(
                    "line.time",
                    _("“%(value)s” in column %(name)s is not a time.") % {"value": show(cell), "name": name},
                ) from None
            stray = cell
        table[cell] = cell + BEIJING
    return table, stray


_PRINTABLE: Final = bytes(range(0x21, 0x7F))
_CONTROL: Final = bytes(range(0x20)) + b"\x7f"
DAMAGED_NUMBER: Final = re.compile(rb"[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{2,3}")


def require_digits(cells: Sequence[bytes], name: str, shortest: int, longest: int) -> None:
    """All cells are runs of digits of a plausible length."""
    lengths = set(map(len, cells))
    if not b"".join(cells).isdigit() or min(lengths) < shortest or max(lengths) > longest:
        raise IrregularError(
            "line.number",
            _("“%(value)s” in column %(name)s is not a number of %(shortest)s to %(longest)s digits.")
            % {"value": show(cells[0]), "name": name, "shortest": shortest, "longest": longest},
        )


def require_keys(cells: Sequence[bytes], name: str, *, optional: bool = False) -> None:
    """All cells are printable ASCII without blanks, at most 64 long, present unless optional."""
    text = b"".join(cells)
    if (
        text.translate(None, _PRINTABLE)
        or len(max(cells, key=len)) > 64
        or not (optional or all(cells))
        or ((b"E+" in text or b"e+" in text) and any(map(DAMAGED_NUMBER.fullmatch, cells)))
    ):
        raise IrregularError(
            "line.key",
            _("“%(value)s” in column %(name)s cannot be an order or request number.")
            % {"value": show(cells[0]), "name": name},
        )


def require_text(cells: Sequence[bytes], name: str, encoding: str, *, longest: int) -> Sequence[bytes]:
    """Free text as UTF-8 without control characters, cut to `longest` characters."""
    text = b"\n".join(cells)
    if encoding != "utf-8" or not text.isascii():
        try:
            text = text.decode(encoding).encode()
        except UnicodeError:
            raise IrregularError(
                "line.encoding",
                _("Column %(name)s holds bytes that are not %(encoding)s text.") % {"name": name, "encoding": encoding},
            ) from None
    result = text.split(b"\n")
    if len(result) != len(cells) or len(text.translate(None, _CONTROL)) != len(text) - (len(cells) - 1):
        raise IrregularError("line.control", _("Column %(name)s holds a control character.") % {"name": name})
    if len(max(result, key=len)) > longest:
        return [cell.decode()[:longest].encode() for cell in result]
    return result


_RATE: Final = re.compile(rb"(?:[0-9]{1,3}(?:\.[0-9]{1,6})?%?)?")


def require_rates(cells: Sequence[bytes], name: str) -> None:
    """All cells are empty or a percentage."""
    for cell in set(cells):
        if not _RATE.fullmatch(cell):
            raise IrregularError(
                "line.rate", _("“%(value)s” in column %(name)s is not a rate.") % {"value": show(cell), "name": name}
            )


def mask_tails(cells: Sequence[bytes]) -> list[bytes]:
    """Payer ids with all but their last four characters hidden; short ones hidden whole."""
    return [b"****" + cell[-4:] if len(cell) > 8 else (b"****" if cell else b"") for cell in cells]


def mask_card(cell: bytes) -> bytes:
    """A card number with its first six and last four digits; already masked numbers keep their shape."""
    number = cell.strip()
    if len(number) < 12:
        return b"*" * len(number)
    return number[:6] + b"*" * (len(number) - 10) + number[-4:]


_DIGIT_RUN: Final = re.compile(r"(?<![0-9])[0-9]{13,19}(?![0-9])")


def _luhn(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if position % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def mask_cards_in_text(text: str, *keep: str) -> str:
    """Hide everything in free text that passes as a card number, except the numbers given (our own)."""

    def hide(match: re.Match[str]) -> str:
        number = match[0]
        if number in keep or not _luhn(number):
            return number
        return number[:6] + "*" * (len(number) - 10) + number[-4:]

    return _DIGIT_RUN.sub(hide, text)


def mask_digits(text: str) -> str:
    """Hide every long run of digits: for the start of a file that is not what it should be and may hold anything."""
    return re.sub(r"[0-9]{11,}", lambda match: match[0][:6] + "…", text)
