"""One to many, many to one, and what cancels on one side alone, as runs find it (docs/matching.md)."""

from __future__ import annotations

import datetime as dt

import pytest

from payops.reconciliation.choices import GroupBy
from payops.reconciliation.models import MatchGroup, MatchMember, MatchRule, ReconRun, RunVoucher
from tests.reconciliation.builders import (
    MON,
    THU,
    TUE,
    WED,
    Town,
    booked,
    cases,
    found,
    line,
    live,
    pay,
    reverse,
)


def rule(town: Town, by: GroupBy = GroupBy.REQUEST, **fields: int) -> MatchRule:
    """A version of WeChat's matching rule, in force from Monday."""
    version = MatchRule.objects.filter(contract=town.contract).count() + 1
    return MatchRule.objects.create(
        contract=town.contract,
        version=version,
        effective_from=MON,
        group_by=by,
        made_by="alice",
        approval_id=1,
        **fields,
    )


def part(key: str, order_no: str, day: dt.date, amount: int, clock: str = "10:00:00", **fields: object):
    """A line with a key of its own that names our order."""
    made = line(key, day, clock, amount, **fields)
    made.order_no = order_no
    return made


def groups() -> list[tuple[str, int, int, int]]:
    """(kind, own amount, channel amount, members) of the groups that count."""
    return [
        (group.kind, group.own_amount, group.channel_amount, group.members.count())
        for group in MatchGroup.objects.filter(end__isnull=True)
    ]


# -- split payments ----------------------------------------------------------------------------------------------------


def test_one_order_paid_in_two_lines_is_matched_as_a_group(town: Town) -> None:
    rule(town)
    run = town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    assert found(run) == [("split", "R-1", 0), ("split", "X-1", 0), ("split", "X-2", 0)]
    assert groups() == [("split", 10_000, 10_000, 3)]
    assert (town.clearing, town.surplus, town.shortage, cases()) == (0, 0, 0, [])


def test_without_a_rule_nothing_is_grouped(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    assert found(run) == [("channel_only", "X-1", 6_000), ("channel_only", "X-2", 4_000), ("own_only", "R-1", -10_000)]
    assert groups() == []


def test_a_rule_is_in_force_for_its_days_only(town: Town) -> None:
    made = MatchRule.objects.create(
        contract=town.contract, version=1, effective_from=TUE, group_by="request", made_by="alice", approval_id=1
    )
    lines = [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)]
    run = town.day(MON, [pay("1", MON)], lines)
    assert made.effective_from > run.channel_date
    assert [kind for kind, _key, _d in found(run)] == ["channel_only", "channel_only", "own_only"]


def test_parts_that_miss_a_cent_stay_differences(town: Town) -> None:
    rule(town)
    run = town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 3_999)])
    assert (len(found(run)), groups(), len(cases())) == (3, [], 3)


def test_parts_of_another_kind_do_not_count(town: Town) -> None:
    rule(town)
    lines = [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000, kind="refund")]
    town.day(MON, [pay("1", MON)], lines)
    assert groups() == []


def test_parts_whose_fee_is_wrong_stay_differences(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000, fee=60), part("X-2", "R-1", MON, 4_000)])
    assert (groups(), len(cases())) == ([], 3)


def test_the_same_key_in_two_lines_may_be_one_order(town: Town) -> None:
    """The join takes the first line for an amount mismatch and the second for a duplicate; together they are none."""
    rule(town, GroupBy.KEY)
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, amount=6_000), line("R-1", MON, amount=4_000)])
    assert {kind for kind, _key, _d in found(run)} == {"split"}
    assert (groups(), cases(), town.clearing) == ([("split", 10_000, 10_000, 3)], [], 0)


def test_a_true_duplicate_stays_one_under_a_rule(town: Town) -> None:
    rule(town, GroupBy.KEY)
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON), line("R-1", MON)])
    assert found(run) == [("duplicate_channel", "R-1", 10_000)]


# -- lump lines --------------------------------------------------------------------------------------------------------


def test_one_line_for_several_orders_is_matched_as_a_group(town: Town) -> None:
    rule(town, GroupBy.TRADE)
    orders = [pay(number, MON, channel_trade_no="BATCH-7") for number in ("1", "2", "3")]
    run = town.day(MON, orders, [line("B-7", MON, amount=30_000, trade_no="BATCH-7")])
    assert found(run) == [("lump", "B-7", 0), ("lump", "R-1", 0), ("lump", "R-2", 0), ("lump", "R-3", 0)]
    assert (groups(), cases(), town.clearing) == ([("lump", 30_000, 30_000, 4)], [], 0)


def test_orders_of_one_merchant_order_may_share_a_line(town: Town) -> None:
    rule(town, GroupBy.ORDER)
    orders = [pay(number, MON, merchant_order_no="MO-1") for number in ("1", "2")]
    town.day(MON, orders, [part("L-1", "MO-1", MON, 20_000)])
    assert groups() == [("lump", 20_000, 20_000, 3)]


# -- the original order ------------------------------------------------------------------------------------------------


def refunded(town: Town, *orders: dict) -> None:
    """A payment of Monday that matched, and what is refunded of it on Tuesday."""
    rule(town, GroupBy.ORIGINAL)
    town.day(MON, [pay("1", MON, channel_trade_no="T-R-1")], [line("R-1", MON)])
    town.orders(*orders)
    town.close(TUE)


def refund_line(key: str, amount: int, **fields: object):
    """A refund in the bill, under a number of its own."""
    return line(key, TUE, "12:00:00", amount, kind="refund", **fields)


def test_one_refund_in_two_lines_is_matched_by_the_order_both_refer_to(town: Town) -> None:
    refunded(town, reverse("2", "1", TUE))
    town.bill(TUE, refund_line("F-1", 2_500, order_no="R-1"), refund_line("F-2", 1_500, order_no="R-1"))
    run = town.run(TUE)
    assert found(run) == [("split", "F-1", 0), ("split", "F-2", 0), ("split", "R-2", 0)]
    assert (groups(), cases(), town.clearing) == ([("split", -4_000, -4_000, 3)], [], 0)


def test_two_refunds_in_one_line_are_matched_by_their_order(town: Town) -> None:
    refunded(town, reverse("2", "1", TUE, amount="25.00"), reverse("3", "1", TUE, amount="15.00"))
    town.bill(TUE, refund_line("F-1", 4_000, order_no="R-1"))
    town.run(TUE)
    assert (groups(), cases()) == ([("lump", -4_000, -4_000, 3)], [])


def test_a_bill_that_names_the_original_trade_only_is_read_through_our_payment(town: Town) -> None:
    refunded(town, reverse("2", "1", TUE))
    lines = [refund_line("F-1", 2_500, original="T-R-1"), refund_line("F-2", 1_500, original="T-R-1")]
    town.bill(TUE, *lines)
    town.run(TUE)
    assert (groups(), cases()) == ([("split", -4_000, -4_000, 3)], [])


def test_refunds_of_two_orders_are_not_mixed(town: Town) -> None:
    refunded(town, reverse("2", "1", TUE))
    town.bill(TUE, refund_line("F-1", 2_500, order_no="R-1"), refund_line("F-2", 1_500, order_no="R-9"))
    town.run(TUE)
    assert (groups(), len(cases())) == ([], 3)


def test_a_split_payment_is_its_own_original(town: Town) -> None:
    rule(town, GroupBy.ORIGINAL)
    town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    assert groups() == [("split", 10_000, 10_000, 3)]


# -- halves of other days ----------------------------------------------------------------------------------------------


def test_the_other_half_of_an_own_only_order_arrives_as_two_lines_later(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON)])
    assert (live(), town.shortage) == ([("R-1", "definite", -10_000)], 10_000)
    run = town.day(TUE, [], [part("X-1", "R-1", TUE, 6_000), part("X-2", "R-1", TUE, 4_000)])
    assert found(run) == [("split", "R-1", -10_000), ("split", "X-1", 0), ("split", "X-2", 0)]
    assert booked(run)["Shortage cleared by its other half"] == {"D": 10_000}
    assert (live(), town.shortage, town.clearing) == ([], 0, 0)
    assert cases() == [("own_only", "auto_cleared", 0)]


def test_parts_of_different_days_wait_for_each_other(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000)])
    run = town.day(TUE, [], [part("X-2", "R-1", TUE, 4_000)])
    assert found(run) == [("split", "R-1", -10_000), ("split", "X-1", 6_000), ("split", "X-2", 0)]
    assert {state for _kind, state, _suspense in cases()} == {"auto_cleared"}
    assert (live(), town.surplus, town.shortage, town.clearing) == ([], 0, 0, 0)


# -- again -------------------------------------------------------------------------------------------------------------


def test_a_repeated_run_keeps_its_groups_and_books_nothing(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON), pay("2", MON)], [part("X-1", "R-1", MON, 6_000)])
    first = town.day(TUE, [], [part("X-2", "R-1", TUE, 4_000)])
    before = list(MatchGroup.objects.values_list("pk", flat=True))
    again = town.run(TUE)
    assert (found(again), again.equation, again.results) == (found(first), first.equation, first.results)
    assert RunVoucher.objects.filter(run=again).count() == 0
    assert list(MatchGroup.objects.filter(end__isnull=True).values_list("pk", flat=True)) == before
    town.run(MON)
    assert list(MatchGroup.objects.filter(end__isnull=True).values_list("pk", flat=True)) == before


def test_a_re_issue_that_changes_a_part_ends_the_group(town: Town) -> None:
    rule(town)
    town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    town.bill(MON, part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 3_000))
    run = town.run(MON)
    assert [kind for kind, _key, _d in found(run)] == ["channel_only", "channel_only", "own_only"]
    assert (groups(), MatchMember.objects.filter(is_live=True).count()) == ([], 0)


def test_a_re_issue_with_the_same_parts_claims_the_new_lines(town: Town) -> None:
    rule(town)
    parts = [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)]
    town.day(MON, [pay("1", MON)], parts)
    claimed = set(MatchMember.objects.filter(is_live=True, side="channel").values_list("row_id", flat=True))
    town.bill(MON, *parts)
    town.run(MON)
    now = set(MatchMember.objects.filter(is_live=True, side="channel").values_list("row_id", flat=True))
    assert (len(now), now & claimed, groups()) == (2, set(), [("split", 10_000, 10_000, 3)])


def test_a_part_that_comes_once_more_is_a_duplicate(town: Town) -> None:
    """The order is claimed: its own key in a later bill is no match any more."""
    rule(town)
    town.day(MON, [pay("1", MON)], [part("X-1", "R-1", MON, 6_000), part("X-2", "R-1", MON, 4_000)])
    run = town.day(TUE, [], [line("R-1", TUE)])
    assert found(run) == [("duplicate_channel", "R-1", 10_000)]


# -- internal offset ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["refund", "void"])
def test_a_payment_and_what_takes_all_of_it_back_offset_each_other(town: Town, kind: str) -> None:
    run = town.day(MON, [pay("1", MON), reverse("2", "1", MON, amount="100.00", kind=kind)])
    assert found(run) == [("offset", "R-1", 0), ("offset", "R-2", 0)]
    assert (town.clearing, cases()) == (0, [])


def test_a_part_refund_offsets_nothing(town: Town) -> None:
    run = town.day(MON, [pay("1", MON), reverse("2", "1", MON, amount="40.00")])
    assert found(run) == [("own_only", "R-1", -10_000), ("own_only", "R-2", 4_000)]


def test_a_line_and_its_reversal_neither_ours_offset_each_other(town: Town) -> None:
    run = town.day(MON, [], [line("Z-1", MON), line("Z-1", MON, "10:05:00", kind="reversal")])
    assert found(run) == [("offset", "Z-1", 0), ("offset", "Z-1", 0)]
    assert (town.clearing, town.surplus, cases()) == (0, 0, [])


def test_a_refund_that_names_the_payments_trade_number_offsets_it(town: Town) -> None:
    refund = line("Z-2", MON, "10:05:00", kind="refund", trade_no="T-Z-1")
    assert {kind for kind, _key, _d in found(town.day(MON, [], [line("Z-1", MON), refund]))} == {"offset"}


def test_a_reversal_that_leaves_the_channel_its_fee_offsets_nothing(town: Town) -> None:
    run = town.day(MON, [], [line("Z-1", MON), line("Z-1", MON, kind="reversal", amount=9_990)])
    assert {kind for kind, _key, _d in found(run)} == {"channel_only"}


def test_around_the_cut_off_both_halves_wait_and_are_matched_in_the_next_bill(town: Town) -> None:
    orders = [pay("1", MON, "22:55:00"), reverse("2", "1", MON, "22:56:00", amount="100.00", kind="void")]
    run = town.day(MON, orders)
    assert {kind for kind, _key, _d in found(run)} == {"own_in_doubt"}
    lines = [line("R-1", TUE, "00:00:30"), line("R-2", TUE, "00:00:40", kind="reversal")]
    run = town.day(TUE, [], lines)
    assert {kind for kind, _key, _d in found(run)} == {"own_cleared"}
    assert (cases(), live(), town.clearing) == ([], [], 0)


def test_what_waited_over_the_cut_off_and_is_not_in_the_next_bill_offsets_there(town: Town) -> None:
    orders = [pay("1", MON, "22:55:00"), reverse("2", "1", MON, "22:56:00", amount="100.00", kind="void")]
    town.day(MON, orders)
    run = town.day(TUE)
    assert found(run) == [("offset", "R-1", -10_000), ("offset", "R-2", 10_000)]
    assert (cases(), live(), town.clearing) == ([], [], 0)
    assert found(town.run(TUE)) == found(run)


def test_a_refund_on_a_later_day_takes_the_own_only_payment_out_of_suspense(town: Town) -> None:
    town.day(MON, [pay("1", MON)])
    run = town.day(WED - dt.timedelta(days=1), [reverse("2", "1", TUE, amount="100.00")])
    assert found(run) == [("offset", "R-1", -10_000), ("offset", "R-2", 0)]
    assert (town.shortage, town.clearing, cases()) == (0, 0, [("own_only", "auto_cleared", 0)])


# -- fee tolerance -----------------------------------------------------------------------------------------------------


def test_the_fee_tolerance_of_the_rule_counts_and_not_the_contracts(town: Town) -> None:
    rule(town, GroupBy.NONE, fee_tolerance=2)
    run = town.day(MON, [pay("1", MON), pay("2", MON)], [line("R-1", MON, fee=22), line("R-2", MON, fee=23)])
    assert found(run) == [("fee_mismatch", "R-2", 0)]
    town.contract.refresh_from_db()
    assert town.contract.fee_tolerance == 0


def test_a_day_run_again_is_run_by_the_rule_of_its_day(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON, fee=22)])
    MatchRule.objects.create(
        contract=town.contract, version=1, effective_from=THU, fee_tolerance=2, made_by="alice", approval_id=1
    )
    assert found(town.run(MON)) == [("fee_mismatch", "R-1", 0)]
    assert ReconRun.objects.get(is_current=True).run_no == 2
