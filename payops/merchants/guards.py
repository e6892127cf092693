"""What PostgreSQL refuses on settlement accounts: whose they are and where they lead never changes in place.

A payout is approved to an account by its row. Other data are another row, so that what was approved is what is paid and
the change shows in history (DOMAIN 12).
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, fill

TABLE: Final = "merchants_settlementaccount"

CREATE: Final[list[str]] = [
    """
CREATE FUNCTION merchants_account_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    -- Not the number: a new key encrypts it again. That it is still the one of the index is asked before it is paid to.
    IF (NEW.id, NEW.merchant_id, NEW.bank_name, NEW.holder, NEW.number_index, NEW.number_masked) IS DISTINCT FROM
       (OLD.id, OLD.merchant_id, OLD.bank_name, OLD.holder, OLD.number_index, OLD.number_masked) THEN
        RAISE EXCEPTION 'settlement account % keeps its merchant, bank, holder and number', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state <> NEW.state AND OLD.state <> 'active' AND NEW.state <> 'replaced' THEN
        RAISE EXCEPTION 'settlement account % is % and takes no more payouts', OLD.id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
""",
    f"CREATE TRIGGER guard BEFORE UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION merchants_account_guard();",
]
CUSTOMER_FREEZE_CREATE: Final[list[str]] = [
    """
-- What was ordered stays; it is lifted once. The orders decide what the accounts' history is read without.
CREATE FUNCTION merchants_customer_freeze_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'in_force' THEN
            RAISE EXCEPTION 'a freeze of a customer begins in force' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state = 'lifted'
       OR (NEW.id, NEW.customer_id, NEW.status, NEW.reason, NEW.document, NEW.placed_by, NEW.placed_at)
          IS DISTINCT FROM
          (OLD.id, OLD.customer_id, OLD.status, OLD.reason, OLD.document, OLD.placed_by, OLD.placed_at) THEN
        RAISE EXCEPTION 'freeze % of a customer is only lifted, once', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
""",
    "CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON merchants_customerfreeze"
    " FOR EACH ROW EXECUTE FUNCTION merchants_customer_freeze_guard();",
    fill(NO_TRUNCATE, "merchants_customerfreeze"),
]
CUSTOMER_FREEZE_DROP: Final[list[str]] = [
    "DROP TRIGGER no_truncate ON merchants_customerfreeze;",
    "DROP FUNCTION merchants_customer_freeze_guard() CASCADE;",
]
DROP: Final[list[str]] = [f"DROP TRIGGER guard ON {TABLE};", "DROP FUNCTION merchants_account_guard();"]
