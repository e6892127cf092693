"""What PostgreSQL itself refuses, whoever asks: attacked by raw SQL (docs/reconciliation.md names each)."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, connection, transaction

from payops.reconciliation.funds import funds_check
from payops.reconciliation.models import MatchLink, OpenItem, ReconRun, RunVoucher
from tests.reconciliation.builders import MON, TUE, Town, line, pay


@pytest.fixture
def busy(town: Town) -> Town:
    """Two runs of Monday, one of Tuesday, items live and cleared, a link."""
    orders = [pay("1", MON), pay("2", MON, "22:55:00"), pay("3", MON)]
    town.day(MON, orders, [line("R-9", MON), line("R-3", MON, amount=9_000)])
    town.run(MON)
    town.day(TUE, lines=[line("R-2", TUE, "00:00:30")])
    return town


def refused(statement: str, *params: object) -> str:
    """The name of the constraint that stops the statement."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, params)
    return caught.value.__cause__.diag.constraint_name


def copy_of(item: OpenItem, **changes: object) -> None:
    """A second row like the item, past every service."""
    item.pk = None
    for name, value in changes.items():
        setattr(item, name, value)
    item.save(force_insert=True)


@pytest.mark.parametrize(("key", "name"), [("R-1", "open_item_one_per_transaction"), ("R-9", "open_item_one_per_line")])
def test_a_row_has_at_most_one_live_item(busy: Town, key: str, name: str) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        copy_of(OpenItem.objects.get(match_key=key, state="definite"), identity="another")


def test_a_pair_claims_both_its_rows(busy: Town) -> None:
    with pytest.raises(IntegrityError, match="open_item_one_per_transaction"), transaction.atomic():
        copy_of(OpenItem.objects.get(side="pair"), bill_line_id=None)
    with pytest.raises(IntegrityError, match="open_item_one_per_line"), transaction.atomic():
        copy_of(OpenItem.objects.get(side="pair"), transaction_id=None)


def test_an_ended_item_cannot_come_back_beside_a_live_one(busy: Town) -> None:
    live = OpenItem.objects.get(match_key="R-1", state="definite")
    copy_of(OpenItem.objects.get(pk=live.pk), state="withdrawn")
    statement = "UPDATE reconciliation_openitem SET state = 'definite' WHERE state = 'withdrawn'"
    assert refused(statement) == "open_item_one_per_transaction"


def test_an_item_is_cleared_only_by_a_run_and_on_a_date(busy: Town) -> None:
    statement = "UPDATE reconciliation_openitem SET state = 'cleared' WHERE match_key = 'R-1'"
    assert refused(statement) == "open_item_cleared_by_a_run"


@pytest.mark.parametrize(
    ("own", "bill"), [("transaction_id", "bill_line_id + 1"), ("transaction_id + 1", "bill_line_id")]
)
def test_a_transaction_and_a_line_are_linked_once(busy: Town, own: str, bill: str) -> None:
    name = refused(
        "INSERT INTO reconciliation_matchlink (contract_id, transaction_id, bill_line_id, run_id, why)"
        f" SELECT contract_id, {own}, {bill}, run_id, 'by hand' FROM reconciliation_matchlink"
    )
    assert name.startswith("reconciliation_matchlink_")


def test_a_link_goes_only_with_what_it_cleared(busy: Town) -> None:
    statement = "DELETE FROM reconciliation_matchlink; SET CONSTRAINTS ALL IMMEDIATE"
    assert refused(statement) == "match_link_goes_with_its_item"
    assert "no_truncate" in triggers_of("reconciliation_matchlink")
    # A run that no longer finds the other half takes both away.
    busy.bill(TUE)
    busy.run(TUE)
    assert not MatchLink.objects.exists()


def triggers_of(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass", [table])
        return {name for (name,) in cursor.fetchall()}


def test_a_day_has_one_current_run(busy: Town) -> None:
    statement = "UPDATE reconciliation_reconrun SET is_current = true WHERE channel_date = %s"
    assert refused(statement, MON) == "recon_run_one_current"


def test_only_a_complete_run_is_current(busy: Town) -> None:
    run = ReconRun.objects.get(is_current=True, channel_date=TUE)
    run.pk, run.run_no, run.state = None, 9, "running"
    with pytest.raises(IntegrityError, match="recon_run_current_is_complete"), transaction.atomic():
        run.save(force_insert=True)


def test_a_run_number_is_used_once(busy: Town) -> None:
    run = ReconRun.objects.get(is_current=True, channel_date=MON)
    run.pk, run.is_current = None, False
    with pytest.raises(IntegrityError, match="recon_run_number"), transaction.atomic():
        run.save(force_insert=True)


@pytest.mark.parametrize(
    "table", ["reconrun", "reconresult", "runvoucher", "openitem", "channelreceipt", "receiptdifference"]
)
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_runs_found_and_booked_is_never_removed(busy: Town, table: str, statement: str) -> None:
    check_receipt(busy)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
            cursor.execute(statement.format(f"reconciliation_{table}"))


@pytest.mark.parametrize(
    "change",
    [
        "reconrun SET results = '{}'",
        "reconrun SET state = 'failed', is_current = false",
        "reconrun SET file_id = file_id + 1",
        "reconresult SET d = d + 1",
        "runvoucher SET amounts = '{}'",
        "runvoucher SET voucher_id = NULL",
        "receiptdifference SET amount = amount + 1",
    ],
)
def test_what_a_run_found_and_booked_never_changes(busy: Town, change: str) -> None:
    check_receipt(busy)
    with pytest.raises(IntegrityError, match="never change"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE reconciliation_{change}")


def check_receipt(town: Town) -> None:
    """Money that did not come: a receipt difference is booked."""
    funds_check(day=town.seen[-1].channel_date + dt.timedelta(days=7))


def test_a_run_voucher_is_posted_once_whatever_asks(busy: Town) -> None:
    record = RunVoucher.objects.exclude(voucher_id=None).first()
    statement = "INSERT INTO accounts_postingkey (event, source_id, voucher_id) VALUES (%s, %s, %s)"
    assert refused(statement, record.event, record.pk, record.voucher_id) == "accounts_postingkey_pkey"


@pytest.mark.parametrize("change", ["d = d + 1", "fee_claim = 1", "first_date = first_date - 1", "currency = 'USD'"])
def test_what_an_item_was_found_with_never_changes(busy: Town, change: str) -> None:
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE reconciliation_openitem SET {change}")
