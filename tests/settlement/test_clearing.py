"""Clearing (DOMAIN 11.2): worked by hand with small numbers. Fees 0.6 %, amounts in fen."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from payops.accounts import selectors as balances
from payops.accounts.choices import Event
from payops.core.errors import PayopsError
from payops.merchants.models import MerchantProduct
from payops.orders.models import ClearingWatermark
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.models import RunVoucher
from payops.settlement.holds import row_is_cleared
from payops.settlement.models import ClearedDay, ClearingHold, ClearingItem, ClearingSession
from tests.orders.conftest import transaction as row_of
from tests.settlement.books import TUESDAY, Books, damage

WEDNESDAY = TUESDAY + dt.timedelta(days=1)
THURSDAY = TUESDAY + dt.timedelta(days=2)


@pytest.fixture
def books(db: None) -> Books:
    return Books()


def test_a_payment_is_cleared_from_pending_to_the_settlement_account_less_its_fee(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    item = books.item(books.a, TUESDAY)
    assert (item.count, item.amount, item.fee, item.discount, item.net) == (1, 10000, 60, 0, 9940)
    assert (books.pending(books.a), books.settlement(books.a)) == (0, 9940)
    assert balances.balance_of("602101") == 60
    assert item.voucher_id is not None


def test_items_of_a_session_add_up_to_its_sheets(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.pay("2", "50.00", TUESDAY, channel="alipay", channel_account=books.alipay.account_no)
    books.pay("3", "10.00", TUESDAY, merchant_no="M-B")
    books.close(TUESDAY)
    for contract in (books.wechat, books.alipay):
        books.reconcile(contract, TUESDAY)
    books.clear(TUESDAY)
    session = ClearingSession.objects.get()
    assert (session.count, session.amount, session.fee) == (3, 16000, 96)
    assert [(s.merchant.merchant_no, s.amount) for s in session.sheets.all()] == [("M-A", 15000), ("M-B", 1000)]
    assert sum(item.amount for item in session.sheets.first().items.all()) == 15000


def test_a_refund_from_pending_enters_with_its_sign_and_returns_its_fee(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.refund("2", "1", "40.00", TUESDAY)
    row = row_of("2")
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    item = books.item(books.a, TUESDAY)
    assert (item.count, item.amount, item.fee) == (2, 6000, 60 + row.fee)
    assert item.refunded_from_settlement == 0
    assert (books.pending(books.a), books.settlement(books.a)) == (0, 6000 - 60 - row.fee)


def test_a_refund_from_the_settlement_account_is_added_back_and_only_its_fee_is_booked(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    books.refund("2", "1", "40.00", WEDNESDAY)
    row = row_of("2")
    assert row.refund_source == "settlement"
    assert books.settlement(books.a) == 9940 - 4000
    books.close(WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    item = books.item(books.a, WEDNESDAY)
    assert (item.amount, item.refunded_from_settlement, item.refund_fee) == (-4000, 4000, row.fee)
    assert item.net == -row.fee
    assert (books.pending(books.a), books.settlement(books.a)) == (0, 5940 - row.fee)
    assert balances.balance_of("602101") == 60 + row.fee


def test_a_gross_merchant_is_owed_the_whole_amount_and_owes_the_fee(books: Books) -> None:
    MerchantProduct.objects.filter(merchant=books.a).update(collection="gross")
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    item = books.item(books.a, TUESDAY)
    assert (item.collection, item.amount, item.fee, item.net) == ("gross", 10000, 60, 10000)
    assert books.settlement(books.a) == 10000
    assert balances.balance_of("112202", "merchant", "M-A") == 60


def test_a_merchant_funded_discount_lowers_what_is_owed(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY, discounts={"M-A": 500})
    books.clear(TUESDAY)
    item = books.item(books.a, TUESDAY)
    assert (item.amount, item.discount, item.net) == (10000, 500, 9440)
    assert (books.pending(books.a), books.settlement(books.a)) == (0, 9440)


def test_a_discount_a_re_run_finds_after_clearing_joins_the_next_item(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    run = books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    books._book(run, Event.BILL_DISCOUNT, {"X": 300}, {"channel": "WECHAT", "merchant": "M-A"}, "M-A")
    assert books.pending(books.a) == -300
    books.close(WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    item = books.item(books.a, WEDNESDAY)
    assert (item.count, item.amount, item.discount, item.net) == (0, 0, 300, -300)
    assert (books.pending(books.a), books.settlement(books.a)) == (0, 9640)


def test_without_an_accepted_run_a_contract_is_not_cleared(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    result = books.clear(TUESDAY)
    assert result["skipped"] == {"ALIPAY": "no_run", "WECHAT": "no_run"}
    assert not ClearingItem.objects.exists()


def test_the_switch_lets_a_contract_be_cleared_before_its_bill(books: Books) -> None:
    books.wechat.clear_without_run = True
    books.wechat.save()
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.clear(TUESDAY)
    assert books.item(books.a, TUESDAY).net == 9940


def test_a_day_that_is_still_open_is_refused(books: Books) -> None:
    with pytest.raises(PayopsError) as refused:
        books.clear(TUESDAY)
    assert refused.value.code == "settlement.day_not_closed"


def test_clearing_twice_clears_once(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    again = books.clear(TUESDAY)
    assert again["contracts"] == {}
    assert again["skipped"]["WECHAT"] == "cleared"
    assert ClearingSession.objects.count() == ClearingItem.objects.count() == 1
    assert books.settlement(books.a) == 9940


def test_a_late_channel_gets_a_session_of_its_own(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.pay("2", "50.00", TUESDAY, channel="alipay", channel_account=books.alipay.account_no)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    books.reconcile(books.alipay, TUESDAY)
    books.clear(TUESDAY)
    assert list(ClearedDay.objects.order_by("pk").values_list("contract__code", "session__session_no")) == [
        ("WECHAT", 1),
        ("ALIPAY", 2),
    ]


def test_the_watermark_says_how_far_a_merchant_is_cleared(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    assert ClearingWatermark.objects.get(merchant=books.a, contract=books.wechat).cleared_until == TUESDAY


def test_unposted_documents_are_posted_first(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[dt.date] = []
    monkeypatch.setattr("payops.settlement.clearing.post_missing", lambda day, **_kw: called.append(day))
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    assert called == [TUESDAY]


# --- rows only we have ------------------------------------------------------------------------------------------------


def test_an_in_doubt_row_is_cleared_like_any_other(books: Books) -> None:
    row = books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.differ(books.wechat, TUESDAY, -10000, ResultKind.OWN_IN_DOUBT, row)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    assert books.item(books.a, TUESDAY).amount == 10000


def test_an_own_only_row_is_held(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    row = books.pay("2", "30.00", TUESDAY)
    books.close(TUESDAY)
    books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    assert books.item(books.a, TUESDAY).amount == 10000
    hold = ClearingHold.objects.get()
    assert (hold.transaction_id, hold.amount, hold.state) == (row.pk, 3000, "held")
    assert books.pending(books.a) == 3000
    assert row_is_cleared(row) is False
    assert row_is_cleared(row_of("1")) is True


def _held(books: Books) -> Any:
    row = books.pay("2", "30.00", TUESDAY)
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    return item


def test_a_held_row_joins_the_item_of_the_day_its_other_half_comes(books: Books) -> None:
    item = _held(books)
    books.pay("3", "10.00", WEDNESDAY)
    books.close(WEDNESDAY)
    books.other_half(item, WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    joined = books.item(books.a, WEDNESDAY)
    assert (joined.count, joined.amount, joined.fee) == (2, 4000, 24)
    hold = ClearingHold.objects.get()
    assert (hold.state, hold.released_in, hold.released_date) == ("released", joined, WEDNESDAY)
    assert books.pending(books.a) == 0
    assert row_is_cleared(row_of("2")) is True


def test_a_held_row_is_released_when_its_loss_is_accepted(books: Books, alice: Any, bob: Any) -> None:
    item = _held(books)
    books.decide(item.case, "loss", alice, bob)
    books.close(WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    assert books.item(books.a, WEDNESDAY).amount == 3000
    assert ClearingHold.objects.get().state == "released"


def test_a_held_row_recovered_from_the_merchant_is_never_cleared(books: Books, alice: Any, bob: Any) -> None:
    item = _held(books)
    books.decide(item.case, "recover", alice, bob, merchant_no="M-A")
    assert books.pending(books.a) == 0
    books.close(WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    assert ClearingHold.objects.get().state == "dropped"
    assert not ClearingItem.objects.filter(own_date=WEDNESDAY).exists()


def test_a_row_recovered_before_clearing_is_left_out_of_it(books: Books, alice: Any, bob: Any) -> None:
    books.pay("1", "100.00", TUESDAY)
    row = books.pay("2", "30.00", TUESDAY)
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.decide(item.case, "recover", alice, bob, merchant_no="M-A")
    books.clear(TUESDAY)
    assert books.item(books.a, TUESDAY).amount == 10000
    assert ClearingHold.objects.get().state == "dropped"
    assert books.pending(books.a) == 0


def test_a_part_recovered_before_clearing_is_not_paid_out_of_the_next_days_sales(
    books: Books, alice: Any, bob: Any
) -> None:
    row = books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, -2000, ResultKind.AMOUNT, row)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.decide(item.case, "recover", alice, bob, merchant_no="M-A")
    books.pay("2", "50.00", WEDNESDAY)
    books.finish(TUESDAY)
    assert books.sheet(books.a, WEDNESDAY).payout_amount == 9940 - 2000
    assert books.pending(books.a) == 5000


def test_a_hold_stays_while_its_case_is_open(books: Books) -> None:
    _held(books)
    books.close(WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    assert ClearingHold.objects.get().state == "held"


# --- the discrepancy session ------------------------------------------------------------------------------------------


def test_a_supplemented_order_is_cleared_in_the_discrepancy_session(books: Books, alice: Any, bob: Any) -> None:
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, 5000, ResultKind.CHANNEL_ONLY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    action = books.decide(item.case, "supplement", alice, bob, merchant_no="M-A")
    books.close(WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.clear(WEDNESDAY)
    cleared = books.item(books.a, WEDNESDAY)
    assert (cleared.kind, cleared.amount, cleared.fee, cleared.case_action) == ("discrepancy", 5000, 30, action)
    assert (books.pending(books.a), books.settlement(books.a)) == (0, 4970)
    assert set(ClearingSession.objects.filter(own_date=WEDNESDAY).values_list("kind", flat=True)) == {
        "trade",
        "discrepancy",
    }


# --- guards -----------------------------------------------------------------------------------------------------------


def test_an_item_must_add_up(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    with pytest.raises(IntegrityError, match="clearing_item_adds_up"), transaction.atomic():
        damage(books.item(books.a, TUESDAY), net=9941)


def test_a_contracts_date_is_cleared_at_most_once(books: Books) -> None:
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    day = ClearedDay.objects.get()
    with pytest.raises(IntegrityError, match="cleared_day_once"), transaction.atomic():
        ClearedDay.objects.create(contract=day.contract, own_date=day.own_date, session=day.session)


def test_a_released_hold_names_its_date(books: Books) -> None:
    _held(books)
    with pytest.raises(IntegrityError, match="clearing_hold_released_on_a_date"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE settlement_clearinghold SET state = 'released'")


def test_discounts_are_read_from_every_run_of_the_date(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    run = books.reconcile(books.wechat, TUESDAY, discounts={"M-A": 500})
    RunVoucher.objects.create(
        run=run, contract=books.wechat, channel_date=TUESDAY, event=Event.BILL_DISCOUNT, merchant_no="M-B",
        amounts={"X": 0},
    )  # fmt: skip
    books.clear(TUESDAY)
    assert ClearingItem.objects.count() == 1
