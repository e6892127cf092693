"""Deductions: take what is there, freeze the rest, and book the rest as money arrives, oldest slip first."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from payops.accounts import services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.guards_accounts import FIRST_PART_ID
from payops.accounts.models import Account, Deduction, DeductionPart, Freeze, Voucher
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, Book
from tests.accounts.test_concurrency import together
from tests.accounts.test_guards import refused, run
from tests.accounts.test_posting import stored_balances_equal_entries


def settlement() -> Account:
    return Account.objects.get(account_no="220202-M-A")


def take(amount: int, number: int = 1, **changes: Any) -> Deduction:
    """A recovery of M-A, as RECOVERY_COLLECTED books it."""
    return services.deduct(
        **{
            "account": settlement(),
            "amount": amount,
            "event": Event.RECOVERY_COLLECTED,
            "variable": "D",
            "owners": {"merchant": "M-A"},
            "source_kind": "case",
            "source_id": number,
            "business_date": MONDAY,
            "reason": f"chargeback {number}",
            "created_by": "alice",
            **changes,
        }
    )


def arrive(book: Book, amount: int) -> list[int]:
    """Money comes in; returns what was collected from it."""
    book(Event.TOPUP, A=amount)
    return [part.amount for part in services.deductions_collect([settlement().pk])]


def court(amount: int) -> Freeze:
    return services.freeze_place(
        account=settlement(), amount=amount, reason="court", source_kind="court", source_id="1", created_by="alice"
    )


def code_of(call: Any) -> str:
    with pytest.raises(PayopsError) as caught:
        call()
    return caught.value.code


def test_a_deduction_takes_at_once_what_is_there(book: Book) -> None:
    book(Event.TOPUP, A=1_000)
    deduction = take(600)
    assert (deduction.collected, deduction.freeze) == (600, None)
    assert settlement().balance == 400


def test_a_short_deduction_takes_what_there_is_and_freezes_the_rest(book: Book) -> None:
    book(Event.TOPUP, A=250)
    deduction = take(600)
    assert (deduction.collected, deduction.freeze.remaining) == (250, 350)
    assert (settlement().balance, settlement().available) == (0, -350)


def test_money_that_arrives_is_unfrozen_and_booked(book: Book) -> None:
    deduction = take(600)
    assert arrive(book, 200) == [200]
    assert arrive(book, 500) == [400]
    deduction.refresh_from_db()
    assert deduction.collected == 600
    assert (settlement().balance, settlement().frozen) == (100, 0)
    assert arrive(book, 50) == []


def test_the_oldest_deduction_is_paid_first(book: Book) -> None:
    take(300, 1)
    take(300, 2)
    arrive(book, 400)
    assert list(Deduction.objects.order_by("id").values_list("collected", flat=True)) == [300, 100]


def test_a_later_deduction_never_takes_before_an_earlier_one(book: Book) -> None:
    take(300, 1)
    book(Event.TOPUP, A=200)
    assert take(50, 2).collected == 0


def test_what_an_older_slip_holds_is_not_there_for_a_deduction(book: Book) -> None:
    court(500)
    take(300)
    assert arrive(book, 600) == [100]
    assert settlement().balance == 500


def test_a_younger_slip_waits_behind_a_deduction(book: Book) -> None:
    take(300)
    court(500)
    assert arrive(book, 200) == [200]


@pytest.mark.parametrize("status", [AccountStatus.STOPPED, AccountStatus.JUDICIAL, AccountStatus.CREDIT_ONLY])
def test_from_a_restricted_account_nothing_is_taken_until_it_is_free(book: Book, status: str) -> None:
    book(Event.TOPUP, A=1_000)
    services.account_status_set(account=settlement(), status=status)
    deduction = take(600)
    assert deduction.collected == 0
    assert arrive(book, 100) == []
    services.account_status_set(account=settlement(), status=AccountStatus.NORMAL)
    assert [part.amount for part in services.deductions_collect()] == [600]


def test_each_part_is_the_document_of_its_voucher(book: Book) -> None:
    take(600)
    arrive(book, 200)
    part = DeductionPart.objects.get()
    voucher = Voucher.objects.get(pk=part.voucher_id)
    assert (voucher.source_kind, voucher.source_id, voucher.event) == (
        "deduction_part",
        part.pk,
        Event.RECOVERY_COLLECTED,
    )


def test_the_numbers_of_parts_never_meet_those_of_other_documents(book: Book) -> None:
    """A settlement sheet collects recoveries under the same event."""
    book(Event.TOPUP, A=10)
    take(10)
    assert DeductionPart.objects.get().pk >= FIRST_PART_ID
    assert DeductionPart.objects.get().pk < MONDAY.year % 100 * 10**16


def test_collecting_again_takes_nothing_twice(book: Book) -> None:
    take(600)
    arrive(book, 200)
    assert services.deductions_collect() == []


def test_one_source_is_deducted_once(book: Book) -> None:
    take(600)
    assert code_of(lambda: take(600)) == "deductions.exists"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 0}, "deductions.amount"),
        ({"variable": "A"}, "deductions.rule"),
        ({"event": Event.CLEARING_NET, "variable": "A"}, "deductions.rule"),
        ({"event": Event.TOPUP, "variable": "A", "owners": {"merchant": "M-A", "channel": "wx"}}, "deductions.rule"),
    ],
)
def test_a_deduction_that_does_not_take_is_refused(book: Book, changes: dict[str, Any], code: str) -> None:
    book(Event.TOPUP, A=1_000)
    assert code_of(lambda: take(**{"amount": 100, **changes})) == code
    assert not Deduction.objects.exists()


def test_the_slip_of_a_deduction_ends_only_by_collecting(book: Book, alice: Any) -> None:
    slip = take(600).freeze
    assert (
        code_of(lambda: services.release_propose(freeze=slip, amount=None, reason="r", maker=alice))
        == "freeze.of_a_deduction"
    )


def test_two_who_collect_at_once_take_nothing_twice(committed_ledger: dt.date) -> None:
    book = Book()
    deduction = take(600)
    book(Event.TOPUP, A=500)
    found = together(services.deductions_collect, services.deductions_collect)
    assert sorted(len(parts) for parts in found) == [0, 1]
    deduction.refresh_from_db()
    assert (deduction.collected, settlement().balance, settlement().frozen) == (500, 0, 100)


def test_collecting_and_posting_over_the_same_accounts_do_not_deadlock(committed_ledger: dt.date) -> None:
    take(10_000)

    def owe() -> None:
        """Touches the receivable and the settlement account, as collecting does."""
        for number in range(20):
            services.post(Posting(Event.RECOVERY_COLLECTED, "race", number, {"D": 1}, {"merchant": "M-A"}, MONDAY))

    def earn(base: int) -> None:
        owners = {"merchant": "M-A", "channel": "wx"}
        for number in range(base, base + 20):
            services.post(Posting(Event.TOPUP, "race", number, {"A": 10}, owners, MONDAY))
            services.deductions_collect()

    assert together(owe, lambda: earn(100), lambda: earn(200)) == [None, None, None]
    assert stored_balances_equal_entries()


# --- what the database refuses ---


def part(deduction: Deduction, amount: int, voucher: int = 1) -> None:
    run(
        "INSERT INTO accounts_deductionpart (deduction_id, amount, voucher_id, made_at) VALUES (%s, %s, %s, now())",
        deduction.pk,
        amount,
        voucher,
    )


def test_a_part_without_a_voucher_of_its_own_is_refused(book: Book) -> None:
    with refused("PL010"):
        part(take(600), 10)


def test_no_more_is_collected_than_the_deduction(book: Book) -> None:
    deduction = take(600)
    voucher = services.post(book.posting(Event.RECOVERY_COLLECTED, D=601))
    number = FIRST_PART_ID + 500
    run("INSERT INTO accounts_postingkey VALUES (%s, %s, %s)", int(Event.RECOVERY_COLLECTED), number, voucher.pk)
    with refused("23514"):
        run(
            "INSERT INTO accounts_deductionpart (id, deduction_id, amount, voucher_id, made_at)"
            " VALUES (%s, %s, 601, %s, now())",
            number,
            deduction.pk,
            voucher.pk,
        )


@pytest.mark.parametrize(
    "change", ["collected = 1", "amount = 5", "account_id = account_id + 1", "reason = 'x'", "freeze_id = NULL"]
)
def test_a_deduction_is_only_collected(book: Book, change: str) -> None:
    take(600)
    with refused("PL010"):
        run(f"UPDATE accounts_deduction SET {change}")


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("DELETE FROM accounts_deduction", "PL010"),
        ("UPDATE accounts_deductionpart SET amount = 1", "23001"),
        ("DELETE FROM accounts_deductionpart", "23001"),
    ],
)
def test_deductions_and_parts_stay(book: Book, statement: str, state: str) -> None:
    book(Event.TOPUP, A=10)
    take(600)
    with refused(state):
        run(statement)


def test_a_deduction_begins_with_nothing(ledger: dt.date) -> None:
    with refused("PL010"):
        run(
            "INSERT INTO accounts_deduction (account_id, event, variable, owners, source_kind, source_id,"
            " business_date, amount, collected, reason, created_by, created_at)"
            " SELECT id, 307, 'D', '{}', 'x', '1', '2026-11-16', 5, 5, '', 'x', now() FROM accounts_account LIMIT 1"
        )
