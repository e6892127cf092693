"""What the database itself refuses between clearing and payout, attacked with raw SQL (docs/payouts.md)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payops.approvals.models import ApprovalRequest
from payops.reconciliation.choices import ResultKind
from payops.settlement.models import ClearingHold, ClearingItem, Payout, PayoutBatch, SettlementSheet
from tests.settlement import payout_world as w
from tests.settlement.books import TUESDAY, Books

WEDNESDAY = TUESDAY.replace(day=18)


def refused(statement: str, *parameters: Any) -> str:
    """The database's reason."""
    with connection.cursor() as cursor:
        # TRUNCATE would be refused anyway while foreign keys of the test's own rows wait to be checked.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError) as error, transaction.atomic():
            cursor.execute(statement, parameters)
    return str(error.value)


# --- payouts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def proposed(db: None, alice: Any) -> Payout:
    """A payout of 100.00 that waits for approval."""
    w.build()
    w.account("M-A")
    w.ready_sheet()
    return w.propose(alice).payouts.get()


@pytest.fixture
def approved(proposed: Payout, bob: Any) -> Payout:
    """The same, approved by a second person."""
    w.approve(proposed.batch, bob)
    proposed.refresh_from_db()
    return proposed


def test_a_payout_nobody_approved_is_never_sent(proposed: Payout) -> None:
    for state in ("sending", "sent", "succeeded"):
        assert "cannot go from created" in refused("UPDATE settlement_payout SET state = %s", state)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE settlement_payoutbatch SET state = 'approved'")
        cursor.execute("UPDATE settlement_payout SET state = 'approved'")
    assert "not approved by a second person" in refused("UPDATE settlement_payout SET state = 'sending'")


def test_the_approval_of_another_batch_does_not_send_a_payout(approved: Payout, alice: Any) -> None:
    w.account("M-B", "0002")
    w.ready_sheet("M-B")
    other = w.propose(alice)
    foreign = approved.batch.approval_id
    assert "keeps its account, amount and approval" in refused(
        "UPDATE settlement_payoutbatch SET approval_id = %s WHERE id = %s", foreign, other.pk
    )


def test_a_payout_is_sent_once(approved: Payout) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE settlement_payout SET state = 'sending'")
        cursor.execute("UPDATE settlement_payout SET state = 'unknown'")
    assert "cannot go from unknown to sending" in refused("UPDATE settlement_payout SET state = 'sending'")
    assert "cannot go from unknown to approved" in refused("UPDATE settlement_payout SET state = 'approved'")


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1",
        "payout_no = 'P0'",
        "currency = 'USD'",
        "merchant_id = merchant_id + 1",
        "settlement_account_id = settlement_account_id + 1",
        "sheet_id = sheet_id + 1",
        "batch_id = batch_id + 1",
        "previous_id = id",
    ],
)
def test_what_is_paid_to_whom_never_changes(approved: Payout, change: str) -> None:
    assert "keeps its number, payee and amount" in refused(f"UPDATE settlement_payout SET {change}")


_COPY = """
INSERT INTO settlement_payout (payout_no, batch_id, sheet_id, merchant_id, settlement_account_id, amount, currency,
    state, bank_reference, failure_code, failure_reason, query_count)
SELECT 'P0', batch_id, sheet_id, merchant_id, settlement_account_id, {amount}, currency, {state}, '', '', '', 0
FROM settlement_payout
"""


def test_a_sheet_has_one_payout_on_its_way(db: None, alice: Any) -> None:
    w.build()
    w.account("M-A")
    sheet = w.ready_sheet()
    w.propose(alice)
    open_batch = PayoutBatch.objects.create(
        batch_no="PB0", pay_date=sheet.pay_date, bank_account=Payout.objects.get().batch.bank_account, count=1, amount=1
    )
    statement = _COPY.format(amount="amount", state="'created'").replace("'P0', batch_id", "'P0', %s")
    assert "payout_one_live_per_sheet" in refused(statement, open_batch.pk)


def test_nothing_joins_a_batch_after_its_approval_was_asked_for(proposed: Payout) -> None:
    assert "comes too late" in refused(_COPY.format(amount="amount", state="'created'"))


def test_a_payout_is_what_its_sheet_pays(proposed: Payout) -> None:
    assert "not what its sheet is to pay" in refused(_COPY.format(amount="amount + 1", state="'created'"))


def test_a_payout_is_not_born_approved(proposed: Payout) -> None:
    assert "must begin as created" in refused(_COPY.format(amount="amount", state="'approved'"))


def test_a_sheet_never_pays_less_than_nothing(proposed: Payout) -> None:
    assert "settlement_payout_not_negative" in refused(
        "UPDATE settlement_settlementsheet SET payout_amount = -1, settlement_amount = -1"
    )


def test_a_batch_is_approved_as_it_was_proposed(proposed: Payout) -> None:
    for change in ("amount = amount - 1", "count = 2", "bank_account_id = bank_account_id + 1", "approval_id = NULL"):
        assert "keeps its account, amount and approval" in refused(f"UPDATE settlement_payoutbatch SET {change}")


def test_a_decided_batch_is_not_decided_again(approved: Payout) -> None:
    assert "cannot go from approved to pending" in refused("UPDATE settlement_payoutbatch SET state = 'pending'")
    assert "cannot go from approved to rejected" in refused("UPDATE settlement_payoutbatch SET state = 'rejected'")


def test_the_maker_of_a_batch_is_not_its_checker(proposed: Payout) -> None:
    request = ApprovalRequest.objects.get(pk=proposed.batch.approval_id)
    assert "approval_maker_is_not_checker" in refused(
        "UPDATE approvals_approvalrequest SET status = 'executed', checker_id = maker_id, decided_at = now()"
        " WHERE id = %s",
        request.pk,
    )


@pytest.mark.parametrize("table", ["settlement_payout", "settlement_payoutbatch", "settlement_payoutevent"])
def test_payouts_and_their_history_are_never_removed(approved: Payout, table: str) -> None:
    assert "removed" in refused(f"DELETE FROM {table}")
    assert "refused" in refused(f"TRUNCATE {table} CASCADE")


# --- what is cleared and settled --------------------------------------------------------------------------------------


@pytest.fixture
def settled(db: None) -> ClearingItem:
    """An item on a sheet that is ready for payment."""
    books = Books()
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    return books.item(books.a, TUESDAY)


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1, net = net + 1",
        "fee = fee - 1, net = net + 1",
        "merchant_id = merchant_id + 1",
        "contract_id = contract_id + 1",
        "own_date = own_date + 1",
        "pay_date = pay_date + 1",
        "voucher_id = voucher_id + 1000",
        "count = 2",
    ],
)
def test_what_was_cleared_never_changes(settled: ClearingItem, change: str) -> None:
    assert "keeps what it cleared" in refused(f"UPDATE settlement_clearingitem SET {change}")


def test_an_item_is_settled_once(settled: ClearingItem) -> None:
    assert "is settled already" in refused("UPDATE settlement_clearingitem SET settlement_sheet_id = NULL")


def test_an_item_is_never_removed(settled: ClearingItem) -> None:
    assert "never removed" in refused("DELETE FROM settlement_clearingitem")
    assert "refused" in refused("TRUNCATE settlement_clearingitem CASCADE")


@pytest.mark.parametrize(
    "table",
    [
        "settlement_clearedday",
        "settlement_clearingsession",
        "settlement_clearingsheet",
        "settlement_settlementsession",
        "settlement_settlementsheet",
    ],
)
def test_what_was_cleared_and_settled_is_never_forgotten(settled: ClearingItem, table: str) -> None:
    """A date forgotten would be cleared a second time, a sheet forgotten would take its carried rest along."""
    assert "refused" in refused(f"DELETE FROM {table}")
    assert "refused" in refused(f"TRUNCATE {table} CASCADE")


def test_a_cleared_date_stays_cleared(settled: ClearingItem) -> None:
    assert "refused" in refused("UPDATE settlement_clearedday SET own_date = own_date - 1")


@pytest.fixture
def released(db: None) -> ClearingHold:
    """A row held on Tuesday, cleared on Wednesday."""
    books = Books()
    row = books.pay("1", "30.00", TUESDAY)
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    books.close(WEDNESDAY)
    books.other_half(item, WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    return ClearingHold.objects.get(state="released", released_in__isnull=False)


@pytest.mark.parametrize(
    "change",
    [
        "state = 'held', released_date = NULL, released_in_id = NULL",
        "released_date = released_date + 1",
        "released_in_id = NULL",
        "amount = amount + 1",
        "transaction_id = 1",
    ],
)
def test_a_held_row_is_released_once(released: ClearingHold, change: str) -> None:
    assert "released once" in refused(f"UPDATE settlement_clearinghold SET {change}")


def test_a_hold_is_never_removed(released: ClearingHold) -> None:
    assert "never removed" in refused("DELETE FROM settlement_clearinghold")
    assert "refused" in refused("TRUNCATE settlement_clearinghold CASCADE")


def test_an_action_is_cleared_once(db: None, alice: Any, bob: Any) -> None:
    books = Books()
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, 5000, ResultKind.CHANNEL_ONLY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.finish(TUESDAY)
    action = books.decide(item.case, "supplement", alice, bob, merchant_no="M-A")
    books.plain_day(WEDNESDAY)
    cleared = ClearingItem.objects.get(case_action=action)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO settlement_clearingsession (own_date, kind, session_no, count, amount, fee, made_at)"
            " VALUES ('2026-11-18', 'discrepancy', 9, 0, 0, 0, now()) RETURNING id"
        )
        session = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO settlement_clearingsheet (session_id, merchant_id, count, amount, fee)"
            " VALUES (%s, %s, 0, 0, 0) RETURNING id",
            [session, cleared.merchant_id],
        )
        sheet = cursor.fetchone()[0]
    assert "clearing_item_one_per_action" in refused(
        "INSERT INTO settlement_clearingitem (sheet_id, merchant_id, contract_id, own_date, kind, collection, count,"
        " amount, discount, fee, refunded_from_settlement, refund_fee, net, pay_date, case_action_id)"
        " SELECT %s, merchant_id, contract_id, own_date, kind, collection, count, amount, discount, fee,"
        " refunded_from_settlement, refund_fee, net, pay_date, case_action_id FROM settlement_clearingitem"
        " WHERE id = %s",
        sheet,
        cleared.pk,
    )


@pytest.mark.parametrize(
    "change",
    [
        "payout_amount = payout_amount + 1",
        "payout_amount = 0",
        "carry_out = payout_amount",
        "state = 'carried'",
        "state = 'held', carry_out = payout_amount",
        "state = 'returned'",
        "settlement_amount = settlement_amount + 1",
        "withheld_amount = 1",
    ],
)
def test_a_sheet_pays_what_it_adds_up_to_or_carries_it(settled: ClearingItem, change: str) -> None:
    assert SettlementSheet.objects.get().state == "ready"
    assert "settlement_sheet_" in refused(f"UPDATE settlement_settlementsheet SET {change}")
