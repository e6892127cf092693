"""`manage.py fetch_bills [--channel CODE] [--date D]`: try the file sources now, as the timetable does."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from payops.channels.bills.selectors import contract_by_code
from payops.channels.fetch.choices import WITH_FILE, FetchOutcome
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.jobs import FETCH_JOB
from payops.channels.schedules import current_sources, source_days
from payops.core.errors import PayopsError
from payops.core.jobs import enqueue_and_run, raise_if_failed

NOT_YET = {FetchOutcome.NOTHING, FetchOutcome.CREATING, FetchOutcome.NO_BILL}


@dataclass(slots=True)
class Tried:
    """What all sources came to: attempts, and the tries that left none because they broke off."""

    attempts: list[FetchAttempt] = field(default_factory=list)
    failed: list[tuple[FileSource, dt.date, PayopsError]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 when anything failed, 2 when something is not there yet, else 0."""
        outcomes = {FetchOutcome(each.outcome) for each in self.attempts}
        if self.failed or outcomes - NOT_YET - set(WITH_FILE):
            return 1
        return 2 if outcomes & NOT_YET else 0


class Command(BaseCommand):
    """Exit code 0: every day wanted is here; 2: some have none yet; 1: refused, unreachable or set up wrongly."""

    help = "Fetch bill files from their sources: of one day, or of all days that are due."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which contract, which day."""
        parser.add_argument("--channel", help="code of the channel contract; all of them by default")
        parser.add_argument("--date", type=dt.date.fromisoformat, help="channel day; by default what is due")
        parser.add_argument("--json", action="store_true", help="result as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Messages go to standard error, the result to standard output."""
        try:
            wanted = self._wanted(options["channel"], options["date"])
        except PayopsError as error:
            self.stderr.write(str(error))
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            sys.exit(1)
        tried = Tried()
        for source, day in wanted:
            try:
                tried.attempts += self._attempts(source, day)
            except PayopsError as error:
                tried.failed.append((source, day, error))
        self._tell(tried, as_machine=options["json"])
        if tried.exit_code:
            sys.exit(tried.exit_code)

    def _wanted(self, code: str | None, day: dt.date | None) -> list[tuple[FileSource, dt.date]]:
        sources = current_sources()
        if code:
            contract = contract_by_code(code)
            sources = [source for source in sources if source.contract_id == contract.pk]
            if not sources:
                raise PayopsError(
                    "fetch.no_source",
                    f"Channel {code} has no file source in force. Make one in the console, or upload the file.",
                    {"code": code},
                )
        if day:
            return [(source, day) for source in sources]
        return [(each.source, each.day) for each in reversed(source_days(sources)) if each.is_due]

    def _attempts(self, source: FileSource, day: dt.date) -> list[FetchAttempt]:
        params = {"source_id": source.pk, "day": day.isoformat(), "username": "command"}
        job = raise_if_failed(enqueue_and_run(FETCH_JOB, params, business_date=day, created_by="command"))
        ids = [each["attempt"] for each in job.result["attempts"]]
        return list(FetchAttempt.objects.filter(pk__in=ids).select_related("contract", "source").order_by("pk"))

    def _tell(self, tried: Tried, *, as_machine: bool) -> None:
        for source, day, error in tried.failed:
            self.stderr.write(f"{source.contract.code} {source.name} {day}: {error}")
        if as_machine:
            told = {
                "attempts": [as_json(each) for each in tried.attempts],
                "failed": [failed_as_json(*each) for each in tried.failed],
            }
            self.stdout.write(json.dumps(told, ensure_ascii=False))
            return
        for each in tried.attempts:
            what = f"{each.contract.code} {each.source.name} {each.channel_date}"
            self.stdout.write(f"{what}: {each.outcome} {each.message}".rstrip())
        if not tried.attempts and not tried.failed:
            self.stdout.write("nothing is due")


def as_json(attempt: FetchAttempt) -> dict[str, Any]:
    """An attempt for machines."""
    return {
        "channel": attempt.contract.code,
        "source": attempt.source.name,
        "date": attempt.channel_date.isoformat(),
        "outcome": attempt.outcome,
        "message": attempt.message,
        "file_name": attempt.file_name,
        "bill_file": attempt.bill_file_id,
        "started_at": attempt.started_at.isoformat(),
        "finished_at": attempt.finished_at.isoformat(),
    }


def failed_as_json(source: FileSource, day: dt.date, error: PayopsError) -> dict[str, Any]:
    """A try that broke off, for machines."""
    return {
        "channel": source.contract.code,
        "source": source.name,
        "date": day.isoformat(),
        "error": error.as_dict(),
    }
