"""The database's part of cases: numbers, and guards against changing what was proposed, booked or told.

A case is never deleted; its history is append-only; an action keeps what was proposed and, once booked or rejected,
never changes again. The CHECKs stand with the models.
"""

from __future__ import annotations

from django.db import migrations

from payops.core import sql

SEQUENCE = "discrepancies_case_no_seq"
NEXT_NUMBERS = "SELECT nextval('discrepancies_case_no_seq') FROM generate_series(1, %s)"

ACTION_GUARD = """
CREATE FUNCTION discrepancies_guard_action() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'proposed' OR NEW.voucher_id IS NOT NULL THEN
            RAISE EXCEPTION 'case action refused: an action begins as a proposal' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'proposed' THEN
        RAISE EXCEPTION 'case action % is % and is never changed again', OLD.id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.case_id, NEW.kind, NEW.params, NEW.amount, NEW.proposed_by_id, NEW.batch_no, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.case_id, OLD.kind, OLD.params, OLD.amount, OLD.proposed_by_id, OLD.batch_no, OLD.created_at)
       OR (OLD.approval_id IS NOT NULL AND NEW.approval_id IS DISTINCT FROM OLD.approval_id) THEN
        RAISE EXCEPTION 'case action % is frozen: what was proposed cannot be changed', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""


def number_operation() -> migrations.RunSQL:
    """One sequence for case and batch numbers: a number is never given twice, whatever is rolled back."""
    return migrations.RunSQL(f"CREATE SEQUENCE {SEQUENCE};", f"DROP SEQUENCE {SEQUENCE};")


def guard_operations() -> list[migrations.RunSQL]:
    """All guards as reversible migration operations; they depend on ("core", "0001_initial")."""
    return [
        migrations.RunSQL(
            [
                ACTION_GUARD,
                "CREATE TRIGGER frozen BEFORE INSERT OR UPDATE ON discrepancies_caseaction "
                "FOR EACH ROW EXECUTE FUNCTION discrepancies_guard_action();",
            ],
            [
                "DROP TRIGGER frozen ON discrepancies_caseaction;",
                "DROP FUNCTION discrepancies_guard_action();",
            ],
        ),
        _no_delete("discrepancies_caseaction"),
        _no_delete("discrepancies_discrepancy"),
        sql.append_only_operation("discrepancies_caseevent"),
    ]


def _no_delete(table: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        [
            f"CREATE TRIGGER no_delete BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
            sql.fill(sql.NO_TRUNCATE, table),
        ],
        [f"DROP TRIGGER no_delete ON {table};", f"DROP TRIGGER no_truncate ON {table};"],
    )
