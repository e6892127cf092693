"""How figures, days and record numbers look on screen and in files; the same everywhere and in every language."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from django.utils.translation import get_language

from payops.core.errors import PayopsError
from payops.core.ids import day_of
from payops.core.money import format_amount


class Named(Protocol):
    """What is data and carries its Chinese name beside the English one."""

    name: str
    name_zh: str


def local_name(named: Named) -> str:
    """The name of a subject or a channel in the reader's language; the English one while there is no other."""
    chinese = (get_language() or "").startswith("zh")
    return (chinese and named.name_zh) or named.name


def money(minor: int | None, currency: str = "CNY") -> str:
    """ "1,234.50" for 123450 fen; an absent amount is the empty text, never 0.00."""
    return "" if minor is None or minor == "" else format_amount(int(minor), str(currency))


def money_with_currency(minor: int | None, currency: str = "CNY") -> str:
    """ "1,234.50 CNY", for places where currencies mix."""
    text = money(minor, currency)
    return f"{text} {currency}" if text else ""


def date_text(day: dt.date | None) -> str:
    """2026-11-20 in both languages, as operators file it."""
    return "" if day is None else day.isoformat()[:10]


def unlocalized_id(id: int | None) -> str:
    """A record number as plain digits: USE_THOUSAND_SEPARATOR must never cut it into groups."""
    return "" if id is None or id == "" else str(int(id))


def id_day_text(id: int | None) -> str:
    """The day a day-coded id carries, as 2026-11-20; empty when it carries none."""
    if id is None or id == "":
        return ""
    try:
        return date_text(day_of(int(id)))
    except PayopsError:
        return ""
