"""A batch of manual vouchers as a spreadsheet: the file to fill in, and reading it with an error per line."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from django.utils.translation import gettext as _

from payops.accounts.manual import ManualDraft, ManualLine, draft_checked
from payops.core.errors import PayopsError
from payops.core.exports import write_xlsx
from payops.core.money import parse_amount

COLUMNS: Final = (
    ("voucher", "Voucher", "凭证"),
    ("business_date", "Business date", "业务日期"),
    ("memo", "Memo", "摘要"),
    ("side", "Side", "方向"),
    ("account", "Account", "账户"),
    ("amount", "Amount", "金额"),
    ("currency", "Currency", "币种"),
)
"""Name in the program, English and Chinese heading. Either heading is read, or both as the empty file has them."""
SIDES: Final = {"d": "D", "c": "C", "debit": "D", "credit": "C", "借": "D", "贷": "C"}
FILE_LIMIT: Final = 5 * 1024**2
UNPACKED_LIMIT: Final = 100 * 1024**2
MOST_ROWS: Final = 5_000
ERRORS_SHOWN: Final = 200
EXAMPLE: Final = (
    ("1", "2026-11-20", "Reserve interest", "D", "100201-B-R1", "12.50", "CNY"),
    ("1", "", "", "C", "224106-B-R1", "12.50", ""),
)


@dataclass(frozen=True, slots=True)
class RowError:
    """One thing wrong in the file: spreadsheet row, column heading, the value there, and why it is refused."""

    row: int
    column: str
    value: str
    reason: str


@dataclass(slots=True)
class _Row:
    number: int
    cells: dict[str, Any]

    def text(self, name: str) -> str:
        return _text(self.cells.get(name))


class BatchError(PayopsError):
    """Nothing of the file is proposed; `errors` says what to mend, row by row."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        self.errors = list(errors)
        super().__init__(
            "manual.batch_rows",
            _("%(count)d things are wrong in the file; nothing was proposed. Mend them and send the file again.")
            % {"count": len(self.errors)},
            {"errors": [{"row": e.row, "column": e.column, "value": e.value, "reason": e.reason} for e in self.errors]},
        )


def empty_sheet() -> bytes:
    """The file to fill in, with one voucher as an example; the same bytes every time."""
    target = io.BytesIO()
    header = [f"{english} {chinese}" for _name, english, chinese in COLUMNS]
    write_xlsx(target, [("Manual vouchers", header, EXAMPLE)])
    return target.getvalue()


def read_batch(stream: BinaryIO) -> list[ManualDraft]:
    """The vouchers of a filled-in file. Rows with the same value under "Voucher" are the lines of one.

    Date, memo and currency count from a voucher's first row. Raises BatchError with every wrong row, PayopsError
    'manual.batch_unreadable', 'manual.batch_header', 'manual.batch_empty' or 'manual.batch_rows_limit'.
    """
    rows = _rows(stream)
    errors: list[RowError] = []
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        key = row.text("voucher")
        if not key:
            errors.append(_error(row, "voucher", _("Number the vouchers: rows with the same number are one voucher.")))
            continue
        groups.setdefault(key, []).append(row)
    drafts = [draft for group in groups.values() if (draft := _draft(group, errors)) is not None]
    if len({draft.currency for draft in drafts}) > 1:
        other = next(group[0] for group in groups.values() if group[0].text("currency") not in {"", drafts[0].currency})
        errors.append(_error(other, "currency", _("A batch is in one currency, so that it has one total.")))
    if errors:
        raise BatchError(sorted(errors, key=lambda error: error.row)[:ERRORS_SHOWN])
    return drafts


def _rows(stream: BinaryIO) -> list[_Row]:
    grid = _grid(stream)
    header, positions = grid[0] if grid else [], {}
    for name, english, chinese in COLUMNS:
        headings = {english.casefold(), chinese, f"{english} {chinese}".casefold()}
        found = [at for at, cell in enumerate(header) if _text(cell).casefold() in headings]
        if len(found) != 1:
            raise PayopsError(
                "manual.batch_header",
                _("The first row must name the columns; “%(column)s” is missing. Start from the empty file.")
                % {"column": english},
                {"column": english},
            )
        positions[name] = found[0]
    rows = [
        _Row(number, {name: cells[at] if at < len(cells) else "" for name, at in positions.items()})
        for number, cells in enumerate(grid[1:], start=2)
    ]
    rows = [row for row in rows if any(row.text(name) for name in positions)]
    if not rows:
        raise PayopsError("manual.batch_empty", _("There is no voucher in the file."))
    if len(rows) > MOST_ROWS:
        raise PayopsError(
            "manual.batch_rows_limit",
            _("The file has %(rows)d rows; at most %(most)d are taken at once.")
            % {"rows": len(rows), "most": MOST_ROWS},
            {"rows": len(rows)},
        )
    return rows


def _grid(stream: BinaryIO) -> list[list[Any]]:
    import python_calamine

    content = stream.read(FILE_LIMIT + 1)
    try:
        if len(content) > FILE_LIMIT:
            raise ValueError("too large")
        # A small file may unpack to gigabytes; its directory says so before anything is unpacked.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > UNPACKED_LIMIT:
                raise ValueError("unpacks to too much")
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        return book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except (ValueError, OSError, IndexError, zipfile.BadZipFile, python_calamine.CalamineError) as error:
        raise PayopsError(
            "manual.batch_unreadable",
            _("The file is not a spreadsheet (.xlsx) of at most %(limit)d MB.") % {"limit": FILE_LIMIT // 1024**2},
        ) from error


def _text(value: Any) -> str:
    """A cell as it was typed: spreadsheets keep numbers as floats, whose shortest form is what somebody wrote."""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime):
        return value.date().isoformat()
    return "" if value is None else str(value).strip()


def _heading(name: str) -> str:
    return next(f"{english} {chinese}" for key, english, chinese in COLUMNS if key == name)


def _error(row: _Row, column: str, reason: Any) -> RowError:
    return RowError(row.number, _heading(column), row.text(column), str(reason))


def _draft(group: list[_Row], errors: list[RowError]) -> ManualDraft | None:
    """One voucher from its rows; None, with the reasons added, when any of them is wrong."""
    first, before = group[0], len(errors)
    currency = first.text("currency") or "CNY"
    lines = [_line(row, currency, errors) for row in group]
    business_date = _date(first, errors)
    for row in group[1:]:
        for name in ("business_date", "memo", "currency"):
            if row.text(name) not in {"", first.text(name)}:
                reason = _("Differs from row %d, where this voucher begins.") % first.number
                errors.append(_error(row, name, reason))
    if len(errors) > before or business_date is None:
        return None
    draft = ManualDraft(first.text("memo"), business_date, [line for line in lines if line], currency)
    try:
        draft_checked(draft)
    except PayopsError as error:
        row = group[error.context.get("line", 1) - 1]
        errors.append(_error(row, _column_of(error), error))
        return None
    return draft


def _line(row: _Row, currency: str, errors: list[RowError]) -> ManualLine | None:
    side = SIDES.get(row.text("side").casefold())
    if side is None:
        errors.append(_error(row, "side", _("Write D (debit) or C (credit).")))
    amount = None
    try:
        amount = parse_amount(row.text("amount"), currency)
    except PayopsError as error:
        errors.append(_error(row, "currency" if error.code == "money.unknown_currency" else "amount", error))
    return ManualLine(row.text("account"), side, amount) if side and amount is not None else None


def _date(row: _Row, errors: list[RowError]) -> dt.date | None:
    try:
        return dt.date.fromisoformat(row.text("business_date"))
    except ValueError:
        errors.append(_error(row, "business_date", _("Write the day as 2026-11-20.")))
        return None


def _column_of(error: PayopsError) -> str:
    if error.code.startswith("ledger.") or error.code == "manual.registered":
        return "account"
    names = {"manual.memo": "memo", "manual.business_date": "business_date", "manual.currency": "currency"}
    return names.get(error.code, "amount")
