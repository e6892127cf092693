"""The balance adjustment statement (余额调节表): journal of the reserve beside the bank's statement (DOMAIN 7.1)."""

from __future__ import annotations

import datetime as dt
from itertools import count

import pytest
from django.db import IntegrityError, connection, transaction

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.channels.models import BankAccount, BankLine, BankStatement
from payops.core.errors import PayopsError
from payops.reconciliation import funds
from payops.reconciliation.bank.checks import bank_reconciled
from payops.reconciliation.bank.models import BankOpenItem, BankReconciliation
from payops.reconciliation.bank.services import bank_reconcile
from payops.reconciliation.funds import movements
from tests.orders.conftest import World
from tests.reconciliation.money import FRIDAY, MONDAY, bank_line, bill, build, settlement

TUESDAY = dt.date(2026, 11, 17)
WEDNESDAY = dt.date(2026, 11, 18)
_numbers = count(1)


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movements, "_handlers", {})


def reserve() -> BankAccount:
    return BankAccount.objects.get(code="RSV")


def reconcile(day: dt.date = MONDAY) -> BankReconciliation:
    return bank_reconcile(account=reserve(), day=day)[-1]


def open_items(made: BankReconciliation) -> list[tuple[str, int, dt.date]]:
    return list(made.items.values_list("kind", "amount", "since"))


def stated(closing: int, day: dt.date = MONDAY, *, opening: int = 0) -> BankStatement:
    """The bank's own statement, with what moved as one sum on each side."""
    moved = closing - opening
    return BankStatement.objects.create(
        bank_account=reserve(), statement_date=day, number=str(next(_numbers)), opening=opening, closing=closing,
        credits=max(moved, 0), debits=max(-moved, 0), currency="CNY", entry_count=1, sha256="0" * 64,
    )  # fmt: skip


def payout_confirmed(world: World, number: str, amount: int, event: Event = Event.PAYOUT_CONFIRMED) -> None:
    """The bank's interface says paid (or returned); its statement may show it later."""
    ledger.post(
        ledger.Posting(
            event, "payout", next(_numbers), {"P": amount}, {"merchant": world.a.merchant_no, "bank": "RSV"},
            MONDAY, memo=number,
        )
    )  # fmt: skip


def to_next_day(day: dt.date = MONDAY) -> None:
    ledger.day_cut_off(day)
    ledger.close_day(day)


# --- what agrees ------------------------------------------------------------------------------------------------------


def test_a_line_and_its_booking_on_one_day_leave_nothing_open(world: World) -> None:
    bill(world, 9_000)
    settlement(9_000)
    funds.funds_match()
    stated(9_000)

    made = reconcile()

    assert (made.journal_balance, made.bank_balance, made.source) == (9_000, 9_000, "statement")
    assert (made.adjusted_journal, made.adjusted_bank, made.difference) == (9_000, 9_000, 0)
    assert open_items(made) == []
    assert (made.entry_count, made.line_count) == (1, 1)


def test_without_a_balance_of_the_bank_it_is_computed_and_says_so(world: World) -> None:
    bank_line(2_500)
    made = reconcile()
    assert (made.bank_balance, made.source) == (2_500, "computed")


def test_the_balance_on_the_last_line_of_a_csv_is_the_banks_word(world: World) -> None:
    bank_line(2_500, balance=12_500)
    bank_line(-500, balance=12_000)
    assert (reconcile().bank_balance, reconcile().source) == (12_000, "line")


def test_lines_listed_newest_first_end_with_the_same_balance(world: World) -> None:
    bank_line(-500, balance=12_000)
    bank_line(2_500, balance=12_500)
    assert reconcile().bank_balance == 12_000


# --- the four kinds ---------------------------------------------------------------------------------------------------


def test_bank_received_we_not_is_a_line_nobody_has_booked(world: World) -> None:
    bank_line(2_500)
    made = reconcile()
    assert open_items(made) == [("bank_received", 2_500, MONDAY)]
    assert (made.journal_balance, made.adjusted_journal, made.adjusted_bank) == (0, 2_500, 2_500)


def test_bank_paid_we_not_is_a_line_that_waits_for_a_decision(world: World) -> None:
    BankLine.objects.filter(pk=bank_line(-700).pk).update(state="waiting", kind="charge")
    assert open_items(reconcile()) == [("bank_paid", 700, MONDAY)]


def test_we_paid_bank_not_is_a_payout_the_statement_does_not_show_yet(world: World) -> None:
    payout_confirmed(world, "PO1", 4_000)
    made = reconcile()
    assert open_items(made) == [("we_paid", 4_000, MONDAY)]
    assert (made.bank_balance, made.adjusted_bank, made.adjusted_journal) == (0, -4_000, -4_000)


def test_we_received_bank_not_is_a_return_told_by_the_interface_only(world: World) -> None:
    payout_confirmed(world, "PO1", 4_000, Event.PAYOUT_RETURNED)
    assert open_items(reconcile()) == [("we_received", 4_000, MONDAY)]


def test_all_four_kinds_at_once_adjust_both_balances_to_the_same(world: World) -> None:
    payout_confirmed(world, "PO1", 4_000)
    payout_confirmed(world, "PO2", 300, Event.PAYOUT_RETURNED)
    bank_line(2_500)
    bank_line(-700)
    stated(1_800)
    made = reconcile()
    assert (made.we_received, made.we_paid, made.bank_received, made.bank_paid) == (300, 4_000, 2_500, 700)
    assert made.adjusted_bank == made.adjusted_journal == -1_900
    assert made.difference == 0


# --- carried until cleared --------------------------------------------------------------------------------------------


def test_what_is_open_is_carried_with_its_age_until_the_bank_shows_it(world: World) -> None:
    payout_confirmed(world, "PO1", 4_000)
    assert open_items(reconcile()) == [("we_paid", 4_000, MONDAY)]
    to_next_day()
    assert open_items(reconcile(TUESDAY)) == [("we_paid", 4_000, MONDAY)]

    bank_line(-4_000, value_date=WEDNESDAY, kind="payout", payout_no="PO1", state="matched")
    to_next_day(TUESDAY)

    assert open_items(reconcile(WEDNESDAY)) == []
    assert open_items(reconcile(TUESDAY)) == [("we_paid", 4_000, MONDAY)]


def test_a_line_booked_the_next_day_was_open_on_its_own(world: World) -> None:
    bill(world, 9_000)
    settlement(9_000)
    assert open_items(reconcile()) == [("bank_received", 9_000, MONDAY)]
    to_next_day()
    funds.funds_match()
    made = reconcile(TUESDAY)
    assert (open_items(made), made.journal_balance, made.bank_balance) == ([], 9_000, 9_000)
    assert open_items(reconcile()) == [("bank_received", 9_000, MONDAY)]


def test_another_amount_than_ours_leaves_both_halves_open(world: World) -> None:
    payout_confirmed(world, "PO1", 4_000)
    bank_line(-4_100, kind="payout", payout_no="PO1", state="matched")
    assert open_items(reconcile()) == [("we_paid", 4_000, MONDAY), ("bank_paid", 4_100, MONDAY)]


def test_a_line_that_comes_late_makes_the_days_since_anew(world: World) -> None:
    reconcile()
    to_next_day()
    reconcile(TUESDAY)

    bank_line(2_500, value_date=MONDAY)
    made = bank_reconcile(account=reserve(), day=TUESDAY)

    assert [(each.day, each.number, each.bank_received) for each in made] == [(MONDAY, 2, 2_500), (TUESDAY, 2, 2_500)]
    assert BankReconciliation.objects.filter(day=MONDAY, number=1, is_current=False).exists()


def test_a_day_without_movements_has_its_statement_made_on_the_way_to_a_later_day(world: World) -> None:
    """The bank says what it held on Tuesday although nothing moved; nobody compared that day yet."""
    bank_line(2_500)
    reconcile()
    stated(2_500, TUESDAY, opening=2_500)

    made = bank_reconcile(account=reserve(), day=WEDNESDAY)

    assert [(each.day, each.source, each.difference) for each in made] == [
        (TUESDAY, "statement", 0), (WEDNESDAY, "computed", 0),
    ]  # fmt: skip
    assert open_items(made[0]) == [("bank_received", 2_500, MONDAY)]


def test_the_banks_word_for_a_day_without_new_lines_is_heard_though_a_later_day_is_made(world: World) -> None:
    reconcile()
    to_next_day()
    stated(700, TUESDAY, opening=700)
    reconcile(TUESDAY)
    to_next_day(TUESDAY)

    stated(700, MONDAY, opening=700)
    findings = bank_reconciled(WEDNESDAY)

    monday = BankReconciliation.objects.get(day=MONDAY, is_current=True)
    assert (monday.number, monday.source, monday.difference) == (2, "statement", 700)
    assert [finding.context["day"] for finding in findings] == ["2026-11-16", "2026-11-17", "2026-11-18"]


def test_a_second_statement_of_a_day_with_another_balance_makes_it_anew(world: World) -> None:
    stated(0)
    reconcile()
    to_next_day()
    stated(300, opening=300)
    made = bank_reconcile(account=reserve(), day=TUESDAY)
    assert [(each.day, each.number, each.bank_balance) for each in made] == [(MONDAY, 2, 300), (TUESDAY, 1, 300)]


def test_a_line_valued_after_its_statement_counts_on_the_day_of_the_statement(world: World) -> None:
    """The closing balance of Monday holds it, so Monday has it open and no day differs."""
    bank_line(9_000, value_date=TUESDAY, statement=stated(9_000))
    stated(9_000, TUESDAY, opening=9_000)
    monday, tuesday = reconcile(MONDAY), reconcile(TUESDAY)
    assert (monday.difference, tuesday.difference) == (0, 0)
    assert open_items(monday) == open_items(tuesday) == [("bank_received", 9_000, MONDAY)]


def test_a_line_valued_before_its_statement_is_in_no_balance_of_before(world: World) -> None:
    stated(0, MONDAY)
    bank_line(9_000, value_date=MONDAY, statement=stated(9_000, TUESDAY))
    monday, tuesday = reconcile(MONDAY), reconcile(TUESDAY)
    assert (monday.difference, tuesday.difference) == (0, 0)
    assert (open_items(monday), open_items(tuesday)) == ([], [("bank_received", 9_000, TUESDAY)])


def test_the_same_again_is_the_same_statement(world: World) -> None:
    bank_line(2_500)
    assert reconcile() == reconcile()
    assert BankReconciliation.objects.count() == 1


def test_an_opening_balance_both_sides_know_is_not_open(world: World) -> None:
    """The account held 50.00 before its first statement; the books took it over with a voucher."""
    ledger.post(ledger.Posting(Event.RESERVE_INTEREST, "test", 1, {"R": 5_000}, {"bank": "RSV"}, MONDAY))
    to_next_day()
    stated(5_600, TUESDAY, opening=5_000)
    bank_line(600, value_date=TUESDAY)
    made = reconcile(TUESDAY)
    assert (open_items(made), made.difference) == ([("bank_received", 600, TUESDAY)], 0)


# --- findings ---------------------------------------------------------------------------------------------------------


def test_a_balance_nothing_explains_is_a_finding_of_the_day_end(world: World) -> None:
    bill(world, 9_000)
    settlement(9_000)
    funds.funds_match()
    stated(9_050)

    (finding,) = bank_reconciled(MONDAY)

    assert (finding.check, finding.level) == ("bank_reconciliation", "error")
    assert finding.context == {"account": "RSV", "day": MONDAY.isoformat(), "difference": 50}


def test_an_item_open_for_more_than_a_week_is_a_warning(world: World) -> None:
    bank_line(2_500, value_date=FRIDAY - dt.timedelta(days=6))
    (finding,) = bank_reconciled(MONDAY)
    assert (finding.level, finding.context["count"]) == ("warning", 1)


def test_a_day_end_without_open_questions_finds_nothing(world: World) -> None:
    bill(world, 9_000)
    settlement(9_000)
    funds.funds_match()
    assert bank_reconciled(MONDAY) == []


def test_an_own_funds_account_has_no_reserve_to_compare(world: World) -> None:
    own = BankAccount.objects.create(code="OWN9", bank_name="B", account_no="900", kind="own")
    with pytest.raises(PayopsError, match="not a reserve account"):
        bank_reconcile(account=own, day=MONDAY)


# --- what the database guards -----------------------------------------------------------------------------------------


def run(statement: str, *values: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_statement_is_never_changed_or_removed(world: World) -> None:
    bank_line(2_500)
    made = reconcile()
    for statement in (
        "UPDATE reconciliation_bankreconciliation SET bank_balance = 1, difference = 1 WHERE id = %s",
        "DELETE FROM reconciliation_bankreconciliation WHERE id = %s",
        "UPDATE reconciliation_bankopenitem SET amount = 1 WHERE reconciliation_id = %s",
        "DELETE FROM reconciliation_bankopenitem WHERE reconciliation_id = %s",
    ):
        with pytest.raises(IntegrityError, match=r"never change|refused"):
            run(statement, made.pk)


def test_a_replaced_statement_is_not_put_back(world: World) -> None:
    reconcile()
    bank_line(2_500)
    reconcile()
    with pytest.raises(IntegrityError, match="never changes"):
        run("UPDATE reconciliation_bankreconciliation SET is_current = true WHERE number = 1")


def test_an_item_added_afterwards_does_not_fit_the_statement(world: World) -> None:
    bank_line(2_500)
    item = reconcile().items.get()
    with pytest.raises(IntegrityError, match="its open items are"):
        run(
            "INSERT INTO reconciliation_bankopenitem (reconciliation_id, kind, entry_id, amount, since, match_key,"
            " source_kind, memo) VALUES (%s, 'we_paid', 1, 5, '2026-11-16', 'x', '', '')",
            item.reconciliation_id,
        )


def test_a_statement_whose_sums_are_not_its_items_is_refused(world: World) -> None:
    with pytest.raises(IntegrityError, match="its open items are"):
        run(
            "INSERT INTO reconciliation_bankreconciliation (bank_account_id, day, number, is_current, journal_balance,"
            " bank_balance, source, we_received, we_paid, bank_received, bank_paid, difference, entry_count,"
            " line_count, last_line, made_by, made_at) VALUES (%s, '2026-11-16', 1, true, 0, 0, 'computed',"
            " 5, 5, 0, 0, 0, 0, 0, 0, 'x', now())",
            reserve().pk,
        )


def test_a_difference_cannot_be_talked_away(world: World) -> None:
    with pytest.raises(IntegrityError, match="bank_reconciliation_adds_up"):
        BankReconciliation.objects.create(
            bank_account=reserve(), day=MONDAY, number=1, journal_balance=100, bank_balance=90, source="computed",
            we_received=0, we_paid=0, bank_received=0, bank_paid=0, difference=0, entry_count=0, line_count=0,
            made_by="x",
        )  # fmt: skip


def test_an_item_has_exactly_one_document(world: World) -> None:
    bank_line(2_500)
    made = reconcile()
    with pytest.raises(IntegrityError, match="bank_open_item_has_its_document"):
        BankOpenItem.objects.create(
            reconciliation=made, kind="we_paid", amount=1, since=MONDAY, match_key="x", entry_id=None
        )
