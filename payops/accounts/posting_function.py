"""The database function behind `post`: one voucher in one round trip.

Everything a caller can be told kindly comes back as a status; what the guards refuse is raised. Order of locks, the
same everywhere: accounting day (shared) → posting key → accounts by id.
"""

# ruff: noqa: S608 -- only constants of this module and integers are put into the statements
from __future__ import annotations

from typing import Final

from payops.accounts.guards import DAY_LOCK
from payops.core.locks import namespace_code

POST_FUNCTION: Final[str] = f"""
CREATE FUNCTION accounts_post(
    p_day date, p_event integer, p_source_kind text, p_source_id bigint, p_business_date date, p_rule_version integer,
    p_memo text, p_posted_by text, p_currency text, p_subjects text[], p_owner_kinds text[], p_owner_nos text[],
    p_sides text[], p_amounts bigint[], p_instruction boolean,
    OUT o_status text, OUT o_voucher bigint, OUT o_detail text
) LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    -- The same few look-ups by key every time: planning them anew would cost more than making them.
    SET plan_cache_mode = force_generic_plan AS $body$
DECLARE
    v_code integer;
    v_state text;
    v_version integer;
    v_accounts bigint[];
    v_deltas bigint[];
    v_direct boolean[];
    v_missing integer;
    v_closed text;
    v_meant text;
BEGIN
    IF p_day IS NULL THEN
        SELECT day INTO p_day FROM accounts_accountingday WHERE state = 'open';
        IF p_day IS NULL THEN
            o_status := 'no_open_day';
            RETURN;
        END IF;
    END IF;
    o_detail := p_day::text;
    v_code := (extract(year FROM p_day)::integer - 2000) * 10000 + extract(month FROM p_day)::integer * 100
        + extract(day FROM p_day)::integer;
    PERFORM pg_advisory_xact_lock_shared({namespace_code(DAY_LOCK)}, v_code);
    SELECT d.state, r.version INTO v_state, v_version FROM accounts_accountingday d
        LEFT JOIN LATERAL (SELECT version FROM accounts_postingrule
            WHERE event = p_event AND state = 'active' AND effective_day <= p_day
            ORDER BY effective_day DESC, version DESC LIMIT 1) r ON true
        WHERE d.day = p_day;
    IF v_state IS NULL OR v_state = 'closed' THEN
        o_status := 'day_not_open';
        RETURN;
    ELSIF v_version IS DISTINCT FROM p_rule_version THEN
        o_status := 'stale_rule';
        RETURN;
    END IF;

    -- Direct lines move the stored balance here; the balance of the others follows by their rule. Merchants' debits are
    -- direct whatever the rule. Nobody closes an account while the day is held, so the status stays as it is read.
    SELECT array_agg(l.account ORDER BY l.ord), array_agg(l.delta ORDER BY l.ord),
        array_agg(m.id IS NULL OR (l.delta < 0 AND l.subject ~ '^220[23]') ORDER BY l.ord),
        min(l.ord) FILTER (WHERE l.account IS NULL),
        min(l.account_no) FILTER (WHERE l.status = 'closed' AND (p_instruction OR l.kind <> 'merchant')),
        string_agg(l.ord::text, ',' ORDER BY l.ord) FILTER (WHERE l.status = 'closed')
        INTO v_accounts, v_deltas, v_direct, v_missing, v_closed, v_meant
        FROM (
            SELECT u.ord, u.subject, u.kind, a.id AS account, a.account_no, a.status,
                CASE WHEN u.side = s.normal_side THEN u.amount ELSE -u.amount END AS delta
            FROM unnest(p_subjects, p_owner_kinds, p_owner_nos, p_sides, p_amounts)
                WITH ORDINALITY AS u(subject, kind, owner_no, side, amount, ord)
            -- OFFSET 0: look-ups by key, line by line, whatever the statistics say.
            LEFT JOIN LATERAL (SELECT id, normal_side FROM accounts_subject WHERE code = u.subject OFFSET 0) s ON true
            LEFT JOIN LATERAL (SELECT id, account_no, status FROM accounts_account
                WHERE subject_id = s.id AND owner_kind = u.kind AND owner_no = u.owner_no AND currency = p_currency
                OFFSET 0) a ON true
        ) l
        LEFT JOIN accounts_postingmoderule m ON m.account_id = l.account AND m.event = p_event
            AND m.effective_day <= p_day AND (m.end_day IS NULL OR m.end_day > p_day);
    IF v_missing IS NOT NULL THEN
        o_status := 'no_account';
        o_detail := v_missing::text;
        RETURN;
    ELSIF v_closed IS NOT NULL THEN
        o_status := 'account_closed';
        o_detail := v_closed;
        RETURN;
    ELSIF v_meant IS NOT NULL THEN
        o_status := 'divert';
        o_detail := v_meant;
        RETURN;
    END IF;

    o_voucher := v_code * 1000000000000 + nextval('accounts_voucher_n') * 1000;
    INSERT INTO accounts_postingkey (event, source_id, voucher_id) VALUES (p_event, p_source_id, o_voucher)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT voucher_id INTO o_voucher FROM accounts_postingkey WHERE event = p_event AND source_id = p_source_id;
        o_status := 'already_posted';
        RETURN;
    END IF;

    -- In order of id: two vouchers over the same accounts take turns instead of waiting for each other. Accounts whose
    -- balance follows later are not locked: that is what makes a hot account bearable.
    PERFORM FROM accounts_account
        WHERE id = ANY (ARRAY(SELECT account FROM unnest(v_accounts, v_direct) AS l(account, direct) WHERE direct))
        ORDER BY id FOR NO KEY UPDATE;
    IF p_instruction THEN
        -- Money that is there but still queued counts for an instruction, except what a drain is moving right now. Only
        -- for the accounts locked above: the others would be locked out of order.
        DELETE FROM accounts_queuedmovement WHERE id = ANY (ARRAY(
            SELECT q.id FROM accounts_queuedmovement q, unnest(v_accounts, v_direct) AS l(account, direct)
            WHERE q.account_id = l.account AND l.direct FOR UPDATE OF q SKIP LOCKED));
        PERFORM accounts_refuse_restricted(v_accounts, v_deltas);
    END IF;
    INSERT INTO accounts_voucher (id, event, source_kind, source_id, business_date, line_count, rule_version, memo,
            posted_at, posted_by)
        VALUES (o_voucher, p_event, p_source_kind, p_source_id, p_business_date, cardinality(p_amounts), p_rule_version,
            p_memo, clock_timestamp(), p_posted_by);
    WITH line AS (
        SELECT ord, account, side, amount, direct,
            (sum(delta) FILTER (WHERE direct) OVER (PARTITION BY account ORDER BY ord))::bigint AS moved
        FROM unnest(v_accounts, p_sides, p_amounts, v_deltas, v_direct)
            WITH ORDINALITY AS l(account, side, amount, delta, direct, ord)
    ), moved AS (
        UPDATE accounts_account a SET balance = a.balance + d.delta
        FROM (SELECT account, sum(delta)::bigint AS delta
              FROM unnest(v_accounts, v_deltas, v_direct) AS d(account, delta, direct) WHERE direct GROUP BY account) d
        WHERE a.id = d.account
        RETURNING a.id, a.balance - d.delta AS before
    )
    INSERT INTO accounts_entry (id, account_id, side, amount, currency, event, balance_after)
        SELECT o_voucher + l.ord, l.account, l.side, l.amount, p_currency, p_event,
            CASE WHEN l.direct THEN m.before + l.moved END
        FROM line l LEFT JOIN moved m ON m.id = l.account ORDER BY l.ord;
    o_status := 'posted';
END
$body$;

-- Restrictions refuse instructions, never facts (DOMAIN 4.4). The accounts are locked by the caller.
CREATE FUNCTION accounts_refuse_restricted(p_accounts bigint[], p_deltas bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    r record;
BEGIN
    SELECT a.account_no, a.status, a.balance - a.frozen AS available, d.delta INTO r
        FROM (SELECT account, sum(delta)::bigint AS delta FROM unnest(p_accounts, p_deltas) AS d(account, delta)
              GROUP BY account) d
        JOIN accounts_account a ON a.id = d.account
        WHERE a.owner_kind = 'merchant' AND a.account_no ~ '^220[23]' AND (
            a.status IN ('stopped', 'judicial', 'closed')
            OR (a.status = 'credit_only' AND d.delta < 0) OR (a.status = 'debit_only' AND d.delta > 0)
            OR (d.delta < 0 AND a.balance - a.frozen + d.delta < 0))
        ORDER BY a.id LIMIT 1;
    IF r.account_no IS NULL THEN
        RETURN;
    ELSIF r.status IN ('stopped', 'judicial', 'closed') OR (r.status = 'credit_only' AND r.delta < 0)
        OR (r.status = 'debit_only' AND r.delta > 0) THEN
        RAISE EXCEPTION 'account % is restricted (%)', r.account_no, r.status
            USING ERRCODE = 'PL011', DETAIL = r.account_no || '|' || r.status;
    END IF;
    RAISE EXCEPTION 'account % has % available, % is needed', r.account_no, r.available, -r.delta
        USING ERRCODE = 'PL012', DETAIL = r.account_no || '|' || r.available || '|' || -r.delta;
END
$body$;
"""
