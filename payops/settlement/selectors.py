"""Reads of clearing and settlement worth a name."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from payops.identity.models import User
from payops.merchants.selectors import merchants_for_user
from payops.settlement.models import BalanceCheck, ClearingItem, SettlementSheet
from payops.settlement.sheets import settled_part, sheet_total

__all__ = [
    "check_terms",
    "items_of_day",
    "last_check",
    "last_checks",
    "settled_part",
    "sheet_total",
    "sheets_for_user",
]


def sheets_for_user(user: User) -> QuerySet[SettlementSheet]:
    """The settlement sheets a user may see: staff all, a merchant's user its own merchant's."""
    return SettlementSheet.objects.filter(merchant__in=merchants_for_user(user)).select_related("merchant", "session")


def items_of_day(own_date: dt.date, contract_id: int | None = None) -> QuerySet[ClearingItem]:
    """The clearing items of an accounting date, optionally of one contract."""
    items = ClearingItem.objects.filter(own_date=own_date).select_related("merchant", "contract", "sheet__session")
    return items if contract_id is None else items.filter(contract_id=contract_id)


def last_check(contract_id: int, own_date: dt.date) -> BalanceCheck | None:
    """The attempt that counts."""
    return BalanceCheck.objects.filter(contract_id=contract_id, own_date=own_date).order_by("-attempt").first()


def last_checks(own_date: dt.date | None = None) -> QuerySet[BalanceCheck]:
    """The attempt that counts of every contract and date, newest date first; optionally of one accounting date."""
    checks = BalanceCheck.objects.order_by("-own_date", "contract_id", "-attempt")
    if own_date is not None:
        checks = checks.filter(own_date=own_date)
    return checks.distinct("own_date", "contract_id").select_related("contract")


def check_terms(check: BalanceCheck) -> list[dict[str, Any]]:
    """The terms of an attempt with their names in the reader's language."""
    return [{**term, "name": _(term["name"])} for term in check.terms]
