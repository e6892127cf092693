"""Set-based statements of a run: one hash join that returns only what is not matched (DESIGN 4, DOMAIN 7.2).

Matched rows are never touched: they leave the join as one summed row per kind (and per merchant with a discount), in
the same pass that returns every other pair by its two ids. Uniqueness of (key, kind) on both sides is proved, not
assumed: were a key there twice, the join would return more pairs than rows, and the counts would not agree.
"""

# A reversal in the bill is the channel's word for a void of ours.
LINE_KIND = "CASE l.kind WHEN 4 THEN 3 ELSE l.kind END"
SIGN = "CASE WHEN {kind} IN (2, 3) THEN -1 ELSE 1 END"

OWN_SET = """
    SELECT id, match_key, kind, merchant_id, amount, currency, expected_cost,
           effective_at IS NOT NULL AS counts,
           effective_at IS NULL AND status IN ('failed', 'closed') AND kind <> 2 AS silent
      FROM orders_transaction
     WHERE id >= %(own_lo)s AND id < %(own_hi)s
       AND contract_id = %(contract)s AND own_date = %(day)s AND origin <> 'supplement' {skip_own}
    UNION ALL
    SELECT t.id, t.match_key, t.kind, t.merchant_id, t.amount, t.currency, t.expected_cost,
           t.effective_at IS NOT NULL,
           t.effective_at IS NULL AND t.status IN ('failed', 'closed') AND t.kind <> 2
      FROM orders_transaction t
     WHERE t.id = ANY(%(own_far)s) AND t.own_date = %(day)s AND t.origin <> 'supplement' {skip_far}
"""

LINE_SET = """
    SELECT id, match_key, {kind} AS kind, amount, settled_amount, fee, currency
      FROM channels_billline l
     WHERE id >= %(line_lo)s AND id < %(line_hi)s {skip_line}
"""

# The value a line puts on channel pending clearing: S + K where the cost is netted, S where it is billed.
COMPARE = """
WITH own AS ({own}), line AS ({line}),
paired AS (
    SELECT o.id AS own_id, l.id AS line_id, COALESCE(o.kind, l.kind) AS kind, o.merchant_id, o.counts, o.silent,
           o.amount AS own_amount, {sign} AS sign, l.amount AS gross, l.settled_amount AS settled, l.fee,
           o.expected_cost,
           {sign} * l.amount - l.settled_amount - CASE WHEN %(netted)s THEN l.fee ELSE 0 END AS discount,
           o.amount = l.amount AND o.currency = l.currency AND o.counts AS same
      FROM own o FULL JOIN line l ON o.match_key = l.match_key AND o.kind = l.kind
), judged AS (
    SELECT *,
           COALESCE(
               same AND (
                   NOT %(check_fee)s
                   OR abs(fee - expected_cost) <= %(tolerance)s
                   OR (discount <> 0
                       AND abs(fee::numeric * gross - expected_cost::numeric * (gross - sign * discount))
                           <= (%(tolerance)s + 1) * gross)
               ), FALSE) AS matched,
           line_id IS NULL AND silent AS absent_on_both
      FROM paired
)
SELECT CASE WHEN matched OR absent_on_both THEN NULL ELSE own_id END,
       CASE WHEN matched THEN NULL ELSE line_id END,
       matched, kind,
       CASE WHEN matched AND discount <> 0 THEN merchant_id END,
       count(own_id), count(line_id),
       COALESCE(sum(CASE WHEN counts THEN sign * own_amount ELSE 0 END), 0)::bigint,
       COALESCE(sum(sign * gross), 0)::bigint, COALESCE(sum(settled), 0)::bigint, COALESCE(sum(fee), 0)::bigint,
       COALESCE(sum(CASE WHEN matched THEN discount ELSE 0 END), 0)::bigint
  FROM judged
 GROUP BY 1, 2, 3, 4, 5
"""

REPEATED = """
SELECT match_key, kind, array_agg(id ORDER BY id)
  FROM ({rows}) AS r
 GROUP BY match_key, kind HAVING count(*) > 1
"""


def _skip(name: str, ids: list[int], column: str = "id") -> str:
    return f"AND {column} <> ALL(%({name})s)" if ids else ""


def own_set(skip: list[int]) -> str:
    """The statement of the own set; parameters own_lo, own_hi, contract, day, own_far, skip_own."""
    return OWN_SET.format(skip_own=_skip("skip_own", skip), skip_far=_skip("skip_own", skip, "t.id"))


def line_set(skip: list[int]) -> str:
    """The statement of the channel set; parameters line_lo, line_hi, skip_line."""
    return LINE_SET.format(kind=LINE_KIND, skip_line=_skip("skip_line", skip))


def compare(skip_own: list[int], skip_line: list[int]) -> str:
    """The one pass over both sides; see COMPARE for what comes back."""
    sign = SIGN.format(kind="COALESCE(o.kind, l.kind)")
    return COMPARE.format(own=own_set(skip_own), line=line_set(skip_line), sign=sign)
