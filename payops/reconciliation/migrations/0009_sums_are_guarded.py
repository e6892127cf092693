"""What a channel date received is its parts, and what an item was found with never changes."""

from django.db import migrations

from payops.reconciliation import guards_sums


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0008_offline_receipts"),
    ]

    operations = [
        migrations.RunSQL(guards_sums.create(), guards_sums.drop()),
    ]
