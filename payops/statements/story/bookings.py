"""Vouchers of a story with their entries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final

from payops.accounts.choices import Event as BookingEvent
from payops.accounts.models import Entry, Voucher
from payops.core.formatting import local_name
from payops.core.ids import day_of
from payops.discrepancies.selectors import reference_day
from payops.statements.story.events import EntryLine, Event
from payops.statements.story.finding import Subjects

DAYS_SEARCHED: Final = 60
"""How long after its transaction a voucher is looked for; each day is a partition."""


def vouchers_told(subjects: Subjects, numbers: Iterable[int | None]) -> Iterator[Event]:
    """Vouchers of the transactions themselves, and those whose numbers their documents carry."""
    vouchers = {voucher.pk: voucher for voucher in _of_transactions(subjects)}
    wanted = sorted({number for number in numbers if number} - set(vouchers))
    if wanted:
        vouchers |= {voucher.pk: voucher for voucher in Voucher.objects.filter(pk__in=wanted)}
    entries = _entries(vouchers.values())
    for voucher in vouchers.values():
        yield Event(
            voucher.posted_at,
            "ledger",
            "voucher",
            f"{BookingEvent(voucher.event).label} {day_of(voucher.pk)}",
            ("voucher", voucher.pk),
            voucher.memo,
            by=voucher.posted_by,
            entries=entries.get(voucher.pk, []),
        )


def _of_transactions(subjects: Subjects) -> list[Voucher]:
    if not subjects.transactions:
        return []
    last = reference_day()
    first = min(last, *(min(row.own_date, day_of(pk)) for pk, row in subjects.transactions.items()))
    days = Voucher.objects.for_days(first, min(last, first + dt.timedelta(days=DAYS_SEARCHED)))
    return list(days.filter(source_kind="transaction", source_id__in=list(subjects.transactions)).order_by("id"))


def _entries(vouchers: Iterable[Voucher]) -> dict[int, list[EntryLine]]:
    ids = [voucher.pk + line for voucher in vouchers for line in range(1, voucher.line_count + 1)]
    if not ids:
        return {}
    found: dict[int, list[EntryLine]] = {}
    for entry in Entry.objects.filter(pk__in=ids).select_related("account__subject").order_by("id"):
        subject = entry.account.subject
        line = EntryLine(
            subject.code, entry.account.account_no, local_name(subject), entry.side, entry.amount, entry.currency
        )
        found.setdefault(entry.voucher_id, []).append(line)
    return found
