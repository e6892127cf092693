"""Which channel days a settlement line pays, kept as rows that add up to it."""

import django.db.models.deletion
from django.db import migrations, models

from payops.reconciliation import guards_receipts


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0002_bill_types_and_statements"),
        ("core", "0001_initial"),
        ("reconciliation", "0002_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReceiptAllocation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField(verbose_name="number")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("named", "The day the bank line names"),
                            ("group", "Consecutive days whose sum it is"),
                            ("person", "Divided by hand"),
                        ],
                        max_length=6,
                        verbose_name="kind",
                    ),
                ),
                ("attributed", models.BooleanField(default=True, verbose_name="difference attributed")),
                ("is_current", models.BooleanField(default=True, verbose_name="current")),
                ("made_by", models.CharField(max_length=150, verbose_name="made by")),
                ("approval_id", models.BigIntegerField(blank=True, null=True, verbose_name="request")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                (
                    "bank_line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="allocations", to="channels.bankline"
                    ),
                ),
            ],
            options={
                "verbose_name": "receipt allocation",
                "verbose_name_plural": "receipt allocations",
                "ordering": ["bank_line", "number"],
            },
        ),
        migrations.CreateModel(
            name="ReceiptPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.BigIntegerField(verbose_name="amount (minor units)")),
                (
                    "allocation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="reconciliation.receiptallocation",
                    ),
                ),
                (
                    "receipt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="reconciliation.channelreceipt",
                    ),
                ),
            ],
            options={
                "verbose_name": "part of a receipt",
                "verbose_name_plural": "parts of receipts",
                "ordering": ["allocation", "id"],
            },
        ),
        migrations.AddConstraint(
            model_name="receiptallocation",
            constraint=models.UniqueConstraint(fields=("bank_line", "number"), name="receipt_allocation_number"),
        ),
        migrations.AddConstraint(
            model_name="receiptallocation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_current", True)), fields=("bank_line",), name="receipt_allocation_one_current"
            ),
        ),
        migrations.AddConstraint(
            model_name="receiptallocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "person"), _negated=True), ("approval_id__isnull", False), _connector="OR"
                ),
                name="receipt_allocation_by_hand_is_approved",
            ),
        ),
        migrations.AddConstraint(
            model_name="receiptpart",
            constraint=models.UniqueConstraint(fields=("allocation", "receipt"), name="receipt_part_one_per_day"),
        ),
        migrations.RunSQL(guards_receipts.create(), guards_receipts.drop()),
    ]
