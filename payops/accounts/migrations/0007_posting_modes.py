"""Posting modes: rules per account and event instead of a column, the queue, and the guards of both."""

from django.db import migrations, models

from payops.accounts import guards, guards_modes, posting_function


def replacing(statements: str) -> str:
    """The same functions for a database that has earlier ones."""
    return statements.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_document_guards")]

    operations = [
        migrations.RemoveField(model_name="account", name="posting_mode"),
        migrations.AddIndex(
            model_name="queuedmovement",
            index=models.Index(fields=["account_id"], name="queued_movement_account_idx"),
        ),
        migrations.RunSQL(
            [replacing(guards.ENTRY_FUNCTION), replacing(posting_function.POST_FUNCTION)], migrations.RunSQL.noop
        ),
        migrations.RunSQL(guards_modes.guards(), guards_modes.guards_reverse()),
    ]
