"""Pages of posting rules: versions with their differences, what is missing, writing and trying a new version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from payops.accounts import services
from payops.accounts.models import PostingRule, Voucher
from payops.accounts.selectors import open_day
from payops.approvals.models import ApprovalRequest
from tests.console.conftest import MON, Books, address

Read = Callable[..., str]
CLEARING = [
    ("D", "2202.01", "merchant", "A - X"),
    ("C", "2202.02", "merchant", "A - X - F"),
    ("C", "6301.01", "institution", "F"),
]


def later(days: int = 30) -> str:
    return (open_day() + dt.timedelta(days=days)).isoformat()


def send(books: Books, lines: Any = CLEARING, event: int = 401, **data: Any) -> Any:
    names = ("side", "subject", "owner", "amount")
    values = {name: [line[n] for line in lines] for n, name in enumerate(names)}
    return books.client("alice").post(
        address("posting_rule_new", event), {"effective_day": later(), "reason": "audit", **values, **data}
    )


def test_every_event_has_its_rule_and_nothing_is_missing(read: Read) -> None:
    text = read("carol", "posting_rule_list")
    assert "2202.02 A - X - F" in text
    assert "Events without a rule" not in text
    assert "Owners without an account" not in text


def test_an_account_that_a_rule_needs_is_missed_on_the_page(read: Read, books: Books) -> None:
    services.account_open(subject_code="100201", owner_kind="bank", owner_no="NEWBANK")
    text = read("carol", "posting_rule_list")
    assert "Owners without an account that a rule needs" in text
    assert address("owner", "bank", "NEWBANK") in text


def test_the_form_begins_with_the_lines_in_force(books: Books) -> None:
    page = books.client("alice").get(address("posting_rule_new", 401)).context
    assert [row.amount for row in page["rows"]][:3] == ["A - X", "A - X - F", "F"]
    assert page["form"].initial["effective_day"] > open_day()


def test_a_version_is_tried_on_the_latest_voucher(books: Books) -> None:
    response = send(books, **{"try": ""})
    difference, preview = response.context["tables"]
    assert [row[1].text for row in difference.rows][2:] == ["C 6021.01 institution F", "C 6301.01 institution F"]
    voucher = Voucher.objects.for_days(MON, open_day()).filter(event=401).order_by("-id").first()
    assert str(voucher.pk) in str(preview.title)
    now, new = preview.rows[-1][0].text, preview.rows[-1][3].text
    assert (now[:7], new[:7]) == ("6021.01", "6301.01")
    assert not ApprovalRequest.objects.filter(action="ledger.posting_rule").exists()


def test_a_version_is_tried_on_amounts_typed_in(books: Books) -> None:
    response = send(books, amounts="A=100.00 X=0 F=0.60", **{"try": ""})
    preview = response.context["tables"][1]
    assert [row[4].text or row[5].text for row in preview.rows] == ["100.00", "99.40", "0.60"]


@pytest.mark.parametrize("amounts", ["A=x", "A=1.005", "=3", "100"])
def test_amounts_that_are_none_are_answered_in_words(books: Books, amounts: str) -> None:
    response = send(books, amounts=amounts, **{"try": ""})
    assert response.status_code == 400
    assert response.context["trouble"]


def test_each_error_stands_at_its_line(books: Books) -> None:
    lines = [CLEARING[0], ("C", "2202", "merchant", "A - X - F"), ("C", "6301.01", "institution", "F * 2")]
    response = send(books, lines, propose="")
    assert response.status_code == 400
    assert [bool(row.error) for row in response.context["rows"]][:3] == [False, True, True]


def test_lines_that_do_not_balance_are_refused_with_the_rest(books: Books) -> None:
    response = send(books, CLEARING[:2], propose="")
    assert response.status_code == 400
    assert "+1·F" in response.context["trouble"]


def test_a_version_is_proposed_and_books_when_another_person_approved(books: Books, read: Read) -> None:
    send(books, propose="")
    request = ApprovalRequest.objects.get(action="ledger.posting_rule")
    text = read("bob", "approval", request.pk)
    assert "C 6301.01 institution F" in text
    assert "C 6021.01 institution F" in text
    books.client("bob").post(address("approval_approve", request.pk))
    rule = PostingRule.objects.get(event=401, version=2)
    page = read("carol", "posting_rule", rule.pk)
    assert "What version 2 changed" in page
    assert "a newer one waits" in read("carol", "posting_rule_list")


def test_a_day_that_has_begun_is_refused(books: Books) -> None:
    response = send(books, propose="", effective_day=open_day().isoformat())
    assert response.status_code == 400
    assert "has begun" in response.context["trouble"]


@pytest.mark.parametrize("event", [901, 7])
def test_an_event_without_rules_has_no_form(books: Books, event: int) -> None:
    assert books.client("alice").get(f"/console/ledger/posting-rules/event/{event}/new/").status_code == 404


def test_only_who_may_propose_is_offered_it(read: Read, books: Books) -> None:
    rule = PostingRule.objects.filter(event=401).first()
    assert address("posting_rule_new", 401) in read("alice", "posting_rule", rule.pk)
    assert address("posting_rule_new", 401) not in read("bob", "posting_rule", rule.pk)
