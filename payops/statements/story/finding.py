"""From a number somebody holds in hand to the rows it is about, on our side and in the bills."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Q
from django.utils.translation import gettext as _

from payops.channels.models import BillLine
from payops.core.archive import put_away
from payops.core.errors import PayopsError
from payops.core.ids import day_of, id_range
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.selectors import reference_day
from payops.orders.models import Transaction, TransactionKey
from payops.orders.selectors import transaction_by_number
from payops.reconciliation.models import MatchLink, OpenItem

DAYS_BACK: Final = 45
"""Days of partitions a number is looked for in; each look-up is one read of an index per day."""

DAYS_READ: Final = 7
"""Channel days whose bill lines are read through for a channel trade number, which no index of theirs knows."""

DAYS_AROUND: Final = (2, 7)
"""The other half of a row lies at most so many days before and after it."""

MOST: Final = 50
"""Rows of one side that one story tells; a number of more than that is not one payment's."""


@dataclass(slots=True)
class Subjects:
    """The rows a story is about, by id."""

    transactions: dict[int, Transaction] = field(default_factory=dict)
    lines: dict[int, BillLine] = field(default_factory=dict)

    @property
    def keys(self) -> set[tuple[int, str]]:
        """Contract and matching key of every row."""
        rows = [*self.transactions.values(), *self.lines.values()]
        return {(row.contract_id, row.match_key) for row in rows}


def subjects_of(wanted: str, *, day: dt.date | None = None, read: bool = True) -> Subjects:
    """The rows a number belongs to, with the other half of each.

    `wanted` is a transaction number, a record number, a matching key (of a refund: its own number), a merchant order
    number, a channel trade number or a case number, exactly as written. `day` is the channel day to look in for what is
    older than DAYS_BACK days. With `read` the bills of a few days are read through for what no index knows; a day of a
    million lines takes tenths of a second. Raises PayopsError 'explain.not_found', or 'archive.put_away' where
    the rows are in the archive.
    """
    found = Subjects()
    first, last = _window(day)
    ways = [_by_our_number, _by_record_number, _by_case_number, _by_index, *([_by_reading] if read else [])]
    for each in ways:
        each(wanted, found, first, last)
        if found.transactions or found.lines:
            break
    else:
        if away := _put_away(wanted, day):
            raise away
        raise PayopsError(
            "explain.not_found",
            _("Nothing from %(first)s to %(last)s has the number “%(number)s”. Name the channel day if it is older.")
            % {"number": wanted, "first": first, "last": last},
            {"number": wanted},
        )
    _add_other_halves(found)
    return found


def _put_away(wanted: str, day: dt.date | None) -> PayopsError | None:
    """Whether the row of our own number, of a record number, or those of the day asked for are in the archive."""
    key = TransactionKey.objects.filter(transaction_no=wanted).first()
    if key is not None:
        return put_away(Transaction, key.transaction_id, key.transaction_id + 1)
    number = _record_number(wanted)
    if number is not None:
        return put_away(Transaction, number, number + 1) or put_away(BillLine, number, number + 1)
    if day is None:
        return None
    window = id_range(day, day)
    return put_away(Transaction, *window) or put_away(BillLine, *window)


def _record_number(wanted: str) -> int | None:
    """The id somebody wrote, None when it is none."""
    if not (wanted.isascii() and wanted.isdigit() and 15 <= len(wanted) <= 18):
        return None
    try:
        day_of(int(wanted))
    except PayopsError:
        return None
    return int(wanted)


def _window(day: dt.date | None) -> tuple[dt.date, dt.date]:
    if day is not None:
        return day - dt.timedelta(days=DAYS_AROUND[0]), day + dt.timedelta(days=DAYS_AROUND[1])
    today = reference_day()
    return today - dt.timedelta(days=DAYS_BACK), today


def _take(found: Subjects, *, transactions: Iterable[Transaction] = (), lines: Iterable[BillLine] = ()) -> None:
    found.transactions |= {row.pk: row for row in transactions}
    found.lines |= {line.pk: line for line in lines}


def _by_our_number(wanted: str, found: Subjects, _first: dt.date, _last: dt.date) -> None:
    row = transaction_by_number(wanted)
    if row is not None:
        _take(found, transactions=[row])


def _by_record_number(wanted: str, found: Subjects, _first: dt.date, _last: dt.date) -> None:
    number = _record_number(wanted)
    if number is not None:
        _take(found, transactions=_rows([number]), lines=_lines([number]))


def _by_case_number(wanted: str, found: Subjects, _first: dt.date, _last: dt.date) -> None:
    case = Discrepancy.objects.filter(case_no=wanted).first()
    if case is not None:
        _take(found, transactions=_rows([case.transaction_id]), lines=_lines([case.bill_line_id]))


def _by_index(wanted: str, found: Subjects, first: dt.date, last: dt.date) -> None:
    rows = Transaction.objects.for_days(first, last).select_related("merchant", "contract__channel")
    named = Q(match_key=wanted) | Q(merchant_order_no=wanted) | Q(channel_trade_no=wanted) & ~Q(channel_trade_no="")
    _take(found, transactions=rows.filter(named).order_by("-id")[:MOST])
    lines = BillLine.objects.for_days(first, last).filter(match_key=wanted)
    _take(found, lines=lines.order_by("-id")[:MOST])


def _by_reading(wanted: str, found: Subjects, first: dt.date, last: dt.date) -> None:
    """Trade and order numbers of the channel: the bills of a few days are read through, nothing else knows them."""
    lines = BillLine.objects.for_days(max(first, last - dt.timedelta(days=DAYS_READ + DAYS_AROUND[0])), last)
    named = Q(trade_no=wanted) | Q(order_no=wanted) | Q(request_no=wanted) | Q(original_trade_no=wanted)
    _take(found, lines=lines.filter(named).order_by("-id")[:MOST])


def _add_other_halves(found: Subjects) -> None:
    """What has the same key on the other side in these days, and what a run or a case linked."""
    days = [day_of(pk) for pk in (*found.transactions, *found.lines)]
    days += [row.own_date for row in found.transactions.values()]
    first = min(days) - dt.timedelta(days=DAYS_AROUND[0])
    last = max(days) + dt.timedelta(days=DAYS_AROUND[1])
    by_key = Q()
    for contract_id, key in sorted(found.keys):
        by_key |= Q(contract_id=contract_id, match_key=key)
    rows = Transaction.objects.for_days(first, last).filter(by_key).select_related("merchant", "contract__channel")
    lines = BillLine.objects.for_days(first, last).filter(by_key)
    _take(found, transactions=rows.order_by("id")[:MOST], lines=lines.order_by("id")[:MOST])
    mine = Q(transaction_id__in=list(found.transactions)) | Q(bill_line_id__in=list(found.lines))
    pairs = [
        *MatchLink.objects.filter(mine).values_list("transaction_id", "bill_line_id"),
        *OpenItem.objects.filter(mine, side="pair").values_list("transaction_id", "bill_line_id"),
    ]
    _take(
        found,
        transactions=_rows([own for own, _line in pairs if own not in found.transactions]),
        lines=_lines([line for _own, line in pairs if line not in found.lines]),
    )


def _rows(ids: Iterable[int | None]) -> list[Transaction]:
    wanted = [pk for pk in ids if pk]
    if not wanted:
        return []
    return list(Transaction.objects.filter(pk__in=wanted).select_related("merchant", "contract__channel"))


def _lines(ids: Iterable[int | None]) -> list[BillLine]:
    wanted = [pk for pk in ids if pk]
    return list(BillLine.objects.filter(pk__in=wanted)) if wanted else []
