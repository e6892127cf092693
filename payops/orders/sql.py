"""The set-based statements of orders. Each opens with the idea of its plan.

Names in capitals are filled by `format` with numbers and table names made here, never with input.
"""

from __future__ import annotations

from typing import Final

from payops.accounts.choices import Event
from payops.orders.choices import Kind, Origin, RefundSource, Status

# --- intake: the streamed rows and what is known of them ---

INTAKE_ROW: Final = """
CREATE TEMPORARY TABLE intake_row (
    n bigint NOT NULL DEFAULT nextval('orders_transaction_n'),
    line bigint, transaction_no varchar, kind smallint, status varchar, rank smallint, contract_id bigint,
    merchant_id bigint, own_date date, business_date date, match_key varchar, channel_trade_no varchar,
    merchant_order_no varchar, product varchar, card_type varchar, amount bigint, currency varchar, fee bigint,
    fee_rule_id integer, collection varchar, expected_cost bigint, cost_rule_id integer, original_no varchar,
    payer varchar, created_at timestamptz, succeeded_at timestamptz, effective_at timestamptz, extra jsonb
) ON COMMIT DROP
"""

STORED_COLUMNS: Final = (
    "id, transaction_no, kind, status, contract_id, merchant_id, own_date, match_key, channel_trade_no,"
    " merchant_order_no, product, card_type, amount, currency, fee, fee_rule_id, collection, expected_cost,"
    " cost_rule_id, original_id, refund_source, created_at, succeeded_at, effective_at, extra"
)

# Which numbers of the file, its own and its originals', are stored already: one pass over the key index.
INTAKE_KNOWN: Final = """
CREATE TEMPORARY TABLE intake_known ON COMMIT DROP AS
SELECT k.transaction_no, k.transaction_id AS id
FROM orders_transactionkey k
JOIN (SELECT transaction_no FROM intake_row
      UNION SELECT original_no FROM intake_row WHERE original_no IS NOT NULL) w USING (transaction_no)
"""

INTAKE_KNOWN_DAYS: Final = "SELECT DISTINCT id / 1000000000000 FROM intake_known ORDER BY 1"

INTAKE_STORED: Final = f"""
CREATE TEMPORARY TABLE intake_stored ON COMMIT DROP AS
SELECT {STORED_COLUMNS} FROM orders_transaction WHERE id >= 0 AND id < 0 WITH NO DATA
"""  # noqa: S608

# One statement per id day: the bound prunes every other partition when the query is planned.
INTAKE_STORED_DAY: Final = f"""
INSERT INTO intake_stored
SELECT {", ".join("t." + name.strip() for name in STORED_COLUMNS.split(","))}
FROM orders_transaction t JOIN intake_known k ON k.id = t.id
WHERE t.id >= {{LO}} AND t.id < {{HI}}
"""  # noqa: S608

# Numbers without their row are of a day that is in the archive; the register is not asked, for a day may go meanwhile.
INTAKE_AWAY: Final = """
CREATE TEMPORARY TABLE intake_away ON COMMIT DROP AS
SELECT k.transaction_no, to_date((k.id / 1000000000000)::text, 'YYMMDD') AS day
FROM intake_known k WHERE NOT EXISTS (SELECT FROM intake_stored s WHERE s.id = k.id)
"""

AWAY_ROWS: Final = """
SELECT r.line, r.transaction_no, a.day FROM intake_row r JOIN intake_away a USING (transaction_no)
ORDER BY r.line LIMIT %s
"""

AWAY_OUT: Final = "DELETE FROM intake_row r USING intake_away a WHERE a.transaction_no = r.transaction_no"

# A number may come several times in one file. Rows that agree collapse to the one that got furthest.
INTAKE_REPEATS: Final = """
CREATE TEMPORARY TABLE intake_repeat ON COMMIT DROP AS
SELECT r.*, row_number() OVER (PARTITION BY r.transaction_no ORDER BY r.rank DESC, r.line) AS place,
    first_value(r.line) OVER (PARTITION BY r.transaction_no ORDER BY r.rank DESC, r.line) AS kept_line
FROM intake_row r
WHERE r.transaction_no IN (SELECT transaction_no FROM intake_row GROUP BY transaction_no HAVING count(*) > 1)
"""

CLASH: Final = """
CASE
    WHEN {R}.kind <> {S}.kind THEN 'kind'
    WHEN {R}.amount <> {S}.amount THEN 'amount'
    WHEN {R}.currency <> {S}.currency THEN 'currency'
    WHEN {R}.merchant_id <> {S}.merchant_id THEN 'merchant_no'
    WHEN {R}.contract_id <> {S}.contract_id THEN 'channel_account'
    WHEN {R}.match_key <> {S}.match_key THEN 'channel_request_no'
    WHEN {R}.created_at <> {S}.created_at THEN 'created_at'
    WHEN {R}.merchant_order_no <> {S}.merchant_order_no THEN 'merchant_order_no'
    WHEN {R}.product <> {S}.product THEN 'product'
    WHEN {R}.card_type <> {S}.card_type THEN 'card_type'
    WHEN {R}.channel_trade_no <> {S}.channel_trade_no AND {R}.channel_trade_no <> '' AND {S}.channel_trade_no <> ''
        THEN 'channel_trade_no'
    WHEN {R}.status <> {S}.status AND {R}.status IN ('succeeded', 'failed', 'closed')
        AND {S}.status IN ('succeeded', 'failed', 'closed') THEN 'status'
    WHEN {R}.succeeded_at <> {S}.succeeded_at AND NOT {RECOVERED} THEN 'succeeded_at'
END
"""
"""The first field in which a row contradicts another of its number; the payment core's word is final once given."""

REPEAT_CLASHES: Final = f"""
SELECT line, clash, to_jsonb(c) -> 'r', to_jsonb(c) -> 'f' FROM (
    SELECT r.line, {CLASH.format(R="r", S="f", RECOVERED="false")} AS clash, r, f
    FROM intake_repeat r JOIN intake_repeat f ON f.line = r.kept_line AND f.transaction_no = r.transaction_no
    WHERE r.place > 1
) c WHERE clash IS NOT NULL ORDER BY line
"""  # noqa: S608

REPEATS_OUT: Final = (
    "DELETE FROM intake_row r USING intake_repeat p WHERE p.line = r.line AND p.place > 1"  # place 1 stays
)

# What each row will be: new, a step forward, the same again, or a contradiction. Hash joins over the file.
INTAKE_PLAN: Final = f"""
CREATE TEMPORARY TABLE intake_plan ON COMMIT DROP AS
SELECT r.*, coalesce(s.id, {{FLOOR}} + r.n) AS id, s.id IS NULL AS is_new, s.status AS stored_status,
    s.effective_at AS stored_effective_at, s.own_date AS stored_own_date, s.fee AS stored_fee,
    s.expected_cost AS stored_cost, s.original_id AS stored_original_id, s.refund_source AS stored_source,
    CASE WHEN s.id IS NULL THEN NULL
        WHEN r.kind IN ({Kind.REFUND}, {Kind.VOID}) AND k.id IS DISTINCT FROM s.original_id
            THEN 'original_transaction_no'
        ELSE {CLASH.format(R="r", S="s", RECOVERED="coalesce(s.extra ? 'recovered', false)")} END AS clash,
    s.id IS NOT NULL AND s.status IN ('created', 'processing', 'unknown')
        AND r.rank > CASE s.status WHEN 'created' THEN 0 WHEN 'processing' THEN 1 ELSE 2 END AS forward,
    s.id IS NOT NULL AND s.channel_trade_no = '' AND r.channel_trade_no <> '' AS names_trade
FROM intake_row r
LEFT JOIN intake_stored s USING (transaction_no)
LEFT JOIN intake_known k ON k.transaction_no = r.original_no
"""  # noqa: S608

PLAN_COUNTS: Final = """
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE clash IS NULL AND (forward OR names_trade)),
    count(*) FILTER (WHERE NOT is_new AND clash IS NULL AND NOT forward AND NOT names_trade),
    count(*) FILTER (WHERE clash IS NOT NULL)
FROM intake_plan
"""

PLAN_CLASHES: Final = """
SELECT p.line, p.clash, to_jsonb(p), to_jsonb(s)
FROM intake_plan p JOIN intake_stored s ON s.id = p.id
WHERE p.clash IS NOT NULL ORDER BY p.line LIMIT %s
"""

INTAKE_DROP: Final = (
    "DROP TABLE intake_refund, intake_original, intake_plan, intake_away, intake_stored, intake_known, intake_repeat,"
    " intake_row"
)
"""A caller's longer transaction may load again; after an error its rollback removes them."""

# --- intake: refunds and voids against their originals ---

INTAKE_ORIGINAL: Final = """
CREATE TEMPORARY TABLE intake_original ON COMMIT DROP AS
WITH wanted AS (
    SELECT DISTINCT original_no AS transaction_no FROM intake_plan
    WHERE is_new AND original_no IS NOT NULL
)
SELECT p.transaction_no, p.id, p.kind, p.status, p.amount, p.currency, p.merchant_id, p.contract_id, p.fee,
    p.fee_rule_id, p.collection, p.expected_cost, p.cost_rule_id, p.own_date, p.effective_at
FROM intake_plan p JOIN wanted USING (transaction_no) WHERE p.is_new
UNION ALL
SELECT s.transaction_no, s.id, s.kind, CASE WHEN p.forward AND p.clash IS NULL THEN p.status ELSE s.status END,
    s.amount, s.currency, s.merchant_id, s.contract_id, s.fee, s.fee_rule_id, s.collection, s.expected_cost,
    s.cost_rule_id, s.own_date, s.effective_at
FROM intake_stored s JOIN wanted USING (transaction_no) LEFT JOIN intake_plan p ON p.id = s.id
"""

_COUNTED: Final = "status NOT IN ('failed', 'closed')"


def _returned(value: str, policy: str) -> str:
    """How much of a fee is given back once `refunded` of `paid` is refunded: pro rata on the running total, half up."""
    return f"""(CASE WHEN kind = {Kind.VOID} THEN {value}
        WHEN {policy} = 'kept' THEN 0
        WHEN {policy} = 'full' THEN CASE WHEN refunded = paid THEN {value} ELSE 0 END
        ELSE sign({value}) * div(2 * abs({value})::numeric * refunded + paid, 2 * paid::numeric) END)::bigint"""


# Running totals per original in the order of the file; returned fee = what is due by now less what was returned.
INTAKE_REFUND: Final = f"""
CREATE TEMPORARY TABLE intake_refund ON COMMIT DROP AS
WITH refund AS (
    SELECT p.line, p.id, p.kind, p.status, p.amount, p.currency, p.merchant_id, p.contract_id, p.original_no,
        o.id AS original_id, o.kind AS original_kind, o.status AS original_status, o.amount AS paid,
        o.currency AS original_currency, o.merchant_id AS original_merchant_id,
        o.contract_id AS original_contract_id, o.collection, o.fee AS original_fee, o.expected_cost AS original_cost,
        coalesce(f.refund_policy, 'pro_rata') AS policy, coalesce(c.refund_policy, 'pro_rata') AS cost_policy,
        coalesce(t.refunded, 0) AS before, coalesce(t.returned_fee, 0) AS fee_before,
        coalesce(t.returned_cost, 0) AS cost_before,
        CASE WHEN o.kind = {Kind.TOPUP} OR o.effective_at IS NOT NULL AND w.cleared_until >= o.own_date
            THEN '{RefundSource.SETTLEMENT}' ELSE '{RefundSource.PENDING}' END AS source,
        p.{_COUNTED} AS counted
    FROM intake_plan p
    LEFT JOIN intake_original o ON o.transaction_no = p.original_no
    LEFT JOIN orders_refundtotal t ON t.original_id = o.id
    LEFT JOIN fees_feerule f ON f.id = o.fee_rule_id
    LEFT JOIN fees_feerule c ON c.id = o.cost_rule_id
    LEFT JOIN orders_clearingwatermark w ON w.merchant_id = o.merchant_id AND w.contract_id = o.contract_id
    WHERE p.is_new AND p.kind IN ({Kind.REFUND}, {Kind.VOID})
), running AS (
    SELECT *, (before + sum(CASE WHEN counted THEN amount ELSE 0 END)
        OVER (PARTITION BY original_id ORDER BY line))::bigint AS refunded
    FROM refund
), due AS (
    SELECT *, {_returned("original_fee", "policy")} AS fee_due, {_returned("original_cost", "cost_policy")} AS cost_due
    FROM running
)
SELECT line, id, kind, status, amount, currency, merchant_id, contract_id, original_no, original_id, original_kind,
    original_status, paid, original_currency, original_merchant_id, original_contract_id, collection, refunded, before,
    CASE WHEN kind = {Kind.REFUND} THEN source ELSE '' END AS source, counted,
    CASE WHEN counted THEN lag(fee_due, 1, fee_before) OVER w - fee_due ELSE 0 END AS fee,
    CASE WHEN counted THEN lag(cost_due, 1, cost_before) OVER w - cost_due ELSE 0 END AS expected_cost
FROM due WINDOW w AS (PARTITION BY original_id, counted ORDER BY line)
"""  # noqa: S608

REFUND_FAULTS: Final = f"""
SELECT line, fault, original_no, amount, currency, paid, refunded - amount, original_status, archived_day FROM (
    SELECT f.*, a.day AS archived_day, CASE
        WHEN a.day IS NOT NULL THEN 'original_archived'
        WHEN original_id IS NULL THEN 'original_unknown'
        WHEN original_kind IN ({Kind.REFUND}, {Kind.VOID}, {Kind.REFUND_RETURN}) THEN 'original_not_payment'
        WHEN merchant_id <> original_merchant_id THEN 'original_other_merchant'
        WHEN contract_id <> original_contract_id THEN 'original_other_channel'
        WHEN currency <> original_currency THEN 'original_other_currency'
        WHEN counted AND original_status IN ('failed', 'closed') THEN 'original_not_paid'
        WHEN kind = {Kind.VOID} AND amount <> paid THEN 'void_not_full'
        WHEN counted AND refunded > paid THEN 'refund_above_paid'
    END AS fault FROM intake_refund f LEFT JOIN intake_away a ON a.transaction_no = f.original_no
) r WHERE fault IS NOT NULL ORDER BY line
"""  # noqa: S608

REFUND_TOTALS: Final = """
INSERT INTO orders_refundtotal (original_id, paid, refunded, returned_fee, returned_cost)
SELECT original_id, min(paid), sum(amount), -sum(fee), -sum(expected_cost)
FROM intake_refund WHERE counted GROUP BY original_id ORDER BY original_id
ON CONFLICT (original_id) DO UPDATE SET refunded = orders_refundtotal.refunded + EXCLUDED.refunded,
    returned_fee = orders_refundtotal.returned_fee + EXCLUDED.returned_fee,
    returned_cost = orders_refundtotal.returned_cost + EXCLUDED.returned_cost
"""

# Refunds that fail now give their part of the original free again, before this file's refunds are counted.
REFUND_RELEASE: Final = f"""
UPDATE orders_refundtotal t SET refunded = t.refunded - g.amount, returned_fee = t.returned_fee + g.fee,
    returned_cost = t.returned_cost + g.cost
FROM (
    SELECT stored_original_id, sum(amount) AS amount, sum(stored_fee) AS fee, sum(stored_cost) AS cost
    FROM intake_plan WHERE forward AND clash IS NULL AND status IN ('failed', 'closed')
        AND kind IN ({Kind.REFUND}, {Kind.VOID}) AND stored_original_id IS NOT NULL
    GROUP BY 1
) g WHERE t.original_id = g.stored_original_id
"""  # noqa: S608

# --- intake: writing ---

# A refund returns its fee the way that of its payment is collected, whatever the merchant's contract says by now.
INSERT_NEW: Final = f"""
INSERT INTO {{PARTITION}} (id, transaction_no, kind, status, contract_id, merchant_id, own_date, business_date,
    match_key, channel_trade_no, merchant_order_no, product, card_type, amount, currency, fee, fee_rule_id, collection,
    expected_cost, cost_rule_id, original_id, refund_source, origin, payer, created_at, succeeded_at, effective_at,
    extra)
SELECT p.id, p.transaction_no, p.kind, p.status, p.contract_id, p.merchant_id, p.own_date, p.business_date,
    p.match_key, p.channel_trade_no, p.merchant_order_no, p.product, p.card_type, p.amount, p.currency,
    coalesce(r.fee, p.fee), p.fee_rule_id, coalesce(r.collection, p.collection),
    coalesce(r.expected_cost, p.expected_cost), p.cost_rule_id,
    r.original_id, coalesce(r.source, ''), '{Origin.INTAKE}', p.payer, p.created_at, p.succeeded_at, p.effective_at,
    p.extra
FROM intake_plan p LEFT JOIN intake_refund r ON r.id = p.id
WHERE p.is_new ORDER BY p.id
"""  # noqa: S608

INSERT_KEYS: Final = (
    "INSERT INTO orders_transactionkey (transaction_no, transaction_id)"
    " SELECT transaction_no, id FROM intake_plan WHERE is_new ORDER BY id"
)

# A row that starts to count takes its day and fee from the message that says so; one that counts keeps both.
UPDATE_FORWARD_DAY: Final = f"""
UPDATE orders_transaction t SET
    status = CASE WHEN p.forward THEN p.status ELSE t.status END,
    succeeded_at = coalesce(t.succeeded_at, CASE WHEN p.forward THEN p.succeeded_at END),
    effective_at = coalesce(t.effective_at, CASE WHEN p.forward THEN p.effective_at END),
    own_date = CASE WHEN t.effective_at IS NULL AND p.forward AND p.effective_at IS NOT NULL THEN p.own_date
        ELSE t.own_date END,
    business_date = CASE WHEN t.effective_at IS NULL AND p.forward AND p.effective_at IS NOT NULL
        THEN p.business_date ELSE t.business_date END,
    fee = CASE WHEN t.effective_at IS NULL AND p.forward AND t.kind NOT IN ({Kind.REFUND}, {Kind.VOID})
        THEN p.fee ELSE t.fee END,
    fee_rule_id = CASE WHEN t.effective_at IS NULL AND p.forward AND t.kind NOT IN ({Kind.REFUND}, {Kind.VOID})
        THEN p.fee_rule_id ELSE t.fee_rule_id END,
    channel_trade_no = CASE WHEN t.channel_trade_no = '' THEN p.channel_trade_no ELSE t.channel_trade_no END
FROM intake_plan p
WHERE t.id = p.id AND t.id >= {{LO}} AND t.id < {{HI}} AND (p.forward OR p.names_trade) AND p.clash IS NULL
    AND NOT p.is_new AND t.status = p.stored_status
"""  # noqa: S608

CHANGED_DAYS: Final = (
    "SELECT DISTINCT id / 1000000000000 FROM intake_plan"
    " WHERE NOT is_new AND (forward OR names_trade) AND clash IS NULL ORDER BY 1"
)

# Refunds that fail after the channel had taken them: the money comes back as a movement of its own.
RETURNED_REFUNDS: Final = f"""
SELECT id FROM intake_plan
WHERE NOT is_new AND forward AND clash IS NULL AND kind = {Kind.REFUND} AND status IN ('failed', 'closed')
    AND stored_effective_at IS NOT NULL ORDER BY id
"""  # noqa: S608

# --- the open list ---

_OPEN: Final = (
    "(t.status IN ('created', 'processing', 'unknown')"
    " OR t.own_date - to_date((t.id / 1000000000000)::text, 'YYMMDD') NOT BETWEEN -2 AND 6)"
)

OPEN_ADD_DAY: Final = f"""
INSERT INTO orders_opentransaction (transaction_id, contract_id, own_date)
SELECT t.id, t.contract_id, t.own_date FROM orders_transaction t {{JOIN}}
WHERE t.id >= {{LO}} AND t.id < {{HI}} AND {_OPEN} ORDER BY t.id
ON CONFLICT (transaction_id) DO UPDATE SET own_date = EXCLUDED.own_date
    WHERE orders_opentransaction.own_date <> EXCLUDED.own_date
"""  # noqa: S608

OPEN_DROP_DAY: Final = f"""
DELETE FROM orders_opentransaction o USING orders_transaction t {{JOIN}}
WHERE t.id = o.transaction_id AND t.id >= {{LO}} AND t.id < {{HI}} AND NOT {_OPEN}
"""  # noqa: S608

PLAN_JOIN: Final = "JOIN intake_plan p ON p.id = t.id"

# --- vouchers ---

_EFFECTIVE: Final = "t.effective_at IS NOT NULL"
_REFUND_KNOWN: Final = f"({_EFFECTIVE} OR t.status IN ('processing', 'unknown', 'succeeded'))"
_BOOKED_AT_ACCEPTANCE: Final = f"t.kind = {Kind.REFUND} AND t.origin = '{Origin.INTAKE}' AND {_REFUND_KNOWN}"

# Which events every row is due.
DUE_EVENTS: Final = f"""
JOIN LATERAL (VALUES
    ({Event.PAYMENT}, t.kind IN ({Kind.PAYMENT}, {Kind.PREAUTH_COMPLETION}) AND {_EFFECTIVE}
        AND t.origin <> '{Origin.SUPPLEMENT}'),
    ({Event.TOPUP}, t.kind = {Kind.TOPUP} AND {_EFFECTIVE}),
    ({Event.VOID}, t.kind = {Kind.VOID} AND {_EFFECTIVE}),
    ({Event.REFUND_ACCEPTED_PENDING}, t.refund_source = '{RefundSource.PENDING}' AND {_BOOKED_AT_ACCEPTANCE}),
    ({Event.REFUND_ACCEPTED_SETTLEMENT}, t.refund_source = '{RefundSource.SETTLEMENT}' AND {_BOOKED_AT_ACCEPTANCE}),
    ({Event.REFUND_TAKEN}, t.kind = {Kind.REFUND} AND {_EFFECTIVE}),
    ({Event.REFUND_RETURNED}, t.kind = {Kind.REFUND_RETURN} AND {_EFFECTIVE})
) e (event, due) ON e.due
"""

# Less those whose posting key exists: one scan of the day, one probe of the keys.
DUE: Final = f"""
SELECT t.id, e.event, t.amount, t.currency, t.business_date, m.merchant_no, c.code
FROM orders_transaction t {{JOIN}}
JOIN merchants_merchant m ON m.id = t.merchant_id
JOIN channels_channelcontract c ON c.id = t.contract_id
{DUE_EVENTS}
WHERE t.id >= {{LO}} AND t.id < {{HI}} AND t.own_date = %s
    AND NOT EXISTS (SELECT FROM accounts_postingkey k WHERE k.event = e.event AND k.source_id = t.id)
ORDER BY e.event, t.id
"""  # noqa: S608

# What the rows of an own date owe beside what they got: the key tells the voucher, whose first line has its amount.
_DUE_AND_BOOKED: Final = f"""
FROM orders_transaction t
JOIN merchants_merchant m ON m.id = t.merchant_id
{DUE_EVENTS}
LEFT JOIN accounts_postingkey k ON k.event = e.event AND k.source_id = t.id
LEFT JOIN (SELECT id, amount FROM accounts_entry WHERE id >= {{BOOKED_LO}} AND id < {{BOOKED_HI}}) b
    ON b.id = k.voucher_id + 1
WHERE t.id >= {{LO}} AND t.id < {{HI}} AND t.own_date = %s
"""  # noqa: S608
DUE_AND_BOOKED_SUMS: Final = f"""
SELECT e.event, m.merchant_no, m.id, t.currency, count(*), sum(t.amount)::bigint, count(b.id),
    coalesce(sum(b.amount), 0)::bigint, count(*) FILTER (WHERE b.amount IS DISTINCT FROM t.amount)
{_DUE_AND_BOOKED} GROUP BY e.event, m.merchant_no, m.id, t.currency
"""  # noqa: S608
DUE_NOT_AS_BOOKED: Final = f"""
SELECT e.event, m.merchant_no, t.currency, t.id, t.amount, k.voucher_id, b.amount
{_DUE_AND_BOOKED} AND b.amount IS DISTINCT FROM t.amount ORDER BY t.id, e.event LIMIT %s
"""  # noqa: S608

PLAN_OWN_DATES: Final = """
SELECT DISTINCT id / 1000000000000,
    CASE WHEN is_new OR (stored_effective_at IS NULL AND effective_at IS NOT NULL) THEN own_date
        ELSE stored_own_date END
FROM intake_plan WHERE is_new OR (forward AND clash IS NULL) ORDER BY 1, 2
"""

# The reverse: vouchers of a day by the days of their sources, then one bounded anti-join per source day.
VOUCHER_SOURCE_DAYS: Final = """
SELECT DISTINCT source_id / 1000000000000 FROM accounts_voucher
WHERE id >= {LO} AND id < {HI} AND source_kind = %s ORDER BY 1
"""

VOUCHERS_WITHOUT_SOURCE: Final = f"""
SELECT v.id FROM accounts_voucher v
LEFT JOIN (
    SELECT id, effective_at, kind FROM orders_transaction WHERE id >= {{SOURCE_LO}} AND id < {{SOURCE_HI}}
) t ON t.id = v.source_id
WHERE v.id >= {{LO}} AND v.id < {{HI}} AND v.source_kind = %s
    AND v.source_id >= {{SOURCE_LO}} AND v.source_id < {{SOURCE_HI}}
    AND (t.id IS NULL OR t.effective_at IS NULL AND t.kind <> {Kind.REFUND}) ORDER BY v.id
"""  # noqa: S608

# --- single and small sets of rows ---

FAIL_ABSENT_DAY: Final = f"""
UPDATE orders_transaction SET status = '{Status.FAILED}'
WHERE id = ANY(%s) AND id >= {{LO}} AND id < {{HI}} AND effective_at IS NULL
    AND status IN ('{Status.CREATED}', '{Status.PROCESSING}', '{Status.UNKNOWN}')
RETURNING id, kind, original_id, amount, fee, expected_cost
"""  # noqa: S608

# Lost orders the channel's bill shows as succeeded; what did not count before counts from the open day.
RECOVER_DAY: Final = f"""
UPDATE orders_transaction t SET
    status = '{Status.SUCCEEDED}',
    succeeded_at = lost.at,
    channel_trade_no = COALESCE(NULLIF(t.channel_trade_no, ''), lost.trade_no),
    extra = COALESCE(t.extra, '{{{{}}}}') || jsonb_build_object('recovered', jsonb_build_object('run', %s::bigint)),
    effective_at = COALESCE(t.effective_at, lost.at),
    own_date = CASE WHEN t.effective_at IS NULL THEN %s::date ELSE t.own_date END,
    business_date = CASE WHEN t.effective_at IS NULL THEN lost.business_date ELSE t.business_date END
FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::date[]) AS lost (id, at, trade_no, business_date)
WHERE t.id = lost.id AND t.id >= {{LO}} AND t.id < {{HI}}
RETURNING t.id, t.own_date
"""  # noqa: S608

# A merchant whose mark is further ahead keeps it.
WATERMARKS_SET: Final = """
INSERT INTO orders_clearingwatermark (contract_id, cleared_until, merchant_id)
SELECT %s, %s::date, unnest(%s::bigint[])
ON CONFLICT (merchant_id, contract_id)
DO UPDATE SET cleared_until = GREATEST(orders_clearingwatermark.cleared_until, EXCLUDED.cleared_until)
"""
