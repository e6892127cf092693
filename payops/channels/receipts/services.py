"""Bank receipts from CSV into bank lines (FORMATS 8); idempotent per account and bank reference.

An invalid row refuses the whole file. A row that repeats a reference with other facts is refused alone, with both
values. Booking is the reconciliation's: lines arrive in state `new`.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from payops.channels.formats.container import Limits, Source, unwrap
from payops.channels.models import BankAccount, BankLine
from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.money import format_amount, parse_amount
from payops.core.storage import full_path, keep

FIELDS: Final = (
    "bank_account", "value_date", "bank_reference", "counterparty", "memo", "direction", "amount", "currency",
    "balance",
)  # fmt: skip
REQUIRED: Final = tuple(name for name in FIELDS if name not in ("counterparty", "memo", "balance"))
DIRECTIONS: Final[dict[str, int]] = {
    "in": 1, "credit": 1, "c": 1, "+": 1, "收入": 1, "贷": 1,
    "out": -1, "debit": -1, "d": -1, "-": -1, "支出": -1, "借": -1,
}  # fmt: skip
COMPARED: Final = ("value_date", "amount", "currency", "counterparty", "memo", "balance")
MAX_LISTED: Final = 1000
_BATCH: Final = 2_000


@dataclass(slots=True)
class ReceiptsResult:
    """What became of a file: `refused` lists invalid rows (state refused) or rows refused alone (state loaded)."""

    state: str = "loaded"
    name: str = ""
    sha256: str = ""
    rows: int = 0
    created: int = 0
    unchanged: int = 0
    refused_count: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The outcome for machines."""
        return asdict(self)

    def refuse(self, fault: dict[str, Any]) -> None:
        """List a row, up to MAX_LISTED; count every one."""
        self.refused_count += 1
        if len(self.refused) < MAX_LISTED:
            self.refused.append(fault)


class _RowFault(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, field_name: str, value: str, reason: str, code: str = "receipts.invalid") -> None:
        super().__init__(reason)
        self.field, self.value, self.reason, self.code = field_name, value, reason, code


def receipts_load(
    *, stream: str | PathLike[str] | BinaryIO, name: str = "", user: str = "", source: str = "upload"
) -> ReceiptsResult:
    """Take in bank receipts and return counts; the file is kept under its digest.

    State `refused` means nothing was taken. Raises PayopsError when the file is none (packing, encoding, header).
    """
    name = Path(name or (stream if not hasattr(stream, "read") else "receipts")).name  # type: ignore[arg-type]
    stored = keep(stream, name=name)
    result = ReceiptsResult(name=name, sha256=stored.sha256)
    lines = _read(Source.of(full_path(stored.path), name), result)
    if result.refused_count:
        result.state = "refused"
        return result
    with transaction.atomic():
        for start in range(0, len(lines), _BATCH):
            _take(lines[start : start + _BATCH], result)
        audit.record(
            username=str(user) or "system",
            action="channels.receipts_loaded",
            object_kind="channels.bankline",
            object_id=stored.sha256,
            detail={"file": name, "source": source, "rows": result.rows, "created": result.created},
        )
    return result


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(source: Source, result: ReceiptsResult) -> list[tuple[int, BankLine]]:
    members = unwrap(source, Limits(max_bytes=min(settings.PAYOPS_MAX_UNPACKED_BYTES, 1 << 28), max_members=1))
    if len(members) != 1:
        raise PayopsError("receipts.not_one_file", _("“%s” must hold exactly one file.") % source.name)
    accounts = {account.code: account for account in BankAccount.objects.all()}
    by_number = {account.account_no: account for account in accounts.values()}
    lines: list[tuple[int, BankLine]] = []
    raw = members[0].open()
    try:
        text = io.TextIOWrapper(io.BytesIO(raw.read()), encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        order, width = _header(next(reader, None), source.name)
        for cells in reader:
            if not any(cells):
                continue
            result.rows += 1
            try:
                if len(cells) != width:
                    raise _RowFault("", ",".join(cells), _("The row has %d cells, not %d.") % (len(cells), width))
                values = {name: cells[at].strip() if at >= 0 else "" for name, at in order.items()}
                lines.append((reader.line_num, _line(values, accounts, by_number)))
            except _RowFault as fault:
                result.refuse(_fault(reader.line_num, fault))
    except UnicodeDecodeError as error:
        raise PayopsError(
            "receipts.not_utf8", _("“%s” is not UTF-8 text. Save it as UTF-8 and load it again.") % source.name
        ) from error
    except csv.Error as error:
        raise PayopsError(
            "receipts.not_csv",
            _("“%(name)s” cannot be read as CSV: %(reason)s.") % {"name": source.name, "reason": error},
        ) from error
    finally:
        raw.close()
    return lines


def _header(header: list[str] | None, name: str) -> tuple[dict[str, int], int]:
    names = [cell.strip() for cell in header or ()]
    missing = [column for column in REQUIRED if column not in names]
    unknown = [column for column in names if column not in FIELDS]
    if missing or unknown or len(set(names)) != len(names):
        raise PayopsError(
            "receipts.bad_header",
            _("“%(name)s” is no receipts file: missing columns: %(missing)s; unknown or repeated: %(unknown)s.")
            % {"name": name, "missing": ", ".join(missing) or "–", "unknown": ", ".join(unknown)[:200] or "–"},
            {"missing": missing, "unknown": unknown[:20]},
        )
    return {column: names.index(column) if column in names else -1 for column in FIELDS}, len(names)


def _line(values: dict[str, str], accounts: dict[str, BankAccount], by_number: dict[str, BankAccount]) -> BankLine:
    code = values["bank_account"]
    account = accounts.get(code) or by_number.get(code)
    if account is None:
        raise _RowFault(
            "bank_account", code, _("This bank account is not set up. Known: %s.") % ", ".join(sorted(accounts))
        )
    sign = DIRECTIONS.get(values["direction"].lower())
    if sign is None:
        raise _RowFault("direction", values["direction"], _("“in” or “out” is expected."))
    if values["currency"] != account.currency:
        raise _RowFault(
            "currency",
            values["currency"],
            _("Account %(code)s is kept in %(currency)s.") % {"code": account.code, "currency": account.currency},
        )
    amount = _amount(values, "amount", account.currency)
    if amount <= 0:
        raise _RowFault("amount", values["amount"], _("Amounts are above zero; the direction says which way it goes."))
    for name, limit in (("bank_reference", 64), ("counterparty", 120), ("memo", 240)):
        if len(values[name]) > limit or not (values[name].isprintable() or not values[name]):
            raise _RowFault(name, values[name][:200], _("At most %d printable characters are expected.") % limit)
    if not values["bank_reference"]:
        raise _RowFault("bank_reference", "", _("The bank's reference is what makes the line unique."))
    return BankLine(
        bank_account=account,
        value_date=_date(values["value_date"]),
        reference=values["bank_reference"],
        counterparty=values["counterparty"],
        memo=values["memo"],
        amount=sign * amount,
        currency=account.currency,
        balance=_amount(values, "balance", account.currency) if values["balance"] else None,
    )


def _amount(values: dict[str, str], name: str, currency: str) -> int:
    try:
        return parse_amount(values[name], currency)
    except PayopsError as error:
        raise _RowFault(name, values[name], str(error), error.code.replace("money.", "receipts.")) from error


def _date(text: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        day = dt.date.min
    if not 2000 <= day.year <= 2098:
        raise _RowFault("value_date", text, _("A date such as 2026-11-20 is expected."))
    return day


def _fault(line: int, fault: _RowFault) -> dict[str, Any]:
    return {"line": line, "field": fault.field, "value": fault.value[:200], "code": fault.code, "reason": fault.reason}


# --- writing ----------------------------------------------------------------------------------------------------------


def _take(lines: list[tuple[int, BankLine]], result: ReceiptsResult) -> None:
    """Insert what is new, whoever else loads at the same time; compare the rest with what is stored."""
    before = _stored(lines)
    BankLine.objects.bulk_create([line for _number, line in lines], ignore_conflicts=True)
    after = _stored(lines)
    claimed: set[tuple[int, str]] = set()
    for number, line in lines:
        key = (line.bank_account_id, line.reference)
        differing = _difference(line, after[key])
        if differing is not None:
            name, value, stored = differing
            result.refuse(
                {
                    "line": number,
                    "field": name,
                    "value": value,
                    "stored": stored,
                    "code": "receipts.contradiction",
                    "reason": _(
                        "Reference %(reference)s is recorded with “%(stored)s”, this row says “%(value)s”. "
                        "The record stays; ask the bank which one is right."
                    )
                    % {"reference": line.reference, "stored": stored, "value": value},
                }
            )
        elif key in before or key in claimed:
            result.unchanged += 1
        else:
            claimed.add(key)
            result.created += 1


def _stored(lines: list[tuple[int, BankLine]]) -> dict[tuple[int, str], BankLine]:
    found = BankLine.objects.filter(
        bank_account_id__in={line.bank_account_id for _number, line in lines},
        reference__in=[line.reference for _number, line in lines],
    )
    return {(line.bank_account_id, line.reference): line for line in found}


def _difference(line: BankLine, stored: BankLine) -> tuple[str, str, str] | None:
    for name in COMPARED:
        new, old = getattr(line, name), getattr(stored, name)
        if new != old:
            if name in ("amount", "balance"):
                shown = ["" if value is None else format_amount(value, line.currency) for value in (new, old)]
                return name, shown[0], shown[1]
            return name, str(new), str(old)
    return None
