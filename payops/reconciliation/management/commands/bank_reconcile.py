"""`manage.py bank_reconcile --account CODE --date D`: the balance adjustment statement of a reserve account."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.channels.models import BankAccount
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.reconciliation.bank.models import BankReconciliation
from payops.reconciliation.bank.selectors import statement_as_dict
from payops.reconciliation.bank.services import bank_reconcile, bank_reconcile_all


class Command(BaseCommand):
    """Exit code 0: the adjusted balances agree; 1: they do not, or it could not be done."""

    help = "Compare the journal of reserve accounts with the bank's statement of them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Account and day."""
        parser.add_argument("--account", help="code of the reserve account (default: all of them)")
        parser.add_argument("--date", required=True, type=dt.date.fromisoformat, help="day, YYYY-MM-DD")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """The statements of the day; earlier ones that were out of date are made anew on the way."""
        try:
            made = [each for each in self._made(options["account"], options["date"]) if each.day == options["date"]]
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps([statement_as_dict(each) for each in made], ensure_ascii=False))
        else:
            for each in made:
                self._write(each)
        if any(each.difference for each in made):
            sys.exit(1)

    def _made(self, code: str | None, day: dt.date) -> list[BankReconciliation]:
        if code is None:
            return bank_reconcile_all(day=day)
        account = BankAccount.objects.filter(code=code).first()
        if account is None:
            raise PayopsError("bank.unknown_account", f"There is no bank account {code}.", {"account": code})
        return bank_reconcile(account=account, day=day)

    def _write(self, made: BankReconciliation) -> None:
        currency = made.bank_account.currency
        figures = (
            ("balance of the journal", made.journal_balance),
            ("+ bank received, we not", made.bank_received),
            ("- bank paid, we not", made.bank_paid),
            ("= adjusted", made.adjusted_journal),
            (f"balance at the bank ({made.get_source_display()})", made.bank_balance),
            ("+ we received, bank not", made.we_received),
            ("- we paid, bank not", made.we_paid),
            ("= adjusted", made.adjusted_bank),
            ("difference", made.difference),
        )
        self.stdout.write(f"{made.bank_account.code} {made.day} #{made.number}, {made.items.count()} open items")
        for label, amount in figures:
            self.stdout.write(f"  {label:<48}{format_amount(amount, currency):>20}")
