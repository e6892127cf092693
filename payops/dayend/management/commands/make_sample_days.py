"""`manage.py make_sample_days --out DIR`: write invented days with planted differences and their answers."""

from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from payops.dayend.sample.generator import generate
from payops.dayend.sample.plan import Options

DEFAULTS = Options()


class Command(BaseCommand):
    """See docs/sample-days.md."""

    help = "Write set-up, orders, bills and receipts of sample days with planted differences, and their answers."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        day = dt.date.fromisoformat
        parser.add_argument("--out", type=Path, required=True, help="folder to write to")
        parser.add_argument("--seed", type=int, default=DEFAULTS.seed, help=f"default {DEFAULTS.seed}")
        parser.add_argument("--merchants", type=int, default=DEFAULTS.merchants, help="default 200")
        parser.add_argument("--transactions", type=int, default=DEFAULTS.transactions, help="about, default 20000")
        parser.add_argument("--first", type=day, default=DEFAULTS.first, help="first day, default 2026-11-13")
        parser.add_argument("--last", type=day, default=DEFAULTS.last, help="last day, default 2026-11-17")
        parser.add_argument("--json", action="store_true", help="print the summary as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = Options(
            seed=options["seed"],
            merchants=options["merchants"],
            transactions=options["transactions"],
            first=options["first"],
            last=options["last"],
        )
        _refuse_nonsense(chosen)
        summary = generate(options["out"], chosen)
        if options["json"]:
            self.stdout.write(json.dumps(summary))
            return
        self.stdout.write(
            _("%(orders)d order rows, %(bill_lines)d bill lines, %(differences)d planted differences in %(out)s")
            % {**summary, "out": options["out"]}
        )


def _refuse_nonsense(options: Options) -> None:
    if options.last < options.first or (options.last - options.first).days > 60:
        raise CommandError(_("--last must be at least --first and at most 60 days later."))
    if not 1 <= options.merchants <= 99_999:
        raise CommandError(_("--merchants must be between 1 and 99999."))
    if not 100 <= options.transactions <= 20_000_000:
        raise CommandError(_("--transactions must be between 100 and 20000000."))
