"""Bank receipts (FORMATS 8)."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command

from payops.channels.models import BankAccount, BankLine
from payops.channels.receipts.services import receipts_load
from payops.core.errors import PayopsError

HEADER = "bank_account,value_date,bank_reference,counterparty,memo,direction,amount,currency,balance"
ROW = "RSV,2026-11-20,B1,财付通,SETTLE 20261119,in,1234.50,CNY,9999.00"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def reserve(db):
    return BankAccount.objects.create(code="RSV", bank_name="Bank", account_no="622200001", kind="reserve")


def load(*rows: str, header: str = HEADER):
    return receipts_load(stream=io.BytesIO("\r\n".join([header, *rows]).encode("utf-8-sig")), name="bank.csv", user="a")


def test_a_receipt_becomes_a_new_line_with_its_sign():
    result = load(ROW, "RSV,2026-11-20,B2,,,out,10.00,CNY,")
    assert (result.state, result.created) == ("loaded", 2)
    first, second = BankLine.objects.order_by("reference")
    assert (first.amount, first.balance, first.state, first.kind) == (123_450, 999_900, "new", "other")
    assert (second.amount, second.balance) == (-1_000, None)


def test_loading_again_changes_nothing():
    load(ROW)
    again = load(ROW)
    assert (again.created, again.unchanged, again.refused_count) == (0, 1, 0)
    assert BankLine.objects.count() == 1


def test_the_same_reference_on_another_account_is_another_line():
    BankAccount.objects.create(code="OWN", bank_name="Bank", account_no="622200002", kind="own")
    assert load(ROW, ROW.replace("RSV", "OWN")).created == 2


def test_an_account_is_known_by_its_number_too():
    assert load(ROW.replace("RSV", "622200001")).created == 1


def test_a_differing_repeat_is_refused_alone_with_both_values():
    load(ROW)
    result = load(ROW.replace("1234.50", "1234.51"), ROW.replace("B1", "B2"))
    assert (result.state, result.created, result.refused_count) == ("loaded", 1, 1)
    refused = result.refused[0]
    assert (refused["line"], refused["field"]) == (2, "amount")
    assert (refused["value"], refused["stored"]) == ("1,234.51", "1,234.50")
    assert BankLine.objects.get(reference="B1").amount == 123_450


def test_two_rows_of_one_file_with_one_reference():
    result = load(ROW, ROW, ROW.replace("1234.50", "5.00"))
    assert (result.created, result.unchanged, result.refused_count) == (1, 1, 1)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("RSV", "NOPE", "bank_account"),
        ("2026-11-20", "20.11.2026", "value_date"),
        ("1234.50", "1234.505", "amount"),
        ("1234.50", "-1.00", "amount"),
        (",in,", ",sideways,", "direction"),
        ("CNY", "USD", "currency"),
        (",B1,", ",,", "bank_reference"),
        ("9999.00", "x", "balance"),
    ],
)
def test_an_invalid_row_refuses_the_whole_file(old, new, field):
    result = load(ROW.replace("B1", "B0"), ROW.replace(old, new, 1))
    assert (result.state, [(row["line"], row["field"]) for row in result.refused]) == ("refused", [(3, field)])
    assert BankLine.objects.count() == 0


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", "甲".encode("gbk"), b"\x00" * 5000])
def test_a_file_that_is_no_receipts_file_is_an_error(data):
    with pytest.raises(PayopsError):
        receipts_load(stream=io.BytesIO(data), name="x.csv")


def test_columns_may_come_in_any_order():
    names = HEADER.split(",")
    cells = dict(zip(names, ROW.split(","), strict=True))
    mixed = sorted(names)
    assert load(",".join(cells[name] for name in mixed), header=",".join(mixed)).created == 1


def test_the_command_prints_json_and_fails_on_invalid_rows(tmp_path, capsys):
    path = tmp_path / "bank.csv"
    path.write_text(f"{HEADER}\n{ROW}\n", encoding="utf-8")
    call_command("load_receipts", str(path), "--json")
    assert json.loads(capsys.readouterr().out)["created"] == 1
    path.write_text(f"{HEADER}\n{ROW.replace('CNY', 'XXX')}\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        call_command("load_receipts", str(path))
    assert stop.value.code == 1
    assert "XXX" in capsys.readouterr().err
