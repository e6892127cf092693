"""Guards of bank reconciliation: what a statement said stays said, its sums are its items, a line is assigned once."""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, append_only_triggers, fill

_STATEMENT: Final = "reconciliation_bankreconciliation"
_ITEM: Final = "reconciliation_bankopenitem"
_ASSIGNMENT: Final = "reconciliation_bankassignment"
_PART: Final = "reconciliation_bankassignmentpart"
_LINE: Final = "channels_bankline"

FUNCTIONS: Final = """
CREATE FUNCTION reconciliation_bank_statement_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF NOT OLD.is_current OR to_jsonb(NEW) - 'is_current' IS DISTINCT FROM to_jsonb(OLD) - 'is_current' THEN
        RAISE EXCEPTION 'balance adjustment statement % never changes: make it anew', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION reconciliation_bank_statement_whole(statement_id bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    sums record;
    said record;
BEGIN
    SELECT we_received, we_paid, bank_received, bank_paid INTO said
    FROM reconciliation_bankreconciliation WHERE id = statement_id;
    SELECT coalesce(sum(amount) FILTER (WHERE kind = 'we_received'), 0)::bigint,
           coalesce(sum(amount) FILTER (WHERE kind = 'we_paid'), 0)::bigint,
           coalesce(sum(amount) FILTER (WHERE kind = 'bank_received'), 0)::bigint,
           coalesce(sum(amount) FILTER (WHERE kind = 'bank_paid'), 0)::bigint INTO sums
    FROM reconciliation_bankopenitem WHERE reconciliation_id = statement_id;
    IF said IS DISTINCT FROM sums THEN
        RAISE EXCEPTION 'balance adjustment statement % says %, its open items are %', statement_id, said, sums
            USING ERRCODE = 'check_violation', CONSTRAINT = 'bank_reconciliation_is_its_items';
    END IF;
END
$body$;

CREATE FUNCTION reconciliation_bank_statement_checked() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_bank_statement_whole(NEW.id);
    RETURN NULL;
END
$body$;

-- The items of a statement come in one statement of SQL, after it: each row by itself would be summed n times over.
CREATE FUNCTION reconciliation_bank_items_checked() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_bank_statement_whole(each.id)
    FROM (SELECT DISTINCT reconciliation_id AS id FROM inserted) each;
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_assignment_whole(assigned_id bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    line record;
    parts bigint;
BEGIN
    SELECT l.reference, l.amount, l.state INTO line
    FROM reconciliation_bankassignment a JOIN channels_bankline l ON l.id = a.bank_line_id WHERE a.id = assigned_id;
    SELECT sum(amount) INTO parts FROM reconciliation_bankassignmentpart WHERE assignment_id = assigned_id;
    IF parts IS DISTINCT FROM line.amount THEN
        RAISE EXCEPTION 'bank line % of % is assigned in parts of %', line.reference, line.amount, parts
            USING ERRCODE = 'check_violation', CONSTRAINT = 'bank_assignment_makes_the_line';
    END IF;
    IF line.state <> 'matched' THEN
        RAISE EXCEPTION 'bank line % is assigned, so it cannot be %', line.reference, line.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'bank_assignment_matches_the_line';
    END IF;
END
$body$;

CREATE FUNCTION reconciliation_assignment_checked() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_assignment_whole(NEW.id);
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_assignment_part_checked() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_assignment_whole(NEW.assignment_id);
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_assigned_line_checked() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    assigned bigint;
BEGIN
    SELECT id INTO assigned FROM reconciliation_bankassignment WHERE bank_line_id = NEW.id;
    IF FOUND THEN
        PERFORM reconciliation_assignment_whole(assigned);
    END IF;
    RETURN NULL;
END
$body$;
"""
_FUNCTION_NAMES: Final = (
    "reconciliation_assigned_line_checked()",
    "reconciliation_assignment_part_checked()",
    "reconciliation_assignment_checked()",
    "reconciliation_assignment_whole(bigint)",
    "reconciliation_bank_items_checked()",
    "reconciliation_bank_statement_checked()",
    "reconciliation_bank_statement_whole(bigint)",
    "reconciliation_bank_statement_guard()",
)


def create() -> list[str]:
    """Functions and triggers."""
    deferred = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    return [
        FUNCTIONS,
        *(statement for table in (_ITEM, _ASSIGNMENT, _PART) for statement in append_only_triggers(table)),
        f"CREATE TRIGGER guard BEFORE UPDATE ON {_STATEMENT} FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_bank_statement_guard();",
        f"CREATE TRIGGER no_delete BEFORE DELETE ON {_STATEMENT} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
        fill(NO_TRUNCATE, _STATEMENT),
        f"CREATE CONSTRAINT TRIGGER whole AFTER INSERT ON {_STATEMENT} {deferred}"
        " EXECUTE FUNCTION reconciliation_bank_statement_checked();",
        f"CREATE TRIGGER whole AFTER INSERT ON {_ITEM} REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT"
        " EXECUTE FUNCTION reconciliation_bank_items_checked();",
        f"CREATE CONSTRAINT TRIGGER whole AFTER INSERT ON {_ASSIGNMENT} {deferred}"
        " EXECUTE FUNCTION reconciliation_assignment_checked();",
        f"CREATE CONSTRAINT TRIGGER whole AFTER INSERT ON {_PART} {deferred}"
        " EXECUTE FUNCTION reconciliation_assignment_part_checked();",
        f"CREATE CONSTRAINT TRIGGER assigned AFTER UPDATE OF state, amount ON {_LINE} {deferred}"
        " EXECUTE FUNCTION reconciliation_assigned_line_checked();",
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    triggers = [
        (_LINE, ("assigned",)),
        (_PART, ("whole", "append_only", "no_truncate")),
        (_ASSIGNMENT, ("whole", "append_only", "no_truncate")),
        (_ITEM, ("whole", "append_only", "no_truncate")),
        (_STATEMENT, ("whole", "no_truncate", "no_delete", "guard")),
    ]
    statements = [f"DROP TRIGGER {name} ON {table};" for table, names in triggers for name in names]
    return [*statements, *(f"DROP FUNCTION {name};" for name in _FUNCTION_NAMES)]
