"""Set-based statements of a run: one hash join that returns only what is not matched (DESIGN 4, DOMAIN 7.2).

Matched rows are never touched: they leave the join as one count and one sum, in the same pass that returns every other
pair by its two ids. Uniqueness of (key, kind) on both sides is proved, not assumed: were a key there twice, the join
would return more pairs than rows, and the counts would not agree.
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
"""
OWN_FAR = """
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
DISCOUNT = "{sign} * l.amount - l.settled_amount - CASE WHEN %(netted)s THEN l.fee ELSE 0 END"
MATCHED = """
    COALESCE(
        o.amount = l.amount AND o.currency = l.currency AND o.counts AND (
            NOT %(check_fee)s
            OR abs(l.fee - o.expected_cost) <= %(tolerance)s
            OR ({discount} <> 0
                AND abs(l.fee::numeric * l.amount - o.expected_cost::numeric * (l.amount - {sign} * ({discount})))
                    <= (%(tolerance)s + 1) * l.amount)
        ), FALSE)
"""

# One statement, so that totals and pairs are of one moment; each part alone is what can be spread over processes:
# a scan summed by a plain column, a join with one row of sums. Grouping the join itself would sort or ship every pair.
COMPARE = """
SELECT 'own', kind::bigint, count(*), COALESCE(sum({sign_o} * amount) FILTER (WHERE counts), 0)::bigint,
       0::bigint, 0::bigint, NULL::bigint[]
  FROM ({own}) AS o GROUP BY kind
UNION ALL
SELECT 'line', kind, count(*), COALESCE(sum({sign_l} * amount), 0)::bigint, COALESCE(sum(settled_amount), 0)::bigint,
       COALESCE(sum(fee), 0)::bigint, NULL
  FROM ({line}) AS l GROUP BY kind
UNION ALL
SELECT 'pairs', count(own_id), count(line_id), count(*) FILTER (WHERE matched),
       COALESCE(sum(own_value) FILTER (WHERE matched), 0)::bigint, 0,
       array_agg(ARRAY[own_id, line_id]) FILTER (WHERE NOT matched AND NOT (line_id IS NULL AND silent))
  FROM (
    SELECT o.id AS own_id, l.id AS line_id, o.silent, {sign_o} * o.amount AS own_value, {matched} AS matched
      FROM ({own}) AS o FULL JOIN ({line}) AS l ON o.match_key = l.match_key AND o.kind = l.kind
  ) AS paired
UNION ALL
SELECT 'discount', o.merchant_id, 0, sum({discount})::bigint, 0, 0, NULL
  FROM ({own}) AS o JOIN ({line}) AS l ON o.match_key = l.match_key AND o.kind = l.kind
 WHERE {discount} <> 0 AND {matched}
 GROUP BY o.merchant_id
"""

REPEATED = """
SELECT match_key, kind, array_agg(id ORDER BY id)
  FROM ({rows}) AS r
 GROUP BY match_key, kind HAVING count(*) > 1
"""


def _skip(name: str, ids: list[int], column: str = "id") -> str:
    return f"AND {column} <> ALL(%({name})s)" if ids else ""


def own_set(skip: list[int], far: list[int]) -> str:
    """The statement of the own set; parameters own_lo, own_hi, contract, day, own_far, skip_own."""
    near = OWN_SET.format(skip_own=_skip("skip_own", skip))
    return near + OWN_FAR.format(skip_far=_skip("skip_own", skip, "t.id")) if far else near


def line_set(skip: list[int]) -> str:
    """The statement of the channel set; parameters line_lo, line_hi, skip_line."""
    return LINE_SET.format(kind=LINE_KIND, skip_line=_skip("skip_line", skip))


def compare(skip_own: list[int], own_far: list[int], skip_line: list[int]) -> str:
    """The one pass over both sides; see COMPARE for what comes back."""
    sign_o, sign_l = SIGN.format(kind="o.kind"), SIGN.format(kind="l.kind")
    discount = DISCOUNT.format(sign=sign_l)
    return COMPARE.format(
        own=own_set(skip_own, own_far),
        line=line_set(skip_line),
        sign_o=sign_o,
        sign_l=sign_l,
        discount=discount,
        matched=MATCHED.format(discount=discount, sign=sign_l),
    )
