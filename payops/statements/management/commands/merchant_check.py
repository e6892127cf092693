"""`manage.py merchant_check --date D`: statements, clearing and payouts of a settlement day, per merchant."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.accounts import selectors as ledger
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.statements.document import CURRENCY
from payops.statements.merchant_check import merchant_check


class Command(BaseCommand):
    """Exit code 0: nothing differs (what waits is not wrong); 1: something differs."""

    help = "Compare what is on merchants' statements with what was cleared and paid."

    def add_arguments(self, parser: CommandParser) -> None:
        """The date."""
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="accounting date, YYYY-MM-DD")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """One line per settlement sheet."""
        try:
            result = merchant_check(ledger.day_require(options["date"]))
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(result.as_dict(), ensure_ascii=False))
        else:
            for row in result.rows:
                figures = (row.cleared_net, row.sheet.payout_amount, row.stated or 0, row.paid)
                amounts = " ".join(f"{format_amount(each, CURRENCY):>16}" for each in figures)
                waits = f" for {row.waits_for}" if row.waits_for else ""
                self.stdout.write(f"{row.sheet.merchant.merchant_no:<20} {amounts}  {row.verdict}{waits}")
                for difference in row.differences:
                    self.stdout.write(f"  {difference}")
        if not result.agrees:
            sys.exit(1)
