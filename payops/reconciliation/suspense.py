"""Where the suspense of cases was booked, and whether that voucher was reversed since (DOMAIN 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from payops.accounts.choices import Event
from payops.accounts.corrections import reversed_vouchers
from payops.accounts.models import PostingKey
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.models import OpenItem, ReceiptDifference, RunVoucher

SURPLUS: Final = (Event.SURPLUS_FOUND,)
SHORTAGE: Final = (Event.SHORTAGE_FOUND, Event.FEE_CLAIM)
OF_BANK_LINE: Final = (Event.UNIDENTIFIED_CREDIT, Event.UNIDENTIFIED_DEBIT)


def suspense_vouchers(cases: Sequence[Discrepancy]) -> dict[int, set[int]]:
    """Case id → the vouchers its suspense stands in: of its runs, its bank line, its receipt. Few queries for all."""
    found: dict[int, set[int]] = defaultdict(set)
    by_id = {case.pk: case for case in cases}
    items = OpenItem.objects.filter(case__in=by_id, definite_run__isnull=False)
    runs: dict[int, list[Discrepancy]] = defaultdict(list)
    for case_id, run_id in items.order_by().values_list("case_id", "definite_run_id").distinct():
        runs[run_id].append(by_id[case_id])
    booked = RunVoucher.objects.filter(run__in=runs, event__in=(*SURPLUS, *SHORTAGE), voucher_id__isnull=False)
    for run_id, event, voucher_id in booked.values_list("run_id", "event", "voucher_id"):
        for case in runs[run_id]:
            if event in (SURPLUS if case.suspense > 0 else SHORTAGE):
                found[case.pk].add(voucher_id)
    differences = ReceiptDifference.objects.filter(receipt__case__in=by_id, voucher_id__isnull=False)
    for case_id, voucher_id in differences.values_list("receipt__case_id", "voucher_id"):
        found[case_id].add(voucher_id)
    lines = {case.bank_line_id: case.pk for case in cases if case.bank_line_id}
    keys = PostingKey.objects.filter(event__in=OF_BANK_LINE, source_id__in=lines)
    for source_id, voucher_id in keys.values_list("source_id", "voucher_id"):
        found[lines[source_id]].add(voucher_id)
    return found


def reversed_suspense(cases: Sequence[Discrepancy]) -> dict[int, int]:
    """Case id → the reversed voucher, for cases whose suspense a whole-chain correction cancelled."""
    vouchers = suspense_vouchers(cases)
    cancelled = reversed_vouchers({voucher for of_case in vouchers.values() for voucher in of_case})
    return {case: min(hit) for case, of_case in vouchers.items() if (hit := of_case & cancelled)}
