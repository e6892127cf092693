"""Transactions beside their vouchers, per event and merchant of an own date: the internal reconciliation (DOMAIN 7.1).

What a transaction owes the ledger is asked as the posting does (`sql.DUE_EVENTS`), and what it got is read by its
posting key: count and amount of both, and the rows on which they differ.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from payops.accounts import selectors as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.core.archive import put_away
from payops.core.ids import id_range
from payops.orders import sql
from payops.orders.checks import vouchers_without_source
from payops.orders.models import Transaction
from payops.orders.vouchers import own_ranges

SHOWN: Final = 1000
"""Rows that differ are listed up to this many; all are counted."""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One event of one merchant: what its transactions owe the ledger and what was booked; minor units."""

    event: int
    merchant_no: str
    merchant_id: int
    currency: str
    own_count: int
    own_amount: int
    booked_count: int
    booked_amount: int
    differing: int

    @property
    def agrees(self) -> bool:
        """Every row has its voucher, over its amount."""
        return not self.differing


@dataclass(frozen=True, slots=True)
class DifferingRow:
    """A transaction without its voucher, one booked with another amount, or a voucher without its transaction."""

    event: int | None
    merchant_no: str
    currency: str
    transaction_id: int | None
    own_amount: int | None
    voucher_id: int | None
    booked_amount: int | None


@dataclass(frozen=True, slots=True)
class LedgerComparison:
    """The internal reconciliation of one own date."""

    day: dt.date
    rows: list[ComparedRow]
    differing: list[DifferingRow]

    @property
    def agrees(self) -> bool:
        """Nothing differs on either side."""
        return not self.differing

    def as_dict(self) -> dict[str, Any]:
        """For machines: minor units, ids as text."""
        return {
            "date": self.day.isoformat(),
            "agrees": self.agrees,
            "rows": [
                {
                    "event": Event(row.event).name.lower(),
                    "merchant": row.merchant_no,
                    "currency": row.currency,
                    "transactions": {"count": row.own_count, "amount": row.own_amount},
                    "vouchers": {"count": row.booked_count, "amount": row.booked_amount},
                    "differing": row.differing,
                }
                for row in self.rows
            ],
            "differing": [
                {
                    "event": Event(row.event).name.lower() if row.event else None,
                    "merchant": row.merchant_no,
                    "transaction": str(row.transaction_id) if row.transaction_id else None,
                    "amount": row.own_amount,
                    "voucher": str(row.voucher_id) if row.voucher_id else None,
                    "booked": row.booked_amount,
                }
                for row in self.differing
            ],
        }


def ledger_comparison(day: dt.date) -> LedgerComparison:
    """Compare the transactions of own date `day` with their vouchers, and the vouchers of the day with transactions.

    A voucher posted on a later accounting day counts for the date of its transaction. Raises PayopsError
    'archive.put_away' where rows it would have to read are in the archive: what is not read cannot agree.
    """
    for lo, hi in own_ranges(day):
        if away := put_away(Transaction, lo, hi):
            raise away
    if away := put_away(Voucher, *id_range(day, day)):
        raise away
    sums: dict[tuple[int, str, str], ComparedRow] = {}
    differing: list[DifferingRow] = []
    booked_lo, booked_hi = id_range(day, max(day, ledger.open_day()))
    with connection.cursor() as cursor:
        for lo, hi in own_ranges(day):
            bounds = {"LO": lo, "HI": hi, "BOOKED_LO": booked_lo, "BOOKED_HI": booked_hi}
            cursor.execute(sql.DUE_AND_BOOKED_SUMS.format(**bounds), [day])
            for figures in cursor.fetchall():
                row = ComparedRow(*figures)
                key = (row.event, row.merchant_no, row.currency)
                sums[key] = _added(sums[key], row) if key in sums else row
            if any(row.differing for row in sums.values()) and len(differing) < SHOWN:
                cursor.execute(sql.DUE_NOT_AS_BOOKED.format(**bounds), [day, SHOWN - len(differing)])
                differing += [DifferingRow(*row) for row in cursor.fetchall()]
    differing += [
        DifferingRow(None, "", "", None, None, pk, None)
        for pk in vouchers_without_source(day)[: SHOWN - len(differing)]
    ]
    return LedgerComparison(day, [sums[key] for key in sorted(sums)], differing)


def _added(one: ComparedRow, other: ComparedRow) -> ComparedRow:
    return ComparedRow(
        one.event,
        one.merchant_no,
        one.merchant_id,
        one.currency,
        one.own_count + other.own_count,
        one.own_amount + other.own_amount,
        one.booked_count + other.booked_count,
        one.booked_amount + other.booked_amount,
        one.differing + other.differing,
    )
