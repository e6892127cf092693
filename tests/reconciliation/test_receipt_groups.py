"""One receipt for several channel days: Friday to Sunday paid in one sum on Monday (DOMAIN 7.4, 11.4)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from payops.approvals.services import request_approve
from payops.channels.models import BankLine
from payops.core.errors import PayopsError
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.choices import CaseState
from payops.discrepancies.models import Discrepancy
from payops.reconciliation import funds
from payops.reconciliation.choices import ReceiptState
from payops.reconciliation.funds.allocation import group_of_receipt, lines_of_receipt
from payops.reconciliation.funds.allocation_approval import allocation_propose
from payops.reconciliation.models import ChannelReceipt, ReceiptAllocation
from payops.settlement.equation import equation_of
from tests.orders.conftest import World
from tests.reconciliation.money import FRIDAY, MONDAY, bank_line, bill, build, receivable, reserve, settlement, suspense

SATURDAY, SUNDAY = FRIDAY + dt.timedelta(days=1), FRIDAY + dt.timedelta(days=2)


@pytest.fixture
def world(db: None) -> World:
    return build()


def weekend(world: World, friday: int = 9_000, saturday: int = 5_000, sunday: int = 7_000) -> None:
    bill(world, friday, FRIDAY)
    bill(world, saturday, SATURDAY)
    bill(world, sunday, SUNDAY)


def received() -> list[int]:
    """What each channel day received, oldest first."""
    return list(ChannelReceipt.objects.order_by("channel_date").values_list("received", flat=True))


def day_of(date: dt.date) -> ChannelReceipt:
    return ChannelReceipt.objects.get(channel_date=date)


def divide(line: BankLine, *amounts: int, maker: Any, attributed: bool = True) -> Any:
    """Propose shares of the line for Friday, Saturday and Sunday; 0 leaves a day out."""
    days = zip((FRIDAY, SATURDAY, SUNDAY), amounts, strict=False)
    shares = {day_of(date).pk: amount for date, amount in days if amount}
    return allocation_propose(
        bank_line_id=line.pk, shares=shares, attributed=attributed, reason="the channel's advice", maker=maker
    )


def seen(day: dt.date = MONDAY) -> list[str]:
    """The states after the comparison, oldest day first; suspense is explained by cases."""
    funds.funds_check(day=day)
    assert check_suspense(day) == []
    return list(ChannelReceipt.objects.order_by("channel_date").values_list("state", flat=True))


# --- by themselves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [FRIDAY, SATURDAY, SUNDAY])
def test_one_sum_for_friday_to_sunday_pays_each_day_whichever_it_names(world: World, named: dt.date) -> None:
    weekend(world)
    settlement(21_000, named)
    funds.funds_match()
    assert received() == [9_000, 5_000, 7_000]
    assert seen() == [ReceiptState.AGREED] * 3
    assert (reserve(), receivable(world), Discrepancy.objects.count()) == (21_000, 0, 0)


def test_a_sum_that_comes_before_the_bills_is_divided_when_they_are_known(world: World) -> None:
    bill(world, 9_000, FRIDAY)
    settlement(21_000, FRIDAY)
    funds.funds_match()
    seen()
    assert received() == [21_000]
    surplus = day_of(FRIDAY).case
    bill(world, 5_000, SATURDAY)
    bill(world, 7_000, SUNDAY)
    assert seen() == [ReceiptState.AGREED] * 3
    surplus.refresh_from_db()
    assert (received(), surplus.state) == ([9_000, 5_000, 7_000], CaseState.AUTO_CLEARED)
    assert suspense("channel", "WECHAT") == (0, 0)


def test_a_day_of_refunds_is_netted_in_the_sum(world: World) -> None:
    weekend(world, sunday=-500)
    settlement(13_500, FRIDAY)
    funds.funds_match()
    assert received() == [9_000, 5_000, -500]


def test_a_line_for_its_own_day_alone_takes_no_other_day(world: World) -> None:
    weekend(world)
    settlement(9_000, FRIDAY)
    funds.funds_match()
    assert received() == [9_000, 0, 0]


def test_a_day_paid_already_is_left_out_of_the_group(world: World) -> None:
    weekend(world)
    settlement(5_000, SATURDAY)
    settlement(16_000, FRIDAY)
    funds.funds_match()
    assert received() == [9_000, 5_000, 7_000]


def test_a_day_without_a_bill_ends_the_group(world: World) -> None:
    bill(world, 9_000, FRIDAY)
    bill(world, 7_000, SUNDAY)
    settlement(16_000, FRIDAY)
    funds.funds_match()
    assert received() == [16_000, 0]


def test_a_sum_a_cent_off_stays_on_the_day_it_names(world: World) -> None:
    weekend(world)
    settlement(20_999, FRIDAY)
    funds.funds_match()
    assert received() == [20_999, 0, 0]


def test_a_sum_that_two_groups_explain_waits_for_a_person(world: World) -> None:
    weekend(world, friday=5_000, saturday=9_000, sunday=5_000)
    settlement(14_000, SATURDAY)
    funds.funds_match()
    assert received() == [0, 14_000, 0]


def test_two_lines_for_one_day_add_up_beside_a_group(world: World) -> None:
    weekend(world)
    settlement(4_000, FRIDAY)
    settlement(17_000, FRIDAY)
    funds.funds_match()
    assert received() == [9_000, 5_000, 7_000]
    assert [part.amount for part in lines_of_receipt(day_of(FRIDAY))] == [4_000, 5_000]


# --- by maker and checker ---------------------------------------------------------------------------------------------


def test_a_person_divides_a_sum_and_another_approves(world: World, alice: object, bob: object) -> None:
    weekend(world)
    line = settlement(20_900, FRIDAY)
    funds.funds_match()
    seen()
    assert suspense("channel", "WECHAT") == (11_900, 12_000)
    request = divide(line, 9_000, 5_000, 6_900, maker=alice)
    assert received() == [20_900, 0, 0]
    request_approve(request_id=request.pk, checker=bob)
    assert received() == [9_000, 5_000, 6_900]
    assert suspense("channel", "WECHAT") == (0, 100)
    assert day_of(SUNDAY).case.suspense == -100
    allocation = ReceiptAllocation.objects.get(is_current=True)
    assert (allocation.number, allocation.made_by, allocation.approval_id) == (2, "alice", request.pk)


def test_who_proposed_a_division_does_not_approve_it(world: World, alice: object) -> None:
    weekend(world)
    line = settlement(20_900, FRIDAY)
    funds.funds_match()
    request = divide(line, 9_000, 5_000, 6_900, maker=alice)
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=alice)
    assert caught.value.code == "approvals.own_request"


def test_a_division_that_does_not_add_up_is_refused_with_what_is_missing(world: World, alice: object) -> None:
    weekend(world)
    line = settlement(20_900, FRIDAY)
    funds.funds_match()
    with pytest.raises(PayopsError, match=r"1\.00") as caught:
        divide(line, 9_000, 5_000, 6_800, maker=alice)
    assert caught.value.code == "funds.shares_do_not_add_up"


def test_only_a_settlement_is_divided(world: World, alice: object) -> None:
    weekend(world)
    line = bank_line(21_000, "who knows")
    funds.funds_match()
    with pytest.raises(PayopsError) as caught:
        divide(line, 9_000, 5_000, 7_000, maker=alice)
    assert caught.value.code == "funds.not_a_settlement"


def test_a_line_divided_meanwhile_is_not_divided_by_an_older_proposal(world: World, alice: object, bob: object) -> None:
    bill(world, 9_000, FRIDAY)
    line = settlement(21_000, FRIDAY)
    funds.funds_match()
    request = divide(line, 21_000, maker=alice)
    bill(world, 5_000, SATURDAY)
    bill(world, 7_000, SUNDAY)
    funds.funds_check(day=MONDAY)
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=bob)
    assert caught.value.code == "approvals.target_changed"


def test_what_a_person_divided_is_not_divided_again(world: World, alice: object, bob: object) -> None:
    bill(world, 9_000, FRIDAY)
    bill(world, 5_000, SATURDAY)
    line = settlement(21_000, FRIDAY)
    funds.funds_match()
    request_approve(request_id=divide(line, 16_000, 5_000, maker=alice).pk, checker=bob)
    bill(world, 7_000, SUNDAY)
    seen()
    assert received() == [16_000, 5_000, 0]


# --- the balance check ------------------------------------------------------------------------------------------------


def shared(world: World, alice: object, bob: object, *, lacking: int) -> None:
    """One sum for the weekend that lacks something no single day can be said to lack."""
    weekend(world)
    line = settlement(21_000 - lacking, FRIDAY)
    funds.funds_match()
    request = divide(line, 9_000, 5_000, 7_000 - lacking, maker=alice, attributed=False)
    request_approve(request_id=request.pk, checker=bob)


def test_days_of_one_receipt_lack_something_together(world: World, alice: object, bob: object) -> None:
    shared(world, alice, bob, lacking=300)
    assert {receipt.channel_date for receipt in group_of_receipt(day_of(FRIDAY))} == {FRIDAY, SATURDAY, SUNDAY}
    ChannelReceipt.objects.filter(channel_date=SUNDAY).update(short_booked=0)
    for date in (FRIDAY, SATURDAY, SUNDAY):
        equation = equation_of(world.wechat, date)
        assert (equation.passed, equation.suspect, equation.group_off) == (False, "receipt", 300)
        assert "3.00" in equation.reason


def test_days_of_one_receipt_hold_once_the_rest_is_in_suspense(world: World, alice: object, bob: object) -> None:
    shared(world, alice, bob, lacking=300)
    assert suspense("channel", "WECHAT") == (0, 300)
    for date, due in ((FRIDAY, 9_000), (SATURDAY, 5_000), (SUNDAY, 7_000)):
        equation = equation_of(world.wechat, date)
        money = sum(equation.amounts[term] for term in ("receipt", "receipt_short", "receipt_group"))
        assert (equation.group_off, money) == (0, due)


def test_a_divided_difference_is_its_own_days_matter(world: World, alice: object, bob: object) -> None:
    weekend(world)
    line = settlement(20_700, FRIDAY)
    funds.funds_match()
    request_approve(request_id=divide(line, 9_000, 5_000, 6_700, maker=alice).pk, checker=bob)
    assert list(group_of_receipt(day_of(SUNDAY))) == [day_of(SUNDAY)]


# --- what the database refuses ----------------------------------------------------------------------------------------


def refused(statement: str) -> str:
    """What stops the statement, at the latest when its transaction would commit."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        at_commit(statement)
    return caught.value.__cause__.diag.constraint_name or str(caught.value)


def at_commit(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture
def divided(world: World) -> World:
    weekend(world)
    settlement(21_000, FRIDAY)
    funds.funds_match()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    return world


def test_parts_that_do_not_make_the_line_are_refused(divided: World) -> None:
    statement = (
        "INSERT INTO reconciliation_receiptpart (allocation_id, receipt_id, amount)"
        " SELECT max(a.id), max(r.id) + 0, 1 FROM reconciliation_receiptallocation a, reconciliation_channelreceipt r"
    )
    assert refused(statement) == "receipt_part_one_per_day"
    new = (
        "WITH made AS (INSERT INTO reconciliation_receiptallocation"
        " (bank_line_id, number, kind, attributed, is_current, made_by, made_at)"
        " SELECT bank_line_id, 2, 'named', true, false, 'x', now() FROM reconciliation_receiptallocation RETURNING id)"
        " INSERT INTO reconciliation_receiptpart (allocation_id, receipt_id, amount)"
        " SELECT made.id, r.id, 1 FROM made, reconciliation_channelreceipt r"
    )
    assert refused(new) == "receipt_parts_make_the_line"


def test_a_settlement_line_never_loses_its_parts(divided: World) -> None:
    statement = "UPDATE reconciliation_receiptallocation SET is_current = false"
    assert refused(statement) == "receipt_parts_make_the_line"


def test_a_settlement_line_does_not_change_under_its_parts(divided: World) -> None:
    assert refused("UPDATE channels_bankline SET amount = amount + 1") == "receipt_parts_make_the_line"


def test_a_new_division_that_forgets_what_days_received_is_refused(divided: World) -> None:
    statement = (
        "UPDATE reconciliation_receiptallocation SET is_current = false;"
        "WITH made AS (INSERT INTO reconciliation_receiptallocation"
        " (bank_line_id, number, kind, attributed, is_current, made_by, made_at)"
        " SELECT bank_line_id, 2, 'named', true, true, 'x', now() FROM reconciliation_receiptallocation RETURNING id)"
        " INSERT INTO reconciliation_receiptpart (allocation_id, receipt_id, amount)"
        " SELECT made.id, min(r.id), 21000 FROM made, reconciliation_channelreceipt r GROUP BY made.id"
    )
    assert refused(statement) == "receipt_received_is_its_parts"


def test_what_a_date_received_never_changes_without_its_parts(divided: World) -> None:
    statement = "UPDATE reconciliation_channelreceipt SET received = received + 1"
    assert refused(statement) == "receipt_received_is_its_parts"


def test_parts_and_allocations_are_never_changed_or_removed(divided: World) -> None:
    for statement in (
        "UPDATE reconciliation_receiptpart SET amount = amount + 1",
        "DELETE FROM reconciliation_receiptpart",
        "UPDATE reconciliation_receiptallocation SET made_by = 'somebody'",
        "DELETE FROM reconciliation_receiptallocation",
    ):
        assert "never change" in refused(statement)


def test_a_line_has_one_current_division(divided: World) -> None:
    statement = (
        "INSERT INTO reconciliation_receiptallocation"
        " (bank_line_id, number, kind, attributed, is_current, made_by, made_at)"
        " SELECT bank_line_id, 2, 'named', true, true, 'x', now() FROM reconciliation_receiptallocation"
    )
    assert refused(statement) == "receipt_allocation_one_current"


def test_a_line_never_pays_days_of_another_contract(divided: World) -> None:
    another = divided.wechat
    another.pk, another.code, another.account_no = None, "WECHAT-2", "another"
    another.save(force_insert=True)
    statement = f"UPDATE channels_bankline SET contract_id = {another.pk}"
    assert refused(statement) == "receipt_parts_of_one_contract"


def test_a_division_by_hand_has_its_request(divided: World) -> None:
    statement = (
        "INSERT INTO reconciliation_receiptallocation"
        " (bank_line_id, number, kind, attributed, is_current, made_by, made_at)"
        " SELECT bank_line_id, 2, 'person', true, false, 'x', now() FROM reconciliation_receiptallocation"
    )
    assert refused(statement) == "receipt_allocation_by_hand_is_approved"
