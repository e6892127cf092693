"""Payouts (DOMAIN 11.5): proposed by one, approved by another, paid once whatever the bank does."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import close_old_connections, connection, connections

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Account
from payops.accounts.services import account_status_set
from payops.approvals.registry import action_get
from payops.approvals.services import request_approve, request_reject
from payops.channels.models import BankAccount, BankLine
from payops.core.audit import AuditLog
from payops.core.errors import PayopsError
from payops.core.jobs import run_now
from payops.core.models import JobRun
from payops.discrepancies.models import Discrepancy
from payops.merchants.models import Merchant, SettlementAccount
from payops.reconciliation.funds import funds_match, movements_overdue
from payops.settlement.bank import BankAnswer, BankStatus
from payops.settlement.models import Payout, PayoutBatch, SettlementSheet
from payops.settlement.payouts import (
    payout_batch_create,
    payout_batch_export,
    payout_history,
    payout_result_take,
    payouts_for_user,
    payouts_in_flight,
    payouts_needing_a_person,
    payouts_poll,
    payouts_send,
    sheets_hold_unpayable,
)
from tests.settlement import payout_world as w
from tests.settlement.payout_world import DAY, PAY_DATE, SimulatedBank


@pytest.fixture
def world(db: None) -> None:
    w.build()


@pytest.fixture
def bank(world: None, tmp_path: Path) -> Iterator[SimulatedBank]:
    with w.running_bank(tmp_path) as running:
        yield running


def states(payout: Payout) -> tuple[str, str]:
    """The payout's state and its sheet's."""
    payout.refresh_from_db()
    payout.sheet.refresh_from_db()
    return payout.state, payout.sheet.state


# --- proposing and approving ------------------------------------------------------------------------------------------


def test_a_batch_is_proposed_with_its_amount_in_figures_and_capitals(world: None, alice: Any) -> None:
    w.account("M-A")
    w.ready_sheet(amount=1_680_032)
    batch = w.propose(alice)
    assert (batch.count, batch.amount, batch.pay_date, batch.state) == (1, 1_680_032, PAY_DATE, "pending")
    described = action_get("settlement.payout_batch").describe(batch.approval)
    assert "16,800.32" in batch.approval.title
    assert "人民币壹万陆仟捌佰元零叁角贰分" in batch.approval.title
    assert "人民币壹万陆仟捌佰元零叁角贰分" in [value for _label, value in described.rows]


def test_nothing_is_booked_before_the_approval(world: None, alice: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    w.propose(alice)
    assert (w.settlement(), w.in_flight()) == (10_000, 0)
    assert payouts_send(bank=None)["asked"] == 0


def test_approval_books_the_instruction_and_queues_the_sending(world: None, alice: Any, bob: Any) -> None:
    w.account("M-A")
    sheet = w.ready_sheet()
    batch = w.propose(alice)
    result = w.approve(batch, bob)
    sheet.refresh_from_db()
    assert (w.settlement(), w.in_flight(), sheet.state) == (0, 10_000, "in_payment")
    assert (result["approved"], result["amount"], result["refused"]) == (1, 10_000, [])
    assert JobRun.objects.get(pk=result["job"]).kind == "settlement.payouts_send"


def test_the_maker_cannot_approve(world: None, alice: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    batch = w.propose(alice)
    with pytest.raises(PayopsError) as refused:
        request_approve(request_id=batch.approval_id, checker=alice)
    assert refused.value.code == "approvals.own_request"


def test_who_may_not_propose_is_refused(world: None, bob: Any, carol: Any) -> None:
    for user in (bob, carol):
        with pytest.raises(PayopsError) as refused:
            payout_batch_create(day=DAY, maker=user)
        assert refused.value.code == "payouts.not_allowed"


def test_the_auditor_cannot_approve(world: None, alice: Any, carol: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    with pytest.raises(PayopsError) as refused:
        w.approve(w.propose(alice), carol)
    assert refused.value.code == "approvals.not_allowed"


def test_a_second_approval_changes_nothing(world: None, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    batch = w.propose(alice)
    w.approve(batch, bob)
    with pytest.raises(PayopsError) as refused:
        w.approve(batch, bob)
    assert refused.value.code == "approvals.already_decided"
    assert w.in_flight() == 10_000


def test_proposing_twice_makes_one_batch(world: None, alice: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    w.propose(alice)
    assert payout_batch_create(day=DAY, maker=alice) is None
    assert Payout.objects.count() == 1


def test_a_rejected_batch_frees_its_sheets(world: None, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    batch = w.propose(alice)
    request_reject(request_id=batch.approval_id, checker=bob, note="wrong account")
    batch.refresh_from_db()
    assert (batch.state, batch.payouts.get().state, w.settlement()) == ("rejected", "cancelled", 10_000)
    w.approve(w.propose(alice), bob)
    assert w.in_flight() == 10_000


def test_a_batch_whose_account_changed_must_be_proposed_again(world: None, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    batch = w.propose(alice)
    w.account("M-A", "0077")
    with pytest.raises(PayopsError) as refused:
        w.approve(batch, bob)
    assert refused.value.code == "approvals.target_changed"


def test_a_restricted_account_refuses_its_payout_and_not_the_others(world: None, alice: Any, bob: Any) -> None:
    for merchant in ("M-A", "M-B"):
        w.account(merchant)
        w.ready_sheet(merchant)
    batch = w.propose(alice)
    restricted = Account.objects.get(subject__code="220202", owner_no="M-A")
    account_status_set(account=restricted, status="judicial")
    result = w.approve(batch, bob)
    held = SettlementSheet.objects.get(merchant__merchant_no="M-A")
    assert [refusal["code"] for refusal in result["refused"]] == ["ledger.restricted"]
    assert (held.state, held.carry_out, held.payout_amount, w.settlement()) == ("held", 10_000, 0, 10_000)
    assert (w.settlement("M-B"), w.in_flight()) == (0, 10_000)
    assert batch.payouts.get(merchant__merchant_no="M-A").failure_code == "ledger.restricted"


def test_a_batch_refused_altogether_is_done(world: None, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    batch = w.propose(alice)
    account_status_set(account=Account.objects.get(subject__code="220202", owner_no="M-A"), status="stopped")
    assert w.approve(batch, bob)["approved"] == 0
    batch.refresh_from_db()
    assert batch.state == "done"


# --- what cannot be paid ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("no account", "account_missing"),
        ("flagged", "account_flagged"),
        ("held", "merchant_held"),
        ("large", "branch_code_missing"),
    ],
)
def test_a_sheet_that_cannot_be_paid_is_held_with_its_reason(world: None, alice: Any, case: str, code: str) -> None:
    amount = 5_000_001 if case == "large" else 10_000
    if case != "no account":
        w.account("M-A", branch_code="" if case == "large" else "102100099996")
    if case == "flagged":
        SettlementAccount.objects.update(state="flagged")
    if case == "held":
        Merchant.objects.filter(merchant_no="M-A").update(status="held")
    sheet = w.ready_sheet(amount=amount)
    assert [row["code"] for row in sheets_hold_unpayable(day=DAY)] == [code]
    assert payout_batch_create(day=DAY, maker=alice) is None
    sheet.refresh_from_db()
    assert (sheet.state, sheet.payout_amount, sheet.carry_out) == ("held", 0, amount)
    assert AuditLog.objects.get(action="settlement.sheet_held").detail["code"] == code


def test_exactly_fifty_thousand_needs_no_branch_code(world: None, alice: Any) -> None:
    w.account("M-A", branch_code="")
    w.ready_sheet(amount=5_000_000)
    assert w.propose(alice).count == 1


def test_sheets_of_a_later_pay_date_wait(world: None, alice: Any) -> None:
    w.account("M-A")
    w.ready_sheet(pay_date=PAY_DATE + dt.timedelta(days=1))
    assert payout_batch_create(day=DAY, maker=alice) is None


def test_merchants_are_not_paid_from_own_funds(world: None, alice: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    own = BankAccount.objects.create(code="OWN", bank_name="B", account_no="9", kind="own")
    with pytest.raises(PayopsError) as refused:
        payout_batch_create(day=DAY, maker=alice, bank_account=own)
    assert refused.value.code == "payouts.not_a_reserve_account"


# --- with the bank ----------------------------------------------------------------------------------------------------


def test_a_payout_succeeds_and_its_bank_line_is_matched(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    assert states(payout) == ("succeeded", "paid")
    assert (w.settlement(), w.reserve()) == (0, 0)
    matched = bank.take_statement()
    assert (matched["payouts"], matched["unidentified"]) == (1, 0)
    assert not movements_overdue(day=dt.date(2026, 11, 21)).exists()
    batch = PayoutBatch.objects.get()
    assert (batch.state, w.books_agree(), bank.paid_out()) == ("done", True, 10_000)


def test_a_failure_by_the_account_gives_the_money_back_and_flags_the_account(
    bank: SimulatedBank, alice: Any, bob: Any
) -> None:
    w.account("M-A", "9001")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    assert states(payout) == ("failed", "failed")
    assert (payout.failure_code, payout.sheet.carry_out, w.settlement()) == ("ACCOUNT_NOT_FOUND", 10_000, 10_000)
    assert SettlementAccount.objects.get().state == "flagged"
    assert w.books_agree()
    assert bank.take_statement()["lines"] == 0
    assert not movements_overdue(day=dt.date(2026, 11, 21)).exists()


def test_no_answer_counts_as_paid_until_a_query_tells(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9002")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank, polls=1)
    assert states(payout) == ("unknown", "in_payment")
    assert payouts_in_flight() == {"count": 1, "amount": 10_000}
    assert payout_batch_create(day=DAY, maker=alice) is None
    payouts_send(bank=bank)
    payouts_poll(bank=bank)
    assert states(payout) == ("succeeded", "paid")
    assert (bank.sent, bank.paid_out(), w.books_agree()) == ([payout.payout_no], 10_000, True)


def test_an_unknown_payout_that_failed_after_all_goes_back(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9003")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank, polls=3)
    assert states(payout) == ("failed", "failed")
    assert (payout.failure_code, w.settlement(), w.books_agree()) == ("NAME_MISMATCH", 10_000, True)


def test_a_lost_request_is_sent_again_under_its_own_number(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9006")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank, polls=3)
    assert states(payout) == ("succeeded", "paid")
    assert bank.sent == [payout.payout_no] * 2
    assert (bank.paid_out(), w.books_agree()) == (10_000, True)


@pytest.mark.parametrize("first", ["poll", "statement"])
def test_a_return_is_booked_once_whoever_tells_it_first(bank: SimulatedBank, alice: Any, bob: Any, first: str) -> None:
    w.account("M-A", "9004")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    assert states(payout) == ("succeeded", "paid")
    bank.next_day()
    steps = [lambda: payouts_poll(bank=bank), bank.take_statement]
    for step in steps if first == "poll" else reversed(steps):
        step()
        assert states(payout) == ("returned", "returned")
        assert (w.settlement(), w.reserve(), payout.sheet.carry_out) == (10_000, 10_000, 10_000)
    assert SettlementAccount.objects.get().state == "flagged"
    assert (w.books_agree(), bank.paid_out(), Discrepancy.objects.count()) == (True, 0, 0)
    assert payouts_poll(bank=bank)["asked"] == 0


def test_a_failure_of_the_bank_is_paid_again_under_a_new_number_and_booked_once(
    bank: SimulatedBank, alice: Any, bob: Any
) -> None:
    w.account("M-A", "9005")
    w.ready_sheet()
    first = w.pay(alice, bob, bank)
    assert states(first) == ("failed", "in_payment")
    assert (w.in_flight(), w.settlement()) == (10_000, 0)
    bank.post("/admin/behaviour", payee_account="62258800009005", outcome="succeed")
    second = w.pay(alice, bob, bank)
    assert states(second) == ("succeeded", "paid")
    assert (second.previous, second.payout_no != first.payout_no) == (first, True)
    assert (w.books_agree(), w.settlement(), bank.paid_out()) == (True, 0, 10_000)
    assert bank.take_statement()["payouts"] == 1
    told = [event.to_state for event in payout_history(second)]
    assert told[:4] == ["created", "approved", "sending", "failed"]
    assert told[-1] == "succeeded"


def test_a_second_attempt_needs_a_second_approval(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9005")
    w.ready_sheet()
    w.pay(alice, bob, bank)
    w.propose(alice)
    assert payouts_send(bank=bank)["asked"] == 0


def test_a_second_attempt_leaves_from_the_account_of_the_first(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9005")
    w.account("M-B", "0002")
    w.ready_sheet()
    first = w.pay(alice, bob, bank)
    richer = BankAccount.objects.create(code="RSV2", bank_name="Bank", account_no="6223", kind="reserve")
    ledger.open_bank_account("RSV2", "reserve")
    owners = {"channel": "WECHAT", "bank": "RSV2"}
    ledger.post(ledger.Posting(Event.RECEIPT, "test", 99_999, {"R": 90_000}, owners, DAY))
    w.ready_sheet("M-B")
    again, rest = w.propose(alice), w.propose(alice)
    assert (again.bank_account, again.payouts.get().previous) == (first.batch.bank_account, first)
    assert (rest.bank_account, rest.payouts.get().merchant.merchant_no) == (richer, "M-B")


def test_a_second_attempt_leaves_from_another_account_when_a_person_says_so(
    bank: SimulatedBank, alice: Any, bob: Any
) -> None:
    w.account("M-A", "9005")
    w.ready_sheet()
    w.pay(alice, bob, bank)
    other = BankAccount.objects.create(code="RSV2", bank_name="Bank", account_no="6223", kind="reserve")
    ledger.open_bank_account("RSV2", "reserve")
    batch = payout_batch_create(day=DAY, maker=alice, bank_account=other)
    assert batch is not None
    assert batch.bank_account == other


def test_a_second_attempt_after_a_rejected_one_is_possible(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9005")
    w.ready_sheet()
    w.pay(alice, bob, bank)
    request_reject(request_id=w.propose(alice).approval_id, checker=bob, note="later")
    bank.post("/admin/behaviour", payee_account="62258800009005", outcome="succeed")
    w.pay(alice, bob, bank)
    assert (w.books_agree(), bank.paid_out()) == (True, 10_000)


def test_what_cannot_be_sent_again_goes_back_to_the_merchant(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9005")
    sheet = w.ready_sheet()
    w.pay(alice, bob, bank)
    Merchant.objects.filter(merchant_no="M-A").update(status="held")
    assert payout_batch_create(day=DAY, maker=alice) is None
    sheet.refresh_from_db()
    assert (sheet.state, sheet.carry_out, w.settlement(), w.in_flight()) == ("failed", 10_000, 10_000, 0)


def test_a_bank_that_is_down_is_left_alone_and_nothing_is_lost(
    world: None, tmp_path: Path, alice: Any, bob: Any
) -> None:
    for merchant in ("M-A", "M-B"):
        w.account(merchant)
        w.ready_sheet(merchant)
    w.approve(w.propose(alice), bob)
    with w.running_bank(tmp_path) as bank:
        pass
    assert payouts_send(bank=bank)["stopped"] is True
    with w.running_bank(tmp_path) as bank:
        payouts_send(bank=bank)
        payouts_poll(bank=bank)
        assert (w.books_agree(), bank.paid_out()) == (True, 20_000)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_crash_between_sending_and_the_answer_pays_once(
    bank: SimulatedBank, alice: Any, bob: Any, arrived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.account("M-A")
    w.ready_sheet()
    w.approve(w.propose(alice), bob)

    class Killed(SimulatedBank):
        def payout_send(self, order: Any) -> Any:
            if arrived:
                super().payout_send(order)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        payouts_send(bank=Killed(bank.url))
    payout = Payout.objects.get()
    assert payout.state == "sending"
    payouts_send(bank=bank)
    payouts_poll(bank=bank)
    assert states(payout) == ("succeeded", "paid")
    assert (len(bank.sent), bank.paid_out(), w.books_agree()) == (0 if arrived else 1, 10_000, True)


def test_the_statement_settles_what_the_bank_would_not_say(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9002")
    w.ready_sheet()
    w.approve(w.propose(alice), bob)
    payouts_send(bank=bank)
    bank.take_statement()
    assert states(Payout.objects.get()) == ("succeeded", "paid")
    payouts_poll(bank=bank, rounds=3)
    assert (w.books_agree(), w.reserve()) == (True, 0)


def test_a_debit_for_a_failed_payout_is_nobodys(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9001")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    BankLine.objects.create(
        bank_account=BankAccount.objects.get(), value_date=PAY_DATE, reference="X1", currency="CNY",
        amount=-10_000, memo=f"PAYOUT {payout.payout_no}",
    )  # fmt: skip
    assert funds_match()["unidentified"] == 1
    assert payout.state == "failed"
    assert w.books_agree()


def _debited_all_the_same(payout: Payout) -> None:
    BankLine.objects.create(
        bank_account=BankAccount.objects.get(), value_date=PAY_DATE, reference="X1", currency="CNY",
        amount=-10_000, memo=f"PAYOUT {payout.payout_no}",
    )  # fmt: skip
    funds_match()


def test_a_payout_the_bank_called_failed_and_debited_is_not_paid_again(
    bank: SimulatedBank, alice: Any, bob: Any
) -> None:
    w.account("M-A", "9005")
    sheet = w.ready_sheet()
    _debited_all_the_same(w.pay(alice, bob, bank))
    assert payout_batch_create(day=DAY, maker=alice) is None
    sheet.refresh_from_db()
    assert (sheet.state, w.in_flight(), w.settlement()) == ("in_payment", 10_000, 0)


def test_a_second_attempt_is_not_sent_once_the_first_turns_out_to_be_paid(
    bank: SimulatedBank, alice: Any, bob: Any
) -> None:
    w.account("M-A", "9005")
    w.ready_sheet()
    first = w.pay(alice, bob, bank)
    batch = w.propose(alice)
    w.approve(batch, bob)
    _debited_all_the_same(first)
    payouts_send(bank=bank)
    payouts_send(bank=bank)
    second = batch.payouts.get()
    assert (bank.sent, states(second)) == ([first.payout_no], ("approved", "in_payment"))
    assert payouts_needing_a_person().get() == second
    assert first.payout_no in second.events.latest("id").note
    assert second.events.count() == 3


def test_a_payout_whose_account_number_was_exchanged_is_not_sent(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.account("M-B", "0002")
    w.ready_sheet()
    w.approve(w.propose(alice), bob)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE merchants_settlementaccount SET number = (SELECT max(number) FROM"
            " merchants_settlementaccount b WHERE b.merchant_id <> merchants_settlementaccount.merchant_id)"
        )
    payouts_send(bank=bank)
    assert bank.sent == []
    assert payouts_needing_a_person().get().failure_code == "account_altered"
    with pytest.raises(PayopsError) as refused:
        payout_batch_export(batch_id=Payout.objects.get().batch_id, user=bob, fileobj=io.StringIO())
    assert refused.value.code == "payouts.account_altered"


def test_sending_and_asking_again_changes_nothing(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    events = payout.events.count()
    payouts_send(bank=bank)
    payouts_poll(bank=bank, rounds=3)
    bank.take_statement()
    bank.take_statement()
    assert (bank.sent, payout.events.count(), w.books_agree()) == ([payout.payout_no], events, True)


def test_a_number_the_bank_uses_for_something_else_waits_for_a_person(
    bank: SimulatedBank, alice: Any, bob: Any
) -> None:
    w.account("M-A")
    w.ready_sheet()
    batch = w.propose(alice)
    w.approve(batch, bob)
    number = batch.payouts.get().payout_no
    bank.post("/payouts", payout_no=number, account_no="6222", payee_account="1", payee_name="x", amount=1)
    payouts_send(bank=bank)
    payouts_poll(bank=bank, rounds=3)
    payout = payouts_needing_a_person().get()
    assert (payout.state, payout.failure_code, w.in_flight()) == ("unknown", "payout_conflict", 10_000)


def test_an_answer_about_another_amount_is_not_believed(world: None, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    w.approve(w.propose(alice), bob)
    payout = Payout.objects.get()
    Payout.objects.update(state="sending")
    Payout.objects.update(state="sent")
    answer = BankAnswer(payout.payout_no, BankStatus.SUCCEEDED, amount=1, currency="CNY")
    payout_result_take(payout_id=payout.pk, answer=answer)
    assert states(payout) == ("unknown", "in_payment")
    assert payouts_needing_a_person().get() == payout


def test_a_patient_query_pauses_longer_each_time(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9002")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    assert payouts_poll(bank=bank, patient=True)["asked"] == 0
    Payout.objects.update(sent_at=payout.sent_at - dt.timedelta(seconds=11))
    assert payouts_poll(bank=bank, patient=True)["asked"] == 1


def test_the_queued_job_sends_the_batch(bank: SimulatedBank, alice: Any, bob: Any, settings: Any) -> None:
    settings.BANK_SIMULATOR_URL = bank.url
    w.account("M-A")
    w.ready_sheet()
    job = run_now(w.approve(w.propose(alice), bob)["job"])
    assert job.result["sent"]["states"] == {"sent": 1}
    assert w.books_agree()


def test_everything_the_bank_can_do_ends_with_nothing_in_flight(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    endings = ["0001", "9001", "9002", "9003", "9004", "9005", "9006"]
    for ending in endings:
        customer = Merchant.objects.get(merchant_no="M-A").customer
        Merchant.objects.create(merchant_no=f"M-{ending}", customer=customer, name=ending)
        from payops.accounts.services import open_merchant_accounts

        open_merchant_accounts(f"M-{ending}")
        w.account(f"M-{ending}", ending)
        w.ready_sheet(f"M-{ending}", 1_000 + int(ending))
    w.pay(alice, bob, bank, polls=3)
    bank.post("/admin/behaviour", payee_account="62258800009005", outcome="succeed")
    w.pay(alice, bob, bank, polls=3)
    bank.next_day()
    payouts_poll(bank=bank, rounds=3)
    bank.take_statement()
    sheets = dict(SettlementSheet.objects.values_list("merchant__merchant_no", "state"))
    assert sheets == {
        "M-0001": "paid", "M-9001": "failed", "M-9002": "paid", "M-9003": "failed", "M-9004": "returned",
        "M-9005": "paid", "M-9006": "paid",
    }  # fmt: skip
    kept = sum(1_000 + int(ending) for ending in ("9001", "9003", "9004"))
    total = sum(1_000 + int(ending) for ending in endings)
    assert (w.books_agree(), w.reserve(), bank.paid_out()) == (True, kept, total - kept)
    assert not movements_overdue(day=dt.date(2026, 11, 21)).exists()
    assert Discrepancy.objects.count() == 0


# --- who sees what ----------------------------------------------------------------------------------------------------


def test_a_merchant_sees_its_own_payouts_once_approved(world: None, alice: Any, bob: Any, mei: Any, omar: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    batch = w.propose(alice)
    assert not payouts_for_user(mei).exists()
    w.approve(batch, bob)
    assert (payouts_for_user(mei).count(), payouts_for_user(omar).count(), payouts_for_user(alice).count()) == (1, 0, 1)


def test_the_history_names_who_did_what(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    told = list(payout_history(payout).values_list("to_state", "username"))
    assert told == [
        ("created", "alice"), ("approved", "bob"), ("sending", "system"), ("sent", "system"), ("succeeded", "system"),
    ]  # fmt: skip


def test_a_batch_leaves_as_a_file_that_runs_no_formulas(world: None, alice: Any, bob: Any) -> None:
    w.account("M-A", holder="=1+1")
    w.ready_sheet(amount=123_45)
    batch = w.propose(alice)
    with pytest.raises(PayopsError) as early:
        payout_batch_export(batch_id=batch.pk, user=bob, fileobj=io.BytesIO())
    assert early.value.code == "payouts.not_approved"
    w.approve(batch, bob)
    with pytest.raises(PayopsError):
        payout_batch_export(batch_id=batch.pk, user=alice, fileobj=io.BytesIO())
    out = io.BytesIO()
    assert payout_batch_export(batch_id=batch.pk, user=bob, fileobj=out) == 1
    row = next(csv.DictReader(io.StringIO(out.getvalue().decode("utf-8-sig"))))
    assert (row["payee_name"], row["amount"], row["payee_account"]) == ("'=1+1", "123.45", "62258800000001")
    assert AuditLog.objects.filter(action="settlement.payout_file_taken", username="bob").exists()


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_proposes_sends_and_asks(
    bank: SimulatedBank, alice: Any, bob: Any, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.BANK_SIMULATOR_URL = bank.url
    w.account("M-A", "9002")
    w.ready_sheet()
    call_command("payouts", "--date", DAY.isoformat(), "--maker", "alice", "--json")
    made = json.loads(capsys.readouterr().out)
    assert made["batch"]["amount_in_capitals"] == "人民币壹佰元整"
    request_approve(request_id=made["batch"]["approval"], checker=bob)
    call_command("payouts", "--date", DAY.isoformat(), "--send", "--poll", "--json")
    done = json.loads(capsys.readouterr().out)
    assert done["send"]["states"] == {"unknown": 1}
    assert done["poll"]["states"] == {"succeeded": 1}
    assert done["in_flight"] == {"count": 0, "amount": 0}


def test_without_a_maker_the_command_proposes_nothing(world: None, capsys: pytest.CaptureFixture[str]) -> None:
    w.account("M-A")
    w.ready_sheet()
    call_command("payouts", "--date", DAY.isoformat())
    assert not PayoutBatch.objects.exists()


def test_the_command_fails_aloud(
    world: None, alice: Any, bob: Any, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as nobody:
        call_command("payouts", "--date", DAY.isoformat(), "--maker", "nobody")
    assert nobody.value.code == 1
    assert "nobody" in capsys.readouterr().err
    w.account("M-A")
    w.ready_sheet()
    w.approve(w.propose(alice), bob)
    settings.BANK_SIMULATOR_URL = "http://127.0.0.1:9"
    with pytest.raises(SystemExit) as down:
        call_command("payouts", "--date", DAY.isoformat(), "--send")
    assert down.value.code == 1


# --- transactions and races -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_bank_is_waited_for(tmp_path: Path, alice: Any, bob: Any) -> None:
    w.build()
    seen: list[bool] = []
    with w.running_bank(tmp_path) as running:

        class Watching(SimulatedBank):
            def payout_send(self, order: Any) -> Any:
                seen.append(connection.in_atomic_block)
                return super().payout_send(order)

            def payout_query(self, payout_no: str) -> Any:
                seen.append(connection.in_atomic_block)
                return super().payout_query(payout_no)

        w.account("M-A")
        w.ready_sheet()
        w.pay(alice, bob, Watching(running.url))
    assert seen == [False, False]
    assert w.books_agree()


@pytest.mark.django_db(transaction=True)
def test_two_senders_pay_once(tmp_path: Path, alice: Any, bob: Any) -> None:
    w.build()
    w.account("M-A")
    w.ready_sheet()
    w.approve(w.propose(alice), bob)
    start = threading.Barrier(2)
    faults: list[Exception] = []
    with w.running_bank(tmp_path) as running:

        def work() -> None:
            try:
                start.wait()
                payouts_send(bank=running)
                payouts_poll(bank=running)
            except Exception as error:
                faults.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work) for _number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        payouts_poll(bank=running)
        assert (faults, len(running.sent), running.paid_out()) == ([], 1, 10_000)
    assert w.books_agree()
    close_old_connections()
