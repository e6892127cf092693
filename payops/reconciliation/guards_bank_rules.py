"""A version of a bank rule is never edited or removed, only replaced: lines say by which one they were taken."""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, fill

_RULE: Final = "reconciliation_bankrule"

FUNCTION: Final = """
CREATE FUNCTION reconciliation_bank_rule_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF NOT OLD.is_current OR to_jsonb(NEW) - 'is_current' IS DISTINCT FROM to_jsonb(OLD) - 'is_current' THEN
        RAISE EXCEPTION 'version % of bank rule % never changes: propose another version', OLD.version, OLD.name
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""


def create() -> list[str]:
    """Function and triggers."""
    return [
        FUNCTION,
        f"CREATE TRIGGER guard BEFORE UPDATE ON {_RULE} FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_bank_rule_guard();",
        f"CREATE TRIGGER no_delete BEFORE DELETE ON {_RULE} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
        fill(NO_TRUNCATE, _RULE),
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    triggers = ("no_truncate", "no_delete", "guard")
    return [
        *(f"DROP TRIGGER {name} ON {_RULE};" for name in triggers),
        "DROP FUNCTION reconciliation_bank_rule_guard();",
    ]
