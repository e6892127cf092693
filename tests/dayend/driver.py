"""What the processes of the crash tests run: `python -m tests.dayend.driver WORK ROOT BANK_URL`.

A process of its own can be killed at any moment, which the test's cannot. Results go to standard output as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import django

PATIENCE_SECONDS = 60


def prepare(root: Path, url: str) -> None:
    """Set-up loaded and everything of Monday there: orders, bills, the bank's statement. Nothing done yet."""
    from payops.dayend.sample.bank import Bank
    from tests.dayend.days import MON, SampleDays

    SampleDays(root, Bank(url)).all_of(MON)


def finish(_root: Path, _url: str) -> None:
    """Take Monday as far as it goes, approve, and go on until every step is done."""
    from payops.dayend.services import day_run
    from tests.dayend.days import MON, approve_payouts

    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        steps = day_run(MON, username="alice")
        approve_payouts()
        if all(step.state == "done" for step in steps):
            return
        if time.monotonic() > deadline:
            sys.exit(f"stands still: {[(step.step, step.state, step.message) for step in steps]}")
        # A payout whose answer was lost is asked about again after some seconds.
        time.sleep(0.2)


def queue_day(_root: Path, _url: str) -> None:
    """Have a worker take Monday on; prints the job."""
    from payops.dayend.services import day_run_enqueue
    from tests.dayend.days import MON

    sys.stdout.write(json.dumps(day_run_enqueue(MON, username="alice").pk))


def sweep(_root: Path, _url: str) -> None:
    """What beat does every minute."""
    from payops.core.jobs import sweep as sweep_up

    sys.stdout.write(json.dumps(sweep_up().requeued))


def look(_root: Path, _url: str) -> None:
    """The books and every step of Monday."""
    from tests.dayend.days import MON, books, steps_of

    sys.stdout.write(json.dumps({"steps": steps_of(MON), **books()}, default=str))


def finish_and_look(root: Path, url: str) -> None:
    """Both, by a process that begins only once."""
    finish(root, url)
    look(root, url)


WORKS = {work.__name__: work for work in (prepare, finish, queue_day, sweep, look, finish_and_look)}

if __name__ == "__main__":
    django.setup()
    WORKS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
