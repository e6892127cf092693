"""The set-based reads of statements. Each opens with the idea of its plan; amounts are minor units.

Names in capitals are filled by `format` with numbers made here, never with input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import connection

from payops.accounts.choices import Event
from payops.orders.choices import Kind, Origin, RefundSource
from payops.settlement.choices import SessionKind

CLEARING_EVENTS: Final = (
    Event.CLEARING_NET,
    Event.CLEARING_GROSS,
    Event.CLEARING_REFUND_FEE_NET,
    Event.CLEARING_REFUND_FEE_GROSS,
)
PAYOUT_EVENTS: Final = (Event.PAYOUT_SUBMITTED, Event.PAYOUT_CONFIRMED, Event.PAYOUT_FAILED, Event.PAYOUT_RETURNED)
SETTLEMENT_SUBJECT: Final = "220202"


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(str(int(value)) for value in values)


_OF_DAY: Final = f"""
    SELECT i.id AS item_id, t.*
    FROM item i JOIN orders_transaction t
        ON t.merchant_id = i.merchant_id AND t.own_date = i.own_date AND t.contract_id = i.contract_id
        AND t.collection = i.collection
    WHERE {{PLACE}} AND t.effective_at IS NOT NULL AND t.kind <> {Kind.TOPUP}
        AND (i.kind = '{SessionKind.TRADE}' AND t.origin IN ('{Origin.INTAKE}', '{Origin.REFUND_RETURN}')
             AND t.id <> ALL(%(surplus)s)
             AND NOT EXISTS (SELECT FROM settlement_clearinghold h WHERE h.transaction_id = t.id)
             OR i.kind = '{SessionKind.DISCREPANCY}' AND t.origin = '{Origin.SUPPLEMENT}'
             AND i.case_action_id IS NOT DISTINCT FROM
                (SELECT max(c.id) FROM discrepancies_caseaction c WHERE c.transaction_id = t.id))
"""  # noqa: S608

# The rows a clearing item is made of: those of its day, less held ones and returned refunds of a surplus; those
# released into it from an earlier day; and, for a discrepancy item, the order its case supplemented. Rows of the day
# come through the index on (merchant, own date) inside the day's id window; the few others are looked up by id.
ITEM_ROWS: Final = f"""
WITH item AS MATERIALIZED (
    SELECT id, settlement_sheet_id, merchant_id, contract_id, own_date, kind, collection, case_action_id
    FROM settlement_clearingitem WHERE id = ANY(%(items)s)
), counted AS (
    {_OF_DAY.format(PLACE="t.id >= {LO} AND t.id < {HI}")}
    UNION ALL
    {_OF_DAY.format(PLACE="t.id IN ({STRAYS}) AND (t.id < {LO} OR t.id >= {HI})")}
    UNION ALL
    SELECT i.id, t.*
    FROM item i JOIN settlement_clearinghold h ON h.released_in_id = i.id
    JOIN orders_transaction t ON t.id = h.transaction_id
    WHERE t.id IN ({{RELEASED}})
), signed AS (
    SELECT i.settlement_sheet_id AS sheet_id, c.item_id, c.id, c.own_date, c.created_at, c.transaction_no,
        c.merchant_order_no, c.kind, c.contract_id, c.currency, c.collection, c.fee,
        CASE WHEN c.kind IN ({Kind.REFUND}, {Kind.VOID}) THEN -c.amount ELSE c.amount END AS amount,
        c.refund_source = '{RefundSource.SETTLEMENT}' AS from_settlement,
        c.kind IN ({Kind.REFUND}, {Kind.VOID}) AS reverse
    FROM counted c JOIN item i ON i.id = c.item_id
)
"""  # noqa: S608

ROWS_OF_ITEMS: Final = (
    ITEM_ROWS
    + """
SELECT sheet_id, item_id, reverse, own_date, created_at, transaction_no, merchant_order_no, kind, contract_id, amount,
    fee, CASE WHEN collection = 'net' THEN amount - fee ELSE amount END AS net, id
FROM signed ORDER BY sheet_id, reverse, own_date, id
"""
)

TOTALS_OF_ITEMS: Final = (
    ITEM_ROWS
    + """
SELECT item_id, reverse, count(*) AS count, sum(amount)::bigint AS amount, sum(fee)::bigint AS fee,
    coalesce(-sum(amount) FILTER (WHERE from_settlement), 0)::bigint AS refunded
FROM signed GROUP BY item_id, reverse
"""
)

# What the clearing vouchers of the items moved on the merchants' settlement accounts, per item.
LEDGER_OF_ITEMS: Final = f"""
SELECT k.source_id AS item_id, sum(CASE WHEN e.side = 'C' THEN e.amount ELSE -e.amount END)::bigint AS net
FROM accounts_postingkey k
JOIN accounts_entry e ON e.id > k.voucher_id AND e.id < k.voucher_id + 1000
JOIN accounts_account a ON a.id = e.account_id
JOIN accounts_subject s ON s.id = a.subject_id
JOIN settlement_clearingitem i ON i.id = k.source_id
JOIN merchants_merchant m ON m.id = i.merchant_id
WHERE k.event IN ({_numbers(CLEARING_EVENTS)}) AND k.source_id = ANY(%(items)s)
    AND e.id >= {{LO}} AND e.id < {{HI}}
    AND s.code = '{SETTLEMENT_SUBJECT}' AND a.owner_kind = 'merchant' AND a.owner_no = m.merchant_no
GROUP BY k.source_id
"""  # noqa: S608

VOUCHERS_OF_ITEMS: Final = f"""
SELECT min(voucher_id) AS first, max(voucher_id) AS last FROM accounts_postingkey
WHERE event IN ({_numbers(CLEARING_EVENTS)}) AND source_id = ANY(%(items)s)
"""  # noqa: S608

# Bookings on the settlement accounts of the sheets' merchants between the sheet before and this one, other than
# clearing and payouts: the index on (account, id) gives each account's entries of the window. A line wiped on its own
# day and the line that wiped it are not shown, when both would stand on the same sheet: apart they still count.
MOVEMENTS_OF_SHEETS: Final = f"""
WITH sheet AS MATERIALIZED (
    SELECT s.id, s.made_at, m.merchant_no, a.id AS account_id,
        (SELECT max(p.made_at) FROM settlement_settlementsheet p
         WHERE p.merchant_id = s.merchant_id AND p.id < s.id) AS after
    FROM settlement_settlementsheet s JOIN merchants_merchant m ON m.id = s.merchant_id
    JOIN accounts_account a ON a.owner_kind = 'merchant' AND a.owner_no = m.merchant_no
    JOIN accounts_subject u ON u.id = a.subject_id AND u.code = '{SETTLEMENT_SUBJECT}'
    WHERE s.id = ANY(%(sheets)s)
), moved AS MATERIALIZED (
    SELECT s.id AS sheet_id, e.id AS entry_id, v.posted_at, e.event, v.source_kind, v.source_id,
        CASE WHEN e.side = 'C' THEN e.amount ELSE -e.amount END AS amount
    FROM sheet s JOIN accounts_entry e ON e.account_id = s.account_id
    JOIN accounts_voucher v ON v.id = e.id - e.id %% 1000
    WHERE e.id >= {{LO}} AND e.id < {{HI}} AND v.id >= {{LO}} AND v.id < {{HI}}
        AND e.event NOT IN ({_numbers((*CLEARING_EVENTS, *PAYOUT_EVENTS))})
        AND v.posted_at <= s.made_at AND (s.after IS NULL OR v.posted_at > s.after)
), wiped AS (
    SELECT w.sheet_id, w.entry_id, r.entry_id AS red_entry_id
    FROM moved w JOIN accounts_correctedentry c ON c.entry_id = w.entry_id AND c.hidden
    JOIN moved r ON r.sheet_id = w.sheet_id AND r.entry_id = c.red_entry_id
)
SELECT sheet_id, posted_at, event, source_kind, source_id, amount FROM moved m
WHERE NOT EXISTS (SELECT FROM wiped w WHERE w.sheet_id = m.sheet_id AND m.entry_id IN (w.entry_id, w.red_entry_id))
ORDER BY sheet_id, entry_id
"""  # noqa: S608


def bounded(statement: str, lo: int, hi: int, *, strays: Sequence[int] = (), released: Sequence[int] = ()) -> str:
    """The statement with its id window and ids written in, so that partitions are pruned when it is planned."""
    return statement.format(
        LO=int(lo), HI=int(hi), STRAYS=_numbers(strays) or "-1", RELEASED=_numbers(released) or "-1"
    )


def fetch(statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows as dictionaries."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]
