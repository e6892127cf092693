"""Two runs of one contract side by side: what they read, what it came to, and which differences came, went or changed.

Reads only what runs wrote down: totals, results and run vouchers, never the lines themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count as numbers
from typing import Any, Final

from django.db import connection
from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.reconciliation.choices import ResultKind, RunState
from payops.reconciliation.models import ReconRun

PAGE: Final = 50


class Change(TextChoices):
    """What became of a difference between two runs."""

    ADDED = "added", gettext_lazy("Added")
    REMOVED = "removed", gettext_lazy("Gone")
    CHANGED = "changed", gettext_lazy("Changed")
    SAME = "same", gettext_lazy("Unchanged")


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of both runs; amounts are minor units."""

    name: str
    before_count: int
    before_amount: int
    now_count: int
    now_amount: int


@dataclass(frozen=True, slots=True)
class VoucherPair:
    """What both runs booked under one rule for one merchant, minor units by variable: each only what was still owed."""

    event: int
    merchant_no: str
    before: dict[str, int]
    now: dict[str, int]
    before_voucher: int | None
    now_voucher: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One difference in both runs; the side a run did not have it on is None. `n` counts rows of one key."""

    match_key: str
    n: int
    change: str
    before: dict[str, Any] | None
    now: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`now` against `before`: how many differences came, went, changed and stayed, and the figures of both."""

    before: ReconRun
    now: ReconRun
    changes: dict[str, int]
    totals: list[Pair]
    results: list[Pair]
    vouchers: list[VoucherPair]

    @property
    def same_file(self) -> bool:
        """Whether both read the same version of the bill."""
        return self.before.file_id == self.now.file_id


def previous_run(run: ReconRun) -> ReconRun | None:
    """The complete run of the same contract, date and batch before this one."""
    earlier = ReconRun.objects.filter(
        contract=run.contract_id,
        channel_date=run.channel_date,
        batch=run.batch,
        run_no__lt=run.run_no,
        state=RunState.COMPLETE,
    )
    return earlier.select_related("contract", "file").order_by("-run_no").first()


def run_before(run: ReconRun) -> ReconRun:
    """The run before this one; PayopsError 'recon.no_previous_run' when it is the first."""
    found = previous_run(run)
    if found is None:
        raise PayopsError(
            "recon.no_previous_run",
            _("%(channel)s %(day)s has no complete run before #%(number)d.")
            % {"channel": run.contract.code, "day": run.channel_date, "number": run.run_no},
            {"run": run.pk},
        )
    return found


def run_latest(contract: ChannelContract, day: dt.date, batch: int = 1) -> ReconRun:
    """The run that counts for a day; PayopsError 'recon.no_run' before the first."""
    runs = ReconRun.objects.filter(contract=contract, channel_date=day, batch=batch, is_current=True)
    found = runs.select_related("contract", "file").first()
    if found is None:
        raise PayopsError(
            "recon.no_run",
            _("%(channel)s %(day)s has not been run yet.") % {"channel": contract.code, "day": day},
            {"channel": contract.code, "day": day.isoformat()},
        )
    return found


def run_by_number(run: ReconRun, run_no: int) -> ReconRun:
    """Another run of the same day by its number; PayopsError 'recon.run_unknown' otherwise."""
    other = ReconRun.objects.filter(
        contract=run.contract_id, channel_date=run.channel_date, batch=run.batch, run_no=run_no, state=RunState.COMPLETE
    )
    found = other.select_related("contract", "file").first()
    if found is None:
        raise PayopsError(
            "recon.run_unknown",
            _("%(channel)s %(day)s has no complete run %(number)d.")
            % {"channel": run.contract.code, "day": run.channel_date, "number": run_no},
            {"run_no": run_no},
        )
    return found


def run_compare(now: ReconRun, before: ReconRun) -> Comparison:
    """Compare two complete runs of one contract. Raises PayopsError 'recon.not_comparable' for those of two."""
    if now.contract_id != before.contract_id:
        raise PayopsError(
            "recon.not_comparable",
            _("Runs of two channels have nothing in common to compare."),
            {"runs": [now.pk, before.pk]},
        )
    return Comparison(
        before=before,
        now=now,
        changes=_changes(now, before),
        totals=_totals(now, before),
        results=_results(now, before),
        vouchers=_vouchers(now, before),
    )


_ROWS = """
WITH now AS ({now}), before AS ({before}),
pairs AS (
    SELECT match_key, n, now.body AS now, before.body AS before,
           CASE WHEN before.body IS NULL THEN 'added'
                WHEN now.body IS NULL THEN 'removed'
                WHEN now.facts IS DISTINCT FROM before.facts THEN 'changed'
                ELSE 'same' END AS change
      FROM now FULL JOIN before USING (match_key, n)
)
"""
# Rows of one key are told apart by their place: the record numbers of lines are others in every version of a bill.
_SIDE = """
    SELECT match_key,
           row_number() OVER (
               PARTITION BY match_key ORDER BY coalesce(transaction_id, 0), coalesce(bill_line_id, 0) %% 100000000, id
           ) AS n,
           ROW(kind, own_amount, channel_amount, own_fee, channel_fee, d) AS facts,
           json_build_object('kind', kind, 'own_amount', own_amount, 'channel_amount', channel_amount,
                             'own_fee', own_fee, 'channel_fee', channel_fee, 'd', d, 'case', case_id,
                             'transaction', transaction_id, 'bill_line', bill_line_id) AS body
      FROM reconciliation_reconresult
     WHERE run_id = %({name})s
"""
_PAIRED = _ROWS.format(now=_SIDE.format(name="now"), before=_SIDE.format(name="before"))
_COUNTED = f"{_PAIRED} SELECT change, count(*) FROM pairs GROUP BY change"  # noqa: S608 - fixed texts


def _changes(now: ReconRun, before: ReconRun) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED, {"now": now.pk, "before": before.pk})
        counted = dict(cursor.fetchall())
    return {change: counted.get(change, 0) for change in Change.values}


def rows_compared(
    now: ReconRun, before: ReconRun, *, change: str = "", after: tuple[str, int] | None = None, limit: int = PAGE
) -> list[Row]:
    """Differences of either run by key, those of one `change` or all that are not the same, after a key and place."""
    conditions = ["change = %(change)s" if change else "change <> 'same'"]
    if after is not None:
        conditions.append("(match_key, n) > (%(key)s, %(n)s)")
    where = " AND ".join(conditions)
    params = {"now": now.pk, "before": before.pk, "change": change, "limit": limit}
    params |= {"key": after[0], "n": after[1]} if after else {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_PAIRED} SELECT match_key, n, change, before, now FROM pairs WHERE {where}"  # noqa: S608 - fixed texts
            " ORDER BY match_key, n LIMIT %(limit)s",
            params,
        )
        return [Row(*found) for found in cursor.fetchall()]


def rows_streamed(now: ReconRun, before: ReconRun, *, change: str = "") -> Iterator[Row]:
    """All of them, a few thousand at a time."""
    after: tuple[str, int] | None = None
    for _page in numbers():
        rows = rows_compared(now, before, change=change, after=after, limit=5_000)
        yield from rows
        if len(rows) < 5_000:
            return
        after = (rows[-1].match_key, rows[-1].n)


def _totals(now: ReconRun, before: ReconRun) -> list[Pair]:
    """Our side, the channel's, and what matched."""
    return [
        Pair("own", before.own_count, before.own_amount, now.own_count, now.own_amount),
        Pair("channel", before.channel_count, before.channel_amount, now.channel_count, now.channel_amount),
    ]


def _results(now: ReconRun, before: ReconRun) -> list[Pair]:
    pairs = []
    for kind in ResultKind.values:
        first, second = before.results.get(kind), now.results.get(kind)
        if first is None and second is None:
            continue
        first, second = first or {}, second or {}
        pairs.append(
            Pair(kind, first.get("count", 0), first.get("amount", 0), second.get("count", 0), second.get("amount", 0))
        )
    return pairs


def _vouchers(now: ReconRun, before: ReconRun) -> list[VoucherPair]:
    sides = [{(row.event, row.merchant_no): row for row in run.vouchers.all()} for run in (before, now)]
    pairs = []
    for key in sorted(sides[0] | sides[1]):
        first, second = (side.get(key) for side in sides)
        pairs.append(
            VoucherPair(
                *key,
                before=dict(first.amounts) if first else {},
                now=dict(second.amounts) if second else {},
                before_voucher=first.voucher_id if first else None,
                now_voucher=second.voucher_id if second else None,
            )
        )
    return pairs


def comparison_as_dict(comparison: Comparison) -> dict[str, Any]:
    """For `reconcile --compare --json`; amounts are minor units, record numbers text."""
    return {
        "channel": comparison.now.contract.code,
        "date": comparison.now.channel_date.isoformat(),
        "before": _run_as_dict(comparison.before),
        "now": _run_as_dict(comparison.now),
        "same_file": comparison.same_file,
        "changes": comparison.changes,
        "totals": [asdict(pair) for pair in comparison.totals],
        "results": [asdict(pair) for pair in comparison.results],
        "vouchers": [
            asdict(pair) | {"before_voucher": _text(pair.before_voucher), "now_voucher": _text(pair.now_voucher)}
            for pair in comparison.vouchers
        ],
        "differences": [
            {
                "key": row.match_key,
                "change": row.change,
                "before": _side_as_dict(row.before),
                "now": _side_as_dict(row.now),
            }
            for row in rows_streamed(comparison.now, comparison.before)
        ],
    }


def _run_as_dict(run: ReconRun) -> dict[str, Any]:
    return {
        "run_no": run.run_no,
        "date": run.channel_date.isoformat(),
        "file": {"id": run.file_id, "version": run.file.version, "sha256": run.file.sha256, "proven": run.file.proven},
    }


def _side_as_dict(side: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {**side, "transaction": _text(side["transaction"]), "bill_line": _text(side["bill_line"])}


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
