"""`manage.py load_receipts FILE`: take in bank receipts."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.channels.receipts.services import receipts_load
from payops.core.errors import PayopsError


class Command(BaseCommand):
    """Exit code 0: loaded (rows refused alone are listed); 1: the file is refused or cannot be read."""

    help = "Load bank receipts from CSV, camt.053 or MT940."

    def add_arguments(self, parser: CommandParser) -> None:
        """The file."""
        parser.add_argument("file")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            result = receipts_load(stream=options["file"], user="command", source="command")
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(result.as_dict(), ensure_ascii=False))
        else:
            self.stdout.write(
                f"{result.name} ({result.format}): {result.state}, {result.rows} rows, {result.created} new, "
                f"{result.unchanged} unchanged, {result.refused_count} refused"
            )
        for warning in result.warnings:
            self.stderr.write(warning)
        for row in result.refused:
            self.stderr.write(f"line {row['line']}: {row['field']} “{row['value']}”: {row['reason']}")
        if result.state != "loaded":
            sys.exit(1)
