"""How a balance follows its entries, and what becomes of facts for closed accounts (DOMAIN 4.3, 4.4)."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from payops.accounts.choices import AccountStatus, PostingMode, Side, event_choices
from payops.accounts.models.books import Account


class PostingModeRule(models.Model):
    """From an accounting day on, entries of one account and business code are buffered or summed at day end.

    Where no rule is in force an entry is real-time. At most one rule of an account and event is in force on any day
    (database guard); it begins and ends at the start of an accounting day, so that the mode of every entry follows
    from its day. Written by `modes.mode_rule_create` and `mode_rule_end`.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="mode_rules")
    event = models.PositiveSmallIntegerField(_("business code"), choices=event_choices)
    mode = models.CharField(_("posting mode"), max_length=10, choices=PostingMode.choices)
    effective_day = models.DateField(_("effective from"))
    end_day = models.DateField(_("until (exclusive)"), null=True, blank=True)
    created_by = models.CharField(_("created by"), max_length=150)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        ordering = ["account", "event", "effective_day"]
        verbose_name = _("posting mode rule")
        verbose_name_plural = _("posting mode rules")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "event"], condition=Q(end_day__isnull=True), name="posting_mode_rule_one_active"
            ),
            models.UniqueConstraint(fields=["account", "event", "effective_day"], name="posting_mode_rule_one_a_day"),
            models.CheckConstraint(condition=Q(mode__in=["buffered", "summary"]), name="posting_mode_rule_changes_it"),
            models.CheckConstraint(
                condition=Q(end_day__isnull=True) | Q(end_day__gt=F("effective_day")),
                name="posting_mode_rule_days_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.event} {self.mode}"


class QueuedMovement(models.Model):
    """What one buffered entry still has to move on its account's stored balance, minor units on the normal side.

    Inserted with the entry, deleted in the transaction that moves the balance: stored balance + queue = Σ entries,
    at every moment and after any crash. Inserted by the entry guard only; deleting a row moves the balance (trigger).
    """

    account_id = models.BigIntegerField()
    entry_id = models.BigIntegerField()
    delta = models.BigIntegerField(_("movement (minor units)"))
    queued_at = models.DateTimeField(_("queued at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("queued movement")
        verbose_name_plural = _("queued movements")
        indexes = [models.Index(fields=["account_id"], name="queued_movement_account_idx")]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.delta}"


class DivertedEntry(models.Model):
    """A fact booked to suspense because the account it was meant for is closed (DOMAIN 4.4); append-only.

    A credit goes to surplus in suspense, a debit to shortage, of the voucher's channel or bank, else of the
    institution. Whoever finds cases is told and opens one.
    """

    entry_id = models.BigIntegerField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="diverted", verbose_name=_("meant for"))
    side = models.CharField(_("side"), max_length=1, choices=Side.choices)
    amount = models.BigIntegerField(_("amount (minor units)"))
    event = models.PositiveSmallIntegerField(_("event"), choices=event_choices)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["entry_id"]
        verbose_name = _("diverted entry")
        verbose_name_plural = _("diverted entries")

    def __str__(self) -> str:
        return str(self.entry_id)


class AccountStatusChange(models.Model):
    """One change of an account's status, by whom and why; append-only. `source` names the order it came from.

    Changes of one order (a customer frozen: all its merchants' accounts) share source kind and number, which is what
    lifting the order goes by.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="status_changes")
    from_status = models.CharField(_("from"), max_length=12, choices=AccountStatus.choices)
    to_status = models.CharField(_("to"), max_length=12, choices=AccountStatus.choices)
    reason = models.CharField(_("reason"), max_length=200)
    source_kind = models.CharField(_("source"), max_length=40, blank=True)
    source_id = models.CharField(_("source number"), max_length=64, blank=True)
    changed_by = models.CharField(_("changed by"), max_length=150)
    changed_at = models.DateTimeField(_("changed at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("account status change")
        verbose_name_plural = _("account status changes")
        indexes = [models.Index(fields=["source_kind", "source_id"], name="status_change_source_idx")]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.from_status} → {self.to_status}"


class Deduction(models.Model):
    """What is still to be taken from an account, in order of age, as soon as there is money (DOMAIN 4.4).

    When a deduction is short the rest is frozen by `freeze`; each collection unfreezes and books one part. The row's
    parts (`DeductionPart`) are the source documents of its vouchers. `amount` and `collected` in minor units.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="deductions")
    freeze = models.OneToOneField("Freeze", on_delete=models.PROTECT, null=True, related_name="deduction")
    event = models.PositiveSmallIntegerField(_("event"), choices=event_choices)
    variable = models.CharField(_("variable of the rule"), max_length=2)
    owners = models.JSONField(_("owners"), default=dict)
    source_kind = models.CharField(_("source"), max_length=40)
    source_id = models.CharField(_("source number"), max_length=64)
    business_date = models.DateField(_("business date"))
    amount = models.BigIntegerField(_("amount (minor units)"))
    collected = models.BigIntegerField(_("collected (minor units)"), default=0)
    reason = models.CharField(_("reason"), max_length=200)
    created_by = models.CharField(_("created by"), max_length=150)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("deduction")
        verbose_name_plural = _("deductions")
        constraints = [
            models.UniqueConstraint(fields=["source_kind", "source_id", "event"], name="deduction_one_per_source"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="deduction_amount_positive"),
            models.CheckConstraint(
                condition=Q(collected__gte=0) & Q(collected__lte=F("amount")), name="deduction_collected_in_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.amount - self.collected}"


class DeductionPart(models.Model):
    """One collection of a deduction: the source document of its voucher. Append-only."""

    deduction = models.ForeignKey(Deduction, on_delete=models.PROTECT, related_name="parts")
    amount = models.BigIntegerField(_("amount (minor units)"))
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("deduction part")
        verbose_name_plural = _("deduction parts")
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="deduction_part_positive")]

    def __str__(self) -> str:
        return f"{self.deduction_id}: {self.amount}"
