"""Value sets of discrepancies (DOMAIN 7.2, 8)."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class CaseKind(models.TextChoices):
    """What kind of difference it is: those of DOMAIN 7.2 that open a case, those of the bank, and of the ledger."""

    OWN_ONLY = "own_only", _("Own only")
    CHANNEL_ONLY = "channel_only", _("Channel only")
    AMOUNT = "amount_mismatch", _("Amount mismatch")
    FEE = "fee_mismatch", _("Fee mismatch")
    STATUS = "status_mismatch", _("Status mismatch (lost order)")
    CURRENCY = "currency_mismatch", _("Currency mismatch")
    KIND = "kind_mismatch", _("Kind mismatch")
    DUPLICATE_CHANNEL = "duplicate_channel", _("Duplicate in channel")
    DUPLICATE_OWN = "duplicate_own", _("Duplicate of ours")
    RECEIPT = "receipt_mismatch", _("Receipt differs from bill")
    BANK = "bank_unidentified", _("Unidentified bank line")
    CLOSED_ACCOUNT = "closed_account", _("Fact for a closed account")


class CaseState(models.TextChoices):
    """Life of a case."""

    OPEN = "open", pgettext_lazy("case", "Open")
    INVESTIGATING = "investigating", _("Investigating")
    PROPOSED = "proposed", _("Action proposed")
    BOOKED = "booked", _("Booked")
    CLOSED = "closed", pgettext_lazy("case", "Closed")
    AUTO_CLEARED = "auto_cleared", _("Cleared automatically")
    WITHDRAWN = "withdrawn", _("Withdrawn by a new run")


CASE_STATE_COLOURS: dict[str, str] = {
    CaseState.OPEN: "danger",
    CaseState.INVESTIGATING: "warning",
    CaseState.PROPOSED: "info",
    CaseState.BOOKED: "info",
    CaseState.CLOSED: "success",
    CaseState.AUTO_CLEARED: "success",
    CaseState.WITHDRAWN: "secondary",
}
"""How a state is shown; "waiting" and "wrong" never look the same."""

OPEN_STATES = (CaseState.OPEN, CaseState.INVESTIGATING, CaseState.PROPOSED, CaseState.BOOKED)

WORKABLE_STATES = (CaseState.OPEN, CaseState.INVESTIGATING)
"""States in which an action may be proposed."""

CASE_TRANSITIONS: dict[str, set[str]] = {
    CaseState.OPEN: {
        CaseState.INVESTIGATING,
        CaseState.PROPOSED,
        CaseState.AUTO_CLEARED,
        CaseState.WITHDRAWN,
        CaseState.CLOSED,
    },
    CaseState.INVESTIGATING: {
        CaseState.OPEN,
        CaseState.PROPOSED,
        CaseState.AUTO_CLEARED,
        CaseState.WITHDRAWN,
        CaseState.CLOSED,
    },
    CaseState.PROPOSED: {CaseState.OPEN, CaseState.BOOKED},
    CaseState.BOOKED: {CaseState.CLOSED},
    CaseState.CLOSED: {CaseState.OPEN},
    CaseState.AUTO_CLEARED: {CaseState.OPEN},
    CaseState.WITHDRAWN: {CaseState.OPEN},
}


class ActionKind(models.TextChoices):
    """What may be done about a case (DOMAIN 8); each but waiting books one voucher of DOMAIN 4.5."""

    WAIT = "wait", _("Keep waiting")
    SUPPLEMENT = "supplement", _("Supplement lost order")
    REFUND_PAYER = "refund_payer", _("Refund the payer")
    LOSS = "loss", _("Accept the loss")
    RECOVER = "recover", _("Recover from the merchant")
    INCOME = "income", _("Take the surplus to income")


SURPLUS_ACTIONS = (ActionKind.WAIT, ActionKind.SUPPLEMENT, ActionKind.REFUND_PAYER, ActionKind.INCOME)
SHORTAGE_ACTIONS = (ActionKind.WAIT, ActionKind.LOSS, ActionKind.RECOVER)


class ActionState(models.TextChoices):
    """Life of a proposed action."""

    PROPOSED = "proposed", _("Proposed")
    BOOKED = "booked", _("Booked")
    REJECTED = "rejected", _("Rejected")


class ReasonCode(models.TextChoices):
    """Why, as far as the run can derive it."""

    CUT_OFF = "cut_off", _("Cut-off difference")
    LOST_ORDER = "lost_order", _("Lost order")
    LATE_SUCCESS = "late_success", _("Success after closing")
    DUPLICATE = "duplicate", _("Duplicate payment")
    AMOUNT_CHANGED = "amount_changed", _("Amount changed")
    FEE_RATE = "fee_rate", _("Fee rate changed")
    NOT_AT_CHANNEL = "not_at_channel", _("Not known to the channel")
    NOT_OURS = "not_ours", _("Not known to us")
    BANK = "bank", _("Bank difference")
    CLOSED_ACCOUNT = "account_closed", _("Account closed")
    OTHER = "other", _("Other")


class CaseEventKind(models.TextChoices):
    """What a line of a case's history tells."""

    OPENED = "opened", pgettext_lazy("case", "Opened")
    REOPENED = "reopened", _("Reopened")
    ASSIGNED = "assigned", _("Taken on")
    NOTED = "noted", _("Note")
    PROPOSED = "proposed", _("Action proposed")
    REJECTED = "rejected", _("Proposal rejected")
    TAKEN_BACK = "taken_back", _("Proposal withdrawn")
    WAITING = "waiting", _("Kept waiting")
    BOOKED = "booked", _("Booked")
    CLOSED = "closed", pgettext_lazy("case", "Closed")
    AUTO_CLEARED = "auto_cleared", _("Cleared automatically")
    WITHDRAWN = "withdrawn", _("Withdrawn by a new run")
    ESCALATED = "escalated", _("Escalated")
    SUSPENSE = "suspense", _("Suspense changed by a run")


AGE_BUCKETS: tuple[tuple[int, int | None], ...] = ((0, 1), (2, 3), (4, 7), (8, 30), (31, None))
"""Ageing report, in days from and to (DOMAIN 8); the last bucket has no end."""
