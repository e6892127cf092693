"""Guards of posting modes: how a stored balance follows its entries is as safe as the entries (DOMAIN 4.3).

The entry guard itself queues the movement of every entry whose balance is to follow later, and taking movements out of
the queue moves the balances: stored balance + queue = sum of entries holds by construction. What is here does the
second half and keeps queue and rules from being changed in any other way.
"""

# ruff: noqa: S608 -- only constants of this module and integers are put into the statements
from __future__ import annotations

from typing import Final

from payops.accounts.guards import _SEARCH_PATH, DAY_LOCK
from payops.core.locks import key_code, namespace_code
from payops.core.sql import NO_TRUNCATE, fill

OPENING: Final = f"{namespace_code(DAY_LOCK)}, {key_code('open')}"
"""The lock under which days open: held shared, it keeps the newest day the newest."""

RULE_FUNCTION: Final = f"""
-- The mode of an entry follows from its day for ever, so no rule begins or ends on a day that has begun.
CREATE FUNCTION accounts_mode_rule_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_newest date;
BEGIN
    PERFORM pg_advisory_xact_lock_shared({OPENING});
    SELECT max(day) INTO v_newest FROM accounts_accountingday;
    IF TG_OP = 'DELETE' THEN
        IF OLD.effective_day <= v_newest THEN
            RAISE EXCEPTION 'posting mode rule % has begun: it is ended, never removed', OLD.id
                USING ERRCODE = 'PL010';
        END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.account_id, NEW.event, NEW.mode, NEW.effective_day)
            IS DISTINCT FROM (OLD.id, OLD.account_id, OLD.event, OLD.mode, OLD.effective_day) THEN
            RAISE EXCEPTION 'posting mode rule % never changes, it only ends', OLD.id USING ERRCODE = 'PL010';
        END IF;
        IF NEW.end_day IS DISTINCT FROM OLD.end_day AND (NEW.end_day <= v_newest OR OLD.end_day <= v_newest) THEN
            RAISE EXCEPTION 'posting mode rule % ends on a later accounting day', OLD.id USING ERRCODE = 'PL010';
        END IF;
    ELSIF NEW.effective_day <= v_newest OR NEW.end_day <= v_newest THEN
        RAISE EXCEPTION 'a posting mode takes effect on a later accounting day, not on %', NEW.effective_day
            USING ERRCODE = 'PL010';
    END IF;
    -- Two rules of one account entered at once take turns here, or neither would see the other.
    PERFORM FROM accounts_account WHERE id = NEW.account_id FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM accounts_postingmoderule WHERE account_id = NEW.account_id AND event = NEW.event
            AND id <> NEW.id AND daterange(effective_day, end_day) && daterange(NEW.effective_day, NEW.end_day)) THEN
        RAISE EXCEPTION 'account % has another posting mode of event % on some of these days', NEW.account_id,
            NEW.event USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;
"""

QUEUE_FUNCTION: Final = f"""
CREATE FUNCTION accounts_queue_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    RAISE EXCEPTION 'movements are queued with their entries and taken out into the balance, never entered or changed'
        USING ERRCODE = 'PL013';
END
$body$;
"""

MOVE_FUNCTION: Final = f"""
-- Taking movements out of the queue is moving the balances, whoever does it: neither is possible without the other.
CREATE FUNCTION accounts_queue_moves() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_accounts bigint[];
    v_deltas bigint[];
BEGIN
    SELECT array_agg(account_id), array_agg(delta) INTO v_accounts, v_deltas
        FROM (SELECT account_id, sum(delta)::bigint AS delta FROM taken GROUP BY 1) t WHERE delta <> 0;
    -- In order of id like every other change of balances, and in a statement before the change, which then sees what
    -- was waited for.
    PERFORM FROM accounts_account WHERE id = ANY (v_accounts) ORDER BY id FOR NO KEY UPDATE;
    UPDATE accounts_account a SET balance = a.balance + d.delta
        FROM unnest(v_accounts, v_deltas) AS d(id, delta) WHERE a.id = d.id;
    RETURN NULL;
END
$body$;
"""

CLOSING_FUNCTION: Final = f"""
-- Whoever posts holds the accounting day shared. Under the exclusive lock nothing is on its way to this account, and
-- every posting that comes later sees that it is closed.
CREATE FUNCTION accounts_closing_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_days date[];
    v_day date;
    v_found boolean;
BEGIN
    PERFORM accounts_hold_days();
    IF EXISTS (SELECT FROM accounts_queuedmovement WHERE account_id = NEW.id) THEN
        RAISE EXCEPTION 'account % has movements in the queue and is closed when they are in its balance',
            NEW.account_no USING ERRCODE = 'PL013';
    END IF;
    FOR v_day IN SELECT d.day FROM accounts_accountingday d WHERE d.state <> 'closed' AND EXISTS (
        SELECT FROM accounts_postingmoderule r WHERE r.account_id = NEW.id AND r.mode = 'summary'
            AND d.day >= r.effective_day AND (r.end_day IS NULL OR d.day < r.end_day)) LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM accounts_entry WHERE account_id = %s AND balance_after IS NULL'
            ' AND id >= %s AND id < %s)', NEW.id, to_char(v_day, 'YYMMDD')::bigint * 1000000000000,
            (to_char(v_day, 'YYMMDD')::bigint + 1) * 1000000000000) INTO v_found;
        IF v_found THEN
            RAISE EXCEPTION 'account % has entries of % that are summed at the end of that day', NEW.account_no, v_day
                USING ERRCODE = 'PL013';
        END IF;
    END LOOP;
    RETURN NEW;
END
$body$;

-- Exclusive locks on all days not closed, in order: waits for every posting under way, and nothing is posted until the
-- transaction ends. No day opens meanwhile.
CREATE FUNCTION accounts_hold_days() RETURNS void LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({OPENING});
    PERFORM pg_advisory_xact_lock({namespace_code(DAY_LOCK)}, to_char(d.day, 'YYMMDD')::integer)
        FROM (SELECT day FROM accounts_accountingday WHERE state <> 'closed' ORDER BY day) d;
END
$body$;
"""

DIVERTED_FUNCTION: Final = f"""
-- What is remembered as diverted is a line of a voucher on suspense, meant for a merchant's account that is closed.
CREATE FUNCTION accounts_diverted_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_bad bigint;
    v_lo bigint;
    v_hi bigint;
BEGIN
    SELECT min(entry_id), max(entry_id) INTO v_lo, v_hi FROM new_rows;
    -- The bounds stand in the text of the query, so that planning touches the partitions meant and no others.
    EXECUTE format($query$
        SELECT n.entry_id FROM new_rows n
        LEFT JOIN accounts_entry e ON e.id = n.entry_id AND e.id BETWEEN %s AND %s
        LEFT JOIN accounts_account t ON t.id = e.account_id LEFT JOIN accounts_subject s ON s.id = t.subject_id
        LEFT JOIN accounts_account m ON m.id = n.account_id
        WHERE (e.side, e.amount, e.event) IS DISTINCT FROM (n.side, n.amount, n.event)
            OR s.code IS DISTINCT FROM CASE n.side WHEN 'C' THEN '224101' ELSE '122101' END
            OR m.status <> 'closed' OR m.owner_kind <> 'merchant' OR m.currency <> e.currency
        LIMIT 1
    $query$, v_lo, v_hi) INTO v_bad;
    IF v_bad IS NOT NULL THEN
        RAISE EXCEPTION 'line % is not on suspense for a closed merchant account', v_bad USING ERRCODE = 'PL015';
    END IF;
    RETURN NULL;
END
$body$;
"""

FUNCTIONS: Final = (RULE_FUNCTION, QUEUE_FUNCTION, MOVE_FUNCTION, CLOSING_FUNCTION)


def guards() -> list[str]:
    """Functions and triggers, in the order of their creation."""
    return [
        *FUNCTIONS,
        "CREATE TRIGGER mode_rule_guard BEFORE INSERT OR UPDATE OR DELETE ON accounts_postingmoderule"
        " FOR EACH ROW EXECUTE FUNCTION accounts_mode_rule_guard();",
        fill(NO_TRUNCATE, "accounts_postingmoderule"),
        # The entry guard inserts from inside a trigger, which is what tells its rows from anybody else's.
        "CREATE TRIGGER queue_guard BEFORE INSERT ON accounts_queuedmovement FOR EACH STATEMENT"
        " WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION accounts_queue_guard();",
        "CREATE TRIGGER queue_change_guard BEFORE UPDATE ON accounts_queuedmovement FOR EACH STATEMENT"
        " EXECUTE FUNCTION accounts_queue_guard();",
        "CREATE TRIGGER queue_moves AFTER DELETE ON accounts_queuedmovement REFERENCING OLD TABLE AS taken"
        " FOR EACH STATEMENT EXECUTE FUNCTION accounts_queue_moves();",
        fill(NO_TRUNCATE, "accounts_queuedmovement"),
        "CREATE TRIGGER closing_guard BEFORE UPDATE OF status ON accounts_account FOR EACH ROW"
        " WHEN (NEW.status = 'closed' AND OLD.status <> 'closed') EXECUTE FUNCTION accounts_closing_guard();",
        # The queue's head moves all the time: dead rows at its front would be walked over by every drain.
        "ALTER TABLE accounts_queuedmovement SET (autovacuum_vacuum_scale_factor = 0,"
        " autovacuum_vacuum_threshold = 5000);",
    ]


def diverted_guard() -> list[str]:
    """The guard of what is remembered as diverted."""
    return [
        DIVERTED_FUNCTION,
        "CREATE TRIGGER diverted_guard AFTER INSERT ON accounts_divertedentry REFERENCING NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION accounts_diverted_guard();",
    ]


def guards_reverse() -> list[str]:
    """Undoes `guards`; CASCADE takes the triggers along."""
    names = (
        "accounts_mode_rule_guard",
        "accounts_queue_guard",
        "accounts_closing_guard",
        "accounts_hold_days",
        "accounts_queue_moves",
    )
    return [
        *(f"DROP FUNCTION {name} CASCADE;" for name in names),
        "DROP TRIGGER no_truncate ON accounts_postingmoderule;",
        "DROP TRIGGER no_truncate ON accounts_queuedmovement;",
    ]
