"""Set-based statements of the ledger that are longer than a line.

Id bounds are written into the text (`{lo}`, `{hi}`: integers made by core.ids), so that planning touches the partitions
meant and locks no others.
"""

# ruff: noqa: S608 -- only constants of this module and integers are put into the statements
from __future__ import annotations

from typing import Any, Final

from django.db import connection
from django.db.models import Max, Min

from payops.accounts.choices import DayState
from payops.accounts.models import AccountingDay
from payops.core.ids import id_range


def bounded(template: str, lo: int, hi: int) -> str:
    """The statement with its id window lo ≤ id < hi."""
    return template.replace("{lo}", str(int(lo))).replace("{hi}", str(int(hi)))


def with_open_days(template: str) -> str:
    """The statement with the id window of all days not closed; an empty one when there are none."""
    days = AccountingDay.objects.exclude(state=DayState.CLOSED).aggregate(first=Min("day"), last=Max("day"))
    lo, hi = id_range(days["first"], days["last"]) if days["first"] else (0, 0)
    return template.replace("{open_lo}", str(lo)).replace("{open_hi}", str(hi))


def fetch(statement: str, parameters: list[Any] | dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Rows as dictionaries by column name."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


SIGNED: Final = "CASE WHEN e.side = s.normal_side THEN e.amount ELSE -e.amount END"
"""An entry's amount as it moves the balance, which stands on the subject's normal side."""

NOT_MEMO: Final = (
    "account_id <> ALL (ARRAY(SELECT a.id FROM accounts_account a JOIN accounts_subject s ON s.id = a.subject_id"
    " WHERE s.element = 'memo'))"
)
"""Entries inside the books: memorandum accounts are single-sided and stand outside every balance."""

# Opening = closing of the day before; accounts without balance and movement have no row.
DAY_BALANCES: Final = """
INSERT INTO accounts_daybalance (day, account_id, opening, debit, credit, closing)
SELECT %(day)s, a.id, coalesce(p.closing, 0), coalesce(t.debit, 0), coalesce(t.credit, 0),
    coalesce(p.closing, 0)
        + CASE s.normal_side WHEN 'D' THEN 1 ELSE -1 END * (coalesce(t.debit, 0) - coalesce(t.credit, 0))
FROM (
    SELECT account_id, coalesce(sum(amount) FILTER (WHERE side = 'D'), 0)::bigint AS debit,
        coalesce(sum(amount) FILTER (WHERE side = 'C'), 0)::bigint AS credit
    FROM accounts_entry WHERE id >= {lo} AND id < {hi} GROUP BY account_id
) t
FULL JOIN (SELECT account_id, closing FROM accounts_daybalance WHERE day = %(before)s AND closing <> 0) p
    ON p.account_id = t.account_id
JOIN accounts_account a ON a.id = coalesce(t.account_id, p.account_id)
JOIN accounts_subject s ON s.id = a.subject_id
ORDER BY a.id
"""

# What the stored balances do not hold yet, by account: queued movements, and entries of days not closed that are summed
# at day end. One statement, so that neither a drain nor a close under way is seen half.
UNAPPLIED: Final = f"""
SELECT u.account_id, sum(u.delta)::bigint AS delta FROM (
    SELECT account_id, delta FROM accounts_queuedmovement
    UNION ALL
    SELECT e.account_id, {SIGNED}
    FROM accounts_postingmoderule r
    JOIN accounts_accountingday d ON d.state <> 'closed' AND d.day >= r.effective_day
        AND (r.end_day IS NULL OR d.day < r.end_day)
    JOIN accounts_entry e ON e.account_id = r.account_id AND e.event = r.event AND e.balance_after IS NULL
        AND e.id >= {{open_lo}} AND e.id < {{open_hi}}
        AND e.id / 1000000000000 = to_char(d.day, 'YYMMDD')::bigint
    JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
    WHERE r.mode = 'summary'
) u GROUP BY u.account_id
"""

BALANCES_NOW: Final = f"""
SELECT a.id, a.account_no, s.code, s.normal_side, a.owner_kind, a.owner_no, a.currency, a.balance AS stored,
    a.frozen, (a.balance + coalesce(u.delta, 0))::bigint AS balance
FROM accounts_account a
JOIN accounts_subject s ON s.id = a.subject_id
LEFT JOIN ({UNAPPLIED}) u ON u.account_id = a.id
WHERE {{condition}}
"""

TOTALS_NOW: Final = f"""
SELECT s.code, s.normal_side, a.owner_kind, a.currency, sum(a.balance + coalesce(u.delta, 0))::bigint AS total
FROM accounts_account a
JOIN accounts_subject s ON s.id = a.subject_id
LEFT JOIN ({UNAPPLIED}) u ON u.account_id = a.id
WHERE starts_with(s.code, %(code)s)
GROUP BY s.code, s.normal_side, a.owner_kind, a.currency
"""

# The sums of one day that is being closed, by account in the order of locks.
SUMMARY_OF_DAY: Final = f"""
SELECT e.account_id, sum({SIGNED})::bigint AS delta
FROM accounts_postingmoderule r
JOIN accounts_entry e ON e.account_id = r.account_id AND e.event = r.event AND e.balance_after IS NULL
    AND e.id >= {{lo}} AND e.id < {{hi}}
JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
WHERE r.mode = 'summary' AND %(day)s >= r.effective_day AND (r.end_day IS NULL OR %(day)s < r.end_day)
GROUP BY e.account_id ORDER BY e.account_id
"""

# Oldest first. Deleting moves the balances (trigger queue_moves).
DRAIN_STEP: Final = """
DELETE FROM accounts_queuedmovement WHERE id = ANY (ARRAY(
    SELECT id FROM accounts_queuedmovement ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))
"""
TAKE_QUEUED: Final = """
DELETE FROM accounts_queuedmovement WHERE id = ANY (ARRAY(
    SELECT id FROM accounts_queuedmovement WHERE account_id = ANY (%s) FOR UPDATE SKIP LOCKED))
"""
QUEUE_STATES: Final = """
SELECT q.account_id, a.account_no, a.currency, count(*) AS depth, sum(q.delta)::bigint AS delta,
    clock_timestamp() - min(q.queued_at) AS lag
FROM accounts_queuedmovement q JOIN accounts_account a ON a.id = q.account_id
GROUP BY q.account_id, a.account_no, a.currency ORDER BY lag DESC
"""

# Stored balance and what it does not hold yet, against the closing of the day closed last plus everything since.
BALANCE_DIFFERENCES: Final = f"""
SELECT a.id, a.account_no, a.currency, a.balance AS stored,
    (coalesce(b.closing, 0) + coalesce(t.moved, 0) - coalesce(u.delta, 0))::bigint AS computed
FROM accounts_account a
LEFT JOIN accounts_daybalance b ON b.account_id = a.id AND b.day = %(day)s
LEFT JOIN ({UNAPPLIED}) u ON u.account_id = a.id
LEFT JOIN (
    SELECT e.account_id, sum({SIGNED}) AS moved
    FROM accounts_entry e JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
    WHERE e.id >= {{lo}} AND e.id < {{hi}} GROUP BY e.account_id
) t ON t.account_id = a.id
WHERE a.balance <> coalesce(b.closing, 0) + coalesce(t.moved, 0) - coalesce(u.delta, 0)
"""

# A digest of blocks of 10,000 voucher numbers each: a day's text would outgrow the one gigabyte a value may have.
VOUCHER_DIGEST: Final = """
SELECT coalesce(encode(sha256(string_agg(digest, ''::bytea ORDER BY block)), 'hex'), '') AS digest,
    coalesce(sum(rows), 0)::bigint AS rows FROM (
    SELECT id / 10000000 AS block, count(*) AS rows, sha256(convert_to(string_agg(concat_ws('|', id, event, source_kind,
        source_id, business_date - date '2000-01-01', line_count, rule_version, length(memo), memo,
        (extract(epoch FROM posted_at) * 1000000)::bigint, posted_by), E'\\n' ORDER BY id), 'UTF8')) AS digest
    FROM accounts_voucher WHERE id >= {lo} AND id < {hi} GROUP BY 1) b
"""
ENTRY_DIGEST: Final = """
SELECT coalesce(encode(sha256(string_agg(digest, ''::bytea ORDER BY block)), 'hex'), '') AS digest,
    coalesce(sum(rows), 0)::bigint AS rows FROM (
    SELECT id / 10000000 AS block, count(*) AS rows, sha256(convert_to(string_agg(concat_ws('|', id, account_id, side,
        amount, currency, event, coalesce(balance_after::text, '-')), E'\\n' ORDER BY id), 'UTF8')) AS digest
    FROM accounts_entry WHERE id >= {lo} AND id < {hi} GROUP BY 1) b
"""
BALANCE_DIGEST: Final = """
SELECT coalesce(encode(sha256(string_agg(digest, ''::bytea ORDER BY block)), 'hex'), '') AS digest,
    coalesce(sum(rows), 0)::bigint AS rows FROM (
    SELECT account_id / 10000 AS block, count(*) AS rows, sha256(convert_to(string_agg(concat_ws('|', account_id,
        opening, debit, credit, closing), E'\\n' ORDER BY account_id), 'UTF8')) AS digest
    FROM accounts_daybalance WHERE day = %(day)s GROUP BY 1) b
"""
FINDING_DIGEST: Final = """
SELECT coalesce(encode(sha256(convert_to(string_agg(concat_ws('|', check_name, level, message), E'\\n' ORDER BY id),
    'UTF8')), 'hex'), '') AS digest, count(*) AS rows FROM accounts_dayfinding WHERE day_id = %(day)s
"""

# Opening, turnover and closing per subject and currency, for a day closed or not. `base` is the last day closed before
# it; what was booked after `base` and before the day is part of the opening.
TRIAL_BALANCE: Final = """
SELECT s.code, s.name, s.name_zh, s.element, s.normal_side, a.currency,
    coalesce(sum(b.closing), 0)::bigint AS base, coalesce(sum(t.debit_before), 0)::bigint AS debit_before,
    coalesce(sum(t.credit_before), 0)::bigint AS credit_before,
    coalesce(sum(t.debit), 0)::bigint AS debit, coalesce(sum(t.credit), 0)::bigint AS credit
FROM accounts_account a
JOIN accounts_subject s ON s.id = a.subject_id
LEFT JOIN accounts_daybalance b ON b.account_id = a.id AND b.day = %(base)s
LEFT JOIN (
    SELECT account_id,
        sum(amount) FILTER (WHERE side = 'D' AND id < %(floor)s) AS debit_before,
        sum(amount) FILTER (WHERE side = 'C' AND id < %(floor)s) AS credit_before,
        sum(amount) FILTER (WHERE side = 'D' AND id >= %(floor)s) AS debit,
        sum(amount) FILTER (WHERE side = 'C' AND id >= %(floor)s) AS credit
    FROM accounts_entry WHERE id >= {lo} AND id < {hi} GROUP BY account_id
) t ON t.account_id = a.id
WHERE b.account_id IS NOT NULL OR t.account_id IS NOT NULL
GROUP BY s.code, s.name, s.name_zh, s.element, s.normal_side, a.currency
ORDER BY s.code, a.currency
"""
TRIAL_BALANCE_CLOSED: Final = """
SELECT s.code, s.name, s.name_zh, s.element, s.normal_side, a.currency,
    sum(b.opening)::bigint AS base, 0::bigint AS debit_before, 0::bigint AS credit_before,
    sum(b.debit)::bigint AS debit, sum(b.credit)::bigint AS credit
FROM accounts_daybalance b
JOIN accounts_account a ON a.id = b.account_id
JOIN accounts_subject s ON s.id = a.subject_id
WHERE b.day = %(day)s
GROUP BY s.code, s.name, s.name_zh, s.element, s.normal_side, a.currency
ORDER BY s.code, a.currency
"""

ACCOUNT_LEDGER: Final = """
SELECT e.id, e.id - e.id %% 1000 AS voucher_id, e.side, e.amount, e.event, e.balance_after, v.source_kind, v.source_id,
    v.business_date, v.memo, v.posted_at
FROM accounts_entry e
JOIN (SELECT * FROM accounts_voucher WHERE id >= {lo} AND id < {hi}) v ON v.id = e.id - e.id %% 1000
WHERE e.account_id = %(account)s AND e.id >= {lo} AND e.id < {hi}
ORDER BY e.id
"""

# The id range of the newest vouchers of a day: what follows reads entries by it.
NEWEST_VOUCHERS: Final = """
SELECT count(*) AS vouchers, min(id) AS lo, max(id) AS hi, min(posted_at) AS oldest FROM (
    SELECT id, posted_at FROM accounts_voucher WHERE id >= {lo} AND id < {hi} ORDER BY id DESC LIMIT %(sample)s
) newest WHERE posted_at >= %(since)s
"""
BUSIEST: Final = """
SELECT e.account_id, a.account_no, e.event, count(*) AS entries
FROM (SELECT id FROM accounts_voucher WHERE id >= {lo} AND id < {hi} AND posted_at >= %(since)s) v
JOIN accounts_entry e ON e.id - e.id %% 1000 = v.id AND e.id >= {lo} AND e.id < {hi}
JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
WHERE NOT (left(s.code, 4) = ANY (%(merchants)s) AND (e.side <> s.normal_side) = (e.amount > 0))
    AND e.event <> ALL (%(documents)s)
    AND NOT EXISTS (SELECT FROM accounts_postingmoderule r WHERE r.account_id = e.account_id AND r.event = e.event
        AND (r.end_day IS NULL OR r.end_day > %(day)s))
GROUP BY e.account_id, a.account_no, e.event HAVING count(*) >= %(at_least)s
ORDER BY entries DESC, a.account_no, e.event LIMIT 50
"""

# Numbers that nobody took in between follow each other, and then their ends are enough.
VOUCHER_NUMBERS: Final = """
SELECT min(n), max(n), CASE WHEN max(n) - min(n) + 1 <> count(*) THEN array_agg(n ORDER BY n) END
FROM (SELECT nextval('accounts_voucher_n') AS n FROM generate_series(1, %s)) AS numbers
"""

# Parameters: smallint, bigint, bigint arrays. In source order, so that two batches meet the same keys alike.
_NEW_KEYS: Final = "unnest(%s::smallint[], %s::bigint[], %s::bigint[]) AS n(event, source_id, voucher_id)"
TAKE_KEYS: Final = f"""
INSERT INTO accounts_postingkey (event, source_id, voucher_id)
SELECT event, source_id, voucher_id FROM {_NEW_KEYS} ORDER BY event, source_id, voucher_id
ON CONFLICT DO NOTHING
"""
KEYS_TAKEN: Final = f"""
SELECT voucher_id FROM {_NEW_KEYS} JOIN accounts_postingkey k USING (event, source_id, voucher_id)
"""

ACCOUNT_MOVED: Final = f"""
SELECT coalesce(sum({SIGNED}), 0)::bigint AS moved FROM accounts_entry e, accounts_subject s
WHERE e.account_id = %(account)s AND s.id = %(subject)s AND e.id >= {{lo}} AND e.id < {{hi}}
"""
BALANCES_BY_SUBJECT: Final = f"""
SELECT s.code, a.owner_kind, a.currency, sum(coalesce(b.closing, 0) + coalesce(t.moved, 0))::bigint AS total
FROM accounts_account a JOIN accounts_subject s ON s.id = a.subject_id
LEFT JOIN accounts_daybalance b ON b.account_id = a.id AND b.day = %(base)s
LEFT JOIN (
    SELECT e.account_id, sum({SIGNED}) AS moved
    FROM accounts_entry e JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
    WHERE e.id >= {{lo}} AND e.id < {{hi}} GROUP BY e.account_id
) t ON t.account_id = a.id
GROUP BY s.code, a.owner_kind, a.currency
"""

# --- the day-end checks ---

HEADERS_WITHOUT_ENTRIES: Final = """
SELECT v.id FROM accounts_voucher v WHERE v.id >= {lo} AND v.id < {hi}
    AND NOT EXISTS (SELECT FROM accounts_entry e WHERE e.id = v.id + 1 AND e.id >= {lo} AND e.id < {hi})
ORDER BY 1 LIMIT 20
"""
DEBIT_LESS_CREDIT: Final = f"""
SELECT currency, sum(CASE side WHEN 'D' THEN amount ELSE -amount END)::bigint AS difference
FROM accounts_entry WHERE id >= {{lo}} AND id < {{hi}} AND {NOT_MEMO} GROUP BY currency ORDER BY currency
"""
SUBJECT_DIFFERENCES: Final = """
SELECT coalesce(x.code, y.code) AS code
FROM (
    SELECT s.code, sum(e.amount) FILTER (WHERE e.side = 'D') AS d, sum(e.amount) FILTER (WHERE e.side = 'C') AS c
    FROM accounts_entry e JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
    WHERE e.id >= {lo} AND e.id < {hi} GROUP BY s.code
) x
FULL JOIN (
    SELECT s.code, sum(b.debit) AS d, sum(b.credit) AS c
    FROM accounts_daybalance b
    JOIN accounts_account a ON a.id = b.account_id JOIN accounts_subject s ON s.id = a.subject_id
    WHERE b.day = %(day)s GROUP BY s.code
) y ON x.code = y.code
WHERE coalesce(x.d, 0) <> coalesce(y.d, 0) OR coalesce(x.c, 0) <> coalesce(y.c, 0)
ORDER BY 1
"""

# --- verifying ---

BROKEN_VOUCHER: Final = f"""
SELECT coalesce(v.id, g.voucher) AS voucher, coalesce(g.lines, 0) AS lines, coalesce(v.line_count, 0) AS line_count,
    coalesce(g.difference, 0) AS difference
FROM (SELECT id, line_count FROM accounts_voucher WHERE id >= {{lo}} AND id < {{hi}}) v
FULL JOIN (
    SELECT voucher, sum(lines) AS lines, max(abs(difference)) AS difference
    FROM (
        SELECT e.id - e.id %% 1000 AS voucher, count(*) AS lines,
            sum(CASE e.side WHEN 'D' THEN e.amount ELSE -e.amount END) FILTER (WHERE {NOT_MEMO}) AS difference
        FROM accounts_entry e WHERE e.id >= {{lo}} AND e.id < {{hi}} GROUP BY 1, e.currency
    ) c GROUP BY voucher
) g ON g.voucher = v.id
WHERE g.lines IS DISTINCT FROM v.line_count OR g.difference <> 0
ORDER BY 1 LIMIT 1
"""
BROKEN_DAY_BALANCE: Final = """
SELECT a.account_no
FROM (
    SELECT account_id, sum(amount) FILTER (WHERE side = 'D') AS debit, sum(amount) FILTER (WHERE side = 'C') AS credit
    FROM accounts_entry WHERE id >= {lo} AND id < {hi} GROUP BY account_id
) t
FULL JOIN (SELECT * FROM accounts_daybalance WHERE day = %(day)s) b ON b.account_id = t.account_id
FULL JOIN (SELECT account_id, closing FROM accounts_daybalance WHERE day = %(before)s AND closing <> 0) p
    ON p.account_id = coalesce(b.account_id, t.account_id)
JOIN accounts_account a ON a.id = coalesce(t.account_id, b.account_id, p.account_id)
JOIN accounts_subject s ON s.id = a.subject_id
WHERE coalesce(b.opening, 0) <> coalesce(p.closing, 0)
    OR coalesce(b.debit, 0) <> coalesce(t.debit, 0) OR coalesce(b.credit, 0) <> coalesce(t.credit, 0)
    OR coalesce(b.closing, 0) <> coalesce(b.opening, 0)
        + CASE s.normal_side WHEN 'D' THEN 1 ELSE -1 END * (coalesce(b.debit, 0) - coalesce(b.credit, 0))
ORDER BY a.id LIMIT 1
"""
