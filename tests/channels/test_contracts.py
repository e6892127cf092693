"""Channels, contracts and bank accounts: what is checked, what is fixed, what is found by which key."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from django.db import DatabaseError, connection, transaction

from payops.accounts import services as ledger
from payops.accounts.models import Account
from payops.channels.models import BankAccount, BillFile, Channel, ChannelContract
from payops.channels.selectors import (
    bank_account_by_number,
    bank_account_get,
    contract_get,
    contracts,
    contracts_by_account,
)
from payops.channels.services import (
    BankAccountData,
    ContractData,
    bank_account_upsert,
    channel_contract_upsert,
    channel_contracts_upsert,
    channels_upsert,
)
from payops.core.errors import PayopsError
from payops.core.ids import day_floor

pytestmark = pytest.mark.django_db

DAY = dt.date(2026, 11, 20)


@pytest.fixture
def reserve() -> BankAccount:
    ledger.chart_load()
    return bank_account_upsert(code="RES", data=BankAccountData("ICBC", "0200001", "reserve"))


@pytest.fixture
def channel() -> Channel:
    return channels_upsert(channels={"WECHAT": {"name": "WeChat Pay"}}).rows[("WECHAT",)]


@pytest.fixture
def data(channel: Channel, reserve: BankAccount) -> ContractData:
    return ContractData(channel, "1699999901", "wechat_trade", dt.time(0), reserve)


def test_a_contract_and_its_bank_account_open_their_ledger_accounts(data: ContractData) -> None:
    channel_contract_upsert(code="WX", data=data)
    subjects = Account.objects.filter(owner_no="WX").values_list("subject__code", flat=True)
    assert {"112201", "300101", "642101"} <= set(subjects)
    assert Account.objects.filter(owner_no="RES", subject__code="100201").exists()


@pytest.mark.parametrize("bill_format", ["wechat_fundflow", "unionpay_zme", "unionpay_alfee"])
def test_a_contract_is_reconciled_by_a_bill_of_trades(data: ContractData, bill_format: str) -> None:
    with pytest.raises(PayopsError) as caught:
        channel_contract_upsert(code="WX", data=replace(data, bill_format=bill_format))
    assert caught.value.code == "channels.not_a_bill_format"


def test_a_contract_is_found_by_code_and_by_our_number(data: ContractData) -> None:
    contract = channel_contract_upsert(code="WX", data=data)
    assert contract_get("WX") == contract
    assert contracts_by_account()["WECHAT", "1699999901"] == contract


def test_an_unknown_contract_is_an_error_that_lists_the_known(data: ContractData) -> None:
    channel_contract_upsert(code="WX", data=data)
    with pytest.raises(PayopsError, match="WX") as caught:
        contract_get("ALI")
    assert caught.value.code == "channels.unknown"


def test_inactive_contracts_can_be_left_out(data: ContractData) -> None:
    channel_contract_upsert(code="WX", data=replace(data, active=False))
    assert not contracts(active_only=True).exists()
    assert contracts().exists()


def test_our_number_at_a_channel_belongs_to_one_contract(data: ContractData) -> None:
    channel_contract_upsert(code="WX", data=data)
    with pytest.raises(PayopsError) as caught:
        channel_contracts_upsert(contracts={"WX-2": data})
    assert caught.value.code == "channels.number_taken"


def test_our_number_may_change_until_the_first_file(data: ContractData) -> None:
    channel_contract_upsert(code="WX", data=data)
    changed = replace(data, account_no="1699999902")
    contract = channel_contract_upsert(code="WX", data=changed)
    BillFile.objects.create(
        contract=contract, channel_date=DAY, version=1, original_name="x", stored_path="x", sha256="0" * 64, size=1
    )
    with pytest.raises(PayopsError) as caught:
        channel_contract_upsert(code="WX", data=data)
    assert caught.value.code == "channels.field_fixed"


def test_other_terms_change_with_history(data: ContractData) -> None:
    channel_contract_upsert(code="WX", data=data)
    channel_contract_upsert(code="WX", data=replace(data, settle_days=2), reason="new contract")
    newest = ChannelContract.history.filter(code="WX").latest()
    assert (newest.settle_days, newest.history_change_reason) == (2, "new contract")


def test_the_kind_of_a_bank_account_is_fixed(reserve: BankAccount) -> None:
    with pytest.raises(PayopsError) as caught:
        bank_account_upsert(code="RES", data=BankAccountData("ICBC", "0200001", "own"))
    assert caught.value.code == "channels.field_fixed"


def test_a_bank_account_is_found_by_code_and_number(reserve: BankAccount) -> None:
    assert bank_account_get("RES") == reserve
    assert bank_account_by_number("0200001") == reserve
    with pytest.raises(PayopsError) as caught:
        bank_account_by_number("999")
    assert caught.value.code == "channels.unknown_bank_account"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE channels_billline SET amount = 2",
        "DELETE FROM channels_billline",
        "TRUNCATE channels_billline",
        "TRUNCATE channels_billline_p261120",
    ],
)
def test_bill_lines_are_never_changed_or_removed(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO channels_billline (id, contract_id, kind, match_key, trade_no, status, amount,"
            " settled_amount, fee, currency, occurred_at, row_hash)"
            " VALUES (%s, 1, 1, 'k', 't', 'SUCCESS', 1, 1, 0, 'CNY', now(), 0)",
            [day_floor(DAY) + 1],
        )
        with pytest.raises(DatabaseError, match="never changed or removed"), transaction.atomic():
            cursor.execute(statement)
