"""The vouchers transactions owe to the ledger, posted set-based and at most once (DOMAIN 4.5, 4.6).

What is due is asked of the database (`sql.DUE`), never remembered: whatever was interrupted, the next call posts the
rest, and a call that finds nothing posts nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from django.db import connection, transaction

from payops.accounts import selectors as ledger
from payops.accounts import services as ledger_services
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.core.ids import DAY_STEP, day_floor
from payops.orders import sql
from payops.orders.models import OpenTransaction

SOURCE_KIND: Final = "transaction"
DAYS_BEFORE: Final = 6
DAYS_AFTER: Final = 2
"""A row of own date D was received between D − 6 and D + 2, or stands in the open list (DESIGN 4)."""

Range = tuple[int, int, dt.date]
"""Ids lo ≤ id < hi of one own date."""


def postings_due(lo: int, hi: int, own_date: dt.date, *, join: str = "") -> Iterator[Posting]:
    """Postings of the rows of one own date with lo ≤ id < hi that lack them, streamed."""
    owners: dict[tuple[str, str], dict[str, str]] = {}
    with connection.chunked_cursor() as cursor:
        cursor.itersize = 10_000
        # All rows will be read: a plan that is quick to the first ones only would be the wrong one.
        cursor.connection.execute("SET LOCAL cursor_tuple_fraction = 1")
        cursor.execute(sql.DUE.format(LO=int(lo), HI=int(hi), JOIN=join), [own_date])
        for transaction_id, event, amount, currency, business_date, merchant_no, contract in cursor:
            key = (merchant_no, contract)
            owner = owners.get(key)
            if owner is None:
                owner = owners[key] = {"merchant": merchant_no, "channel": contract}
            yield Posting(
                event=Event(event),
                source_kind=SOURCE_KIND,
                source_id=transaction_id,
                amounts={"A": amount},
                owners=owner,
                business_date=business_date,
                currency=currency,
            )


def post_rows(ranges: Iterable[Range], *, join: str = "", posted_by: str = "") -> Counter[str]:
    """Post what the rows of these (lo, hi, own date) are due; counts by event name.

    Everything that goes to one accounting day is one `post_many`, because that locks its accounts in one order.
    """
    by_day: dict[dt.date, list[Range]] = {}
    for lo, hi, own_date in ranges:
        by_day.setdefault(ledger.posting_day_for(own_date), []).append((lo, hi, own_date))
    posted: Counter[str] = Counter()
    for day in sorted(by_day):
        due: Counter[str] = Counter()
        result = ledger_services.post_many(_counted(by_day[day], join, due), day=day, posted_by=posted_by)
        # Somebody else may have posted some of them meanwhile: then only the total is known.
        posted += due if not result.skipped else Counter({"other": result.posted})
    return posted


def _counted(ranges: list[Range], join: str, counts: Counter[str]) -> Iterator[Posting]:
    for lo, hi, own_date in ranges:
        for posting in postings_due(lo, hi, own_date, join=join):
            counts[posting.event.name.lower()] += 1
            yield posting


def post_missing(day: dt.date, *, posted_by: str = "system") -> dict[str, int]:
    """Post the vouchers every transaction of own date `day` lacks; counts by event name, and `total`.

    A day that is closed gets them on the open day (DOMAIN 4.6: missing vouchers are posted). A day that is not yet
    open has none posted: its facts wait for it. Idempotent.
    """
    if day > ledger.open_day():
        return {"total": 0}
    with transaction.atomic():
        posted = post_rows([(lo, hi, day) for lo, hi in own_ranges(day)], posted_by=posted_by)
    return {**dict(posted), "total": sum(posted.values())}


def post_transaction(transaction_id: int, own_date: dt.date, *, posted_by: str = "system") -> Counter[str]:
    """Post what one transaction is due."""
    return post_rows([(transaction_id, transaction_id + 1, own_date)], posted_by=posted_by)


def post_transactions(ranges: Iterable[Range], ids: Sequence[int], *, posted_by: str = "system") -> Counter[str]:
    """Post what these transactions are due; `ranges` hold them all, each of one own date."""
    if not ids:
        return Counter()
    members = ", ".join(map(str, map(int, ids)))
    join = f"JOIN unnest(ARRAY[{members}]::bigint[]) AS member (id) ON member.id = t.id"
    return post_rows(ranges, join=join, posted_by=posted_by)


def own_ranges(day: dt.date) -> list[tuple[int, int]]:
    """Id ranges in which rows of the own date live: the days around it, and single rows of the open list."""
    first, last = day - dt.timedelta(days=DAYS_BEFORE), day + dt.timedelta(days=DAYS_AFTER)
    lo, hi = day_floor(first), day_floor(last) + DAY_STEP
    windows = [(lo, hi)]
    far = OpenTransaction.objects.filter(own_date=day).exclude(transaction_id__gte=lo, transaction_id__lt=hi)
    windows.extend((pk, pk + 1) for pk in far.values_list("transaction_id", flat=True))
    return windows
