"""Two runs side by side on screen."""

from __future__ import annotations

from collections.abc import Callable

from payops.console.views.comparison import _difference_table
from payops.reconciliation.comparison import Change, Row
from payops.reconciliation.models import ReconResult, ReconRun
from payops.reconciliation.services import run_reconcile
from tests.console.conftest import Books, address

Read = Callable[..., str]


def run_twice() -> ReconRun:
    """The last day with differences, run again from the same bill; nothing later stands on it."""
    first = ReconResult.objects.filter(run__is_current=True).order_by("-run__channel_date", "run_id").first().run
    return run_reconcile(contract=first.contract, day=first.channel_date)


def test_a_second_run_of_the_same_bill_shows_that_nothing_changed(books: Books, read: Read) -> None:
    now = run_twice()
    text = read("carol", "run_compare", now.pk)
    assert "Both runs found the same differences." in text
    assert "They read different versions" not in text


def test_unchanged_differences_can_be_looked_at_with_both_amounts(books: Books, read: Read) -> None:
    now = run_twice()
    text = read("carol", "run_compare", now.pk, change="same")
    for key in now.result_rows.values_list("match_key", flat=True)[:20]:
        assert key in text


def test_differences_that_are_all_new_have_no_columns_of_before() -> None:
    side = {"kind": "own_only", "case": None, "own_amount": 100, "channel_amount": 0, "d": -100}
    row = Row(n=1, match_key="K-1", change=Change.ADDED, before=None, now={**side, "transaction": 1, "bill_line": None})
    titles = [str(column.title) for column in _difference_table([row], "CNY").columns]
    assert titles == ["Change", "Matching key", "Now", "Ours", "Channel", "Difference"]


def test_the_only_run_of_a_day_has_nothing_to_be_compared_with(books: Books, read: Read) -> None:
    run = ReconRun.objects.filter(is_current=True, run_no=1).first()
    assert "only run of its day" in read("alice", "run_compare", run.pk)


def test_a_run_that_is_not_there_is_not_compared(books: Books) -> None:
    now = run_twice()
    client = books.client("alice")
    assert client.get(address("run_compare", now.pk, run=99)).status_code == 400
    assert client.get(address("run_compare", 999_999)).status_code == 404


def test_a_run_offers_the_comparison_from_its_second_number_on(books: Books, read: Read) -> None:
    first = ReconRun.objects.filter(is_current=True, run_no=1).first()
    assert address("run_compare", first.pk) not in read("bob", "run", first.pk)
    now = run_twice()
    assert address("run_compare", now.pk) in read("bob", "run", now.pk)
