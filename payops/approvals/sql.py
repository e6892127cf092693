"""The database's part of maker and checker: a request is frozen when made and decided once, whatever the client.

The CHECK of the model keeps maker and checker apart; this trigger keeps everybody from changing what was proposed, from
deciding twice and from writing a decided request in one go. Nothing is ever deleted.
"""

from __future__ import annotations

from django.db import migrations

from payops.core import sql

GUARD_FUNCTION = """
CREATE FUNCTION approvals_guard_request() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'pending' OR NEW.checker_id IS NOT NULL OR NEW.decided_at IS NOT NULL THEN
            RAISE EXCEPTION 'approval request refused: a request begins pending and undecided'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.status <> 'pending' THEN
        RAISE EXCEPTION 'approval request % is decided (%) and is never changed again', OLD.id, OLD.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'pending' THEN
        RAISE EXCEPTION 'approval request % is frozen: the only change is its decision', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.action, NEW.title, NEW.payload, NEW.payload_hash, NEW.target_kind, NEW.target_id,
        NEW.target_fingerprint, NEW.amount, NEW.currency, NEW.tier, NEW.maker_id, NEW.reason, NEW.made_at)
       IS DISTINCT FROM
       (OLD.id, OLD.action, OLD.title, OLD.payload, OLD.payload_hash, OLD.target_kind, OLD.target_id,
        OLD.target_fingerprint, OLD.amount, OLD.currency, OLD.tier, OLD.maker_id, OLD.reason, OLD.made_at) THEN
        RAISE EXCEPTION 'approval request % is frozen: what was proposed cannot be changed', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""
GUARD_TRIGGER = (
    "CREATE TRIGGER frozen BEFORE INSERT OR UPDATE ON approvals_approvalrequest "
    "FOR EACH ROW EXECUTE FUNCTION approvals_guard_request();"
)
NO_DELETE_TRIGGER = (
    "CREATE TRIGGER no_delete BEFORE DELETE ON approvals_approvalrequest "
    "FOR EACH ROW EXECUTE FUNCTION core_refuse_change();"
)


def guard_operation() -> migrations.RunSQL:
    """The guards as one reversible migration operation; depends on ("core", "0001_initial")."""
    return migrations.RunSQL(
        [GUARD_FUNCTION, GUARD_TRIGGER, NO_DELETE_TRIGGER, sql.fill(sql.NO_TRUNCATE, "approvals_approvalrequest")],
        [
            "DROP TRIGGER no_truncate ON approvals_approvalrequest;",
            "DROP TRIGGER no_delete ON approvals_approvalrequest;",
            "DROP TRIGGER frozen ON approvals_approvalrequest;",
            "DROP FUNCTION approvals_guard_request();",
        ],
    )
