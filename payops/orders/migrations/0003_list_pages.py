"""Indexes for pages of an accounting date, its unfinished rows, and numbers of others."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0002_guard"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(fields=["own_date", "id"], name="transaction_page_idx"),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(
                condition=models.Q(("status", "succeeded"), _negated=True),
                fields=["status", "own_date", "id"],
                name="transaction_status_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(fields=["merchant_order_no"], name="transaction_order_idx"),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(
                condition=models.Q(("channel_trade_no", ""), _negated=True),
                fields=["channel_trade_no"],
                name="transaction_trade_idx",
            ),
        ),
    ]
