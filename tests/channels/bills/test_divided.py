"""Big bills are read by several processes: what is stored, held or refused does not depend on how many."""

from __future__ import annotations

import io

import pytest
from django.db import transaction

from payops.channels.bills import services
from payops.channels.bills.selectors import line_range
from payops.channels.bills.services import bill_load, bill_parse, bill_receive
from payops.channels.formats.crew import Crew
from payops.channels.models import BillFile, BillLine
from payops.core.errors import PayopsError
from tests.channels.bills.conftest import DAY, SAMPLES

WECHAT = SAMPLES / "wechat/wx_trade_ALL_20261118.csv"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def every_file_is_big(monkeypatch):
    monkeypatch.setattr(services, "OWN_PARTITION_LINES", 1)


def readers(monkeypatch, count):
    monkeypatch.setattr(services, "bill_readers", lambda: count)


def loaded(contract, path):
    return bill_load(contract=contract, channel_date=DAY, stream=path, user="alice")


def outcome(bill: BillFile):
    """What became of a file and its lines, whatever their number within the day."""
    lo, hi = line_range(bill)
    lines = [
        {**row, "id": row["id"] - lo} for row in BillLine.objects.in_range(lo, hi).order_by("id").values()
    ] if hi else []  # fmt: skip
    return (bill.state, bill.error_code, bill.error_message, bill.line_count, bill.bad_lines, bill.totals, lines)


FILES = [
    ("wechat", "wechat/wx_trade_ALL_20261118.csv"),
    ("wechat", "bad/wechat_footer_mismatch.csv"),
    ("wechat", "bad/wechat_truncated_no_footer.csv"),
    ("wechat", "bad/wechat_duplicate_row.csv"),
    ("alipay", "alipay/20889900112233440156_20261118_业务明细.csv"),
    ("alipay", "bad/alipay_newline_in_remark.csv"),
    ("alipay", "bad/alipay_count_mismatch.csv"),
    ("alipay", "bad/alipay_no_end_marker.csv"),
    ("unionpay", "unionpay/INN26111888ZM_777290058999901"),
    ("unionpay", "bad/unionpay_zm_bad_amount"),
    ("unionpay", "bad/unionpay_zm_short_line"),
    ("unionpay", "bad/unionpay_zm_wrong_merchant_INN26111888ZM_777290058999901"),
]


@pytest.mark.parametrize(("channel", "file"), FILES)
def test_the_outcome_is_that_of_one_reader(request, monkeypatch, channel, file):
    contract = request.getfixturevalue(channel)
    readers(monkeypatch, 1)
    with transaction.atomic():
        alone = outcome(loaded(contract, SAMPLES / file))
        transaction.set_rollback(True)
    readers(monkeypatch, 3)
    assert outcome(loaded(contract, SAMPLES / file)) == alone


def test_several_readers_are_used_for_big_files_only(wechat, monkeypatch):
    started = []
    start = Crew.start
    monkeypatch.setattr(Crew, "start", lambda self, *rest: (started.append(self), start(self, *rest)))
    readers(monkeypatch, 2)
    loaded(wechat, WECHAT)
    monkeypatch.setattr(services, "OWN_PARTITION_LINES", 1000)
    loaded(wechat, io.BytesIO(WECHAT.read_bytes().replace(b"\r\n", b"\n")))
    assert len(started) == 1


def test_a_load_that_loses_a_reader_leaves_the_file_as_received(wechat, monkeypatch):
    readers(monkeypatch, 2)
    bill = bill_receive(contract=wechat, channel_date=DAY, stream=WECHAT, user="alice")
    with monkeypatch.context() as patch:
        patch.setattr("payops.channels.formats.crew._MODULE", "payops.no_such_module")
        with pytest.raises(PayopsError, match="helped to read"):
            bill_parse(bill.pk)
    bill.refresh_from_db()
    assert (bill.state, BillLine.objects.for_days(DAY).count()) == ("received", 0)
    assert bill_parse(bill.pk).state == "accepted"
    assert BillLine.objects.for_days(DAY).count() == 19


def test_there_are_no_more_readers_than_processors(settings):
    settings.PAYOPS_BILL_READERS = 1
    assert services.bill_readers() == 1
    settings.PAYOPS_BILL_READERS = 10_000
    assert 1 <= services.bill_readers() < 10_000
