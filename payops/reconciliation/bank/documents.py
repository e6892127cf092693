"""What an entry of a reserve account and a line of the bank's statement are known by, so that they find each other.

A bank line books under its own number; a payout and its return are known by the payout's number on both sides. What a
correction cancelled is known by the voucher it cancelled, so that the two end together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from payops.accounts.choices import Event
from payops.accounts.models import CorrectionVoucher, Voucher
from payops.channels.choices import BankLineKind
from payops.channels.models import BankLine

LINE_SOURCE: Final = "bank_line"
PAYOUT_SOURCE: Final = "payout"
CORRECTION_SOURCE: Final = "correction_voucher"
_MOVEMENTS: Final = (BankLineKind.PAYOUT, BankLineKind.RETURN)
_PAYOUT_EVENTS: Final = {Event.PAYOUT_CONFIRMED: BankLineKind.PAYOUT, Event.PAYOUT_RETURNED: BankLineKind.RETURN}


def line_key(line: BankLine) -> str:
    """What a bank line is known by as things stand; a line that is identified later may get another."""
    if line.kind in _MOVEMENTS and line.payout_no:
        return f"{line.kind}:{line.payout_no}"
    return f"line:{line.pk}"


def entry_keys(rows: Sequence[Any]) -> dict[int, str]:
    """Keys of rows of an account's ledger, by entry."""
    cancelled = _cancelled(row.source_id for row in rows if row.source_kind == CORRECTION_SOURCE)
    keys = {}
    for row in rows:
        voucher = cancelled.get(row.source_id) if row.source_kind == CORRECTION_SOURCE else None
        keys[row.entry_id] = (
            _key(row.voucher_id, row.event, row.source_kind, row.source_id, row.memo)
            if voucher is None
            else _key(voucher.pk, voucher.event, voucher.source_kind, voucher.source_id, voucher.memo)
        )
    return keys


def _key(voucher_id: int, event: int, source_kind: str, source_id: int, memo: str) -> str:
    if source_kind == LINE_SOURCE:
        return f"line:{source_id}"
    if source_kind == PAYOUT_SOURCE and event in _PAYOUT_EVENTS:
        # A payout's vouchers carry its number as their memo.
        return f"{_PAYOUT_EVENTS[Event(event)]}:{memo}"
    return f"voucher:{voucher_id}"


def _cancelled(corrections: Iterable[int]) -> dict[int, Voucher]:
    """The voucher at the bottom of what each correction voucher cancelled, by the number of the correction."""
    found: dict[int, Voucher] = {}
    wanted = {number: number for number in corrections}
    while wanted:
        reverses = dict(
            CorrectionVoucher.objects.filter(pk__in=wanted.values(), reverses__isnull=False).values_list(
                "pk", "reverses"
            )
        )
        vouchers = {row.pk: row for row in Voucher.objects.filter(pk__in=sorted(set(reverses.values())))}
        bottom = {number: vouchers[reverses[each]] for number, each in wanted.items() if each in reverses}
        found |= bottom
        wanted = {number: row.source_id for number, row in bottom.items() if row.source_kind == CORRECTION_SOURCE}
    return found
