"""Differences as a run would leave them: a case, and its suspense booked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.channels.models import ChannelContract
from payops.discrepancies.choices import CaseKind
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.services import action_propose, case_open
from payops.merchants.models import Merchant
from payops.orders.models import Transaction
from payops.orders.services import transactions_load
from tests.orders.conftest import DAY, World, build_world, ndjson, order

Find = Callable[..., Discrepancy]
_sources = count(1)


@pytest.fixture
def world(db: None) -> World:
    """Two contracts, two merchants, the first accounting day open."""
    made = build_world()
    ledger.day_open(DAY)
    return made


def balance(subject: str, owner_kind: str, owner_no: str = "") -> int:
    """Minor units on the subject's normal side."""
    return balances.balance_of(subject, owner_kind, owner_no)


def surplus(contract: ChannelContract) -> int:
    return balance("224101", "channel", contract.code)


def shortage(contract: ChannelContract) -> int:
    return balance("122101", "channel", contract.code)


def pending(merchant: Merchant) -> int:
    return balance("220201", "merchant", merchant.merchant_no)


def settlement(merchant: Merchant) -> int:
    return balance("220202", "merchant", merchant.merchant_no)


def in_flight(merchant: Merchant) -> int:
    return balance("220203", "merchant", merchant.merchant_no)


def owed(merchant: Merchant) -> int:
    return balance("112203", "merchant", merchant.merchant_no)


def book(event: Event, amount: int, **owners: str) -> Voucher | None:
    """What a run or a clearing booked before the test begins."""
    return ledger.post(
        ledger.Posting(
            event=event,
            source_kind="test",
            source_id=next(_sources),
            amounts={"D": amount, "A": amount, "X": 0, "F": 0},
            owners=owners,
            business_date=DAY,
        )
    )


def give_settlement(merchant: Merchant, contract: ChannelContract, amount: int) -> None:
    """The merchant has this much on its settlement account: paid for and cleared."""
    book(Event.PAYMENT, amount, merchant=merchant.merchant_no, channel=contract.code)
    book(Event.CLEARING_NET, amount, merchant=merchant.merchant_no)


@pytest.fixture
def find(world: World) -> Find:
    """``find(CaseKind.CHANNEL_ONLY, 100)``: a run met a difference d, booked it to suspense and opened the case."""

    def make(kind: CaseKind, d: int, *, key: str = "", suspense: int | None = None, **extra: Any) -> Discrepancy:
        contract = extra.pop("contract", world.wechat)
        held = d if suspense is None else suspense
        if held:
            event = Event.SURPLUS_FOUND if held > 0 else Event.SHORTAGE_FOUND
            book(Event.FEE_CLAIM if kind == CaseKind.FEE else event, abs(held), channel=contract.code)
        return case_open(
            dedupe_key=key or f"K{next(_sources)}",
            kind=kind,
            amount=d,
            suspense=held,
            currency="CNY",
            business_date=extra.pop("business_date", DAY),
            evidence=extra.pop("evidence", {"own": None, "channel": None}),
            contract=contract,
            **extra,
        )

    return make


@pytest.fixture
def lost(find: Find, world: World) -> Callable[[int], Discrepancy]:
    """``lost(amount)``: only the channel knows the payment; its merchant is told by the line."""

    def make(amount: int = 10000) -> Discrepancy:
        line = {
            "match_key": "R-LOST",
            "channel_trade_no": "4200001",
            "merchant_order_no": "O-LOST",
            "merchant_no": "M-A",
            "occurred_at": "2026-11-20T10:00:00+08:00",
        }
        return find(CaseKind.CHANNEL_ONLY, amount, merchant=world.a, evidence={"own": None, "channel": line})

    return make


@pytest.fixture
def paid(world: World) -> Callable[[str], Transaction]:
    """``paid("1")``: a succeeded payment of M-A over WeChat for 100.00, booked."""

    def make(number: str) -> Transaction:
        transactions_load(source=ndjson(order(number)), name="orders.ndjson", user="alice")
        row = Transaction.objects.for_days(dt.date(2026, 11, 10), dt.date(2026, 11, 21)).get(transaction_no=number)
        book(Event.PAYMENT, row.amount, merchant="M-A", channel=world.wechat.code)
        return row

    return make


@pytest.fixture
def decide(alice: Any, bob: Any) -> Callable[..., CaseAction]:
    """``decide(case, "loss", note="…")``: Alice proposes, Bob approves."""

    def make(case: Discrepancy, kind: str, *, note: str = "", **params: Any) -> CaseAction:
        action = action_propose(case_id=case.pk, kind=kind, params=params, user=alice, note=note)
        request_approve(request_id=action.approval_id, checker=bob)
        action.refresh_from_db()
        case.refresh_from_db()
        return action

    return make


def request_of(action: CaseAction) -> ApprovalRequest:
    return ApprovalRequest.objects.get(pk=action.approval_id)
