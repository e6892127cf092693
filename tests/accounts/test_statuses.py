"""Statuses of accounts: instructions refused, facts never; history, proposal and approval, orders, closing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from payops.accounts import services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.models import Account, AccountStatusChange, QueuedMovement
from payops.accounts.owners import OPENING_RULES, OwnerGap, owner_missing, owners_lacking
from payops.accounts.statuses import closing_obstacles
from payops.approvals.services import request_approve, request_reject
from payops.core.errors import PayopsError
from tests.accounts.conftest import Book
from tests.accounts.test_guards import refused, run

S = AccountStatus
RESTRICTIONS = [S.NORMAL, S.CREDIT_ONLY, S.DEBIT_ONLY, S.STOPPED, S.JUDICIAL]


def settlement(merchant: str = "M-A") -> Account:
    return Account.objects.get(account_no=f"220202-{merchant}")


def put(account: Account, status: str, **options: Any) -> Account:
    return services.account_status_set(account=account, status=status, reason="letter 7", changed_by="alice", **options)


def code_of(call: Any) -> str:
    with pytest.raises(PayopsError) as caught:
        call()
    return caught.value.code


# --- instructions and facts ---


@pytest.mark.parametrize("status", RESTRICTIONS)
@pytest.mark.parametrize("side", ["debit", "credit"])
def test_a_status_refuses_the_instructions_it_names_and_never_a_fact(book: Book, status: str, side: str) -> None:
    """Top-ups credit the settlement account, payouts debit it."""
    book(Event.TOPUP, A=1_000)
    put(settlement(), status)
    event, amounts = (Event.PAYOUT_SUBMITTED, {"P": 100}) if side == "debit" else (Event.TOPUP, {"A": 100})
    allowed = {
        S.NORMAL: {"debit", "credit"}, S.CREDIT_ONLY: {"credit"}, S.DEBIT_ONLY: {"debit"}, S.STOPPED: set(),
        S.JUDICIAL: set(),
    }  # fmt: skip
    instruction = book.posting(event, **amounts)
    if side in allowed[status]:
        assert services.post(instruction, instruction=True) is not None
    else:
        assert code_of(lambda: services.post(instruction, instruction=True)) == "ledger.restricted"
    fact = book.posting(event, **amounts)
    assert services.post(fact) is not None
    assert services.post_many([book.posting(event, **amounts)]).posted == 1


# --- history ---


def test_every_change_says_from_what_to_what_by_whom_and_why(ledger: dt.date) -> None:
    put(settlement(), S.STOPPED, source_kind="letter", source_id="7")
    put(settlement(), S.NORMAL)
    rows = AccountStatusChange.objects.values_list("from_status", "to_status", "reason", "source_id", "changed_by")
    assert list(rows) == [
        ("normal", "stopped", "letter 7", "7", "alice"),
        ("stopped", "normal", "letter 7", "", "alice"),
    ]


def test_the_status_it_has_changes_nothing(ledger: dt.date) -> None:
    put(settlement(), S.NORMAL)
    assert not AccountStatusChange.objects.exists()


def test_an_account_closes_at_zero_and_never_opens_again(ledger: dt.date) -> None:
    assert put(settlement(), S.CLOSED).closed_at is not None
    assert code_of(lambda: put(settlement(), S.NORMAL)) == "ledger.account_closed"


def test_an_account_with_money_or_a_freeze_does_not_close(book: Book) -> None:
    services.freeze_place(
        account=settlement("M-B"), amount=5, reason="r", source_kind="court", source_id=1, created_by="bob"
    )
    book(Event.TOPUP, A=1)
    assert code_of(lambda: put(settlement(), S.CLOSED)) == "ledger.not_zero"
    assert code_of(lambda: put(settlement("M-B"), S.CLOSED)) == "ledger.not_zero"


# --- proposal and approval ---


def propose(account: Account, status: str, maker: Any, reason: str = "Police letter") -> Any:
    return services.account_status_propose(account=account, status=status, reason=reason, source="PL-9", maker=maker)


def test_a_status_is_proposed_by_one_and_changed_by_another(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(settlement(), S.JUDICIAL, alice)
    assert settlement().status == S.NORMAL
    request_approve(request_id=request.pk, checker=bob)
    assert settlement().status == S.JUDICIAL
    change = AccountStatusChange.objects.get()
    assert (change.reason, change.source_kind, change.source_id) == ("Police letter", "approval", str(request.pk))


def test_a_rejected_status_changes_nothing(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(settlement(), S.JUDICIAL, alice)
    request_reject(request_id=request.pk, checker=bob, note="Wrong merchant")
    assert settlement().status == S.NORMAL


def test_a_status_changed_meanwhile_makes_the_proposal_stale(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(settlement(), S.STOPPED, alice)
    put(settlement(), S.CREDIT_ONLY)
    assert code_of(lambda: request_approve(request_id=request.pk, checker=bob)) == "approvals.target_changed"


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (S.NORMAL, "why", "ledger.status_same"),
        (S.STOPPED, "  ", "ledger.reason_missing"),
    ],
)
def test_a_proposal_that_says_nothing_is_refused(
    ledger: dt.date, alice: Any, status: str, reason: str, code: str
) -> None:
    assert code_of(lambda: propose(settlement(), status, alice, reason)) == code


def test_closing_an_account_with_money_is_refused_when_proposed(book: Book, alice: Any) -> None:
    book(Event.TOPUP, A=1)
    assert code_of(lambda: propose(settlement(), S.CLOSED, alice)) == "ledger.not_zero"


# --- orders over many accounts ---


def order(number: int, status: str = S.JUDICIAL) -> int:
    ids = Account.objects.filter(owner_no="M-A").values_list("id", flat=True)
    return services.statuses_set(
        account_ids=ids, status=status, reason="order", source_kind="order", source_id=number, changed_by="alice"
    )


def lift(number: int, *lifted: int) -> int:
    gone = {str(each) for each in (number, *lifted)}
    return services.statuses_restore(
        source_kind="order", source_id=number, lifted=gone.__contains__, reason="lifted", changed_by="alice"
    )


def statuses() -> dict[str, str]:
    return dict(Account.objects.filter(owner_no="M-A").values_list("account_no", "status"))


def test_lifting_an_order_restores_exactly_the_former_statuses(ledger: dt.date) -> None:
    put(settlement(), S.CREDIT_ONLY)
    before = statuses()
    order(1)
    assert set(statuses().values()) == {S.JUDICIAL}
    lift(1)
    assert statuses() == before


def test_a_status_set_after_the_order_stays_when_it_is_lifted(ledger: dt.date) -> None:
    order(1)
    put(settlement(), S.DEBIT_ONLY)
    lift(1)
    assert statuses().pop("220202-M-A") == S.DEBIT_ONLY
    assert statuses()["220201-M-A"] == S.NORMAL


@pytest.mark.parametrize("second", [S.JUDICIAL, S.STOPPED])
def test_an_order_still_in_force_holds_what_an_earlier_one_lets_go(ledger: dt.date, second: str) -> None:
    order(1)
    order(2, second)
    lift(1)
    assert set(statuses().values()) == {second}
    lift(2, 1)
    assert set(statuses().values()) == {S.NORMAL}


def test_lifting_the_later_order_first_falls_back_to_the_earlier_one(ledger: dt.date) -> None:
    order(1)
    order(2, S.STOPPED)
    lift(2)
    assert set(statuses().values()) == {S.JUDICIAL}


def test_an_order_leaves_closed_accounts_alone(ledger: dt.date) -> None:
    put(settlement(), S.CLOSED)
    order(1)
    lift(1)
    assert statuses()["220202-M-A"] == S.CLOSED


# --- an owner's accounts ---


def close_all(maker: Any) -> Any:
    return services.owner_close_propose(owner_kind="merchant", owner_no="M-A", reason="left", source="", maker=maker)


def test_an_owners_accounts_are_closed_all_together(ledger: dt.date, alice: Any, bob: Any) -> None:
    request_approve(request_id=close_all(alice).pk, checker=bob)
    assert set(statuses().values()) == {S.CLOSED}


def test_what_stands_in_the_way_of_closing_is_listed(book: Book, alice: Any) -> None:
    book(Event.TOPUP, A=150)
    services.freeze_place(
        account=settlement(), amount=5, reason="r", source_kind="court", source_id=1, created_by="bob"
    )
    with pytest.raises(PayopsError) as caught:
        close_all(alice)
    assert caught.value.code == "ledger.owner_not_closable"
    assert [each["obstacle"] for each in caught.value.context["obstacles"]] == ["Balance 1.50", "Frozen 0.05"]


def test_money_that_comes_before_the_approval_keeps_all_accounts_open(book: Book, alice: Any, bob: Any) -> None:
    request = close_all(alice)
    book(Event.TOPUP, A=150)
    assert code_of(lambda: request_approve(request_id=request.pk, checker=bob)) == "ledger.owner_not_closable"
    assert set(statuses().values()) == {S.NORMAL}


def test_an_owner_nobody_set_up_has_nothing_to_close(ledger: dt.date, alice: Any) -> None:
    with pytest.raises(PayopsError) as caught:
        services.owner_close_propose(owner_kind="merchant", owner_no="X", reason="r", source="", maker=alice)
    assert caught.value.code == "ledger.owner_not_found"


def test_movements_on_their_way_stand_in_the_way(ledger: dt.date) -> None:
    run("ALTER TABLE accounts_queuedmovement DISABLE TRIGGER USER")
    QueuedMovement.objects.create(account_id=settlement().pk, entry_id=1, delta=5)
    assert [what for _account, what in closing_obstacles([settlement()])] == [
        "Its balance has not followed its entries yet"
    ]
    assert code_of(lambda: put(settlement(), S.CLOSED)) == "ledger.not_followed"


@pytest.mark.parametrize(
    ("key", "kind", "begun"),
    [("merchant", "merchant", "220201"), ("reserve", "bank", "100201"), ("own", "bank", "100202"),
     ("channel", "channel", "300101")],
)  # fmt: skip
def test_accounts_an_owner_lacks_are_named_and_opened(ledger: dt.date, key: str, kind: str, begun: str) -> None:
    services.account_open(subject_code=begun, owner_kind=kind, owner_no="NEW")
    rule = next(rule for rule in OPENING_RULES if rule.key == key)
    lacking = tuple(code for code in rule.subjects if code != begun)
    gaps = [OwnerGap(kind, "NEW", "CNY", lacking)] if lacking else []
    assert owner_missing(kind, "NEW") == gaps
    assert owners_lacking(rule.subjects, rule) == gaps
    opened = services.owner_open_missing(owner_kind=kind, owner_no="NEW", username="alice")
    assert sorted(account.subject.code for account in opened) == sorted(lacking)
    assert owner_missing(kind, "NEW") == []


def test_an_owner_that_left_gets_no_new_accounts(ledger: dt.date) -> None:
    account = services.account_open(subject_code="220201", owner_kind="merchant", owner_no="NEW")
    put(account, S.CLOSED)
    with pytest.raises(PayopsError) as caught:
        services.owner_open_missing(owner_kind="merchant", owner_no="NEW", username="alice")
    assert caught.value.code == "ledger.owner_closed"


# --- what the database refuses ---


def test_a_status_does_not_change_without_its_history(ledger: dt.date) -> None:
    with refused("PL010"):
        run("UPDATE accounts_account SET status = 'stopped' WHERE account_no = '220202-M-A'")


def test_a_row_of_history_serves_once(ledger: dt.date) -> None:
    put(settlement(), S.STOPPED)
    with refused("PL010"):
        run("UPDATE accounts_account SET status = 'normal' WHERE account_no = '220202-M-A'")
    with refused("PL010"):
        run("UPDATE accounts_account SET status = 'credit_only' WHERE account_no = '220202-M-A'")


def history(account: Account, before: str, after: str) -> None:
    run(
        "INSERT INTO accounts_accountstatuschange (account_id, from_status, to_status, reason, source_kind, source_id,"
        " changed_by, changed_at) VALUES (%s, %s, %s, '', '', '', 'x', now())",
        account.pk,
        before,
        after,
    )


def test_a_row_of_history_is_the_change(ledger: dt.date) -> None:
    history(settlement(), "normal", "stopped")
    assert settlement().status == S.STOPPED


def test_history_does_not_tell_what_was_not_so(ledger: dt.date) -> None:
    with refused("PL010"):
        history(settlement(), "stopped", "normal")


def test_history_does_not_reopen_a_closed_account(ledger: dt.date) -> None:
    put(settlement(), S.CLOSED)
    with refused("PL004"):
        history(settlement(), "closed", "normal")


def test_history_does_not_close_an_account_with_money(book: Book) -> None:
    book(Event.TOPUP, A=1)
    with refused("23514"):
        history(settlement(), "normal", "closed")


@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = 'x'", "DELETE FROM {}"])
def test_history_is_never_changed(ledger: dt.date, statement: str) -> None:
    put(settlement(), S.STOPPED)
    with refused("23001"):
        run(statement.format("accounts_accountstatuschange"))


def test_an_account_begins_unrestricted(ledger: dt.date) -> None:
    with refused("PL010"):
        run(
            "INSERT INTO accounts_account (account_no, subject_id, currency, owner_kind, owner_no, status, balance,"
            " frozen, opened_at) SELECT 'X', subject_id, currency, owner_kind, 'X', 'stopped', 0, 0, now()"
            " FROM accounts_account WHERE account_no = '220202-M-A'"
        )
