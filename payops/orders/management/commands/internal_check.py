"""`manage.py internal_check --date D`: transactions beside their vouchers, per event and merchant."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.accounts import selectors as ledger
from payops.accounts.choices import Event
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.orders.ledger_comparison import ledger_comparison


class Command(BaseCommand):
    """Exit code 0: everything agrees; 1: something differs, or it could not be compared."""

    help = "Compare the transactions of an accounting date with their vouchers."

    def add_arguments(self, parser: CommandParser) -> None:
        """The date."""
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="accounting date, YYYY-MM-DD")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sums per event and merchant, then the rows that differ."""
        try:
            result = ledger_comparison(ledger.day_require(options["date"]))
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(result.as_dict(), ensure_ascii=False))
        else:
            for row in result.rows:
                own, booked = (format_amount(each, row.currency) for each in (row.own_amount, row.booked_amount))
                self.stdout.write(
                    f"{row.merchant_no:<20} {Event(row.event).label!s:<36} {row.own_count:>9} {own:>18} |"
                    f" {row.booked_count:>9} {booked:>18} {'' if row.agrees else f'{row.differing} differ'}"
                )
            self.stdout.write("agrees" if result.agrees else f"{len(result.differing)} rows differ")
        if not result.agrees:
            sys.exit(1)
