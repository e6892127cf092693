"""A link of one with one is a claim of both its rows: it goes only with what it had cleared, against raw SQL too.

The check is deferred, because a run takes links away before it writes what its items are now, in one transaction.
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, fill

_LINK: Final = "reconciliation_matchlink"

FUNCTION: Final = """
CREATE FUNCTION reconciliation_link_goes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF EXISTS (SELECT FROM reconciliation_openitem i WHERE i.transaction_id = OLD.transaction_id
               AND i.bill_line_id = OLD.bill_line_id AND i.side <> 'pair' AND i.state = 'cleared')
       AND NOT EXISTS (SELECT FROM reconciliation_matchlink l WHERE l.transaction_id = OLD.transaction_id
                       AND l.bill_line_id = OLD.bill_line_id)
       AND NOT EXISTS (SELECT FROM reconciliation_matchmember m WHERE m.is_live AND m.side = 'own'
                       AND m.row_id = OLD.transaction_id) THEN
        RAISE EXCEPTION 'transaction % and line % are cleared by each other and stay claimed', OLD.transaction_id,
            OLD.bill_line_id USING ERRCODE = 'restrict_violation', CONSTRAINT = 'match_link_goes_with_its_item';
    END IF;
    RETURN NULL;
END
$body$;
"""


def create() -> list[str]:
    """Function and triggers."""
    return [
        FUNCTION,
        f"CREATE CONSTRAINT TRIGGER goes AFTER DELETE ON {_LINK} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_link_goes();",
        fill(NO_TRUNCATE, _LINK),
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    return [
        f"DROP TRIGGER no_truncate ON {_LINK};",
        f"DROP TRIGGER goes ON {_LINK};",
        "DROP FUNCTION reconciliation_link_goes();",
    ]
