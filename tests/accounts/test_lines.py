"""Vouchers booked by their own lines: the second door has the same locks, keys and guards as the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payops.accounts.choices import Event
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.models import Account, Entry, Voucher
from payops.accounts.selectors import voucher_entries
from payops.accounts.services import account_status_set
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY as DAY

pytestmark = pytest.mark.django_db


def number(subject: str, owner_no: str = "") -> str:
    """The account's number."""
    return Account.objects.get(subject__code=subject, owner_no=owner_no, currency="CNY").account_no


@pytest.fixture
def book(ledger: Any) -> Callable[..., Voucher]:
    """``book(("660301", "", "D", 500), …)`` by hand; source numbers count up."""

    def make(*lines: tuple[str, str, str, int], source_id: int = 1) -> Voucher:
        rows = [RawLine(number(subject, owner), side, amount) for subject, owner, side, amount in lines]
        return post_lines(LinesPosting(Event.MANUAL, "manual_voucher", source_id, rows, DAY), posted_by="alice")

    return make


def test_bank_charge_debits_bank_charges_and_credits_the_reserve(book: Callable[..., Voucher]) -> None:
    voucher = book(("660301", "", "D", 500), ("100201", "R1", "C", 500))
    assert [(e.side, e.amount, e.balance_after) for e in voucher_entries(voucher.pk)] == [
        ("D", 500, 500),
        ("C", 500, -500),
    ]
    assert Account.objects.get(account_no=number("100201", "R1")).balance == -500


def test_red_lines_are_negative_on_the_same_side(book: Callable[..., Voucher]) -> None:
    book(("660301", "", "D", 500), ("100201", "R1", "C", 500))
    voucher = book(("660301", "", "D", -500), ("100201", "R1", "C", -500), source_id=2)
    assert [e.amount for e in voucher_entries(voucher.pk)] == [-500, -500]
    assert Account.objects.get(account_no=number("660301")).balance == 0


def test_lines_of_one_side_balance_when_red_and_blue_cancel(book: Callable[..., Voucher]) -> None:
    voucher = book(("220202", "M-A", "C", -100), ("220202", "M-B", "C", 100))
    assert voucher.line_count == 2


def test_lines_that_do_not_balance_are_refused_and_leave_nothing(book: Callable[..., Voucher]) -> None:
    with pytest.raises(PayopsError) as refused:
        book(("660301", "", "D", 500), ("100201", "R1", "C", 499))
    assert refused.value.code == "ledger.unbalanced"
    assert not Entry.objects.for_days(DAY, DAY).exists()


def test_the_same_document_is_booked_once(book: Callable[..., Voucher]) -> None:
    voucher = book(("660301", "", "D", 500), ("100201", "R1", "C", 500))
    with pytest.raises(PayopsError) as refused:
        book(("660301", "", "D", 500), ("100201", "R1", "C", 500))
    assert (refused.value.code, refused.value.context["voucher_id"]) == ("ledger.already_posted", voucher.pk)


@pytest.mark.parametrize("lines", [(), (("660301", "", "D", 0),)])
def test_a_voucher_without_lines_or_with_a_line_of_zero_is_refused(book: Callable[..., Voucher], lines: Any) -> None:
    with pytest.raises(PayopsError) as refused:
        book(*lines)
    assert refused.value.code == "ledger.no_lines"


def test_an_account_nobody_opened_is_named(ledger: Any) -> None:
    with pytest.raises(PayopsError, match="220202-NOBODY"):
        post_lines(LinesPosting(Event.MANUAL, "manual_voucher", 1, [RawLine("220202-NOBODY", "C", 1)], DAY))


def test_a_closed_account_takes_no_lines(book: Callable[..., Voucher]) -> None:
    account_status_set(account=Account.objects.get(account_no=number("220202", "M-B")), status="closed")
    with pytest.raises(PayopsError) as refused:
        book(("220202", "M-A", "C", -100), ("220202", "M-B", "C", 100))
    assert refused.value.code == "ledger.account_closed"


def test_an_event_that_has_a_rule_has_no_lines_of_its_own(ledger: Any) -> None:
    with pytest.raises(ValueError, match="posting rule"):
        post_lines(LinesPosting(Event.PAYMENT, "x", 1, [RawLine("x", "C", 1)], DAY))
