"""Settlement: what each merchant is to be paid on a date, one sheet with every term of it (DOMAIN 11.3).

The total of a sheet comes from the ledger (settlement account + negative pending), its terms from the clearing items;
what lies between is the adjustment: refunds taken from the settlement account earlier, recoveries, returned payouts.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Sum
from django.utils import timezone

from payops.accounts import selectors as ledger
from payops.accounts import services as ledger_services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.models import Account
from payops.accounts.posting import Posting
from payops.core.business_days import is_working_day
from payops.core.locks import xact_lock
from payops.merchants.models import (
    AccountState,
    Collection,
    CycleUnit,
    Merchant,
    MerchantStatus,
    SettlementAccount,
    SettlementTerms,
)
from payops.settlement import sql
from payops.settlement.choices import SheetState
from payops.settlement.clearing import LOCK
from payops.settlement.models import ClearingItem, SettlementSession, SettlementSheet

SETTLEMENT_ACCOUNT = "220202"
PENDING = "220201"
RECOVERIES = "112203"
MERCHANT = "merchant"
SHEET_SOURCE = "settlement_sheet"
_MAY_BE_PAID = (AccountStatus.NORMAL, AccountStatus.DEBIT_ONLY)


@dataclass(slots=True)
class _Due:
    """What is due to one merchant: its items and their sums, minor units."""

    count: int = 0
    amount: int = 0
    fee: int = 0
    settlement: int = 0


def settlement_run(*, day: dt.date, username: str = "system") -> dict[str, Any]:
    """Make the sheets of the work done after accounting date `day`, that is on its next natural day, the pay date.

    Takes every unsettled item whose pay date has come, of merchants without a sheet for this pay date, and the money of
    merchants who sold nothing but can be paid again what was carried or came back; repeating it makes nothing twice.
    What a merchant owes from recoveries is collected first. Sheets stay drafts until the balance check. Returns
    {"day", "pay_date", "session_no", "sheets", "amount", "total"}, minor units.
    """
    paid_on = day + dt.timedelta(days=1)
    with transaction.atomic():
        xact_lock(*LOCK)
        due = _due_items(paid_on)
        due.update(dict.fromkeys(_waiting(paid_on, due), _Due()))
        session = _make_session(due, paid_on, day, username) if due else None
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


def _waiting(paid_on: dt.date, due: dict[int, _Due]) -> list[int]:
    """Merchants with nothing due whose money could be paid now: an account was renewed, a hold lifted, a payout or a
    failed refund came back. Without a sheet of its own it would wait for the merchant's next sale."""
    held = ledger.balances_of(SETTLEMENT_ACCOUNT, MERCHANT)
    with_sheet = SettlementSheet.objects.filter(pay_date=paid_on).values("merchant")
    merchants = (
        Merchant.objects.filter(merchant_no__in=[number for number, balance in held.items() if balance > 0])
        .exclude(pk__in=with_sheet)
        .exclude(status=MerchantStatus.HELD)
        .filter(settlement_accounts__state=AccountState.ACTIVE)
        .select_related("terms")
        .order_by("merchant_no")
    )
    free = {merchant.pk: merchant for merchant in merchants if merchant.pk not in due}
    if not free:
        return []
    totals = _totals({pk: merchant.merchant_no for pk, merchant in free.items()}, paid_on)
    available = available_of([merchant.merchant_no for merchant in free.values()])
    working_day = is_working_day(paid_on)
    waiting = []
    for pk, merchant in free.items():
        terms = getattr(merchant, "terms", None) or SettlementTerms()
        if terms.cycle_unit == CycleUnit.T and not working_day:
            continue
        if max(terms.minimum_amount, 1) <= totals[pk] <= available.get(merchant.merchant_no, 0):
            waiting.append(pk)
    return waiting


def available_of(merchant_nos: Iterable[str]) -> dict[str, int]:
    """What each merchant's settlement account may pay: nothing while restricted, never frozen money. Minor units."""
    accounts = Account.objects.filter(
        subject__code=SETTLEMENT_ACCOUNT, owner_kind=MERCHANT, owner_no__in=list(merchant_nos), status__in=_MAY_BE_PAID
    )
    return {
        number: balance - frozen for number, balance, frozen in accounts.values_list("owner_no", "balance", "frozen")
    }


def _make_session(due: dict[int, _Due], paid_on: dt.date, day: dt.date, username: str) -> SettlementSession:
    last = SettlementSession.objects.filter(pay_date=paid_on).aggregate(last=Max("session_no"))["last"]
    session = SettlementSession.objects.create(pay_date=paid_on, own_date=day, session_no=(last or 0) + 1)
    numbers = dict(Merchant.objects.filter(pk__in=due).values_list("pk", "merchant_no"))
    carried = _carried(due)
    totals = _totals(numbers, paid_on)
    collected = _owed(numbers, totals)
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
            adjustment_amount=totals[merchant] - collected.get(merchant, 0) - each.settlement - carried[merchant],
            carried_in=carried[merchant],
            settlement_account=accounts.get(merchant),
        )
        for n, (merchant, each) in enumerate(due.items(), start=1)
    )
    sql.sheets_take(session.pk)
    _collect(sheets, numbers, collected, username)
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


def _owed(numbers: dict[int, str], totals: dict[int, int]) -> dict[int, int]:
    """What of each total goes to a recovery the merchant still owes, minor units: never more than there is, and nothing
    frozen or restricted, which is not ours to take."""
    balances = ledger.balances_of(RECOVERIES, MERCHANT, numbers.values())
    owed = {number: amount for number, amount in balances.items() if amount > 0}
    available = available_of(owed) if owed else {}
    amounts = {
        merchant: min(owed[number], totals[merchant], available.get(number, 0))
        for merchant, number in numbers.items()
        if number in owed
    }
    return {merchant: amount for merchant, amount in amounts.items() if amount > 0}


def _collect(sheets: list[SettlementSheet], numbers: dict[int, str], collected: dict[int, int], username: str) -> None:
    """Book the recoveries the sheets collect; a sheet is the source document of its own."""
    concerned = [sheet for sheet in sheets if sheet.merchant_id in collected]
    if not concerned:
        return
    ledger_services.post_many(
        [
            Posting(
                event=Event.RECOVERY_COLLECTED,
                source_kind=SHEET_SOURCE,
                source_id=sheet.pk,
                amounts={"D": collected[sheet.merchant_id]},
                owners={"merchant": numbers[sheet.merchant_id]},
                business_date=sheet.pay_date,
                memo=sheet.sheet_no,
            )
            for sheet in concerned
        ],
        posted_by=username,
    )
    # A statement shows what was booked until its sheet was made, and this belongs to it.
    SettlementSheet.objects.filter(pk__in=[sheet.pk for sheet in concerned]).update(made_at=timezone.now())


def _promised(merchants: dict[int, str]) -> dict[int, int]:
    """Money of other sheets still on the settlement account: it leaves only with the approval of their payouts."""
    sums: dict[int, int] = defaultdict(int)
    unpaid = SettlementSheet.objects.filter(merchant__in=merchants).order_by()
    draft = F("settlement_amount") + F("adjustment_amount") + F("carried_in") - F("withheld_amount")
    for state, amount in ((SheetState.DRAFT, draft), (SheetState.READY, F("payout_amount"))):
        for merchant, total in unpaid.filter(state=state).values_list("merchant_id").annotate(total=Sum(amount)):
            sums[merchant] += total
    return sums
