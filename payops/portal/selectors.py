"""What the portal reads, every query through what the user may see."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import Count, Prefetch, QuerySet, Sum
from django.utils import timezone

from payops.accounts.models import AccountingDay
from payops.accounts.selectors import balances_now
from payops.channels.models import Channel
from payops.core.ids import id_range
from payops.identity.models import User
from payops.merchants.models import Merchant
from payops.merchants.selectors import merchants_for_user, settlement_account_in_use
from payops.orders.models import Transaction
from payops.orders.selectors import own_window, refunds_of, transaction_by_number
from payops.settlement.choices import SheetState
from payops.settlement.models import ClearingItem, Payout, SettlementSheet
from payops.settlement.payouts.selectors import MERCHANT_LABELS, payouts_for_user
from payops.statements.selectors import StatementRow, rows_of, sheets_for_user, statements_for_user

PENDING = "220201"
SETTLEMENT = "220202"
REFUNDS_IN_FLIGHT = "220203"
PAYOUTS_IN_FLIGHT = "224102"


@dataclass(frozen=True, slots=True)
class Balances:
    """A merchant's balances, minor units."""

    pending: int
    settlement: int
    frozen: int
    payouts_in_flight: int
    refunds_in_flight: int


def balances(merchant: Merchant, currency: str = "CNY") -> Balances:
    """Where the merchant's money stands right now."""
    rows = balances_now(
        "a.owner_kind = 'merchant' AND a.owner_no = %(merchant)s AND a.currency = %(currency)s",
        {"merchant": merchant.merchant_no, "currency": currency},
    )
    found = {row["code"]: (row["balance"], row["frozen"]) for row in rows}
    nothing = (0, 0)
    return Balances(
        pending=found.get(PENDING, nothing)[0],
        settlement=found.get(SETTLEMENT, nothing)[0],
        frozen=found.get(SETTLEMENT, nothing)[1],
        payouts_in_flight=found.get(PAYOUTS_IN_FLIGHT, nothing)[0],
        refunds_in_flight=found.get(REFUNDS_IN_FLIGHT, nothing)[0],
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """What is due on one pay date, minor units."""

    pay_date: dt.date
    amount: int
    days: int


def expected_next(merchant: Merchant) -> list[Expected]:
    """Cleared but not yet settled amounts by the date on which they are due."""
    items = ClearingItem.objects.filter(merchant=merchant, settlement_sheet=None).order_by("pay_date")
    rows = items.values("pay_date").annotate(total=Sum("net"), days=Count("own_date", distinct=True))
    return [Expected(row["pay_date"], row["total"], row["days"]) for row in rows]


def carried_to_next(merchant: Merchant) -> int:
    """What earlier sheets left for the next one."""
    waiting = SettlementSheet.objects.filter(merchant=merchant, carried_to=None).exclude(state=SheetState.DRAFT)
    return waiting.aggregate(total=Sum("carry_out", default=0))["total"]


def sheets(user: User) -> QuerySet[SettlementSheet]:
    """The user's settlement sheets, newest first, each with its payouts."""
    payouts = Prefetch("payouts", queryset=payouts_for_user(user).order_by("-id"), to_attr="seen_payouts")
    return sheets_for_user(user).prefetch_related(payouts).order_by("-pay_date", "-id")


def payout_label(payout: Payout) -> Any:
    """The payout's state in a merchant's words."""
    return MERCHANT_LABELS.get(payout.state, payout.get_state_display())


def latest_payouts(user: User, count: int) -> list[Payout]:
    """The user's last payouts."""
    return list(payouts_for_user(user).order_by("-id")[:count])


def account_in_use(merchant: Merchant) -> Any:
    """Where the merchant is paid, shown masked."""
    return settlement_account_in_use(merchant)


def statements(user: User) -> QuerySet[Any]:
    """The user's statements, newest first."""
    return statements_for_user(user).order_by("-pay_date", "-sheet_id", "format")


# --- transactions -----------------------------------------------------------------------------------------------------


def today() -> dt.date:
    """The newest accounting day, or the calendar's today before there is any."""
    newest = AccountingDay.objects.order_by("-day").values_list("day", flat=True).first()
    return newest or timezone.localdate()


def transactions(user: User, first: dt.date, last: dt.date) -> Any:
    """Transactions of the user's merchants with an accounting date in the period, newest first, bounded by id."""
    lo = min(own_window(first)[0], id_range(first, last)[0])
    return (
        Transaction.objects.in_range(lo, own_window(last)[1])
        .filter(merchant__in=merchants_for_user(user), own_date__gte=first, own_date__lte=last)
        .select_related("contract__channel")
        .order_by("-id")
    )


def transaction_of(user: User, pk: int) -> Transaction | None:
    """One transaction, if it is the user's to see."""
    found = Transaction.objects.filter(pk=pk, merchant__in=merchants_for_user(user))
    return found.select_related("contract__channel", "merchant").first()


def transaction_by_exact_number(user: User, number: str) -> Transaction | None:
    """The transaction with this number whatever its day, if it is the user's to see."""
    found = transaction_by_number(number)
    return transaction_of(user, found.pk) if found is not None else None


def original_of(user: User, row: Transaction) -> Transaction | None:
    """The payment a refund belongs to."""
    return transaction_of(user, row.original_id) if row.original_id else None


def refunds_shown(row: Transaction) -> list[Transaction]:
    """Refunds, voids and returns of a payment."""
    return list(refunds_of(row, max(today(), row.own_date)))


def channels() -> list[Channel]:
    """Channels to choose from."""
    return list(Channel.objects.order_by("code"))


# --- what a sheet is made of ------------------------------------------------------------------------------------------


def item_of(sheet: SettlementSheet, item_id: int) -> ClearingItem | None:
    """One item of a sheet the user was allowed to see."""
    return sheet.items.select_related("contract__channel").filter(pk=item_id).first()


def item_page(item: ClearingItem, start: int, size: int) -> tuple[list[StatementRow], bool]:
    """A page of the item's transactions and whether more follow."""
    rows = list(islice(rows_of([item]), start, start + size + 1))
    return rows[:size], len(rows) > size
