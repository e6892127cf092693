"""A day of two merchants, cleared and settled: what statements are made from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from payops.accounts import services as ledger
from payops.channels.models import ChannelContract
from payops.core.crypto import blind_index
from payops.merchants.models import CycleUnit, Merchant, SettlementAccount, SettlementTerms
from payops.merchants.numbers import ACCOUNT_PURPOSE
from payops.orders.services import transactions_load
from payops.settlement import balance
from payops.settlement.clearing import clearing_run
from payops.settlement.equation import Equation
from payops.settlement.models import SettlementSheet
from payops.settlement.sheets import settlement_run
from tests.orders.conftest import DAY, World, build_world, ndjson, order, refund


def account_for(merchant: Merchant) -> SettlementAccount:
    """Where the merchant is paid."""
    return SettlementAccount.objects.create(
        merchant=merchant,
        bank_name="ICBC",
        holder=merchant.name,
        number="6222020000001234",
        number_index=blind_index("6222020000001234", ACCOUNT_PURPOSE),
        number_masked="****1234",
    )


@pytest.fixture
def cleared(db: None) -> World:
    """20 November: M-A sold three times and refunded once over two channels, M-B sold once; cleared."""
    world = build_world()
    ChannelContract.objects.update(clear_without_run=True)
    world.wechat.channel.name_zh = "微信支付"
    world.wechat.channel.save()
    for merchant in (world.a, world.b):
        account_for(merchant)
        SettlementTerms.objects.create(merchant=merchant, cycle_unit=CycleUnit.D, cycle_days=1)
    ledger.day_open(DAY)
    alipay = {"channel": "alipay", "channel_account": "20889900112233440156"}
    rows = [
        order("T1", amount="100.00", merchant_order_no="=1+1"),
        order("T2", amount="250.50"),
        order("T3", amount="80.00", **alipay),
        refund("R1", "T2", "50.50"),
        order("T9", amount="10.00", merchant_no="M-B"),
    ]
    intake = transactions_load(source=ndjson(*rows), name="orders.ndjson", user="alice")
    assert not intake.refused
    ledger.day_cut_off(DAY)
    ledger.close_day(DAY)
    clearing_run(day=DAY, username="alice")
    return world


@pytest.fixture
def settle_day(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, SettlementSheet]]:
    """``settle_day(day, failing=("ALIPAY",))``: settlement and balance check, the sheets of the day by merchant.

    No bill, no bank: what the check would find is said here.
    """

    def run(day: dt.date = DAY, *, failing: tuple[str, ...] = (), check: bool = True) -> dict[str, SettlementSheet]:
        def equation_of(contract: ChannelContract, own_date: dt.date) -> Equation:
            short = 1 if contract.code in failing else 0
            return Equation(contract, own_date, {"receipt": 100 - short}, {}, 100, reason="short" if short else "")

        monkeypatch.setattr(balance, "equation_of", equation_of)
        settlement_run(day=day, username="alice")
        if check:
            balance.balance_check_run(day=day)
        sheets = SettlementSheet.objects.filter(session__own_date=day).select_related("merchant")
        return {sheet.merchant.merchant_no: sheet for sheet in sheets}

    return run


@pytest.fixture
def settled(cleared: World, settle_day: Callable[..., dict[str, SettlementSheet]]) -> dict[str, SettlementSheet]:
    """One finished sheet per merchant."""
    return settle_day()
