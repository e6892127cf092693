"""Suspense and money in flight are never moved by hand; instructions on deposits and prepaid fees keep to what is there."""

from django.db import migrations

from payops.accounts import guards_registers, posting_function


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_diverted_guard")]

    operations = [
        migrations.RunSQL(
            posting_function.POST_FUNCTION.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
            migrations.RunSQL.noop,
        ),
        migrations.RunSQL(guards_registers.register_guards(), guards_registers.register_guards_reverse()),
    ]
