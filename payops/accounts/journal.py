"""The journal for plain-text accounting programs, so that an outside program can recompute every balance (DOMAIN 13).

Streaming: memory holds the accounts and one chunk of vouchers, whatever the range. Everything is read in one snapshot,
so that days still open may be exported while they are booked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from payops.accounts import sql
from payops.accounts.chart import dotted
from payops.accounts.choices import DayState, Element, Event, Side
from payops.accounts.journal_formats import (
    MEMORANDUM,
    JournalAccount,
    JournalFormat,
    JournalLine,
    JournalVoucher,
    account_name,
    format_get,
)
from payops.accounts.models import Account, AccountingDay
from payops.accounts.selectors import entries_require, last_closed_day
from payops.core.errors import PayopsError
from payops.core.ids import day_floor, id_range
from payops.core.institution import get_institution

ONE_DAY: Final = dt.timedelta(days=1)
CHUNK: Final = 5_000
ASSERTIONS: Final = ("day", "end", "none")

Progress = Callable[[int, int], None]
"""(days done, days in all), called after each day."""

# Net balances, debit positive, at the end of a day: the last closed day's and what was booked since.
_NET_BALANCES: Final = """
SELECT a.id, (CASE s.normal_side WHEN 'D' THEN 1 ELSE -1 END * coalesce(b.closing, 0) + coalesce(t.net, 0))::bigint,
    coalesce(t.today, false) OR coalesce(b.debit <> 0 OR b.credit <> 0, false) AND %(base)s::date = %(day)s::date
FROM accounts_account a JOIN accounts_subject s ON s.id = a.subject_id
LEFT JOIN accounts_daybalance b ON b.account_id = a.id AND b.day = %(base)s
LEFT JOIN (
    SELECT account_id, sum(CASE side WHEN 'D' THEN amount ELSE -amount END) AS net, bool_or(id >= %(floor)s) AS today
    FROM accounts_entry WHERE id >= {lo} AND id < {hi} GROUP BY account_id
) t ON t.account_id = a.id
ORDER BY a.id
"""
_VOUCHERS: Final = """
SELECT id, event, source_kind, source_id, business_date, memo, posted_at, posted_by FROM accounts_voucher
WHERE id > %(after)s AND id >= {lo} AND id < {hi} ORDER BY id LIMIT %(limit)s
"""
_ENTRIES: Final = "SELECT id, account_id, side, amount FROM accounts_entry WHERE id >= {lo} AND id < {hi} ORDER BY id"


@dataclass(slots=True)
class JournalSummary:
    """What was written."""

    first_day: dt.date
    last_day: dt.date
    days: int = 0
    vouchers: int = 0
    entries: int = 0


def journal_range(first: dt.date | None, last: dt.date | None) -> list[dt.date]:
    """The accounting days from `first` to `last`, both included; by default all there are ('journal.no_days')."""
    days = AccountingDay.objects.order_by("day")
    if first:
        days = days.filter(day__gte=first)
    if last:
        days = days.filter(day__lte=last)
    found = list(days.values_list("day", flat=True))
    if not found:
        raise PayopsError(
            "journal.no_days",
            _("No accounting day lies between %(first)s and %(last)s.") % {"first": first or "…", "last": last or "…"},
        )
    return found


def journal_write(
    write: Callable[[str], Any],
    *,
    form: str,
    first: dt.date | None = None,
    last: dt.date | None = None,
    assertions: str = "day",
    progress: Progress | None = None,
) -> JournalSummary:
    """Write the journal of a range of days, closed or not; returns what went into it.

    `form` is 'beancount' or 'hledger'. `assertions`: 'day' (accounts moved, at the end of each day), 'end' or 'none';
    the first two assert every account at the end of the range. Raises PayopsError 'journal.no_days',
    'journal.format_unknown' and 'archive.put_away'.
    """
    written = format_get(form)
    with _snapshot():
        days = journal_range(first, last)
        entries_require(days[0], days[-1])
        summary = JournalSummary(days[0], days[-1])
        for text in _head(written, days[0]):
            write(text)
        accounts = _accounts()
        for text in _opening(written, days[0], accounts):
            write(text)
        labels = _event_labels()
        for day in days:
            for voucher in _vouchers(day, accounts, labels):
                summary.vouchers += 1
                summary.entries += len(voucher.lines)
                write(written.voucher(voucher))
            if assertions != "none" and (assertions == "day" or day == days[-1]):
                for text in written.assertions(day, _closing(day, accounts, every=day == days[-1])):
                    write(text)
            summary.days += 1
            if progress is not None:
                progress(summary.days, len(days))
    return summary


def _snapshot() -> AbstractContextManager[None]:
    """One state of the books for all reads; inside a caller's transaction that one's."""
    return nullcontext() if connection.in_atomic_block else _own_snapshot()


@contextmanager
def _own_snapshot() -> Iterator[None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _event_labels() -> dict[int, str]:
    """In English whoever asks: the same books give the same file."""
    with translation.override("en"):
        return {event.value: str(event.label) for event in Event}


def _head(written: JournalFormat, first: dt.date) -> Iterator[str]:
    institution = get_institution()
    currencies = sorted(Account.objects.order_by().values_list("currency", flat=True).distinct())
    yield from written.head(institution.name, institution.base_currency, currencies)
    before = first - ONE_DAY
    yield written.account(before, MEMORANDUM, [])
    named: dict[str, list[JournalAccount]] = {}
    for account in _accounts().values():
        named.setdefault(account.name, []).append(account)
    for name in sorted(named):
        yield written.account(before, name, named[name])


def _accounts() -> dict[int, JournalAccount]:
    rows = Account.objects.select_related("subject").order_by("id")
    return {
        row.pk: JournalAccount(
            name=account_name(
                row.subject.element, row.subject.normal_side, row.subject.code, row.owner_kind, row.owner_no
            ),
            account_no=row.account_no,
            subject=f"{dotted(row.subject.code)} {row.subject.name}",
            currency=row.currency,
            memo=row.subject.element == Element.MEMO,
        )
        for row in rows.iterator(chunk_size=2000)
    }


def _opening(written: JournalFormat, first: dt.date, accounts: dict[int, JournalAccount]) -> Iterator[str]:
    before = first - ONE_DAY
    if not AccountingDay.objects.filter(day__lt=first).exists():
        return
    by_currency: dict[str, list[tuple[JournalAccount, int]]] = {}
    for account, amount in _closing(before, accounts, every=True):
        if amount:
            by_currency.setdefault(account.currency, []).append((account, amount))
    for currency in sorted(by_currency):
        yield from written.opening(before, currency, by_currency[currency])


def _closing(day: dt.date, accounts: dict[int, JournalAccount], *, every: bool) -> Iterable[tuple[JournalAccount, int]]:
    """Balances at the end of a day, debit positive; only of accounts that moved on it, unless `every` one is asked."""
    closed = AccountingDay.objects.filter(day=day, state=DayState.CLOSED).exists()
    base = day if closed else last_closed_day(before=day)
    first = base + ONE_DAY if base else AccountingDay.objects.order_by("day").values_list("day", flat=True)[0]
    lo, hi = id_range(first, day) if first <= day else (0, 0)
    with connection.cursor() as cursor:
        cursor.execute(sql.bounded(_NET_BALANCES, lo, hi), {"base": base, "day": day, "floor": day_floor(day)})
        for account_id, net, moved in cursor:
            if every or moved:
                yield accounts[account_id], net


def _vouchers(day: dt.date, accounts: dict[int, JournalAccount], labels: dict[int, str]) -> Iterator[JournalVoucher]:
    lo, hi = id_range(day, day)
    after = lo - 1
    while True:
        heads = sql.fetch(sql.bounded(_VOUCHERS, lo, hi), {"after": after, "limit": CHUNK})
        if not heads:
            return
        after = heads[-1]["id"]
        lines = _lines(heads[0]["id"], after + 1000, accounts)
        for head in heads:
            yield JournalVoucher(
                id=head["id"],
                day=day,
                event=head["event"],
                event_label=labels.get(head["event"], str(head["event"])),
                source=f"{head['source_kind']}-{head['source_id']}",
                business_date=head["business_date"],
                posted_at=head["posted_at"],
                posted_by=head["posted_by"],
                memo=head["memo"],
                lines=lines.get(head["id"], []),
            )


def _lines(lo: int, hi: int, accounts: dict[int, JournalAccount]) -> dict[int, list[JournalLine]]:
    """Entries of the vouchers of an id range, by voucher."""
    found: dict[int, list[JournalLine]] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql.bounded(_ENTRIES, lo, hi))
        for entry_id, account_id, side, amount in cursor:
            signed = amount if side == Side.DEBIT else -amount
            line = JournalLine(accounts[account_id], signed, side if amount < 0 else "")
            found.setdefault(entry_id - entry_id % 1000, []).append(line)
    return found
