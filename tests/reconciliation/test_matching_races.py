"""Taking a match by hand back beside a run and beside a second approver (real transactions, real threads)."""

from __future__ import annotations

from typing import Any

import pytest

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.identity.services import user_create
from payops.reconciliation.matching.undo import hand_match_undo_propose
from payops.reconciliation.models import MatchEnd, MatchGroup, RunVoucher
from payops.reconciliation.services import run_reconcile
from tests.reconciliation.builders import MON, TUE, Town, build_town, line, live, pay
from tests.reconciliation.test_matching_by_hand import match
from tests.reconciliation.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def town(transactional_db: None, alice: Any, bob: Any) -> Town:
    """A match by hand over two days."""
    made = build_town()
    made.day(MON, [pay("100001", MON)])
    made.day(TUE, [], [line("R-10000", TUE)])
    match(alice, bob, "R-100001", "R-10000")
    return made


@pytest.fixture
def dora(transactional_db: None) -> Any:
    """Another one of finance."""
    return user_create(username="dora", password=None, role="finance", full_name="Dora")


def proposed(alice: Any) -> ApprovalRequest:
    return hand_match_undo_propose(group_id=MatchGroup.objects.get().pk, reason="wrong", maker=alice)


def taken_back_once(town: Town) -> None:
    assert MatchEnd.objects.count() == 1
    back = [voucher.amounts for voucher in RunVoucher.objects.filter(amounts__D__lt=0)]
    assert back == [{"D": -10_000}, {"D": -10_000}]
    assert live() == [("R-10000", "definite", 10_000), ("R-100001", "definite", -10_000)]
    assert (town.surplus, town.shortage, town.clearing) == (10_000, 10_000, 0)
    town.books_agree()


def test_two_approvers_at_once_take_it_back_once(town: Town, alice: Any, bob: Any, dora: Any) -> None:
    request = proposed(alice)
    results = at_once(
        *[lambda who=who: request_approve(request_id=request.pk, checker=who) for who in (bob, dora)],
    )
    refused = [result for result in results if isinstance(result, Exception)]
    assert [error.code for error in refused if isinstance(error, PayopsError)] == ["approvals.already_decided"]
    taken_back_once(town)


@pytest.mark.parametrize("day", [MON, TUE])
def test_beside_a_run_it_is_taken_back_once(town: Town, alice: Any, bob: Any, day: Any) -> None:
    request = proposed(alice)
    results = at_once(
        lambda: request_approve(request_id=request.pk, checker=bob),
        lambda: run_reconcile(contract=town.contract, day=day),
    )
    assert not [result for result in results if isinstance(result, Exception)]
    taken_back_once(town)
