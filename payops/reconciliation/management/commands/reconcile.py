"""`manage.py reconcile --channel CODE --date D`: run the reconciliation of one contract and channel date."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.channels.bills.selectors import contract_by_code
from payops.core.errors import PayopsError
from payops.core.formatting import money
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.selectors import run_as_dict
from payops.reconciliation.services import run_reconcile


class Command(BaseCommand):
    """Exit code 0: the run is complete; 1: it could not be made, with the reason."""

    help = "Compare own transactions of a day with the channel's accepted bill."

    def add_arguments(self, parser: CommandParser) -> None:
        """Channel contract, day, batch."""
        parser.add_argument("--channel", required=True, help="code of the channel contract")
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="channel accounting date")
        parser.add_argument("--batch", type=int, default=1)
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            run = run_reconcile(
                contract=contract_by_code(options["channel"]), day=options["date"], batch=options["batch"]
            )
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        result = run_as_dict(run)
        if options["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False))
            return
        self.stdout.write(f"{run.contract.code} {run.channel_date} run {run.run_no}")
        self.stdout.write(f"  own     {run.own_count:>10} {money(run.own_amount):>20}")
        self.stdout.write(f"  channel {run.channel_count:>10} {money(run.channel_amount):>20}")
        for kind, figures in run.results.items():
            label = ResultKind(kind).label
            self.stdout.write(f"  {label!s:<28} {figures['count']:>8} {money(figures['amount']):>20}")
