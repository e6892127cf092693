"""Processes that compare a day in buckets, killed anywhere: started again, the day ends as if nothing had been.

Where a process is to die is decided by a lock: the test holds a table, the process runs until it wants to write there,
and is killed with everything before that write still uncommitted.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from payops.core import jobs
from payops.core.models import JobRun
from payops.reconciliation.jobs import run_enqueue
from payops.reconciliation.models import ReconRun, RunBucket
from payops.reconciliation.services import run_reconcile
from tests.reconciliation.builders import MON, Town, build_town, line, pay
from tests.reconciliation.outcomes import outcome

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def town(transactional_db: None) -> Town:
    made = build_town()
    made.orders(*(pay(str(n), MON) for n in range(1, 12)), pay("lost", MON, status="unknown"))
    made.close(MON)
    made.bill(MON, *(line(f"R-{n}", MON) for n in range(3, 12)), line("R-lost", MON), line("R-9", MON, trade_no="T"))
    return made


@pytest.fixture
def whole(town: Town) -> dict[str, Any]:
    """How the day ends when it is compared as a whole; taken back."""
    with transaction.atomic():
        left = outcome(run_reconcile(contract=town.contract, day=MON))
        transaction.set_rollback(True)
    return left


def environment() -> dict[str, str]:
    """Of a process that works on this test's database."""
    params = connection.get_connection_params()
    host, user = quote(str(params["host"]), safe=""), params.get("user") or ""
    return os.environ | {"DATABASE_URL": f"postgresql://{user}@{host}:{params['port']}/{params['dbname']}"}


@contextlib.contextmanager
def worker(job: JobRun) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that works on the job until it has ended."""
    command = [sys.executable, "-m", "payops.reconciliation.buckets.helpers", str(job.pk)]
    process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment(), start_new_session=True)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=20)


@contextlib.contextmanager
def held(table: str) -> Iterator[psycopg.Connection]:
    """Nobody writes to the table while this lasts; everybody may read it."""
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield other
        other.rollback()


def waits_for(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", [table])
        return bool(cursor.fetchone()[0])


def nobody_works() -> bool:
    """The dead process's connections are gone, and with them what it held."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return not cursor.fetchone()[0]


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def killed_at(table: str, job: JobRun) -> None:
    """Let a process work until it wants to write to the table, and kill it there; its claim runs out."""
    with held(table), worker(job) as process:
        eventually(lambda: waits_for(table))
        kill(process)
    eventually(nobody_works)
    JobRun.objects.filter(state="running").update(lease_until=timezone.now())
    jobs.sweep()


def ends_as_whole(job: JobRun, whole: dict[str, Any]) -> None:
    done = jobs.raise_if_failed(jobs.run_now(job.pk, timeout_seconds=60))
    assert outcome(ReconRun.objects.get(pk=done.result["run"])) == whole
    assert ReconRun.objects.count() == 1


def test_children_and_parent_killed_in_the_middle_end_in_the_same_run(town: Town, whole: dict[str, Any]) -> None:
    job = run_enqueue(contract=town.contract, day=MON, username="alice", buckets=3, dispatch=False)
    for table in (
        "reconciliation_runsplit",
        "reconciliation_runbucket",
        "reconciliation_reconresult",
    ):
        killed_at(table, job)
        assert not ReconRun.objects.exists()
    assert RunBucket.objects.count() == 3
    ends_as_whole(job, whole)


def test_the_bucket_of_a_killed_worker_goes_to_another_one(town: Town, whole: dict[str, Any]) -> None:
    job = run_enqueue(contract=town.contract, day=MON, username="alice", buckets=2, dispatch=False)
    with held("reconciliation_runbucket"), worker(job) as first:
        eventually(lambda: waits_for("reconciliation_runbucket"))
        kill(first)
    eventually(nobody_works)
    JobRun.objects.filter(state="running").update(lease_until=timezone.now())
    with worker(job) as second:
        assert second.wait(timeout=60) == 0
    ends_as_whole(job, whole)
    assert set(JobRun.objects.filter(kind="reconciliation.bucket").values_list("attempt", flat=True)) == {1, 2}


def test_two_processes_share_the_buckets_of_a_day(town: Town, whole: dict[str, Any]) -> None:
    job = run_enqueue(contract=town.contract, day=MON, username="alice", buckets=7, dispatch=False)
    with worker(job) as first, worker(job) as second:
        assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    ends_as_whole(job, whole)


def test_the_command_compares_by_processes_of_its_own(town: Town, whole: dict[str, Any]) -> None:
    command = [sys.executable, "manage.py", "reconcile", "--channel", "WECHAT", "--date", MON.isoformat()]
    done = subprocess.run(
        [*command, "--buckets", "5", "--json"],
        cwd=settings.BASE_DIR,
        env=environment(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    assert outcome(ReconRun.objects.get(pk=told["run"])) == whole
    assert [row["bucket"] for row in told["buckets"]] == [0, 1, 2, 3, 4]
