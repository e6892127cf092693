"""Versions of mapped formats with their guards; the same bytes may come again to be read another way."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

from payops.channels import guards_mapping


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0001_initial"),
        ("core", "0001_initial"),
        ("channels", "0004_bills_are_fetched"),
    ]

    operations = [
        migrations.CreateModel(
            name="FormatMapping",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    models.CharField(
                        max_length=16,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,15}\\Z", "Lower-case letters, digits, - and _, at most 16."
                            )
                        ],
                        verbose_name="code",
                    ),
                ),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("version", models.PositiveIntegerField(verbose_name="version")),
                ("spec", models.JSONField(verbose_name="mapping")),
                ("made_by", models.CharField(max_length=150, verbose_name="made by")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                (
                    "approval",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="approvals.approvalrequest",
                        verbose_name="request",
                    ),
                ),
            ],
            options={
                "verbose_name": "mapped format",
                "verbose_name_plural": "mapped formats",
                "ordering": ["code", "-version"],
                "constraints": [models.UniqueConstraint(fields=("code", "version"), name="format_mapping_version")],
            },
        ),
        migrations.RunSQL(guards_mapping.create(), guards_mapping.drop()),
        migrations.RemoveConstraint(model_name="billfile", name="bill_file_digest_once"),
        migrations.AddConstraint(
            model_name="billfile",
            constraint=models.UniqueConstraint(
                condition=~models.Q(state="rejected"),
                fields=("contract", "channel_date", "batch", "bill_type", "bill_format", "sha256"),
                name="bill_file_digest_once",
            ),
        ),
    ]
