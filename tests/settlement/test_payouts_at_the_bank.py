"""Payouts at the bank (DOMAIN 11.5): whatever it does, each is paid once and nothing stays in flight."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.approvals.services import request_approve, request_reject
from payops.channels.models import BankAccount, BankLine
from payops.core.jobs import run_now
from payops.discrepancies.models import Discrepancy
from payops.merchants.models import Merchant, SettlementAccount
from payops.reconciliation.funds import funds_match, movements_overdue
from payops.reconciliation.funds.rule_approval import rule_propose
from payops.reconciliation.models import BankRule
from payops.settlement.bank import BankAnswer, BankStatus
from payops.settlement.models import Payout, PayoutBatch, SettlementSheet
from payops.settlement.payouts import (
    payout_batch_create,
    payout_history,
    payout_result_take,
    payouts_in_flight,
    payouts_needing_a_person,
    payouts_poll,
    payouts_send,
)
from tests.settlement import payout_world as w
from tests.settlement.payout_world import DAY, PAY_DATE, SimulatedBank

# --- with the bank ----------------------------------------------------------------------------------------------------


def test_a_payout_succeeds_and_its_bank_line_is_matched(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    assert w.states(payout) == ("succeeded", "paid")
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
    assert w.states(payout) == ("failed", "failed")
    assert (payout.failure_code, payout.sheet.carry_out, w.settlement()) == ("ACCOUNT_NOT_FOUND", 10_000, 10_000)
    assert SettlementAccount.objects.get().state == "flagged"
    assert w.books_agree()
    assert bank.take_statement()["lines"] == 0
    assert not movements_overdue(day=dt.date(2026, 11, 21)).exists()


def test_no_answer_counts_as_paid_until_a_query_tells(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9002")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank, polls=1)
    assert w.states(payout) == ("unknown", "in_payment")
    assert payouts_in_flight() == {"count": 1, "amount": 10_000}
    assert payout_batch_create(day=DAY, maker=alice) is None
    payouts_send(bank=bank)
    payouts_poll(bank=bank)
    assert w.states(payout) == ("succeeded", "paid")
    assert (bank.sent, bank.paid_out(), w.books_agree()) == ([payout.payout_no], 10_000, True)


def test_an_unknown_payout_that_failed_after_all_goes_back(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9003")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank, polls=3)
    assert w.states(payout) == ("failed", "failed")
    assert (payout.failure_code, w.settlement(), w.books_agree()) == ("NAME_MISMATCH", 10_000, True)


def test_a_lost_request_is_sent_again_under_its_own_number(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9006")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank, polls=3)
    assert w.states(payout) == ("succeeded", "paid")
    assert bank.sent == [payout.payout_no] * 2
    assert (bank.paid_out(), w.books_agree()) == (10_000, True)


@pytest.mark.parametrize("first", ["poll", "statement"])
def test_a_return_is_booked_once_whoever_tells_it_first(bank: SimulatedBank, alice: Any, bob: Any, first: str) -> None:
    w.account("M-A", "9004")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    assert w.states(payout) == ("succeeded", "paid")
    bank.next_day()
    steps = [lambda: payouts_poll(bank=bank), bank.take_statement]
    for step in steps if first == "poll" else reversed(steps):
        step()
        assert w.states(payout) == ("returned", "returned")
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
    assert w.states(first) == ("failed", "in_payment")
    assert (w.in_flight(), w.settlement()) == (10_000, 0)
    bank.post("/admin/behaviour", payee_account="62258800009005", outcome="succeed")
    second = w.pay(alice, bob, bank)
    assert w.states(second) == ("succeeded", "paid")
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
    assert w.states(payout) == ("succeeded", "paid")
    assert (len(bank.sent), bank.paid_out(), w.books_agree()) == (0 if arrived else 1, 10_000, True)


def test_the_statement_settles_what_the_bank_would_not_say(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A", "9002")
    w.ready_sheet()
    w.approve(w.propose(alice), bob)
    payouts_send(bank=bank)
    bank.take_statement()
    assert w.states(Payout.objects.get()) == ("succeeded", "paid")
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


def _debited_all_the_same(payout: Payout, memo: str = "PAYOUT {}") -> None:
    BankLine.objects.create(
        bank_account=BankAccount.objects.get(), value_date=PAY_DATE, reference="X1", currency="CNY",
        amount=-10_000, memo=memo.format(payout.payout_no),
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


@pytest.mark.parametrize(
    "memo", ["PAYOUT {}, M-A", "paid out {} M-A"], ids=["more behind it", "as a bank's rule finds it"]
)
def test_what_the_bank_debited_all_the_same_is_known_however_it_words_its_lines(
    bank: SimulatedBank, alice: Any, bob: Any, memo: str
) -> None:
    rule = BankRule(
        name="ours", kind="payout", bank_account=BankAccount.objects.get(), priority=1, direction="out",
        memo_pattern=r"paid out (?P<number>P\d+)",
    )  # fmt: skip
    request = rule_propose(rule=rule, tried=0, changed=0, reason="the bank's letter", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    w.account("M-A", "9005")
    w.ready_sheet()
    _debited_all_the_same(w.pay(alice, bob, bank), memo)
    assert payout_batch_create(day=DAY, maker=alice) is None


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
    assert (bank.sent, w.states(second)) == ([first.payout_no], ("approved", "in_payment"))
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
    assert w.states(payout) == ("unknown", "in_payment")
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
