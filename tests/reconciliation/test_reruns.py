"""Running a day again: the same input books nothing, a re-issue books the difference, lateness leaves nothing."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest

from payops.accounts.models import Account, Voucher
from payops.approvals.services import request_approve
from payops.channels.bills.selectors import line_range
from payops.channels.bills.services import bill_load, bill_take_over
from payops.channels.choices import FileState
from payops.channels.formats.writers import BillRow, write_wechat_all
from payops.core.ids import id_range
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose
from payops.orders.choices import Status
from payops.reconciliation import services
from payops.reconciliation.models import MatchLink, OpenItem, ReconResult, ReconRun, RunVoucher
from tests.reconciliation.builders import (
    FRI,
    MON,
    THU,
    TUE,
    WED,
    Bill,
    Town,
    booked,
    cases,
    cost,
    found,
    line,
    live,
    moment,
    pay,
    reverse,
    stored,
)


def act(action_kind: str, alice: Any, bob: Any, **which: Any) -> Discrepancy:
    """A case ended by an approved action."""
    case = Discrepancy.objects.get(state="open", **which)
    action = action_propose(case_id=case.pk, kind=action_kind, params={}, user=alice, note="n")
    request_approve(request_id=action.approval_id, checker=bob)
    case.refresh_from_db()
    assert case.state == "closed"
    return case


def colourful(town: Town) -> ReconRun:
    """A Monday with one of nearly everything."""
    return town.day(
        MON,
        [
            pay("1", MON),
            pay("2", MON, "22:55:00"),
            pay("3", MON),
            pay("4", MON),
            pay("5", MON, status="unknown"),
            pay("6", MON, status="unknown"),
            pay("7", MON),
            reverse("8", "1", MON),
            pay("10", MON, amount="3.00"),
            reverse("11", "10", MON, amount="3.00", kind="void"),
        ],
        [
            line("R-1", MON),
            line("R-1", MON, "10:00:09", trade_no="T-again"),
            line("R-3", MON, amount=9_000),
            line("R-4", MON, fee=60),
            line("R-5", MON),
            line("R-8", MON, "12:00:00", 4_000, kind="refund"),
            line("R-9", MON, "23:30:00"),
            line("R-99", MON, amount=123),
        ],
    )


def balances() -> dict[tuple[str, str], int]:
    """Every account of the ledger."""
    return {(a.subject.code, a.owner_no): a.balance for a in Account.objects.select_related("subject") if a.balance}


def voucher_count() -> int:
    return Voucher.objects.in_range(*id_range(MON, FRI)).count()


# --- the same input ---------------------------------------------------------------------------------------------------


def test_the_same_input_makes_no_voucher_and_the_same_results(town: Town) -> None:
    first = colourful(town)
    before, money, items = voucher_count(), balances(), live()

    second = town.run(MON)

    assert (voucher_count(), balances(), live()) == (before, money, items)
    assert booked(second) == {}
    assert found(second) == found(first)
    assert (second.results, second.equation) == (first.results, first.equation)
    assert (second.own_amount, second.channel_count) == (first.own_amount, first.channel_count)


def test_every_run_keeps_its_number_and_only_the_last_is_current(town: Town) -> None:
    first = colourful(town)
    second, third = town.run(MON), town.run(MON)
    first.refresh_from_db()
    assert [first.run_no, second.run_no, third.run_no] == [1, 2, 3]
    assert list(ReconRun.objects.filter(is_current=True)) == [third]
    assert ReconResult.objects.filter(run=first).count() == ReconResult.objects.filter(run=third).count()


def test_the_status_recovery_of_a_lost_order_is_not_repeated(town: Town) -> None:
    colourful(town)
    recovered = stored("5")
    town.run(MON)
    again = stored("5")
    assert (again.status, again.own_date, again.extra) == (Status.SUCCEEDED, TUE, recovered.extra)


def test_running_an_earlier_day_again_leaves_later_clearings_alone(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00"), pay("2", MON)])
    town.day(TUE, lines=[line("R-1", TUE, "00:00:30"), line("R-2", TUE)])
    before, money = voucher_count(), balances()
    town.run(MON)
    assert (live(), voucher_count(), balances()) == ([], before, money)
    assert MatchLink.objects.count() == 2


def test_both_days_run_again_in_turn_change_nothing(town: Town) -> None:
    colourful(town)
    town.day(TUE, [pay("9", MON, "23:30:00")], [line("R-2", TUE, "00:00:30")])
    before, money, items = voucher_count(), balances(), live()
    for day in (MON, TUE, MON, TUE):
        town.run(day)
    assert (voucher_count(), balances(), live()) == (before, money, items)


# --- a bill issued again ----------------------------------------------------------------------------------------------


def test_a_reissue_with_an_amount_changed_books_the_difference_only(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON, amount=9_000)])
    town.bill(MON, line("R-1", MON, amount=9_500))
    run = town.run(MON)
    assert found(run) == [("amount_mismatch", "R-1", -500)]
    assert booked(run) == {
        "Bill taken, cost netted": {"S": 500 - (cost(9_500) - cost(9_000)), "K": cost(9_500) - cost(9_000)},
        "Shortage to suspense": {"D": -500},
    }
    assert cases() == [("amount_mismatch", "withdrawn", 0), ("amount_mismatch", "open", -500)]
    assert town.shortage == 500


def test_a_reissue_that_agrees_takes_the_difference_back(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON, amount=9_000)])
    town.bill(MON, line("R-1", MON))
    run = town.run(MON)
    assert (found(run), live()) == ([], [])
    assert cases() == [("amount_mismatch", "withdrawn", 0)]
    assert (town.shortage, town.clearing) == (0, 0)


def test_a_reissue_with_a_line_removed_takes_its_booking_back(town: Town) -> None:
    town.day(MON, lines=[line("R-9", MON, amount=700), line("R-8", MON, amount=300)])
    town.bill(MON, line("R-8", MON, amount=300))
    run = town.run(MON)
    assert found(run) == [("channel_only", "R-8", 300)]
    assert booked(run)["Surplus to suspense"] == {"D": -700}
    assert town.surplus == 300


def test_a_reissue_with_a_line_added_books_that_line(town: Town) -> None:
    town.day(MON, [pay("1", MON), pay("2", MON)], [line("R-1", MON)])
    town.bill(MON, line("R-1", MON), line("R-2", MON))
    run = town.run(MON)
    assert (found(run), live()) == ([], [])
    assert booked(run) == {
        "Bill taken, cost netted": {"S": 10_000 - cost(10_000), "K": cost(10_000)},
        "Shortage to suspense": {"D": -10_000},
    }
    assert (cases(), town.shortage) == ([("own_only", "withdrawn", 0)], 0)


def test_a_reissue_in_which_nothing_changed_but_the_order_of_lines_books_nothing(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON), line("R-9", MON, amount=700)])
    town.bill(MON, line("R-9", MON, amount=700), line("R-1", MON))
    run = town.run(MON)
    assert (found(run), booked(run)) == ([("channel_only", "R-9", 700)], {})
    assert OpenItem.objects.get(state="definite").bill_line_id == line_range(run.file)[0] + 1


def test_a_reissue_that_brings_a_missing_half_of_an_earlier_day_clears_it(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")])
    town.day(TUE)
    town.bill(TUE, line("R-1", TUE, "00:00:30"))
    run = town.run(TUE)
    assert found(run) == [("own_cleared", "R-1", -10_000)]
    assert (live(), town.shortage, town.clearing) == ([], 0, 0)


def test_a_reissue_that_loses_a_line_puts_the_cleared_item_back(town: Town) -> None:
    town.day(MON, [pay("1", MON)])
    town.day(TUE, lines=[line("R-1", TUE)])
    town.bill(TUE)
    town.run(TUE)
    assert live() == [("R-1", "definite", -10_000)]
    assert (town.shortage, MatchLink.objects.count()) == (10_000, 0)
    assert cases()[0][:2] == ("own_only", "open")


def test_a_discount_changed_by_a_reissue_books_the_change_for_its_merchant(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON, discount=500, fee=19)])
    town.bill(MON, line("R-1", MON, discount=200, fee=20))
    run = town.run(MON)
    assert booked(run)["Matched line with merchant-funded discount M-A"] == {"X": -300}
    assert town.pending() == 9_800


def test_running_a_day_again_leaves_definite_what_the_next_day_made_so(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")], [line("R-9", MON, "23:30:00")])
    town.day(TUE)
    before, money, items = voucher_count(), balances(), live()
    assert found(town.run(MON)) == []
    assert (voucher_count(), balances(), live()) == (before, money, items)


def test_a_reissue_brings_the_missing_half_of_what_the_next_day_made_definite(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")])
    town.day(TUE)
    town.bill(MON, line("R-1", MON, "22:55:00"))
    assert found(town.run(MON)) == [("own_cleared", "R-1", -10_000)]
    assert (live(), cases(), town.shortage) == ([], [("own_only", "auto_cleared", 0)], 0)
    for day in (TUE, MON):
        town.run(day)
    assert (live(), town.shortage, town.clearing) == ([], 0, 0)


@pytest.mark.parametrize("amount", [None, 300])
def test_a_reissue_without_a_line_that_the_next_day_made_definite_takes_it_back(town: Town, amount: int | None) -> None:
    town.day(MON, lines=[line("R-9", MON, "23:30:00", 700)])
    town.day(TUE)
    assert town.surplus == 700
    town.bill(MON, *([line("R-9", MON, "23:30:00", amount)] if amount else []))
    town.run(MON)
    assert (town.surplus, cases()) == (0, [("channel_only", "withdrawn", 0)])
    for day in (MON, TUE, MON):
        town.run(day)
    town.day(WED)
    assert town.surplus == (amount or 0)
    town.bill(MON, line("R-9", MON, "23:30:00", 700))
    town.run(MON)
    assert town.surplus == 700


def test_a_reissue_that_changes_a_line_the_next_day_cleared_is_a_case_over_the_change(town: Town) -> None:
    town.day(MON, lines=[line("R-1", MON, "23:30:00")])
    town.day(TUE, [pay("1", MON, "23:30:00")])
    town.bill(MON, line("R-1", MON, "23:30:00", 9_000))
    town.run(MON)
    assert (cases(), town.shortage) == ([("amount_mismatch", "open", -1_000)], 1_000)
    for day in (TUE, MON, TUE):
        town.run(day)
    assert (cases(), town.shortage) == ([("amount_mismatch", "open", -1_000)], 1_000)


def test_a_reissue_that_corrects_a_line_the_next_day_cleared_leaves_no_two_halves_of_the_mistake(town: Town) -> None:
    town.day(MON, lines=[line("R-1", MON, "23:30:00", 10_007)])
    town.day(TUE, [pay("1", MON, "23:30:00")])
    assert (cases(), town.surplus) == ([("amount_mismatch", "open", 7)], 7)
    town.bill(MON, line("R-1", MON, "23:30:00"))
    for day in (MON, TUE, MON):
        town.run(day)
        assert (cases(), live()) == ([("amount_mismatch", "auto_cleared", 0)], [])
        assert (town.surplus, town.shortage, town.clearing) == (0, 0, 0)


def test_a_line_the_next_day_cleared_with_a_mismatch_is_one_case_over_what_it_is_now(town: Town) -> None:
    town.day(MON, lines=[line("R-1", MON, "23:30:00", 10_007)])
    town.day(TUE, [pay("1", MON, "23:30:00")])
    for amount in (10_050, 9_000, 10_007):
        town.bill(MON, line("R-1", MON, "23:30:00", amount))
        for day in (MON, TUE):
            town.run(day)
            assert [suspense for _kind, state, suspense in cases() if state == "open"] == [amount - 10_000]
            assert town.surplus - town.shortage == amount - 10_000
            assert 0 in (town.surplus, town.shortage)


def test_a_mismatch_somebody_decided_stays_decided_when_its_line_is_corrected(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, lines=[line("R-1", MON, "23:30:00", 10_007)])
    town.day(TUE, [pay("1", MON, "23:30:00")])
    act("income", alice, bob)
    town.bill(MON, line("R-1", MON, "23:30:00"))
    for day in (MON, TUE, MON):
        town.run(day)
        assert cases() == [("amount_mismatch", "closed", 0), ("amount_mismatch", "open", -7)]


def test_a_replaced_difference_stays_the_same_case_when_nothing_changes_any_more(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON, amount=9_000)])
    town.bill(MON, line("R-1", MON, amount=9_500))
    town.run(MON)
    before = live(), cases(), list(OpenItem.objects.values_list("pk", "state"))
    town.run(MON)
    assert (live(), cases(), list(OpenItem.objects.values_list("pk", "state"))) == before


def test_what_was_in_doubt_only_because_the_day_before_had_no_run_is_definite_once_it_has(town: Town) -> None:
    town.close(MON)
    town.orders(pay("1", TUE, "00:05:00"))
    town.close(TUE)
    town.bill(TUE, line("R-9", TUE, "00:05:00", 700))
    assert [kind for kind, _key, _d in found(town.run(TUE))] == ["channel_in_doubt", "own_in_doubt"]
    town.bill(MON)
    town.run(MON)
    assert found(town.run(TUE)) == [("channel_only", "R-9", 700), ("own_only", "R-1", -10_000)]
    assert sorted(kind for kind, _state, _suspense in cases()) == ["channel_only", "own_only"]
    assert (town.surplus, town.shortage) == (700, 10_000)


def test_a_difference_that_turns_out_to_be_another_one_is_a_case_of_that_kind(town: Town) -> None:
    town.day(MON, lines=[line("R-1", MON)])
    assert cases() == [("channel_only", "open", 10_000)]
    town.orders(pay("1", MON, status="closed"))
    town.run(MON)
    assert cases() == [("channel_only", "withdrawn", 0), ("status_mismatch", "open", 10_000)]


# --- what people have acted on ----------------------------------------------------------------------------------------


def test_an_item_ended_by_an_action_stays_ended_in_a_repeated_run(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, [pay("1", MON)], [line("R-9", MON, amount=700)])
    act("income", alice, bob, kind="channel_only")
    act("loss", alice, bob, kind="own_only")
    before, money = voucher_count(), balances()
    town.run(MON)
    assert (voucher_count(), balances(), live()) == (before, money, [])
    assert [state for _kind, state, _suspense in cases()] == ["closed", "closed"]


def test_a_duplicate_stays_one_when_the_first_of_its_key_is_decided(town: Town, alice: Any, bob: Any) -> None:
    again = line("R-9", MON, amount=700, trade_no="T-again")
    town.orders(pay("1", MON), pay("2", MON, channel_request_no="R-1"))
    town.day(MON, lines=[line("R-9", MON, amount=700), again])
    act("income", alice, bob, kind="channel_only")
    act("loss", alice, bob, kind="own_only")
    before = live(), cases(), voucher_count()
    run = town.run(MON)
    assert found(run) == [("duplicate_channel", "R-9", 700), ("duplicate_own", "R-1", -10_000)]
    assert (live(), cases(), voucher_count()) == before


def test_the_first_of_a_key_stays_what_it_is_when_its_duplicate_is_decided(town: Town, alice: Any, bob: Any) -> None:
    again = line("R-9", MON, amount=700, trade_no="T-again")
    town.orders(pay("1", MON), pay("2", MON, channel_request_no="R-1"))
    town.day(MON, lines=[line("R-9", MON, amount=700), again])
    act("income", alice, bob, kind="duplicate_channel")
    act("loss", alice, bob, kind="duplicate_own")
    before = live(), cases(), voucher_count()
    run = town.run(MON)
    assert found(run) == [("channel_only", "R-9", 700), ("own_only", "R-1", -10_000)]
    assert (live(), cases(), voucher_count()) == before


def test_a_line_acted_on_that_a_reissue_changes_is_a_new_case_with_the_change(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, lines=[line("R-9", MON, amount=700)])
    act("income", alice, bob)
    town.bill(MON, line("R-9", MON, amount=900))
    town.run(MON)
    assert cases() == [("channel_only", "closed", 0), ("amount_mismatch", "open", 200)]
    assert town.surplus == 200
    town.run(MON)
    assert cases() == [("channel_only", "closed", 0), ("amount_mismatch", "open", 200)]


def test_a_line_acted_on_that_a_reissue_drops_is_a_new_case_over_all_of_it(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, lines=[line("R-9", MON, amount=700)])
    act("income", alice, bob)
    town.bill(MON)
    town.run(MON)
    assert cases() == [("channel_only", "closed", 0), ("amount_mismatch", "open", -700)]
    assert town.shortage == 700


def test_a_line_acted_on_twice_is_compared_with_the_sum_of_both(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, lines=[line("R-9", MON, amount=700)])
    act("income", alice, bob)
    town.bill(MON, line("R-9", MON, amount=900))
    town.run(MON)
    act("income", alice, bob)
    town.bill(MON, line("R-9", MON, amount=1_000))
    town.run(MON)
    town.run(MON)
    assert [suspense for _kind, state, suspense in cases() if state == "open"] == [100]
    assert town.surplus == 100


def test_a_changed_line_still_unhandled_follows_the_next_reissue(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, lines=[line("R-9", MON, amount=700)])
    act("income", alice, bob)
    for amount in (900, 650, 700):
        town.bill(MON, line("R-9", MON, amount=amount))
        town.run(MON)
        assert town.surplus - town.shortage == amount - 700


def test_the_discount_of_a_pair_acted_on_is_booked_once_and_follows_the_bill(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON, amount=9_000, discount=500)])
    act("loss", alice, bob)
    town.run(MON)
    assert town.pending() == 9_500
    town.bill(MON, line("R-1", MON, amount=9_000, discount=300))
    town.run(MON)
    town.run(MON)
    assert (town.pending(), town.shortage, town.surplus) == (9_700, 0, 0)


def test_a_pair_found_over_midnight_and_acted_on_survives_both_days_running_again(
    town: Town, alice: Any, bob: Any
) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")], [line("R-2", MON, "23:30:00", amount=9_000)])
    town.day(TUE, [pay("2", MON, "23:30:00")], [line("R-1", TUE, "00:00:30", amount=8_000)])
    for case in Discrepancy.objects.filter(state="open"):
        act("loss", alice, bob, pk=case.pk)
    before, money = voucher_count(), balances()
    for day in (TUE, MON, TUE):
        town.run(day)
    assert (voucher_count(), balances(), live()) == (before, money, [])


def test_a_pair_acted_on_that_a_reissue_changes_is_a_new_case_with_the_change(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON, amount=9_000)])
    act("loss", alice, bob)
    town.bill(MON, line("R-1", MON, amount=9_400))
    town.run(MON)
    assert cases() == [("amount_mismatch", "closed", 0), ("amount_mismatch", "open", 400)]
    assert (town.surplus, town.shortage) == (400, 0)


def test_a_loss_whose_line_arrives_after_all_is_a_surplus(town: Town, alice: Any, bob: Any) -> None:
    town.day(MON, [pay("1", MON)])
    act("loss", alice, bob)
    run = town.day(TUE, lines=[line("R-1", TUE)])
    assert [(kind, d) for kind, _key, d in found(run)] == [("duplicate_channel", 10_000)]
    assert town.surplus == 10_000


# --- files in any order -----------------------------------------------------------------------------------------------


def late_lives() -> list[tuple[dt.date, list[dict[str, Any]], list[Bill]]]:
    """Three days whose halves lie on both sides of midnight, earlier and later."""
    return [
        (
            MON,
            [pay("1", MON, "22:55:00"), pay("2", MON), pay("3", MON, status="unknown")],
            [line("R-2", MON), line("R-4", MON, "23:30:00"), line("R-3", MON), line("R-6", MON)],
        ),
        (
            TUE,
            [pay("4", MON, "23:30:00"), pay("5", TUE), pay("6", TUE)],
            [line("R-1", TUE, "00:00:30"), line("R-7", TUE, "23:40:00")],
        ),
        (WED, [pay("7", TUE, "23:40:00")], [line("R-5", WED)]),
    ]


def walk(town: Town, order: list[dt.date]) -> None:
    for day, orders, _lines in late_lives():
        town.orders(*orders)
        town.close(day)
    for day in order:
        town.bill(day, *next(lines for which, _orders, lines in late_lives() if which == day))
        town.run(day)


@pytest.mark.parametrize(
    "order",
    [[TUE, MON, WED], [WED, TUE, MON], [WED, MON, TUE], [MON, WED, TUE], [TUE, WED, MON]],
    ids=lambda days: "-".join(f"{day:%a}" for day in days) if isinstance(days, list) else None,
)
def test_files_in_any_order_end_in_the_same_balances(town: Town, order: list[dt.date]) -> None:
    walk(town, order)
    town.day(THU)
    assert (town.clearing, town.surplus, town.shortage) == (0, 0, 0)
    assert live() == []
    assert town.pending() == 7 * 10_000


# --- through the real door --------------------------------------------------------------------------------------------


def wechat_bill(*rows: BillRow) -> io.BytesIO:
    stream = io.BytesIO()
    write_wechat_all(stream, "1699999901", rows)
    stream.seek(0)
    return stream


def wechat_row(key: str, amount: int) -> BillRow:
    at = moment(MON, "10:00:00")
    return BillRow("payment", key, f"4200002026111600000{key[-1]}", amount, cost(amount), at, rate="0.20%")


def test_a_reissued_wechat_bill_waits_for_its_take_over_and_then_books_the_difference(town: Town) -> None:
    town.orders(pay("1", MON), pay("2", MON))
    town.close(MON)
    first = bill_load(contract=town.contract, channel_date=MON, stream=wechat_bill(wechat_row("R-1", 10_000)), name="a")
    assert first.state == FileState.ACCEPTED, first.error_message
    assert found(town.run(MON)) == [("own_only", "R-2", -10_000)]

    both = wechat_bill(wechat_row("R-1", 10_000), wechat_row("R-2", 10_000))
    second = bill_load(contract=town.contract, channel_date=MON, stream=both, name="b")
    assert (second.state, second.error_code) == (FileState.HELD, "bill.needs_take_over")
    bill_take_over(bill_file_id=second.pk, user="alice")

    assert found(town.run(MON)) == []
    assert (town.clearing, town.shortage) == (0, 0)


# --- crash ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["apply", "book", "_finish", "receipt_due_set", "_escalate"])
def test_a_run_that_breaks_midway_leaves_nothing(town: Town, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    town.orders(pay("1", MON), pay("2", MON, status="unknown"), pay("3", MON, status="unknown"))
    town.close(MON)
    town.bill(MON, line("R-2", MON), line("R-9", MON))
    before, money = voucher_count(), balances()
    real = getattr(services, step)

    def broken(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise ConnectionError("the machine went away")

    with monkeypatch.context() as patched:
        patched.setattr(services, step, broken)
        with pytest.raises(ConnectionError):
            services.run_reconcile(contract=town.contract, day=MON)

    assert (voucher_count(), balances()) == (before, money)
    assert not ReconRun.objects.exists()
    assert not OpenItem.objects.exists()
    assert not Discrepancy.objects.exists()
    assert not RunVoucher.objects.exists()
    assert [stored(n).status for n in "23"] == ["unknown", "unknown"]
    assert town.run(MON).run_no == 1
