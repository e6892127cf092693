"""A day compared in buckets by many workers is the day compared as a whole, to the row."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.jobs import run_now
from payops.core.models import JobRun
from payops.orders.choices import Status
from payops.orders.models import Transaction
from payops.orders.services import transactions_load
from payops.reconciliation.buckets import services
from payops.reconciliation.buckets.services import bucket_compare, buckets_for
from payops.reconciliation.jobs import run_enqueue
from payops.reconciliation.models import ReconRun, RunBucket, RunSplit
from payops.reconciliation.selectors import run_as_dict
from payops.reconciliation.services import run_reconcile, run_split
from tests.orders.conftest import ndjson
from tests.reconciliation.builders import MON, TUE, Town, booked, found, line, pay, reverse, stored
from tests.reconciliation.lives import Life, Programme, Walk
from tests.reconciliation.outcomes import outcome
from tests.reconciliation.test_conservation import lives, profile, programmes

pytestmark = pytest.mark.django_db


def by_children(contract: ChannelContract, day: dt.date, buckets: int) -> ReconRun:
    """Split, every bucket compared by itself, joined."""
    split = run_split(contract=contract, day=day, buckets=buckets)
    for bucket in reversed(range(buckets)):
        bucket_compare(split=split, bucket=bucket)
    return run_reconcile(contract=contract, day=day, split=split)


def tried(make: Any) -> dict[str, Any]:
    """What a run would leave behind; it is taken back."""
    with transaction.atomic():
        left = outcome(make())
        transaction.set_rollback(True)
    return left


# --- the same outcome -------------------------------------------------------------------------------------------------


@given(drawn=lives, programme=programmes, first=st.sampled_from([2, 3, 7]))
@profile(6)
def test_random_days_come_out_the_same_in_any_number_of_buckets(
    town: Town, drawn: Any, programme: Programme, first: int
) -> None:
    """Files late, corrected and run again: each run is made in 1, 2, 3 and 7 buckets before it is kept as a whole."""

    def run(day: dt.date, contract: ChannelContract) -> ReconRun:
        in_one_go = [tried(lambda n=n: run_reconcile(contract=contract, day=day, buckets=n)) for n in (1, 2, 3, 7)]
        spread = tried(lambda: by_children(contract, day, first))
        kept = run_reconcile(contract=contract, day=day)
        assert [*in_one_go, spread] == [outcome(kept)] * 5
        town.books_agree()
        return kept

    with transaction.atomic():
        walk = Walk(town, Life.all_of(drawn), programme)
        walk.town.run = run
        walk.play()
        transaction.set_rollback(True)


@pytest.fixture
def monday(town: Town) -> Town:
    """A closed Monday with something of everything, its bill accepted and not yet run."""
    town.orders(
        *(pay(str(n), MON) for n in range(1, 30)),
        pay("late", MON, "22:55:00"),
        pay("lost", MON, status="unknown"),
        pay("abandoned", MON, status="closed"),
        reverse("1r", "1", MON),
        reverse("2v", "2", MON, amount="100.00", kind="void"),
    )
    town.close(MON)
    town.bill(
        MON,
        *(line(f"R-{n}", MON) for n in range(3, 28)),
        line("R-1", MON, discount=50),
        line("R-2", MON),
        line("R-1r", MON, amount=4_000, kind="refund"),
        line("R-2v", MON, kind="reversal"),
        line("R-28", MON, amount=9_000),
        line("R-5", MON, trade_no="T-again"),
        line("R-lost", MON),
        line("R-nobody", MON, amount=700),
    )
    return town


def test_a_bucket_has_both_rows_of_a_key_and_its_repeats(monday: Town) -> None:
    run = by_children(monday.contract, MON, 7)
    assert ("duplicate_channel", "R-5", 10_000) in found(run)
    assert run.equation["holds"]
    rows = [(result.own_count, result.line_count) for result in run.split.results.all()]
    assert sum(own for own, _lines in rows) == run.own_count
    assert sum(lines for _own, lines in rows) == run.channel_count
    assert len(rows) == 7


def test_an_empty_bill_and_a_day_without_orders_split_as_well(town: Town) -> None:
    town.close(MON)
    town.bill(MON)
    run = by_children(town.contract, MON, 3)
    assert (run.own_count, run.channel_count, booked(run)) == (0, 0, {})


def test_a_run_keeps_what_its_children_were_told_and_saw(monday: Town) -> None:
    run = by_children(monday.contract, MON, 2)
    split = RunSplit.objects.get(run=run)
    assert split.inputs["file"] == run.file_id == split.file_id
    assert split.inputs["own_lo"] < max(result.own_last for result in split.results.all()) < split.inputs["own_hi"]
    told = run_as_dict(run)["buckets"]
    assert [row["bucket"] for row in told] == [0, 1]
    assert sum(row["own"] for row in told) == run.own_count


def test_no_child_is_ever_a_run_of_its_own(monday: Town) -> None:
    by_children(monday.contract, MON, 7)
    assert ReconRun.objects.count() == 1


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_a_job_becomes_the_parent_of_its_buckets_and_the_last_one_brings_the_join(monday: Town) -> None:
    whole = tried(lambda: run_reconcile(contract=monday.contract, day=MON))
    job = run_enqueue(contract=monday.contract, day=MON, username="alice", buckets=3)
    done = run_now(job.pk)
    assert done.state == "succeeded", done.error_message
    parts = JobRun.objects.filter(parent=job).order_by("id")
    assert [part.kind for part in parts] == ["reconciliation.bucket"] * 3 + ["reconciliation.join"]
    run = ReconRun.objects.get(pk=done.result["run"])
    assert run.job == done
    assert outcome(run) == whole


def test_a_bucket_that_was_compared_before_its_worker_died_is_not_compared_again(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    first = bucket_compare(split=split, bucket=0)
    assert bucket_compare(split=split, bucket=0) == first


def test_a_join_whose_news_was_lost_finds_the_run_it_made(monday: Town) -> None:
    job = run_enqueue(contract=monday.contract, day=MON, username="alice", buckets=2)
    run_now(job.pk)
    join = JobRun.objects.get(parent=job, is_join=True)
    JobRun.objects.filter(pk=join.pk).update(state="queued", finished_at=None)
    assert run_now(join.pk).result == join.result
    assert ReconRun.objects.count() == 1


def test_a_bill_is_split_by_its_lines(monday: Town, settings: Any) -> None:
    bill_file = monday.bill(TUE, *(line(f"T-{n}", TUE) for n in range(10)))
    settings.PAYOPS_RUN_BUCKET_LINES = 4
    assert buckets_for(bill_file) == 3
    assert buckets_for(bill_file, 1) == 1
    settings.PAYOPS_RUN_BUCKET_LINES = 0
    assert buckets_for(bill_file) == 1
    with pytest.raises(PayopsError, match="up to 64"):
        buckets_for(bill_file, 65)


# --- what changes while the children are at work ----------------------------------------------------------------------


def test_an_order_that_leaves_the_day_meanwhile_has_its_bucket_compared_again(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=3)
    for bucket in range(3):
        bucket_compare(split=split, bucket=bucket)
    moved = pay("lost", MON, status="succeeded", succeeded_at=f"{TUE.isoformat()}T09:00:00")
    transactions_load(source=ndjson(moved), name="more.ndjson", user="alice")
    assert stored("lost").own_date == TUE
    whole = tried(lambda: run_reconcile(contract=monday.contract, day=MON))
    run = run_reconcile(contract=monday.contract, day=MON, split=split)
    assert outcome(run) == whole
    assert run.split == split
    assert sorted(split.results.values_list("turn", flat=True)) == [1, 1, 1, 2]


def test_an_order_that_fails_meanwhile_has_its_bucket_compared_again(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    bucket_compare(split=split, bucket=0)
    bucket_compare(split=split, bucket=1)
    Transaction.objects.filter(pk=stored("lost").pk).update(status=Status.FAILED)
    whole = tried(lambda: run_reconcile(contract=monday.contract, day=MON))
    assert outcome(run_reconcile(contract=monday.contract, day=MON, split=split)) == whole
    assert sorted(split.results.values_list("turn", flat=True)) == [1, 1, 2]


def test_a_bill_issued_again_meanwhile_is_split_anew(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    bucket_compare(split=split, bucket=0)
    monday.bill(MON, *(line(f"R-{n}", MON) for n in range(1, 12)))
    whole = tried(lambda: run_reconcile(contract=monday.contract, day=MON))
    run = run_reconcile(contract=monday.contract, day=MON, split=split)
    assert outcome(run) == whole
    assert run.split != split
    assert not RunSplit.objects.get(pk=split.pk).run_id


def test_a_run_that_overtook_the_children_is_not_booked_twice(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    for bucket in range(2):
        bucket_compare(split=split, bucket=bucket)
    run_reconcile(contract=monday.contract, day=MON)
    again = run_reconcile(contract=monday.contract, day=MON, split=split)
    assert again.equation["holds"]
    assert booked(again) == {}


def test_rows_that_never_come_to_rest_end_the_run_with_a_reason(monday: Town, monkeypatch: Any) -> None:
    monkeypatch.setattr(services, "marks", lambda *_a: {0: (1, 1), 1: (1, 1)})
    with pytest.raises(PayopsError, match="keep changing") as caught:
        run_reconcile(contract=monday.contract, day=MON, buckets=2)
    assert caught.value.context["retryable"]
    assert not ReconRun.objects.exists()


# --- what the database refuses ----------------------------------------------------------------------------------------


def refused(statement: str, *params: object) -> str:
    with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, params)
    return caught.value.__cause__.diag.constraint_name or str(caught.value)


def test_a_run_takes_no_split_of_which_a_bucket_is_missing(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    bucket_compare(split=split, bucket=0)
    run = run_reconcile(contract=monday.contract, day=MON)
    take = "UPDATE reconciliation_runsplit SET run_id = %s WHERE id = %s"
    assert refused(take, run.pk, split.pk) == "run_split_is_whole"


def test_a_run_takes_no_split_that_has_not_every_line_once(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    bucket_compare(split=split, bucket=0)
    other = RunBucket.objects.get(split=split)
    other.pk, other.bucket, other.line_count = None, 1, other.line_count + 1
    other.save(force_insert=True)
    run = run_reconcile(contract=monday.contract, day=MON)
    take = "UPDATE reconciliation_runsplit SET run_id = %s WHERE id = %s"
    assert refused(take, run.pk, split.pk) == "run_split_is_whole"


def test_a_run_takes_no_split_of_another_day(monday: Town) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    for bucket in range(2):
        bucket_compare(split=split, bucket=bucket)
    monday.run(MON)
    tuesday = monday.day(TUE)
    take = "UPDATE reconciliation_runsplit SET run_id = %s WHERE id = %s"
    assert refused(take, tuesday.pk, split.pk) == "run_split_is_of_its_run"


def test_what_children_were_told_and_found_never_changes(monday: Town) -> None:
    by_children(monday.contract, MON, 2)
    for statement in (
        "UPDATE reconciliation_runsplit SET inputs = '{}'",
        "UPDATE reconciliation_runsplit SET run_id = NULL",
        "DELETE FROM reconciliation_runsplit",
        "UPDATE reconciliation_runbucket SET own_count = own_count + 1",
        "DELETE FROM reconciliation_runbucket",
    ):
        assert "never change" in refused(statement)


def test_a_split_has_no_bucket_beyond_its_number_and_none_after_its_run(monday: Town) -> None:
    by_children(monday.contract, MON, 2)
    add = (
        "INSERT INTO reconciliation_runbucket (split_id, bucket, turn, own_count, own_mark, own_last, line_count,"
        " joined, milliseconds, made_at) SELECT split_id, %s, turn + 1, own_count, own_mark, own_last, line_count,"
        " joined, 1, now() FROM reconciliation_runbucket WHERE bucket = 0"
    )
    assert refused(add, 0) == "run_bucket_is_of_its_split"
    open_split = run_split(contract=monday.contract, day=MON, buckets=2)
    bucket_compare(split=open_split, bucket=0)
    assert refused(add + f" AND split_id = {open_split.pk}", 2) == "run_bucket_is_of_its_split"


@pytest.mark.parametrize("buckets", [1, 65])
def test_a_split_has_2_to_64_buckets(monday: Town, buckets: int) -> None:
    split = run_split(contract=monday.contract, day=MON, buckets=2)
    split.pk, split.buckets = None, buckets
    with pytest.raises(IntegrityError, match="run_split_buckets"), transaction.atomic():
        split.save(force_insert=True)
