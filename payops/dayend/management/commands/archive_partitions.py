"""``manage.py archive_partitions``: old days out of the database into files; what stands in the way is said."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.dayend.archiving import partitions_archive, retention_days


class Command(BaseCommand):
    """See docs/archive.md. May be killed at any time and started again."""

    help = "Archive the partitions of closed days nothing of which is worked on any more."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=int, help="days; default PAYOPS_ARCHIVE_AFTER_DAYS", metavar="DAYS")
        parser.add_argument("--table", action="append", default=[], help="only this table; may be given several times")
        parser.add_argument("--keep", action="store_true", help="keep the tables in the schema archive, read only")
        parser.add_argument("--dry-run", action="store_true", help="say what would be archived")
        parser.add_argument("--user", default="system", help="who is written into the register")
        parser.add_argument("--json", action="store_true", help="JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = partitions_archive(
                older_than=retention_days() if options["older_than"] is None else options["older_than"],
                tables=options["table"],
                keep=options["keep"],
                dry_run=options["dry_run"],
                by=options["user"],
                on_done=lambda done: self.stderr.write(f"{done['partition']}: {done.get('rows', '–')}"),
            )
        except PayopsError as error:
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            raise CommandError(str(error)) from error
        found = {day.isoformat(): reasons for day, reasons in report.obstacles.items()}
        if options["json"]:
            self.stdout.write(json.dumps({"archived": report.archived, "stay": found, "dry_run": options["dry_run"]}))
            return
        for day, reasons in found.items():
            self.stdout.write(_("%(day)s stays: %(reasons)s") % {"day": day, "reasons": "; ".join(reasons)})
        sentence = (
            _("%(count)d partitions would be archived, %(days)d days stay.")
            if options["dry_run"]
            else _("%(count)d partitions archived, %(days)d days stay.")
        )
        self.stdout.write(sentence % {"count": len(report.archived), "days": len(found)})
