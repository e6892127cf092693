"""Customers, merchants, their contracts, settlement terms and settlement accounts (DOMAIN 12)."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from simple_history.models import HistoricalRecords

from payops.accounts.choices import AccountStatus
from payops.core.crypto import EncryptedTextField
from payops.fees.models import FeePackage


class CustomerKind(models.TextChoices):
    """Legal or natural person."""

    LEGAL = "legal", _("Legal person")
    NATURAL = "natural", _("Natural person")


class MerchantType(models.TextChoices):
    """What kind of business it is."""

    ENTERPRISE = "enterprise", _("Enterprise")
    INDIVIDUAL = "individual", _("Individual business")
    LEASED = "leased", _("Leased, without licence")
    MICRO = "micro", _("Micro")


class MerchantStatus(models.TextChoices):
    """Suspended takes no new payments; settlement-held keeps earning but is not paid out."""

    APPLIED = "applied", _("Applied")
    IN_REVIEW = "in_review", _("In review")
    REJECTED = "rejected", pgettext_lazy("merchant", "Rejected")
    ACTIVE = "active", pgettext_lazy("merchant", "Active")
    SUSPENDED = "suspended", _("Suspended")
    HELD = "held", _("Settlement held")
    CLOSED = "closed", pgettext_lazy("merchant", "Closed")


MERCHANT_STATUS_NEXT: dict[str, frozenset[str]] = {
    MerchantStatus.APPLIED: frozenset({MerchantStatus.IN_REVIEW, MerchantStatus.REJECTED}),
    MerchantStatus.IN_REVIEW: frozenset({MerchantStatus.ACTIVE, MerchantStatus.REJECTED}),
    MerchantStatus.REJECTED: frozenset({MerchantStatus.APPLIED}),
    MerchantStatus.ACTIVE: frozenset({MerchantStatus.SUSPENDED, MerchantStatus.HELD, MerchantStatus.CLOSED}),
    MerchantStatus.SUSPENDED: frozenset({MerchantStatus.ACTIVE, MerchantStatus.HELD, MerchantStatus.CLOSED}),
    MerchantStatus.HELD: frozenset({MerchantStatus.ACTIVE, MerchantStatus.SUSPENDED, MerchantStatus.CLOSED}),
    MerchantStatus.CLOSED: frozenset(),
}
"""The states a merchant may go to from each state; closed is final."""


class Collection(models.TextChoices):
    """How the fee is collected (DOMAIN 10): inside (net) or post-charged (gross)."""

    NET = "net", _("Net, fee kept back")
    GROSS = "gross", _("Gross, fee charged afterwards")


class CycleUnit(models.TextChoices):
    """T counts working days, D natural days."""

    T = "T", _("Working days (T+n)")
    D = "D", _("Natural days (D+n)")


class AccountState(models.TextChoices):
    """State of a settlement account; a returned payout flags it until new data are approved."""

    ACTIVE = "active", pgettext_lazy("settlement account", "Active")
    FLAGGED = "flagged", _("Flagged after a returned payout")
    REPLACED = "replaced", pgettext_lazy("settlement account", "Replaced")


class Customer(models.Model):
    """A legal or natural person, unique by certificate number; owns merchants."""

    customer_no = models.CharField(_("customer number"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=8, choices=CustomerKind.choices, default=CustomerKind.LEGAL)
    certificate_no = EncryptedTextField(_("certificate number"), purpose="customer.certificate")
    certificate_index = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    history = HistoricalRecords(excluded_fields=["certificate_no"])

    class Meta:
        ordering = ["customer_no"]
        verbose_name = _("customer")
        verbose_name_plural = _("customers")

    def __str__(self) -> str:
        return self.name


class Merchant(models.Model):
    """A merchant of a customer: takes payments, is settled, has users in the portal."""

    merchant_no = models.CharField(_("merchant number"), max_length=40, unique=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="merchants")
    name = models.CharField(_("name"), max_length=120)
    merchant_type = models.CharField(
        _("type"), max_length=12, choices=MerchantType.choices, default=MerchantType.ENTERPRISE
    )
    status = models.CharField(_("status"), max_length=10, choices=MerchantStatus.choices, default=MerchantStatus.ACTIVE)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["merchant_no"]
        verbose_name = _("merchant")
        verbose_name_plural = _("merchants")
        constraints = [
            models.CheckConstraint(condition=Q(status__in=MerchantStatus.values), name="merchant_status_known"),
            models.CheckConstraint(condition=~Q(merchant_no=""), name="merchant_number_not_blank"),
        ]

    def __str__(self) -> str:
        return f"{self.merchant_no} {self.name}"


class CustomerFreezeState(models.TextChoices):
    """Life of an order over a customer."""

    IN_FORCE = "in_force", _("In force")
    LIFTED = "lifted", _("Lifted")


class CustomerFreeze(models.Model):
    """An order over everything a customer has: the accounts of all its merchants get its status, their users give no
    instructions (DOMAIN 4.4).

    Written by `restrictions` when proposed and approved by two people; its number is the source of the rows in the
    accounts' history, which is what lifting goes by. It is lifted once and otherwise never changes.
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="freezes")
    status = models.CharField(
        _("status of the accounts"),
        max_length=12,
        choices=[choice for choice in AccountStatus.choices if choice[0] not in {"normal", "closed"}],
    )
    reason = models.CharField(_("reason"), max_length=200)
    document = models.CharField(_("order or letter"), max_length=80)
    state = models.CharField(
        _("state"), max_length=8, choices=CustomerFreezeState.choices, default=CustomerFreezeState.IN_FORCE
    )
    placed_by = models.CharField(_("placed by"), max_length=150)
    placed_at = models.DateTimeField(_("placed at"), auto_now_add=True)
    lift_reason = models.CharField(_("reason for lifting"), max_length=200, blank=True)
    lifted_by = models.CharField(_("lifted by"), max_length=150, blank=True)
    lifted_at = models.DateTimeField(_("lifted at"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("freeze of a customer")
        verbose_name_plural = _("freezes of customers")
        constraints = [
            models.CheckConstraint(
                condition=Q(state="in_force", lifted_at__isnull=True, lifted_by="")
                | (Q(state="lifted", lifted_at__isnull=False) & ~Q(lifted_by="")),
                name="customer_freeze_lifted_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["credit_only", "debit_only", "stopped", "judicial"]),
                name="customer_freeze_restricts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id}: {self.document}"


class MerchantProduct(models.Model):
    """The contract of one merchant for one product: its fee package and how the fee is collected."""

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="products")
    product = models.CharField(_("product"), max_length=30)
    package = models.ForeignKey(FeePackage, on_delete=models.PROTECT, verbose_name=_("fee package"))
    collection = models.CharField(_("collection"), max_length=6, choices=Collection.choices, default=Collection.NET)
    effective_from = models.DateField(_("effective from"))
    history = HistoricalRecords()

    class Meta:
        ordering = ["merchant", "product"]
        verbose_name = _("merchant product")
        verbose_name_plural = _("merchant products")
        constraints = [
            models.UniqueConstraint(fields=["merchant", "product"], name="merchant_product_once"),
            models.CheckConstraint(
                condition=Q(collection__in=Collection.values), name="merchant_product_collection_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.merchant_id}/{self.product}"


class SettlementTerms(models.Model):
    """When and above which amount a merchant is paid."""

    merchant = models.OneToOneField(Merchant, on_delete=models.PROTECT, related_name="terms")
    cycle_unit = models.CharField(_("cycle"), max_length=1, choices=CycleUnit.choices, default=CycleUnit.T)
    cycle_days = models.PositiveSmallIntegerField(_("days"), default=1)
    minimum_amount = models.BigIntegerField(_("minimum payout (minor units)"), default=0)
    history = HistoricalRecords()

    class Meta:
        ordering = ["merchant"]
        verbose_name = _("settlement terms")
        verbose_name_plural = _("settlement terms")
        constraints = [
            models.CheckConstraint(condition=Q(minimum_amount__gte=0), name="terms_minimum_not_negative"),
            models.CheckConstraint(condition=Q(cycle_unit__in=CycleUnit.values), name="terms_cycle_known"),
        ]

    def __str__(self) -> str:
        return f"{self.cycle_unit}+{self.cycle_days}"


class SettlementAccount(models.Model):
    """The bank account a merchant is paid to; the number is encrypted, found by its blind index, shown masked."""

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="settlement_accounts")
    bank_name = models.CharField(_("bank"), max_length=80)
    branch_code = models.CharField(_("branch code"), max_length=20, blank=True)
    holder = models.CharField(_("account holder"), max_length=120)
    number = EncryptedTextField(_("account number"), purpose="settlement_account.number")
    number_index = models.CharField(max_length=64, editable=False, db_index=True)
    number_masked = models.CharField(_("account number"), max_length=40)
    state = models.CharField(_("state"), max_length=8, choices=AccountState.choices, default=AccountState.ACTIVE)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    history = HistoricalRecords(excluded_fields=["number"])

    class Meta:
        ordering = ["merchant", "id"]
        verbose_name = _("settlement account")
        verbose_name_plural = _("settlement accounts")
        constraints = [
            models.UniqueConstraint(
                fields=["merchant"], condition=~Q(state="replaced"), name="settlement_account_one_in_use"
            )
        ]

    def __str__(self) -> str:
        return f"{self.bank_name} {self.number_masked}"
