"""A session that had met few posting keys went on scanning all of them when there were many."""

from django.db import migrations

from payops.accounts.guards import VOUCHER_FUNCTION


class Migration(migrations.Migration):
    dependencies = [("accounts", "0011_guard_of_many_vouchers")]

    operations = [
        migrations.RunSQL(
            VOUCHER_FUNCTION.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), migrations.RunSQL.noop
        )
    ]
