"""Database guards shared by all apps: append-only tables.

A guard is a trigger, so it holds against raw SQL, a forgotten service and an administrator's shell alike; only the
owner of the table, which the production role is not, can take it away.
"""

from __future__ import annotations

from django.db import migrations

REFUSE_CHANGE = """
CREATE FUNCTION core_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% on % refused: its rows are never changed or removed, corrections are new rows',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$body$;
"""
REFUSE_CHANGE_REVERSE = "DROP FUNCTION core_refuse_change();"

NO_UPDATE_OR_DELETE = (
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();"
)
"""On a partitioned table create it on the parent only: PostgreSQL clones row triggers to every partition."""

NO_TRUNCATE = (
    "CREATE TRIGGER no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION core_refuse_change();"
)
"""A statement trigger is not cloned: a partitioned model lists this in `partition_triggers` as well."""


def quote_table(table: str) -> str:
    """The table name as an SQL identifier."""
    return '"' + table.replace('"', '""') + '"'


def fill(template: str, table: str) -> str:
    """The template with `{table}` replaced; other braces are left alone, because PL/pgSQL bodies may hold them."""
    return template.replace("{table}", quote_table(table))


def append_only_triggers(table: str) -> list[str]:
    """Statements that make a table append-only: no UPDATE or DELETE of a row, no TRUNCATE."""
    return [fill(NO_UPDATE_OR_DELETE, table), fill(NO_TRUNCATE, table)]


def append_only_operation(table: str) -> migrations.RunSQL:
    """The same as a reversible migration operation; the migration depends on ("core", "0001_initial")."""
    quoted = quote_table(table)
    return migrations.RunSQL(
        append_only_triggers(table),
        [f"DROP TRIGGER append_only ON {quoted};", f"DROP TRIGGER no_truncate ON {quoted};"],
    )
