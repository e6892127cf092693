"""An internal offset taken back: two rows that only seem to cancel each other are differences of their own."""

from __future__ import annotations

import pytest
from django.db import connection

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.discrepancies.choices import ActionKind
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose
from payops.identity.models import User
from payops.reconciliation.matching.apart import offset_undo_propose, offsets_of
from payops.reconciliation.matching.models import KeptApart
from payops.reconciliation.models import ReconRun, RunVoucher
from tests.reconciliation.builders import MON, TUE, Town, booked, cases, found, line, live, pay, reverse
from tests.reconciliation.test_matching_by_hand import refusal
from tests.reconciliation.test_matching_guards import attack


def current(town: Town) -> ReconRun:
    return ReconRun.objects.get(contract=town.contract, channel_date=MON, is_current=True)


def propose(town: Town, alice: User) -> ApprovalRequest:
    run = current(town)
    (offset,) = offsets_of(run)
    return offset_undo_propose(run_id=run.pk, target=offset.target, reason="two customers", maker=alice)


def take_back(town: Town, alice: User, bob: User) -> ApprovalRequest:
    request = propose(town, alice)
    request_approve(request_id=request.pk, checker=bob)
    request.refresh_from_db()
    return request


@pytest.fixture
def ours(town: Town) -> Town:
    """A payment of ours and the void of all of it, of which the channel knows neither."""
    town.day(MON, [pay("1", MON), reverse("2", "1", MON, amount="100.00", kind="void")])
    assert {kind for kind, _key, _d in found(current(town))} == {"offset"}
    return town


@pytest.fixture
def theirs(town: Town) -> Town:
    """A line and its reversal, of which we know neither."""
    lines = [line("Z-1", MON), line("Z-2", MON, "11:00:00", kind="reversal", trade_no="T-Z-1")]
    town.day(MON, [], lines)
    assert {kind for kind, _key, _d in found(current(town))} == {"offset"}
    return town


def test_both_rows_of_ours_are_differences_then(ours: Town, alice: User, bob: User) -> None:
    request = take_back(ours, alice, bob)
    ours.books_agree()
    assert live() == [("R-1", "definite", -10_000), ("R-2", "definite", 10_000)]
    run = ReconRun.objects.get(pk=request.result["run"])
    assert booked(run) == {"Shortage to suspense": {"D": 10_000}, "Surplus to suspense": {"D": 10_000}}


def test_both_lines_are_differences_then(theirs: Town, alice: User, bob: User) -> None:
    take_back(theirs, alice, bob)
    theirs.books_agree()
    assert live() == [("Z-1", "definite", 10_000), ("Z-2", "definite", -10_000)]
    assert len(cases()) == 2


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_runs_afterwards_find_the_same(side: str, request: pytest.FixtureRequest, alice: User, bob: User) -> None:
    town = request.getfixturevalue(side)
    take_back(town, alice, bob)
    told = found(current(town))
    again = town.run(MON)
    assert (found(again), RunVoucher.objects.filter(run=again).count()) == (told, 0)


def test_a_re_issue_with_the_same_lines_keeps_them_apart(theirs: Town, alice: User, bob: User) -> None:
    take_back(theirs, alice, bob)
    theirs.bill(MON, line("Z-2", MON, "11:00:00", kind="reversal", trade_no="T-Z-1"), line("Z-1", MON))
    theirs.run(MON)
    assert live() == [("Z-1", "definite", 10_000), ("Z-2", "definite", -10_000)]


def test_the_other_half_of_one_that_came_since_is_found(ours: Town, alice: User, bob: User) -> None:
    """As a duplicate while the offset counted, as the payment's own line without it."""
    ours.day(TUE, [], [line("R-1", TUE)])
    assert live() == [("R-1", "definite", 10_000)]
    take_back(ours, alice, bob)
    ours.books_agree()
    assert live() == [("R-2", "definite", 10_000)]


def test_it_is_taken_back_once(ours: Town, alice: User, bob: User) -> None:
    run = current(ours)
    (offset,) = offsets_of(run)
    request = take_back(ours, alice, bob)
    with refusal("approvals.already_decided"):
        request_approve(request_id=request.pk, checker=bob)
    with refusal("matching.no_offset"):
        offset_undo_propose(run_id=run.pk, target=offset.target, reason="again", maker=alice)
    assert KeptApart.objects.count() == 1


def test_a_repeated_run_does_not_overtake_the_proposal(ours: Town, alice: User, bob: User) -> None:
    request = propose(ours, alice)
    ours.run(MON)
    request_approve(request_id=request.pk, checker=bob)
    assert len(live()) == 2


def test_a_decision_about_what_came_since_rests_on_it(ours: Town, alice: User, bob: User) -> None:
    ours.day(TUE, [], [line("R-1", TUE)])
    duplicate = Discrepancy.objects.get(kind="duplicate_channel")
    action = action_propose(case_id=duplicate.pk, kind=ActionKind.INCOME, params={}, user=alice, note="old")
    request_approve(request_id=action.approval_id, checker=bob)
    with refusal("matching.built_on"):
        propose(ours, alice)


def test_a_newer_bill_is_run_first(ours: Town, alice: User) -> None:
    ours.bill(MON, line("R-5", MON))
    with refusal("matching.run_first"):
        propose(ours, alice)


APART = (
    "INSERT INTO reconciliation_keptapart (contract_id, side, one, other, approval_id, made_by, made_at)"
    " VALUES (%s, 'own', %s, %s, %s, 'x', now())"
)


def test_nobody_is_kept_apart_without_an_executed_request_for_these_rows(ours: Town, alice: User, bob: User) -> None:
    request = propose(ours, alice)
    names = request.payload["names"]
    assert attack((APART, [ours.contract.pk, *names, request.pk])) == "kept_apart_by_two"
    request_approve(request_id=request.pk, checker=bob)
    assert attack((APART, [ours.contract.pk, "1", "2", request.pk])) in ("kept_apart_by_two", _unique())
    assert attack((APART, [ours.contract.pk, *names, request.pk + 1])) == "kept_apart_once"
    assert attack((APART, [ours.contract.pk, *names[::-1], request.pk + 1])) == "kept_apart_once"


def _unique() -> str:
    return "reconciliation_keptapart_approval_id_key"


@pytest.mark.parametrize("statement", ["DELETE FROM", "TRUNCATE", "UPDATE"])
def test_what_two_people_kept_apart_stays_so(ours: Town, alice: User, bob: User, statement: str) -> None:
    take_back(ours, alice, bob)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    changed = " SET one = 'x'" if statement == "UPDATE" else ""
    assert "refused" in attack((f"{statement} reconciliation_keptapart{changed}", []))
