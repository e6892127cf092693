"""What PostgreSQL refuses on settlement accounts: whose they are and where they lead never changes in place.

A payout is approved to an account by its row. Other data are another row, so that what was approved is what is paid and
the change shows in history (DOMAIN 12).
"""

from __future__ import annotations

from typing import Final

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
DROP: Final[list[str]] = [f"DROP TRIGGER guard ON {TABLE};", "DROP FUNCTION merchants_account_guard();"]
