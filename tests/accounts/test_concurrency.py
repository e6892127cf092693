"""Real connections racing each other: locks in one order, keys booked once, nothing slips into a closed day."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from payops.accounts import selectors, services
from payops.accounts.choices import Event
from payops.accounts.models import AccountingDay, Entry, PostingKey, Voucher
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, OWNERS
from tests.accounts.test_posting import payment, stored_balances_equal_entries

pytestmark = pytest.mark.django_db(transaction=True)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls at once, each on its own connection; results or exceptions in their order."""
    results: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(at: int, call: Callable[[], Any]) -> None:
        try:
            start.wait(10)
            results[at] = call()
        except Exception as error:
            results[at] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(at, call)) for at, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "somebody waits for ever"
    return results


def move(source: int, debit: str, credit: str) -> Posting:
    """A recovery booked between merchants' accounts: here simply a way to touch two accounts in a given order."""
    event = {
        ("A", "B"): Event.REFUND_ACCEPTED_PENDING,
        ("B", "C"): Event.REFUND_TAKEN,
        ("C", "A"): Event.PAYMENT,
    }[debit, credit]
    return Posting(event, "race", source, {"A": 10}, OWNERS, MONDAY)


def test_a_to_b_b_to_c_and_c_to_a_do_not_deadlock(committed_ledger: dt.date) -> None:
    def loop(debit: str, credit: str, base: int) -> Callable[[], None]:
        def run() -> None:
            for n in range(40):
                services.post(move(base + n, debit, credit))

        return run

    results = together(loop("A", "B", 1_000), loop("B", "C", 2_000), loop("C", "A", 3_000))
    assert results == [None, None, None]
    assert Voucher.objects.for_days(MONDAY).count() == 120
    assert stored_balances_equal_entries()


def test_bulk_and_single_postings_over_the_same_accounts_do_not_deadlock(committed_ledger: dt.date) -> None:
    def bulk(base: int) -> Callable[[], None]:
        def run() -> None:
            for n in range(5):
                services.post_many(
                    [
                        payment(base + n * 100 + i, owners={"merchant": merchant, "channel": channel})
                        for i, (merchant, channel) in enumerate(
                            [("M-A", "wx"), ("M-B", "up"), ("M-B", "wx"), ("M-A", "up")] * 5
                        )
                    ],
                    chunk_size=3,
                )

        return run

    def single() -> None:
        for n in range(60):
            services.post(payment(900_000 + n))

    results = together(bulk(0), bulk(100_000), single)
    assert results == [None, None, None]
    assert Voucher.objects.for_days(MONDAY).count() == 260
    assert stored_balances_equal_entries()


def test_two_postings_of_the_same_key_make_one_voucher(committed_ledger: dt.date) -> None:
    for source in range(10):
        results = together(lambda s=source: services.post(payment(s)), lambda s=source: services.post(payment(s)))
        vouchers = [result for result in results if isinstance(result, Voucher)]
        errors = [result for result in results if isinstance(result, PayopsError)]
        assert (len(vouchers), len(errors)) == (1, 1)
        assert errors[0].code == "ledger.already_posted"
        assert errors[0].context["voucher_id"] == vouchers[0].pk
    assert Voucher.objects.for_days(MONDAY).count() == 10


def test_two_batches_with_the_same_keys_book_each_once(committed_ledger: dt.date) -> None:
    batch = [payment(source) for source in range(200)]
    results = together(lambda: services.post_many(batch), lambda: services.post_many(batch))
    assert sorted(result.posted for result in results) == [0, 200]
    assert selectors.balance_of("2202.01", "merchant", "M-A") == 200 * 100
    assert PostingKey.objects.count() == 200


def test_a_posting_rolled_back_gives_its_key_to_the_one_that_waited(committed_ledger: dt.date) -> None:
    held = threading.Event()

    def fails() -> None:
        with transaction.atomic():
            services.post(payment(1))
            held.set()
            threading.Event().wait(0.3)
            transaction.set_rollback(True)

    def waits() -> Voucher | None:
        held.wait(10)
        return services.post(payment(1))

    _, voucher = together(fails, waits)
    assert isinstance(voucher, Voucher)
    assert Voucher.objects.for_days(MONDAY).count() == 1


def test_a_close_waits_for_postings_under_way_and_lets_none_in_afterwards(committed_ledger: dt.date) -> None:
    services.day_cut_off(MONDAY)
    posting_done = threading.Event()

    def slow_posting() -> None:
        with transaction.atomic():
            services.post(payment(1), day=MONDAY)
            posting_done.set()
            threading.Event().wait(0.4)

    def close() -> services.CloseResult:
        posting_done.wait(10)
        return services.close_day(MONDAY)

    def late() -> str:
        posting_done.wait(10)
        threading.Event().wait(0.15)
        try:
            services.post(payment(2), day=MONDAY)
        except PayopsError as error:
            return error.code
        return "posted"

    _, result, late_code = together(slow_posting, close, late)
    assert result.voucher_count == 1
    assert late_code == "ledger.day_not_open"
    assert Entry.objects.for_days(MONDAY).count() == 2


def test_closing_twice_at_once_closes_once(committed_ledger: dt.date) -> None:
    services.post(payment(1))
    services.day_cut_off(MONDAY)
    results = together(lambda: services.close_day(MONDAY), lambda: services.close_day(MONDAY))
    assert sorted(result.closed_now for result in results) == [False, True]
    assert results[0].seal == results[1].seal


def test_cutting_off_at_once_opens_one_day(committed_ledger: dt.date) -> None:
    together(lambda: services.day_cut_off(MONDAY), lambda: services.day_cut_off(MONDAY))
    assert AccountingDay.objects.count() == 2


def test_posting_goes_on_while_days_are_cut_off_and_closed(committed_ledger: dt.date) -> None:
    def post_on() -> None:
        for source in range(150):
            services.post(payment(source))

    def run_days() -> None:
        for offset in range(3):
            day = MONDAY + dt.timedelta(days=offset)
            threading.Event().wait(0.1)
            services.day_cut_off(day)
            assert services.close_day(day).findings == ()

    assert together(post_on, run_days) == [None, None]
    total = Voucher.objects.for_days(MONDAY, MONDAY + dt.timedelta(days=3)).count()
    assert total == 150
    assert stored_balances_equal_entries()


def test_a_serializable_transaction_is_refused(committed_ledger: dt.date) -> None:
    with transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(PayopsError) as caught:
            services.post(payment(1))
        transaction.set_rollback(True)
    assert caught.value.code == "ledger.isolation"
