"""Every result of DOMAIN 7.2 by its name; the town checks books and equation after each run."""

from __future__ import annotations

import pytest

from payops.core.errors import PayopsError
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.services import run_reconcile
from tests.reconciliation.builders import (
    FRI,
    MON,
    THU,
    TUE,
    WED,
    Town,
    booked,
    cases,
    cost,
    found,
    line,
    live,
    pay,
    reverse,
    stored,
)

# --- both sides agree -------------------------------------------------------------------------------------------------


def test_a_payment_in_the_bill_is_matched_and_leaves_no_row(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    assert (run.matched_count, found(run), live()) == (1, [], [])
    assert (run.own_count, run.own_amount, run.channel_count, run.channel_amount) == (1, 10_000, 1, 10_000)
    assert (town.clearing, town.receivable) == (0, 10_000 - cost(10_000))


def test_an_empty_day_with_an_empty_bill_agrees(town: Town) -> None:
    run = town.day(MON)
    assert (run.matched_count, found(run), booked(run)) == (0, [], {})


def test_a_refund_taken_is_matched_by_its_own_request_number(town: Town) -> None:
    run = town.day(
        MON,
        [pay("1", MON), reverse("2", "1", MON)],
        [line("R-1", MON), line("R-2", MON, "12:00:00", 4_000, kind="refund")],
    )
    assert (run.matched_count, found(run)) == (2, [])
    assert (run.channel_amount, town.clearing) == (6_000, 0)


def test_a_fee_within_tolerance_is_matched(town: Town) -> None:
    town.contract.fee_tolerance = 2
    town.contract.save()
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, fee=22)])
    assert (run.matched_count, found(run)) == (1, [])


def test_a_reversal_in_the_bill_answers_our_void(town: Town) -> None:
    run = town.day(
        MON,
        [pay("1", MON), reverse("2", "1", MON, amount="100.00", kind="void")],
        [line("R-1", MON), line("R-2", MON, "12:00:00", kind="reversal")],
    )
    assert (run.matched_count, found(run)) == (2, [])


def test_a_merchant_funded_discount_is_matched_and_charged_to_its_merchant(town: Town) -> None:
    run = town.day(
        MON,
        [pay("1", MON), pay("2", MON, merchant_no="M-B"), pay("3", MON)],
        [
            line("R-1", MON, discount=500, fee=cost(9_500)),
            line("R-2", MON, discount=300, fee=cost(9_700)),
            line("R-3", MON),
        ],
    )
    assert (run.matched_count, found(run)) == (3, [])
    assert booked(run)["Matched line with merchant-funded discount M-A"] == {"X": 500}
    assert booked(run)["Matched line with merchant-funded discount M-B"] == {"X": 300}
    assert (town.pending("M-A"), town.pending("M-B"), town.clearing) == (19_500, 9_700, 0)
    assert run.equation["discount"] == 800


# --- own rows the bill does not have ----------------------------------------------------------------------------------


def test_own_in_doubt_is_a_payment_near_the_cut_off_that_the_bill_lacks(town: Town) -> None:
    run = town.day(MON, [pay("1", MON, "22:55:00")])
    assert found(run) == [("own_in_doubt", "R-1", -10_000)]
    assert (live(), cases()) == ([("R-1", "in_doubt", -10_000)], [])
    assert (town.shortage, town.clearing) == (0, 10_000)


def test_own_only_is_a_payment_outside_the_window_that_the_bill_lacks(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)])
    assert found(run) == [("own_only", "R-1", -10_000)]
    assert cases() == [("own_only", "open", -10_000)]
    assert (town.shortage, town.clearing) == (10_000, 0)


def test_own_in_doubt_becomes_definite_after_being_carried_once(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")])
    run = town.day(TUE)
    assert found(run) == [("own_only", "R-1", -10_000)]
    assert (live(), cases()) == ([("R-1", "definite", -10_000)], [("own_only", "open", -10_000)])
    assert (town.shortage, town.clearing) == (10_000, 0)


def test_own_cleared_is_a_carried_payment_found_in_the_next_bill(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")])
    run = town.day(TUE, lines=[line("R-1", TUE, "00:00:30")])
    assert found(run) == [("own_cleared", "R-1", -10_000)]
    assert (live(), cases(), town.clearing) == ([], [], 0)
    assert run.equation["cleared"] == {"own_in_doubt": -10_000}


def test_own_cleared_closes_the_case_of_an_earlier_own_only(town: Town) -> None:
    town.day(MON, [pay("1", MON)])
    run = town.day(TUE, lines=[line("R-1", TUE)])
    assert found(run) == [("own_cleared", "R-1", -10_000)]
    assert cases() == [("own_only", "auto_cleared", 0)]
    assert booked(run)["Shortage cleared by its other half"] == {"D": 10_000}
    assert (town.shortage, town.clearing) == (0, 0)


# --- lines we do not have ---------------------------------------------------------------------------------------------


def test_channel_in_doubt_is_a_line_that_came_a_day_early(town: Town) -> None:
    run = town.day(MON, lines=[line("R-1", MON, "23:30:00")])
    assert found(run) == [("channel_in_doubt", "R-1", 10_000)]
    assert (live(), cases(), town.surplus) == ([("R-1", "in_doubt", 10_000)], [], 0)


def test_channel_only_is_a_line_outside_the_window_that_we_do_not_know(town: Town) -> None:
    run = town.day(MON, lines=[line("R-1", MON)])
    assert found(run) == [("channel_only", "R-1", 10_000)]
    assert (cases(), town.surplus, town.clearing) == ([("channel_only", "open", 10_000)], 10_000, 0)


def test_channel_in_doubt_becomes_definite_after_being_carried_once(town: Town) -> None:
    town.day(MON, lines=[line("R-1", MON, "23:30:00")])
    run = town.day(TUE)
    assert found(run) == [("channel_only", "R-1", 10_000)]
    assert (town.surplus, town.clearing) == (10_000, 0)


def test_channel_cleared_is_a_carried_line_whose_payment_came_the_next_day(town: Town) -> None:
    town.day(MON, lines=[line("R-1", MON, "23:30:00")])
    run = town.day(TUE, [pay("1", MON, "23:30:00")])
    assert found(run) == [("channel_cleared", "R-1", 10_000)]
    assert (live(), cases(), town.clearing) == ([], [], 0)


def test_channel_cleared_closes_the_case_of_an_earlier_channel_only(town: Town) -> None:
    town.day(MON, lines=[line("R-1", MON)])
    run = town.day(TUE, [pay("1", TUE)])
    assert found(run) == [("channel_cleared", "R-1", 10_000)]
    assert cases() == [("channel_only", "auto_cleared", 0)]
    assert booked(run)["Surplus cleared by its other half"] == {"D": 10_000}
    assert (town.surplus, town.clearing) == (0, 0)


def test_a_line_at_the_start_of_the_day_is_in_doubt_while_the_day_before_has_no_run(town: Town) -> None:
    run = town.day(MON, lines=[line("R-1", MON, "00:05:00")])
    assert found(run) == [("channel_in_doubt", "R-1", 10_000)]


def test_a_line_at_the_start_of_the_day_is_definite_once_the_day_before_has_run(town: Town) -> None:
    town.day(MON)
    run = town.day(TUE, lines=[line("R-1", TUE, "00:15:00")])
    assert found(run) == [("channel_only", "R-1", 10_000)]


# --- both are there and disagree --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "d"), [(10_100, 100), (9_900, -100)])
def test_an_amount_mismatch_is_one_case_with_both_values(town: Town, amount: int, d: int) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, amount=amount)])
    assert found(run) == [("amount_mismatch", "R-1", d)]
    assert cases() == [("amount_mismatch", "open", d)]
    assert (town.surplus, town.shortage, town.clearing) == (max(d, 0), max(-d, 0), 0)
    evidence = Discrepancy.objects.get().evidence
    assert (evidence["own"]["amount"], evidence["channel"]["amount"]) == (10_000, amount)


def test_a_smaller_refund_at_the_channel_is_a_surplus(town: Town) -> None:
    run = town.day(
        MON,
        [pay("1", MON), reverse("2", "1", MON)],
        [line("R-1", MON), line("R-2", MON, amount=3_000, kind="refund", fee=-8)],
    )
    assert found(run) == [("amount_mismatch", "R-2", 1_000)]
    assert town.surplus == 1_000


def test_a_fee_above_what_was_agreed_is_claimed_from_the_channel(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, fee=60)])
    assert found(run) == [("fee_mismatch", "R-1", 0)]
    assert (cases(), town.shortage) == ([("fee_mismatch", "open", -40)], 40)


def test_a_fee_below_what_was_agreed_is_a_case_without_suspense(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, fee=5)])
    assert found(run) == [("fee_mismatch", "R-1", 0)]
    assert (cases(), town.shortage) == ([("fee_mismatch", "open", 0)], 0)


def test_a_currency_mismatch_is_a_case_of_its_own(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, currency="USD")])
    assert found(run) == [("currency_mismatch", "R-1", 0)]
    assert cases() == [("currency_mismatch", "open", 0)]


def test_a_kind_mismatch_pairs_what_agrees_on_the_key_alone(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, kind="refund")])
    assert found(run) == [("kind_mismatch", "R-1", -20_000)]
    assert (cases(), town.shortage) == ([("kind_mismatch", "open", -20_000)], 20_000)


# --- the same key twice -----------------------------------------------------------------------------------------------


def test_a_duplicate_in_the_channel_on_one_day_is_the_second_line(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON), line("R-1", MON, "10:00:03", trade_no="T-again")])
    assert (run.matched_count, found(run)) == (1, [("duplicate_channel", "R-1", 10_000)])
    assert (cases(), town.surplus) == ([("duplicate_channel", "open", 10_000)], 10_000)


def test_a_duplicate_in_the_channel_across_days_is_found_among_matched_rows(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    run = town.day(TUE, lines=[line("R-1", TUE, trade_no="T-again")])
    assert found(run) == [("duplicate_channel", "R-1", 10_000)]


def test_a_duplicate_of_ours_on_one_day_is_the_second_row(town: Town) -> None:
    run = town.day(MON, [pay("1", MON), pay("2", MON, channel_request_no="R-1")], [line("R-1", MON)])
    assert (run.matched_count, found(run)) == (1, [("duplicate_own", "R-1", -10_000)])
    assert (cases(), town.shortage) == ([("duplicate_own", "open", -10_000)], 10_000)


def test_a_duplicate_of_ours_across_days_is_found_among_matched_rows(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    run = town.day(TUE, [pay("2", TUE, channel_request_no="R-1")])
    assert found(run) == [("duplicate_own", "R-1", -10_000)]


def test_three_lines_of_one_key_are_two_duplicates(town: Town) -> None:
    lines = [line("R-1", MON, f"10:00:0{n}", trade_no=f"T{n}") for n in range(3)]
    run = town.day(MON, [pay("1", MON)], lines)
    assert found(run) == [("duplicate_channel", "R-1", 10_000)] * 2


def test_a_key_twice_is_a_duplicate_although_the_other_side_has_none_of_it(town: Town) -> None:
    town.orders(pay("1", MON), pay("2", MON, channel_request_no="R-1"))
    run = town.day(MON, lines=[line("R-9", MON, amount=700), line("R-9", MON, amount=700, trade_no="T-again")])
    assert found(run) == [
        ("channel_only", "R-9", 700),
        ("duplicate_channel", "R-9", 700),
        ("duplicate_own", "R-1", -10_000),
        ("own_only", "R-1", -10_000),
    ]


def test_the_half_that_comes_late_is_that_of_the_first_and_not_of_its_duplicate(town: Town) -> None:
    town.day(MON, [pay("1", MON), pay("2", MON, channel_request_no="R-1")])
    town.day(TUE, lines=[line("R-1", TUE)])
    assert cases() == [("own_only", "auto_cleared", 0), ("duplicate_own", "open", -10_000)]


# --- neither side needs the other -------------------------------------------------------------------------------------


def test_a_payment_and_its_void_that_the_bill_never_saw_offset_each_other(town: Town) -> None:
    run = town.day(MON, [pay("1", MON), reverse("2", "1", MON, amount="100.00", kind="void")])
    assert found(run) == [("offset", "R-1", 0), ("offset", "R-2", 0)]
    assert (live(), cases(), town.clearing) == ([], [], 0)


def test_a_failed_payment_that_the_bill_lacks_is_nothing(town: Town) -> None:
    run = town.day(MON, [pay("1", MON, status="failed")])
    assert (found(run), run.own_count, booked(run)) == ([], 1, {})


# --- rolling ----------------------------------------------------------------------------------------------------------


def test_a_case_still_open_after_t_plus_2_escalates_and_not_before(town: Town) -> None:
    town.day(MON, [pay("1", MON)])
    town.day(TUE)
    assert Discrepancy.objects.get().escalated_at is None
    town.day(WED)
    assert Discrepancy.objects.get().escalated_at is not None


def test_the_other_half_is_taken_however_many_days_later(town: Town) -> None:
    town.day(MON, [pay("1", MON)])
    for day in (TUE, WED, THU):
        town.day(day)
    assert found(town.day(FRI, lines=[line("R-1", FRI)])) == [("own_cleared", "R-1", -10_000)]
    assert (cases(), town.shortage) == ([("own_only", "auto_cleared", 0)], 0)


def test_an_item_that_comes_back_with_another_amount_is_cleared_and_its_change_is_one_new_case(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")])
    run = town.day(TUE, lines=[line("R-1", TUE, "00:00:30", amount=9_000)])
    assert found(run) == [("amount_mismatch", "R-1", -1_000), ("own_cleared", "R-1", -10_000)]
    assert (cases(), town.shortage) == ([("amount_mismatch", "open", -1_000)], 1_000)


# --- what a run refuses -----------------------------------------------------------------------------------------------


def test_a_day_that_is_not_closed_is_not_reconciled(town: Town) -> None:
    town.bill(MON)
    with pytest.raises(PayopsError) as caught:
        run_reconcile(contract=town.contract, day=MON)
    assert caught.value.code == "recon.day_open"


def test_a_day_without_an_accepted_bill_is_not_reconciled(town: Town) -> None:
    town.close(MON)
    with pytest.raises(PayopsError) as caught:
        run_reconcile(contract=town.contract, day=MON)
    assert caught.value.code == "recon.no_bill"


def test_a_contract_is_reconciled_by_itself(town: Town) -> None:
    other = town.world.alipay
    town.orders(pay("1", MON), pay("2", MON, channel="alipay", channel_account=other.account_no))
    town.close(MON)
    town.bill(MON, line("R-1", MON))
    town.bill(MON, line("R-2", MON), contract=other)
    assert found(town.run(MON)) == []
    assert found(town.run(MON, other)) == []
    assert stored("2").own_date == MON
