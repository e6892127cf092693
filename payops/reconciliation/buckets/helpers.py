"""Processes of this host that help with the buckets of a run until it is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

END_SECONDS = 10


@contextmanager
def helpers(job_id: int, number: int) -> Iterator[None]:
    """Start so many processes that work on a job's parts; they end with the job, whatever becomes of this one."""
    command = [sys.executable, "-m", "payops.reconciliation.buckets.helpers", str(job_id)]
    started = [subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.DEVNULL) for _number in range(number)]
    try:
        yield
    finally:
        for process in started:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()


def main() -> None:
    """The helper process: take what is free of the job until it has ended."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")
    import django

    django.setup()

    from payops.core.jobs import run_now

    run_now(int(sys.argv[1]))


if __name__ == "__main__":
    main()
