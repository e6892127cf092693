"""What a channel date received is the sum of its parts, and an item's difference is what was found, whoever writes.

Written in SQL, because the rules must hold against raw SQL too. What a date received moves together with the parts that
make it, so it is checked when the transaction commits.
"""

from __future__ import annotations

from typing import Final

_RECEIPT: Final = "reconciliation_channelreceipt"
_ITEM: Final = "reconciliation_openitem"

FUNCTIONS: Final = """
CREATE FUNCTION reconciliation_receipt_checked() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    now_received bigint;
    parts bigint;
BEGIN
    SELECT received INTO now_received FROM reconciliation_channelreceipt WHERE id = NEW.id;
    SELECT coalesce(sum(p.amount), 0) INTO parts
    FROM reconciliation_receiptpart p JOIN reconciliation_receiptallocation a ON a.id = p.allocation_id
    WHERE p.receipt_id = NEW.id AND a.is_current;
    IF now_received IS DISTINCT FROM parts THEN
        RAISE EXCEPTION 'receipt % received %, its parts are %', NEW.id, now_received, parts
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_received_is_its_parts';
    END IF;
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_item_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'open item % was found with a difference of %, which never changes: a run finds another', OLD.id,
        OLD.d USING ERRCODE = 'restrict_violation';
END
$body$;
"""


def create() -> list[str]:
    """Functions and triggers."""
    found = ("d", "fee_claim", "currency", "contract_id", "first_date", "identity")
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in found)
    return [
        FUNCTIONS,
        f"CREATE CONSTRAINT TRIGGER received AFTER INSERT OR UPDATE OF received ON {_RECEIPT}"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reconciliation_receipt_checked();",
        f"CREATE TRIGGER found BEFORE UPDATE OF {', '.join(found)} ON {_ITEM} FOR EACH ROW WHEN ({changed})"
        " EXECUTE FUNCTION reconciliation_item_guard();",
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    return [
        f"DROP TRIGGER received ON {_RECEIPT};",
        f"DROP TRIGGER found ON {_ITEM};",
        "DROP FUNCTION reconciliation_receipt_checked();",
        "DROP FUNCTION reconciliation_item_guard();",
    ]
