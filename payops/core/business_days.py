"""The working-day calendar of T+n: Chinese public holidays and make-up working days (调休).

The table is seeded from the calendar the State Council publishes (package chinesecalendar). A day without a row is an
error: guessing a holiday would pay merchants on the wrong day.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.models import BusinessDay

MAX_WORKING_DAYS = 400
"""Longest T+n: a larger n is a typing mistake, not a contract."""


def seed_business_days(first_year: int, last_year: int) -> int:
    """Write every day of the years, both included, and return how many days were written.

    Repeating it is harmless and takes back hand-made changes. PayopsError 'business_days.unknown_year' when the
    calendar of a year is not published in this release; nothing is written then.
    """
    rows: list[BusinessDay] = []
    for year in range(first_year, last_year + 1):
        rows.extend(_published_year(year))
    with transaction.atomic():
        BusinessDay.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["day"], update_fields=["is_working", "note"], batch_size=2000
        )
    return len(rows)


def _published_year(year: int) -> list[BusinessDay]:
    import chinese_calendar

    rows = []
    day = dt.date(year, 1, 1)
    while day.year == year:
        try:
            is_working = chinese_calendar.is_workday(day)
            _on_holiday, holiday = chinese_calendar.get_holiday_detail(day)
        except NotImplementedError:
            raise PayopsError(
                "business_days.unknown_year",
                _(
                    "The holiday calendar of %(year)d is not known. Update the package chinesecalendar, or list the "
                    "days in the set-up file once they are published."
                )
                % {"year": year},
                {"year": year},
            ) from None
        rows.append(BusinessDay(day=day, is_working=is_working, note=_note(day, is_working, holiday)))
        day += dt.timedelta(days=1)
    return rows


def _note(day: dt.date, is_working: bool, holiday: str | None) -> str:
    if is_working and day.weekday() >= 5:
        return f"Make-up working day ({holiday})" if holiday else "Make-up working day"
    return holiday or ""


def business_day_set(*, day: dt.date, is_working: bool, note: str = "") -> BusinessDay:
    """Write one day by hand: a calendar published after the release, or a day the authorities moved."""
    row, _created = BusinessDay.objects.update_or_create(day=day, defaults={"is_working": is_working, "note": note})
    return row


def is_working_day(day: dt.date) -> bool:
    """Whether `day` is a working day; PayopsError 'business_days.not_seeded' when the calendar does not say."""
    is_working = BusinessDay.objects.filter(day=day).values_list("is_working", flat=True).first()
    if is_working is None:
        raise _not_seeded(day)
    return is_working


def add_working_days(day: dt.date, n: int) -> dt.date:
    """The n-th working day after `day` (T+n); n = 0 is the day itself, or the next working day when it is none.

    Friday + 1 and Sunday + 1 are both Monday. `day` itself must be in the calendar as well.
    """
    if not 0 <= n <= MAX_WORKING_DAYS:
        raise PayopsError(
            "business_days.bad_count",
            _("T+%(n)d is outside T+0 to T+%(limit)d.") % {"n": n, "limit": MAX_WORKING_DAYS},
            {"n": n},
        )
    horizon = day + dt.timedelta(days=2 * n + 30)
    rows = BusinessDay.objects.filter(day__gte=day, day__lte=horizon).order_by("day")
    expected, counted = day, 0
    for found, is_working in rows.values_list("day", "is_working"):
        if found != expected:
            break
        if found == day:
            if n == 0 and is_working:
                return day
        elif is_working:
            counted += 1
            if counted == max(n, 1):
                return found
        expected += dt.timedelta(days=1)
    raise _not_seeded(expected)


def next_working_day(day: dt.date) -> dt.date:
    """The first working day after `day`."""
    return add_working_days(day, 1)


def _not_seeded(day: dt.date) -> PayopsError:
    return PayopsError(
        "business_days.not_seeded",
        _("The calendar does not say whether %(day)s is a working day. Seed the business days of %(year)d.")
        % {"day": day.isoformat(), "year": day.year},
        {"day": day.isoformat(), "year": day.year},
    )
