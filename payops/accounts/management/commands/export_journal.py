"""``manage.py export_journal --format beancount|hledger``: the journal for plain-text accounting programs."""

from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from payops.accounts.journal import ASSERTIONS, JournalSummary, journal_write
from payops.accounts.journal_formats import FORMATS
from payops.core.errors import PayopsError


class Command(BaseCommand):
    """Writes the journal to a file or to standard output; the summary goes to standard error."""

    help = "Export the journal of a range of accounting days for beancount or hledger."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", required=True, choices=sorted(FORMATS), help="which program will read it")
        parser.add_argument("--from", dest="first", type=dt.date.fromisoformat, help="first day (default: all)")
        parser.add_argument("--to", dest="last", type=dt.date.fromisoformat, help="last day (default: all)")
        parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
        parser.add_argument(
            "--assertions", choices=ASSERTIONS, default="day", help="balances asserted at the end of each day (default)"
        )
        parser.add_argument("--json", action="store_true", help="the summary as JSON on standard output, with --out")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"] and not options["out"]:
            raise CommandError("--json needs --out: standard output takes one of the two.")
        try:
            summary = self._write(options)
        except PayopsError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "from": summary.first_day.isoformat(),
                        "to": summary.last_day.isoformat(),
                        "days": summary.days,
                        "vouchers": summary.vouchers,
                        "entries": summary.entries,
                    }
                )
            )
        else:
            self.stderr.write(f"{summary.days} days, {summary.vouchers} vouchers, {summary.entries} entries.")

    def _write(self, options: dict[str, Any]) -> JournalSummary:
        wanted = {name: options[name] for name in ("first", "last", "assertions")}
        if options["out"] is None:
            return journal_write(lambda text: self.stdout.write(text, ending=""), form=options["format"], **wanted)
        # Written beside its place and moved there: nobody reads half a journal.
        draft = options["out"].with_name(f".{options['out'].name}.part")
        try:
            with draft.open("w", encoding="utf-8", newline="\n") as stream:
                summary = journal_write(stream.write, form=options["format"], **wanted)
            draft.replace(options["out"])
        finally:
            draft.unlink(missing_ok=True)
        return summary
