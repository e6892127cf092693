"""What `bench.lists` looks at: days of transactions, made as COPY text and loaded the way a big bill is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from django.db import connection, transaction

from bench.reconcile_data import MERCHANTS, amount
from payops.core.copying import copy_text
from payops.core.ids import day_floor
from payops.core.partitions import attach, create_detached, partition_name
from payops.core.sql import quote_table
from payops.merchants.models import Merchant
from payops.orders.models import Transaction, TransactionKey

COLUMNS: Final = (
    *("id", "transaction_no", "kind", "status", "contract_id", "merchant_id", "own_date", "business_date", "match_key"),
    *("channel_trade_no", "merchant_order_no", "product", "card_type", "amount", "currency", "fee", "collection"),
    *("expected_cost", "refund_source", "origin", "payer", "created_at", "succeeded_at", "effective_at"),
)
FAILED_EVERY: Final = 50
REFUND_EVERY: Final = 20
SECONDS: Final = 75_000
LINES_A_CHUNK: Final = 2_000


def lines(day: dt.date, rows: int, contract_id: int, first_merchant: int) -> Iterator[bytes]:
    """One day as COPY text: every 20th a refund, every 50th failed, merchants in turn."""
    floor, prefix, date = day_floor(day), f"{day:%Y%m%d}", day.isoformat()
    chunk: list[str] = []
    for n in range(rows):
        refund, failed = n % REFUND_EVERY == REFUND_EVERY - 1, n % FAILED_EVERY == 7
        value, second = amount(n), n * SECONDS // rows + 3600
        at = f"{date} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}+08"
        done = "\\N" if failed else at
        chunk.append(
            f"{floor + 1 + n}\tT{prefix}{n:012d}\t{2 if refund else 1}\t{'failed' if failed else 'succeeded'}"
            f"\t{contract_id}\t{first_merchant + n % MERCHANTS}\t{date}\t{date}\tP{prefix}{n:012d}\tC{prefix}{n:012d}"
            f"\tO{prefix}{n:012d}\tqr\t\t{value}\tCNY\t{value * 60 // 10000}\tnet\t{value * 38 // 10000}"
            f"\t{'pending' if refund else ''}\tintake\t\t{at}\t{done}\t{done}\n"
        )
        if len(chunk) == LINES_A_CHUNK:
            yield "".join(chunk).encode()
            chunk.clear()
    yield "".join(chunk).encode()


def fill(day: dt.date, rows: int, contract: int) -> None:
    """A partition of its own for the day, with as many transactions and their numbers; vacuumed and analysed."""
    merchant = Merchant.objects.order_by("pk").values_list("pk", flat=True)[0]
    name, lo = partition_name(Transaction, day), day_floor(day)
    with transaction.atomic():
        # The one made ahead is empty.
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {quote_table(name)}")
        create_detached(Transaction, name, lo, lo + Transaction.partition_span)
        copy_text(name, COLUMNS, lines(day, rows, contract, merchant), freeze=True)
        attach(Transaction, name, lo, lo + Transaction.partition_span)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TransactionKey._meta.db_table} (transaction_no, transaction_id)"
            f" SELECT transaction_no, id FROM {quote_table(name)}"
        )
        cursor.execute(f"VACUUM ANALYZE {quote_table(name)}, {TransactionKey._meta.db_table}")
