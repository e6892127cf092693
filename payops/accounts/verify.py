"""Recomputes the closed books from the entries and says what does not fit first (`manage.py verify_ledger`)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from payops.accounts import sql
from payops.accounts.choices import DayState
from payops.accounts.days import day_digests, day_seal
from payops.accounts.models import AccountingDay, Entry, Voucher
from payops.accounts.periods import day_results_problems
from payops.core.archive import archive_read_back, archived_on
from payops.core.errors import PayopsError
from payops.core.ids import id_range

ONE_DAY = dt.timedelta(days=1)


@dataclass(slots=True)
class VerifyReport:
    """What was looked at, and sentences about what does not fit: oldest day first, first row of each kind.

    `archived` says of which days vouchers or entries lie in files: there the seal is proved from the register.
    """

    days: int = 0
    entries: int = 0
    archived: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def ledger_verify(
    first_day: dt.date | None = None, last_day: dt.date | None = None, *, read_files: bool = False
) -> VerifyReport:
    """Check closed days: every voucher whole and balanced, balances made of entries, chain of seals unbroken.

    Without days, all of them. Reads only. Of archived vouchers and entries the register keeps what the seal holds of
    them, so the chain is proved across them; `read_files` also reads their files. Then the stored balances are compared
    with everything booked.
    """
    report = VerifyReport()
    days = AccountingDay.objects.filter(state=DayState.CLOSED).order_by("day")
    if first_day:
        days = days.filter(day__gte=first_day)
    if last_day:
        days = days.filter(day__lte=last_day)
    for row in days:
        report.days += 1
        lo, hi = id_range(row.day, row.day)
        digests = day_digests(row.day)
        archived = _archived(row.day, report, read_files=read_files)
        digests |= archived
        if not archived:
            _vouchers(row.day, lo, hi, report)
            report.problems += day_results_problems(row.day)
        if "entries" not in archived:
            _balances(row.day, lo, hi, report)
        report.entries += digests["entries"]["rows"]
        before = AccountingDay.objects.filter(day__lt=row.day).order_by("-day").first()
        if day_seal(row.day, before.seal if before else "", digests) != row.seal:
            report.problems.append(f"{row.day.isoformat()}: the seal does not fit what the day holds")
    _stored(report)
    return report


def _archived(day: dt.date, report: VerifyReport, *, read_files: bool) -> dict[str, dict[str, Any]]:
    """What the seal holds of the day's archived rows, from the register of the archive."""
    digests = {}
    for name, model in (("vouchers", Voucher), ("entries", Entry)):
        for partition in archived_on(model, day):
            report.archived.append(f"{day.isoformat()}: {partition.rows} {name} are in the archive ({partition.path})")
            digests[name] = partition.ledger_digest or {"rows": 0, "digest": ""}
            if read_files:
                try:
                    archive_read_back(partition)
                except PayopsError as error:
                    report.problems.append(f"{day.isoformat()}: {error}")
    return digests


def _first(report: VerifyReport, statement: str, parameters: dict[str, object], sentence: str) -> None:
    rows = sql.fetch(statement, parameters)
    if rows:
        report.problems.append(sentence.format(**rows[0]))


def _vouchers(day: dt.date, lo: int, hi: int, report: VerifyReport) -> None:
    _first(
        report,
        sql.bounded(sql.BROKEN_VOUCHER, lo, hi),
        {},
        day.isoformat() + ": voucher {voucher} has {lines} of {line_count} lines and is off by {difference}",
    )


def _balances(day: dt.date, lo: int, hi: int, report: VerifyReport) -> None:
    _first(
        report,
        sql.bounded(sql.BROKEN_DAY_BALANCE, lo, hi),
        {"day": day, "before": day - ONE_DAY},
        day.isoformat() + ": day balance of {account_no} is not its opening plus its entries",
    )


def _stored(report: VerifyReport) -> None:
    closed = AccountingDay.objects.filter(state=DayState.CLOSED).order_by("-day").first()
    newest = AccountingDay.objects.order_by("-day").first()
    if newest is None:
        return
    first = closed.day + ONE_DAY if closed else AccountingDay.objects.order_by("day").first().day  # type: ignore[union-attr]
    lo, hi = id_range(first, max(first, newest.day))
    _first(
        report,
        sql.with_open_days(sql.bounded(sql.BALANCE_DIFFERENCES, lo, hi)),
        {"day": closed.day if closed else None},
        "account {account_no} shows {stored}, its entries make {computed}",
    )
