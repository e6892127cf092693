"""A kind of bank lines: offline receipts of merchants."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("channels", "0005_format_mappings"),
    ]

    operations = [
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
                    ("offline", "Offline receipt"),
                    ("other", "Unidentified"),
                ],
                default="other",
                max_length=10,
                verbose_name="kind",
            ),
        ),
    ]
