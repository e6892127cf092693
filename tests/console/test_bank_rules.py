"""Bank rules in the console: the list, trying a rule on past lines, proposing it, and lines that wait."""

from __future__ import annotations

from collections.abc import Callable

from django.core.files.uploadedfile import SimpleUploadedFile

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.channels.models import BankAccount, BankLine
from payops.dayend.sample.plan import RESERVE_ACCOUNT
from payops.reconciliation.funds import funds_match
from payops.reconciliation.models import BankRule
from tests.console.configuration import bank_rule
from tests.console.conftest import Books, address, text_of

Read = Callable[..., str]
HEADER = "bank_account,value_date,bank_reference,counterparty,memo,direction,amount,currency,balance\n"


def given(books: Books, memo: str, direction: str = "in") -> BankLine:
    """A line of the open day that nobody has looked at."""
    row = f"{RESERVE_ACCOUNT},2026-11-17,RULE-1,The bank,{memo},{direction},12.34,CNY,\n"
    file = SimpleUploadedFile("statement.csv", (HEADER + row).encode())
    books.client("alice").post(address("receipts_upload"), {"file": file})
    return BankLine.objects.get(reference="RULE-1")


def filled(**changes: object) -> dict[str, object]:
    """The form of a rule for interest."""
    return {
        "bank_account": BankAccount.objects.filter(kind="reserve").order_by("pk").first().code,
        "name": "Interest",
        "priority": "10",
        "direction": "in",
        "memo_pattern": "Interest",
        "kind": "interest",
        "active": "active",
        "reason": "the bank's letter",
        "step": "try",
        **changes,
    }


def test_trying_a_rule_shows_the_lines_it_would_take_and_proposes_nothing(books: Books) -> None:
    line = given(books, "Interest Q3")
    before = ApprovalRequest.objects.count()
    response = books.client("alice").post(address("bank_rule_new"), filled())
    text = text_of(response)
    assert response.status_code == 200
    assert address("bank_line", line.pk) in text
    assert "1 of " in text
    assert ApprovalRequest.objects.count() == before


def test_a_proposed_rule_waits_for_finance_with_what_it_would_change(books: Books, read: Read) -> None:
    given(books, "Interest Q3")
    response = books.client("alice").post(address("bank_rule_new"), filled(step="propose"))
    request = ApprovalRequest.objects.latest("pk")
    assert response.url == address("approval", request.pk)
    assert request.payload["changed"] == 1
    assert address("approval", request.pk) in read("bob", "bank_rule_list")
    request_approve(request_id=request.pk, checker=books.user("bob"))
    assert "Interest" in read("carol", "bank_rule_list")


def test_a_rule_that_cannot_hold_stays_on_its_form_with_the_reason(books: Books) -> None:
    response = books.client("alice").post(address("bank_rule_new"), filled(memo_pattern="("))
    assert response.status_code == 400
    assert "cannot be read" in text_of(response)


def test_a_rule_is_changed_from_what_it_is_now(books: Books, read: Read) -> None:
    rule = bank_rule()
    assert address("bank_rule_change", rule.pk) in read("alice", "bank_rule_list")
    assert 'value="Interest"' in read("alice", "bank_rule_change", rule.pk)


def test_who_proposes_nothing_sees_rules_and_no_way_to_change_them(books: Books, read: Read) -> None:
    rule = bank_rule()
    text = read("carol", "bank_rule_list")
    assert address("bank_rule_change", rule.pk) not in text
    assert address("bank_rule_new") not in text


def test_own_money_is_proposed_from_the_page_of_its_line(books: Books, read: Read) -> None:
    rule = bank_rule()
    BankRule.objects.create(
        bank_account=rule.bank_account, name="Fees", priority=20, direction="out", memo_pattern="FEES",
        kind="carried", made_by="alice", approval_id=1,
    )  # fmt: skip
    line = given(books, "FEES October", "out")
    funds_match()
    assert address("bank_line_own_money", line.pk) in read("alice", "bank_line", line.pk)
    own = BankAccount.objects.filter(kind="own").first()
    books.client("alice").post(
        address("bank_line_own_money", line.pk), {"own_account": own.code, "reason": "as every month"}
    )
    request_approve(request_id=ApprovalRequest.objects.latest("pk").pk, checker=books.user("bob"))
    line.refresh_from_db()
    assert line.state == "matched"
    assert address("voucher", line.voucher_id) in read("carol", "bank_line", line.pk)
