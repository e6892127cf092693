"""Reads of transactions worth a name."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import QuerySet

from payops.core.ids import id_range
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
