"""Rows may be grouped by the order they refer to."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0010_matches_are_taken_back"),
    ]

    operations = [
        migrations.AlterField(
            model_name="matchrule",
            name="group_by",
            field=models.CharField(
                choices=[
                    ("none", "Nothing: one to one only"),
                    ("key", "The matching key, repeated"),
                    ("request", "Order number of the line = our request number"),
                    ("order", "Order number of the line = merchant order number"),
                    ("original", "Original order of the line = request number of our payment"),
                    ("trade", "Channel trade number (batch number)"),
                ],
                default="none",
                max_length=8,
                verbose_name="grouped by",
            ),
        ),
    ]
