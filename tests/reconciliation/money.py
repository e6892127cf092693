"""The bank's side of a channel's money, for tests: a world with one channel, its bank lines and its bills."""

from __future__ import annotations

import datetime as dt
from itertools import count

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.channels.models import BankAccount, BankLine, BillFile
from payops.discrepancies.checks import check_suspense
from payops.reconciliation import funds
from payops.reconciliation.models import ChannelReceipt, ReconRun
from tests.orders.conftest import World, build_world

FRIDAY = dt.date(2026, 11, 13)
MONDAY = dt.date(2026, 11, 16)
_numbers = count(1)


def build() -> World:
    """WeChat names the channel date in its memo; Monday is open."""
    made = build_world()
    made.wechat.receipt_pattern = r"WECHAT settlement (?P<date>\d{8})"
    made.wechat.save()
    ledger.day_open(MONDAY)
    return made


def bank_line(amount: int, memo: str = "", **fields: object) -> BankLine:
    values = {"bank_account": BankAccount.objects.get(code="RSV"), "value_date": MONDAY, "currency": "CNY"}
    return BankLine.objects.create(reference=f"BK{next(_numbers)}", amount=amount, memo=memo, **{**values, **fields})


def settlement(amount: int, day: dt.date = FRIDAY) -> BankLine:
    return bank_line(amount, f"WECHAT settlement {day:%Y%m%d}", counterparty="WeChat Pay clearing")


def bill(world: World, due: int, day: dt.date = FRIDAY) -> ChannelReceipt:
    """The run over the day's bill is done: this much is owed, and booked as a receivable."""
    contract = world.wechat
    if not ReconRun.objects.filter(contract=contract, channel_date=day).exists():
        file = BillFile.objects.create(
            contract=contract, channel_date=day, version=1, original_name="b", stored_path="b", sha256="b", size=1
        )
        ReconRun.objects.create(
            contract=contract, channel_date=day, run_no=1, state="complete", is_current=True, file=file
        )
    ledger.post(
        ledger.Posting(Event.BILL_NETTED, "test", next(_numbers), {"S": due, "K": 0}, {"channel": contract.code}, day)
    )
    return funds.receipt_due_set(contract=contract, channel_date=day, due=due)


def receivable(world: World) -> int:
    return balances.balance_of("112201", "channel", world.wechat.code)


def suspense(kind: str, owner: str) -> tuple[int, int]:
    """Surplus and shortage of the owner."""
    return balances.balance_of("224101", kind, owner), balances.balance_of("122101", kind, owner)


def reserve() -> int:
    return balances.balance_of("100201", "bank", "RSV")


def check(day: dt.date = MONDAY) -> ChannelReceipt:
    funds.funds_check(day=day)
    assert check_suspense(day) == []
    return ChannelReceipt.objects.get()
