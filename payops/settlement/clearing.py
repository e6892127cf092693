"""Clearing: what merchants are owed for an accounting date, per merchant, contract and collection (DOMAIN 11.2).

A contract's date is cleared once, after its run. Own-only rows are held until their case ends and join a later item.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, Max, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from payops.accounts import selectors as ledger
from payops.accounts import services as ledger_services
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.institution import get_institution
from payops.core.locks import xact_lock
from payops.discrepancies.models import CaseAction
from payops.merchants.models import Collection, Merchant, SettlementTerms
from payops.merchants.terms import pay_date
from payops.orders.choices import Origin
from payops.orders.models import Transaction
from payops.orders.services import post_missing, watermarks_set
from payops.reconciliation.models import ReconRun
from payops.reconciliation.selectors import run_vouchers_standing
from payops.settlement import holds, sql
from payops.settlement.choices import SessionKind
from payops.settlement.models import ClearedDay, ClearingItem, ClearingSession, ClearingSheet

SOURCE_KIND = "clearing_item"
LOCK = ("settlement", "books")
"""Clearing, settlement and balance check take turns: each begins from what the other left."""

_EVENTS = {
    Collection.NET: (Event.CLEARING_NET, Event.CLEARING_REFUND_FEE_NET),
    Collection.GROSS: (Event.CLEARING_GROSS, Event.CLEARING_REFUND_FEE_GROSS),
}


@dataclass(slots=True)
class Amounts:
    """The sums of one item, minor units, signed."""

    count: int = 0
    amount: int = 0
    fee: int = 0
    refunded: int = 0
    refund_fee: int = 0
    discount: int = 0

    def net(self, collection: str) -> int:
        """What the item adds to the settlement account."""
        kept = self.fee if collection == Collection.NET else 0
        return self.amount + self.refunded - self.discount - kept


@dataclass(slots=True)
class _Cleared:
    """What one contract brings into the sessions of the day."""

    contract: ChannelContract
    trade: dict[tuple[int, str], Amounts] = field(default_factory=dict)
    discrepancy: dict[tuple[int, str, int | None], Amounts] = field(default_factory=dict)
    held: int = 0
    released: int = 0


def clearing_run(*, day: dt.date, username: str = "system") -> dict[str, Any]:
    """Clear accounting date `day` for every contract that may be cleared and is not; repeating it does nothing more.

    Returns {"day", "contracts": {code: counts and sums in minor units}, "skipped": {code: reason}}. Raises
    PayopsError 'settlement.day_not_closed': until a day is closed it may still take facts.
    """
    with transaction.atomic():
        xact_lock(*LOCK)
        if not ledger.day_is_closed(day):
            raise PayopsError(
                "settlement.day_not_closed",
                _("%(day)s is not closed yet, so it may still take transactions. Close the day, then clear it.")
                % {"day": day.isoformat()},
                {"day": day.isoformat()},
            )
        contracts, skipped = _contracts_to_clear(day)
        if contracts:
            post_missing(day, posted_by=username)
        cleared = [_clear_contract(contract, day) for contract in contracts]
        _make_sessions(cleared, day, username)
        # Before anybody is paid: what has come belongs first to deductions that were short (DOMAIN 4.4).
        ledger_services.deductions_collect(posted_by=username)
    return {
        "day": day.isoformat(),
        "contracts": {each.contract.code: _summary(each) for each in cleared},
        "skipped": skipped,
    }


def _contracts_to_clear(day: dt.date) -> tuple[list[ChannelContract], dict[str, str]]:
    done = set(ClearedDay.objects.filter(own_date=day).values_list("contract_id", flat=True))
    runs = ReconRun.objects.filter(channel_date=day, batch=1, is_current=True)
    reconciled = set(runs.values_list("contract_id", flat=True))
    base = get_institution().base_currency
    wanted, skipped = [], {}
    for contract in ChannelContract.objects.order_by("code"):
        if contract.pk in done:
            skipped[contract.code] = "cleared"
        elif contract.currency != base:
            skipped[contract.code] = "currency"
        elif contract.pk in reconciled or (contract.active and contract.clear_without_run):
            wanted.append(contract)
        elif contract.active:
            skipped[contract.code] = "no_run"
    return wanted, skipped


def _clear_contract(contract: ChannelContract, day: dt.date) -> _Cleared:
    found = _Cleared(contract)
    never = returns_of_surplus(contract, day)
    kept_out = holds.hold_rows(contract, day, never=never)
    released = holds.release_rows(contract, day)
    found.held, found.released = len(kept_out), len(released)
    skip = [*kept_out, *never]
    for merchant, collection, count, amount, fee, refunded, refund_fee in sql.cleared_sums(
        contract.pk, day, skip=skip, released=released
    ):
        found.trade[merchant, collection] = Amounts(count, amount, fee, refunded, refund_fee)
    for merchant, discount in _discounts_to_clear(contract, day).items():
        key = (merchant, Collection.NET.value)
        if key not in found.trade and (merchant, Collection.GROSS.value) in found.trade:
            key = (merchant, Collection.GROSS.value)
        found.trade.setdefault(key, Amounts()).discount = discount
    _add_supplements(found, day)
    return found


def returns_of_surplus(contract: ChannelContract, day: dt.date) -> list[int]:
    """Returned refunds of a surplus: their money goes back to suspense, never to the merchant."""
    by_return = sql.returns(contract.pk, day)
    refunds = [pk for pk in by_return.values() if pk is not None]
    if not refunds:
        return []
    surplus = set(Transaction.objects.filter(id__in=refunds, origin=Origin.SURPLUS_REFUND).values_list("pk", flat=True))
    return [pk for pk, refund in by_return.items() if refund in surplus]


def discounts_of_runs(contract: ChannelContract, days: Iterable[dt.date]) -> dict[str, int]:
    """X by merchant number that runs booked for these channel dates; minor units."""
    rows = run_vouchers_standing().filter(contract=contract, channel_date__in=list(days), event=Event.BILL_DISCOUNT)
    amount = Cast(KeyTextTransform("X", "amounts"), BigIntegerField())
    return dict(rows.order_by().values_list("merchant_no").annotate(total=Sum(amount)))


def _discounts_to_clear(contract: ChannelContract, day: dt.date) -> dict[int, int]:
    """X by merchant that runs booked and no item has: the day's, and what re-runs changed about cleared days."""
    days = [*ClearedDay.objects.filter(contract=contract).values_list("own_date", flat=True), day]
    by_number = {number: total for number, total in discounts_of_runs(contract, days).items() if total}
    numbers = Merchant.objects.filter(merchant_no__in=by_number).values_list("pk", "merchant_no")
    due: dict[int, int] = defaultdict(int, {pk: by_number[number] for pk, number in numbers})
    items = ClearingItem.objects.filter(contract=contract).exclude(discount=0).order_by()
    for merchant, total in items.values_list("merchant_id").annotate(total=Sum("discount")):
        due[merchant] -= total
    return {merchant: discount for merchant, discount in due.items() if discount}


def _add_supplements(found: _Cleared, day: dt.date) -> None:
    rows = sql.supplements(found.contract.pk, day)
    actions = dict(
        CaseAction.objects.filter(transaction_id__in=[row[0] for row in rows]).values_list("transaction_id", "pk")
    )
    for pk, merchant, collection, amount, fee in rows:
        sums = found.discrepancy.setdefault((merchant, collection, actions.get(pk)), Amounts())
        sums.count += 1
        sums.amount += amount
        sums.fee += fee


# --- sessions, sheets, items, vouchers --------------------------------------------------------------------------------


def _make_sessions(cleared: list[_Cleared], day: dt.date, username: str) -> None:
    if not cleared:
        return
    trade = {(each.contract, *key, None): sums for each in cleared for key, sums in each.trade.items()}
    resolved = {(each.contract, *key): sums for each in cleared for key, sums in each.discrepancy.items()}
    # A date without any row is cleared too, so the trade session is made in any case.
    session = _make_session(SessionKind.TRADE, trade, day)
    sessions = [session]
    if resolved:
        sessions.append(_make_session(SessionKind.DISCREPANCY, resolved, day))
    ClearedDay.objects.bulk_create(
        ClearedDay(contract=each.contract, own_date=day, session=session) for each in cleared
    )
    items = list(
        ClearingItem.objects.filter(sheet__session__in=sessions).select_related("merchant", "contract").order_by("pk")
    )
    ledger_services.post_many(_postings(items), posted_by=username)
    sql.item_vouchers([made.pk for made in sessions])
    holds.tie_released(items, day)
    for each in cleared:
        merchants = {item.merchant_id for item in items if item.contract_id == each.contract.pk}
        watermarks_set(merchant_ids=merchants, contract_id=each.contract.pk, day=day)


def _make_session(
    kind: SessionKind, items: dict[tuple[ChannelContract, int, str, int | None], Amounts], day: dt.date
) -> ClearingSession:
    last = ClearingSession.objects.filter(own_date=day, kind=kind).aggregate(last=Max("session_no"))["last"]
    session = ClearingSession.objects.create(
        own_date=day,
        kind=kind,
        session_no=(last or 0) + 1,
        count=sum(sums.count for sums in items.values()),
        amount=sum(sums.amount for sums in items.values()),
        fee=sum(sums.fee for sums in items.values()),
    )
    totals: dict[int, Amounts] = defaultdict(Amounts)
    for (_contract, merchant, _collection, _action), sums in items.items():
        totals[merchant].count += sums.count
        totals[merchant].amount += sums.amount
        totals[merchant].fee += sums.fee
    sheets = ClearingSheet.objects.bulk_create(
        ClearingSheet(session=session, merchant_id=merchant, count=each.count, amount=each.amount, fee=each.fee)
        for merchant, each in sorted(totals.items())
    )
    of_merchant = {sheet.merchant_id: sheet for sheet in sheets}
    dates = _pay_dates(totals, day)
    ClearingItem.objects.bulk_create(
        ClearingItem(
            sheet=of_merchant[merchant],
            merchant_id=merchant,
            contract=contract,
            own_date=day,
            kind=kind,
            collection=collection,
            count=sums.count,
            amount=sums.amount,
            discount=sums.discount,
            fee=sums.fee,
            refunded_from_settlement=sums.refunded,
            refund_fee=sums.refund_fee,
            net=sums.net(collection),
            pay_date=dates[merchant],
            case_action_id=action,
        )
        for (contract, merchant, collection, action), sums in sorted(
            items.items(), key=lambda entry: (entry[0][1], entry[0][0].code, entry[0][2], entry[0][3] or 0)
        )
    )
    return session


def _pay_dates(merchants: Iterable[int], day: dt.date) -> dict[int, dt.date]:
    """The pay date of each merchant's terms; T+1 where none are agreed. One calendar look-up per kind of terms."""
    terms = {row.merchant_id: row for row in SettlementTerms.objects.filter(merchant__in=list(merchants))}
    known: dict[tuple[str, int], dt.date] = {}
    dates = {}
    for merchant in merchants:
        row = terms.get(merchant) or SettlementTerms()
        cycle = (row.cycle_unit, row.cycle_days)
        if cycle not in known:
            known[cycle] = pay_date(row, day)
        dates[merchant] = known[cycle]
    return dates


def _postings(items: list[ClearingItem]) -> Iterator[Posting]:
    """Clearing of each item, and the fee its refunds from the settlement account return; zero lines are dropped."""
    for item in items:
        clearing, returned = _EVENTS[Collection(item.collection)]
        # Refunds from the settlement account never were in pending: only their fee is left to be booked.
        amounts = {
            "A": item.amount + item.refunded_from_settlement,
            "X": item.discount,
            "F": item.fee - item.refund_fee,
        }
        yield _posting(clearing, item, amounts)
        if item.refund_fee:
            yield _posting(returned, item, {"F": -item.refund_fee})


def _posting(event: Event, item: ClearingItem, amounts: dict[str, int]) -> Posting:
    return Posting(
        event=event,
        source_kind=SOURCE_KIND,
        source_id=item.pk,
        amounts=amounts,
        owners={"merchant": item.merchant.merchant_no},
        business_date=item.own_date,
        currency=item.contract.currency,
    )


def _summary(cleared: _Cleared) -> dict[str, int]:
    trade, resolved = cleared.trade.values(), cleared.discrepancy.values()
    both = [*trade, *resolved]
    keys = [key[1] for key in (*cleared.trade, *cleared.discrepancy)]
    return {
        "items": len(both),
        "count": sum(sums.count for sums in both),
        "amount": sum(sums.amount for sums in both),
        "discount": sum(sums.discount for sums in both),
        "fee": sum(sums.fee for sums in both),
        "net": sum(sums.net(collection) for sums, collection in zip(both, keys, strict=True)),
        "held": cleared.held,
        "released": cleared.released,
    }
