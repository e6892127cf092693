"""What PostgreSQL itself refuses on clearing items, sheets and payouts, whoever asks (DOMAIN 11, DESIGN 4).

Money that leaves cannot be called back, so the steps before it stand in the database: an item is cleared and settled
once, a payout is what its sheet says, goes only the allowed way and leaves only with an executed approval.
`docs/settlement.md` and `docs/payouts.md` name each guard with the test that attacks it.
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, append_only_triggers, fill
from payops.settlement.choices import PAYOUT_TRANSITIONS

_STEPS: Final = ", ".join(
    sorted(f"'{source}>{target}'" for source, targets in PAYOUT_TRANSITIONS.items() for target in targets)
)

ITEM_FUNCTION: Final = """
CREATE FUNCTION settlement_item_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'clearing item % is booked and never removed', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.sheet_id, NEW.merchant_id, NEW.contract_id, NEW.own_date, NEW.kind, NEW.collection, NEW.count,
        NEW.amount, NEW.discount, NEW.fee, NEW.refunded_from_settlement, NEW.refund_fee, NEW.net, NEW.pay_date)
       IS DISTINCT FROM
       (OLD.id, OLD.sheet_id, OLD.merchant_id, OLD.contract_id, OLD.own_date, OLD.kind, OLD.collection, OLD.count,
        OLD.amount, OLD.discount, OLD.fee, OLD.refunded_from_settlement, OLD.refund_fee, OLD.net, OLD.pay_date)
       OR NEW.case_action_id IS DISTINCT FROM OLD.case_action_id
       OR (OLD.voucher_id IS NOT NULL AND NEW.voucher_id IS DISTINCT FROM OLD.voucher_id) THEN
        RAISE EXCEPTION 'clearing item % keeps what it cleared', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    -- Taken out of a sheet only while that is a draft: afterwards it would be paid a second time.
    IF OLD.settlement_sheet_id IS NOT NULL AND NEW.settlement_sheet_id IS DISTINCT FROM OLD.settlement_sheet_id
       AND (SELECT state FROM settlement_settlementsheet WHERE id = OLD.settlement_sheet_id) <> 'draft' THEN
        RAISE EXCEPTION 'clearing item % is settled already, by sheet %', OLD.id, OLD.settlement_sheet_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""

PAYOUT_FUNCTION: Final = (
    """
CREATE FUNCTION settlement_payout_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'payout % is never removed', OLD.payout_no USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'created' THEN
            RAISE EXCEPTION 'payout % must begin as created, not as %', NEW.payout_no, NEW.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        PERFORM FROM settlement_settlementsheet s WHERE s.id = NEW.sheet_id AND s.merchant_id = NEW.merchant_id
            AND s.payout_amount = NEW.amount AND s.state IN ('ready', 'in_payment');
        IF NOT FOUND THEN
            RAISE EXCEPTION 'payout % is not what its sheet is to pay', NEW.payout_no
                USING ERRCODE = 'restrict_violation';
        END IF;
        -- Nothing joins a batch after its approval was asked for: that would be paid without being approved.
        PERFORM FROM settlement_payoutbatch b
            WHERE b.id = NEW.batch_id AND b.state = 'pending' AND b.approval_id IS NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'payout % comes too late for its batch', NEW.payout_no USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.payout_no, NEW.batch_id, NEW.sheet_id, NEW.merchant_id, NEW.settlement_account_id, NEW.amount,
        NEW.currency) IS DISTINCT FROM
       (OLD.id, OLD.payout_no, OLD.batch_id, OLD.sheet_id, OLD.merchant_id, OLD.settlement_account_id, OLD.amount,
        OLD.currency) OR NEW.previous_id IS DISTINCT FROM OLD.previous_id THEN
        RAISE EXCEPTION 'payout % keeps its number, payee and amount', OLD.payout_no
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = OLD.state THEN
        RETURN NEW;
    END IF;
    IF OLD.state || '>' || NEW.state NOT IN ("""
    + _STEPS
    + """) THEN
        RAISE EXCEPTION 'payout % cannot go from % to %', OLD.payout_no, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- The request is marked executed at the end of the transaction that approves, so this is asked when money leaves.
    IF NEW.state = 'sending' THEN
        PERFORM FROM settlement_payoutbatch b JOIN approvals_approvalrequest r ON r.id = b.approval_id
            WHERE b.id = NEW.batch_id AND b.state IN ('approved', 'sent') AND r.target_id = b.id::text
                AND r.action = 'settlement.payout_batch' AND r.status = 'executed' AND r.checker_id <> r.maker_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'payout % is not approved by a second person', OLD.payout_no
                USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$body$;
"""
)

BATCH_FUNCTION: Final = """
CREATE FUNCTION settlement_batch_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'payout batch % is never removed', OLD.batch_no USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'payout batch % must begin waiting for approval', NEW.batch_no
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.batch_no, NEW.pay_date, NEW.bank_account_id, NEW.count, NEW.amount) IS DISTINCT FROM
       (OLD.id, OLD.batch_no, OLD.pay_date, OLD.bank_account_id, OLD.count, OLD.amount)
       OR (OLD.approval_id IS NOT NULL AND NEW.approval_id IS DISTINCT FROM OLD.approval_id) THEN
        RAISE EXCEPTION 'payout batch % keeps its account, amount and approval', OLD.batch_no
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN
       ('pending>approved', 'pending>rejected', 'approved>sent', 'approved>done', 'sent>done') THEN
        RAISE EXCEPTION 'payout batch % cannot go from % to %', OLD.batch_no, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""

_GUARDS: Final = (
    ("settlement_clearingitem", "UPDATE OR DELETE", "settlement_item_guard"),
    ("settlement_payout", "INSERT OR UPDATE OR DELETE", "settlement_payout_guard"),
    ("settlement_payoutbatch", "INSERT OR UPDATE OR DELETE", "settlement_batch_guard"),
)


def create() -> list[str]:
    """The functions and triggers."""
    statements = [ITEM_FUNCTION, PAYOUT_FUNCTION, BATCH_FUNCTION]
    for table, events, function in _GUARDS:
        statements.append(
            f"CREATE TRIGGER guard BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();"
        )
        statements.append(fill(NO_TRUNCATE, table))
    return statements


def drop() -> list[str]:
    """Undoes `create`."""
    statements = []
    for table, _events, function in _GUARDS:
        statements += [
            f"DROP TRIGGER guard ON {table};",
            f"DROP TRIGGER no_truncate ON {table};",
            f"DROP FUNCTION {function}();",
        ]
    return statements


# A date forgotten would be cleared again, a hold taken back would release its row again: both pay twice.
HOLD_FUNCTION: Final = """
CREATE FUNCTION settlement_hold_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'the hold of transaction % is never removed', OLD.transaction_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.transaction_id, NEW.contract_id, NEW.merchant_id, NEW.own_date, NEW.amount) IS DISTINCT FROM
       (OLD.id, OLD.transaction_id, OLD.contract_id, OLD.merchant_id, OLD.own_date, OLD.amount)
       OR OLD.state <> 'held' AND (NEW.state, NEW.released_date) IS DISTINCT FROM (OLD.state, OLD.released_date)
       OR OLD.released_in_id IS NOT NULL AND NEW.released_in_id IS DISTINCT FROM OLD.released_in_id THEN
        RAISE EXCEPTION 'the hold of transaction % keeps its row and is released once', OLD.transaction_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
"""
_HOLDS: Final = "settlement_clearinghold"
_CLEARED: Final = "settlement_clearedday"
_NEVER_DELETED: Final = (
    "settlement_clearingsession",
    "settlement_clearingsheet",
    "settlement_settlementsession",
    "settlement_settlementsheet",
)


def create_more() -> list[str]:
    """What is cleared is never forgotten: dates, holds, sessions and sheets."""
    statements = [
        HOLD_FUNCTION,
        f"CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON {_HOLDS} FOR EACH ROW"
        " EXECUTE FUNCTION settlement_hold_guard();",
        fill(NO_TRUNCATE, _HOLDS),
        *append_only_triggers(_CLEARED),
    ]
    for table in _NEVER_DELETED:
        statements += [
            f"CREATE TRIGGER no_delete BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
            fill(NO_TRUNCATE, table),
        ]
    return statements


def drop_more() -> list[str]:
    """Undoes `create_more`."""
    statements = [
        f"DROP TRIGGER guard ON {_HOLDS};",
        f"DROP TRIGGER no_truncate ON {_HOLDS};",
        "DROP FUNCTION settlement_hold_guard();",
        f"DROP TRIGGER append_only ON {_CLEARED};",
        f"DROP TRIGGER no_truncate ON {_CLEARED};",
    ]
    for table in _NEVER_DELETED:
        statements += [f"DROP TRIGGER no_delete ON {table};", f"DROP TRIGGER no_truncate ON {table};"]
    return statements
