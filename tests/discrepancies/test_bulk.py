"""One proposal for hundreds of cases: one approval with totals, all booked or none."""

from __future__ import annotations

import pytest

from payops.approvals import selectors as approvals
from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve, request_reject
from payops.core.errors import PayopsError
from payops.discrepancies import handlers
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.choices import ActionKind, CaseKind, CaseState
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.services import (
    action_propose,
    actions_propose_many,
    case_auto_clear,
    case_open,
    case_suspense_set,
)
from tests.discrepancies.conftest import DAY, balance, pending, surplus

pytestmark = pytest.mark.django_db


def refusal(function, **arguments) -> PayopsError:
    with pytest.raises(PayopsError) as caught:
        function(**arguments)
    return caught.value


@pytest.fixture
def five(find, world) -> list[Discrepancy]:
    return [find(CaseKind.CHANNEL_ONLY, 100 * number, merchant=world.a) for number in range(1, 6)]


def propose(cases, user, kind=ActionKind.SUPPLEMENT, note="", **params) -> ApprovalRequest:
    return actions_propose_many(case_ids=[case.pk for case in cases], kind=kind, params=params, user=user, note=note)


def states(cases) -> set[str]:
    return set(Discrepancy.objects.filter(pk__in=[case.pk for case in cases]).values_list("state", flat=True))


def test_hundreds_of_cases_are_proposed_as_one_request_with_totals(five, alice, bob):
    request = propose(five, alice)
    assert (request.amount, request.payload["count"], request.payload["total"]) == (1500, 5, 1500)
    assert "5 cases" in request.title
    assert "15.00" in request.title
    assert states(five) == {CaseState.PROPOSED}
    assert list(approvals.pending_for(bob)) == [request]
    rows = {str(label): str(value) for label, value in approvals.describe(request).rows}
    assert (rows["Cases"], rows["Total"], rows[five[0].case_no]) == ("5", "15.00 CNY", "1.00")


def test_one_approval_books_one_voucher_for_each_case(five, alice, bob, world):
    request = propose(five, alice)
    request_approve(request_id=request.pk, checker=bob)
    assert states(five) == {CaseState.CLOSED}
    vouchers = set(CaseAction.objects.filter(approval=request).values_list("voucher_id", flat=True))
    assert (len(vouchers), None in vouchers) == (5, False)
    assert (surplus(world.wechat), pending(world.a)) == (0, 1500)
    request.refresh_from_db()
    assert (request.result["cases"], len(request.result["vouchers"])) == (5, 5)
    assert check_suspense(DAY) == []


def test_a_batch_is_executed_once(five, alice, bob, world):
    request = propose(five, alice)
    request_approve(request_id=request.pk, checker=bob)
    assert refusal(request_approve, request_id=request.pk, checker=bob).code == "approvals.already_decided"
    assert pending(world.a) == 1500


def test_one_case_that_changed_stops_the_whole_batch(five, alice, bob, world):
    request = propose(five, alice)
    case_suspense_set(case_id=five[2].pk, suspense=250, amount=250, note="re-issued bill")
    assert refusal(request_approve, request_id=request.pk, checker=bob).code == "approvals.target_changed"
    assert (states(five), pending(world.a)) == ({CaseState.PROPOSED}, 0)


def test_one_failing_booking_undoes_all_others(five, alice, bob, world):
    def handler(case, action):
        if case.pk == five[4].pk:
            raise PayopsError("tests.no", "not this one")

    request = propose(five, alice)
    handlers.register_resolution_handler(handler)
    try:
        assert refusal(request_approve, request_id=request.pk, checker=bob).code == "tests.no"
    finally:
        handlers.unregister(handler)
    assert (states(five), pending(world.a), surplus(world.wechat)) == ({CaseState.PROPOSED}, 0, 1500)


def test_one_case_cleared_by_a_run_withdraws_the_batch_and_frees_the_others(five, alice):
    request = propose(five, alice)
    case_auto_clear(case_id=five[0].pk, note="own half arrived")
    request.refresh_from_db()
    assert request.status == "withdrawn"
    assert states(five[1:]) == {CaseState.OPEN}
    assert states(five[:1]) == {CaseState.AUTO_CLEARED}


def test_a_rejected_batch_returns_every_case(five, alice, bob):
    request = propose(five, alice)
    request_reject(request_id=request.pk, checker=bob, note="not yet")
    assert states(five) == {CaseState.OPEN}
    assert set(CaseAction.objects.filter(approval=request).values_list("state", flat=True)) == {"rejected"}
    assert propose(five, alice).pk != request.pk


def test_one_unfit_case_is_named_and_nothing_is_proposed(five, find, alice, world):
    shortage = find(CaseKind.OWN_ONLY, -5, merchant=world.a)
    error = refusal(
        actions_propose_many,
        case_ids=[case.pk for case in [*five, shortage]],
        kind=ActionKind.SUPPLEMENT,
        params={},
        user=alice,
    )
    assert (error.code, shortage.case_no in str(error)) == ("discrepancies.action_not_allowed", True)
    assert states(five) == {CaseState.OPEN}
    assert CaseAction.objects.count() == 0


def test_a_case_already_proposed_is_named(five, alice):
    action_propose(case_id=five[1].pk, kind=ActionKind.WAIT, params={}, user=alice)
    error = refusal(
        actions_propose_many, case_ids=[case.pk for case in five], kind=ActionKind.WAIT, params={}, user=alice
    )
    assert (error.code, five[1].case_no in str(error)) == ("discrepancies.action_pending", True)


def test_currencies_are_not_added_up(five, alice, world):
    other = case_open(
        dedupe_key="usd",
        kind=CaseKind.CHANNEL_ONLY,
        amount=5,
        suspense=5,
        currency="USD",
        business_date=DAY,
        evidence={},
        contract=world.wechat,
    )
    error = refusal(
        actions_propose_many,
        case_ids=[five[0].pk, other.pk],
        kind=ActionKind.INCOME,
        params={},
        user=alice,
        note="old",
    )
    assert (error.code, error.context["currencies"]) == ("discrepancies.mixed_currencies", ["CNY", "USD"])


def test_an_empty_choice_is_refused(alice, world):
    error = refusal(actions_propose_many, case_ids=[], kind=ActionKind.WAIT, params={}, user=alice)
    assert error.code == "discrepancies.batch_size"


def test_losses_in_a_batch_are_summed_by_magnitude(find, alice, bob, world):
    cases = [find(CaseKind.OWN_ONLY, -amount) for amount in (10, 20)]
    request = propose(cases, alice, ActionKind.LOSS, note="below the limit")
    assert request.amount == 30
    request_approve(request_id=request.pk, checker=bob)
    assert balance("671101", "institution") == 30


def test_a_large_total_needs_the_second_tier(find, alice, world):
    small = [find(CaseKind.CHANNEL_ONLY, 2_500_000, merchant=world.a) for _ in range(2)]
    assert propose(small, alice).tier == 1
    large = [find(CaseKind.CHANNEL_ONLY, 2_500_001, merchant=world.a) for _ in range(2)]
    assert propose(large, alice).tier == 2
