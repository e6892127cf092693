"""Value sets of reconciliation (DOMAIN 7.2)."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class ResultKind(models.TextChoices):
    """The results of DOMAIN 7.2."""

    MATCHED = "matched", _("Matched")
    OWN_IN_DOUBT = "own_in_doubt", _("Own in doubt")
    OWN_ONLY = "own_only", _("Own only")
    OWN_CLEARED = "own_cleared", _("Own cleared")
    CHANNEL_IN_DOUBT = "channel_in_doubt", _("Channel in doubt")
    CHANNEL_ONLY = "channel_only", _("Channel only")
    CHANNEL_CLEARED = "channel_cleared", _("Channel cleared")
    AMOUNT = "amount_mismatch", _("Amount mismatch")
    FEE = "fee_mismatch", _("Fee mismatch")
    STATUS = "status_mismatch", _("Status mismatch")
    CURRENCY = "currency_mismatch", _("Currency mismatch")
    KIND = "kind_mismatch", _("Kind mismatch")
    DUPLICATE_CHANNEL = "duplicate_channel", _("Duplicate in channel")
    DUPLICATE_OWN = "duplicate_own", _("Duplicate of ours")
    OFFSET = "offset", _("Internal offset")
    SPLIT = "split", _("Split over several lines")
    LUMP = "lump", _("Several in one line")
    BY_HAND = "by_hand", _("Matched by hand")
    FAILED = "failed_absent", _("Unknown and absent, set failed")


class RunState(models.TextChoices):
    """Life of a run."""

    RUNNING = "running", _("Running")
    COMPLETE = "complete", _("Complete")
    FAILED = "failed", _("Failed")


class ItemSide(models.TextChoices):
    """Which side an open item stands on; a pair has both."""

    OWN = "own", _("Own")
    CHANNEL = "channel", _("Channel")
    PAIR = "pair", _("Both")


class ItemState(models.TextChoices):
    """Life of an open item. In-doubt and definite items are re-tried by every run of their contract."""

    IN_DOUBT = "in_doubt", _("In doubt")
    DEFINITE = "definite", _("Definite")
    CLEARED = "cleared", _("Cleared by its other half")
    RESOLVED = "resolved", _("Resolved by an action")
    WITHDRAWN = "withdrawn", _("Withdrawn by a new run")


class GroupKind(models.TextChoices):
    """How the rows of a match group belong together; the first two are found by runs."""

    SPLIT = "split", _("Split over several lines")
    LUMP = "lump", _("Several in one line")
    BY_HAND = "by_hand", _("Matched by hand")


class GroupBy(models.TextChoices):
    """What rows of both sides must have in common to be tried as one-to-many or many-to-one."""

    NONE = "none", pgettext_lazy("matching rule", "Nothing: one to one only")
    KEY = "key", _("The matching key, repeated")
    REQUEST = "request", _("Order number of the line = our request number")
    ORDER = "order", _("Order number of the line = merchant order number")
    ORIGINAL = "original", _("Original order of the line = request number of our payment")
    TRADE = "trade", _("Channel trade number (batch number)")


class ReceiptState(models.TextChoices):
    """How the bank's money compares with one channel day."""

    WAITING = "waiting", _("Waiting for the receipt")
    AGREED = "agreed", _("Agreed")
    DIFFERENT = "different", _("Different")


class AllocationKind(models.TextChoices):
    """Why a settlement line pays the channel days it pays."""

    NAMED = "named", _("The day the bank line names")
    GROUP = "group", _("Consecutive days whose sum it is")
    PERSON = "person", _("Divided by hand")


class Direction(models.TextChoices):
    """Which way the money of a bank line goes, as a rule asks for it."""

    ANY = "any", _("In or out")
    IN = "in", pgettext_lazy("bank line", "In")
    OUT = "out", pgettext_lazy("bank line", "Out")
