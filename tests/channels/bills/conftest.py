"""The contracts whose sample bills the tests load."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from payops.channels.models import BankAccount, Channel, ChannelContract

SAMPLES = Path(__file__).parents[2] / "samples"
DAY = dt.date(2026, 11, 18)


def contract(code: str, bill_format: str, account_no: str) -> ChannelContract:
    """A contract with nothing but what bills need."""
    reserve, _made = BankAccount.objects.get_or_create(
        code="RSV", defaults={"bank_name": "Bank", "account_no": "6222", "kind": "reserve"}
    )
    channel, _made = Channel.objects.get_or_create(code=code.lower(), defaults={"name": code})
    return ChannelContract.objects.create(
        channel=channel, code=code, account_no=account_no, bill_format=bill_format, cut_off=dt.time(0, 0),
        reserve_account=reserve,
    )  # fmt: skip


@pytest.fixture
def wechat(db: None) -> ChannelContract:
    """WeChat Pay."""
    return contract("WECHAT", "wechat_trade", "1699999901")


@pytest.fixture
def alipay(db: None) -> ChannelContract:
    """Alipay."""
    return contract("ALIPAY", "alipay_trade", "20889900112233440156")


@pytest.fixture
def unionpay(db: None) -> ChannelContract:
    """UnionPay."""
    return contract("UNIONPAY", "unionpay_zm", "777290058999901")
