"""When a source is tried: from the first try on, every so many minutes, late past the deadline, never twice at once."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from payops.channels.bills.services import bill_load
from payops.channels.fetch.folder import FolderAdapter
from payops.channels.fetch.late import check_bills_late
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.models import ChannelContract
from payops.channels.schedules import DayStatus, SourceDay, current_sources, fetch_tick, late_days, source_days
from payops.core.jobs import run_now
from payops.core.models import JobRun
from tests.channels.bills.conftest import contract
from tests.channels.fetch.conftest import DAY, approved, at, bill, unsaved
from tests.dayend.days import output_of


def state(clock: str) -> SourceDay:
    """How the watched folder stands with the day at that time."""
    now = at(clock)
    return next(each for each in source_days(current_sources(), now=now) if each.day == DAY)


def tried(source: FileSource, clock: str) -> None:
    """A try that found nothing, over at that time."""
    FetchAttempt.objects.create(
        source=source, contract=source.contract, channel_date=DAY, outcome="nothing",
        started_at=at(clock), finished_at=at(clock),
    )  # fmt: skip


def test_before_the_first_try_a_day_is_planned(folder: FileSource) -> None:
    assert (state("09:29").status, state("09:29").next_try) == (DayStatus.PLANNED, at("09:30"))
    assert fetch_tick(now=at("09:29")) == []


def test_from_the_first_try_on_it_is_tried_every_so_many_minutes(folder: FileSource) -> None:
    assert state("09:30").next_try == at("09:30")
    tried(folder, "09:31")
    assert (state("09:40").status, state("09:40").next_try) == (DayStatus.TRYING, at("09:46"))
    assert fetch_tick(now=at("09:45")) == []
    assert len(fetch_tick(now=at("09:46"))) == 1


def test_the_deadline_itself_is_not_missed(folder: FileSource) -> None:
    tried(folder, "11:50")
    assert state("11:55").next_try == at("12:00")


def test_past_the_deadline_a_day_is_late_and_tried_once_an_hour(folder: FileSource) -> None:
    tried(folder, "12:00")
    assert (state("12:01").status, state("12:01").next_try) == (DayStatus.LATE, at("13:00"))
    assert [(each.day, each.source) for each in late_days(now=at("12:01"))] == [(DAY, folder)]


def test_a_bill_uploaded_by_hand_ends_the_tries(folder: FileSource, wechat: ChannelContract, tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_bytes(bill())
    bill_load(contract=wechat, channel_date=DAY, stream=tmp_path / "bill.csv")
    assert state("12:01").status == DayStatus.HERE
    assert fetch_tick(now=at("12:01")) == []


def test_a_rejected_file_does_not_end_the_tries(folder: FileSource, wechat: ChannelContract, tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_bytes(bill(account="1699999999"))
    assert bill_load(contract=wechat, channel_date=DAY, stream=tmp_path / "bill.csv").state == "rejected"
    assert state("12:01").status == DayStatus.LATE


def test_days_before_the_first_channel_day_are_not_asked_for(folder: FileSource) -> None:
    assert [each.day for each in source_days(current_sources(), now=at("10:00"))] == [DAY]


def test_an_ended_source_is_not_tried(folder: FileSource, wechat: ChannelContract, alice: Any, bob: Any) -> None:
    approved(alice, bob, unsaved(wechat, active=False))
    assert fetch_tick(now=at("10:00")) == []
    assert late_days(now=at("13:00")) == []


def test_however_often_the_clock_ticks_a_try_is_queued_once(folder: FileSource) -> None:
    first, second = fetch_tick(now=at("09:31")), fetch_tick(now=at("09:32"))
    assert [job.pk for job in first] == [job.pk for job in second]
    assert JobRun.objects.filter(kind="channels.fetch").count() == 1


def test_the_try_of_a_dead_worker_is_started_again_and_makes_room_for_the_next(folder: FileSource) -> None:
    (job,) = fetch_tick(now=at("09:31"))
    JobRun.objects.filter(pk=job.pk).update(
        state="running", attempt=1, leased_by="dead", lease_until=dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    )
    assert [again.pk for again in fetch_tick(now=at("09:32"))] == [job.pk]
    assert run_now(job.pk).state == "succeeded"
    assert run_now(job.pk).result["attempts"][0]["outcome"] == "nothing"
    later = fetch_tick(now=dt.datetime.now(dt.UTC) + dt.timedelta(hours=2))
    assert [each.pk != job.pk for each in later if each.business_date == DAY] == [True]


def test_a_file_for_a_day_that_is_here_already_is_looked_at_all_the_same(folder: FileSource, inbox: Path) -> None:
    (inbox / "wx_20261118.csv").write_bytes(bill())
    fetch_run(source=folder, day=DAY, now=at("10:00"))
    assert fetch_tick(now=at("10:20")) == []
    (inbox / "wx_20261118.csv").write_bytes(bill(rows=3))
    (job,) = fetch_tick(now=at("10:20"))
    assert job.params["day"] is None


def test_a_late_bill_is_a_finding_of_the_next_day_end(folder: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: at("23:05"))
    (finding,) = check_bills_late(DAY + dt.timedelta(days=1))
    assert (finding.level, finding.context["channel"]) == ("warning", "WECHAT")
    assert "2026-11-18" in finding.message


def test_the_command_takes_a_day_and_says_what_came_of_it(
    folder: FileSource, inbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inbox / "wx_20261118.csv").write_bytes(bill())
    call_command("fetch_bills", channel="WECHAT", date=DAY)
    assert "WECHAT bill 2026-11-18: taken" in capsys.readouterr().out


def test_the_command_ends_with_two_while_a_bill_is_missing(
    folder: FileSource, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("fetch_bills", date=DAY, json=True)
    assert ended.value.code == 2
    assert '"outcome": "nothing"' in capsys.readouterr().out


def test_the_command_says_that_a_channel_has_no_source(
    wechat: ChannelContract, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("fetch_bills", channel="WECHAT", date=DAY)
    assert ended.value.code == 1
    assert "no file source" in capsys.readouterr().err


def test_a_source_whose_try_breaks_off_keeps_no_other_from_being_tried(
    folder: FileSource, alice: Any, bob: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox.parent / "alpha").mkdir()
    broken = approved(alice, bob, unsaved(contract("ALPHA", "wechat_trade", "1699999902"), address="alpha"))
    (inbox / "wx_20261118.csv").write_bytes(bill())

    def breaks_off(adapter: FolderAdapter) -> list[str]:
        if adapter.folder.name == "alpha":
            raise ValueError(adapter.folder)
        return ["wx_20261118.csv"]

    monkeypatch.setattr(FolderAdapter, "_names", breaks_off)
    code, out, err = output_of("fetch_bills", "--date", DAY.isoformat())
    assert (code, out.strip()) == (1, "WECHAT bill 2026-11-18: taken")
    assert err.startswith("ALPHA bill 2026-11-18: ")
    code, out, _err = output_of("fetch_bills", "--date", DAY.isoformat(), "--json")
    told = json.loads(out)
    assert (code, [each["channel"] for each in told["attempts"]]) == (1, ["WECHAT"])
    (failed,) = told["failed"]
    assert (failed["channel"], failed["source"], failed["date"]) == ("ALPHA", broken.name, "2026-11-18")
    assert failed["error"]["code"] == "jobs.defect"


def test_a_source_that_is_unreachable_keeps_no_other_from_being_tried(
    folder: FileSource, alice: Any, bob: Any, inbox: Path
) -> None:
    (inbox.parent / "alpha").mkdir()
    approved(alice, bob, unsaved(contract("ALPHA", "wechat_trade", "1699999902"), address="alpha"))
    (inbox.parent / "alpha").rmdir()
    (inbox / "wx_20261118.csv").write_bytes(bill())
    code, out, err = output_of("fetch_bills", "--date", DAY.isoformat())
    assert (code, err) == (1, "")
    first, second = out.splitlines()
    assert first.startswith("ALPHA bill 2026-11-18: unreachable")
    assert second == "WECHAT bill 2026-11-18: taken"
