"""The core's tables, and the function every append-only guard calls."""

import datetime

import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from payops.core import sql


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.RunSQL(sql.REFUSE_CHANGE, sql.REFUSE_CHANGE_REVERSE),
        migrations.CreateModel(
            name="BusinessDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False, verbose_name="day")),
                ("is_working", models.BooleanField(verbose_name="working day")),
                ("note", models.CharField(blank=True, max_length=100, verbose_name="note")),
            ],
            options={
                "verbose_name": "business day",
                "verbose_name_plural": "business days",
                "ordering": ["day"],
            },
        ),
        migrations.CreateModel(
            name="AuditLog",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="at")),
                ("username", models.CharField(max_length=150, verbose_name="user")),
                ("action", models.CharField(max_length=80, verbose_name="action")),
                ("object_kind", models.CharField(max_length=80, verbose_name="kind of object")),
                ("object_id", models.CharField(blank=True, max_length=80, verbose_name="object")),
                ("detail", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, blank=True, default=dict, verbose_name="detail")),
                ("ip", models.GenericIPAddressField(blank=True, null=True, verbose_name="IP address")),
            ],
            options={
                "verbose_name": "audit log entry",
                "verbose_name_plural": "audit log",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["object_kind", "object_id"], name="core_auditlog_object"),
                    models.Index(fields=["username", "at"], name="core_auditlog_user_at"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("username", ""), _negated=True), models.Q(("action", ""), _negated=True)
                        ),
                        name="core_auditlog_who_and_what",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Institution",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "own_cut_off",
                    models.TimeField(
                        default=datetime.time(23, 0),
                        help_text="Time of day in Shanghai; 00:00 stands for 24:00.",
                        verbose_name="own cut-off",
                    ),
                ),
                ("base_currency", models.CharField(default="CNY", max_length=3, verbose_name="base currency")),
            ],
            options={
                "verbose_name": "institution",
                "verbose_name_plural": "institutions",
                "ordering": ["id"],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="core_institution_single"),
                    models.CheckConstraint(
                        condition=models.Q(("base_currency__regex", "^[A-Z]{3}$")),
                        name="core_institution_currency_code",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="JobRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=80, verbose_name="kind")),
                ("key", models.CharField(blank=True, max_length=200, null=True, verbose_name="key")),
                ("params", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, blank=True, default=dict, verbose_name="parameters")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("waiting", "Waiting for its parts"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("attempt", models.PositiveSmallIntegerField(default=0, verbose_name="attempt")),
                ("max_attempts", models.PositiveSmallIntegerField(default=3, verbose_name="attempts allowed")),
                ("queued_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="queued at")),
                ("lease_until", models.DateTimeField(blank=True, null=True, verbose_name="leased until")),
                ("leased_by", models.CharField(blank=True, max_length=120, verbose_name="leased by")),
                ("progress_done", models.BigIntegerField(default=0, verbose_name="done")),
                ("progress_total", models.BigIntegerField(default=0, verbose_name="of")),
                ("message", models.CharField(blank=True, max_length=500, verbose_name="message")),
                ("log", models.TextField(blank=True, verbose_name="log")),
                ("result", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, blank=True, null=True, verbose_name="result")),
                ("error_code", models.CharField(blank=True, max_length=80, verbose_name="error code")),
                ("error_message", models.TextField(blank=True, verbose_name="error")),
                ("pending", models.PositiveIntegerField(default=0, verbose_name="parts pending")),
                ("join_kind", models.CharField(blank=True, max_length=80, verbose_name="kind of the join")),
                ("is_join", models.BooleanField(default=False, verbose_name="joins its parent's parts")),
                ("business_date", models.DateField(blank=True, null=True, verbose_name="business date")),
                ("created_by", models.CharField(blank=True, max_length=150, verbose_name="created by")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started at")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished at")),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="core.jobrun",
                        verbose_name="parent",
                    ),
                ),
            ],
            options={
                "verbose_name": "job run",
                "verbose_name_plural": "job runs",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["state", "lease_until"], name="core_jobrun_state_lease"),
                    models.Index(fields=["business_date", "kind"], name="core_jobrun_date_kind"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("queued", "running", "waiting", "succeeded"))),
                        fields=("key",),
                        name="core_jobrun_key_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["queued", "running", "waiting", "succeeded", "failed", "cancelled"])
                        ),
                        name="core_jobrun_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("attempt__lte", models.F("max_attempts"))),
                        name="core_jobrun_attempts_limited",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("state", "running"),
                                ("lease_until__isnull", False),
                                models.Q(("leased_by", ""), _negated=True),
                            ),
                            models.Q(models.Q(("state", "running"), _negated=True), ("lease_until__isnull", True)),
                            _connector="OR",
                        ),
                        name="core_jobrun_running_is_leased",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("finished_at__isnull", False), ("state__in", ("succeeded", "failed", "cancelled"))
                            ),
                            models.Q(
                                models.Q(("state__in", ("succeeded", "failed", "cancelled")), _negated=True),
                                ("finished_at__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="core_jobrun_finished_at_end",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("is_join", False), ("parent__isnull", False), _connector="OR"),
                        name="core_jobrun_join_has_parent",
                    ),
                ],
            },
        ),
        sql.append_only_operation("core_auditlog"),
    ]
