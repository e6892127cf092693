"""Posting speed: `post_many` and `post` against plain psycopg with one transaction and eight round trips per voucher.

Same run, same tables, guards on, durable commits. Vouchers have four lines: three accounts of one of 667 merchants and
one hot account that every voucher touches (fee income). Medians of at least three interleaved runs.

    python -m bench.ledger [--vouchers 50000] [--baseline 1000] [--repeats 3] [--clients 8]
"""

# ruff: noqa: E402 -- Django is set up before its models are imported
from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")

import django

django.setup()

import psycopg
from django.db import connection

from payops.accounts import services, verify
from payops.accounts.choices import Event
from payops.accounts.models import Account, Subject
from payops.accounts.posting import Posting
from payops.core.ids import day_floor

DAY = dt.date(2026, 11, 20)
MERCHANTS = 667
MERCHANT_SUBJECTS = ("220201", "112202", "220202")
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
            for code in MERCHANT_SUBJECTS
        ]
    )
    services.day_open(DAY)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def merchant(n: int) -> str:
    return f"M{n:04d}"


def amounts(n: int) -> tuple[int, int]:
    """Amount and fee of the n-th voucher."""
    return 1_000 + n % 9_000, 6 + n % 50


def postings(first: int, count: int) -> Iterator[Posting]:
    for n in range(first, first + count):
        amount, fee = amounts(n)
        # 7919 is prime: neighbours in time are not neighbours in the account table.
        owners = {"merchant": merchant(n * 7919 % MERCHANTS)}
        yield Posting(Event.CLEARING_GROSS, "bench", n, {"A": amount, "X": 0, "F": fee}, owners, DAY)


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


def post_loop(first: int, count: int) -> None:
    for posting in postings(first, count):
        services.post(posting)


def _client(kind: str, first: int, count: int, accounts: dict[str, list[int]], start: Any, done: Any) -> None:
    connection.close()
    connection.ensure_connection()
    with plain_connection() as conn:
        if kind == "post":
            post_loop(first, 5)  # rules read, statements known
        start.wait()
        begun = time.perf_counter()
        if kind == "post":
            post_loop(first + 5, count)
        else:
            baseline_loop(conn, accounts, first, count)
        done.put((begun, time.perf_counter()))


def several_clients(kind: str, clients: int, count: int, accounts: dict[str, list[int]], source: Source) -> float:
    """Vouchers per second of several processes at once."""
    context = multiprocessing.get_context("fork")
    start, done = context.Barrier(clients), context.Queue()
    connection.close()
    workers = [
        context.Process(target=_client, args=(kind, source.take(count + 5), count, accounts, start, done))
        for _ in range(clients)
    ]
    for worker in workers:
        worker.start()
    spans = [done.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    return clients * count / (max(end for _, end in spans) - min(begun for begun, _ in spans))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    source, accounts = Source(), baseline_accounts()
    conn = plain_connection()
    rates: dict[str, list[float]] = {"psycopg": [], "post_many": [], "post": []}
    baseline_loop(conn, accounts, source.take(50), 50)
    post_loop(source.take(50), 50)
    services.post_many(postings(source.take(500), 500))
    for _ in range(arguments.repeats):
        first = source.take(arguments.baseline)
        rates["psycopg"].append(
            rate(arguments.baseline, lambda f=first: baseline_loop(conn, accounts, f, arguments.baseline))
        )
        first = source.take(arguments.vouchers)
        rates["post_many"].append(
            rate(arguments.vouchers, lambda f=first: services.post_many(postings(f, arguments.vouchers)))
        )
        first = source.take(arguments.baseline)
        rates["post"].append(rate(arguments.baseline, lambda f=first: post_loop(f, arguments.baseline)))
    conn.close()
    if arguments.clients > 1:
        each = max(arguments.baseline // 4, 50)
        for kind in ("psycopg", "post"):
            rates[f"{kind}_{arguments.clients}_clients"] = []
        for _ in range(arguments.repeats):
            for kind in ("psycopg", "post"):
                rates[f"{kind}_{arguments.clients}_clients"].append(
                    several_clients(kind, arguments.clients, each, accounts, source)
                )
    return {"rates": rates, **close_and_verify()}


def close_and_verify() -> dict[str, Any]:
    """The books must be right after all that; and how fast that is found out."""
    services.day_cut_off(DAY)
    start = time.perf_counter()
    closed = services.close_day(DAY)
    close_seconds = time.perf_counter() - start
    start = time.perf_counter()
    report = verify.ledger_verify()
    verify_seconds = time.perf_counter() - start
    wrong = [finding.message for finding in closed.findings if finding.check != "customers_money"]
    if report.problems or wrong:
        raise SystemExit(f"the books are wrong: {report.problems + wrong}")
    return {
        "entries": closed.entry_count,
        "close_seconds": round(close_seconds, 2),
        "close_entries_per_second": round(closed.entry_count / close_seconds),
        "verify_entries_per_second": round(report.entries / verify_seconds),
    }


def summary(measured: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    medians = {name: round(statistics.median(values)) for name, values in measured["rates"].items()}
    ratios = {
        "post_many / psycopg": round(medians["post_many"] / medians["psycopg"], 1),
        "post / psycopg": round(medians["post"] / medians["psycopg"], 2),
    }
    clients = f"_{arguments.clients}_clients"
    if f"post{clients}" in medians:
        ratios[f"post / psycopg, {arguments.clients} clients"] = round(
            medians[f"post{clients}"] / medians[f"psycopg{clients}"], 2
        )
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
        cursor.execute("SHOW synchronous_commit")
        durable = cursor.fetchone()[0]
    return {
        "what": "vouchers of 4 lines per second, 2,001 accounts and one hot account, guards on",
        "medians": medians,
        "ratios": ratios,
        **{key: value for key, value in measured.items() if key != "rates"},
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
    parser.add_argument("--baseline", type=int, default=1_000, help="vouchers per run of the others")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8, help="processes at once in the last part; 1 leaves it out")
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
