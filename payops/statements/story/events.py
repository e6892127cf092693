"""One event of a story."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final

CHAPTERS: Final = ("order", "bill", "run", "case", "settlement", "money", "ledger")
"""In this order events of one instant are told."""


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One entry of a voucher; `amount` minor units."""

    subject_code: str
    account_no: str
    subject_name: str
    side: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, when, and which page shows it.

    `kind` is a code for programs, `title` and `text` are for people; `page` is the kind of document and its number.
    `amount` is minor units, signed as the document signs it; `by` is the user, where one did it.
    """

    at: dt.datetime
    chapter: str
    kind: str
    title: Any
    page: tuple[str, Any]
    text: Any = ""
    amount: int | None = None
    currency: str = "CNY"
    by: str = ""
    tone: str = ""
    entries: list[EntryLine] = field(default_factory=list)

    @property
    def rank(self) -> int:
        """Where events of one instant are told."""
        return CHAPTERS.index(self.chapter)
