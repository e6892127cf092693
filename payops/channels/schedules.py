"""The timetable of fetching: which channel days a source is due for, when it is tried next, and what is late.

Times of a source are Shanghai time of the calendar day after the channel day. From the first try on it is tried every
so many minutes; past the deadline the day is late, people are told, and it is still tried once an hour, because a bill
at 15:30 is better than none. A day that has a file, whichever way it came, is not tried again.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.db.models import Count, Max
from django.utils import timezone

from payops.channels.choices import FileState
from payops.channels.fetch.choices import SourceKind
from payops.channels.fetch.folder import FolderAdapter
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.models import BillFile
from payops.core.errors import PayopsError
from payops.core.institution import SHANGHAI
from payops.core.jobs import enqueue
from payops.core.models import JobRun

FETCH_JOB: Final = "channels.fetch"
LOOK_BACK: Final = dt.timedelta(days=10)
LATE_EVERY: Final = dt.timedelta(hours=1)
ONE_DAY: Final = dt.timedelta(days=1)


class DayStatus(StrEnum):
    """How a source stands with a channel day."""

    HERE = "here"
    EMPTY = "empty"
    PLANNED = "planned"
    TRYING = "trying"
    LATE = "late"
    NOT_WANTED = "not_wanted"


@dataclass(frozen=True, slots=True)
class SourceDay:
    """One channel day of a source as it stands."""

    source: FileSource
    day: dt.date
    status: DayStatus
    expected_at: dt.datetime
    deadline_at: dt.datetime
    tries: int = 0
    last: FetchAttempt | None = None
    next_try: dt.datetime | None = None
    bill_file: BillFile | None = None

    @property
    def is_due(self) -> bool:
        """Whether a file is wanted and not here."""
        return self.status in (DayStatus.TRYING, DayStatus.LATE)


def moment_of(day: dt.date, clock: dt.time) -> dt.datetime:
    """A time of the day after the channel day."""
    return dt.datetime.combine(day + ONE_DAY, clock, SHANGHAI)


def current_sources(*, active_only: bool = True) -> list[FileSource]:
    """The versions in force, by contract and name."""
    sources = FileSource.objects.filter(is_current=True).select_related("contract__channel", "approval")
    if active_only:
        sources = sources.filter(active=True, contract__active=True)
    return list(sources.order_by("contract__code", "name"))


def source_days(
    sources: Sequence[FileSource], *, now: dt.datetime | None = None, days: int = LOOK_BACK.days
) -> list[SourceDay]:
    """How each source stands with each of the last channel days, the latest day first; three queries for all."""
    now = now or timezone.now()
    last_day = now.astimezone(SHANGHAI).date() - ONE_DAY
    wanted = [last_day - dt.timedelta(days=back) for back in range(days)]
    files = _files(sources, wanted)
    tries, lasts = _tries(sources, wanted)
    return [
        _state(
            source,
            day,
            now,
            files.get((source.contract_id, source.bill_type, day)),
            tries.get((source.contract_id, source.name, day), 0),
            lasts.get((source.contract_id, source.name, day)),
        )
        for day in wanted
        for source in sources
        if day >= source.first_day
    ]


def _files(sources: Iterable[FileSource], days: Sequence[dt.date]) -> dict[tuple[int, str, dt.date], BillFile]:
    """The latest file of each contract, type and day that was not rejected."""
    found = (
        BillFile.objects.filter(contract__in={source.contract_id for source in sources}, channel_date__in=days)
        .exclude(state=FileState.REJECTED)
        .select_related("empty_day")
        .order_by("version")
    )
    return {(file.contract_id, file.bill_type, file.channel_date): file for file in found}


def _tries(
    sources: Iterable[FileSource], days: Sequence[dt.date]
) -> tuple[dict[tuple[int, str, dt.date], int], dict[tuple[int, str, dt.date], FetchAttempt]]:
    of_days = FetchAttempt.objects.filter(
        contract__in={source.contract_id for source in sources}, channel_date__in=days
    ).order_by()
    counted: dict[tuple[int, str, dt.date], int] = defaultdict(int)
    newest: list[int] = []
    for contract_id, name, day, count, last in of_days.values_list(
        "contract_id", "source__name", "channel_date"
    ).annotate(count=Count("id"), last=Max("id")):
        counted[(contract_id, name, day)] = count
        newest.append(last)
    lasts = FetchAttempt.objects.filter(pk__in=newest).select_related("source")
    return counted, {(last.contract_id, last.source.name, last.channel_date): last for last in lasts}


def _state(
    source: FileSource,
    day: dt.date,
    now: dt.datetime,
    bill_file: BillFile | None,
    tries: int,
    last: FetchAttempt | None,
) -> SourceDay:
    expected_at, deadline_at = moment_of(day, source.first_try), moment_of(day, source.deadline)
    next_try = None
    if bill_file is not None:
        status = DayStatus.EMPTY if hasattr(bill_file, "empty_day") else DayStatus.HERE
    elif not source.active:
        status = DayStatus.NOT_WANTED
    elif now < expected_at:
        status, next_try = DayStatus.PLANNED, expected_at
    else:
        status = DayStatus.LATE if now > deadline_at else DayStatus.TRYING
        next_try = _next_try(source, expected_at, deadline_at, last)
    return SourceDay(source, day, status, expected_at, deadline_at, tries, last, next_try, bill_file)


def _next_try(
    source: FileSource, expected_at: dt.datetime, deadline_at: dt.datetime, last: FetchAttempt | None
) -> dt.datetime:
    """After the last try by the interval; past the deadline once an hour, but the deadline itself is not missed."""
    if last is None or last.finished_at < expected_at:
        return expected_at
    every = dt.timedelta(minutes=source.every_minutes)
    if last.finished_at >= deadline_at:
        return last.finished_at + max(every, LATE_EVERY)
    return min(last.finished_at + every, deadline_at)


def late_days(*, now: dt.datetime | None = None) -> list[SourceDay]:
    """What should be here and is not, the oldest first."""
    late = [each for each in source_days(current_sources(), now=now) if each.status == DayStatus.LATE]
    return sorted(late, key=lambda each: (each.day, each.source.contract.code, each.source.name))


def due_days(*, now: dt.datetime | None = None) -> list[SourceDay]:
    """What is to be tried at this moment, the oldest first."""
    now = now or timezone.now()
    due = [each for each in source_days(current_sources(), now=now) if each.is_due and each.next_try <= now]
    return sorted(due, key=lambda each: (each.day, each.source.contract.code, each.source.name))


def fetch_tick(*, now: dt.datetime | None = None) -> list[JobRun]:
    """Queue what is due; called every minute. However often it is called, one try is queued once.

    The key counts the tries so far: while a try is queued or under way, or if its worker died and the sweeper starts it
    again, the same key holds; the attempt it leaves makes room for the next.
    """
    now = now or timezone.now()
    jobs = [try_enqueue(each) for each in due_days(now=now)]
    tried = {job.params["source_id"] for job in jobs}
    jobs += [
        _enqueue(source, None, f"look/{slot}")
        for source in current_sources()
        if source.pk not in tried and (slot := _look_slot(source, now)) is not None
    ]
    return jobs


def _look_slot(source: FileSource, now: dt.datetime) -> int | None:
    """Files for days that are here already, such as re-issues: a folder with something in it, a server every hour."""
    seconds = int(now.timestamp())
    if source.kind == SourceKind.SFTP:
        return seconds // 3600
    if source.kind != SourceKind.FOLDER:
        return None
    try:
        waits = FolderAdapter(source).waits(now.astimezone(SHANGHAI).date())
    except PayopsError:
        return None
    return seconds // (60 * source.every_minutes) if waits else None


def try_enqueue(each: SourceDay, *, username: str = "") -> JobRun:
    """Have a worker try a source for a day now; a try that is queued or under way is the same one."""
    return _enqueue(each.source, each.day, f"{each.day}/{each.tries}", username)


def _enqueue(source: FileSource, day: dt.date | None, key: str, username: str = "") -> JobRun:
    return enqueue(
        FETCH_JOB,
        {"source_id": source.pk, "day": day.isoformat() if day else None, "username": username},
        key=f"{FETCH_JOB}/{source.contract_id}/{source.name}/{key}",
        business_date=day,
        created_by=username,
    )
