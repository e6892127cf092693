"""`manage.py day run --date D [--from STEP]` and `manage.py day close --date D`."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.accounts.services import close_day
from payops.core.errors import PayopsError
from payops.dayend.models import Step
from payops.dayend.services import day_run


class Command(BaseCommand):
    """Exit code 0: as far as it goes now (waiting is no failure); 1: a step failed, with the reason."""

    help = "Walk an accounting day through its timetable, or close it."

    def add_arguments(self, parser: CommandParser) -> None:
        """`run` and `close`, each with a day."""
        actions = parser.add_subparsers(dest="action", required=True)
        run = actions.add_parser("run", help="take the day as far as it goes")
        run.add_argument("--from", dest="from_step", choices=Step.values, help="do this step and those after it again")
        run.add_argument("--user", default="", help="who proposes the payouts (otherwise nobody does)")
        run.add_argument("--skip-waiting", action="store_true", help="go on without the channels still waited for")
        close = actions.add_parser("close", help="close a day that is cut off")
        for sub in (run, close):
            sub.add_argument("--date", required=True, type=dt.date.fromisoformat, help="accounting day")
            sub.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            result = self._run(options) if options["action"] == "run" else self._close(options["date"])
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False, default=str))
            return
        for row in result.get("steps", [result]):
            self.stdout.write("  ".join(str(value) for value in row.values() if value not in ("", {}, [])))

    def _run(self, options: dict[str, Any]) -> dict[str, Any]:
        steps = day_run(
            options["date"],
            username=options["user"],
            from_step=options["from_step"],
            force=options["skip_waiting"],
        )
        return {
            "day": options["date"].isoformat(),
            "steps": [
                {"step": row.step, "state": row.state, "message": row.message, "summary": row.summary} for row in steps
            ],
        }

    def _close(self, day: dt.date) -> dict[str, Any]:
        result = close_day(day)
        return {
            "day": day.isoformat(),
            "seal": result.seal,
            "vouchers": result.voucher_count,
            "entries": result.entry_count,
            "findings": [finding.message for finding in result.findings],
        }
