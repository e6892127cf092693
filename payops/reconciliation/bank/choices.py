"""Value sets of bank reconciliation."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class OpenKind(models.TextChoices):
    """The four kinds of open items of a balance adjustment statement (DOMAIN 7.1)."""

    WE_RECEIVED = "we_received", _("We received, bank not")
    WE_PAID = "we_paid", _("We paid, bank not")
    BANK_RECEIVED = "bank_received", _("Bank received, we not")
    BANK_PAID = "bank_paid", _("Bank paid, we not")


class BalanceSource(models.TextChoices):
    """Where the bank's balance of a day comes from; what is computed proves less than what the bank says."""

    STATEMENT = "statement", _("Bank statement")
    LINE = "line", _("Balance on the bank's line")
    COMPUTED = "computed", _("Computed from the bank's lines")


class AssignPurpose(models.TextChoices):
    """What a person may say an unidentified bank line is (DOMAIN 7.4)."""

    SETTLEMENT = "settlement", _("Channel settlement")
    PAYOUT = "payout", _("Payout")
    RETURN = "return", _("Returned payout")
    OFFLINE = "offline", _("Offline receipt")
    INTEREST = "interest", _("Interest")
    CHARGE = "charge", _("Bank charge")
