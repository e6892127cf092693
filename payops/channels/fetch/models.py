"""Where bills are fetched from, every try to fetch one, and the days a channel has no bill for (docs/fetching.md)."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payops.approvals.models import ApprovalRequest
from payops.channels.choices import BillType
from payops.channels.fetch.choices import WITH_FILE, FetchOutcome, SourceKind
from payops.core.crypto import EncryptedTextField


class FileSource(models.Model):
    """One version of where and when a contract's file of a type is fetched; written by an approved request only.

    Times are Shanghai time of the calendar day after the channel day. `secret` is the private key or the password,
    encrypted; `secret_file` names a file instead that holds it. Versions are never edited: another replaces them.
    """

    contract = models.ForeignKey("channels.ChannelContract", on_delete=models.PROTECT, related_name="sources")
    name = models.CharField(pgettext_lazy("file source", "name"), max_length=40)
    version = models.PositiveIntegerField(_("version"), default=1)
    kind = models.CharField(_("kind"), max_length=8, choices=SourceKind.choices)
    bill_type = models.CharField(_("type"), max_length=12, choices=BillType.choices, default=BillType.TRADE)
    address = models.CharField(_("address"), max_length=300)
    options = models.JSONField(_("settings"), default=dict, blank=True)
    secret = EncryptedTextField(_("secret"), blank=True, default="", purpose="channels.file_source")
    secret_file = models.CharField(_("file of the secret"), max_length=200, blank=True)
    first_day = models.DateField(_("first channel day"))
    first_try = models.TimeField(_("first try"))
    every_minutes = models.PositiveSmallIntegerField(_("every (minutes)"), default=15)
    deadline = models.TimeField(_("deadline"))
    empty_after = models.TimeField(_("empty day from"), null=True, blank=True)
    active = models.BooleanField(_("active"), default=True)
    is_current = models.BooleanField(_("current"), default=True)
    made_by = models.CharField(_("made by"), max_length=150)
    approval = models.OneToOneField(
        ApprovalRequest, on_delete=models.PROTECT, related_name="+", verbose_name=_("request")
    )
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)

    class Meta:
        ordering = ["contract", "name", "-version"]
        verbose_name = _("file source")
        verbose_name_plural = _("file sources")
        constraints = [
            models.UniqueConstraint(fields=["contract", "name", "version"], name="file_source_version"),
            models.UniqueConstraint(
                fields=["contract", "name"], condition=Q(is_current=True), name="file_source_one_current"
            ),
            models.CheckConstraint(
                condition=Q(every_minutes__gte=1, every_minutes__lte=720), name="file_source_every_minutes"
            ),
            models.CheckConstraint(condition=Q(deadline__gte=F("first_try")), name="file_source_deadline_after_first"),
            models.CheckConstraint(
                condition=Q(empty_after__isnull=True) | Q(empty_after__gte=F("first_try"), bill_type="trade"),
                name="file_source_empty_after_first",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.name} v{self.version}"


class FetchAttempt(models.Model):
    """One try of a source for one channel day and what it came to; written once it is over. Append-only.

    `remote` tells a file that was seen before apart from a new one (name, size and time where it lies).
    """

    source = models.ForeignKey(FileSource, on_delete=models.PROTECT, related_name="attempts")
    contract = models.ForeignKey("channels.ChannelContract", on_delete=models.PROTECT, related_name="+")
    channel_date = models.DateField(_("channel date"))
    outcome = models.CharField(_("outcome"), max_length=13, choices=FetchOutcome.choices)
    message = models.TextField(_("message"), blank=True)
    file_name = models.CharField(_("file name"), max_length=200, blank=True)
    remote = models.CharField(max_length=300, blank=True)
    bill_file = models.ForeignKey(
        "channels.BillFile", on_delete=models.PROTECT, null=True, blank=True, related_name="attempts"
    )
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"))
    made_by = models.CharField(_("by"), max_length=150, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("fetch attempt")
        verbose_name_plural = _("fetch attempts")
        indexes = [
            models.Index(fields=["contract", "channel_date"], name="fetch_attempt_day_idx"),
            models.Index(fields=["source", "remote"], condition=~Q(remote=""), name="fetch_attempt_remote_idx"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=[outcome.value for outcome in WITH_FILE], bill_file__isnull=False)
                | (~Q(outcome__in=[outcome.value for outcome in WITH_FILE]) & Q(bill_file__isnull=True)),
                name="fetch_attempt_file_when_taken",
            ),
            models.CheckConstraint(condition=Q(finished_at__gte=F("started_at")), name="fetch_attempt_ends_after"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} {self.channel_date} {self.outcome}"


class EmptyDay(models.Model):
    """A channel day without a bill that counts as one with zero lines; its bill file is the answer it rests on.

    `own_count` is how many successes of our own the day had when it was declared. With any of them it needs an
    approved request. Append-only.
    """

    contract = models.ForeignKey("channels.ChannelContract", on_delete=models.PROTECT, related_name="empty_days")
    channel_date = models.DateField(_("channel date"))
    bill_file = models.OneToOneField("channels.BillFile", on_delete=models.PROTECT, related_name="empty_day")
    own_count = models.PositiveIntegerField(_("own successes"))
    reason = models.TextField(_("reason"))
    declared_by = models.CharField(_("declared by"), max_length=150)
    approval = models.OneToOneField(
        ApprovalRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("request")
    )
    declared_at = models.DateTimeField(_("declared at"), auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("empty day")
        verbose_name_plural = _("empty days")
        constraints = [
            models.CheckConstraint(
                condition=Q(own_count=0) | Q(approval__isnull=False), name="empty_day_with_successes_is_approved"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract_id} {self.channel_date}"
