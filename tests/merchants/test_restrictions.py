"""Freezing a customer: every account of every merchant, its users too; lifting restores what was before."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payops.accounts import services as ledger
from payops.accounts.choices import AccountStatus
from payops.accounts.models import Account
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.identity.models import User
from payops.merchants.models import Customer, CustomerFreeze
from payops.merchants.restrictions import (
    customer_freeze,
    customer_freeze_lift,
    customer_freeze_lift_propose,
    customer_freeze_propose,
    freezes_cover,
)
from payops.merchants.services import CustomerData, MerchantData, customer_upsert, merchant_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Customer:
    """A customer with two merchants, beside a stranger with one."""
    ledger.chart_load()
    ours = customer_upsert(customer_no="C-A", data=CustomerData("Tea House Ltd.", "91110000MA00000001"))
    other = customer_upsert(customer_no="C-B", data=CustomerData("Noodles Ltd.", "91110000MA00000002"))
    for number, owner in (("M-A", ours), ("M-A2", ours), ("M-B", other)):
        merchant_create(merchant_no=number, data=MerchantData(number, owner))
    return ours


def statuses(*merchants: str) -> set[str]:
    rows = Account.objects.filter(owner_no__in=merchants)
    return set(rows.values_list("status", flat=True))


def freeze(customer: Customer, status: str = "judicial", document: str = "(2026) 7") -> CustomerFreeze:
    order, _accounts = customer_freeze(
        customer=customer, status=status, reason="court", document=document, placed_by="alice"
    )
    return order


def lift(order: CustomerFreeze) -> int:
    return customer_freeze_lift(freeze=order, reason="lifted", lifted_by="alice")


def test_a_freeze_holds_all_accounts_of_all_merchants_and_nobody_elses(customer: Customer) -> None:
    freeze(customer)
    assert statuses("M-A", "M-A2") == {"judicial"}
    assert statuses("M-B") == {"normal"}


def test_lifting_restores_exactly_what_was_before(customer: Customer) -> None:
    account = Account.objects.get(account_no="220202-M-A2")
    ledger.account_status_set(account=account, status=AccountStatus.CREDIT_ONLY)
    before = dict(Account.objects.values_list("account_no", "status"))
    assert lift(freeze(customer)) == Account.objects.filter(owner_no__in=["M-A", "M-A2"]).count()
    assert dict(Account.objects.values_list("account_no", "status")) == before


def test_what_was_set_since_stays_when_the_freeze_is_lifted(customer: Customer) -> None:
    order = freeze(customer)
    account = Account.objects.get(account_no="220202-M-A")
    ledger.account_status_set(account=account, status=AccountStatus.STOPPED)
    lift(order)
    account.refresh_from_db()
    assert account.status == "stopped"


def test_of_two_orders_the_one_in_force_holds(customer: Customer) -> None:
    first, second = freeze(customer), freeze(customer, document="(2026) 8")
    lift(first)
    assert statuses("M-A", "M-A2") == {"judicial"}
    lift(second)
    assert statuses("M-A", "M-A2") == {"normal"}


def test_a_merchant_opened_under_a_freeze_is_under_it(customer: Customer) -> None:
    order = freeze(customer)
    merchant_create(merchant_no="M-A3", data=MerchantData("third", customer))
    assert statuses("M-A3") == {"judicial"}
    assert freezes_cover(merchant_nos=["M-A3"]) == 0
    lift(order)
    assert statuses("M-A3") == {"normal"}


def test_the_customers_users_look_and_give_no_instructions(customer: Customer) -> None:
    maker = User.objects.create_user("mo", role="merchant", merchant_no="M-A2", merchant_role="maker")
    other = User.objects.create_user("ne", role="merchant", merchant_no="M-B", merchant_role="maker")
    order = freeze(customer)
    assert maker.may("portal.view")
    assert not maker.may("portal.refunds.propose")
    assert other.may("portal.refunds.propose")
    lift(order)
    assert maker.may("portal.refunds.propose")


def test_a_freeze_is_placed_and_lifted_by_two_people(customer: Customer, alice: Any, bob: Any) -> None:
    request = customer_freeze_propose(
        customer=customer, status="judicial", reason="court", document="(2026) 7", maker=alice
    )
    assert statuses("M-A") == {"normal"}
    request_approve(request_id=request.pk, checker=bob)
    order = CustomerFreeze.objects.get()
    assert (statuses("M-A", "M-A2"), order.placed_by, order.document) == ({"judicial"}, "alice", "(2026) 7")
    request = customer_freeze_lift_propose(freeze=order, reason="court lifted it", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    order.refresh_from_db()
    assert (statuses("M-A", "M-A2"), order.state, order.lift_reason) == ({"normal"}, "lifted", "court lifted it")


def test_a_merchant_opened_meanwhile_makes_the_proposal_stale(customer: Customer, alice: Any, bob: Any) -> None:
    request = customer_freeze_propose(customer=customer, status="stopped", reason="r", document="d", maker=alice)
    merchant_create(merchant_no="M-A3", data=MerchantData("third", customer))
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=bob)
    assert caught.value.code == "approvals.target_changed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": "normal"}, "merchants.freeze_status"),
        ({"status": "closed"}, "merchants.freeze_status"),
        ({"status": "x"}, "merchants.freeze_status"),
        ({"reason": " "}, "merchants.freeze_reason"),
        ({"document": ""}, "merchants.freeze_reason"),
    ],
)
def test_an_order_that_says_too_little_is_refused(
    customer: Customer, alice: Any, changes: dict[str, str], code: str
) -> None:
    values = {"status": "stopped", "reason": "r", "document": "d", **changes}
    with pytest.raises(PayopsError) as caught:
        customer_freeze_propose(customer=customer, maker=alice, **values)
    assert caught.value.code == code


def test_an_order_is_lifted_once(customer: Customer, alice: Any) -> None:
    order = freeze(customer)
    lift(order)
    order.refresh_from_db()
    with pytest.raises(PayopsError):
        lift(order)
    with pytest.raises(PayopsError):
        customer_freeze_lift_propose(freeze=order, reason="again", maker=alice)


# --- what the database refuses ---


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE merchants_customerfreeze SET status = 'stopped'",
        "UPDATE merchants_customerfreeze SET document = 'x'",
        "DELETE FROM merchants_customerfreeze",
    ],
)
def test_an_order_is_only_lifted(customer: Customer, statement: str) -> None:
    freeze(customer)
    _refused(statement, "23001")


def test_a_lifted_order_does_not_come_back(customer: Customer) -> None:
    lift(freeze(customer))
    _refused("UPDATE merchants_customerfreeze SET state = 'in_force', lifted_at = NULL, lifted_by = ''", "23001")


def test_an_order_is_lifted_by_somebody(customer: Customer) -> None:
    freeze(customer)
    _refused("UPDATE merchants_customerfreeze SET state = 'lifted'", "23514")


def _refused(statement: str, state: str) -> None:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert caught.value.__cause__.sqlstate == state
