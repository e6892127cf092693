"""Intake of what refers to archived days: nothing is lost or taken twice, and the answer says what brings them back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from payops.accounts import services as ledger
from payops.core import archive
from payops.core.errors import PayopsError
from payops.core.models import ArchivedPartition
from payops.orders.intake import load as load_module
from payops.orders.models import Intake, RefundTotal, Transaction, TransactionKey
from payops.orders.services import transaction_recover
from tests.orders.conftest import DAY, order, refund, transaction

Load = Callable[..., Intake]
SATURDAY = DAY + dt.timedelta(days=1)
LATER = {"created_at": f"{SATURDAY}T10:00:00", "succeeded_at": f"{SATURDAY}T10:00:05"}


@pytest.fixture
def long_ago(load: Load) -> ArchivedPartition:
    """Friday is in the archive by now: payments 1 and 2 of 100.00, and a refund of 2 for 40.00."""
    assert not load(order("1"), order("2"), refund("3", "2")).refused
    ledger.day_cut_off(DAY)
    ledger.close_day(DAY)
    return put_away()


def put_away() -> ArchivedPartition:
    """What `archive_partitions` does with Friday."""
    connection.check_constraints()
    (partition,) = [each for each in archive.partitions_of(Transaction) if each.day == DAY]
    return archive.partition_archive(partition, by="alice")


def brought_back(row: ArchivedPartition) -> None:
    """What `restore_partition` does."""
    archive.partition_restore(Transaction, row, by="bob")


def test_an_archived_payment_sent_again_is_refused_alone_and_the_rest_is_taken(
    load: Load, long_ago: ArchivedPartition
) -> None:
    intake = load(order("1"), order("9", **LATER))
    assert (intake.state, intake.created, intake.unchanged, intake.refused_count) == ("loaded", 1, 0, 1)
    (refused,) = intake.refused
    assert (refused["line"], refused["transaction_no"], refused["code"]) == (1, "1", "intake.archived")
    assert "restore_partition --date 2026-11-20" in refused["reason"]
    assert transaction("9").status == "succeeded"


def test_an_archived_payment_sent_again_is_neither_stored_nor_booked_twice(
    load: Load, long_ago: ArchivedPartition
) -> None:
    intake = load(order("1"), order("1"), order("2"))
    assert (intake.created, intake.vouchers, intake.unchanged, intake.refused_count) == (0, 0, 1, 2)
    brought_back(long_ago)
    assert sorted(TransactionKey.objects.values_list("transaction_no", flat=True)) == ["1", "2", "3"]
    assert load(order("1"), order("2"), refund("3", "2")).unchanged == 3


@pytest.mark.parametrize("also", [[], [order("2")]], ids=["alone", "with its payment sent again"])
def test_a_refund_of_an_archived_payment_says_which_day_is_to_be_brought_back(
    load: Load, long_ago: ArchivedPartition, also: list[dict[str, Any]]
) -> None:
    intake = load(*also, refund("8", "2", **LATER))
    assert (intake.state, intake.created) == ("refused", 0)
    (fault,) = intake.refused
    assert (fault["line"], fault["field"], fault["value"]) == (len(also) + 1, "original_transaction_no", "2")
    assert fault["code"] == "intake.original_archived"
    assert "restore_partition --date 2026-11-20" in fault["reason"]


def test_once_the_day_is_back_the_refund_is_taken_against_what_was_refunded_before(
    load: Load, long_ago: ArchivedPartition
) -> None:
    brought_back(long_ago)
    assert load(refund("8", "2", "60.01", **LATER)).refused[0]["code"] == "intake.refund_above_paid"
    assert load(refund("8", "2", "60.00", **LATER)).created == 1
    assert RefundTotal.objects.get(original_id=transaction("2").pk).refunded == 10_000


def test_a_refund_that_names_another_original_than_the_archived_one_is_refused_with_both(
    load: Load, long_ago: ArchivedPartition
) -> None:
    brought_back(long_ago)
    load(refund("8", "2", **LATER))
    put_away()
    (refused,) = load(refund("8", "1", **LATER)).refused
    assert (refused["field"], refused["value"], refused["stored"]) == ("original_transaction_no", "1", "2")


def test_a_lost_order_of_an_archived_day_is_not_recovered_and_says_so(load: Load, long_ago: ArchivedPartition) -> None:
    key = TransactionKey.objects.get(transaction_no="1")
    with pytest.raises(PayopsError) as caught:
        transaction_recover(transaction_id=key.transaction_id, occurred_at=timezone.now(), run_id=1)
    assert (caught.value.code, caught.value.context["day"]) == ("archive.put_away", DAY.isoformat())


def test_a_failed_refund_whose_payment_is_archived_is_not_recovered_and_says_so(load: Load) -> None:
    load(order("1"))
    ledger.day_cut_off(DAY)
    ledger.close_day(DAY)
    load(refund("7", "1", status="failed", created_at=LATER["created_at"]))
    put_away()
    with pytest.raises(PayopsError) as caught:
        transaction_recover(transaction_id=transaction("7").pk, occurred_at=timezone.now(), run_id=1)
    assert (caught.value.code, caught.value.context["day"]) == ("archive.put_away", DAY.isoformat())


def test_a_database_that_refuses_a_load_is_an_error_with_a_reference_and_nothing_is_taken(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody gives the number away between the look at the numbers and the writing."""
    write = load_module._Load._write

    def meanwhile(this: load_module._Load) -> None:
        TransactionKey.objects.create(transaction_no="1", transaction_id=7)
        write(this)

    monkeypatch.setattr(load_module._Load, "_write", meanwhile)
    with pytest.raises(PayopsError) as caught:
        load(order("1"), order("2"))
    assert caught.value.code == "orders.database_refused"
    assert caught.value.context["reference"] in str(caught.value)
    assert not Transaction.objects.for_days(DAY).exists()
    assert not TransactionKey.objects.exists()
