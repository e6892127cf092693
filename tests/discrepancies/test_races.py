"""Two people, or a person and a run, on one case at the same moment, each on a real connection."""

from __future__ import annotations

import pytest

from payops.approvals.services import request_approve
from payops.discrepancies.choices import ActionKind, CaseKind, CaseState
from payops.discrepancies.models import CaseAction, CaseEvent, Discrepancy
from payops.discrepancies.services import action_propose, case_auto_clear, case_open
from payops.identity.services import user_create
from tests.approvals.test_races import race
from tests.discrepancies.conftest import DAY, pending, surplus

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_approvers_at_once_credit_the_merchant_once(lost, alice, bob, world):
    second = user_create(username="barbara", password=None, role="finance")
    case = lost(10000)
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    outcomes = race(
        lambda: request_approve(request_id=action.approval_id, checker=bob),
        lambda: request_approve(request_id=action.approval_id, checker=second),
        lambda: request_approve(request_id=action.approval_id, checker=bob),
    )
    assert sorted(outcomes) == ["approvals.already_decided", "approvals.already_decided", "ok"]
    assert (pending(world.a), surplus(world.wechat)) == (10000, 0)
    assert CaseEvent.objects.filter(case=case, what="booked").count() == 1


def test_two_operators_proposing_at_once_leave_one_proposal(lost, alice):
    anna = user_create(username="anna", password=None, role="operations")
    case = lost(10000)
    outcomes = race(
        lambda: action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice),
        lambda: action_propose(case_id=case.pk, kind=ActionKind.REFUND_PAYER, params={}, user=anna),
    )
    assert sorted(outcomes) == ["discrepancies.action_pending", "ok"]
    assert CaseAction.objects.filter(case=case).count() == 1


def test_approval_against_the_arriving_half_ends_in_one_of_the_two(lost, alice, bob, world):
    case = lost(10000)
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    outcomes = race(
        lambda: request_approve(request_id=action.approval_id, checker=bob),
        lambda: case_auto_clear(case_id=case.pk, note="own half arrived"),
    )
    case.refresh_from_db()
    if case.state == CaseState.CLOSED:
        assert outcomes == ["ok", "discrepancies.already_resolved"]
        assert pending(world.a) == 10000
    else:
        assert outcomes == ["approvals.already_decided", "ok"]
        assert (case.state, pending(world.a)) == (CaseState.AUTO_CLEARED, 0)


def test_two_runs_finding_one_difference_open_one_case(world):
    def find() -> Discrepancy:
        return case_open(
            dedupe_key="same",
            kind=CaseKind.CHANNEL_ONLY,
            amount=1,
            suspense=1,
            currency="CNY",
            business_date=DAY,
            evidence={},
            contract=world.wechat,
        )

    assert race(find, find, find) == ["ok", "ok", "ok"]
    assert Discrepancy.objects.count() == 1
    assert CaseEvent.objects.filter(what="opened").count() == 1
