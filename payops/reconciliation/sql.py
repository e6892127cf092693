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

# One statement, so that totals and pairs are of one moment, and one row: a join with one row of sums is spread over
# processes, while grouping it would sort or ship every pair. What matched is not said but follows: everything less what
# differs, so the costly comparison is made once a pair. Discounts by merchant are added up afterwards, from two lists.
COMPARE = """
SELECT own.own_count, sums.*, (
    SELECT array_agg(ARRAY[merchant_id, discount]) FROM (
        SELECT merchant_id, sum(discount)::bigint AS discount
          FROM unnest(sums.merchants, sums.discounts) AS d (merchant_id, discount) GROUP BY merchant_id) AS by_merchant)
       AS merchant_discounts
  FROM (SELECT count(*) AS own_count FROM ({own}) AS o) AS own, (
    SELECT count(*) AS pairs, count(own_id) AS own_rows, count(line_id) AS line_rows,
           count(*) FILTER (WHERE silent AND line_id IS NULL) AS silent_rows,
           {own_sums}, count(*) FILTER (WHERE own_kind > 3) AS own_others,
           {line_sums}, count(*) FILTER (WHERE line_kind > 3) AS line_others,
           array_agg(ARRAY[own_id, line_id, CASE WHEN counts THEN {sign_own} * own_amount ELSE 0 END])
               FILTER (WHERE NOT matched AND NOT (line_id IS NULL AND silent)) AS differing,
           array_agg(merchant_id) FILTER (WHERE discount <> 0 AND matched) AS merchants,
           array_agg(discount) FILTER (WHERE discount <> 0 AND matched) AS discounts
      FROM (
        SELECT o.id AS own_id, o.kind AS own_kind, o.amount AS own_amount, o.counts, o.silent, o.merchant_id,
               l.id AS line_id, l.kind AS line_kind, l.amount AS line_amount, l.settled_amount, l.fee,
               {discount} AS discount, {matched} AS matched
          FROM ({own}) AS o FULL JOIN ({line}) AS l ON o.match_key = l.match_key AND o.kind = l.kind
      ) AS paired
  ) AS sums
"""
SUMMED_KINDS = (1, 2, 3)
"""Payments, refunds and voids are summed beside the join; other kinds, where there are any, by `BY_KIND`."""
OWN_SUMS = """
    count(*) FILTER (WHERE own_kind = {kind}) AS own_count_{kind},
    COALESCE(sum(own_amount) FILTER (WHERE own_kind = {kind} AND counts), 0)::bigint AS own_amount_{kind}"""
LINE_SUMS = """
    count(*) FILTER (WHERE line_kind = {kind}) AS line_count_{kind},
    COALESCE(sum(line_amount) FILTER (WHERE line_kind = {kind}), 0)::bigint AS line_amount_{kind},
    COALESCE(sum(settled_amount) FILTER (WHERE line_kind = {kind}), 0)::bigint AS settled_{kind},
    COALESCE(sum(fee) FILTER (WHERE line_kind = {kind}), 0)::bigint AS fee_{kind}"""

BY_KIND = """
SELECT 'own', kind::bigint, count(*), COALESCE(sum(amount) FILTER (WHERE counts), 0)::bigint, 0::bigint, 0::bigint
  FROM ({own}) AS o GROUP BY kind
UNION ALL
SELECT 'line', kind, count(*), COALESCE(sum(amount), 0)::bigint, COALESCE(sum(settled_amount), 0)::bigint,
       COALESCE(sum(fee), 0)::bigint
  FROM ({line}) AS l GROUP BY kind
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
    discount = DISCOUNT.format(sign=SIGN.format(kind="l.kind"))
    return COMPARE.format(
        own=own_set(skip_own, own_far),
        line=line_set(skip_line),
        sign_own=SIGN.format(kind="own_kind"),
        own_sums=",".join(OWN_SUMS.format(kind=kind) for kind in SUMMED_KINDS),
        line_sums=",".join(LINE_SUMS.format(kind=kind) for kind in SUMMED_KINDS),
        discount=discount,
        matched=MATCHED.format(discount=discount, sign=SIGN.format(kind="l.kind")),
    )


def by_kind(skip_own: list[int], own_far: list[int], skip_line: list[int]) -> str:
    """Counts and unsigned sums of both sides by kind."""
    return BY_KIND.format(own=own_set(skip_own, own_far), line=line_set(skip_line))
