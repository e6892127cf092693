"""Files beside the bill: an account log, an error file or a brand fee file never stands for the bill."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from payops.channels import formats
from payops.channels.bills.selectors import accepted_file, bill_line_raw, line_range
from payops.channels.bills.services import bill_enqueue, bill_load, bill_receive
from payops.channels.choices import BillType, LineKind
from payops.channels.models import BillFile, BillLine
from payops.core.models import JobRun
from tests.channels.bills.conftest import DAY, SAMPLES, contract

WECHAT = SAMPLES / "wechat/wx_trade_ALL_20261118.csv"
FUNDFLOW = SAMPLES / "wechat/wx_fundflow_BASIC_20261118.csv"
ALIPAY_ZIP = SAMPLES / "alipay/trade/20889900112233440156_20261118.csv.zip"
ALIPAY_LOG_ZIP = SAMPLES / "alipay/signcustomer/20889900112233440156_20261118.csv.zip"
UNIONPAY_ZIP = SAMPLES / "unionpay/777290058999901_20261118.zip"

pytestmark = pytest.mark.django_db


@pytest.fixture
def acquirer(db):
    """UnionPay, as its acquirer."""
    return contract("ACQUIRER", "unionpay_acomn", "48990000")


def load(contract, path, day=DAY, **options):
    return bill_load(contract=contract, channel_date=day, stream=path, user="alice", **options)


def test_the_types_of_files_are_those_of_the_formats():
    assert {kind.value for kind in BillType} == {kind.value for kind in formats.BillType}


def test_the_kinds_of_lines_are_those_of_the_formats():
    assert {kind.value for kind in LineKind} == set(formats.KIND_CODES.values())


def test_an_account_log_stands_beside_the_bill_whichever_comes_first(wechat, alipay):
    log, bill = load(wechat, FUNDFLOW), load(wechat, WECHAT)
    assert (log.bill_type, log.state, log.proven, log.version) == ("account_log", "accepted", True, 1)
    assert (bill.bill_type, bill.state, bill.version) == ("trade", "accepted", 1)
    bill, log = load(alipay, ALIPAY_ZIP), load(alipay, ALIPAY_LOG_ZIP)
    assert (bill.state, log.state, log.version) == ("accepted", "accepted", 1)
    assert accepted_file(alipay, DAY) == bill
    assert accepted_file(alipay, DAY, bill_type=BillType.ACCOUNT_LOG) == log


def test_a_day_with_only_an_account_log_has_no_bill(wechat):
    load(wechat, FUNDFLOW)
    assert accepted_file(wechat, DAY) is None


def test_the_log_of_another_channel_is_no_file_beside_the_bill(alipay):
    refused = load(alipay, FUNDFLOW)
    assert (refused.bill_type, refused.state, refused.error_code) == ("trade", "rejected", "bill.not_a_bill")


def test_a_reissued_log_is_the_next_version_of_the_log(wechat, tmp_path):
    first = load(wechat, FUNDFLOW)
    again = tmp_path / "log.csv"
    again.write_bytes(FUNDFLOW.read_bytes().replace(b"\r\n", b"\n"))
    second = load(wechat, again)
    first.refresh_from_db()
    assert (second.version, second.state, first.state) == (2, "accepted", "superseded")


def test_the_lines_of_a_log_add_up_to_what_the_account_did(wechat):
    log = load(wechat, FUNDFLOW)
    control = {figure["name"]: figure["computed"] for figure in log.totals["control"]}
    lines = BillLine.objects.in_range(*line_range(log))
    assert sum(line.settled_amount for line in lines) == control["balance.closing"] - control["balance.opening"]
    assert "5128.00" in bill_line_raw(lines.order_by("id")[0])


def test_an_archive_with_bill_and_error_file_is_registered_as_both(unionpay):
    bill = load(unionpay, UNIONPAY_ZIP)
    errors = bill.companions[0]
    assert (bill.bill_type, bill.state, bill.line_count) == ("trade", "accepted", 11)
    assert (errors.bill_type, errors.bill_format, errors.state, errors.line_count) == (
        "errors", "unionpay_zme", "accepted", 11,
    )  # fmt: skip
    again = load(unionpay, UNIONPAY_ZIP)
    assert (again.duplicate, again.companions[0].duplicate) == (True, True)
    assert BillFile.objects.count() == 2


def test_a_worker_is_asked_to_read_everything_in_the_archive(unionpay):
    bill = bill_receive(contract=unionpay, channel_date=DAY, stream=UNIONPAY_ZIP)
    bill_enqueue(bill)
    assert JobRun.objects.filter(kind="channels.bill_parse").count() == 2


@pytest.mark.parametrize(("name", "bill_type", "lines"), [
    ("IND26111801ACOMN", "trade", 12),
    ("IND26111801AERRN", "errors", 10),
    ("IND26111832AERRA", "errors", 10),
    ("IND26111899ALFEE", "brand_fee", 11),
])  # fmt: skip
def test_an_acquirers_files_are_known_by_their_content(acquirer, name, bill_type, lines):
    file = load(acquirer, io.BytesIO((SAMPLES / "unionpay" / name).read_bytes()), name="upload.bin")
    assert (file.bill_type, file.state, file.proven, file.line_count) == (bill_type, "accepted", False, lines)


def test_a_broken_balance_of_alipays_log_is_noted_not_refused(alipay, tmp_path):
    text = (SAMPLES / "alipay/20889900112233440156_20261118_账务明细.csv").read_bytes()
    path = tmp_path / "log.csv"
    path.write_bytes(text.replace(b"10297.21", b"10297.22"))
    log = load(alipay, path)
    assert (log.state, log.proven) == ("accepted", True)
    assert [note["code"] for note in log.totals["warnings"]] == ["bill.balance_break"]


def test_the_database_lets_only_one_file_of_a_type_stand(wechat):
    load(wechat, WECHAT)
    load(wechat, FUNDFLOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        BillFile.objects.create(
            contract=wechat, channel_date=DAY, version=9, state="accepted", bill_type="account_log",
            original_name="x", stored_path="x", sha256="x", size=1,
        )  # fmt: skip


@pytest.mark.parametrize("change", ["bill_type = 'trade'", "channel_date = '2026-11-19'", "sha256 = 'x'", "batch = 2"])
def test_the_database_keeps_what_a_file_is(wechat, change):
    load(wechat, FUNDFLOW)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE channels_billfile SET {change}")
    assert BillFile.objects.get().channel_date == dt.date(2026, 11, 18)
