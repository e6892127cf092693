"""Fee packages and rules, with their history."""

import django.db.models.deletion
import django.db.models.lookups
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="FeePackage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=40, unique=True, verbose_name="code")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
            ],
            options={
                "verbose_name": "fee package",
                "verbose_name_plural": "fee packages",
                "ordering": ["code"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalFeePackage",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("code", models.CharField(db_index=True, max_length=40, verbose_name="code")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical fee package",
                "verbose_name_plural": "historical fee packages",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalFeeRule",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("product", models.CharField(blank=True, max_length=30, verbose_name="product")),
                ("channel", models.CharField(blank=True, max_length=30, verbose_name="channel")),
                ("card_type", models.CharField(blank=True, max_length=10, verbose_name="card type")),
                ("kind", models.CharField(blank=True, max_length=24, verbose_name="transaction kind")),
                ("currency", models.CharField(default="CNY", max_length=3, verbose_name="currency")),
                ("amount_from", models.BigIntegerField(default=0, verbose_name="amount from (minor units)")),
                ("amount_to", models.BigIntegerField(blank=True, null=True, verbose_name="amount below (minor units)")),
                ("components", models.JSONField(verbose_name="components")),
                (
                    "refund_policy",
                    models.CharField(
                        choices=[
                            ("kept", "Fee kept"),
                            ("full", "Returned in full on full refund"),
                            ("pro_rata", "Returned pro rata"),
                        ],
                        default="pro_rata",
                        max_length=10,
                        verbose_name="refund policy",
                    ),
                ),
                ("effective_from", models.DateField(verbose_name="effective from")),
                ("effective_to", models.DateField(blank=True, null=True, verbose_name="effective until (exclusive)")),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "package",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="fees.feepackage",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical fee rule",
                "verbose_name_plural": "historical fee rules",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="FeeRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("product", models.CharField(blank=True, max_length=30, verbose_name="product")),
                ("channel", models.CharField(blank=True, max_length=30, verbose_name="channel")),
                ("card_type", models.CharField(blank=True, max_length=10, verbose_name="card type")),
                ("kind", models.CharField(blank=True, max_length=24, verbose_name="transaction kind")),
                ("currency", models.CharField(default="CNY", max_length=3, verbose_name="currency")),
                ("amount_from", models.BigIntegerField(default=0, verbose_name="amount from (minor units)")),
                ("amount_to", models.BigIntegerField(blank=True, null=True, verbose_name="amount below (minor units)")),
                ("components", models.JSONField(verbose_name="components")),
                (
                    "refund_policy",
                    models.CharField(
                        choices=[
                            ("kept", "Fee kept"),
                            ("full", "Returned in full on full refund"),
                            ("pro_rata", "Returned pro rata"),
                        ],
                        default="pro_rata",
                        max_length=10,
                        verbose_name="refund policy",
                    ),
                ),
                ("effective_from", models.DateField(verbose_name="effective from")),
                ("effective_to", models.DateField(blank=True, null=True, verbose_name="effective until (exclusive)")),
                (
                    "package",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="rules", to="fees.feepackage"
                    ),
                ),
            ],
            options={
                "verbose_name": "fee rule",
                "verbose_name_plural": "fee rules",
                "ordering": ["package", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("effective_to__isnull", True),
                            ("effective_to__gt", models.F("effective_from")),
                            _connector="OR",
                        ),
                        name="fee_rule_period_in_order",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_to__isnull", True), ("amount_to__gt", models.F("amount_from")), _connector="OR"
                        ),
                        name="fee_rule_range_in_order",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount_from__gte", 0)), name="fee_rule_range_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("refund_policy__in", ["kept", "full", "pro_rata"])),
                        name="fee_rule_policy_known",
                    ),
                    models.CheckConstraint(
                        condition=django.db.models.lookups.Exact(
                            models.Func(
                                models.F("components"), function="jsonb_typeof", output_field=models.TextField()
                            ),
                            models.Value("array"),
                        ),
                        name="fee_rule_components_are_a_list",
                    ),
                    models.UniqueConstraint(
                        fields=(
                            "package",
                            "product",
                            "channel",
                            "card_type",
                            "kind",
                            "currency",
                            "amount_from",
                            "amount_to",
                            "effective_from",
                        ),
                        name="fee_rule_once",
                        nulls_distinct=False,
                    ),
                ],
            },
        ),
    ]
