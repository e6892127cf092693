"""Payouts in the console: proposed, decided, sent and followed; each button only for whom the service lets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from payops.approvals.services import request_approve, request_reject
from payops.core.audit import AuditLog
from payops.core.formatting import money
from payops.core.models import JobRun
from payops.core.money import amount_in_capitals
from payops.settlement.bank import BankAnswer, BankStatus
from payops.settlement.models import Payout, PayoutBatch, SettlementSheet
from payops.settlement.payouts import payout_result_take, payouts_send
from tests.console.conftest import MON, TUE, Books, address, text_of

Read = Callable[..., str]


@pytest.fixture
def waiting(books: Books) -> PayoutBatch:
    """Tuesday's batch, proposed by Alice, not decided."""
    return PayoutBatch.objects.get(state="pending")


@pytest.fixture
def approved(books: Books, waiting: PayoutBatch) -> PayoutBatch:
    """The same batch, approved by Bob and not sent."""
    request_approve(request_id=waiting.approval_id, checker=books.user("bob"))
    return waiting


@pytest.fixture
def done(books: Books) -> PayoutBatch:
    """Monday's batch with all results in."""
    return PayoutBatch.objects.filter(state="done").order_by("id").first()


def post(books: Books, username: str, name: str, *args: Any, **data: Any) -> Any:
    return books.client(username).post(address(name, *args), data, follow=False)


def move(payout: Payout, *states: str) -> None:
    """Take a payout through states as the bank's work would."""
    for state in states:
        Payout.objects.filter(pk=payout.pk).update(state=state)


def answer(payout: Payout, status: BankStatus, **fields: Any) -> None:
    move(payout, "sending")
    payout_result_take(payout_id=payout.pk, answer=BankAnswer(payout.payout_no, status, **fields))


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_shows_its_amount_in_figures_and_capitals(read: Read, waiting: PayoutBatch) -> None:
    text = read("bob", "payout_batch", waiting.pk)
    assert money(waiting.amount) in text
    assert amount_in_capitals(waiting.amount) in text
    assert address("approval", waiting.approval_id) in text
    for payout in waiting.payouts.all():
        assert address("payout", payout.pk) in text


def test_only_who_may_decide_is_asked_to(read: Read, waiting: PayoutBatch) -> None:
    assert ">Decide<" in read("bob", "payout_batch", waiting.pk)
    assert ">Decide<" not in read("alice", "payout_batch", waiting.pk)


def test_the_auditor_has_no_buttons(read: Read, books: Books, approved: PayoutBatch) -> None:
    payout = approved.payouts.first()
    for name, args in (
        ("payout_batch_list", ()),
        ("payout_batch", (approved.pk,)),
        ("payout_list", ()),
        ("payout", (payout.pk,)),
    ):
        assert 'class="c-buttons"' not in read("carol", name, *args), name


def test_the_tiles_count_payouts_by_state_and_narrow_the_list(books: Books, done: PayoutBatch) -> None:
    page = books.client("carol").get(address("payout_batch", done.pk, state="succeeded")).context
    paid = done.payouts.filter(state="succeeded").count()
    assert next(tile for tile in page["tiles"] if tile["chosen"])["value"] == str(paid)
    assert len(page["tables"][0].rows) == paid
    assert sum(int(tile["value"]) for tile in page["tiles"]) == done.count


def test_a_state_that_is_none_narrows_nothing(books: Books, done: PayoutBatch) -> None:
    page = books.client("carol").get(address("payout_batch", done.pk, state="x")).context
    assert len(page["tables"][0].rows) == done.count


def test_an_approved_batch_can_be_sent_by_finance_alone(books: Books, read: Read, approved: PayoutBatch) -> None:
    assert address("payout_batch_send", approved.pk) in read("bob", "payout_batch", approved.pk)
    assert address("payout_batch_send", approved.pk) not in read("alice", "payout_batch", approved.pk)
    assert post(books, "alice", "payout_batch_send", approved.pk).status_code == 403


def test_sending_gives_the_batch_to_a_worker(books: Books, approved: PayoutBatch) -> None:
    response = post(books, "bob", "payout_batch_send", approved.pk)
    job = JobRun.objects.latest("id")
    assert (job.kind, job.params, job.created_by) == ("settlement.payouts_send", {"batch_id": approved.pk}, "bob")
    assert response.url == address("job", job.pk)


def test_a_batch_with_all_results_is_not_offered_to_be_sent(read: Read, done: PayoutBatch) -> None:
    assert address("payout_batch_send", done.pk) not in read("bob", "payout_batch", done.pk)


def test_asking_the_bank_is_a_job_too(books: Books) -> None:
    post(books, "bob", "payout_poll")
    assert JobRun.objects.latest("id").kind == "settlement.payouts_poll"
    assert post(books, "alice", "payout_poll").status_code == 403


def test_the_payment_file_holds_full_account_numbers_and_is_logged(
    books: Books, approved: PayoutBatch, settings: Any
) -> None:
    settings.PAYOPS_BANK_CLIENT = "payops.settlement.bank.FileBank"
    payouts_send(batch_id=approved.pk)
    response = books.client("bob").get(address("payout_batch_export", approved.pk))
    rows = list(csv.DictReader(io.StringIO(text_of(response))))
    assert len(rows) == approved.count
    payout = approved.payouts.get(payout_no=rows[0]["payout_no"])
    assert rows[0]["payee_account"] == payout.settlement_account.number
    assert AuditLog.objects.filter(action="settlement.payout_file_taken", username="bob").exists()


def test_a_bank_with_an_interface_is_offered_no_file(read: Read, approved: PayoutBatch) -> None:
    assert address("payout_batch_export", approved.pk) not in read("bob", "payout_batch", approved.pk)


def test_there_is_no_payment_file_before_the_approval(books: Books, waiting: PayoutBatch, settings: Any) -> None:
    settings.PAYOPS_BANK_CLIENT = "payops.settlement.bank.FileBank"
    response = books.client("bob").get(address("payout_batch_export", waiting.pk))
    assert response.status_code == 400
    assert "only an approved batch goes to a bank" in text_of(response)


# --- proposing --------------------------------------------------------------------------------------------------------


def test_what_would_be_proposed_is_shown_first(books: Books, read: Read, waiting: PayoutBatch) -> None:
    assert "Nothing is ready to be paid" in read("alice", "payout_batch_propose", day=TUE)
    request_reject(request_id=waiting.approval_id, checker=books.user("bob"), note="Wait.")
    text = read("alice", "payout_batch_propose", day=TUE)
    for payout in waiting.payouts.all():
        assert address("sheet", payout.sheet_id) in text
    assert money(waiting.amount) in text


def test_proposing_makes_a_batch_that_waits_for_finance(books: Books, waiting: PayoutBatch) -> None:
    request_reject(request_id=waiting.approval_id, checker=books.user("bob"), note="Wait.")
    response = post(books, "alice", "payout_batch_propose", day=TUE.isoformat())
    batch = PayoutBatch.objects.latest("id")
    assert response.url == address("payout_batch", batch.pk)
    assert (batch.state, batch.amount, batch.approval.maker.username) == ("pending", waiting.amount, "alice")


def test_proposing_twice_makes_one_batch(books: Books, waiting: PayoutBatch) -> None:
    before = PayoutBatch.objects.count()
    response = post(books, "alice", "payout_batch_propose", day=TUE.isoformat())
    assert response.status_code == 200
    assert "Nothing is ready to be paid after this date." in text_of(response)
    assert PayoutBatch.objects.count() == before


@pytest.mark.parametrize("day", ["", "tomorrow", "2026-02-31"])
def test_a_proposal_needs_a_day(books: Books, day: str) -> None:
    assert post(books, "alice", "payout_batch_propose", day=day).status_code == 400


def test_finance_cannot_propose_what_it_approves(books: Books, read: Read) -> None:
    assert post(books, "bob", "payout_batch_propose", day=TUE.isoformat()).status_code == 403
    assert address("payout_batch_propose") not in read("bob", "payout_batch_list")


# --- payouts ----------------------------------------------------------------------------------------------------------


def test_a_payout_shows_its_whole_history_with_vouchers(read: Read, done: PayoutBatch) -> None:
    payout = done.payouts.filter(state="succeeded").first()
    text = read("carol", "payout", payout.pk)
    for event in payout.events.exclude(voucher_id=None):
        assert address("voucher", event.voucher_id) in text
    assert address("sheet", payout.sheet_id) in text
    assert payout.bank_reference in text
    assert payout.settlement_account.number_masked in text
    assert payout.settlement_account.number not in text


def test_a_failure_of_the_bank_may_be_proposed_again(books: Books, read: Read, approved: PayoutBatch) -> None:
    payout = approved.payouts.first()
    answer(payout, BankStatus.FAILED, code="BANK_UNAVAILABLE", message="The bank is closed.")
    text = read("alice", "payout", payout.pk)
    assert "The bank is closed." in text
    assert address("payout_batch_propose", day=TUE) in text
    assert address("payout_batch_propose", day=TUE) not in read("bob", "payout", payout.pk)


def test_a_failure_of_the_account_may_not(books: Books, read: Read, approved: PayoutBatch) -> None:
    payout = approved.payouts.first()
    answer(payout, BankStatus.FAILED, code="ACCOUNT_CLOSED", message="No such account.", account_fault=True)
    assert address("payout_batch_propose", day=TUE) not in read("alice", "payout", payout.pk)
    assert SettlementSheet.objects.get(pk=payout.sheet_id).state == "failed"


def test_both_attempts_of_a_sheet_are_on_either_page(books: Books, read: Read, approved: PayoutBatch) -> None:
    first = approved.payouts.first()
    answer(first, BankStatus.FAILED, code="BANK_UNAVAILABLE", message="The bank is closed.")
    post(books, "alice", "payout_batch_propose", day=TUE.isoformat())
    second = Payout.objects.get(previous=first)
    assert second.payout_no in read("carol", "payout", first.pk)
    assert first.payout_no in read("carol", "payout", second.pk)
    assert address("payout_batch_propose", day=TUE) not in read("alice", "payout", first.pk)


def test_an_unknown_payout_can_only_be_asked_about(books: Books, read: Read, approved: PayoutBatch) -> None:
    payout = approved.payouts.first()
    move(payout, "sending", "unknown")
    text = read("bob", "payout", payout.pk)
    assert address("payout_poll") in text
    assert address("payout_batch_send", approved.pk) not in text


def test_payouts_in_flight_are_counted_above_the_list(books: Books, read: Read, approved: PayoutBatch) -> None:
    page = books.client("carol").get(address("payout_list")).context
    figures = {str(label): cell.text for label, cell in page["summary"]}
    assert figures["Payouts in flight"] == str(approved.count)
    assert figures["Amount in flight"] == money(approved.amount)


def test_payouts_no_query_can_settle_ask_for_a_person(read: Read, approved: PayoutBatch) -> None:
    move(approved.payouts.first(), "sending", "unknown")
    Payout.objects.filter(batch=approved, state="unknown").update(failure_code="answer_mismatch")
    assert "Need a person" in read("carol", "payout_list")


def test_a_payout_is_found_by_number_and_merchant(read: Read, done: PayoutBatch) -> None:
    payout = done.payouts.first()
    assert payout.payout_no in read("carol", "payout_list", payout_no=payout.payout_no)
    assert payout.payout_no in read("carol", "payout_list", merchant=payout.merchant.merchant_no, date=TUE)
    assert payout.payout_no not in read("carol", "payout_list", date=MON)


@pytest.mark.parametrize("name", ["payout_list", "payout_batch_list"])
def test_a_state_or_date_that_is_none_is_answered_at_its_field(read: Read, name: str) -> None:
    text = read("carol", name, state="lost", date="x")
    assert "Select a valid choice." in text
    assert "Enter a valid date." in text


@pytest.mark.parametrize(("name", "queries"), [("payout_batch_list", 4), ("payout_list", 5)])
def test_a_list_costs_the_same_queries_however_long(
    books: Books, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int
) -> None:
    client = books.client("carol")
    with django_assert_num_queries(queries):
        client.get(address(name))
