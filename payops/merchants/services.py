"""Every write on customers, merchants, their contracts, terms and settlement accounts (DOMAIN 12).

Each service exists for one row; those a set-up file needs for thousands exist in a bulk form too, and the single form
calls it. History rows are always written. A merchant's ledger accounts are opened in the same transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import OwnerKind
from payops.accounts.models import Account
from payops.core.crypto import blind_index, mask_tail
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.core.upserts import Upserted, create_rows, update_rows, upsert_rows
from payops.fees.models import FeePackage
from payops.merchants.models import (
    MERCHANT_STATUS_NEXT,
    AccountState,
    Collection,
    Customer,
    CustomerKind,
    CycleUnit,
    Merchant,
    MerchantProduct,
    MerchantStatus,
    MerchantType,
    SettlementAccount,
    SettlementTerms,
)
from payops.merchants.numbers import ACCOUNT_PURPOSE, CERTIFICATE_PURPOSE, normalise_number
from payops.merchants.restrictions import freezes_cover


@dataclass(frozen=True, slots=True)
class CustomerData:
    """A customer as somebody describes it; the certificate number identifies the person."""

    name: str
    certificate_no: str
    kind: str = CustomerKind.LEGAL


@dataclass(frozen=True, slots=True)
class MerchantData:
    """A merchant as somebody describes it."""

    name: str
    customer: Customer
    merchant_type: str = MerchantType.ENTERPRISE
    status: str = MerchantStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class ProductData:
    """The contract for one product."""

    package: FeePackage
    effective_from: dt.date
    collection: str = Collection.NET


@dataclass(frozen=True, slots=True)
class TermsData:
    """Settlement terms; the minimum in minor units."""

    cycle_unit: str = CycleUnit.T
    cycle_days: int = 1
    minimum_amount: int = 0


@dataclass(frozen=True, slots=True)
class SettlementAccountData:
    """Where a merchant is paid; the number in plain, blanks do not matter."""

    bank_name: str
    holder: str
    number: str
    branch_code: str = ""


# --- customers --------------------------------------------------------------------------------------------------------


def customer_upsert(*, customer_no: str, data: CustomerData, reason: str = "") -> Customer:
    """Create or change one customer. Raises PayopsError 'merchants.certificate_taken'."""
    return customers_upsert(customers={customer_no: data}, reason=reason).rows[(customer_no,)]


@transaction.atomic
def customers_upsert(*, customers: Mapping[str, CustomerData], reason: str = "") -> Upserted:
    """`customer_upsert` for many, by customer number. A certificate number belongs to one customer only."""
    wanted: dict[tuple[Any, ...], dict[str, Any]] = {}
    owners: dict[str, str] = {}
    for customer_no, data in customers.items():
        number = normalise_number(data.certificate_no)
        index = blind_index(number, CERTIFICATE_PURPOSE)
        if owners.setdefault(index, customer_no) != customer_no:
            raise _certificate_taken(customer_no, owners[index])
        wanted[(customer_no,)] = {
            "name": data.name,
            "kind": data.kind,
            "certificate_no": number,
            "certificate_index": index,
        }
    taken = Customer.objects.filter(certificate_index__in=owners).values_list("certificate_index", "customer_no")
    for index, holder in taken:
        if owners[index] != holder:
            raise _certificate_taken(owners[index], holder)
    return upsert_rows(Customer, wanted, key=["customer_no"], reason=reason, label=lambda row: row.customer_no)


def _certificate_taken(customer_no: str, holder: str) -> PayopsError:
    return PayopsError(
        "merchants.certificate_taken",
        _("The certificate number of customer %(customer)s is already that of customer %(holder)s; use that customer.")
        % {"customer": customer_no, "holder": holder},
        {"customer_no": customer_no, "holder": holder, "field": "certificate_no"},
    )


# --- merchants --------------------------------------------------------------------------------------------------------


def merchant_create(*, merchant_no: str, data: MerchantData, reason: str = "") -> Merchant:
    """Open a merchant together with its ledger accounts. Raises PayopsError 'merchants.number_taken'."""
    if Merchant.objects.filter(merchant_no=merchant_no).exists():
        raise PayopsError(
            "merchants.number_taken",
            _("There is already a merchant %(merchant)s.") % {"merchant": merchant_no},
            {"merchant_no": merchant_no},
        )
    return merchants_upsert(merchants={merchant_no: data}, reason=reason).rows[(merchant_no,)]


def merchant_update(*, merchant: Merchant, data: MerchantData, reason: str = "") -> Merchant:
    """Change name, type or status; a status change must be an allowed one. Raises PayopsError 'merchants.*'."""
    return merchants_upsert(merchants={merchant.merchant_no: data}, reason=reason).rows[(merchant.merchant_no,)]


@transaction.atomic
def merchants_upsert(*, merchants: Mapping[str, MerchantData], reason: str = "") -> Upserted:
    """Create or change merchants by number; new ones get their ledger accounts in the same transaction.

    A merchant never moves to another customer, follows MERCHANT_STATUS_NEXT and closes only with empty accounts.
    """
    wanted = {
        (merchant_no,): {
            "name": data.name,
            "customer_id": data.customer.pk,
            "merchant_type": str(data.merchant_type),
            "status": str(data.status),
        }
        for merchant_no, data in merchants.items()
    }
    outcome = upsert_rows(
        Merchant,
        wanted,
        key=["merchant_no"],
        reason=reason,
        label=lambda row: row.merchant_no,
        before_change=_check_merchant_change,
    )
    open_ledger_accounts(merchant_nos=outcome.created)
    return outcome


def merchant_set_status(*, merchant: Merchant, status: str, reason: str = "") -> Merchant:
    """Suspend, hold, reactivate or close a merchant; the reason goes into the history."""
    data = MerchantData(merchant.name, merchant.customer, merchant.merchant_type, status)
    return merchant_update(merchant=merchant, data=data, reason=reason)


def open_ledger_accounts(*, merchant_nos: Sequence[str]) -> None:
    """Open the ledger accounts of merchants; harmless for those that have them."""
    if merchant_nos:
        ledger.open_accounts_of_merchants(merchant_nos)
        # A customer under a freeze gets no free accounts by opening another merchant.
        freezes_cover(merchant_nos=merchant_nos)


def _check_merchant_change(row: Merchant, fields: Sequence[str], values: Mapping[str, Any]) -> None:
    context = {"merchant_no": row.merchant_no}
    if "customer_id" in fields:
        raise PayopsError(
            "merchants.customer_fixed",
            _("Merchant %(merchant)s belongs to customer %(customer)s and cannot move to another; open a new merchant.")
            % {"merchant": row.merchant_no, "customer": row.customer.customer_no},
            {**context, "field": "customer"},
        )
    status = values["status"]
    if "status" in fields and status not in MERCHANT_STATUS_NEXT[row.status]:
        raise PayopsError(
            "merchants.bad_status_change",
            _("Merchant %(merchant)s is “%(old)s” and cannot become “%(new)s”.")
            % {"merchant": row.merchant_no, "old": row.status, "new": status},
            {**context, "field": "status", "old": row.status, "new": status},
        )
    if "status" in fields and status == MerchantStatus.CLOSED:
        _refuse_open_balance(row.merchant_no)


def _refuse_open_balance(merchant_no: str) -> None:
    accounts = Account.objects.filter(owner_kind=OwnerKind.MERCHANT, owner_no=merchant_no)
    left = accounts.exclude(balance=0).values_list("account_no", "balance", "currency")
    for account_no, balance, currency in left[:1]:
        raise PayopsError(
            "merchants.balance_left",
            _("Merchant %(merchant)s cannot be closed: account %(account)s still holds %(balance)s %(currency)s.")
            % {
                "merchant": merchant_no,
                "account": account_no,
                "balance": format_amount(balance, currency),
                "currency": currency,
            },
            {"merchant_no": merchant_no, "account_no": account_no, "balance": balance, "field": "status"},
        )


# --- products and terms -----------------------------------------------------------------------------------------------


def merchant_product_set(*, merchant: Merchant, product: str, data: ProductData, reason: str = "") -> MerchantProduct:
    """Sign or change the contract of a merchant for one product."""
    outcome = merchant_products_set(products={(merchant, product): data}, reason=reason)
    return outcome.rows[(merchant.pk, product)]


def merchant_products_set(*, products: Mapping[tuple[Merchant, str], ProductData], reason: str = "") -> Upserted:
    """`merchant_product_set` for many, by merchant and product."""
    numbers = {merchant.pk: merchant.merchant_no for merchant, _product in products}
    wanted = {
        (merchant.pk, product): {
            "package_id": data.package.pk,
            "collection": str(data.collection),
            "effective_from": data.effective_from,
        }
        for (merchant, product), data in products.items()
    }
    return upsert_rows(
        MerchantProduct,
        wanted,
        key=["merchant_id", "product"],
        reason=reason,
        label=lambda row: f"{numbers[row.merchant_id]}/{row.product}",
    )


def settlement_terms_set(*, merchant: Merchant, data: TermsData, reason: str = "") -> SettlementTerms:
    """Agree or change when and from which amount a merchant is paid."""
    return settlement_terms_set_many(terms={merchant: data}, reason=reason).rows[(merchant.pk,)]


def settlement_terms_set_many(*, terms: Mapping[Merchant, TermsData], reason: str = "") -> Upserted:
    """`settlement_terms_set` for many."""
    numbers = {merchant.pk: merchant.merchant_no for merchant in terms}
    for merchant, data in terms.items():
        if data.minimum_amount < 0:
            raise PayopsError(
                "merchants.negative_minimum",
                _("The minimum payout of merchant %(merchant)s is below zero.") % {"merchant": merchant.merchant_no},
                {"merchant_no": merchant.merchant_no, "field": "minimum_amount"},
            )
    wanted = {
        (merchant.pk,): {
            "cycle_unit": str(data.cycle_unit),
            "cycle_days": data.cycle_days,
            "minimum_amount": data.minimum_amount,
        }
        for merchant, data in terms.items()
    }
    return upsert_rows(
        SettlementTerms, wanted, key=["merchant_id"], reason=reason, label=lambda row: numbers[row.merchant_id]
    )


# --- settlement accounts ----------------------------------------------------------------------------------------------


def settlement_account_set(*, merchant: Merchant, data: SettlementAccountData, reason: str = "") -> SettlementAccount:
    """Name the bank account a merchant is paid to.

    Another bank, holder or number replaces the account in use, which stays as "replaced"; only a branch code is
    corrected in place. The same data for a flagged account changes nothing: it stays flagged until new data come.
    """
    return settlement_accounts_set(accounts={merchant: data}, reason=reason).rows[(merchant.pk,)]


@transaction.atomic
def settlement_accounts_set(*, accounts: Mapping[Merchant, SettlementAccountData], reason: str = "") -> Upserted:
    """`settlement_account_set` for many."""
    outcome = Upserted()
    in_use = {
        row.merchant_id: row
        for row in SettlementAccount.objects.filter(merchant__in=[merchant.pk for merchant in accounts])
        .exclude(state=AccountState.REPLACED)
        .select_for_update(of=("self",))
        .order_by("id")
    }
    new: list[SettlementAccount] = []
    replaced: list[SettlementAccount] = []
    corrected: list[SettlementAccount] = []
    for merchant, data in accounts.items():
        wanted = _account_row(merchant, data)
        current = in_use.get(merchant.pk)
        differing = [] if current is None else _account_differences(current, wanted)
        if current is None:
            new.append(wanted)
            outcome.created.append(merchant.merchant_no)
        elif not differing:
            outcome.unchanged.append(merchant.merchant_no)
            wanted = current
        elif differing == ["branch_code"]:
            current.branch_code = wanted.branch_code
            corrected.append(current)
            outcome.changed[merchant.merchant_no] = differing
            wanted = current
        else:
            current.state = AccountState.REPLACED
            replaced.append(current)
            new.append(wanted)
            outcome.changed[merchant.merchant_no] = differing
        outcome.rows[(merchant.pk,)] = wanted
    # The old account gives way first: only one may be in use.
    update_rows(SettlementAccount, replaced, ["state"], reason=reason)
    update_rows(SettlementAccount, corrected, ["branch_code"], reason=reason)
    create_rows(SettlementAccount, new, reason=reason)
    return outcome


def settlement_account_flag(*, account: SettlementAccount, reason: str) -> SettlementAccount:
    """Mark an account after a payout to it failed by its fault or was returned; a replaced one is left alone."""
    with transaction.atomic():
        row = SettlementAccount.objects.select_for_update().get(pk=account.pk)
        if row.state == AccountState.ACTIVE:
            row.state = AccountState.FLAGGED
            row._change_reason = reason[:100]
            row.save(update_fields=["state"])
    return row


def _account_row(merchant: Merchant, data: SettlementAccountData) -> SettlementAccount:
    number = normalise_number(data.number)
    return SettlementAccount(
        merchant=merchant,
        bank_name=data.bank_name,
        branch_code=data.branch_code,
        holder=data.holder,
        number=number,
        number_index=blind_index(number, ACCOUNT_PURPOSE),
        number_masked=mask_tail(number),
        state=AccountState.ACTIVE,
    )


def _account_differences(current: SettlementAccount, wanted: SettlementAccount) -> list[str]:
    pairs = {"bank_name": "bank_name", "holder": "holder", "number_index": "number", "branch_code": "branch_code"}
    return [name for field, name in pairs.items() if getattr(current, field) != getattr(wanted, field)]
