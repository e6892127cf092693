"""Saying what an unidentified bank line is, with maker and checker: bookings, case, and what the database guards."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.corrections import correction_propose
from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.channels.choices import BankLineState
from payops.channels.models import BankAccount, BankLine
from payops.core.errors import PayopsError
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.choices import CaseState
from payops.discrepancies.models import Discrepancy
from payops.identity.models import User
from payops.reconciliation import funds
from payops.reconciliation.bank.assignment import Assignment, assignment_propose
from payops.reconciliation.bank.choices import AssignPurpose
from payops.reconciliation.bank.models import BankAssignment
from payops.reconciliation.bank.services import bank_reconcile
from payops.reconciliation.funds import movements
from payops.reconciliation.models import ChannelReceipt, ExpectedMovement
from tests.accounts.documents import approve
from tests.orders.conftest import World
from tests.reconciliation.money import FRIDAY, MONDAY, bank_line, bill, build, receivable, reserve, suspense


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movements, "_handlers", {})


def unidentified(amount: int) -> BankLine:
    """A line nobody knows: in suspense, with its case."""
    line = bank_line(amount, "no idea")
    funds.funds_match()
    line.refresh_from_db()
    assert line.state == BankLineState.UNIDENTIFIED
    return line


def propose(line: BankLine, maker: User, purpose: str, target: str = "", **shares: int) -> ApprovalRequest:
    days = {int(name.removeprefix("r")): amount for name, amount in shares.items()}
    return assignment_propose(
        bank_line_id=line.pk,
        assignment=Assignment(AssignPurpose(purpose), target, days),
        reason="the bank told us",
        maker=maker,
    )


def approved(request: ApprovalRequest, checker: User) -> None:
    request_approve(request_id=request.pk, checker=checker)


def own_account() -> BankAccount:
    ledger.open_bank_account("OWN9", "own")
    return BankAccount.objects.create(code="OWN9", bank_name="B", account_no="900", kind="own")


def settled(line: BankLine) -> Discrepancy:
    """Nothing of the line is left in suspense, its case is cleared, and bank and journal agree on it."""
    assert suspense("bank", "RSV") == (0, 0)
    assert check_suspense(MONDAY) == []
    made = bank_reconcile(account=line.bank_account, day=MONDAY)[-1]
    assert (made.difference, made.items.filter(bank_line=line).exists()) == (0, False)
    case = Discrepancy.objects.get(bank_line_id=line.pk)
    assert (case.state, case.suspense) == (CaseState.AUTO_CLEARED, 0)
    return case


# --- what it may be ---------------------------------------------------------------------------------------------------


def test_a_channels_settlement_pays_its_date(world: World, alice: User, bob: User) -> None:
    receipt = bill(world, 9_000)
    line = unidentified(9_000)

    approved(propose(line, alice, "settlement", "WECHAT", **{f"r{receipt.pk}": 9_000}), bob)

    settled(line)
    receipt.refresh_from_db()
    assert (receipt.received, receipt.state) == (9_000, "agreed")
    assert (reserve(), receivable(world)) == (9_000, 0)


def test_a_line_whose_suspense_was_reversed_is_not_taken_out_of_it(world: World, alice: User, bob: User) -> None:
    line = unidentified(9_000)
    request = propose(line, alice, "interest")
    approve(correction_propose(voucher_id=line.voucher_id, user=alice, reason="Not ours.", whole=True), bob)
    with pytest.raises(PayopsError, match="was reversed"):
        approved(request, bob)
    assert suspense("bank", "RSV") == (0, 0)


def test_one_line_is_divided_among_dates_of_a_channel(world: World, alice: User, bob: User) -> None:
    first, second = bill(world, 9_000), bill(world, 4_000, FRIDAY.replace(day=12))
    line = unidentified(13_000)
    approved(propose(line, alice, "settlement", "WECHAT", **{f"r{first.pk}": 9_000, f"r{second.pk}": 4_000}), bob)
    settled(line)
    assert set(ChannelReceipt.objects.values_list("received", flat=True)) == {9_000, 4_000}
    assert line.assignment.parts.count() == 2


def test_what_the_line_lacks_of_the_bill_is_a_shortage_with_its_case(world: World, alice: User, bob: User) -> None:
    receipt = bill(world, 9_000)
    line = unidentified(8_900)
    funds.funds_check(day=FRIDAY)
    ChannelReceipt.objects.filter(pk=receipt.pk).update(due_date=MONDAY)
    approved(propose(line, alice, "settlement", "WECHAT", **{f"r{receipt.pk}": 8_900}), bob)
    receipt.refresh_from_db()
    assert (receipt.state, receipt.short_booked, receipt.case.amount) == ("different", 100, -100)
    assert suspense("channel", "WECHAT") == (0, 100)


def test_a_payout_the_bank_worded_its_own_way(world: World, alice: User, bob: User) -> None:
    ExpectedMovement.objects.create(
        bank_account=BankAccount.objects.get(code="RSV"), reference="PO1", kind="payout", amount=-4_000,
        expected_on=MONDAY,
    )  # fmt: skip
    line = unidentified(-4_000)
    approved(propose(line, alice, "payout", "PO1"), bob)
    line.refresh_from_db()
    assert (line.kind, line.payout_no, suspense("bank", "RSV")) == ("payout", "PO1", (0, 0))
    assert ExpectedMovement.objects.get().bank_line_id == line.pk


def test_a_payout_nobody_expects_is_refused_and_nothing_is_booked(world: World, alice: User, bob: User) -> None:
    line = unidentified(-4_000)
    request = propose(line, alice, "payout", "PO1")
    with pytest.raises(PayopsError, match="PO1"):
        approved(request, bob)
    line.refresh_from_db()
    assert (line.state, suspense("bank", "RSV")) == (BankLineState.UNIDENTIFIED, (0, 4_000))


def test_interest_becomes_interest_not_yet_carried(world: World, alice: User, bob: User) -> None:
    line = unidentified(77)
    approved(propose(line, alice, "interest"), bob)
    settled(line)
    assert (reserve(), balances.balance_of("224106", "bank", "RSV")) == (77, 77)


def test_a_charge_is_paid_by_own_funds(world: World, alice: User, bob: User) -> None:
    own_account()
    line = unidentified(-15)
    approved(propose(line, alice, "charge", "OWN9"), bob)
    settled(line)
    assert (reserve(), balances.balance_of("660301"), balances.balance_of("100202", "bank", "OWN9")) == (-15, 15, 0)


def test_an_offline_receipt_is_credited_to_the_merchant(world: World, alice: User, bob: User) -> None:
    line = unidentified(50_000)
    approved(propose(line, alice, "offline", "M-A"), bob)
    settled(line)
    assert balances.balance_of("220202", "merchant", "M-A") == 50_000
    assert (balances.balance_of("224103"), reserve()) == (0, 50_000)


# --- who and when -----------------------------------------------------------------------------------------------------


def test_nothing_happens_before_a_second_person_agrees(world: World, alice: User) -> None:
    line = unidentified(77)
    request = propose(line, alice, "interest")
    line.refresh_from_db()
    assert (line.state, suspense("bank", "RSV")) == (BankLineState.UNIDENTIFIED, (77, 0))
    with pytest.raises(PayopsError):
        approved(request, alice)


def test_shares_that_are_not_the_line_are_refused_with_what_is_off(world: World, alice: User) -> None:
    receipt = bill(world, 9_000)
    line = unidentified(9_000)
    with pytest.raises(PayopsError, match=r"Correct them by 1\.00"):
        propose(line, alice, "settlement", "WECHAT", **{f"r{receipt.pk}": 8_900})


@pytest.mark.parametrize(("amount", "purpose"), [(77, "charge"), (-77, "interest"), (-77, "offline"), (77, "payout")])
def test_money_in_the_wrong_direction_is_refused(world: World, alice: User, amount: int, purpose: str) -> None:
    with pytest.raises(PayopsError, match="cannot be a bank line of"):
        propose(unidentified(amount), alice, purpose, "M-A")


def test_a_line_whose_case_was_decided_is_not_assigned_as_well(world: World, alice: User, bob: User) -> None:
    line = unidentified(-77)
    request = propose(line, alice, "charge", own_account().code)
    Discrepancy.objects.filter(bank_line_id=line.pk).update(suspense=0, state=CaseState.CLOSED)
    with pytest.raises(PayopsError):
        approved(request, bob)
    assert BankAssignment.objects.count() == 0


def test_a_known_line_is_not_assigned(world: World, alice: User) -> None:
    bill(world, 9_000)
    line = bank_line(9_000, f"WECHAT settlement {FRIDAY:%Y%m%d}")
    funds.funds_match()
    with pytest.raises(PayopsError, match="not unidentified"):
        propose(line, alice, "interest")


# --- what the database guards -----------------------------------------------------------------------------------------


@pytest.fixture
def assigned(world: World, alice: User, bob: User) -> BankLine:
    line = unidentified(77)
    approved(propose(line, alice, "interest"), bob)
    return line


def run(statement: str, *values: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


INSERT = (
    "INSERT INTO reconciliation_bankassignment (bank_line_id, purpose, made_by, approval_id, made_at)"
    " VALUES (%s, 'interest', 'x', 1, now())"
)


def test_a_line_is_assigned_once(assigned: BankLine) -> None:
    with pytest.raises(IntegrityError, match="bank_line_id"):
        run(INSERT, assigned.pk)


def test_an_assignment_without_parts_is_refused(world: World) -> None:
    line = unidentified(77)
    with pytest.raises(IntegrityError, match="is assigned in parts of"):
        run(INSERT, line.pk)


def test_parts_that_do_not_make_the_line_are_refused(assigned: BankLine) -> None:
    with pytest.raises(IntegrityError, match="is assigned in parts of 78"):
        run(
            "INSERT INTO reconciliation_bankassignmentpart (assignment_id, target, amount) VALUES (%s, 'more', 1)",
            assigned.assignment.pk,
        )


@pytest.mark.parametrize("change", ["state = 'unidentified'", "state = 'new'", "amount = 78"])
def test_an_assigned_line_stays_what_it_is(assigned: BankLine, change: str) -> None:
    with pytest.raises(IntegrityError, match="is assigned"):
        run(f"UPDATE channels_bankline SET {change} WHERE id = %s", assigned.pk)


def test_an_assignment_is_never_changed_or_removed(assigned: BankLine) -> None:
    for statement in (
        "UPDATE reconciliation_bankassignment SET purpose = 'charge'",
        "DELETE FROM reconciliation_bankassignment",
        "UPDATE reconciliation_bankassignmentpart SET amount = 1",
        "DELETE FROM reconciliation_bankassignmentpart",
    ):
        with pytest.raises(IntegrityError, match="refused"):
            run(statement)
