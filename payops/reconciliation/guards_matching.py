"""A row is claimed by one match at most, and a group adds up, at every commit and against raw SQL too.

Two tables hold claims: links of one with one, and members of groups. Each looks into the other under a lock per
contract, so that two transactions cannot both find the row free. All members of a group go in by one statement, which
is checked as a whole; that a group has members at all is checked deferred, because it is written before them.
"""

from __future__ import annotations

from typing import Final

from payops.core.sql import NO_TRUNCATE, append_only_triggers, fill

_RULE: Final = "reconciliation_matchrule"
_GROUP: Final = "reconciliation_matchgroup"
_MEMBER: Final = "reconciliation_matchmember"
_END: Final = "reconciliation_matchend"
_LINK: Final = "reconciliation_matchlink"

FUNCTIONS: Final = """
CREATE FUNCTION reconciliation_member_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    of_contract bigint;
    worth bigint;
    claimed boolean;
BEGIN
    SELECT contract_id INTO of_contract FROM reconciliation_matchgroup WHERE id = NEW.group_id;
    PERFORM pg_advisory_xact_lock(hashtext('reconciliation.claims'), of_contract::integer);
    IF NEW.side = 'own' THEN
        SELECT CASE WHEN kind IN (2, 3) THEN -amount ELSE amount END INTO worth FROM orders_transaction
        WHERE id = NEW.row_id AND contract_id = of_contract AND effective_at IS NOT NULL;
        claimed := EXISTS (SELECT FROM reconciliation_matchlink WHERE transaction_id = NEW.row_id);
    ELSE
        SELECT CASE WHEN kind IN (2, 3, 4) THEN -amount ELSE amount END INTO worth FROM channels_billline
        WHERE id = NEW.row_id AND contract_id = of_contract;
        claimed := EXISTS (SELECT FROM reconciliation_matchlink WHERE bill_line_id = NEW.row_id);
    END IF;
    IF worth IS DISTINCT FROM NEW.amount THEN
        RAISE EXCEPTION '% row % is worth % and not %', NEW.side, NEW.row_id, worth, NEW.amount
            USING ERRCODE = 'check_violation', CONSTRAINT = 'match_member_is_its_row';
    END IF;
    IF claimed THEN
        RAISE EXCEPTION '% row % is matched by a link already', NEW.side, NEW.row_id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'match_member_claims_once';
    END IF;
    IF NOT NEW.is_live OR EXISTS (SELECT FROM reconciliation_matchend WHERE group_id = NEW.group_id) THEN
        RAISE EXCEPTION 'group % has ended and takes no member', NEW.group_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION reconciliation_member_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    IF NOT OLD.is_live OR NEW.is_live OR to_jsonb(NEW) - 'is_live' IS DISTINCT FROM to_jsonb(OLD) - 'is_live'
       OR NOT EXISTS (SELECT FROM reconciliation_matchend WHERE group_id = OLD.group_id) THEN
        RAISE EXCEPTION 'member % never changes: end its group', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION reconciliation_group_end() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    UPDATE reconciliation_matchmember SET is_live = false WHERE group_id = NEW.group_id AND is_live;
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_link_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('reconciliation.claims'), NEW.contract_id::integer);
    IF EXISTS (SELECT FROM reconciliation_matchmember m WHERE m.is_live AND m.side = 'own'
               AND m.row_id = NEW.transaction_id)
       OR EXISTS (SELECT FROM reconciliation_matchmember m WHERE m.is_live AND m.side = 'channel'
                  AND m.row_id = NEW.bill_line_id) THEN
        RAISE EXCEPTION 'transaction % or line % is a member of a group already', NEW.transaction_id, NEW.bill_line_id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'match_member_claims_once';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION reconciliation_group_sums(of_group bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    g record;
    parts record;
    tolerated bigint;
BEGIN
    SELECT * INTO g FROM reconciliation_matchgroup WHERE id = of_group;
    SELECT sum(amount) FILTER (WHERE side = 'own') AS own, count(*) FILTER (WHERE side = 'own') AS own_count,
           sum(amount) FILTER (WHERE side = 'channel') AS channel,
           count(*) FILTER (WHERE side = 'channel') AS channel_count
    INTO parts FROM reconciliation_matchmember WHERE group_id = of_group;
    IF parts.own IS DISTINCT FROM g.own_amount OR parts.channel IS DISTINCT FROM g.channel_amount THEN
        RAISE EXCEPTION 'group % says % = %, its members % = %', g.id, g.own_amount, g.channel_amount, parts.own,
            parts.channel USING ERRCODE = 'check_violation', CONSTRAINT = 'match_members_make_the_group';
    END IF;
    IF (g.kind = 'split' AND (parts.own_count <> 1 OR parts.channel_count < 2))
       OR (g.kind = 'lump' AND (parts.channel_count <> 1 OR parts.own_count < 2)) THEN
        RAISE EXCEPTION 'group % is no %: % with %', g.id, g.kind, parts.own_count, parts.channel_count
            USING ERRCODE = 'check_violation', CONSTRAINT = 'match_group_is_its_kind';
    END IF;
    IF g.difference <> 0 THEN
        SELECT amount_tolerance INTO tolerated FROM reconciliation_matchrule
        WHERE id = g.rule_id AND contract_id = g.contract_id;
        IF tolerated IS NULL OR abs(g.difference) > tolerated OR parts.own_count + parts.channel_count <> 2 THEN
            RAISE EXCEPTION 'group % differs by %, tolerated are % between one and one', g.id, g.difference, tolerated
                USING ERRCODE = 'check_violation', CONSTRAINT = 'match_group_within_tolerance';
        END IF;
    END IF;
END
$body$;

CREATE FUNCTION reconciliation_group_whole() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_group_sums(NEW.id);
    RETURN NULL;
END
$body$;

CREATE FUNCTION reconciliation_member_whole() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
    PERFORM reconciliation_group_sums(of_group) FROM (SELECT DISTINCT group_id AS of_group FROM new_rows) AS touched;
    RETURN NULL;
END
$body$;
"""
_FUNCTION_NAMES: Final = (
    "reconciliation_member_whole()",
    "reconciliation_group_whole()",
    "reconciliation_group_sums(bigint)",
    "reconciliation_link_guard()",
    "reconciliation_group_end()",
    "reconciliation_member_change()",
    "reconciliation_member_guard()",
)


def create() -> list[str]:
    """Functions and triggers."""
    deferred = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    statements = [FUNCTIONS]
    for table in (_RULE, _GROUP, _END):
        statements += append_only_triggers(table)
    return [
        *statements,
        f"CREATE TRIGGER guard BEFORE INSERT ON {_MEMBER} FOR EACH ROW EXECUTE FUNCTION reconciliation_member_guard();",
        f"CREATE TRIGGER change BEFORE UPDATE ON {_MEMBER} FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_member_change();",
        f"CREATE TRIGGER no_delete BEFORE DELETE ON {_MEMBER} FOR EACH ROW EXECUTE FUNCTION core_refuse_change();",
        fill(NO_TRUNCATE, _MEMBER),
        f"CREATE TRIGGER ends AFTER INSERT ON {_END} FOR EACH ROW EXECUTE FUNCTION reconciliation_group_end();",
        f"CREATE TRIGGER claims BEFORE INSERT OR UPDATE ON {_LINK} FOR EACH ROW"
        " EXECUTE FUNCTION reconciliation_link_guard();",
        f"CREATE CONSTRAINT TRIGGER whole AFTER INSERT ON {_GROUP} {deferred}"
        " EXECUTE FUNCTION reconciliation_group_whole();",
        f"CREATE TRIGGER whole AFTER INSERT ON {_MEMBER} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
        " EXECUTE FUNCTION reconciliation_member_whole();",
    ]


def drop() -> list[str]:
    """Undoes `create`."""
    triggers = [
        (_MEMBER, ("whole", "no_truncate", "no_delete", "change", "guard")),
        (_GROUP, ("whole",)),
        (_LINK, ("claims",)),
        (_END, ("ends",)),
        *((table, ("append_only", "no_truncate")) for table in (_END, _GROUP, _RULE)),
    ]
    statements = [f"DROP TRIGGER {name} ON {table};" for table, names in triggers for name in names]
    return [*statements, *(f"DROP FUNCTION {name};" for name in _FUNCTION_NAMES)]
