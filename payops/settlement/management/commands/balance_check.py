"""`manage.py balance_check --date D`: the equation before any payout (DOMAIN 11.4)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from payops.core.money import format_amount
from payops.settlement.management.day_command import DayCommand
from payops.settlement.services import balance_check_run


class Command(DayCommand):
    """Exit code 1 when a channel-date fails: its part of every sheet is withheld, the rest may be paid."""

    help = "Check every channel-date due the day after an accounting date, and decide what each sheet pays."

    def run_step(self, day: dt.date) -> list[dict[str, Any]]:
        """Check."""
        return balance_check_run(day=day)

    def lines(self, result: list[dict[str, Any]]) -> list[str]:
        """The verdict and its terms, per contract and date."""
        lines = []
        for check in result:
            verdict = "passed" if check["passed"] else f"FAILED, {format_amount(check['withheld'], 'CNY')} withheld"
            lines.append(f"{check['contract']} {check['own_date']}: {verdict}")
            if check["reason"]:
                lines.append(f"  {check['reason']}")
            lines += [f"  {format_amount(term['amount'], 'CNY'):>20}  {term['name']}" for term in check["terms"]]
            lines.append(f"= {format_amount(check['computed'], 'CNY'):>20}  computed")
            lines.append(f"  {format_amount(check['clearing_amount'], 'CNY'):>20}  clearing amount")
        return lines

    def is_well(self, result: list[dict[str, Any]]) -> bool:
        """Every check passed."""
        return all(check["passed"] for check in result)
