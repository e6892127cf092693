"""Approvals in the console: two people, one decision, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.services import action_propose, case_note
from payops.settlement.models import Payout, PayoutBatch
from tests.console.conftest import Books, address, text_of
from tests.console.test_cases import a_case

Read = Callable[..., str]


@pytest.fixture
def proposed(books: Books) -> ApprovalRequest:
    """Alice proposes to accept a shortage as loss."""
    action = action_propose(case_id=a_case("loss").pk, kind="loss", params={}, user=books.user("alice"), note="gone")
    return ApprovalRequest.objects.get(pk=action.approval_id)


def test_the_list_opens_with_what_waits_for_the_reader(books: Books, proposed: ApprovalRequest, read: Read) -> None:
    assert address("approval", proposed.pk) in read("bob", "approval_list")
    assert address("approval", proposed.pk) not in read("alice", "approval_list")
    assert address("approval", proposed.pk) in read("alice", "approval_list", tab="mine")
    assert address("approval", proposed.pk) in read("carol", "approval_list", tab="all")


def test_a_request_says_what_will_happen_to_what(books: Books, proposed: ApprovalRequest, read: Read) -> None:
    text = read("bob", "approval", proposed.pk)
    case = Discrepancy.objects.get(pk=int(proposed.target_id))
    assert case.case_no in text
    assert f"{abs(case.suspense) / 100:,.2f}" in text
    assert address("case_detail", case.pk) in text


def test_the_maker_is_offered_only_to_withdraw(books: Books, proposed: ApprovalRequest, read: Read) -> None:
    text = read("alice", "approval", proposed.pk)
    assert "you can only withdraw it" in text
    assert address("approval_approve", proposed.pk) not in text


def test_the_maker_cannot_approve_by_sending_the_form_anyway(books: Books, proposed: ApprovalRequest) -> None:
    assert books.client("alice").post(address("approval_approve", proposed.pk)).status_code in {302, 403}
    proposed.refresh_from_db()
    assert proposed.status == RequestStatus.PENDING


def test_approving_carries_it_out_once(books: Books, proposed: ApprovalRequest) -> None:
    client = books.client("bob")
    client.post(address("approval_approve", proposed.pk), {"note": "agreed"})
    again = client.post(address("approval_approve", proposed.pk), {"note": "agreed"}, follow=True)
    proposed.refresh_from_db()
    assert (proposed.status, proposed.checker.username) == (RequestStatus.EXECUTED, "bob")
    assert "already decided" in text_of(again)
    assert CaseAction.objects.filter(approval=proposed, voucher_id__isnull=False).count() == 1


def test_a_case_that_moved_on_since_is_not_approved(books: Books, proposed: ApprovalRequest) -> None:
    case = Discrepancy.objects.get(pk=int(proposed.target_id))
    case_note(case_id=case.pk, user=books.user("alice"), note="A note alone changes nothing.")
    Discrepancy.objects.filter(pk=case.pk).update(evidence={**case.evidence, "run": 999})
    response = books.client("bob").post(address("approval_approve", proposed.pk), follow=True)
    assert "changed" in text_of(response)
    proposed.refresh_from_db()
    assert proposed.status == RequestStatus.PENDING


def test_rejecting_gives_the_case_back_with_the_note(books: Books, proposed: ApprovalRequest, read: Read) -> None:
    books.client("bob").post(address("approval_reject", proposed.pk), {"note": "Ask the merchant first."})
    case = Discrepancy.objects.get(pk=int(proposed.target_id))
    assert case.state == "open"
    assert "Ask the merchant first." in read("alice", "case_detail", case.pk)


def test_the_maker_withdraws(books: Books, proposed: ApprovalRequest) -> None:
    books.client("alice").post(address("approval_withdraw", proposed.pk), {"note": "typo"})
    proposed.refresh_from_db()
    assert proposed.status == RequestStatus.WITHDRAWN


def test_the_auditor_reads_the_frozen_payload_and_decides_nothing(
    books: Books, proposed: ApprovalRequest, read: Read
) -> None:
    assert "Frozen payload" in read("carol", "approval", proposed.pk)
    assert books.client("carol").post(address("approval_approve", proposed.pk)).status_code == 403
    proposed.refresh_from_db()
    assert proposed.status == RequestStatus.PENDING


def test_finance_approve_the_payouts_of_the_day(books: Books, read: Read) -> None:
    batch = PayoutBatch.objects.get(state="pending")
    text = read("bob", "approval", batch.approval_id)
    assert f"{batch.amount / 100:,.2f}" in text
    books.client("bob").post(address("approval_approve", batch.approval_id))
    batch.refresh_from_db()
    assert batch.state == "approved"
    assert set(Payout.objects.filter(batch=batch).values_list("state", flat=True)) == {"approved"}


def test_an_unknown_filter_value_is_said_and_shows_nothing(books: Books) -> None:
    response = books.client("bob").get(address("approval_list", status="maybe"))
    assert response.status_code == 200
    assert "c-error" in text_of(response)
