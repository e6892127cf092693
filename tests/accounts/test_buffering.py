"""Buffered balances while everything happens at once: stored balance + queue = sum of entries, at every moment."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.db import connection, transaction

from payops.accounts import buffering, modes, selectors, services, sql
from payops.accounts.choices import AccountStatus, Event, PostingMode
from payops.accounts.models import Account, Entry, QueuedMovement
from payops.accounts.posting import Posting
from payops.accounts.tasks import drain as drain_task
from payops.core.errors import PayopsError
from payops.core.ids import id_range
from tests.accounts.conftest import MONDAY, OWNERS, TUESDAY, set_up_ledger
from tests.accounts.test_concurrency import together

pytestmark = pytest.mark.django_db(transaction=True)
BUFFERED = ("300101-wx", "220201-M-A", "220201-M-B")


def hot_ledger() -> None:
    """Payments are buffered on the channel and on both merchants; Tuesday is open."""
    set_up_ledger()
    for account_no in BUFFERED:
        modes.mode_set(
            account=Account.objects.get(account_no=account_no),
            event=Event.PAYMENT,
            mode=PostingMode.BUFFERED,
            effective_day=TUESDAY,
            by="bob",
        )
    services.day_cut_off(MONDAY)


@pytest.fixture
def hot(transactional_db: None) -> None:
    hot_ledger()


def payment(source: int, merchant: str = "M-A", amount: int = 1, event: Event = Event.PAYMENT) -> Posting:
    return Posting(event, "test", source, {"A": amount}, {**OWNERS, "merchant": merchant}, TUESDAY)


def balances_are_exact() -> None:
    """Stored + queue = Σ entries for every account, read in one statement while others go on."""
    lo, hi = id_range(MONDAY, dt.date(2026, 11, 20))
    wrong = sql.fetch(sql.with_open_days(sql.bounded(sql.BALANCE_DIFFERENCES, lo, hi)), {"day": None})
    assert wrong == []


# --- draining ---


def test_a_step_takes_no_more_than_its_limit(hot: None) -> None:
    services.post_many([payment(n) for n in range(1, 8)])
    assert [buffering.drain(limit=5), buffering.drain(limit=5), buffering.drain(limit=5)] == [5, 5, 4]
    assert buffering.drain(limit=5) == 0
    balances_are_exact()


def test_the_oldest_movements_go_first(hot: None) -> None:
    services.post_many([payment(n, amount=n) for n in range(1, 4)])
    before = list(QueuedMovement.objects.order_by("id").values_list("id", flat=True))
    buffering.drain(limit=4)
    assert list(QueuedMovement.objects.order_by("id").values_list("id", flat=True)) == before[4:]


def test_the_task_drains_everything(hot: None) -> None:
    services.post_many([payment(n) for n in range(1, 8)])
    assert drain_task() == 14
    assert (QueuedMovement.objects.count(), selectors.account_get("3001.01", "channel", "wx").balance) == (0, 7)


def test_lag_and_depth_are_told_per_account(hot: None) -> None:
    services.post_many([payment(n, amount=n) for n in range(1, 4)])
    states = {state.account_no: state for state in buffering.queue_states()}
    assert {no: (state.depth, state.delta) for no, state in states.items()} == {
        "300101-wx": (3, 6),
        "220201-M-A": (3, 6),
    }
    assert all(dt.timedelta(0) < state.lag < dt.timedelta(minutes=1) for state in states.values())


def test_two_drains_share_the_queue(hot: None) -> None:
    services.post_many([payment(n) for n in range(1, 501)])
    assert sum(together(*[lambda: buffering.drain_all(step=20)] * 4)) == 1000
    balances_are_exact()


def test_a_drain_ends_although_movements_keep_coming(hot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    step, numbers = buffering.drain, itertools.count(4)

    def step_and_one_more_payment(*, limit: int) -> int:
        moved = step(limit=limit)
        services.post_many([payment(next(numbers))])
        return moved

    services.post_many([payment(n) for n in range(1, 4)])
    monkeypatch.setattr(buffering, "drain", step_and_one_more_payment)
    assert buffering.drain_all(step=6) == 8
    assert QueuedMovement.objects.count() == 2


def test_a_drain_that_is_rolled_back_moved_nothing(hot: None) -> None:
    services.post_many([payment(n) for n in range(1, 4)])
    with contextlib.suppress(RuntimeError), transaction.atomic():
        buffering.drain_all()
        raise RuntimeError
    assert QueuedMovement.objects.count() == 6
    balances_are_exact()


def test_whoever_decides_by_a_balance_takes_what_is_queued_first(hot: None) -> None:
    services.post_many([payment(n) for n in range(1, 4)])
    account = Account.objects.get(account_no="220201-M-A")
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        assert buffering.take_queued([account.pk]) == 3
    account.refresh_from_db()
    assert account.balance == 3
    assert QueuedMovement.objects.count() == 3
    balances_are_exact()


# --- no lock on a buffered account ---


def test_a_buffered_account_held_by_somebody_does_not_stop_a_posting(hot: None) -> None:
    with transaction.atomic():
        list(Account.objects.select_for_update(no_key=True).filter(account_no__in=BUFFERED))
        results = together(lambda: services.post(payment(1)), lambda: services.post_many([payment(2)]))
    assert [getattr(result, "line_count", None) or result.posted for result in results] == [2, 1]
    balances_are_exact()


def test_posting_draining_and_closing_the_day_at_once_lose_nothing(hot: None) -> None:
    def post_singly(base: int, event: Event) -> Callable[[], None]:
        def run() -> None:
            for n in range(40):
                with contextlib.suppress(PayopsError):
                    services.post(payment(base + n, "M-A" if n % 2 else "M-B", n + 1, event))

        return run

    def post_in_bulk() -> None:
        for n in range(5):
            services.post_many([payment(10_000 + n * 100 + k, "M-B", k) for k in range(60)])

    def drain() -> None:
        for _ in range(30):
            with contextlib.suppress(PayopsError):
                buffering.drain(limit=25)

    def turn_the_day() -> None:
        time.sleep(0.2)
        services.day_cut_off(TUESDAY)
        services.close_day(MONDAY)
        assert services.close_day(TUESDAY).findings == ()

    def look() -> None:
        for _ in range(10):
            balances_are_exact()

    results = together(
        post_singly(1000, Event.PAYMENT), post_singly(2000, Event.VOID), post_in_bulk, drain, drain, turn_the_day, look
    )
    assert [result for result in results if isinstance(result, Exception)] == []
    buffering.drain_all()
    balances_are_exact()


def test_an_account_closes_before_or_after_a_posting_never_in_its_middle(hot: None) -> None:
    def close() -> None:
        account = Account.objects.get(account_no="220201-M-A")
        services.account_status_set(account=account, status=AccountStatus.CLOSED)

    def pay() -> None:
        services.post_many([payment(n) for n in range(1, 50)])

    closed, paid = together(close, pay)
    account = Account.objects.get(account_no="220201-M-A")
    assert paid is None
    # Closed first: the payments went to suspense. Paid first: it is not empty and stays open.
    assert (closed is None) == (account.status == AccountStatus.CLOSED)
    assert Entry.objects.for_days(TUESDAY).filter(account=account).exists() == (closed is not None)
    buffering.drain_all()
    balances_are_exact()


def test_closing_an_account_does_not_wait_long_for_a_posting_under_way(
    hot: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close() -> None:
        account = Account.objects.get(account_no="220201-M-B")
        services.account_status_set(account=account, status=AccountStatus.CLOSED)

    monkeypatch.setattr(modes, "HOLD_SECONDS", 0.2)
    with transaction.atomic():
        services.post(payment(1))
        (refused,) = together(close)
    assert isinstance(refused, PayopsError)
    assert (refused.code, refused.context["retryable"]) == ("locks.busy", True)


# --- crashes ---


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start Python on the test database; killed at the end at the latest."""
    database = connection.settings_dict
    query = urlencode({name.lower(): database[name] for name in ("HOST", "PORT") if database[name]})
    url = f"postgresql://{quote(database['USER'])}:{quote(database['PASSWORD'])}@/{database['NAME']}?{query}"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "payops.config.settings",
        "PYTHONPATH": str(settings.BASE_DIR),
        "DATABASE_URL": url,
    }
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            env=environment,
            cwd=settings.BASE_DIR,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)


def said(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process says that it is at the point where it is to be killed."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"


def nobody_else_is_connected() -> None:
    """A killed client's transaction is rolled back when its server process notices."""
    deadline = time.monotonic() + 20
    while sql.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"):
        assert time.monotonic() < deadline, "the killed process is still connected"
        time.sleep(0.05)


HERE = "print('here', flush=True); import time; time.sleep(60)"
POSTINGS = "from tests.accounts.test_buffering import payment, buffering, services, transaction\n"


@pytest.mark.crash
@pytest.mark.slow
def test_a_kill_between_entry_and_commit_leaves_neither_entry_nor_movement(
    hot: None, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    process = start(f"{POSTINGS}with transaction.atomic():\n    services.post(payment(1)); {HERE}")
    said(process)
    kill(process)
    nobody_else_is_connected()
    assert not QueuedMovement.objects.exists()
    assert not Entry.objects.for_days(TUESDAY).exists()
    assert services.post(payment(1)) is not None
    balances_are_exact()


@pytest.mark.crash
@pytest.mark.slow
def test_a_kill_during_a_drain_leaves_the_movements_in_the_queue(
    hot: None, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    services.post_many([payment(n) for n in range(1, 11)])
    process = start(f"{POSTINGS}with transaction.atomic():\n    buffering.drain(limit=7); {HERE}")
    said(process)
    balances_are_exact()
    kill(process)
    nobody_else_is_connected()
    assert QueuedMovement.objects.count() == 20
    balances_are_exact()
    assert buffering.drain_all() == 20
    balances_are_exact()


@pytest.mark.crash
@pytest.mark.slow
def test_a_kill_between_posting_and_draining_loses_nothing(
    hot: None, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    process = start(f"{POSTINGS}services.post_many([payment(n) for n in range(1, 11)]); {HERE}")
    said(process)
    kill(process)
    assert buffering.drain_all() == 20
    assert selectors.account_get("3001.01", "channel", "wx").balance == 10
    balances_are_exact()


@pytest.mark.crash
@pytest.mark.slow
def test_kills_at_random_moments_leave_every_balance_exact(
    hot: None, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    loop = (
        f"{POSTINGS}print('here', flush=True)\nfor n in range(100_000):\n"
        "    services.post(payment({base} + n))\n"
        "    if n % 5 == 0: services.post_many([payment({base} + 500_000 + n * 10 + k, 'M-B') for k in range(10)])\n"
        "    if n % 3 == 0: buffering.drain(limit=4)\n"
    )
    chance = random.Random(7)
    for round_no in range(3):
        processes = [start(loop.replace("{base}", str((round_no * 2 + k + 1) * 1_000_000))) for k in range(2)]
        for process in processes:
            said(process)
        time.sleep(chance.uniform(0.1, 0.6))
        for process in processes:
            kill(process)
        nobody_else_is_connected()
        balances_are_exact()
    assert Entry.objects.for_days(TUESDAY).exists()
    buffering.drain_all()
    balances_are_exact()
    assert not QueuedMovement.objects.exists()
