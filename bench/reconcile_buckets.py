"""One day in two buckets: two workers against one worker on the same two, and against the day compared as a whole.

A worker is a fresh process that has connected and waits for the word; the clock runs from the word to the last answer.
Every turn is a split of its own, interleaved; what the buckets found is added up and has to be the planted day.

    python -m bench.reconcile_buckets [--lines 1000000] [--repeats 5]
"""

# ruff: noqa: E402 -- Django is set up before its models are imported
from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")

import django

django.setup()

from django.conf import settings
from django.db import connection, transaction

from bench.reconcile import RESULTS, checkpoint, note, prepared
from bench.reconcile_data import set_up
from payops.channels.bills.selectors import accepted_file
from payops.channels.bills.services import bill_load
from payops.channels.models import ChannelContract
from payops.reconciliation.buckets.services import bucket_compare, join_buckets
from payops.reconciliation.join import inputs_of, join
from payops.reconciliation.models import RunSplit
from payops.reconciliation.services import run_split
from payops.reconciliation.state import Skips

BUCKETS = 2
READY = "ready"


def child(order: dict[str, Any]) -> None:
    """A worker: ready, wait for the word, compare its buckets, answer."""
    connection.close()
    connection.settings_dict["NAME"] = order["database"]
    split = RunSplit.objects.get(pk=order["split"])
    print(READY, flush=True)
    sys.stdin.readline()
    for bucket in order["buckets"]:
        bucket_compare(split=split, bucket=bucket)
    print("done", flush=True)


def by_workers(contract: ChannelContract, day: dt.date, shares: list[list[int]]) -> float:
    """Seconds from the word until every worker has compared its share."""
    split = run_split(contract=contract, day=day, buckets=BUCKETS)
    workers = []
    for share in shares:
        order = {"database": connection.settings_dict["NAME"], "split": split.pk, "buckets": share}
        command = [sys.executable, "-m", "bench.reconcile_buckets", "--child", json.dumps(order)]
        workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for worker in workers:
        if worker.stdout.readline().strip() != READY:
            raise SystemExit("a worker did not come up")
    checkpoint()
    start = time.perf_counter()
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.stdout.readline()
    taken = time.perf_counter() - start
    if any(worker.wait() for worker in workers):
        raise SystemExit("a worker failed")
    if join_buckets(split).as_json() != whole_of(contract, day)[1]:
        raise SystemExit("the buckets do not add up to the day")
    return taken


def whole_of(contract: ChannelContract, day: dt.date) -> tuple[float, dict[str, Any]]:
    """Seconds of the day compared as a whole, spread by the database, and what it found."""
    inputs = inputs_of(contract, day, accepted_file(contract, day), Skips())
    with transaction.atomic():
        start = time.perf_counter()
        joined = join(inputs)
        return time.perf_counter() - start, joined.as_json()


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    day, bill, copy_text = prepared(set_up(1)[0], arguments.lines, arguments, folder)
    copy_text.unlink()
    contract = ChannelContract.objects.get(pk=day.contract_id)
    bill_load(contract=contract, channel_date=day.day, stream=str(bill))
    taken: dict[str, list[float]] = {"one worker": [], "two workers": [], "whole": []}
    for turn in range(arguments.repeats):
        ways = {
            "one worker": lambda: by_workers(contract, day.day, [[0, 1]]),
            "two workers": lambda: by_workers(contract, day.day, [[0], [1]]),
            "whole": lambda: whole_of(contract, day.day)[0],
        }
        for name in list(ways) if turn % 2 else list(ways)[::-1]:
            taken[name].append(ways[name]())
            note(f"{name} {taken[name][-1]:.2f}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--format", default="alipay_trade", help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(json.loads(arguments.child))
        return
    kept = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with tempfile.TemporaryDirectory(dir=settings.PAYOPS_VAR_DIR) as folder:
            settings.PAYOPS_FILES_DIR = Path(folder) / "kept"
            taken = measure(arguments, Path(folder))
    finally:
        connection.creation.destroy_test_db(kept, verbosity=0)
    medians = {name: round(statistics.median(values), 2) for name, values in taken.items()}
    result = {
        "what": f"{arguments.lines:,} lines in {BUCKETS} buckets; seconds",
        "medians": medians,
        "ratios": {"one worker / two workers": round(medians["one worker"] / medians["two workers"], 2)},
        "runs": {name: [round(value, 2) for value in values] for name, values in taken.items()},
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "measured_on": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    (RESULTS / "reconcile_buckets.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: result[name] for name in ("what", "medians", "ratios")}, indent=2))


if __name__ == "__main__":
    main()
