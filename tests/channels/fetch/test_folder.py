"""The watched folder: only complete files are taken, once each, and every one ends where people can find it."""

from __future__ import annotations

import datetime as dt
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from payops.channels.bills.selectors import accepted_file
from payops.channels.bills.services import bill_parse
from payops.channels.fetch import folder as folder_module
from payops.channels.fetch import services
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.models import BillFile, ChannelContract
from payops.core.models import JobRun
from tests.channels.fetch.conftest import DAY, approved, at, bill, unsaved

NOW = at("10:00")


def put(inbox: Path, name: str = "wx_20261118.csv", content: bytes | None = None) -> Path:
    path = inbox / name
    path.write_bytes(bill() if content is None else content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def outcomes(source: FileSource) -> list[str]:
    return list(FetchAttempt.objects.filter(contract=source.contract).order_by("pk").values_list("outcome", flat=True))


def test_a_complete_file_is_registered_for_its_day_and_queued_to_be_read(folder: FileSource, inbox: Path) -> None:
    put(inbox)
    (attempt,) = fetch_run(source=folder, day=DAY, now=NOW)
    file = attempt.bill_file
    assert (attempt.outcome, file.channel_date, file.source, file.received_by) == (
        "taken", DAY, "folder", "timetable",
    )  # fmt: skip
    assert JobRun.objects.filter(kind="channels.bill_parse", params={"bill_file_id": file.pk}).exists()
    assert bill_parse(file.pk).state == "accepted"


def test_a_taken_file_lies_in_taken_byte_for_byte(folder: FileSource, inbox: Path) -> None:
    put(inbox)
    fetch_run(source=folder, day=DAY, now=NOW)
    assert names(inbox) == ["taken"]
    assert (inbox / "taken" / "wx_20261118.csv").read_bytes() == bill()


def test_without_a_file_the_day_has_an_attempt_that_says_so(folder: FileSource) -> None:
    (attempt,) = fetch_run(source=folder, day=DAY, now=NOW)
    assert (attempt.outcome, attempt.bill_file, attempt.channel_date) == ("nothing", None, DAY)


def test_a_file_of_another_day_is_registered_for_its_own(folder: FileSource, inbox: Path) -> None:
    put(inbox, "wx_20261117.csv", bill(dt.date(2026, 11, 17)))
    attempts = fetch_run(source=folder, day=DAY, now=NOW)
    assert [(each.channel_date.day, each.outcome) for each in attempts] == [(17, "taken"), (18, "nothing")]


@pytest.mark.parametrize("name", ["wx_20261118.csv.part", "wx_20261118.csv.filepart", ".wx_20261118.csv", "notes.txt"])
def test_names_of_unfinished_and_foreign_files_are_left_alone(folder: FileSource, inbox: Path, name: str) -> None:
    put(inbox, name)
    fetch_run(source=folder, day=DAY, now=NOW)
    assert names(inbox) == [name]


def test_a_file_that_changed_a_moment_ago_is_left_alone(
    wechat: ChannelContract, inbox: Path, alice: Any, bob: Any
) -> None:
    options = {"pattern": r"wx_(?P<date>\d{8})\.csv", "settle_seconds": 30}
    source = approved(alice, bob, unsaved(wechat, options=options))
    path = put(inbox)
    # An old modification time, as `cp -p` and unpacking leave it, does not make a growing file complete.
    os.utime(path, (0, 0))
    fetch_run(source=source, day=DAY, now=NOW)
    assert (names(inbox), outcomes(source)) == (["wx_20261118.csv"], ["nothing"])


def test_a_file_that_grows_while_it_is_copied_is_left_for_the_next_try(
    folder: FileSource, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(inbox)
    copy = folder_module.copied

    def slowly(stream: Any, target: Path) -> int:
        size = copy(stream, target)
        with path.open("ab") as writer:
            writer.write(b"one more line\r\n")
        return size

    monkeypatch.setattr(folder_module, "copied", slowly)
    fetch_run(source=folder, day=DAY, now=NOW)
    assert (names(inbox), BillFile.objects.count()) == (["wx_20261118.csv"], 0)


def test_a_link_to_something_else_is_never_followed(folder: FileSource, inbox: Path, folders: Path) -> None:
    (folders / "private.csv").write_bytes(bill())
    (inbox / "wx_20261118.csv").symlink_to(folders / "private.csv")
    fetch_run(source=folder, day=DAY, now=NOW)
    assert BillFile.objects.count() == 0


def test_the_same_bytes_again_are_known_and_loaded_once(folder: FileSource, inbox: Path) -> None:
    for _time in range(2):
        put(inbox)
        fetch_run(source=folder, day=DAY, now=NOW)
    assert (outcomes(folder), BillFile.objects.count()) == (["taken", "known"], 1)
    assert len(names(inbox / "taken")) == 2


def test_a_reissue_becomes_the_next_version(folder: FileSource, inbox: Path) -> None:
    for rows in (2, 3):
        put(inbox, content=bill(rows=rows))
        (attempt,) = fetch_run(source=folder, day=None, now=NOW)
        bill_parse(attempt.bill_file_id)
    standing = accepted_file(folder.contract, DAY)
    assert (standing.version, standing.line_count) == (2, 3)


def test_bytes_rejected_once_are_refused_and_not_read_again(folder: FileSource, inbox: Path) -> None:
    put(inbox, content=bill(account="1699999999"))
    (first,) = fetch_run(source=folder, day=DAY, now=NOW)
    assert bill_parse(first.bill_file_id).state == "rejected"
    put(inbox, content=bill(account="1699999999"))
    (second,) = fetch_run(source=folder, day=DAY, now=NOW)
    assert (second.outcome, BillFile.objects.count()) == ("refused", 1)
    assert "rejected as version 1" in second.message
    assert names(inbox / "refused") == ["wx_20261118.csv"]


@pytest.mark.parametrize("name", ["wx_20261399.csv", "wx_20261119.csv", "wx_20991231.csv", "wx_20200101.csv"])
def test_a_day_that_cannot_be_meant_is_refused(folder: FileSource, inbox: Path, name: str) -> None:
    put(inbox, name)
    fetch_run(source=folder, day=DAY, now=NOW)
    assert "refused" in outcomes(folder)
    assert (names(inbox / "refused"), BillFile.objects.count()) == ([name], 0)


def test_a_file_that_is_too_large_is_refused(folder: FileSource, inbox: Path, settings: Any) -> None:
    settings.PAYOPS_MAX_UPLOAD_BYTES = 100
    put(inbox)
    fetch_run(source=folder, day=DAY, now=NOW)
    assert names(inbox / "refused") == ["wx_20261118.csv"]


def test_a_file_that_may_not_be_read_is_named_stays_and_holds_up_no_other(
    folder: FileSource, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "wx_20261117.csv")
    put(inbox)
    opened = os.open

    def guarded(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("wx_20261117.csv"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(folder_module.os, "open", guarded)
        refused, taken = fetch_run(source=folder, day=DAY, now=NOW)
    assert (refused.outcome, refused.file_name, str(refused.channel_date)) == (
        "refused",
        "wx_20261117.csv",
        "2026-11-17",
    )
    assert "wx_20261117.csv may not be read: Permission denied" in refused.message
    assert taken.outcome == "taken"
    assert names(inbox) == ["taken", "wx_20261117.csv"]
    fetch_run(source=folder, day=DAY, now=NOW)
    assert names(inbox) == ["taken"]


def test_a_folder_that_is_gone_is_an_attempt_not_a_crash(folder: FileSource, inbox: Path) -> None:
    inbox.rmdir()
    (attempt,) = fetch_run(source=folder, day=DAY, now=NOW)
    assert attempt.outcome == "unreachable"


@pytest.mark.parametrize("moment", ["bill_enqueue", "settle"])
def test_a_try_killed_midway_is_finished_by_the_next(
    folder: FileSource, inbox: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def killed(*_args: Any, **_kwargs: Any) -> None:
        raise KeyboardInterrupt

    put(inbox)
    with monkeypatch.context() as patch:
        if moment == "settle":
            patch.setattr(folder_module._Mover, "__call__", killed)
        else:
            patch.setattr(services, "bill_enqueue", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch_run(source=folder, day=DAY, now=NOW)
    assert names(inbox) == ["wx_20261118.csv"]
    fetch_run(source=folder, day=DAY, now=NOW)
    assert (names(inbox), BillFile.objects.count()) == (["taken"], 1)
    assert JobRun.objects.filter(kind="channels.bill_parse").count() == 1
