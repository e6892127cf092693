"""Where the suspense of cases was booked, and whether that voucher was reversed since (DOMAIN 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from payops.accounts.choices import DocumentState, Event
from payops.accounts.corrections import reversed_vouchers
from payops.accounts.models import CorrectionVoucher, PostingKey
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.models import OpenItem, ReceiptDifference, ReconRun, RunVoucher
from payops.reconciliation.selectors import receipt_lost

SURPLUS: Final = (Event.SURPLUS_FOUND,)
SHORTAGE: Final = (Event.SHORTAGE_FOUND, Event.FEE_CLAIM)
OF_BANK_LINE: Final = (Event.UNIDENTIFIED_CREDIT, Event.UNIDENTIFIED_DEBIT)


def suspense_vouchers(cases: Sequence[Discrepancy]) -> dict[int, set[int]]:
    """Case id → the vouchers its suspense stands in: of its runs, its bank line, its receipt. Few queries for all."""
    found: dict[int, set[int]] = defaultdict(set)
    by_id = {case.pk: case for case in cases}
    items = OpenItem.objects.filter(case__in=by_id, definite_run__isnull=False).select_related("definite_run")
    found_by = [(by_id[item.case_id], item.definite_run) for item in items]
    booked = _Booked([run for _case, run in found_by])
    for case, run in found_by:
        for event in SURPLUS if case.suspense > 0 else SHORTAGE:
            if (voucher_id := booked.stands_in(run, event)) is not None:
                found[case.pk].add(voucher_id)
    differences = ReceiptDifference.objects.filter(receipt__case__in=by_id, voucher_id__isnull=False)
    rows = list(differences.values_list("receipt__case_id", "receipt_id", "voucher_id"))
    lost = receipt_lost({receipt_id for _case, receipt_id, _voucher in rows})
    for case_id, receipt_id, voucher_id in rows:
        # Where nothing is lost, what was reversed is booked again.
        if receipt_id in lost:
            found[case_id].add(voucher_id)
    lines = {case.bank_line_id: case.pk for case in cases if case.bank_line_id}
    keys = PostingKey.objects.filter(event__in=OF_BANK_LINE, source_id__in=lines)
    for source_id, voucher_id in keys.values_list("source_id", "voucher_id"):
        found[lines[source_id]].add(voucher_id)
    return found


class _Booked:
    """What the runs of some days booked to suspense: after a reversal the next run of the day books it again."""

    def __init__(self, runs: Sequence[ReconRun]) -> None:
        rows = RunVoucher.objects.filter(
            contract__in={run.contract_id for run in runs},
            channel_date__in={run.channel_date for run in runs},
            event__in=(*SURPLUS, *SHORTAGE),
            voucher_id__isnull=False,
        )
        self.rows: dict[tuple[Any, ...], list[RunVoucher]] = defaultdict(list)
        for row in rows.select_related("run").order_by("pk"):
            self.rows[row.contract_id, row.channel_date, row.batch, row.event].append(row)
        corrected = CorrectionVoucher.objects.filter(
            reverses__in=[row.voucher_id for of_rule in self.rows.values() for row in of_rule],
            correction__state=DocumentState.BOOKED,
        )
        self.reversed_at = dict(corrected.values_list("reverses", "correction__booked_at"))

    def stands_in(self, run: ReconRun, event: Event) -> int | None:
        """The voucher in which what the run found stands by now; None where it booked nothing of the kind."""
        rows = self.rows[run.contract_id, run.channel_date, run.batch, event]
        row = next((row for row in rows if row.run_id == run.pk), None)
        while row is not None and (reversed_at := self.reversed_at.get(row.voucher_id)) is not None:
            again = next((later for later in rows if later.run.finished_at > reversed_at), None)
            if again is None:
                break
            row = again
        return row.voucher_id if row is not None else None


def reversed_suspense(cases: Sequence[Discrepancy]) -> dict[int, int]:
    """Case id → the reversed voucher, for cases whose suspense a whole-chain correction cancelled."""
    vouchers = suspense_vouchers(cases)
    cancelled = reversed_vouchers({voucher for of_case in vouchers.values() for voucher in of_case})
    return {case: min(hit) for case, of_case in vouchers.items() if (hit := of_case & cancelled)}
