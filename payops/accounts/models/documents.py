"""Source documents that the ledger itself keeps: manual vouchers and corrections (DOMAIN 4.2, 9)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from payops.accounts.choices import CorrectionKind, DocumentState, Side
from payops.approvals.models import ApprovalRequest


class ManualVoucher(models.Model):
    """A voucher entered by hand (bank interest, bank charge, transfer between bank accounts): maker and checker.

    `lines` is a list of {"account": account number, "side": "D"|"C", "amount": minor units > 0}; they balance per
    currency. Booked once, when another person approves it. Rows of one upload share `batch_no`.
    """

    number = models.CharField(_("number"), max_length=24, unique=True)
    template = models.CharField(_("template"), max_length=40, blank=True)
    memo = models.CharField(_("memo"), max_length=200)
    business_date = models.DateField(_("business date"))
    lines = models.JSONField(_("lines"))
    amount = models.BigIntegerField(_("debit total (minor units)"))
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    attachment_name = models.CharField(_("attachment"), max_length=200, blank=True)
    attachment_path = models.CharField(max_length=300, blank=True)
    attachment_sha256 = models.CharField(_("SHA-256 of the attachment"), max_length=64, blank=True)
    batch_no = models.CharField(_("batch"), max_length=24, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=DocumentState.choices, default=DocumentState.PROPOSED)
    approval = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    booked_at = models.DateTimeField(_("booked at"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("manual voucher")
        verbose_name_plural = _("manual vouchers")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="manual_voucher_amount_positive"),
            models.CheckConstraint(
                condition=~Q(state="booked") | Q(voucher_id__isnull=False, approval__isnull=False),
                name="manual_voucher_booked_was_approved",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class Correction(models.Model):
    """One correction of a wrong voucher, proposed by one person and approved by another (DOMAIN 9).

    `voucher_id` is the wrong voucher. One-sided kinds name in `lines` the wrong lines, {"entry": id, "amount"}, and the
    right ones, {"account": number, "amount"}, minor units with the same total; the others take the whole chain. The
    order stays as it is; the vouchers made carry the correction's own event, so they stay out of business statistics.
    """

    number = models.CharField(_("number"), max_length=24, unique=True)
    kind = models.CharField(_("kind"), max_length=20, choices=CorrectionKind.choices)
    voucher_id = models.BigIntegerField(_("wrong voucher"))
    lines = models.JSONField(_("lines"), default=list)
    reason = models.CharField(_("reason"), max_length=500)
    state = models.CharField(_("state"), max_length=10, choices=DocumentState.choices, default=DocumentState.PROPOSED)
    approval = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    booked_at = models.DateTimeField(_("booked at"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("correction")
        verbose_name_plural = _("corrections")
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="booked") | Q(booked_at__isnull=False, approval__isnull=False),
                name="correction_booked_was_approved",
            ),
        ]
        indexes = [models.Index(fields=["voucher_id"], name="correction_voucher_idx")]

    def __str__(self) -> str:
        return self.number


class CorrectedEntry(models.Model):
    """The link from a wrong line to the line that takes it back; a line is corrected at most once, for ever.

    That line is red (negative, same side); only of a prior year it is blue and stands on the other side. `hidden`:
    wiped on its own day, so both lines stay out of merchants' views and of turnover. Append-only.
    """

    entry_id = models.BigIntegerField(_("wrong line"), primary_key=True)
    red_entry_id = models.BigIntegerField(_("red line"), unique=True)
    correction = models.ForeignKey(Correction, on_delete=models.PROTECT, related_name="corrected")
    side = models.CharField(_("side"), max_length=1, choices=Side.choices)
    hidden = models.BooleanField(_("wiped"), default=False)

    class Meta:
        ordering = ["entry_id"]
        verbose_name = _("corrected line")
        verbose_name_plural = _("corrected lines")

    def __str__(self) -> str:
        return str(self.entry_id)


class CorrectionVoucher(models.Model):
    """A voucher a correction made, and for the whole-chain kinds the voucher it cancels. Append-only.

    `id` is the source number of the voucher. A voucher is reversed at most once.
    """

    correction = models.ForeignKey(Correction, on_delete=models.PROTECT, related_name="vouchers")
    reverses = models.BigIntegerField(_("cancels voucher"), null=True, blank=True, unique=True)
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("correction voucher")
        verbose_name_plural = _("correction vouchers")

    def __str__(self) -> str:
        return f"{self.correction_id}: {self.reverses or ''}"


class PeriodBalance(models.Model):
    """Opening, turnover and closing of one account over a month, quarter or year, from its closed days.

    Written when the period's last day closes; amounts in minor units like those of DayBalance. Append-only.
    """

    pk = models.CompositePrimaryKey("kind", "first_day", "account")
    kind = models.CharField(
        _("period"), max_length=7, choices=[("month", _("Month")), ("quarter", _("Quarter")), ("year", _("Year"))]
    )
    first_day = models.DateField(_("first day"))
    last_day = models.DateField(_("last day"))
    account = models.ForeignKey("Account", on_delete=models.PROTECT, related_name="period_balances")
    opening = models.BigIntegerField(_("opening (minor units)"))
    debit = models.BigIntegerField(_("debit turnover (minor units)"))
    credit = models.BigIntegerField(_("credit turnover (minor units)"))
    closing = models.BigIntegerField(_("closing (minor units)"))

    class Meta:
        ordering = ["kind", "first_day", "account"]
        verbose_name = _("period balance")
        verbose_name_plural = _("period balances")

    def __str__(self) -> str:
        return f"{self.kind} {self.first_day} {self.account_id}"
