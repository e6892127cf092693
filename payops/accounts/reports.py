"""The ledger's reports: rows with amounts in minor units, read from what the close left behind (DOMAIN 13).

A closed day is read from its day balances, day totals and period balances, never from its entries; entries are read
only for days not closed yet and where a report lists entries. Balances stand on the subject's normal side, turnovers
are plain sums of debits and credits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.accounts import sql
from payops.accounts.chart import normalised
from payops.accounts.choices import DayState, Side
from payops.accounts.models import Account, AccountingDay, Freeze, PeriodBalance, Subject
from payops.accounts.periods import PERIOD_KINDS, Period, period_of
from payops.accounts.selectors import (
    LedgerRow,
    TrialBalanceRow,
    balance_at_end_of,
    day_is_closed,
    entries_require,
    last_closed_day,
    trial_balance,
)
from payops.core.errors import PayopsError
from payops.core.ids import day_of, id_range

ONE_DAY: Final = dt.timedelta(days=1)
CHUNK: Final = 5_000

DaySums = dict[tuple[dt.date, str], tuple[int, int]]
"""Debit and credit by day and currency."""


def account_by_number(account_no: str) -> Account:
    """The account with its subject; PayopsError 'ledger.unknown_account'."""
    account = Account.objects.select_related("subject").filter(account_no=account_no).first()
    if account is None:
        raise PayopsError(
            "ledger.unknown_account",
            _("There is no account “%(account)s”. Check its number.") % {"account": account_no},
            {"account_no": account_no},
        )
    return account


def subject_by_code(code: str) -> Subject:
    """The subject of a code with or without dots; PayopsError 'ledger.subject_unknown'."""
    subject = Subject.objects.filter(code=normalised(code)).first()
    if subject is None:
        raise PayopsError(
            "ledger.subject_unknown",
            _("Subject %(code)s is not in the chart of accounts.") % {"code": code},
            {"subject": code},
        )
    return subject


def rolled_up(rows: Iterable[TrialBalanceRow], level: int) -> list[TrialBalanceRow]:
    """Rows summed up to a level of the chart (1 = four digits); what stands higher stays as it is."""
    length = 2 + 2 * level
    subjects = {subject.code: subject for subject in Subject.objects.all()}
    sums: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        subject = subjects[row.code[:length]]
        # A subject may sum sub-subjects of the other normal side (3001): theirs count against it.
        sign = 1 if row.normal_side == subject.normal_side else -1
        total = sums.setdefault((subject.code, row.currency), [0, 0, 0, 0])
        for at, value in enumerate((sign * row.opening, row.debit, row.credit, sign * row.closing)):
            total[at] += value
    return [_balance_row(subjects[code], currency, sums[code, currency]) for code, currency in sorted(sums)]


def _balance_row(subject: Subject, currency: str, figures: list[int]) -> TrialBalanceRow:
    return TrialBalanceRow(
        subject.code,
        subject.name,
        subject.name_zh,
        subject.element,
        subject.normal_side,
        currency,
        (len(subject.code) - 2) // 2,
        *figures,
    )


# --- subject daily sheet ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DailySheetRow:
    """One subject in one currency on one day: its balances, and its turnover with the number of entries."""

    balance: TrialBalanceRow
    debit_count: int
    credit_count: int

    @property
    def currency(self) -> str:
        """The currency of all amounts."""
        return self.balance.currency


_COUNTS_OF_ENTRIES: Final = """
SELECT s.code, e.currency, count(*) FILTER (WHERE e.side = 'D') AS debit_count,
    count(*) FILTER (WHERE e.side = 'C') AS credit_count
FROM accounts_entry e JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
WHERE e.id >= {lo} AND e.id < {hi} GROUP BY s.code, e.currency
"""
_COUNTS_OF_TOTALS: Final = """
SELECT s.code, t.currency, sum(t.debit_count)::bigint AS debit_count, sum(t.credit_count)::bigint AS credit_count
FROM accounts_daytotal t JOIN accounts_subject s ON s.id = t.subject_id
WHERE t.day = %(day)s GROUP BY s.code, t.currency
"""


def subject_daily_sheet(day: dt.date, *, level: int | None = None) -> list[DailySheetRow]:
    """The subject daily sheet (日计表) of an accounting day, closed or not; leaf subjects unless a level is given."""
    closed = day_is_closed(day)
    statement = _COUNTS_OF_TOTALS if closed else sql.bounded(_COUNTS_OF_ENTRIES, *id_range(day, day))
    counts: dict[tuple[str, str], list[int]] = {}
    length = 10 if level is None else 2 + 2 * level
    for row in sql.fetch(statement, {"day": day}):
        total = counts.setdefault((row["code"][:length], row["currency"]), [0, 0])
        total[0] += row["debit_count"]
        total[1] += row["credit_count"]
    return [
        DailySheetRow(row, *counts.get((row.code, row.currency), (0, 0))) for row in trial_balance(day, level=level)
    ]


# --- general ledger ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GeneralLedgerRow:
    """A subject in one currency on one day."""

    day: dt.date
    currency: str
    opening: int
    debit: int
    credit: int
    closing: int


@dataclass(frozen=True, slots=True)
class GeneralLedger:
    """A subject in one currency over a range of days, with a row for every accounting day."""

    subject: Subject
    currency: str
    opening: int
    debit: int
    credit: int
    closing: int
    rows: tuple[GeneralLedgerRow, ...]


_SUBJECT_CLOSING: Final = """
SELECT a.currency, sum(CASE s.normal_side WHEN %(side)s THEN b.closing ELSE -b.closing END)::bigint AS closing
FROM accounts_daybalance b JOIN accounts_account a ON a.id = b.account_id JOIN accounts_subject s ON s.id = a.subject_id
WHERE b.day = %(base)s AND s.code LIKE %(prefix)s GROUP BY a.currency
"""
_SUBJECT_TOTALS: Final = """
SELECT t.day, t.currency, sum(t.debit)::bigint AS debit, sum(t.credit)::bigint AS credit
FROM accounts_daytotal t JOIN accounts_subject s ON s.id = t.subject_id
WHERE t.day BETWEEN %(first)s AND %(last)s AND s.code LIKE %(prefix)s GROUP BY t.day, t.currency
"""
_SUBJECT_ENTRIES: Final = """
SELECT e.id / 1000000000000 AS code, e.currency,
    coalesce(sum(e.amount) FILTER (WHERE e.side = 'D'), 0)::bigint AS debit,
    coalesce(sum(e.amount) FILTER (WHERE e.side = 'C'), 0)::bigint AS credit
FROM accounts_entry e JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
WHERE e.id >= {lo} AND e.id < {hi} AND s.code LIKE %(prefix)s GROUP BY 1, 2
"""


def general_ledger(subject: Subject, first: dt.date, last: dt.date) -> list[GeneralLedger]:
    """The general ledger (总账) of a subject and all below it: day by day, one part per currency."""
    days = _accounting_days(first, last)
    base = last_closed_day(before=first)
    moved = _subject_moved(subject, base, last)
    opening = {row["currency"]: row["closing"] for row in _subject_closing(subject, base)}
    parts = []
    for currency in sorted({*opening, *(currency for _day, currency in moved)}):
        balance = opening.get(currency, 0)
        # Days cut off but not closed before the range are part of its opening.
        for (day, each), (debit, credit) in sorted(moved.items()):
            if each == currency and day < first:
                balance += _signed(subject, debit, credit)
        parts.append(_general_ledger(subject, currency, balance, days, moved))
    return parts


def _general_ledger(
    subject: Subject,
    currency: str,
    opening: int,
    days: list[dt.date],
    moved: dict[tuple[dt.date, str], tuple[int, int]],
) -> GeneralLedger:
    rows = []
    balance = opening
    for day in days:
        debit, credit = moved.get((day, currency), (0, 0))
        closing = balance + _signed(subject, debit, credit)
        rows.append(GeneralLedgerRow(day, currency, balance, debit, credit, closing))
        balance = closing
    debits, credits = sum(row.debit for row in rows), sum(row.credit for row in rows)
    return GeneralLedger(subject, currency, opening, debits, credits, balance, tuple(rows))


def _signed(subject: Subject, debit: int, credit: int) -> int:
    return debit - credit if subject.normal_side == Side.DEBIT else credit - debit


def _accounting_days(first: dt.date, last: dt.date) -> list[dt.date]:
    return list(AccountingDay.objects.filter(day__range=(first, last)).order_by("day").values_list("day", flat=True))


def _subject_closing(subject: Subject, base: dt.date | None) -> list[dict[str, Any]]:
    parameters = {"base": base, "prefix": f"{subject.code}%", "side": subject.normal_side}
    return sql.fetch(_SUBJECT_CLOSING, parameters) if base else []


def _subject_moved(subject: Subject, base: dt.date | None, last: dt.date) -> dict[tuple[dt.date, str], tuple[int, int]]:
    """Debit and credit of each day after `base`: closed days from their totals, the others from their entries."""
    first = base + ONE_DAY if base else dt.date.min
    prefix = f"{subject.code}%"
    rows = sql.fetch(_SUBJECT_TOTALS, {"first": first, "last": last, "prefix": prefix})
    moved = {(row["day"], row["currency"]): (row["debit"], row["credit"]) for row in rows}
    waiting = AccountingDay.objects.exclude(state=DayState.CLOSED).filter(day__range=(first, last)).order_by("day")
    days = list(waiting.values_list("day", flat=True))
    if days:
        statement = sql.bounded(_SUBJECT_ENTRIES, *id_range(days[0], days[-1]))
        for row in sql.fetch(statement, {"prefix": prefix}):
            day = day_of(row["code"] * 10**12)
            moved[day, row["currency"]] = (row["debit"], row["credit"])
    return moved


# --- an account -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountDayRow:
    """One account on one accounting day."""

    day: dt.date
    account: Account
    opening: int
    debit: int
    credit: int
    closing: int

    @property
    def currency(self) -> str:
        """The currency of all amounts."""
        return self.account.currency


_ACCOUNT_DAYS: Final = (
    "SELECT day, opening, debit, credit, closing FROM accounts_daybalance"
    " WHERE account_id = %(account)s AND day BETWEEN %(first)s AND %(last)s"
)
_ACCOUNT_OPEN_DAYS: Final = """
SELECT id / 1000000000000 AS code, coalesce(sum(amount) FILTER (WHERE side = 'D'), 0)::bigint AS debit,
    coalesce(sum(amount) FILTER (WHERE side = 'C'), 0)::bigint AS credit
FROM accounts_entry WHERE account_id = %(account)s AND id >= {lo} AND id < {hi} GROUP BY 1
"""


def account_days(account: Account, first: dt.date, last: dt.date) -> list[AccountDayRow]:
    """The account's day balances: a row for every accounting day of the range, closed or not."""
    days = dict(AccountingDay.objects.filter(day__range=(first, last)).order_by("day").values_list("day", "state"))
    parameters = {"account": account.pk, "first": first, "last": last}
    stored = {row.pop("day"): row for row in sql.fetch(_ACCOUNT_DAYS, parameters)}
    waiting = [day for day, state in days.items() if state != DayState.CLOSED]
    moved: dict[dt.date, dict[str, int]] = {}
    if waiting:
        statement = sql.bounded(_ACCOUNT_OPEN_DAYS, *id_range(waiting[0], waiting[-1]))
        moved = {day_of(row["code"] * 10**12): row for row in sql.fetch(statement, parameters)}
    rows: list[AccountDayRow] = []
    for day in days:
        if day not in waiting:
            figures = stored.get(day, {"opening": 0, "debit": 0, "credit": 0, "closing": 0})
            rows.append(AccountDayRow(day, account, **figures))
            continue
        opening = rows[-1].closing if rows else balance_at_end_of(account, day - ONE_DAY)
        debit, credit = (moved[day]["debit"], moved[day]["credit"]) if day in moved else (0, 0)
        rows.append(
            AccountDayRow(day, account, opening, debit, credit, opening + _signed(account.subject, debit, credit))
        )
    return rows


_ENTRIES_OF_ACCOUNT: Final = """
SELECT e.id, e.side, e.amount, e.event, v.source_kind, v.source_id, v.business_date, v.memo, v.posted_at
FROM (
    SELECT * FROM accounts_entry
    WHERE account_id = %(account)s AND id > %(after)s AND id >= {lo} AND id < {hi} ORDER BY id LIMIT %(limit)s
) e
JOIN (SELECT * FROM accounts_voucher WHERE id >= {lo} AND id < {hi}) v ON v.id = e.id - e.id %% 1000
ORDER BY e.id
"""


def account_ledger_rows(account: Account, first: dt.date, last: dt.date) -> Iterator[LedgerRow]:
    """The account's entries with the balance after each, streamed: memory does not grow with the range.

    Raises PayopsError 'archive.put_away', before anything is streamed.
    """
    entries_require(first, last)
    return _ledger_rows(account, first, last)


def _ledger_rows(account: Account, first: dt.date, last: dt.date) -> Iterator[LedgerRow]:
    balance = balance_at_end_of(account, first - ONE_DAY)
    for day in _accounting_days(first, last):
        lo, hi = id_range(day, day)
        after = lo - 1
        statement = sql.bounded(_ENTRIES_OF_ACCOUNT, lo, hi)
        while rows := sql.fetch(statement, {"account": account.pk, "after": after, "limit": CHUNK}):
            after = rows[-1]["id"]
            for row in rows:
                balance += row["amount"] if row["side"] == account.subject.normal_side else -row["amount"]
                entry_id = row.pop("id")
                yield LedgerRow(
                    entry_id=entry_id, voucher_id=entry_id - entry_id % 1000, day=day, balance=balance, **row
                )


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """An account's balance at a moment: the closing of the last day closed by then, and what was posted since."""

    account: Account
    moment: dt.datetime
    base_day: dt.date | None
    base: int
    entries: int
    debit: int
    credit: int

    @property
    def balance(self) -> int:
        """On the subject's normal side, minor units."""
        return self.base + _signed(self.account.subject, self.debit, self.credit)


_POSTED_UNTIL: Final = """
SELECT count(*) AS entries, coalesce(sum(e.amount) FILTER (WHERE e.side = 'D'), 0)::bigint AS debit,
    coalesce(sum(e.amount) FILTER (WHERE e.side = 'C'), 0)::bigint AS credit
FROM accounts_entry e
JOIN (SELECT id FROM accounts_voucher WHERE id >= {lo} AND id < {hi} AND posted_at <= %(moment)s) v
    ON v.id = e.id - e.id %% 1000
WHERE e.account_id = %(account)s AND e.id >= {lo} AND e.id < {hi}
"""


def balance_at(account: Account, moment: dt.datetime) -> BalanceAt:
    """What the account held at a moment, by posting time, however its stored balance follows (real-time or not).

    A day closed by then counts with its day balance; entries of later days count when they were posted by then. Raises
    PayopsError 'archive.put_away'.
    """
    closed = AccountingDay.objects.filter(state=DayState.CLOSED, closed_at__lte=moment)
    base_day = closed.order_by("-day").values_list("day", flat=True).first()
    base = balance_at_end_of(account, base_day) if base_day else 0
    began = AccountingDay.objects.filter(opened_at__lte=moment).order_by("day")
    if base_day:
        began = began.filter(day__gt=base_day)
    days = list(began.values_list("day", flat=True))
    figures = {"entries": 0, "debit": 0, "credit": 0}
    if days:
        entries_require(days[0], days[-1])
        statement = sql.bounded(_POSTED_UNTIL, *id_range(days[0], days[-1]))
        (figures,) = sql.fetch(statement, {"account": account.pk, "moment": moment})
    return BalanceAt(account, moment, base_day, base, **figures)


# --- all accounts of a day or a period --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountBalanceRow:
    """One account over a day or a period."""

    account_id: int
    account_no: str
    subject_code: str
    owner_kind: str
    owner_no: str
    currency: str
    opening: int
    debit: int
    credit: int
    closing: int


_ACCOUNT_BALANCES: Final = """
SELECT b.account_id, a.account_no, s.code AS subject_code, a.owner_kind, a.owner_no, a.currency,
    b.opening, b.debit, b.credit, b.closing
FROM {table} b JOIN accounts_account a ON a.id = b.account_id JOIN accounts_subject s ON s.id = a.subject_id
WHERE {which} AND b.account_id > %(after)s AND s.code LIKE %(prefix)s
ORDER BY b.account_id LIMIT %(limit)s
"""
_OF_DAY: Final = _ACCOUNT_BALANCES.replace("{table}", "accounts_daybalance").replace("{which}", "b.day = %(day)s")
_OF_PERIOD: Final = _ACCOUNT_BALANCES.replace("{table}", "accounts_periodbalance").replace(
    "{which}", "b.kind = %(kind)s AND b.first_day = %(first)s"
)


def day_balances(day: dt.date, *, subject: str = "") -> Iterator[AccountBalanceRow]:
    """Every account with a balance or a movement on a closed day, streamed; PayopsError 'reports.day_not_closed'."""
    if not day_is_closed(day):
        raise PayopsError(
            "reports.day_not_closed",
            _("Accounting day %(day)s is not closed; day balances are written when it is.") % {"day": day},
            {"day": day.isoformat()},
        )
    return _balances(_OF_DAY, {"day": day}, subject)


def period_account_balances(period: Period, *, subject: str = "", after: int = 0) -> Iterator[AccountBalanceRow]:
    """Every account's balances over a period that has ended, streamed; none before its last day closed."""
    return _balances(_OF_PERIOD, {"kind": period.kind, "first": period.first_day}, subject, after)


def _balances(statement: str, parameters: dict[str, Any], subject: str, after: int = 0) -> Iterator[AccountBalanceRow]:
    prefix = f"{normalised(subject)}%"
    while rows := sql.fetch(statement, {**parameters, "after": after, "limit": CHUNK, "prefix": prefix}):
        for row in rows:
            yield AccountBalanceRow(**row)
        after = rows[-1]["account_id"]


# --- periods ----------------------------------------------------------------------------------------------------------

_PERIOD_SUBJECTS: Final = """
SELECT a.subject_id, a.currency, sum(b.opening)::bigint AS opening, sum(b.debit)::bigint AS debit,
    sum(b.credit)::bigint AS credit, sum(b.closing)::bigint AS closing
FROM accounts_periodbalance b JOIN accounts_account a ON a.id = b.account_id
WHERE b.kind = %(kind)s AND b.first_day = %(first)s GROUP BY a.subject_id, a.currency
"""


def periods_written() -> list[Period]:
    """Periods whose last day is closed, the newest first, shorter ones before longer ones that end with them."""
    bounds = AccountingDay.objects.filter(state=DayState.CLOSED).order_by("day").values_list("day", flat=True)
    first, last = bounds.first(), bounds.last()
    found: list[Period] = []
    for kind in PERIOD_KINDS:
        period = period_of(kind, last) if last else None
        while period is not None and period.last_day >= first:
            if period.last_day <= last:
                found.append(period)
            period = period_of(kind, period.first_day - ONE_DAY)
    return sorted(found, key=lambda each: (-each.last_day.toordinal(), PERIOD_KINDS.index(each.kind)))


def period_named(label: str) -> Period:
    """The period of a label, 2026-11, 2026-Q4 or 2026, that has ended; PayopsError 'reports.period_unknown'."""
    period = next((each for each in periods_written() if each.label == label), None)
    if period is None:
        raise PayopsError(
            "reports.period_unknown",
            _("“%(label)s” is not a period that has ended. Write a month as 2026-11, a quarter as 2026-Q4.")
            % {"label": label},
            {"period": label},
        )
    return period


def period_trial_balance(period: Period, *, level: int | None = None) -> list[TrialBalanceRow]:
    """Opening, turnover and closing of a period by subject and currency; leaf subjects unless a level is given."""
    subjects = Subject.objects.in_bulk()
    rows = sql.fetch(_PERIOD_SUBJECTS, {"kind": period.kind, "first": period.first_day})
    found = [
        _balance_row(
            subjects[row["subject_id"]],
            row["currency"],
            [row["opening"], row["debit"], row["credit"], row["closing"]],
        )
        for row in rows
    ]
    found.sort(key=lambda row: (row.code, row.currency))
    return found if level is None else rolled_up(found, level)


def period_is_empty(period: Period) -> bool:
    """Whether nothing was booked up to the period's end."""
    return not PeriodBalance.objects.filter(kind=period.kind, first_day=period.first_day).exists()


# --- freezes ----------------------------------------------------------------------------------------------------------


def freeze_register(*, in_force: bool = False) -> Iterator[Freeze]:
    """All freeze slips with their accounts in the order they were written; those in force only, if asked."""
    slips = Freeze.objects.select_related("account__subject").order_by("id")
    if in_force:
        slips = slips.filter(released_at__isnull=True)
    return slips.iterator(chunk_size=2000)
