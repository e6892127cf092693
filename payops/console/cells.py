"""What a table cell or a fact shows: text, where it links to, and how it looks. Views speak only in these."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from html import escape
from typing import Any
from urllib.parse import urlencode

from django.db import models
from django.urls import get_script_prefix, reverse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from payops.accounts.choices import DayState
from payops.core.choices import JOB_STATE_COLOURS
from payops.core.formatting import money as format_money
from payops.discrepancies.choices import CASE_STATE_COLOURS

TONES: dict[str, str] = {
    # States across all apps; a word means the same everywhere, so one map is enough.
    "created": "base", "processing": "info", "unknown": "warning", "succeeded": "success", "failed": "danger",
    "closed": "base", "received": "info", "rejected": "danger", "held": "warning", "accepted": "success",
    "superseded": "base", "running": "info", "complete": "success", "in_doubt": "warning", "definite": "danger",
    "cleared": "success", "resolved": "success", "withdrawn": "base", "waiting": "warning", "agreed": "success",
    "different": "danger", "pending": "warning", "executed": "success", "draft": "base", "ready": "info",
    "carried": "base", "in_payment": "info", "paid": "success", "returned": "danger", "approved": "info",
    "sent": "info", "done": "success", "sending": "info", "cancelled": "base", "released": "success",
    "dropped": "base", "active": "success", "suspended": "warning", "applied": "base", "in_review": "info",
    "flagged": "danger", "replaced": "base", "loaded": "success", "refused": "danger", "new": "info",
    "matched": "success", "unidentified": "danger", "normal": "success", "stopped": "danger", "judicial": "danger",
    "credit_only": "warning", "debit_only": "warning", "open": "info", "cut_off": "warning", "info": "info",
    "warning": "warning", "error": "danger", "proposed": "info", "booked": "success", "retired": "base",
}  # fmt: skip

RESULT_TONES: dict[str, str] = {
    "matched": "success", "own_in_doubt": "warning", "channel_in_doubt": "warning", "own_cleared": "info",
    "channel_cleared": "info", "offset": "info", "split": "info", "lump": "info", "by_hand": "info",
    "failed_absent": "base",
}  # fmt: skip
"""Of results; every kind not named here is a difference."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value on screen. `css` is a class of console.css, `tone` makes it a badge, `note` is a second small line."""

    text: Any = ""
    url: str = ""
    css: str = ""
    tone: str = ""
    note: Any = ""
    raw: Any = None
    span: int = 1
    """Over how many columns it stands."""

    @property
    def export(self) -> Any:
        """What goes into a CSV file."""
        return self.text if self.raw is None else self.raw

    @property
    def html(self) -> SafeString:
        """The value as a page shows it. Not by a template: a list of 50 rows has 500 of them."""
        return mark_safe(self._html())  # noqa: S308 - every part is escaped

    def _td(self) -> str:
        span = f' colspan="{self.span:d}"' if self.span > 1 else ""
        return f'<td class="{escape(self.css)}"{span}>{self._html()}</td>'

    def _html(self) -> str:
        shown = _shown(self.text)
        css = f' class="c-badge c-tone-{escape(self.tone)}"' if self.tone else ""
        if self.url:
            shown = f'<a{css} href="{escape(self.url)}">{shown}</a>'
        elif css:
            shown = f"<span{css}>{shown}</span>"
        if self.note:
            shown = f'{shown}<small class="c-note">{_shown(self.note)}</small>'
        return shown


def _shown(value: Any) -> str:
    """Days as 2026-11-20 in every language, numbers as the language writes them."""
    if type(value) is str:
        return escape(value)
    is_day = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return conditional_escape(value.isoformat() if is_day else localize(value))


@dataclass(slots=True)
class Column:
    """A heading; `css` also aligns the cells below it."""

    title: Any
    css: str = ""

    @property
    def th(self) -> str:
        """The heading, escaped."""
        return f'<th class="{escape(self.css)}" scope="col">{_shown(self.title)}</th>'


@dataclass(slots=True)
class Table:
    """Columns and rows of cells, with the sentence shown when there are none."""

    columns: Sequence[Column]
    rows: list[list[Cell]]
    title: Any = ""
    empty: Any = ""
    foot: list[Cell] = field(default_factory=list)
    note: Any = ""
    keys: list[Any] = field(default_factory=list)
    """One value per row where rows can be selected."""

    @property
    def head_html(self) -> SafeString:
        """The headings above."""
        return mark_safe("".join([column.th for column in self.columns]))  # noqa: S308 - escaped there

    @property
    def body(self) -> list[tuple[Any, SafeString]]:
        """Rows as a page shows them, with their selection keys."""
        return [(key, joined(row)) for key, row in zip(self.keys, self.rows, strict=True)]

    @property
    def body_html(self) -> SafeString:
        """All rows, where none can be selected."""
        return mark_safe("".join([f"<tr>{joined(row)}</tr>" for row in self.rows]))  # noqa: S308 - escaped there

    @property
    def foot_html(self) -> SafeString:
        """The totals below."""
        return joined(self.foot)


def joined(row: Sequence[Cell]) -> SafeString:
    """The cells of a row side by side."""
    return mark_safe("".join([cell._td() for cell in row]))  # noqa: S308 - cells escape what they show


def text(value: Any, url: str = "", *, note: Any = "") -> Cell:
    """Plain words."""
    return Cell("" if value is None else value, url, note=note)


def number(value: Any, url: str = "", *, note: Any = "") -> Cell:
    """A record number: fixed width, never grouped."""
    return Cell("" if value is None else str(value), url, "c-num", note=note)


def count(value: int | None, url: str = "") -> Cell:
    """How many, right-aligned with group separators."""
    return Cell("" if value is None else f"{value:,}", url, "c-amount", raw=value)


def money(minor: int | None, currency: str = "CNY", url: str = "", *, signed: bool = False) -> Cell:
    """An amount of minor units; negative ones stand out, `signed` writes the plus too."""
    shown = format_money(minor, currency)
    if signed and minor and minor > 0:
        shown = f"+{shown}"
    css = "c-amount c-neg" if minor is not None and minor < 0 else "c-amount"
    return Cell(shown, url, css, raw=format_money(minor, currency).replace(",", ""))


def date(value: dt.date | None, url: str = "") -> Cell:
    """A day."""
    return Cell("" if value is None else value.isoformat()[:10], url, "c-date")


def moment(value: dt.datetime | None) -> Cell:
    """An instant in local time."""
    if value is None:
        return Cell("", css="c-date")
    return Cell(timezone.localtime(value).isoformat(" ", "seconds")[:19], css="c-date")


def between(start: dt.datetime | None, end: dt.datetime | None) -> Cell:
    """When something began, and below it when it ended."""
    first = moment(start)
    return Cell(first.text, css="c-date", note=moment(end).text if end else "", raw=first.text)


def duration(milliseconds: int) -> Cell:
    """How long something took or waits, in the unit a person would say it in; a CSV file gets the milliseconds."""
    seconds = milliseconds // 1000
    if seconds < 1:
        words = _("%d ms") % milliseconds
    elif seconds < 120:
        words = _("%d s") % seconds
    elif seconds < 7200:
        words = _("%d min") % (seconds // 60)
    else:
        words = _("%d h") % (seconds // 3600)
    return Cell(words, css="c-amount", raw=milliseconds)


def badge(value: str, label: Any = "", url: str = "", *, tone: str = "") -> Cell:
    """A state with its colour."""
    return Cell(label or value, url, tone=tone or TONES.get(value, "base"), raw=label or value)


def state(instance: Any, name: str = "state", url: str = "") -> Cell:
    """The state field of a model, with its label and colour."""
    value = getattr(instance, name)
    return badge(value, label_of(instance, name), url, tone=_special_tone(instance, value))


def label_of(instance: Any, name: str) -> str:
    """What the value of a field with choices is called; as `get_…_display`, which builds its map anew every time."""
    value = getattr(instance, name)
    return str(_labels(type(instance), name).get(value, "" if value is None else value))


@cache
def _labels(model: type[models.Model], name: str) -> dict[Any, Any]:
    return dict(model._meta.get_field(name).flatchoices)


def _special_tone(instance: Any, value: str) -> str:
    """Where a word means something else than elsewhere: an open case is trouble, an open day is not."""
    model = instance._meta.model_name
    if model == "discrepancy":
        return {"secondary": "base"}.get(CASE_STATE_COLOURS[value], CASE_STATE_COLOURS[value])
    if model == "jobrun":
        return JOB_STATE_COLOURS[value]
    if model == "accountingday":
        return {DayState.OPEN: "info", DayState.CUT_OFF: "warning"}.get(value, "success")
    if model == "daystep" and value == "pending":
        return "base"
    return ""


def result(kind: str, label: Any, url: str = "") -> Cell:
    """A result of a run: matched, waiting or wrong."""
    return Cell(label, url, tone=RESULT_TONES.get(kind, "danger"))


def yes_no(value: bool, yes: Any, no: Any, *, good: bool = True) -> Cell:
    """A truth as a badge; `good` tells whether true is the pleasant one."""
    return Cell(yes if value else no, tone="success" if value == good else "danger")


def link(name: str, /, *args: Any, **query: Any) -> str:
    """An address of the console with its query."""
    if 0 < len(args) <= len(STAND_INS) and all(type(arg) is int and arg >= 0 for arg in args):
        address = _numbered(name, len(args), get_script_prefix()) % args
    else:
        address = _named(name, args, get_script_prefix())
    wanted = {key: value for key, value in query.items() if value not in (None, "")}
    return f"{address}?{urlencode(wanted, doseq=True)}" if wanted else address


STAND_INS = (987_654_321_012_345, 876_543_210_123_456, 765_432_101_234_567)
"""Numbers no address has by itself, as many as an address has numbers at most."""


@lru_cache(maxsize=1024)
def _numbered(name: str, count: int, prefix: str) -> str:
    """The address with %d for its numbers: finding it anew for each of fifty rows takes longer than drawing them."""
    address = reverse(f"console:{name}", args=STAND_INS[:count]).replace("%", "%%")
    for stand_in in STAND_INS[:count]:
        address = address.replace(str(stand_in), "%d")
    return address


@lru_cache(maxsize=4096)
def _named(name: str, args: tuple[Any, ...], prefix: str) -> str:
    return reverse(f"console:{name}", args=args)
