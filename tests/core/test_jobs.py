"""Durable jobs: claimed once, retried when it helps, split and joined, and never lost."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models.functions import Now

from payops.core import jobs, tasks
from payops.core.choices import JOB_STATE_COLOURS, JOB_STATE_NEXT, JobState
from payops.core.errors import PayopsError
from payops.core.jobs import queue, runner
from payops.core.models import BusinessDay, JobRun
from tests.core import jobkinds


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)
    jobkinds.calls.clear()
    yield
    jobkinds.calls.clear()


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The messages sent instead of going to a broker."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(queue, "_send", lambda job_id, delay: sent.append((job_id, delay)))
    return sent


def refused(call: Any, **kwargs: Any) -> str:
    with pytest.raises(PayopsError) as caught:
        call(**kwargs)
    return caught.value.code


def expire(job: JobRun) -> None:
    JobRun.objects.filter(pk=job.pk).update(lease_until=Now() - dt.timedelta(seconds=1))


# --- queueing ---------------------------------------------------------------------------------------------------------


def test_a_job_is_queued_with_what_it_needs(db: None) -> None:
    day = dt.date(2026, 11, 20)
    job = jobs.enqueue("test.add", {"a": 1, "b": 2}, key="add", business_date=day, created_by="alice")
    job.refresh_from_db()
    assert (job.state, job.attempt, job.params, job.business_date) == ("queued", 0, {"a": 1, "b": 2}, day)


def test_workers_are_told_only_when_the_transaction_commits(
    db: None, rung: list[tuple[int, int]], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = jobs.enqueue("test.add", {"a": 1, "b": 2})
        assert rung == []
    assert rung == [(job.pk, 0)]


def test_a_job_falls_with_the_transaction_that_asked_for_it(db: None) -> None:
    with transaction.atomic():
        jobs.enqueue("test.add", {"a": 1, "b": 2})
        transaction.set_rollback(True)
    assert not JobRun.objects.exists()


def test_a_broker_that_is_down_does_not_fail_the_request(
    db: None, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def down(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.run_job, "apply_async", down)
    with django_capture_on_commit_callbacks(execute=True):
        job = jobs.enqueue("test.add", {"a": 1, "b": 2})
    assert jobs.run_now(job.pk).state == "succeeded"


def test_the_same_key_gives_the_same_unfinished_or_succeeded_run(db: None) -> None:
    first = jobs.enqueue("test.add", {"a": 1, "b": 2}, key="k")
    assert jobs.enqueue("test.add", {"a": 1, "b": 2}, key="k").pk == first.pk
    jobs.run_now(first.pk)
    assert jobs.enqueue("test.add", {"a": 1, "b": 2}, key="k").pk == first.pk
    assert jobs.enqueue("test.add", {"a": 1, "b": 2}).pk != first.pk


def test_a_failed_run_gives_its_key_free(db: None) -> None:
    first = jobs.enqueue_and_run("test.refuse", key="k")
    assert jobs.enqueue("test.refuse", key="k").pk != first.pk


@pytest.mark.django_db(transaction=True)
def test_callers_racing_for_one_key_get_one_run(rung: list[tuple[int, int]]) -> None:
    barrier = threading.Barrier(6)

    def ask() -> int:
        try:
            barrier.wait(timeout=20)
            return jobs.enqueue("test.add", {"a": 1, "b": 2}, key="race").pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        ids = {task.result() for task in [pool.submit(ask) for _ in range(6)]}
    assert len(ids) == 1
    assert JobRun.objects.count() == 1


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_run_that_succeeds_keeps_result_progress_and_log(db: None) -> None:
    job = jobs.enqueue_and_run("test.add", {"a": 1, "b": 2})
    assert (job.state, job.result, job.attempt, job.message) == ("succeeded", {"sum": 3}, 1, "added")
    assert (job.progress_done, job.progress_total) == (1, 1)
    assert "adding" in job.log
    assert job.finished_at >= job.started_at >= job.created_at
    assert jobs.raise_if_failed(job) is job


def test_a_refusal_fails_at_once_with_its_own_words(db: None) -> None:
    job = jobs.enqueue_and_run("test.refuse")
    assert (job.state, job.attempt, job.error_code) == ("failed", 1, "test.refused")
    assert "2026-11-20" in job.error_message
    with pytest.raises(PayopsError, match="2026-11-20") as caught:
        jobs.raise_if_failed(job)
    assert caught.value.code == "test.refused"


def test_a_defect_fails_with_a_reference_and_keeps_its_details_to_the_log_file(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    job = jobs.enqueue_and_run("test.defect")
    assert (job.state, job.attempt, job.error_code) == ("failed", 1, "jobs.defect")
    assert "secret" not in job.error_message + job.log
    reference = job.error_message.rstrip(".").split()[-1]
    assert any(reference in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("domain", [False, True])
def test_a_passing_failure_is_tried_again(db: None, domain: bool) -> None:
    job = jobs.enqueue_and_run("test.flaky", {"until": 3, "domain": domain})
    assert (job.state, job.attempt, job.result, job.error_code) == ("succeeded", 3, {"attempt": 3}, "")
    assert job.log.count("attempt") == 2


def test_after_its_last_attempt_a_passing_failure_is_final(db: None) -> None:
    job = jobs.enqueue_and_run("test.flaky", {"until": 9}, max_attempts=2)
    assert (job.state, job.attempt, job.error_code) == ("failed", 2, "jobs.unavailable")


def test_a_retry_is_rung_for_later(
    db: None, rung: list[tuple[int, int]], django_capture_on_commit_callbacks: Any
) -> None:
    job = jobs.enqueue("test.flaky", {"until": 2}, dispatch=False)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.run_job(job.pk)
    assert rung == [(job.pk, 2)]


def test_an_unknown_kind_fails_and_says_so(db: None) -> None:
    job = jobs.enqueue_and_run("test.nobody")
    assert (job.state, job.error_code) == ("failed", "jobs.unknown_kind")
    assert "test.nobody" in job.error_message


def test_a_kind_is_registered_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        jobs.register("test.add")(lambda job: None)
    assert "test.add" in jobs.kinds()


def test_a_message_for_a_run_already_claimed_or_finished_is_dropped(db: None) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2})
    claimed = runner.claim(job.pk)
    assert claimed is not None
    tasks.run_job(job.pk)
    assert jobkinds.calls == []
    JobRun.objects.filter(pk=job.pk).update(state=JobState.CANCELLED, lease_until=None, finished_at=Now())
    tasks.run_job(job.pk)
    tasks.run_job(10**9)
    assert jobkinds.calls == []


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_runs_the_job(rung: list[tuple[int, int]]) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2})
    barrier = threading.Barrier(6)

    def work() -> bool:
        try:
            barrier.wait(timeout=20)
            return jobs.run_one(job.pk) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        results = [task.result() for task in [pool.submit(work) for _ in range(6)]]
    assert results.count(True) == 1
    assert jobkinds.calls == [("test.add", job.pk)]


def test_being_asked_to_stop_hands_the_run_back(db: None) -> None:
    job = jobs.enqueue("test.interrupt")
    with pytest.raises(KeyboardInterrupt):
        jobs.run_one(job.pk)
    job.refresh_from_db()
    assert job.state == "queued"
    assert jobs.run_now(job.pk).result == {"attempt": 2}


def test_waiting_for_a_run_in_other_hands_ends_with_the_time_given(db: None) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2})
    runner.claim(job.pk)
    assert refused(jobs.run_now, job_id=job.pk, timeout_seconds=0.05) == "jobs.timeout"


# --- leases -----------------------------------------------------------------------------------------------------------


def test_a_run_whose_lease_ran_out_is_queued_again(
    db: None, rung: list[tuple[int, int]], django_capture_on_commit_callbacks: Any
) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2}, dispatch=False)
    runner.claim(job.pk)
    assert jobs.sweep().requeued == 0
    expire(job)
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs.sweep().requeued == 1
    assert rung == [(job.pk, 0)]
    assert jobs.run_now(job.pk).attempt == 2


def test_a_run_that_kills_its_process_every_time_is_given_up(db: None) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2}, max_attempts=2)
    for _attempt in range(2):
        assert runner.claim(job.pk) is not None
        expire(job)
        jobs.sweep()
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "jobs.lease_expired")


def test_a_process_that_was_only_slow_writes_nothing_more(db: None) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2})
    slow = runner.claim(job.pk)
    assert slow is not None
    expire(job)
    jobs.sweep()
    other = runner.claim(job.pk)
    assert other is not None
    with pytest.raises(jobs.LeaseLostError):
        runner._succeed(slow, {"sum": -1})
    runner._fail(slow, PayopsError("late", "late"))
    job.refresh_from_db()
    assert (job.state, job.result, job.error_code) == ("running", None, "")
    runner._succeed(other, {"sum": 3})
    job.refresh_from_db()
    assert job.result == {"sum": 3}


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_renews_the_lease_and_writes_progress_of_an_open_transaction(settings: Any) -> None:
    settings.PAYOPS_JOBS_LEASE_SECONDS = 1
    job = jobs.enqueue("test.add", {"a": 1, "b": 2}, dispatch=False)
    claimed = runner.claim(job.pk)
    assert claimed is not None
    heartbeat = runner.Heartbeat(claimed)
    claimed._heartbeat = heartbeat
    heartbeat.start()
    with transaction.atomic():
        jobs.job_progress(claimed, 5, 10, "half")
        threading.Event().wait(1.5)
    heartbeat.stop()
    job.refresh_from_db()
    assert (job.progress_done, job.progress_total, job.message) == (5, 10, "half")
    assert job.lease_until > claimed.lease_until
    assert jobs.sweep().requeued == 0
    assert heartbeat.lost is False


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_notices_that_the_run_was_taken_away(settings: Any) -> None:
    settings.PAYOPS_JOBS_LEASE_SECONDS = 1
    job = jobs.enqueue("test.add", {"a": 1, "b": 2}, dispatch=False)
    claimed = runner.claim(job.pk)
    assert claimed is not None
    claimed._heartbeat = runner.Heartbeat(claimed)
    jobs.job_cancel(job_id=job.pk)
    claimed._heartbeat._beat()
    with pytest.raises(jobs.LeaseLostError):
        jobs.job_progress(claimed, 1, 2)


def test_a_run_whose_message_was_lost_is_rung_for_again(
    db: None, rung: list[tuple[int, int]], django_capture_on_commit_callbacks: Any
) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2}, dispatch=False)
    assert jobs.sweep().rung == 0
    JobRun.objects.filter(pk=job.pk).update(queued_at=Now() - dt.timedelta(minutes=2))
    with django_capture_on_commit_callbacks(execute=True):
        tasks.sweep_jobs()
        assert jobs.sweep().rung == 0
    assert rung == [(job.pk, 0)]


# --- parts ------------------------------------------------------------------------------------------------------------


def test_a_job_with_parts_waits_and_takes_the_result_of_its_join(db: None) -> None:
    job = jobs.enqueue_and_run("test.split", {"numbers": [1, 2, 3]})
    assert (job.state, job.result, job.pending) == ("succeeded", {"square": 14}, 0)
    assert JobRun.objects.filter(parent=job, is_join=False).count() == 3
    assert JobRun.objects.filter(parent=job, is_join=True).count() == 1


def test_a_job_without_parts_is_joined_at_once(db: None) -> None:
    assert jobs.enqueue_and_run("test.split", {"numbers": []}).result == {"square": 0}


def test_parts_may_have_parts(db: None) -> None:
    job = jobs.enqueue_and_run("test.split", {"numbers": [1, 3], "kind": "test.nested"})
    assert (job.state, job.result) == ("succeeded", {"square": 1 + 4 + 9 + 16})


def test_the_last_part_alone_inserts_the_join(db: None) -> None:
    job = jobs.enqueue("test.split", {"numbers": [1, 2]})
    jobs.run_one(job.pk)
    first, second = JobRun.objects.filter(parent=job).order_by("id")
    jobs.run_one(first.pk)
    assert not JobRun.objects.filter(is_join=True).exists()
    jobs.run_one(second.pk)
    assert JobRun.objects.get(is_join=True).state == "queued"
    job.refresh_from_db()
    assert (job.state, job.pending) == ("waiting", 0)


@pytest.mark.django_db(transaction=True)
def test_parts_finishing_together_make_one_join(rung: list[tuple[int, int]]) -> None:
    job = jobs.enqueue("test.split", {"numbers": list(range(12))})
    jobs.run_one(job.pk)
    parts = list(JobRun.objects.filter(parent=job).values_list("pk", flat=True))

    def work(part_id: int) -> None:
        try:
            jobs.run_one(part_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, parts))
    assert JobRun.objects.filter(is_join=True).count() == 1
    assert jobs.run_now(job.pk).result == {"square": sum(n * n for n in range(12))}


def test_a_part_that_fails_fails_the_whole_and_its_retry_saves_it(db: None) -> None:
    jobkinds.calls.append(("unlucky", 0))
    job = jobs.enqueue_and_run("test.split", {"numbers": [1, 13, 2]})
    assert (job.state, job.error_code) == ("failed", "jobs.part_failed")
    assert "13 is unlucky" in job.error_message
    jobkinds.calls.clear()
    jobs.job_retry(job_id=job.pk)
    job = jobs.run_now(job.pk)
    assert (job.state, job.result, job.error_message) == ("succeeded", {"square": 174}, "")


def test_retrying_the_failed_part_alone_does_the_same(db: None) -> None:
    jobkinds.calls.append(("unlucky", 0))
    job = jobs.enqueue_and_run("test.split", {"numbers": [1, 13]})
    jobkinds.calls.clear()
    part = JobRun.objects.get(parent=job, state="failed")
    jobs.job_retry(job_id=part.pk)
    assert jobs.run_now(job.pk).result == {"square": 170}


def test_splitting_after_the_lease_was_lost_inserts_nothing(db: None) -> None:
    job = jobs.enqueue("test.split", {"numbers": [1]})
    slow = runner.claim(job.pk)
    assert slow is not None
    expire(job)
    jobs.sweep()
    with pytest.raises(jobs.LeaseLostError):
        jobs.fan_out(slow, "test.part", [{"number": 1}], "test.join")
    assert not JobRun.objects.filter(parent=job).exists()


def test_too_many_parts_are_refused(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_PARTS", 2)
    assert jobs.enqueue_and_run("test.split", {"numbers": [1, 2, 3]}).error_code == "jobs.too_many_parts"


# --- retry and cancel -------------------------------------------------------------------------------------------------


def test_only_a_failed_or_cancelled_run_is_retried(db: None) -> None:
    job = jobs.enqueue_and_run("test.add", {"a": 1, "b": 2})
    assert refused(jobs.job_retry, job_id=job.pk) == "jobs.not_retryable"


def test_a_retry_has_all_its_attempts_again(db: None) -> None:
    job = jobs.enqueue_and_run("test.flaky", {"until": 9}, max_attempts=2)
    job = jobs.job_retry(job_id=job.pk)
    assert (job.state, job.attempt, job.error_code, job.finished_at) == ("queued", 0, "", None)


def test_a_run_whose_work_was_queued_anew_is_not_retried(db: None) -> None:
    job = jobs.enqueue_and_run("test.refuse", key="k")
    jobs.enqueue("test.refuse", key="k")
    assert refused(jobs.job_retry, job_id=job.pk) == "jobs.key_taken"


def test_a_cancelled_run_is_not_started_and_not_cancelled_again(db: None) -> None:
    job = jobs.enqueue("test.add", {"a": 1, "b": 2})
    jobs.job_cancel(job_id=job.pk)
    assert jobs.run_one(job.pk) is None
    assert refused(jobs.job_cancel, job_id=job.pk) == "jobs.finished"


@pytest.mark.django_db(transaction=True)
def test_a_run_cancelled_while_it_works_writes_nothing_more() -> None:
    job = jobs.enqueue("test.cancelled", dispatch=False)
    jobs.run_one(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result) == ("cancelled", None)
    assert not BusinessDay.objects.filter(day="2091-01-01").exists()


def test_cancelling_a_job_cancels_its_parts_and_a_retry_takes_them_up(db: None) -> None:
    job = jobs.enqueue("test.split", {"numbers": [1, 2]})
    jobs.run_one(job.pk)
    jobs.job_cancel(job_id=job.pk)
    assert set(JobRun.objects.values_list("state", flat=True)) == {"cancelled"}
    jobs.job_retry(job_id=job.pk)
    assert jobs.run_now(job.pk).result == {"square": 5}


def test_cancelling_a_part_fails_the_whole(db: None) -> None:
    job = jobs.enqueue("test.split", {"numbers": [1, 2]})
    jobs.run_one(job.pk)
    jobs.job_cancel(job_id=JobRun.objects.filter(parent=job).order_by("id")[0].pk)
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "jobs.part_failed")


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "lost"},
        {"state": "running"},
        {"state": "queued", "lease_until": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
        {"state": "succeeded"},
        {"attempt": 4},
        {"is_join": True},
        {"pending": -1},
    ],
)
def test_the_database_refuses_a_run_that_cannot_be(db: None, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        JobRun.objects.create(kind="x", **wrong)


def test_every_state_has_a_colour_and_its_next_states() -> None:
    assert set(JOB_STATE_COLOURS) == set(JOB_STATE_NEXT) == set(JobState.values)
    assert JobRun(state="failed").colour == "danger"
