"""What PostgreSQL itself refuses on corrections and manual vouchers, whoever asks (DOMAIN 4.2, 9).

Most of it is checked when a row is written. That a booked document has an executed approval of another person, and
that what was booked is what was approved, can only be seen at the end of the transaction: the approval becomes
"executed" after the action it executes. Those guards are deferred. `docs/corrections.md` names each guard with the
test that attacks it.
"""

# ruff: noqa: S608 -- only constants of this module are put into the statements
from __future__ import annotations

from typing import Final

from payops.accounts.choices import CorrectionKind, Event
from payops.core.sql import NO_TRUNCATE, fill

_SEARCH_PATH: Final = "SET search_path = pg_catalog, public, pg_temp"
_ONE_SIDED_SAME_SIDE: Final = f"('{CorrectionKind.SAME_DAY_WIPE}', '{CorrectionKind.NEXT_DAY}')"
_WHOLE: Final = f"('{CorrectionKind.SAME_DAY_REVERSAL}', '{CorrectionKind.RED_REVERSAL}')"
_HIDDEN: Final = f"('{CorrectionKind.SAME_DAY_WIPE}', '{CorrectionKind.SAME_DAY_REVERSAL}')"

DOCUMENT_SEQUENCE: Final = "CREATE SEQUENCE accounts_document_n MINVALUE 1 CACHE 1;"

# The two documents have the same life: what was proposed stays, the approval is named once, booked or rejected once.
_LIFE: Final = """
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% % is never removed', {what}, OLD.number USING ERRCODE = 'PL010';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'proposed' OR NEW.approval_id IS NOT NULL OR NEW.booked_at IS NOT NULL {insert} THEN
            RAISE EXCEPTION '% % must begin as a proposal', {what}, NEW.number USING ERRCODE = 'PL010';
        END IF;
        RETURN NEW;
    END IF;
    IF to_jsonb(NEW) - '{{state,approval_id,booked_at,voucher_id}}'::text[]
       IS DISTINCT FROM to_jsonb(OLD) - '{{state,approval_id,booked_at,voucher_id}}'::text[] {frozen}
       OR (OLD.approval_id IS NOT NULL AND NEW.approval_id IS DISTINCT FROM OLD.approval_id) THEN
        RAISE EXCEPTION '% % keeps what was proposed', {what}, OLD.number USING ERRCODE = 'PL010';
    END IF;
    IF OLD.state <> 'proposed' THEN
        RAISE EXCEPTION '% % is % and never changes again', {what}, OLD.number, OLD.state USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
"""

LIFE_FUNCTIONS: Final = f"""
CREATE FUNCTION accounts_correction_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
{_LIFE.format(what="'correction'", insert="", frozen="OR NEW.voucher_id IS DISTINCT FROM OLD.voucher_id")}
END
$body$;

CREATE FUNCTION accounts_manual_voucher_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
{_LIFE.format(what="'manual voucher'", insert="OR NEW.voucher_id IS NOT NULL", frozen="")}
END
$body$;
"""

# The id of an entry stands in the text of the query, so that planning touches the one partition it lives in.
LINK_FUNCTIONS: Final = f"""
CREATE FUNCTION accounts_corrected_entry_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    k text;
    w record;
    r record;
BEGIN
    SELECT kind INTO k FROM accounts_correction WHERE id = NEW.correction_id;
    EXECUTE format('SELECT id, account_id, side, amount, currency FROM accounts_entry WHERE id = %s', NEW.entry_id)
        INTO w;
    EXECUTE format('SELECT id, account_id, side, amount, currency FROM accounts_entry WHERE id = %s',
        NEW.red_entry_id) INTO r;
    IF w.id IS NULL OR r.id IS NULL THEN
        RAISE EXCEPTION 'entry % or the entry % that takes it back does not exist', NEW.entry_id, NEW.red_entry_id
            USING ERRCODE = 'PL021';
    END IF;
    IF w.amount <= 0 OR EXISTS (SELECT FROM accounts_correctedentry WHERE red_entry_id = NEW.entry_id) THEN
        RAISE EXCEPTION 'entry % takes another one back and is never corrected itself', NEW.entry_id
            USING ERRCODE = 'PL021';
    END IF;
    IF EXISTS (SELECT FROM accounts_correctedentry WHERE entry_id = NEW.red_entry_id) THEN
        RAISE EXCEPTION 'entry % was corrected and takes nothing back', NEW.red_entry_id USING ERRCODE = 'PL021';
    END IF;
    IF (r.account_id, r.currency, NEW.side) IS DISTINCT FROM (w.account_id, w.currency, w.side) OR NOT (
        CASE WHEN k = '{CorrectionKind.PRIOR_YEAR}' THEN r.side <> w.side AND r.amount = w.amount
        ELSE r.side = w.side AND r.amount = -w.amount END
    ) THEN
        RAISE EXCEPTION 'entry % does not take entry % back: account, side and amount must answer it',
            NEW.red_entry_id, NEW.entry_id USING ERRCODE = 'PL021';
    END IF;
    IF NEW.hidden <> (k IN {_HIDDEN}) THEN
        RAISE EXCEPTION 'entry % is hidden exactly when it is wiped on its own day', NEW.entry_id
            USING ERRCODE = 'PL021';
    END IF;
    PERFORM FROM accounts_correctionvoucher v WHERE v.correction_id = NEW.correction_id
        AND v.voucher_id = NEW.red_entry_id - NEW.red_entry_id % 1000
        AND (k NOT IN {_WHOLE} OR v.reverses = NEW.entry_id - NEW.entry_id % 1000);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'entry % does not stand in a voucher of this correction', NEW.red_entry_id
            USING ERRCODE = 'PL021';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION accounts_correction_voucher_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    k text;
    v_made bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'voucher of correction % is never removed', OLD.correction_id USING ERRCODE = 'PL010';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.voucher_id IS NOT NULL OR (NEW.id, NEW.correction_id) IS DISTINCT FROM (OLD.id, OLD.correction_id)
           OR NEW.reverses IS DISTINCT FROM OLD.reverses THEN
            RAISE EXCEPTION 'voucher of correction % keeps what it is', OLD.correction_id USING ERRCODE = 'PL010';
        END IF;
    ELSE
        SELECT kind INTO k FROM accounts_correction WHERE id = NEW.correction_id;
        IF (NEW.reverses IS NOT NULL) <> (k IN {_WHOLE}) THEN
            RAISE EXCEPTION 'a whole-chain correction, and no other, cancels a voucher' USING ERRCODE = 'PL021';
        END IF;
        IF EXISTS (SELECT FROM accounts_correctionvoucher WHERE voucher_id = NEW.reverses) THEN
            RAISE EXCEPTION 'voucher % was made by a correction and is never reversed', NEW.reverses
                USING ERRCODE = 'PL021';
        END IF;
    END IF;
    IF NEW.voucher_id IS NOT NULL THEN
        SELECT voucher_id INTO v_made FROM accounts_postingkey
            WHERE event BETWEEN {int(Event.CORRECTION_WIPE)} AND {int(Event.CORRECTION_PRIOR_YEAR)}
            AND source_id = NEW.id;
        IF v_made IS DISTINCT FROM NEW.voucher_id THEN
            RAISE EXCEPTION 'voucher % was not made from this correction', NEW.voucher_id USING ERRCODE = 'PL021';
        END IF;
    END IF;
    RETURN NEW;
END
$body$;
"""

# Deferred: at commit the approval is executed, or the document was booked past it.
_APPROVED: Final = """
    PERFORM FROM approvals_approvalrequest a WHERE a.id = NEW.approval_id AND a.status = 'executed'
        AND a.action = {action} AND a.maker_id = NEW.proposed_by_id AND a.checker_id <> a.maker_id {target};
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is booked without an executed approval of another person', NEW.number
            USING ERRCODE = 'PL022';
    END IF;
"""

BOOKED_FUNCTIONS: Final = f"""
CREATE FUNCTION accounts_correction_booked() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v record;
    v_lines integer;
BEGIN
    {_APPROVED.format(action="'ledger.correction'", target="AND a.payload ->> 'number' = NEW.number")}
    IF NOT EXISTS (SELECT FROM accounts_correctedentry WHERE correction_id = NEW.id) THEN
        RAISE EXCEPTION 'correction % is booked and corrects nothing', NEW.number USING ERRCODE = 'PL021';
    END IF;
    FOR v IN SELECT id, reverses, voucher_id FROM accounts_correctionvoucher WHERE correction_id = NEW.id LOOP
        IF v.voucher_id IS NULL THEN
            RAISE EXCEPTION 'correction % is booked without its voucher', NEW.number USING ERRCODE = 'PL021';
        END IF;
        CONTINUE WHEN v.reverses IS NULL;
        -- Every line of a reversed voucher is taken back: so a voucher is reversed or corrected, never both.
        EXECUTE format('SELECT line_count FROM accounts_voucher WHERE id = %s', v.reverses) INTO v_lines;
        IF v_lines IS DISTINCT FROM (SELECT count(*)::integer FROM accounts_correctedentry
            WHERE entry_id > v.reverses AND entry_id < v.reverses + 1000 AND correction_id = NEW.id) THEN
            RAISE EXCEPTION 'voucher % is not reversed line by line', v.reverses USING ERRCODE = 'PL021';
        END IF;
    END LOOP;
    RETURN NULL;
END
$body$;

-- A link or a voucher of a correction that never becomes booked would bind lines without anybody's approval.
CREATE FUNCTION accounts_correction_part_booked() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    PERFORM FROM accounts_correction WHERE id = NEW.correction_id AND state = 'booked';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'correction % is not booked', NEW.correction_id USING ERRCODE = 'PL022';
    END IF;
    RETURN NULL;
END
$body$;

CREATE FUNCTION accounts_manual_voucher_booked() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_differs boolean;
BEGIN
    {_APPROVED.format(action="'ledger.manual_voucher'", target="AND a.target_id IN (NEW.number, NEW.batch_no)")}
    PERFORM FROM accounts_postingkey k
        WHERE k.event = {int(Event.MANUAL)} AND k.source_id = NEW.id AND k.voucher_id = NEW.voucher_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'voucher % was not made from manual voucher %', NEW.voucher_id, NEW.number
            USING ERRCODE = 'PL021';
    END IF;
    EXECUTE format($query$
        SELECT count(*) <> jsonb_array_length($1)
            OR bool_or((a.account_no, e.side, e.amount) IS DISTINCT FROM (l.line ->> 'account', l.line ->> 'side',
                (l.line ->> 'amount')::bigint))
        FROM accounts_entry e JOIN accounts_account a ON a.id = e.account_id
        LEFT JOIN jsonb_array_elements($1) WITH ORDINALITY AS l(line, ord) ON l.ord = e.id - %1$s
        WHERE e.id > %1$s AND e.id < %1$s + 1000
    $query$, NEW.voucher_id) INTO v_differs USING NEW.lines;
    IF v_differs THEN
        RAISE EXCEPTION 'voucher % is not what manual voucher % says', NEW.voucher_id, NEW.number
            USING ERRCODE = 'PL021';
    END IF;
    RETURN NULL;
END
$body$;
"""

_BEFORE: Final = (
    ("correction_guard", "INSERT OR UPDATE OR DELETE", "accounts_correction", "accounts_correction_guard"),
    ("manual_voucher_guard", "INSERT OR UPDATE OR DELETE", "accounts_manualvoucher", "accounts_manual_voucher_guard"),
    ("corrected_entry_guard", "INSERT", "accounts_correctedentry", "accounts_corrected_entry_guard"),
    (
        "correction_voucher_guard",
        "INSERT OR UPDATE OR DELETE",
        "accounts_correctionvoucher",
        "accounts_correction_voucher_guard",
    ),
)
_DEFERRED: Final = (
    ("booked", "UPDATE", "accounts_correction", "accounts_correction_booked", "WHEN (NEW.state = 'booked')"),
    ("booked", "UPDATE", "accounts_manualvoucher", "accounts_manual_voucher_booked", "WHEN (NEW.state = 'booked')"),
    ("booked", "INSERT", "accounts_correctedentry", "accounts_correction_part_booked", ""),
    ("booked", "INSERT", "accounts_correctionvoucher", "accounts_correction_part_booked", ""),
)
_NEVER_EMPTIED: Final = ("accounts_correction", "accounts_manualvoucher", "accounts_correctionvoucher")
_FUNCTIONS: Final = (
    *(function for _name, _events, _table, function in _BEFORE),
    "accounts_correction_booked",
    "accounts_correction_part_booked",
    "accounts_manual_voucher_booked",
)


def document_guards() -> list[str]:
    """Sequence, functions and triggers, in the order of their creation."""
    return [
        DOCUMENT_SEQUENCE,
        LIFE_FUNCTIONS,
        LINK_FUNCTIONS,
        BOOKED_FUNCTIONS,
        *(
            f"CREATE TRIGGER {name} BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();"
            for name, events, table, function in _BEFORE
        ),
        *(
            f"CREATE CONSTRAINT TRIGGER {name} AFTER {events} ON {table} DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW {condition} EXECUTE FUNCTION {function}();"
            for name, events, table, function, condition in _DEFERRED
        ),
        *(fill(NO_TRUNCATE, table) for table in _NEVER_EMPTIED),
    ]


def document_guards_reverse() -> list[str]:
    """Undoes `document_guards`; CASCADE takes the triggers along."""
    return [
        *(f'DROP TRIGGER no_truncate ON "{table}";' for table in _NEVER_EMPTIED),
        *(f"DROP FUNCTION {function} CASCADE;" for function in _FUNCTIONS),
        "DROP SEQUENCE accounts_document_n;",
    ]
