"""Balances of accounts on a day, and an account's ledger page by page: the figures behind the trial balance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet, Sum

from payops.accounts.choices import Side
from payops.accounts.models import Account, AccountingDay, DayBalance, Entry
from payops.accounts.selectors import balance_at_end_of, day_is_closed, last_closed_day
from payops.core.ids import day_floor, id_range

ONE_DAY = dt.timedelta(days=1)


@dataclass(slots=True)
class DayFigures:
    """Opening and closing on the subject's normal side, turnovers as plain sums; minor units."""

    opening: int = 0
    debit: int = 0
    credit: int = 0
    closing: int = 0


def day_figures(day: dt.date, accounts: Iterable[Account]) -> dict[int, DayFigures]:
    """The figures of some accounts on an accounting day, closed or not; two queries however many accounts."""
    by_id = {account.pk: account for account in accounts}
    found = {pk: DayFigures() for pk in by_id}
    if not by_id:
        return found
    if day_is_closed(day):
        rows = DayBalance.objects.filter(day=day, account__in=list(by_id))
        for account_id, *values in rows.values_list("account_id", "opening", "debit", "credit", "closing"):
            found[account_id] = DayFigures(*values)
        return found
    base = last_closed_day(before=day)
    closings = DayBalance.objects.filter(day=base, account__in=list(by_id)).values_list("account_id", "closing")
    for account_id, closing in closings:
        found[account_id].opening = closing
    for row in _moved(day, base).filter(account__in=list(by_id)).values("account_id", "side", "before", "today"):
        sign = 1 if row["side"] == by_id[row["account_id"]].subject.normal_side else -1
        _add(found[row["account_id"]], row, sign)
    for figures, account in ((found[pk], by_id[pk]) for pk in by_id):
        _close(figures, account.subject.normal_side)
    return found


def subject_figures(day: dt.date, accounts: QuerySet[Account], normal_side: str) -> DayFigures:
    """The sum of `day_figures` over all accounts of a queryset under one subject, made by the database."""
    wanted = accounts.order_by().values("pk")
    if day_is_closed(day):
        sums = DayBalance.objects.filter(day=day, account__in=wanted).aggregate(
            **{name: Sum(name, default=0) for name in ("opening", "debit", "credit", "closing")}
        )
        return DayFigures(**sums)
    base = last_closed_day(before=day)
    opening = DayBalance.objects.filter(day=base, account__in=wanted).aggregate(total=Sum("closing", default=0))
    figures = DayFigures(opening=opening["total"])
    moved = _moved(day, base, "side").filter(account__in=wanted)
    for row in moved.values("side", "before", "today"):
        _add(figures, row, 1 if row["side"] == normal_side else -1)
    _close(figures, normal_side)
    return figures


def _moved(day: dt.date, base: dt.date | None, *by: str) -> QuerySet[Any]:
    """What was booked after `base`: before the day and on it, by account and side unless told otherwise."""
    first = base + ONE_DAY if base else _first_day(day)
    floor = day_floor(day)
    rows = Entry.objects.for_days(min(first, day), day).order_by()
    return rows.values(*(by or ("account_id", "side"))).annotate(
        before=Sum("amount", filter=Q(id__lt=floor), default=0),
        today=Sum("amount", filter=Q(id__gte=floor), default=0),
    )


def _first_day(default: dt.date) -> dt.date:
    return AccountingDay.objects.order_by("day").values_list("day", flat=True).first() or default


def _add(figures: DayFigures, row: dict[str, Any], sign: int) -> None:
    figures.opening += sign * row["before"]
    if row["side"] == Side.DEBIT:
        figures.debit += row["today"]
    else:
        figures.credit += row["today"]


def _close(figures: DayFigures, normal_side: str) -> None:
    sign = 1 if normal_side == Side.DEBIT else -1
    figures.closing = figures.opening + sign * (figures.debit - figures.credit)


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """An account over a period; minor units on the subject's normal side, turnovers plain."""

    opening: int
    debit: int
    credit: int
    closing: int


def ledger_totals(account: Account, first: dt.date, last: dt.date) -> LedgerTotals:
    """Opening, turnover and closing of the period, without reading its entries one by one."""
    opening = balance_at_end_of(account, first - ONE_DAY)
    rows = Entry.objects.for_days(first, last).filter(account=account).order_by()
    sums = dict(rows.values_list("side").annotate(total=Sum("amount")))
    debit, credit = sums.get(Side.DEBIT.value, 0), sums.get(Side.CREDIT.value, 0)
    sign = 1 if account.subject.normal_side == Side.DEBIT else -1
    return LedgerTotals(opening, debit, credit, opening + sign * (debit - credit))


def ledger_entries(account: Account, first: dt.date, last: dt.date) -> QuerySet[Entry]:
    """The account's entries of the period, in their order."""
    lo, hi = id_range(first, last)
    return Entry.objects.in_range(lo, hi).filter(account=account)


def balances_after(account: Account, first: dt.date, opening: int, entries: list[Entry]) -> list[int]:
    """The running balance after each entry of one page: the opening, all entries before the page, then one by one."""
    if not entries:
        return []
    side = account.subject.normal_side
    earlier = Entry.objects.in_range(day_floor(first), entries[0].pk).filter(account=account).order_by()
    balance = opening
    for entry_side, total in earlier.values_list("side").annotate(total=Sum("amount")):
        balance += total if entry_side == side else -total
    balances = []
    for entry in entries:
        balance += entry.amount if entry.side == side else -entry.amount
        balances.append(balance)
    return balances
