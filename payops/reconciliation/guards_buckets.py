"""A run takes the results of its buckets only when all are there and hold every line of the bill once.

Written in SQL, because the rules must hold against raw SQL too.
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, append_only_triggers, fill

_SPLIT: Final = "reconciliation_runsplit"
_BUCKET: Final = "reconciliation_runbucket"

FUNCTIONS: Final = """
CREATE FUNCTION reconciliation_split_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    found record;
    v_lines bigint;
BEGIN
    IF OLD.run_id IS NOT NULL OR to_jsonb(NEW) - 'run_id' IS DISTINCT FROM to_jsonb(OLD) - 'run_id' THEN
        RAISE EXCEPTION 'split % is what its buckets were told and never changes', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM reconciliation_reconrun r WHERE r.id = NEW.run_id AND r.contract_id = NEW.contract_id
                   AND r.channel_date = NEW.channel_date AND r.batch = NEW.batch AND r.file_id = NEW.file_id) THEN
        RAISE EXCEPTION 'run % is not of the day and bill of split %', NEW.run_id, OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_split_is_of_its_run';
    END IF;
    SELECT count(*) AS buckets, coalesce(sum(line_count), 0) AS lines INTO found FROM (
        SELECT DISTINCT ON (bucket) bucket, line_count FROM reconciliation_runbucket WHERE split_id = NEW.id
        ORDER BY bucket, turn DESC) AS last;
    SELECT line_count INTO v_lines FROM channels_billfile WHERE id = NEW.file_id;
    IF found.buckets <> NEW.buckets OR found.lines + jsonb_array_length(NEW.inputs -> 'skip_line') <> v_lines THEN
        RAISE EXCEPTION 'split % has % of % buckets with % of % lines', OLD.id, found.buckets, NEW.buckets,
            found.lines, v_lines USING ERRCODE = 'check_violation', CONSTRAINT = 'run_split_is_whole';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION reconciliation_bucket_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    -- The row is locked, so that no result slips in beside the run that is taking them.
    PERFORM FROM reconciliation_runsplit WHERE id = NEW.split_id AND NEW.bucket < buckets AND run_id IS NULL
        FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'split % has no bucket % that is still to be compared', NEW.split_id, NEW.bucket
            USING ERRCODE = 'check_violation', CONSTRAINT = 'run_bucket_is_of_its_split';
    END IF;
    RETURN NEW;
END
$body$;
"""


def create() -> list[str]:
    """Functions and triggers."""
    return [
        FUNCTIONS,
        f"CREATE TRIGGER guard BEFORE UPDATE ON {_SPLIT} FOR EACH ROW EXECUTE FUNCTION reconciliation_split_guard();",
        f"CREATE TRIGGER no_delete BEFORE DELETE ON {_SPLIT} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
        fill(NO_TRUNCATE, _SPLIT),
        f"CREATE TRIGGER guard BEFORE INSERT ON {_BUCKET} FOR EACH ROW EXECUTE FUNCTION reconciliation_bucket_guard();",
        *append_only_triggers(_BUCKET),
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    return [
        *(f"DROP TRIGGER {name} ON {_SPLIT};" for name in ("guard", "no_delete", "no_truncate")),
        *(f"DROP TRIGGER {name} ON {_BUCKET};" for name in ("guard", "append_only", "no_truncate")),
        "DROP FUNCTION reconciliation_split_guard();",
        "DROP FUNCTION reconciliation_bucket_guard();",
    ]
