"""What runs found and booked is never forgotten: a re-run books the difference to it, and people look it up years on.

Written in SQL, because the rules must hold against raw SQL too (DESIGN 4).
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, append_only_triggers, fill

# A run that is complete only ceases to be the current one; a source of a voucher learns the voucher's id, once.
FUNCTIONS: Final = """
CREATE FUNCTION reconciliation_run_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF to_jsonb(NEW) - 'is_current' IS DISTINCT FROM to_jsonb(OLD) - 'is_current' THEN
        RAISE EXCEPTION 'run % is complete: its result is never changed, another run may differ', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION reconciliation_booked_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF OLD.voucher_id IS NOT NULL
       OR to_jsonb(NEW) - 'voucher_id' IS DISTINCT FROM to_jsonb(OLD) - 'voucher_id' THEN
        RAISE EXCEPTION '% % is what was booked and never changes', TG_TABLE_NAME, OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""
_RUN: Final = "reconciliation_reconrun"
_RESULT: Final = "reconciliation_reconresult"
_BOOKED: Final = ("reconciliation_runvoucher", "reconciliation_receiptdifference")
_NEVER_REMOVED: Final = (_RUN, *_BOOKED, "reconciliation_openitem", "reconciliation_channelreceipt")


def create() -> list[str]:
    """Functions and triggers."""
    statements = [
        FUNCTIONS,
        f"CREATE TRIGGER guard BEFORE UPDATE ON {_RUN} FOR EACH ROW WHEN (OLD.state = 'complete')"
        " EXECUTE FUNCTION reconciliation_run_guard();",
        *append_only_triggers(_RESULT),
    ]
    for table in _BOOKED:
        statements.append(
            f"CREATE TRIGGER guard BEFORE UPDATE ON {table} FOR EACH ROW"
            " EXECUTE FUNCTION reconciliation_booked_guard();"
        )
    for table in _NEVER_REMOVED:
        statements += [
            f"CREATE TRIGGER no_delete BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
            fill(NO_TRUNCATE, table),
        ]
    return statements


def drop() -> list[str]:
    """Undoes `create`."""
    statements = [f"DROP TRIGGER {name} ON {_RESULT};" for name in ("append_only", "no_truncate")]
    statements += [f"DROP TRIGGER guard ON {table};" for table in (_RUN, *_BOOKED)]
    for table in _NEVER_REMOVED:
        statements += [f"DROP TRIGGER {name} ON {table};" for name in ("no_delete", "no_truncate")]
    return [*statements, "DROP FUNCTION reconciliation_run_guard();", "DROP FUNCTION reconciliation_booked_guard();"]
