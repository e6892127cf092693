"""Cases in the console: find, look at both sides, propose, and what a second click or a stale page does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.services import request_approve
from payops.discrepancies.choices import ActionKind, CaseState
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.rules import allowed_actions
from payops.discrepancies.selectors import fingerprint
from tests.console.conftest import Books, address, text_of

Read = Callable[..., str]


def a_case(*kinds: str) -> Discrepancy:
    """The first open case that allows one of the actions."""
    for case in Discrepancy.objects.filter(state=CaseState.OPEN).order_by("id"):
        if not kinds or set(kinds) & set(allowed_actions(case)):
            return case
    raise AssertionError(f"no open case allows {kinds}")


def propose(books: Books, case: Discrepancy, kind: str, who: str = "alice", **fields: str):
    """The form of the case's page, sent."""
    data = {"kind": kind, "fingerprint": fingerprint(case), "note": "as agreed", **fields}
    return books.client(who).post(address("case_propose", case.pk), data)


def test_the_list_opens_with_what_is_still_open(books: Books, read: Read) -> None:
    text = read("alice", "case_list")
    for case in Discrepancy.objects.order_by("-id")[:50]:
        assert (address("case_detail", case.pk) in text) == case.is_open


def test_a_case_is_found_by_its_number_whatever_its_state(books: Books, read: Read) -> None:
    case = Discrepancy.objects.exclude(state__in=["open", "investigating", "proposed", "booked"]).first()
    assert case is not None
    assert address("case_detail", case.pk) in read("alice", "case_list", case_no=case.case_no)


def test_the_ageing_report_leads_to_the_cases_of_each_bucket(books: Books, read: Read) -> None:
    text = read("carol", "case_ageing")
    assert "0–1 days" in text
    assert address("case_list", state="open_states", age="0–1") in text.replace("&amp;", "&")


def test_a_case_shows_both_sides_and_links_to_them(books: Books, read: Read) -> None:
    case = Discrepancy.objects.filter(transaction_id__isnull=False, bill_line_id__isnull=False).first()
    assert case is not None
    text = read("alice", "case_detail", case.pk)
    assert address("transaction", case.transaction_id) in text
    assert address("bill_line", case.bill_line_id) in text
    assert case.evidence["own"]["match_key"] in text


def test_what_differs_between_the_sides_stands_out(books: Books, read: Read) -> None:
    case = Discrepancy.objects.filter(kind="amount_mismatch").first()
    assert case is not None
    assert "c-differs" in read("alice", "case_detail", case.pk)


def test_only_who_may_propose_is_offered_the_form(books: Books, read: Read) -> None:
    case = a_case()
    assert "Propose an action" in read("alice", "case_detail", case.pk)
    assert "Propose an action" not in read("bob", "case_detail", case.pk)
    assert "Propose an action" not in read("carol", "case_detail", case.pk)


def test_operations_propose_finance_approve_and_the_case_closes(books: Books, read: Read) -> None:
    case = a_case("loss")
    assert propose(books, case, "loss").url == address("case_detail", case.pk)
    action = CaseAction.objects.get(case=case)
    assert "Look and decide" in read("bob", "case_detail", case.pk)
    books.client("bob").post(address("approval_approve", action.approval_id), {"note": "agreed"})
    case.refresh_from_db()
    action.refresh_from_db()
    assert (case.state, case.suspense, action.state) == (CaseState.CLOSED, 0, "booked")
    assert str(action.voucher_id) in read("carol", "case_detail", case.pk)


def test_a_double_click_proposes_once(books: Books) -> None:
    case = a_case("loss")
    propose(books, case, "loss")
    propose(books, case, "loss")
    assert CaseAction.objects.filter(case=case).count() == 1


def test_a_stale_page_proposes_nothing_and_says_so(books: Books) -> None:
    case = a_case("loss")
    client = books.client("alice")
    data = {"kind": "loss", "fingerprint": "0" * 64, "note": "as agreed"}
    response = client.post(address("case_propose", case.pk), data, follow=True)
    assert "has changed since you opened the page" in text_of(response)
    assert not CaseAction.objects.filter(case=case).exists()


def test_a_loss_without_a_reason_is_refused(books: Books) -> None:
    case = a_case("loss")
    client = books.client("alice")
    data = {"kind": "loss", "fingerprint": fingerprint(case), "note": " "}
    response = client.post(address("case_propose", case.pk), data, follow=True)
    assert "needs a reason" in text_of(response)
    assert not CaseAction.objects.filter(case=case).exists()


def test_a_merchant_that_does_not_exist_is_named(books: Books) -> None:
    case = a_case("supplement")
    client = books.client("alice")
    data = {"kind": "supplement", "fingerprint": fingerprint(case), "merchant_no": "NOBODY", "note": ""}
    assert "NOBODY" in text_of(client.post(address("case_propose", case.pk), data, follow=True))


@pytest.mark.parametrize("days", ["0", "31", "soon"])
def test_an_impossible_number_of_days_to_wait_comes_back_with_the_form(books: Books, days: str) -> None:
    case = a_case()
    response = propose(books, case, "wait", days=days)
    assert response.status_code == 400
    assert "c-error" in text_of(response)


def test_an_action_that_does_not_fit_the_case_is_refused(books: Books) -> None:
    case = a_case("loss")
    assert propose(books, case, "income").status_code == 400
    assert not CaseAction.objects.filter(case=case).exists()


def test_finance_may_not_propose(books: Books) -> None:
    assert propose(books, a_case(), "wait", who="bob").status_code == 403


def test_many_cases_are_proposed_as_one_request_with_their_total(books: Books, read: Read) -> None:
    cases = [
        case
        for case in Discrepancy.objects.filter(state=CaseState.OPEN)
        if ActionKind.INCOME in allowed_actions(case) and case.currency == "CNY"
    ][:3]
    assert len(cases) > 1
    data = {"ids": [case.pk for case in cases], "kind": "income", "note": "legal period over"}
    response = books.client("alice").post(address("case_propose_many"), data)
    request = ApprovalRequest.objects.order_by("-id").first()
    assert response.url == address("approval", request.pk)
    assert request.amount == sum(case.suspense for case in cases)
    assert all(case.case_no in read("bob", "approval", request.pk) for case in cases)


def test_nothing_ticked_is_said_and_proposes_nothing(books: Books) -> None:
    before = ApprovalRequest.objects.count()
    response = books.client("alice").post(address("case_propose_many"), {"kind": "wait"}, follow=True)
    assert "Tick the cases first" in text_of(response)
    assert ApprovalRequest.objects.count() == before


def test_operations_take_a_case_on(books: Books) -> None:
    case = a_case()
    books.client("alice").post(address("case_take", case.pk))
    case.refresh_from_db()
    assert (case.state, case.owner.username) == (CaseState.INVESTIGATING, "alice")


def test_finance_may_leave_a_note_in_the_history(books: Books, read: Read) -> None:
    case = a_case()
    books.client("bob").post(address("case_note", case.pk), {"note": "Called the channel."})
    assert "Called the channel." in read("carol", "case_detail", case.pk)


def test_a_case_with_money_in_suspense_is_not_closed_by_hand(books: Books) -> None:
    case = next(case for case in Discrepancy.objects.filter(state=CaseState.OPEN) if case.suspense)
    response = books.client("alice").post(address("case_close", case.pk), {"note": "fine"}, follow=True)
    assert "still has money in suspense" in text_of(response)
    case.refresh_from_db()
    assert case.state == CaseState.OPEN


def test_a_case_without_suspense_is_closed_for_a_reason(books: Books) -> None:
    case = next((case for case in Discrepancy.objects.filter(state=CaseState.OPEN) if not case.suspense), None)
    assert case is not None
    books.client("alice").post(address("case_close", case.pk), {"note": "The channel confirmed the kind."})
    case.refresh_from_db()
    assert case.state == CaseState.CLOSED


def test_a_payload_is_what_was_approved_even_if_the_request_is_sent_twice(books: Books) -> None:
    case = a_case("loss")
    propose(books, case, "loss")
    request_id = CaseAction.objects.get(case=case).approval_id
    request_approve(request_id=request_id, checker=books.user("bob"))
    response = books.client("bob").post(address("approval_approve", request_id), follow=True)
    assert "already decided" in text_of(response)
    assert ApprovalRequest.objects.get(pk=request_id).status == RequestStatus.EXECUTED


def test_the_list_needs_the_same_few_queries_however_many_cases_there_are(
    books: Books, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = books.client("alice")
    with django_assert_max_num_queries(18):
        client.get(address("case_list", state=""))
