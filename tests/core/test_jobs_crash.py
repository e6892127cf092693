"""Processes killed in the middle of a job: whatever was lost, going on leads to the same end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from payops.core import jobs
from payops.core.models import BusinessDay, JobRun
from tests.core import jobkinds  # registers the kinds  # noqa: F401

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RUN = "import django; django.setup(); import tests.core.jobkinds; from payops.core import jobs; jobs.run_now({id})"
SEND = "import django; django.setup(); from payops.core.tasks import run_job; run_job.delay({id})"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a process needs to work on the test database with a broker of its own."""
    database = connection.settings_dict
    place = {"host": database["HOST"], "port": database["PORT"]}
    query = urlencode({name: value for name, value in place.items() if value})
    (tmp_path / "var").mkdir()
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "payops.config.settings",
        "PYTHONPATH": str(settings.BASE_DIR),
        "DATABASE_URL": f"postgresql://{quote(database['USER'])}:{quote(database['PASSWORD'])}@/{database['NAME']}?{query}",
        "PAYOPS_VAR_DIR": str(tmp_path / "var"),
        "CELERY_BROKER_URL": "",
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a Python process in a group of its own; all of them are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=environment, cwd=settings.BASE_DIR, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def let_leases_run_out() -> None:
    JobRun.objects.filter(state="running").update(lease_until=Now())


WORKER = (
    "-m",
    "celery",
    "-A",
    "payops.config",
    "worker",
    "-c",
    "1",
    "-n",
    "w@t",
    "-l",
    "WARNING",
    "-I",
    "tests.core.jobkinds",
)


def test_a_worker_killed_in_the_middle_loses_nothing(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    marker = tmp_path / "started"
    job = jobs.enqueue("test.sleep", {"marker": str(marker)}, dispatch=False)
    worker = start(*WORKER)
    start("-c", SEND.format(id=job.pk)).wait(timeout=60)
    eventually(marker.exists)
    kill(worker)
    job.refresh_from_db()
    assert (job.state, job.attempt) == ("running", 1)
    assert jobs.sweep().requeued == 0, "its lease still holds"

    let_leases_run_out()
    assert jobs.sweep().requeued == 1
    start(*WORKER)
    start("-c", SEND.format(id=job.pk)).wait(timeout=60)
    eventually(lambda: JobRun.objects.get(pk=job.pk).is_finished)
    job.refresh_from_db()
    assert (job.state, job.attempt, job.result) == ("succeeded", 2, {"attempt": 2})


def test_a_job_with_parts_killed_again_and_again_ends_the_same(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    numbers = list(range(12))
    job = jobs.enqueue("test.split", {"numbers": numbers, "kind": "test.write_part"}, dispatch=False, max_attempts=50)
    for delay in (0.1, 0.5, 0.9, 1.3):
        process = start("-c", RUN.format(id=job.pk))
        eventually(lambda: JobRun.objects.filter(state="running").exists() or JobRun.objects.get(pk=job.pk).is_finished)
        time.sleep(delay)
        kill(process)
        let_leases_run_out()
    start("-c", RUN.format(id=job.pk)).wait(timeout=60)
    job.refresh_from_db()
    assert (job.state, job.result, job.pending) == ("succeeded", {"square": 12}, 0)
    assert JobRun.objects.filter(parent=job, is_join=False, state="succeeded").count() == 12
    assert JobRun.objects.filter(is_join=True).count() == 1
    assert BusinessDay.objects.filter(day__year=2090, note="2").count() == 12
    BusinessDay.objects.filter(day__year=2090).delete()
