"""Guards on posting rules, subjects and freezes."""

from django.db import migrations

from payops.accounts import guards


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_initial"),
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(guards.configuration_guards(), guards.configuration_guards_reverse()),
    ]
