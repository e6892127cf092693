"""Recovery of lost orders, supplements, refunds of a surplus, confirmed failures, watermarks (DOMAIN 5, 7.2)."""

from __future__ import annotations

import datetime as dt

import pytest

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.accounts.selectors import balance_of, trial_balance
from payops.core.errors import PayopsError
from payops.core.institution import SHANGHAI
from payops.core.jobs import run_now
from payops.orders import services
from payops.orders.models import OpenTransaction, RefundTotal
from payops.orders.selectors import own_strays, own_window, transaction_by_number
from tests.orders.conftest import DAY, ndjson, order, refund, transaction

CP = ("3001.01", "channel", "WECHAT")
PENDING = ("2202.01", "merchant", "M-A")
SETTLEMENT = ("2202.02", "merchant", "M-A")
IN_FLIGHT = ("2202.03", "merchant", "M-A")
SURPLUS = ("2241.01", "channel", "WECHAT")
NEXT = DAY + dt.timedelta(days=1)
NOON = dt.datetime(2026, 11, 20, 12, tzinfo=SHANGHAI)


def recover(number: str):
    return services.transaction_recover(
        transaction_id=transaction(number).pk, occurred_at=NOON, run_id=1, channel_trade_no="42"
    )


@pytest.mark.parametrize("status", ["unknown", "processing", "failed", "closed"])
def test_a_lost_order_is_recovered_with_todays_own_date_and_booked(load, status):
    load(order("1", status=status))
    ledger.day_cut_off(DAY)
    row = recover("1")
    assert (row.status, row.own_date, row.business_date, row.succeeded_at) == ("succeeded", NEXT, DAY, NOON)
    assert transaction("1").extra["recovered"] == {"run": 1}
    assert balance_of(*CP) == balance_of(*PENDING) == 10_000
    assert not OpenTransaction.objects.exists()


def test_recovering_twice_is_refused(load):
    load(order("1", status="unknown"))
    recover("1")
    with pytest.raises(PayopsError) as caught:
        recover("1")
    assert caught.value.code == "orders.already_succeeded"
    assert balance_of(*CP) == 10_000


def test_many_lost_orders_are_recovered_at_once_and_what_counts_already_is_left_alone(load):
    load(order("1", status="unknown"), order("2", status="failed"), order("3"))
    numbers = {number: transaction(number).pk for number in "123"}
    lost = [services.Lost(pk, NOON, "42") for pk in numbers.values()]
    refused = services.transactions_recover([*lost, lost[0]], run_id=1)
    assert {pk: error.code for pk, error in refused.items()} == {numbers["3"]: "orders.already_succeeded"}
    assert [transaction(number).channel_trade_no for number in "123"] == ["42", "42", ""]
    services.post_missing(DAY)
    assert balance_of(*CP) == balance_of(*PENDING) == 30_000
    assert not OpenTransaction.objects.exists()
    assert set(services.transactions_recover(lost, run_id=2)) == set(numbers.values())
    assert balance_of(*CP) == 30_000


def test_a_refund_that_no_longer_fits_is_left_alone_among_the_lost_ones(load):
    load(order("1"), refund("R1", "1", status="failed", amount="60.00"), refund("R2", "1", amount="60.00"))
    load(order("2", status="unknown"))
    lost = [services.Lost(transaction(number).pk, NOON) for number in ("R1", "2")]
    refused = services.transactions_recover(lost, run_id=1)
    assert [error.code for error in refused.values()] == ["orders.refund_above_paid"]
    assert (transaction("R1").status, transaction("2").status) == ("failed", "succeeded")


def test_the_core_saying_success_after_a_recovery_changes_nothing(load):
    load(order("1", status="unknown"))
    recover("1")
    intake = load(order("1", succeeded_at="2026-11-20T11:00:00"))
    assert (intake.unchanged, intake.refused_count) == (1, 0)


def test_the_core_saying_failure_after_a_recovery_is_refused_alone(load):
    load(order("1", status="unknown"))
    recover("1")
    intake = load(order("1", status="failed"))
    assert (intake.refused_count, intake.refused[0]["field"]) == (1, "status")


def test_a_failed_refund_is_recovered_while_it_still_fits(load):
    load(order("1"), refund("2", "1", "100.00", status="failed"))
    recover("2")
    assert RefundTotal.objects.get().refunded == 10_000
    assert balance_of(*CP) == balance_of(*PENDING) == balance_of(*IN_FLIGHT) == 0


def test_a_failed_refund_that_no_longer_fits_is_not_recovered(load):
    load(order("1"), refund("2", "1", "100.00", status="failed"), refund("3", "1", "100.00"))
    with pytest.raises(PayopsError) as caught:
        recover("2")
    assert caught.value.code == "orders.refund_above_paid"
    assert transaction("2").status == "failed"


def test_absent_rows_fail_without_a_voucher_and_free_their_original(load):
    load(order("1"), order("2", status="unknown"), refund("3", "1", status="unknown"))
    assert services.transactions_fail_absent([transaction(number).pk for number in "123"]) == 2
    assert [transaction(number).status for number in "123"] == ["succeeded", "failed", "failed"]
    assert not OpenTransaction.objects.exists()
    assert RefundTotal.objects.get().refunded == 0
    assert balance_of(*CP) == 10_000


def test_a_confirmed_failure_gives_the_refund_back_once(load):
    load(order("1"), refund("2", "1", status="unknown"))
    load(refund("2", "1", status="failed"))
    pk = transaction("2").pk
    assert balance_of(*IN_FLIGHT) == 4_000
    assert services.refund_confirm_failed(pk) is True
    assert services.refund_confirm_failed(pk) is False
    assert (balance_of(*IN_FLIGHT), balance_of(*PENDING)) == (0, 10_000)


def test_only_a_failed_refund_can_be_confirmed_failed(load):
    load(order("1"), refund("2", "1"))
    with pytest.raises(PayopsError) as caught:
        services.refund_confirm_failed(transaction("2").pk)
    assert caught.value.code == "orders.refund_not_failed"


def test_a_refund_of_a_cleared_payment_comes_out_of_the_settlement_account(load, world):
    load(order("1"))
    services.watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=DAY)
    load(refund("2", "1"))
    assert transaction("2").refund_source == "settlement"
    assert (balance_of(*PENDING), balance_of(*SETTLEMENT)) == (10_000, -4_000)


def test_a_refund_from_settlement_that_failed_goes_back_there(load, world):
    load(order("1"))
    services.watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=DAY)
    load(refund("2", "1", status="unknown"))
    load(refund("2", "1", status="failed"))
    services.refund_confirm_failed(transaction("2").pk)
    assert (balance_of(*SETTLEMENT), balance_of(*IN_FLIGHT)) == (0, 0)


def test_the_watermark_only_moves_forward(world):
    services.watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=NEXT)
    mark = services.watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=DAY)
    assert mark.cleared_until == NEXT


def test_a_supplement_counts_today_and_makes_no_payment_voucher(world):
    row = services.transaction_supplement(
        contract=world.wechat, merchant=world.a, amount=10_000, match_key="R-LOST", occurred_at=NOON, username="bob"
    )
    assert (row.origin, row.own_date, row.fee, row.collection) == ("supplement", DAY, 60, "net")
    assert row.transaction_no.startswith("SUP261120")
    assert services.post_missing(DAY)["total"] == 0
    assert balance_of(*CP) == 0


def surplus_refund(world):
    """What a case does: the money leaves suspense for the payer, the refund row is made."""
    ledger.post(
        Posting(
            event=Event.SURPLUS_FOUND, source_kind="run", source_id=1, amounts={"D": 10_000},
            owners={"channel": "WECHAT"}, business_date=DAY,
        )
    )  # fmt: skip
    row = services.surplus_refund_create(contract=world.wechat, merchant=world.a, amount=10_000, username="bob")
    ledger.post(
        Posting(
            event=Event.SURPLUS_TO_PAYER, source_kind="case_action", source_id=1, amounts={"D": 10_000},
            owners={"channel": "WECHAT", "merchant": "M-A"}, business_date=DAY,
        )
    )  # fmt: skip
    return row


def test_a_refund_of_a_surplus_waits_for_the_channel_and_is_then_taken(world):
    row = surplus_refund(world)
    assert (row.status, row.effective_at, row.match_key) == ("processing", None, row.transaction_no)
    assert services.post_missing(DAY)["total"] == 0
    services.transaction_recover(transaction_id=row.pk, occurred_at=NOON, run_id=1)
    assert balance_of(*IN_FLIGHT) == balance_of(*CP) == balance_of(*SURPLUS) == 0


def test_a_refund_of_a_surplus_that_failed_goes_back_to_suspense(world):
    row = surplus_refund(world)
    services.transactions_fail_absent([row.pk])
    assert services.refund_confirm_failed(row.pk) is True
    assert (balance_of(*SURPLUS), balance_of(*IN_FLIGHT)) == (10_000, 0)


def test_numbers_are_looked_up_whatever_their_day(load):
    load(order("1"))
    assert transaction_by_number("1").amount == 10_000
    assert transaction_by_number("2") is None


def test_the_window_of_an_own_date_and_its_strays_hold_every_row(load):
    load(order("1"), order("2", created_at="2026-11-28T10:00:00", succeeded_at="2026-11-28T10:00:00"))
    lo, hi = own_window(DAY)
    assert lo <= transaction("1").pk < hi
    far = dt.date(2026, 11, 28)
    lo, hi = own_window(far)
    assert not lo <= transaction("2").pk < hi
    assert own_strays(far) == [transaction("2").pk]


def test_whatever_happened_the_books_balance(load):
    load(order("1"), refund("2", "1", status="processing"), order("3", status="unknown"))
    load(refund("2", "1", status="failed"))
    recover("3")
    debit = credit = 0
    for row in trial_balance(DAY):
        debit += getattr(row, "debit", 0)
        credit += getattr(row, "credit", 0)
    assert debit == credit


def test_a_worker_takes_in_an_uploaded_file(world):
    job = services.intake_enqueue(stream=ndjson(order("1")), name="orders.ndjson", user="alice")
    run_now(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["state"], job.result["created"]) == ("succeeded", "loaded", 1)
    assert transaction("1").amount == 10_000
