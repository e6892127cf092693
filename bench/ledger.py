"""How fast the ledger is, against what one would write without it, in the same run and on the same tables.

Durable commits, guards on, vouchers of four lines over 2,001 merchants' accounts and one hot account (fee income).
Single postings are noisy, so their runs are interleaved and many; everything is a median.

- `post_many` and `post` against plain psycopg with one transaction and eight round trips per voucher, and against
  django-hordak's API (bench/hordak_baseline.py, in an environment of its own);
- one hot account real-time, buffered, and none at all, with several clients: throughput and waiting times;
- closing, trial balance and verification over many days.

    python -m bench.ledger [--vouchers 50000] [--baseline 500] [--repeats 9] [--clients 8] [--entries 10000000]
                           [--hordak var/bench/bin/python]
"""

# ruff: noqa: E402 -- Django is set up before its models are imported
from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")

import django

django.setup()

import psycopg
from django.db import connection

from payops.accounts import buffering, modes, selectors, services, verify
from payops.accounts.choices import Event, PostingMode
from payops.accounts.models import Account, PostingRule, Subject
from payops.accounts.posting import Posting
from payops.core.ids import day_floor

DAY = dt.date(2026, 11, 20)
ONE_DAY = dt.timedelta(days=1)
MERCHANTS = 667
MERCHANT_SUBJECTS = ("220201", "112202", "220202")
LISTED_RUNS = 3
DRAIN_SECONDS = 1
DAY_VOUCHERS = 500_000

# Three events whose vouchers differ in one line: the hot account, the same buffered, or an account of the merchant.
HOT, BUFFERED, NO_HOT = Event.CLEARING_GROSS, Event.CLEARING_NET, Event.OWN_FUNDS_COVER
FOUR_LINES = [
    {"side": "D", "subject": "2202.01", "owner": "merchant", "amount": "A - X"},
    {"side": "D", "subject": "1122.02", "owner": "merchant", "amount": "F"},
    {"side": "C", "subject": "2202.02", "owner": "merchant", "amount": "A - X"},
]
HOT_LINE = {"side": "C", "subject": "6021.01", "owner": "institution", "amount": "F"}
OWN_LINE = {"side": "C", "subject": "2202.03", "owner": "merchant", "amount": "F"}
RESULTS = Path(__file__).parent / "results"


# --- the ledger to measure ---


def set_up() -> None:
    services.ledger_setup()
    subjects = {subject.code: subject for subject in Subject.objects.all()}
    Account.objects.bulk_create(
        [
            Account(
                account_no=f"{code}-{merchant(n)}", subject=subjects[code], owner_kind="merchant", owner_no=merchant(n)
            )
            for n in range(MERCHANTS)
            for code in (*MERCHANT_SUBJECTS, "220203")
        ]
    )
    for event, line in ((HOT, HOT_LINE), (BUFFERED, HOT_LINE), (NO_HOT, OWN_LINE)):
        PostingRule.objects.create(
            event=event, version=2, effective_day=DAY - ONE_DAY, lines=[*FOUR_LINES, line], summary="bench"
        )
    services.day_open(DAY - ONE_DAY)
    modes.mode_set(
        account=Account.objects.get(account_no="602101"),
        event=BUFFERED,
        mode=PostingMode.BUFFERED,
        effective_day=DAY,
        by="bench",
    )
    services.day_cut_off(DAY - ONE_DAY)
    services.close_day(DAY - ONE_DAY)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def merchant(n: int) -> str:
    return f"M{n:04d}"


def amounts(n: int) -> tuple[int, int]:
    """Amount and fee of the n-th voucher."""
    return 1_000 + n % 9_000, 6 + n % 50


def postings(first: int, count: int, event: Event = HOT) -> Iterator[Posting]:
    for n in range(first, first + count):
        amount, fee = amounts(n)
        # 7919 is prime: neighbours in time are not neighbours in the account table.
        owners = {"merchant": merchant(n * 7919 % MERCHANTS)}
        yield Posting(event, "bench", n, {"A": amount, "X": 0, "F": fee}, owners, DAY)


# --- the baseline: what a careful program without a bulk path does ---


def baseline_accounts() -> dict[str, list[int]]:
    """Account ids per merchant in the order of the lines; looked up once, which favours the baseline."""
    found = {account.account_no: account.pk for account in Account.objects.all()}
    hot = found["602101"]
    return {
        merchant(n): [*(found[f"{code}-{merchant(n)}"] for code in MERCHANT_SUBJECTS), hot] for n in range(MERCHANTS)
    }


def baseline_loop(conn: psycopg.Connection, accounts: dict[str, list[int]], first: int, count: int) -> None:
    """Eight round trips a voucher: BEGIN, lock, number, key, header, entries, balances, COMMIT."""
    floor = day_floor(DAY)
    cursor = conn.cursor()
    for n in range(first, first + count):
        amount, fee = amounts(n)
        pending, receivable, settlement, income = accounts[merchant(n * 7919 % MERCHANTS)]
        cursor.execute("BEGIN")
        cursor.execute(
            "SELECT id, balance FROM accounts_account WHERE id = ANY (%s) ORDER BY id FOR NO KEY UPDATE",
            [[pending, receivable, settlement, income]],
        )
        balance = dict(cursor.fetchall())
        cursor.execute("SELECT nextval('accounts_voucher_n')")
        voucher = floor + cursor.fetchone()[0] * 1000
        cursor.execute("INSERT INTO accounts_postingkey VALUES (%s, %s, %s)", [402, n, voucher])
        cursor.execute(
            "INSERT INTO accounts_voucher (id, event, source_kind, source_id, business_date, line_count, rule_version,"
            " memo, posted_at, posted_by) VALUES (%s, 402, 'bench', %s, %s, 4, 1, '', now(), '')",
            [voucher, n, DAY],
        )
        moved = {pending: -amount, receivable: fee, settlement: amount, income: fee}
        rows = [(pending, "D", amount), (receivable, "D", fee), (settlement, "C", amount), (income, "C", fee)]
        values: list[Any] = []
        for line, (account, side, value) in enumerate(rows, start=1):
            values += [voucher + line, account, side, value, balance[account] + moved[account]]
        cursor.execute(
            "INSERT INTO accounts_entry (id, account_id, side, amount, currency, event, balance_after) VALUES"
            " (%s, %s, %s, %s, 'CNY', 402, %s), (%s, %s, %s, %s, 'CNY', 402, %s),"
            " (%s, %s, %s, %s, 'CNY', 402, %s), (%s, %s, %s, %s, 'CNY', 402, %s)",
            values,
        )
        cursor.execute(
            "UPDATE accounts_account a SET balance = a.balance + d.delta FROM unnest(%s::bigint[], %s::bigint[])"
            " AS d(id, delta) WHERE a.id = d.id",
            [list(moved), list(moved.values())],
        )
        cursor.execute("COMMIT")


def plain_connection() -> psycopg.Connection:
    """A bare psycopg connection to the same database, prepared statements as psycopg decides."""
    return psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}, autocommit=True)


# --- measuring ---


class Source:
    """Source numbers nobody used yet."""

    def __init__(self) -> None:
        self.next = 1

    def take(self, count: int) -> int:
        first, self.next = self.next, self.next + count
        return first


def rate(count: int, work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def cpu_of(server_process: int) -> float:
    """Processor seconds of this process and of its server process so far; NaN where the system does not tell."""
    try:
        spent = int(Path(f"/proc/{server_process}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return float("nan")
    return spent + time.process_time()


class Meter:
    """Rates by the clock, and processor time per voucher, which other work on the machine hardly touches."""

    def __init__(self) -> None:
        self.rates: dict[str, list[float]] = {}
        self.cpu_ms: dict[str, list[float]] = {}

    def run(self, kind: str, count: int, server_process: int, work: Callable[[], None]) -> None:
        before = cpu_of(server_process)
        self.rates.setdefault(kind, []).append(rate(count, work))
        self.cpu_ms.setdefault(kind, []).append((cpu_of(server_process) - before) / count * 1000)


def post_loop(first: int, count: int, event: Event = HOT) -> None:
    for posting in postings(first, count, event):
        services.post(posting)


def timed_posts(first: int, count: int, event: Event) -> list[float]:
    """How long each caller waited, in seconds."""
    waits = []
    for posting in postings(first, count, event):
        begun = time.perf_counter()
        services.post(posting)
        waits.append(time.perf_counter() - begun)
    return waits


def _client(event: Event | None, first: int, count: int, accounts: dict[str, list[int]], start: Any, done: Any) -> None:
    connection.close()
    connection.ensure_connection()
    with plain_connection() as conn:
        if event is not None:
            post_loop(first, 5, event)  # rules read, statements known
        else:
            baseline_loop(conn, accounts, first, 5)
        start.wait()
        begun = time.perf_counter()
        waits: list[float] = []
        if event is not None:
            waits = timed_posts(first + 5, count, event)
        else:
            baseline_loop(conn, accounts, first + 5, count)
        done.put((begun, time.perf_counter(), waits))


def _drainer(start: Any, stop: Any) -> None:
    connection.close()
    buffering.drain_all()  # connected and statements known, as a worker is
    start.wait()
    while not stop.wait(DRAIN_SECONDS):
        buffering.drain_all()


def several_clients(
    event: Event | None, clients: int, count: int, accounts: dict[str, list[int]], source: Source
) -> tuple[float, list[float]]:
    """Vouchers per second of several processes at once, and every wait; without an event, the psycopg baseline."""
    context = multiprocessing.get_context("fork")
    start, done, stop = context.Barrier(clients + 1), context.Queue(), context.Event()
    connection.close()
    workers = [
        context.Process(target=_client, args=(event, source.take(count + 5), count, accounts, start, done))
        for _ in range(clients)
    ]
    drainer = context.Process(target=_drainer, args=(start, stop))
    for worker in (*workers, drainer):
        worker.start()
    spans = [done.get(timeout=600) for _ in workers]
    stop.set()
    for worker in (*workers, drainer):
        worker.join()
    rate_together = clients * count / (max(end for _, end, _ in spans) - min(begun for begun, _, _ in spans))
    return rate_together, [wait for _, _, waits in spans for wait in waits]


class Hordak:
    """The process with django-hordak and its scratch database."""

    def __init__(self, python: str) -> None:
        database = connection.settings_dict
        self.name = f"{database['NAME']}_hordak"
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{self.name}"')
        place = f"host={quote(str(database['HOST']))}&port={database['PORT']}"
        url = f"postgresql://{quote(database['USER'])}:{quote(database['PASSWORD'])}@/{self.name}?{place}"
        self.process = subprocess.Popen(
            [python, str(Path(__file__).parent / "hordak_baseline.py"), url, str(MERCHANTS * 3)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def rate(self, count: int) -> float:
        """Vouchers per second."""
        assert self.process.stdin is not None
        print(count, file=self.process.stdin, flush=True)
        return count / float(self.answer())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{self.name}" WITH (FORCE)')


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    source, accounts = Source(), baseline_accounts()
    measured = singles(arguments, source, accounts)
    measured |= hot_account(arguments, source, accounts)
    return measured | many_days(arguments, source)


def singles(arguments: argparse.Namespace, source: Source, accounts: dict[str, list[int]]) -> dict[str, Any]:
    """One posting after another, and in bulk."""
    conn, meter = plain_connection(), Meter()
    hordak = Hordak(arguments.hordak) if arguments.hordak else None
    baseline_loop(conn, accounts, source.take(50), 50)
    post_loop(source.take(50), 50)
    services.post_many(postings(source.take(500), 500))
    count, rates = arguments.baseline, meter.rates
    theirs, ours = conn.info.backend_pid, connection.connection.info.backend_pid
    for turn in range(arguments.repeats):
        first = source.take(count)
        meter.run("psycopg", count, theirs, lambda f=first: baseline_loop(conn, accounts, f, count))
        first = source.take(count)
        meter.run("post", count, ours, lambda f=first: post_loop(f, count))
        if turn % 3 == 0:
            first = source.take(arguments.vouchers)
            many = arguments.vouchers
            meter.run("post_many", many, ours, lambda f=first, n=many: services.post_many(postings(f, n)))
            if hordak:
                rates.setdefault("hordak", []).append(hordak.rate(count // 4))
    conn.close()
    if hordak:
        hordak.close()
    kinds = {f"psycopg_{arguments.clients}_clients": None, f"post_{arguments.clients}_clients": HOT}
    for _ in range(arguments.repeats):
        for kind, event in kinds.items():
            together = several_clients(event, arguments.clients, max(count // 4, 50), accounts, source)[0]
            rates.setdefault(kind, []).append(together)
    cpu = {kind: round(statistics.median(values), 4) for kind, values in meter.cpu_ms.items()}
    return {"rates": rates, "cpu_ms_per_voucher": cpu}


def hot_account(arguments: argparse.Namespace, source: Source, accounts: dict[str, list[int]]) -> dict[str, Any]:
    """Several clients with one account that every voucher touches: real-time, buffered, and without it."""
    kinds = {"no_hot_account": NO_HOT, "hot_real_time": HOT, "hot_buffered": BUFFERED}
    runs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(arguments.repeats):
        for kind, event in kinds.items():
            together, waits = several_clients(event, arguments.clients, arguments.baseline, accounts, source)
            runs[kind].append((together, statistics.quantiles(waits, n=100)[98] * 1000))
    hot = {
        kind: {
            "vouchers_per_second": round(statistics.median(together for together, _ in values)),
            "p99_ms": round(statistics.median(p99 for _, p99 in values), 1),
        }
        for kind, values in runs.items()
    }
    return {
        "hot_account": hot,
        "hot_ratios": {
            "throughput, buffered / without a hot account": round(
                hot["hot_buffered"]["vouchers_per_second"] / hot["no_hot_account"]["vouchers_per_second"], 2
            ),
            "p99, buffered / real-time": round(hot["hot_buffered"]["p99_ms"] / hot["hot_real_time"]["p99_ms"], 2),
        },
    }


def many_days(arguments: argparse.Namespace, source: Source) -> dict[str, Any]:
    """Close the day, fill and close others until there are enough entries, then read and verify all of them."""
    day, entries = DAY, 0
    seconds = []
    while True:
        services.day_cut_off(day)
        begun = time.perf_counter()
        closed = services.close_day(day)
        seconds.append((closed.entry_count, time.perf_counter() - begun))
        wrong = [finding.message for finding in closed.findings if finding.check != "customers_money"]
        if wrong:
            raise SystemExit(f"the books are wrong: {wrong}")
        entries += closed.entry_count
        if entries >= arguments.entries:
            break
        day += ONE_DAY
        services.post_many(postings(source.take(DAY_VOUCHERS), DAY_VOUCHERS))
    reads = []
    for _ in range(LISTED_RUNS):
        begun = time.perf_counter()
        rows = selectors.trial_balance(day)
        reads.append(time.perf_counter() - begun)
    if not all(total.balanced for total in selectors.trial_balance_totals(rows)):
        raise SystemExit("the trial balance is off")
    begun = time.perf_counter()
    report = verify.ledger_verify()
    verify_seconds = time.perf_counter() - begun
    if report.problems:
        raise SystemExit(f"the books are wrong: {report.problems}")
    return {
        "entries": entries,
        "days": report.days,
        "trial_balance_ms": round(statistics.median(reads) * 1000, 1),
        "close_entries_per_second": round(sum(count for count, _ in seconds) / sum(spent for _, spent in seconds)),
        "verify_entries_per_second": round(report.entries / verify_seconds),
    }


def summary(measured: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    medians = {name: round(statistics.median(values)) for name, values in measured["rates"].items()}
    clients = f"{arguments.clients}_clients"
    ratios = {
        "post_many / psycopg": round(medians["post_many"] / medians["psycopg"], 1),
        "post / psycopg": round(medians["post"] / medians["psycopg"], 2),
        f"post / psycopg, {arguments.clients} clients": round(
            medians[f"post_{clients}"] / medians[f"psycopg_{clients}"], 2
        ),
    }
    if "hordak" in medians:
        ratios["post_many / django-hordak"] = round(medians["post_many"] / medians["hordak"], 1)
    cpu = measured["cpu_ms_per_voucher"]
    ratios |= {
        "processor time, psycopg / post": round(cpu["psycopg"] / cpu["post"], 2),
        "processor time, psycopg / post_many": round(cpu["psycopg"] / cpu["post_many"], 1),
        **measured["hot_ratios"],
    }
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
        cursor.execute("SHOW synchronous_commit")
        durable = cursor.fetchone()[0]
    return {
        "what": "vouchers of 4 lines per second, 2,001 accounts and one hot account, guards on",
        "medians": medians,
        "ratios": ratios,
        **{key: value for key, value in measured.items() if key not in {"rates", "hot_ratios"}},
        "runs": {name: [round(value) for value in values] for name, values in measured["rates"].items()},
        "postgresql": version,
        "synchronous_commit": durable,
        "cpus": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "measured_on": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vouchers", type=int, default=50_000, help="vouchers per post_many run")
    parser.add_argument("--baseline", type=int, default=500, help="vouchers per run, and per client, of the others")
    parser.add_argument("--repeats", type=int, default=9, help="interleaved runs of single postings")
    parser.add_argument("--clients", type=int, default=8, help="processes at once")
    parser.add_argument("--entries", type=int, default=10_000_000, help="entries to close, read and verify")
    parser.add_argument("--hordak", default="", help="the Python that has bench/requirements.txt; without it, left out")
    arguments = parser.parse_args()
    kept = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        set_up()
        result = summary(measure(arguments), arguments)
    finally:
        connection.creation.destroy_test_db(kept, verbosity=0)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "ledger.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
