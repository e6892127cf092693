"""Settlement: what each merchant is to be paid on a date, one sheet with every term of it (DOMAIN 11.3).

The total of a sheet comes from the ledger (settlement account + negative pending), its terms from the clearing items;
what lies between is the adjustment: refunds taken from the settlement account earlier, recoveries, returned payouts.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Sum

from payops.accounts import selectors as ledger
from payops.core.locks import xact_lock
from payops.merchants.models import AccountState, Collection, Merchant, SettlementAccount
from payops.settlement import sql
from payops.settlement.choices import SheetState
from payops.settlement.clearing import LOCK
from payops.settlement.models import ClearingItem, SettlementSession, SettlementSheet

SETTLEMENT_ACCOUNT = "220202"
PENDING = "220201"
MERCHANT = "merchant"


@dataclass(slots=True)
class _Due:
    """What is due to one merchant: its items and their sums, minor units."""

    count: int = 0
    amount: int = 0
    fee: int = 0
    settlement: int = 0


def settlement_run(*, day: dt.date, username: str = "system") -> dict[str, Any]:
    """Make the sheets of the work done after accounting date `day`, that is on its next natural day, the pay date.

    Takes every unsettled item whose pay date has come, of merchants without a sheet for this pay date; repeating it
    makes nothing twice. Sheets stay drafts until the balance check. Returns {"day", "pay_date", "session_no",
    "sheets", "amount", "total"}, minor units.
    """
    paid_on = day + dt.timedelta(days=1)
    with transaction.atomic():
        xact_lock(*LOCK)
        due = _due_items(paid_on)
        session = _make_session(due, paid_on, day) if due else None
    made = list(session.sheets.all()) if session else []
    return {
        "day": day.isoformat(),
        "pay_date": paid_on.isoformat(),
        "session_no": session.session_no if session else None,
        "sheets": len(made),
        "amount": sum(sheet.settlement_amount for sheet in made),
        "total": sum(sheet_total(sheet) for sheet in made),
        "made_by": username,
    }


def sheet_total(sheet: SettlementSheet) -> int:
    """All that the sheet's merchant has to get, before anything is carried or held; minor units, may be negative."""
    return sheet.settlement_amount + sheet.adjustment_amount + sheet.carried_in - sheet.withheld_amount


def settled_part(item: ClearingItem) -> int:
    """What an item adds to a settlement amount: A − X, less F where collected net."""
    return item.amount - item.discount - (item.fee if item.collection == Collection.NET else 0)


def _due_items(paid_on: dt.date) -> dict[int, _Due]:
    with_sheet = SettlementSheet.objects.filter(pay_date=paid_on).values("merchant")
    items = (
        ClearingItem.objects.filter(settlement_sheet__isnull=True, pay_date__lte=paid_on)
        .exclude(merchant__in=with_sheet)
        .order_by("merchant__merchant_no", "pk")
    )
    due: dict[int, _Due] = {}
    for item in items.iterator():
        each = due.setdefault(item.merchant_id, _Due())
        each.count += item.count
        each.amount += item.amount
        each.fee += item.fee
        each.settlement += settled_part(item)
    return due


def _make_session(due: dict[int, _Due], paid_on: dt.date, day: dt.date) -> SettlementSession:
    last = SettlementSession.objects.filter(pay_date=paid_on).aggregate(last=Max("session_no"))["last"]
    session = SettlementSession.objects.create(pay_date=paid_on, own_date=day, session_no=(last or 0) + 1)
    numbers = dict(Merchant.objects.filter(pk__in=due).values_list("pk", "merchant_no"))
    carried = _carried(due)
    totals = _totals(numbers, paid_on)
    accounts = {
        account.merchant_id: account
        for account in SettlementAccount.objects.filter(merchant__in=due).exclude(state=AccountState.REPLACED)
    }
    sheets = SettlementSheet.objects.bulk_create(
        SettlementSheet(
            session=session,
            sheet_no=f"S{paid_on:%y%m%d}{session.session_no:02d}{n:06d}",
            merchant_id=merchant,
            pay_date=paid_on,
            count=each.count,
            amount=each.amount,
            fee=each.fee,
            settlement_amount=each.settlement,
            adjustment_amount=totals[merchant] - each.settlement - carried[merchant],
            carried_in=carried[merchant],
            settlement_account=accounts.get(merchant),
        )
        for n, (merchant, each) in enumerate(due.items(), start=1)
    )
    sql.sheets_take(session.pk)
    session.count = len(sheets)
    session.amount = sum(sheet.settlement_amount for sheet in sheets)
    session.save(update_fields=["count", "amount"])
    return session


def _carried(merchants: dict[int, _Due]) -> dict[int, int]:
    """The rest of earlier sheets, which waits for the next sheet of its merchant."""
    carriers = SettlementSheet.objects.filter(merchant__in=merchants, carried_to__isnull=True).exclude(carry_out=0)
    return defaultdict(int, carriers.order_by().values_list("merchant_id").annotate(total=Sum("carry_out")))


def _totals(numbers: dict[int, str], paid_on: dt.date) -> dict[int, int]:
    """Settlement balance + negative pending, less what is not due yet and what other sheets are about to pay."""
    settled = ledger.balances_of(SETTLEMENT_ACCOUNT, MERCHANT, numbers.values())
    pending = ledger.balances_of(PENDING, MERCHANT, numbers.values())
    later = ClearingItem.objects.filter(merchant__in=numbers, settlement_sheet__isnull=True, pay_date__gt=paid_on)
    not_due = dict(later.order_by().values_list("merchant_id").annotate(total=Sum("net")))
    promised = _promised(numbers)
    return {
        merchant: settled.get(number, 0)
        + min(pending.get(number, 0), 0)
        - not_due.get(merchant, 0)
        - promised.get(merchant, 0)
        for merchant, number in numbers.items()
    }


def _promised(merchants: dict[int, str]) -> dict[int, int]:
    """Money of other sheets still on the settlement account: it leaves only with the approval of their payouts."""
    sums: dict[int, int] = defaultdict(int)
    unpaid = SettlementSheet.objects.filter(merchant__in=merchants).order_by()
    draft = F("settlement_amount") + F("adjustment_amount") + F("carried_in") - F("withheld_amount")
    for state, amount in ((SheetState.DRAFT, draft), (SheetState.READY, F("payout_amount"))):
        for merchant, total in unpaid.filter(state=state).values_list("merchant_id").annotate(total=Sum(amount)):
            sums[merchant] += total
    return sums
