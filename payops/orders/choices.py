"""Value sets of transactions (DOMAIN 5)."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Kind(models.IntegerChoices):
    """What a transaction is. Codes equal the bill line kinds of `channels.formats`, so both sides join on them."""

    PAYMENT = 1, _("Payment")
    REFUND = 2, _("Refund")
    VOID = 3, _("Void")
    PREAUTH_COMPLETION = 10, _("Pre-authorisation completion")
    REFUND_RETURN = 11, _("Refund returned")
    TOPUP = 12, _("Top-up")


class Status(models.TextChoices):
    """A time-out is not a failure: `unknown` waits for the channel's word or the bill."""

    CREATED = "created", pgettext_lazy("transaction", "Created")
    PROCESSING = "processing", _("Processing")
    UNKNOWN = "unknown", _("Unknown")
    SUCCEEDED = "succeeded", pgettext_lazy("transaction", "Succeeded")
    FAILED = "failed", _("Failed")
    CLOSED = "closed", pgettext_lazy("transaction", "Closed")


class CardType(models.TextChoices):
    """Kind of card where a card was used."""

    DEBIT = "debit", pgettext_lazy("card", "Debit")
    CREDIT = "credit", pgettext_lazy("card", "Credit")
    PREPAID = "prepaid", pgettext_lazy("card", "Prepaid")


class RefundSource(models.TextChoices):
    """Which balance of the merchant a refund is taken from."""

    PENDING = "pending", _("Pending settlement")
    SETTLEMENT = "settlement", _("Settlement account")


FINAL_STATUSES = {Status.SUCCEEDED, Status.FAILED, Status.CLOSED}
OPEN_STATUSES = {Status.CREATED, Status.PROCESSING, Status.UNKNOWN}
"""Status moves forward only; a final status never changes at intake (a run may recover a lost order)."""


class Origin(models.TextChoices):
    """Where a transaction came from. Only intake rows and refunds of a surplus are compared with bills."""

    INTAKE = "intake", _("Payment core")
    SUPPLEMENT = "supplement", _("Supplemented lost order")
    SURPLUS_REFUND = "surplus_refund", _("Refund of a surplus")
    REFUND_RETURN = "refund_return", _("Refund returned")
