"""A match by hand taken back: by two people, once, with what it had booked, and not when something rests on it."""

from __future__ import annotations

import pytest

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.discrepancies.choices import ActionKind
from payops.discrepancies.models import CaseEvent, Discrepancy
from payops.discrepancies.services import action_propose
from payops.identity.models import User
from payops.reconciliation.choices import GroupBy
from payops.reconciliation.matching.undo import hand_match_undo_propose
from payops.reconciliation.models import MatchEnd, MatchGroup, MatchMember, OpenItem, RunVoucher
from tests.reconciliation.builders import MON, TUE, WED, Town, booked, cases, found, line, live, pay
from tests.reconciliation.test_matching import rule
from tests.reconciliation.test_matching_by_hand import match, refusal
from tests.reconciliation.test_matching_guards import attack


def counting() -> MatchGroup:
    """The match by hand that counts."""
    return MatchGroup.objects.get(kind="by_hand", end__isnull=True)


def propose(alice: User) -> ApprovalRequest:
    return hand_match_undo_propose(group_id=counting().pk, reason="two customers after all", maker=alice)


def take_back(alice: User, bob: User) -> ApprovalRequest:
    request = propose(alice)
    request_approve(request_id=request.pk, checker=bob)
    request.refresh_from_db()
    return request


@pytest.fixture
def matched(town: Town, alice: User, bob: User) -> Town:
    """Our order of Monday and a line of Tuesday whose number was cut off, matched by hand."""
    town.day(MON, [pay("100001", MON)])
    town.day(TUE, [], [line("R-10000", TUE)])
    match(alice, bob, "R-100001", "R-10000")
    assert (live(), town.shortage, town.surplus) == ([], 0, 0)
    return town


def everything_is_open_again(town: Town) -> None:
    """As it stood before the match."""
    town.books_agree()
    assert live() == [("R-10000", "definite", 10_000), ("R-100001", "definite", -10_000)]
    assert (town.shortage, town.surplus, town.clearing) == (10_000, 10_000, 0)
    assert cases() == [("own_only", "open", -10_000), ("channel_only", "open", 10_000)]
    assert not MatchMember.objects.filter(is_live=True).exists()


def test_items_and_cases_are_open_again_when_it_is_approved(matched: Town, alice: User, bob: User) -> None:
    take_back(alice, bob)
    everything_is_open_again(matched)
    notes = CaseEvent.objects.filter(what="noted").values_list("username", flat=True)
    assert list(notes) == ["bob", "bob"]


def test_what_the_match_booked_is_booked_back_once(matched: Town, alice: User, bob: User) -> None:
    match_run = OpenItem.objects.get(match_key="R-10000").cleared_run
    request = take_back(alice, bob)
    back = RunVoucher.objects.filter(run=request.result["run"])
    assert booked(match_run) == {
        "Surplus cleared by its other half": {"D": 10_000},
        "Shortage cleared by its other half": {"D": 10_000},
    }
    assert {voucher.get_event_display(): voucher.amounts for voucher in back} == {
        "Surplus cleared by its other half": {"D": -10_000},
        "Shortage cleared by its other half": {"D": -10_000},
    }
    for day in (TUE, MON, TUE):
        assert RunVoucher.objects.filter(run=matched.run(day)).count() == 0
    everything_is_open_again(matched)


def test_nothing_happens_before_the_second_person_agrees(matched: Town, alice: User) -> None:
    propose(alice)
    assert (live(), MatchEnd.objects.count()) == ([], 0)


def test_the_same_person_cannot_agree(matched: Town, alice: User) -> None:
    request = propose(alice)
    with pytest.raises(PayopsError):
        request_approve(request_id=request.pk, checker=alice)
    assert live() == []


def test_it_is_taken_back_once(matched: Town, alice: User, bob: User) -> None:
    group = counting().pk
    request = take_back(alice, bob)
    with refusal("approvals.already_decided"):
        request_approve(request_id=request.pk, checker=bob)
    with refusal("matching.ended"):
        hand_match_undo_propose(group_id=group, reason="again", maker=alice)
    everything_is_open_again(matched)


def test_it_waits_for_approval_once(matched: Town, alice: User) -> None:
    propose(alice)
    with refusal("approvals.already_pending"):
        propose(alice)


def test_both_of_one_day_are_open_again(town: Town, alice: User, bob: User) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON)])
    match(alice, bob, "R-100001", "R-10000")
    take_back(alice, bob)
    everything_is_open_again_on_one_day(town)
    assert RunVoucher.objects.filter(run=town.run(MON)).count() == 0


def everything_is_open_again_on_one_day(town: Town) -> None:
    town.books_agree()
    assert sorted(cases()) == [("channel_only", "open", 10_000), ("own_only", "open", -10_000)]
    items = OpenItem.objects.filter(state="definite").order_by("side")
    assert [(i.side, bool(i.transaction_id), bool(i.bill_line_id)) for i in items] == [
        ("channel", False, True),
        ("own", True, False),
    ]


def test_items_in_doubt_wait_again(town: Town, alice: User, bob: User) -> None:
    town.day(MON, [pay("100001", MON, "22:58:00")], [line("R-10000", MON, "22:58:00")])
    match(alice, bob, "R-100001", "R-10000")
    take_back(alice, bob)
    town.books_agree()
    assert {state for _key, state, _d in live()} == {"in_doubt"}
    assert (cases(), town.shortage, town.surplus) == ([], 0, 0)


def test_it_can_be_matched_again_and_taken_back_again(matched: Town, alice: User, bob: User) -> None:
    for _turn in range(2):
        take_back(alice, bob)
        everything_is_open_again(matched)
        match(alice, bob, "R-100001", "R-10000")
        assert (live(), matched.shortage, matched.surplus) == ([], 0, 0)
    assert MatchGroup.objects.count() == 3


def test_several_orders_against_one_line_are_all_open_again(town: Town, alice: User, bob: User) -> None:
    town.day(MON, [pay("1", MON), pay("2", MON)], [line("B-9", MON, amount=20_000)])
    match(alice, bob, "R-1", "R-2", "B-9")
    take_back(alice, bob)
    town.books_agree()
    assert live() == [
        ("B-9", "definite", 20_000),
        ("R-1", "definite", -10_000),
        ("R-2", "definite", -10_000),
    ]


def test_a_re_issue_in_between_changes_nothing(matched: Town, alice: User, bob: User) -> None:
    matched.bill(TUE, line("R-10000", TUE), line("R-7", TUE, amount=300))
    matched.run(TUE)
    take_back(alice, bob)
    matched.books_agree()
    assert live() == [
        ("R-10000", "definite", 10_000),
        ("R-100001", "definite", -10_000),
        ("R-7", "definite", 300),
    ]


def test_a_re_issue_without_the_line_leaves_our_order_alone(matched: Town, alice: User, bob: User) -> None:
    """The channel took the line back: with the match its change was a shortage, without it there is no line at all."""
    matched.bill(TUE)
    matched.run(TUE)
    assert live() == [("R-10000", "definite", -10_000)]
    take_back(alice, bob)
    matched.books_agree()
    matched.run(TUE)
    assert live() == [("R-100001", "definite", -10_000)]
    assert (matched.shortage, matched.surplus) == (10_000, 0)


def test_the_true_number_that_came_since_is_its_other_half_now(matched: Town, alice: User, bob: User) -> None:
    run = matched.day(WED, [], [line("R-100001", WED)])
    assert found(run) == [("duplicate_channel", "R-100001", 10_000)]
    take_back(alice, bob)
    matched.books_agree()
    assert live() == [("R-10000", "definite", 10_000)]
    assert (matched.shortage, matched.surplus) == (0, 10_000)


def test_what_is_left_of_a_tolerated_difference_goes_with_it(town: Town, alice: User, bob: User) -> None:
    rule(town, GroupBy.NONE, amount_tolerance=100)
    town.day(MON, [pay("100001", MON)])
    town.day(TUE, [], [line("R-10000", TUE, amount=9_950)])
    match(alice, bob, "R-100001", "R-10000")
    assert live() == [("R-100001", "definite", -50)]
    take_back(alice, bob)
    town.books_agree()
    assert live() == [("R-10000", "definite", 9_950), ("R-100001", "definite", -10_000)]
    assert cases()[-1] == ("amount_mismatch", "withdrawn", 0)


# --- what rests on it -------------------------------------------------------------------------------------------------


@pytest.fixture
def rest_is_lost(town: Town, alice: User, bob: User) -> Town:
    """A tolerated difference of 0.50 that finance accepted as a loss."""
    rule(town, GroupBy.NONE, amount_tolerance=100)
    town.day(MON, [pay("100001", MON)])
    town.day(TUE, [], [line("R-10000", TUE, amount=9_950)])
    match(alice, bob, "R-100001", "R-10000")
    rest = Discrepancy.objects.get(kind="amount_mismatch")
    action = action_propose(case_id=rest.pk, kind=ActionKind.LOSS, params={}, user=alice, note="rounding")
    request_approve(request_id=action.approval_id, checker=bob)
    return town


def test_a_decision_about_the_rest_rests_on_it(rest_is_lost: Town, alice: User) -> None:
    with refusal("matching.built_on"):
        propose(alice)


def test_a_proposal_about_the_rest_is_decided_first(town: Town, alice: User, bob: User) -> None:
    rule(town, GroupBy.NONE, amount_tolerance=100)
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, amount=9_950)])
    match(alice, bob, "R-100001", "R-10000")
    rest = Discrepancy.objects.get(kind="amount_mismatch")
    action_propose(case_id=rest.pk, kind=ActionKind.LOSS, params={}, user=alice, note="rounding")
    with refusal("matching.busy"):
        propose(alice)


def test_a_decision_about_the_duplicate_rests_on_it(matched: Town, alice: User, bob: User) -> None:
    matched.day(WED, [], [line("R-100001", WED)])
    duplicate = Discrepancy.objects.get(kind="duplicate_channel")
    action = action_propose(case_id=duplicate.pk, kind=ActionKind.INCOME, params={}, user=alice, note="old")
    request_approve(request_id=action.approval_id, checker=bob)
    with refusal("matching.built_on"):
        propose(alice)


def test_a_decision_meanwhile_stops_the_approval(town: Town, alice: User, bob: User) -> None:
    rule(town, GroupBy.NONE, amount_tolerance=100)
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, amount=9_950)])
    match(alice, bob, "R-100001", "R-10000")
    request = propose(alice)
    rest = Discrepancy.objects.get(kind="amount_mismatch")
    action = action_propose(case_id=rest.pk, kind=ActionKind.LOSS, params={}, user=alice, note="rounding")
    request_approve(request_id=action.approval_id, checker=bob)
    with refusal("matching.built_on"):
        request_approve(request_id=request.pk, checker=bob)
    assert MatchEnd.objects.count() == 0


def test_a_newer_bill_is_run_first(matched: Town, alice: User) -> None:
    matched.bill(TUE, line("R-10000", TUE), line("R-7", TUE))
    with refusal("matching.run_first"):
        propose(alice)


# --- what the database refuses ----------------------------------------------------------------------------------------

END = (
    "INSERT INTO reconciliation_matchend (group_id, why, approval_id, made_at)"
    " SELECT id, %s, %s, clock_timestamp() FROM reconciliation_matchgroup WHERE kind = 'by_hand'"
)


def test_no_match_by_hand_ends_without_a_request(matched: Town) -> None:
    assert attack((END, ["not found again", None])) == "match_end_taken_back_by_two"
    assert attack((END, ["taken back", None])) == "match_end_taken_back_is_approved"
    assert attack((END, ["bill re-issued", None])) == "match_end_taken_back_by_two"


def test_a_request_that_waits_takes_nothing_back(matched: Town, alice: User) -> None:
    assert attack((END, ["taken back", propose(alice).pk])) == "match_end_taken_back_by_two"


def test_the_request_that_made_the_match_does_not_take_it_back(matched: Town) -> None:
    assert attack((END, ["taken back", counting().approval_id])) == "match_end_taken_back_by_two"


def decided(request: ApprovalRequest, bob: User) -> tuple[str, list[object]]:
    """The request executed, by raw SQL."""
    statement = (
        "UPDATE approvals_approvalrequest SET status = 'executed', checker_id = %s, decided_at = now() WHERE id = %s"
    )
    return statement, [bob.pk, request.pk]


def test_a_match_does_not_end_while_its_items_stay_cleared(matched: Town, alice: User, bob: User) -> None:
    request = propose(alice)
    assert attack(decided(request, bob), (END, ["taken back", request.pk])) == "match_end_opens_its_items"


def test_a_match_does_not_end_under_a_decision_that_rests_on_it(rest_is_lost: Town, alice: User, bob: User) -> None:
    waits = ApprovalRequest(action="reconciliation.hand_match_undo", target_kind="reconciliation.matchgroup")
    waits.target_id, waits.maker, waits.payload = str(counting().pk), alice, {}
    waits.save()
    gone = ("UPDATE reconciliation_openitem SET state = 'withdrawn' WHERE state = 'cleared'", [])
    assert attack(decided(waits, bob), (END, ["taken back", waits.pk]), gone) == "match_end_leaves_no_decision"


def test_one_request_takes_one_match_back(town: Town, alice: User, bob: User) -> None:
    orders, lines = [pay("100001", MON), pay("200002", MON)], [line("R-10000", MON), line("R-20000", MON)]
    town.day(MON, orders, lines)
    match(alice, bob, "R-100001", "R-10000")
    match(alice, bob, "R-200002", "R-20000")
    first = MatchGroup.objects.order_by("pk").first()
    request = hand_match_undo_propose(group_id=first.pk, reason="wrong", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    again = f"{END} AND id = %s"
    assert "approval_id" in attack((again, ["taken back", request.pk, counting().pk]))
