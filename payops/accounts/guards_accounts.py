"""Guards on what configures the ledger: the tree of subjects, statuses, freezes and deductions (DOMAIN 4.1, 4.4).

The same idea three times: a change is a row of its own (a status change, a release, a part), and inserting that row is
what makes the change. The figure it changes is compared with its rows whenever it is touched, so an UPDATE without a
row is refused, whoever sends it.
"""

# ruff: noqa: S608 -- only constants of this module are put into the statements
from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, fill

_SEARCH_PATH: Final = "SET search_path = pg_catalog, public, pg_temp"

FIRST_PART_ID: Final = 10**15
"""Parts of deductions share their events' posting keys with other documents (a settlement sheet collects recoveries
too). Their numbers begin where no other document's do: above every running number, below every id that carries a day.
"""

CHART: Final = f"""
-- Only leaf subjects carry accounts, and a code names its superior.
CREATE FUNCTION accounts_leaf_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_parent text;
BEGIN
    SELECT code INTO v_parent FROM accounts_subject WHERE id = NEW.parent_id;
    IF v_parent IS DISTINCT FROM (CASE WHEN length(NEW.code) > 4 THEN left(NEW.code, -2) END) THEN
        RAISE EXCEPTION 'subject % does not stand under %', NEW.code, coalesce(v_parent, 'the top of the chart')
            USING ERRCODE = 'PL010';
    END IF;
    IF EXISTS (SELECT FROM accounts_account WHERE subject_id = NEW.parent_id) THEN
        RAISE EXCEPTION 'subject % carries accounts and takes no sub-subjects', v_parent USING ERRCODE = 'PL010';
    END IF;
    IF NOT NEW.is_leaf AND EXISTS (SELECT FROM accounts_account WHERE subject_id = NEW.id) THEN
        RAISE EXCEPTION 'subject % carries accounts and stays a leaf', NEW.code USING ERRCODE = 'PL010';
    END IF;
    IF NEW.is_leaf AND EXISTS (SELECT FROM accounts_subject WHERE parent_id = NEW.id) THEN
        RAISE EXCEPTION 'subject % has sub-subjects and is no leaf', NEW.code USING ERRCODE = 'PL010';
    END IF;
    UPDATE accounts_subject SET is_leaf = false WHERE id = NEW.parent_id AND is_leaf;
    RETURN NULL;
END
$body$;

CREATE FUNCTION accounts_account_opens() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF NOT (SELECT is_leaf FROM accounts_subject WHERE id = NEW.subject_id) THEN
        RAISE EXCEPTION 'account % stands under a subject with sub-subjects', NEW.account_no USING ERRCODE = 'PL003';
    END IF;
    IF NEW.status <> 'normal' OR NEW.frozen <> 0 THEN
        RAISE EXCEPTION 'account % begins without restriction and freeze', NEW.account_no USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;
"""

STATUS: Final = f"""
CREATE FUNCTION accounts_status_applies() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_account record;
BEGIN
    SELECT account_no, status INTO v_account FROM accounts_account WHERE id = NEW.account_id FOR NO KEY UPDATE;
    IF v_account.status = 'closed' THEN
        RAISE EXCEPTION 'account % is closed for good', v_account.account_no USING ERRCODE = 'PL004';
    ELSIF v_account.status <> NEW.from_status THEN
        RAISE EXCEPTION 'account % is %, not %', v_account.account_no, v_account.status, NEW.from_status
            USING ERRCODE = 'PL010';
    END IF;
    UPDATE accounts_account
        SET status = NEW.to_status, closed_at = CASE WHEN NEW.to_status = 'closed' THEN NEW.changed_at END
        WHERE id = NEW.account_id AND status <> NEW.to_status;
    RETURN NULL;
END
$body$;

-- The newest row of the history is the change itself. A row says from which status, so it serves once.
CREATE FUNCTION accounts_status_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_change record;
BEGIN
    SELECT from_status, to_status INTO v_change FROM accounts_accountstatuschange
        WHERE account_id = NEW.id ORDER BY id DESC LIMIT 1;
    IF (v_change.from_status, v_change.to_status) IS DISTINCT FROM (OLD.status, NEW.status) THEN
        RAISE EXCEPTION 'the status of account % changes only with a row of its history', NEW.account_no
            USING ERRCODE = 'PL010';
    END IF;
    RETURN NULL;
END
$body$;
"""

FREEZES: Final = f"""
CREATE FUNCTION accounts_freeze_placed() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF NEW.remaining <> NEW.amount OR NEW.released_at IS NOT NULL THEN
        RAISE EXCEPTION 'freeze % begins whole', NEW.id USING ERRCODE = 'PL010';
    END IF;
    UPDATE accounts_account a
        SET frozen = (SELECT sum(remaining) FROM accounts_freeze WHERE account_id = a.id AND remaining > 0)
        WHERE a.id = NEW.account_id;
    RETURN NULL;
END
$body$;

CREATE FUNCTION accounts_freeze_released() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_account bigint;
BEGIN
    UPDATE accounts_freeze SET remaining = remaining - NEW.amount,
            released_at = CASE WHEN remaining = NEW.amount THEN NEW.released_at END
        WHERE id = NEW.freeze_id RETURNING account_id INTO v_account;
    UPDATE accounts_account SET frozen = frozen - NEW.amount WHERE id = v_account;
    RETURN NULL;
END
$body$;

CREATE FUNCTION accounts_freeze_remaining_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF NEW.remaining <> NEW.amount
            - (SELECT coalesce(sum(amount), 0) FROM accounts_freezerelease WHERE freeze_id = NEW.id) THEN
        RAISE EXCEPTION 'freeze % is released only by a row that says by whom and why', NEW.id
            USING ERRCODE = 'PL010';
    END IF;
    RETURN NULL;
END
$body$;

CREATE FUNCTION accounts_frozen_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF NEW.frozen <> (SELECT coalesce(sum(remaining), 0) FROM accounts_freeze
                      WHERE account_id = NEW.id AND remaining > 0) THEN
        RAISE EXCEPTION 'what is frozen on account % is the sum of its slips', NEW.account_no
            USING ERRCODE = 'PL010';
    END IF;
    RETURN NULL;
END
$body$;
"""

DEDUCTIONS: Final = f"""
CREATE FUNCTION accounts_deduction_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.collected <> 0 THEN
            RAISE EXCEPTION 'a deduction begins with nothing collected' USING ERRCODE = 'PL010';
        END IF;
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'deduction % cannot be removed', OLD.id USING ERRCODE = 'PL010';
    END IF;
    IF (NEW.id, NEW.account_id, NEW.event, NEW.variable, NEW.owners, NEW.source_kind, NEW.source_id,
            NEW.business_date, NEW.amount, NEW.reason, NEW.created_by)
        IS DISTINCT FROM (OLD.id, OLD.account_id, OLD.event, OLD.variable, OLD.owners, OLD.source_kind, OLD.source_id,
            OLD.business_date, OLD.amount, OLD.reason, OLD.created_by)
        OR (OLD.freeze_id IS NOT NULL AND NEW.freeze_id IS DISTINCT FROM OLD.freeze_id) THEN
        RAISE EXCEPTION 'deduction % keeps its account, amount and source; it is only collected', OLD.id
            USING ERRCODE = 'PL010';
    END IF;
    IF NEW.collected <> OLD.collected AND NEW.collected
            <> (SELECT coalesce(sum(amount), 0) FROM accounts_deductionpart WHERE deduction_id = NEW.id) THEN
        RAISE EXCEPTION 'what deduction % has collected is the sum of its parts', OLD.id USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;

-- A part comes after its voucher and names it: nothing counts as collected that was not booked.
CREATE FUNCTION accounts_deduction_collected() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts_postingkey k JOIN accounts_deduction d ON d.event = k.event
                   WHERE d.id = NEW.deduction_id AND k.source_id = NEW.id AND k.voucher_id = NEW.voucher_id) THEN
        RAISE EXCEPTION 'part % of deduction % was not booked', NEW.id, NEW.deduction_id USING ERRCODE = 'PL010';
    END IF;
    UPDATE accounts_deduction d
        SET collected = (SELECT sum(amount) FROM accounts_deductionpart WHERE deduction_id = d.id)
        WHERE d.id = NEW.deduction_id;
    RETURN NULL;
END
$body$;
"""

_TRIGGERS: Final = (
    ("leaf_guard", "AFTER INSERT OR UPDATE OF code, parent_id, is_leaf", "subject", "accounts_leaf_guard", ""),
    ("account_opens", "BEFORE INSERT", "account", "accounts_account_opens", ""),
    ("status_applies", "AFTER INSERT", "accountstatuschange", "accounts_status_applies", ""),
    (
        "status_guard",
        "AFTER UPDATE OF status",
        "account",
        "accounts_status_guard",
        "WHEN (OLD.status IS DISTINCT FROM NEW.status)",
    ),
    ("freeze_placed", "AFTER INSERT", "freeze", "accounts_freeze_placed", ""),
    ("freeze_released", "AFTER INSERT", "freezerelease", "accounts_freeze_released", ""),
    ("freeze_remaining_guard", "AFTER UPDATE OF remaining", "freeze", "accounts_freeze_remaining_guard", ""),
    (
        "frozen_guard",
        "AFTER UPDATE OF frozen",
        "account",
        "accounts_frozen_guard",
        "WHEN (OLD.frozen IS DISTINCT FROM NEW.frozen)",
    ),
    ("deduction_guard", "BEFORE INSERT OR UPDATE OR DELETE", "deduction", "accounts_deduction_guard", ""),
    ("deduction_collected", "AFTER INSERT", "deductionpart", "accounts_deduction_collected", ""),
)

# What older books hold gets the rows that the guards look for.
_FILL: Final = """
INSERT INTO accounts_freezerelease (freeze_id, amount, reason, released_by, released_at)
    SELECT id, amount - remaining, '', 'system', coalesce(released_at, now()) FROM accounts_freeze
    WHERE remaining < amount;
INSERT INTO accounts_accountstatuschange (account_id, from_status, to_status, reason, source_kind, source_id,
        changed_by, changed_at)
    SELECT a.id, 'normal', a.status, '', '', '', 'system', coalesce(a.closed_at, now()) FROM accounts_account a
    WHERE a.status <> 'normal' AND NOT EXISTS (SELECT FROM accounts_accountstatuschange c WHERE c.account_id = a.id);
-- A table with rows still to be checked takes no trigger.
SET CONSTRAINTS ALL IMMEDIATE;
"""


def statements() -> list[str]:
    """Functions and triggers, and the rows of history that older books lack."""
    return [
        _FILL,
        f"ALTER SEQUENCE accounts_deductionpart_id_seq MINVALUE {FIRST_PART_ID} START {FIRST_PART_ID} RESTART;",
        CHART,
        STATUS,
        FREEZES,
        DEDUCTIONS,
        *(
            f"CREATE TRIGGER {name} {events} ON accounts_{table} FOR EACH ROW {when} EXECUTE FUNCTION {function}();"
            for name, events, table, function, when in _TRIGGERS
        ),
        fill(NO_TRUNCATE, "accounts_deduction"),
    ]


def statements_reverse() -> list[str]:
    """Undoes `statements`; CASCADE takes the triggers along."""
    return [
        "DROP TRIGGER no_truncate ON accounts_deduction;",
        *(f"DROP FUNCTION {function} CASCADE;" for _n, _e, _t, function, _w in _TRIGGERS),
        "ALTER SEQUENCE accounts_deductionpart_id_seq MINVALUE 1 START 1;",
    ]
