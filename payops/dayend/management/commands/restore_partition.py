"""``manage.py restore_partition --date D``: bring an archived day back into its tables."""

from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.dayend.archiving import partitions_restore


class Command(BaseCommand):
    """See docs/archive.md."""

    help = "Bring the archived partitions of one day back, proved against the register."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--date", type=dt.date.fromisoformat, required=True)
        parser.add_argument("--table", action="append", default=[], help="only this table; may be given several times")
        parser.add_argument("--user", default="system", help="who is written into the register")
        parser.add_argument("--json", action="store_true", help="JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = partitions_restore(day=options["date"], tables=options["table"], by=options["user"])
        except PayopsError as error:
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps([{"partition": row.name, "rows": row.rows} for row in rows]))
            return
        for row in rows:
            self.stdout.write(_("%(name)s: %(rows)d rows are back.") % {"name": row.name, "rows": row.rows})
