"""`manage.py settle --date D`: the settlement sheets made after an accounting date (DOMAIN 11.3)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from payops.core.money import format_amount
from payops.settlement.management.day_command import DayCommand
from payops.settlement.services import settlement_run


class Command(DayCommand):
    """The pay date is the day after the accounting date."""

    help = "Make the settlement sheets that are due the day after an accounting date."

    def run_step(self, day: dt.date) -> dict[str, Any]:
        """Settle."""
        return settlement_run(day=day, username="command")

    def lines(self, result: dict[str, Any]) -> list[str]:
        """One line."""
        return [
            f"{result['pay_date']}: {result['sheets']} sheets, {format_amount(result['amount'], 'CNY')} settled, "
            f"{format_amount(result['total'], 'CNY')} in total"
        ]
