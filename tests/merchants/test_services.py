"""Opening and changing merchants: history, ledger accounts, encrypted numbers, one settlement account in use."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from payops.accounts import services as ledger
from payops.accounts.models import Account
from payops.core.errors import PayopsError
from payops.fees.services import fee_package_upsert
from payops.merchants.models import AccountState, Customer, Merchant, MerchantProduct, SettlementAccount
from payops.merchants.selectors import (
    contracts_by_product,
    merchant_get,
    merchant_of_user,
    merchants_for_user,
    settlement_account_in_use,
    settlement_accounts_by_number,
)
from payops.merchants.services import (
    CustomerData,
    MerchantData,
    ProductData,
    SettlementAccountData,
    TermsData,
    customer_upsert,
    merchant_create,
    merchant_product_set,
    merchant_set_status,
    merchant_update,
    settlement_account_flag,
    settlement_account_set,
    settlement_terms_set,
)

pytestmark = pytest.mark.django_db

ACCOUNT = SettlementAccountData("ICBC", "Tea House Ltd.", "6225 8800 0000 0001")


@pytest.fixture
def customer() -> Customer:
    ledger.chart_load()
    return customer_upsert(customer_no="C-A", data=CustomerData("Tea House Ltd.", "9111 0000 ma00000001"))


@pytest.fixture
def merchant(customer: Customer) -> Merchant:
    return merchant_create(merchant_no="M-A", data=MerchantData("Tea House", customer))


def test_opening_a_merchant_opens_its_ledger_accounts(merchant: Merchant) -> None:
    opened = set(Account.objects.filter(owner_no="M-A").values_list("subject__code", flat=True))
    assert {"220201", "220202", "220203", "112202", "112203", "224102"} <= opened


def test_a_merchant_number_is_taken_once(merchant: Merchant, customer: Customer) -> None:
    with pytest.raises(PayopsError) as caught:
        merchant_create(merchant_no="M-A", data=MerchantData("Other", customer))
    assert caught.value.code == "merchants.number_taken"


def test_a_certificate_number_is_stored_encrypted_and_normalised(customer: Customer) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT certificate_no FROM merchants_customer")
        (stored,) = cursor.fetchone()
    assert "91110000" not in stored
    assert Customer.objects.get().certificate_no == "91110000MA00000001"


def test_one_certificate_number_belongs_to_one_customer(customer: Customer) -> None:
    with pytest.raises(PayopsError) as caught:
        customer_upsert(customer_no="C-B", data=CustomerData("Other", "91110000-MA00000001"))
    assert caught.value.code == "merchants.certificate_taken"
    assert caught.value.context["holder"] == "C-A"


def test_changing_a_merchant_writes_history_with_its_reason(merchant: Merchant, customer: Customer) -> None:
    merchant_update(merchant=merchant, data=MerchantData("Tea Palace", customer), reason="renamed")
    newest = Merchant.history.filter(merchant_no="M-A").latest()
    assert (newest.name, newest.history_type, newest.history_change_reason) == ("Tea Palace", "~", "renamed")


def test_the_same_data_again_write_nothing(merchant: Merchant, customer: Customer) -> None:
    merchant_update(merchant=merchant, data=MerchantData("Tea House", customer))
    assert Merchant.history.count() == 1


def test_a_merchant_cannot_move_to_another_customer(merchant: Merchant) -> None:
    other = customer_upsert(customer_no="C-B", data=CustomerData("Other", "X1"))
    with pytest.raises(PayopsError) as caught:
        merchant_update(merchant=merchant, data=MerchantData("Tea House", other))
    assert caught.value.code == "merchants.customer_fixed"


def test_a_closed_merchant_stays_closed(merchant: Merchant) -> None:
    closed = merchant_set_status(merchant=merchant, status="closed")
    with pytest.raises(PayopsError) as caught:
        merchant_set_status(merchant=closed, status="active")
    assert caught.value.code == "merchants.bad_status_change"


def test_a_merchant_with_money_cannot_be_closed(merchant: Merchant) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE accounts_account SET balance = 1 WHERE owner_no = 'M-A' AND account_no LIKE '220201%%'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    with pytest.raises(PayopsError) as caught:
        merchant_set_status(merchant=merchant, status="closed")
    assert caught.value.code == "merchants.balance_left"
    assert "still holds 0.01 CNY" in str(caught.value)


def test_contracts_tell_intake_package_and_collection(merchant: Merchant) -> None:
    package = fee_package_upsert(code="STD")
    merchant_product_set(merchant=merchant, product="qr", data=ProductData(package, dt.date(2026, 1, 1), "gross"))
    contract = contracts_by_product(["M-A"])["M-A", "qr"]
    assert (contract.merchant_id, contract.package_code, contract.collection) == (merchant.pk, "STD", "gross")


def test_terms_below_zero_are_refused(merchant: Merchant) -> None:
    with pytest.raises(PayopsError) as caught:
        settlement_terms_set(merchant=merchant, data=TermsData("T", 1, -1))
    assert caught.value.code == "merchants.negative_minimum"


# --- settlement accounts ----------------------------------------------------------------------------------------------


def test_an_account_number_is_encrypted_masked_and_found_exactly(merchant: Merchant) -> None:
    account = settlement_account_set(merchant=merchant, data=ACCOUNT)
    with connection.cursor() as cursor:
        cursor.execute("SELECT number, number_masked FROM merchants_settlementaccount")
        stored, masked = cursor.fetchone()
    assert "62258800" not in stored
    assert masked == "************0001"
    assert settlement_accounts_by_number("6225880000000001").get() == account
    assert not settlement_accounts_by_number("6225880000000002").exists()


def test_the_same_account_again_changes_nothing(merchant: Merchant) -> None:
    first = settlement_account_set(merchant=merchant, data=ACCOUNT)
    assert settlement_account_set(merchant=merchant, data=ACCOUNT) == first
    assert SettlementAccount.history.count() == 1


def test_another_number_replaces_the_account_in_use(merchant: Merchant) -> None:
    first = settlement_account_set(merchant=merchant, data=ACCOUNT)
    second = settlement_account_set(merchant=merchant, data=SettlementAccountData("ICBC", "Tea House Ltd.", "999"))
    first.refresh_from_db()
    assert (first.state, second.state) == (AccountState.REPLACED, AccountState.ACTIVE)
    assert settlement_account_in_use(merchant) == second
    assert SettlementAccount.history.filter(id=first.pk, history_type="~").count() == 1


def test_a_branch_code_is_corrected_in_place(merchant: Merchant) -> None:
    first = settlement_account_set(merchant=merchant, data=ACCOUNT)
    corrected = SettlementAccountData(ACCOUNT.bank_name, ACCOUNT.holder, ACCOUNT.number, "102100099996")
    assert settlement_account_set(merchant=merchant, data=corrected) == first
    assert SettlementAccount.objects.get().branch_code == "102100099996"


def test_a_flagged_account_stays_flagged_until_new_data_come(merchant: Merchant) -> None:
    account = settlement_account_set(merchant=merchant, data=ACCOUNT)
    settlement_account_flag(account=account, reason="payout returned")
    assert settlement_account_set(merchant=merchant, data=ACCOUNT).state == AccountState.FLAGGED
    renewed = settlement_account_set(merchant=merchant, data=SettlementAccountData("ICBC", "Tea House", "999"))
    assert renewed.state == AccountState.ACTIVE


def test_the_database_refuses_a_second_account_in_use(merchant: Merchant) -> None:
    account = settlement_account_set(merchant=merchant, data=ACCOUNT)
    account.pk = None
    with pytest.raises(IntegrityError, match="settlement_account_one_in_use"), transaction.atomic():
        account.save(force_insert=True)


@pytest.mark.parametrize(
    "change",
    [
        "number_index = 'X'",
        "holder = 'Somebody else'",
        "bank_name = 'Another bank'",
        "merchant_id = merchant_id + 1",
    ],
)
def test_where_an_approved_account_leads_never_changes(merchant: Merchant, change: str) -> None:
    settlement_account_set(merchant=merchant, data=ACCOUNT)
    settlement_account_set(merchant=merchant, data=SettlementAccountData("ICBC", "Tea House", "999"))
    with pytest.raises(IntegrityError, match="keeps its merchant"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE merchants_settlementaccount SET {change} WHERE state = 'active'")


@pytest.mark.parametrize("state", ["flagged", "replaced"])
def test_an_account_taken_out_of_use_is_not_paid_to_again(merchant: Merchant, state: str) -> None:
    settlement_account_set(merchant=merchant, data=ACCOUNT)
    SettlementAccount.objects.update(state=state)
    with pytest.raises(IntegrityError, match="takes no more payouts"), transaction.atomic():
        SettlementAccount.objects.update(state="active")


def test_history_keeps_no_plain_numbers(merchant: Merchant) -> None:
    settlement_account_set(merchant=merchant, data=ACCOUNT)
    for model in (SettlementAccount, Customer):
        assert not {"number", "certificate_no"} & {field.name for field in model.history.model._meta.fields}


@pytest.mark.parametrize(
    ("table", "change", "constraint"),
    [
        ("merchants_merchant", "status = 'gone'", "merchant_status_known"),
        ("merchants_merchant", "merchant_no = ''", "merchant_number_not_blank"),
        ("merchants_settlementterms", "minimum_amount = -1", "terms_minimum_not_negative"),
        ("merchants_settlementterms", "cycle_unit = 'W'", "terms_cycle_known"),
        ("merchants_merchantproduct", "collection = 'none'", "merchant_product_collection_known"),
    ],
)
def test_the_database_refuses_damaged_rows(merchant: Merchant, table: str, change: str, constraint: str) -> None:
    settlement_terms_set(merchant=merchant, data=TermsData())
    package = fee_package_upsert(code="STD")
    MerchantProduct.objects.create(merchant=merchant, product="qr", package=package, effective_from=dt.date(2026, 1, 1))
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {change}")


# --- who sees which merchant ------------------------------------------------------------------------------------------


def test_a_merchants_user_sees_its_own_merchant_only(
    merchant: Merchant, customer: Customer, mei: Any, omar: Any
) -> None:
    other = merchant_create(merchant_no="M-B", data=MerchantData("Other", customer))
    assert list(merchants_for_user(mei)) == [merchant]
    assert merchant_of_user(omar) == other


def test_staff_see_every_merchant(merchant: Merchant, alice: Any, carol: Any) -> None:
    assert list(merchants_for_user(alice)) == [merchant]
    assert list(merchants_for_user(carol)) == [merchant]
    assert merchant_of_user(alice) is None


def test_a_locked_user_sees_nothing(merchant: Merchant, mei: Any) -> None:
    mei.is_active = False
    assert not merchants_for_user(mei).exists()


def test_an_unknown_merchant_is_an_error_naming_it() -> None:
    with pytest.raises(PayopsError, match="M-X"):
        merchant_get("M-X")
