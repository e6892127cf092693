"""`manage.py clear --date D`: what merchants are owed for an accounting date (DOMAIN 11.2)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from payops.core.money import format_amount
from payops.settlement.management.day_command import DayCommand
from payops.settlement.services import clearing_run


class Command(DayCommand):
    """Contracts without a run are skipped and named; clear again when their bill is in."""

    help = "Clear an accounting date for every channel contract that is reconciled."

    def run_step(self, day: dt.date) -> dict[str, Any]:
        """Clear."""
        return clearing_run(day=day, username="command")

    def lines(self, result: dict[str, Any]) -> list[str]:
        """One line per contract."""
        cleared = [
            f"{code}: {sums['count']} transactions, {format_amount(sums['amount'], 'CNY')}, "
            f"fee {format_amount(sums['fee'], 'CNY')}, {sums['held']} held, {sums['released']} released"
            for code, sums in result["contracts"].items()
        ]
        return cleared + [f"{code}: skipped ({reason})" for code, reason in result["skipped"].items()]
