"""Two decisions about one source document at the same moment: the second sees what the first has booked."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from payops.accounts import services
from payops.accounts.choices import Event
from payops.accounts.corrections import correction_propose
from payops.accounts.models import Account, CorrectedEntry
from payops.accounts.posting import Posting
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.identity.services import user_create
from tests.accounts.conftest import MONDAY, OWNERS
from tests.accounts.documents import move
from tests.accounts.test_concurrency import together
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
A, B = "220201-M-A", "220201-M-B"


@pytest.fixture
def people(committed_ledger: dt.date) -> tuple[Any, Any]:
    """A maker and a checker."""
    roles = (("alice", "operations"), ("bob", "finance"))
    return tuple(user_create(username=name, password=PASSWORD, role=role, full_name=name) for name, role in roles)


def test_of_a_correction_and_a_reversal_of_one_chain_one_is_booked(people: tuple[Any, Any]) -> None:
    alice, bob = people
    services.post(Posting(Event.PAYMENT, "transaction", 1, {"A": 500}, OWNERS, MONDAY))
    first, second = (
        services.post(Posting(event, "transaction", 2, {"A": 200}, OWNERS, MONDAY))
        for event in (Event.REFUND_ACCEPTED_PENDING, Event.REFUND_TAKEN)
    )
    whole = correction_propose(voucher_id=second.pk, user=alice, reason="Never happened.", whole=True)
    line = move(first, A, B, alice)
    results = together(
        lambda: request_approve(request_id=whole.approval_id, checker=bob),
        lambda: request_approve(request_id=line.approval_id, checker=bob),
    )
    refused = [result for result in results if isinstance(result, PayopsError)]
    assert len(refused) == 1, results
    assert refused[0].code in {"corrections.corrected", "corrections.reversed", "approvals.target_changed"}
    whole.refresh_from_db()
    assert CorrectedEntry.objects.count() == (4 if whole.state == "booked" else 1)


def test_two_approvers_of_one_correction_book_it_once(people: tuple[Any, Any]) -> None:
    alice, bob = people
    frank = user_create(username="frank", password=PASSWORD, role="finance", full_name="Frank")
    voucher = services.post(Posting(Event.PAYMENT, "transaction", 1, {"A": 500}, OWNERS, MONDAY))
    proposed = move(voucher, A, B, alice)
    results = together(
        lambda: request_approve(request_id=proposed.approval_id, checker=bob),
        lambda: request_approve(request_id=proposed.approval_id, checker=frank),
    )
    assert [type(result) for result in results].count(PayopsError) == 1, results
    assert Account.objects.get(account_no=B).balance == 500
