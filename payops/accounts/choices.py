"""Value sets of the ledger (DOMAIN 4)."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Element(models.TextChoices):
    """The five elements of the chart, and memorandum accounts outside it."""

    ASSET = "asset", _("Asset")
    LIABILITY = "liability", _("Liability")
    COMMON = "common", _("Common")
    INCOME = "income", _("Income")
    EXPENSE = "expense", _("Expense")
    MEMO = "memo", _("Memorandum")


class Side(models.TextChoices):
    """Debit or credit."""

    DEBIT = "D", _("Debit")
    CREDIT = "C", _("Credit")


class OwnerKind(models.TextChoices):
    """Whose account it is; `owner_no` is the number within the kind."""

    INSTITUTION = "institution", _("Institution")
    CHANNEL = "channel", _("Channel contract")
    BANK = "bank", _("Bank account")
    MERCHANT = "merchant", _("Merchant")
    AGENT = "agent", _("Agent")


class PostingMode(models.TextChoices):
    """When the stored balance follows the entries."""

    REALTIME = "realtime", _("Real-time")
    BUFFERED = "buffered", _("Buffered")
    SUMMARY = "summary", _("Summary at day end")


class AccountStatus(models.TextChoices):
    """Restrictions refuse instructions, never facts (DOMAIN 4.4)."""

    NORMAL = "normal", _("Normal")
    CREDIT_ONLY = "credit_only", _("Credit only")
    DEBIT_ONLY = "debit_only", _("Debit only")
    STOPPED = "stopped", _("Stopped")
    JUDICIAL = "judicial", _("Judicial freeze")
    CLOSED = "closed", pgettext_lazy("account", "Closed")


class DayState(models.TextChoices):
    """Life of an accounting day; a closed day is never reopened."""

    OPEN = "open", pgettext_lazy("accounting day", "Open")
    CUT_OFF = "cut_off", pgettext_lazy("accounting day", "Cut off")
    CLOSED = "closed", pgettext_lazy("accounting day", "Closed")


class RuleState(models.TextChoices):
    """Life of one version of a posting rule."""

    DRAFT = "draft", _("Draft")
    ACTIVE = "active", pgettext_lazy("posting rule", "Active")
    RETIRED = "retired", _("Retired")


class Event(models.IntegerChoices):
    """Business events that make vouchers (DOMAIN 4.5). The number is part of the posting key and never changes."""

    PAYMENT = 101, _("Payment succeeded")
    VOID = 102, _("Void")
    TOPUP = 103, _("Top-up")
    REFUND_ACCEPTED_PENDING = 111, _("Refund accepted, from pending")
    REFUND_ACCEPTED_SETTLEMENT = 112, _("Refund accepted, from settlement")
    REFUND_TAKEN = 113, _("Refund taken by the channel")
    REFUND_FAILED_PENDING = 114, _("Refund failed, back to pending")
    REFUND_FAILED_SETTLEMENT = 115, _("Refund failed, back to settlement")
    REFUND_RETURNED = 116, _("Refund returned after success")
    REFUND_BY_PAYOUT = 117, _("Refund by payout")
    REFUND_PAYOUT_FAILED = 118, _("Refund by payout failed")
    REFUND_PAYOUT_RETURNED = 119, _("Refund by payout returned")
    ESCROW_PAID = 121, _("Escrow payment succeeded")
    ESCROW_CONFIRMED = 122, _("Escrow payment confirmed")
    REFUND_ACCEPTED_ESCROW = 123, _("Refund accepted, from escrow")
    REFUND_FAILED_ESCROW = 124, _("Refund failed, back to escrow")
    SUBSIDY = 131, _("Subsidy to the merchant")
    BILL_NETTED = 201, _("Bill taken, cost netted")
    BILL_BILLED = 202, _("Bill taken, cost billed separately")
    BILL_DISCOUNT = 203, _("Matched line with merchant-funded discount")
    SURPLUS_FOUND = 211, _("Surplus to suspense")
    SHORTAGE_FOUND = 212, _("Shortage to suspense")
    SURPLUS_CLEARED = 213, _("Surplus cleared by its other half")
    SHORTAGE_CLEARED = 214, _("Shortage cleared by its other half")
    FEE_CLAIM = 215, _("Fee over tolerance claimed from the channel")
    FEE_CLAIM_CLEARED = 216, _("Fee claim cleared")
    RECEIPT = 221, _("Bank receipt")
    RECEIPT_SHORT = 222, _("Receipt short of the bill")
    RECEIPT_OVER = 223, _("Receipt over the bill")
    UNIDENTIFIED_CREDIT = 224, _("Unidentified bank credit")
    UNIDENTIFIED_DEBIT = 225, _("Unidentified bank debit")
    COST_BILL_PAID = 226, _("Channel cost bill paid")
    SCHEME_FEE = 227, _("Scheme or brand fee deducted by the channel")
    RESERVE_INTEREST = 228, _("Reserve interest")
    BANK_CHARGE = 229, _("Bank charge")
    UNIDENTIFIED_CREDIT_KNOWN = 230, _("Unidentified bank credit explained")
    UNIDENTIFIED_DEBIT_KNOWN = 231, _("Unidentified bank debit explained")
    OFFLINE_RECEIPT = 232, _("Offline receipt credited to the merchant")
    SUPPLEMENT = 301, _("Lost order supplemented")
    SURPLUS_TO_PAYER = 302, _("Surplus to the payer")
    SURPLUS_TO_INCOME = 303, _("Surplus to income")
    RECOVER_PENDING = 304, _("Recovered from merchant, from pending")
    RECOVER_SETTLEMENT = 305, _("Recovered from merchant, from settlement")
    RECOVER_RECEIVABLE = 306, _("Recovered from merchant, as a receivable")
    RECOVERY_COLLECTED = 307, _("Recovery collected")
    RECOVERY_GIVEN_UP = 308, _("Recovery given up")
    LOSS = 309, _("Loss accepted")
    CHARGEBACK_SETTLEMENT = 311, _("Chargeback, from settlement")
    CHARGEBACK_RECEIVABLE = 312, _("Chargeback, as a receivable")
    REPRESENTMENT_SETTLEMENT = 313, _("Representment won, to settlement")
    REPRESENTMENT_RECOVERY = 314, _("Representment won, off the receivable")
    REPRESENTMENT_LOSS = 315, _("Representment won, off the loss")
    CLEARING_NET = 401, _("Clearing, net")
    CLEARING_GROSS = 402, _("Clearing, gross with post-charged fee")
    CLEARING_REFUND_FEE_NET = 403, _("Returned fee of a refund from settlement, net")
    CLEARING_REFUND_FEE_GROSS = 404, _("Returned fee of a refund from settlement, gross")
    CLEARING_PREPAID = 405, _("Clearing, fee prepaid")
    CLEARING_REFUND_FEE_PREPAID = 406, _("Returned fee of a refund from settlement, prepaid")
    PAYOUT_SUBMITTED = 411, _("Payout approved and submitted")
    PAYOUT_CONFIRMED = 412, _("Payout confirmed")
    PAYOUT_FAILED = 413, _("Payout failed")
    PAYOUT_RETURNED = 414, _("Payout returned")
    FEE_CARRIED = 421, _("Fee income carried out of the reserve")
    OWN_FUNDS_COVER = 422, _("Own funds cover")
    OWN_FUNDS_REPAID_OUT = 423, _("Own funds repaid, out of the reserve")
    OWN_FUNDS_REPAID_IN = 424, _("Own funds repaid, into own funds")
    TRANSFER_OUT = 425, _("Transfer between reserve accounts, out")
    TRANSFER_IN = 426, _("Transfer between reserve accounts, in")
    FEE_COLLECTED_BANK = 431, _("Post-charged fee collected, into own funds")
    FEE_COLLECTED_SETTLEMENT = 432, _("Post-charged fee collected, from settlement")
    FEE_WAIVED = 433, _("Post-charged fee waived")
    DISCOUNT_SETTLEMENT = 434, _("Volume discount, to settlement")
    DISCOUNT_RECEIVABLE = 435, _("Volume discount, off the fees receivable")
    PREPAID_TOPUP = 436, _("Prepaid fees topped up")
    D0_ADVANCE = 441, _("D0 advance approved")
    D0_CONFIRMED = 442, _("D0 advance confirmed")
    D0_FAILED = 443, _("D0 advance failed")
    D0_RETURNED = 444, _("D0 advance returned")
    D0_CLEARED = 445, _("D0 cleared")
    D0_SQUARED = 446, _("D0 advance squared")
    PROFIT_SHARE = 451, _("Profit share computed")
    PROFIT_SHARE_SUBMITTED = 452, _("Profit share submitted for payment")
    PROFIT_SHARE_CONFIRMED = 453, _("Profit share paid")
    PROFIT_SHARE_FAILED = 454, _("Profit share payment failed")
    PROFIT_SHARE_RETURNED = 455, _("Profit share payment returned")
    DEPOSIT_TAKEN = 461, _("Merchant's deposit taken")
    DEPOSIT_RELEASED = 462, _("Merchant's deposit released")
    MANUAL = 901, _("Manual voucher")
    CORRECTION_WIPE = 911, _("Same-day wipe")
    CORRECTION_REVERSAL = 912, _("Same-day reversal")
    CORRECTION_NEXT_DAY = 913, _("Next-day correction")
    CORRECTION_RED_REVERSAL = 914, _("Next-day red reversal")
    CORRECTION_PRIOR_YEAR = 915, _("Correction of a prior year")


def event_choices() -> list[tuple[int, Any]]:
    """The events for a model field: given as a function, so that a new event needs no migration of every table."""
    return Event.choices


LINE_EVENTS = (
    Event.MANUAL,
    Event.CORRECTION_WIPE,
    Event.CORRECTION_REVERSAL,
    Event.CORRECTION_NEXT_DAY,
    Event.CORRECTION_RED_REVERSAL,
    Event.CORRECTION_PRIOR_YEAR,
)
"""Events whose lines are given with the document; they have no posting rule."""


class CorrectionKind(models.TextChoices):
    """The corrections of a wrong voucher (DOMAIN 9): one side or the whole chain, on its own day or later."""

    SAME_DAY_WIPE = "same_day_wipe", _("Same-day wipe")
    SAME_DAY_REVERSAL = "same_day_reversal", _("Same-day reversal")
    NEXT_DAY = "next_day", _("Next-day correction")
    RED_REVERSAL = "red_reversal", _("Next-day red reversal")
    PRIOR_YEAR = "prior_year", _("Correction of a prior year")


class DocumentState(models.TextChoices):
    """Life of a document that the ledger itself keeps: proposed by one person, booked when another approves."""

    PROPOSED = "proposed", _("Proposed")
    BOOKED = "booked", _("Booked")
    REJECTED = "rejected", _("Rejected")


class FindingLevel(models.TextChoices):
    """How serious a finding of the day-end checks is."""

    INFO = "info", _("Information")
    WARNING = "warning", _("Warning")
    ERROR = "error", _("Error")
