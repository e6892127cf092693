"""The chart's pages: the tree, its files, taking one over, accounts by owner, the status of an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile

from payops.accounts import services
from payops.accounts.chart_files import FORMATS, chart_export
from payops.accounts.models import Account, Subject
from payops.accounts.selectors import subject_balance
from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.core.formatting import money
from payops.core.models import AuditLog
from tests.console import configuration
from tests.console.conftest import Books, address, read_out

Read = Callable[..., str]
NEW = {
    "code": "2241.77", "name": "Coupons", "name_zh": "优惠券", "element": "liability", "side": "C", "erp_code": "E-77",
}  # fmt: skip


def send(books: Books, username: str, name: str, *args: Any, **data: Any) -> Any:
    return books.client(username).post(address(name, *args), data)


def upload(*rows: dict[str, str], name: str = "chart.yaml") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, yaml.safe_dump(list(rows), allow_unicode=True).encode())


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_every_subject_stands_in_the_tree_with_its_balance(books: Books) -> None:
    (table,) = books.client("carol").get(address("chart")).context["tables"]
    rows = {row[0].text.strip().replace(".", ""): row for row in table.rows}
    assert set(rows) == set(Subject.objects.values_list("code", flat=True))
    for code in ("2202", "220202", "1002"):
        assert rows[code][2].text == money(subject_balance(code)), code


def test_a_leaf_leads_to_its_accounts_and_the_others_to_what_is_below(books: Books) -> None:
    (table,) = books.client("carol").get(address("chart")).context["tables"]
    urls = {row[0].text.strip(): row[0].url for row in table.rows}
    assert urls["2202.02"] == address("account_list", subject="220202")
    assert urls["2202"] == address("trial_balance", within="2202")


@pytest.mark.parametrize("file_format", sorted(FORMATS))
def test_the_chart_is_downloaded_as_a_file_and_logged(books: Books, file_format: str) -> None:
    response = read_out(books.client("carol").get(address("chart_export", file_format)))
    assert response.content_read == chart_export(file_format)
    assert AuditLog.objects.filter(action="console.downloaded", object_kind="chart").exists()


# --- taking over a file -----------------------------------------------------------------------------------------------


def test_a_file_is_compared_before_it_is_proposed(books: Books) -> None:
    response = send(books, "alice", "chart_import", file=upload(NEW), compare="")
    assert [row[0].text for row in response.context["tables"][0].rows] == ["2241.77"]
    assert not ApprovalRequest.objects.filter(action="ledger.chart").exists()


def test_a_file_is_proposed_and_the_checker_sees_the_differences(books: Books, read: Read) -> None:
    send(books, "alice", "chart_import", file=upload(NEW), reason="coupons", propose="")
    request = ApprovalRequest.objects.get(action="ledger.chart")
    text = read("bob", "approval", request.pk)
    assert "+ 2241.77" in text
    assert "Coupons" in text
    send(books, "bob", "approval_approve", request.pk)
    assert Subject.objects.get(code="224177").erp_code == "E-77"


def test_errors_are_listed_row_by_row(books: Books) -> None:
    response = send(books, "alice", "chart_import", file=upload(NEW, {**NEW, "code": "2299.01"}), propose="")
    assert response.status_code == 400
    (table,) = response.context["tables"]
    assert [(row[0].text, row[1].text) for row in table.rows] == [("2", "2299.01")]


def test_a_file_that_is_no_chart_is_answered_in_words(books: Books) -> None:
    response = send(books, "alice", "chart_import", file=SimpleUploadedFile("x.xlsx", b"\x00\x01"), compare="")
    assert response.status_code == 400
    assert "cannot be read as a chart" in response.content.decode()


# --- accounts by owner ------------------------------------------------------------------------------------------------


def test_opening_rules_are_shown_and_nothing_is_missing(read: Read) -> None:
    text = read("carol", "owner_list")
    assert "Every owner has its accounts." in text
    assert "2202.02" in text


def half_an_owner() -> None:
    services.account_open(subject_code="220201", owner_kind="merchant", owner_no="M-HALF")


def test_what_an_owner_lacks_is_shown_and_opened(books: Books, read: Read) -> None:
    half_an_owner()
    assert address("owner", "merchant", "M-HALF") in read("carol", "owner_list")
    assert "Open what is missing" in read("alice", "owner", "merchant", "M-HALF")
    send(books, "alice", "owner_open", "merchant", "M-HALF")
    assert Account.objects.filter(owner_no="M-HALF").count() == len(services.open_merchant_accounts("M-HALF"))


def test_what_stands_in_the_way_of_closing_is_listed(books: Books, read: Read) -> None:
    owner_no = next(each.owner_no for each in Account.objects.filter(subject__code="220202", balance__gt=0))
    text = read("alice", "owner_close", "merchant", owner_no)
    assert f"220202-{owner_no}" in text
    response = send(books, "alice", "owner_close", "merchant", owner_no, reason="left")
    assert response.status_code == 400
    assert "closed all together or not at all" in response.content.decode()


def test_an_owners_accounts_are_closed_by_two_people(books: Books, read: Read) -> None:
    half_an_owner()
    send(books, "alice", "owner_close", "merchant", "M-HALF", reason="left")
    request = ApprovalRequest.objects.get(action="ledger.account_status")
    assert "220201-M-HALF" in read("bob", "approval", request.pk)
    request_approve(request_id=request.pk, checker=books.user("bob"))
    assert "Open what is missing" not in read("alice", "owner", "merchant", "M-HALF")


def test_the_institution_has_a_page_too(read: Read) -> None:
    assert "6021.01" in read("carol", "owner", "institution", "-")


# --- status and freezes of a customer ---------------------------------------------------------------------------------


def test_a_status_is_proposed_on_the_accounts_page_and_shown_with_its_history(books: Books, read: Read) -> None:
    account = configuration.settlement()
    data = {"status": "stopped", "reason": "Letter of the police", "source": "PL-9"}
    send(books, "alice", "account_status", account.pk, **data)
    request = ApprovalRequest.objects.get(action="ledger.account_status")
    request_approve(request_id=request.pk, checker=books.user("bob"))
    text = read("carol", "account", account.pk)
    assert "History of the status" in text
    assert "Letter of the police" in text
    assert address("approval", request.pk) in text


def test_the_status_it_has_is_answered_on_the_form(books: Books) -> None:
    account = configuration.settlement()
    response = send(books, "alice", "account_status", account.pk, status="normal", reason="r")
    assert response.status_code == 400
    assert "already is" in response.content.decode()


def test_a_customer_is_frozen_and_freed_from_its_merchants_page(books: Books, read: Read) -> None:
    merchant_no = configuration.settlement().owner_no
    assert address("customer_freeze_new", merchant_no) in read("alice", "merchant", merchant_no)
    data = {"status": "judicial", "document": "(2026) 8", "reason": "court"}
    send(books, "alice", "customer_freeze_new", merchant_no, **data)
    request = ApprovalRequest.objects.get(action="merchants.customer_freeze")
    request_approve(request_id=request.pk, checker=books.user("bob"))
    text = read("alice", "merchant", merchant_no)
    assert "(2026) 8" in text
    order = request.__class__.objects.get(pk=request.pk).result["freeze"]
    assert address("customer_freeze_lift", order) in text
    assert configuration.settlement().status == "judicial"
    send(books, "alice", "customer_freeze_lift", order, reason="lifted")
    request = ApprovalRequest.objects.filter(action="merchants.customer_freeze").latest("pk")
    request_approve(request_id=request.pk, checker=books.user("bob"))
    assert configuration.settlement().status == "normal"
