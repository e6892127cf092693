"""Compares what payops found on the sample days with the answer file: each planted difference, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from payops.discrepancies.choices import CaseState
from payops.discrepancies.models import Discrepancy
from payops.orders.choices import Status
from payops.orders.models import Transaction, TransactionKey
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.models import ReconResult, ReconRun
from payops.settlement.models import Payout, SettlementSheet

MAX_SHOWN: Final = 5
_Found = Counter[tuple[str, str, str, str]]


def differences_from(answers: dict[str, Any]) -> list[str]:
    """Everything that is not as the answers say, one sentence each; empty when all is."""
    found = _results()
    return [
        *_counts(answers, found),
        *_planted(answers, found),
        *_cases(answers),
        *_fates(answers),
        *_payouts(answers),
    ]


def _results() -> _Found:
    """(contract, channel date, kind, key) of every result of the current runs."""
    rows = (
        ReconResult.objects.filter(run__is_current=True)
        .exclude(kind=ResultKind.MATCHED)
        .values_list("run__contract__code", "run__channel_date", "kind", "match_key")
    )
    return Counter((code, day.isoformat(), kind, key) for code, day, kind, key in rows.iterator())


def _counts(answers: dict[str, Any], found: _Found) -> Iterator[str]:
    """How many results of each kind each run shows. This is where anything that should not be there shows up."""
    expected: Counter[tuple[str, str, str]] = Counter()
    for code, days in answers["counts"].items():
        for day, kinds in days.items():
            for kind, count in kinds.items():
                expected[code, day, kind] = count
    actual: Counter[tuple[str, str, str]] = Counter()
    for (code, day, kind, _key), count in found.items():
        actual[code, day, kind] += count
    for code, day, kind in sorted(set(expected) | set(actual)):
        wanted, got = expected[code, day, kind], actual[code, day, kind]
        if wanted != got:
            yield f"{code} {day}: {got} results {kind}, expected {wanted}{_named(answers, found, code, day, kind)}"


def _named(answers: dict[str, Any], found: _Found, code: str, day: str, kind: str) -> str:
    """The keys behind a wrong count, as far as they were not planted."""
    planted = {
        result["key"]
        for entry in answers["differences"]
        for result in entry["results"]
        if (entry["contract"], result["channel_date"], result["kind"]) == (code, day, kind)
    }
    keys = sorted(key for c, d, k, key in found if (c, d, k) == (code, day, kind) and key not in planted)
    return f" (not planted: {', '.join(keys[:MAX_SHOWN])})" if keys else ""


def _planted(answers: dict[str, Any], found: _Found) -> Iterator[str]:
    runs = {
        (code, day.isoformat())
        for code, day in ReconRun.objects.filter(is_current=True).values_list("contract__code", "channel_date")
    }
    for entry in answers["differences"]:
        for result in entry["results"]:
            code, day, kind, key = entry["contract"], result["channel_date"], result["kind"], result["key"]
            if (code, day) not in runs:
                yield f"{entry['id']} {entry['name']}: no current run of {code} {day}"
            elif not found[code, day, kind, key]:
                others = sorted(k for c, d, k, each in found if (c, d, each) == (code, day, key))
                seen = ", ".join(others) or "nothing"
                yield f"{entry['id']} {entry['name']} {key}: {kind} expected on {code} {day}, found {seen}"
            elif not _d_found(entry, result):
                yield f"{entry['id']} {entry['name']} {key}: {kind} on {code} {day}, d is not {result['d']}"


def _d_found(entry: dict[str, Any], result: dict[str, Any]) -> bool:
    rows = ReconResult.objects.filter(
        run__is_current=True,
        run__contract__code=entry["contract"],
        run__channel_date=result["channel_date"],
        kind=result["kind"],
        match_key=result["key"],
    )
    return result["d"] in set(rows.values_list("d", flat=True))


def _cases(answers: dict[str, Any]) -> Iterator[str]:
    """Cases by contract, kind and amount: none missing, none too many."""
    expected: Counter[tuple[str, str, int]] = Counter()
    for entry in [*answers["differences"], *answers["receipts"]]:
        if entry["case_kind"]:
            expected[entry["contract"], entry["case_kind"], entry["case_amount"]] += 1
    cases = Discrepancy.objects.exclude(state=CaseState.WITHDRAWN)
    actual: Counter[tuple[str, str, int]] = Counter(
        (code or "", kind, amount) for code, kind, amount in cases.values_list("contract__code", "kind", "amount")
    )
    yield from _off(expected, actual, "case missing", "case too many")


def _off(expected: Counter[Any], actual: Counter[Any], missing: str, surplus: str) -> Iterator[str]:
    for word, keys in ((missing, expected - actual), (surplus, actual - expected)):
        for key, count in sorted(keys.items()):
            yield f"{word}: {' '.join(map(str, key))} × {count}"


def _fates(answers: dict[str, Any]) -> Iterator[str]:
    for entry in answers["differences"]:
        fate = entry["fate"]
        if fate in ("recovered", "failed"):
            wanted = Status.SUCCEEDED if fate == "recovered" else Status.FAILED
            for number, status in _statuses(entry["transactions"]):
                if status != wanted:
                    yield f"{entry['id']} {entry['name']}: transaction {number} is {status}, expected {wanted}"
        if not entry["case_kind"]:
            continue
        case = _case_of(entry)
        if case is None:
            continue
        if fate in ("cleared", "recovered") and case.state != CaseState.AUTO_CLEARED:
            yield f"{entry['id']} {entry['name']}: case {case.case_no} is {case.state}, expected auto_cleared"
        if fate in ("escalated", "open") and (case.escalated_at is not None) != (fate == "escalated"):
            yield f"{entry['id']} {entry['name']}: case {case.case_no} should be {fate}"


def _statuses(numbers: Iterable[str]) -> Iterator[tuple[str, str]]:
    ids = dict(TransactionKey.objects.filter(pk__in=numbers).values_list("transaction_no", "transaction_id"))
    found = dict(Transaction.objects.filter(id__in=ids.values()).values_list("id", "status"))
    for number in numbers:
        yield number, found.get(ids.get(number, 0), "missing")


def _case_of(entry: dict[str, Any]) -> Discrepancy | None:
    """The case a planted difference led to, through the items its results point to."""
    return (
        Discrepancy.objects.filter(
            items__match_key=entry["key"],
            contract__code=entry["contract"],
            kind=entry["case_kind"],
            amount=entry["case_amount"],
        )
        .order_by("id")
        .first()
    )


def _payouts(answers: dict[str, Any]) -> Iterator[str]:
    for entry in answers["payouts"]:
        merchant, wanted = entry["merchant"], entry["state"]
        if wanted == "held":
            if Payout.objects.filter(merchant__merchant_no=merchant).exists():
                yield f"{merchant}: paid although settlement is held"
            continue
        first = Payout.objects.filter(merchant__merchant_no=merchant, previous=None).order_by("id").first()
        if first is None:
            sheets = SettlementSheet.objects.filter(merchant__merchant_no=merchant, payout_amount__gt=0)
            if sheets.exists():
                yield f"{merchant}: no payout, expected one that is {wanted}"
        elif first.state != wanted:
            yield f"{merchant}: payout {first.payout_no} is {first.state}, expected {wanted}"
