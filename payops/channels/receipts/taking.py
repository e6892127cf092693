"""Bank lines into the table, whatever file they came from: what is new, known, or contradicts what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.channels.models import BankLine
from payops.core.money import format_amount

COMPARED: Final = ("value_date", "amount", "currency", "counterparty", "memo", "balance")
MAX_LISTED: Final = 1000
BATCH: Final = 2_000
"""Lines taken at a time."""


@dataclass(slots=True)
class ReceiptsResult:
    """What became of a file: `refused` lists invalid rows (state refused) or rows refused alone (state loaded)."""

    state: str = "loaded"
    name: str = ""
    sha256: str = ""
    rows: int = 0
    created: int = 0
    unchanged: int = 0
    format: str = "CSV"
    statements: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refused_count: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The outcome for machines."""
        return asdict(self)

    def refuse(self, fault: dict[str, Any]) -> None:
        """List a row, up to MAX_LISTED; count every one."""
        self.refused_count += 1
        if len(self.refused) < MAX_LISTED:
            self.refused.append(fault)


def take(
    lines: list[tuple[int, BankLine]],
    result: ReceiptsResult,
    compared: Sequence[str] = COMPARED,
    parts: Mapping[str, str] | None = None,
) -> None:
    """Insert what is new, whoever else loads at the same time; compare the rest with what is stored.

    `parts` names the batch of each line that is a part of one: a batch recorded whole is never recorded again in parts,
    nor the other way round.
    """
    lines = _without_split(lines, parts or {}, result)
    before = _stored(lines)
    BankLine.objects.bulk_create([line for _number, line in lines], ignore_conflicts=True)
    after = _stored(lines)
    claimed: set[tuple[int, str]] = set()
    for number, line in lines:
        key = (line.bank_account_id, line.reference)
        differing = _difference(line, after[key], compared)
        if differing is not None:
            name, value, stored = differing
            result.refuse(
                {
                    "line": number,
                    "field": name,
                    "value": value,
                    "stored": stored,
                    "code": "receipts.contradiction",
                    "reason": _(
                        "Reference %(reference)s is recorded with “%(stored)s”, this row says “%(value)s”. "
                        "The record stays; ask the bank which one is right."
                    )
                    % {"reference": line.reference, "stored": stored, "value": value},
                }
            )
        elif key in before or key in claimed:
            result.unchanged += 1
        else:
            claimed.add(key)
            result.created += 1


def _without_split(
    lines: list[tuple[int, BankLine]], parts: Mapping[str, str], result: ReceiptsResult
) -> list[tuple[int, BankLine]]:
    """The lines but those whose money is recorded already under the batch's reference or under its parts'."""
    rivals = {line.reference: parts.get(line.reference) or f"{line.reference}/1" for _number, line in lines}
    recorded = set(
        BankLine.objects.filter(
            bank_account_id__in={line.bank_account_id for _number, line in lines}, reference__in=rivals.values()
        ).values_list("bank_account_id", "reference")
    )
    in_file = {(line.bank_account_id, line.reference) for _number, line in lines}
    kept = []
    for number, line in lines:
        rival = rivals[line.reference]
        known = (line.bank_account_id, rival) in recorded - in_file
        if not known:
            kept.append((number, line))
            continue
        result.refuse(
            {
                "line": number,
                "field": "bank_reference",
                "value": line.reference,
                "stored": rival,
                "code": "receipts.split_differs",
                "reason": _(
                    "%(reference)s is recorded already as %(stored)s: a batch is taken whole or in parts, never both."
                )
                % {"reference": line.reference, "stored": rival},
            }
        )
    return kept


def _stored(lines: list[tuple[int, BankLine]]) -> dict[tuple[int, str], BankLine]:
    found = BankLine.objects.filter(
        bank_account_id__in={line.bank_account_id for _number, line in lines},
        reference__in=[line.reference for _number, line in lines],
    )
    return {(line.bank_account_id, line.reference): line for line in found}


def _difference(line: BankLine, stored: BankLine, compared: Sequence[str]) -> tuple[str, str, str] | None:
    for name in compared:
        new, old = getattr(line, name), getattr(stored, name)
        if new != old:
            if name in ("amount", "balance"):
                shown = ["" if value is None else format_amount(value, line.currency) for value in (new, old)]
                return name, shown[0], shown[1]
            return name, str(new), str(old)
    return None
