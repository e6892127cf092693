"""What may belong together although its keys differ: scores and reasons; and rules by maker and checker."""

from __future__ import annotations

import datetime as dt

import pytest

from payops.accounts import selectors as ledger
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.identity.models import User
from payops.reconciliation.choices import GroupBy
from payops.reconciliation.matching.rules import match_rule_propose, rule_of
from payops.reconciliation.matching.suggest import (
    SHOWN_FROM,
    Reason,
    number_reason,
    payer_as_billed,
    suggest,
    suggestions_of,
)
from payops.reconciliation.models import MatchGroup, MatchRule, OpenItem
from tests.reconciliation.builders import MON, Town, line, live, pay
from tests.reconciliation.test_matching import part, rule


def item(key: str) -> OpenItem:
    return OpenItem.objects.get(match_key=key)


@pytest.mark.parametrize(
    ("one", "two", "reason"),
    [
        ("R-100001", "R-10000", Reason.TRUNCATED),
        ("100001-R", "1-R", None),
        ("20261116000123", "0020261116000123", Reason.SPELLING),
        ("r-100001", "R-100001 ", Reason.SPELLING),
        ("2026111600123", "2026111600132", Reason.SWAPPED),
        ("2026111600123", "2026111600124", Reason.ONE_DIGIT),
        ("2026111600123", "2026111600987", None),
        ("", "", None),
    ],
)
def test_how_two_numbers_resemble_each_other(one: str, two: str, reason: Reason | None) -> None:
    assert number_reason(one, two) == reason
    assert number_reason(two, one) == reason


@pytest.mark.parametrize(
    ("ours", "billed"),
    [
        ("oPAYOPS0000000000003408", "****3408"),
        ("622155*********0597", "622155*********0597"),
        ("1234", "****"),
        ("", ""),
    ],
)
def test_our_payer_is_compared_as_bills_keep_theirs(ours: str, billed: str) -> None:
    assert payer_as_billed(ours) == billed


def test_a_number_cut_off_in_the_same_minute_scores_high(town: Town) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, "10:00:30")])
    (found,) = suggestions_of(item("R-100001"))
    assert (found.item, found.score) == (item("R-10000"), 85)
    assert found.reasons == (Reason.AMOUNT, Reason.MINUTE, Reason.TRUNCATED)


def test_it_is_suggested_from_either_side(town: Town) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON)])
    (there,), (back,) = suggestions_of(item("R-100001")), suggestions_of(item("R-10000"))
    assert (there.item, back.item, there.score) == (item("R-10000"), item("R-100001"), back.score)


def test_the_same_trade_number_outweighs_the_same_minute(town: Town) -> None:
    lines = [line("Q-1", MON, "10:00:00"), line("Q-2", MON, "15:00:00", trade_no="4200")]
    town.day(MON, [pay("1", MON, channel_trade_no="4200")], lines)
    assert [found.item.match_key for found in suggestions_of(item("R-1"))] == ["Q-2", "Q-1"]


def test_the_same_order_number_is_a_reason(town: Town) -> None:
    town.day(MON, [pay("1", MON, merchant_order_no="MO-77")], [part("Q-1", "MO-77", MON, 10_000, "18:00:00")])
    (found,) = suggestions_of(item("R-1"))
    assert found.reasons == (Reason.AMOUNT, Reason.ORDER_NO)


def test_the_same_amount_alone_suggests_nothing(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("Q-1", MON, "18:00:00")])
    assert suggestions_of(item("R-1")) == []


def test_yuan_taken_for_fen_is_told_and_cannot_be_matched_exactly(town: Town) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, amount=100)])
    (found,) = suggestions_of(item("R-100001"))
    assert (found.reasons[0], found.exact) == (Reason.CENTS, False)


def test_the_wrong_direction_is_told(town: Town) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, kind="refund")])
    (found,) = suggestions_of(item("R-100001"))
    assert (found.reasons[0], found.exact) == (Reason.SIGN, False)


def test_another_channels_items_are_not_suggested(town: Town) -> None:
    town.day(MON, [pay("100001", MON)])
    town.bill(MON, line("R-10000", MON), contract=town.world.alipay)
    town.run(MON, town.world.alipay)
    assert suggestions_of(item("R-100001")) == []


def test_many_items_are_answered_by_few_queries(town: Town, django_assert_max_num_queries) -> None:
    orders = [pay(f"1{n:04}7", MON, f"10:{n:02}:00", amount=f"{n + 1}.00") for n in range(40)]
    lines = [line(f"R-1{n:04}", MON, f"10:{n:02}:10", amount=(n + 1) * 100) for n in range(40)]
    town.day(MON, orders, lines)
    items = list(OpenItem.objects.filter(side="own").select_related("contract"))
    with django_assert_max_num_queries(3):
        found = suggest(items)
    assert all(found[row.pk][0].item.match_key == row.match_key[:-1] for row in items)


def test_a_suggestion_books_nothing_whatever_runs_come(town: Town) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON)])
    assert suggestions_of(item("R-100001"))[0].score >= SHOWN_FROM
    town.run(MON)
    assert (len(live()), MatchGroup.objects.count(), town.surplus, town.shortage) == (2, 0, 10_000, 10_000)


# -- rules -------------------------------------------------------------------------------------------------------------


def propose(town: Town, maker: User, **fields: object):
    values = {"group_by": GroupBy.REQUEST, "fee_tolerance": 1, "amount_tolerance": 5, "reason": "rounding", **fields}
    return match_rule_propose(contract=town.contract, maker=maker, **values)


def test_a_rule_is_in_force_from_the_day_after_the_open_one(town: Town, alice: User, bob: User) -> None:
    request = propose(town, alice)
    assert MatchRule.objects.count() == 0
    request_approve(request_id=request.pk, checker=bob)
    made = MatchRule.objects.get()
    assert made.effective_from == ledger.open_day() + dt.timedelta(days=1)
    assert (rule_of(town.contract, MON), rule_of(town.contract, made.effective_from)) == (None, made)


def test_versions_follow_each_other(town: Town, alice: User, bob: User) -> None:
    rule(town)
    request_approve(request_id=propose(town, alice, amount_tolerance=9).pk, checker=bob)
    assert list(MatchRule.objects.order_by("version").values_list("version", "amount_tolerance")) == [(1, 0), (2, 9)]


@pytest.mark.parametrize("amount", [-1, 1_001])
def test_a_tolerance_that_is_no_rounding_is_refused(town: Town, alice: User, amount: int) -> None:
    with pytest.raises(PayopsError, match="tolerance"):
        propose(town, alice, amount_tolerance=amount)


def test_what_is_in_force_already_is_not_proposed_again(town: Town, alice: User) -> None:
    rule(town, GroupBy.NONE)
    with pytest.raises(PayopsError, match="already"):
        propose(town, alice, group_by=GroupBy.NONE, fee_tolerance=0, amount_tolerance=0)
