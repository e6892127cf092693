"""Facts for closed merchant accounts go to suspense and are told; instructions are refused (DOMAIN 4.4)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

import pytest

from payops.accounts import diverting, selectors, services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.diverting import (
    Diversion,
    register_diversion_handler,
    unregister_diversion_handler,
)
from payops.accounts.models import DivertedEntry, Voucher
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, Book, lines
from tests.accounts.test_guards import refused, run

Balance = Callable[..., int]
Post = Callable[[Posting], None]


@pytest.fixture(autouse=True)
def _nobody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps above the ledger open cases; these books have none."""
    monkeypatch.setattr(diverting, "_handlers", [])


@pytest.fixture
def told() -> Iterator[list[Diversion]]:
    """What a handler was told."""
    heard: list[Diversion] = []

    def handler(diversions: Sequence[Diversion]) -> None:
        heard.extend(diversions)

    register_diversion_handler(handler)
    yield heard
    unregister_diversion_handler(handler)


@pytest.fixture(params=["post", "post_many"])
def post(request: pytest.FixtureRequest, ledger: dt.date) -> Post:
    """One posting through either door."""
    if request.param == "post":
        return lambda posting: services.post(posting)
    return lambda posting: services.post_many([posting])


def close(subject: str = "2202.01", merchant: str = "M-A") -> None:
    services.account_status_set(
        account=selectors.account_get(subject, "merchant", merchant), status=AccountStatus.CLOSED
    )


def only_voucher() -> Voucher:
    return Voucher.objects.for_days(MONDAY).get()


def test_a_payment_for_a_closed_account_goes_to_surplus_of_its_channel(
    book: Book, post: Post, told: list[Diversion], balance: Balance
) -> None:
    close()
    post(book.posting(Event.PAYMENT, A=100))
    assert lines(only_voucher()) == [("D", "3001.01", "wx", 100), ("C", "2241.01", "wx", 100)]
    assert (balance("2241.01", "wx"), balance("2202.01", "M-A")) == (100, 0)
    diverted = DivertedEntry.objects.get()
    assert (diverted.entry_id, diverted.side, diverted.amount) == (only_voucher().pk + 2, "C", 100)
    assert diverted.account.account_no == "220201-M-A"
    assert [(d.signed, d.suspense.account_no, d.voucher.pk) for d in told] == [(100, "224101-wx", only_voucher().pk)]


def test_a_void_for_a_closed_account_goes_to_shortage_of_its_channel(
    book: Book, post: Post, told: list[Diversion], balance: Balance
) -> None:
    close()
    post(book.posting(Event.VOID, A=100))
    assert lines(only_voucher()) == [("D", "1221.01", "wx", 100), ("C", "3001.01", "wx", 100)]
    assert [d.signed for d in told] == [-100]


def test_a_negative_amount_swaps_the_side_before_it_is_diverted(book: Book, post: Post, told: list[Diversion]) -> None:
    close()
    post(book.posting(Event.PAYMENT, A=-100))
    assert sorted(lines(only_voucher())) == [("C", "3001.01", "wx", 100), ("D", "1221.01", "wx", 100)]
    assert [d.signed for d in told] == [-100]


def test_without_a_channel_the_banks_suspense_takes_it(book: Book, post: Post, told: list[Diversion]) -> None:
    close("2202.02")
    source = book.posting(Event.PAYOUT_RETURNED, P=100)
    post(Posting(source.event, "payout", 1, {"P": 100}, {"merchant": "M-A", "bank": "R1"}, MONDAY))
    assert [(d.suspense.account_no, d.signed) for d in told] == [("224101-B-R1", 100)]


def test_without_channel_and_bank_the_institution_takes_it(post: Post, told: list[Diversion]) -> None:
    close("2202.03")
    post(Posting(Event.REFUND_ACCEPTED_PENDING, "refund", 1, {"A": 100}, {"merchant": "M-A"}, MONDAY))
    assert [(d.suspense.account_no, d.suspense.owner_kind) for d in told] == [("224101", "institution")]


def test_several_lines_of_one_voucher_are_diverted_one_by_one(book: Book, post: Post, told: list[Diversion]) -> None:
    close()
    close("2202.02")
    post(book.posting(Event.CLEARING_NET, A=100, X=0, F=1))
    assert sorted((d.account.account_no, d.signed) for d in told) == [("220201-M-A", -100), ("220202-M-A", 99)]


def test_an_instruction_on_a_closed_account_is_refused(book: Book, told: list[Diversion]) -> None:
    close("2202.02")
    with pytest.raises(PayopsError) as caught:
        services.post(book.posting(Event.PAYOUT_SUBMITTED, P=100), instruction=True)
    assert caught.value.code == "ledger.account_closed"
    assert not told


def test_one_closed_merchant_never_fails_a_bulk_posting(book: Book, told: list[Diversion], balance: Balance) -> None:
    close()
    postings = [
        book.posting(Event.PAYMENT, {"merchant": "M-A" if n % 10 == 0 else "M-B"}, A=100 + n) for n in range(50)
    ]
    assert services.post_many(postings, chunk_size=7).posted == 50
    diverted = sum(100 + n for n in range(0, 50, 10))
    assert balance("2241.01", "wx") == sum(d.signed for d in told) == diverted
    assert balance("2202.01", "M-B") == sum(100 + n for n in range(50)) - diverted
    assert balance("3001.01", "wx") == sum(100 + n for n in range(50))


def test_a_fact_is_diverted_once(book: Book, post: Post, told: list[Diversion]) -> None:
    close()
    posting = book.posting(Event.PAYMENT, A=100)
    assert services.post(posting) is not None
    with pytest.raises(PayopsError) as caught:
        services.post(posting)
    assert caught.value.code == "ledger.already_posted"
    assert services.post_many([posting]).skipped == 1
    assert len(told) == 1


def test_an_error_of_the_handler_undoes_the_posting(book: Book, post: Post) -> None:
    def handler(_diversions: Sequence[Diversion]) -> None:
        raise PayopsError("test.refused", "no case, no booking")

    close()
    register_diversion_handler(handler)
    try:
        with pytest.raises(PayopsError):
            post(book.posting(Event.PAYMENT, A=100))
    finally:
        unregister_diversion_handler(handler)
    assert not Voucher.objects.for_days(MONDAY).exists()


def test_the_day_closes_without_findings(book: Book, post: Post) -> None:
    close()
    post(book.posting(Event.PAYMENT, A=100))
    services.day_cut_off(MONDAY)
    assert services.close_day(MONDAY).findings == ()


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_divertedentry SET amount = 1", "DELETE FROM accounts_divertedentry"]
)
def test_what_was_diverted_is_never_changed(book: Book, statement: str) -> None:
    close()
    services.post(book.posting(Event.PAYMENT, A=100))
    with refused("23001"):
        run(statement)


@pytest.mark.parametrize(
    ("change", "value"),
    [("amount", "99"), ("side", "'D'"), ("event", "102"), ("entry_id", "entry_id - 1"), ("account_id", "OTHER")],
)
def test_raw_sql_remembers_nothing_that_was_not_diverted(book: Book, change: str, value: str) -> None:
    close()
    services.post(book.posting(Event.PAYMENT, A=100))
    other = selectors.account_get("2202.01", "merchant", "M-B").pk
    columns = {name: name for name in ("entry_id", "account_id", "side", "amount", "event")}
    columns[change] = value.replace("OTHER", str(other))
    run("CREATE TEMPORARY TABLE copied ON COMMIT DROP AS SELECT * FROM accounts_divertedentry")
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("ALTER TABLE accounts_divertedentry DISABLE TRIGGER append_only")
    run("DELETE FROM accounts_divertedentry")
    with refused("PL015"):
        run(
            f"INSERT INTO accounts_divertedentry ({', '.join(columns)}, made_at)"
            f" SELECT {', '.join(columns.values())}, now() FROM copied"
        )
