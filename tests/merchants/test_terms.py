"""Settlement terms as dates (DOMAIN 3): T counts working days, D natural days."""

from __future__ import annotations

import datetime as dt

import pytest

from payops.core.errors import PayopsError
from payops.merchants.models import SettlementTerms
from payops.merchants.terms import parse_cycle, pay_date

pytestmark = pytest.mark.django_db

FRIDAY, SATURDAY, SUNDAY, MONDAY = (dt.date(2026, 11, day) for day in (20, 21, 22, 23))


def terms(unit: str, days: int) -> SettlementTerms:
    return SettlementTerms(cycle_unit=unit, cycle_days=days)


@pytest.mark.parametrize("own_date", [FRIDAY, SATURDAY, SUNDAY])
def test_t_plus_1_of_friday_to_sunday_is_monday(own_date: dt.date) -> None:
    assert pay_date(terms("T", 1), own_date) == MONDAY


def test_t_plus_2_counts_working_days_only() -> None:
    assert pay_date(terms("T", 2), FRIDAY) == dt.date(2026, 11, 24)


def test_t_plus_0_is_the_day_itself_or_the_next_working_day() -> None:
    assert pay_date(terms("T", 0), FRIDAY) == FRIDAY
    assert pay_date(terms("T", 0), SATURDAY) == MONDAY


def test_d_plus_1_counts_natural_days() -> None:
    assert pay_date(terms("D", 1), FRIDAY) == SATURDAY


def test_the_national_holiday_is_jumped_over() -> None:
    assert pay_date(terms("T", 1), dt.date(2026, 9, 30)) == dt.date(2026, 10, 8)


def test_a_make_up_working_saturday_counts() -> None:
    assert pay_date(terms("T", 1), dt.date(2026, 10, 9)) == dt.date(2026, 10, 10)


def test_beyond_the_seeded_calendar_is_an_error_not_a_guess() -> None:
    with pytest.raises(PayopsError) as caught:
        pay_date(terms("T", 1), dt.date(2026, 12, 31))
    assert caught.value.code == "business_days.not_seeded"


@pytest.mark.parametrize(
    ("text", "cycle"), [("T+1", ("T", 1)), ("t1", ("T", 1)), (" D + 0 ", ("D", 0)), ("T+10", ("T", 10))]
)
def test_a_cycle_is_read_as_written(text: str, cycle: tuple[str, int]) -> None:
    assert parse_cycle(text) == cycle


@pytest.mark.parametrize("text", ["", "weekly", "T", "T-1", "W+1", "T+1000", "T+1.5", "T+401"])
def test_what_is_no_cycle_is_refused(text: str) -> None:
    with pytest.raises(PayopsError) as caught:
        parse_cycle(text)
    assert caught.value.code == "merchants.bad_cycle"
