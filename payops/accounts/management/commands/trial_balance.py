"""``manage.py trial_balance --date D``: opening, turnover and closing by subject."""

from __future__ import annotations

import datetime as dt
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from payops.accounts import selectors
from payops.core.errors import PayopsError
from payops.core.money import format_amount


class Command(BaseCommand):
    """Prints the trial balance of an accounting day; exit code 1 when it does not balance."""

    help = "Print the trial balance of an accounting day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--date", type=dt.date.fromisoformat, help="accounting day (default: the open one)")
        parser.add_argument("--level", type=int, choices=[1, 2, 3, 4], help="sum up to this level of the chart")
        parser.add_argument("--json", action="store_true", help="JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            day = selectors.day_require(options["date"]) if options["date"] else selectors.open_day()
        except PayopsError as error:
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            raise CommandError(str(error)) from error
        rows = selectors.trial_balance(day, level=options["level"])
        totals = selectors.trial_balance_totals(rows)
        if options["json"]:
            self.stdout.write(json.dumps(self._as_json(day, rows, totals), ensure_ascii=False))
        else:
            self._as_table(rows, totals)
        if not all(total.balanced for total in totals):
            raise CommandError(f"The trial balance of {day} does not balance.")

    @staticmethod
    def _as_json(
        day: dt.date, rows: list[selectors.TrialBalanceRow], totals: list[selectors.TrialBalanceTotal]
    ) -> dict[str, Any]:
        return {
            "date": day.isoformat(),
            "rows": [
                {
                    "code": row.dotted_code,
                    "name": row.name,
                    "name_zh": row.name_zh,
                    "element": row.element,
                    "normal_side": row.normal_side,
                    "currency": row.currency,
                    "opening": row.opening,
                    "debit": row.debit,
                    "credit": row.credit,
                    "closing": row.closing,
                }
                for row in rows
            ],
            "totals": [
                {
                    "currency": total.currency,
                    "debit": total.debit,
                    "credit": total.credit,
                    "closing_debit": total.closing_debit,
                    "closing_credit": total.closing_credit,
                    "balanced": total.balanced,
                }
                for total in totals
            ],
            "balanced": all(total.balanced for total in totals),
        }

    def _as_table(self, rows: list[selectors.TrialBalanceRow], totals: list[selectors.TrialBalanceTotal]) -> None:
        self.stdout.write(
            f"{'Subject':<10} {'Name':<38} {'':3} {'Opening':>18} {'Debit':>18} {'Credit':>18} {'Closing':>18}"
        )
        for row in rows:
            amounts = [format_amount(n, row.currency) for n in (row.opening, row.debit, row.credit, row.closing)]
            self.stdout.write(
                f"{row.dotted_code:<10} {row.name[:38]:<38} {row.currency:3} " + " ".join(f"{a:>18}" for a in amounts)
            )
        for total in totals:
            amounts = [
                format_amount(n, total.currency)
                for n in (total.debit, total.credit, total.closing_debit, total.closing_credit)
            ]
            self.stdout.write(
                f"{total.currency}: turnover {amounts[0]} = {amounts[1]}, closing {amounts[2]} = {amounts[3]}"
            )
