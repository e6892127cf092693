"""The vouchers of a run: one total per rule (DOMAIN 4.5, 7.2), and what the run keeps about itself."""

from __future__ import annotations

from payops.accounts import selectors as balances
from payops.accounts.models import Voucher
from payops.reconciliation.models import ReconRun, RunVoucher
from payops.reconciliation.selectors import current_run, run_as_dict
from tests.reconciliation.builders import MON, TUE, Town, booked, cost, line, pay, reverse

FEE = cost(10_000)


def test_bill_taken_with_netted_cost_is_one_voucher_for_the_whole_bill(town: Town) -> None:
    run = town.day(MON, [pay("1", MON), pay("2", MON)], [line("R-1", MON), line("R-2", MON)])
    assert booked(run) == {"Bill taken, cost netted": {"S": 2 * (10_000 - FEE), "K": 2 * FEE}}
    assert town.receivable == 2 * (10_000 - FEE)
    assert balances.balance_of("642101", "channel", "WECHAT") == 2 * FEE


def test_bill_taken_with_billed_cost_leaves_the_cost_payable(town: Town) -> None:
    town.contract.cost_mode = "billed"
    town.contract.save()
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    assert booked(run) == {"Bill taken, cost billed separately": {"S": 10_000, "K": FEE}}
    assert (town.receivable, town.clearing) == (10_000, 0)
    assert balances.balance_of("224105", "channel", "WECHAT") == FEE
    assert balances.balance_of("642101", "channel", "WECHAT") == FEE


def test_a_line_only_the_channel_has_counts_s_plus_k_when_netted_and_s_when_billed(town: Town) -> None:
    run = town.day(MON, lines=[line("R-1", MON)])
    assert booked(run)["Surplus to suspense"] == {"D": 10_000}
    town.contract.cost_mode = "billed"
    town.contract.save()
    run = town.day(TUE, lines=[line("R-2", TUE)])
    assert booked(run)["Surplus to suspense"] == {"D": 10_000}
    assert town.clearing == 0


def test_a_day_of_refunds_makes_a_negative_receivable(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    run = town.day(
        TUE,
        [reverse("2", "1", TUE, amount="100.00")],
        [line("R-2", TUE, "12:00:00", kind="refund")],
    )
    assert booked(run) == {"Bill taken, cost netted": {"S": -(10_000 - FEE), "K": -FEE}}
    assert town.receivable == 0


def test_in_doubt_items_book_nothing(town: Town) -> None:
    run = town.day(MON, [pay("1", MON, "22:55:00")], [line("R-9", MON, "23:30:00", amount=700)])
    assert list(booked(run)) == ["Bill taken, cost netted"]
    assert town.clearing == 10_000 - 700


def test_surplus_and_shortage_of_one_run_are_kept_apart(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-9", MON, amount=700)])
    assert booked(run)["Surplus to suspense"] == {"D": 700}
    assert booked(run)["Shortage to suspense"] == {"D": 10_000}


def test_a_fee_over_tolerance_moves_cost_to_shortage(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, fee=60)])
    assert booked(run)["Fee over tolerance claimed from the channel"] == {"D": 40}
    assert balances.balance_of("642101", "channel", "WECHAT") == FEE


def test_run_vouchers_are_booked_on_the_open_day_and_carry_the_runs_day(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    record = RunVoucher.objects.get(run=run)
    voucher = Voucher.objects.get(pk=record.voucher_id)
    assert voucher.business_date == MON
    assert balances.open_day() == TUE
    assert str(voucher.pk).startswith(f"{TUE:%y%m%d}")


def test_the_totals_of_a_run_stand_by_kind_and_side(town: Town) -> None:
    run = town.day(
        MON,
        [pay("1", MON), reverse("2", "1", MON)],
        [line("R-1", MON), line("R-2", MON, "12:00:00", 4_000, kind="refund")],
    )
    assert run.totals == {
        "1": {"own_count": 1, "own_amount": 10_000, "channel_count": 1, "channel_amount": 10_000, "channel_fee": FEE},
        "2": {
            "own_count": 1,
            "own_amount": -4_000,
            "channel_count": 1,
            "channel_amount": -4_000,
            "channel_fee": -cost(4_000),
        },
    }
    assert run.results["matched"] == {"count": 2, "amount": 6_000}


def test_the_equation_names_what_is_new_and_what_is_cleared(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")])
    run = town.day(TUE, [pay("2", TUE)], [line("R-1", TUE, "00:00:30"), line("R-9", TUE, amount=700)])
    assert run.equation == {
        "own_total": 10_000,
        "new": {"own_only": -10_000, "channel_only": 700},
        "cleared": {"own_in_doubt": -10_000},
        "discount": 0,
        "channel_total": 10_700,
        "left": 10_700,
        "holds": True,
    }


def test_a_run_as_json_leads_to_its_vouchers_and_rows(town: Town) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-9", MON, amount=700)])
    told = run_as_dict(ReconRun.objects.get(pk=run.pk))
    assert (told["channel"], told["date"], told["run_no"]) == ("WECHAT", "2026-11-16", 1)
    assert {row["result"] for row in told["discrepancies"]} == {"own_only", "channel_only"}
    assert all(row["case"] for row in told["discrepancies"])
    assert all(voucher["voucher"] for voucher in told["vouchers"])
    assert current_run(town.contract, MON) == run
