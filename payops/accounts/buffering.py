"""Balances that follow later: draining the queue of buffered entries, and the sums of the day's end (DOMAIN 4.3).

Nothing here can lose or double a movement: the entry guard queues it with its entry, and deleting it from the queue is
what moves the balance (trigger), both in one transaction with their cause. A process killed anywhere leaves either
both or neither.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction

from payops.accounts import sql
from payops.accounts.errors import guard_errors
from payops.core.ids import id_range

STEP: Final = 2_000
"""Movements per step: short enough that an account's lock is held for milliseconds."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """What waits for one account: how many movements, their sum (minor units), and how long the oldest has waited."""

    account_id: int
    account_no: str
    currency: str
    depth: int
    delta: int
    lag: dt.timedelta


def drain(*, limit: int = STEP) -> int:
    """One step: move at most `limit` queued movements into the stored balances; how many. A transaction of its own.

    Movements another drain is moving are skipped. Raises PayopsError 'ledger.busy' (retry), and nothing has moved.
    """
    with guard_errors(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.DRAIN_STEP, [limit])
        return cursor.rowcount


def drain_all(*, step: int = STEP) -> int:
    """Steps until one finds less than it may move; how many movements.

    What came in meanwhile is left to the next drain: under steady traffic there is always some.
    """
    total = moved = drain(limit=step)
    while moved == step:
        moved = drain(limit=step)
        total += moved
    return total


def take_queued(account_ids: Iterable[int]) -> int:
    """What is queued for accounts the caller holds locked, into their balances, in the caller's transaction. How many.

    For whoever is about to decide by the stored balance; what a drain is moving right now is left to it.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.TAKE_QUEUED, [list(account_ids)])
        return cursor.rowcount


def flush_day(day: dt.date) -> int:
    """Everything queued by entries of the day, in the caller's transaction; waits for drains under way. How many.

    Whoever closes the day holds it exclusively, so nothing is added meanwhile.
    """
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_queuedmovement WHERE entry_id >= %s AND entry_id < %s", id_range(day, day))
        return cursor.rowcount


def apply_summary(day: dt.date) -> int:
    """The one sum at the end of a day: its summary entries into the stored balances; how many accounts moved."""
    lo, hi = id_range(day, day)
    sums = sql.fetch(sql.bounded(sql.SUMMARY_OF_DAY, lo, hi), {"day": day})
    if not sums:
        return 0
    ids, deltas = [row["account_id"] for row in sums], [row["delta"] for row in sums]
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM accounts_account WHERE id = ANY (%s) ORDER BY id FOR NO KEY UPDATE", [ids])
        cursor.execute(
            "UPDATE accounts_account a SET balance = a.balance + d.delta"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS d(id, delta) WHERE a.id = d.id",
            [ids, deltas],
        )
    return len(sums)


def queue_states() -> list[QueueState]:
    """Lag and depth of the queue per account, longest waiting first."""
    return [QueueState(**row) for row in sql.fetch(sql.QUEUE_STATES)]
