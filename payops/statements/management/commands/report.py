"""``manage.py report NAME``: a report of the ledger as a CSV or XLSX file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from payops.core.errors import PayopsError
from payops.statements.ledger_reports import FORMS, REPORTS, query_from, report_write

PARAMETERS = {
    "day": "accounting day (default: the open one)",
    "from": "first day of a range",
    "to": "last day of a range",
    "level": "sum up to this level of the chart, 1 to 4",
    "subject": "subject code, with everything below it",
    "account": "account number",
    "period": "a period that has ended: 2026-11, 2026-Q4 or 2026",
    "mapping": "name of a mapped report",
}
_FIELDS = {"from": "first", "to": "last"}


class Command(BaseCommand):
    """Writes a file; the number of rows goes to standard error."""

    help = "Write a report of the ledger to a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", choices=sorted(REPORTS), help="which report")
        for name, text in PARAMETERS.items():
            parser.add_argument(f"--{name}", dest=_FIELDS.get(name, name), help=text)
        parser.add_argument("--format", choices=FORMS, default="csv", help="csv (default) or xlsx")
        parser.add_argument("--out", type=Path, required=True, help="file to write")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        # Written beside its place and moved there: a report that fails half-way leaves nothing behind.
        draft = out.with_name(f".{out.name}.part")
        try:
            rows = report_write(draft, name=options["name"], query=query_from(options), form=options["format"])
            draft.replace(out)
        except PayopsError as error:
            raise CommandError(str(error)) from error
        finally:
            draft.unlink(missing_ok=True)
        self.stderr.write(f"{rows} rows written to {out}.")
