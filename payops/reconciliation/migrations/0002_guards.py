"""Guards: what runs found and booked is never forgotten."""

from django.db import migrations

from payops.reconciliation import guards


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_initial"),
        ("reconciliation", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(guards.create(), guards.drop()),
    ]
