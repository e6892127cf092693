"""Single transactions: written with their number and open-list entry, changed by conditional update."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from payops.core.archive import put_away
from payops.core.errors import PayopsError
from payops.core.ids import DAY_STEP, day_floor, day_of
from payops.core.partitions import ensure_day
from payops.orders import sql
from payops.orders.models import Transaction, TransactionKey
from payops.orders.numbers import next_id, own_number


def transaction_insert(*, prefix: str, day: dt.date, **fields: Any) -> Transaction:
    """A transaction of our own making, received on the open day `day`, with its number kept for ever.

    Without a `match_key` its own number is its request number at the channel.
    """
    ensure_day(day)
    number = own_number(prefix, day)
    fields["match_key"] = fields.get("match_key") or number
    row = Transaction(id=next_id(day), transaction_no=number, **fields)
    row.save(force_insert=True)
    TransactionKey.objects.create(transaction_no=row.transaction_no, transaction_id=row.pk)
    open_list_sync([row.pk])
    return row


def transaction_locked(transaction_id: int) -> Transaction:
    """The row, locked until the transaction ends; else what `transaction_missing` says."""
    row = Transaction.objects.select_for_update(no_key=True).filter(pk=transaction_id).first()
    if row is None:
        raise transaction_missing(transaction_id)
    return row


def transaction_missing(transaction_id: int) -> PayopsError:
    """Why there is no such row: 'archive.put_away' with its day, or 'orders.unknown'."""
    return put_away(Transaction, transaction_id, transaction_id + 1) or PayopsError(
        "orders.unknown",
        _("Transaction %s does not exist.") % transaction_id,
        {"transaction_id": str(transaction_id)},
    )


def open_list_sync(ids: list[int]) -> None:
    """Bring the open list in step with these rows."""
    by_day: dict[dt.date, list[int]] = {}
    for pk in ids:
        by_day.setdefault(day_of(pk), []).append(pk)
    with connection.cursor() as cursor:
        for day, members in by_day.items():
            lo = day_floor(day)
            join = "JOIN unnest(%s::bigint[]) AS member (id) ON member.id = t.id"
            for statement in (sql.OPEN_ADD_DAY, sql.OPEN_DROP_DAY):
                cursor.execute(statement.format(JOIN=join, LO=lo, HI=lo + DAY_STEP), [members])
