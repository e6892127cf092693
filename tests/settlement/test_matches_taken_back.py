"""A match or an offset that a merchant's money rests on is not taken back (DOMAIN 11.5)."""

from __future__ import annotations

from typing import Any

import pytest

from payops.core.errors import PayopsError
from payops.merchants.services import TermsData, settlement_terms_set
from payops.reconciliation.matching.apart import offset_undo_propose, offsets_of
from payops.reconciliation.matching.undo import hand_match_undo_propose
from payops.reconciliation.models import MatchGroup
from payops.settlement.models import ClearingHold
from payops.settlement.services import clearing_run
from tests.reconciliation.builders import MON, TUE, Town, build_town, line, pay, reverse
from tests.reconciliation.test_matching_by_hand import match


@pytest.fixture
def town(db: None) -> Town:
    """An order of Monday and a line whose number was cut off; merchants have terms."""
    made = build_town()
    for merchant in (made.world.a, made.world.b):
        settlement_terms_set(merchant=merchant, data=TermsData())
    made.day(MON, [pay("100001", MON)], [line("R-10000", MON)])
    return made


def propose_undo(alice: Any) -> Any:
    return hand_match_undo_propose(group_id=MatchGroup.objects.get().pk, reason="wrong", maker=alice)


def test_what_was_cleared_because_of_the_match_keeps_it(town: Town, alice: Any, bob: Any) -> None:
    match(alice, bob, "R-100001", "R-10000")
    clearing_run(day=MON)
    with pytest.raises(PayopsError, check=lambda error: error.code == "matching.built_on") as refused:
        propose_undo(alice)
    assert "clearing of 2026-11-16" in str(refused.value)


def test_what_was_held_and_cleared_since_keeps_it(town: Town, alice: Any, bob: Any) -> None:
    clearing_run(day=MON)
    assert ClearingHold.objects.get().state == "held"
    match(alice, bob, "R-100001", "R-10000")
    town.day(TUE)
    clearing_run(day=TUE)
    with pytest.raises(PayopsError, check=lambda error: error.code == "matching.built_on") as refused:
        propose_undo(alice)
    assert "clearing of 2026-11-17" in str(refused.value)


def test_what_is_still_held_can_be_open_again(town: Town, alice: Any, bob: Any) -> None:
    clearing_run(day=MON)
    match(alice, bob, "R-100001", "R-10000")
    assert propose_undo(alice).status == "pending"


def test_an_order_cleared_before_the_match_does_not_rest_on_it(town: Town, alice: Any, bob: Any) -> None:
    """In doubt when its day was cleared, so it was cleared in any case."""
    town.day(TUE, [pay("200002", TUE, "22:58:00")], [line("R-20000", TUE, "22:58:00")])
    clearing_run(day=TUE)
    match(alice, bob, "R-200002", "R-20000")
    assert propose_undo(alice).status == "pending"


def test_rows_cleared_together_stay_an_offset(town: Town, alice: Any) -> None:
    """Both went into a clearing, where they took each other back."""
    run = town.day(TUE, [pay("1", TUE), reverse("2", "1", TUE, amount="100.00", kind="void")])
    (offset,) = offsets_of(run)
    clearing_run(day=TUE)
    with pytest.raises(PayopsError, check=lambda error: error.code == "matching.built_on"):
        offset_undo_propose(run_id=run.pk, target=offset.target, reason="two customers", maker=alice)
