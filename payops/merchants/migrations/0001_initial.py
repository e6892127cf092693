"""Customers, merchants, contracts, settlement terms and accounts, with their history."""

import django.db.models.deletion
import payops.core.crypto
import simple_history.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("fees", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Customer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("customer_no", models.CharField(max_length=40, unique=True, verbose_name="customer number")),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                (
                    "kind",
                    models.CharField(
                        choices=[("legal", "Legal person"), ("natural", "Natural person")],
                        default="legal",
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                (
                    "certificate_no",
                    payops.core.crypto.EncryptedTextField(
                        purpose="customer.certificate", verbose_name="certificate number"
                    ),
                ),
                ("certificate_index", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
            ],
            options={
                "verbose_name": "customer",
                "verbose_name_plural": "customers",
                "ordering": ["customer_no"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalCustomer",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("customer_no", models.CharField(db_index=True, max_length=40, verbose_name="customer number")),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                (
                    "kind",
                    models.CharField(
                        choices=[("legal", "Legal person"), ("natural", "Natural person")],
                        default="legal",
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                ("certificate_index", models.CharField(db_index=True, editable=False, max_length=64)),
                ("created_at", models.DateTimeField(blank=True, editable=False, verbose_name="created at")),
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
                "verbose_name": "historical customer",
                "verbose_name_plural": "historical customers",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalMerchant",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("merchant_no", models.CharField(db_index=True, max_length=40, verbose_name="merchant number")),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                (
                    "merchant_type",
                    models.CharField(
                        choices=[
                            ("enterprise", "Enterprise"),
                            ("individual", "Individual business"),
                            ("leased", "Leased, without licence"),
                            ("micro", "Micro"),
                        ],
                        default="enterprise",
                        max_length=12,
                        verbose_name="type",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("applied", "Applied"),
                            ("in_review", "In review"),
                            ("rejected", "Rejected"),
                            ("active", "Active"),
                            ("suspended", "Suspended"),
                            ("held", "Settlement held"),
                            ("closed", "Closed"),
                        ],
                        default="active",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False, verbose_name="created at")),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="merchants.customer",
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
            ],
            options={
                "verbose_name": "historical merchant",
                "verbose_name_plural": "historical merchants",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Merchant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("merchant_no", models.CharField(max_length=40, unique=True, verbose_name="merchant number")),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                (
                    "merchant_type",
                    models.CharField(
                        choices=[
                            ("enterprise", "Enterprise"),
                            ("individual", "Individual business"),
                            ("leased", "Leased, without licence"),
                            ("micro", "Micro"),
                        ],
                        default="enterprise",
                        max_length=12,
                        verbose_name="type",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("applied", "Applied"),
                            ("in_review", "In review"),
                            ("rejected", "Rejected"),
                            ("active", "Active"),
                            ("suspended", "Suspended"),
                            ("held", "Settlement held"),
                            ("closed", "Closed"),
                        ],
                        default="active",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="merchants", to="merchants.customer"
                    ),
                ),
            ],
            options={
                "verbose_name": "merchant",
                "verbose_name_plural": "merchants",
                "ordering": ["merchant_no"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalSettlementTerms",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                (
                    "cycle_unit",
                    models.CharField(
                        choices=[("T", "Working days (T+n)"), ("D", "Natural days (D+n)")],
                        default="T",
                        max_length=1,
                        verbose_name="cycle",
                    ),
                ),
                ("cycle_days", models.PositiveSmallIntegerField(default=1, verbose_name="days")),
                ("minimum_amount", models.BigIntegerField(default=0, verbose_name="minimum payout (minor units)")),
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
                    "merchant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="merchants.merchant",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical settlement terms",
                "verbose_name_plural": "historical settlement terms",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalSettlementAccount",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("bank_name", models.CharField(max_length=80, verbose_name="bank")),
                ("branch_code", models.CharField(blank=True, max_length=20, verbose_name="branch code")),
                ("holder", models.CharField(max_length=120, verbose_name="account holder")),
                ("number_index", models.CharField(db_index=True, editable=False, max_length=64)),
                ("number_masked", models.CharField(max_length=40, verbose_name="account number")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("flagged", "Flagged after a returned payout"),
                            ("replaced", "Replaced"),
                        ],
                        default="active",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("created_at", models.DateTimeField(blank=True, editable=False, verbose_name="created at")),
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
                    "merchant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="merchants.merchant",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical settlement account",
                "verbose_name_plural": "historical settlement accounts",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalMerchantProduct",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("product", models.CharField(max_length=30, verbose_name="product")),
                (
                    "collection",
                    models.CharField(
                        choices=[("net", "Net, fee kept back"), ("gross", "Gross, fee charged afterwards")],
                        default="net",
                        max_length=6,
                        verbose_name="collection",
                    ),
                ),
                ("effective_from", models.DateField(verbose_name="effective from")),
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
                        verbose_name="fee package",
                    ),
                ),
                (
                    "merchant",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="merchants.merchant",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical merchant product",
                "verbose_name_plural": "historical merchant products",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="MerchantProduct",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("product", models.CharField(max_length=30, verbose_name="product")),
                (
                    "collection",
                    models.CharField(
                        choices=[("net", "Net, fee kept back"), ("gross", "Gross, fee charged afterwards")],
                        default="net",
                        max_length=6,
                        verbose_name="collection",
                    ),
                ),
                ("effective_from", models.DateField(verbose_name="effective from")),
                (
                    "merchant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="products", to="merchants.merchant"
                    ),
                ),
                (
                    "package",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="fees.feepackage", verbose_name="fee package"
                    ),
                ),
            ],
            options={
                "verbose_name": "merchant product",
                "verbose_name_plural": "merchant products",
                "ordering": ["merchant", "product"],
            },
        ),
        migrations.CreateModel(
            name="SettlementAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("bank_name", models.CharField(max_length=80, verbose_name="bank")),
                ("branch_code", models.CharField(blank=True, max_length=20, verbose_name="branch code")),
                ("holder", models.CharField(max_length=120, verbose_name="account holder")),
                (
                    "number",
                    payops.core.crypto.EncryptedTextField(
                        purpose="settlement_account.number", verbose_name="account number"
                    ),
                ),
                ("number_index", models.CharField(db_index=True, editable=False, max_length=64)),
                ("number_masked", models.CharField(max_length=40, verbose_name="account number")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("flagged", "Flagged after a returned payout"),
                            ("replaced", "Replaced"),
                        ],
                        default="active",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                (
                    "merchant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="settlement_accounts",
                        to="merchants.merchant",
                    ),
                ),
            ],
            options={
                "verbose_name": "settlement account",
                "verbose_name_plural": "settlement accounts",
                "ordering": ["merchant", "id"],
            },
        ),
        migrations.CreateModel(
            name="SettlementTerms",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cycle_unit",
                    models.CharField(
                        choices=[("T", "Working days (T+n)"), ("D", "Natural days (D+n)")],
                        default="T",
                        max_length=1,
                        verbose_name="cycle",
                    ),
                ),
                ("cycle_days", models.PositiveSmallIntegerField(default=1, verbose_name="days")),
                ("minimum_amount", models.BigIntegerField(default=0, verbose_name="minimum payout (minor units)")),
                (
                    "merchant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="terms", to="merchants.merchant"
                    ),
                ),
            ],
            options={
                "verbose_name": "settlement terms",
                "verbose_name_plural": "settlement terms",
                "ordering": ["merchant"],
            },
        ),
        migrations.AddConstraint(
            model_name="merchant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["applied", "in_review", "rejected", "active", "suspended", "held", "closed"])
                ),
                name="merchant_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="merchant",
            constraint=models.CheckConstraint(
                condition=models.Q(("merchant_no", ""), _negated=True), name="merchant_number_not_blank"
            ),
        ),
        migrations.AddConstraint(
            model_name="merchantproduct",
            constraint=models.UniqueConstraint(fields=("merchant", "product"), name="merchant_product_once"),
        ),
        migrations.AddConstraint(
            model_name="merchantproduct",
            constraint=models.CheckConstraint(
                condition=models.Q(("collection__in", ["net", "gross"])), name="merchant_product_collection_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="settlementaccount",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "replaced"), _negated=True),
                fields=("merchant",),
                name="settlement_account_one_in_use",
            ),
        ),
        migrations.AddConstraint(
            model_name="settlementterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("minimum_amount__gte", 0)), name="terms_minimum_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="settlementterms",
            constraint=models.CheckConstraint(
                condition=models.Q(("cycle_unit__in", ["T", "D"])), name="terms_cycle_known"
            ),
        ),
    ]
