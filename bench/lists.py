"""Pages of the transaction list with 5,000,000 transactions, against Django's admin and against 100,000.

The console's list by its view, through the middlewares and the templates, with Django's test client: the first page of
a day, one from its middle, and filtered ones. Django's admin shows the same columns of the same table the way it does
by itself: every day, two exact counts, pages by OFFSET. Interleaved, medians; the fewer transactions are looked at in
the same run, before the many are loaded. A page without the rows it should have ends the measurement.

    python -m bench.lists [--rows 5000000] [--small 100000] [--days 400] [--repeats 5]
"""

# ruff: noqa: E402 -- Django is set up before its models are imported
from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")

import django
from django.conf import settings

# Before Unfold, which has templates of the same names: the baseline is the admin as Django ships it.
settings.INSTALLED_APPS = [
    "django.contrib.admin",
    *(app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"),
]
settings.ROOT_URLCONF = "bench.lists_admin"
settings.ALLOWED_HOSTS = ["testserver"]

django.setup()

from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation

from bench.lists_data import FAILED_EVERY, fill
from bench.reconcile_data import FIRST_DAY, MERCHANTS, contract_for, set_up
from payops.core.ids import day_floor
from payops.identity.models import User
from payops.orders.models import Transaction

RESULTS = Path(__file__).parent / "results"
ONE_DAY = dt.timedelta(days=1)
PASSWORD = "lists of many transactions"
ADMIN_PAGE = 100

Pages = dict[str, tuple[dict[str, Any], str]]
"""Query of a page and the number it has to show, by the page's name."""


def numbers_of(day: dt.date, n: int) -> dict[str, str]:
    """The numbers of transaction n of a day (see `lists_data.lines`)."""
    return {"transaction_no": f"T{day:%Y%m%d}{n:012d}", "merchant_order_no": f"O{day:%Y%m%d}{n:012d}"}


def newest_failed(day: dt.date, rows: int) -> str:
    """The first number a list of the failed ones shows."""
    return numbers_of(day, (rows - 8) // FAILED_EVERY * FAILED_EVERY + 7)["transaction_no"]


def newest_of_last_merchant(day: dt.date, rows: int) -> str:
    """The first number a list of M0199 shows."""
    return numbers_of(day, rows // MERCHANTS * MERCHANTS - 1)["transaction_no"]


def console_pages(day: dt.date, rows: int) -> Pages:
    """Query and the number the page has to show, by name of the page."""
    middle = rows // 2
    failed = middle // FAILED_EVERY * FAILED_EVERY + 7
    base = {"day": day.isoformat()}
    numbers = numbers_of(day, middle)
    return {
        "first": (base, numbers_of(day, rows - 1)["transaction_no"]),
        "deep": ({**base, "after": day_floor(day) + 1 + middle + 1}, numbers["transaction_no"]),
        "filtered by status": (
            {**base, "status": "failed"},
            newest_failed(day, rows),
        ),
        "filtered by merchant": ({**base, "merchant": "M0199"}, newest_of_last_merchant(day, rows)),
        "filtered, deep": (
            {**base, "status": "failed", "after": day_floor(day) + 1 + failed + 1},
            numbers_of(day, failed)["transaction_no"],
        ),
        "by our number": ({**base, "number": numbers["transaction_no"]}, numbers["transaction_no"]),
        "by the merchant's number": ({**base, "number": numbers["merchant_order_no"]}, numbers["transaction_no"]),
    }


def admin_pages(day: dt.date, rows: int, rows_a_day: int) -> Pages:
    """The same for the admin, whose pages are of all days; deep is their middle, too."""
    newest = numbers_of(day, rows_a_day - 1)["transaction_no"]
    middle = numbers_of(day, rows_a_day // 2)
    merchant = Transaction.objects.in_range(day_floor(day), day_floor(day + ONE_DAY)).filter(
        merchant__merchant_no="M0199"
    )
    return {
        "first": ({}, newest),
        "deep": ({"p": rows // 2 // ADMIN_PAGE}, ""),
        "filtered by status": (
            {"status__exact": "failed"},
            newest_failed(day, rows_a_day),
        ),
        "filtered by merchant": (
            {"merchant__id__exact": merchant[0].merchant_id},
            newest_of_last_merchant(day, rows_a_day),
        ),
        "filtered, deep": ({"status__exact": "failed", "p": rows // FAILED_EVERY // 2 // ADMIN_PAGE}, ""),
        "by our number": ({"q": middle["transaction_no"]}, middle["transaction_no"]),
        "by the merchant's number": ({"q": middle["merchant_order_no"]}, middle["transaction_no"]),
    }


def taken(client: Client, url: str, query: dict[str, Any], shown: str) -> float:
    """Milliseconds of one page; the number it should show has to be on it."""
    start = time.perf_counter()
    response = client.get(url, query)
    text = response.content.decode()
    spent = (time.perf_counter() - start) * 1000
    if response.status_code != 200 or shown not in text:
        raise SystemExit(f"{url} {query}: {response.status_code}, without {shown!r}")
    return spent


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Milliseconds by page and side."""
    days = arguments.days
    set_up(2 * days + 2)
    contract = contract_for(FIRST_DAY, "alipay_trade")
    staff = User.objects.create_user("alice", password=PASSWORD, role="operations")
    root = User.objects.create_superuser("root", password=PASSWORD)
    console, admin = Client(), Client()
    for client, user in ((console, staff), (admin, root)):
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    console_url, admin_url = reverse("console:transaction_list"), reverse("admin:orders_transaction_changelist")

    def load(first: dt.date, rows: int) -> dt.date:
        for n in range(days):
            fill(first + n * ONE_DAY, rows // days, contract)
        note(f"{rows} transactions loaded")
        # Neither the newest nor the oldest: as a day that people work on, it has full days on both sides.
        return first + days // 2 * ONE_DAY

    found: dict[str, dict[str, list[float]]] = {}

    def look(side: str, client: Client, url: str, pages: Pages) -> Callable[[str], None]:
        def once(name: str) -> None:
            query, shown = pages[name]
            found.setdefault(name, {}).setdefault(side, []).append(taken(client, url, query, shown))

        return once

    day = load(FIRST_DAY, arguments.small)
    few = console_pages(day, arguments.small // days)
    repeat([look("few", console, console_url, few)], list(few), arguments.repeats)
    last = FIRST_DAY + (2 * days - 1) * ONE_DAY
    day = load(FIRST_DAY + days * ONE_DAY, arguments.rows - arguments.small)
    a_day = (arguments.rows - arguments.small) // days
    many = console_pages(day, a_day)
    whole = admin_pages(last, arguments.rows, a_day)
    repeat(
        [look("console", console, console_url, many), look("admin", admin, admin_url, whole)],
        list(many),
        arguments.repeats,
    )
    return found


def repeat(sides: list[Callable[[str], None]], pages: list[str], repeats: int) -> None:
    """Every page by every side in turn; the first round warms caches and is measured like the others, see `median`."""
    for turn in range(repeats + 1):
        for name in pages:
            for side in sides:
                side(name)
        note(f"round {turn} of {repeats}")


def note(text: str) -> None:
    print(f"  {text}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


def median(values: list[float]) -> float:
    """Without the first round, which finds everything cold."""
    return round(statistics.median(values[1:]), 1)


def summary(found: dict[str, dict[str, list[float]]], arguments: argparse.Namespace) -> dict[str, Any]:
    medians = {name: {side: median(values) for side, values in sides.items()} for name, sides in found.items()}
    return {
        "what": f"pages of the transaction list with {arguments.rows:,} transactions of {arguments.days} days, and of "
        f"{arguments.days} others with {arguments.small:,}; milliseconds",
        "medians": medians,
        "ratios": {
            name: {
                "admin / console": round(sides["admin"] / sides["console"], 1),
                "console, many / few": round(sides["console"] / sides["few"], 2),
            }
            for name, sides in medians.items()
        },
        "runs": {
            name: {side: [round(value, 1) for value in values] for side, values in sides.items()}
            for name, sides in found.items()
        },
        "postgresql": connection.cursor().execute("SHOW server_version").fetchone()[0],
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "measured_on": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def table(result: dict[str, Any]) -> str:
    lines = [result["what"], f"  {'':<26}{'admin':>10}{'console':>10}{'few':>10}{'admin/':>9}{'many/few':>10}"]
    for name, sides in result["medians"].items():
        ratios = result["ratios"][name]
        lines.append(
            f"  {name:<26}{sides['admin']:>10.1f}{sides['console']:>10.1f}{sides['few']:>10.1f}"
            f"{ratios['admin / console']:>9.1f}{ratios['console, many / few']:>10.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=400, help="days either of them is spread over")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    translation.activate("en")
    kept = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        result = summary(measure(arguments), arguments)
    finally:
        connection.creation.destroy_test_db(kept, verbosity=0)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lists.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
