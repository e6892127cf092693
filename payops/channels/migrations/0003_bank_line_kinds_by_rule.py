"""Kinds of bank lines that rules tell, and the rule that told."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0002_bill_types_and_statements"),
    ]

    operations = [
        migrations.AddField(
            model_name="bankline",
            name="rule_id",
            field=models.BigIntegerField(blank=True, null=True, verbose_name="bank rule"),
        ),
        migrations.AlterField(
            model_name="bankline",
            name="kind",
            field=models.CharField(
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
                default="other",
                max_length=10,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="bankline",
            name="state",
            field=models.CharField(
                choices=[
                    ("new", "New"),
                    ("matched", "Matched"),
                    ("unidentified", "Unidentified"),
                    ("waiting", "Waits for a decision"),
                ],
                default="new",
                max_length=12,
                verbose_name="state",
            ),
        ),
    ]
