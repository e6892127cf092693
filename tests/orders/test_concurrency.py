"""Loads that meet: real connections, real transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from payops.accounts import services as ledger
from payops.accounts.selectors import balance_of
from payops.core.partitions import ensure_days
from payops.orders.models import RefundTotal
from payops.orders.services import post_missing, transactions_load
from tests.conftest import FIRST_DAY, LAST_DAY
from tests.orders.conftest import DAY, build_world, ndjson, order, refund

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def institution() -> None:
    """Committed, so that other connections see it."""
    ensure_days(FIRST_DAY, LAST_DAY)
    build_world()
    ledger.day_open(DAY)


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run the jobs at once, each on a connection of its own; their results, or the exceptions they raised."""
    results: list[Any] = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def run(index: int, job: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            results[index] = job()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def load(*rows: dict[str, Any]) -> Any:
    return transactions_load(source=ndjson(*rows), name="orders.ndjson", user="alice")


def test_the_same_file_loaded_at_once_is_taken_once(institution):
    rows = [order(str(number)) for number in range(50)]
    results = together(*[lambda: load(*rows)] * 4)
    assert sorted(result.created for result in results) == [0, 0, 0, 50]
    assert balance_of("2202.01", "merchant", "M-A") == 500_000


def test_refunds_racing_for_one_payment_never_exceed_it(institution):
    load(order("1"))
    jobs = [lambda n=n: load(refund(f"r{n}", "1", "60.00")) for n in range(4)]
    states = [result.state for result in together(*jobs)]
    assert sorted(states) == ["loaded", "refused", "refused", "refused"]
    assert RefundTotal.objects.get().refunded == 6_000


def test_posting_what_is_missing_beside_a_load_books_once(institution):
    results = together(
        lambda: load(*(order(str(number)) for number in range(100))),
        lambda: [post_missing(DAY) for _ in range(5)],
        lambda: load(*(order(f"b{number}", merchant_no="M-B") for number in range(100))),
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert post_missing(DAY) == {"total": 0}
    assert balance_of("3001.01", "channel", "WECHAT") == 2_000_000
