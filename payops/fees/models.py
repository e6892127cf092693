"""Fee packages and rules: configuration of what a payment costs whom (DOMAIN 10). Works on codes, knows no merchant."""

from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.lookups import Exact
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from payops.fees.choices import RefundPolicy


class FeePackage(models.Model):
    """A named set of fee rules; merchants' contracts and channel contracts point to one by its code."""

    code = models.CharField(_("code"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=80)
    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]
        verbose_name = _("fee package")
        verbose_name_plural = _("fee packages")

    def __str__(self) -> str:
        return self.code


class FeeRule(models.Model):
    """One rule of a package. Blank criteria mean any; the most specific rule wins, ties are refused when saving.

    `components` is a list of {"name", "fixed", "rate", "min", "max"}: fixed, min and max in minor units, rate a decimal
    text ("0.0035"). Each component is computed exactly, rounded half up, bounded, then all are summed.
    """

    package = models.ForeignKey(FeePackage, on_delete=models.PROTECT, related_name="rules")
    product = models.CharField(_("product"), max_length=30, blank=True)
    channel = models.CharField(_("channel"), max_length=30, blank=True)
    card_type = models.CharField(_("card type"), max_length=10, blank=True)
    kind = models.CharField(_("transaction kind"), max_length=24, blank=True)
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    amount_from = models.BigIntegerField(_("amount from (minor units)"), default=0)
    amount_to = models.BigIntegerField(_("amount below (minor units)"), null=True, blank=True)
    components = models.JSONField(_("components"))
    refund_policy = models.CharField(
        _("refund policy"), max_length=10, choices=RefundPolicy.choices, default=RefundPolicy.PRO_RATA
    )
    effective_from = models.DateField(_("effective from"))
    effective_to = models.DateField(_("effective until (exclusive)"), null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["package", "id"]
        verbose_name = _("fee rule")
        verbose_name_plural = _("fee rules")
        constraints = [
            models.CheckConstraint(
                condition=Q(effective_to__isnull=True) | Q(effective_to__gt=F("effective_from")),
                name="fee_rule_period_in_order",
            ),
            models.CheckConstraint(
                condition=Q(amount_to__isnull=True) | Q(amount_to__gt=F("amount_from")), name="fee_rule_range_in_order"
            ),
            models.CheckConstraint(condition=Q(amount_from__gte=0), name="fee_rule_range_not_negative"),
            models.CheckConstraint(condition=Q(refund_policy__in=RefundPolicy.values), name="fee_rule_policy_known"),
            models.CheckConstraint(
                condition=Exact(
                    Func(F("components"), function="jsonb_typeof", output_field=models.TextField()), Value("array")
                ),
                name="fee_rule_components_are_a_list",
            ),
            models.UniqueConstraint(
                fields=[
                    "package",
                    "product",
                    "channel",
                    "card_type",
                    "kind",
                    "currency",
                    "amount_from",
                    "amount_to",
                    "effective_from",
                ],
                nulls_distinct=False,
                name="fee_rule_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.package_id}/{self.pk}"
