"""Reads of merchants, always through what the reader may see."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from payops.core.crypto import blind_index
from payops.core.errors import PayopsError
from payops.identity.models import User
from payops.merchants.models import AccountState, Merchant, MerchantProduct, SettlementAccount
from payops.merchants.numbers import ACCOUNT_PURPOSE, normalise_number


class MerchantContract(NamedTuple):
    """What intake needs to know of a merchant and product, without touching the database per row."""

    merchant_id: int
    merchant_no: str
    status: str
    package_code: str
    collection: str
    effective_from: dt.date


def merchants_for_user(user: User) -> QuerySet[Merchant]:
    """The merchants a user may see: staff all, a merchant's user exactly its own, anybody else none."""
    if not user.is_authenticated or not user.is_active:
        return Merchant.objects.none()
    if user.is_merchant:
        return Merchant.objects.filter(merchant_no=user.merchant_no)
    return Merchant.objects.all() if user.is_staff_member else Merchant.objects.none()


def merchant_of_user(user: User) -> Merchant | None:
    """The merchant a merchant's user belongs to; None for staff."""
    return merchants_for_user(user).first() if user.is_merchant else None


def merchant_get(merchant_no: str) -> Merchant:
    """The merchant with this number; PayopsError 'merchants.unknown'."""
    merchant = Merchant.objects.filter(merchant_no=merchant_no).first()
    if merchant is None:
        raise PayopsError(
            "merchants.unknown",
            _("There is no merchant %(merchant)s. Check the number or load the merchant first.")
            % {"merchant": merchant_no},
            {"merchant_no": merchant_no},
        )
    return merchant


def contracts_by_product(merchant_nos: Iterable[str] | None = None) -> dict[tuple[str, str], MerchantContract]:
    """Contracts by (merchant number, product), of the named merchants or all; one query."""
    rows = MerchantProduct.objects.order_by("id")
    if merchant_nos is not None:
        rows = rows.filter(merchant__merchant_no__in=list(merchant_nos))
    columns = (
        "product",
        "merchant_id",
        "merchant__merchant_no",
        "merchant__status",
        "package__code",
        "collection",
        "effective_from",
    )
    return {(row[2], row[0]): MerchantContract(*row[1:]) for row in rows.values_list(*columns)}


def settlement_account_in_use(merchant: Merchant) -> SettlementAccount | None:
    """The account the merchant is paid to, flagged or not; None when it has none."""
    return merchant.settlement_accounts.exclude(state=AccountState.REPLACED).first()


def settlement_accounts_by_number(number: str) -> QuerySet[SettlementAccount]:
    """Accounts with exactly this number, found by the blind index; replaced ones too."""
    index = blind_index(normalise_number(number), ACCOUNT_PURPOSE)
    return SettlementAccount.objects.filter(number_index=index).select_related("merchant")


def number_is_approved(account: SettlementAccount) -> bool:
    """Whether the stored number is the one the account was made with: its keyed hash cannot be changed, the cipher text
    can (a new key encrypts it again)."""
    return blind_index(normalise_number(account.number), ACCOUNT_PURPOSE) == account.number_index
