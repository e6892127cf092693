"""Cases: every difference found, worked until its suspense is empty (DOMAIN 8)."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from payops.approvals.models import ApprovalRequest
from payops.channels.models import BankAccount, ChannelContract
from payops.discrepancies.choices import (
    OPEN_STATES,
    ActionKind,
    ActionState,
    CaseEventKind,
    CaseKind,
    CaseState,
    ReasonCode,
)
from payops.merchants.models import Merchant


class Discrepancy(models.Model):
    """One difference and its life as a case; opened by whoever finds it, through `services.case_open`.

    `amount` is d = channel − own in minor units: positive a surplus, negative a shortage. `suspense` is what of it is
    in suspense now, with the same sign; a case closes when it is zero. `dedupe_key` makes opening idempotent.
    """

    case_no = models.CharField(_("case number"), max_length=24, unique=True)
    dedupe_key = models.CharField(max_length=80, unique=True)
    kind = models.CharField(_("kind"), max_length=20, choices=CaseKind.choices)
    reason_code = models.CharField(_("reason"), max_length=16, choices=ReasonCode.choices, default=ReasonCode.OTHER)
    state = models.CharField(_("state"), max_length=14, choices=CaseState.choices, default=CaseState.OPEN)
    contract = models.ForeignKey(
        ChannelContract, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("channel")
    )
    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, null=True, blank=True)
    business_date = models.DateField(_("channel date"))
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, null=True, blank=True)
    transaction_id = models.BigIntegerField(_("transaction"), null=True, blank=True)
    bill_line_id = models.BigIntegerField(_("bill line"), null=True, blank=True)
    bank_line_id = models.BigIntegerField(_("bank line"), null=True, blank=True)
    amount = models.BigIntegerField(_("difference (minor units)"))
    suspense = models.BigIntegerField(_("in suspense (minor units)"), default=0)
    currency = models.CharField(_("currency"), max_length=3, default="CNY")
    evidence = models.JSONField(_("evidence"), default=dict)
    suggested_action = models.CharField(_("suggested action"), max_length=14, choices=ActionKind.choices, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True)
    wait_until = models.DateField(_("waiting until"), null=True, blank=True)
    escalated_at = models.DateTimeField(_("escalated at"), null=True, blank=True)
    opened_at = models.DateTimeField(_("opened at"), auto_now_add=True)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    opened_now = False
    """Set by the services that open cases: whether this very call opened or reopened it."""

    class Meta:
        ordering = ["-id"]
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        constraints = [
            models.CheckConstraint(
                condition=~Q(state__in=["closed", "auto_cleared", "withdrawn"]) | Q(suspense=0),
                name="case_closed_only_without_suspense",
            ),
            models.CheckConstraint(
                condition=Q(suspense=0) | Q(amount__gt=0, suspense__gt=0) | Q(amount__lt=0, suspense__lt=0),
                name="case_suspense_has_the_sign_of_the_difference",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "business_date"], name="case_state_idx"),
            models.Index(fields=["contract", "business_date"], name="case_contract_idx"),
            models.Index(fields=["transaction_id"], name="case_transaction_idx"),
            models.Index(fields=["bill_line_id"], name="case_bill_line_idx"),
        ]

    def __str__(self) -> str:
        return self.case_no

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self.state in OPEN_STATES


class CaseAction(models.Model):
    """One action proposed for a case by one user and booked once another approved it; written by the services.

    `amount` is the suspense it empties, in minor units with the case's sign. Actions proposed together share a
    `batch_no` and an approval request. The row is the source document of its voucher.
    """

    case = models.ForeignKey(Discrepancy, on_delete=models.PROTECT, related_name="actions")
    kind = models.CharField(_("action"), max_length=14, choices=ActionKind.choices)
    params = models.JSONField(_("details"), default=dict)
    state = models.CharField(_("state"), max_length=8, choices=ActionState.choices, default=ActionState.PROPOSED)
    amount = models.BigIntegerField(_("amount (minor units)"))
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    approval = models.ForeignKey(
        ApprovalRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="case_actions"
    )
    batch_no = models.CharField(_("batch"), max_length=24, blank=True, default="")
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)
    transaction_id = models.BigIntegerField(_("transaction made"), null=True, blank=True)
    created_at = models.DateTimeField(_("proposed at"), auto_now_add=True)
    booked_at = models.DateTimeField(_("booked at"), null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("case action")
        verbose_name_plural = _("case actions")
        constraints = [
            models.UniqueConstraint(fields=["case"], condition=Q(state="proposed"), name="case_action_one_proposed"),
            models.CheckConstraint(
                condition=~Q(state="booked") | Q(booked_at__isnull=False), name="case_action_booked_has_time"
            ),
            models.CheckConstraint(
                condition=~Q(state="booked") | Q(approval__isnull=False), name="case_action_booked_was_approved"
            ),
            models.CheckConstraint(
                condition=~Q(state="booked") | Q(kind="wait") | Q(voucher_id__isnull=False),
                name="case_action_booked_has_voucher",
            ),
        ]
        indexes = [models.Index(fields=["batch_no"], name="case_action_batch_idx", condition=~Q(batch_no=""))]

    def __str__(self) -> str:
        return f"{self.case_id} {self.kind}"


class CaseEvent(models.Model):
    """One line of a case's history: who did what, when. Append-only; what a run did carries the name "system"."""

    case = models.ForeignKey(Discrepancy, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(_("at"), auto_now_add=True)
    username = models.CharField(_("user"), max_length=150)
    what = models.CharField(_("what"), max_length=40, choices=CaseEventKind.choices)
    from_state = models.CharField(max_length=14, blank=True)
    to_state = models.CharField(max_length=14, blank=True)
    note = models.TextField(_("note"), blank=True)
    action = models.ForeignKey(
        CaseAction, on_delete=models.PROTECT, null=True, blank=True, related_name="events", verbose_name=_("action")
    )
    voucher_id = models.BigIntegerField(_("voucher"), null=True, blank=True)
    amount = models.BigIntegerField(_("amount (minor units)"), null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("case event")
        verbose_name_plural = _("case events")
        constraints = [models.CheckConstraint(condition=~Q(username=""), name="case_event_says_who")]

    def __str__(self) -> str:
        return f"{self.case_id} {self.what}"
