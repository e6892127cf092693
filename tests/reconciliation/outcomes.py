"""Everything a run leaves behind, without the numbers of its records, so that two runs of a day can be compared."""

from __future__ import annotations

from typing import Any

from payops.accounts.models import Account
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.models import (
    ChannelReceipt,
    MatchLink,
    MatchMember,
    OpenItem,
    ReconResult,
    ReconRun,
    RunVoucher,
)

RUN = ("own_count", "own_amount", "channel_count", "channel_amount", "matched_count", "totals", "results", "equation")
RESULT = (
    "kind",
    "match_key",
    "transaction_id",
    "bill_line_id",
    "own_amount",
    "channel_amount",
    "own_fee",
    "channel_fee",
    "d",
    "detail",
    "item__identity",
    "case__dedupe_key",
)
ITEM = (
    "contract",
    "side",
    "result",
    "state",
    "match_key",
    "kind",
    "transaction_id",
    "bill_line_id",
    "d",
    "fee_claim",
    "identity",
    "first_date",
    "definite_date",
    "cleared_date",
)


def outcome(run: ReconRun) -> dict[str, Any]:
    """The run, row by row in the order it was written, and the items, cases, links and balances after it."""
    run.refresh_from_db()
    results = ReconResult.objects.filter(run=run)
    return {
        "run": {name: getattr(run, name) for name in RUN},
        "results": list(results.order_by("id").values_list(*RESULT)),
        "vouchers": list(
            RunVoucher.objects.filter(run=run).order_by("id").values_list("event", "merchant_no", "amounts")
        ),
        "items": list(OpenItem.objects.order_by("id").values_list(*ITEM)),
        "cases": list(
            Discrepancy.objects.order_by("id").values_list("dedupe_key", "kind", "state", "amount", "suspense")
        ),
        "links": list(MatchLink.objects.order_by("transaction_id").values_list("transaction_id", "bill_line_id")),
        "groups": list(MatchMember.objects.order_by("id").values_list("side", "row_id", "amount", "is_live")),
        "receipts": list(ChannelReceipt.objects.order_by("id").values_list("contract", "channel_date", "due")),
        "balances": list(
            Account.objects.exclude(balance=0)
            .order_by("subject", "owner_no")
            .values_list("subject__code", "owner_no", "balance")
        ),
    }
