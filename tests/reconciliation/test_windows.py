"""The in-doubt window of DOMAIN 3: between the two cut-offs, and a margin on both sides."""

from __future__ import annotations

import datetime as dt

import pytest

from payops.reconciliation.windows import DoubtWindow, doubt_window
from tests.reconciliation.builders import MON, TUE, moment


def window(own: str = "23:00", channel: str = "00:00", *, done: bool = True) -> DoubtWindow:
    return doubt_window(
        MON,
        own_cut_off=dt.time.fromisoformat(own),
        channel_cut_off=dt.time.fromisoformat(channel),
        margin_minutes=10,
        previous_run_complete=done,
    )


@pytest.mark.parametrize(
    ("clock", "inside"),
    [("22:49:59", False), ("22:50:00", True), ("23:00:00", True), ("23:30:00", True), ("23:59:59", True)],
)
def test_the_window_runs_from_the_margin_before_the_earlier_cut_off(clock: str, inside: bool) -> None:
    assert window().covers(moment(MON, clock)) is inside


@pytest.mark.parametrize(("clock", "inside"), [("00:00:00", True), ("00:09:59", True), ("00:10:00", False)])
def test_the_window_ends_at_the_margin_after_the_later_cut_off(clock: str, inside: bool) -> None:
    assert window().covers(moment(TUE, clock)) is inside


def test_a_channel_that_cuts_off_before_us_opens_the_window_earlier() -> None:
    assert window("23:00", "22:00").covers(moment(MON, "21:50:00"))
    assert not window("23:00", "22:00").covers(moment(MON, "23:10:00"))


def test_equal_cut_offs_leave_the_margin_only() -> None:
    assert window("00:00", "00:00").covers(moment(MON, "23:50:00"))
    assert not window("00:00", "00:00").covers(moment(MON, "23:49:59"))


def test_the_start_of_the_day_is_in_doubt_only_while_the_day_before_has_no_run() -> None:
    sunday_night = moment(MON, "00:05:00")
    assert window(done=False).covers(sunday_night)
    assert not window(done=True).covers(sunday_night)
