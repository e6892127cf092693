"""Classification (归类码): event → code → report line, as configuration (DOMAIN 4.1).

The day is summed by event and subject when it closes (`DayTotal`); everything here regroups those sums. A new chart or
a new regulator's report is a new mapping in `fixtures/classification.yaml`, not a new program. Entries do not carry the
product of their source document, so the event alone decides the code.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts import sql
from payops.accounts.chart import normalised, read_yaml
from payops.accounts.choices import DayState, Event, Side
from payops.accounts.models import (
    AccountingDay,
    ClassificationCode,
    ClassificationRule,
    ReportLine,
    ReportTerm,
    Subject,
)
from payops.accounts.periods import EVENT_TOTALS
from payops.core.errors import PayopsError
from payops.core.ids import id_range

_SIGNS: Final[dict[str, int]] = {"+": 1, "-": -1}


def classification_file() -> Path:
    """The mapping that comes with payops."""
    return Path(settings.BASE_DIR) / "fixtures" / "classification.yaml"


# --- loading ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def classification_load(*, path: Path | None = None) -> int:
    """Make codes, rules and report lines what the file says; returns how many codes and lines it holds. Repeatable.

    What the file no longer names goes: this is how days are read, not how they were booked. Raises PayopsError
    'classification.row' naming the entry that is wrong.
    """
    rows = read_yaml(path or classification_file())
    codes = {code.code: code for code in _codes([row for row in rows if "code" in row])}
    subjects = {subject.code: subject for subject in Subject.objects.all()}
    ReportLine.objects.all().delete()
    lines, terms = [], []
    for row in rows:
        if "report" in row:
            lines.append(_line(row))
            terms += _terms_of(row, lines[-1], codes, subjects)
        elif "code" not in row:
            raise _wrong(str(row), _("it is neither a code nor a line of a report."))
    ReportLine.objects.bulk_create(lines)
    ReportTerm.objects.bulk_create(terms)
    ClassificationCode.objects.exclude(code__in=codes).delete()
    return len(rows)


def _codes(rows: Sequence[Mapping[str, Any]]) -> list[ClassificationCode]:
    """The codes of the file and the events that belong to them; events it does not name belong to none."""
    codes: dict[str, ClassificationCode] = {}
    code_of: dict[Event, str] = {}
    for row in rows:
        name = str(row["code"])
        missing = {"name", "name_zh", "events"} - row.keys()
        if missing:
            raise _wrong(name, _("missing %(fields)s.") % {"fields": ", ".join(sorted(missing))})
        codes[name] = ClassificationCode(code=name, name=row["name"], name_zh=row["name_zh"])
        code_of |= {_event(name, each): name for each in row["events"]}
    stored = ClassificationCode.objects.bulk_create(
        codes.values(), update_conflicts=True, unique_fields=["code"], update_fields=["name", "name_zh"]
    )
    ClassificationRule.objects.exclude(event__in=code_of).delete()
    ClassificationRule.objects.bulk_create(
        [ClassificationRule(event=event, code=codes[name]) for event, name in code_of.items()],
        update_conflicts=True,
        unique_fields=["event"],
        update_fields=["code"],
    )
    return stored


def _wrong(what: str, reason: str) -> PayopsError:
    return PayopsError(
        "classification.row",
        _("Classification, %(what)s: %(reason)s") % {"what": what, "reason": reason},
        {"what": what},
    )


def _event(code: str, name: str) -> Event:
    try:
        return Event[name]
    except KeyError:
        raise _wrong(code, _("there is no event “%(event)s”.") % {"event": name}) from None


def _line(row: Mapping[str, Any]) -> ReportLine:
    missing = {"line", "name", "name_zh", "terms"} - row.keys()
    if missing:
        raise _wrong(_named(row), _("missing %(fields)s.") % {"fields": ", ".join(sorted(missing))})
    return ReportLine(report=row["report"], number=row["line"], name=row["name"], name_zh=row["name_zh"])


def _terms_of(
    row: Mapping[str, Any],
    line: ReportLine,
    codes: Mapping[str, ClassificationCode],
    subjects: Mapping[str, Subject],
) -> Iterator[ReportTerm]:
    for sign, code, subject, side in row["terms"]:
        if sign not in _SIGNS or side not in Side.values:
            raise _wrong(_named(row), _("a term is a sign, a code, a subject and a side."))
        if code not in codes:
            raise _wrong(_named(row), _("there is no code “%(code)s”.") % {"code": code})
        if normalised(subject) not in subjects:
            raise _wrong(_named(row), _("there is no subject “%(subject)s”.") % {"subject": subject})
        yield ReportTerm(
            line=line, code=codes[code], subject=subjects[normalised(subject)], side=side, sign=_SIGNS[sign]
        )


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['report']} {row.get('line', '?')}"


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventTotal:
    """What one event booked under one subject in one currency over a range of days; minor units, plain sums."""

    event: int
    subject: Subject
    currency: str
    debit: int
    credit: int
    debit_count: int
    credit_count: int


_STORED: Final = """
SELECT subject_id, event, currency, sum(debit)::bigint AS debit, sum(credit)::bigint AS credit,
    sum(debit_count)::bigint AS debit_count, sum(credit_count)::bigint AS credit_count
FROM accounts_daytotal WHERE day BETWEEN %(first)s AND %(last)s GROUP BY subject_id, event, currency
"""


def event_totals(first: dt.date, last: dt.date) -> list[EventTotal]:
    """Totals of a range of accounting days by subject and event; days not closed yet are summed from their entries."""
    rows = sql.fetch(_STORED, {"first": first, "last": last})
    waiting = AccountingDay.objects.exclude(state=DayState.CLOSED).filter(day__range=(first, last)).order_by("day")
    days = list(waiting.values_list("day", flat=True))
    if days:
        rows += sql.fetch(sql.bounded(EVENT_TOTALS, *id_range(days[0], days[-1])))
    figures = ("debit", "credit", "debit_count", "credit_count")
    sums: dict[tuple[int, int, str], list[int]] = {}
    for row in rows:
        total = sums.setdefault((row["subject_id"], row["event"], row["currency"]), [0, 0, 0, 0])
        for at, name in enumerate(figures):
            total[at] += row[name]
    subjects = Subject.objects.in_bulk()
    found = [EventTotal(event, subjects[pk], currency, *sums[pk, event, currency]) for pk, event, currency in sums]
    return sorted(found, key=lambda total: (total.event, total.subject.code, total.currency))


@dataclass(frozen=True, slots=True)
class ClassifiedRow:
    """One code under one subject in one currency; without a code the events nobody classified."""

    code: ClassificationCode | None
    subject: Subject
    currency: str
    debit: int
    credit: int
    entries: int


def classified(first: dt.date, last: dt.date) -> list[ClassifiedRow]:
    """The days' totals by code first, then by subject; what has no code comes last, so that nothing is left out."""
    codes = {rule.event: rule.code for rule in ClassificationRule.objects.select_related("code")}
    sums: dict[tuple[str, str, str], list[Any]] = {}
    for total in event_totals(first, last):
        code = codes.get(total.event)
        key = (code.code if code else "\uffff", total.subject.code, total.currency)
        row = sums.setdefault(key, [code, total.subject, total.currency, 0, 0, 0])
        row[3] += total.debit
        row[4] += total.credit
        row[5] += total.debit_count + total.credit_count
    return [ClassifiedRow(*sums[key]) for key in sorted(sums)]


@dataclass(frozen=True, slots=True)
class MappedRow:
    """One line of a mapped report in one currency, with its terms in signed minor units."""

    line: ReportLine
    currency: str
    terms: tuple[tuple[ReportTerm, int], ...]

    @property
    def amount(self) -> int:
        """The sum of the line's terms."""
        return sum(amount for _term, amount in self.terms)


def mapped_reports() -> list[str]:
    """The names of the reports that are nothing but a mapping."""
    return list(ReportLine.objects.order_by("report").values_list("report", flat=True).distinct())


def mapped_report(report: str, first: dt.date, last: dt.date) -> list[MappedRow]:
    """The lines of a mapped report over a range of days, per currency; PayopsError 'reports.unknown'."""
    lines = list(ReportLine.objects.filter(report=report).prefetch_related("terms__code", "terms__subject"))
    if not lines:
        raise PayopsError(
            "reports.unknown", _("There is no report “%(report)s”.") % {"report": report}, {"report": report}
        )
    rows = classified(first, last)
    currencies = sorted({row.currency for row in rows})
    return [
        MappedRow(line, currency, _terms(line, [row for row in rows if row.currency == currency]))
        for currency in currencies
        for line in lines
    ]


def _terms(line: ReportLine, rows: list[ClassifiedRow]) -> tuple[tuple[ReportTerm, int], ...]:
    return tuple((term, _term_amount(term, rows)) for term in line.terms.all())


def _term_amount(term: ReportTerm, rows: list[ClassifiedRow]) -> int:
    return term.sign * sum(
        row.debit if term.side == Side.DEBIT else row.credit
        for row in rows
        if row.code is not None and row.code.pk == term.code_id and row.subject.code.startswith(term.subject.code)
    )
