"""Set-based statements of a run: one hash join that returns only what is not matched (DESIGN 4, DOMAIN 7.2).

Matched rows are never touched: they leave the join as one count and one sum, in the same pass that returns every other
pair by its two ids. Uniqueness of (key, kind) on both sides is proved, not assumed: were a key there twice, the join
would return more pairs than rows, and the counts would not agree.
"""

from dataclasses import dataclass

# A reversal in the bill is the channel's word for a void of ours.
LINE_KIND = "CASE l.kind WHEN 4 THEN 3 ELSE l.kind END"
SIGN = "CASE {kind} WHEN 2 THEN -1 WHEN 3 THEN -1 ELSE 1 END"

# What the comparison asks of a row (`counted`, `silent`, `discount`) is worked out where the row is read, once, and
# not again for every sum behind the join. A row that counts is told by its amount: NULL never equals a line's.
OWN_SET = """
    SELECT id, match_key, kind, merchant_id, currency, expected_cost,
           CASE WHEN effective_at IS NOT NULL THEN amount END AS counted,
           effective_at IS NULL AND status IN ('failed', 'closed') AND kind <> 2 AS silent
      FROM orders_transaction
     WHERE id >= %(own_lo)s AND id < %(own_hi)s
       AND contract_id = %(contract)s AND own_date = %(day)s AND origin <> 'supplement' {skip_own}
"""
OWN_FAR = """
    UNION ALL
    SELECT t.id, t.match_key, t.kind, t.merchant_id, t.currency, t.expected_cost,
           CASE WHEN t.effective_at IS NOT NULL THEN t.amount END,
           t.effective_at IS NULL AND t.status IN ('failed', 'closed') AND t.kind <> 2
      FROM orders_transaction t
     WHERE t.id = ANY(%(own_far)s) AND t.own_date = %(day)s AND t.origin <> 'supplement' {skip_far}
"""

# Discount is what a line lacks up to its gross amount, once what it puts on channel pending clearing is taken off:
# S + K where the cost is netted, S where it is billed.
LINE_SET = """
    SELECT id, match_key, {kind} AS kind, amount, fee, currency,
           CASE WHEN l.kind IN (2, 3, 4) THEN -1 ELSE 1 END * amount - settled_amount
               - CASE WHEN %(netted)s THEN fee ELSE 0 END AS discount
      FROM channels_billline l
     WHERE id >= %(line_lo)s AND id < %(line_hi)s {skip_line}
"""

MATCHED = """
    (o.counted = l.amount AND o.currency = l.currency AND (
        NOT %(check_fee)s
        OR abs(l.fee - o.expected_cost) <= %(tolerance)s
        OR (l.discount <> 0
            AND abs(l.fee::numeric * l.amount - o.expected_cost::numeric * (l.amount - {sign} * l.discount))
                <= (%(tolerance)s + 1) * l.amount)
    )) IS TRUE"""

# One statement, so that totals and pairs are of one moment, and one row: a join with one row of sums is spread over
# processes, while grouping it would sort or ship every pair. What matched is not said but follows: everything less what
# differs, so the costly comparison is made once a pair. Payments are what is left of the sums without refunds and
# voids. Discounts by merchant are added up afterwards, from the list of them.
COMPARE = """
SELECT own.*, sums.*, (
    SELECT array_agg(ARRAY[merchant_id, discount]) FROM (
        SELECT sums.discounts[n][1] AS merchant_id, sum(sums.discounts[n][2])::bigint AS discount
          FROM generate_subscripts(sums.discounts, 1) AS n GROUP BY 1) AS by_merchant)
       AS merchant_discounts
  FROM ({counts}) AS own, (
    SELECT count(*) AS pairs,
           count(*) FILTER (WHERE silent AND line_id IS NULL) AS silent_rows,
           max(own_kind) AS own_kind_max, max(line_kind) AS line_kind_max,
           {sums},
           array_agg(ARRAY[own_id, line_id, {sign_own} * COALESCE(counted, 0)])
               FILTER (WHERE NOT matched AND NOT (line_id IS NULL AND silent)) AS differing,
           array_agg(ARRAY[merchant_id, discount]) FILTER (WHERE discount <> 0 AND matched) AS discounts
      FROM (
        SELECT o.id AS own_id, o.kind AS own_kind, o.counted, o.silent, o.merchant_id,
               l.id AS line_id, l.kind AS line_kind, l.amount, l.fee, l.discount, {matched} AS matched
          FROM ({own}) AS o FULL JOIN ({line}) AS l ON o.match_key = l.match_key AND o.kind = l.kind
      ) AS paired
  ) AS sums
"""
COUNT_OWN = "SELECT count(*) AS own_there FROM ({own}) AS o"

# One bucket's share of both sides is known to nobody but to whoever counts it. The mark is of which rows stood in it
# and how they stood: everything a comparison reads of a row of ours that may still change is in it.
MARK = """bit_xor(hashint8extended(
    id, expected_cost * 4 + CASE WHEN counted IS NOT NULL THEN 2 WHEN silent THEN 1 ELSE 0 END))"""
COUNT_BUCKET = """
    SELECT own_side.*, (SELECT count(*) FROM ({line}) AS l) AS lines_there
      FROM (SELECT count(*) AS own_there, {mark} AS own_mark, max(id) AS own_last FROM ({own}) AS o) AS own_side"""

# The hash of the key is PostgreSQL's own, the same on both sides, and needs no index; its sign bit is cut off.
BUCKET = "(hashtextextended({key}, 0) & 9223372036854775807) %% %(buckets)s"
MARKS = """
SELECT {bucket} AS bucket, count(*), {mark}
  FROM ({own}) AS o GROUP BY 1
"""

TAKEN_BACK = (2, 3)
"""Refunds and voids are summed beside everything; kinds beyond them, where there are any, by `BY_KIND`."""
SUMS = """
    {own} AS own_count{name}, COALESCE(sum(counted){of_own}, 0)::bigint AS own_amount{name},
    {line} AS line_count{name}, COALESCE(sum(amount){of_line}, 0)::bigint AS line_amount{name},
    COALESCE(sum(discount){of_line}, 0)::bigint AS discount{name},
    COALESCE(sum(fee){of_line}, 0)::bigint AS fee{name}"""

BY_KIND = """
SELECT 'own', kind::bigint, count(*), COALESCE(sum(counted), 0)::bigint, 0::bigint, 0::bigint
  FROM ({own}) AS o GROUP BY kind
UNION ALL
SELECT 'line', kind, count(*), COALESCE(sum(amount), 0)::bigint, COALESCE(sum(discount), 0)::bigint,
       COALESCE(sum(fee), 0)::bigint
  FROM ({line}) AS l GROUP BY kind
"""

REPEATED = """
SELECT match_key, kind, array_agg(id ORDER BY id)
  FROM ({rows}) AS r
 GROUP BY match_key, kind HAVING count(*) > 1
"""


@dataclass(frozen=True, slots=True)
class Sides:
    """Which rows of a day are compared: all but those spoken for, or the share of one bucket of them.

    Parameters own_lo, own_hi, contract, day, own_far, skip_own, line_lo, line_hi, skip_line, netted; of a bucket
    also buckets and bucket.
    """

    skip_own: bool
    own_far: bool
    skip_line: bool
    bucket: bool = False

    def own(self) -> str:
        """The statement of the own set."""
        near = OWN_SET.format(skip_own=self._only("skip_own", self.skip_own))
        if not self.own_far:
            return near
        return near + OWN_FAR.format(skip_far=self._only("skip_own", self.skip_own, "t."))

    def line(self) -> str:
        """The statement of the channel set."""
        return LINE_SET.format(kind=LINE_KIND, skip_line=self._only("skip_line", self.skip_line))

    def compare(self) -> str:
        """The one pass over both sides; see COMPARE for what comes back."""
        own, line = self.own(), self.line()
        return COMPARE.format(
            counts=(COUNT_BUCKET if self.bucket else COUNT_OWN).format(own=own, line=line, mark=MARK),
            own=own,
            line=line,
            sign_own=SIGN.format(kind="own_kind"),
            sums=",".join([_sums(), *(_sums(kind) for kind in TAKEN_BACK)]),
            matched=MATCHED.format(sign=SIGN.format(kind="l.kind")),
        )

    def by_kind(self) -> str:
        """Counts and unsigned sums of both sides by kind."""
        return BY_KIND.format(own=self.own(), line=self.line())

    def marks(self) -> str:
        """Count and mark of the own rows of every bucket."""
        return MARKS.format(own=self.own(), mark=MARK, bucket=BUCKET.format(key="match_key"))

    def _only(self, skip: str, skipped: bool, table: str = "") -> str:
        conditions = [f"AND {table}id <> ALL(%({skip})s)"] if skipped else []
        if self.bucket:
            conditions.append(f"AND {BUCKET.format(key=f'{table}match_key')} = %(bucket)s")
        return " ".join(conditions)


def _sums(kind: int | None = None) -> str:
    """Counts and sums of both sides: all that came out of the join, or of one kind."""
    if kind is None:
        return SUMS.format(name="", own="count(own_id)", line="count(line_id)", of_own="", of_line="")
    of_own, of_line = (f" FILTER (WHERE {side}_kind = {kind})" for side in ("own", "line"))
    own, line = f"count(*){of_own}", f"count(*){of_line}"
    return SUMS.format(name=f"_{kind}", own=own, line=line, of_own=of_own, of_line=of_line)
