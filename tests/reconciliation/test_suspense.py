"""Suspense whose voucher was reversed is gone: it can no longer be written off (DOMAIN 9)."""

from __future__ import annotations

from typing import Any

import pytest

from payops.accounts.choices import Event
from payops.accounts.corrections import correction_propose
from payops.accounts.models import Voucher
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.discrepancies.choices import ActionKind, CaseState
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose, actions_propose_many
from payops.reconciliation.models import ReconRun, RunVoucher
from payops.reconciliation.services import run_reconcile
from payops.settlement.clearing import discounts_of_runs
from payops.settlement.equation import bill_totals
from tests.accounts.documents import approve
from tests.reconciliation.builders import MON, TUE, Town, booked, line, pay


@pytest.fixture
def run(town: Town) -> ReconRun:
    """A surplus of 7.00 and a shortage of 100.00, found and booked by one run."""
    return town.day(MON, [pay("1", MON)], [line("R-9", MON, amount=700)])


def voucher_of(run: ReconRun, event: Event) -> Voucher:
    return Voucher.objects.get(pk=RunVoucher.objects.get(run=run, event=event).voucher_id)


def reverse(voucher: Voucher, maker: Any, checker: Any) -> None:
    approve(correction_propose(voucher_id=voucher.pk, user=maker, reason="Wrong file.", whole=True), checker)


def case(run: ReconRun, amount: int) -> Discrepancy:
    return Discrepancy.objects.get(items__definite_run=run, amount=amount)


def refused(action: Any) -> str:
    with pytest.raises(PayopsError) as caught:
        action()
    return caught.value.code


def to_income(case: Discrepancy, user: Any) -> Any:
    return action_propose(case_id=case.pk, kind=ActionKind.INCOME, params={}, user=user, note="Too old.")


def test_after_a_reversal_its_suspense_is_not_written_off(run: ReconRun, alice: Any, bob: Any) -> None:
    surplus = case(run, 700)
    reverse(voucher_of(run, Event.SURPLUS_FOUND), alice, bob)
    assert refused(lambda: to_income(surplus, alice)) == "discrepancies.suspense_reversed"
    surplus.refresh_from_db()
    assert (surplus.state, surplus.suspense) == (CaseState.OPEN, 700)


def test_a_bulk_proposal_with_such_a_case_is_refused(run: ReconRun, alice: Any, bob: Any) -> None:
    surplus = case(run, 700)
    reverse(voucher_of(run, Event.SURPLUS_FOUND), alice, bob)
    assert (
        refused(
            lambda: actions_propose_many(
                case_ids=[surplus.pk], kind=ActionKind.INCOME, params={}, user=alice, note="Old."
            )
        )
        == "discrepancies.suspense_reversed"
    )


def test_an_action_proposed_before_the_reversal_is_not_booked_after_it(run: ReconRun, alice: Any, bob: Any) -> None:
    action = to_income(case(run, 700), alice)
    reverse(voucher_of(run, Event.SURPLUS_FOUND), alice, bob)
    assert (
        refused(lambda: request_approve(request_id=action.approval_id, checker=bob))
        == "discrepancies.suspense_reversed"
    )


def test_such_a_case_may_still_be_kept_waiting(run: ReconRun, alice: Any, bob: Any) -> None:
    surplus = case(run, 700)
    reverse(voucher_of(run, Event.SURPLUS_FOUND), alice, bob)
    action_propose(case_id=surplus.pk, kind=ActionKind.WAIT, params={"days": 2}, user=alice)
    surplus.refresh_from_db()
    assert surplus.state == CaseState.PROPOSED


def test_the_other_sides_voucher_does_not_concern_a_case(run: ReconRun, alice: Any, bob: Any) -> None:
    reverse(voucher_of(run, Event.SHORTAGE_FOUND), alice, bob)
    assert to_income(case(run, 700), alice).amount == 700
    with pytest.raises(PayopsError) as caught:
        action_propose(case_id=case(run, -10_000).pk, kind=ActionKind.LOSS, params={}, user=alice, note="Lost.")
    assert caught.value.code == "discrepancies.suspense_reversed"


def test_the_next_run_of_the_day_books_what_was_reversed_and_the_case_is_worked_on(
    run: ReconRun, town: Town, alice: Any, bob: Any
) -> None:
    reverse(voucher_of(run, Event.SURPLUS_FOUND), alice, bob)
    assert (town.surplus, town.clearing) == (0, -700)
    again = town.run(MON)
    assert (booked(again), town.surplus, town.clearing) == ({"Surplus to suspense": {"D": 700}}, 700, 0)
    assert booked(town.run(MON)) == {}
    request_approve(request_id=to_income(case(run, 700), alice).approval_id, checker=bob)
    assert town.surplus == 0


def test_what_was_booked_again_may_be_reversed_again(run: ReconRun, town: Town, alice: Any, bob: Any) -> None:
    reverse(voucher_of(run, Event.SURPLUS_FOUND), alice, bob)
    reverse(voucher_of(town.run(MON), Event.SURPLUS_FOUND), alice, bob)
    assert refused(lambda: to_income(case(run, 700), alice)) == "discrepancies.suspense_reversed"


def test_the_other_half_of_what_was_reversed_leaves_nothing_behind(
    run: ReconRun, town: Town, alice: Any, bob: Any
) -> None:
    reverse(voucher_of(run, Event.SURPLUS_FOUND), alice, bob)
    town.orders(pay("9", TUE, amount="7.00"))
    town.close(TUE)
    town.bill(TUE)
    run_reconcile(contract=town.contract, day=TUE)
    town.run(MON)
    assert (town.surplus, town.clearing) == (0, 0)


def test_a_merchants_discount_booked_again_is_cleared_once(town: Town, alice: Any, bob: Any) -> None:
    run = town.day(MON, [pay("1", MON)], [line("R-1", MON, discount=500)])
    reverse(voucher_of(run, Event.BILL_DISCOUNT), alice, bob)
    town.run(MON)
    assert discounts_of_runs(town.contract, [MON]) == {"M-A": 500}
    assert bill_totals(town.contract, MON) == (run.vouchers.get(event=Event.BILL_NETTED).amounts["S"], 20)
