"""The load of an intake file: one streamed pass, then set-based statements in one transaction (FORMATS 8).

Either every row is taken (contradictions of final rows are refused alone) or, with one invalid row, none is. The
vouchers of what counts are posted in the same transaction, so a killed load leaves nothing and a second one everything.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, BinaryIO, Final

from django.db import DatabaseError, OperationalError, connection, transaction
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.errors import guard_errors
from payops.channels.models import ChannelContract
from payops.core.copying import copy_text
from payops.core.errors import PayopsError
from payops.core.ids import DAY_STEP, day_floor
from payops.core.locks import xact_lock
from payops.core.money import format_amount
from payops.core.partitions import ensure_day, partition_name
from payops.merchants.models import Merchant
from payops.orders import sql, vouchers
from payops.orders.intake.rows import COPY_COLUMNS, KIND_TEXTS, Days, RowReader
from payops.orders.intake.source import FileError, Received, Row, RowError, read_rows, receive, storable
from payops.orders.models import Intake, IntakeState, Transaction, TransactionKey
from payops.orders.returns import refund_return_create

logger = logging.getLogger(__name__)

LOCK: Final = "orders.intake"
MAX_LISTED: Final = 1000
MAX_NUMBERS: Final = 100_000
ANALYZE_FROM: Final = 10_000
"""A load of this size makes the day's statistics useless; autovacuum would notice a minute later."""

_CHUNK_LINES: Final = 5_000


class FileRefused(Exception):  # noqa: N818 - ends the transaction, never leaves this module
    """Rolls the load back; carries what is wrong."""

    def __init__(self, faults: list[dict[str, Any]], count: int) -> None:
        super().__init__(count)
        self.faults, self.count = faults, count


class _Faults:
    """Invalid rows: the first MAX_LISTED kept, all counted."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.count = 0

    def add(self, fault: dict[str, Any]) -> None:
        self.count += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(fault)

    def raise_if_any(self) -> None:
        if self.count:
            raise FileRefused(self.listed, self.count)


def transactions_load(*, source: str | PathLike[str] | BinaryIO, name: str = "", user: str = "") -> Intake:
    """Take in the payment core's file or stream (CSV or NDJSON, plain, .gz or .zip) and return its Intake.

    `state` REFUSED means nothing of it was taken: `refused` lists up to 1,000 invalid rows (line, field, value, code,
    reason), `refused_count` counts all. LOADED may carry rows refused alone in the same list (with `stored`, the value
    they contradict, or because their day is in the archive). Loading the same file again changes nothing. Raises
    PayopsError when the books are not open, other work got in between ('retryable' in its context) or the database
    refuses the load ('orders.database_refused', with a reference to the log); nothing is taken then.
    """
    try:
        with receive(source, name) as received:
            return _load(received, str(user))
    except FileError as error:
        return Intake.objects.create(
            source_name=(name or str(source))[-200:],
            sha256="",
            size=0,
            state=IntakeState.REFUSED,
            refused=[_file_fault(error)],
            refused_count=1,
            received_by=str(user),
        )


def _load(received: Received, user: str) -> Intake:
    intake = Intake(
        source_name=storable(received.name)[-200:], sha256=received.sha256, size=received.size, received_by=user,
        state=IntakeState.REFUSED,
    )  # fmt: skip
    try:
        with _database_errors(), guard_errors(), transaction.atomic():
            days = Days.load()
            ensure_day(days.open_day)
            _Load(days, user, intake).run(received)
            intake.state = IntakeState.LOADED
            intake.save()
    except FileRefused as refused:
        intake.refused, intake.refused_count = refused.faults, refused.count
    except FileError as error:
        intake.refused, intake.refused_count = [_file_fault(error)], 1
    if intake.state != IntakeState.LOADED:
        intake.created = intake.updated = intake.unchanged = intake.vouchers = 0
        intake.pk = None
        intake.save(force_insert=True)
    return intake


@contextmanager
def _database_errors() -> Iterator[None]:
    """No error of the database reaches a caller raw: what it says is for the log, whose reference the caller gets."""
    try:
        yield
    except DatabaseError as error:
        reference = secrets.token_hex(4).upper()
        logger.error("intake refused by the database, reference %s", reference, exc_info=error)
        raise PayopsError(
            "orders.database_refused",
            _(
                "The database refused the load, and nothing of it was taken. Load it again; "
                "if it is refused once more, give reference %(ref)s to the operator of the system."
            )
            % {"ref": reference},
            {"reference": reference, **({"retryable": True} if isinstance(error, OperationalError) else {})},
        ) from error


def _file_fault(error: PayopsError) -> dict[str, Any]:
    return {
        "line": error.context.get("line", 0),
        "field": "",
        "value": "",
        "code": error.code,
        "reason": storable(str(error.message)),
    }


class _Load:
    """One load, step by step; lives inside one transaction."""

    def __init__(self, days: Days, user: str, intake: Intake) -> None:
        self.days, self.user, self.intake = days, user, intake
        self.faults = _Faults()
        self.partition = partition_name(Transaction, days.open_day)
        self.rows = 0
        self.invalid_numbers: set[str] = set()
        self.refused_alone: list[dict[str, Any]] = []
        self.refused_alone_count = 0

    def run(self, received: Received) -> None:
        """All steps in order; raises FileRefused or FileError, and the transaction ends with nothing taken."""
        self._stream(received)
        # From here on rows of other loads must be visible: two loads take turns, parsing does not.
        xact_lock(LOCK, "all")
        self._hold_days()
        self._plan()
        self._count()
        self._refunds()
        self._write()
        self._open_list()
        self._returns()
        self._post()
        with connection.cursor() as cursor:
            cursor.execute(sql.INTAKE_DROP)
        self.intake.rows = self.rows
        self.intake.refused = self.refused_alone
        self.intake.refused_count = self.refused_alone_count

    # -- reading -----------------------------------------------------------------------------------------------------

    def _stream(self, received: Received) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.INTAKE_ROW)
        reader = RowReader(self.days)
        copy_text("intake_row", COPY_COLUMNS, self._chunks(read_rows(received), reader))
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE intake_row")

    def _chunks(self, rows: Iterator[Row | RowError], reader: RowReader) -> Iterator[bytes]:
        pending: list[str] = []
        for row in rows:
            self.rows += 1
            if isinstance(row, RowError):
                self.faults.add(row.as_row())
                continue
            try:
                pending.append(reader.copy_line(*row))
            except RowError as error:
                self.faults.add(error.as_row())
                if len(self.invalid_numbers) < MAX_NUMBERS:
                    self.invalid_numbers.add(row[1][0])
                continue
            if len(pending) >= _CHUNK_LINES:
                yield ("\n".join(pending) + "\n").encode()
                pending.clear()
        if pending:
            yield ("\n".join(pending) + "\n").encode()

    def _hold_days(self) -> None:
        """No day closes from here on until the load is committed; rows of one that closed meanwhile go to the open day.

        A row that appeared on a closed day would be in no run and no clearing any more.
        """
        now = self.days
        while True:
            ledger.days_hold(now.bookable)
            held, now = now.bookable, Days.load()
            if now.bookable <= held:
                break
        closed = sorted(self.days.bookable - now.bookable)
        if closed:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE intake_row SET own_date = %s WHERE own_date = ANY(%s)", [now.open_day, closed])
        if now.open_day != self.days.open_day:
            ensure_day(now.open_day)
            self.partition = partition_name(Transaction, now.open_day)
        self.days = now

    # -- planning ----------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.INTAKE_REPEATS)
            if cursor.rowcount > 0:
                cursor.execute(sql.REPEAT_CLASHES)
                self._refuse_alone(clashes := cursor.fetchall())
                cursor.execute(sql.REPEATS_OUT)
                self.intake.unchanged = cursor.rowcount - len(clashes)
            cursor.execute(sql.INTAKE_KNOWN)
            known = cursor.rowcount
            cursor.execute("ANALYZE intake_known")
            cursor.execute(sql.INTAKE_STORED)
            if known:
                cursor.execute(sql.INTAKE_KNOWN_DAYS)
                for (code,) in cursor.fetchall():
                    cursor.execute(sql.INTAKE_STORED_DAY.format(**_bounds(code)))
            cursor.execute("ANALYZE intake_stored")
            cursor.execute(sql.INTAKE_AWAY)
            if cursor.rowcount > 0:
                cursor.execute(sql.AWAY_ROWS, [MAX_LISTED])
                away = cursor.fetchall()
                cursor.execute(sql.AWAY_OUT)
                self._refuse_away(away, cursor.rowcount)
            cursor.execute(sql.INTAKE_PLAN.format(FLOOR=day_floor(self.days.open_day)))
            # With its key, whatever the planner makes of the day's statistics, nothing becomes quadratic.
            cursor.execute("ALTER TABLE intake_plan ADD PRIMARY KEY (id)")
            cursor.execute("ANALYZE intake_plan")

    def _count(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.PLAN_COUNTS)
            created, updated, unchanged, clashes = cursor.fetchone()
            if clashes:
                cursor.execute(sql.PLAN_CLASHES, [MAX_LISTED])
                self._refuse_alone(cursor.fetchall(), clashes)
        self.intake.created, self.intake.updated = created, updated
        self.intake.unchanged += unchanged

    def _refuse_alone(self, rows: list[tuple[Any, ...]], count: int | None = None) -> None:
        self.refused_alone_count += len(rows) if count is None else count
        for line, field, ours, theirs in rows[: MAX_LISTED - len(self.refused_alone)]:
            value, stored = _shown(field, ours), _shown(field, theirs)
            self.refused_alone.append(
                {
                    "line": line,
                    "transaction_no": _record(ours)["transaction_no"],
                    "field": field,
                    "value": value,
                    "stored": stored,
                    "code": "intake.contradiction",
                    "reason": _(
                        "It says “%(value)s”, but “%(stored)s” is recorded and final. "
                        "The record stays; ask the payment core which one is right."
                    )
                    % {"value": value, "stored": stored},
                }
            )

    def _refuse_away(self, rows: list[tuple[int, str, dt.date]], count: int) -> None:
        """What cannot be compared is not taken for the same: a person sees that the row was sent again."""
        self.refused_alone_count += count
        for line, number, day in rows[: MAX_LISTED - len(self.refused_alone)]:
            self.refused_alone.append(
                {
                    "line": line,
                    "transaction_no": number,
                    "field": "transaction_no",
                    "value": number,
                    "stored": "",
                    "code": "intake.archived",
                    "reason": _(
                        "It was taken in on %(day)s, and that day is in the archive: it cannot be compared, and "
                        "nothing was changed. To compare it, have the day brought back "
                        "(restore_partition --date %(day)s) and load the file again."
                    )
                    % {"day": day.isoformat()},
                }
            )

    def _refunds(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.REFUND_RELEASE)
            cursor.execute(sql.INTAKE_ORIGINAL)
            cursor.execute(sql.INTAKE_REFUND)
            cursor.execute("ANALYZE intake_refund")
            cursor.execute(sql.REFUND_FAULTS)
            for row in cursor.fetchall():
                # A refund of a row that is itself invalid is not unknown: it will be there once that row is right.
                if row[1] != "original_unknown" or row[2] not in self.invalid_numbers:
                    self.faults.add(_refund_fault(*row))
        self.faults.raise_if_any()

    # -- writing -----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.INSERT_NEW.format(PARTITION=f'"{self.partition}"'))
            cursor.execute(sql.INSERT_KEYS)
            if self.intake.created >= ANALYZE_FROM:
                cursor.execute(f'ANALYZE "{self.partition}"')
            changed = 0
            cursor.execute(sql.CHANGED_DAYS)
            for (code,) in cursor.fetchall():
                cursor.execute(sql.UPDATE_FORWARD_DAY.format(**_bounds(code)))
                changed += cursor.rowcount
            if changed != self.intake.updated:
                raise PayopsError(
                    "orders.changed_meanwhile",
                    _("Some of these transactions changed while the file was read. Load it again."),
                    {"retryable": True},
                )
            cursor.execute(sql.REFUND_TOTALS)

    def _open_list(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT id / 1000000000000 FROM intake_plan WHERE clash IS NULL ORDER BY 1")
            for (code,) in cursor.fetchall():
                cursor.execute(sql.OPEN_ADD_DAY.format(JOIN=sql.PLAN_JOIN, **_bounds(code)))
                cursor.execute(sql.OPEN_DROP_DAY.format(JOIN=sql.PLAN_JOIN, **_bounds(code)))

    def _returns(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.RETURNED_REFUNDS)
            returned = [pk for (pk,) in cursor.fetchall()]
        for pk in returned:
            refund_return_create(transaction_id=pk, username=self.user)

    def _post(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql.PLAN_OWN_DATES)
            pairs = cursor.fetchall()
        # What lies ahead of the open day is posted when that day comes (`post_missing`).
        ranges = [
            (bounds["LO"], bounds["HI"], own_date)
            for code, own_date in pairs
            if own_date <= self.days.open_day and (bounds := _bounds(code))
        ]
        self.intake.vouchers = sum(vouchers.post_rows(ranges, join=sql.PLAN_JOIN, posted_by=self.user).values())


def _bounds(code: int) -> dict[str, int]:
    return {"LO": int(code) * DAY_STEP, "HI": (int(code) + 1) * DAY_STEP}


def _record(value: Any) -> dict[str, Any]:
    return json.loads(value) if isinstance(value, str) else value


def _shown(field: str, row: Any) -> str:
    """A field of a stored or streamed row as the file would write it."""
    record = _record(row)
    if field == "amount":
        return format_amount(record["amount"], record["currency"], grouping=False)
    if field == "kind":
        return KIND_TEXTS.get(record["kind"], str(record["kind"]))
    if field == "merchant_no":
        return Merchant.objects.values_list("merchant_no", flat=True).get(pk=record["merchant_id"])
    if field == "channel_account":
        return ChannelContract.objects.values_list("account_no", flat=True).get(pk=record["contract_id"])
    if field == "original_transaction_no":
        if "original_no" in record:
            return record["original_no"] or ""
        return _original_number(record["original_id"])
    column = {"channel_request_no": "match_key"}.get(field, field)
    return "" if record[column] is None else str(record[column])


def _original_number(original_id: int | None) -> str:
    if original_id is None:
        return ""
    # Not of the row itself, which may be in the archive.
    return TransactionKey.objects.values_list("transaction_no", flat=True).get(transaction_id=original_id)


def _refund_fault(
    line: int,
    fault: str,
    original_no: str,
    amount: int,
    currency: str,
    paid: int | None,
    refunded: int | None,
    original_status: str | None,
    archived_day: dt.date | None,
) -> dict[str, Any]:
    money = {
        "amount": format_amount(amount, currency),
        "paid": format_amount(paid or 0, currency),
        "refunded": format_amount(refunded or 0, currency),
        "original": original_no,
        "status": original_status or "",
        "day": archived_day.isoformat() if archived_day else "",
    }
    reasons = {
        "original_unknown": _("Transaction %(original)s is neither in this file nor recorded."),
        "original_archived": _(
            "Transaction %(original)s is in the archive. Have its day brought back (restore_partition --date %(day)s) "
            "and load the file again."
        ),
        "original_not_payment": _("Transaction %(original)s is itself a refund or void."),
        "original_other_merchant": _("Transaction %(original)s belongs to another merchant."),
        "original_other_channel": _("Transaction %(original)s went through another channel account."),
        "original_other_currency": _("Transaction %(original)s is in another currency."),
        "original_not_paid": _("Transaction %(original)s was not paid (%(status)s)."),
        "void_not_full": _("A void takes back the whole amount; %(original)s is %(paid)s."),
        "refund_above_paid": _(
            "Refunding %(amount)s would exceed what was paid: %(original)s is %(paid)s, already refunded %(refunded)s."
        ),
    }
    on_amount = fault in ("void_not_full", "refund_above_paid")
    return {
        "line": line,
        "field": "amount" if on_amount else "original_transaction_no",
        "value": money["amount"] if on_amount else original_no,
        "code": "intake." + fault,
        "reason": reasons[fault] % money,
    }
