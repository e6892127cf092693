"""`manage.py reconcile --channel CODE --date D`: run the reconciliation of one contract and channel date.

With `--compare` nothing is run: the run that counts is set beside an earlier one.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from payops.channels.bills.selectors import accepted_file, contract_by_code
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.formatting import money
from payops.reconciliation.buckets.services import buckets_for
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.comparison import (
    Change,
    comparison_as_dict,
    run_before,
    run_by_number,
    run_compare,
    run_latest,
)
from payops.reconciliation.jobs import run_with_helpers
from payops.reconciliation.models import ReconRun
from payops.reconciliation.selectors import run_as_dict
from payops.reconciliation.services import run_reconcile

PREVIOUS: Final = 0
"""Runs are numbered from 1."""


class Command(BaseCommand):
    """Exit code 0: the run is complete, or both are compared; 1: it could not be done, with the reason."""

    help = "Compare own transactions of a day with the channel's accepted bill."

    def add_arguments(self, parser: CommandParser) -> None:
        """Channel contract, day, batch."""
        parser.add_argument("--channel", required=True, help="code of the channel contract")
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="channel accounting date")
        parser.add_argument("--batch", type=int, default=1)
        parser.add_argument(
            "--buckets",
            type=int,
            metavar="N",
            help="compare in N parts, by as many processes as there are processors and by free workers "
            "(default: by PAYOPS_RUN_BUCKET_LINES; 1: as a whole)",
        )
        parser.add_argument(
            "--compare",
            nargs="?",
            type=int,
            const=PREVIOUS,
            metavar="RUN",
            help="run nothing, compare the current run with number RUN of the same day (default: the one before)",
        )
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            contract = contract_by_code(options["channel"])
            if options["compare"] is not None:
                self._compare(contract, options)
                return
            run = self._run(contract, options)
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

    def _run(self, contract: ChannelContract, options: dict[str, Any]) -> ReconRun:
        day, batch = options["date"], options["batch"]
        bill_file = accepted_file(contract, day, batch)
        buckets = 1 if bill_file is None else buckets_for(bill_file, options["buckets"])
        if buckets == 1:
            return run_reconcile(contract=contract, day=day, batch=batch, buckets=1)
        processes = min(buckets, len(os.sched_getaffinity(0)))
        return run_with_helpers(
            contract=contract, day=day, batch=batch, username="system", buckets=buckets, processes=processes
        )

    def _compare(self, contract: ChannelContract, options: dict[str, Any]) -> None:
        now = run_latest(contract, options["date"], options["batch"])
        number = options["compare"]
        before = run_before(now) if number == PREVIOUS else run_by_number(now, number)
        comparison = run_compare(now, before)
        if options["json"]:
            self.stdout.write(json.dumps(comparison_as_dict(comparison), ensure_ascii=False))
            return
        self.stdout.write(f"{contract.code} {now.channel_date} run {before.run_no} -> {now.run_no}")
        self.stdout.write(f"  bill version {before.file.version} -> {now.file.version}")
        for change, number_of in comparison.changes.items():
            self.stdout.write(f"  {Change(change).label!s:<28} {number_of:>8}")
        for pair in comparison.results:
            label = ResultKind(pair.name).label
            amounts = f"{money(pair.before_amount):>20} -> {money(pair.now_amount)}"
            self.stdout.write(f"  {label!s:<28} {pair.before_count:>8} -> {pair.now_count:<8} {amounts}")
