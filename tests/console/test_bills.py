"""Bill files in the console: as received, what was read of them, and what a second person decides."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from payops.approvals.models import ApprovalRequest
from payops.channels.bills.selectors import contract_by_code
from payops.channels.bills.services import bill_load
from payops.channels.models import BillFile, BillLine
from payops.core.models import AuditLog, JobRun
from tests.channels.bills.conftest import SAMPLES
from tests.console.conftest import MON, TUE, Books, address, read_out, text_of

Read = Callable[..., str]


@pytest.fixture
def bill(books: Books) -> BillFile:
    """Monday's accepted WeChat bill."""
    return BillFile.objects.get(contract__code="WECHAT", channel_date=MON)


@pytest.fixture
def held(books: Books, tmp_path: Path) -> BillFile:
    """A re-issued UnionPay file of Tuesday with one unreadable amount."""
    original = books.days.bill_file("UNIONPAY", TUE)
    content = bytearray(original.read_bytes())
    # The amount of the second line: a letter O where a zero was.
    second = content.index(b"\n") + 1
    content[second + 66] = ord("O")
    path = tmp_path / original.name
    path.write_bytes(bytes(content))
    file = bill_load(
        contract=contract_by_code("UNIONPAY"),
        channel_date=TUE,
        stream=path,
        name=path.name,
        source="test",
        user="alice",
    )
    assert file.state == "held", file.error_message
    return file


def upload(books: Books, channel: str, name: str, content: bytes):
    file = SimpleUploadedFile(name, content)
    data = {"contract": channel, "channel_date": TUE.isoformat(), "file": file}
    return books.client("alice").post(address("bill_file_upload"), data)


def test_a_file_shows_its_digest_totals_and_lines(books: Books, bill: BillFile, read: Read) -> None:
    text = read("carol", "bill_file", bill.pk)
    assert bill.sha256 in text
    assert f"{bill.totals['all']['settled'] / 100:,.2f}" in text
    line = BillLine.objects.for_days(MON, MON).filter(contract_id=bill.contract_id).order_by("id").first()
    assert address("bill_line", line.pk) in text


def test_every_control_total_stands_beside_what_was_counted(books: Books, bill: BillFile, read: Read) -> None:
    text = read("carol", "bill_file", bill.pk)
    stated = [figure for figure in bill.totals["control"] if figure["stated"] is not None]
    assert text.count("agrees") >= len(stated) > 0
    assert "differs" not in text
    count = next(figure for figure in stated if figure["unit"] == "count")
    assert f">{count['computed']:,}<" in text


def test_an_account_log_is_shown_as_what_it_is_with_what_is_odd(books: Books, tmp_path: Path, read: Read) -> None:
    contract = contract_by_code("ALIPAY")
    log = (SAMPLES / "alipay/20889900112233440156_20261118_账务明细.csv").read_bytes().decode("gb18030")
    day = TUE.strftime("%Y-%m-%d")
    log = log.replace("20889900112233440156", contract.account_no).replace("2026-11-18", day)
    after = TUE + dt.timedelta(days=1)
    log = log.replace("2026年11月18日", f"{TUE:%Y年%m月%d日}").replace("2026年11月19日 00", f"{after:%Y年%m月%d日} 00")
    path = tmp_path / "log.csv"
    path.write_bytes(log.replace("10297.21", "10297.22").encode("gb18030"))
    file = bill_load(contract=contract, channel_date=TUE, stream=path, user="alice")
    text = read("carol", "bill_file", file.pk)
    for words in ("Account log", "Opening balance", "10,000.00", "Worth a look", "Transfer"):
        assert words in text
    assert "Account log" in read("carol", "bill_file_list")


def test_a_line_shows_what_it_was_compared_with_and_how_the_channel_wrote_it(books: Books, read: Read) -> None:
    line = BillLine.objects.for_days(MON, MON).order_by("id").first()
    text = read("alice", "bill_line", line.pk)
    assert line.match_key in text
    assert "Our transactions with the same key" in text
    assert "As the channel wrote it" in text


def test_the_download_is_byte_for_byte_what_came_and_is_logged(books: Books, bill: BillFile) -> None:
    content = read_out(books.client("carol").get(address("bill_file_download", bill.pk))).content_read
    assert content == books.days.bill_file("WECHAT", MON).read_bytes()
    assert AuditLog.objects.filter(username="carol", object_kind="channels.billfile", object_id=bill.pk).exists()


def test_an_uploaded_bill_is_received_and_read_by_a_worker(books: Books) -> None:
    content = books.days.bill_file("WECHAT", TUE).read_bytes().replace(b"\r\n", b"\n")
    response = upload(books, "WECHAT", "bill.csv", content)
    file = BillFile.objects.order_by("-id").first()
    assert response.url == address("bill_file", file.pk)
    assert (file.state, file.version, file.received_by) == ("received", 2, "alice")
    assert JobRun.objects.order_by("-id").first().params["bill_file_id"] == file.pk


def test_the_very_same_file_again_is_recognised_and_nothing_is_loaded(books: Books) -> None:
    before = BillFile.objects.count()
    path = books.days.bill_file("WECHAT", TUE)
    upload(books, "WECHAT", path.name, path.read_bytes())
    assert BillFile.objects.count() == before


@pytest.mark.parametrize("field", ["contract", "channel_date", "file"])
def test_a_form_that_is_not_complete_comes_back(books: Books, field: str) -> None:
    data = {"contract": "WECHAT", "channel_date": TUE.isoformat(), "file": SimpleUploadedFile("b.csv", b"x")}
    data.pop(field)
    response = books.client("alice").post(address("bill_file_upload"), data)
    assert response.status_code == 400
    assert "This field is required" in text_of(response)


def test_an_unknown_channel_is_refused_by_the_form(books: Books) -> None:
    data = {"contract": "NOBODY", "channel_date": TUE.isoformat(), "file": SimpleUploadedFile("b.csv", b"x")}
    assert books.client("alice").post(address("bill_file_upload"), data).status_code == 400


def test_a_held_file_shows_each_unreadable_line_with_its_reason(books: Books, held: BillFile, read: Read) -> None:
    text = read("alice", "bill_file", held.pk)
    assert "Quarantined lines" in text
    assert held.bad_lines[0]["message"] in text.replace("&quot;", '"').replace("&#x27;", "'")


def test_to_accept_a_held_file_without_its_lines_takes_two_people(books: Books, held: BillFile) -> None:
    books.client("alice").post(address("bill_file_propose", held.pk), {"note": "The channel cannot send it again."})
    request = ApprovalRequest.objects.order_by("-id").first()
    assert request.target_id == str(held.pk)
    books.client("bob").post(address("approval_approve", request.pk))
    request.refresh_from_db()
    assert request.status == "executed"


def test_to_propose_it_a_reason_is_needed(books: Books, held: BillFile) -> None:
    before = ApprovalRequest.objects.count()
    response = books.client("alice").post(address("bill_file_propose", held.pk), {"note": ""}, follow=True)
    assert "Write the reason" in text_of(response)
    assert ApprovalRequest.objects.count() == before
