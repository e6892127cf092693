"""Working days and the institution's own day."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from payops.core import business_days, institution
from payops.core.errors import PayopsError
from payops.core.models import BusinessDay, Institution

UTC = dt.UTC


@pytest.fixture
def calendar(db: None) -> None:
    business_days.seed_business_days(2025, 2026)


def refused(call: object, *args: object) -> str:
    with pytest.raises(PayopsError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.code


# --- working days -----------------------------------------------------------------------------------------------------


def test_friday_saturday_and_sunday_plus_one_are_monday(calendar: None) -> None:
    for day in (20, 21, 22):
        assert business_days.add_working_days(dt.date(2026, 11, day), 1) == dt.date(2026, 11, 23)


def test_public_holidays_are_not_working_days(calendar: None) -> None:
    assert not business_days.is_working_day(dt.date(2026, 10, 1))
    assert not business_days.is_working_day(dt.date(2026, 10, 5))
    assert BusinessDay.objects.get(day=dt.date(2026, 10, 1)).note


def test_make_up_saturdays_and_sundays_are_working_days(calendar: None) -> None:
    assert dt.date(2025, 9, 28).weekday() == 6
    assert business_days.is_working_day(dt.date(2025, 9, 28))
    assert business_days.is_working_day(dt.date(2025, 10, 11))
    assert "Make-up" in BusinessDay.objects.get(day=dt.date(2025, 9, 28)).note
    assert business_days.add_working_days(dt.date(2025, 9, 27), 1) == dt.date(2025, 9, 28)


def test_t_plus_one_crosses_the_whole_national_holiday(calendar: None) -> None:
    assert business_days.add_working_days(dt.date(2025, 9, 30), 1) == dt.date(2025, 10, 9)


def test_t_plus_zero_is_the_day_itself_or_the_next_working_day(calendar: None) -> None:
    assert business_days.add_working_days(dt.date(2026, 11, 20), 0) == dt.date(2026, 11, 20)
    assert business_days.add_working_days(dt.date(2026, 11, 21), 0) == dt.date(2026, 11, 23)
    assert business_days.next_working_day(dt.date(2026, 11, 20)) == dt.date(2026, 11, 23)


def test_a_year_that_is_not_seeded_is_an_error_not_a_guess(calendar: None) -> None:
    assert refused(business_days.is_working_day, dt.date(2027, 1, 4)) == "business_days.not_seeded"
    assert refused(business_days.add_working_days, dt.date(2026, 12, 31), 1) == "business_days.not_seeded"
    assert refused(business_days.add_working_days, dt.date(2024, 12, 31), 1) == "business_days.not_seeded"


def test_a_gap_in_the_calendar_is_not_stepped_over(calendar: None) -> None:
    BusinessDay.objects.filter(day=dt.date(2026, 11, 22)).delete()
    assert refused(business_days.add_working_days, dt.date(2026, 11, 20), 1) == "business_days.not_seeded"


def test_a_year_whose_holidays_are_not_published_cannot_be_seeded(db: None) -> None:
    before = BusinessDay.objects.count()
    assert refused(business_days.seed_business_days, 2026, 2050) == "business_days.unknown_year"
    assert BusinessDay.objects.count() == before


def test_seeding_twice_changes_nothing_and_a_day_can_be_set_by_hand(calendar: None) -> None:
    assert business_days.seed_business_days(2026, 2026) == 365
    assert BusinessDay.objects.filter(day__year=2026).count() == 365
    business_days.business_day_set(day=dt.date(2026, 11, 23), is_working=False, note="Bank holiday")
    assert business_days.add_working_days(dt.date(2026, 11, 20), 1) == dt.date(2026, 11, 24)


@pytest.mark.parametrize("n", [-1, 401])
def test_a_settlement_term_beyond_reason_is_refused(calendar: None, n: int) -> None:
    assert refused(business_days.add_working_days, dt.date(2026, 11, 20), n) == "business_days.bad_count"


class WorkingDayProperties(TestCase):
    """Properties over the seeded years."""

    def setUp(self) -> None:
        """Seed the years."""
        business_days.seed_business_days(2025, 2026)

    @given(day=st.dates(dt.date(2025, 1, 1), dt.date(2026, 9, 1)), n=st.integers(0, 40))
    def test_t_plus_n_is_a_working_day_with_exactly_n_working_days_on_the_way(self, day: dt.date, n: int) -> None:
        result = business_days.add_working_days(day, n)
        assert business_days.is_working_day(result)
        between = BusinessDay.objects.filter(day__gt=day, day__lte=result, is_working=True).count()
        assert between == (n if n else (0 if result == day else 1))

    @given(day=st.dates(dt.date(2025, 1, 1), dt.date(2026, 9, 1)), n=st.integers(1, 20), m=st.integers(1, 20))
    def test_n_days_and_then_m_days_are_n_plus_m_days(self, day: dt.date, n: int, m: int) -> None:
        step = business_days.add_working_days(business_days.add_working_days(day, n), m)
        assert step == business_days.add_working_days(day, n + m)


# --- the own day ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (dt.datetime(2026, 11, 20, 22, 59, 59, 999999, tzinfo=institution.SHANGHAI), dt.date(2026, 11, 20)),
        (dt.datetime(2026, 11, 20, 23, 0, tzinfo=institution.SHANGHAI), dt.date(2026, 11, 21)),
        (dt.datetime(2026, 11, 20, 15, 0, tzinfo=UTC), dt.date(2026, 11, 21)),
        (dt.datetime(2026, 11, 20, 14, 59, tzinfo=UTC), dt.date(2026, 11, 20)),
        (dt.datetime(2026, 12, 31, 23, 30, tzinfo=institution.SHANGHAI), dt.date(2027, 1, 1)),
    ],
)
def test_the_own_day_runs_from_cut_off_to_cut_off(db: None, instant: dt.datetime, day: dt.date) -> None:
    assert institution.own_day(instant) == day


def test_a_cut_off_at_midnight_stands_for_24_00(db: None) -> None:
    late = dt.datetime(2026, 11, 20, 23, 59, 59, tzinfo=institution.SHANGHAI)
    assert institution.own_day(late, dt.time(0, 0)) == dt.date(2026, 11, 20)
    assert institution.day_bounds(dt.date(2026, 11, 20), dt.time(0, 0)) == (
        dt.datetime(2026, 11, 20, tzinfo=institution.SHANGHAI),
        dt.datetime(2026, 11, 21, tzinfo=institution.SHANGHAI),
    )


def test_the_institutions_own_cut_off_is_used(db: None) -> None:
    institution.institution_update(name="Harbour Pay", own_cut_off=dt.time(22, 50))
    start, end = institution.day_bounds(dt.date(2026, 11, 20))
    assert end == dt.datetime(2026, 11, 20, 22, 50, tzinfo=institution.SHANGHAI)
    assert institution.own_day(start) == dt.date(2026, 11, 20)
    assert institution.own_day(end) == dt.date(2026, 11, 21)


@given(
    instant=st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(UTC)), cut_off=st.times()
)
def test_every_instant_lies_within_the_bounds_of_its_own_day(instant: dt.datetime, cut_off: dt.time) -> None:
    day = institution.own_day(instant, cut_off)
    start, end = institution.day_bounds(day, cut_off)
    assert start <= instant < end


def test_a_time_without_a_zone_is_refused(db: None) -> None:
    assert refused(institution.own_day, dt.datetime(2026, 11, 20, 12)) == "institution.naive_time"


def test_before_set_up_the_defaults_hold(db: None) -> None:
    found = institution.get_institution()
    assert (found.own_cut_off, found.base_currency) == (dt.time(23, 0), "CNY")


def test_there_is_one_institution(db: None) -> None:
    institution.institution_update(name="One")
    with pytest.raises(IntegrityError), transaction.atomic():
        Institution.objects.create(id=2, name="Two")
    institution.institution_update(name="Renamed")
    assert institution.get_institution().name == "Renamed"


def test_an_unknown_base_currency_is_refused(db: None) -> None:
    assert refused(lambda: institution.institution_update(name="X", base_currency="ABC")) == "money.unknown_currency"
