"""A second opinion on the sample days: DOMAIN 7.2 row by row in plain Python, knowing nothing of the real runs."""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payops.channels.formats import Expectation, Source, get_format
from payops.core.money import parse_amount
from payops.dayend.sample.plan import BEIJING, BY_CODE, FEE_TOLERANCE, MARGIN, OWN_CUT_OFF, Contract, own_date
from payops.fees.engine import refund_fee


@dataclass
class Own:
    number: str
    key: str
    kind: str
    amount: int
    status: str
    counted_at: dt.datetime | None
    at: dt.datetime
    own_date: dt.date
    cost: int
    original: str

    @property
    def value(self) -> int:
        sign = 1 if self.kind == "payment" else -1
        return sign * self.amount if self.counted_at else 0


def read_orders(path: Path, code: str, open_day: dt.date, known: dict[str, Own], refunded: dict[str, Any]) -> None:
    """One order file, as intake understands it: upsert by number, closed days pushed to the open one."""
    contract = BY_CODE[code]
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        if row["channel"] != code:
            continue
        created = dt.datetime.fromisoformat(row["created_at"])
        succeeded = dt.datetime.fromisoformat(row["succeeded_at"]) if row["succeeded_at"] else None
        accepted = row["kind"] == "refund" and contract.refund_by_acceptance
        counted = created if accepted and row["status"] in ("processing", "succeeded") else succeeded
        amount = parse_amount(row["amount"], "CNY")
        number = row["transaction_no"]
        if number in known:
            known[number].status = row["status"]
            continue
        at = counted or created
        known[number] = Own(
            number=number,
            key=row["channel_request_no"],
            kind=row["kind"],
            amount=amount,
            status=row["status"],
            counted_at=counted,
            at=at,
            own_date=max(own_date(at), open_day),
            cost=_cost(contract, row, amount, known, refunded),
            original=row["original_transaction_no"],
        )


def _cost(contract: Contract, row: dict[str, str], amount: int, known: dict[str, Own], refunded: dict[str, Any]) -> int:
    if row["kind"] == "payment":
        return contract.cost_function(row["card_type"])(amount)
    paid = known[row["original_transaction_no"]]
    taken, returned = refunded.get(paid.number, (0, 0))
    back = refund_fee(policy="pro_rata", fee=paid.cost, amount=paid.amount, refunded=taken + amount, returned=returned)
    refunded[paid.number] = (taken + amount, returned + back)
    return -back


def window(contract: Contract, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    cuts = sorted((dt.datetime.combine(day, OWN_CUT_OFF, BEIJING), contract.cut_off_at(day)))
    return cuts[0] - MARGIN, cuts[1] + MARGIN


def reconcile(root: Path, code: str, days: list[dt.date]) -> Counter[tuple[dt.date, str, str]]:
    """(channel date, result kind, key) → how often, over all days."""
    naive = Naive(root, BY_CODE[code])
    for day in days:
        naive.run(day)
    return naive.found


class Naive:
    """Walks the days of one contract and remembers what waits for its other half."""

    def __init__(self, root: Path, contract: Contract) -> None:
        self.root, self.contract = root, contract
        self.known: dict[str, Own] = {}
        self.refunded: dict[str, Any] = {}
        self.found: Counter[tuple[dt.date, str, str]] = Counter()
        # Key and kind → whether it still is in doubt.
        self.waiting_own: dict[tuple[str, str], bool] = {}
        self.waiting_lines: dict[tuple[str, str], bool] = {}
        self.matched: set[tuple[str, str]] = set()

    def run(self, day: dt.date) -> None:
        path = self.root / day.isoformat() / "orders.csv"
        read_orders(path, self.contract.code, day, self.known, self.refunded)
        self.day = day
        self.old = [set(self.waiting_own), set(self.waiting_lines)]
        own = self._own_of_the_day()
        alone = self._match(own)
        self._clear_lines(own)
        self._offset(own)
        alone = self._kinds(own, alone)
        self._leave(own, alone)
        self._give_up()

    def note(self, kind: str, key: str) -> None:
        self.found[self.day, kind, key] += 1

    def _own_of_the_day(self) -> dict[tuple[str, str], Own]:
        own: dict[tuple[str, str], Own] = {}
        for row in self.known.values():
            if row.own_date != self.day:
                continue
            if (row.key, row.kind) in own:
                self.note("duplicate_own", row.key)
            else:
                own[row.key, row.kind] = row
        return own

    def _match(self, own: dict[tuple[str, str], Own]) -> list[Any]:
        alone = []
        for line in _lines(self.root, self.contract, self.day):
            key = (line.match_key, line.kind)
            row = own.pop(key, None)
            if row is not None:
                kind = _verdict(row, line)
                if kind:
                    self.note(kind, line.match_key)
                if kind == "status_mismatch" and row.status != "closed":
                    self._recover(row, key)
                    continue
            elif key in self.matched:
                self.note("duplicate_channel", line.match_key)
            elif key in self.waiting_own:
                self.waiting_own.pop(key)
                self.note("own_cleared", line.match_key)
            else:
                alone.append(line)
                continue
            self.matched.add(key)
        return alone

    def _recover(self, row: Own, key: tuple[str, str]) -> None:
        """A lost order succeeds with tomorrow's own date; its line waits for it."""
        row.status, row.counted_at, row.own_date = "succeeded", row.at, self.day + dt.timedelta(days=1)
        self.waiting_lines[key] = False

    def _clear_lines(self, own: dict[tuple[str, str], Own]) -> None:
        for key in [key for key, row in own.items() if key in self.waiting_lines and row.counted_at]:
            self.waiting_lines.pop(key)
            self.matched.add(key)
            self.note("channel_cleared", own.pop(key).key)

    def _offset(self, own: dict[tuple[str, str], Own]) -> None:
        paid = {row.number: key for key, row in own.items() if row.kind == "payment" and row.counted_at}
        for key in [key for key, row in own.items() if row.kind == "void" and row.original in paid]:
            void = own.pop(key)
            self.note("offset", void.key)
            self.note("offset", own.pop(paid[void.original]).key)

    def _kinds(self, own: dict[tuple[str, str], Own], alone: list[Any]) -> list[Any]:
        keys = {row.key: key for key, row in own.items() if row.counted_at}
        rest = []
        for line in alone:
            if line.match_key in keys:
                own.pop(keys[line.match_key])
                self.note("kind_mismatch", line.match_key)
            else:
                rest.append(line)
        return rest

    def _leave(self, own: dict[tuple[str, str], Own], alone: list[Any]) -> None:
        start, end = window(self.contract, self.day)
        for line in alone:
            inside = start <= dt.datetime.fromisoformat(line.occurred_at) < end
            self.waiting_lines[line.match_key, line.kind] = inside
            self.note("channel_in_doubt" if inside else "channel_only", line.match_key)
        for key, row in own.items():
            if row.counted_at:
                inside = start <= row.at < end
                self.waiting_own[key] = inside
                self.note("own_in_doubt" if inside else "own_only", row.key)
            elif row.status == "unknown":
                self.note("failed_absent", row.key)

    def _give_up(self) -> None:
        """What was in doubt yesterday and still waits is a difference now."""
        pairs = zip((self.waiting_own, self.waiting_lines), self.old, ("own_only", "channel_only"), strict=True)
        for waiting, old, kind in pairs:
            for key in sorted(old & {key for key, inside in waiting.items() if inside}):
                waiting[key] = False
                self.note(kind, key[0])


def _lines(root: Path, contract: Contract, day: dt.date) -> Any:
    (path,) = (root / day.isoformat()).glob(f"bill_{contract.code}_*")
    expect = Expectation(account=contract.account_no, channel_date=day, file_name=path.name)
    reader = get_format(contract.bill_format).open(Source.of(path), expect)
    yield from reader
    assert not reader.bad_lines


def _verdict(own: Own, line: Any) -> str:
    if not own.counted_at:
        return "status_mismatch"
    if line.currency != "CNY":
        return "currency_mismatch"
    if line.amount != own.amount:
        return "amount_mismatch"
    paid = line.settled_amount + line.fee
    gross = own.value
    expected = own.cost * paid // gross
    return "fee_mismatch" if abs(line.fee - expected) > FEE_TOLERANCE else ""
