"""A day of two merchants, cleared and settled: what statements are made from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from payops.accounts import selectors as ledger_selectors
from payops.accounts import services as ledger
from payops.channels.models import ChannelContract
from payops.merchants.models import Merchant, SettlementAccount
from payops.orders.services import transactions_load
from payops.settlement.choices import SheetState
from payops.settlement.clearing import clearing_run
from payops.settlement.models import ClearingItem, SettlementSession, SettlementSheet
from payops.settlement.selectors import settled_part
from tests.orders.conftest import DAY, World, build_world, ndjson, order, refund

PAY_DATE = dt.date(2026, 11, 23)


def account_for(merchant: Merchant) -> SettlementAccount:
    """Where the merchant is paid."""
    return SettlementAccount.objects.create(
        merchant=merchant,
        bank_name="ICBC",
        holder=merchant.name,
        number="6222020000001234",
        number_index=f"index-{merchant.pk}",
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


def sheet_for(merchant: Merchant, *, number: str, withhold: Any = None, **changes: Any) -> SettlementSheet:
    """A settlement sheet over everything cleared for the merchant, as settlement makes it."""
    session, _made = SettlementSession.objects.get_or_create(pay_date=PAY_DATE, own_date=DAY, session_no=1)
    items = list(ClearingItem.objects.filter(merchant=merchant, settlement_sheet=None))
    kept = [item for item in items if withhold is None or item.contract.code != withhold]
    settlement = sum(settled_part(item) for item in items)
    withheld = sum(item.net for item in items if item not in kept)
    balance = ledger_selectors.balance_of("220202", "merchant", merchant.merchant_no)
    values = {
        "session": session,
        "sheet_no": number,
        "merchant": merchant,
        "pay_date": PAY_DATE,
        "count": sum(item.count for item in items),
        "amount": sum(item.amount for item in items),
        "fee": sum(item.fee for item in items),
        "settlement_amount": settlement,
        "adjustment_amount": balance - settlement,
        "withheld_amount": withheld,
        "payout_amount": balance - withheld,
        "state": SheetState.READY,
        "settlement_account": merchant.settlement_accounts.first(),
        **changes,
    }
    sheet = SettlementSheet.objects.create(**values)
    ClearingItem.objects.filter(pk__in=[item.pk for item in kept]).update(settlement_sheet=sheet)
    return sheet


@pytest.fixture
def settled(cleared: World) -> dict[str, SettlementSheet]:
    """One finished sheet per merchant."""
    return {"M-A": sheet_for(cleared.a, number="S-A"), "M-B": sheet_for(cleared.b, number="S-B")}


@pytest.fixture
def settle(cleared: World) -> Callable[..., SettlementSheet]:
    """``settle(merchant, number=…)`` makes a sheet with changes."""
    return sheet_for
