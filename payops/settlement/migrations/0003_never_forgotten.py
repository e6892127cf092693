"""What is cleared is never forgotten: dates, holds, sessions and sheets."""

from django.db import migrations

from payops.settlement import guards


class Migration(migrations.Migration):

    dependencies = [
        ("core", "0001_initial"),
        ("settlement", "0002_guards"),
    ]

    operations = [
        migrations.RunSQL(guards.create_more(), guards.drop_more()),
    ]
