"""Runs of a day set side by side: the same input twice, a re-issued bill, any earlier run."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from payops.core.errors import PayopsError
from payops.reconciliation.comparison import (
    previous_run,
    rows_compared,
    rows_streamed,
    run_before,
    run_by_number,
    run_compare,
)
from payops.reconciliation.models import ReconRun
from tests.reconciliation.builders import MON, TUE, Town, line, pay

ORDERS = [pay("1", MON), pay("2", MON), pay("3", MON), pay("4", MON)]
FIRST = [line("R-1", MON), line("R-2", MON, amount=9_000), line("R-8", MON), line("R-4", MON)]
"""R-3 is missing, R-2 differs by ten, R-8 is nobody's."""


def re_issued(town: Town) -> tuple[ReconRun, ReconRun]:
    """The bill comes again: R-3 has arrived, R-2 is off by twenty now, R-8 stays, R-4 is gone."""
    before = town.day(MON, ORDERS, FIRST)
    town.bill(MON, line("R-1", MON), line("R-2", MON, amount=8_000), line("R-3", MON), line("R-8", MON))
    return before, town.run(MON)


def changes(now: ReconRun, before: ReconRun) -> dict[str, str]:
    return {row.match_key: row.change for row in rows_streamed(now, before)}


def test_the_same_input_twice_has_the_same_differences(town: Town) -> None:
    before = town.day(MON, ORDERS, FIRST)
    comparison = run_compare(town.run(MON), before)
    assert comparison.changes == {"added": 0, "removed": 0, "changed": 0, "same": 3}
    assert comparison.same_file


def test_a_re_issue_adds_removes_and_changes_differences(town: Town) -> None:
    before, now = re_issued(town)
    comparison = run_compare(now, before)
    assert comparison.changes == {"added": 1, "removed": 1, "changed": 1, "same": 1}
    assert changes(now, before) == {"R-2": "changed", "R-3": "removed", "R-4": "added"}
    assert not comparison.same_file


def test_a_line_is_the_same_one_in_another_version_though_its_record_number_is_another(town: Town) -> None:
    before, now = re_issued(town)
    (same,) = rows_compared(now, before, change="same")
    assert same.match_key == "R-8"
    assert same.before["bill_line"] != same.now["bill_line"]


def test_a_changed_difference_shows_both_amounts(town: Town) -> None:
    before, now = re_issued(town)
    (changed,) = rows_compared(now, before, change="changed")
    assert (changed.before["d"], changed.now["d"]) == (-1_000, -2_000)


def test_totals_and_results_stand_side_by_side(town: Town) -> None:
    before, now = re_issued(town)
    comparison = run_compare(now, before)
    channel = next(pair for pair in comparison.totals if pair.name == "channel")
    assert (channel.before_amount, channel.now_amount) == (before.channel_amount, now.channel_amount)
    matched = next(pair for pair in comparison.results if pair.name == "matched")
    assert (matched.before_count, matched.now_count) == (before.matched_count, now.matched_count)


def test_a_later_run_books_only_what_differs(town: Town) -> None:
    before, now = re_issued(town)
    for pair in run_compare(now, before).vouchers:
        if pair.before and pair.now:
            assert pair.before != pair.now


def test_a_key_that_stands_twice_is_compared_row_by_row(town: Town) -> None:
    again = line("R-1", MON, "10:00:09", trade_no="T-again")
    before = town.day(MON, [pay("1", MON)], [line("R-1", MON), again])
    town.bill(MON, line("R-1", MON), again, line("R-1", MON, "10:00:12", trade_no="T-thrice"))
    now = town.run(MON)
    assert run_compare(now, before).changes == {"added": 1, "removed": 0, "changed": 0, "same": 1}


def test_pages_follow_each_other_without_a_gap(town: Town) -> None:
    before, now = re_issued(town)
    seen: list[str] = []
    after = None
    while rows := rows_compared(now, before, after=after, limit=1):
        seen.append(rows[0].match_key)
        after = (rows[0].match_key, rows[0].n)
    assert seen == ["R-2", "R-3", "R-4"]


def test_the_first_run_of_a_day_has_none_before_it(town: Town) -> None:
    run = town.day(MON, ORDERS, FIRST)
    assert previous_run(run) is None
    with pytest.raises(PayopsError, match="before #1"):
        run_before(run)


def test_any_earlier_run_of_the_day_can_be_asked_for(town: Town) -> None:
    before, now = re_issued(town)
    third = town.run(MON)
    assert previous_run(third) == now
    assert run_by_number(third, 1) == before
    with pytest.raises(PayopsError, match="no complete run 9"):
        run_by_number(third, 9)


def test_runs_of_two_channels_are_not_compared(town: Town) -> None:
    from payops.channels.models import ChannelContract
    from tests.reconciliation.builders import bill_of

    run = town.day(MON, ORDERS, FIRST)
    other = ChannelContract.objects.exclude(pk=town.contract.pk).first()
    bill_of(other, MON, [])
    with pytest.raises(PayopsError, match="nothing in common"):
        run_compare(run, town.run(MON, other))


def test_the_command_compares_without_running(town: Town) -> None:
    re_issued(town)
    out = StringIO()
    call_command("reconcile", channel=town.contract.code, date=MON, compare=0, json=True, stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue())
    assert ReconRun.objects.filter(channel_date=MON).count() == 2
    assert (told["before"]["run_no"], told["now"]["run_no"]) == (1, 2)
    assert [row["change"] for row in told["differences"]] == ["changed", "removed", "added"]
    text = StringIO()
    call_command("reconcile", channel=town.contract.code, date=MON, compare=1, stdout=text)
    assert "run 1 -> 2" in text.getvalue()


def test_the_command_says_when_there_is_nothing_to_compare(town: Town) -> None:
    error = StringIO()
    with pytest.raises(SystemExit):
        call_command("reconcile", channel=town.contract.code, date=TUE, compare=0, stderr=error, stdout=StringIO())
    assert "has not been run yet" in error.getvalue()
