"""Statements of the bank into bank lines: proven whole, joined to their neighbours, taken whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction

from payops.channels.models import BankAccount, BankLine, BankStatement
from payops.channels.receipts.services import receipts_load
from payops.channels.statements import StatementError

SAMPLES = Path(__file__).parents[2] / "samples"
CAMT = SAMPLES / "bank" / "camt053_001_02_20261118.xml"
SWIFT = SAMPLES / "bank" / "mt940_20261118_swift_blocks.sta"
BAD = sorted(path.name for path in (SAMPLES / "bad").iterdir() if path.name.startswith(("camt", "mt940")))
CSV = "bank_account,value_date,bank_reference,counterparty,memo,direction,amount,currency,balance\r\n"
NEXT = """:20:STMT
:25:31050170999900000001
:28C:323
:60F:C261118CNY2223375,42
:61:2611191119C0,58NTRFNONREF//BNK26111900001
:62F:C261119CNY2223376,00
"""

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def reserve(db):
    return BankAccount.objects.create(code="RSV", bank_name="Bank", account_no="31050170999900000001", kind="reserve")


def load(data: Path | bytes | str):
    content = data.read_bytes() if isinstance(data, Path) else data.encode() if isinstance(data, str) else data
    return receipts_load(stream=io.BytesIO(content), name="bank.file", user="alice")


def refused(data) -> StatementError:
    with pytest.raises(StatementError) as caught:
        load(data)
    return caught.value


@pytest.mark.parametrize(("path", "kind", "lines"), [(CAMT, "camt.053", 14), (SWIFT, "MT940", 12)])
def test_a_statement_becomes_bank_lines_that_add_up(path, kind, lines, reserve):
    result = load(path)
    assert (result.state, result.format, result.created, result.refused_count) == ("loaded", kind, lines, 0)
    statement = BankStatement.objects.get()
    assert (statement.bank_account, statement.number, statement.entry_count) == (reserve, "322", 12)
    assert sum(line.amount for line in BankLine.objects.all()) == statement.closing - statement.opening


def test_announced_entries_are_kept_with_the_statement_and_are_no_lines():
    load(CAMT)
    assert [entry["reference"] for entry in BankStatement.objects.get().pending] == ["BNK26111800013"]
    assert not BankLine.objects.filter(reference="BNK26111800013").exists()


def test_loading_again_changes_nothing():
    load(CAMT)
    again = load(CAMT)
    assert (again.created, again.unchanged) == (0, 14)
    assert (BankStatement.objects.count(), BankLine.objects.count()) == (1, 14)


@pytest.mark.parametrize(("first", "second"), [(CAMT, SWIFT), (SWIFT, CAMT)])
def test_the_same_statement_in_the_other_form_is_known(first, second):
    created = load(first).created
    assert load(second).created == 0
    assert BankLine.objects.count() == created


def test_lines_known_from_a_csv_are_not_loaded_twice():
    row = "RSV,2026-11-18,BNK26111800001,,SETTLE,in,3101.25,CNY,\r\n"
    load(CSV + row)
    assert load(CAMT).unchanged == 1
    assert BankLine.objects.filter(reference="BNK26111800001").count() == 1


def test_a_line_recorded_with_another_amount_refuses_the_whole_statement():
    load(CSV + "RSV,2026-11-18,BNK26111800001,,SETTLE,in,3101.26,CNY,\r\n")
    result = load(CAMT)
    assert (result.state, result.created, result.refused[0]["field"]) == ("refused", 0, "amount")
    assert (BankLine.objects.count(), BankStatement.objects.count()) == (1, 0)


def test_a_batch_recorded_whole_is_never_recorded_again_in_parts():
    load(CSV + "RSV,2026-11-18,BNK26111800005,,PAYOUT,out,85000.00,CNY,\r\n")
    result = load(CAMT)
    assert (result.state, result.refused_count) == ("refused", 3)
    assert {fault["code"] for fault in result.refused} == {"receipts.split_differs"}
    assert BankLine.objects.count() == 1


def test_a_batch_recorded_in_parts_is_never_recorded_again_whole():
    load(CAMT)
    result = load(CSV + "RSV,2026-11-18,BNK26111800005,,PAYOUT,out,85000.00,CNY,\r\n")
    assert (result.created, result.refused[0]["code"]) == (0, "receipts.split_differs")


def test_the_account_must_be_ours():
    BankAccount.objects.update(account_no="622200001")
    error = refused(CAMT)
    assert error.code == "statement.unknown_account"
    assert BankStatement.objects.count() == 0


def test_the_account_must_be_kept_in_the_statements_currency():
    BankAccount.objects.update(currency="USD")
    assert refused(SWIFT).code == "statement.currency"


def test_consecutive_statements_join_whichever_comes_first():
    load(NEXT)
    assert load(SWIFT).state == "loaded"
    assert BankStatement.objects.count() == 2


@pytest.mark.parametrize("order", [(SWIFT, "later"), ("later", SWIFT)])
def test_consecutive_statements_that_do_not_join_are_refused(order):
    later = NEXT.replace("2223375,42", "2223375,41").replace("0,58", "0,59")
    first, second = (later if part == "later" else part for part in order)
    load(first)
    assert refused(second).code == "statement.chain"
    assert BankStatement.objects.count() == 1


def test_a_gap_between_statements_is_said_and_does_not_stop_them():
    load(SWIFT)
    result = load(NEXT.replace(":28C:323", ":28C:325").replace("2223375,42", "5,00").replace("2223376,00", "5,58"))
    assert result.state == "loaded"
    assert "325" in result.warnings[0]


def test_a_number_known_with_other_figures_is_refused():
    load(NEXT)
    assert refused(NEXT.replace("0,58", "1,58").replace("2223376,00", "2223377,00")).code == "statement.contradiction"


def test_a_packed_statement_is_unpacked():
    assert load(gzip.compress(CAMT.read_bytes())).created == 14


@pytest.mark.parametrize("name", BAD)
def test_a_bad_statement_leaves_nothing_behind(name):
    refused(SAMPLES / "bad" / name)
    assert (BankLine.objects.count(), BankStatement.objects.count()) == (0, 0)


def test_a_statement_whose_last_page_is_missing_leaves_nothing_behind():
    text = SWIFT.read_text(encoding="ascii")
    refused(text[: text.index("{1:", 10)])
    assert BankLine.objects.count() == 0


def test_the_command_reads_statements_too(capsys):
    call_command("load_receipts", str(CAMT), "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["created"], told["statements"][0]["closing"]) == ("camt.053", 14, 222_337_542)


# --- the database's own guards ---


def test_the_database_refuses_a_statement_that_does_not_add_up(reserve):
    with pytest.raises(IntegrityError), transaction.atomic():
        BankStatement.objects.create(
            bank_account=reserve, statement_date="2026-11-18", number="1", opening=0, credits=5, debits=0, closing=6,
            currency="CNY", entry_count=1, sha256="x",
        )  # fmt: skip


@pytest.mark.parametrize("statement", [
    "UPDATE channels_bankstatement SET closing = closing + 1, credits = credits + 1",
    "DELETE FROM channels_bankstatement",
    "TRUNCATE channels_bankstatement",
])  # fmt: skip
def test_the_database_never_changes_a_statement(statement):
    load(CAMT)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert BankStatement.objects.get().closing == 222_337_542


# --- where a line came from -------------------------------------------------------------------------------------------


def test_a_line_names_its_statement_its_file_and_its_row():
    result = load(CAMT)
    first = BankLine.objects.order_by("id").first()
    assert first.statement == BankStatement.objects.get()
    assert (first.file_name, first.file_sha256, first.file_row) == ("bank.file", result.sha256, 1)


def test_a_line_of_a_csv_names_its_row_and_gets_the_statement_that_proves_it():
    csv_file = load(CSV + "RSV,2026-11-18,BNK26111800001,,SETTLE,in,3101.25,CNY,\r\n")
    line = BankLine.objects.get()
    assert (line.statement, line.file_sha256, line.file_row) == (None, csv_file.sha256, 2)
    load(CAMT)
    line.refresh_from_db()
    assert (line.statement, line.file_sha256) == (BankStatement.objects.get(), csv_file.sha256)


def test_a_refused_statement_proves_no_line():
    load(CSV + "RSV,2026-11-18,BNK26111800001,,SETTLE,in,3101.26,CNY,\r\n")
    load(CAMT)
    assert BankLine.objects.get().statement is None


@pytest.mark.parametrize(
    "change", ["file_name = 'x'", "file_sha256 = 'x'", "file_row = 99", "statement_id = NULL", "bank_account_id = %s"]
)
def test_the_database_lets_no_line_forget_where_it_came_from(change):
    load(CAMT)
    other = BankAccount.objects.create(code="RSV2", bank_name="Bank", account_no="2", kind="reserve")
    values = [other.pk] if "%s" in change else []
    with pytest.raises(DatabaseError, match="bank line"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE channels_bankline SET {change}", values)


def test_the_database_refuses_the_statement_of_another_account():
    load(CAMT)
    other = BankAccount.objects.create(code="RSV2", bank_name="Bank", account_no="2", kind="reserve")
    with pytest.raises(DatabaseError, match="another account"), transaction.atomic():
        BankLine.objects.create(
            bank_account=other, value_date="2026-11-18", reference="X", amount=1, currency="CNY",
            statement=BankStatement.objects.get(),
        )  # fmt: skip
