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
from payops.orders.choices import Kind
from payops.orders.selectors import own_strays, own_window
from payops.reconciliation import sql
from payops.reconciliation.rows import line_rows_of, own_rows_of, sign_of
from payops.reconciliation.state import Skips

SUMS = ("own_count", "line_count", "matched", "matched_amount", "own_amount", "settled", "fee")
SIDES = {"own": ("own_count", "own_amount"), "line": ("line_count", "line_amount", "discount", "fee")}
LAST_SUMMED = max(sql.TAKEN_BACK)
IDS = ("pairs", "own_ids", "line_ids", "repeated_own", "repeated_lines")


@dataclass(slots=True)
class Joined:
    """What the join gave: the sums of what matched, and the ids of everything else, in order.

    Repeated rows beyond the first of their key stand apart: they are duplicates.
    """

    pairs: list[tuple[int, int]] = field(default_factory=list)
    own_ids: list[int] = field(default_factory=list)
    line_ids: list[int] = field(default_factory=list)
    repeated_own: list[int] = field(default_factory=list)
    repeated_lines: list[int] = field(default_factory=list)
    own_count: int = 0
    line_count: int = 0
    matched: int = 0
    matched_amount: int = 0
    own_amount: int = 0
    settled: int = 0
    fee: int = 0
    discounts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    by_kind: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

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

    def add(self, other: "Joined") -> None:
        """Take in what other rows of the same day gave."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in IDS:
            setattr(self, name, sorted([*getattr(self, name), *getattr(other, name)]))
        for merchant_id, discount in other.discounts.items():
            self.discounts[merchant_id] += discount
        for kind, totals in other.by_kind.items():
            for name, amount in totals.items():
                self.by_kind[kind][name] += amount

    def as_json(self) -> dict[str, Any]:
        """For a row that keeps it; `from_json` gives the same back."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in (*SUMS, *IDS)}
        return {**kept, "discounts": dict(self.discounts), "by_kind": {k: dict(v) for k, v in self.by_kind.items()}}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Joined":
        """The keys of JSON are text, and its pairs are lists."""
        joined = cls(**{name: kept[name] for name in (*SUMS, *IDS)})
        joined.pairs = [(own_id, line_id) for own_id, line_id in joined.pairs]
        joined.discounts.update((int(merchant_id), amount) for merchant_id, amount in kept["discounts"].items())
        for kind, totals in kept["by_kind"].items():
            joined.by_kind[int(kind)].update(totals)
        return joined


@dataclass(frozen=True, slots=True)
class Share:
    """One bucket of so many, by the hash of the matching key: both rows of a key are in the same one."""

    bucket: int
    buckets: int


@dataclass(frozen=True, slots=True)
class Stood:
    """The own rows a bucket saw: how many, a hash of which and in what state, and the highest id."""

    count: int
    mark: int
    last: int


def inputs_of(contract: ChannelContract, day: date, bill_file: BillFile, skips: Skips) -> dict[str, Any]:
    """Everything a comparison is told: equal inputs over the same own rows give the same result. All of it is JSON."""
    own_lo, own_hi = own_window(day)
    lo, hi = line_range(bill_file)
    return {
        "own_lo": own_lo,
        "own_hi": own_hi,
        "own_far": sorted(own_strays(day, contract.pk)),
        "contract": contract.pk,
        "day": day.isoformat(),
        "file": bill_file.pk,
        "line_lo": lo,
        "line_hi": hi,
        "line_count": bill_file.line_count,
        "netted": contract.cost_mode == CostMode.NETTED,
        "check_fee": contract.cost_package_id is not None,
        "tolerance": contract.fee_tolerance,
        "skip_own": sorted(skips.own),
        "skip_line": sorted(skips.lines),
    }


def join(inputs: dict[str, Any]) -> Joined:
    """Both sides in one pass, and the rows that are spoken for added to the totals."""
    joined, _stood = compare(inputs)
    joined.add(frozen_sums(inputs))
    return joined


def compare(inputs: dict[str, Any], share: Share | None = None) -> tuple[Joined, Stood | None]:
    """Compare once; only where the counts show a key twice on a side are the repeats found and it is done again.

    Without the rows spoken for. What stood in a bucket comes back with its share.
    """
    params = dict(inputs)
    if share is not None:
        params |= {"bucket": share.bucket, "buckets": share.buckets}
    joined, found = _compare(params)
    stood = None if share is None else Stood(found["own_there"], found["own_mark"] or 0, found["own_last"] or 0)
    if _is_repeated(params, found):
        sides = _sides(params)
        repeated_own, repeated_lines = _repeats(sides.own(), params), _repeats(sides.line(), params)
        params["skip_own"] = [*params["skip_own"], *repeated_own]
        params["skip_line"] = [*params["skip_line"], *repeated_lines]
        joined, _found = _compare(params)
        joined.add(_plain_sums(inputs, repeated_own, repeated_lines))
        joined.repeated_own, joined.repeated_lines = sorted(repeated_own), sorted(repeated_lines)
    return joined, stood


def frozen_sums(inputs: dict[str, Any]) -> Joined:
    """Rows that are spoken for stay out of the join and still belong to the day's totals."""
    return _plain_sums(inputs, inputs["skip_own"], inputs["skip_line"])


def marks(inputs: dict[str, Any], buckets: int) -> dict[int, tuple[int, int]]:
    """How many own rows stand in each bucket now, and their mark; a bucket without any is left out."""
    params = inputs | {"buckets": buckets}
    with connection.cursor() as cursor:
        cursor.execute(_sides(params).marks(), params)
        return {bucket: (count, mark) for bucket, count, mark in cursor.fetchall()}


def _sides(params: dict[str, Any]) -> sql.Sides:
    skips = (bool(params[name]) for name in ("skip_own", "own_far", "skip_line"))
    return sql.Sides(*skips, bucket="bucket" in params)


def _is_repeated(params: dict[str, Any], found: dict[str, Any]) -> bool:
    """A key that is twice on one side makes the join return more rows than the other side has."""
    lines = found.get("lines_there", params["line_count"] - len(params["skip_line"]))
    return (found["own_count"], found["line_count"]) != (found["own_there"], lines)


def _compare(params: dict[str, Any]) -> tuple[Joined, dict[str, Any]]:
    sides = _sides(params)
    with connection.cursor() as cursor:
        # The whole result is small; what is large is hashed and summed inside, for which the default memory is too
        # little. A partition loaded just now has no statistics, without which the planner would sort both sides, or
        # look every row up by itself.
        cursor.execute("SET LOCAL work_mem = '256MB'")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(sides.compare(), params)
        names = [column.name for column in cursor.description]
        found = dict(zip(names, cursor.fetchone(), strict=True))
        kinds = list(_kinds(found))
        if max(found["own_kind_max"] or 0, found["line_kind_max"] or 0) > LAST_SUMMED:
            cursor.execute(sides.by_kind(), params)
            kinds = cursor.fetchall()
        cursor.execute("RESET work_mem")
        cursor.execute("RESET enable_mergejoin")
        cursor.execute("RESET enable_nestloop")
    joined = Joined()
    for side, kind, count, amount, discount, fee in kinds:
        if count and side == "own":
            joined.add_own(kind, count, amount)
        elif count:
            settled = sign_of(kind) * amount - discount - (fee if params["netted"] else 0)
            joined.add_lines(kind, count, amount, settled, fee)
    _take_pairs(joined, found)
    joined.discounts.update(sorted(found["merchant_discounts"] or []))
    return joined, found


def _kinds(found: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Side, kind and its sums; payments are everything less what takes back."""
    for side, names in SIDES.items():
        back = [[found[f"{name}_{kind}"] for name in names] for kind in sql.TAKEN_BACK]
        paid = [found[name] - sum(sums) for name, *sums in zip(names, *back, strict=True)]
        for kind, sums in zip((Kind.PAYMENT, *sql.TAKEN_BACK), (paid, *back), strict=True):
            yield (side, int(kind), *sums, *[0] * (4 - len(sums)))


def _take_pairs(joined: Joined, found: dict[str, Any]) -> None:
    differing = sorted(found["differing"] or [], key=_place)
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


def _place(differing: list[int | None]) -> tuple[int, int]:
    own_id, line_id, _value = differing
    return own_id or 0, line_id or 0


def _repeats(rows: str, params: dict[str, Any]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql.REPEATED.format(rows=rows), params)
        return [pk for _key, _kind, ids in cursor.fetchall() for pk in ids[1:]]


def _plain_sums(inputs: dict[str, Any], own_ids: list[int], line_ids: list[int]) -> Joined:
    alone = Joined()
    for row in own_rows_of(own_ids).values():
        if row.own_date.isoformat() == inputs["day"]:
            alone.add_own(row.kind, 1, row.amount if row.counts else 0)
    contract = ChannelContract.objects.get(pk=inputs["contract"])
    for line in line_rows_of(line_ids, contract).values():
        alone.add_lines(line.kind, 1, line.amount, line.settled, line.fee)
    return alone
