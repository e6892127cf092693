"""Facts for closed merchant accounts become cases, and suspense stays explained by open cases (DOMAIN 4.4, 4.5)."""

from __future__ import annotations

from typing import Any

import pytest

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.choices import AccountStatus, Event
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.choices import ActionKind, CaseKind, CaseState, ReasonCode
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.rules import allowed_actions
from tests.discrepancies.conftest import DAY, World, book, surplus


@pytest.fixture
def closed(world: World) -> World:
    """Merchant M-A's pending account is closed."""
    ledger.account_status_set(
        account=balances.account_get("2202.01", "merchant", world.a.merchant_no), status=AccountStatus.CLOSED
    )
    return world


def test_a_payment_for_a_closed_account_opens_a_case_with_its_suspense(closed: World) -> None:
    book(Event.PAYMENT, 100, merchant=closed.a.merchant_no, channel=closed.wechat.code)
    case = Discrepancy.objects.get()
    assert (case.kind, case.reason_code, case.state) == (
        CaseKind.CLOSED_ACCOUNT,
        ReasonCode.CLOSED_ACCOUNT,
        CaseState.OPEN,
    )
    assert (case.amount, case.suspense, surplus(closed.wechat)) == (100, 100, 100)
    assert (case.contract, case.merchant, case.business_date) == (closed.wechat, closed.a, DAY)
    assert case.evidence["closed"]["account_no"] == f"220201-{closed.a.merchant_no}"


def test_a_void_for_a_closed_account_opens_a_shortage(closed: World) -> None:
    book(Event.VOID, 100, merchant=closed.a.merchant_no, channel=closed.wechat.code)
    assert Discrepancy.objects.get().suspense == -100


def test_suspense_of_every_owner_stays_explained_by_cases(closed: World) -> None:
    merchant = closed.a.merchant_no
    book(Event.PAYMENT, 100, merchant=merchant, channel=closed.wechat.code)
    book(Event.VOID, 30, merchant=merchant, channel=closed.wechat.code)
    book(Event.REFUND_ACCEPTED_PENDING, 7, merchant=merchant)
    assert Discrepancy.objects.count() == 3
    assert check_suspense(DAY) == []


def test_a_bulk_posting_opens_the_cases_of_its_diverted_lines_only(closed: World) -> None:
    def posting(source: int, merchant: Any) -> ledger.Posting:
        owners = {"merchant": merchant.merchant_no, "channel": closed.wechat.code}
        return ledger.Posting(Event.PAYMENT, "transaction", source, {"A": source}, owners, DAY)

    postings = [posting(n, closed.a if n % 3 == 0 else closed.b) for n in range(1, 13)]
    assert ledger.post_many(postings).posted == 12
    cases = Discrepancy.objects.order_by("transaction_id")
    assert [(case.transaction_id, case.suspense) for case in cases] == [(n, n) for n in (3, 6, 9, 12)]
    assert check_suspense(DAY) == []


def test_nothing_is_proposed_that_would_meet_the_closed_account_again(closed: World) -> None:
    merchant, channel = closed.a.merchant_no, closed.wechat.code
    book(Event.PAYMENT, 100, merchant=merchant, channel=channel)
    book(Event.VOID, 30, merchant=merchant, channel=channel)
    surplus_case, shortage_case = Discrepancy.objects.order_by("id")
    assert allowed_actions(surplus_case) == [ActionKind.WAIT, ActionKind.REFUND_PAYER, ActionKind.INCOME]
    assert allowed_actions(shortage_case) == [ActionKind.WAIT, ActionKind.LOSS]
    assert (surplus_case.suggested_action, shortage_case.suggested_action) == ("refund_payer", "wait")
