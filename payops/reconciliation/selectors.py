"""Reads of runs, items and receipts."""

from collections.abc import Collection
from datetime import date
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from payops.accounts.choices import DocumentState
from payops.accounts.models import CorrectionVoucher
from payops.channels.models import ChannelContract
from payops.reconciliation.buckets.models import RunSplit
from payops.reconciliation.choices import ItemState
from payops.reconciliation.models import ChannelReceipt, OpenItem, ReceiptDifference, ReconRun, RunVoucher


def current_run(contract: ChannelContract, day: date, batch: int = 1) -> ReconRun | None:
    """The run that counts for a contract's channel date; None before the first complete one."""
    return ReconRun.objects.filter(contract=contract, channel_date=day, batch=batch, is_current=True).first()


def run_vouchers_standing() -> QuerySet[RunVoucher]:
    """What runs booked and nobody reversed: only this is in the books, and the next run of its day books the rest."""
    return RunVoucher.objects.exclude(voucher_id__in=_reversed())


def receipt_differences_reversed() -> QuerySet[ReceiptDifference]:
    """Differences of receipts whose vouchers somebody reversed; the next check of the receipt books them again."""
    return ReceiptDifference.objects.filter(voucher_id__in=_reversed())


def receipt_lost(receipt_ids: Collection[int]) -> dict[int, int]:
    """By receipt, what was booked as its difference and is in the books no more (minor units), where there is any."""
    standing = Sum("differences__amount", filter=~Q(differences__voucher_id__in=_reversed()), default=0)
    receipts = ChannelReceipt.objects.filter(pk__in=receipt_ids).annotate(standing=standing)
    booked = receipts.exclude(short_booked=F("standing")).values_list("pk", "short_booked", "standing")
    return {pk: short - left for pk, short, left in booked}


def _reversed() -> QuerySet[CorrectionVoucher, int]:
    booked = CorrectionVoucher.objects.filter(reverses__isnull=False, correction__state=DocumentState.BOOKED)
    return booked.values("reverses")


def open_items(contract: ChannelContract | None = None) -> QuerySet[OpenItem]:
    """Items every run re-tries: in doubt and definite."""
    items = OpenItem.objects.filter(state__in=(ItemState.IN_DOUBT, ItemState.DEFINITE))
    return items if contract is None else items.filter(contract=contract)


def items_by_first_date() -> list[tuple[date, int]]:
    """How many items every run re-tries by the day they were first seen on, the latest first."""
    counted = open_items().order_by("-first_date").values_list("first_date").annotate(number=Count("id"))
    return list(counted)


def run_as_dict(run: ReconRun) -> dict[str, Any]:
    """A run with its differences, for `reconcile --json`; amounts are minor units, ids text."""
    return {
        "run": run.pk,
        "channel": run.contract.code,
        "date": run.channel_date.isoformat(),
        "batch": run.batch,
        "run_no": run.run_no,
        "file": {"id": run.file_id, "version": run.file.version, "proven": run.file.proven},
        "own": {"count": run.own_count, "amount": run.own_amount},
        "bill": {"count": run.channel_count, "amount": run.channel_amount},
        "totals": run.totals,
        "results": run.results,
        "equation": run.equation,
        "buckets": _buckets(run),
        "vouchers": [
            {
                "event": voucher.get_event_display(),
                "merchant": voucher.merchant_no,
                "amounts": voucher.amounts,
                "voucher": str(voucher.voucher_id) if voucher.voucher_id else None,
            }
            for voucher in run.vouchers.all()
        ],
        "discrepancies": [
            {
                "result": row.kind,
                "key": row.match_key,
                "transaction": str(row.transaction_id) if row.transaction_id else None,
                "bill_line": str(row.bill_line_id) if row.bill_line_id else None,
                "own_amount": row.own_amount,
                "channel_amount": row.channel_amount,
                "d": row.d,
                "case": row.case.case_no if row.case else None,
            }
            for row in run.result_rows.select_related("case").order_by("id")
        ],
    }


def _buckets(run: ReconRun) -> list[dict[str, int]]:
    """What each child run of a run in buckets compared, of several of a bucket the last; empty for a whole one."""
    split = RunSplit.objects.filter(run=run).first()
    if split is None:
        return []
    latest = {result.bucket: result for result in split.results.order_by("turn")}
    return [
        {
            "bucket": bucket,
            "own": result.own_count,
            "lines": result.line_count,
            "milliseconds": result.milliseconds,
        }
        for bucket, result in sorted(latest.items())
    ]
