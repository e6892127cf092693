"""Loading bill files (DOMAIN 6): what becomes lines, what is known already, what is held, what is rejected."""

from __future__ import annotations

import gzip
import io
import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from payops.channels.bills import services
from payops.channels.bills.differences import version_to_compare
from payops.channels.bills.selectors import accepted_file, bill_line_raw, file_of_line, line_range
from payops.channels.bills.services import (
    bill_accept_without_bad_lines,
    bill_load,
    bill_parse,
    bill_receive,
    bill_take_over,
)
from payops.channels.models import BillFile, BillLine
from payops.core.errors import PayopsError
from payops.core.ids import day_floor
from payops.core.jobs import run_now
from payops.core.storage import full_path
from tests.channels.bills.conftest import DAY, SAMPLES

WECHAT = SAMPLES / "wechat/wx_trade_ALL_20261118.csv"
ZM = "unionpay/INN26111888ZM_777290058999901"

pytestmark = pytest.mark.django_db


def lines_of_day():
    """Every line of the day, whichever file it belongs to."""
    return BillLine.objects.for_days(DAY)


def load(contract, path, **options):
    return bill_load(contract=contract, channel_date=DAY, stream=path, user="alice", **options)


def reissued(text: bytes | None = None) -> io.BytesIO:
    """The same bill with other bytes: the line ends changed."""
    return io.BytesIO((text or WECHAT.read_bytes()).replace(b"\r\n", b"\n"))


# --- accepted ---


def test_a_wechat_bill_becomes_lines_and_is_proven(wechat):
    bill = load(wechat, WECHAT)
    assert (bill.state, bill.proven, bill.error_message) == ("accepted", True, "")
    lines = BillLine.objects.in_range(*line_range(bill))
    assert bill.line_count == lines.count() == 19
    assert accepted_file(wechat, DAY) == bill
    assert sum(line.settled_amount for line in lines) == bill.totals["all"]["settled"]
    assert sum(line.fee for line in lines) == bill.totals["all"]["fee"]
    assert all(figure["stated"] in (None, figure["computed"]) for figure in bill.totals["control"])


def test_an_alipay_zip_and_a_unionpay_file_become_lines(alipay, unionpay):
    bill = load(alipay, SAMPLES / "alipay/trade/20889900112233440156_20261118.csv.zip")
    assert (bill.state, bill.proven, bill.line_count) == ("accepted", True, 12)
    bill = load(unionpay, SAMPLES / ZM)
    assert bill.state == "accepted"
    assert bill.line_count > 0


def test_a_format_without_totals_is_accepted_unproven(unionpay):
    assert load(unionpay, SAMPLES / ZM).proven is False


def test_a_line_names_its_file_and_its_row(wechat):
    bill = load(wechat, WECHAT)
    line = BillLine.objects.in_range(*line_range(bill)).order_by("id")[0]
    assert file_of_line(line.pk) == bill
    assert line.trade_no in bill_line_raw(line)


def test_an_empty_day_is_accepted_with_no_lines(wechat):
    bill = bill_load(
        contract=wechat, channel_date=DAY.replace(day=17), stream=SAMPLES / "wechat/wx_trade_ALL_empty_20261117.csv"
    )
    assert (bill.state, bill.line_count, bill.totals["all"]["count"]) == ("accepted", 0, 0)


def test_the_file_is_kept_as_received(wechat):
    bill = load(wechat, WECHAT)
    assert full_path(bill.stored_path).read_bytes() == WECHAT.read_bytes()
    assert bill.stored_path.endswith(bill.sha256)
    assert bill.size == WECHAT.stat().st_size


# --- the same again, and versions ---


def test_the_same_bytes_are_recognised_under_another_name(wechat):
    first = load(wechat, WECHAT)
    again = load(wechat, io.BytesIO(WECHAT.read_bytes()), name="renamed.csv")
    assert (again.pk, again.duplicate, again.state) == (first.pk, True, "accepted")
    assert lines_of_day().count() == 19


def test_a_reissued_file_is_the_next_version_and_supersedes(wechat):
    first = load(wechat, WECHAT)
    second = load(wechat, reissued(), name="again.csv")
    first.refresh_from_db()
    assert (second.version, second.state, first.state) == (2, "accepted", "superseded")
    assert second.day_file_no != first.day_file_no
    assert accepted_file(wechat, DAY) == second


def test_a_reissue_of_a_reconciled_day_waits_to_be_taken_over(wechat, monkeypatch):
    monkeypatch.setattr(services, "_take_over_checks", [lambda accepted: True])
    first = load(wechat, WECHAT)
    second = load(wechat, reissued(), name="again.csv")
    assert (second.state, second.error_code) == ("held", "bill.needs_take_over")
    assert accepted_file(wechat, DAY) == first
    bill_take_over(bill_file_id=second.pk, user="bob")
    assert accepted_file(wechat, DAY) == second


def test_taking_over_twice_is_refused(wechat, monkeypatch):
    monkeypatch.setattr(services, "_take_over_checks", [lambda accepted: True])
    load(wechat, WECHAT)
    second = load(wechat, reissued(), name="again.csv")
    bill_take_over(bill_file_id=second.pk, user="bob")
    with pytest.raises(PayopsError) as caught:
        bill_take_over(bill_file_id=second.pk, user="bob")
    assert caught.value.code == "bill.not_held"


def test_parsing_a_parsed_file_changes_nothing(wechat):
    bill = load(wechat, WECHAT)
    assert bill_parse(bill.pk).line_count == 19
    assert lines_of_day().count() == 19


def test_a_rejected_file_may_be_sent_again(wechat):
    bad = SAMPLES / "bad/wechat_footer_mismatch.csv"
    first, second = load(wechat, bad), load(wechat, bad)
    assert (first.state, second.state, second.version, second.duplicate) == ("rejected", "rejected", 2, False)


# --- held ---


def held_unionpay(contract):
    return load(
        contract,
        io.BytesIO((SAMPLES / "bad/unionpay_zm_bad_amount").read_bytes()),
        name="INN26111888ZM_777290058999901",
    )


def test_an_unreadable_line_holds_the_file_and_is_shown(unionpay):
    bill = held_unionpay(unionpay)
    assert bill.state == "held"
    assert accepted_file(unionpay, DAY) is None
    assert bill.bad_lines[0]["line_no"] == 3
    assert bill.bad_lines[0]["raw"]
    assert bill.bad_lines[0]["message"]
    assert bill.line_count == bill.totals["all"]["count"]


def test_a_held_file_is_accepted_without_its_bad_lines(unionpay):
    bill = bill_accept_without_bad_lines(bill_file_id=held_unionpay(unionpay).pk, user="bob")
    assert accepted_file(unionpay, DAY) == bill


def test_a_corrected_file_replaces_a_held_one(unionpay):
    held = held_unionpay(unionpay)
    good = load(unionpay, SAMPLES / ZM)
    assert (good.version, good.state) == (held.version + 1, "accepted")
    with pytest.raises(PayopsError) as caught:
        bill_accept_without_bad_lines(bill_file_id=held.pk, user="bob")
    assert caught.value.code == "bill.newer_accepted"


def test_an_older_version_that_is_read_late_does_not_replace_a_newer_one(wechat):
    old = bill_receive(contract=wechat, channel_date=DAY, stream=WECHAT)
    new = bill_receive(contract=wechat, channel_date=DAY, stream=reissued(), name="again.csv")
    assert bill_parse(new.pk).state == "accepted"
    assert bill_parse(old.pk).state == "superseded"
    assert accepted_file(wechat, DAY) == new


# --- rejected ---


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("wechat_footer_mismatch.csv", "bill.footer_mismatch"),
        ("wechat_truncated_no_footer.csv", ""),
        ("wechat_error_xml_saved_as.csv", ""),
        ("wechat_duplicate_row.csv", "bill.duplicate_row"),
        ("alipay_count_mismatch.csv", ""),
        ("unionpay_zm_wrong_merchant_INN26111888ZM_777290058999901", ""),
    ],
)
def test_a_bad_wechat_bill_is_rejected_and_leaves_nothing(wechat, file, code):
    bill = load(wechat, SAMPLES / "bad" / file)
    assert bill.state == "rejected"
    assert bill.error_code == code or not code
    assert bill.error_message
    assert lines_of_day().count() == 0
    assert bill.line_count == 0


@pytest.mark.parametrize(
    "file", ["alipay_count_mismatch.csv", "alipay_no_end_marker.csv", "alipay_excel_resaved_utf8.csv"]
)
def test_a_bad_alipay_bill_is_rejected_and_leaves_nothing(alipay, file):
    bill = load(alipay, SAMPLES / "bad" / file)
    assert (bill.state, lines_of_day().count()) == ("rejected", 0)
    assert bill.error_message


def test_a_footer_off_by_a_cent_names_both_figures(wechat):
    message = load(wechat, SAMPLES / "bad/wechat_footer_mismatch.csv").error_message
    assert "0.01" in message


def test_the_file_of_another_day_is_rejected(wechat):
    bill = bill_load(contract=wechat, channel_date=DAY.replace(day=19), stream=WECHAT)
    assert bill.state == "rejected"
    assert "2026-11-1" in bill.error_message


def test_the_file_of_another_account_is_rejected(wechat):
    wechat.account_no = "1699999902"
    wechat.save()
    bill = load(wechat, WECHAT)
    assert bill.state == "rejected"
    assert "1699999901" in bill.error_message


def test_the_file_of_another_channel_is_rejected(alipay):
    assert load(alipay, WECHAT).state == "rejected"


def test_random_bytes_are_rejected(wechat, alipay, unionpay):
    noise = random.Random(1).randbytes(3 << 20)
    for contract in (wechat, alipay, unionpay):
        bill = load(contract, io.BytesIO(noise), name="INN26111888ZM_777290058999901")
        assert bill.state == "rejected"
        assert bill.error_message
    assert lines_of_day().count() == 0


def test_a_decompression_bomb_is_rejected(wechat):
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as stream:
        for _ in range(100):
            stream.write(b"0" * (1 << 20))
    bill = load(wechat, io.BytesIO(packed.getvalue()), name="bomb.csv.gz")
    assert (bill.state, bill.error_code) == ("rejected", "bill.too_large")


def test_a_file_over_the_size_limit_is_not_kept(wechat, settings):
    settings.PAYOPS_MAX_UPLOAD_BYTES = 100
    with pytest.raises(PayopsError) as caught:
        load(wechat, WECHAT)
    assert caught.value.code == "files.too_large"
    assert not BillFile.objects.exists()
    assert not [path for path in full_path("").rglob("*") if path.is_file()]


def test_a_value_too_long_for_its_column_rejects_the_file(wechat):
    text = WECHAT.read_bytes().replace(b"PO2026111813050006", b"P" * 70)
    bill = load(wechat, io.BytesIO(text), name="long.csv")
    assert bill.state in ("rejected", "held")
    assert bill.error_message


def test_a_repeated_row_beyond_the_readers_own_check_is_found_by_the_database(wechat, monkeypatch):
    from payops.channels.formats import base

    monkeypatch.setattr(base, "REPEAT_CHECK_LINES", 0)
    rows = WECHAT.read_bytes().split(b"\r\n")
    monkeypatch.setattr(base.Reader, "_refuse_repeats", lambda self, batch, hashes: None)
    bill = load(wechat, SAMPLES / "bad/wechat_duplicate_row.csv")
    assert len(rows) > 2
    assert (bill.state, bill.error_code) == ("rejected", "bill.duplicate_row")
    assert "Lines" in bill.error_message
    assert lines_of_day().count() == 0


# --- big files ---


def test_a_big_file_gets_a_partition_of_its_own(wechat, monkeypatch):
    monkeypatch.setattr(services, "OWN_PARTITION_LINES", 5)
    bill = load(wechat, WECHAT)
    assert bill.state == "accepted"
    assert bill.day_file_no == 5000
    lo, hi = line_range(bill)
    assert lo == day_floor(DAY) + 5 * 10**11
    assert BillLine.objects.in_range(lo, hi).count() == 19
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM channels_billline WHERE id = %s", [lo + 1])
        assert cursor.fetchone()[0].endswith("_500000000000")


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: data], ids=["size unknown", "size known"])
def test_whether_a_file_is_big_is_found_out_through_its_packing(wechat, monkeypatch, pack):
    packed = pack(WECHAT.read_bytes())
    monkeypatch.setattr(services, "OWN_PARTITION_LINES", 30)
    small = load(wechat, io.BytesIO(packed))
    monkeypatch.setattr(services, "OWN_PARTITION_LINES", 15)
    big = load(wechat, io.BytesIO(pack(reissued().read())))
    assert (small.day_file_no, big.day_file_no) == (0, 5000)


@pytest.mark.django_db(transaction=True)
def test_bills_of_one_day_load_side_by_side(wechat, alipay, monkeypatch):
    """What is slow is one channel's file, and no other channel waits for it."""
    copy = services.copy_text
    beside = []

    def load_beside(*arguments, **options):
        if not beside:
            beside.append(None)
            with ThreadPoolExecutor(max_workers=1) as thread:
                beside[0] = thread.submit(loaded_apart).result(timeout=30)
        return copy(*arguments, **options)

    def loaded_apart():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
            return load(alipay, SAMPLES / "alipay/20889900112233440156_20261118_业务明细.csv")
        finally:
            connection.close()

    monkeypatch.setattr(services, "copy_text", load_beside)
    slow = load(wechat, WECHAT)
    assert [(bill.state, bill.day_file_no) for bill in (slow, beside[0])] == [("accepted", 0), ("accepted", 1)]


def test_a_file_being_read_is_not_yet_a_version_to_compare_with(wechat):
    first, second = (bill_receive(contract=wechat, channel_date=DAY, stream=stream) for stream in (WECHAT, reissued()))
    services._reserve_number(first.pk)
    first.refresh_from_db()
    assert (first.day_file_no, first.was_read) == (0, False)
    assert version_to_compare(second) is None
    assert bill_parse(first.pk).day_file_no == 0
    assert version_to_compare(second) == first


def test_repeated_rows_of_a_big_file_are_found_among_its_stored_lines(wechat, monkeypatch):
    monkeypatch.setattr(services, "OWN_PARTITION_LINES", 5)
    bill = load(wechat, SAMPLES / "bad/wechat_duplicate_row.csv")
    assert (bill.state, bill.error_code, lines_of_day().count()) == ("rejected", "bill.duplicate_row", 0)


def test_a_rejected_big_file_leaves_no_table(wechat, monkeypatch):
    monkeypatch.setattr(services, "OWN_PARTITION_LINES", 5)
    assert load(wechat, SAMPLES / "bad/wechat_footer_mismatch.csv").state == "rejected"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'channels_billline_p261118_5%%'")
        assert cursor.fetchone()[0] == 0


# --- guards ---


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE channels_billline SET amount = 1 WHERE id >= {lo} AND id < {hi}",
        "DELETE FROM channels_billline WHERE id >= {lo} AND id < {hi}",
        "TRUNCATE channels_billline",
        "TRUNCATE channels_billline_p261118",
    ],
)
def test_bill_lines_are_append_only(wechat, statement):
    lo, hi = line_range(load(wechat, WECHAT))
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(lo=lo, hi=hi))
    assert lines_of_day().count() == 19


def test_two_accepted_files_of_a_day_are_impossible(wechat):
    load(wechat, WECHAT)
    other = bill_receive(contract=wechat, channel_date=DAY, stream=reissued(), name="again.csv")
    with pytest.raises(DatabaseError), transaction.atomic():
        BillFile.objects.filter(pk=other.pk).update(state="accepted")


# --- the command ---


def run(capsys, *arguments):
    """Exit code, standard output, standard error of load_bill."""
    try:
        call_command("load_bill", *map(str, arguments))
        code = 0
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prints_json_and_exits_zero(wechat, capsys):
    code, out, _err = run(capsys, "--channel", "WECHAT", "--date", "2026-11-18", "--json", WECHAT)
    assert code == 0
    result = json.loads(out)
    assert (result["state"], result["lines"], result["proven"]) == ("accepted", 19, True)


def test_the_command_fails_on_a_rejected_file(wechat, capsys):
    bad = SAMPLES / "bad/wechat_footer_mismatch.csv"
    code, out, err = run(capsys, "--channel", "WECHAT", "--date", "2026-11-18", "--json", bad)
    assert code == 1
    assert json.loads(out)["error"]["code"] == "bill.footer_mismatch"
    assert "0.01" in err


def test_the_command_names_the_known_channels(wechat, capsys):
    code, _out, err = run(capsys, "--channel", "NOPE", "--date", "2026-11-18", WECHAT)
    assert code == 1
    assert "NOPE" in err
    assert "WECHAT" in err


def test_the_command_names_a_missing_file(wechat, capsys):
    code, _out, err = run(capsys, "--channel", "WECHAT", "--date", "2026-11-18", "no/such/file.csv")
    assert code == 1
    assert "no/such/file.csv" in err


def test_a_worker_reads_a_received_file(wechat):
    bill = bill_receive(contract=wechat, channel_date=DAY, stream=WECHAT, user="alice")
    job = services.bill_enqueue(bill, user="alice")
    assert services.bill_enqueue(bill).pk == job.pk
    run_now(job.pk)
    job.refresh_from_db()
    bill.refresh_from_db()
    assert (job.state, bill.state, bill.line_count) == ("succeeded", "accepted", 19)
