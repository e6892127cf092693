"""Value sets of clearing, settlement and payout (DOMAIN 11)."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class SessionKind(models.TextChoices):
    """What a clearing session computes."""

    TRADE = "trade", _("Trade")
    DISCREPANCY = "discrepancy", _("Discrepancy")


class HoldState(models.TextChoices):
    """A transaction kept out of clearing while its case lives."""

    HELD = "held", pgettext_lazy("clearing", "Held")
    RELEASED = "released", _("Released")
    DROPPED = "dropped", _("Dropped")


class SheetState(models.TextChoices):
    """Life of a settlement sheet."""

    DRAFT = "draft", pgettext_lazy("settlement sheet", "Computed")
    READY = "ready", _("Ready for payment")
    CARRIED = "carried", _("Carried forward")
    HELD = "held", pgettext_lazy("settlement sheet", "Held")
    IN_PAYMENT = "in_payment", _("In payment")
    PAID = "paid", _("Paid")
    FAILED = "failed", _("Payment failed")
    RETURNED = "returned", _("Payment returned")


class BatchState(models.TextChoices):
    """Life of a payout batch."""

    PENDING = "pending", _("Waiting for approval")
    APPROVED = "approved", _("Approved")
    SENT = "sent", pgettext_lazy("payout batch", "Sent")
    DONE = "done", _("All results in")
    REJECTED = "rejected", _("Rejected")


class PayoutState(models.TextChoices):
    """Life of a payout. Unknown counts as paid until it is known otherwise; it is queried, never sent anew."""

    CREATED = "created", pgettext_lazy("payout", "Created")
    APPROVED = "approved", _("Approved")
    SENDING = "sending", _("Being sent")
    SENT = "sent", pgettext_lazy("payout", "Sent")
    UNKNOWN = "unknown", _("Unknown")
    SUCCEEDED = "succeeded", pgettext_lazy("payout", "Succeeded")
    FAILED = "failed", _("Failed")
    RETURNED = "returned", pgettext_lazy("payout", "Returned")
    CANCELLED = "cancelled", _("Cancelled")


PAYOUT_TRANSITIONS: dict[str, set[str]] = {
    PayoutState.CREATED: {PayoutState.APPROVED, PayoutState.CANCELLED},
    PayoutState.APPROVED: {PayoutState.SENDING},
    PayoutState.SENDING: {PayoutState.SENT, PayoutState.UNKNOWN, PayoutState.SUCCEEDED, PayoutState.FAILED},
    PayoutState.SENT: {PayoutState.UNKNOWN, PayoutState.SUCCEEDED, PayoutState.FAILED},
    PayoutState.UNKNOWN: {PayoutState.SENT, PayoutState.SUCCEEDED, PayoutState.FAILED},
    PayoutState.SUCCEEDED: {PayoutState.RETURNED},
    PayoutState.FAILED: set(),
    PayoutState.RETURNED: set(),
    PayoutState.CANCELLED: set(),
}
