"""The ledger's guards: what PostgreSQL itself refuses, whoever asks (DOMAIN 4.2, DESIGN 4).

All entries of a voucher come in one statement, so the guards are statement triggers over the transition table: one
set-based look per statement instead of one call per row. Statement triggers are not cloned to partitions, so the same
ones stand on the parents and on every partition. Errors carry SQLSTATEs of the class PL, which `errors.py` turns into
sentences for users. `docs/ledger.md` names each guard with the test that attacks it.
"""

# ruff: noqa: S608 -- only constants of this module and integers are put into the statements
from __future__ import annotations

from typing import Final

from payops.core.locks import namespace_code
from payops.core.sql import NO_TRUNCATE, append_only_triggers

DAY_LOCK: Final[str] = "accounts.day"
"""Advisory lock of an accounting day: shared by everybody who posts, exclusive for cut-off and close."""

_SEARCH_PATH: Final[str] = "SET search_path = pg_catalog, public, pg_temp"

VOUCHER_SEQUENCE: Final[str] = """
-- Cycles below 10⁹: the day in the id makes the number unique, the sequence only within a day.
CREATE SEQUENCE accounts_voucher_n MINVALUE 1 MAXVALUE 999999999 CYCLE CACHE 1;
"""

ID_DAY: Final[str] = (
    "make_date(2000 + (e.id / 10000000000000000)::integer, (e.id / 100000000000000 % 100)::integer,"
    " (e.id / 1000000000000 % 100)::integer)"
)
"""The accounting day that the id of the entry `e` carries."""

DAY_FUNCTIONS: Final[str] = f"""
CREATE FUNCTION accounts_require_open_days(p_codes integer[]) RETURNS void
LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_code integer;
    v_state text;
BEGIN
    -- With an older snapshot a day closed meanwhile would still look open.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the ledger is posted to in READ COMMITTED transactions only' USING ERRCODE = 'PL008';
    END IF;
    FOREACH v_code IN ARRAY p_codes LOOP
        -- Waits for a close of this day under way; a close that comes later waits for this transaction.
        PERFORM pg_advisory_xact_lock_shared({namespace_code(DAY_LOCK)}, v_code);
        SELECT state INTO v_state FROM accounts_accountingday
            WHERE day = make_date(2000 + v_code / 10000, v_code / 100 % 100, v_code % 100);
        IF v_state IS NULL THEN
            RAISE EXCEPTION 'accounting day % was never opened', v_code USING ERRCODE = 'PL005';
        ELSIF v_state = 'closed' THEN
            RAISE EXCEPTION 'accounting day % is closed and takes no more entries', v_code USING ERRCODE = 'PL006';
        END IF;
    END LOOP;
END
$body$;

CREATE FUNCTION accounts_day_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'open' THEN
            RAISE EXCEPTION 'accounting day % must begin open', NEW.day USING ERRCODE = 'PL007';
        END IF;
        IF EXISTS (SELECT FROM accounts_accountingday WHERE day >= NEW.day) THEN
            RAISE EXCEPTION 'accounting day % is not later than all days so far', NEW.day USING ERRCODE = 'PL007';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state = 'closed' THEN
        RAISE EXCEPTION 'accounting day % is closed and stays as it is', OLD.day USING ERRCODE = 'PL006';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'accounting day % cannot be removed', OLD.day USING ERRCODE = 'PL007';
    END IF;
    IF NEW.day <> OLD.day OR NOT (
        NEW.state = OLD.state OR (OLD.state = 'open' AND NEW.state = 'cut_off')
        OR (OLD.state = 'cut_off' AND NEW.state = 'closed' AND length(NEW.seal) = 64)
    ) THEN
        RAISE EXCEPTION 'accounting day % cannot go from % to %', OLD.day, OLD.state, NEW.state
            USING ERRCODE = 'PL007';
    END IF;
    RETURN NEW;
END
$body$;

-- Day balances and findings are written by the close, before the day's state changes in the same transaction.
CREATE FUNCTION accounts_sealed_day_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_day text;
BEGIN
    EXECUTE format(
        'SELECT d.day FROM accounts_accountingday d WHERE d.state = ''closed'''
        ' AND d.day IN (SELECT DISTINCT %I FROM new_rows) LIMIT 1', TG_ARGV[0]) INTO v_day;
    IF v_day IS NOT NULL THEN
        RAISE EXCEPTION 'accounting day % is closed and stays as it is', v_day USING ERRCODE = 'PL006';
    END IF;
    RETURN NULL;
END
$body$;
"""

VOUCHER_FUNCTION: Final[str] = f"""
-- No scan of the keys: a session keeps its plan, and one made while there were few would be kept when there are many.
CREATE FUNCTION accounts_voucher_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} SET enable_seqscan = off
AS $body$
DECLARE
    v_bad bigint;
    n record;
    kept text := current_setting('enable_nestloop');
BEGIN
    SELECT min(id) AS lo, max(id) AS hi, count(*) AS vouchers, min(event) AS low_event, max(event) AS high_event,
        min(source_id) AS first, max(source_id) AS last INTO n FROM new_vouchers;
    IF n.lo IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM accounts_require_open_days(CASE WHEN n.lo / 1000000000000 = n.hi / 1000000000000
        THEN ARRAY[(n.lo / 1000000000000)::integer]
        ELSE ARRAY(SELECT DISTINCT (id / 1000000000000)::integer FROM new_vouchers ORDER BY 1) END);
    IF n.vouchers > 1 AND n.low_event = n.high_event AND n.last::numeric - n.first < 2 * n.vouchers THEN
        -- Most keys between the first and the last are these: reading them in one go takes half of what looking up each
        -- does. The bounds stand in the text of the query, which is planned for them.
        PERFORM set_config('enable_nestloop', 'off', true);
        EXECUTE format($query$
            SELECT v.id FROM new_vouchers v
            LEFT JOIN (SELECT source_id, voucher_id FROM accounts_postingkey
                WHERE event = %s AND source_id BETWEEN %s AND %s) k USING (source_id)
            WHERE k.voucher_id IS DISTINCT FROM v.id LIMIT 1
        $query$, n.low_event, n.first, n.last) INTO v_bad;
        PERFORM set_config('enable_nestloop', kept, true);
    ELSE
        -- OFFSET 0: always a look-up by key, whatever the statistics of a growing table say.
        SELECT v.id INTO v_bad FROM new_vouchers v
            LEFT JOIN LATERAL (SELECT voucher_id FROM accounts_postingkey k
                WHERE k.event = v.event AND k.source_id = v.source_id OFFSET 0) k ON true
            WHERE k.voucher_id IS DISTINCT FROM v.id LIMIT 1;
    END IF;
    IF v_bad IS NOT NULL THEN
        RAISE EXCEPTION 'voucher % has no posting key of its own', v_bad USING ERRCODE = 'PL009';
    END IF;
    RETURN NULL;
END
$body$;
"""

ENTRY_FUNCTION: Final[str] = f"""
CREATE FUNCTION accounts_entry_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    n record;
    a record;
    h record;
    r record;
    dense boolean;
    headers text;
    kept text := current_setting('enable_nestloop');
BEGIN
    SELECT min(id) AS lo, max(id) AS hi, count(*) AS lines, min(currency) = max(currency) AS single_currency,
        min(event) AS low_event, max(event) AS high_event, bool_and(balance_after IS NOT NULL) AS followed
        INTO n FROM new_entries;
    IF n.lo IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM accounts_require_open_days(CASE WHEN n.lo / 1000000000000 = n.hi / 1000000000000
        THEN ARRAY[(n.lo / 1000000000000)::integer]
        ELSE ARRAY(SELECT DISTINCT (id / 1000000000000)::integer FROM new_entries ORDER BY 1) END);
    SELECT bool_or(c.id IS NULL OR c.currency <> e.currency OR c.status = 'closed' OR NOT s.is_leaf) AS refused,
        coalesce(bool_or(s.element = 'memo'), false) AS some_memo
        INTO a
        FROM (SELECT DISTINCT account_id, currency FROM new_entries) e
        LEFT JOIN accounts_account c ON c.id = e.account_id
        LEFT JOIN accounts_subject s ON s.id = c.subject_id;

    IF n.lo / 1000 = n.hi / 1000 THEN
        -- One voucher, the everyday case: no join, no grouping. The id stands in the text for the reason given below.
        EXECUTE format('SELECT id, line_count, event FROM accounts_voucher WHERE id = %s', n.lo - n.lo % 1000) INTO h;
        SELECT n.lo - n.lo % 1000 AS voucher, n.lines, d.difference, h.id AS header, h.line_count,
            h.line_count IS DISTINCT FROM n.lines OR n.lo % 1000 <> 1 OR n.hi % 1000 <> n.lines AS broken,
            d.difference <> 0 AND NOT a.some_memo AS unbalanced
            INTO r FROM (SELECT sum(CASE side WHEN 'D' THEN amount ELSE -amount END) AS difference FROM new_entries) d;
        IF NOT (r.broken OR r.unbalanced OR h.event <> n.low_event OR n.low_event <> n.high_event) THEN
            r.voucher := NULL;
        END IF;
    ELSE
        -- Rows just copied are not in the statistics, and a join planned for one row would compare every voucher with
        -- every header. Where most vouchers between the first and the last are these, all of them are hashed; else
        -- OFFSET 0 keeps it a look-up of each by its key.
        dense := (n.hi - n.lo) / 1000 < 2 * n.lines;
        PERFORM set_config('enable_nestloop', CASE WHEN dense THEN 'off' ELSE kept END, true);
        -- The bounds stand in the text of the query, so that planning touches the partition meant and no other.
        headers := format('SELECT id, line_count, event FROM accounts_voucher WHERE id BETWEEN %s AND %s',
            n.lo - n.lo % 1000, n.hi);
        headers := CASE WHEN dense THEN format('(%s) h ON h.id = g.voucher', headers)
            ELSE format('LATERAL (%s AND id = g.voucher OFFSET 0) h ON true', headers) END;
        EXECUTE format($query$
            SELECT g.voucher, g.lines, g.difference, h.id AS header, h.line_count,
                h.line_count IS DISTINCT FROM g.lines OR g.first <> 1 OR g.last <> g.lines AS broken,
                g.difference <> 0 AND NOT %2$L AS unbalanced
            FROM (
                SELECT id - id %% 1000 AS voucher, count(*) AS lines, min(id %% 1000) AS first, max(id %% 1000) AS last,
                    min(event) AS low_event, max(event) AS high_event,
                    sum(CASE side WHEN 'D' THEN amount ELSE -amount END) AS difference
                FROM new_entries GROUP BY 1
            ) g
            LEFT JOIN %1$s
            WHERE h.line_count IS DISTINCT FROM g.lines OR g.first <> 1 OR g.last <> g.lines
                OR (g.difference <> 0 AND NOT %2$L) OR h.event <> g.low_event OR g.low_event <> g.high_event
            LIMIT 1
        $query$, headers, a.some_memo) INTO r;
        PERFORM set_config('enable_nestloop', kept, true);
    END IF;
    IF r.voucher IS NOT NULL THEN
        IF r.header IS NULL THEN
            RAISE EXCEPTION 'entries of voucher % have no header', r.voucher USING ERRCODE = 'PL002';
        ELSIF r.broken THEN
            RAISE EXCEPTION 'voucher % announces % lines; its entries must be numbered 1 to % in one statement, % came',
                r.voucher, r.line_count, r.line_count, r.lines USING ERRCODE = 'PL002';
        ELSIF r.unbalanced THEN
            RAISE EXCEPTION 'voucher % does not balance: debit less credit is %', r.voucher, r.difference
                USING ERRCODE = 'PL001';
        END IF;
        RAISE EXCEPTION 'entries of voucher % carry another event than its header', r.voucher
            USING ERRCODE = 'PL002';
    END IF;
    IF a.some_memo THEN
        -- Memorandum accounts stand outside the books: single-sided, and never beside others in one voucher.
        SELECT e.id - e.id % 1000 AS voucher INTO r FROM new_entries e
            JOIN accounts_account c ON c.id = e.account_id JOIN accounts_subject s ON s.id = c.subject_id
            GROUP BY 1 HAVING bool_or(s.element = 'memo') AND NOT bool_and(s.element = 'memo') LIMIT 1;
        IF r.voucher IS NOT NULL THEN
            RAISE EXCEPTION 'voucher % mixes memorandum accounts with others', r.voucher USING ERRCODE = 'PL014';
        END IF;
    END IF;
    IF a.some_memo OR NOT n.single_currency THEN
        SELECT e.id - e.id % 1000 AS voucher, e.currency INTO r FROM new_entries e
            LEFT JOIN accounts_account c ON c.id = e.account_id LEFT JOIN accounts_subject s ON s.id = c.subject_id
            WHERE s.element IS DISTINCT FROM 'memo'
            GROUP BY 1, 2 HAVING sum(CASE e.side WHEN 'D' THEN e.amount ELSE -e.amount END) <> 0 LIMIT 1;
        IF r.voucher IS NOT NULL THEN
            RAISE EXCEPTION 'voucher % does not balance in %', r.voucher, r.currency USING ERRCODE = 'PL001';
        END IF;
    END IF;

    IF a.refused THEN
        SELECT e.account_id, e.currency, c.id, c.account_no, c.currency AS account_currency, c.status, s.is_leaf INTO r
            FROM (SELECT DISTINCT account_id, currency FROM new_entries) e
            LEFT JOIN accounts_account c ON c.id = e.account_id
            LEFT JOIN accounts_subject s ON s.id = c.subject_id
            WHERE c.id IS NULL OR c.currency <> e.currency OR c.status = 'closed' OR NOT s.is_leaf LIMIT 1;
        IF r.id IS NULL THEN
            RAISE EXCEPTION 'account % does not exist', r.account_id USING ERRCODE = 'PL003';
        ELSIF r.status = 'closed' THEN
            RAISE EXCEPTION 'account % is closed and takes no more entries', r.account_no USING ERRCODE = 'PL004';
        ELSIF NOT r.is_leaf THEN
            RAISE EXCEPTION 'account % stands under a subject with sub-subjects', r.account_no
                USING ERRCODE = 'PL003';
        END IF;
        RAISE EXCEPTION 'account % is kept in %, not in %', r.account_no, r.account_currency, r.currency
            USING ERRCODE = 'PL003';
    END IF;

    IF NOT n.followed THEN
        -- The stored balance of these follows later. Their movements are queued here, by the database, so that stored
        -- balance + queue = sum of entries whoever writes them; summary entries wait for the day's end instead.
        WITH later AS (
            SELECT e.account_id, e.id, c.account_no, s.code,
                CASE WHEN e.side = s.normal_side THEN e.amount ELSE -e.amount END AS delta,
                EXISTS (SELECT FROM accounts_postingmoderule m
                    WHERE m.account_id = e.account_id AND m.event = e.event AND m.mode = 'summary'
                        AND m.effective_day <= {ID_DAY} AND (m.end_day IS NULL OR m.end_day > {ID_DAY})) AS summed
            FROM new_entries e
            JOIN accounts_account c ON c.id = e.account_id JOIN accounts_subject s ON s.id = c.subject_id
            WHERE e.balance_after IS NULL
        ), queued AS (
            INSERT INTO accounts_queuedmovement (account_id, entry_id, delta, queued_at)
                SELECT account_id, id, delta, clock_timestamp() FROM later WHERE NOT summed ORDER BY id
        )
        SELECT min(account_no) FILTER (WHERE delta < 0 AND (code LIKE '2202%' OR code LIKE '2203%')) AS account_no
            INTO r FROM later;
        IF r.account_no IS NOT NULL THEN
            RAISE EXCEPTION 'merchant account % is debited in real time only', r.account_no USING ERRCODE = 'PL013';
        END IF;
    END IF;
    RETURN NULL;
END
$body$;
"""

REFERENCE_FUNCTIONS: Final[str] = f"""
-- What an account is never changes: its balance is the sum of entries booked under exactly this meaning.
CREATE FUNCTION accounts_account_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'account % cannot be removed, only closed', OLD.account_no USING ERRCODE = 'PL010';
    END IF;
    IF (NEW.account_no, NEW.subject_id, NEW.currency, NEW.owner_kind, NEW.owner_no)
        IS DISTINCT FROM (OLD.account_no, OLD.subject_id, OLD.currency, OLD.owner_kind, OLD.owner_no) THEN
        RAISE EXCEPTION 'number, subject, currency and owner of account % never change', OLD.account_no
            USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;

-- A version of a rule is what vouchers were made by; only its state may change.
CREATE FUNCTION accounts_rule_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF TG_OP = 'DELETE' OR (NEW.event, NEW.version, NEW.effective_day, NEW.lines)
        IS DISTINCT FROM (OLD.event, OLD.version, OLD.effective_day, OLD.lines) THEN
        RAISE EXCEPTION 'version % of the posting rule of event % never changes, a new version follows it',
            OLD.version, OLD.event USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;
"""

CONFIGURATION_FUNCTIONS: Final = f"""
-- The first version of an event's rule may begin any day; a later one would change how days already begun are booked.
CREATE FUNCTION accounts_rule_begins_later() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF EXISTS (SELECT FROM accounts_postingrule WHERE event = NEW.event)
       AND EXISTS (SELECT FROM accounts_accountingday WHERE day >= NEW.effective_day) THEN
        RAISE EXCEPTION 'a new rule of event % takes effect on a later accounting day, not on %', NEW.event,
            NEW.effective_day USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;

-- Balances stand on the normal side of their subject: turning it would turn the sign of every balance below it.
CREATE FUNCTION accounts_subject_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF (NEW.code, NEW.element, NEW.normal_side) IS DISTINCT FROM (OLD.code, OLD.element, OLD.normal_side)
       AND EXISTS (SELECT FROM accounts_account WHERE subject_id = OLD.id) THEN
        RAISE EXCEPTION 'subject % carries accounts: its code, element and normal side stay', OLD.code
            USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;

CREATE FUNCTION accounts_freeze_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'freeze % cannot be removed, only released', OLD.id USING ERRCODE = 'PL010';
    END IF;
    IF (NEW.id, NEW.account_id, NEW.amount, NEW.reason, NEW.source_kind, NEW.source_id, NEW.created_by)
        IS DISTINCT FROM (OLD.id, OLD.account_id, OLD.amount, OLD.reason, OLD.source_kind, OLD.source_id,
            OLD.created_by) OR NEW.remaining > OLD.remaining THEN
        RAISE EXCEPTION 'freeze % keeps its account, amount and reason; it is only released', OLD.id
            USING ERRCODE = 'PL010';
    END IF;
    RETURN NEW;
END
$body$;
"""

VOUCHER_TRIGGERS: Final[list[str]] = [
    "CREATE TRIGGER voucher_guard AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_vouchers"
    " FOR EACH STATEMENT EXECUTE FUNCTION accounts_voucher_guard();",
    NO_TRUNCATE,
]
ENTRY_TRIGGERS: Final[list[str]] = [
    "CREATE TRIGGER entry_guard AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_entries"
    " FOR EACH STATEMENT EXECUTE FUNCTION accounts_entry_guard();",
    NO_TRUNCATE,
]

_SEALED = (
    "CREATE TRIGGER sealed_day AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows"
    " FOR EACH STATEMENT EXECUTE FUNCTION accounts_sealed_day_guard('{column}');"
)
_ROW_GUARD = "CREATE TRIGGER {name} BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();"


def functions() -> list[str]:
    """The trigger functions and the voucher sequence, in the order of their creation."""
    return [VOUCHER_SEQUENCE, DAY_FUNCTIONS, VOUCHER_FUNCTION, ENTRY_FUNCTION, REFERENCE_FUNCTIONS]


def functions_reverse() -> list[str]:
    """Undoes `functions`; CASCADE takes the triggers along."""
    names = (
        "accounts_require_open_days",
        "accounts_day_guard",
        "accounts_sealed_day_guard",
        "accounts_voucher_guard",
        "accounts_entry_guard",
        "accounts_account_guard",
        "accounts_rule_guard",
        "accounts_post",
        "accounts_refuse_restricted",
    )
    return [*(f"DROP FUNCTION {name} CASCADE;" for name in names), "DROP SEQUENCE accounts_voucher_n;"]


def table_triggers() -> list[str]:
    """Triggers of the tables that are not partitioned."""
    statements = [
        _ROW_GUARD.format(
            name="day_guard",
            events="INSERT OR UPDATE OR DELETE",
            table="accounts_accountingday",
            function="accounts_day_guard",
        ),
        NO_TRUNCATE.replace("{table}", "accounts_accountingday"),
        _ROW_GUARD.format(
            name="account_guard",
            events="DELETE OR UPDATE OF account_no, subject_id, currency, owner_kind, owner_no",
            table="accounts_account",
            function="accounts_account_guard",
        ),
        NO_TRUNCATE.replace("{table}", "accounts_account"),
        _ROW_GUARD.format(
            name="rule_guard",
            events="UPDATE OR DELETE",
            table="accounts_postingrule",
            function="accounts_rule_guard",
        ),
        _SEALED.format(table="accounts_daybalance", column="day"),
        _SEALED.format(table="accounts_dayfinding", column="day_id"),
    ]
    for table in ("accounts_postingkey", "accounts_daybalance", "accounts_dayfinding"):
        statements += append_only_triggers(table)
    return statements


_CONFIGURATION: Final = (
    ("later_day", "INSERT", "accounts_postingrule", "accounts_rule_begins_later"),
    ("subject_guard", "UPDATE", "accounts_subject", "accounts_subject_guard"),
    ("freeze_guard", "UPDATE OR DELETE", "accounts_freeze", "accounts_freeze_guard"),
)
_NEVER_EMPTIED: Final = ("accounts_postingrule", "accounts_freeze")


def configuration_guards() -> list[str]:
    """Functions and triggers on what decides how vouchers are made and read: rules, subjects, freezes."""
    return [
        CONFIGURATION_FUNCTIONS,
        *(
            _ROW_GUARD.format(name=name, events=events, table=table, function=function)
            for name, events, table, function in _CONFIGURATION
        ),
        *(NO_TRUNCATE.replace("{table}", table) for table in _NEVER_EMPTIED),
    ]


def configuration_guards_reverse() -> list[str]:
    """Undoes `configuration_guards`."""
    return [
        *(f"DROP TRIGGER no_truncate ON {table};" for table in _NEVER_EMPTIED),
        *(f"DROP FUNCTION {function} CASCADE;" for _name, _events, _table, function in _CONFIGURATION),
    ]
