"""How time and memory of the whole path grow with the lines of a bill, and what a file sent again costs.

The product's path of `bench.reconcile` at several sizes, each in a fresh process; the exponent is the slope of a
straight line through log(seconds) over log(lines). After each run the same bytes are sent again.

    python -m bench.reconcile_scaling [--sizes 100000 1000000 5000000] [--repeats 1]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import platform
import statistics
import tempfile
from pathlib import Path

from bench.reconcile import RESULTS, checkpoint, note, prepared, product
from bench.reconcile_data import set_up

from django.conf import settings  # isort: skip
from django.db import connection  # isort: skip


def exponent(points: list[tuple[int, float]]) -> float:
    """The slope of log(seconds) over log(lines) by least squares."""
    logs = [(math.log(lines), math.log(seconds)) for lines, seconds in points]
    middle = [statistics.mean(values) for values in zip(*logs, strict=True)]
    over = sum((x - middle[0]) * (y - middle[1]) for x, y in logs)
    return over / sum((x - middle[0]) ** 2 for x, _y in logs)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[int, list[dict[str, float]]]:
    sizes = [size for size in arguments.sizes for _repeat in range(arguments.repeats)]
    taken: dict[int, list[dict[str, float]]] = {}
    for day, lines in zip(set_up(len(sizes)), sizes, strict=True):
        made, bill, copy_text = prepared(day, lines, arguments, folder)
        copy_text.unlink()
        checkpoint()
        measured = product(made, bill)
        bill.unlink()
        taken.setdefault(lines, []).append(measured)
        note(f"{lines} lines: {', '.join(f'{key} {value:.3f}' for key, value in measured.items())}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--format", default="alipay_trade", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    kept = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with tempfile.TemporaryDirectory(dir=settings.PAYOPS_VAR_DIR) as folder:
            taken = measure(arguments, Path(folder))
    finally:
        connection.creation.destroy_test_db(kept, verbosity=0)
    sizes = {
        str(lines): {
            name: round(statistics.median(entry[name] for entry in entries), 3)
            for name in ("load", "run", "total", "again", "rss", "idle")
        }
        for lines, entries in taken.items()
    }
    result = {
        "what": "seconds and peak MB of a worker by lines of a bill; again: the same file sent once more",
        "sizes": sizes,
        "exponent": round(exponent([(lines, sizes[str(lines)]["total"]) for lines in taken]), 3),
        "again / load": {lines: round(row["again"] / row["load"], 3) for lines, row in sizes.items()},
        "repeats": arguments.repeats,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "measured_on": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    (RESULTS / "reconcile_scaling.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: result[name] for name in ("sizes", "exponent", "again / load")}, indent=2))


if __name__ == "__main__":
    main()
