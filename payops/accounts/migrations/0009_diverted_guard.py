"""A guard on what is remembered as diverted, and postings that keep their plans and count queued money."""

from django.db import migrations

from payops.accounts import guards_modes, posting_function


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_agents")]

    operations = [
        migrations.RunSQL(
            posting_function.POST_FUNCTION.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
            migrations.RunSQL.noop,
        ),
        migrations.RunSQL(guards_modes.diverted_guard(), "DROP FUNCTION accounts_diverted_guard CASCADE;"),
    ]
