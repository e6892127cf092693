"""Reads of transactions worth a name."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Q, QuerySet

from payops.channels.models import ChannelContract
from payops.core.ids import id_range
from payops.core.institution import day_bounds
from payops.orders.models import ClearingWatermark, OpenTransaction, Transaction, TransactionKey
from payops.orders.vouchers import DAYS_AFTER, DAYS_BEFORE


def own_window(day: dt.date) -> tuple[int, int]:
    """Half-open id range in which the rows of own date `day` live, but for those of the open list (`own_strays`)."""
    return id_range(day - dt.timedelta(days=DAYS_BEFORE), day + dt.timedelta(days=DAYS_AFTER))


def own_strays(day: dt.date, contract_id: int | None = None) -> list[int]:
    """Ids of rows of own date `day` that were received outside its window."""
    lo, hi = own_window(day)
    strays = OpenTransaction.objects.filter(own_date=day).exclude(transaction_id__gte=lo, transaction_id__lt=hi)
    if contract_id is not None:
        strays = strays.filter(contract_id=contract_id)
    return list(strays.values_list("transaction_id", flat=True))


def channel_day_successes(contract: ChannelContract, day: dt.date) -> int:
    """How many rows count on a channel day, by our accounting date or by the channel's cut-off.

    Between the two cut-offs a row has our date of one day and the channel's of another; it speaks against an empty day
    on either, because calling a day empty that is not hides money.
    """
    one_day = dt.timedelta(days=1)
    lo, _hi = own_window(day - one_day)
    _lo, hi = own_window(day + one_day)
    start, end = day_bounds(day, contract.cut_off)
    rows = Transaction.objects.in_range(lo, hi).filter(
        contract=contract, own_date__range=(day - one_day, day + one_day), effective_at__isnull=False
    )
    near = rows.filter(Q(own_date=day) | Q(effective_at__gte=start, effective_at__lt=end)).count()
    far = own_strays(day, contract.pk)
    return near + Transaction.objects.filter(pk__in=far, effective_at__isnull=False).count() if far else near


def transaction_by_number(transaction_no: str) -> Transaction | None:
    """The transaction of the payment core's number, whatever its day."""
    key = TransactionKey.objects.filter(transaction_no=transaction_no).first()
    if key is None:
        return None
    return Transaction.objects.select_related("merchant", "contract__channel").filter(pk=key.transaction_id).first()


def refunds_of(original: Transaction, until: dt.date) -> QuerySet[Transaction]:
    """Refunds, voids and returns of a payment received from its day until `until`."""
    lo, _hi = id_range(original.own_date, original.own_date)
    _lo, hi = id_range(until, until)
    return Transaction.objects.in_range(min(lo, original.pk), hi).filter(original_id=original.pk).order_by("id")


def visible_to(user: Any, row: Transaction) -> bool:
    """Staff who may view transactions see all, a merchant's people their merchant's."""
    if getattr(user, "is_merchant", False):
        return user.may("portal.transactions") and row.merchant.merchant_no == user.merchant_no
    return user.may("transactions.view")


def is_cleared(row: Transaction) -> bool:
    """Whether clearing has passed the row's own date for its merchant and contract."""
    return ClearingWatermark.objects.filter(
        merchant_id=row.merchant_id, contract_id=row.contract_id, cleared_until__gte=row.own_date
    ).exists()
