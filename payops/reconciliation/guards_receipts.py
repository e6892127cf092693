"""The parts of a bank line add up to it, and what a day received is the sum of its parts, at every commit.

Written in SQL, because the rules must hold against raw SQL too. The checks are deferred: a division is an allocation,
its parts and the days' sums, and only together are they right.
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, append_only_triggers, fill

_ALLOCATION: Final = "reconciliation_receiptallocation"
_PART: Final = "reconciliation_receiptpart"
_LINE: Final = "channels_bankline"

FUNCTIONS: Final = """
CREATE FUNCTION reconciliation_allocation_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF NOT OLD.is_current OR to_jsonb(NEW) - 'is_current' IS DISTINCT FROM to_jsonb(OLD) - 'is_current' THEN
        RAISE EXCEPTION 'allocation % never changes: divide the bank line anew', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION reconciliation_line_whole(line_id bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    line record;
    parts record;
BEGIN
    SELECT amount, contract_id, kind, reference INTO line FROM channels_bankline WHERE id = line_id;
    SELECT sum(p.amount) AS total, bool_and(r.contract_id = line.contract_id) AS own INTO parts
    FROM reconciliation_receiptallocation a
    JOIN reconciliation_receiptpart p ON p.allocation_id = a.id
    JOIN reconciliation_channelreceipt r ON r.id = p.receipt_id
    WHERE a.bank_line_id = line_id AND a.is_current;
    IF line.kind <> 'settlement' OR parts.total IS DISTINCT FROM line.amount THEN
        RAISE EXCEPTION 'bank line % (%) of % is divided into parts of %', line.reference, line.kind, line.amount,
            parts.total USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_parts_make_the_line';
    END IF;
    IF parts.own IS NOT TRUE THEN
        RAISE EXCEPTION 'bank line % pays days of another contract', line.reference
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_parts_of_one_contract';
    END IF;
END
$body$;

CREATE FUNCTION reconciliation_receipts_whole(of_allocation bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    wrong record;
BEGIN
    SELECT r.id, r.received, sum(p.amount) FILTER (WHERE a.is_current) AS total INTO wrong
    FROM reconciliation_channelreceipt r
    JOIN reconciliation_receiptpart p ON p.receipt_id = r.id
    JOIN reconciliation_receiptallocation a ON a.id = p.allocation_id
    WHERE r.id IN (SELECT receipt_id FROM reconciliation_receiptpart WHERE allocation_id = of_allocation)
    GROUP BY r.id HAVING r.received <> coalesce(sum(p.amount) FILTER (WHERE a.is_current), 0) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'receipt % received %, its parts are %', wrong.id, wrong.received, wrong.total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_received_is_its_parts';
    END IF;
END
$body$;

CREATE FUNCTION reconciliation_allocation_whole() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_line_whole(NEW.bank_line_id);
    PERFORM reconciliation_receipts_whole(NEW.id);
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_part_whole() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    allocation record;
    total bigint;
BEGIN
    SELECT a.id, a.bank_line_id, l.amount INTO allocation
    FROM reconciliation_receiptallocation a JOIN channels_bankline l ON l.id = a.bank_line_id
    WHERE a.id = NEW.allocation_id;
    SELECT sum(amount) INTO total FROM reconciliation_receiptpart WHERE allocation_id = allocation.id;
    IF total IS DISTINCT FROM allocation.amount THEN
        RAISE EXCEPTION 'allocation % has parts of %, its bank line is %', allocation.id, total, allocation.amount
            USING ERRCODE = 'check_violation', CONSTRAINT = 'receipt_parts_make_the_line';
    END IF;
    PERFORM reconciliation_receipts_whole(allocation.id);
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_settlement_whole() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_line_whole(NEW.id);
    RETURN NULL;
END
$body$;
"""
_FUNCTION_NAMES: Final = (
    "reconciliation_settlement_whole()",
    "reconciliation_part_whole()",
    "reconciliation_allocation_whole()",
    "reconciliation_receipts_whole(bigint)",
    "reconciliation_line_whole(bigint)",
    "reconciliation_allocation_guard()",
)


def create() -> list[str]:
    """Functions and triggers."""
    deferred = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    return [
        FUNCTIONS,
        *append_only_triggers(_PART),
        f"CREATE TRIGGER guard BEFORE UPDATE ON {_ALLOCATION} FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_allocation_guard();",
        f"CREATE TRIGGER no_delete BEFORE DELETE ON {_ALLOCATION} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
        fill(NO_TRUNCATE, _ALLOCATION),
        f"CREATE CONSTRAINT TRIGGER whole AFTER INSERT OR UPDATE ON {_ALLOCATION} {deferred}"
        " EXECUTE FUNCTION reconciliation_allocation_whole();",
        f"CREATE CONSTRAINT TRIGGER whole AFTER INSERT ON {_PART} {deferred}"
        " EXECUTE FUNCTION reconciliation_part_whole();",
        f"CREATE CONSTRAINT TRIGGER settlement_whole AFTER UPDATE OF kind, amount, contract_id ON {_LINE} {deferred}"
        " WHEN (NEW.kind = 'settlement') EXECUTE FUNCTION reconciliation_settlement_whole();",
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    triggers = [
        (_LINE, ("settlement_whole",)),
        (_PART, ("whole", "append_only", "no_truncate")),
        (_ALLOCATION, ("whole", "no_truncate", "no_delete", "guard")),
    ]
    statements = [f"DROP TRIGGER {name} ON {table};" for table, names in triggers for name in names]
    return [*statements, *(f"DROP FUNCTION {name};" for name in _FUNCTION_NAMES)]
