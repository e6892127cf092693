"""Transactions, refunds and their intake (DOMAIN 5, FORMATS 8)."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payops.channels.models import ChannelContract
from payops.core.partitions import DayPartitionedModel
from payops.core.sql import NO_TRUNCATE
from payops.merchants.models import Collection, Merchant
from payops.orders.choices import CardType, Kind, Origin, RefundSource, Status
from payops.orders.guards import CLOSED_DAY_TRIGGER


class Transaction(DayPartitionedModel):
    """One money movement with a channel, as the payment core told us; upserted by transaction number.

    The id's day is the accounting day that was open when it was received. `own_date` is the accounting day it belongs
    to; `effective_at` is set when the movement counts (payment completed, refund accepted or completed, whichever the
    channel's contract says), and exactly those rows are booked on channel pending clearing. `amount` never changes.
    `fee` is the merchant's fee in minor units, signed (a refund returns a negative one), computed once at intake.
    """

    transaction_no = models.CharField(_("transaction number"), max_length=64)
    kind = models.PositiveSmallIntegerField(_("kind"), choices=Kind.choices)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices)
    contract = models.ForeignKey(
        ChannelContract, on_delete=models.PROTECT, db_constraint=False, db_index=False, verbose_name=_("channel")
    )
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    own_date = models.DateField(_("accounting date"))
    business_date = models.DateField(_("business date"))
    match_key = models.CharField(_("channel request number"), max_length=64)
    channel_trade_no = models.CharField(_("channel trade number"), max_length=64, blank=True)
    merchant_order_no = models.CharField(_("merchant order number"), max_length=64, blank=True)
    product = models.CharField(_("product"), max_length=30)
    card_type = models.CharField(_("card type"), max_length=8, choices=CardType.choices, blank=True)
    amount = models.BigIntegerField(_("amount (minor units)"))
    currency = models.CharField(_("currency"), max_length=3)
    fee = models.BigIntegerField(_("merchant fee (minor units)"), default=0)
    fee_rule_id = models.IntegerField(_("fee rule"), null=True, blank=True)
    collection = models.CharField(_("collection"), max_length=6, choices=Collection.choices, default=Collection.NET)
    expected_cost = models.BigIntegerField(_("expected channel cost (minor units)"), default=0)
    cost_rule_id = models.IntegerField(_("cost rule"), null=True, blank=True)
    original_id = models.BigIntegerField(_("original transaction"), null=True, blank=True)
    refund_source = models.CharField(_("refund source"), max_length=10, choices=RefundSource.choices, blank=True)
    origin = models.CharField(_("origin"), max_length=14, choices=Origin.choices, default=Origin.INTAKE)
    payer = models.CharField(_("payer"), max_length=64, blank=True)
    created_at = models.DateTimeField(_("created at"))
    succeeded_at = models.DateTimeField(_("succeeded at"), null=True, blank=True)
    effective_at = models.DateTimeField(_("counts since"), null=True, blank=True)
    extra = models.JSONField(_("extra"), null=True, blank=True)

    partition_triggers: ClassVar[list[str]] = [NO_TRUNCATE, CLOSED_DAY_TRIGGER]

    class Meta:
        ordering = ["-id"]
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="transaction_amount_positive"),
        ]
        indexes = [
            models.Index(fields=["contract", "own_date"], name="transaction_own_day_idx"),
            models.Index(fields=["merchant", "own_date"], name="transaction_merchant_idx"),
            models.Index(fields=["match_key"], name="transaction_key_idx"),
            # Pages of an accounting date: its rows lie in several partitions, among those of other dates.
            models.Index(fields=["own_date", "id"], name="transaction_page_idx"),
            models.Index(
                fields=["status", "own_date", "id"],
                condition=~Q(status=Status.SUCCEEDED.value),
                name="transaction_status_idx",
            ),
            models.Index(fields=["merchant_order_no"], name="transaction_order_idx"),
            models.Index(fields=["channel_trade_no"], condition=~Q(channel_trade_no=""), name="transaction_trade_idx"),
        ]

    def __str__(self) -> str:
        return self.transaction_no

    @property
    def sign(self) -> int:
        """+1 where it brings money, −1 where it takes it back."""
        return -1 if self.kind in (Kind.REFUND, Kind.VOID) else 1


class TransactionKey(models.Model):
    """Transaction numbers are unique for ever: where each one lives."""

    transaction_no = models.CharField(max_length=64, primary_key=True)
    transaction_id = models.BigIntegerField(unique=True)

    class Meta:
        verbose_name = _("transaction number")
        verbose_name_plural = _("transaction numbers")

    def __str__(self) -> str:
        return self.transaction_no


class OpenTransaction(models.Model):
    """Transactions a day's id window would miss: not yet final, or counted on a day far from the one received."""

    transaction_id = models.BigIntegerField(primary_key=True)
    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT)
    own_date = models.DateField()

    class Meta:
        verbose_name = _("open transaction")
        verbose_name_plural = _("open transactions")
        indexes = [models.Index(fields=["contract", "own_date"], name="open_transaction_day_idx")]

    def __str__(self) -> str:
        return str(self.transaction_id)


class RefundTotal(models.Model):
    """How much of one payment is refunded or voided; the CHECK is the guard that it never exceeds what was paid."""

    original_id = models.BigIntegerField(primary_key=True)
    paid = models.BigIntegerField(_("paid (minor units)"))
    refunded = models.BigIntegerField(_("refunded (minor units)"), default=0)
    returned_fee = models.BigIntegerField(_("fee returned (minor units)"), default=0)
    returned_cost = models.BigIntegerField(_("expected cost returned (minor units)"), default=0)

    class Meta:
        verbose_name = _("refund total")
        verbose_name_plural = _("refund totals")
        constraints = [
            models.CheckConstraint(
                condition=Q(refunded__gte=0) & Q(refunded__lte=F("paid")), name="refund_total_at_most_paid"
            )
        ]

    def __str__(self) -> str:
        return str(self.original_id)


class ClearingWatermark(models.Model):
    """Up to which accounting day a merchant's transactions of a contract are cleared; settlement writes it."""

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT)
    contract = models.ForeignKey(ChannelContract, on_delete=models.PROTECT)
    cleared_until = models.DateField(_("cleared until"))

    class Meta:
        ordering = ["merchant", "contract"]
        verbose_name = _("clearing watermark")
        verbose_name_plural = _("clearing watermarks")
        constraints = [models.UniqueConstraint(fields=["merchant", "contract"], name="clearing_watermark_once")]

    def __str__(self) -> str:
        return f"{self.merchant_id} {self.cleared_until}"


class IntakeState(models.TextChoices):
    """What became of an intake file."""

    LOADED = "loaded", pgettext_lazy("intake", "Loaded")
    REFUSED = "refused", pgettext_lazy("intake", "Refused")


class Intake(models.Model):
    """One file or request of the payment core, with its outcome and the rows refused alone."""

    source_name = models.CharField(_("file name"), max_length=200)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    size = models.BigIntegerField(_("size (bytes)"))
    state = models.CharField(_("state"), max_length=8, choices=IntakeState.choices)
    rows = models.BigIntegerField(_("rows"), default=0)
    created = models.BigIntegerField(_("created"), default=0)
    updated = models.BigIntegerField(_("updated"), default=0)
    unchanged = models.BigIntegerField(_("unchanged"), default=0)
    refused = models.JSONField(_("refused rows"), default=list)
    refused_count = models.BigIntegerField(_("refused"), default=0)
    vouchers = models.BigIntegerField(_("vouchers"), default=0)
    received_by = models.CharField(_("received by"), max_length=150, blank=True)
    received_at = models.DateTimeField(_("received at"), auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("intake")
        verbose_name_plural = _("intakes")

    def __str__(self) -> str:
        return self.source_name
