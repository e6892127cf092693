"""What codes are called on screen: kinds of jobs and approvals, actions of the audit log, owners, totals of bills.

A code is what people type into a filter and find in a log, so lists show it below its words. One that is not named here
is shown as it is.
"""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from payops.console.cells import Cell

WORDS: Final[dict[str, Any]] = {
    # approvals
    "channels.bill_accept_held": _("Accept a held bill"),
    "channels.format_mapping": _("Mapped format"),
    "discrepancies.action": _("Action on a case"),
    "settlement.payout_batch": _("Payout batch"),
    "ledger.chart": _("Chart of accounts"),
    "ledger.account_status": _("Status of accounts"),
    "ledger.freeze": _("Freeze"),
    "ledger.posting_rule": _("Posting rule"),
    "merchants.customer_freeze": _("Freeze of a customer"),
    # jobs
    "channels.bill_parse": _("Read a bill"),
    "dayend.day": _("Walk a day"),
    "dayend.step": _("Step of a day"),
    "orders.load": _("Take in transactions"),
    "reconciliation.run": _("Reconcile a channel day"),
    "reconciliation.bucket": _("Compare a part of a channel day"),
    "reconciliation.join": _("Reconcile a channel day from its parts"),
    "reconciliation.export": _("Export of reconciliation"),
    "settlement.payouts_poll": _("Ask the bank for results"),
    "settlement.payouts_send": _("Send payouts"),
    "statements.ledger_export": _("Export of the ledger"),
    # audit log
    "api.token_issued": _("API token issued"),
    "api.token_revoked": _("API token revoked"),
    "approval.executed": _("Request approved"),
    "approval.rejected": _("Request rejected"),
    "approval.submitted": _("Request submitted"),
    "approval.withdrawn": _("Request withdrawn"),
    "channels.bill_accepted_without_lines": _("Bill accepted without unreadable lines"),
    "channels.bill_received": _("Bill received"),
    "channels.bill_taken_over": _("New version of a bill taken over"),
    "channels.receipts_loaded": _("Bank lines loaded"),
    "console.downloaded": _("List downloaded"),
    "settlement.payout_file_taken": _("Payout file taken"),
    "settlement.sheet_held": _("Settlement sheet held"),
    "ledger.accounts_opened": _("Accounts opened"),
    "setup.loaded": _("Set-up loaded"),
    "statement.downloaded": _("Statement downloaded"),
    "statement.made": _("Statement made"),
    "statements.export_requested": _("Export asked for"),
    "reconciliation.export_requested": _("Export asked for"),
    "transactions.exported": _("Transactions exported"),
    # owners of a posting rule's lines
    "merchant": _("Merchant"),
    "channel": _("Channel"),
    "bank": _("Reserve account"),
    "own_bank": _("Own-funds account"),
    "agent": _("Agent"),
    "institution": _("Institution"),
    # totals of a bill
    "all": _("All"),
    "payment": _("Payment"),
    "refund": _("Refund"),
    "void": _("Void"),
    "other_currencies": _("Other currencies"),
    "payment.count": _("Payments, number"),
    "payment.amount": _("Payments, amount"),
    "refund.count": _("Refunds, number"),
    "refund.amount": _("Refunds, amount"),
    "void.count": _("Voids, number"),
    "void.amount": _("Voids, amount"),
}


def word(code: str) -> Any:
    """What a code is called."""
    return WORDS.get(code, code)


def coded(code: str, url: str = "") -> Cell:
    """A code in words, with the code itself below, and alone in files."""
    return Cell(word(code), url, note=code if code in WORDS else "", raw=code)
