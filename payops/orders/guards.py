"""What PostgreSQL itself refuses on transactions, whoever asks (DOMAIN 5; docs/orders.md names each with its test).

A row trigger on the parent, cloned by PostgreSQL to every partition. Rows are inserted by COPY and set-based INSERT,
which it does not slow down: it looks at changes only.
"""

from __future__ import annotations

from typing import Final

from payops.accounts.guards import DAY_LOCK
from payops.core.locks import namespace_code
from payops.core.sql import NO_TRUNCATE, fill

TABLE: Final[str] = "orders_transaction"

SEQUENCES: Final[str] = """
-- The day in the id makes the number unique; the sequences never go back.
CREATE SEQUENCE orders_transaction_n MINVALUE 1 MAXVALUE 499999999999 CACHE 1;
CREATE SEQUENCE orders_own_number MINVALUE 1 CACHE 1;
"""
SEQUENCES_REVERSE: Final[str] = "DROP SEQUENCE orders_transaction_n; DROP SEQUENCE orders_own_number;"

GUARD_FUNCTION: Final[str] = """
CREATE FUNCTION orders_transaction_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    v_open date;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'transaction % is never removed', OLD.transaction_no USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.transaction_no, NEW.kind, NEW.contract_id, NEW.merchant_id, NEW.amount, NEW.currency, NEW.match_key,
        NEW.origin, NEW.created_at)
        IS DISTINCT FROM
       (OLD.id, OLD.transaction_no, OLD.kind, OLD.contract_id, OLD.merchant_id, OLD.amount, OLD.currency, OLD.match_key,
        OLD.origin, OLD.created_at)
       OR NEW.original_id IS DISTINCT FROM OLD.original_id
    THEN
        RAISE EXCEPTION 'transaction % keeps its number, kind, amount, parties and original', OLD.transaction_no
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- Where a refund's money came from and how the fee is collected decide what its vouchers book; another value here
    -- would make the same refund due a second time.
    IF (NEW.refund_source, NEW.collection) IS DISTINCT FROM (OLD.refund_source, OLD.collection) THEN
        RAISE EXCEPTION 'transaction % keeps its refund source and collection', OLD.transaction_no
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- What counts is booked: neither its day nor its fee may move under the voucher.
    IF OLD.effective_at IS NOT NULL
       AND (NEW.effective_at, NEW.own_date, NEW.fee) IS DISTINCT FROM (OLD.effective_at, OLD.own_date, OLD.fee)
    THEN
        RAISE EXCEPTION 'transaction % counts already: its day and fee stay', OLD.transaction_no
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF OLD.status = 'created' AND NEW.status <> 'created'
       OR OLD.status = 'processing' AND NEW.status <> 'created'
       OR OLD.status = 'unknown' AND NEW.status IN ('succeeded', 'failed', 'closed')
    THEN
        RETURN NEW;
    END IF;
    -- A lost order that a run recovers: it must start to count now, on the accounting day that is open.
    IF OLD.status IN ('failed', 'closed') AND NEW.status = 'succeeded'
       AND OLD.effective_at IS NULL AND NEW.effective_at IS NOT NULL
    THEN
        SELECT day INTO v_open FROM accounts_accountingday WHERE state = 'open';
        IF NEW.own_date = v_open THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'transaction % cannot go from % to %', OLD.transaction_no, OLD.status, NEW.status
        USING ERRCODE = 'restrict_violation';
END
$body$;
"""
GUARD_FUNCTION_REPLACE: Final[str] = GUARD_FUNCTION.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
GUARD_FUNCTION_REVERSE: Final[str] = "DROP FUNCTION orders_transaction_guard();"

GUARD_TRIGGERS: Final[list[str]] = [
    fill(
        "CREATE TRIGGER forward_only BEFORE UPDATE OR DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION orders_transaction_guard();",
        TABLE,
    ),
    fill(NO_TRUNCATE, TABLE),
]
GUARD_TRIGGERS_REVERSE: Final[list[str]] = [
    f"DROP TRIGGER forward_only ON {TABLE};",
    f"DROP TRIGGER no_truncate ON {TABLE};",
]

# How much of a payment is refunded is what keeps Σ refunds ≤ paid; forgetting it, or what was paid, would let more out.
TOTALS: Final[str] = "orders_refundtotal"
TOTALS_TRIGGERS: Final[list[str]] = [
    f"CREATE TRIGGER no_delete BEFORE DELETE ON {TOTALS} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
    f"CREATE TRIGGER paid_stays BEFORE UPDATE ON {TOTALS} FOR EACH ROW"
    " WHEN ((NEW.original_id, NEW.paid) IS DISTINCT FROM (OLD.original_id, OLD.paid))"
    " EXECUTE FUNCTION core_refuse_change();",
    fill(NO_TRUNCATE, TOTALS),
]
TOTALS_TRIGGERS_REVERSE: Final[list[str]] = [
    f"DROP TRIGGER {name} ON {TOTALS};" for name in ("no_delete", "paid_stays", "no_truncate")
]

CLOSED_DAY_FUNCTION: Final[str] = f"""
-- A row that appears on a closed day is in no run and no clearing any more. Holding the days keeps those that are open
-- from closing beside the row; a day that is not yet open waits for its rows.
CREATE FUNCTION orders_closed_day_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    v_day date;
BEGIN
    FOR v_day IN SELECT DISTINCT own_date FROM new_rows ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock_shared({namespace_code(DAY_LOCK)}, to_char(v_day, 'YYMMDD')::integer);
        IF EXISTS (SELECT FROM accounts_accountingday WHERE day = v_day AND state = 'closed') THEN
            RAISE EXCEPTION 'accounting day % is closed and takes no more transactions', v_day USING ERRCODE = 'PL006';
        END IF;
    END LOOP;
    RETURN NULL;
END
$body$;
"""  # noqa: S608 - a number of our own
CLOSED_DAY_FUNCTION_REVERSE: Final[str] = "DROP FUNCTION orders_closed_day_guard();"
# Of a statement, so that a load looks at its days and not at its rows; PostgreSQL clones it to no partition.
CLOSED_DAY_TRIGGER: Final[str] = (
    "CREATE TRIGGER closed_day AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
    " EXECUTE FUNCTION orders_closed_day_guard();"
)
