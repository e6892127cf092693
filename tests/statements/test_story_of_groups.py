"""What `explain` tells of rows that are matched in a group: the group, who else is in it, what it booked, its end."""

from __future__ import annotations

from typing import Any

import pytest

from payops.approvals.services import request_approve
from payops.reconciliation.matching.apart import offset_undo_propose, offsets_of
from payops.reconciliation.matching.undo import hand_match_undo_propose
from payops.reconciliation.models import MatchGroup
from payops.statements.story import Event, Story, story_of
from tests.reconciliation.builders import MON, TUE, Town, build_town, line, pay, reverse
from tests.reconciliation.test_matching import part, rule
from tests.reconciliation.test_matching_by_hand import match


@pytest.fixture
def town(db: None) -> Town:
    return build_town()


def told(story: Story, kind: str) -> list[Event]:
    return [event for event in story.events if event.kind == kind]


def test_a_split_payment_names_its_group_and_its_lines(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    story = story_of("R-1")
    (group,) = told(story, "match_group")
    assert group.page == ("match_group", MatchGroup.objects.get().pk)
    assert str(group.text) == "1 of ours with 2 of the channel's"
    members = [(str(event.title), event.amount) for event in told(story, "match_member")]
    assert members == [("Matched together with X-1", 6_000), ("Matched together with X-2", 4_000)]


def test_each_line_of_a_split_payment_names_the_order_and_the_other_line(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    titles = {str(event.title) for event in told(story_of("X-2"), "match_member")}
    assert titles == {"Matched together with R-1", "Matched together with X-1"}


def test_a_bill_without_the_key_is_no_warning_where_a_group_has_its_lines(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON), pay("2", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    tones = [told(story_of(number), "bill_without")[0].tone for number in ("R-1", "R-2")]
    assert tones == ["", "warning"]


@pytest.mark.parametrize("number", ["R-1", "R-2"])
def test_rows_kept_apart_are_told_with_both_people(town: Town, alice: Any, bob: Any, number: str) -> None:
    run = town.day(MON, [pay("1", MON), reverse("2", "1", MON, amount="100.00", kind="void")])
    (offset,) = offsets_of(run)
    request = offset_undo_propose(run_id=run.pk, target=offset.target, reason="two customers", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    story = story_of(number)
    (event,) = told(story, "kept_apart")
    assert (event.by, event.page) == ("alice", ("approval", request.pk))
    assert "bob" in {decision.by for decision in told(story, "approval")}


def test_lines_kept_apart_are_told_too(town: Town, alice: Any, bob: Any) -> None:
    lines = [line("Z-1", MON), line("Z-2", MON, "11:00:00", kind="reversal", trade_no="T-Z-1")]
    run = town.day(MON, [], lines)
    (offset,) = offsets_of(run)
    request = offset_undo_propose(run_id=run.pk, target=offset.target, reason="two customers", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    assert len(told(story_of("Z-2"), "kept_apart")) == 1


@pytest.fixture
def by_hand(town: Town, alice: Any, bob: Any) -> Town:
    town.day(MON, [pay("1", MON), pay("2", MON)])
    town.day(TUE, [], [line("B-9", TUE, amount=20_000)])
    match(alice, bob, "R-1", "R-2", "B-9")
    return town


def test_a_match_by_hand_is_told_with_both_people_and_its_other_members(by_hand: Town) -> None:
    story = story_of("R-1")
    (group,) = told(story, "match_group")
    (decision,) = told(story, "approval")
    assert (group.by, decision.by) == ("alice", "bob")
    assert {str(event.title) for event in told(story, "match_member")} == {
        "Matched together with R-2",
        "Matched together with B-9",
    }


@pytest.mark.parametrize("number", ["R-1", "R-2", "B-9"])
def test_the_voucher_of_a_match_by_hand_is_told_for_each_member(by_hand: Town, number: str) -> None:
    titles = [str(event.title) for event in told(story_of(number), "voucher")]
    assert any(title.startswith("Shortage cleared by its other half") for title in titles)


def test_a_match_taken_back_is_told_to_its_end(by_hand: Town, alice: Any, bob: Any) -> None:
    request = hand_match_undo_propose(group_id=MatchGroup.objects.get().pk, reason="wrong", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    story = story_of("B-9")
    (end,) = told(story, "match_group_ended")
    assert end.page == ("match_group", MatchGroup.objects.get().pk)
    assert [event.page[1] for event in told(story, "approval")][-1] == request.pk
