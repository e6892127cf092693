"""The answer file: what was planted, when it must be found as what, and how many carried rows the clock alone makes.

`differences` lists every planted difference; `counts` gives, per contract and channel date, how many results of each
kind a run must show: planted and natural together (a channel line of 23:30 belongs to our next day).
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Finding:
    """One result a run must show: its channel date, kind (`ResultKind`), key, and d = channel − own in minor units."""

    day: dt.date
    kind: str
    d: int
    key: str

    def as_json(self) -> dict[str, Any]:
        return {"channel_date": self.day.isoformat(), "kind": self.kind, "d": self.d, "key": self.key}


@dataclass(slots=True)
class Planted:
    """One planted difference. `fate` is what becomes of it: open, cleared, recovered, failed, escalated."""

    name: str
    contract: str
    key: str
    currency: str
    findings: list[Finding]
    fate: str
    fate_date: dt.date | None = None
    case_kind: str = ""
    case_amount: int = 0
    transactions: list[str] = field(default_factory=list)
    note: str = ""

    def as_json(self, number: int) -> dict[str, Any]:
        first = self.findings[0]
        return {
            "id": f"D{number:03d}",
            "name": self.name,
            "kind": first.kind,
            "case_kind": self.case_kind,
            "case_amount": self.case_amount,
            "contract": self.contract,
            "channel_date": first.day.isoformat(),
            "d": first.d,
            "currency": self.currency,
            "key": self.key,
            "transactions": self.transactions,
            "results": [finding.as_json() for finding in self.findings],
            "fate": self.fate,
            "fate_date": self.fate_date.isoformat() if self.fate_date else None,
            "note": self.note,
        }


@dataclass(slots=True)
class Answers:
    """Collects the answers while the days are made and writes them at the end."""

    days: list[dt.date]
    planted: list[Planted] = field(default_factory=list)
    natural: dict[tuple[str, dt.date, str], int] = field(default_factory=dict)
    totals: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    payouts: list[dict[str, Any]] = field(default_factory=list)

    def plant(self, planted: Planted) -> None:
        self.planted.append(planted)

    def count_natural(self, contract: str, day: dt.date, kind: str, count: int) -> None:
        if count and day in self.days:
            key = (contract, day, kind)
            self.natural[key] = self.natural.get(key, 0) + count

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Contract → channel date → result kind → how many; days without results stand there empty."""
        counts: dict[str, dict[str, dict[str, int]]] = {}
        every = dict(self.natural)
        for planted in self.planted:
            for finding in planted.findings:
                if finding.day in self.days:
                    key = (planted.contract, finding.day, finding.kind)
                    every[key] = every.get(key, 0) + 1
        for contract, day, kind in sorted(every, key=lambda key: (key[0], key[1], key[2])):
            counts.setdefault(contract, {}).setdefault(day.isoformat(), {})[kind] = every[contract, day, kind]
        return counts

    def write(self, path: Path, options: dict[str, Any]) -> None:
        self.planted.sort(key=lambda planted: (planted.findings[0].day, planted.contract, planted.name, planted.key))
        document = {
            "made_by": options,
            "differences": [planted.as_json(number) for number, planted in enumerate(self.planted, start=1)],
            "counts": self.counts(),
            "totals": self.totals,
            "receipts": self.receipts,
            "payouts": self.payouts,
        }
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
