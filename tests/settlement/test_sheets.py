"""Settlement sheets (DOMAIN 11.3): every term worked by hand. Fees 0.6 %, amounts in fen."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.selectors import account_get
from payops.accounts.services import account_status_set, deduct, freeze_place
from payops.merchants.models import CycleUnit, SettlementAccount
from payops.merchants.services import TermsData, merchant_set_status, settlement_account_flag, settlement_terms_set
from payops.settlement.models import ClearingItem, SettlementSession, SettlementSheet
from payops.settlement.selectors import sheet_total, sheets_for_user
from payops.statements.selectors import contents_of
from tests.settlement.books import TUESDAY, Books

WEDNESDAY = TUESDAY + dt.timedelta(days=1)
THURSDAY = TUESDAY + dt.timedelta(days=2)
FRIDAY_BEFORE = dt.date(2026, 11, 13)


@pytest.fixture
def books(db: None) -> Books:
    return Books()


def _terms(sheet: SettlementSheet) -> tuple[int, ...]:
    return (
        sheet.settlement_amount,
        sheet.adjustment_amount,
        sheet.carried_in,
        sheet.withheld_amount,
        sheet.payout_amount,
        sheet.carry_out,
    )


def test_a_plain_day_is_paid_the_next_working_day(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    sheet = books.sheet(books.a, WEDNESDAY)
    assert (sheet.count, sheet.amount, sheet.fee) == (1, 10000, 60)
    assert _terms(sheet) == (9940, 0, 0, 0, 9940, 0)
    assert sheet.state == "ready"
    assert books.settlement(books.a) == sheet.payout_amount


def test_friday_to_sunday_are_paid_on_monday(db: None) -> None:
    books = Books(FRIDAY_BEFORE)
    for n in range(3):
        day = FRIDAY_BEFORE + dt.timedelta(days=n)
        books.pay(str(n), "100.00", day)
        books.plain_day(day)
    sheet = SettlementSheet.objects.get()
    assert sheet.pay_date == dt.date(2026, 11, 16)
    assert sheet.payout_amount == 3 * 9940


def test_natural_days_do_not_wait_for_monday(db: None) -> None:
    books = Books(FRIDAY_BEFORE)
    settlement_terms_set(merchant=books.a, data=TermsData(cycle_unit=CycleUnit.D, cycle_days=1))
    books.pay("1", "100.00", FRIDAY_BEFORE)
    books.plain_day(FRIDAY_BEFORE)
    assert books.sheet(books.a, FRIDAY_BEFORE + dt.timedelta(days=1)).state == "ready"


def test_what_is_not_due_yet_stays_on_the_settlement_account(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    books.paid_out(books.sheet(books.a, WEDNESDAY))
    settlement_terms_set(merchant=books.a, data=TermsData(cycle_days=2))
    books.pay("2", "50.00", WEDNESDAY)
    books.plain_day(WEDNESDAY)
    assert not SettlementSheet.objects.filter(pay_date=THURSDAY).exists()
    assert books.settlement(books.a) == 4970


def test_a_refund_from_settlement_does_not_cut_the_payout_twice(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    books.paid_out(books.sheet(books.a, WEDNESDAY))
    # Cleared but unpaid money of the day before is what the refund is taken from.
    ledger.post(
        ledger.Posting(Event.PAYOUT_RETURNED, "test", 1, {"P": 9940}, {"merchant": "M-A", "bank": "RSV"}, TUESDAY)
    )
    row = books.refund("2", "1", "40.00", WEDNESDAY)
    books.pay("3", "100.00", WEDNESDAY)
    books.plain_day(WEDNESDAY)
    sheet = books.sheet(books.a, THURSDAY)
    assert sheet.settlement_amount == 10000 - 4000 - 60 - row.fee
    # 99.40 came back, 40.00 was refunded and 40.00 is added back.
    assert sheet.adjustment_amount == 9940
    assert sheet.payout_amount == 9940 + 9940 - 4000 - row.fee == books.settlement(books.a)


def test_a_refund_cut_before_its_day_is_cleared_is_added_back(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    row = books.refund("2", "1", "40.00", WEDNESDAY)
    books.settle(TUESDAY)
    books.check(TUESDAY)
    first = books.sheet(books.a, WEDNESDAY)
    assert _terms(first) == (9940, -4000, 0, 0, 5940, 0)
    books.paid_out(first)
    books.pay("3", "100.00", WEDNESDAY)
    books.plain_day(WEDNESDAY)
    second = books.sheet(books.a, THURSDAY)
    assert _terms(second)[:2] == (10000 - 4000 - 60 - row.fee, 4000)
    assert second.payout_amount == 9940 - row.fee == books.settlement(books.a)


def test_below_the_minimum_is_carried_to_the_next_sheet(books: Books) -> None:
    settlement_terms_set(merchant=books.a, data=TermsData(minimum_amount=15000))
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    first = books.sheet(books.a, WEDNESDAY)
    assert (first.state, first.payout_amount, first.carry_out) == ("carried", 0, 9940)
    books.pay("2", "100.00", WEDNESDAY)
    books.plain_day(WEDNESDAY)
    second = books.sheet(books.a, THURSDAY)
    assert _terms(second) == (9940, 0, 9940, 0, 19880, 0)
    first.refresh_from_db()
    assert first.carried_to == second


def test_a_negative_sheet_is_carried_and_lowers_the_next(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    books.paid_out(books.sheet(books.a, WEDNESDAY))
    ledger.post(ledger.Posting(Event.RECOVERY_COLLECTED, "test", 1, {"D": 7000}, {"merchant": "M-A"}, WEDNESDAY))
    books.pay("2", "50.00", WEDNESDAY)
    books.plain_day(WEDNESDAY)
    negative = books.sheet(books.a, THURSDAY)
    assert _terms(negative) == (4970, -7000, 0, 0, 0, -2030)
    assert negative.state == "carried"
    books.pay("3", "100.00", THURSDAY)
    books.plain_day(THURSDAY)
    assert _terms(books.sheet(books.a, THURSDAY + dt.timedelta(days=1))) == (9940, 0, -2030, 0, 7910, 0)


def test_negative_pending_is_kept_back(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    ledger.post(
        ledger.Posting(Event.RECOVER_PENDING, "test", 1, {"D": 500}, {"merchant": "M-A", "channel": "WECHAT"}, TUESDAY)
    )
    books.settle(TUESDAY)
    assert books.sheet(books.a, WEDNESDAY).adjustment_amount == -500


def test_a_held_merchant_is_not_paid_but_keeps_its_money(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    merchant_set_status(merchant=books.a, status="held")
    books.plain_day(TUESDAY)
    sheet = books.sheet(books.a, WEDNESDAY)
    assert (sheet.state, sheet.payout_amount, sheet.carry_out) == ("held", 0, 9940)


def test_a_merchant_without_an_account_is_held(books: Books) -> None:
    SettlementAccount.objects.filter(merchant=books.a).delete()
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert books.sheet(books.a, WEDNESDAY).state == "held"


def test_a_flagged_account_is_not_paid_to(books: Books) -> None:
    settlement_account_flag(account=SettlementAccount.objects.get(merchant=books.a), reason="returned")
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert books.sheet(books.a, WEDNESDAY).state == "held"


def test_frozen_money_holds_the_sheet(books: Books) -> None:
    account = account_get("220202", "merchant", "M-A")
    freeze_place(
        account=account, amount=100, reason="court order", source_kind="court", source_id="1", created_by="bob"
    )
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert books.sheet(books.a, WEDNESDAY).state == "held"


def test_a_stopped_account_holds_the_sheet(books: Books) -> None:
    account_status_set(account=account_get("220202", "merchant", "M-A"), status="stopped")
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert books.sheet(books.a, WEDNESDAY).state == "held"


# --- money that waits -------------------------------------------------------------------------------------------------


def _held_on_wednesday(books: Books) -> SettlementSheet:
    """99.40 that could not be paid, and no sale since."""
    settlement_account_flag(account=SettlementAccount.objects.get(merchant=books.a), reason="returned")
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    return books.sheet(books.a, WEDNESDAY)


def test_carried_money_is_paid_without_a_new_sale_once_there_is_an_account(books: Books) -> None:
    held = _held_on_wednesday(books)
    books.account(books.a, "6222020000009999")
    books.plain_day(WEDNESDAY)
    sheet = books.sheet(books.a, THURSDAY)
    assert (sheet.state, sheet.count, _terms(sheet)) == ("ready", 0, (0, 0, 9940, 0, 9940, 0))
    held.refresh_from_db()
    assert held.carried_to == sheet


def test_money_that_cannot_be_paid_makes_no_sheet_day_by_day(books: Books) -> None:
    _held_on_wednesday(books)
    books.plain_day(WEDNESDAY)
    assert not SettlementSheet.objects.filter(pay_date=THURSDAY).exists()


def test_carried_money_below_the_minimum_waits(books: Books) -> None:
    settlement_terms_set(merchant=books.a, data=TermsData(minimum_amount=15000))
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    books.plain_day(WEDNESDAY)
    assert not SettlementSheet.objects.filter(pay_date=THURSDAY).exists()


def test_carried_money_of_working_day_terms_is_not_paid_on_a_saturday(db: None) -> None:
    thursday = FRIDAY_BEFORE - dt.timedelta(days=1)
    books = Books(thursday)
    settlement_terms_set(merchant=books.a, data=TermsData(minimum_amount=15000))
    books.pay("1", "100.00", thursday)
    books.plain_day(thursday)
    settlement_terms_set(merchant=books.a, data=TermsData(minimum_amount=0))
    for day in range(3):
        books.plain_day(FRIDAY_BEFORE + dt.timedelta(days=day))
    paid = SettlementSheet.objects.filter(payout_amount__gt=0)
    assert [sheet.pay_date.isoformat() for sheet in paid] == ["2026-11-16"]


def test_a_payout_that_came_back_is_paid_again_without_a_new_sale(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    sheet = books.sheet(books.a, WEDNESDAY)
    books.paid_out(sheet)
    owners = {"merchant": "M-A", "bank": "RSV"}
    ledger.post(ledger.Posting(Event.PAYOUT_RETURNED, "test", 1, {"P": 9940}, owners, WEDNESDAY))
    SettlementSheet.objects.filter(pk=sheet.pk).update(state="returned", carry_out=9940)
    books.plain_day(WEDNESDAY)
    assert _terms(books.sheet(books.a, THURSDAY)) == (0, 0, 9940, 0, 9940, 0)


def test_money_of_a_sheet_about_to_be_paid_does_not_wait(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    books.plain_day(WEDNESDAY)
    assert SettlementSheet.objects.count() == 1


# --- recoveries -------------------------------------------------------------------------------------------------------


def _owes(books: Books, amount: int) -> None:
    owners = {"merchant": "M-A", "channel": "WECHAT"}
    ledger.post(ledger.Posting(Event.RECOVER_RECEIVABLE, "test", 1, {"D": amount}, owners, TUESDAY))


def test_what_a_merchant_owes_is_collected_before_it_is_paid(books: Books) -> None:
    _owes(books, 3000)
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert _terms(books.sheet(books.a, WEDNESDAY)) == (9940, -3000, 0, 0, 6940, 0)
    assert books.settlement(books.a) == 6940
    assert account_get("112203", "merchant", "M-A").balance == 0


def test_no_more_is_collected_than_there_is(books: Books) -> None:
    _owes(books, 30_000)
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    sheet = books.sheet(books.a, WEDNESDAY)
    assert (sheet.state, _terms(sheet)) == ("carried", (9940, -9940, 0, 0, 0, 0))
    assert account_get("112203", "merchant", "M-A").balance == 30_000 - 9940


def test_frozen_money_is_not_collected(books: Books) -> None:
    _owes(books, 3000)
    freeze_place(
        account=account_get("220202", "merchant", "M-A"),
        amount=8000,
        reason="court order",
        source_kind="court",
        source_id="1",
        created_by="bob",
    )
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert (books.settlement(books.a), account_get("112203", "merchant", "M-A").balance) == (8000, 3000 - 1940)


def test_nothing_is_collected_from_a_stopped_account(books: Books) -> None:
    _owes(books, 3000)
    account_status_set(account=account_get("220202", "merchant", "M-A"), status="stopped")
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert books.settlement(books.a) == 9940


def test_what_is_collected_stands_on_the_statement_of_its_sheet(books: Books) -> None:
    _owes(books, 3000)
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    (content,) = contents_of([books.sheet(books.a, WEDNESDAY)])
    assert [(row.event, row.amount) for row in content.movements] == [(Event.RECOVERY_COLLECTED, -3000)]


def test_a_deduction_that_was_short_is_collected_before_the_merchant_is_paid(books: Books) -> None:
    """Clearing brings the money; what the slip holds never reaches the payout, and stands on the statement."""
    _owes(books, 3000)
    deduction = deduct(
        account=account_get("220202", "merchant", "M-A"),
        amount=3000,
        event=Event.RECOVERY_COLLECTED,
        variable="D",
        owners={"merchant": "M-A"},
        source_kind="case",
        source_id=1,
        business_date=TUESDAY,
        reason="chargeback",
        created_by="bob",
    )
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    deduction.refresh_from_db()
    sheet = books.sheet(books.a, WEDNESDAY)
    assert (deduction.collected, _terms(sheet)) == (3000, (9940, -3000, 0, 0, 6940, 0))
    assert (books.settlement(books.a), account_get("112203", "merchant", "M-A").balance) == (6940, 0)
    (content,) = contents_of([sheet])
    assert [(row.event, row.amount) for row in content.movements] == [(Event.RECOVERY_COLLECTED, -3000)]


def test_settling_twice_makes_one_sheet(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    again = books.settle(TUESDAY)
    books.check(TUESDAY)
    assert (again["sheets"], again["session_no"]) == (0, None)
    assert SettlementSession.objects.count() == SettlementSheet.objects.count() == 1
    assert books.sheet(books.a, WEDNESDAY).payout_amount == 9940


def test_money_of_a_sheet_that_waits_for_payment_is_not_promised_again(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    books.pay("2", "50.00", WEDNESDAY)
    books.plain_day(WEDNESDAY)
    assert books.sheet(books.a, WEDNESDAY).payout_amount == 9940
    assert books.sheet(books.a, THURSDAY).payout_amount == 4970
    assert books.settlement(books.a) == 9940 + 4970


def test_a_late_channel_is_settled_the_next_day(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.pay("2", "50.00", TUESDAY, channel="alipay", channel_account=books.alipay.account_no)
    books.plain_day(TUESDAY)
    books.reconcile(books.alipay, TUESDAY)
    books.receive(books.alipay, TUESDAY)
    books.clear(TUESDAY)
    books.plain_day(WEDNESDAY)
    assert books.sheet(books.a, WEDNESDAY).payout_amount == 9940
    assert books.sheet(books.a, THURSDAY).payout_amount == 4970


def test_every_due_item_stands_on_exactly_one_sheet(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.pay("2", "50.00", TUESDAY, merchant_no="M-B")
    books.plain_day(TUESDAY)
    assert list(ClearingItem.objects.order_by("merchant").values_list("settlement_sheet__merchant", "net")) == [
        (books.a.pk, 9940),
        (books.b.pk, 4970),
    ]


def test_a_merchants_user_sees_its_own_sheets(books: Books, mei: Any, omar: Any) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    assert sheets_for_user(mei).count() == 1
    assert sheets_for_user(omar).count() == 0


def test_the_database_refuses_a_payout_that_does_not_add_up(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    with pytest.raises(IntegrityError, match="settlement_sheet_adds_up"), transaction.atomic():
        SettlementSheet.objects.update(payout_amount=9941)
    with pytest.raises(IntegrityError, match="settlement_payout_not_negative"), transaction.atomic():
        SettlementSheet.objects.update(payout_amount=-1)


def test_settlement_accounts_hold_what_their_sheets_say(books: Books) -> None:
    settlement_terms_set(merchant=books.b, data=TermsData(minimum_amount=100000))
    for day in (TUESDAY, WEDNESDAY):
        books.pay(f"A{day}", "100.00", day)
        books.pay(f"B{day}", "33.33", day, merchant_no="M-B")
        books.plain_day(day)
        books.paid_out(books.sheet(books.a, day + dt.timedelta(days=1)))
    assert books.settlement(books.a) == 0
    assert books.settlement(books.b) == sheet_total(books.sheet(books.b, THURSDAY)) == 2 * (3333 - 20)
