"""The demonstration server: everything up, everything down again, and the file-based queue carries jobs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from payops.config.settings.environment import BASE_DIR

pytestmark = [pytest.mark.slow, pytest.mark.crash]


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, str]]:
    """A database and a queue of its own, so that nobody's demonstration is disturbed."""
    var = Path(tempfile.mkdtemp(prefix="payops serve "))
    var.chmod(0o755)
    environment = {**os.environ, "PAYOPS_VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "payops.config.settings"}
    environment.pop("DATABASE_URL", None)
    environment.pop("CELERY_BROKER_URL", None)
    manage(environment, "migrate", "--verbosity", "0")
    yield environment
    manage(environment, "db", "stop")
    shutil.rmtree(var)


def manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, env=environment, cwd=BASE_DIR, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def demo(place) -> Iterator[tuple[subprocess.Popen, str]]:
    command = [sys.executable, "-m", "payops.config.serve", "--port", "8640", "--bank-port", "8690"]
    process = subprocess.Popen(command, env=place, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True)
    shown = ""
    while "Ctrl-C" not in shown:
        line = process.stdout.readline()
        assert line, f"the demonstration ended early: {shown}"
        shown += line
    yield process, shown
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


def descendants(of: int) -> set[int]:
    """Process ids below a process, by /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(after_name[1])
    found = {of}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {of}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_it_prints_where_everything_is_and_it_is_there(demo):
    _process, shown = demo
    site = re.search(r"http://127\.0\.0\.1:\d+(?=/console/)", shown)[0]
    bank = re.search(r"Simulated bank\s+(\S+)", shown)[1]
    for address in (f"{site}/accounts/login/", f"{site}/static/css/payops.css", f"{bank}/health"):
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.status == 200


def test_a_message_sent_through_files_reaches_the_worker(demo, place):
    messages = Path(place["PAYOPS_VAR_DIR"]) / "broker" / "messages"
    script = "from payops.core.tasks import sweep_jobs; sweep_jobs.delay()"
    manage(place, "shell", "--no-imports", "--command", script)
    deadline = time.monotonic() + 30
    while list(messages.glob("*.msg")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert list(messages.glob("*.msg")) == []


def test_ctrl_c_leaves_no_process_behind(demo):
    """Runs last: it ends the demonstration the others use."""
    process, _shown = demo
    children = descendants(process.pid)
    assert len(children) >= 4
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    time.sleep(0.5)
    assert [pid for pid in children if is_alive(pid)] == []
