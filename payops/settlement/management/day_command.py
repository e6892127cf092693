"""What `clear`, `settle` and `balance_check` share: a date, JSON on standard output, messages on standard error."""

from __future__ import annotations

import datetime as dt
import json
import sys
from abc import abstractmethod
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.accounts import selectors as ledger
from payops.core.errors import PayopsError


class DayCommand(BaseCommand):
    """Exit code 0: done; 1: refused, or something was found that a person has to look at."""

    def add_arguments(self, parser: CommandParser) -> None:
        """The accounting date."""
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="accounting date, YYYY-MM-DD")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the step and print its result."""
        try:
            result = self.run_step(ledger.day_require(options["date"]))
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False))
        else:
            for line in self.lines(result):
                self.stdout.write(line)
        if not self.is_well(result):
            sys.exit(1)

    @abstractmethod
    def run_step(self, day: dt.date) -> Any:
        """The step's result, ready for JSON."""

    @abstractmethod
    def lines(self, result: Any) -> list[str]:
        """The result for people."""

    def is_well(self, result: Any) -> bool:
        """Whether nobody has to look at it."""
        return True
