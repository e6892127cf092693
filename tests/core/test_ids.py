"""Ids carry their day: what goes in comes out, and the days' ranges touch without overlapping."""

from __future__ import annotations

import datetime as dt

import pytest
from django.template import Context, Template
from hypothesis import given
from hypothesis import strategies as st

from payops.core import ids
from payops.core.errors import PayopsError

DAYS = st.dates(min_value=dt.date(2000, 1, 1), max_value=dt.date(2099, 12, 31))


def test_a_day_is_coded_as_year_month_day() -> None:
    assert ids.day_code(dt.date(2026, 11, 20)) == 261120
    assert ids.day_floor(dt.date(2026, 11, 20)) == 261120_000000000000


@given(day=DAYS, n=st.integers(0, ids.DAY_STEP - 1))
def test_an_id_gives_back_the_day_it_was_made_for(day: dt.date, n: int) -> None:
    assert ids.day_of(ids.day_floor(day) + n) == day


@given(first=DAYS, second=DAYS)
def test_ids_sort_as_their_days_do(first: dt.date, second: dt.date) -> None:
    assert (ids.day_floor(first) < ids.day_floor(second)) == (first < second)


@given(first=DAYS, length=st.integers(0, 400), other=DAYS, n=st.integers(0, ids.DAY_STEP - 1))
def test_a_range_holds_exactly_the_ids_of_its_days(first: dt.date, length: int, other: dt.date, n: int) -> None:
    last = min(first + dt.timedelta(days=length), dt.date(2099, 12, 31))
    lo, hi = ids.id_range(first, last)
    assert (lo <= ids.day_floor(other) + n < hi) == (first <= other <= last)


def test_ids_fit_a_bigint() -> None:
    assert ids.id_range(dt.date(2099, 12, 31), dt.date(2099, 12, 31))[1] < 2**63


@pytest.mark.parametrize("number", [0, 1, -1, 261332_000000000001, 260230_000000000000, 2**63])
def test_a_number_without_a_day_is_an_error(number: int) -> None:
    with pytest.raises(PayopsError) as caught:
        ids.day_of(number)
    assert caught.value.code == "ids.no_day"
    assert str(number) in str(caught.value)


@pytest.mark.parametrize("day", [dt.date(1999, 12, 31), dt.date(2100, 1, 1)])
def test_a_day_of_another_century_is_refused(day: dt.date) -> None:
    with pytest.raises(PayopsError) as caught:
        ids.day_floor(day)
    assert caught.value.code == "ids.day_out_of_range"


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(PayopsError) as caught:
        ids.id_range(dt.date(2026, 11, 20), dt.date(2026, 11, 19))
    assert caught.value.code == "ids.empty_range"


def test_templates_show_ids_amounts_and_days_the_same_in_every_language(settings: object) -> None:
    settings.USE_THOUSAND_SEPARATOR = True  # type: ignore[attr-defined]
    template = Template(
        "{% load payops_format %}{{ id|unlocalized }} {{ id|datecode }} {{ amount|money:'CNY' }} {{ none|money:'CNY' }}"
        "{{ day|datecode }}{{ small|datecode }}"
    )
    context = {"id": 261120000000001000, "amount": 123450, "none": None, "day": dt.date(2026, 1, 2), "small": 5}
    assert template.render(Context(context)) == "261120000000001000 2026-11-20 1,234.50 2026-01-02"
