"""``manage.py verify_ledger``: recompute the closed books and name the first thing that does not fit."""

from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from payops.accounts.verify import ledger_verify


class Command(BaseCommand):
    """Reads only; exit code 1 when something does not fit."""

    help = "Recompute balances and seals of all closed days from the entries."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=dt.date.fromisoformat, help="first day (default: all)")
        parser.add_argument("--to", dest="last", type=dt.date.fromisoformat, help="last day (default: all)")
        parser.add_argument("--archives", action="store_true", help="read the files of archived days, too")
        parser.add_argument("--json", action="store_true", help="JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        report = ledger_verify(options["first"], options["last"], read_files=options["archives"])
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "days": report.days,
                        "entries": report.entries,
                        "archived": report.archived,
                        "problems": report.problems,
                        "ok": not report.problems,
                    }
                )
            )
        else:
            self.stdout.write(f"{report.days} closed days with {report.entries} entries recomputed.")
            for sentence in report.archived:
                self.stdout.write(sentence)
        if report.problems:
            raise CommandError("\n".join(report.problems))
