"""Suspense and money in flight are never moved by hand: by no correction of a line, by no manual voucher (DOMAIN 8)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from payops.accounts import corrections, manual, services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.corrections import RightLine, correction_propose
from payops.accounts.models import Account, Voucher
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, Book
from tests.accounts.documents import approve, line, move

# What a voucher booked on the register, the line that stands on it, and where somebody would like to have it.
BY_HAND = [
    pytest.param(Event.SURPLUS_FOUND, "D", "224101-wx", "630101", id="surplus into income"),
    pytest.param(Event.SURPLUS_FOUND, "D", "224101-wx", "224101-up", id="surplus to another channel"),
    pytest.param(Event.SHORTAGE_FOUND, "D", "122101-wx", "671101", id="shortage into losses"),
    pytest.param(Event.REFUND_ACCEPTED_PENDING, "A", "220203-M-A", "220202-M-A", id="refund in flight"),
    pytest.param(Event.PAYOUT_SUBMITTED, "P", "224102-M-A", "224102-M-B", id="payout in flight"),
    pytest.param(Event.PAYMENT, "A", "220201-M-A", "224101-wx", id="pending into suspense"),
    pytest.param(Event.PAYMENT, "A", "300101-wx", "100201-B-R1", id="pending clearing into the bank"),
]


def code_of(action: Callable[[], Any]) -> str:
    with pytest.raises(PayopsError) as caught:
        action()
    return caught.value.code


def booked(book: Book, event: Event, variable: str) -> Voucher:
    voucher = services.post(book.posting(event, **{variable: 800}))
    assert voucher
    return voucher


@pytest.mark.parametrize(("event", "variable", "wrong", "right"), BY_HAND)
def test_a_correction_of_a_line_moves_nothing_onto_or_off_a_register(
    book: Book, alice: Any, event: Event, variable: str, wrong: str, right: str
) -> None:
    voucher = booked(book, event, variable)
    assert code_of(lambda: move(voucher, wrong, right, alice)) == "corrections.registered"


@pytest.mark.parametrize(("event", "variable", "wrong", "right"), BY_HAND)
def test_the_database_refuses_it_past_the_service(
    book: Book,
    alice: Any,
    bob: Any,
    monkeypatch: pytest.MonkeyPatch,
    event: Event,
    variable: str,
    wrong: str,
    right: str,
) -> None:
    voucher = booked(book, event, variable)
    monkeypatch.setattr(corrections, "_refuse_registered", lambda _accounts: None)
    correction = move(voucher, wrong, right, alice)
    assert code_of(lambda: approve(correction, bob)) == "corrections.registered"


def test_one_register_line_among_right_ones_is_refused(book: Book, alice: Any) -> None:
    voucher = booked(book, Event.PAYMENT, "A")
    assert (
        code_of(
            lambda: correction_propose(
                voucher_id=voucher.pk,
                entry_ids=[line(voucher, "220201-M-A").pk],
                right=[RightLine("220201-M-B", 700), RightLine("224101-wx", 100)],
                user=alice,
                reason="Split.",
            )
        )
        == "corrections.registered"
    )


def test_a_payment_of_another_channel_moves_between_their_pending_clearing(book: Book, alice: Any, bob: Any) -> None:
    voucher = booked(book, Event.PAYMENT, "A")
    assert approve(move(voucher, "300101-wx", "300101-up", alice), bob).state == "booked"


def test_a_whole_voucher_on_a_register_is_reversed(book: Book, alice: Any, bob: Any, balance: Any) -> None:
    voucher = booked(book, Event.SURPLUS_FOUND, "D")
    approve(correction_propose(voucher_id=voucher.pk, user=alice, reason="Found twice.", whole=True), bob)
    assert balance("2241.01", "wx") == balance("3001.01", "wx") == 0


def test_the_database_refuses_a_manual_voucher_on_a_register_past_the_service(
    ledger: dt.date, alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manual, "KEPT_BY_REGISTERS", ())
    lines = [manual.ManualLine("224101-wx", "D", 500), manual.ManualLine("630101", "C", 500)]
    draft = manual.ManualDraft("Surplus", MONDAY, lines)
    document = manual.manual_voucher_propose(draft=draft, user=alice)
    assert code_of(lambda: approve(document, bob)) == "corrections.registered"


# --- instructions on merchants' other money ---


def test_a_deposit_is_not_released_beyond_what_was_taken(book: Book) -> None:
    book(Event.DEPOSIT_TAKEN, P=500)
    release = book.posting(Event.DEPOSIT_RELEASED, P=501)
    assert code_of(lambda: services.post(release, instruction=True)) == "ledger.insufficient"


def test_a_deposit_under_judicial_freeze_is_not_released(book: Book) -> None:
    book(Event.DEPOSIT_TAKEN, P=500)
    deposit = Account.objects.get(account_no="220301-M-A")
    services.account_status_set(account=deposit, status=AccountStatus.JUDICIAL)
    release = book.posting(Event.DEPOSIT_RELEASED, P=500)
    assert code_of(lambda: services.post(release, instruction=True)) == "ledger.restricted"
