"""`manage.py payouts --date D [--maker USERNAME] [--send] [--poll]`: payout batches, from proposal to result."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.accounts import selectors as ledger
from payops.core.errors import PayopsError
from payops.core.money import amount_in_capitals, format_amount
from payops.identity.models import User
from payops.settlement.payouts import payout_batch_create, payouts_in_flight, payouts_poll, payouts_send
from payops.settlement.payouts.batches import CURRENCY, sheets_hold_unpayable


class Command(BaseCommand):
    """Exit code 0: done; 1: refused, or the bank could not be reached and payouts wait."""

    help = "Propose (--maker), send (--send) and query (--poll) the payouts due after an accounting date."

    def add_arguments(self, parser: CommandParser) -> None:
        """Date and what to do."""
        parser.add_argument("--date", type=dt.date.fromisoformat, required=True, help="accounting date (YYYY-MM-DD)")
        parser.add_argument("--maker", help="propose a batch in this user's name; finance approves it")
        parser.add_argument("--send", action="store_true", help="send approved payouts to the bank")
        parser.add_argument("--poll", action="store_true", help="ask the bank for results")
        parser.add_argument("--rounds", type=int, default=3, help="how often to ask about unknown ones (default 3)")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        day: dt.date = options["date"]
        result: dict[str, Any] = {"date": day.isoformat()}
        try:
            ledger.day_require(day)
            if options["maker"]:
                result |= self._propose(day, options["maker"])
            if options["send"]:
                result["send"] = payouts_send(day=day, username="command")
            if options["poll"]:
                result["poll"] = payouts_poll(day=day, username="command", rounds=options["rounds"])
            result["in_flight"] = payouts_in_flight()
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        self._show(result, options["json"])
        if any(result.get(step, {}).get("stopped") for step in ("send", "poll")):
            self.stderr.write("The bank cannot be reached; what waits is sent or asked about by the next call.")
            sys.exit(1)

    def _propose(self, day: dt.date, username: str) -> dict[str, Any]:
        maker = User.objects.filter(username=username).first()
        if maker is None:
            raise PayopsError("payouts.unknown_user", f"There is no user {username}.", {"username": username})
        held = sheets_hold_unpayable(day=day, username=username)
        batch = payout_batch_create(day=day, maker=maker)
        if batch is None:
            return {"batch": None, "held": held}
        return {
            "batch": {
                "batch_no": batch.batch_no,
                "count": batch.count,
                "amount": batch.amount,
                "amount_in_capitals": amount_in_capitals(batch.amount),
                "approval": batch.approval_id,
            },
            "held": held,
        }

    def _show(self, result: dict[str, Any], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(result, ensure_ascii=False))
            return
        batch = result.get("batch")
        if batch:
            amount = f"{format_amount(batch['amount'], CURRENCY)} {batch['amount_in_capitals']}"
            self.stdout.write(f"{batch['batch_no']}: {batch['count']} payouts, {amount}, request #{batch['approval']}")
        elif "batch" in result:
            self.stdout.write("nothing to pay")
        for sheet in result.get("held", ()):
            self.stdout.write(f"held {sheet['sheet_no']} {sheet['merchant_no']}: {sheet['code']}")
        for step in ("send", "poll"):
            if step in result:
                states = ", ".join(f"{number} {state}" for state, number in result[step]["states"].items()) or "nothing"
                self.stdout.write(f"{step}: {states}")
        flight = result["in_flight"]
        self.stdout.write(f"in flight: {flight['count']}, {format_amount(flight['amount'], CURRENCY)} {CURRENCY}")
