"""The database refuses a transaction on a closed day; days that have their partition get the trigger as well."""

from django.db import migrations

from payops.core.sql import fill
from payops.orders import guards

TRIGGER = guards.CLOSED_DAY_TRIGGER.replace("{table}", "%s")
EXISTING = f"""
DO $body$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN SELECT relid FROM pg_partition_tree('{guards.TABLE}') WHERE isleaf LOOP
        EXECUTE format('{TRIGGER}', v_table);
    END LOOP;
END
$body$;
"""
DROP = f"""
DO $body$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN SELECT relid FROM pg_partition_tree('{guards.TABLE}') LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS closed_day ON %s', v_table);
    END LOOP;
END
$body$;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_list_pages"), ("accounts", "0012_voucher_guard_by_key")]

    operations = [
        migrations.RunSQL(guards.CLOSED_DAY_FUNCTION, guards.CLOSED_DAY_FUNCTION_REVERSE),
        migrations.RunSQL(fill(guards.CLOSED_DAY_TRIGGER, guards.TABLE), migrations.RunSQL.noop),
        migrations.RunSQL(EXISTING, DROP),
    ]
