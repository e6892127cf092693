"""`manage.py load_orders FILE`: take in the payment core's transactions (FORMATS 8)."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.core.errors import PayopsError
from payops.orders.models import Intake, IntakeState
from payops.orders.services import transactions_load


class Command(BaseCommand):
    """Exit code 0: loaded (rows refused alone are listed); 1: the file is refused or loading is not possible."""

    help = "Load transactions from CSV or NDJSON, plain, .gz or .zip."

    def add_arguments(self, parser: CommandParser) -> None:
        """The file."""
        parser.add_argument("file")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            intake = transactions_load(source=options["file"], user="command")
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(as_json(intake), ensure_ascii=False))
        else:
            self.stdout.write(
                f"{intake.source_name}: {intake.state}, {intake.rows} rows, {intake.created} new, "
                f"{intake.updated} updated, {intake.unchanged} unchanged, {intake.refused_count} refused, "
                f"{intake.vouchers} vouchers"
            )
        for row in intake.refused:
            self.stderr.write(f"line {row['line']}: {row['field']} “{row['value']}”: {row['reason']}")
        if intake.refused_count > len(intake.refused):
            self.stderr.write(f"… {intake.refused_count - len(intake.refused)} more")
        if intake.state != IntakeState.LOADED:
            sys.exit(1)


def as_json(intake: Intake) -> dict[str, Any]:
    """The outcome for machines."""
    return {
        "intake": intake.pk,
        "file": intake.source_name,
        "sha256": intake.sha256,
        "state": intake.state,
        "rows": intake.rows,
        "created": intake.created,
        "updated": intake.updated,
        "unchanged": intake.unchanged,
        "refused_count": intake.refused_count,
        "refused": intake.refused,
        "vouchers": intake.vouchers,
    }
