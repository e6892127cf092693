"""The transaction guard also keeps refund source and collection; refund totals are never forgotten."""

from django.db import migrations

from payops.orders import guards


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_initial"),
        ("orders", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(guards.GUARD_FUNCTION_REPLACE, migrations.RunSQL.noop),
        migrations.RunSQL(guards.TOTALS_TRIGGERS, guards.TOTALS_TRIGGERS_REVERSE),
    ]
