"""A story: its events in the order of time, and the two ways it is told, as text and as data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from payops.core.formatting import money
from payops.statements.story import chapters
from payops.statements.story.events import Event
from payops.statements.story.finding import Subjects, subjects_of

__all__ = ["Event", "Story", "story_as_dict", "story_as_text", "story_of"]


@dataclass(frozen=True, slots=True)
class Story:
    """What was asked for, the rows it is about, and everything that happened to them, the earliest first."""

    wanted: str
    subjects: Subjects
    events: list[Event] = field(default_factory=list)


def story_of(wanted: str, *, day: dt.date | None = None) -> Story:
    """The story of a number (see `finding.subjects_of`); PayopsError 'explain.not_found' when nothing has it.

    Reads by key only: a few queries per chapter, however large the days are.
    """
    subjects = subjects_of(wanted.strip(), day=day)
    events = chapters.tell(subjects)
    return Story(wanted.strip(), subjects, sorted(events, key=_order))


def _order(event: Event) -> tuple[dt.datetime, int]:
    """By the second, and within one as a person would tell it: what a run said comes before what it booked."""
    return event.at.replace(microsecond=0), event.rank


def story_as_dict(story: Story) -> dict[str, Any]:
    """For `explain --json`: amounts are minor units, record numbers text."""
    return {
        "wanted": story.wanted,
        "transactions": [str(pk) for pk in sorted(story.subjects.transactions)],
        "bill_lines": [str(pk) for pk in sorted(story.subjects.lines)],
        "events": [
            {
                "at": event.at.isoformat(),
                "chapter": event.chapter,
                "kind": event.kind,
                "title": str(event.title),
                "text": str(event.text),
                "amount": event.amount,
                "currency": event.currency,
                "by": event.by,
                "page": event.page[0],
                "number": str(event.page[1]),
                "entries": [
                    {
                        "subject": entry.subject_code,
                        "account": entry.account_no,
                        "side": entry.side,
                        "amount": entry.amount,
                        "currency": entry.currency,
                    }
                    for entry in event.entries
                ],
            }
            for event in story.events
        ],
    }


def story_as_text(story: Story) -> list[str]:
    """For `explain` on a terminal: a line per event, its entries below it."""
    lines = []
    for event in story.events:
        at = timezone.localtime(event.at).strftime("%Y-%m-%d %H:%M:%S")
        amount = "" if event.amount is None else f"  {money(event.amount, event.currency)} {event.currency}"
        by = f"  ({event.by})" if event.by else ""
        text = f": {event.text}" if event.text else ""
        lines.append(f"{at}  {event.title}{text}{amount}{by}")
        for entry in event.entries:
            shown = money(entry.amount, entry.currency)
            lines.append(f"    {entry.side} {entry.subject_code} {entry.account_no}  {shown} {entry.currency}")
    return lines
