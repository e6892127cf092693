"""A day without a bill: an empty file is a bill, "no bill" is one only by the rule, and both let the day go on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payops.approvals.services import request_approve
from payops.channels.bills.selectors import accepted_file, line_range
from payops.channels.bills.services import bill_load
from payops.channels.fetch import empty, services
from payops.channels.fetch.choices import FetchOutcome, SourceKind
from payops.channels.fetch.deliveries import Delivery
from payops.channels.fetch.empty import empty_day_propose
from payops.channels.fetch.errors import FetchError
from payops.channels.fetch.models import EmptyDay, FetchAttempt, FileSource
from payops.channels.fetch.services import fetch_run
from payops.channels.models import BillFile, ChannelContract
from payops.core.errors import PayopsError
from tests.channels.fetch.conftest import DAY, approved, at, bill, unsaved

ANSWER = b'{"code":"NO_STATEMENT_EXIST","message":"no bill"}'


class Silent:
    """A channel that says there is no bill."""

    outcome = FetchOutcome.NO_BILL

    def __init__(self, source: FileSource) -> None:
        self.source = source

    def deliveries(self, day: dt.date | None, folder: Path, today: dt.date) -> Iterator[Delivery]:
        raise FetchError(self.outcome, "There is no bill for this day.", answer=ANSWER)


class Making(Silent):
    """A channel that is not ready yet."""

    outcome = FetchOutcome.CREATING


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many successes of ours the day has; change the only element."""
    count = [0]
    monkeypatch.setattr(empty, "_own_counts", [lambda _contract, _day: count[0]])
    return count


@pytest.fixture
def source(
    wechat: ChannelContract, alice: Any, bob: Any, own: list[int], monkeypatch: pytest.MonkeyPatch
) -> FileSource:
    """A source whose channel has no bill; from 11:00 on that counts as an empty day."""
    monkeypatch.setitem(services.ADAPTERS, SourceKind.FOLDER, Silent)
    return approved(alice, bob, unsaved(wechat, empty_after=dt.time(11, 0)))


def fetched(source: FileSource, clock: str) -> FetchAttempt:
    return fetch_run(source=source, day=DAY, now=at(clock))[-1]


def test_no_bill_before_its_time_is_only_no_bill(source: FileSource) -> None:
    attempt = fetched(source, "10:59")
    assert (attempt.outcome, accepted_file(source.contract, DAY)) == ("no_bill", None)
    assert "11:00" in attempt.message


def test_no_bill_after_its_time_and_without_a_success_of_ours_is_an_empty_day(source: FileSource) -> None:
    attempt = fetched(source, "11:00")
    file = accepted_file(source.contract, DAY)
    assert (attempt.outcome, attempt.bill_file) == ("empty", file)
    assert (file.line_count, file.totals["all"]["settled"], line_range(file)) == (0, 0, (0, 0))
    assert (file.empty_day.own_count, file.empty_day.approval) == (0, None)


def test_the_answer_an_empty_day_rests_on_is_kept(source: FileSource, folders: Path) -> None:
    file = fetched(source, "11:00").bill_file
    assert (folders / "files" / file.stored_path).read_bytes() == ANSWER


def test_a_success_of_ours_stands_against_an_empty_day(source: FileSource, own: list[int]) -> None:
    own[0] = 3
    attempt = fetched(source, "11:00")
    assert (attempt.outcome, BillFile.objects.count()) == ("no_bill", 0)
    assert "3 successes" in attempt.message


def test_a_bill_being_made_is_never_an_empty_day(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(services.ADAPTERS, SourceKind.FOLDER, Making)
    assert (fetched(source, "23:00").outcome, BillFile.objects.count()) == ("creating", 0)


def test_without_a_time_no_bill_never_becomes_an_empty_day_by_itself(
    source: FileSource, wechat: ChannelContract, alice: Any, bob: Any
) -> None:
    plain = approved(alice, bob, unsaved(wechat))
    assert (fetched(plain, "23:00").outcome, BillFile.objects.count()) == ("no_bill", 0)


def test_two_people_may_call_a_day_empty_against_our_own_successes(
    source: FileSource, own: list[int], alice: Any, bob: Any
) -> None:
    own[0] = 3
    request = empty_day_propose(contract=source.contract, day=DAY, reason="the channel was down", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    day = EmptyDay.objects.get()
    assert (day.own_count, day.approval, accepted_file(source.contract, DAY)) == (3, request, day.bill_file)


def test_a_success_that_comes_after_the_proposal_is_no_surprise(
    source: FileSource, own: list[int], alice: Any, bob: Any
) -> None:
    request = empty_day_propose(contract=source.contract, day=DAY, reason="quiet", maker=alice)
    own[0] = 1
    with pytest.raises(PayopsError, match="changed"):
        request_approve(request_id=request.pk, checker=bob)


def test_a_day_with_a_file_cannot_be_proposed_as_empty(
    source: FileSource, wechat: ChannelContract, tmp_path: Path, alice: Any
) -> None:
    (tmp_path / "bill.csv").write_bytes(bill())
    bill_load(contract=wechat, channel_date=DAY, stream=tmp_path / "bill.csv")
    with pytest.raises(PayopsError, match="has a file"):
        empty_day_propose(contract=wechat, day=DAY, reason="quiet", maker=alice)


def test_a_bill_that_comes_later_takes_the_place_of_the_empty_day(
    source: FileSource, wechat: ChannelContract, tmp_path: Path
) -> None:
    fetched(source, "11:00")
    (tmp_path / "bill.csv").write_bytes(bill())
    later = bill_load(contract=wechat, channel_date=DAY, stream=tmp_path / "bill.csv")
    assert (later.state, later.version, accepted_file(wechat, DAY)) == ("accepted", 2, later)


def test_an_empty_file_with_zero_totals_is_a_bill(wechat: ChannelContract, tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_bytes(bill(rows=0))
    file = bill_load(contract=wechat, channel_date=DAY, stream=tmp_path / "bill.csv")
    assert (file.state, file.line_count, file.proven) == ("accepted", 0, True)
    assert not EmptyDay.objects.exists()


# --- what the database itself refuses --------------------------------------------------------------------------

ANOTHER = (
    "INSERT INTO channels_emptyday (contract_id, channel_date, bill_file_id, own_count, reason, declared_by,"
    " approval_id, declared_at) SELECT contract_id, channel_date, id, %s, 'none', 'nobody', %s, now()"
    " FROM channels_billfile WHERE id = %s"
)


def refused(statement: str, *values: Any) -> str:
    """The database's own words."""
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        _executed(statement, values)
    return str(error.value)


def _executed(statement: str, values: tuple[Any, ...]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_the_database_refuses_an_empty_day_with_successes_that_nobody_approved(
    source: FileSource, wechat: ChannelContract, tmp_path: Path
) -> None:
    (tmp_path / "bill.csv").write_bytes(bill(rows=0))
    file = bill_load(contract=wechat, channel_date=DAY, stream=tmp_path / "bill.csv")
    assert "empty_day_with_successes_is_approved" in refused(ANOTHER, 3, None, file.pk)


def test_the_database_refuses_the_approval_of_something_else(
    source: FileSource, wechat: ChannelContract, tmp_path: Path
) -> None:
    (tmp_path / "bill.csv").write_bytes(bill(rows=0))
    file = bill_load(contract=wechat, channel_date=DAY, stream=tmp_path / "bill.csv")
    assert "no approved one" in refused(ANOTHER, 3, source.approval_id, file.pk)


def test_the_database_refuses_to_change_an_empty_day(source: FileSource) -> None:
    fetched(source, "11:00")
    assert "refused" in refused("UPDATE channels_emptyday SET own_count = 0, reason = 'none'")
    assert "refused" in refused("DELETE FROM channels_emptyday")
