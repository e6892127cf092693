"""The balance check (DOMAIN 11.4): the equation by hand, and what a failure withholds and names. Amounts in fen."""

from __future__ import annotations

import datetime as dt
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.discrepancies.choices import ActionKind, CaseKind
from payops.discrepancies.services import case_open
from payops.merchants.models import MerchantProduct
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.models import ChannelReceipt, OpenItem
from payops.settlement.equation import equation_of
from payops.settlement.models import BalanceCheck, ClearingHold, ClearingItem
from payops.settlement.selectors import check_terms, last_check, last_checks
from tests.settlement.books import TUESDAY, Books, damage

WEDNESDAY = TUESDAY + dt.timedelta(days=1)
THURSDAY = TUESDAY + dt.timedelta(days=2)


@pytest.fixture
def books(db: None) -> Books:
    return Books()


def _amounts(check: dict[str, Any]) -> dict[str, int]:
    return {term["code"]: term["amount"] for term in check["terms"]}


def _alipay(books: Books) -> dict[str, str]:
    return {"channel": "alipay", "channel_account": books.alipay.account_no}


def test_receipt_and_netted_cost_less_fees_is_what_was_cleared(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    (check,) = books.plain_day(TUESDAY, cost=20)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 9980, "netted_cost": 20, "fees": -60}
    assert check["computed"] == check["clearing_amount"] == 9940


def test_billed_cost_is_no_term(books: Books) -> None:
    books.wechat.cost_mode = "billed"
    books.wechat.save()
    books.pay("1", "100.00", TUESDAY)
    (check,) = books.plain_day(TUESDAY)
    assert check["passed"]
    assert "netted_cost" not in _amounts(check)


def test_a_gross_merchants_fee_is_no_term(books: Books) -> None:
    MerchantProduct.objects.filter(merchant=books.a).update(collection="gross")
    books.pay("1", "100.00", TUESDAY)
    books.pay("2", "50.00", TUESDAY, merchant_no="M-B")
    (check,) = books.plain_day(TUESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 15000, "fees": -30}
    assert check["clearing_amount"] == 10000 + 4970


def test_a_refund_from_settlement_counts_like_any_other(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    row = books.refund("2", "1", "40.00", WEDNESDAY)
    books.pay("3", "100.00", WEDNESDAY)
    checks = books.plain_day(WEDNESDAY)
    assert [check["passed"] for check in checks] == [True]
    assert checks[0]["clearing_amount"] == 6000 - 60 - row.fee


def test_a_discount_lowers_both_sides(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY, discounts={"M-A": 500})
    books.receive(books.wechat, TUESDAY)
    (check,) = books.finish(TUESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 9500, "fees": -60}


def test_each_difference_stands_under_its_name_and_is_counted_once(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    held = books.pay("2", "30.00", TUESDAY)
    doubted = books.pay("3", "20.00", TUESDAY)
    mismatched = books.pay("4", "10.00", TUESDAY)
    books.close(TUESDAY)
    books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, held)
    item = books.differ(books.wechat, TUESDAY, -2000, ResultKind.OWN_IN_DOUBT, doubted)
    books.differ(books.wechat, TUESDAY, 5000, ResultKind.CHANNEL_ONLY)
    books.differ(books.wechat, TUESDAY, -100, ResultKind.AMOUNT, mismatched)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    (check,) = books.finish(TUESDAY)
    assert check["passed"]
    assert _amounts(check) == {
        "receipt": 15900,
        "new.own": 5000,
        "new.channel": -5000,
        "new.pair": 100,
        "held": -3000,
        "fees": -78,
    }
    details = {term["code"]: term["detail"] for term in check["terms"]}
    assert details["new.own"] == {"own_only": 3000, "own_in_doubt": 2000}
    # The doubt becomes definite on Wednesday: it was counted when first seen and is not again.
    OpenItem.objects.filter(pk=item.pk).update(state="definite", result="own_only", definite_date=WEDNESDAY)
    books.pay("5", "10.00", WEDNESDAY)
    (next_check,) = books.plain_day(WEDNESDAY)
    assert next_check["passed"]
    assert _amounts(next_check) == {"receipt": 1000, "fees": -6}


def test_the_other_half_and_the_released_row_stand_on_the_day_they_come(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    row = books.pay("2", "30.00", TUESDAY)
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.finish(TUESDAY)
    books.close(WEDNESDAY)
    books.other_half(item, WEDNESDAY)
    books.reconcile(books.wechat, WEDNESDAY)
    books.receive(books.wechat, WEDNESDAY)
    (check,) = books.finish(WEDNESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 3000, "cleared.own": -3000, "released": 3000, "fees": -18}
    # Asked again later, Tuesday still adds up: its row was cleared with another date.
    from payops.settlement.equation import equation_of

    tuesday = equation_of(books.wechat, TUESDAY)
    assert tuesday.passed
    assert tuesday.amounts["released_later"] == -3000


def test_a_loss_is_no_term_but_its_released_row_is(books: Books, alice: Any, bob: Any) -> None:
    books.pay("1", "100.00", TUESDAY)
    row = books.pay("2", "30.00", TUESDAY)
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.finish(TUESDAY)
    books.decide(item.case, "loss", alice, bob)
    (check,) = books.plain_day(WEDNESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 0, "released": 3000, "fees": -18}


def test_a_surplus_passed_to_a_merchant_is_a_term_of_its_discrepancy_date(books: Books, alice: Any, bob: Any) -> None:
    books.close(TUESDAY)
    item = books.differ(books.wechat, TUESDAY, 5000, ResultKind.CHANNEL_ONLY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.finish(TUESDAY)
    books.decide(item.case, "supplement", alice, bob, merchant_no="M-A")
    (check,) = books.plain_day(WEDNESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 0, "supplements": 5000, "fees": -30}


def test_a_top_up_is_not_cleared_and_says_so(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.pay("2", "20.00", TUESDAY, kind="topup")
    (check,) = books.plain_day(TUESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 12000, "topups": -2000, "fees": -60}


def test_a_top_up_the_channel_does_not_know_is_left_out_once(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    row = books.pay("2", "20.00", TUESDAY, kind="topup")
    books.close(TUESDAY)
    books.differ(books.wechat, TUESDAY, -2000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    (check,) = books.finish(TUESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 10000, "new.own": 2000, "topups": -2000, "fees": -60}


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_missing_receipt_withholds_only_that_channel_date(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.pay("2", "50.00", TUESDAY, **_alipay(books))
    books.close(TUESDAY)
    for contract in (books.wechat, books.alipay):
        books.reconcile(contract, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    alipay, wechat = books.finish(TUESDAY)
    assert (wechat["passed"], alipay["passed"]) == (True, False)
    assert (alipay["term"], alipay["withheld"]) == ("receipt", 4970)
    assert alipay["reason"] == "No receipt from ALIPAY for 2026-11-17: 50.00 is due."
    sheet = books.sheet(books.a, WEDNESDAY)
    assert (sheet.settlement_amount, sheet.withheld_amount, sheet.payout_amount) == (14910, 4970, 9940)
    assert ClearingItem.objects.get(contract=books.alipay).settlement_sheet is None


def test_what_a_merchant_owes_for_a_failed_date_is_not_paid_out_instead(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY, **_alipay(books))
    books.close(TUESDAY)
    books.refund("2", "1", "20.00", WEDNESDAY, **_alipay(books))
    books.close(WEDNESDAY)
    for day in (TUESDAY, WEDNESDAY):
        books.reconcile(books.alipay, day)
        books.clear(day)
    books.receive(books.alipay, TUESDAY)
    books.settle(WEDNESDAY)
    tuesday, wednesday = books.check(WEDNESDAY)
    assert (tuesday["passed"], wednesday["passed"], wednesday["withheld"]) == (True, False, 0)
    assert books.item(books.a, WEDNESDAY).net == -1988
    assert books.sheet(books.a, THURSDAY).payout_amount == books.settlement(books.a) == 9940 - 1988


def test_what_was_withheld_is_paid_once_its_receipt_came(books: Books) -> None:
    books.pay("1", "50.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.finish(TUESDAY)
    first = books.sheet(books.a, WEDNESDAY)
    assert (first.state, first.payout_amount, first.carry_out) == ("carried", 0, 0)
    books.receive(books.wechat, TUESDAY)
    books.plain_day(WEDNESDAY)
    second = books.sheet(books.a, THURSDAY)
    assert (second.settlement_amount, second.carried_in, second.payout_amount) == (4970, 0, 4970)
    assert list(BalanceCheck.objects.filter(own_date=TUESDAY).order_by("attempt").values_list("attempt", "passed")) == [
        (1, False),
        (2, True),
    ]


def test_the_switch_takes_the_receivable_instead_of_the_receipt(books: Books) -> None:
    books.wechat.receivable_allowed = True
    books.wechat.save()
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    (check,) = books.finish(TUESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 0, "receivable": 10000, "fees": -60}


def test_a_receipt_that_did_not_come_fails_although_all_of_it_is_in_suspense(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY, less=10_000, short=10_000)
    (check,) = books.finish(TUESDAY)
    assert (check["passed"], check["term"], check["withheld"]) == (False, "receipt", 9940)
    assert books.sheet(books.a, WEDNESDAY).payout_amount == 0


def test_a_date_whose_receipt_never_comes_is_payable_once_finance_accepts_the_loss(
    books: Books, alice: object, bob: object
) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    receipt = books.receive(books.wechat, TUESDAY, less=10_000, short=10_000)
    receipt.case = case_open(
        dedupe_key="never", kind=CaseKind.RECEIPT, amount=-10_000, suspense=-10_000, currency="CNY",
        business_date=TUESDAY, contract=books.wechat, evidence={"own": None, "channel": None},
    )  # fmt: skip
    receipt.save(update_fields=["case"])
    short = ledger.Posting(Event.RECEIPT_SHORT, "test", 1, {"D": 10_000}, {"channel": "WECHAT"}, TUESDAY)
    ledger.post(short)
    (failed,) = books.finish(TUESDAY)

    books.decide(receipt.case, ActionKind.LOSS, alice, bob)

    assert (failed["passed"], equation_of(books.wechat, TUESDAY).passed) == (False, True)


def test_a_short_receipt_passes_once_the_rest_is_in_suspense(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY, less=1000, short=1000)
    (check,) = books.finish(TUESDAY)
    assert check["passed"]
    assert _amounts(check) == {"receipt": 9000, "receipt_short": 1000, "fees": -60}


def _ready_to_check(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    row = books.pay("2", "30.00", TUESDAY)
    books.close(TUESDAY)
    books.differ(books.wechat, TUESDAY, -3000, ResultKind.OWN_ONLY, row)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    books.settle(TUESDAY)


def test_a_receipt_off_by_a_fen_fails_and_is_named(books: Books) -> None:
    _ready_to_check(books)
    damage(ChannelReceipt.objects.get(), received=9999)
    (check,) = books.check(TUESDAY)
    assert (check["passed"], check["difference"], check["term"]) == (False, -1, "receipt")
    assert "-0.01" in check["reason"]
    assert books.sheet(books.a, WEDNESDAY).payout_amount == 0


def test_a_difference_off_by_a_fen_fails_and_is_named(books: Books) -> None:
    _ready_to_check(books)
    damage(OpenItem.objects.get(), d=-3001)
    (check,) = books.check(TUESDAY)
    assert (check["passed"], check["difference"], check["term"]) == (False, 1, "differences")
    assert "0.01" in check["reason"]


def test_a_held_row_off_by_a_fen_fails_and_is_named(books: Books) -> None:
    _ready_to_check(books)
    damage(ClearingHold.objects.get(), amount=2999)
    (check,) = books.check(TUESDAY)
    assert (check["passed"], check["difference"], check["term"]) == (False, 1, "rows")


def test_an_item_off_by_a_fen_fails_and_is_named(books: Books) -> None:
    _ready_to_check(books)
    damage(books.item(books.a, TUESDAY), amount=10001, net=9941)
    (check,) = books.check(TUESDAY)
    assert (check["passed"], check["difference"], check["term"]) == (False, -1, "rows")


# --- attempts ---------------------------------------------------------------------------------------------------------


def test_checking_twice_is_one_attempt(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    books.check(TUESDAY)
    assert BalanceCheck.objects.count() == 1
    assert books.sheet(books.a, WEDNESDAY).state == "ready"


def test_the_last_attempt_counts(books: Books) -> None:
    _ready_to_check(books)
    damage(ChannelReceipt.objects.get(), received=9999)
    books.check(TUESDAY)
    damage(ChannelReceipt.objects.get(), received=10000)
    books.check(TUESDAY)
    check = last_check(books.wechat.pk, TUESDAY)
    assert check is not None
    assert (check.attempt, check.passed) == (2, True)
    assert list(last_checks(TUESDAY)) == [check]


def test_terms_are_shown_by_their_names(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    names = [term["name"] for term in check_terms(BalanceCheck.objects.get())]
    assert names == ["Receipt", "Fees of net-settled merchants"]


def test_a_check_is_never_changed(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.plain_day(TUESDAY)
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE settlement_balancecheck SET passed = true")


def test_only_an_equal_check_may_pass(books: Books) -> None:
    with pytest.raises(IntegrityError, match="balance_check_passes_only_if_equal"), transaction.atomic():
        BalanceCheck.objects.create(
            contract=books.wechat, own_date=TUESDAY, attempt=1, terms=[], computed=1, clearing_amount=2, passed=True
        )


# --- commands ---------------------------------------------------------------------------------------------------------


def _command(name: str, *extra: str) -> str:
    out = StringIO()
    call_command(name, "--date", TUESDAY.isoformat(), *extra, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_commands_answer_in_json(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    assert json.loads(_command("clear", "--json"))["contracts"]["WECHAT"]["net"] == 9940
    assert json.loads(_command("settle", "--json"))["total"] == 9940
    assert json.loads(_command("balance_check", "--json"))[0]["passed"] is True


def test_the_commands_answer_people(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.receive(books.wechat, TUESDAY)
    assert "WECHAT: 1 transactions, 100.00, fee 0.60" in _command("clear")
    assert "1 sheets, 99.40 settled" in _command("settle")
    assert "WECHAT 2026-11-17: passed" in _command("balance_check")


def test_a_failed_check_ends_the_command_with_an_error(books: Books) -> None:
    books.pay("1", "100.00", TUESDAY)
    books.close(TUESDAY)
    books.reconcile(books.wechat, TUESDAY)
    books.clear(TUESDAY)
    books.settle(TUESDAY)
    with pytest.raises(SystemExit) as ended:
        _command("balance_check")
    assert ended.value.code == 1


def test_clearing_an_open_day_ends_the_command_with_an_error(books: Books) -> None:
    with pytest.raises(SystemExit):
        _command("clear", "--json")
