"""The set-based statements of clearing and of the balance check. Each opens with the idea of its plan."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db import connection

from payops.accounts.choices import Event
from payops.orders.choices import Kind, Origin, RefundSource
from payops.orders.selectors import own_strays, own_window

_SIGN: Final = f"CASE WHEN t.kind IN ({Kind.REFUND}, {Kind.VOID}) THEN -1 ELSE 1 END"

# What is owed to merchants out of a channel's day; supplements have their own session, the rest is no sale.
CLEARABLE: Final = (
    f"t.effective_at IS NOT NULL AND t.kind <> {Kind.TOPUP} "
    f"AND t.origin IN ('{Origin.INTAKE}', '{Origin.REFUND_RETURN}')"
)

# The partitions around the day, and single rows by id: strays of the day, and rows of earlier days released now.
_OF_DAY: Final = """
    SELECT {columns} FROM orders_transaction t
     WHERE t.id >= %(lo)s AND t.id < %(hi)s AND t.contract_id = %(contract)s AND t.own_date = %(day)s
       AND {condition} {skip}
    UNION ALL
    SELECT {columns} FROM orders_transaction t
     WHERE t.id = ANY(%(strays)s) AND t.contract_id = %(contract)s AND t.own_date = %(day)s
       AND {condition} {skip}
"""

# One pass: the day's rows grouped by merchant and collection, joined by nothing.
CLEARED_SUMS: Final = f"""
WITH cleared AS (
    {{of_day}}
    UNION ALL
    SELECT {{columns}} FROM orders_transaction t WHERE t.id = ANY(%(released)s)
)
SELECT merchant_id, collection, count(*), sum(amount)::bigint, sum(fee)::bigint,
       COALESCE(-sum(amount) FILTER (WHERE refund_source = '{RefundSource.SETTLEMENT}'), 0)::bigint,
       COALESCE(sum(fee) FILTER (WHERE refund_source = '{RefundSource.SETTLEMENT}'), 0)::bigint
  FROM cleared GROUP BY merchant_id, collection ORDER BY merchant_id, collection
"""  # noqa: S608

_SUM_COLUMNS: Final = f"t.merchant_id, t.collection, {_SIGN} * t.amount AS amount, t.fee, t.refund_source"

ITEM_VOUCHERS: Final = f"""
UPDATE settlement_clearingitem i SET voucher_id = k.voucher_id
  FROM settlement_clearingsheet s, accounts_postingkey k
 WHERE s.id = i.sheet_id AND s.session_id = ANY(%s) AND k.source_id = i.id
   AND k.event IN ({Event.CLEARING_NET}, {Event.CLEARING_GROSS})
"""  # noqa: S608

# Both by merchant: one statement each, however many sheets there are.
ITEMS_TO_SHEETS: Final = """
UPDATE settlement_clearingitem i SET settlement_sheet_id = s.id FROM settlement_settlementsheet s
 WHERE s.session_id = %(session)s AND i.merchant_id = s.merchant_id
   AND i.settlement_sheet_id IS NULL AND i.pay_date <= s.pay_date
"""

CARRIED_TO_SHEETS: Final = """
UPDATE settlement_settlementsheet c SET carried_to_id = s.id FROM settlement_settlementsheet s
 WHERE s.session_id = %(session)s AND c.merchant_id = s.merchant_id AND c.id <> s.id
   AND c.carried_to_id IS NULL AND c.carry_out <> 0
"""


def _of_day(columns: str, condition: str, *, skip: bool = False) -> str:
    return _OF_DAY.format(columns=columns, condition=condition, skip="AND t.id <> ALL(%(skip)s)" if skip else "")


def _place(contract_id: int, day: dt.date) -> dict[str, Any]:
    lo, hi = own_window(day)
    return {"lo": lo, "hi": hi, "contract": contract_id, "day": day, "strays": own_strays(day, contract_id)}


def _fetch(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def cleared_sums(contract_id: int, day: dt.date, *, skip: list[int], released: list[int]) -> list[tuple[Any, ...]]:
    """Per merchant and collection: count, A, F, R and F of R of the day's rows without `skip`, with `released`.

    Minor units with the sign of the movement; R is what of A went over the settlement account already, reversed.
    """
    of_day = _of_day(_SUM_COLUMNS, CLEARABLE, skip=True)
    statement = CLEARED_SUMS.format(of_day=of_day, columns=_SUM_COLUMNS)
    return _fetch(statement, _place(contract_id, day) | {"skip": skip, "released": released})


def supplements(contract_id: int, day: dt.date) -> list[tuple[Any, ...]]:
    """The day's supplemented orders: id, merchant, collection, signed amount, fee; minor units."""
    columns = f"t.id, t.merchant_id, t.collection, {_SIGN} * t.amount AS amount, t.fee"
    condition = f"t.effective_at IS NOT NULL AND t.origin = '{Origin.SUPPLEMENT}'"
    return _fetch(_of_day(columns, condition) + " ORDER BY 2, 3, 1", _place(contract_id, day))


def returns(contract_id: int, day: dt.date) -> dict[int, int]:
    """Returned refunds of the day and the refund each brings back."""
    condition = f"t.effective_at IS NOT NULL AND t.origin = '{Origin.REFUND_RETURN}'"
    return dict(_fetch(_of_day("t.id, t.original_id", condition), _place(contract_id, day)))


def own_total(contract_id: int, day: dt.date) -> int:
    """Own total of the day as runs compare it: every row that counts, but for supplements; minor units, signed."""
    condition = f"t.effective_at IS NOT NULL AND t.origin <> '{Origin.SUPPLEMENT}'"
    rows = _of_day(f"{_SIGN} * t.amount AS amount", condition)
    return _fetch(f"SELECT COALESCE(sum(amount), 0)::bigint FROM ({rows}) r", _place(contract_id, day))[0][0]  # noqa: S608


def never_cleared(contract_id: int, day: dt.date, also: list[int]) -> dict[str, int]:
    """What of the own total clearing leaves out for good: top-ups, refunds of a surplus with the returns `also`."""
    columns = (
        f"CASE WHEN t.kind = {Kind.TOPUP} THEN 'topup' ELSE 'surplus_refund' END AS what, {_SIGN} * t.amount AS amount"
    )
    condition = (
        f"t.effective_at IS NOT NULL AND (t.kind = {Kind.TOPUP} OR t.origin = '{Origin.SURPLUS_REFUND}' "
        "OR t.id = ANY(%(also)s))"
    )
    rows = _of_day(columns, condition)
    found = _fetch(
        f"SELECT what, sum(amount)::bigint FROM ({rows}) r GROUP BY what ORDER BY what",  # noqa: S608
        _place(contract_id, day) | {"also": also},
    )
    return dict(found)


def item_vouchers(session_ids: list[int]) -> None:
    """Write the number of its voucher to every item of the sessions."""
    with connection.cursor() as cursor:
        cursor.execute(ITEM_VOUCHERS, [session_ids])


def sheets_take(session_id: int) -> None:
    """Tie the due items, and the earlier sheets whose rest is carried, to the new sheets of the session."""
    with connection.cursor() as cursor:
        cursor.execute(ITEMS_TO_SHEETS, {"session": session_id})
        cursor.execute(CARRIED_TO_SHEETS, {"session": session_id})
