"""Intake of the payment core's transactions (FORMATS 8): what is taken, changed, refused alone, refused whole."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import zipfile

import pytest
from django.core.management import call_command
from django.db import connection

from payops.accounts import services as ledger
from payops.accounts.models import PostingKey
from payops.accounts.selectors import balance_of
from payops.core.institution import institution_update
from payops.core.partitions import ensure_days
from payops.merchants.models import MerchantProduct
from payops.orders.intake import load as load_module
from payops.orders.models import Intake, OpenTransaction, RefundTotal, Transaction, TransactionKey
from payops.orders.services import post_missing, transactions_load
from tests.orders.conftest import DAY, ndjson, order, refund, transaction

CP = ("3001.01", "channel", "WECHAT")
PENDING = ("2202.01", "merchant", "M-A")
SETTLEMENT = ("2202.02", "merchant", "M-A")
IN_FLIGHT = ("2202.03", "merchant", "M-A")


def as_csv(*rows: dict[str, str], bom: bool = False) -> bytes:
    """The rows as a CSV file with the columns in an order of its own."""
    columns = sorted({name for row in rows for name in row})
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig" if bom else "utf-8")


def take(data: bytes, name: str = "orders.csv") -> Intake:
    return transactions_load(source=io.BytesIO(data), name=name, user="alice")


def reasons(intake: Intake) -> list[tuple[int, str, str]]:
    return [(row["line"], row["field"], row["code"]) for row in intake.refused]


def stored() -> int:
    return Transaction.objects.for_days(DAY - dt.timedelta(days=5), DAY + dt.timedelta(days=1)).count()


# --- a payment ---


def test_a_payment_is_stored_priced_and_booked(load):
    intake = load(order("1"))
    assert intake.state == "loaded", intake.refused
    row = transaction("1")
    assert (row.amount, row.fee, row.expected_cost, row.own_date) == (10_000, 60, 20, DAY)
    assert (row.match_key, row.origin, row.collection) == ("R-1", "intake", "net")
    assert intake.vouchers == 1
    assert balance_of(*PENDING) == balance_of(*CP) == 10_000


def test_an_unknown_payment_is_kept_open_and_not_booked(load):
    load(order("1", status="unknown"))
    row = transaction("1")
    assert row.effective_at is None
    assert OpenTransaction.objects.filter(transaction_id=row.pk).exists()
    assert balance_of(*CP) == 0


def test_a_failed_payment_is_neither_open_nor_booked(load):
    load(order("1", status="failed"))
    assert not OpenTransaction.objects.exists()
    assert balance_of(*CP) == 0


def test_a_void_takes_the_payment_and_its_fee_back(load):
    load(order("1"), order("2", kind="void", original_transaction_no="1"))
    assert transaction("2").fee == -60
    assert balance_of(*PENDING) == balance_of(*CP) == 0


def test_a_topup_and_a_completion_count_like_a_payment(load):
    load(order("1", kind="topup"), order("2", kind="preauth_completion", original_transaction_no="PRE-1"))
    assert balance_of(*CP) == 20_000
    assert transaction("2").extra == {"original_transaction_no": "PRE-1"}


def test_a_topup_is_at_the_merchants_disposal_at_once_and_costs_no_fee(load):
    load(order("1", kind="topup"))
    assert (balance_of(*SETTLEMENT), balance_of(*PENDING)) == (10_000, 0)
    assert (transaction("1").fee, transaction("1").fee_rule_id) == (0, None)


def test_a_refund_of_a_topup_comes_out_of_the_settlement_account_and_returns_no_fee(load):
    load(order("1", kind="topup"), refund("2", "1", "40.00"))
    assert (transaction("2").refund_source, transaction("2").fee) == ("settlement", 0)
    assert (balance_of(*SETTLEMENT), balance_of(*PENDING), balance_of(*CP)) == (6_000, 0, 6_000)


# --- the same again, and later statuses ---


def test_loading_the_same_file_again_changes_nothing(load):
    load(order("1"), refund("2", "1"))
    again = load(order("1"), refund("2", "1"))
    assert (again.created, again.updated, again.unchanged, again.vouchers) == (0, 0, 2, 0)
    assert post_missing(DAY) == {"total": 0}
    assert balance_of(*CP) == 6_000


def test_a_later_status_moves_forward_and_books_once(load):
    load(order("1", status="processing"))
    load(order("1", status="unknown"))
    assert transaction("1").status == "unknown"
    moved = load(order("1", channel_trade_no="42001"))
    assert (moved.updated, moved.vouchers) == (1, 1)
    row = transaction("1")
    assert (row.status, row.channel_trade_no, row.own_date) == ("succeeded", "42001", DAY)
    assert not OpenTransaction.objects.exists()
    assert balance_of(*CP) == 10_000


def test_an_earlier_status_coming_late_changes_nothing(load):
    load(order("1", status="unknown"))
    assert load(order("1", status="processing")).unchanged == 1
    load(order("1"))
    assert load(order("1", status="unknown")).unchanged == 1
    assert transaction("1").status == "succeeded"


def test_several_statuses_in_one_file_collapse_to_the_last(load):
    intake = load(order("1", status="processing"), order("1", status="unknown"), order("1"))
    assert (intake.created, intake.unchanged, intake.refused_count) == (1, 2, 0)
    assert transaction("1").status == "succeeded"


# --- contradictions: refused alone ---


@pytest.mark.parametrize(
    ("change", "field", "value", "was"),
    [
        ({"amount": "100.01"}, "amount", "100.01", "100.00"),
        ({"merchant_no": "M-B"}, "merchant_no", "M-B", "M-A"),
        ({"status": "failed", "succeeded_at": ""}, "status", "failed", "succeeded"),
        ({"channel": "alipay", "channel_account": "20889900112233440156"}, "channel_account",
         "20889900112233440156", "1699999901"),
        ({"kind": "topup"}, "kind", "topup", "payment"),
        ({"channel_request_no": "R-9"}, "channel_request_no", "R-9", "R-1"),
    ],
)  # fmt: skip
def test_a_row_against_a_final_one_is_refused_alone_with_both_values(load, change, field, value, was):
    load(order("1"))
    intake = load(order("1", **change), order("2"))
    assert (intake.state, intake.created, intake.refused_count) == ("loaded", 1, 1)
    refused = intake.refused[0]
    assert (refused["line"], refused["field"], refused["value"], refused["stored"]) == (1, field, value, was)
    assert transaction("1").amount == 10_000
    assert balance_of(*CP) == 20_000


def test_two_rows_of_one_number_that_contradict_keep_the_first(load):
    intake = load(order("1"), order("1", amount="7.00"))
    assert (intake.created, intake.refused_count) == (1, 1)
    assert (intake.refused[0]["line"], intake.refused[0]["stored"]) == (2, "100.00")


# --- invalid rows: the whole file is refused ---


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"amount": "1.005"}, "amount", "intake.too_many_decimals"),
        ({"amount": "0"}, "amount", "intake.amount_not_positive"),
        ({"amount": "-1.00"}, "amount", "intake.amount_not_positive"),
        ({"amount": "12,34.50"}, "amount", "intake.not_an_amount"),
        ({"merchant_no": "M-X"}, "merchant_no", "intake.unknown_merchant"),
        ({"product": "card"}, "product", "intake.unknown_product"),
        ({"channel": "nope"}, "channel", "intake.unknown_channel"),
        ({"channel_account": "1"}, "channel_account", "intake.unknown_channel_account"),
        ({"currency": "XXX"}, "currency", "intake.unknown_currency"),
        ({"currency": "USD"}, "currency", "intake.wrong_currency"),
        ({"kind": "gift"}, "kind", "intake.unknown_kind"),
        ({"status": "paid"}, "status", "intake.unknown_status"),
        ({"card_type": "gold"}, "card_type", "intake.unknown_card_type"),
        ({"created_at": "20/11/2026"}, "created_at", "intake.bad_time"),
        ({"created_at": "2026-11-20"}, "created_at", "intake.bad_time"),
        ({"created_at": "2027-11-20T10:00:00", "succeeded_at": "2027-11-20T10:00:00"}, "created_at", "intake.future"),
        ({"succeeded_at": ""}, "succeeded_at", "intake.time_missing"),
        ({"succeeded_at": "2026-11-19T10:00:00"}, "succeeded_at", "intake.before_created"),
        ({"transaction_no": ""}, "transaction_no", "intake.bad_number"),
        ({"transaction_no": "a\tb"}, "transaction_no", "intake.bad_number"),
        ({"channel_request_no": "x" * 65}, "channel_request_no", "intake.bad_number"),
        ({"payer": "a\x00b"}, "payer", "intake.bad_text"),
        ({"kind": "refund"}, "original_transaction_no", "intake.original_missing"),
        ({"original_transaction_no": "9"}, "original_transaction_no", "intake.original_not_expected"),
        ({"extra": [1]}, "extra", "intake.not_json"),
        ({"colour": "red"}, "colour", "intake.unknown_field"),
        ({"amount": True}, "amount", "intake.not_text"),
    ],
)
def test_an_invalid_row_refuses_the_whole_file(load, change, field, code):
    intake = load(order("1"), order("2", **change))
    assert (intake.state, intake.refused_count) == ("refused", 1)
    assert reasons(intake) == [(2, field, code)]
    assert intake.refused[0]["reason"]
    assert (stored(), TransactionKey.objects.count(), balance_of(*CP)) == (0, 0, 0)


def test_every_invalid_row_is_listed_with_line_field_and_value(load):
    intake = load(order("1", amount="1.005"), order("2"), order("3", merchant_no="M-X"), refund("4", "2", "500.00"))
    assert reasons(intake) == [
        (1, "amount", "intake.too_many_decimals"),
        (3, "merchant_no", "intake.unknown_merchant"),
        (4, "amount", "intake.refund_above_paid"),
    ]
    assert [row["value"] for row in intake.refused] == ["1.005", "M-X", "500.00"]


def test_more_invalid_rows_than_are_listed_are_counted(load, monkeypatch):
    monkeypatch.setattr(load_module, "MAX_LISTED", 3)
    intake = load(*(order(str(number), amount="x") for number in range(5)))
    assert (len(intake.refused), intake.refused_count) == (3, 5)


def test_a_product_without_a_fee_rule_says_which_package(load, world):
    from payops.fees.models import FeeRule

    FeeRule.objects.all().delete()
    intake = load(order("1"))
    assert reasons(intake) == [(1, "product", "intake.no_rule")]
    assert "STD" in intake.refused[0]["reason"]


# --- refunds ---


def test_a_refund_is_tied_to_its_original_and_returns_fee_pro_rata(load):
    load(order("1"), refund("2", "1", "40.00"))
    row, original = transaction("2"), transaction("1")
    assert (row.original_id, row.fee, row.expected_cost, row.refund_source) == (original.pk, -24, -8, "pending")
    assert balance_of(*PENDING) == balance_of(*CP) == 6_000
    assert balance_of(*IN_FLIGHT) == 0


def test_partial_refunds_return_exactly_the_fee_in_the_end(load):
    load(order("1", amount="1.00"), *(refund(f"r{n}", "1", "0.33") for n in range(3)))
    load(refund("last", "1", "0.01"))
    fees = [transaction(number).fee for number in ("r0", "r1", "r2", "last")]
    assert sum(fees) == -transaction("1").fee == -1
    total = RefundTotal.objects.get()
    assert (total.refunded, total.paid, total.returned_fee) == (100, 100, 1)


def test_a_refund_may_stand_before_its_original_in_the_file(load):
    assert load(refund("2", "1"), order("1")).state == "loaded"


def test_a_refund_of_an_earlier_day_finds_its_original(load):
    load(order("1"))
    ledger.day_cut_off(DAY)
    load(refund("2", "1", created_at="2026-11-21T09:00:00", succeeded_at="2026-11-21T09:00:01"))
    row = transaction("2")
    assert (row.original_id, row.own_date) == (transaction("1").pk, DAY + dt.timedelta(days=1))


def test_a_refund_returns_its_fee_the_way_that_of_its_payment_is_collected(load, world):
    MerchantProduct.objects.update(collection="gross")
    load(order("1"))
    MerchantProduct.objects.update(collection="net")
    load(order("2"), refund("3", "1"), refund("4", "2"))
    assert [transaction(number).collection for number in "1234"] == ["gross", "net", "gross", "net"]


def test_a_refund_above_the_paid_amount_is_an_error_with_all_figures(load):
    load(order("1"), refund("2", "1", "60.00"))
    intake = load(refund("3", "1", "40.01"))
    assert intake.state == "refused"
    for figure in ("40.01", "100.00", "60.00"):
        assert figure in intake.refused[0]["reason"]
    assert RefundTotal.objects.get().refunded == 6_000


def test_refunds_of_one_file_are_summed(load):
    intake = load(order("1"), refund("2", "1", "60.00"), refund("3", "1", "40.00"), refund("4", "1", "0.01"))
    assert reasons(intake) == [(4, "amount", "intake.refund_above_paid")]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([refund("2", "0")], "intake.original_unknown"),
        ([order("1"), refund("2", "1"), refund("3", "2", "1.00")], "intake.original_not_payment"),
        ([order("1"), refund("2", "1", merchant_no="M-B")], "intake.original_other_merchant"),
        ([order("1"), refund("2", "1", channel="alipay", channel_account="20889900112233440156")],
         "intake.original_other_channel"),
        ([order("1", status="failed"), refund("2", "1")], "intake.original_not_paid"),
        ([order("1"), order("2", kind="void", original_transaction_no="1", amount="50.00")], "intake.void_not_full"),
    ],
)  # fmt: skip
def test_a_refund_that_does_not_fit_its_original_is_an_error(load, rows, code):
    intake = load(*rows)
    assert intake.state == "refused"
    assert code in [row["code"] for row in intake.refused]
    assert stored() == 0


def test_a_refund_that_failed_frees_its_part_and_waits_for_confirmation(load):
    load(order("1"), refund("2", "1", "100.00", status="unknown"))
    assert balance_of(*IN_FLIGHT) == 10_000
    intake = load(refund("2", "1", "100.00", status="failed"), refund("3", "1", "100.00"))
    assert intake.state == "loaded", intake.refused
    assert RefundTotal.objects.get().refunded == 10_000
    assert RefundTotal.objects.get().returned_fee == 60
    # Pre-failed: the first refund stays in flight until reconciliation confirms.
    assert balance_of(*IN_FLIGHT) == 10_000


def test_with_acceptance_a_refund_counts_as_soon_as_it_is_processing(load):
    load(order("1"), refund("2", "1", status="processing"))
    assert transaction("2").effective_at == transaction("2").created_at
    assert balance_of(*CP) == 6_000
    load(refund("2", "1", succeeded_at="2026-11-20T23:00:00"))
    assert transaction("2").effective_at == transaction("2").created_at
    assert balance_of(*CP) == 6_000


def test_with_completion_a_refund_is_in_flight_until_it_succeeded(load):
    alipay = {"channel": "alipay", "channel_account": "20889900112233440156"}
    load(order("1", **alipay), refund("2", "1", status="processing", **alipay))
    assert balance_of(*IN_FLIGHT) == 4_000
    assert balance_of("3001.01", "channel", "ALIPAY") == 10_000
    load(refund("2", "1", **alipay))
    assert balance_of(*IN_FLIGHT) == 0
    assert balance_of("3001.01", "channel", "ALIPAY") == 6_000


def test_a_taken_refund_that_fails_comes_back_as_a_movement_of_its_own(load):
    load(order("1"), refund("2", "1", status="processing"))
    load(refund("2", "1", status="failed"))
    returned = Transaction.objects.for_days(DAY).get(origin="refund_return")
    taken = transaction("2")
    assert (returned.amount, returned.fee, returned.original_id, returned.own_date) == (4_000, 24, taken.pk, DAY)
    assert taken.effective_at is not None
    assert balance_of(*CP) == balance_of(*PENDING) == 10_000
    assert balance_of(*IN_FLIGHT) == 0
    assert load(refund("2", "1", status="failed")).unchanged == 1
    assert Transaction.objects.for_days(DAY).filter(origin="refund_return").count() == 1


# --- days ---


def test_a_fact_of_a_closed_day_counts_on_the_open_day(load):
    ledger.day_cut_off(DAY)
    ledger.close_day(DAY)
    load(order("1"))
    row = transaction("1")
    assert (row.own_date, row.business_date) == (DAY + dt.timedelta(days=1), DAY)
    assert balance_of(*CP) == 10_000


def test_a_fact_of_a_day_cut_off_is_still_booked_on_it(load):
    ledger.day_cut_off(DAY)
    load(order("1"))
    key = PostingKey.objects.get(source_id=transaction("1").pk)
    assert transaction("1").own_date == DAY
    assert key.voucher_id // 10**12 == 261120


def test_a_fact_after_the_cut_off_belongs_to_the_next_day_and_waits_for_it(load):
    institution_update(name="Test", own_cut_off=dt.time(23, 0))
    load(order("1", succeeded_at="2026-11-20T23:00:00"), order("2", succeeded_at="2026-11-20T22:59:59"))
    assert transaction("1").own_date == DAY + dt.timedelta(days=1)
    assert transaction("2").own_date == DAY
    assert balance_of(*CP) == 10_000
    ledger.day_cut_off(DAY)
    assert post_missing(DAY + dt.timedelta(days=1)) == {"payment": 1, "total": 1}
    assert balance_of(*CP) == 20_000


def test_a_time_with_another_offset_is_the_same_instant(load):
    load(order("1", created_at="2026-11-19T23:00:00Z", succeeded_at="2026-11-19T23:00:05Z"))
    assert transaction("1").own_date == DAY


def test_missing_vouchers_are_found_again_after_any_interruption(load, monkeypatch):
    monkeypatch.setattr(load_module._Load, "_post", lambda self: None)
    load(order("1"), refund("2", "1"))
    assert balance_of(*CP) == 0
    assert post_missing(DAY)["total"] == 3
    assert post_missing(DAY)["total"] == 0
    assert balance_of(*CP) == 6_000


def test_a_row_far_from_its_day_of_receipt_stands_in_the_open_list(load):
    ensure_days(DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=10))
    load(order("1", created_at="2026-11-28T10:00:00", succeeded_at="2026-11-28T10:00:00"))
    assert OpenTransaction.objects.get().own_date == dt.date(2026, 11, 28)


def test_without_an_open_day_the_error_says_what_to_do(db):
    from payops.core.errors import PayopsError

    with pytest.raises(PayopsError) as caught:
        transactions_load(source=ndjson(order("1")), name="orders.ndjson")
    assert caught.value.code == "orders.no_open_day"


# --- files ---


def test_csv_takes_columns_in_any_order_with_and_without_bom(world):
    assert take(as_csv(order("1"), order("2"))).created == 2
    assert take(as_csv(order("3"), bom=True)).created == 1
    assert take(as_csv(order("1"), order("2"))).unchanged == 2


def test_gzip_and_zip_are_unpacked(world):
    data = as_csv(order("1"))
    assert take(gzip.compress(data), "orders.csv.gz").created == 1
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("orders.csv", as_csv(order("2")))
    assert take(packed.getvalue(), "orders.zip").created == 1


def test_numbers_in_json_are_exact(load):
    load(order("1", amount=12.30), order("2", amount=7))
    assert (transaction("1").amount, transaction("2").amount) == (1_230, 700)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "intake.empty"),
        (b"a,b,c\n1,2,3\n", "intake.bad_header"),
        (as_csv(order("1")).replace(b"payer", b"payor").replace(b"card_type", b"cart_type"), "intake.bad_header"),
        (as_csv(order("1", merchant_order_no="单")).decode().encode("gbk"), "intake.not_utf8"),
        (gzip.compress(as_csv(order("1")))[:-20], "intake.damaged_archive"),
        (gzip.compress(b"0" * (100 << 20)), "intake.too_large"),
        (b"\x00\xff" * 1000, "intake.not_utf8"),
    ],
)
def test_a_file_that_is_no_intake_file_is_refused(world, data, code):
    intake = take(data)
    assert (intake.state, [row["code"] for row in intake.refused]) == ("refused", [code])
    assert stored() == 0


def test_a_row_of_the_wrong_width_is_named(world):
    intake = take(as_csv(order("1")) + b"a,b\n")
    assert reasons(intake) == [(3, "", "intake.wrong_width")]


def test_a_line_that_is_no_json_is_named(world):
    intake = transactions_load(source=io.BytesIO(ndjson(order("1")).getvalue() + b"{broken\n"), name="x")
    assert reasons(intake) == [(2, "", "intake.not_json")]


def test_backslashes_quotes_and_line_breaks_in_text_arrive_as_they_are(load):
    load(order("1", merchant_order_no='a\\b"c', payer="张*\\N", extra={"note": "line\nbreak\t\\"}))
    row = transaction("1")
    assert (row.merchant_order_no, row.payer, row.extra) == ('a\\b"c', "张*\\N", {"note": "line\nbreak\t\\"})


def test_the_number_of_queries_does_not_grow_with_the_file(load, django_assert_max_num_queries):
    with django_assert_max_num_queries(90):
        load(*(order(str(number)) for number in range(300)))


# --- the command ---


def run(capsys, *arguments):
    try:
        call_command("load_orders", *map(str, arguments))
        code = 0
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prints_json(world, tmp_path, capsys):
    path = tmp_path / "orders.csv"
    path.write_bytes(as_csv(order("1")))
    code, out, _err = run(capsys, path, "--json")
    assert code == 0
    assert json.loads(out)["created"] == 1


def test_the_command_fails_and_names_line_field_and_value(world, tmp_path, capsys):
    path = tmp_path / "orders.csv"
    path.write_bytes(as_csv(order("1", amount="1.005")))
    code, _out, err = run(capsys, path)
    assert code == 1
    for part in ("line 2", "amount", "1.005"):
        assert part in err


def test_the_command_names_a_missing_file(world, capsys):
    code, _out, err = run(capsys, "no/such.csv")
    assert code == 1
    assert "no/such.csv" in err


def test_nothing_is_left_of_a_load_that_was_interrupted(load, monkeypatch):
    def broken(self):
        raise RuntimeError("killed")

    monkeypatch.setattr(load_module._Load, "_post", broken)
    with pytest.raises(RuntimeError):
        load(order("1"))
    assert (stored(), TransactionKey.objects.count(), Intake.objects.count()) == (0, 0, 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pg_temp.intake_row')")
        assert cursor.fetchone()[0] is None
