"""What statements are made of, and who may read them: items, their transactions, the ledger's word."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet

from payops.accounts.models import AccountingDay
from payops.core.ids import DAY_STEP, day_floor
from payops.identity.models import User
from payops.merchants.selectors import merchants_for_user
from payops.orders.choices import Origin
from payops.orders.models import Transaction
from payops.orders.selectors import own_strays, own_window
from payops.settlement.choices import SheetState
from payops.settlement.models import ClearingHold, ClearingItem, SettlementSheet
from payops.statements import sql
from payops.statements.models import Statement

FIRST_SHEET_DAYS = 92
"""How far back the direct movements of a merchant's first sheet are read."""


class StatementRow(NamedTuple):
    """One transaction on a statement; amounts signed, minor units; `net` is what it adds to the settlement."""

    sheet_id: int
    item_id: int
    reverse: bool
    own_date: dt.date
    created_at: dt.datetime
    transaction_no: str
    merchant_order_no: str
    kind: int
    contract_id: int
    amount: int
    fee: int
    net: int
    id: int


@dataclass(slots=True)
class RowTotals:
    """Sums over the transactions of one item, apart for forward and reverse ones."""

    forward_count: int = 0
    forward_amount: int = 0
    reverse_count: int = 0
    reverse_amount: int = 0
    fee: int = 0
    refunded: int = 0

    @property
    def count(self) -> int:
        """All transactions."""
        return self.forward_count + self.reverse_count

    @property
    def amount(self) -> int:
        """Forward plus reverse, signed."""
        return self.forward_amount + self.reverse_amount


@dataclass(frozen=True, slots=True)
class Movement:
    """A booking on the merchant's settlement account besides clearing and payouts."""

    posted_at: dt.datetime
    event: int
    reference: str
    amount: int


@dataclass(slots=True)
class SheetContent:
    """Everything one statement shows besides its transactions."""

    sheet: SettlementSheet
    items: list[ClearingItem] = field(default_factory=list)
    withheld: list[ClearingItem] = field(default_factory=list)
    carried: list[SettlementSheet] = field(default_factory=list)
    rows: dict[int, RowTotals] = field(default_factory=dict)
    ledger: dict[int, int] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)


# --- who may read what ------------------------------------------------------------------------------------------------


def statements_for_user(user: User) -> QuerySet[Statement]:
    """Staff see all, a merchant's people their merchant's."""
    return Statement.objects.filter(merchant__in=merchants_for_user(user)).select_related("merchant", "sheet")


def sheets_for_user(user: User) -> QuerySet[SettlementSheet]:
    """Sheets that are computed to the end; a draft may still change and is nobody's to read here."""
    return (
        SettlementSheet.objects.filter(merchant__in=merchants_for_user(user))
        .exclude(state=SheetState.DRAFT)
        .select_related("merchant", "session", "settlement_account")
    )


def sheets_of_day(day: dt.date, merchant_no: str | None = None) -> QuerySet[SettlementSheet]:
    """Finished sheets of the settlement session of an accounting date."""
    sheets = SettlementSheet.objects.filter(session__own_date=day).exclude(state=SheetState.DRAFT)
    if merchant_no is not None:
        sheets = sheets.filter(merchant__merchant_no=merchant_no)
    return sheets.select_related("merchant", "session", "settlement_account").order_by("id")


# --- the content of sheets --------------------------------------------------------------------------------------------


def contents_of(sheets: Sequence[SettlementSheet]) -> list[SheetContent]:
    """The content of several sheets in a fixed number of queries; `sheets` ordered by id."""
    contents = {sheet.pk: SheetContent(sheet) for sheet in sheets}
    if not contents:
        return []
    items = list(
        ClearingItem.objects.filter(settlement_sheet_id__in=contents)
        .select_related("contract__channel", "sheet__session")
        .order_by("own_date", "kind", "contract_id", "id")
    )
    for item in items:
        contents[item.settlement_sheet_id].items.append(item)
    totals, ledger = row_totals(items), ledger_of(items)
    for content in contents.values():
        content.rows = {item.pk: totals.get(item.pk, RowTotals()) for item in content.items}
        content.ledger = {item.pk: ledger.get(item.pk, 0) for item in content.items}
        if content.sheet.withheld_amount:
            content.withheld = list(withheld_from(content.sheet))
    carried = SettlementSheet.objects.filter(carried_to_id__in=contents).order_by("pay_date", "id")
    for sheet in carried:
        contents[sheet.carried_to_id].carried.append(sheet)
    for sheet_id, movement in movements_of(sheets):
        contents[sheet_id].movements.append(movement)
    return list(contents.values())


def withheld_from(sheet: SettlementSheet) -> QuerySet[ClearingItem]:
    """Items that were due with the sheet and that the balance check kept back; a later sheet has or will have them."""
    later = Q(settlement_sheet__isnull=True) | Q(settlement_sheet_id__gt=sheet.pk)
    return (
        ClearingItem.objects.filter(
            later,
            merchant_id=sheet.merchant_id,
            pay_date__lte=sheet.pay_date,
            sheet__session__made_at__lte=sheet.made_at,
        )
        .select_related("contract__channel")
        .order_by("own_date", "kind", "contract_id", "id")
    )


def _window(items: Iterable[ClearingItem]) -> tuple[int, int, list[int], list[int]]:
    """Id window of the items' days, the rows of those days outside it, and rows released into the items."""
    items = list(items)
    days = sorted({item.own_date for item in items})
    bounds = [own_window(day) for day in days]
    strays = sorted({stray for day in days for stray in own_strays(day)})
    released = list(
        ClearingHold.objects.filter(released_in__in=items).order_by("id").values_list("transaction_id", flat=True)
    )
    return min(lo for lo, _hi in bounds), max(hi for _lo, hi in bounds), strays, released


def _parameters(items: Sequence[ClearingItem], lo: int, hi: int) -> dict[str, list[int]]:
    """The items, and returned refunds of a surplus: their money went back to suspense and never was the merchant's."""
    returned = dict(
        Transaction.objects.in_range(lo, hi)
        .filter(
            origin=Origin.REFUND_RETURN,
            merchant_id__in={item.merchant_id for item in items},
            own_date__in={item.own_date for item in items},
        )
        .values_list("pk", "original_id")
    )
    surplus = set()
    if returned:
        originals = Transaction.objects.filter(pk__in=list(returned.values()), origin=Origin.SURPLUS_REFUND)
        surplus = set(originals.values_list("pk", flat=True))
    return {
        "items": [item.pk for item in items],
        "surplus": [pk for pk, original in returned.items() if original in surplus],
    }


def rows_of(items: Sequence[ClearingItem], *, page: int = 2_000) -> Iterator[StatementRow]:
    """The transactions of the items, streamed; by sheet, forward ones before reverse ones, by day and number."""
    if not items:
        return
    lo, hi, strays, released = _window(items)
    statement = sql.bounded(sql.ROWS_OF_ITEMS, lo, hi, strays=strays, released=released)
    with connection.chunked_cursor() as cursor:
        cursor.itersize = page
        cursor.execute(statement, _parameters(items, lo, hi))
        for row in cursor:
            yield StatementRow(*row)


def row_totals(items: Sequence[ClearingItem]) -> dict[int, RowTotals]:
    """Sums over the items' transactions, made by the database."""
    totals: dict[int, RowTotals] = {}
    if not items:
        return totals
    lo, hi, strays, released = _window(items)
    statement = sql.bounded(sql.TOTALS_OF_ITEMS, lo, hi, strays=strays, released=released)
    for row in sql.fetch(statement, _parameters(items, lo, hi)):
        total = totals.setdefault(row["item_id"], RowTotals())
        if row["reverse"]:
            total.reverse_count, total.reverse_amount = row["count"], row["amount"]
        else:
            total.forward_count, total.forward_amount = row["count"], row["amount"]
        total.fee += row["fee"]
        total.refunded += row["refunded"]
    return totals


def ledger_of(items: Sequence[ClearingItem]) -> dict[int, int]:
    """What each item's clearing vouchers put on the merchant's settlement account."""
    parameters = {"items": [item.pk for item in items]}
    (span,) = sql.fetch(sql.VOUCHERS_OF_ITEMS, parameters)
    if span["first"] is None:
        return {}
    statement = sql.bounded(sql.LEDGER_OF_ITEMS, span["first"], span["last"] + 1000)
    return {row["item_id"]: row["net"] for row in sql.fetch(statement, parameters)}


def movements_of(sheets: Sequence[SettlementSheet]) -> Iterator[tuple[int, Movement]]:
    """(sheet id, booking) for what moved the settlement accounts directly since each merchant's sheet before."""
    first = _first_day_of_movements(sheets)
    last = max(sheet.pay_date for sheet in sheets) + dt.timedelta(days=1)
    lo, hi = day_floor(first), day_floor(last) + DAY_STEP
    rows = sql.fetch(sql.bounded(sql.MOVEMENTS_OF_SHEETS, lo, hi), {"sheets": [sheet.pk for sheet in sheets]})
    numbers = _transaction_numbers(row["source_id"] for row in rows if row["source_kind"] == "transaction")
    for row in rows:
        reference = numbers.get(row["source_id"], "") if row["source_kind"] == "transaction" else ""
        yield row["sheet_id"], Movement(row["posted_at"], row["event"], reference, row["amount"])


def _first_day_of_movements(sheets: Sequence[SettlementSheet]) -> dt.date:
    """The oldest accounting day on which a movement since the sheets before can stand."""
    earliest = min(sheet.session.own_date for sheet in sheets)
    before: dict[int, dt.date] = {}
    previous = SettlementSheet.objects.filter(
        merchant_id__in={sheet.merchant_id for sheet in sheets}, session__own_date__lt=earliest
    )
    for merchant_id, own_date in previous.order_by("id").values_list("merchant_id", "session__own_date"):
        before[merchant_id] = own_date
    if len(before) == len({sheet.merchant_id for sheet in sheets}):
        return min(before.values())
    first_day = AccountingDay.objects.order_by("day").values_list("day", flat=True).first() or earliest
    return max(first_day, earliest - dt.timedelta(days=FIRST_SHEET_DAYS))


def _transaction_numbers(ids: Iterable[int]) -> dict[int, str]:
    wanted = sorted(set(ids))
    return dict(Transaction.objects.filter(pk__in=wanted).values_list("pk", "transaction_no")) if wanted else {}


def transactions_of_item(item: ClearingItem) -> list[StatementRow]:
    """The transactions one clearing item is made of."""
    return list(rows_of([item]))


def transactions_of_sheet(sheet: SettlementSheet) -> Iterator[StatementRow]:
    """The transactions of a settlement sheet, streamed."""
    items = list(sheet.items.all())
    return rows_of(items)
