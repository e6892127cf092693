"""What PostgreSQL refuses on the register of archived partitions (docs/archive.md names each guard with its test).

The register is what a file is judged by years later: bounds, rows, columns and digests of a line never change, it only
goes forward, and it is never forgotten.
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, fill

ARCHIVE: Final[str] = "core_archivedpartition"

ARCHIVE_FUNCTION: Final[str] = """
CREATE FUNCTION core_archive_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'archived partition % is never forgotten', OLD.name USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.parent, NEW.name, NEW.day, NEW.lo, NEW.hi, NEW.rows, NEW.columns, NEW.sha256, NEW.path,
        NEW.file_sha256, NEW.file_size, NEW.ledger_digest, NEW.written_at, NEW.written_by)
        IS DISTINCT FROM
       (OLD.id, OLD.parent, OLD.name, OLD.day, OLD.lo, OLD.hi, OLD.rows, OLD.columns, OLD.sha256, OLD.path,
        OLD.file_sha256, OLD.file_size, OLD.ledger_digest, OLD.written_at, OLD.written_by)
    THEN
        RAISE EXCEPTION 'archived partition %: what was written stays as it is', OLD.name
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state
       AND (OLD.state, NEW.state) NOT IN (('written', 'archived'), ('written', 'dropped'), ('archived', 'restored'))
    THEN
        RAISE EXCEPTION 'archived partition % cannot go from % to %', OLD.name, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""
ARCHIVE_FUNCTION_REVERSE: Final[str] = "DROP FUNCTION core_archive_guard();"

ARCHIVE_TRIGGERS: Final[list[str]] = [
    f"CREATE TRIGGER forward_only BEFORE UPDATE OR DELETE ON {ARCHIVE}"
    " FOR EACH ROW EXECUTE FUNCTION core_archive_guard();",
    fill(NO_TRUNCATE, ARCHIVE),
]
ARCHIVE_TRIGGERS_REVERSE: Final[list[str]] = [
    f"DROP TRIGGER forward_only ON {ARCHIVE};",
    f"DROP TRIGGER no_truncate ON {ARCHIVE};",
]
