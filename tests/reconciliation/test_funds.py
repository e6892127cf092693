"""Fund reconciliation: bank lines identified and booked, receipts compared with bills (DOMAIN 7.4, 4.5)."""

from __future__ import annotations

import datetime as dt
from itertools import count

import pytest

from payops.accounts.corrections import correction_propose
from payops.approvals.services import request_approve
from payops.channels.choices import BankLineState
from payops.channels.models import BankAccount
from payops.core.errors import PayopsError
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.choices import ActionKind, CaseState
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose
from payops.reconciliation import funds
from payops.reconciliation.choices import ReceiptState
from payops.reconciliation.funds import lines, movements
from payops.reconciliation.models import ChannelReceipt, ExpectedMovement
from tests.accounts.documents import approve
from tests.orders.conftest import World
from tests.reconciliation.money import (
    FRIDAY,
    MONDAY,
    bank_line,
    bill,
    build,
    check,
    receivable,
    reserve,
    settlement,
    suspense,
)


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movements, "_handlers", {})


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_settlement_line_pays_the_receivable_of_its_channel_day(world: World) -> None:
    bill(world, 9_000)
    line = settlement(9_000)

    result = funds.funds_match()

    line.refresh_from_db()
    assert (line.state, line.kind, line.contract, line.channel_date) == (
        BankLineState.MATCHED, "settlement", world.wechat, FRIDAY,
    )  # fmt: skip
    assert (result["settlements"], result["settlement_amount"]) == (1, 9_000)
    assert (reserve(), receivable(world)) == (9_000, 0)
    assert check().state == ReceiptState.AGREED


def test_a_settlement_in_two_parts_adds_up(world: World) -> None:
    bill(world, 9_000)
    settlement(4_000)
    settlement(5_000)
    funds.funds_match()
    assert check().received == 9_000


def test_a_negative_day_is_paid_by_us(world: World) -> None:
    bill(world, -500)
    settlement(-500)
    funds.funds_match()
    assert (reserve(), receivable(world), check().state) == (-500, 0, ReceiptState.AGREED)


def test_matching_again_books_nothing_again(world: World) -> None:
    bill(world, 9_000)
    settlement(9_000)
    bank_line(77, "who knows")
    funds.funds_match()
    again = funds.funds_match()
    assert again["lines"] == 0
    assert reserve() == 9_077
    assert ChannelReceipt.objects.get().received == 9_000


def test_an_unknown_credit_goes_to_suspense_with_a_case(world: World) -> None:
    line = bank_line(1_234, "thank you")
    result = funds.funds_match()
    line.refresh_from_db()
    case = Discrepancy.objects.get()
    assert (result["unidentified"], line.state) == (1, BankLineState.UNIDENTIFIED)
    assert (case.dedupe_key, case.amount, case.suspense, case.bank_line_id) == (f"bank:{line.pk}", 1234, 1234, line.pk)
    assert suspense("bank", "RSV") == (1_234, 0)
    assert check_suspense(MONDAY) == []


def test_an_unknown_debit_is_a_shortage(world: World) -> None:
    bank_line(-800, "charge")
    funds.funds_match()
    assert Discrepancy.objects.get().suspense == -800
    assert suspense("bank", "RSV") == (0, 800)
    assert check_suspense(MONDAY) == []


@pytest.mark.parametrize("memo", ["WECHAT settlement 20261332", "WECHAT settlement", "PAYOUT P9", "RETURN P9"])
def test_a_line_that_only_looks_right_is_unidentified(world: World, memo: str) -> None:
    bank_line(100, memo)
    assert funds.funds_match()["unidentified"] == 1


def test_lines_of_own_funds_are_left_alone(world: World) -> None:
    own = BankAccount.objects.create(code="OWN", bank_name="Bank", account_no="1", kind="own")
    line = bank_line(100, "interest", bank_account=own)
    assert funds.funds_match()["lines"] == 0
    line.refresh_from_db()
    assert line.state == BankLineState.NEW


def test_a_line_that_cannot_be_booked_does_not_stop_the_next(world: World) -> None:
    stranger = BankAccount.objects.create(code="NEW", bank_name="Bank", account_no="2", kind="reserve")
    stuck = bank_line(100, "no accounts yet", bank_account=stranger)
    bank_line(200, "fine")
    result = funds.funds_match()
    stuck.refresh_from_db()
    assert (result["unidentified"], stuck.state) == (1, BankLineState.NEW)
    assert [fault["bank_line"] for fault in result["failed"]] == [stuck.pk]


# --- payouts and returns ----------------------------------------------------------------------------------------------


def expect(number: str, amount: int, kind: str = "payout") -> ExpectedMovement:
    account = BankAccount.objects.get(code="RSV")
    return ExpectedMovement.objects.create(
        bank_account=account, reference=number, kind=kind, amount=amount, expected_on=MONDAY
    )


def test_an_expected_payout_is_matched_and_books_nothing_by_itself(world: World) -> None:
    movement = expect("P1", -5_000)
    told: list[str] = []
    funds.register_payout_handler(lambda number, line: told.append(number))
    line = bank_line(-5_000, "PAYOUT P1")
    funds.funds_match()
    line.refresh_from_db()
    movement.refresh_from_db()
    assert (line.kind, line.payout_no, line.voucher_id, movement.bank_line_id) == ("payout", "P1", None, line.pk)
    assert (told, reserve()) == (["P1"], 0)
    assert not funds.movements_overdue(day=dt.date(2026, 11, 20)).exists()


def test_a_payout_of_another_amount_is_unidentified(world: World) -> None:
    expect("P1", -5_000)
    bank_line(-5_001, "PAYOUT P1")
    assert funds.funds_match()["unidentified"] == 1
    assert funds.movements_overdue(day=dt.date(2026, 11, 20)).count() == 1


def test_the_second_debit_of_one_payout_is_unidentified(world: World) -> None:
    expect("P1", -5_000)
    bank_line(-5_000, "PAYOUT P1")
    bank_line(-5_000, "PAYOUT P1")
    result = funds.funds_match()
    assert (result["payouts"], result["unidentified"]) == (1, 1)


def test_a_return_tells_whoever_registered_and_comes_once(world: World) -> None:
    expect("P1", -5_000)
    told: list[str] = []
    funds.register_return_handler(lambda number, line: told.append(number))
    bank_line(5_000, "RETURN P1 account closed")
    bank_line(5_000, "RETURN P1 account closed")
    result = funds.funds_match()
    assert (told, result["returns"], result["unidentified"]) == (["P1"], 1, 1)


def test_a_return_that_cannot_be_is_unidentified(world: World) -> None:
    expect("P1", -5_000)
    funds.register_return_handler(lambda number, line: False)
    bank_line(5_000, "RETURN P1")
    assert funds.funds_match()["unidentified"] == 1


# --- receipts against bills -------------------------------------------------------------------------------------------


def test_a_missing_receipt_waits_until_its_due_date(world: World) -> None:
    bill(world, 9_000)
    assert check(day=dt.date(2026, 11, 15)).state == ReceiptState.WAITING
    assert Discrepancy.objects.count() == 0


def test_a_receipt_short_on_its_due_date_goes_to_suspense(world: World) -> None:
    bill(world, 9_000)
    settlement(8_900)
    funds.funds_match()
    receipt = check()
    assert (receipt.state, receipt.short_booked, receipt.due_date) == (ReceiptState.DIFFERENT, 100, MONDAY)
    assert (receipt.case.kind, receipt.case.amount, receipt.case.suspense) == ("receipt_mismatch", -100, -100)
    assert (suspense("channel", "WECHAT"), receivable(world)) == ((0, 100), 0)


def test_a_receipt_over_the_bill_is_a_difference_at_once(world: World) -> None:
    bill(world, 9_000)
    settlement(9_050)
    funds.funds_match()
    receipt = check(day=FRIDAY)
    assert (receipt.short_booked, receipt.case.suspense) == (-50, 50)
    assert (suspense("channel", "WECHAT"), receivable(world)) == ((50, 0), 0)


def test_checking_again_books_nothing_again(world: World) -> None:
    bill(world, 9_000)
    check()
    check()
    check(day=FRIDAY)
    assert suspense("channel", "WECHAT") == (0, 9_000)
    assert ChannelReceipt.objects.get().differences.count() == 1


def test_later_money_books_the_opposite_and_clears_the_case(world: World) -> None:
    bill(world, 9_000)
    settlement(8_900)
    funds.funds_match()
    check()
    settlement(60)
    funds.funds_match()
    assert check().case.suspense == -40
    settlement(40)
    funds.funds_match()
    receipt = check()
    assert (receipt.state, receipt.short_booked) == (ReceiptState.AGREED, 0)
    assert receipt.case.state == CaseState.AUTO_CLEARED
    assert (suspense("channel", "WECHAT"), receivable(world)) == ((0, 0), 0)


def test_from_short_to_over_passes_through_both_suspense_accounts(world: World) -> None:
    bill(world, 9_000)
    settlement(8_900)
    funds.funds_match()
    check()
    settlement(150)
    funds.funds_match()
    assert check().case.suspense == 50
    assert suspense("channel", "WECHAT") == (50, 0)


def test_a_reissued_bill_changes_what_is_short(world: World) -> None:
    bill(world, 9_000)
    settlement(8_900)
    funds.funds_match()
    check()
    funds.receipt_due_set(contract=world.wechat, channel_date=FRIDAY, due=8_900)
    assert check().case.state == CaseState.AUTO_CLEARED


def test_money_without_a_run_waits_for_the_bill(world: World) -> None:
    settlement(9_000)
    funds.funds_match()
    assert check().state == ReceiptState.WAITING
    bill(world, 9_000)
    assert check().state == ReceiptState.AGREED
    assert Discrepancy.objects.count() == 0


def test_money_after_an_accepted_loss_is_a_new_surplus(world: World, alice: object, bob: object) -> None:
    bill(world, 9_000)
    settlement(8_900)
    funds.funds_match()
    lost = check().case
    action = action_propose(case_id=lost.pk, kind=ActionKind.LOSS, params={}, user=alice, note="give up")
    request_approve(request_id=action.approval_id, checker=bob)
    settlement(100)
    funds.funds_match()
    receipt = check()
    lost.refresh_from_db()
    assert (lost.state, receipt.case.suspense, receipt.short_booked) == (CaseState.CLOSED, 100, 0)
    assert receipt.case.pk != lost.pk
    assert suspense("channel", "WECHAT") == (100, 0)


def test_a_difference_that_was_reversed_is_booked_again_by_the_next_check(
    world: World, alice: object, bob: object
) -> None:
    bill(world, 9_000)
    short = check(MONDAY)
    reverse(short.differences.get().voucher_id, alice, bob)
    assert suspense("channel", "WECHAT") == (0, 0)
    with pytest.raises(PayopsError, match="was reversed"):
        action_propose(case_id=short.case_id, kind=ActionKind.LOSS, params={}, user=alice, note="gone")

    check(MONDAY)
    assert suspense("channel", "WECHAT") == (0, 9_000)
    check(MONDAY)
    assert (suspense("channel", "WECHAT"), short.differences.count()) == ((0, 9_000), 2)
    action = action_propose(case_id=short.case_id, kind=ActionKind.LOSS, params={}, user=alice, note="gone")
    request_approve(request_id=action.approval_id, checker=bob)
    assert suspense("channel", "WECHAT") == (0, 0)


def test_money_after_a_reversal_leaves_suspense_at_zero(world: World, alice: object, bob: object) -> None:
    bill(world, 9_000)
    reverse(check(MONDAY).differences.get().voucher_id, alice, bob)
    settlement(9_000)
    funds.funds_match()
    assert check(MONDAY).state == ReceiptState.AGREED
    assert (suspense("channel", "WECHAT"), receivable(world)) == ((0, 0), 0)


def reverse(voucher_id: int, maker: object, checker: object) -> None:
    approve(correction_propose(voucher_id=voucher_id, user=maker, reason="Wrong file.", whole=True), checker)


def test_a_negative_due_is_awaited_like_a_positive_one(world: World) -> None:
    bill(world, -500)
    assert check(day=FRIDAY).state == ReceiptState.WAITING
    assert check().case.suspense == 500
    settlement(-500)
    funds.funds_match()
    assert check().case.state == CaseState.AUTO_CLEARED


# --- crash and race ---------------------------------------------------------------------------------------------------


def test_a_run_killed_between_two_lines_goes_on_with_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for amount in (100, 200, 300):
        bank_line(amount, "unknown")
    original, calls = lines.case_open, count(1)

    def die_at_the_second(**finding: object) -> Discrepancy:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return original(**finding)

    monkeypatch.setattr(lines, "case_open", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        funds.funds_match()
    assert reserve() == 100
    funds.funds_match()
    assert (reserve(), Discrepancy.objects.count()) == (600, 3)
    assert check_suspense(MONDAY) == []
