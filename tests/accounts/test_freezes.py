"""Freeze slips: placed and released by two people, in parts, each with who and why; and what the database refuses."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from payops.accounts import services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.models import Account, Freeze, FreezeRelease
from payops.approvals.services import request_approve, request_reject
from payops.core.errors import PayopsError
from tests.accounts.conftest import Book
from tests.accounts.test_guards import refused, run


def settlement() -> Account:
    return Account.objects.get(account_no="220202-M-A")


def place(amount: int = 100) -> Freeze:
    return services.freeze_place(
        account=settlement(),
        amount=amount,
        reason="court",
        source_kind="court_order",
        source_id="7",
        created_by="alice",
    )


def propose(maker: Any, amount: int = 300, reason: str = "Court order") -> Any:
    return services.freeze_propose(
        account=settlement(), amount=amount, reason=reason, source_kind="court_order", source_id="(2026) 7", maker=maker
    )


def code_of(call: Any) -> str:
    with pytest.raises(PayopsError) as caught:
        call()
    return caught.value.code


# --- two people ---


def test_a_slip_is_placed_when_another_person_approves(book: Book, alice: Any, bob: Any) -> None:
    book(Event.TOPUP, A=100)
    request = propose(alice)
    assert settlement().frozen == 0
    request_approve(request_id=request.pk, checker=bob)
    slip = Freeze.objects.get()
    assert (slip.amount, slip.source_kind, slip.source_id, slip.created_by) == (300, "court_order", "(2026) 7", "alice")
    assert settlement().available == -200


def test_a_rejected_slip_freezes_nothing(ledger: dt.date, alice: Any, bob: Any) -> None:
    request_reject(request_id=propose(alice).pk, checker=bob, note="no")
    assert not Freeze.objects.exists()


def test_a_slip_is_released_in_parts_each_by_two_people(ledger: dt.date, alice: Any, bob: Any) -> None:
    slip = place()
    for amount, reason in ((40, "partly lifted"), (None, "lifted")):
        slip.refresh_from_db()
        request = services.release_propose(freeze=slip, amount=amount, reason=reason, maker=alice)
        request_approve(request_id=request.pk, checker=bob)
    assert list(slip.releases.values_list("amount", "reason", "released_by")) == [
        (40, "partly lifted", "alice"),
        (60, "lifted", "alice"),
    ]
    assert settlement().frozen == 0


def test_a_slip_released_meanwhile_makes_the_proposal_stale(ledger: dt.date, alice: Any, bob: Any) -> None:
    slip = place()
    request = services.release_propose(freeze=slip, amount=100, reason="lifted", maker=alice)
    services.freeze_release(freeze=slip, amount=10, reason="partly", released_by="bob")
    assert code_of(lambda: request_approve(request_id=request.pk, checker=bob)) == "approvals.target_changed"


@pytest.mark.parametrize("amount", [0, -1, 101])
def test_no_more_is_released_than_is_frozen(ledger: dt.date, alice: Any, amount: int) -> None:
    slip = place()
    assert (
        code_of(lambda: services.release_propose(freeze=slip, amount=amount, reason="r", maker=alice))
        == "freeze.amount"
    )


@pytest.mark.parametrize("amount", [0, -1])
def test_a_slip_is_over_something(ledger: dt.date, alice: Any, amount: int) -> None:
    assert code_of(lambda: propose(alice, amount)) == "freeze.amount"


def test_nothing_is_frozen_on_a_closed_account(ledger: dt.date) -> None:
    services.account_status_set(account=settlement(), status=AccountStatus.CLOSED)
    assert code_of(place) == "ledger.account_closed"


def test_a_slip_says_why(ledger: dt.date, alice: Any) -> None:
    assert code_of(lambda: propose(alice, reason=" ")) == "freeze.reason_missing"


def test_a_large_slip_is_decided_on_the_second_tier(ledger: dt.date, alice: Any) -> None:
    assert propose(alice, 5_000_000).tier == 1
    assert (
        services.freeze_propose(
            account=Account.objects.get(account_no="220202-M-B"),
            amount=5_000_001,
            reason="r",
            source_kind="court_order",
            source_id="8",
            maker=alice,
        ).tier
        == 2
    )


# --- what the database refuses ---


def test_what_is_frozen_is_the_sum_of_the_slips(ledger: dt.date) -> None:
    place()
    with refused("PL010"):
        run("UPDATE accounts_account SET frozen = 0 WHERE account_no = '220202-M-A'")
    with refused("PL010"):
        run("UPDATE accounts_account SET frozen = 101 WHERE account_no = '220202-M-A'")


def test_a_slip_freezes_by_being_there(ledger: dt.date) -> None:
    run(
        "INSERT INTO accounts_freeze (account_id, amount, remaining, reason, source_kind, source_id, created_by,"
        " created_at) SELECT id, 70, 70, '', '', '', 'x', now() FROM accounts_account WHERE account_no = '220202-M-A'"
    )
    assert settlement().frozen == 70


def test_a_slip_begins_whole(ledger: dt.date) -> None:
    with refused("PL010"):
        run(
            "INSERT INTO accounts_freeze (account_id, amount, remaining, reason, source_kind, source_id, created_by,"
            " created_at) SELECT id, 70, 1, '', '', '', 'x', now() FROM accounts_account LIMIT 1"
        )


def test_a_slip_is_released_only_by_a_row_that_says_by_whom(ledger: dt.date) -> None:
    place()
    with refused("PL010"):
        run("UPDATE accounts_freeze SET remaining = 60")


def test_more_than_is_frozen_is_never_released(ledger: dt.date) -> None:
    slip = place()
    with refused("23514"):
        run(
            "INSERT INTO accounts_freezerelease (freeze_id, amount, reason, released_by, released_at)"
            " VALUES (%s, 101, '', 'x', now())",
            slip.pk,
        )


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_freezerelease SET amount = 1", "DELETE FROM accounts_freezerelease"]
)
def test_a_release_stays(ledger: dt.date, statement: str) -> None:
    services.freeze_release(freeze=place(), amount=40)
    assert FreezeRelease.objects.count() == 1
    with refused("23001"):
        run(statement)
