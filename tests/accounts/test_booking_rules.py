"""The seeded booking rules, row by row, as DOMAIN 4.5 states them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from payops.accounts.chart import read_yaml
from payops.accounts.choices import LINE_EVENTS, Event
from payops.accounts.rules import rules_file
from tests.accounts.conftest import Book

Balance = Callable[..., int]
BOOKING_RULES = Path(settings.BASE_DIR) / "docs" / "booking-rules.md"
TESTS = [Path(__file__), Path(__file__).with_name("test_booking_rules_products.py")]


# --- transactions ---


def test_payment_succeeded_debits_channel_pending_clearing_and_credits_merchant_pending(book: Book) -> None:
    assert book(Event.PAYMENT, A=10_000) == [("D", "3001.01", "wx", 10_000), ("C", "2202.01", "M-A", 10_000)]


def test_void_debits_merchant_pending_and_credits_channel_pending_clearing(book: Book) -> None:
    assert book(Event.VOID, A=10_000) == [("D", "2202.01", "M-A", 10_000), ("C", "3001.01", "wx", 10_000)]


def test_payment_and_its_void_leave_nothing(book: Book, balance: Balance) -> None:
    book(Event.PAYMENT, A=700)
    book(Event.VOID, A=700)
    assert balance("3001.01", "wx") == balance("2202.01", "M-A") == 0


def test_top_up_credits_the_settlement_account_at_once(book: Book) -> None:
    assert book(Event.TOPUP, A=10_000) == [("D", "3001.01", "wx", 10_000), ("C", "2202.02", "M-A", 10_000)]


def test_refund_accepted_from_pending_waits_in_flight(book: Book) -> None:
    assert book(Event.REFUND_ACCEPTED_PENDING, A=300) == [("D", "2202.01", "M-A", 300), ("C", "2202.03", "M-A", 300)]


def test_refund_accepted_from_settlement_waits_in_flight(book: Book) -> None:
    assert book(Event.REFUND_ACCEPTED_SETTLEMENT, A=300) == [
        ("D", "2202.02", "M-A", 300),
        ("C", "2202.03", "M-A", 300),
    ]


def test_refund_taken_by_the_channel_empties_refunds_in_flight(book: Book) -> None:
    assert book(Event.REFUND_TAKEN, A=300) == [("D", "2202.03", "M-A", 300), ("C", "3001.01", "wx", 300)]


def test_refund_failed_goes_back_to_pending_when_it_came_from_there(book: Book, balance: Balance) -> None:
    book(Event.REFUND_ACCEPTED_PENDING, A=300)
    assert book(Event.REFUND_FAILED_PENDING, A=300) == [("D", "2202.03", "M-A", 300), ("C", "2202.01", "M-A", 300)]
    assert balance("2202.03", "M-A") == 0


def test_refund_failed_goes_back_to_settlement_when_it_came_from_there(book: Book, balance: Balance) -> None:
    book(Event.REFUND_ACCEPTED_SETTLEMENT, A=300)
    assert book(Event.REFUND_FAILED_SETTLEMENT, A=300) == [("D", "2202.03", "M-A", 300), ("C", "2202.02", "M-A", 300)]
    assert balance("2202.03", "M-A") == 0


def test_refund_returned_after_success_debits_channel_pending_clearing(book: Book) -> None:
    assert book(Event.REFUND_RETURNED, A=300) == [("D", "3001.01", "wx", 300), ("C", "2202.03", "M-A", 300)]


# --- bills ---


def test_bill_taken_with_netted_cost_credits_channel_pending_clearing_with_settled_amount_and_fee(book: Book) -> None:
    assert book(Event.BILL_NETTED, S=9_940, K=60) == [
        ("D", "1122.01", "wx", 9_940),
        ("D", "6421.01", "wx", 60),
        ("C", "3001.01", "wx", 10_000),
    ]


def test_bill_taken_with_billed_cost_owes_the_fee_to_the_channel(book: Book) -> None:
    assert book(Event.BILL_BILLED, S=10_000, K=60) == [
        ("D", "1122.01", "wx", 10_000),
        ("D", "6421.01", "wx", 60),
        ("C", "3001.01", "wx", 10_000),
        ("C", "2241.05", "wx", 60),
    ]


def test_bill_of_refunds_only_swaps_the_sides(book: Book) -> None:
    assert book(Event.BILL_NETTED, S=-994, K=-6) == [
        ("C", "1122.01", "wx", 994),
        ("C", "6421.01", "wx", 6),
        ("D", "3001.01", "wx", 1_000),
    ]


def test_matched_line_with_discount_takes_it_from_merchant_pending(book: Book, balance: Balance) -> None:
    book(Event.PAYMENT, A=10_000)
    book(Event.BILL_NETTED, S=9_440, K=60)
    assert book(Event.BILL_DISCOUNT, X=500) == [("D", "2202.01", "M-A", 500), ("C", "3001.01", "wx", 500)]
    assert balance("3001.01", "wx") == 0


def test_in_doubt_books_nothing_and_stays_on_channel_pending_clearing(book: Book, balance: Balance) -> None:
    book(Event.PAYMENT, A=10_000)
    book(Event.PAYMENT, A=2_500)  # not in the bill, inside the in-doubt window
    book(Event.BILL_NETTED, S=9_940, K=60)
    assert balance("3001.01", "wx") == 2_500
    assert balance("1221.01", "wx") == balance("2241.01", "wx") == 0


# --- differences ---


def test_definite_surplus_goes_to_surplus_in_suspense(book: Book) -> None:
    assert book(Event.SURPLUS_FOUND, D=800) == [("D", "3001.01", "wx", 800), ("C", "2241.01", "wx", 800)]


def test_definite_shortage_goes_to_shortage_in_suspense(book: Book) -> None:
    assert book(Event.SHORTAGE_FOUND, D=800) == [("D", "1221.01", "wx", 800), ("C", "3001.01", "wx", 800)]


def test_surplus_is_cleared_when_its_other_half_arrives(book: Book, balance: Balance) -> None:
    book(Event.SURPLUS_FOUND, D=800)
    assert book(Event.SURPLUS_CLEARED, D=800) == [("D", "2241.01", "wx", 800), ("C", "3001.01", "wx", 800)]
    assert balance("2241.01", "wx") == balance("3001.01", "wx") == 0


def test_shortage_is_cleared_when_its_other_half_arrives(book: Book, balance: Balance) -> None:
    book(Event.SHORTAGE_FOUND, D=800)
    assert book(Event.SHORTAGE_CLEARED, D=800) == [("D", "3001.01", "wx", 800), ("C", "1221.01", "wx", 800)]
    assert balance("1221.01", "wx") == balance("3001.01", "wx") == 0


def test_difference_taken_back_by_a_re_run_is_negative_and_swaps_sides(book: Book, balance: Balance) -> None:
    book(Event.SURPLUS_FOUND, D=800)
    assert book(Event.SURPLUS_FOUND, D=-800) == [("C", "3001.01", "wx", 800), ("D", "2241.01", "wx", 800)]
    assert balance("2241.01", "wx") == 0


def test_fee_over_tolerance_is_claimed_from_the_channel(book: Book, balance: Balance) -> None:
    assert book(Event.FEE_CLAIM, D=12) == [("D", "1221.01", "wx", 12), ("C", "6421.01", "wx", 12)]
    book(Event.FEE_CLAIM_CLEARED, D=12)
    assert balance("1221.01", "wx") == balance("6421.01", "wx") == 0


def test_lost_order_supplemented_pays_the_merchant_out_of_surplus(book: Book, balance: Balance) -> None:
    book(Event.SURPLUS_FOUND, D=800)
    assert book(Event.SUPPLEMENT, D=800) == [("D", "2241.01", "wx", 800), ("C", "2202.01", "M-A", 800)]
    assert balance("2241.01", "wx") == 0


def test_surplus_to_the_payer_becomes_a_refund_in_flight(book: Book, balance: Balance) -> None:
    book(Event.SURPLUS_FOUND, D=800)
    assert book(Event.SURPLUS_TO_PAYER, D=800) == [("D", "2241.01", "wx", 800), ("C", "2202.03", "M-A", 800)]
    book(Event.REFUND_TAKEN, A=800)
    assert balance("2202.03", "M-A") == balance("3001.01", "wx") == 0


def test_surplus_to_income_after_the_legal_period(book: Book) -> None:
    assert book(Event.SURPLUS_TO_INCOME, D=800) == [("D", "2241.01", "wx", 800), ("C", "6301.01", "", 800)]


def test_recovery_takes_from_merchant_pending_when_not_cleared(book: Book) -> None:
    assert book(Event.RECOVER_PENDING, D=800) == [("D", "2202.01", "M-A", 800), ("C", "1221.01", "wx", 800)]


def test_recovery_takes_from_settlement_when_cleared(book: Book) -> None:
    assert book(Event.RECOVER_SETTLEMENT, D=800) == [("D", "2202.02", "M-A", 800), ("C", "1221.01", "wx", 800)]


def test_recovery_is_a_receivable_when_the_merchant_has_nothing(book: Book) -> None:
    assert book(Event.RECOVER_RECEIVABLE, D=800) == [("D", "1122.03", "M-A", 800), ("C", "1221.01", "wx", 800)]


def test_recovery_collected_from_settlement(book: Book) -> None:
    assert book(Event.RECOVERY_COLLECTED, D=800) == [("D", "2202.02", "M-A", 800), ("C", "1122.03", "M-A", 800)]


def test_recovery_given_up_is_a_loss(book: Book) -> None:
    assert book(Event.RECOVERY_GIVEN_UP, D=800) == [("D", "6711.01", "", 800), ("C", "1122.03", "M-A", 800)]


def test_loss_accepted_writes_shortage_off(book: Book, balance: Balance) -> None:
    book(Event.SHORTAGE_FOUND, D=800)
    assert book(Event.LOSS, D=800) == [("D", "6711.01", "", 800), ("C", "1221.01", "wx", 800)]
    assert balance("1221.01", "wx") == 0


# --- bank ---


def test_bank_receipt_moves_the_receivable_to_the_reserve(book: Book) -> None:
    assert book(Event.RECEIPT, R=9_940) == [("D", "1002.01", "R1", 9_940), ("C", "1122.01", "wx", 9_940)]


def test_negative_bank_receipt_means_we_pay(book: Book) -> None:
    assert book(Event.RECEIPT, R=-50) == [("C", "1002.01", "R1", 50), ("D", "1122.01", "wx", 50)]


def test_receipt_short_of_the_bill_is_a_shortage_in_suspense(book: Book) -> None:
    assert book(Event.RECEIPT_SHORT, D=40) == [("D", "1221.01", "wx", 40), ("C", "1122.01", "wx", 40)]


def test_receipt_over_the_bill_is_a_surplus_in_suspense(book: Book) -> None:
    assert book(Event.RECEIPT_OVER, D=40) == [("D", "1122.01", "wx", 40), ("C", "2241.01", "wx", 40)]


def test_unidentified_bank_credit_waits_as_surplus_of_the_bank_account(book: Book) -> None:
    assert book(Event.UNIDENTIFIED_CREDIT, R=40) == [("D", "1002.01", "R1", 40), ("C", "2241.01", "R1", 40)]


def test_unidentified_bank_debit_waits_as_shortage_of_the_bank_account(book: Book) -> None:
    assert book(Event.UNIDENTIFIED_DEBIT, R=40) == [("D", "1221.01", "R1", 40), ("C", "1002.01", "R1", 40)]


def test_cost_bill_is_paid_from_own_funds(book: Book, balance: Balance) -> None:
    book(Event.BILL_BILLED, S=10_000, K=60)
    assert book(Event.COST_BILL_PAID, K=60) == [("D", "2241.05", "wx", 60), ("C", "1002.02", "O1", 60)]
    assert balance("2241.05", "wx") == 0


# --- clearing and payout ---


def test_clearing_net_takes_the_fee_out_of_the_settlement(book: Book) -> None:
    assert book(Event.CLEARING_NET, A=10_000, X=500, F=57) == [
        ("D", "2202.01", "M-A", 9_500),
        ("C", "2202.02", "M-A", 9_443),
        ("C", "6021.01", "", 57),
    ]


def test_clearing_net_with_a_fee_above_the_amount_debits_the_settlement_account(book: Book) -> None:
    assert book(Event.CLEARING_NET, A=5, X=0, F=10) == [
        ("D", "2202.01", "M-A", 5),
        ("D", "2202.02", "M-A", 5),
        ("C", "6021.01", "", 10),
    ]


def test_clearing_of_more_refunds_than_payments_swaps_the_sides(book: Book) -> None:
    assert book(Event.CLEARING_NET, A=-1_000, X=0, F=-6) == [
        ("C", "2202.01", "M-A", 1_000),
        ("D", "2202.02", "M-A", 994),
        ("D", "6021.01", "", 6),
    ]


def test_clearing_gross_leaves_the_fee_receivable(book: Book) -> None:
    assert book(Event.CLEARING_GROSS, A=10_000, X=500, F=57) == [
        ("D", "2202.01", "M-A", 9_500),
        ("D", "1122.02", "M-A", 57),
        ("C", "2202.02", "M-A", 9_500),
        ("C", "6021.01", "", 57),
    ]


def test_refund_from_settlement_books_the_returned_fee_only(book: Book) -> None:
    assert book(Event.CLEARING_REFUND_FEE_NET, F=6) == [("D", "6021.01", "", 6), ("C", "2202.02", "M-A", 6)]


def test_refund_from_settlement_of_a_gross_merchant_lowers_its_receivable_fees(book: Book) -> None:
    assert book(Event.CLEARING_REFUND_FEE_GROSS, F=6) == [("D", "6021.01", "", 6), ("C", "1122.02", "M-A", 6)]


def test_payout_approved_and_submitted_is_in_flight(book: Book) -> None:
    assert book(Event.PAYOUT_SUBMITTED, P=9_443) == [("D", "2202.02", "M-A", 9_443), ("C", "2241.02", "M-A", 9_443)]


def test_payout_confirmed_leaves_the_reserve(book: Book) -> None:
    assert book(Event.PAYOUT_CONFIRMED, P=9_443) == [("D", "2241.02", "M-A", 9_443), ("C", "1002.01", "R1", 9_443)]


def test_payout_failed_finally_goes_back_to_the_settlement_account(book: Book) -> None:
    assert book(Event.PAYOUT_FAILED, P=9_443) == [("D", "2241.02", "M-A", 9_443), ("C", "2202.02", "M-A", 9_443)]


def test_payout_returned_comes_back_into_the_reserve_and_the_settlement_account(book: Book) -> None:
    assert book(Event.PAYOUT_RETURNED, P=9_443) == [("D", "1002.01", "R1", 9_443), ("C", "2202.02", "M-A", 9_443)]


def test_fee_income_is_carried_out_of_the_reserve_into_own_funds(book: Book) -> None:
    assert book(Event.FEE_CARRIED, P=57) == [("D", "1002.02", "O1", 57), ("C", "1002.01", "R1", 57)]


def test_own_funds_cover_a_gap_in_the_reserve(book: Book) -> None:
    assert book(Event.OWN_FUNDS_COVER, P=57) == [("D", "1002.01", "R1", 57), ("C", "1002.02", "O1", 57)]


def test_a_whole_life_of_a_payment_leaves_only_profit_in_the_reserve(book: Book, balance: Balance) -> None:
    """Paid 100.00, channel cost 0.38 netted, merchant fee 0.60: 0.22 of the institution's own money stays."""
    book(Event.PAYMENT, A=10_000)
    book(Event.BILL_NETTED, S=9_962, K=38)
    book(Event.RECEIPT, R=9_962)
    book(Event.CLEARING_NET, A=10_000, X=0, F=60)
    book(Event.PAYOUT_SUBMITTED, P=9_940)
    book(Event.PAYOUT_CONFIRMED, P=9_940)
    assert balance("1002.01", "R1") == 22
    for subject, owner in [
        ("3001.01", "wx"),
        ("1122.01", "wx"),
        ("2202.01", "M-A"),
        ("2202.02", "M-A"),
        ("2241.02", "M-A"),
    ]:
        assert balance(subject, owner) == 0, subject


# --- the list of all rows ---


def test_every_event_stands_in_the_list_of_booking_rules_with_its_lines_and_a_test_that_exists() -> None:
    """docs/booking-rules.md is written by hand and read by accountants: it must not drift from what is booked."""
    rows = re.findall(r"^\| [^|]+ \| (.+?) \| (.+?) \| `(.+?)` \|$", BOOKING_RULES.read_text(encoding="utf-8"), re.M)
    seeded = {rule["event"]: rule["lines"] for rule in read_yaml(rules_file())}
    listed = {event.strip("`"): lines for event, lines, _test in rows if event != "–"}
    assert listed == {event: " · ".join(" ".join(map(str, line)) for line in lines) for event, lines in seeded.items()}
    assert set(listed) == {event.name for event in Event if event not in LINE_EVENTS}
    tests = {name for module in TESTS for name in re.findall(r"^def (test_\w+)", module.read_text(), re.M)}
    assert {test for _event, _lines, test in rows} <= tests
