"""What a bank line may be said to be: offline receipts too."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0007_bank_reconciliation"),
    ]

    operations = [
        migrations.AlterField(
            model_name="bankassignment",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("settlement", "Channel settlement"),
                    ("payout", "Payout"),
                    ("return", "Returned payout"),
                    ("offline", "Offline receipt"),
                    ("interest", "Interest"),
                    ("charge", "Bank charge"),
                ],
                max_length=10,
                verbose_name="is",
            ),
        ),
        migrations.AlterField(
            model_name="bankrule",
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
                max_length=10,
                verbose_name="is then",
            ),
        ),
    ]
