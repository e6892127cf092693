"""A day killed anywhere and started again ends in the same books as an undisturbed one (DOMAIN 4.6).

Each test works on a database and at a bank of its own, copies of one in which everything of Monday has arrived. Where
a process is to die is decided by a lock: the test holds a table, the step runs until it wants to write there, and is
killed with everything before that write still uncommitted.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from django.conf import settings

from payops.config.embedded_pg import PORT, SUPERUSER, EmbeddedPostgres
from tests.dayend.days import MON, bank_at

pytestmark = [pytest.mark.crash, pytest.mark.slow]

# In the order in which an undisturbed day writes them; the step they belong to stands beside them.
POINTS = [
    ("accounts_daybalance", "close"),
    ("reconciliation_reconresult", "runs"),
    ("reconciliation_runvoucher", "runs"),
    ("reconciliation_channelreceipt", "runs"),
    ("channels_bankline", "receipts"),
    ("settlement_clearingitem", "clearing"),
    ("settlement_settlementsheet", "settlement"),
    ("settlement_balancecheck", "balance_check"),
    ("settlement_payout", "payouts"),
    ("statements_statement", "statements"),
]
_numbers = count(1)


@dataclass
class Place:
    """A database, a bank and the processes at work on them."""

    server: EmbeddedPostgres
    database: str
    root: Path
    bank_url: str
    files: Path
    var: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        query = urlencode({"host": str(self.server.socket_dir), "port": PORT})
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "payops.config.settings",
            "PYTHONPATH": str(settings.BASE_DIR),
            "DATABASE_URL": f"postgresql://{SUPERUSER}@/{self.database}?{query}",
            "PAYOPS_VAR_DIR": str(self.var),
            "PAYOPS_FILES_DIR": str(self.files),
            "BANK_SIMULATOR_URL": self.bank_url,
            "CELERY_BROKER_URL": "",
        }

    # -- processes -------------------------------------------------------------------------------------------------

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A process in a group of its own."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=settings.BASE_DIR,
            start_new_session=True,
            stdout=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def begin(self, work: str) -> subprocess.Popen[bytes]:
        return self.start("-m", "tests.dayend.driver", work, str(self.root), self.bank_url)

    def do(self, work: str) -> Any:
        """Run a work of the driver to its end; what it printed."""
        process = self.begin(work)
        output, _nothing = process.communicate(timeout=180)
        assert process.returncode == 0, f"{work} ended with {process.returncode}"
        return json.loads(output) if output else None

    def end(self) -> None:
        for process in self.started:
            kill(process)

    # -- the database ----------------------------------------------------------------------------------------------

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.server.url(self.database), autocommit=True)

    def ask(self, question: str) -> Any:
        with self.connect() as connection:
            return connection.execute(question).fetchone()[0]

    @contextlib.contextmanager
    def held(self, table: str) -> Iterator[None]:
        """Nobody writes to the table while this lasts; everybody may read it."""
        with psycopg.connect(self.server.url(self.database)) as connection:
            connection.execute(f"LOCK TABLE {table} IN SHARE MODE")
            yield
            connection.rollback()

    def somebody_waits(self) -> bool:
        return bool(
            self.ask(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'"
            )
        )

    def nobody_is_left(self) -> bool:
        """The dead process's connections are gone, and with them what it held."""
        return not self.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
    if process.stdout is not None:
        process.stdout.close()


def eventually(condition: Callable[[], bool], seconds: float = 60, pause: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(pause)


def paid_by(bank: Path) -> list[tuple[str, int]]:
    """What the bank paid out, by payee: nothing may be there twice."""
    with contextlib.closing(sqlite3.connect(bank / "bank.sqlite3")) as store:
        return sorted(store.execute("SELECT payee_account, amount FROM payout").fetchall())


# --- a Monday to copy -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def var() -> Iterator[Path]:
    """One folder for keys, messages and the server, which everybody may enter: the server runs as somebody else."""
    made = Path(tempfile.mkdtemp(prefix="payops-crash-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def server(var: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of these tests' own, which they may kill."""
    made = EmbeddedPostgres(var / "pg").ensure_running()
    yield made
    made.stop()
    shutil.rmtree(made.socket_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def monday(server: EmbeddedPostgres, var: Path, small_days: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database `monday` and the bank's folder after everything of Monday has arrived."""
    folder = tmp_path_factory.mktemp("monday")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE monday")
    with bank_at(folder / "bank", MON) as bank:
        place = Place(server, "monday", small_days, bank.url, folder / "files", var)
        assert place.start("manage.py", "migrate", "--verbosity", "0").wait(timeout=180) == 0
        place.do("prepare")
        place.end()
    return folder


@pytest.fixture
def place(server: EmbeddedPostgres, var: Path, monday: Path, small_days: Path, tmp_path: Path) -> Iterator[Place]:
    """A copy of Monday."""
    name = f"crash_{next(_numbers)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE monday")
    shutil.copytree(monday / "bank", tmp_path / "bank")
    shutil.copytree(monday / "files", tmp_path / "files")
    with bank_at(tmp_path / "bank", MON) as bank:
        made = Place(server, name, small_days, bank.url, tmp_path / "files", var)
        yield made
        made.end()


@pytest.fixture(scope="module")
def undisturbed(
    server: EmbeddedPostgres, var: Path, monday: Path, small_days: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """How a Monday ends that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE undisturbed TEMPLATE monday")
    shutil.copytree(monday / "bank", folder / "bank")
    shutil.copytree(monday / "files", folder / "files")
    with bank_at(folder / "bank", MON) as bank:
        place = Place(server, "undisturbed", small_days, bank.url, folder / "files", var)
        books = place.do("finish_and_look")
        place.end()
    assert set(books["steps"].values()) == {"done"}
    return {"books": books, "paid": paid_by(folder / "bank")}


def ends_like(place: Place, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    assert place.do("finish_and_look") == undisturbed["books"]
    assert paid_by(tmp_path / "bank") == undisturbed["paid"]


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_day_killed_in_the_middle_of_every_step_ends_in_the_same_books(
    place: Place, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    for table, step in POINTS:
        with place.held(table):
            process = place.begin("finish")
            eventually(place.somebody_waits)
            assert place.ask(f"SELECT state FROM dayend_daystep WHERE step = '{step}'") == "running"
            kill(process)
        eventually(place.nobody_is_left)
    ends_like(place, undisturbed, tmp_path)


def test_a_day_killed_while_the_bank_pays_pays_nobody_twice(
    place: Place, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    for paid in (1, 3, 5):
        process = place.begin("finish")
        eventually(lambda paid=paid: len(paid_by(tmp_path / "bank")) >= paid, pause=0.001)
        kill(process)
        eventually(place.nobody_is_left)
    ends_like(place, undisturbed, tmp_path)


def test_a_day_killed_at_any_moment_ends_in_the_same_books(
    place: Place, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    chance = random.Random(20261116)
    for _kill in range(5):
        steps_done = place.ask("SELECT count(*) FROM dayend_daystep WHERE state = 'done'")
        process = place.begin("finish")
        eventually(lambda: bool(place.ask("SELECT count(*) FROM dayend_daystep WHERE state = 'running'")), pause=0.005)
        time.sleep(chance.uniform(0, 0.4))
        kill(process)
        eventually(place.nobody_is_left)
        assert place.ask("SELECT count(*) FROM dayend_daystep WHERE state = 'done'") >= steps_done
    ends_like(place, undisturbed, tmp_path)


def test_a_worker_killed_in_the_middle_of_the_day_is_replaced_by_the_next(
    place: Place, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    worker = ("-m", "celery", "-A", "payops.config", "worker", "-c", "1", "-n", "day@t", "-l", "WARNING")
    with place.held("settlement_clearingitem"):
        first = place.start(*worker)
        job = place.do("queue_day")
        eventually(place.somebody_waits)
        kill(first)
    state = f"SELECT state FROM core_jobrun WHERE id = {job}"
    assert place.ask(state) == "running"
    place.ask("UPDATE core_jobrun SET lease_until = now() WHERE state = 'running' RETURNING 1")
    assert place.do("sweep") >= 1
    place.start(*worker)
    eventually(lambda: place.ask(state) == "succeeded")
    ends_like(place, undisturbed, tmp_path)


# --- the database -----------------------------------------------------------------------------------------------------


def test_a_day_whose_database_is_killed_goes_on_when_it_is_back(
    place: Place, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    for table in ("reconciliation_runvoucher", "settlement_settlementsheet"):
        lock = psycopg.connect(place.server.url(place.database))
        lock.execute(f"LOCK TABLE {table} IN SHARE MODE")
        process = place.begin("finish")
        eventually(place.somebody_waits)
        os.kill(int(place.server.status()["pid"]), signal.SIGKILL)
        assert process.wait(timeout=60) != 0
        lock.close()
        place.server.ensure_running()
    ends_like(place, undisturbed, tmp_path)
