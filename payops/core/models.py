"""The core's own tables: business days, the institution, job runs and the audit log."""

from __future__ import annotations

import datetime as dt

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from payops.core.choices import FINAL_STATES, JOB_STATE_COLOURS, KEY_HOLDING_STATES, ArchiveState, JobState


class BusinessDay(models.Model):
    """One calendar day, working or not, including make-up working days (调休).

    Written by `business_days.seed_business_days` (whole years from the published calendar) and, for what is published
    later, by `business_days.business_day_set`. A day without a row is unknown, never guessed.
    """

    day = models.DateField(_("day"), primary_key=True)
    is_working = models.BooleanField(_("working day"))
    note = models.CharField(_("note"), max_length=100, blank=True)

    class Meta:
        ordering = ["day"]
        verbose_name = _("business day")
        verbose_name_plural = _("business days")

    def __str__(self) -> str:
        return self.day.isoformat()


class Institution(models.Model):
    """The payment institution itself: the only row, id 1. Written by `institution.institution_update`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    name = models.CharField(_("name"), max_length=100)
    own_cut_off = models.TimeField(
        _("own cut-off"), default=dt.time(23, 0), help_text=_("Time of day in Shanghai; 00:00 stands for 24:00.")
    )
    base_currency = models.CharField(_("base currency"), max_length=3, default="CNY")

    class Meta:
        ordering = ["id"]
        verbose_name = _("institution")
        verbose_name_plural = _("institutions")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="core_institution_single"),
            models.CheckConstraint(
                condition=Q(base_currency__regex=r"^[A-Z]{3}$"), name="core_institution_currency_code"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class JobRun(models.Model):
    """One run of a background job: what was asked, how far it is, how it ended.

    The row is the truth, the broker only a doorbell. Inserted by `jobs.enqueue` in the business transaction; claimed,
    renewed and finished by the process that runs it (`leased_by` names the claim); revived by `jobs.sweep` when its
    lease ran out. A job with parts waits as parent until `pending` children are done; the last child inserts the join.
    """

    kind = models.CharField(_("kind"), max_length=80)
    key = models.CharField(_("key"), max_length=200, null=True, blank=True)  # noqa: DJ001 - NULL is never unique
    params = models.JSONField(_("parameters"), default=dict, blank=True, encoder=DjangoJSONEncoder)
    state = models.CharField(_("state"), max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    max_attempts = models.PositiveSmallIntegerField(_("attempts allowed"), default=3)
    queued_at = models.DateTimeField(_("queued at"), default=timezone.now)
    lease_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    leased_by = models.CharField(_("leased by"), max_length=120, blank=True)
    progress_done = models.BigIntegerField(_("done"), default=0)
    progress_total = models.BigIntegerField(_("of"), default=0)
    message = models.CharField(_("message"), max_length=500, blank=True)
    log = models.TextField(_("log"), blank=True)
    result = models.JSONField(_("result"), null=True, blank=True, encoder=DjangoJSONEncoder)
    error_code = models.CharField(_("error code"), max_length=80, blank=True)
    error_message = models.TextField(_("error"), blank=True)
    parent = models.ForeignKey(
        "self", verbose_name=_("parent"), null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    pending = models.PositiveIntegerField(_("parts pending"), default=0)
    join_kind = models.CharField(_("kind of the join"), max_length=80, blank=True)
    is_join = models.BooleanField(_("joins its parent's parts"), default=False)
    business_date = models.DateField(_("business date"), null=True, blank=True)
    created_by = models.CharField(_("created by"), max_length=150, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        indexes = [
            models.Index(fields=["state", "lease_until"], name="core_jobrun_state_lease"),
            models.Index(fields=["business_date", "kind"], name="core_jobrun_date_kind"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(state__in=KEY_HOLDING_STATES), name="core_jobrun_key_once"
            ),
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="core_jobrun_state_known"),
            models.CheckConstraint(
                condition=Q(attempt__lte=models.F("max_attempts")), name="core_jobrun_attempts_limited"
            ),
            models.CheckConstraint(
                condition=(Q(state=JobState.RUNNING) & Q(lease_until__isnull=False) & ~Q(leased_by=""))
                | (~Q(state=JobState.RUNNING) & Q(lease_until__isnull=True)),
                name="core_jobrun_running_is_leased",
            ),
            models.CheckConstraint(
                condition=Q(state__in=FINAL_STATES, finished_at__isnull=False)
                | (~Q(state__in=FINAL_STATES) & Q(finished_at__isnull=True)),
                name="core_jobrun_finished_at_end",
            ),
            models.CheckConstraint(
                condition=Q(is_join=False) | Q(parent__isnull=False), name="core_jobrun_join_has_parent"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing will happen to this run any more unless somebody retries it."""
        return self.state in FINAL_STATES

    @property
    def colour(self) -> str:
        """Colour of the state on screen."""
        return JOB_STATE_COLOURS[self.state]


class AuditLog(models.Model):
    """One thing a person did or saw: a change, a download, a reveal. Written by `audit.record` only.

    The database refuses to change or remove a row (triggers, also against TRUNCATE).
    """

    at = models.DateTimeField(_("at"), default=timezone.now, editable=False)
    username = models.CharField(_("user"), max_length=150)
    action = models.CharField(_("action"), max_length=80)
    object_kind = models.CharField(_("kind of object"), max_length=80)
    object_id = models.CharField(_("object"), max_length=80, blank=True)
    detail = models.JSONField(_("detail"), default=dict, blank=True, encoder=DjangoJSONEncoder)
    ip = models.GenericIPAddressField(_("IP address"), null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("audit log entry")
        verbose_name_plural = _("audit log")
        indexes = [
            models.Index(fields=["object_kind", "object_id"], name="core_auditlog_object"),
            models.Index(fields=["username", "at"], name="core_auditlog_user_at"),
            models.Index(fields=["at"], name="core_auditlog_at"),
            models.Index(fields=["action", "id"], name="core_auditlog_action"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(username="") & ~Q(action=""), name="core_auditlog_who_and_what")
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.username} {self.action}"


class ArchivedPartition(models.Model):
    """One partition of a day taken out of its table into a file, and what proves that file. Written by core.archive.

    `lo` and `hi` are its bounds (lo ≤ id < hi), `columns` the names in the order of the file, `sha256` the digest of
    the rows as COPY text, `file_sha256` that of the compressed file. `ledger_digest` is what the seal of the day says
    of these rows ({"rows", "digest"}), for vouchers and entries. What was written never changes (trigger).
    """

    parent = models.CharField(_("table"), max_length=63)
    name = models.CharField(_("partition"), max_length=63)
    day = models.DateField(_("day"))
    lo = models.BigIntegerField(_("first number"))
    hi = models.BigIntegerField(_("numbers end before"))
    rows = models.BigIntegerField(_("rows"))
    columns = models.JSONField(_("columns"))
    sha256 = models.CharField(_("SHA-256 of the rows"), max_length=64)
    path = models.CharField(_("file"), max_length=200)
    file_sha256 = models.CharField(_("SHA-256 of the file"), max_length=64)
    file_size = models.BigIntegerField(_("size (bytes)"))
    ledger_digest = models.JSONField(_("digest in the seal"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=8, choices=ArchiveState.choices, default=ArchiveState.WRITTEN)
    kept = models.BooleanField(_("table kept"), default=False)
    written_at = models.DateTimeField(_("written at"), default=timezone.now)
    written_by = models.CharField(_("written by"), max_length=150)
    archived_at = models.DateTimeField(_("archived at"), null=True, blank=True)
    restored_at = models.DateTimeField(_("restored at"), null=True, blank=True)

    class Meta:
        ordering = ["day", "parent", "lo", "id"]
        verbose_name = _("archived partition")
        verbose_name_plural = _("archived partitions")
        indexes = [models.Index(fields=["day"], name="core_archived_day")]
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(state__in=["written", "archived"]),
                name="core_archived_once",
            ),
            models.CheckConstraint(condition=Q(hi__gt=models.F("lo")) & Q(rows__gte=0), name="core_archived_bounds"),
            models.CheckConstraint(
                condition=Q(
                    state__in=[ArchiveState.WRITTEN.value, ArchiveState.DROPPED.value], archived_at__isnull=True
                )
                | Q(state="archived", archived_at__isnull=False, restored_at__isnull=True)
                | Q(state="restored", archived_at__isnull=False, restored_at__isnull=False),
                name="core_archived_times",
            ),
        ]

    def __str__(self) -> str:
        return self.name
