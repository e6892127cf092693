"""The voucher guard reads the posting keys of many vouchers in one go."""

from django.db import migrations

from payops.accounts.guards import VOUCHER_FUNCTION


class Migration(migrations.Migration):
    dependencies = [("accounts", "0012_voucher_guard_by_key")]

    operations = [
        migrations.RunSQL(
            VOUCHER_FUNCTION.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), migrations.RunSQL.noop
        )
    ]
