"""What a later version of a bill changes, line by line: found by the database in one join over both files' lines.

Rows are the same row when their row keys are: a trade that comes back with another amount is changed, not removed and
added. Lines live in the partitions of their files, so only those are read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection

from payops.channels.bills.selectors import FILE_STEP, line_range
from payops.channels.choices import FileState
from payops.channels.models import BillFile

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
CHANGES: Final = (ADDED, REMOVED, CHANGED)
FIELDS: Final = (
    "kind", "match_key", "status", "order_no", "request_no", "original_trade_no", "amount", "settled_amount", "fee",
    "rate", "currency", "occurred_at", "payer_masked",
)  # fmt: skip
"""What of a row may change; its trade number is what it is."""


class Side(NamedTuple):
    """A row as one version has it; amounts are minor units."""

    kind: int
    match_key: str
    status: str
    order_no: str | None
    request_no: str | None
    original_trade_no: str | None
    amount: int
    settled_amount: int
    fee: int
    rate: str | None
    currency: str
    occurred_at: dt.datetime
    payer_masked: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One difference: the row in both versions, None where it is in one only."""

    change: str
    trade_no: str
    old_id: int | None
    new_id: int | None
    old: Side | None
    new: Side | None

    @property
    def line_no(self) -> int:
        """Line number in the version that has it, the later one first."""
        return (self.new_id or self.old_id or 0) % FILE_STEP

    @property
    def fields(self) -> list[str]:
        """Names of what changed."""
        if self.old is None or self.new is None:
            return []
        return [name for name in FIELDS if getattr(self.old, name) != getattr(self.new, name)]


class Sums(NamedTuple):
    """How many rows, and what they move in the contract's currency, in minor units; of changed rows the difference."""

    count: int
    amount: int
    settled: int
    fee: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The whole difference in figures; the rows are read with `difference_rows`."""

    same: int
    sums: dict[str, Sums]

    @property
    def none(self) -> bool:
        """Whether both versions have the same lines."""
        return not any(sums.count for sums in self.sums.values())

    @property
    def settled(self) -> int:
        """How much more the later version settles, in minor units."""
        return self.sums[ADDED].settled - self.sums[REMOVED].settled + self.sums[CHANGED].settled


def version_to_compare(bill_file: BillFile) -> BillFile | None:
    """What a version replaces or would replace: the accepted one, else the latest before it that has lines."""
    others = BillFile.objects.filter(
        contract_id=bill_file.contract_id, channel_date=bill_file.channel_date, batch=bill_file.batch,
        bill_type=bill_file.bill_type, day_file_no__isnull=False, version__lt=bill_file.version,
    ).exclude(state=FileState.RECEIVED).order_by("-version")  # fmt: skip
    return others.filter(state=FileState.ACCEPTED).first() or others.first()


def versions_of(bill_file: BillFile) -> list[BillFile]:
    """All versions of the file's day, batch and type, the latest first."""
    return list(
        BillFile.objects.filter(
            contract_id=bill_file.contract_id, channel_date=bill_file.channel_date, batch=bill_file.batch,
            bill_type=bill_file.bill_type,
        ).select_related("contract").order_by("-version")
    )  # fmt: skip


_KEYS: Final = "id, row_hash, trade_no"
_JOIN: Final = f"""
    (SELECT {_KEYS}, {", ".join(FIELDS)} FROM channels_billline WHERE id >= %(old_lo)s AND id < %(old_hi)s) o
    FULL JOIN (SELECT {_KEYS}, {", ".join(FIELDS)} FROM channels_billline
               WHERE id >= %(new_lo)s AND id < %(new_hi)s) n ON o.row_hash = n.row_hash AND o.trade_no = n.trade_no
"""  # noqa: S608 - our own names
_OLD: Final = ", ".join(f"o.{name}" for name in FIELDS)
_NEW: Final = ", ".join(f"n.{name}" for name in FIELDS)
_CHANGE: Final = (
    "CASE WHEN o.id IS NULL THEN 'added' WHEN n.id IS NULL THEN 'removed'"
    f" WHEN ROW({_OLD}) IS DISTINCT FROM ROW({_NEW}) THEN 'changed' ELSE 'same' END"
)


def _moved(column: str) -> str:
    """The later value less the earlier one; of a removed row the value it had."""
    new, old = (f"CASE WHEN {side}.currency = %(currency)s THEN {side}.{column} ELSE 0 END" for side in "no")
    return f"{new} - CASE WHEN n.id IS NULL THEN -1 ELSE 1 END * {old}"


_TOTALS: Final = f"""
SELECT change, count(*), coalesce(sum(amount), 0)::bigint, coalesce(sum(settled), 0)::bigint,
       coalesce(sum(fee), 0)::bigint
FROM (
    SELECT {_CHANGE} AS change, {_moved("amount")} AS amount, {_moved("settled_amount")} AS settled,
           {_moved("fee")} AS fee
    FROM {_JOIN}
) rows
GROUP BY change
"""  # noqa: S608 - our own names
_ROWS: Final = f"""
SELECT change, trade_no, old_id, new_id, {", ".join(f"o_{name}" for name in FIELDS)},
       {", ".join(f"n_{name}" for name in FIELDS)}
FROM (
    SELECT {_CHANGE} AS change, coalesce(n.trade_no, o.trade_no) AS trade_no, o.id AS old_id, n.id AS new_id,
           {", ".join(f"{side}.{name} AS {side}_{name}" for side in "on" for name in FIELDS)}
    FROM {_JOIN}
) rows
WHERE change = ANY (%(wanted)s)
ORDER BY coalesce(new_id %% {FILE_STEP}, old_id %% {FILE_STEP}), change
LIMIT %(limit)s
"""  # noqa: S608 - our own names


def _parameters(old: BillFile, new: BillFile) -> dict[str, Any]:
    (old_lo, old_hi), (new_lo, new_hi) = line_range(old), line_range(new)
    return {"old_lo": old_lo, "old_hi": old_hi, "new_lo": new_lo, "new_hi": new_hi, "currency": new.contract.currency}


def difference_of(old: BillFile, new: BillFile) -> Difference:
    """Counts and sums of what `new` adds to, removes from and changes in `old`."""
    sums, same = dict.fromkeys(CHANGES, Sums(0, 0, 0, 0)), 0
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS, _parameters(old, new))
        for change, *figures in cursor.fetchall():
            if change in sums:
                sums[change] = Sums(*figures)
            else:
                same = figures[0]
    return Difference(same, sums)


def difference_rows(old: BillFile, new: BillFile, *, limit: int, change: str = "") -> Iterator[Row]:
    """The differing rows in the order of the file, at most `limit`, of one kind of change or of all."""
    wanted = [change] if change in CHANGES else list(CHANGES)
    width = len(FIELDS)
    with connection.chunked_cursor() as cursor:
        cursor.execute(_ROWS, {**_parameters(old, new), "wanted": wanted, "limit": limit})
        while rows := cursor.fetchmany(1000):
            for found, trade_no, old_id, new_id, *values in rows:
                yield Row(
                    found, trade_no, old_id, new_id,
                    None if old_id is None else Side(*values[:width]),
                    None if new_id is None else Side(*values[width:]),
                )  # fmt: skip
