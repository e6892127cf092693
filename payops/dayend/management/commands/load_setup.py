"""Load a set-up file: institution, channels, fee packages, merchants, users (docs/setup.md)."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.core.errors import PayopsError
from payops.dayend.setup_file import load_setup


class Command(BaseCommand):
    """`manage.py load_setup FILE.yaml [--json] [--dry-run]`."""

    help = gettext_lazy("Load a set-up file; what is already so is left alone.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file and how to print."""
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--json", action="store_true", help=_("print the result as JSON on standard output"))
        parser.add_argument("--dry-run", action="store_true", help=_("do everything, then roll it back"))

    def handle(self, *, file: Path, **options: Any) -> None:
        """Load, then say what was created, changed and left alone."""
        try:
            report = load_setup(file, dry_run=options["dry_run"])
        except PayopsError as error:
            if options["json"]:
                self.stdout.write(json.dumps({"ok": False, "error": error.as_dict()}, ensure_ascii=False, default=str))
            raise CommandError(str(error), returncode=1) from error
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), ensure_ascii=False))
            return
        for line in report.lines():
            self.stdout.write(line)
        if report.dry_run:
            self.stderr.write(_("Dry run: nothing was written."))
