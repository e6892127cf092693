"""Triggers of mapped formats: a version is what a request proposed, comes in its turn, and never changes."""

from __future__ import annotations

from typing import Final

from payops.core.sql import append_only_triggers

_TABLE: Final = "channels_formatmapping"

FUNCTION: Final = """
CREATE FUNCTION channels_format_mapping_numbered() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    latest integer;
BEGIN
    SELECT coalesce(max(version), 0) INTO latest FROM channels_formatmapping WHERE code = NEW.code;
    IF NEW.version <> latest + 1 THEN
        RAISE EXCEPTION 'mapped format % has version %: version % is out of turn', NEW.code, latest, NEW.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM 1 FROM approvals_approvalrequest request
        WHERE request.id = NEW.approval_id AND request.action = 'channels.format_mapping'
        AND request.payload ->> 'code' = NEW.code AND request.payload -> 'spec' = NEW.spec
        AND request.status IN ('pending', 'executed');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'request % did not propose this mapping of %', NEW.approval_id, NEW.code
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
        f"CREATE TRIGGER numbered BEFORE INSERT ON {_TABLE} FOR EACH ROW"
        " EXECUTE FUNCTION channels_format_mapping_numbered();",
        *append_only_triggers(_TABLE),
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    return [
        *(f"DROP TRIGGER {name} ON {_TABLE};" for name in ("append_only", "no_truncate", "numbered")),
        "DROP FUNCTION channels_format_mapping_numbered();",
    ]
