"""Balance adjustment statements with their open items, and bank lines assigned by hand."""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

from payops.reconciliation import guards_bank


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0004_bills_are_fetched"),
        ("reconciliation", "0006_match_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="BankAssignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("settlement", "Channel settlement"),
                            ("payout", "Payout"),
                            ("return", "Returned payout"),
                            ("offline", "Offline receipt of a merchant"),
                            ("interest", "Interest"),
                            ("charge", "Bank charge"),
                        ],
                        max_length=10,
                        verbose_name="is",
                    ),
                ),
                ("made_by", models.CharField(max_length=150, verbose_name="made by")),
                ("approval_id", models.BigIntegerField(verbose_name="request")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                (
                    "bank_line",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="assignment", to="channels.bankline"
                    ),
                ),
            ],
            options={
                "verbose_name": "assignment of a bank line",
                "verbose_name_plural": "assignments of bank lines",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="BankReconciliation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(verbose_name="day")),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                ("is_current", models.BooleanField(default=True, verbose_name="current")),
                ("journal_balance", models.BigIntegerField(verbose_name="balance of the journal (minor units)")),
                ("bank_balance", models.BigIntegerField(verbose_name="balance at the bank (minor units)")),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("statement", "Bank statement"),
                            ("line", "Balance on the bank's line"),
                            ("computed", "Computed from the bank's lines"),
                        ],
                        max_length=9,
                        verbose_name="bank balance from",
                    ),
                ),
                ("we_received", models.BigIntegerField(verbose_name="we received, bank not (minor units)")),
                ("we_paid", models.BigIntegerField(verbose_name="we paid, bank not (minor units)")),
                ("bank_received", models.BigIntegerField(verbose_name="bank received, we not (minor units)")),
                ("bank_paid", models.BigIntegerField(verbose_name="bank paid, we not (minor units)")),
                ("difference", models.BigIntegerField(verbose_name="difference (minor units)")),
                ("entry_count", models.BigIntegerField(verbose_name="entries compared")),
                ("line_count", models.BigIntegerField(verbose_name="bank lines compared")),
                ("last_line", models.BigIntegerField(default=0, verbose_name="newest bank line known")),
                ("made_by", models.CharField(max_length=150, verbose_name="made by")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reconciliations",
                        to="channels.bankaccount",
                    ),
                ),
            ],
            options={
                "verbose_name": "balance adjustment statement",
                "verbose_name_plural": "balance adjustment statements",
                "ordering": ["-day", "bank_account", "-number"],
            },
        ),
        migrations.CreateModel(
            name="BankOpenItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("we_received", "We received, bank not"),
                            ("we_paid", "We paid, bank not"),
                            ("bank_received", "Bank received, we not"),
                            ("bank_paid", "Bank paid, we not"),
                        ],
                        max_length=13,
                        verbose_name="kind",
                    ),
                ),
                ("entry_id", models.BigIntegerField(blank=True, null=True, verbose_name="entry")),
                ("amount", models.BigIntegerField(verbose_name="amount (minor units)")),
                ("since", models.DateField(verbose_name="open since")),
                ("match_key", models.CharField(max_length=80, verbose_name="matching key")),
                ("source_kind", models.CharField(blank=True, max_length=24, verbose_name="source")),
                ("source_id", models.BigIntegerField(blank=True, null=True, verbose_name="source number")),
                ("memo", models.CharField(blank=True, max_length=240, verbose_name="memo")),
                (
                    "bank_line",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="open_items",
                        to="channels.bankline",
                        verbose_name="bank line",
                    ),
                ),
                (
                    "reconciliation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="items",
                        to="reconciliation.bankreconciliation",
                    ),
                ),
            ],
            options={
                "verbose_name": "open item of the bank",
                "verbose_name_plural": "open items of the bank",
                "ordering": ["reconciliation", "since", "id"],
            },
        ),
        migrations.CreateModel(
            name="BankAssignmentPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("target", models.CharField(max_length=80, verbose_name="for")),
                ("amount", models.BigIntegerField(verbose_name="amount (minor units)")),
                (
                    "assignment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="reconciliation.bankassignment",
                    ),
                ),
            ],
            options={
                "verbose_name": "part of an assigned bank line",
                "verbose_name_plural": "parts of assigned bank lines",
                "ordering": ["assignment", "id"],
                "constraints": [
                    models.UniqueConstraint(fields=("assignment", "target"), name="bank_assignment_part_once"),
                    models.CheckConstraint(
                        condition=models.Q(("amount", 0), _negated=True), name="bank_assignment_part_is_something"
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="bankreconciliation",
            constraint=models.UniqueConstraint(
                fields=("bank_account", "day", "number"), name="bank_reconciliation_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="bankreconciliation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_current", True)),
                fields=("bank_account", "day"),
                name="bank_reconciliation_one_current",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankreconciliation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "difference",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            models.F("bank_balance"), "+", models.F("we_received")
                                        ),
                                        "-",
                                        models.F("we_paid"),
                                    ),
                                    "-",
                                    models.F("journal_balance"),
                                ),
                                "-",
                                models.F("bank_received"),
                            ),
                            "+",
                            models.F("bank_paid"),
                        ),
                    )
                ),
                name="bank_reconciliation_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankopenitem",
            constraint=models.UniqueConstraint(fields=("reconciliation", "entry_id"), name="bank_open_item_entry_once"),
        ),
        migrations.AddConstraint(
            model_name="bankopenitem",
            constraint=models.UniqueConstraint(fields=("reconciliation", "bank_line"), name="bank_open_item_line_once"),
        ),
        migrations.AddConstraint(
            model_name="bankopenitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="bank_open_item_without_sign"
            ),
        ),
        migrations.AddConstraint(
            model_name="bankopenitem",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("bank_line__isnull", True),
                        ("entry_id__isnull", False),
                        ("kind__in", ["we_received", "we_paid"]),
                    ),
                    models.Q(
                        ("bank_line__isnull", False),
                        ("entry_id__isnull", True),
                        ("kind__in", ["bank_received", "bank_paid"]),
                    ),
                    _connector="OR",
                ),
                name="bank_open_item_has_its_document",
            ),
        ),
        migrations.RunSQL(guards_bank.create(), guards_bank.drop()),
    ]
