"""Loading and reconciling a bill against as many own transactions: the product's whole path against a bare one.

The product: the file as the channel delivers it (Alipay: zip, GBK) is kept, parsed, validated and proved by its totals
into durable, indexed bill lines; the run compares them with the own transactions, books its vouchers and opens the
cases. Called through the services a worker calls, in a fresh process whose peak memory is read at the end.

The baseline: the same lines, already as COPY text, by a bare client COPY into an unlogged table without an index, then
a bare hash FULL JOIN with the transactions of the day, which writes the differences only.

Same database, interleaved, alternating which goes first, a checkpoint before each; medians. A result that is not the
planted one, to the row, ends the measurement. A third figure is what a loop of ORM look-ups and saves would take.

    python -m bench.reconcile [--lines 1000000] [--repeats 3] [--format alipay_trade] [--small 100000]
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
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")

import django

django.setup()

import psycopg
from django.conf import settings
from django.db import connection

from bench.reconcile_data import COPY_COLUMNS, PLANTED, SHAPES, Day, contract_for, set_up
from payops.accounts.selectors import trial_balance, trial_balance_totals
from payops.channels.bills.selectors import line_range
from payops.channels.bills.services import bill_load
from payops.channels.models import BillFile, BillLine, ChannelContract
from payops.core.ids import id_range
from payops.core.partitions import partition_name
from payops.core.sql import quote_table
from payops.orders.models import Transaction
from payops.reconciliation.models import ReconResult, ReconRun, RunVoucher
from payops.reconciliation.services import run_reconcile

RESULTS = Path(__file__).parent / "results"
PIECE = 1 << 20
ORM_LINES = 5_000
LINES = 1_000_000


def plain_connection() -> psycopg.Connection:
    """A bare psycopg connection to the same database."""
    return psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}, autocommit=True)


def checkpoint() -> None:
    """Both start from the same state of the write-ahead log."""
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")


# --- the baseline ---


BARE_LINE = f"CREATE UNLOGGED TABLE bare_line AS SELECT {COPY_COLUMNS} FROM channels_billline WHERE id < 0 WITH NO DATA"
BARE_JOIN = """
CREATE UNLOGGED TABLE bare_difference AS
SELECT o.id AS own_id, l.id AS line_id, o.amount AS own_amount, l.amount AS line_amount
  FROM {own} o FULL JOIN bare_line l ON o.match_key = l.match_key AND o.kind = l.kind
 WHERE o.id IS NULL OR l.id IS NULL OR o.amount <> l.amount OR o.currency <> l.currency
"""


def bare(day: Day, copy_text: Path) -> dict[str, float]:
    """Seconds of COPY and of the join; the tables are made before and dropped after."""
    with plain_connection() as conn, conn.cursor() as cursor:
        cursor.execute(BARE_LINE)
        cursor.execute("SET enable_mergejoin = off")
        cursor.execute("SET work_mem = '256MB'")
        start = time.perf_counter()
        with copy_text.open("rb") as file, cursor.copy(f"COPY bare_line ({COPY_COLUMNS}) FROM STDIN") as copy:
            while piece := file.read(PIECE):
                copy.write(piece)
        loaded = time.perf_counter()
        cursor.execute(BARE_JOIN.format(own=quote_table(partition_name(Transaction, day.day))))
        joined = time.perf_counter()
        cursor.execute("SELECT count(*) FROM bare_difference")
        found = cursor.fetchone()[0]
        cursor.execute("DROP TABLE bare_line, bare_difference")
    planted = day.planted()
    expected = planted["own_only"] + planted["channel_only"] + planted["amount_mismatch"]
    if found != expected:
        raise SystemExit(f"the bare join found {found} differences instead of {expected}")
    return {"copy": loaded - start, "join": joined - loaded, "total": joined - start}


# --- the product ---


def product(day: Day, bill: Path) -> dict[str, float]:
    """Seconds and peak memory of a fresh worker process; what it found is checked here, outside the time."""
    order = {
        "database": connection.settings_dict["NAME"],
        "contract": day.contract_id,
        "day": day.day.isoformat(),
        "bill": str(bill),
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.reconcile", "--work", json.dumps(order)],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"PAYOPS_FILES_DIR": str(bill.parent / "kept")},
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    check(day)
    return measured


def work(order: dict[str, Any]) -> None:
    """The worker: load, run, report. Importing and connecting is over before, as in a worker that waits for work."""
    connection.close()
    connection.settings_dict["NAME"] = order["database"]
    contract = ChannelContract.objects.get(pk=order["contract"])
    day = dt.date.fromisoformat(order["day"])
    idle = resident()
    start = time.perf_counter()
    bill_file = bill_load(contract=contract, channel_date=day, stream=order["bill"])
    loaded = time.perf_counter()
    if bill_file.state != "accepted":
        raise SystemExit(f"the bill is {bill_file.state}: {bill_file.error_message}")
    run_reconcile(contract=contract, day=day)
    end = time.perf_counter()
    peak = resident()
    sent_again = time.perf_counter()
    if bill_load(contract=contract, channel_date=day, stream=order["bill"]).pk != bill_file.pk:
        raise SystemExit("the same file was taken a second time")
    measured = {
        "load": loaded - start,
        "run": end - loaded,
        "total": end - start,
        "again": time.perf_counter() - sent_again,
        "rss": peak,
        "idle": idle,
    }
    print(json.dumps(measured))


def resident() -> float:
    """Peak resident memory of this process in MB (shared libraries included)."""
    # Not getrusage: its maximum is inherited from the process that started this one.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmHWM in /proc/self/status: memory is measured on Linux only")


def check(day: Day) -> None:
    """Every line stored, all totals proved, the equation closed, exactly the planted differences found, books even."""
    bill_file = BillFile.objects.get(contract_id=day.contract_id)
    run = ReconRun.objects.get(contract_id=day.contract_id)
    lo, hi = line_range(bill_file)
    results = Counter(ReconResult.objects.filter(run=run).values_list("kind", flat=True))
    planted = day.planted()
    channel_only = planted["channel_only"]
    both_sides = day.rows - planted["own_only"] - channel_only
    facts = {
        "lines stored": (BillLine.objects.in_range(lo, hi).count(), day.lines),
        "lines counted": (bill_file.line_count, day.lines),
        # UnionPay's files state no totals; the others' have to be proved.
        "proven": (bill_file.proven, day.format_code != "unionpay_zm"),
        "own rows": (run.own_count, day.rows - channel_only),
        "matched": (run.matched_count, both_sides - planted.total() + planted["own_only"] + channel_only),
        "results": (dict(results), dict(planted)),
        "equation": (run.equation["holds"] and run.equation["left"], run.channel_amount),
        "balanced": (all(t.balanced for t in trial_balance_totals(trial_balance(day.day))), True),
        "vouchers": (RunVoucher.objects.filter(run=run, voucher_id__isnull=False).exists(), True),
    }
    wrong = {name: pair for name, pair in facts.items() if pair[0] != pair[1]}
    if wrong:
        raise SystemExit(f"the run is wrong (found, expected): {wrong}")


# --- the loop one would write first ---


def orm_loop(day: Day) -> float:
    """Seconds a line: get the transaction of its key by the ORM, compare, save that it is reconciled."""
    bill_file = BillFile.objects.get(contract_id=day.contract_id)
    lo, _hi = line_range(bill_file)
    own_lo, own_hi = id_range(day.day, day.day)
    lines = list(BillLine.objects.in_range(lo, lo + ORM_LINES))
    start = time.perf_counter()
    for line in lines:
        own = Transaction.objects.in_range(own_lo, own_hi).filter(
            contract_id=day.contract_id, match_key=line.match_key, kind=line.kind
        )
        for row in own:
            row.extra = {"reconciled": row.amount == line.amount}
            row.save(update_fields=["extra"])
    return (time.perf_counter() - start) / len(lines)


# --- measuring ---


def prepared(day: dt.date, lines: int, arguments: argparse.Namespace, folder: Path) -> tuple[Day, Path, Path]:
    """Own transactions in the database, the bill and its COPY text on disk."""
    made = Day(day, arguments.format, lines, contract_for(day, arguments.format))
    made.load_own()
    bill = made.write_bill(folder)
    return made, bill, made.write_copy_text(bill)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    days = iter(set_up(arguments.repeats + 1))
    sizes = [arguments.small, *[arguments.lines] * arguments.repeats]
    taken: dict[str, list[dict[str, float]]] = {"bare": [], "product": [], "small": []}
    per_line = 0.0
    for turn, lines in enumerate(sizes):
        day, bill, copy_text = prepared(next(days), lines, arguments, folder)
        small = turn == 0
        pieces = [("bare", lambda d=day, c=copy_text: bare(d, c)), ("product", lambda d=day, b=bill: product(d, b))]
        for name, piece in pieces if turn % 2 else pieces[::-1]:
            checkpoint()
            measured = piece()
            if not small:
                taken[name].append(measured)
            elif name == "product":
                taken["small"].append(measured)
            note(f"{lines} lines, {name}: {', '.join(f'{key} {value:.2f}' for key, value in measured.items())}")
        if small:
            per_line = orm_loop(day)
        bill.unlink()
        copy_text.unlink()
    return {"taken": taken, "orm_seconds_a_line": per_line}


def note(text: str) -> None:
    print(f"  {text}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


def summary(measured: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    taken = measured["taken"]

    def median(name: str, figure: str) -> float:
        return round(statistics.median(entry[figure] for entry in taken[name]), 3 if figure == "again" else 2)

    whole, base = median("product", "total"), median("bare", "total")
    orm = round(measured["orm_seconds_a_line"] * arguments.lines)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('synchronous_commit')")
        version, durable = cursor.fetchone()
    return {
        "what": f"{arguments.format}: a bill of {arguments.lines:,} lines against as many own transactions, "
        f"{PLANTED} planted differences; seconds",
        "medians": {
            "bare": {key: median("bare", key) for key in ("copy", "join", "total")},
            "product": {key: median("product", key) for key in ("load", "run", "total")},
            "orm_loop": orm,
        },
        "ratios": {
            "product / bare": round(whole / base, 2),
            "orm loop / product": round(orm / whole),
            "file sent again / load": round(median("product", "again") / median("product", "load"), 3),
        },
        "worker_peak_rss_mb": {
            "idle": round(max(entry["idle"] for entry in taken["product"])),
            f"{arguments.small}": round(max(entry["rss"] for entry in taken["small"])),
            f"{arguments.lines}": round(max(entry["rss"] for entry in taken["product"])),
        },
        "runs": {
            name: [{key: round(value, 2) for key, value in entry.items()} for entry in entries]
            for name, entries in taken.items()
        },
        "orm_loop": f"extrapolated from {ORM_LINES} lines",
        "postgresql": version,
        "synchronous_commit": durable,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "measured_on": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def table(result: dict[str, Any], arguments: argparse.Namespace) -> str:
    medians, memory = result["medians"], result["worker_peak_rss_mb"]
    rows = [
        ("bare COPY, unlogged", medians["bare"]["copy"]),
        ("bare FULL JOIN", medians["bare"]["join"]),
        ("bare, both", medians["bare"]["total"]),
        ("product, load", medians["product"]["load"]),
        ("product, run", medians["product"]["run"]),
        ("product, both", medians["product"]["total"]),
        ("ORM loop, extrapolated", medians["orm_loop"]),
    ]
    lines = [result["what"], *(f"  {name:<28}{value:>10.2f} s" for name, value in rows)]
    lines += [f"  {name:<28}{value:>10}" for name, value in result["ratios"].items()]
    lines += [f"  worker peak RSS, {name:<11}{value:>10} MB" for name, value in memory.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--small", type=int, default=100_000, help="lines of the first run, for memory and ORM loop")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--format", choices=sorted(SHAPES), default="alipay_trade")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(json.loads(arguments.work))
        return
    kept = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with tempfile.TemporaryDirectory(dir=settings.PAYOPS_VAR_DIR) as folder:
            result = summary(measure(arguments, Path(folder)), arguments)
    finally:
        connection.creation.destroy_test_db(kept, verbosity=0)
    RESULTS.mkdir(exist_ok=True)
    name = "reconcile" if arguments.format == "alipay_trade" else f"reconcile_{arguments.format}"
    if arguments.lines != LINES:
        name += f"_{arguments.lines}"
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table(result, arguments))


if __name__ == "__main__":
    main()
