"""A match by hand ends only by two people, and only together with what it had cleared: at commit, against raw SQL too.

The check is deferred, because the run that opens the items again comes after the end, in the same transaction. A
re-issued bill that has the line again ends a group as well; then its successor under the same request must be there.
"""

from __future__ import annotations

from typing import Final

_END: Final = "reconciliation_matchend"

FUNCTION: Final = """
CREATE FUNCTION reconciliation_end_allowed() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    g record;
BEGIN
    SELECT * INTO g FROM reconciliation_matchgroup WHERE id = NEW.group_id;
    IF g.kind <> 'by_hand' THEN
        IF NEW.approval_id IS NOT NULL THEN
            RAISE EXCEPTION 'group % was found by a run: nobody takes it back', g.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'match_end_taken_back_by_two';
        END IF;
        RETURN NULL;
    END IF;
    IF NEW.approval_id IS NULL THEN
        IF NOT EXISTS (SELECT FROM reconciliation_matchgroup s WHERE s.approval_id = g.approval_id AND s.id > g.id
                       AND s.kind = 'by_hand' AND s.contract_id = g.contract_id) THEN
            RAISE EXCEPTION 'match by hand % ends without a request and nothing goes on for it', g.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'match_end_taken_back_by_two';
        END IF;
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM approvals_approvalrequest r WHERE r.id = NEW.approval_id AND r.status = 'executed'
                   AND r.action = 'reconciliation.hand_match_undo' AND r.target_id = g.id::text) THEN
        RAISE EXCEPTION 'request % has not taken match % back', NEW.approval_id, g.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'match_end_taken_back_by_two';
    END IF;
    IF EXISTS (SELECT FROM reconciliation_openitem i JOIN reconciliation_reconrun c ON c.id = i.cleared_run_id
               JOIN reconciliation_matchmember m ON m.group_id = g.id AND m.side = i.side
                AND m.row_id = CASE WHEN i.side = 'own' THEN i.transaction_id ELSE i.bill_line_id END
               WHERE i.contract_id = g.contract_id AND i.state = 'cleared' AND c.started_at < NEW.made_at) THEN
        RAISE EXCEPTION 'match % was taken back and what it cleared is cleared still', g.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'match_end_opens_its_items';
    END IF;
    IF EXISTS (SELECT FROM reconciliation_openitem i
               JOIN reconciliation_matchmember o ON o.group_id = g.id AND o.side = 'own' AND o.row_id = i.transaction_id
               JOIN reconciliation_matchmember l ON l.group_id = g.id AND l.side = 'channel'
                AND l.row_id = i.bill_line_id
               WHERE i.side = 'pair' AND i.state = 'resolved') THEN
        RAISE EXCEPTION 'a decision about what is left of match % rests on it', g.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'match_end_leaves_no_decision';
    END IF;
    RETURN NULL;
END
$body$;
"""


def create() -> list[str]:
    """Function and trigger."""
    return [
        FUNCTION,
        f"CREATE CONSTRAINT TRIGGER allowed AFTER INSERT ON {_END} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_end_allowed();",
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    return [f"DROP TRIGGER allowed ON {_END};", "DROP FUNCTION reconciliation_end_allowed();"]
