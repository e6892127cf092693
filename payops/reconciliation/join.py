"""The join of a run: both sides of a day in one pass; what comes back are sums, and the ids of what does not match."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db import connection

from payops.channels.bills.selectors import line_range
from payops.channels.choices import CostMode
from payops.channels.models import BillFile, ChannelContract
from payops.orders.selectors import own_strays, own_window
from payops.reconciliation import sql
from payops.reconciliation.rows import line_rows_of, own_rows_of, sign_of
from payops.reconciliation.state import Skips


@dataclass(slots=True)
class Joined:
    """What the join gave: the sums of what matched, and the ids of everything else."""

    pairs: list[tuple[int, int]] = field(default_factory=list)
    own_ids: list[int] = field(default_factory=list)
    line_ids: list[int] = field(default_factory=list)
    own_count: int = 0
    line_count: int = 0
    matched: int = 0
    matched_amount: int = 0
    own_amount: int = 0
    settled: int = 0
    fee: int = 0
    discounts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    by_kind: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    repeated: bool = False
    """A key that is twice on one side makes the join return more rows than the other side has."""

    def add_own(self, kind: int, count: int, amount: int) -> None:
        """Rows of ours of one kind, and what those of them that count come to, unsigned."""
        value = sign_of(kind) * amount
        self.own_count += count
        self.own_amount += value
        self.by_kind[kind]["own_count"] += count
        self.by_kind[kind]["own_amount"] += value

    def add_lines(self, kind: int, count: int, amount: int, settled: int, fee: int) -> None:
        """Lines of one kind; `amount` is unsigned, what they settle and cost is signed."""
        self.line_count += count
        self.settled += settled
        self.fee += fee
        self.by_kind[kind]["channel_count"] += count
        self.by_kind[kind]["channel_amount"] += sign_of(kind) * amount
        self.by_kind[kind]["channel_fee"] += fee


def join(
    contract: ChannelContract, day: date, bill_file: BillFile, skips: Skips
) -> tuple[Joined, list[int], list[int]]:
    """Join once; only where the counts show a key twice on a side are the repeats found and the join made again.

    Repeated rows beyond the first of their key are returned apart: they are duplicates.
    """
    own_lo, own_hi = own_window(day)
    lo, hi = line_range(bill_file)
    params = {
        "own_lo": own_lo,
        "own_hi": own_hi,
        "own_far": own_strays(day, contract.pk),
        "contract": contract.pk,
        "day": day,
        "line_lo": lo,
        "line_hi": hi,
        "line_count": bill_file.line_count - len(set(skips.lines)),
        "netted": contract.cost_mode == CostMode.NETTED,
        "check_fee": contract.cost_package_id is not None,
        "tolerance": contract.fee_tolerance,
        "skip_own": list(skips.own),
        "skip_line": list(skips.lines),
    }
    frozen = _plain_sums(params, skips)
    joined = _compare(params)
    repeated_own: list[int] = []
    repeated_lines: list[int] = []
    if joined.repeated:
        repeated_own = _repeats(sql.own_set(params["skip_own"], params["own_far"]), params)
        repeated_lines = _repeats(sql.line_set(params["skip_line"]), params)
        params["skip_own"] += repeated_own
        params["skip_line"] += repeated_lines
        params["line_count"] -= len(repeated_lines)
        repeats = _plain_sums(params, Skips(repeated_own, repeated_lines))
        joined = _compare(params)
        _add(joined, repeats)
    _add(joined, frozen)
    return joined, repeated_own, repeated_lines


def _compare(params: dict[str, Any]) -> Joined:
    sides = (params["skip_own"], params["own_far"], params["skip_line"])
    with connection.cursor() as cursor:
        # The whole result is small; what is large is hashed and summed inside, for which the default memory is too
        # little. A partition loaded just now has no statistics, without which the planner would sort both sides, or
        # look every row up by itself.
        cursor.execute("SET LOCAL work_mem = '256MB'")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(sql.compare(*sides), params)
        names = [column.name for column in cursor.description]
        found = dict(zip(names, cursor.fetchone(), strict=True))
        if found["own_others"] or found["line_others"]:
            cursor.execute(sql.by_kind(*sides), params)
            kinds = cursor.fetchall()
        else:
            kinds = list(_kinds(found))
        cursor.execute("RESET work_mem")
        cursor.execute("RESET enable_mergejoin")
        cursor.execute("RESET enable_nestloop")
    joined = Joined()
    for side, kind, count, *sums in kinds:
        if count and side == "own":
            joined.add_own(kind, count, sums[0])
        elif count:
            joined.add_lines(kind, count, *sums)
    joined.repeated = found["own_rows"] != found["own_count"] or found["line_rows"] != params["line_count"]
    _take_pairs(joined, found)
    for merchant_id, discount in found["merchant_discounts"] or []:
        joined.discounts[merchant_id] += discount
    return joined


def _kinds(found: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for kind in sql.SUMMED_KINDS:
        yield "own", kind, found[f"own_count_{kind}"], found[f"own_amount_{kind}"]
        yield "line", kind, *(found[f"{name}_{kind}"] for name in ("line_count", "line_amount", "settled", "fee"))


def _take_pairs(joined: Joined, found: dict[str, Any]) -> None:
    differing = found["differing"] or []
    joined.matched = found["pairs"] - len(differing) - found["silent_rows"]
    joined.matched_amount = joined.own_amount
    for own_id, line_id, own_value in differing:
        joined.matched_amount -= own_value
        if own_id is None:
            joined.line_ids.append(line_id)
        elif line_id is None:
            joined.own_ids.append(own_id)
        else:
            joined.pairs.append((own_id, line_id))


def _repeats(rows: str, params: dict[str, Any]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql.REPEATED.format(rows=rows), params)
        return [pk for _key, _kind, ids in cursor.fetchall() for pk in ids[1:]]


def _plain_sums(params: dict[str, Any], skips: Skips) -> Joined:
    """Rows kept out of the join still belong to the day's totals."""
    alone = Joined()
    for row in own_rows_of(skips.own).values():
        if row.own_date == params["day"]:
            alone.add_own(row.kind, 1, row.amount if row.counts else 0)
    contract = ChannelContract.objects.get(pk=params["contract"])
    for line in line_rows_of(skips.lines, contract).values():
        alone.add_lines(line.kind, 1, line.amount, line.settled, line.fee)
    return alone


def _add(joined: Joined, other: Joined) -> None:
    joined.own_count += other.own_count
    joined.line_count += other.line_count
    joined.own_amount += other.own_amount
    joined.settled += other.settled
    joined.fee += other.fee
    for kind, totals in other.by_kind.items():
        for name, amount in totals.items():
            joined.by_kind[kind][name] += amount
