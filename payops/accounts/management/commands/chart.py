"""``manage.py chart export FILE | import FILE``: the chart of accounts out, and in by maker and checker."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted
from payops.accounts.chart_files import (
    ChartDifference,
    chart_difference,
    chart_export,
    chart_propose,
    chart_read,
    refuse_errors,
)
from payops.core.errors import PayopsError
from payops.identity.models import User


class Command(BaseCommand):
    """Writes the chart to a file, or proposes to take one over; another person approves in the console."""

    help = "Export the chart of accounts (.yaml, .csv, .xlsx), or import one by maker and checker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        out = verbs.add_parser("export", help="write the chart to a file; its ending chooses the format")
        out.add_argument("file", type=Path)
        into = verbs.add_parser("import", help="compare a file with the chart and propose to take it over")
        into.add_argument("file", type=Path)
        into.add_argument("--check", action="store_true", help="only say what would change")
        into.add_argument("--maker", default="", help="who proposes it")
        into.add_argument("--reason", default="", help="why, for the checker")
        into.add_argument("--json", action="store_true", help="JSON on standard output")

    def handle(self, *, verb: str, file: Path, **options: Any) -> None:
        try:
            if verb == "export":
                file.write_bytes(chart_export(file.suffix.lower().lstrip(".").replace("yml", "yaml")))
                self.stderr.write(_("Written: %(file)s.") % {"file": file})
            else:
                self._import(file, **options)
        except OSError as error:
            raise CommandError(str(error)) from error
        except PayopsError as error:
            for each in error.context.get("errors", []):
                self.stderr.write(f"{each['row']} {dotted(each['code'])}: {each['message']}")
            raise CommandError(str(error)) from error

    def _import(self, file: Path, *, check: bool, maker: str, reason: str, **options: Any) -> None:
        content = file.read_bytes()
        difference = chart_difference(chart_read(content, file.name))
        refuse_errors(difference, file.name)
        request = None
        if not check:
            user = User.objects.filter(username=maker).first()
            if user is None:
                raise CommandError(_("Say who proposes it with --maker; “%(maker)s” is nobody.") % {"maker": maker})
            request = chart_propose(content=content, name=file.name, reason=reason, maker=user).pk
        if options["json"]:
            self.stdout.write(json.dumps(self._as_json(difference, request), ensure_ascii=False))
            return
        for row in difference.added:
            self.stdout.write(f"+ {dotted(row['code'])} {row['name']} {row['name_zh']}")
        for code, column, before, after in difference.changed:
            self.stdout.write(f"  {dotted(code)} {column}: {before or '–'} → {after or '–'}")
        if request:
            self.stderr.write(_("Proposed as request #%d; another person decides.") % request)

    @staticmethod
    def _as_json(difference: ChartDifference, request: int | None) -> dict[str, Any]:
        return {
            "request": request,
            "added": [dotted(row["code"]) for row in difference.added],
            "changed": [[dotted(code), *rest] for code, *rest in difference.changed],
            "not_in_file": [dotted(code) for code in difference.not_in_file],
        }
