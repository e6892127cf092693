"""The seeded booking rules of DOMAIN 4.5 beyond the everyday: escrow, D0, prepaid and post-charged fees, disputes,
agents, deposits, transfers. Each row by its name, and for each product a whole life that leaves nothing in flight."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payops.accounts import selectors, services
from payops.accounts.choices import Event
from payops.accounts.models import Account
from payops.core.errors import PayopsError
from tests.accounts.conftest import Book

Balance = Callable[..., int]


def own_money() -> int:
    """The institution's own money in the reserve, as the customers' money guard sees it now."""
    return selectors.customers_money_guard()["currencies"]["CNY"]["own_money"]


# --- escrow and subsidies ---


def test_escrow_payment_waits_in_transit_and_not_in_pending(book: Book, balance: Balance) -> None:
    assert book(Event.ESCROW_PAID, A=10_000) == [("D", "3001.01", "wx", 10_000), ("C", "3001.02", "M-A", 10_000)]
    assert balance("2202.01", "M-A") == 0


def test_escrow_confirmed_enters_pending(book: Book, balance: Balance) -> None:
    book(Event.ESCROW_PAID, A=10_000)
    assert book(Event.ESCROW_CONFIRMED, A=10_000) == [
        ("D", "3001.02", "M-A", 10_000),
        ("C", "2202.01", "M-A", 10_000),
    ]
    assert balance("3001.02", "M-A") == 0


def test_refund_of_an_unconfirmed_escrow_payment_comes_out_of_transit(book: Book, balance: Balance) -> None:
    book(Event.ESCROW_PAID, A=10_000)
    assert book(Event.REFUND_ACCEPTED_ESCROW, A=10_000) == [
        ("D", "3001.02", "M-A", 10_000),
        ("C", "2202.03", "M-A", 10_000),
    ]
    book(Event.REFUND_TAKEN, A=10_000)
    assert balance("3001.02", "M-A") == balance("2202.03", "M-A") == balance("3001.01", "wx") == 0


def test_refund_failed_goes_back_to_escrow_when_it_came_from_there(book: Book, balance: Balance) -> None:
    book(Event.REFUND_ACCEPTED_ESCROW, A=300)
    assert book(Event.REFUND_FAILED_ESCROW, A=300) == [("D", "2202.03", "M-A", 300), ("C", "3001.02", "M-A", 300)]
    assert balance("2202.03", "M-A") == 0


def test_unconfirmed_escrow_money_is_not_the_institutions_own(book: Book) -> None:
    book(Event.ESCROW_PAID, A=10_000)
    assert own_money() == 0
    book(Event.ESCROW_CONFIRMED, A=10_000)
    assert own_money() == 0


def test_subsidy_is_marketing_cost_and_the_merchants_money(book: Book) -> None:
    assert book(Event.SUBSIDY, A=500) == [("D", "6601.01", "", 500), ("C", "2202.01", "M-A", 500)]


def test_subsidy_is_covered_by_own_funds(book: Book) -> None:
    """The payer pays 15.00 of 20.00; the merchant is owed 20.00, so 5.00 of own money belong into the reserve."""
    book(Event.PAYMENT, A=1_500)
    book(Event.SUBSIDY, A=500)
    assert own_money() == -500
    book(Event.OWN_FUNDS_COVER, P=500)
    assert own_money() == 0


# --- refund by payout ---


def test_refund_by_payout_moves_from_refunds_to_payouts_in_flight(book: Book) -> None:
    assert book(Event.REFUND_BY_PAYOUT, A=300) == [("D", "2202.03", "M-A", 300), ("C", "2241.02", "M-A", 300)]


def test_refund_by_payout_leaves_the_reserve_when_confirmed(book: Book, balance: Balance) -> None:
    book(Event.REFUND_ACCEPTED_SETTLEMENT, A=300)
    book(Event.REFUND_BY_PAYOUT, A=300)
    book(Event.PAYOUT_CONFIRMED, P=300)
    assert balance("2202.03", "M-A") == balance("2241.02", "M-A") == 0
    assert balance("1002.01", "R1") == -300


def test_refund_by_payout_that_failed_is_a_refund_in_flight_again(book: Book) -> None:
    assert book(Event.REFUND_PAYOUT_FAILED, A=300) == [("D", "2241.02", "M-A", 300), ("C", "2202.03", "M-A", 300)]


def test_refund_by_payout_that_came_back_is_a_refund_in_flight_again(book: Book) -> None:
    assert book(Event.REFUND_PAYOUT_RETURNED, A=300) == [("D", "1002.01", "R1", 300), ("C", "2202.03", "M-A", 300)]


# --- scheme fees, interest, bank charges ---


def test_scheme_fee_is_channel_cost_off_the_receivable(book: Book) -> None:
    assert book(Event.SCHEME_FEE, K=20) == [("D", "6421.01", "wx", 20), ("C", "1122.01", "wx", 20)]


def test_scheme_fee_given_back_is_negative_and_swaps_sides(book: Book) -> None:
    assert book(Event.SCHEME_FEE, K=-20) == [("C", "6421.01", "wx", 20), ("D", "1122.01", "wx", 20)]


def test_scheme_fee_explains_a_receipt_short_of_the_bill(book: Book, balance: Balance) -> None:
    book(Event.BILL_NETTED, S=9_962, K=38)
    book(Event.SCHEME_FEE, K=20)
    book(Event.RECEIPT, R=9_942)
    assert balance("1122.01", "wx") == 0


def test_an_explained_bank_credit_leaves_nothing_of_its_suspense(book: Book, balance: Balance) -> None:
    book(Event.UNIDENTIFIED_CREDIT, R=40)
    book(Event.UNIDENTIFIED_CREDIT_KNOWN, R=40)
    assert (balance("1002.01", "R1"), balance("2241.01", "R1")) == (0, 0)


def test_an_explained_bank_debit_leaves_nothing_of_its_suspense(book: Book, balance: Balance) -> None:
    book(Event.UNIDENTIFIED_DEBIT, R=40)
    book(Event.UNIDENTIFIED_DEBIT_KNOWN, R=40)
    assert (balance("1002.01", "R1"), balance("1221.01", "R1")) == (0, 0)


def test_an_offline_receipt_goes_from_suspense_through_the_transit_to_the_merchant(
    book: Book, balance: Balance
) -> None:
    book(Event.UNIDENTIFIED_CREDIT, R=40)
    book(Event.OFFLINE_RECEIPT, R=40)
    assert (balance("2241.01", "R1"), balance("2241.03", ""), balance("2202.02", "M-A")) == (0, 0, 40)


def test_reserve_interest_is_not_income_until_carried(book: Book) -> None:
    assert book(Event.RESERVE_INTEREST, R=77) == [("D", "1002.01", "R1", 77), ("C", "2241.06", "R1", 77)]


def test_bank_charge_is_paid_from_own_funds(book: Book) -> None:
    assert book(Event.BANK_CHARGE, R=5) == [("D", "6603.01", "", 5), ("C", "1002.02", "O1", 5)]


# --- disputes ---


def test_chargeback_takes_the_shortage_from_the_settlement_account(book: Book, balance: Balance) -> None:
    book(Event.BILL_NETTED, S=-1_000, K=0)  # the scheme takes the money back
    book(Event.SHORTAGE_FOUND, D=1_000)
    assert book(Event.CHARGEBACK_SETTLEMENT, D=1_000) == [
        ("D", "2202.02", "M-A", 1_000),
        ("C", "1221.01", "wx", 1_000),
    ]
    assert balance("1221.01", "wx") == balance("3001.01", "wx") == 0


def test_chargeback_is_a_receivable_when_the_merchant_has_nothing(book: Book) -> None:
    assert book(Event.CHARGEBACK_RECEIVABLE, D=1_000) == [
        ("D", "1122.03", "M-A", 1_000),
        ("C", "1221.01", "wx", 1_000),
    ]


def test_representment_won_returns_to_the_settlement_account(book: Book, balance: Balance) -> None:
    book(Event.BILL_NETTED, S=1_000, K=0)
    assert book(Event.REPRESENTMENT_SETTLEMENT, D=1_000) == [
        ("D", "3001.01", "wx", 1_000),
        ("C", "2202.02", "M-A", 1_000),
    ]
    assert balance("3001.01", "wx") == 0


def test_representment_won_ends_what_was_to_be_recovered(book: Book, balance: Balance) -> None:
    book(Event.CHARGEBACK_RECEIVABLE, D=1_000)
    assert book(Event.REPRESENTMENT_RECOVERY, D=1_000) == [
        ("D", "3001.01", "wx", 1_000),
        ("C", "1122.03", "M-A", 1_000),
    ]
    assert balance("1122.03", "M-A") == 0


def test_representment_won_takes_back_a_loss_accepted_before(book: Book, balance: Balance) -> None:
    book(Event.LOSS, D=1_000)
    assert book(Event.REPRESENTMENT_LOSS, D=1_000) == [("D", "3001.01", "wx", 1_000), ("C", "6711.01", "", 1_000)]
    assert balance("6711.01") == 0


def test_a_chargeback_that_is_won_leaves_everybody_where_they_were(book: Book, balance: Balance) -> None:
    book(Event.BILL_NETTED, S=-1_000, K=0)
    book(Event.SHORTAGE_FOUND, D=1_000)
    book(Event.CHARGEBACK_SETTLEMENT, D=1_000)
    book(Event.BILL_NETTED, S=1_000, K=0)
    book(Event.REPRESENTMENT_SETTLEMENT, D=1_000)
    for subject, owner in [("2202.02", "M-A"), ("1221.01", "wx"), ("3001.01", "wx"), ("1122.01", "wx")]:
        assert balance(subject, owner) == 0, subject


# --- fees: prepaid, post-charged, discounts ---


def test_prepaid_top_up_is_own_funds_and_owed_to_the_merchant(book: Book) -> None:
    assert book(Event.PREPAID_TOPUP, P=5_000) == [("D", "1002.02", "O1", 5_000), ("C", "2203.02", "M-A", 5_000)]


def test_clearing_with_a_prepaid_fee_settles_the_whole_amount(book: Book) -> None:
    assert book(Event.CLEARING_PREPAID, A=10_000, X=500, F=57) == [
        ("D", "2202.01", "M-A", 9_500),
        ("D", "2203.02", "M-A", 57),
        ("C", "2202.02", "M-A", 9_500),
        ("C", "6021.01", "", 57),
    ]


def test_a_prepaid_fee_is_frozen_with_the_transaction_and_taken_at_clearing(book: Book, balance: Balance) -> None:
    book(Event.PREPAID_TOPUP, P=100)
    prepaid = Account.objects.get(account_no="220302-M-A")
    book(Event.PAYMENT, A=10_000)
    slip = services.freeze_place(
        account=prepaid, amount=60, reason="fee", source_kind="transaction", source_id=1, created_by="system"
    )
    prepaid.refresh_from_db()
    assert (prepaid.balance, prepaid.available) == (100, 40)
    services.freeze_release(freeze=slip, amount=60)
    book(Event.CLEARING_PREPAID, A=10_000, X=0, F=60)
    prepaid.refresh_from_db()
    assert (prepaid.balance, prepaid.available) == (40, 40)
    assert balance("2202.02", "M-A") == 10_000


def test_refund_from_settlement_gives_the_fee_back_to_the_prepaid_fees(book: Book) -> None:
    assert book(Event.CLEARING_REFUND_FEE_PREPAID, F=6) == [("D", "6021.01", "", 6), ("C", "2203.02", "M-A", 6)]


def test_post_charged_fee_is_collected_into_own_funds(book: Book) -> None:
    assert book(Event.FEE_COLLECTED_BANK, F=57) == [("D", "1002.02", "O1", 57), ("C", "1122.02", "M-A", 57)]


def test_post_charged_fee_is_collected_from_the_settlement_account(book: Book) -> None:
    assert book(Event.FEE_COLLECTED_SETTLEMENT, F=57) == [("D", "2202.02", "M-A", 57), ("C", "1122.02", "M-A", 57)]


def test_post_charged_fee_waived_is_no_income(book: Book, balance: Balance) -> None:
    book(Event.CLEARING_GROSS, A=10_000, X=0, F=57)
    assert book(Event.FEE_WAIVED, F=57) == [("D", "6021.01", "", 57), ("C", "1122.02", "M-A", 57)]
    assert balance("6021.01") == balance("1122.02", "M-A") == 0


def test_volume_discount_is_marketing_cost_and_the_list_fee_stays_income(book: Book, balance: Balance) -> None:
    book(Event.CLEARING_NET, A=10_000, X=0, F=60)
    assert book(Event.DISCOUNT_SETTLEMENT, F=10) == [("D", "6601.01", "", 10), ("C", "2202.02", "M-A", 10)]
    assert balance("6021.01") == 60


def test_volume_discount_of_a_post_charged_merchant_lowers_its_receivable_fees(book: Book) -> None:
    assert book(Event.DISCOUNT_RECEIVABLE, F=10) == [("D", "6601.01", "", 10), ("C", "1122.02", "M-A", 10)]


# --- D0 ---


def test_d0_advance_is_in_flight_from_own_funds(book: Book) -> None:
    assert book(Event.D0_ADVANCE, P=9_700) == [("D", "1221.02", "M-A", 9_700), ("C", "2241.02", "O1", 9_700)]


def test_d0_advance_in_flight_is_not_customers_money(book: Book) -> None:
    book(Event.PAYMENT, A=10_000)
    book(Event.D0_ADVANCE, P=9_700)
    assert own_money() == 0


def test_d0_confirmed_leaves_own_funds(book: Book) -> None:
    assert book(Event.D0_CONFIRMED, P=9_700) == [("D", "2241.02", "O1", 9_700), ("C", "1002.02", "O1", 9_700)]


def test_d0_failed_was_never_advanced(book: Book, balance: Balance) -> None:
    book(Event.D0_ADVANCE, P=9_700)
    assert book(Event.D0_FAILED, P=9_700) == [("D", "2241.02", "O1", 9_700), ("C", "1221.02", "M-A", 9_700)]
    assert balance("1221.02", "M-A") == balance("2241.02", "O1") == 0


def test_d0_returned_comes_back_into_own_funds(book: Book, balance: Balance) -> None:
    book(Event.D0_ADVANCE, P=9_700)
    book(Event.D0_CONFIRMED, P=9_700)
    assert book(Event.D0_RETURNED, P=9_700) == [("D", "1002.02", "O1", 9_700), ("C", "1221.02", "M-A", 9_700)]
    assert balance("1221.02", "M-A") == balance("1002.02", "O1") == 0


def test_d0_cleared_the_day_after_takes_both_fees(book: Book) -> None:
    assert book(Event.D0_CLEARED, A=10_000, X=0, F=100, Fd=200) == [
        ("D", "2202.01", "M-A", 10_000),
        ("C", "2202.02", "M-A", 9_700),
        ("C", "6021.01", "", 100),
        ("C", "6021.02", "", 200),
    ]


def test_d0_squared_takes_the_advance_from_the_settlement_account(book: Book) -> None:
    assert book(Event.D0_SQUARED, P=9_700) == [("D", "2202.02", "M-A", 9_700), ("C", "1221.02", "M-A", 9_700)]


def test_own_funds_are_repaid_through_fund_transfer(book: Book, balance: Balance) -> None:
    assert book(Event.OWN_FUNDS_REPAID_OUT, P=9_700) == [("D", "3001.03", "O1", 9_700), ("C", "1002.01", "R1", 9_700)]
    assert book(Event.OWN_FUNDS_REPAID_IN, P=9_700) == [("D", "1002.02", "O1", 9_700), ("C", "3001.03", "O1", 9_700)]
    assert balance("3001.03", "O1") == 0


def test_a_whole_life_of_a_d0_payment_gives_own_funds_back_what_they_advanced(book: Book, balance: Balance) -> None:
    """Paid 100.00, fee 1.00, D0 fee 2.00, channel cost 0.38: the merchant has 97.00 at once, and 2.62 are earned."""
    book(Event.PAYMENT, A=10_000)
    book(Event.D0_ADVANCE, P=9_700)
    book(Event.D0_CONFIRMED, P=9_700)
    book(Event.BILL_NETTED, S=9_962, K=38)
    book(Event.RECEIPT, R=9_962)
    book(Event.D0_CLEARED, A=10_000, X=0, F=100, Fd=200)
    book(Event.D0_SQUARED, P=9_700)
    book(Event.OWN_FUNDS_REPAID_OUT, P=9_700)
    book(Event.OWN_FUNDS_REPAID_IN, P=9_700)
    for subject, owner in [
        ("1221.02", "M-A"),
        ("2241.02", "O1"),
        ("2202.01", "M-A"),
        ("2202.02", "M-A"),
        ("3001.01", "wx"),
        ("3001.03", "O1"),
        ("1002.02", "O1"),
    ]:
        assert balance(subject, owner) == 0, subject
    assert balance("1002.01", "R1") == own_money() == 262


def test_a_refund_first_shrinks_what_d0_is_squared_with_and_the_rest_stays_an_advance(
    book: Book, balance: Balance
) -> None:
    book(Event.PAYMENT, A=10_000)
    book(Event.D0_ADVANCE, P=9_700)
    book(Event.D0_CONFIRMED, P=9_700)
    book(Event.REFUND_ACCEPTED_PENDING, A=3_000)
    book(Event.D0_CLEARED, A=7_000, X=0, F=100, Fd=200)
    book(Event.D0_SQUARED, P=6_700)
    assert balance("2202.02", "M-A") == 0
    assert balance("1221.02", "M-A") == 3_000


def test_a_d0_payment_with_a_merchants_discount_settles_what_is_left_of_it(book: Book, balance: Balance) -> None:
    book(Event.PAYMENT, A=10_000)
    book(Event.BILL_DISCOUNT, X=500)
    book(Event.D0_CLEARED, A=10_000, X=500, F=100, Fd=200)
    assert balance("2202.01", "M-A") == 0
    assert balance("2202.02", "M-A") == 9_200


# --- agents ---


def test_profit_share_computed_is_cost_and_payable_to_the_agent(book: Book) -> None:
    assert book(Event.PROFIT_SHARE, F=15) == [("D", "6421.02", "", 15), ("C", "2241.04", "AG", 15)]


def test_profit_share_paid_goes_through_payouts_in_flight_to_own_funds(book: Book, balance: Balance) -> None:
    book(Event.PROFIT_SHARE, F=15)
    assert book(Event.PROFIT_SHARE_SUBMITTED, P=15) == [("D", "2241.04", "AG", 15), ("C", "2241.02", "AG", 15)]
    assert book(Event.PROFIT_SHARE_CONFIRMED, P=15) == [("D", "2241.02", "AG", 15), ("C", "1002.02", "O1", 15)]
    assert balance("2241.04", "AG") == balance("2241.02", "AG") == 0


def test_profit_share_whose_payment_failed_is_payable_again(book: Book) -> None:
    assert book(Event.PROFIT_SHARE_FAILED, P=15) == [("D", "2241.02", "AG", 15), ("C", "2241.04", "AG", 15)]


def test_profit_share_that_came_back_is_payable_again(book: Book) -> None:
    assert book(Event.PROFIT_SHARE_RETURNED, P=15) == [("D", "1002.02", "O1", 15), ("C", "2241.04", "AG", 15)]


def test_profit_share_taken_back_with_a_refund_is_negative_and_swaps_sides(book: Book) -> None:
    assert book(Event.PROFIT_SHARE, F=-15) == [("C", "6421.02", "", 15), ("D", "2241.04", "AG", 15)]


def test_an_agent_and_a_merchant_of_the_same_number_have_accounts_of_their_own(book: Book) -> None:
    services.open_agent_accounts("M-A")
    book(Event.PROFIT_SHARE, {"agent": "M-A"}, F=15)
    book(Event.PROFIT_SHARE_SUBMITTED, {"agent": "M-A"}, P=15)
    assert selectors.balance_of("2241.02", "agent", "M-A") == 15
    assert selectors.balance_of("2241.02", "merchant", "M-A") == 0


# --- deposits and transfers ---


def test_merchants_deposit_is_taken_from_the_settlement_account(book: Book) -> None:
    assert book(Event.DEPOSIT_TAKEN, P=2_000) == [("D", "2202.02", "M-A", 2_000), ("C", "2203.01", "M-A", 2_000)]


def test_merchants_deposit_is_released_the_other_way(book: Book, balance: Balance) -> None:
    book(Event.DEPOSIT_TAKEN, P=2_000)
    assert book(Event.DEPOSIT_RELEASED, P=2_000) == [("D", "2203.01", "M-A", 2_000), ("C", "2202.02", "M-A", 2_000)]
    assert balance("2203.01", "M-A") == 0


def test_transfer_between_reserve_accounts_goes_out_and_in_through_fund_transfer(book: Book, balance: Balance) -> None:
    assert book(Event.TRANSFER_OUT, P=700) == [("D", "3001.03", "", 700), ("C", "1002.01", "R1", 700)]
    assert book(Event.TRANSFER_IN, {"bank": "R2"}, P=700) == [("D", "1002.01", "R2", 700), ("C", "3001.03", "", 700)]
    assert balance("3001.03") == 0


def test_money_between_two_reserve_accounts_is_still_in_the_reserve(book: Book) -> None:
    book(Event.PAYMENT, A=700)
    book(Event.BILL_NETTED, S=700, K=0)
    book(Event.RECEIPT, R=700)
    book(Event.TRANSFER_OUT, P=700)
    assert own_money() == 0


def test_own_money_on_its_way_out_of_the_reserve_is_no_longer_in_it(book: Book) -> None:
    book(Event.OWN_FUNDS_COVER, P=700)
    book(Event.OWN_FUNDS_REPAID_OUT, P=700)
    assert own_money() == 0


# --- what books nothing, and what books once ---


def test_a_payout_unknown_or_submitted_again_books_nothing(book: Book, balance: Balance) -> None:
    """An unknown result has no event; the same payout sent again is the same source and stays booked once."""
    posting = book.posting(Event.PAYOUT_SUBMITTED, P=9_443)
    services.post(posting)
    with pytest.raises(PayopsError, match="booked already"):
        services.post(posting)
    assert services.post_many([posting]).skipped == 1
    assert balance("2241.02", "M-A") == 9_443
