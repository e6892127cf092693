"""Accounting days: open, cut off, close (DOMAIN 3 and 4.6). A closed day is never reopened."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import sql
from payops.accounts.buffering import apply_summary, flush_day
from payops.accounts.checks import Finding, run_checks
from payops.accounts.choices import DayState
from payops.accounts.errors import guard_errors
from payops.accounts.guards import DAY_LOCK
from payops.accounts.models import AccountingDay, DayFinding
from payops.accounts.periods import day_results_write
from payops.accounts.posting import open_accounting_day
from payops.core.errors import PayopsError
from payops.core.ids import day_code, id_range
from payops.core.locks import xact_lock, xact_locks
from payops.core.partitions import ensure_days

ONE_DAY = dt.timedelta(days=1)
PARTITIONS_AHEAD = 2


@dataclass(frozen=True, slots=True)
class CloseResult:
    """What closing a day came to; the same however often it is asked for."""

    day: dt.date
    voucher_count: int
    entry_count: int
    debit_total: dict[str, int]
    seal: str
    findings: tuple[Finding, ...]
    closed_now: bool


def day_open(day: dt.date) -> AccountingDay:
    """Open the first accounting day; later ones open at the cut-off of the day before. Idempotent.

    Raises PayopsError 'ledger.day_order' for a day that does not follow the last one, or while another is open.
    """
    ensure_days(day, day + PARTITIONS_AHEAD * ONE_DAY)
    with guard_errors(), transaction.atomic():
        xact_lock(DAY_LOCK, "open")
        return _open(day)


def _open(day: dt.date) -> AccountingDay:
    existing = AccountingDay.objects.filter(day=day).first()
    if existing is not None:
        return existing
    newest = AccountingDay.objects.order_by("-day").first()
    if newest is not None and (newest.state == DayState.OPEN or newest.day + ONE_DAY != day):
        raise PayopsError(
            "ledger.day_order",
            _("Accounting day %(day)s cannot open: the last day is %(last)s (%(state)s). Days follow one another.")
            % {"day": day, "last": newest.day, "state": newest.get_state_display()},
            {"day": day.isoformat(), "last": newest.day.isoformat(), "state": newest.state},
        )
    return AccountingDay.objects.create(day=day, state=DayState.OPEN)


def day_cut_off(day: dt.date) -> AccountingDay:
    """Cut the day off and open the next in the same moment; returns the next day. Idempotent.

    The day still takes facts completed before its cut-off until it is closed.
    """
    following = day + ONE_DAY
    ensure_days(following, following + PARTITIONS_AHEAD * ONE_DAY)
    with guard_errors(), transaction.atomic():
        xact_lock(DAY_LOCK, "open")
        # Conditional, so that of two cut-offs one does it and the other finds it done.
        changed = AccountingDay.objects.filter(day=day, state=DayState.OPEN).update(
            state=DayState.CUT_OFF, cut_off_at=timezone.now()
        )
        if not changed and not AccountingDay.objects.filter(day=day).exists():
            raise _never_opened(day)
        return _open(following)


def _never_opened(day: dt.date) -> PayopsError:
    return PayopsError(
        "ledger.day_not_open",
        _("Accounting day %(day)s was never opened.") % {"day": day},
        {"day": day.isoformat()},
    )


def days_hold(days: Iterable[dt.date]) -> None:
    """None of the days closes before the caller's transaction ends; look at their states again afterwards."""
    xact_locks(DAY_LOCK, map(day_code, days), shared=True)


def open_day_hold() -> dt.date:
    """The day that is open; whatever is dated with it is committed before it closes."""
    while True:
        day = open_accounting_day()
        days_hold([day])
        if not AccountingDay.objects.filter(day=day, state=DayState.CLOSED).exists():
            return day


def close_day(day: dt.date) -> CloseResult:
    """Close a day that was cut off: buffers flushed, day balances, checks, seal. Findings never block. Idempotent.

    Whoever is posting into the day finishes first; nobody slips in afterwards. Raises PayopsError
    'ledger.day_not_open', 'ledger.day_not_cut_off' or 'ledger.day_order' (an earlier day is not closed yet).
    """
    with guard_errors(), transaction.atomic():
        xact_lock(DAY_LOCK, day_code(day))
        row = AccountingDay.objects.select_for_update().filter(day=day).first()
        if row is None:
            raise _never_opened(day)
        if row.state == DayState.CLOSED:
            return _result(row, closed_now=False)
        before = _closable(row)
        lo, hi = id_range(day, day)
        flush_day(day)
        with connection.cursor() as cursor:
            cursor.execute(sql.bounded(sql.DAY_BALANCES, lo, hi), {"day": day, "before": day - ONE_DAY})
        day_results_write(day)
        findings = run_checks(day)
        DayFinding.objects.bulk_create(
            [
                DayFinding(day=row, check_name=f.check, level=f.level, message=f.message, context=f.context)
                for f in findings
            ]
        )
        digests = day_digests(day)
        row.seal = day_seal(day, before.seal if before else "", digests)
        row.voucher_count, row.entry_count = digests["vouchers"]["rows"], digests["entries"]["rows"]
        row.debit_total = _debit_total(lo, hi)
        # Last, with the state: until the day is closed its sums count as not in the stored balances, for everybody.
        apply_summary(day)
        row.state, row.closed_at = DayState.CLOSED, timezone.now()
        row.save(update_fields=["seal", "voucher_count", "entry_count", "debit_total", "state", "closed_at"])
        return _result(row, closed_now=True)


def _closable(row: AccountingDay) -> AccountingDay | None:
    """The day before, after refusing a day still open or out of order."""
    if row.state == DayState.OPEN:
        raise PayopsError(
            "ledger.day_not_cut_off",
            _("Accounting day %(day)s is still open. Cut it off first.") % {"day": row.day},
            {"day": row.day.isoformat()},
        )
    before = AccountingDay.objects.filter(day__lt=row.day).order_by("-day").first()
    if before is not None and before.state != DayState.CLOSED:
        raise PayopsError(
            "ledger.day_order",
            _("Close %(before)s first: the opening of %(day)s is its closing.")
            % {"before": before.day, "day": row.day},
            {"day": row.day.isoformat(), "before": before.day.isoformat()},
        )
    return before


def _debit_total(lo: int, hi: int) -> dict[str, int]:
    statement = (
        "SELECT currency, sum(amount)::bigint AS total FROM accounts_entry"
        " WHERE id >= {lo} AND id < {hi} AND side = 'D' GROUP BY currency ORDER BY currency"
    )
    return {row["currency"]: row["total"] for row in sql.fetch(sql.bounded(statement, lo, hi))}


def day_digests(day: dt.date) -> dict[str, dict[str, Any]]:
    """SHA-256 and row count of the day's vouchers, entries, balances and findings, computed by the database."""
    lo, hi = id_range(day, day)
    return {
        "vouchers": sql.fetch(sql.bounded(sql.VOUCHER_DIGEST, lo, hi))[0],
        "entries": sql.fetch(sql.bounded(sql.ENTRY_DIGEST, lo, hi))[0],
        "balances": sql.fetch(sql.BALANCE_DIGEST, {"day": day})[0],
        "findings": sql.fetch(sql.FINDING_DIGEST, {"day": day})[0],
    }


def day_seal(day: dt.date, previous_seal: str, digests: dict[str, dict[str, Any]]) -> str:
    """The link of the chain: changing anything in any closed day changes every seal after it."""
    parts = [previous_seal, day.isoformat()]
    parts += [f"{name}:{digests[name]['rows']}:{digests[name]['digest']}" for name in sorted(digests)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _result(row: AccountingDay, *, closed_now: bool) -> CloseResult:
    findings = tuple(Finding(f.check_name, f.message, f.level, f.context) for f in row.findings.all())
    return CloseResult(
        day=row.day,
        voucher_count=row.voucher_count or 0,
        entry_count=row.entry_count or 0,
        debit_total=row.debit_total or {},
        seal=row.seal,
        findings=findings,
        closed_now=closed_now,
    )
