"""Versions of a bill in the console: compared, taken over, read again."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from payops.approvals.services import request_approve
from payops.channels.bills import services
from payops.channels.bills.services import bill_load
from payops.channels.mapping.approval import mapping_propose
from payops.channels.models import BillFile, ChannelContract
from payops.core.models import AuditLog
from tests.channels.test_generic import HEADER, SPEC
from tests.console import configuration
from tests.console.conftest import TUE, Books, address, text_of

Read = Callable[..., str]
ROWS = [f"{TUE},09:00:{n:02d},T{n},O{n},,支付,{n}.00,0.10" for n in range(1, 6)]


@pytest.fixture
def newpay(books: Books) -> ChannelContract:
    configuration.mapping()
    made = ChannelContract.objects.first()
    made.pk, made.code, made.account_no, made.bill_format = None, "NEWPAY", "M100", "generic:newpay"
    made.save(force_insert=True)
    return made


def load(contract: ChannelContract, *rows: str, footer: str = "") -> BillFile:
    total = sum(int(row.split(",")[6].split(".")[0]) for row in rows if row.split(",")[6][0].isdigit())
    text = "\n".join([HEADER, *rows, footer or f"合计,{len(rows)},{total}.00", ""])
    return bill_load(contract=contract, channel_date=TUE, stream=io.BytesIO(text.encode()), name="n.csv", user="alice")


@pytest.fixture
def waiting(newpay: ChannelContract, monkeypatch: pytest.MonkeyPatch) -> BillFile:
    """A second version of a day that work stands on: T1 gone, T4 changed, T5 new."""
    load(newpay, *ROWS[:4])
    monkeypatch.setattr(services, "_take_over_checks", [lambda accepted: True])
    return load(newpay, *ROWS[1:3], ROWS[3].replace("4.00", "7.00"), ROWS[4])


def test_who_takes_a_version_over_sees_before_what_it_changes(books: Books, waiting: BillFile, read: Read) -> None:
    assert address("bill_file_difference", waiting.pk) in read("alice", "bill_file", waiting.pk)
    page = read("alice", "bill_file_difference", waiting.pk)
    for words in ("T1", "T4", "T5", "Removed", "Changed", "Added", "was 4.00", "4.00 → 7.00", "Take over this version"):
        assert words in page
    assert "run the day again" in page
    assert ">T2<" not in page
    assert "Take over this version" not in read("carol", "bill_file_difference", waiting.pk)
    books.client("alice").post(address("bill_file_take_over", waiting.pk))
    waiting.refresh_from_db()
    assert waiting.state == "accepted"


def test_one_kind_of_difference_is_shown_alone(waiting: BillFile, read: Read) -> None:
    page = read("carol", "bill_file_difference", waiting.pk, change="added")
    assert ">T5<" in page
    assert ">T1<" not in page


def test_the_difference_leaves_as_csv_with_both_values_and_is_logged(books: Books, waiting: BillFile) -> None:
    response = books.client("carol").get(address("bill_file_difference", waiting.pk, export="csv"))
    text = text_of(response)
    changed = next(line for line in text.splitlines() if ",T4," in line)
    assert "4.00,7.00" in changed
    assert len(text.splitlines()) == 4
    assert AuditLog.objects.filter(object_kind="bill_difference", object_id=waiting.pk).exists()


def test_a_first_version_has_nothing_to_be_compared_with(newpay: ChannelContract, read: Read) -> None:
    first = load(newpay, *ROWS)
    assert "Compare with" not in read("alice", "bill_file", first.pk)
    assert "No other version" in read("alice", "bill_file_difference", first.pk)


def test_a_file_of_another_channel_is_never_compared_with(waiting: BillFile, read: Read) -> None:
    stranger = BillFile.objects.exclude(contract=waiting.contract).first()
    assert "No other version" in read("alice", "bill_file_difference", waiting.pk, old=stranger.pk)


def test_every_version_of_the_day_stands_on_the_page_of_each(waiting: BillFile, read: Read) -> None:
    page = read("carol", "bill_file", waiting.pk)
    first = BillFile.objects.get(contract=waiting.contract, version=1)
    assert "Versions of this day" in page
    assert address("bill_file", first.pk) in page


def test_a_held_file_shows_what_is_left_out_and_the_two_ways_on(newpay: ChannelContract, read: Read) -> None:
    held = load(newpay, *ROWS[:2], ROWS[2].replace("3.00", "x"), footer="合计,3,6.00")
    page = read("alice", "bill_file", held.pk)
    for words in ("Lines 1, Amount 3.00", "Send a corrected file", "Propose to accept", "generic:newpay@1"):
        assert words in page
    assert address("bill_file_upload", contract="NEWPAY", date=TUE).replace("&", "&amp;") in page


def test_a_file_is_read_again_when_its_mapping_has_a_newer_version(
    books: Books, newpay: ChannelContract, read: Read
) -> None:
    first = load(newpay, *ROWS)
    refused = books.client("alice").post(address("bill_file_read_again", first.pk), follow=True)
    assert "still the latest one" in text_of(refused)
    proposal = mapping_propose(
        code="newpay", name="New Pay", spec={**SPEC, "settled": "gross"}, reason="Fees are billed.",
        sample={"name": "s", "sha256": "", "lines": 1, "bad": 0, "proven": True, "refused": ""},
        maker=books.user("alice"),
    )  # fmt: skip
    request_approve(request_id=proposal.pk, checker=books.user("bob"))
    assert "Read again with mapping version 2" in read("alice", "bill_file", first.pk)
    response = books.client("alice").post(address("bill_file_read_again", first.pk))
    again = BillFile.objects.get(contract=newpay, version=2)
    assert response.url == address("bill_file", again.pk)
    assert (again.sha256, again.bill_format, again.state) == (first.sha256, "generic:newpay@2", "received")
