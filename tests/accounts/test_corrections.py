"""Corrections of wrong vouchers: the example of DOMAIN 9 for each kind, every rule, and the database's own part."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from payops.accounts import services
from payops.accounts.choices import CorrectionKind, DocumentState, Event
from payops.accounts.corrections import (
    RightLine,
    chain_of,
    correction_propose,
    kind_one_sided,
    plan_one_sided,
    reversed_vouchers,
)
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.models import Account, CorrectedEntry, Correction, CorrectionVoucher, Entry, Voucher
from payops.accounts.posting import Posting
from payops.accounts.selectors import trial_balance, trial_balance_totals, voucher_entries
from payops.approvals.services import request_approve, request_reject
from payops.core.errors import PayopsError
from payops.core.ids import day_of
from tests.accounts.conftest import MONDAY, OWNERS, TUESDAY, set_up_ledger
from tests.accounts.documents import approve, line, lines_of, move, next_day
from tests.accounts.test_guards import VOUCHER as HEAD
from tests.accounts.test_guards import header, key, refused, run

A, B, C = "220201-M-A", "220201-M-B", "220202-M-A"
CHANNEL = "300101-wx"
NEW_YEARS_EVE = dt.date(2025, 12, 31)


def payment(source: int = 1, amount: int = 100, merchant: str = "M-A") -> Voucher:
    """100 credited to A, meant for B."""
    return services.post(
        Posting(Event.PAYMENT, "transaction", source, {"A": amount}, {**OWNERS, "merchant": merchant}, MONDAY)
    )


@pytest.fixture
def wrong(ledger: dt.date) -> Voucher:
    return payment()


@pytest.fixture
def refund_chain(ledger: dt.date) -> list[Voucher]:
    """Two vouchers of one source document: accepted, and taken by the channel."""
    payment(source=1, amount=500)
    events = (Event.REFUND_ACCEPTED_PENDING, Event.REFUND_TAKEN)
    return [services.post(Posting(event, "transaction", 2, {"A": 200}, OWNERS, MONDAY)) for event in events]


def made(correction: Correction) -> list[tuple[str, str, int]]:
    return [row for each in correction.vouchers.all() for row in lines_of(each.voucher_id)]


def reverse(voucher: Voucher, user: Any) -> Correction:
    return correction_propose(voucher_id=voucher.pk, user=user, reason="Never happened.", whole=True)


def code_of(action: Callable[[], Any]) -> str:
    with pytest.raises(PayopsError) as caught:
        action()
    return caught.value.code


# --- the example of DOMAIN 9, each kind by its name ---


def test_same_day_wipe_replaces_the_wiped_line_by_a_blue_one_and_hides_the_pair(
    wrong: Voucher, alice: Any, bob: Any
) -> None:
    correction = approve(move(wrong, A, B, alice), bob)
    assert correction.kind == CorrectionKind.SAME_DAY_WIPE
    assert made(correction) == [(A, "C", -100), (B, "C", 100)]
    (link,) = CorrectedEntry.objects.all()
    assert (link.entry_id, link.hidden) == (line(wrong, A).pk, True)
    assert Voucher.objects.get(pk=correction.vouchers.get().voucher_id).event == Event.CORRECTION_WIPE


def test_same_day_reversal_cancels_all_vouchers_of_the_chain_and_keeps_them(
    refund_chain: list[Voucher], alice: Any, bob: Any
) -> None:
    correction = approve(reverse(refund_chain[0], alice), bob)
    assert correction.kind == CorrectionKind.SAME_DAY_REVERSAL
    assert [each.reverses for each in correction.vouchers.all()] == [voucher.pk for voucher in refund_chain]
    for each in correction.vouchers.all():
        assert lines_of(each.voucher_id) == [(no, side, -amount) for no, side, amount in lines_of(each.reverses)]
    assert set(CorrectedEntry.objects.values_list("hidden", flat=True)) == {True}
    assert Account.objects.get(account_no=A).balance == 500
    assert Voucher.objects.filter(pk__in=[voucher.pk for voucher in refund_chain]).count() == 2


def test_next_day_correction_books_the_same_two_lines_visible_red_and_blue(
    wrong: Voucher, alice: Any, bob: Any
) -> None:
    tuesday = next_day(MONDAY)
    correction = approve(move(wrong, A, B, alice), bob)
    assert correction.kind == CorrectionKind.NEXT_DAY
    assert made(correction) == [(A, "C", -100), (B, "C", 100)]
    assert not CorrectedEntry.objects.get().hidden
    assert day_of(correction.vouchers.get().voucher_id) == tuesday
    assert (Account.objects.get(account_no=A).balance, Account.objects.get(account_no=B).balance) == (0, 100)


def test_next_day_red_reversal_books_a_red_voucher_for_each_of_the_chain(
    refund_chain: list[Voucher], alice: Any, bob: Any
) -> None:
    next_day(MONDAY)
    correction = approve(reverse(refund_chain[1], alice), bob)
    assert correction.kind == CorrectionKind.RED_REVERSAL
    assert [each.reverses for each in correction.vouchers.all()] == [voucher.pk for voucher in refund_chain]
    assert all(amount < 0 for _no, _side, amount in made(correction))
    assert set(CorrectedEntry.objects.values_list("hidden", flat=True)) == {False}


def test_prior_year_correction_is_blue_debit_wrong_credit_right(db: None, alice: Any, bob: Any) -> None:
    set_up_ledger(NEW_YEARS_EVE)
    wrong = payment()
    next_day(NEW_YEARS_EVE)
    correction = approve(move(wrong, A, B, alice), bob)
    assert correction.kind == CorrectionKind.PRIOR_YEAR
    assert made(correction) == [(A, "D", 100), (B, "C", 100)]
    assert (Account.objects.get(account_no=A).balance, Account.objects.get(account_no=B).balance) == (0, 100)


def test_prior_year_correction_of_a_debit_credits_the_wrong_account(db: None, alice: Any, bob: Any) -> None:
    set_up_ledger(NEW_YEARS_EVE)
    wrong = payment()
    next_day(NEW_YEARS_EVE)
    correction = approve(move(wrong, CHANNEL, "300101-up", alice), bob)
    assert made(correction) == [(CHANNEL, "C", 100), ("300101-up", "D", 100)]


# --- which kind follows from the days ---


def test_a_day_that_is_cut_off_but_not_closed_is_still_the_same_day(wrong: Voucher, alice: Any, bob: Any) -> None:
    services.day_cut_off(MONDAY)
    assert kind_one_sided(wrong.pk) == CorrectionKind.SAME_DAY_WIPE
    correction = approve(move(wrong, A, B, alice), bob)
    assert day_of(correction.vouchers.get().voucher_id) == MONDAY


def test_a_wipe_proposed_before_the_close_is_not_booked_as_something_else_after_it(
    wrong: Voucher, alice: Any, bob: Any
) -> None:
    proposed = move(wrong, A, B, alice)
    next_day(MONDAY)
    assert code_of(lambda: approve(proposed, bob)) == "corrections.day_passed"
    assert not CorrectedEntry.objects.exists()


def test_a_chain_that_reaches_into_a_closed_day_is_reversed_in_red(ledger: dt.date, alice: Any, bob: Any) -> None:
    payment(source=1, amount=500)
    first = services.post(Posting(Event.REFUND_ACCEPTED_PENDING, "transaction", 2, {"A": 200}, OWNERS, MONDAY))
    tuesday = next_day(MONDAY)
    services.post(Posting(Event.REFUND_TAKEN, "transaction", 2, {"A": 200}, OWNERS, tuesday))
    correction = approve(reverse(first, alice), bob)
    assert correction.kind == CorrectionKind.RED_REVERSAL
    assert {day_of(each.voucher_id) for each in correction.vouchers.all()} == {tuesday}


def test_a_whole_voucher_of_an_earlier_year_is_not_reversed(db: None, alice: Any) -> None:
    set_up_ledger(NEW_YEARS_EVE)
    wrong = payment()
    next_day(NEW_YEARS_EVE)
    assert code_of(lambda: reverse(wrong, alice)) == "corrections.prior_year"


# --- the rules ---


def test_the_right_amounts_may_be_split_over_several_accounts(wrong: Voucher, alice: Any, bob: Any) -> None:
    proposed = correction_propose(
        voucher_id=wrong.pk,
        entry_ids=[line(wrong, A).pk],
        right=[RightLine(A, 30), RightLine(B, 70)],
        user=alice,
        reason="A part of it was B's.",
    )
    assert made(approve(proposed, bob)) == [(A, "C", -100), (A, "C", 30), (B, "C", 70)]


def test_an_account_may_be_named_by_subject_and_owner(wrong: Voucher, alice: Any, bob: Any) -> None:
    assert made(approve(move(wrong, A, "2202.01 M-B", alice), bob))[1] == (B, "C", 100)


def test_totals_must_agree(wrong: Voucher, alice: Any) -> None:
    assert code_of(lambda: move(wrong, A, B, alice, amount=99)) == "corrections.totals"


def test_lines_of_both_sides_are_not_corrected_together(wrong: Voucher) -> None:
    both = [entry.pk for entry in voucher_entries(wrong.pk)]
    assert (
        code_of(lambda: plan_one_sided(voucher_id=wrong.pk, entry_ids=both, right=[RightLine(B, 200)]))
        == "corrections.two_sides"
    )


def test_lines_of_another_voucher_are_refused(wrong: Voucher) -> None:
    other = payment(source=2)
    entry = line(other, A).pk
    assert (
        code_of(lambda: plan_one_sided(voucher_id=wrong.pk, entry_ids=[entry], right=[RightLine(B, 100)]))
        == "corrections.other_voucher"
    )


@pytest.mark.parametrize(
    ("entries", "right", "code"),
    [
        (False, [RightLine(B, 100)], "corrections.no_lines"),
        (True, [], "corrections.no_right_lines"),
        (True, [RightLine(A, 100)], "corrections.nothing_changes"),
        (True, [RightLine("220201-NOBODY", 100)], "ledger.unknown_account"),
        (True, [RightLine(B, 200), RightLine(B, -100)], "corrections.amount"),
    ],
)
def test_what_does_not_make_a_correction_is_refused(
    wrong: Voucher, entries: bool, right: list[RightLine], code: str
) -> None:
    ids = [line(wrong, A).pk] if entries else []
    assert code_of(lambda: plan_one_sided(voucher_id=wrong.pk, entry_ids=ids, right=right)) == code


def test_an_unfinished_voucher_is_not_corrected(ledger: dt.date) -> None:
    key()
    header()
    assert (
        code_of(lambda: plan_one_sided(voucher_id=HEAD, entry_ids=[HEAD + 1], right=[RightLine(B, 100)]))
        == "corrections.unfinished"
    )


def test_a_closed_account_is_no_right_account(wrong: Voucher, alice: Any) -> None:
    services.account_status_set(account=Account.objects.get(account_no=B), status="closed")
    assert code_of(lambda: move(wrong, A, B, alice)) == "ledger.account_closed"


def test_an_account_of_another_currency_is_no_right_account(wrong: Voucher, alice: Any) -> None:
    services.open_merchant_accounts("M-B", "USD")
    assert code_of(lambda: move(wrong, A, f"{B}-USD", alice)) == "corrections.two_currencies"


def test_a_corrected_line_is_not_corrected_again(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    assert code_of(lambda: move(wrong, A, C, alice)) == "corrections.already_corrected"


def test_the_other_lines_of_a_corrected_voucher_may_still_be_corrected(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    assert made(approve(move(wrong, CHANNEL, "300101-up", alice), bob))[1] == ("300101-up", "D", 100)


def test_a_red_line_is_not_corrected(wrong: Voucher, alice: Any, bob: Any) -> None:
    correction = approve(move(wrong, A, B, alice), bob)
    voucher = Voucher.objects.get(pk=correction.vouchers.get().voucher_id)
    assert code_of(lambda: move(voucher, A, C, alice)) == "corrections.red_line"


def test_the_blue_line_that_takes_back_an_earlier_year_is_not_corrected(db: None, alice: Any, bob: Any) -> None:
    set_up_ledger(NEW_YEARS_EVE)
    wrong = payment()
    next_day(NEW_YEARS_EVE)
    correction = approve(move(wrong, A, B, alice), bob)
    voucher = Voucher.objects.get(pk=correction.vouchers.get().voucher_id)
    assert code_of(lambda: move(voucher, A, C, alice)) == "corrections.red_line"


def test_a_correction_voucher_may_itself_be_corrected(wrong: Voucher, alice: Any, bob: Any) -> None:
    correction = approve(move(wrong, A, B, alice), bob)
    voucher = Voucher.objects.get(pk=correction.vouchers.get().voucher_id)
    again = approve(move(voucher, B, C, alice), bob)
    assert made(again) == [(B, "C", -100), (C, "C", 100)]


def test_a_correction_voucher_is_not_reversed(wrong: Voucher, alice: Any, bob: Any) -> None:
    correction = approve(move(wrong, A, B, alice), bob)
    voucher = Voucher.objects.get(pk=correction.vouchers.get().voucher_id)
    assert code_of(lambda: reverse(voucher, alice)) == "corrections.dependent"


def test_the_voucher_of_a_reversal_is_neither_corrected_nor_reversed(wrong: Voucher, alice: Any, bob: Any) -> None:
    correction = approve(reverse(wrong, alice), bob)
    voucher = Voucher.objects.get(pk=correction.vouchers.get().voucher_id)
    assert code_of(lambda: move(voucher, A, B, alice)) == "corrections.dependent"
    assert code_of(lambda: reverse(voucher, alice)) == "corrections.dependent"


def test_a_reversed_voucher_is_not_corrected(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(reverse(wrong, alice), bob)
    assert reversed_vouchers([wrong.pk]) == {wrong.pk}
    assert code_of(lambda: move(wrong, A, B, alice)) == "corrections.reversed"


def test_a_reversed_voucher_is_not_reversed_again(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(reverse(wrong, alice), bob)
    assert code_of(lambda: reverse(wrong, alice)) == "corrections.reversed"


def test_a_corrected_voucher_is_not_reversed(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    assert code_of(lambda: reverse(wrong, alice)) == "corrections.corrected"


def test_a_chain_with_one_corrected_voucher_is_not_reversed(refund_chain: list[Voucher], alice: Any, bob: Any) -> None:
    approve(move(refund_chain[0], A, B, alice), bob)
    assert code_of(lambda: reverse(refund_chain[1], alice)) == "corrections.corrected"


def test_documents_of_other_kinds_with_the_same_number_are_another_chain(ledger: dt.date) -> None:
    payment(source=7, amount=500)
    refund = services.post(Posting(Event.REFUND_ACCEPTED_PENDING, "refund", 7, {"A": 100}, OWNERS, MONDAY))
    assert chain_of(refund) == [refund]


def test_a_reason_is_needed(wrong: Voucher, alice: Any) -> None:
    assert (
        code_of(lambda: correction_propose(voucher_id=wrong.pk, user=alice, reason=" ", whole=True))
        == "corrections.reason"
    )


def test_corrections_carry_events_of_their_own(wrong: Voucher, alice: Any, bob: Any) -> None:
    correction = approve(move(wrong, A, B, alice), bob)
    events = set(Entry.objects.for_days(MONDAY).values_list("event", flat=True))
    assert events == {Event.PAYMENT, Event.CORRECTION_WIPE}
    voucher = Voucher.objects.get(pk=correction.vouchers.get().voucher_id)
    assert (voucher.source_kind, voucher.business_date) == ("correction_voucher", MONDAY)


# --- maker and checker ---


def test_a_correction_waits_for_another_person(wrong: Voucher, bob: Any) -> None:
    proposed = move(wrong, A, B, bob)
    assert proposed.state == DocumentState.PROPOSED
    assert code_of(lambda: approve(proposed, bob)) == "approvals.own_request"


def test_one_correction_of_a_voucher_waits_at_a_time(wrong: Voucher, alice: Any) -> None:
    move(wrong, A, B, alice)
    assert code_of(lambda: move(wrong, A, B, alice)) == "approvals.already_pending"


def test_a_rejected_correction_books_nothing_and_frees_the_voucher(wrong: Voucher, alice: Any, bob: Any) -> None:
    proposed = move(wrong, A, B, alice)
    request_reject(request_id=proposed.approval_id, checker=bob, note="It was A's after all.")
    proposed.refresh_from_db()
    assert proposed.state == DocumentState.REJECTED
    assert not CorrectionVoucher.objects.exists()
    assert move(wrong, A, C, alice).state == DocumentState.PROPOSED


def test_a_correction_is_booked_once(wrong: Voucher, alice: Any, bob: Any) -> None:
    correction = approve(move(wrong, A, B, alice), bob)
    assert (
        code_of(lambda: request_approve(request_id=correction.approval_id, checker=bob)) == "approvals.already_decided"
    )
    assert Account.objects.get(account_no=B).balance == 100


def test_two_reversals_of_one_chain_are_booked_once(refund_chain: list[Voucher], alice: Any, bob: Any) -> None:
    first, second = (reverse(voucher, alice) for voucher in refund_chain)
    approve(first, bob)
    assert code_of(lambda: approve(second, bob)) == "approvals.target_changed"


def test_who_may_not_propose_is_refused(wrong: Voucher, carol: Any) -> None:
    assert code_of(lambda: move(wrong, A, B, carol)) == "approvals.not_allowed"


# --- the database's own part, attacked with raw SQL ---


def check_now() -> None:
    """Runs the deferred guards, as a commit would."""
    run("SET CONSTRAINTS ALL IMMEDIATE")


def raw_correction(voucher: Voucher, user: Any, kind: str = "same_day_wipe") -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_correction (number, kind, voucher_id, lines, reason, state, proposed_by_id,"
            " created_at) VALUES ('RAW1', %s, %s, '[]', 'raw', 'proposed', %s, now()) RETURNING id",
            [kind, voucher.pk, user.pk],
        )
        return cursor.fetchone()[0]


def raw_red_voucher(correction: int) -> int:
    """A red and a blue line booked from a correction past the service; gives the number of the red one."""
    row = CorrectionVoucher.objects.create(correction_id=correction)
    lines = [RawLine(A, "C", -100), RawLine(B, "C", 100)]
    voucher = post_lines(LinesPosting(Event.CORRECTION_WIPE, "correction_voucher", row.pk, lines, MONDAY))
    run("UPDATE accounts_correctionvoucher SET voucher_id = %s WHERE id = %s", voucher.pk, row.pk)
    return voucher.pk + 1


def raw_link(entry: int, red: int, correction: int, *, side: str = "C", hidden: bool = True) -> None:
    run(
        "INSERT INTO accounts_correctedentry (entry_id, red_entry_id, correction_id, side, hidden)"
        " VALUES (%s, %s, %s, %s, %s)",
        entry,
        red,
        correction,
        side,
        hidden,
    )


def test_a_correction_is_not_booked_without_an_executed_approval(wrong: Voucher, alice: Any) -> None:
    proposed = move(wrong, A, B, alice)
    with refused("PL022"):
        run("UPDATE accounts_correction SET state = 'booked', booked_at = now() WHERE id = %s", proposed.pk)
        check_now()


def test_a_correction_is_not_booked_with_the_approval_of_another(wrong: Voucher, alice: Any, bob: Any) -> None:
    done = approve(move(wrong, A, B, alice), bob)
    raw = raw_correction(payment(source=2), alice)
    with refused("PL022"):
        run(
            "UPDATE accounts_correction SET state = 'booked', booked_at = now(), approval_id = %s WHERE id = %s",
            done.approval_id,
            raw,
        )
        check_now()


def test_lines_are_not_bound_by_a_correction_nobody_approved(wrong: Voucher, alice: Any) -> None:
    with refused("PL022"):
        run("INSERT INTO accounts_correctionvoucher (correction_id) VALUES (%s)", raw_correction(wrong, alice))
        check_now()


def test_a_line_is_linked_once(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    with refused("23505"):
        raw = raw_correction(wrong, alice)
        raw_link(line(wrong, A).pk, raw_red_voucher(raw), raw)


def test_a_red_line_takes_back_one_line_only(wrong: Voucher, alice: Any) -> None:
    other = payment(source=2)
    with refused("23505"):
        raw = raw_correction(wrong, alice)
        red = raw_red_voucher(raw)
        raw_link(line(wrong, A).pk, red, raw)
        raw_link(line(other, A).pk, red, raw)


def test_a_red_line_of_another_correction_takes_nothing_back(wrong: Voucher, alice: Any, bob: Any) -> None:
    done = approve(move(wrong, A, B, alice), bob)
    other = payment(source=2)
    with refused("PL021"):
        raw_link(line(other, A).pk, raw_red_voucher(raw_correction(other, alice)), done.pk)


@pytest.mark.parametrize(
    ("red", "side", "hidden"),
    [
        ("blue", "C", True),
        ("none", "C", True),
        ("red", "D", True),
        ("red", "C", False),
        ("other", "C", True),
    ],
)
def test_a_link_to_anything_but_the_red_line_is_refused(
    wrong: Voucher, alice: Any, bob: Any, red: str, side: str, hidden: bool
) -> None:
    correction = approve(move(wrong, A, B, alice), bob)
    other = payment(source=2)
    link = CorrectedEntry.objects.get()
    reds = {"red": link.red_entry_id, "blue": link.red_entry_id + 1, "none": link.red_entry_id + 7}
    with refused("PL021"):
        raw_link(line(other, A).pk, reds.get(red, line(other, CHANNEL).pk), correction.pk, side=side, hidden=hidden)


def test_links_are_never_changed_or_removed(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    check_now()
    for statement in (
        "UPDATE accounts_correctedentry SET hidden = false",
        "DELETE FROM accounts_correctedentry",
        "TRUNCATE accounts_correctedentry",
    ):
        with refused("23001"):
            run(statement)


def test_a_voucher_is_reversed_once_even_past_the_service(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(reverse(wrong, alice), bob)
    raw = raw_correction(wrong, alice, "same_day_reversal")
    with refused("23505"):
        run("INSERT INTO accounts_correctionvoucher (correction_id, reverses) VALUES (%s, %s)", raw, wrong.pk)


def test_a_one_sided_correction_reverses_no_voucher(wrong: Voucher, alice: Any) -> None:
    raw = raw_correction(wrong, alice)
    with refused("PL021"):
        run("INSERT INTO accounts_correctionvoucher (correction_id, reverses) VALUES (%s, %s)", raw, wrong.pk)


def test_a_corrected_line_cannot_be_reversed_past_the_service(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    link = CorrectedEntry.objects.get()
    other = approve(reverse(payment(source=2), alice), bob)
    with refused("PL021"):
        raw_link(link.entry_id, other.vouchers.get().voucher_id + 2, other.pk)


def test_the_voucher_of_a_correction_stays_what_it_is(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    for statement in (
        "UPDATE accounts_correctionvoucher SET voucher_id = NULL",
        "DELETE FROM accounts_correctionvoucher",
    ):
        with refused("PL010"):
            run(statement)


@pytest.mark.parametrize(
    "change", ["voucher_id = voucher_id + 1000", "lines = '[]'", "kind = 'next_day'", "reason = 'other'"]
)
def test_what_was_proposed_stays(wrong: Voucher, alice: Any, change: str) -> None:
    move(wrong, A, B, alice)
    with refused("PL010"):
        run(f"UPDATE accounts_correction SET {change}")


def test_a_booked_correction_never_changes_again(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    for statement in ("UPDATE accounts_correction SET state = 'rejected'", "DELETE FROM accounts_correction"):
        with refused("PL010"):
            run(statement)


def test_a_correction_is_not_born_booked(wrong: Voucher, alice: Any) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Correction.objects.create(
            number="X", kind="next_day", voucher_id=wrong.pk, reason="x", state="booked", proposed_by=alice
        )


# --- the books afterwards ---


def test_turnover_and_trial_balance_show_a_wiped_line_as_if_it_had_not_been(
    wrong: Voucher, alice: Any, bob: Any
) -> None:
    approve(move(wrong, A, B, alice), bob)
    pending = next(row for row in trial_balance(MONDAY) if row.code == "220201")
    assert (pending.debit, pending.credit, pending.closing) == (0, 100, 100)
    assert all(total.balanced for total in trial_balance_totals(trial_balance(MONDAY)))


def test_the_days_close_and_verify_with_corrections_in_them(wrong: Voucher, alice: Any, bob: Any) -> None:
    approve(move(wrong, A, B, alice), bob)
    next_day(MONDAY)
    approve(move(wrong, CHANNEL, "300101-up", alice), bob)
    services.day_cut_off(TUESDAY)
    assert services.close_day(TUESDAY).findings == ()
