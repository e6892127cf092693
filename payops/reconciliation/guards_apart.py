"""Two rows are kept apart only by two people, once, for ever (at commit, against raw SQL too)."""

from __future__ import annotations

from typing import Final

from payops.core.sql import append_only_triggers

_TABLE: Final = "reconciliation_keptapart"

FUNCTION: Final = """
CREATE FUNCTION reconciliation_apart_by_two() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM approvals_approvalrequest r JOIN channels_channelcontract c ON c.id = NEW.contract_id
                   WHERE r.id = NEW.approval_id AND r.status = 'executed' AND r.action = 'reconciliation.offset_undo'
                   AND r.payload->>'channel' = c.code AND r.payload->>'side' = NEW.side
                   AND r.payload->'names' = jsonb_build_array(NEW.one, NEW.other)) THEN
        RAISE EXCEPTION 'request % has not kept % and % apart', NEW.approval_id, NEW.one, NEW.other
            USING ERRCODE = 'check_violation', CONSTRAINT = 'kept_apart_by_two';
    END IF;
    RETURN NULL;
END
$body$;
"""


def create() -> list[str]:
    """Function and triggers."""
    return [
        FUNCTION,
        *append_only_triggers(_TABLE),
        f"CREATE CONSTRAINT TRIGGER by_two AFTER INSERT ON {_TABLE} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_apart_by_two();",
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    names = ("by_two", "no_truncate", "append_only")
    return [*(f"DROP TRIGGER {name} ON {_TABLE};" for name in names), "DROP FUNCTION reconciliation_apart_by_two();"]
