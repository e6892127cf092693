"""`manage.py explain NUMBER`: the whole story of one payment, in the order of time."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.core.errors import PayopsError
from payops.statements.story import story_as_dict, story_as_text, story_of


class Command(BaseCommand):
    """Exit code 0: told; 1: nothing has the number."""

    help = "Tell what happened to a payment: order, bill lines, runs, vouchers, case, clearing, payout."

    def add_arguments(self, parser: CommandParser) -> None:
        """The number, and where to look when it is old."""
        parser.add_argument(
            "number", help="transaction, refund, order, channel trade, record or case number, or the matching key"
        )
        parser.add_argument("--date", type=dt.date.fromisoformat, help="channel day to look in, for what is old")
        parser.add_argument("--json", action="store_true", help="story as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """The story goes to standard output."""
        try:
            story = story_of(options["number"], day=options["date"])
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps(story_as_dict(story), ensure_ascii=False))
            return
        self.stdout.write("\n".join(story_as_text(story)))
