"""Open items matched by hand: proposed, approved, cleared at once, and what runs make of it afterwards."""

from __future__ import annotations

import datetime as dt

import pytest

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve, request_reject
from payops.core.errors import PayopsError
from payops.discrepancies.choices import ActionKind
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose
from payops.identity.models import User
from payops.reconciliation.choices import GroupBy
from payops.reconciliation.matching.hand import hand_match_propose, proposed_items
from payops.reconciliation.models import MatchGroup, MatchMember, OpenItem, RunVoucher
from tests.reconciliation.builders import MON, TUE, WED, Town, booked, cases, found, line, live, pay
from tests.reconciliation.test_matching import rule


def item(key: str) -> OpenItem:
    return OpenItem.objects.get(match_key=key, state__in=("in_doubt", "definite"))


def propose(alice: User, *keys: str) -> ApprovalRequest:
    return hand_match_propose(item_ids=[item(key).pk for key in keys], reason="the channel cut the number", maker=alice)


def match(alice: User, bob: User, *keys: str) -> ApprovalRequest:
    request = propose(alice, *keys)
    request_approve(request_id=request.pk, checker=bob)
    request.refresh_from_db()
    return request


def refusal(code: str):
    return pytest.raises(PayopsError, check=lambda error: error.code == code)


@pytest.fixture
def cut_off_number(town: Town) -> Town:
    """Our order of Monday and a line of Tuesday whose number was cut off: a shortage and a surplus, two cases."""
    town.day(MON, [pay("100001", MON)])
    town.day(TUE, [], [line("R-10000", TUE)])
    assert (town.shortage, town.surplus) == (10_000, 10_000)
    return town


def test_both_halves_leave_suspense_when_it_is_approved(cut_off_number: Town, alice: User, bob: User) -> None:
    town = cut_off_number
    match(alice, bob, "R-100001", "R-10000")
    town.books_agree()
    assert (town.shortage, town.surplus, town.clearing, live()) == (0, 0, 0, [])
    assert cases() == [("own_only", "auto_cleared", 0), ("channel_only", "auto_cleared", 0)]
    group = MatchGroup.objects.get()
    assert (group.kind, group.own_amount, group.channel_amount, group.difference) == ("by_hand", 10_000, 10_000, 0)


def test_what_is_booked_is_the_reverse_of_both_suspense_bookings(cut_off_number: Town, alice: User, bob: User) -> None:
    request = match(alice, bob, "R-100001", "R-10000")
    run = OpenItem.objects.get(match_key="R-10000").cleared_run
    assert request.result["run"] == run.pk
    assert booked(run) == {
        "Surplus cleared by its other half": {"D": 10_000},
        "Shortage cleared by its other half": {"D": 10_000},
    }
    assert found(run) == [("by_hand", "R-10000", 10_000), ("by_hand", "R-100001", -10_000), *found(run)[2:]]


def test_nothing_happens_before_the_second_person_agrees(cut_off_number: Town, alice: User) -> None:
    request = propose(alice, "R-100001", "R-10000")
    assert (cut_off_number.shortage, MatchGroup.objects.count()) == (10_000, 0)
    assert set(proposed_items().values()) == {request.pk}


def test_the_same_person_cannot_agree(cut_off_number: Town, alice: User) -> None:
    request = propose(alice, "R-100001", "R-10000")
    with pytest.raises(PayopsError):
        request_approve(request_id=request.pk, checker=alice)


def test_runs_afterwards_change_nothing(cut_off_number: Town, alice: User, bob: User) -> None:
    town = cut_off_number
    match(alice, bob, "R-100001", "R-10000")
    for day in (TUE, MON, TUE):
        run = town.run(day)
        assert RunVoucher.objects.filter(run=run).count() == 0
    assert (town.shortage, town.surplus, live()) == (0, 0, [])
    assert {state for _kind, state, _suspense in cases()} == {"auto_cleared"}


def test_the_true_number_in_a_later_bill_is_a_duplicate(cut_off_number: Town, alice: User, bob: User) -> None:
    match(alice, bob, "R-100001", "R-10000")
    assert found(cut_off_number.day(WED, [], [line("R-100001", WED)])) == [("duplicate_channel", "R-100001", 10_000)]


def test_both_of_one_day_are_matched_in_that_day(town: Town, alice: User, bob: User) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON)])
    match(alice, bob, "R-100001", "R-10000")
    town.books_agree()
    again = town.run(MON)
    assert found(again) == [("by_hand", "R-10000", 10_000), ("by_hand", "R-100001", -10_000)]
    assert (RunVoucher.objects.filter(run=again).count(), live(), town.surplus, town.shortage) == (0, [], 0, 0)


def test_items_in_doubt_may_be_matched_too(town: Town, alice: User, bob: User) -> None:
    town.day(MON, [pay("100001", MON, "22:58:00")], [line("R-10000", MON, "22:58:00")])
    assert {state for _key, state, _d in live()} == {"in_doubt"}
    match(alice, bob, "R-100001", "R-10000")
    town.books_agree()
    assert (live(), cases(), town.clearing) == ([], [], 0)


def test_a_re_issue_with_the_same_line_keeps_the_match(cut_off_number: Town, alice: User, bob: User) -> None:
    town = cut_off_number
    match(alice, bob, "R-100001", "R-10000")
    town.bill(TUE, line("R-10000", TUE), line("R-7", TUE))
    run = town.run(TUE)
    assert [row for row in found(run) if row[0] != "by_hand"] == [("channel_only", "R-7", 10_000)]
    now = MatchMember.objects.get(is_live=True, side="channel")
    assert now.row_id == OpenItem.objects.get(match_key="R-10000").bill_line_id
    assert MatchGroup.objects.filter(end__isnull=True).count() == 1


def test_a_re_issue_without_the_line_is_a_difference_of_its_own(cut_off_number: Town, alice: User, bob: User) -> None:
    """The channel takes back what was matched: what was decided stays, the change is a new case."""
    town = cut_off_number
    match(alice, bob, "R-100001", "R-10000")
    town.bill(TUE)
    run = town.run(TUE)
    assert ("amount_mismatch", "R-10000", -10_000) in found(run)
    assert (town.surplus, town.shortage) == (0, 10_000)


def test_several_orders_against_one_line(town: Town, alice: User, bob: User) -> None:
    town.day(MON, [pay("1", MON), pay("2", MON)], [line("B-9", MON, amount=20_000)])
    match(alice, bob, "R-1", "R-2", "B-9")
    town.books_agree()
    town.run(MON)
    assert (live(), town.surplus, town.shortage, MatchMember.objects.count()) == ([], 0, 0, 3)


def test_a_tolerated_difference_stays_as_a_case_of_its_own(town: Town, alice: User, bob: User) -> None:
    rule(town, GroupBy.NONE, amount_tolerance=100)
    town.day(MON, [pay("100001", MON)])
    town.day(TUE, [], [line("R-10000", TUE, amount=9_950)])
    match(alice, bob, "R-100001", "R-10000")
    town.books_agree()
    assert live() == [("R-100001", "definite", -50)]
    assert cases()[-1] == ("amount_mismatch", "open", -50)
    again = town.run(TUE)
    assert (RunVoucher.objects.filter(run=again).count(), live()) == (0, [("R-100001", "definite", -50)])


@pytest.mark.parametrize("day", [MON, TUE])
def test_the_rest_of_a_tolerated_difference_is_decided_once(town: Town, alice: User, bob: User, day: dt.date) -> None:
    rule(town, GroupBy.NONE, amount_tolerance=100)
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, amount=9_950)] if day == MON else [])
    if day == TUE:
        town.day(TUE, [], [line("R-10000", TUE, amount=9_950)])
    match(alice, bob, "R-100001", "R-10000")
    rest = Discrepancy.objects.get(kind="amount_mismatch")
    action = action_propose(case_id=rest.pk, kind=ActionKind.LOSS, params={}, user=alice, note="rounding")
    request_approve(request_id=action.approval_id, checker=bob)
    town.run(MON)
    if day == TUE:
        town.run(TUE)
    assert (live(), town.shortage, town.surplus) == ([], 0, 0)


def test_a_difference_beyond_the_tolerance_is_refused(town: Town, alice: User) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, amount=9_999)])
    with refusal("matching.differs"):
        propose(alice, "R-100001", "R-10000")


def test_items_of_one_side_are_refused(town: Town, alice: User) -> None:
    town.day(MON, [pay("1", MON), pay("2", MON)])
    with refusal("matching.choose"):
        propose(alice, "R-1", "R-2")


def test_an_item_stands_in_one_proposal_at_a_time(town: Town, alice: User, bob: User) -> None:
    town.day(MON, [pay("100001", MON), pay("100002", MON)], [line("R-10000", MON)])
    request = propose(alice, "R-100001", "R-10000")
    with refusal("matching.proposed"):
        propose(alice, "R-100002", "R-10000")
    request_reject(request_id=request.pk, checker=bob, note="look again")
    propose(alice, "R-100002", "R-10000")


def test_an_item_whose_case_has_a_proposal_is_refused(town: Town, alice: User) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON)])
    action_propose(case_id=item("R-100001").case_id, kind=ActionKind.LOSS, params={}, user=alice, note="gone")
    with refusal("matching.busy"):
        propose(alice, "R-100001", "R-10000")


def test_what_was_decided_meanwhile_stops_the_approval(cut_off_number: Town, alice: User, bob: User) -> None:
    request = propose(alice, "R-100001", "R-10000")
    action = action_propose(case_id=item("R-10000").case_id, kind=ActionKind.INCOME, params={}, user=alice, note="old")
    request_approve(request_id=action.approval_id, checker=bob)
    with refusal("matching.not_open"):
        request_approve(request_id=request.pk, checker=bob)
    assert MatchGroup.objects.count() == 0


def test_the_other_half_that_comes_meanwhile_stops_the_approval(cut_off_number: Town, alice: User, bob: User) -> None:
    request = propose(alice, "R-100001", "R-10000")
    cut_off_number.day(WED, [], [line("R-100001", WED)])
    with pytest.raises(PayopsError):
        request_approve(request_id=request.pk, checker=bob)
    assert (MatchGroup.objects.count(), live()) == (0, [("R-10000", "definite", 10_000)])
