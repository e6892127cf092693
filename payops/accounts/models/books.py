"""The ledger's data: chart, accounts, days, posting rules, vouchers, entries, balances (DOMAIN 4)."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from payops.accounts.choices import (
    AccountStatus,
    DayState,
    Element,
    FindingLevel,
    OwnerKind,
    RuleState,
    Side,
    event_choices,
)
from payops.accounts.guards import ENTRY_TRIGGERS, VOUCHER_TRIGGERS
from payops.core.formatting import local_name
from payops.core.partitions import DayPartitionedModel


class Subject(models.Model):
    """A node of the chart of accounts, seeded from `fixtures/chart.yaml`; only leaf subjects carry accounts.

    Codes are digits without dots: level 1 four digits, two more per level (1002 → 100201).
    """

    code = models.CharField(_("code"), max_length=10, unique=True)
    name = models.CharField(_("name"), max_length=80)
    name_zh = models.CharField(_("Chinese name"), max_length=80)
    element = models.CharField(_("element"), max_length=10, choices=Element.choices)
    normal_side = models.CharField(_("normal side"), max_length=1, choices=Side.choices)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    is_leaf = models.BooleanField(_("leaf"), default=True)
    erp_code = models.CharField(_("ERP code"), max_length=40, blank=True)

    class Meta:
        ordering = ["code"]
        verbose_name = _("subject")
        verbose_name_plural = _("subjects")
        constraints = [
            models.CheckConstraint(condition=Q(code__regex=r"^\d{4}(\d\d){0,3}$"), name="subject_code_is_digits")
        ]

    def __str__(self) -> str:
        return f"{self.code} {local_name(self)}"


class Account(models.Model):
    """One sub-ledger account of an owner under one leaf subject, opened by `services.account_open`.

    `balance` is in minor units on the subject's normal side (a common account may go either way); `frozen` may
    exceed it. Locked in order of `id` whenever several are moved.
    """

    account_no = models.CharField(_("account number"), max_length=64, unique=True)
    subject = models.ForeignKey(Subject, on_delete=models.PROTECT, related_name="accounts")
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    owner_kind = models.CharField(_("owner"), max_length=12, choices=OwnerKind.choices)
    owner_no = models.CharField(_("owner number"), max_length=40, blank=True)
    status = models.CharField(_("status"), max_length=12, choices=AccountStatus.choices, default=AccountStatus.NORMAL)
    balance = models.BigIntegerField(_("balance (minor units)"), default=0)
    frozen = models.BigIntegerField(_("frozen (minor units)"), default=0)
    opened_at = models.DateTimeField(_("opened at"), auto_now_add=True)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    class Meta:
        ordering = ["account_no"]
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "owner_kind", "owner_no", "currency"], name="account_one_per_owner"
            ),
            models.CheckConstraint(condition=Q(frozen__gte=0), name="account_frozen_not_negative"),
            models.CheckConstraint(
                condition=~Q(status="closed") | Q(balance=0, frozen=0), name="account_closed_only_at_zero"
            ),
        ]
        indexes = [models.Index(fields=["owner_kind", "owner_no"], name="account_owner_idx")]

    def __str__(self) -> str:
        return self.account_no

    @property
    def available(self) -> int:
        """Balance less freezes, minor units; negative where more is frozen than there is."""
        return self.balance - self.frozen


class Freeze(models.Model):
    """A freeze slip: takes part of the available amount away without a voucher; may exceed the balance."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="freezes")
    amount = models.BigIntegerField(_("amount (minor units)"))
    remaining = models.BigIntegerField(_("still frozen (minor units)"))
    reason = models.CharField(_("reason"), max_length=200)
    source_kind = models.CharField(_("source"), max_length=40)
    source_id = models.CharField(_("source number"), max_length=64)
    created_by = models.CharField(_("created by"), max_length=150)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("freeze")
        verbose_name_plural = _("freezes")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="freeze_amount_positive"),
            models.CheckConstraint(
                condition=Q(remaining__gte=0) & Q(remaining__lte=models.F("amount")), name="freeze_remaining_in_range"
            ),
        ]
        indexes = [models.Index(fields=["account"], name="freeze_in_force_idx", condition=Q(remaining__gt=0))]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.remaining}"


class FreezeRelease(models.Model):
    """One release of a freeze slip, whole or in part, by whom and why; append-only. Inserting it is the release."""

    freeze = models.ForeignKey(Freeze, on_delete=models.PROTECT, related_name="releases")
    amount = models.BigIntegerField(_("amount (minor units)"))
    reason = models.CharField(_("reason"), max_length=200)
    released_by = models.CharField(_("released by"), max_length=150)
    released_at = models.DateTimeField(_("released at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("release of a freeze")
        verbose_name_plural = _("releases of freezes")
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="freeze_release_positive")]

    def __str__(self) -> str:
        return f"{self.freeze_id}: {self.amount}"


class AccountingDay(models.Model):
    """A logical day of the books. At cut-off the next day opens; a closed day takes no more entries, ever."""

    day = models.DateField(_("day"), primary_key=True)
    state = models.CharField(_("state"), max_length=8, choices=DayState.choices, default=DayState.OPEN)
    opened_at = models.DateTimeField(_("opened at"), auto_now_add=True)
    cut_off_at = models.DateTimeField(_("cut off at"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    voucher_count = models.BigIntegerField(_("vouchers"), null=True, blank=True)
    entry_count = models.BigIntegerField(_("entries"), null=True, blank=True)
    debit_total = models.JSONField(_("debit total by currency"), null=True, blank=True)
    seal = models.CharField(_("seal"), max_length=64, blank=True)

    class Meta:
        ordering = ["-day"]
        verbose_name = _("accounting day")
        verbose_name_plural = _("accounting days")
        constraints = [
            # Facts always go to the newest open day, so there is never more than one.
            models.UniqueConstraint(fields=["state"], condition=Q(state="open"), name="accounting_day_one_open")
        ]

    def __str__(self) -> str:
        return f"{self.day}"


class DayFinding(models.Model):
    """One thing a day-end check found; sealed with the day, never blocking its close."""

    day = models.ForeignKey(AccountingDay, on_delete=models.PROTECT, related_name="findings")
    check_name = models.CharField(_("check"), max_length=60)
    level = models.CharField(_("level"), max_length=8, choices=FindingLevel.choices)
    message = models.TextField(_("message"))
    context = models.JSONField(_("context"), default=dict)
    found_at = models.DateTimeField(_("found at"), auto_now_add=True)

    class Meta:
        ordering = ["day", "id"]
        verbose_name = _("day-end finding")
        verbose_name_plural = _("day-end findings")

    def __str__(self) -> str:
        return f"{self.day_id} {self.check_name}"


class PostingRule(models.Model):
    """One version of what an event books: configuration, validated to balance symbolically before it is saved.

    `lines` is a list of {"side": "D"|"C", "subject": "2202.01", "owner": "merchant"|"channel"|"bank"|"institution",
    "amount": "A - X - F"}; amounts are integer linear combinations of the event's variables. A negative result swaps
    the side, a zero line is left out.
    """

    event = models.PositiveSmallIntegerField(_("event"), choices=event_choices)
    version = models.PositiveIntegerField(_("version"), default=1)
    effective_day = models.DateField(_("effective from"))
    lines = models.JSONField(_("lines"))
    summary = models.CharField(_("summary text"), max_length=120)
    state = models.CharField(_("state"), max_length=8, choices=RuleState.choices, default=RuleState.ACTIVE)
    created_by = models.CharField(_("created by"), max_length=150, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        ordering = ["event", "-version"]
        verbose_name = _("posting rule")
        verbose_name_plural = _("posting rules")
        constraints = [models.UniqueConstraint(fields=["event", "version"], name="posting_rule_version_unique")]

    def __str__(self) -> str:
        return f"{self.get_event_display()} v{self.version}"


class Voucher(DayPartitionedModel):
    """The head of one balanced booking, made from one source document by `post` or `post_many`.

    id = day·10¹² + n·1000; its entries are id+1 … id+line_count. Append-only.
    """

    event = models.PositiveSmallIntegerField(_("event"), choices=event_choices)
    source_kind = models.CharField(_("source"), max_length=24)
    source_id = models.BigIntegerField(_("source number"))
    business_date = models.DateField(_("business date"))
    line_count = models.PositiveSmallIntegerField(_("lines"))
    rule_version = models.PositiveIntegerField(_("rule version"))
    memo = models.CharField(_("memo"), max_length=200, blank=True)
    posted_at = models.DateTimeField(_("posted at"))
    posted_by = models.CharField(_("posted by"), max_length=150, blank=True)

    partition_triggers: ClassVar[list[str]] = VOUCHER_TRIGGERS

    class Meta:
        ordering = ["id"]
        verbose_name = _("voucher")
        verbose_name_plural = _("vouchers")
        constraints = [
            models.CheckConstraint(
                condition=Q(line_count__gte=1) & Q(line_count__lte=999), name="voucher_line_count_in_range"
            ),
            # The entries of a voucher are the 999 ids that follow it.
            models.CheckConstraint(
                condition=Q(id__gt=0) & Q(id=models.F("id") / 1000 * 1000), name="voucher_id_is_a_thousand"
            ),
        ]
        indexes = [models.Index(fields=["source_kind", "source_id"], name="voucher_source_idx")]

    def __str__(self) -> str:
        return str(self.pk)


class Entry(DayPartitionedModel):
    """One debit or credit line of a voucher (voucher id = id − id mod 1000). Append-only.

    `amount` is minor units; negative only on red entries. `balance_after` is the stored balance after a real-time
    entry; without it the balance follows later (`PostingModeRule`).
    """

    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, db_constraint=False, related_name="entries", db_index=False
    )
    side = models.CharField(_("side"), max_length=1, choices=Side.choices)
    amount = models.BigIntegerField(_("amount (minor units)"))
    currency = models.CharField(_("currency"), max_length=3)
    event = models.PositiveSmallIntegerField(_("business code"), choices=event_choices)
    balance_after = models.BigIntegerField(_("balance after (minor units)"), null=True, blank=True)

    partition_triggers: ClassVar[list[str]] = ENTRY_TRIGGERS

    class Meta:
        ordering = ["id"]
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        constraints = [models.CheckConstraint(condition=Q(side__in=["D", "C"]), name="entry_side_debit_or_credit")]
        indexes = [models.Index(fields=["account", "id"], name="entry_account_idx")]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def voucher_id(self) -> int:
        """The voucher this line belongs to."""
        return self.pk - self.pk % 1000


class PostingKey(models.Model):
    """What was booked already, for ever: one source document makes a given voucher at most once."""

    pk = models.CompositePrimaryKey("event", "source_id")
    event = models.PositiveSmallIntegerField()
    source_id = models.BigIntegerField()
    voucher_id = models.BigIntegerField()

    class Meta:
        verbose_name = _("posting key")
        verbose_name_plural = _("posting keys")

    def __str__(self) -> str:
        return f"{self.event}/{self.source_id}"


class DayBalance(models.Model):
    """Opening, turnover and closing of one account on one closed day, written by `close_day` from the entries.

    Amounts in minor units on the subject's normal side; turnovers are the plain debit and credit sums.
    """

    pk = models.CompositePrimaryKey("day", "account")
    day = models.DateField(_("day"))
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="day_balances")
    opening = models.BigIntegerField(_("opening (minor units)"))
    debit = models.BigIntegerField(_("debit turnover (minor units)"))
    credit = models.BigIntegerField(_("credit turnover (minor units)"))
    closing = models.BigIntegerField(_("closing (minor units)"))

    class Meta:
        ordering = ["day", "account"]
        verbose_name = _("day balance")
        verbose_name_plural = _("day balances")

    def __str__(self) -> str:
        return f"{self.day} {self.account_id}"
