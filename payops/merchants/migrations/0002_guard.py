"""Where a settlement account leads never changes in place."""

from django.db import migrations

from payops.merchants import guards


class Migration(migrations.Migration):

    dependencies = [
        ("merchants", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(guards.CREATE, guards.DROP),
    ]
