"""Files beside the bill have a type of their own; statements of the bank are kept with their balances."""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

from payops.channels import guards
from payops.core.sql import append_only_operation


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="BankStatement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("statement_date", models.DateField(verbose_name="statement date")),
                ("number", models.CharField(max_length=40, verbose_name="statement number")),
                ("sequence", models.PositiveIntegerField(blank=True, null=True, verbose_name="sequence")),
                ("opening", models.BigIntegerField(verbose_name="opening balance (minor units)")),
                ("credits", models.BigIntegerField(verbose_name="credits (minor units)")),
                ("debits", models.BigIntegerField(verbose_name="debits (minor units)")),
                ("closing", models.BigIntegerField(verbose_name="closing balance (minor units)")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("entry_count", models.PositiveIntegerField(verbose_name="entries")),
                ("pending", models.JSONField(blank=True, default=list, verbose_name="entries announced, not booked")),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("loaded_at", models.DateTimeField(auto_now_add=True, verbose_name="loaded at")),
            ],
            options={
                "verbose_name": "bank statement",
                "verbose_name_plural": "bank statements",
                "ordering": ["-statement_date", "-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="billfile",
            name="bill_file_version",
        ),
        migrations.RemoveConstraint(
            model_name="billfile",
            name="bill_file_digest_once",
        ),
        migrations.RemoveConstraint(
            model_name="billfile",
            name="bill_file_one_accepted",
        ),
        migrations.AddField(
            model_name="billfile",
            name="bill_format",
            field=models.CharField(
                blank=True,
                help_text="Read as; empty for the bill format of the contract.",
                max_length=30,
                verbose_name="format",
            ),
        ),
        migrations.AddField(
            model_name="billfile",
            name="bill_type",
            field=models.CharField(
                choices=[
                    ("trade", "Trades"),
                    ("errors", "Disputes and adjustments"),
                    ("brand_fee", "Brand fees"),
                    ("account_log", "Account log"),
                ],
                default="trade",
                max_length=12,
                verbose_name="type",
            ),
        ),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(
                fields=("contract", "channel_date", "batch", "bill_type", "version"), name="bill_file_version"
            ),
        ),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "rejected"), _negated=True),
                fields=("contract", "channel_date", "batch", "bill_type", "sha256"),
                name="bill_file_digest_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "accepted")),
                fields=("contract", "channel_date", "batch", "bill_type"),
                name="bill_file_one_accepted",
            ),
        ),
        migrations.AddField(
            model_name="bankstatement",
            name="bank_account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="statements", to="channels.bankaccount"
            ),
        ),
        migrations.AddConstraint(
            model_name="bankstatement",
            constraint=models.UniqueConstraint(
                fields=("bank_account", "statement_date", "number"), name="bank_statement_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="bankstatement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "closing",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("opening"), "+", models.F("credits")
                            ),
                            "-",
                            models.F("debits"),
                        ),
                    )
                ),
                name="bank_statement_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankstatement",
            constraint=models.CheckConstraint(
                condition=models.Q(("credits__gte", 0), ("debits__gte", 0)), name="bank_statement_unsigned"
            ),
        ),
        migrations.RunSQL(guards.CREATE, guards.DROP),
        append_only_operation("channels_bankstatement"),
    ]
