"""Many vouchers in one statement are compared with their headers in one pass instead of one look-up each."""

from django.db import migrations

from payops.accounts import guards


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_register_guard")]

    operations = [
        migrations.RunSQL(
            guards.ENTRY_FUNCTION.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), migrations.RunSQL.noop
        )
    ]
