"""Two rows of one side that are no offset although they look like one."""

import django.db.models.deletion
import django.db.models.functions.comparison
from django.db import migrations, models

from payops.reconciliation import guards_apart


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0011_group_by_original_order"),
        ("approvals", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeptApart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "side",
                    models.CharField(
                        choices=[("own", "Own"), ("channel", "Channel")], max_length=7, verbose_name="side"
                    ),
                ),
                ("one", models.CharField(max_length=140)),
                ("other", models.CharField(max_length=140)),
                ("approval_id", models.BigIntegerField(unique=True, verbose_name="request")),
                ("made_by", models.CharField(max_length=150, verbose_name="made by")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                (
                    "contract",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="channels.channelcontract",
                    ),
                ),
            ],
            options={
                "verbose_name": "pair kept apart",
                "verbose_name_plural": "pairs kept apart",
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("contract"),
                        models.F("side"),
                        django.db.models.functions.comparison.Least("one", "other"),
                        django.db.models.functions.comparison.Greatest("one", "other"),
                        name="kept_apart_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("one", models.F("other")), _negated=True), name="kept_apart_are_two"
                    ),
                ],
            },
        ),
        migrations.RunSQL(guards_apart.create(), guards_apart.drop()),
    ]
