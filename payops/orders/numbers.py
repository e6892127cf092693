"""Numbers of transactions payops makes itself: prefix, date and sequence, never a UUID (DOMAIN 5)."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from payops.core.ids import day_code, day_floor


def own_number(prefix: str, day: dt.date) -> str:
    """SUP26112000000042: the prefix says what it is, the day when it was made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('orders_own_number')")
        return f"{prefix}{day_code(day):06d}{cursor.fetchone()[0]:08d}"


def next_id(day: dt.date) -> int:
    """A transaction id of the day."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('orders_transaction_n')")
        return day_floor(day) + cursor.fetchone()[0]
