"""The register of freezes, the slip, placing and releasing by two people, and deductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payops.accounts.models import Freeze
from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from tests.console import configuration
from tests.console.conftest import Books, address, text_of

Read = Callable[..., str]


def send(books: Books, name: str, *args: Any, **data: Any) -> Any:
    return books.client("alice").post(address(name, *args), data)


def approve(books: Books) -> None:
    request_approve(
        request_id=ApprovalRequest.objects.get(status="pending", action="ledger.freeze").pk, checker=books.user("bob")
    )


def test_the_register_shows_slips_in_force(books: Books, read: Read) -> None:
    slip = configuration.freeze()
    text = read("carol", "freeze_list")
    assert address("freeze", slip.pk) in text
    assert address("account", slip.account_id) in text
    assert "123.45" in text
    assert "100.00" in text
    assert address("freeze", slip.pk) not in read("carol", "freeze_list", state="released")


def test_the_register_is_narrowed_and_downloaded(books: Books, read: Read) -> None:
    slip = configuration.freeze()
    assert address("freeze", slip.pk) not in read("carol", "freeze_list", source_kind="dispute")
    assert address("freeze", slip.pk) in read("carol", "freeze_list", owner_no=slip.account.owner_no)
    csv = text_of(books.client("carol").get(address("freeze_list", export="csv")))
    assert "Order of the court" in csv


def test_a_slip_shows_its_releases_with_who_and_why(read: Read, books: Books) -> None:
    text = read("carol", "freeze", configuration.freeze().pk)
    assert "Partly lifted" in text
    assert "23.45" in text


def test_a_slip_is_placed_from_the_accounts_page(books: Books, read: Read) -> None:
    account = configuration.settlement()
    assert address("freeze_new", account.pk) in read("alice", "account", account.pk)
    assert address("freeze_new", account.pk) not in read("bob", "account", account.pk)
    send(
        books,
        "freeze_new",
        account.pk,
        amount="1,000,000.00",
        source_kind="court_order",
        source_id="(2026) 7",
        reason="c",
    )
    assert not Freeze.objects.filter(account=account).exists()
    request_approve(request_id=ApprovalRequest.objects.get(action="ledger.freeze").pk, checker=books.user("bob"))
    assert Freeze.objects.get(account=account).amount == 100_000_000
    assert "1,000,000.00" in read("carol", "account", account.pk)


def test_a_slip_is_released_in_part(books: Books) -> None:
    slip = configuration.freeze()
    send(books, "freeze_release", slip.pk, amount="40.00", reason="partly")
    approve(books)
    slip.refresh_from_db()
    assert slip.remaining == 6_000


def test_a_slip_is_released_whole_when_no_amount_is_written(books: Books) -> None:
    slip = configuration.freeze()
    send(books, "freeze_release", slip.pk, amount="", reason="lifted")
    approve(books)
    slip.refresh_from_db()
    assert slip.remaining == 0


@pytest.mark.parametrize("amount", ["", "abc", "0", "-5", "1.005"])
def test_an_amount_that_is_none_is_answered_on_the_form(books: Books, amount: str) -> None:
    account = configuration.settlement()
    response = send(
        books, "freeze_new", account.pk, amount=amount, source_kind="court_order", source_id="1", reason="r"
    )
    assert response.status_code == 400
    assert 'class="c-error"' in response.content.decode()


def test_more_than_is_frozen_is_answered_on_the_form(books: Books) -> None:
    response = send(books, "freeze_release", configuration.freeze().pk, amount="100.01", reason="r")
    assert response.status_code == 400
    assert "100.00" in response.content.decode()


def test_a_deduction_shows_what_is_still_owed_and_its_vouchers(books: Books, read: Read) -> None:
    deduction = configuration.deduction()
    text = read("carol", "deduction_list", state="short")
    assert address("freeze", deduction.freeze_id) in text
    assert address("freeze", deduction.freeze_id) not in read("carol", "deduction_list", state="collected")
    page = read("alice", "freeze", deduction.freeze_id)
    assert "Collected of this deduction" in page
    assert address("freeze_release", deduction.freeze_id) not in page


def test_the_voucher_of_a_part_leads_to_its_slip(books: Books, read: Read) -> None:
    deduction = configuration.deduction()
    part = deduction.parts.first()
    if part is None:
        pytest.skip("the merchant has nothing on its settlement account")
    assert address("freeze", deduction.freeze_id) in read("carol", "voucher", part.voucher_id)


def test_the_register_costs_the_same_queries_however_long(books: Books, django_assert_num_queries: Any) -> None:
    for _n in range(3):
        configuration.freeze()
    client = books.client("carol")
    with django_assert_num_queries(3):
        client.get(address("freeze_list"))
