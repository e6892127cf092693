"""Maker-checker requests: what one person proposes and another decides."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class RequestStatus(models.TextChoices):
    """Life of a request; `pending` is the only state in which it can be decided."""

    PENDING = "pending", _("Pending")
    EXECUTED = "executed", _("Approved and executed")
    REJECTED = "rejected", _("Rejected")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class ApprovalRequest(models.Model):
    """One proposed action with its frozen payload, written by `approvals.services` only.

    Maker and checker are never the same person (database CHECK); a target has at most one pending request per
    action (partial unique index); execution happens once, inside the transaction of the decision.
    """

    action = models.CharField(_("action"), max_length=60)
    title = models.CharField(_("title"), max_length=200)
    payload = models.JSONField(_("payload"))
    payload_hash = models.CharField(_("payload hash"), max_length=64)
    target_kind = models.CharField(_("target"), max_length=40)
    target_id = models.CharField(_("target number"), max_length=64)
    target_fingerprint = models.CharField(_("target fingerprint"), max_length=64)
    amount = models.BigIntegerField(_("amount (minor units)"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    tier = models.PositiveSmallIntegerField(_("tier"), default=1)
    status = models.CharField(_("status"), max_length=12, choices=RequestStatus.choices, default=RequestStatus.PENDING)
    maker = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="requests_made", verbose_name=_("maker")
    )
    checker = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="requests_decided",
        null=True,
        blank=True,
        verbose_name=_("checker"),
    )
    reason = models.TextField(_("reason"), blank=True)
    decision_note = models.TextField(_("decision note"), blank=True)
    result = models.JSONField(_("result"), null=True, blank=True)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)

    decided_by_name = ""
    """Who ended it, set by the services on the object given to `closed` callbacks: a withdrawal has no checker."""

    class Meta:
        ordering = ["-id"]
        verbose_name = _("approval request")
        verbose_name_plural = _("approval requests")
        constraints = [
            models.CheckConstraint(
                condition=Q(checker__isnull=True) | ~Q(checker=F("maker")), name="approval_maker_is_not_checker"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["executed", "rejected"]) | Q(checker__isnull=False, decided_at__isnull=False),
                name="approval_decision_has_checker",
            ),
            models.UniqueConstraint(
                fields=["action", "target_kind", "target_id"],
                condition=Q(status="pending"),
                name="approval_one_pending_per_target",
            ),
        ]
        indexes = [models.Index(fields=["status", "-id"], name="approval_status_idx")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"
