"""File sources in the console: how each channel stands, trying now, proposing one of each kind, and empty days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.channels.fetch.models import FetchAttempt, FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.models import BillFile, ChannelContract
from payops.core.jobs import run_now
from payops.core.models import JobRun
from tests.channels.fetch.conftest import key_pair
from tests.console.conftest import TUE, Books, address, text_of
from tests.console.fetching import file_source

Read = Callable[..., str]
NOON = dt.datetime(2026, 11, 18, 4, 30, tzinfo=dt.UTC)
"""12:30 in Shanghai on the day after Tuesday: past the deadline."""


@pytest.fixture
def late(books: Books, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> FileSource:
    """WeChat Pay's watched folder from Wednesday on, and it is Thursday noon."""
    settings.PAYOPS_INBOX_DIR = tmp_path
    (tmp_path / "wechat").mkdir()
    source = file_source(first_day=TUE + dt.timedelta(days=1))
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON + dt.timedelta(days=1))
    return source


def filled(**changes: object) -> dict[str, object]:
    """The form of a watched folder."""
    return {
        "contract": ChannelContract.objects.order_by("code").first().code,
        "name": "bill",
        "bill_type": "trade",
        "address": "inbox",
        "pattern": r"(?P<date>\d{8})\.csv",
        "settle_seconds": "30",
        "date_offset_days": "0",
        "first_day": "2026-11-18",
        "first_try": "09:30",
        "every_minutes": "10",
        "deadline": "12:00",
        "empty_after": "",
        "active": "active",
        "reason": "the channel's letter",
        **changes,
    }


def test_a_late_day_is_shown_with_its_tries_and_leads_to_the_source(late: FileSource, read: Read) -> None:
    fetch_run(source=late, day=late.first_day)
    text = read("carol", "file_source_list")
    assert "Late" in text
    assert "Not there yet" in text
    assert address("file_source", late.pk) in text


def test_late_bills_are_a_tile_of_the_dashboard(late: FileSource, read: Read) -> None:
    text = read("alice", "dashboard")
    assert "Bills late" in text
    assert f"{late.contract.code} {late.first_day}" in text


def test_trying_now_queues_one_try_however_often_it_is_clicked(late: FileSource, books: Books, read: Read) -> None:
    for _click in range(2):
        response = books.client("alice").post(address("file_source_try", late.pk), {"day": late.first_day.isoformat()})
    assert response.url == address("file_source", late.pk)
    job = JobRun.objects.get(kind="channels.fetch")
    assert "data-reload" in read("alice", "file_source", late.pk)
    run_now(job.pk)
    attempt = FetchAttempt.objects.get()
    assert (attempt.outcome, attempt.made_by) == ("nothing", "alice")
    assert "no complete file" in read("alice", "file_source", late.pk)


def test_everything_due_is_tried_at_once(late: FileSource, books: Books) -> None:
    books.client("alice").post(address("file_source_try_due"))
    assert JobRun.objects.filter(kind="channels.fetch", business_date=late.first_day).count() == 1


def test_a_day_the_source_is_not_for_is_not_tried(late: FileSource, books: Books) -> None:
    books.client("alice").post(address("file_source_try", late.pk), {"day": "2020-01-01"})
    books.client("alice").post(address("file_source_try", late.pk), {"day": "nonsense"})
    assert not JobRun.objects.filter(kind="channels.fetch").exists()


def test_who_only_reads_is_offered_nothing_to_do(late: FileSource, read: Read) -> None:
    text = read("carol", "file_source_list") + read("carol", "file_source", late.pk)
    assert address("file_source_new", "folder") not in text
    assert address("file_source_change", late.pk) not in text
    assert address("file_source_try_due") not in text


# --- proposing --------------------------------------------------------------------------------------------------------

FORMS: dict[str, dict[str, object]] = {
    "folder": {},
    "sftp": {
        "address": "sftp://bills.example/out", "username": "payops", "host_key": "ssh-ed25519 AAAAC3Nza",
        "secret": "s3cret-word",
    },
    "wechat": {
        "address": "https://api.mch.weixin.qq.com", "mchid": "1699999901", "serial_no": "5157F0", "bill": "trade",
        "platform_serial": "PUB_KEY_ID_1",
    },
    "alipay": {"address": "https://openapi.alipay.com/gateway.do", "app_id": "2021", "bill": "trade"},
}  # fmt: skip


def of_kind(kind: str) -> dict[str, object]:
    """The form of that kind, with keys made for it."""
    keys: dict[str, object] = {}
    if kind in ("wechat", "alipay"):
        name = "platform_key" if kind == "wechat" else "alipay_key"
        keys = {"secret": key_pair("merchant")[0], name: key_pair("platform")[1]}
    return filled(**FORMS[kind], **keys)


@pytest.mark.parametrize("kind", list(FORMS))
def test_a_source_of_each_kind_is_proposed_and_in_force_once_finance_agrees(
    books: Books, read: Read, kind: str
) -> None:
    response = books.client("alice").post(address("file_source_new", kind), of_kind(kind))
    request = ApprovalRequest.objects.latest("pk")
    assert response.url == address("approval", request.pk)
    assert "s3cret-word" not in read("bob", "approval", request.pk)
    request_approve(request_id=request.pk, checker=books.user("bob"))
    source = FileSource.objects.get()
    text = read("carol", "file_source", source.pk)
    assert str(source.address) in text
    assert "s3cret-word" not in text
    assert key_pair("merchant")[0].splitlines()[1] not in text


def test_a_source_that_cannot_work_stays_on_its_form_without_the_secret(books: Books) -> None:
    form = {**of_kind("sftp"), "deadline": "08:00"}
    response = books.client("alice").post(address("file_source_new", "sftp"), form)
    text = text_of(response)
    assert response.status_code == 400
    assert "before the first try" in text
    assert "s3cret-word" not in text


def test_a_change_starts_from_what_is_and_keeps_the_secret(books: Books, read: Read) -> None:
    books.client("alice").post(address("file_source_new", "sftp"), of_kind("sftp"))
    request_approve(request_id=ApprovalRequest.objects.latest("pk").pk, checker=books.user("bob"))
    source = FileSource.objects.get()
    text = read("alice", "file_source_change", source.pk)
    assert 'value="sftp://bills.example/out"' in text
    assert "s3cret-word" not in text
    books.client("alice").post(
        address("file_source_change", source.pk), {**of_kind("sftp"), "secret": "", "active": "ended"}
    )
    request_approve(request_id=ApprovalRequest.objects.latest("pk").pk, checker=books.user("bob"))
    ended = FileSource.objects.get(is_current=True)
    assert (ended.version, ended.active, ended.secret) == (2, False, "s3cret-word")


def test_an_unknown_kind_is_not_found(books: Books) -> None:
    assert books.client("alice").get(address("file_source_new", "carrier-pigeon")).status_code == 404


def test_an_empty_day_is_proposed_and_its_run_makes_differences_of_our_own(books: Books, read: Read) -> None:
    from payops.reconciliation.services import run_reconcile

    contract = ChannelContract.objects.get(code="ALIPAY")
    files = BillFile.objects.filter(contract=contract, channel_date=TUE)
    files.update(state="rejected")
    response = books.client("alice").post(
        address("empty_day_new"), {"contract": "ALIPAY", "day": TUE.isoformat(), "reason": "their letter of today"}
    )
    request = ApprovalRequest.objects.latest("pk")
    assert response.url == address("approval", request.pk)
    assert request.payload["own"] > 0
    assert "zero lines" in read("bob", "approval", request.pk)
    request_approve(request_id=request.pk, checker=books.user("bob"))
    run = run_reconcile(contract=contract, day=TUE)
    assert (run.channel_count, run.equation["holds"]) == (0, True)
    assert run.own_count > 0
    assert read("carol", "bill_file", run.file_id)


def test_a_day_with_a_bill_is_not_proposed_as_empty(books: Books) -> None:
    response = books.client("alice").post(
        address("empty_day_new"), {"contract": "ALIPAY", "day": TUE.isoformat(), "reason": "none"}
    )
    assert response.status_code == 400
    assert "has a file already" in text_of(response)
