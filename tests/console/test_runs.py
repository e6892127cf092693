"""Runs in the console: the figures of a run, and the way from each to its rows."""

from __future__ import annotations

from collections.abc import Callable

from payops.console.run_buckets import bucket_table
from payops.console.tables import booked_amounts
from payops.core.models import JobRun
from payops.reconciliation.buckets.services import bucket_compare
from payops.reconciliation.models import ReconResult, ReconRun, RunBucket, RunVoucher
from payops.reconciliation.services import run_reconcile, run_split
from tests.console.conftest import MON, Books, address, text_of

Read = Callable[..., str]


def a_run() -> ReconRun:
    """A current run with differences."""
    return ReconResult.objects.filter(run__is_current=True).order_by("run_id").first().run


def test_the_list_shows_each_run_with_both_totals(books: Books, read: Read) -> None:
    text = read("alice", "run_list", date=MON)
    for run in ReconRun.objects.filter(channel_date=MON):
        assert address("run", run.pk) in text
        assert f"{run.own_amount / 100:,.2f}" in text


def test_the_list_filters_by_channel(books: Books, read: Read) -> None:
    text = read("alice", "run_list", date=MON, contract="WECHAT")
    wanted = ReconRun.objects.get(channel_date=MON, contract__code="WECHAT", is_current=True)
    other = ReconRun.objects.get(channel_date=MON, contract__code="ALIPAY", is_current=True)
    assert address("run", wanted.pk) in text
    assert address("run", other.pk) not in text


def test_a_filter_that_is_no_date_says_so_and_shows_nothing(books: Books) -> None:
    response = books.client("alice").get(address("run_list", date="yesterday"))
    assert response.status_code == 200
    assert "Enter a valid date" in text_of(response)
    assert "/console/runs/1" not in text_of(response)


def test_a_run_shows_its_equation_and_that_it_agrees(books: Books, read: Read) -> None:
    run = a_run()
    text = read("carol", "run", run.pk)
    assert "Channel total: agrees" in text
    assert f"{run.channel_amount / 100:,.2f}" in text


def test_a_run_links_every_difference_to_its_transaction_line_and_case(books: Books, read: Read) -> None:
    run = a_run()
    text = read("alice", "run", run.pk)
    for result in run.result_rows.order_by("id")[:50]:
        if result.transaction_id:
            assert address("transaction", result.transaction_id) in text
        if result.bill_line_id:
            assert address("bill_line", result.bill_line_id) in text
        if result.case_id:
            assert address("case_detail", result.case_id) in text


def test_a_result_tile_filters_the_rows_below(books: Books, read: Read) -> None:
    run = a_run()
    kind = run.result_rows.order_by("id").first().kind
    text = read("alice", "run", run.pk, kind=kind)
    shown = run.result_rows.filter(kind=kind)
    others = run.result_rows.exclude(kind=kind).exclude(match_key__in=shown.values("match_key"))
    assert all(row.match_key in text for row in shown[:50])
    assert not any(row.match_key in text for row in others)


def test_a_run_compared_in_buckets_shows_each_with_its_rows_and_adds_them_up(books: Books, read: Read) -> None:
    whole = a_run()
    assert "Buckets" not in read("carol", "run", whole.pk)
    run = run_reconcile(contract=whole.contract, day=whole.channel_date, buckets=3)
    table = bucket_table(run)
    assert [row[0].text for row in table.rows] == ["1 / 3", "2 / 3", "3 / 3"]
    assert {row[1].text for row in table.rows} == {"Compared"}
    assert 0 < table.foot[3].raw == sum(row[3].raw for row in table.rows) <= run.channel_count
    assert "Each bucket is compared by itself" in read("carol", "run", run.pk)


def test_a_bucket_that_was_compared_twice_counts_once_and_says_so(books: Books) -> None:
    whole = a_run()
    split = run_split(contract=whole.contract, day=whole.channel_date, buckets=2)
    first = bucket_compare(split=split, bucket=0)
    later = {name: getattr(first, name) for name in ("own_count", "own_mark", "own_last", "line_count", "joined")}
    RunBucket.objects.create(split=split, bucket=0, turn=2, milliseconds=61_000, **later)
    run = run_reconcile(contract=whole.contract, day=whole.channel_date, split=split)
    table = bucket_table(run)
    assert [row[1].text for row in table.rows] == ["Compared again", "Compared"]
    assert table.rows[0][4].text == "61 s"
    assert 0 < table.foot[3].raw == sum(row[3].raw for row in table.rows) <= run.channel_count


def test_what_a_run_booked_is_said_in_words_and_not_in_the_variables_of_its_rules(books: Books, read: Read) -> None:
    assert booked_amounts({"K": 150, "S": 9_850}, "CNY") == "Settled 98.50, Channel fee 1.50"
    run = RunVoucher.objects.filter(amounts__has_key="S").first().run
    assert "Settled " in read("carol", "run", run.pk)


def test_operations_start_a_run_again_as_a_job(books: Books) -> None:
    run = a_run()
    response = books.client("alice").post(address("run_start", run.pk))
    job = JobRun.objects.order_by("-id").first()
    assert (job.kind, job.params["channel"]) == ("reconciliation.run", run.contract.code)
    assert response.url == address("job", job.pk)


def test_only_operations_are_offered_to_run_again(books: Books, read: Read) -> None:
    run = a_run()
    assert "Run again" in read("alice", "run", run.pk)
    assert "Run again" not in read("bob", "run", run.pk)


def test_the_list_of_runs_needs_the_same_few_queries_however_many_there_are(
    books: Books, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = books.client("alice")
    with django_assert_max_num_queries(14):
        client.get(address("run_list"))


def test_open_items_are_the_ones_a_next_run_tries_again(books: Books, read: Read) -> None:
    from payops.reconciliation.selectors import open_items

    text = read("alice", "open_item_list")
    for item in open_items()[:40]:
        assert item.match_key in text


def test_open_items_tell_their_age_and_when_they_escalate(books: Books, read: Read) -> None:
    import datetime as dt

    from payops.discrepancies.selectors import reference_day
    from payops.reconciliation.selectors import items_by_first_date, open_items

    text = read("alice", "open_item_list")
    item = open_items().filter(case__escalated_at=None).select_related("contract").order_by("-id").first()
    due = item.first_date + dt.timedelta(days=item.contract.escalate_after_days)
    assert f"T+{(reference_day() - item.first_date).days}" in text
    assert due.isoformat() in text
    assert sum(number for _day, number in items_by_first_date()) == open_items().count()
