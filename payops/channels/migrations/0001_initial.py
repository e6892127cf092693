"""Bank accounts, channels, contracts, bill files, bill lines by day (append-only) and bank statement lines."""

import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

from payops.core.partitions import CreatePartitionedModel
from payops.core.sql import append_only_operation


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("core", "0001_initial"),
        ("fees", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BankAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=30, unique=True, verbose_name="code")),
                ("bank_name", models.CharField(max_length=80, verbose_name="bank")),
                ("account_no", models.CharField(max_length=40, unique=True, verbose_name="account number")),
                (
                    "kind",
                    models.CharField(
                        choices=[("reserve", "Reserve"), ("own", "Own funds")], max_length=8, verbose_name="kind"
                    ),
                ),
                ("currency", models.CharField(default="CNY", max_length=3, verbose_name="currency")),
            ],
            options={
                "verbose_name": "bank account",
                "verbose_name_plural": "bank accounts",
                "ordering": ["code"],
            },
        ),
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=30, unique=True, verbose_name="code")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("name_zh", models.CharField(blank=True, max_length=80, verbose_name="Chinese name")),
            ],
            options={
                "verbose_name": "channel",
                "verbose_name_plural": "channels",
                "ordering": ["code"],
            },
        ),
        CreatePartitionedModel(
            name="BillLine",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("contract_id", models.IntegerField()),
                ("kind", models.PositiveSmallIntegerField(verbose_name="kind")),
                ("match_key", models.CharField(max_length=64, verbose_name="matching key")),
                ("trade_no", models.CharField(max_length=64, verbose_name="channel trade number")),
                ("order_no", models.CharField(max_length=64, null=True, verbose_name="order number")),
                ("request_no", models.CharField(max_length=64, null=True, verbose_name="refund request number")),
                ("original_trade_no", models.CharField(max_length=64, null=True, verbose_name="original trade number")),
                ("status", models.CharField(max_length=16, verbose_name="status")),
                ("amount", models.BigIntegerField(verbose_name="amount (minor units)")),
                ("settled_amount", models.BigIntegerField(verbose_name="settled amount (minor units)")),
                ("fee", models.BigIntegerField(verbose_name="fee (minor units)")),
                ("rate", models.CharField(max_length=16, null=True, verbose_name="rate")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("occurred_at", models.DateTimeField(verbose_name="occurred at")),
                ("payer_masked", models.CharField(max_length=64, null=True, verbose_name="payer")),
                ("row_hash", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "bill line",
                "verbose_name_plural": "bill lines",
                "ordering": ["id"],
                "indexes": [models.Index(fields=["match_key"], name="bill_line_key_idx")],
            },
        ),
        migrations.CreateModel(
            name="ChannelContract",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=40, unique=True, verbose_name="code")),
                ("account_no", models.CharField(max_length=40, verbose_name="our number at the channel")),
                ("currency", models.CharField(default="CNY", max_length=3, verbose_name="currency")),
                ("bill_format", models.CharField(max_length=30, verbose_name="bill format")),
                ("format_options", models.JSONField(blank=True, default=dict, verbose_name="format options")),
                ("cut_off", models.TimeField(help_text="00:00 stands for 24:00", verbose_name="channel cut-off")),
                (
                    "doubt_margin_minutes",
                    models.PositiveSmallIntegerField(default=10, verbose_name="in-doubt margin (minutes)"),
                ),
                (
                    "refund_date",
                    models.CharField(
                        choices=[("acceptance", "Acceptance"), ("completion", "Completion")],
                        default="completion",
                        max_length=10,
                        verbose_name="refund date",
                    ),
                ),
                (
                    "cost_mode",
                    models.CharField(
                        choices=[("netted", "Netted"), ("billed", "Billed separately")],
                        default="netted",
                        max_length=7,
                        verbose_name="cost",
                    ),
                ),
                ("fee_tolerance", models.BigIntegerField(default=0, verbose_name="fee tolerance (minor units)")),
                ("escalate_after_days", models.PositiveSmallIntegerField(default=2, verbose_name="escalate after T+n")),
                ("settle_days", models.PositiveSmallIntegerField(default=1, verbose_name="channel settles T+n")),
                (
                    "receipt_pattern",
                    models.CharField(
                        blank=True,
                        help_text="Regular expression over counterparty and memo with the group <date> (YYYYMMDD).",
                        max_length=200,
                        verbose_name="receipt pattern",
                    ),
                ),
                (
                    "receivable_allowed",
                    models.BooleanField(default=False, verbose_name="settle merchants on the receivable"),
                ),
                (
                    "clear_without_run",
                    models.BooleanField(default=False, verbose_name="settle merchants before the bill"),
                ),
                ("active", models.BooleanField(default=True, verbose_name="active")),
                (
                    "channel",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="contracts", to="channels.channel"
                    ),
                ),
                (
                    "cost_package",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to="fees.feepackage"
                    ),
                ),
                (
                    "reserve_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="contracts", to="channels.bankaccount"
                    ),
                ),
            ],
            options={
                "verbose_name": "channel contract",
                "verbose_name_plural": "channel contracts",
                "ordering": ["code"],
            },
        ),
        migrations.CreateModel(
            name="BillFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel_date", models.DateField(verbose_name="channel date")),
                ("batch", models.PositiveSmallIntegerField(default=1, verbose_name="batch")),
                ("version", models.PositiveSmallIntegerField(verbose_name="version")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("rejected", "Rejected"),
                            ("held", "Held"),
                            ("accepted", "Accepted"),
                            ("superseded", "Superseded"),
                        ],
                        default="received",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("original_name", models.CharField(max_length=200, verbose_name="file name")),
                ("stored_path", models.CharField(max_length=300)),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                ("size", models.BigIntegerField(verbose_name="size (bytes)")),
                ("source", models.CharField(default="upload", max_length=20, verbose_name="source")),
                ("received_by", models.CharField(blank=True, max_length=150, verbose_name="received by")),
                ("received_at", models.DateTimeField(auto_now_add=True, verbose_name="received at")),
                ("day_file_no", models.PositiveIntegerField(null=True, verbose_name="file of the day")),
                ("line_count", models.BigIntegerField(default=0, verbose_name="lines")),
                ("proven", models.BooleanField(default=False, verbose_name="proven by totals")),
                ("totals", models.JSONField(default=dict, verbose_name="totals")),
                ("bad_lines", models.JSONField(default=list, verbose_name="quarantined lines")),
                ("error_code", models.CharField(blank=True, max_length=60, verbose_name="error code")),
                ("error_message", models.TextField(blank=True, verbose_name="error")),
                ("decided_at", models.DateTimeField(blank=True, null=True, verbose_name="decided at")),
                (
                    "contract",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="files", to="channels.channelcontract"
                    ),
                ),
            ],
            options={
                "verbose_name": "bill file",
                "verbose_name_plural": "bill files",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="BankLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("value_date", models.DateField(verbose_name="value date")),
                ("reference", models.CharField(max_length=64, verbose_name="bank reference")),
                ("counterparty", models.CharField(blank=True, max_length=120, verbose_name="counterparty")),
                ("memo", models.CharField(blank=True, max_length=240, verbose_name="memo")),
                ("amount", models.BigIntegerField(verbose_name="amount (minor units, + = in)")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("balance", models.BigIntegerField(blank=True, null=True, verbose_name="balance (minor units)")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("settlement", "Channel settlement"),
                            ("payout", "Payout"),
                            ("return", "Returned payout"),
                            ("other", "Unidentified"),
                        ],
                        default="other",
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("new", "New"), ("matched", "Matched"), ("unidentified", "Unidentified")],
                        default="new",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("channel_date", models.DateField(blank=True, null=True, verbose_name="channel date")),
                ("payout_no", models.CharField(blank=True, max_length=40, verbose_name="payout number")),
                ("voucher_id", models.BigIntegerField(blank=True, null=True)),
                ("loaded_at", models.DateTimeField(auto_now_add=True, verbose_name="loaded at")),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="channels.bankaccount"
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
                "verbose_name": "bank line",
                "verbose_name_plural": "bank lines",
                "ordering": ["-value_date", "-id"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalBankAccount",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("code", models.CharField(db_index=True, max_length=30, verbose_name="code")),
                ("bank_name", models.CharField(max_length=80, verbose_name="bank")),
                ("account_no", models.CharField(db_index=True, max_length=40, verbose_name="account number")),
                (
                    "kind",
                    models.CharField(
                        choices=[("reserve", "Reserve"), ("own", "Own funds")], max_length=8, verbose_name="kind"
                    ),
                ),
                ("currency", models.CharField(default="CNY", max_length=3, verbose_name="currency")),
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
                "verbose_name": "historical bank account",
                "verbose_name_plural": "historical bank accounts",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalChannel",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("code", models.CharField(db_index=True, max_length=30, verbose_name="code")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("name_zh", models.CharField(blank=True, max_length=80, verbose_name="Chinese name")),
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
                "verbose_name": "historical channel",
                "verbose_name_plural": "historical channels",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalChannelContract",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("code", models.CharField(db_index=True, max_length=40, verbose_name="code")),
                ("account_no", models.CharField(max_length=40, verbose_name="our number at the channel")),
                ("currency", models.CharField(default="CNY", max_length=3, verbose_name="currency")),
                ("bill_format", models.CharField(max_length=30, verbose_name="bill format")),
                ("format_options", models.JSONField(blank=True, default=dict, verbose_name="format options")),
                ("cut_off", models.TimeField(help_text="00:00 stands for 24:00", verbose_name="channel cut-off")),
                (
                    "doubt_margin_minutes",
                    models.PositiveSmallIntegerField(default=10, verbose_name="in-doubt margin (minutes)"),
                ),
                (
                    "refund_date",
                    models.CharField(
                        choices=[("acceptance", "Acceptance"), ("completion", "Completion")],
                        default="completion",
                        max_length=10,
                        verbose_name="refund date",
                    ),
                ),
                (
                    "cost_mode",
                    models.CharField(
                        choices=[("netted", "Netted"), ("billed", "Billed separately")],
                        default="netted",
                        max_length=7,
                        verbose_name="cost",
                    ),
                ),
                ("fee_tolerance", models.BigIntegerField(default=0, verbose_name="fee tolerance (minor units)")),
                ("escalate_after_days", models.PositiveSmallIntegerField(default=2, verbose_name="escalate after T+n")),
                ("settle_days", models.PositiveSmallIntegerField(default=1, verbose_name="channel settles T+n")),
                (
                    "receipt_pattern",
                    models.CharField(
                        blank=True,
                        help_text="Regular expression over counterparty and memo with the group <date> (YYYYMMDD).",
                        max_length=200,
                        verbose_name="receipt pattern",
                    ),
                ),
                (
                    "receivable_allowed",
                    models.BooleanField(default=False, verbose_name="settle merchants on the receivable"),
                ),
                (
                    "clear_without_run",
                    models.BooleanField(default=False, verbose_name="settle merchants before the bill"),
                ),
                ("active", models.BooleanField(default=True, verbose_name="active")),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "channel",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="channels.channel",
                    ),
                ),
                (
                    "cost_package",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="fees.feepackage",
                    ),
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
                    "reserve_account",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="channels.bankaccount",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical channel contract",
                "verbose_name_plural": "historical channel contracts",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.AddConstraint(
            model_name="channelcontract",
            constraint=models.UniqueConstraint(fields=("channel", "account_no"), name="contract_account_once"),
        ),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(
                fields=("contract", "channel_date", "batch", "version"), name="bill_file_version"
            ),
        ),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "rejected"), _negated=True),
                fields=("contract", "channel_date", "batch", "sha256"),
                name="bill_file_digest_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "accepted")),
                fields=("contract", "channel_date", "batch"),
                name="bill_file_one_accepted",
            ),
        ),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(fields=("channel_date", "day_file_no"), name="bill_file_day_number"),
        ),
        migrations.AddIndex(
            model_name="bankline",
            index=models.Index(fields=["contract", "channel_date"], name="bank_line_channel_idx"),
        ),
        migrations.AddConstraint(
            model_name="bankline",
            constraint=models.UniqueConstraint(fields=("bank_account", "reference"), name="bank_line_reference_once"),
        ),
        append_only_operation("channels_billline"),
    ]
