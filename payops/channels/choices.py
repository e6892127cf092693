"""Value sets of channels, their files and the bank (DOMAIN 6)."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class FileState(models.TextChoices):
    """Life of a bill file (DOMAIN 6). Only `accepted` lets a run start."""

    RECEIVED = "received", pgettext_lazy("bill file", "Received")
    REJECTED = "rejected", pgettext_lazy("bill file", "Rejected")
    HELD = "held", pgettext_lazy("bill file", "Held")
    ACCEPTED = "accepted", _("Accepted")
    SUPERSEDED = "superseded", _("Superseded")


class BillType(models.TextChoices):
    """What the lines of a file are to the books; the values are those of `channels.formats`. A run takes trades."""

    TRADE = "trade", pgettext_lazy("bill file", "Trades")
    ERRORS = "errors", pgettext_lazy("bill file", "Disputes and adjustments")
    BRAND_FEE = "brand_fee", pgettext_lazy("bill file", "Brand fees")
    ACCOUNT_LOG = "account_log", pgettext_lazy("bill file", "Account log")


class LineKind(models.IntegerChoices):
    """What a line of a file is; the codes are those of `channels.formats`, some of which our transactions share."""

    PAYMENT = 1, _("Payment")
    REFUND = 2, _("Refund")
    VOID = 3, _("Void")
    REVERSAL = 4, pgettext_lazy("bill line", "Reversal")
    PAYOUT = 5, _("Payout")
    DISPUTE = 6, _("Dispute")
    FEE = 7, _("Fee")
    ADJUSTMENT = 8, _("Adjustment")
    TRANSFER = 9, _("Transfer")
    PREAUTH_COMPLETION = 10, _("Pre-authorisation completion")
    REFUND_RETURN = 11, _("Refund returned")


class CostMode(models.TextChoices):
    """Whether the channel keeps its cost back from the settlement or bills it separately."""

    NETTED = "netted", _("Netted")
    BILLED = "billed", _("Billed separately")


class RefundDate(models.TextChoices):
    """When a refund counts: the channel's acceptance (WeChat) or its completion (Alipay)."""

    ACCEPTANCE = "acceptance", _("Acceptance")
    COMPLETION = "completion", _("Completion")


class BankAccountKind(models.TextChoices):
    """Customers' money or the institution's own."""

    RESERVE = "reserve", _("Reserve")
    OWN = "own", _("Own funds")


class BankLineState(models.TextChoices):
    """What became of a line of the bank statement."""

    NEW = "new", _("New")
    MATCHED = "matched", pgettext_lazy("bank line", "Matched")
    UNIDENTIFIED = "unidentified", _("Unidentified")
    WAITING = "waiting", pgettext_lazy("bank line", "Waits for a decision")


class BankLineKind(models.TextChoices):
    """What a bank line is (DOMAIN 7.4)."""

    SETTLEMENT = "settlement", _("Channel settlement")
    PAYOUT = "payout", _("Payout")
    RETURN = "return", _("Returned payout")
    TRANSFER = "transfer", _("Transfer between reserve accounts")
    INTEREST = "interest", _("Interest")
    CHARGE = "charge", _("Bank charge")
    CARRIED = "carried", _("Fee income carried")
    OFFLINE = "offline", _("Offline receipt")
    OTHER = "other", _("Unidentified")
