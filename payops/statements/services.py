"""Making statements and handing them out: once made, a statement never changes (DOMAIN 13)."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from payops.core import audit
from payops.core.errors import PayopsError
from payops.merchants.selectors import merchant_get
from payops.settlement.models import SettlementSheet
from payops.statements import selectors
from payops.statements.agreement import statement_verify
from payops.statements.document import figures_of, snapshot_of, write_document
from payops.statements.models import Statement, StatementFormat
from payops.statements.selectors import SheetContent, StatementRow

FOLDER: Final = "statements"
SHEETS_AT_ONCE: Final = 200
"""Sheets whose content is read together: few queries, bounded memory."""
CHUNK: Final = 1 << 20


def statements_build(*, day: dt.date, merchant_no: str | None = None, username: str) -> list[Statement]:
    """Make the statements of the settlement of accounting date `day`; returns all of them, those there before too.

    One CSV and one XLSX per sheet that is computed to the end. Every figure is compared with the transactions, the
    clearing and the ledger first. Idempotent: a statement that exists is left as it is. Raises PayopsError
    'statements.do_not_agree' (nothing is made for that sheet and those after it) and 'merchants.unknown'.
    """
    if merchant_no is not None:
        merchant_get(merchant_no)
    sheets = selectors.sheets_of_day(day, merchant_no)
    waiting = iter(list(sheets.exclude(statements__isnull=False)))
    while batch := list(islice(waiting, SHEETS_AT_ONCE)):
        _build_batch(batch, username)
    made = Statement.objects.filter(sheet__in=sheets).select_related("merchant", "sheet")
    return list(made.order_by("merchant__merchant_no", "sheet_id", "format"))


def _build_batch(sheets: Sequence[SettlementSheet], username: str) -> None:
    contents = selectors.contents_of(sheets)
    for content in contents:
        statement_verify(content)
    stream = _BySheet(selectors.rows_of([item for content in contents for item in content.items]))
    try:
        for content in contents:
            _build_one(content, stream.of(content.sheet.pk), username)
    finally:
        stream.close()


class _BySheet:
    """One stream of rows ordered by sheet, handed out sheet by sheet."""

    def __init__(self, rows: Iterator[StatementRow]) -> None:
        self._rows, self._next = rows, next(rows, None)

    def of(self, sheet_id: int) -> Iterator[StatementRow]:
        while self._next is not None and self._next.sheet_id == sheet_id:
            yield self._next
            self._next = next(self._rows, None)

    def close(self) -> None:
        """Let go of the cursor."""
        self._rows.close()


def _build_one(content: SheetContent, rows: Iterator[StatementRow], username: str) -> None:
    snapshot, totals = snapshot_of(content), figures_of(content)
    sheet = content.sheet
    with tempfile.TemporaryDirectory(dir=_folder(), prefix=".making-") as folder:
        drafts = {form: Path(folder) / f"statement.{form}" for form in StatementFormat.values}
        count = write_document(content, rows, snapshot=snapshot, csv_path=drafts["csv"], xlsx_path=drafts["xlsx"])
        statements = [
            Statement(
                merchant=sheet.merchant,
                sheet=sheet,
                format=form,
                pay_date=sheet.pay_date,
                file_name=_file_name(sheet, form),
                stored_path=_stored_path(sheet, form),
                sha256=digest_of(path),
                size=path.stat().st_size,
                rows=count,
                totals=totals,
                snapshot=snapshot,
                made_by=username,
            )
            for form, path in drafts.items()
        ]
        with transaction.atomic():
            # Somebody who built the same sheet at the same moment made the same bytes: his rows stand.
            Statement.objects.bulk_create(statements, ignore_conflicts=True)
            for statement in statements:
                _put(drafts[statement.format], statement)
            audit.record(
                username=username,
                action="statement.made",
                object_kind="settlement_sheet",
                object_id=sheet.sheet_no,
                detail={each.format: each.sha256 for each in statements},
            )


# --- the stored files -------------------------------------------------------------------------------------------------


def statement_file(statement: Statement) -> Path:
    """The path of the statement's bytes, proven by their digest.

    A file that is missing or damaged is made again from the books and must come out the same: PayopsError
    'statements.changed' otherwise.
    """
    path = Path(settings.PAYOPS_FILES_DIR) / statement.stored_path
    if path.is_file() and path.stat().st_size == statement.size and digest_of(path) == statement.sha256:
        return path
    _rebuild(statement)
    return path


def _rebuild(statement: Statement) -> None:
    sheet = SettlementSheet.objects.select_related("merchant", "session", "settlement_account").get(
        pk=statement.sheet_id
    )
    (content,) = selectors.contents_of([sheet])
    with tempfile.TemporaryDirectory(dir=_folder(), prefix=".making-") as folder:
        drafts = {form: Path(folder) / f"statement.{form}" for form in StatementFormat.values}
        write_document(
            content,
            selectors.rows_of(content.items),
            snapshot=statement.snapshot,
            csv_path=drafts["csv"],
            xlsx_path=drafts["xlsx"],
        )
        draft = drafts[statement.format]
        digest = digest_of(draft)
        if digest != statement.sha256:
            raise PayopsError(
                "statements.changed",
                _(
                    "The file %(name)s is missing or damaged, and made again from the books it differs: digest "
                    "%(found)s instead of %(expected)s. Restore the file from the backup and look for the cause."
                )
                % {"name": statement.file_name, "found": digest[:16], "expected": statement.sha256[:16]},
                {"statement": statement.pk, "expected": statement.sha256, "found": digest},
            )
        _put(draft, statement)


def statements_copy(*, statements: Iterable[Statement], folder: Path) -> list[Path]:
    """Copy the files of statements into a folder, made if need be; returns the new paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(statement_file(each), folder / each.file_name)) for each in statements]


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _put(draft: Path, statement: Statement) -> None:
    """Move a finished file to its place; a reader sees the old one, none, or the whole new one."""
    target = Path(settings.PAYOPS_FILES_DIR) / statement.stored_path
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(target)


def _folder() -> Path:
    folder = Path(settings.PAYOPS_FILES_DIR) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file_name(sheet: SettlementSheet, form: str) -> str:
    """Ours and harmless on every system: merchant, pay date, sheet number."""
    merchant = re.sub(r"[^0-9A-Za-z._-]", "_", sheet.merchant.merchant_no)
    number = re.sub(r"[^0-9A-Za-z._-]", "_", sheet.sheet_no)
    return f"settlement_{merchant}_{sheet.pay_date:%Y%m%d}_{number}.{form}"


def _stored_path(sheet: SettlementSheet, form: str) -> str:
    return f"{FOLDER}/{sheet.pay_date:%Y-%m-%d}/{sheet.pk}.{form}"
