"""Bank receipts into bank lines: CSV (FORMATS 8), camt.053 and MT940; idempotent per account and bank reference.

An invalid row refuses the whole file. A row of a CSV that repeats a reference with other facts is refused alone, with
both values; a statement is taken whole or not at all, because its balances prove it whole. Booking is the
reconciliation's: lines arrive in state `new`.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from contextlib import closing
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from payops.channels.formats.container import Limits, Source, unwrap
from payops.channels.models import BankAccount, BankLine
from payops.channels.receipts.bank_statements import statements_take
from payops.channels.receipts.taking import BATCH, ReceiptsResult, take
from payops.channels.statements import read, sniff
from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.money import parse_amount
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


class _RowFault(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, field_name: str, value: str, reason: str, code: str = "receipts.invalid") -> None:
        super().__init__(reason)
        self.field, self.value, self.reason, self.code = field_name, value, reason, code


def receipts_load(
    *, stream: str | PathLike[str] | BinaryIO, name: str = "", user: str = "", source: str = "upload"
) -> ReceiptsResult:
    """Take in bank receipts and return counts; the file is kept under its digest. What it is, its content says.

    State `refused` means nothing was taken. Raises PayopsError when the file is none (packing, encoding, header), and
    StatementError when a statement of the bank does not prove itself.
    """
    name = Path(name or (stream if not hasattr(stream, "read") else "receipts")).name  # type: ignore[arg-type]
    stored = keep(stream, name=name)
    result = ReceiptsResult(name=name, sha256=stored.sha256)
    member = _only_member(Source.of(full_path(stored.path), name))
    kind = sniff(member.head(256))
    if kind:
        result.format = kind
        with closing(member.open()) as opened:
            statements = read(opened, kind, name)
        take_all = partial(statements_take, statements, result)
    else:
        lines = _read(member, result)
        if result.refused_count:
            result.state = "refused"
            return result
        take_all = partial(_take_rows, lines, result)
    with transaction.atomic():
        take_all()
        if result.state == "refused":
            # A statement is believed because it adds up; without one of its lines it would not.
            transaction.set_rollback(True)
            return result
        audit.record(
            username=str(user) or "system",
            action="channels.receipts_loaded",
            object_kind="channels.bankline",
            object_id=stored.sha256,
            detail={"file": name, "source": source, "rows": result.rows, "created": result.created},
        )
    return result


def _take_rows(lines: list[tuple[int, BankLine]], result: ReceiptsResult) -> None:
    for start in range(0, len(lines), BATCH):
        take(lines[start : start + BATCH], result)


def _only_member(source: Source) -> Source:
    members = unwrap(source, Limits(max_bytes=min(settings.PAYOPS_MAX_UNPACKED_BYTES, 1 << 28), max_members=1))
    if len(members) != 1:
        raise PayopsError("receipts.not_one_file", _("“%s” must hold exactly one file.") % source.name)
    return members[0]


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(member: Source, result: ReceiptsResult) -> list[tuple[int, BankLine]]:
    accounts = {account.code: account for account in BankAccount.objects.all()}
    by_number = {account.account_no: account for account in accounts.values()}
    lines: list[tuple[int, BankLine]] = []
    raw = member.open()
    try:
        text = io.TextIOWrapper(io.BytesIO(raw.read()), encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        order, width = _header(next(reader, None), member.name)
        for cells in reader:
            if not any(cells):
                continue
            result.rows += 1
            try:
                if len(cells) != width:
                    raise _RowFault("", ",".join(cells), _("The row has %d cells, not %d.") % (len(cells), width))
                values = {name: cells[at].strip() if at >= 0 else "" for name, at in order.items()}
                line = _line(values, accounts, by_number)
                line.file_name, line.file_sha256, line.file_row = result.name[:200], result.sha256, reader.line_num
                lines.append((reader.line_num, line))
            except _RowFault as fault:
                result.refuse(_fault(reader.line_num, fault))
    except UnicodeDecodeError as error:
        raise PayopsError(
            "receipts.not_utf8", _("“%s” is not UTF-8 text. Save it as UTF-8 and load it again.") % member.name
        ) from error
    except csv.Error as error:
        raise PayopsError(
            "receipts.not_csv",
            _("“%(name)s” cannot be read as CSV: %(reason)s.") % {"name": member.name, "reason": error},
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
