"""Triggers of fetching: a source comes from an approved request and is never edited, attempts and empty days stay."""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, append_only_triggers, fill

_SOURCE: Final = "channels_filesource"
_APPEND_ONLY: Final = ("channels_fetchattempt", "channels_emptyday")

FUNCTIONS: Final = """
CREATE FUNCTION channels_file_source_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF NOT OLD.is_current OR to_jsonb(NEW) - 'is_current' IS DISTINCT FROM to_jsonb(OLD) - 'is_current' THEN
        RAISE EXCEPTION 'version % of file source % never changes: propose another version', OLD.version, OLD.name
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE FUNCTION channels_fetch_needs_request() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    code text;
BEGIN
    IF NEW.approval_id IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT contract.code INTO code FROM channels_channelcontract contract WHERE contract.id = NEW.contract_id;
    PERFORM 1 FROM approvals_approvalrequest request
        WHERE request.id = NEW.approval_id AND request.action = TG_ARGV[0] AND request.payload ->> 'contract' = code
        AND request.status = 'executed';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'request % is no approved one of this kind for contract %', NEW.approval_id, code
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$body$;
"""


def create() -> list[str]:
    """Functions and triggers."""
    return [
        FUNCTIONS,
        # Not in the model: an encrypted field cannot be compared there.
        f"ALTER TABLE {_SOURCE} ADD CONSTRAINT file_source_one_secret CHECK (secret = '' OR secret_file = '');",
        f"CREATE TRIGGER guard BEFORE UPDATE ON {_SOURCE} FOR EACH ROW EXECUTE FUNCTION channels_file_source_guard();",
        f"CREATE TRIGGER no_delete BEFORE DELETE ON {_SOURCE} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
        fill(NO_TRUNCATE, _SOURCE),
        # A request is executed at the end of the transaction in which it does its work.
        *(
            f"CREATE CONSTRAINT TRIGGER requested AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            f" EXECUTE FUNCTION channels_fetch_needs_request('{action}');"
            for table, action in ((_SOURCE, "channels.file_source"), ("channels_emptyday", "channels.empty_day"))
        ),
        *(statement for table in _APPEND_ONLY for statement in append_only_triggers(table)),
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    return [
        *(f"DROP TRIGGER {name} ON {_SOURCE};" for name in ("requested", "no_truncate", "no_delete", "guard")),
        "DROP TRIGGER requested ON channels_emptyday;",
        f"ALTER TABLE {_SOURCE} DROP CONSTRAINT file_source_one_secret;",
        *(f"DROP TRIGGER {name} ON {table};" for table in _APPEND_ONLY for name in ("append_only", "no_truncate")),
        "DROP FUNCTION channels_fetch_needs_request();",
        "DROP FUNCTION channels_file_source_guard();",
    ]
