"""Rules that say what a bank line is, in versions that are never edited."""

import django.db.models.deletion
from django.db import migrations, models

from payops.reconciliation import guards_bank_rules


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_initial"),
        ("channels", "0003_bank_line_kinds_by_rule"),
        ("reconciliation", "0004_allocate_receipts"),
    ]

    operations = [
        migrations.CreateModel(
            name="BankRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60, verbose_name="rule")),
                ("version", models.PositiveIntegerField(default=1, verbose_name="version")),
                ("priority", models.PositiveSmallIntegerField(verbose_name="priority")),
                (
                    "direction",
                    models.CharField(
                        choices=[("any", "In or out"), ("in", "In"), ("out", "Out")],
                        default="any",
                        max_length=3,
                        verbose_name="direction",
                    ),
                ),
                ("counterparty", models.CharField(blank=True, max_length=120, verbose_name="counterparty contains")),
                ("memo_pattern", models.CharField(blank=True, max_length=200, verbose_name="memo pattern")),
                (
                    "min_amount",
                    models.BigIntegerField(blank=True, null=True, verbose_name="smallest amount (minor units)"),
                ),
                (
                    "max_amount",
                    models.BigIntegerField(blank=True, null=True, verbose_name="largest amount (minor units)"),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("settlement", "Channel settlement"),
                            ("payout", "Payout"),
                            ("return", "Returned payout"),
                            ("transfer", "Transfer between reserve accounts"),
                            ("interest", "Interest"),
                            ("charge", "Bank charge"),
                            ("carried", "Fee income carried"),
                            ("other", "Unidentified"),
                        ],
                        max_length=10,
                        verbose_name="is then",
                    ),
                ),
                ("active", models.BooleanField(default=True, verbose_name="active")),
                ("is_current", models.BooleanField(default=True, verbose_name="current")),
                ("made_by", models.CharField(max_length=150, verbose_name="made by")),
                ("approval_id", models.BigIntegerField(verbose_name="request")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="rules", to="channels.bankaccount"
                    ),
                ),
                (
                    "contract",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="channels.channelcontract",
                    ),
                ),
            ],
            options={
                "verbose_name": "bank rule",
                "verbose_name_plural": "bank rules",
                "ordering": ["bank_account", "priority", "id"],
                "constraints": [
                    models.UniqueConstraint(fields=("bank_account", "name", "version"), name="bank_rule_version"),
                    models.UniqueConstraint(
                        condition=models.Q(("is_current", True)),
                        fields=("bank_account", "name"),
                        name="bank_rule_one_current",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("active", True), ("is_current", True)),
                        fields=("bank_account", "priority"),
                        name="bank_rule_priority_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("counterparty", ""), ("memo_pattern", ""), _negated=True),
                        name="bank_rule_has_a_condition",
                    ),
                ],
            },
        ),
        migrations.RunSQL(guards_bank_rules.create(), guards_bank_rules.drop()),
    ]
