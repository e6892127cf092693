"""A small partitioned table for the tests: its model lives in a registry of its own, so no app knows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar

from django.apps.registry import Apps
from django.db import connection, models
from django.db.migrations.state import ProjectState

from payops.core import sql
from payops.core.partitions import CreatePartitionedModel, DayPartitionedModel, trigger_statements

DAY = dt.date(2026, 11, 20)
NEXT_DAY = dt.date(2026, 11, 21)

COUNT_ROWS = """
CREATE FUNCTION test_daybook_count() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF EXISTS (SELECT FROM fresh WHERE amount = 13) THEN
        RAISE EXCEPTION 'thirteen is unlucky' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$body$;
"""
UNLUCKY = (
    "CREATE TRIGGER lucky AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh"
    " FOR EACH STATEMENT EXECUTE FUNCTION test_daybook_count();"
)


class Daybook(DayPartitionedModel):
    """One line of the test table."""

    label = models.CharField(max_length=20, db_index=True)
    amount = models.BigIntegerField(default=0)

    partition_triggers: ClassVar[Sequence[str]] = (UNLUCKY, sql.NO_TRUNCATE)

    class Meta:
        apps = Apps()
        app_label = "core"
        db_table = "test_daybook"
        constraints = [models.CheckConstraint(condition=models.Q(amount__gte=-1000), name="test_daybook_amount")]
        indexes = [models.Index(fields=["label", "amount"], name="test_daybook_label_amount")]


def create_operation() -> CreatePartitionedModel:
    """The operation as a hand-corrected migration holds it."""
    return CreatePartitionedModel(
        name="Daybook",
        fields=[
            ("id", models.BigIntegerField(primary_key=True, serialize=False)),
            ("label", models.CharField(max_length=20, db_index=True)),
            ("amount", models.BigIntegerField(default=0)),
        ],
        options={
            "db_table": "test_daybook",
            "indexes": Daybook._meta.indexes,
            "constraints": Daybook._meta.constraints,
        },
    )


def create_table() -> None:
    """Create parent and guards exactly as an app's migration does."""
    before, after = ProjectState(), ProjectState()
    operation = create_operation()
    operation.state_forwards("core", after)
    with connection.schema_editor() as editor:
        operation.database_forwards("core", editor, before, after)
    # The deferred index statements ran when the editor was left; guards come after the table as in RunSQL.
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ROWS)
        for statement in trigger_statements((sql.NO_UPDATE_OR_DELETE, *Daybook.partition_triggers), "test_daybook"):
            cursor.execute(statement)


def drop_table() -> None:
    """Leave nothing behind for the next test."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS test_daybook CASCADE")
        cursor.execute("DROP FUNCTION IF EXISTS test_daybook_count()")


def row(day: dt.date, n: int, **fields: Any) -> Daybook:
    """An unsaved line of the day."""
    from payops.core.ids import day_floor

    return Daybook(id=day_floor(day) + n, label=fields.pop("label", "x"), **fields)


__all__ = ["DAY", "NEXT_DAY", "Daybook", "create_operation", "create_table", "drop_table", "row"]
