"""Payouts (DOMAIN 11.5): proposed by one, approved by another, paid once whatever the bank does."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import close_old_connections, connection, connections

from payops.accounts.models import Account
from payops.accounts.services import account_status_set
from payops.approvals.registry import action_get
from payops.approvals.services import request_approve, request_reject
from payops.channels.models import BankAccount, BankLine
from payops.core.audit import AuditLog
from payops.core.errors import PayopsError
from payops.core.models import JobRun
from payops.merchants.models import Merchant, SettlementAccount
from payops.reconciliation.funds import funds_match
from payops.settlement.bank import FileBank
from payops.settlement.models import Payout, PayoutBatch, SettlementSheet
from payops.settlement.payouts import (
    payout_batch_create,
    payout_batch_export,
    payout_history,
    payouts_for_user,
    payouts_poll,
    payouts_send,
    sheets_hold_unpayable,
)
from tests.settlement import payout_world as w
from tests.settlement.payout_world import DAY, PAY_DATE, SimulatedBank


@pytest.fixture
def bank_of_files(settings: Any) -> FileBank:
    """The bank takes files."""
    settings.PAYOPS_BANK_CLIENT = "payops.settlement.bank.FileBank"
    return FileBank()


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


def test_a_batch_leaves_as_a_file_that_runs_no_formulas(
    world: None, alice: Any, bob: Any, bank_of_files: FileBank
) -> None:
    w.account("M-A", holder="=1+1")
    w.ready_sheet(amount=123_45)
    batch = w.propose(alice)
    with pytest.raises(PayopsError) as early:
        payout_batch_export(batch_id=batch.pk, user=bob, fileobj=io.BytesIO())
    assert early.value.code == "payouts.not_approved"
    w.approve(batch, bob)
    with pytest.raises(PayopsError):
        payout_batch_export(batch_id=batch.pk, user=alice, fileobj=io.BytesIO())
    payouts_send(bank=bank_of_files)
    out = io.BytesIO()
    assert payout_batch_export(batch_id=batch.pk, user=bob, fileobj=out) == 1
    row = next(csv.DictReader(io.StringIO(out.getvalue().decode("utf-8-sig"))))
    assert (row["payee_name"], row["amount"], row["payee_account"]) == ("'=1+1", "123.45", "62258800000001")
    assert AuditLog.objects.filter(action="settlement.payout_file_taken", username="bob").exists()


def test_what_goes_through_an_interface_leaves_in_no_file_beside_it(bank: SimulatedBank, alice: Any, bob: Any) -> None:
    w.account("M-A")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank)
    with pytest.raises(PayopsError) as refused:
        payout_batch_export(batch_id=payout.batch_id, user=bob, fileobj=io.BytesIO())
    assert refused.value.code == "payouts.no_files"


def test_what_the_statement_shows_as_paid_stands_in_no_further_file(
    world: None, alice: Any, bob: Any, bank_of_files: FileBank
) -> None:
    w.account("M-A")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank_of_files, polls=2)
    assert payout.state == "sent"
    BankLine.objects.create(
        bank_account=payout.batch.bank_account, value_date=w.PAY_DATE, reference="X1", currency="CNY",
        amount=-payout.amount, memo=f"PAYOUT {payout.payout_no}",
    )  # fmt: skip
    funds_match()
    assert w.states(payout) == ("succeeded", "paid")
    assert payout_batch_export(batch_id=payout.batch_id, user=bob, fileobj=io.BytesIO()) == 0


def test_a_file_is_not_written_with_an_account_number_nobody_approved(
    world: None, alice: Any, bob: Any, bank_of_files: FileBank
) -> None:
    w.account("M-A")
    w.account("M-B", "0002")
    w.ready_sheet()
    payout = w.pay(alice, bob, bank_of_files)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE merchants_settlementaccount SET number = (SELECT max(number) FROM"
            " merchants_settlementaccount b WHERE b.merchant_id <> merchants_settlementaccount.merchant_id)"
        )
    with pytest.raises(PayopsError) as refused:
        payout_batch_export(batch_id=payout.batch_id, user=bob, fileobj=io.BytesIO())
    assert refused.value.code == "payouts.account_altered"


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
