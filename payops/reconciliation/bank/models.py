"""Balance adjustment statements with their open items, and what people said unidentified bank lines are."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from payops.channels.models import BankAccount, BankLine
from payops.reconciliation.bank.choices import AssignPurpose, BalanceSource, OpenKind


class BankReconciliation(models.Model):
    """The balance adjustment statement (余额调节表) of one reserve account at the end of one day. Minor units.

    A later one of the same day takes its place (`number`, `is_current`) when a line or an entry of the day came late;
    nothing else of it ever changes. The four sums are without sign and are those of its open items (trigger).
    `last_line` is the newest bank line it knew of: a newer one of its days makes it out of date.
    """

    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="reconciliations")
    day = models.DateField(_("day"))
    number = models.PositiveIntegerField(_("number"))
    is_current = models.BooleanField(_("current"), default=True)
    journal_balance = models.BigIntegerField(_("balance of the journal (minor units)"))
    bank_balance = models.BigIntegerField(_("balance at the bank (minor units)"))
    source = models.CharField(_("bank balance from"), max_length=9, choices=BalanceSource.choices)
    we_received = models.BigIntegerField(_("we received, bank not (minor units)"))
    we_paid = models.BigIntegerField(_("we paid, bank not (minor units)"))
    bank_received = models.BigIntegerField(_("bank received, we not (minor units)"))
    bank_paid = models.BigIntegerField(_("bank paid, we not (minor units)"))
    difference = models.BigIntegerField(_("difference (minor units)"))
    entry_count = models.BigIntegerField(_("entries compared"))
    line_count = models.BigIntegerField(_("bank lines compared"))
    last_line = models.BigIntegerField(_("newest bank line known"), default=0)
    made_by = models.CharField(_("made by"), max_length=150)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["-day", "bank_account", "-number"]
        verbose_name = _("balance adjustment statement")
        verbose_name_plural = _("balance adjustment statements")
        constraints = [
            models.UniqueConstraint(fields=["bank_account", "day", "number"], name="bank_reconciliation_number"),
            models.UniqueConstraint(
                fields=["bank_account", "day"], condition=Q(is_current=True), name="bank_reconciliation_one_current"
            ),
            models.CheckConstraint(
                condition=Q(
                    difference=F("bank_balance")
                    + F("we_received")
                    - F("we_paid")
                    - F("journal_balance")
                    - F("bank_received")
                    + F("bank_paid")
                ),
                name="bank_reconciliation_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.bank_account_id} {self.day} #{self.number}"

    @property
    def adjusted_journal(self) -> int:
        """The journal as it will be when we have booked what the bank has; minor units."""
        return self.journal_balance + self.bank_received - self.bank_paid

    @property
    def adjusted_bank(self) -> int:
        """The bank's balance as it will be when it has done what we have; minor units."""
        return self.bank_balance + self.we_received - self.we_paid


class BankOpenItem(models.Model):
    """One entry the bank does not show, or one bank line the journal does not: carried until it is cleared.

    `amount` is minor units without sign, `since` the day of the entry or the value date of the line, `match_key` what
    its other half will be known by. Append-only.
    """

    reconciliation = models.ForeignKey(BankReconciliation, on_delete=models.PROTECT, related_name="items")
    kind = models.CharField(_("kind"), max_length=13, choices=OpenKind.choices)
    entry_id = models.BigIntegerField(_("entry"), null=True, blank=True)
    bank_line = models.ForeignKey(
        BankLine,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="open_items",
        verbose_name=_("bank line"),
    )
    amount = models.BigIntegerField(_("amount (minor units)"))
    since = models.DateField(_("open since"))
    match_key = models.CharField(_("matching key"), max_length=80)
    source_kind = models.CharField(_("source"), max_length=24, blank=True)
    source_id = models.BigIntegerField(_("source number"), null=True, blank=True)
    memo = models.CharField(_("memo"), max_length=240, blank=True)

    class Meta:
        ordering = ["reconciliation", "since", "id"]
        verbose_name = _("open item of the bank")
        verbose_name_plural = _("open items of the bank")
        constraints = [
            models.UniqueConstraint(fields=["reconciliation", "entry_id"], name="bank_open_item_entry_once"),
            models.UniqueConstraint(fields=["reconciliation", "bank_line"], name="bank_open_item_line_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="bank_open_item_without_sign"),
            models.CheckConstraint(
                condition=Q(kind__in=["we_received", "we_paid"], entry_id__isnull=False, bank_line__isnull=True)
                | Q(kind__in=["bank_received", "bank_paid"], entry_id__isnull=True, bank_line__isnull=False),
                name="bank_open_item_has_its_document",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.match_key}"


class BankAssignment(models.Model):
    """What a person said an unidentified bank line is, approved by another; once per line, never changed."""

    bank_line = models.OneToOneField(BankLine, on_delete=models.PROTECT, related_name="assignment")
    purpose = models.CharField(_("is"), max_length=10, choices=AssignPurpose.choices)
    made_by = models.CharField(_("made by"), max_length=150)
    approval_id = models.BigIntegerField(_("request"))
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("assignment of a bank line")
        verbose_name_plural = _("assignments of bank lines")

    def __str__(self) -> str:
        return f"{self.bank_line_id} {self.purpose}"


class BankAssignmentPart(models.Model):
    """What of an assigned line goes where: `target` is a channel day, a payout number, a merchant or an account."""

    assignment = models.ForeignKey(BankAssignment, on_delete=models.PROTECT, related_name="parts")
    target = models.CharField(_("for"), max_length=80)
    amount = models.BigIntegerField(_("amount (minor units)"))

    class Meta:
        ordering = ["assignment", "id"]
        verbose_name = _("part of an assigned bank line")
        verbose_name_plural = _("parts of assigned bank lines")
        constraints = [
            models.UniqueConstraint(fields=["assignment", "target"], name="bank_assignment_part_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="bank_assignment_part_is_something"),
        ]

    def __str__(self) -> str:
        return f"{self.target} {self.amount}"
