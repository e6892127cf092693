"""Orders without a result, lost orders and refunds, settled by the bill (DOMAIN 7.2 "Statuses")."""

from __future__ import annotations

from typing import Any

import pytest

from payops.accounts import selectors as balances
from payops.accounts.models import PostingKey
from payops.approvals.services import request_approve
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose
from payops.merchants.models import Merchant
from payops.orders.choices import Origin, Status
from payops.orders.models import Transaction
from payops.reconciliation.models import OpenItem
from tests.reconciliation.builders import MON, TUE, WED, Town, cases, found, line, live, pay, reverse, stored


def in_flight(merchant_no: str = "M-A") -> int:
    return balances.balance_of("220203", "merchant", merchant_no)


# --- lost orders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["unknown", "processing", "failed"])
def test_a_lost_order_is_recovered_with_todays_own_date_and_cleared_by_the_next_run(town: Town, status: str) -> None:
    run = town.day(MON, [pay("1", MON, status=status)], [line("R-1", MON)])

    assert found(run) == [("status_mismatch", "R-1", 10_000)]
    row = stored("1")
    assert (row.status, row.own_date, row.business_date) == (Status.SUCCEEDED, TUE, MON)
    assert (town.surplus, town.pending()) == (10_000, 10_000)

    assert found(town.day(TUE)) == [("channel_cleared", "R-1", 10_000)]
    assert (cases(), town.surplus, town.clearing) == ([("status_mismatch", "auto_cleared", 0)], 0, 0)


def test_a_closed_order_that_the_channel_took_is_left_to_a_person(town: Town) -> None:
    run = town.day(MON, [pay("1", MON, status="closed")], [line("R-1", MON)])
    assert found(run) == [("status_mismatch", "R-1", 10_000)]
    assert stored("1").status == Status.CLOSED
    assert Discrepancy.objects.get().reason_code == "late_success"
    town.day(TUE)
    assert (cases(), town.pending()) == ([("status_mismatch", "open", 10_000)], 0)


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_a_lost_order_of_a_merchant_who_may_not_take_payments_is_left_to_a_person(town: Town, status: str) -> None:
    town.orders(pay("1", MON, status="unknown"))
    Merchant.objects.filter(merchant_no="M-A").update(status=status)
    town.close(MON)
    town.bill(MON, line("R-1", MON))
    assert found(town.run(MON)) == [("status_mismatch", "R-1", 10_000)]
    assert (stored("1").status, town.surplus) == (Status.UNKNOWN, 10_000)


def test_a_lost_order_of_an_earlier_day_is_found_when_its_line_comes_late(town: Town) -> None:
    town.day(MON, [pay("1", MON, status="failed")])
    run = town.day(TUE, lines=[line("R-1", TUE)])
    assert found(run) == [("status_mismatch", "R-1", 10_000)]
    assert stored("1").own_date == WED
    assert found(town.day(WED)) == [("channel_cleared", "R-1", 10_000)]


def test_an_unknown_order_near_the_cut_off_is_recovered_by_the_next_bill(town: Town) -> None:
    run = town.day(MON, [pay("1", MON, "22:55:00", status="unknown")])
    assert found(run) == [("own_in_doubt", "R-1", 0)]
    run = town.day(TUE, lines=[line("R-1", TUE, "00:00:30")])
    assert found(run) == [("status_mismatch", "R-1", 10_000)]
    assert stored("1").own_date == WED
    assert found(town.day(WED)) == [("channel_cleared", "R-1", 10_000)]
    assert (live(), town.surplus, town.clearing) == ([], 0, 0)


# --- nobody knows it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["unknown", "processing"])
def test_an_order_without_result_that_the_bill_lacks_has_failed_without_a_voucher(town: Town, status: str) -> None:
    run = town.day(MON, [pay("1", MON, status=status)])
    assert found(run) == [("failed_absent", "R-1", 0)]
    assert (stored("1").status, live(), cases()) == (Status.FAILED, [], [])
    assert not PostingKey.objects.filter(source_id=stored("1").pk).exists()


def test_an_unknown_order_near_the_cut_off_fails_only_after_the_next_bill(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00", status="unknown")])
    assert stored("1").status == Status.UNKNOWN
    assert found(town.day(TUE)) == [("failed_absent", "R-1", 0)]
    assert (stored("1").status, live()) == (Status.FAILED, [])


def test_an_unknown_order_that_the_core_settles_meanwhile_stands_on_its_new_day(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00", status="unknown")])
    late = pay("1", MON, "22:55:00", succeeded_at=f"{MON}T23:10:00")
    run = town.day(TUE, [late], [line("R-1", MON, "23:10:00")])
    assert (run.matched_count, found(run), live()) == (1, [], [])
    assert OpenItem.objects.get().state == "withdrawn"


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_a_failed_refund_that_the_bill_lacks_is_confirmed_failed(town: Town) -> None:
    town.orders(pay("1", MON), reverse("2", "1", MON, status="processing"))
    assert in_flight() == 0  # accepted and taken on the same date with this channel
    town.contract.refund_date = "completion"
    town.contract.save()
    town.orders(reverse("3", "1", MON, status="processing"))
    assert in_flight() == 4_000
    town.orders(reverse("3", "1", MON, status="failed"))
    town.close(MON)
    town.bill(MON, line("R-1", MON), line("R-2", MON, "12:00:00", 4_000, kind="refund"))

    assert found(town.run(MON)) == [("failed_absent", "R-3", 0)]
    assert (in_flight(), town.pending()) == (0, 6_000)


def test_a_failed_refund_that_the_channel_took_after_all_is_recovered(town: Town) -> None:
    town.contract.refund_date = "completion"
    town.contract.save()
    town.orders(pay("1", MON), reverse("2", "1", MON, status="processing"))
    town.orders(reverse("2", "1", MON, status="failed"))
    town.close(MON)
    town.bill(MON, line("R-1", MON), line("R-2", MON, "12:00:00", 4_000, kind="refund"))

    assert found(town.run(MON)) == [("status_mismatch", "R-2", -4_000)]
    assert stored("2").status == Status.SUCCEEDED
    assert (in_flight(), town.shortage) == (0, 4_000)
    assert found(town.day(TUE)) == [("channel_cleared", "R-2", -4_000)]
    assert (town.shortage, town.clearing) == (0, 0)


def test_a_processing_refund_waits_for_its_bill_however_long(town: Town) -> None:
    town.contract.refund_date = "completion"
    town.contract.save()
    town.day(MON, [pay("1", MON), reverse("2", "1", MON, status="processing")], [line("R-1", MON)])
    town.day(TUE)
    assert stored("2").status == Status.PROCESSING
    run = town.day(WED, lines=[line("R-2", WED, amount=4_000, kind="refund")])
    assert found(run) == [("status_mismatch", "R-2", -4_000)]
    assert (stored("2").status, in_flight()) == (Status.SUCCEEDED, 0)


def test_a_refund_of_a_surplus_is_finished_by_the_bill_that_shows_it(town: Town, alice: Any, bob: Any) -> None:
    evidence_row = pay("1", MON, status="closed")
    town.day(MON, [evidence_row], [line("R-1", MON)])
    action = action_propose(case_id=Discrepancy.objects.get().pk, kind="refund_payer", params={}, user=alice, note="n")
    request_approve(request_id=action.approval_id, checker=bob)
    refund = Transaction.objects.for_days(MON, WED).get(origin=Origin.SURPLUS_REFUND)
    assert (town.surplus, in_flight()) == (0, 10_000)

    run = town.day(TUE, lines=[line(refund.match_key, TUE, kind="refund")])
    assert found(run) == [("status_mismatch", refund.match_key, -10_000)]
    assert in_flight() == 0
    town.day(WED)
    assert (town.surplus, town.shortage, town.clearing) == (0, 0, 0)
