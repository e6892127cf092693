from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_posting_modes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="account",
            name="owner_kind",
            field=models.CharField(
                choices=[
                    ("institution", "Institution"),
                    ("channel", "Channel contract"),
                    ("bank", "Bank account"),
                    ("merchant", "Merchant"),
                    ("agent", "Agent"),
                ],
                max_length=12,
                verbose_name="owner",
            ),
        ),
    ]
