"""Posting modes: which entries move the stored balance at once, which follow later, and from which day (DOMAIN 4.3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from payops.accounts import modes, selectors, services
from payops.accounts.choices import AccountStatus, Event, PostingMode
from payops.accounts.hot import hot_accounts
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.mode_approval import mode_propose
from payops.accounts.models import Account, Entry, PostingModeRule, QueuedMovement
from payops.accounts.posting import Posting
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.identity.models import User
from tests.accounts.conftest import MONDAY, TUESDAY, Book
from tests.accounts.test_guards import VOUCHER, entries, header, key, refused, run

WEDNESDAY = TUESDAY + dt.timedelta(days=1)
Post = Callable[[Posting], None]


def the(account_no: str) -> Account:
    return Account.objects.get(account_no=account_no)


def stored(account_no: str) -> int:
    return the(account_no).balance


def queued(account_no: str) -> int:
    return sum(QueuedMovement.objects.filter(account_id=the(account_no).pk).values_list("delta", flat=True))


def mode(account_no: str, event: Event, to: str, day: dt.date = TUESDAY) -> PostingModeRule | None:
    return modes.mode_set(account=the(account_no), event=event, mode=to, effective_day=day, by="bob")


def next_day() -> None:
    services.day_cut_off(selectors.open_day())


@pytest.fixture(params=["post", "post_many"])
def post(request: pytest.FixtureRequest, ledger: dt.date) -> Post:
    """One posting through either door."""
    if request.param == "post":
        return lambda posting: services.post(posting)
    return lambda posting: services.post_many([posting])


@pytest.fixture
def buffered_payments(ledger: dt.date) -> None:
    """Payments are buffered on M-A's pending account and on channel wx; Tuesday is open."""
    mode("220201-M-A", Event.PAYMENT, PostingMode.BUFFERED)
    mode("300101-wx", Event.PAYMENT, PostingMode.BUFFERED)
    mode("220201-M-A", Event.VOID, PostingMode.BUFFERED)
    next_day()


# --- when a mode takes effect ---


def test_a_mode_takes_effect_on_the_next_accounting_day_and_not_before(book: Book, post: Post) -> None:
    mode("220201-M-A", Event.PAYMENT, PostingMode.BUFFERED)
    post(book.posting(Event.PAYMENT, A=100))
    assert (stored("220201-M-A"), queued("220201-M-A")) == (100, 0)
    next_day()
    post(book.posting(Event.PAYMENT, A=7))
    assert (stored("220201-M-A"), queued("220201-M-A")) == (100, 7)


def test_a_day_cut_off_keeps_the_mode_it_had(book: Book, post: Post) -> None:
    mode("220201-M-A", Event.PAYMENT, PostingMode.BUFFERED)
    next_day()
    late = book.posting(Event.PAYMENT, A=5)
    services.post(late, day=MONDAY)
    assert (stored("220201-M-A"), queued("220201-M-A")) == (5, 0)


def test_a_mode_never_begins_on_a_day_that_has_begun(ledger: dt.date) -> None:
    with pytest.raises(PayopsError) as caught:
        mode("220201-M-A", Event.PAYMENT, PostingMode.BUFFERED, MONDAY)
    assert caught.value.code == "modes.too_early"


def test_real_time_again_ends_the_rule_on_a_later_day(buffered_payments: None, book: Book, post: Post) -> None:
    assert mode("220201-M-A", Event.PAYMENT, PostingMode.REALTIME, WEDNESDAY) is None
    post(book.posting(Event.PAYMENT, A=1))
    assert queued("220201-M-A") == 1
    next_day()
    post(book.posting(Event.PAYMENT, A=2))
    assert (stored("220201-M-A"), queued("220201-M-A")) == (2, 1)


def test_a_new_mode_follows_the_old_one_without_a_gap(buffered_payments: None) -> None:
    mode("300101-wx", Event.PAYMENT, PostingMode.SUMMARY, WEDNESDAY)
    rules = PostingModeRule.objects.filter(account__account_no="300101-wx").values_list(
        "mode", "effective_day", "end_day"
    )
    assert list(rules) == [("buffered", TUESDAY, WEDNESDAY), ("summary", WEDNESDAY, None)]


def test_what_was_planned_for_later_is_replaced(ledger: dt.date) -> None:
    mode("300101-wx", Event.PAYMENT, PostingMode.SUMMARY, WEDNESDAY)
    mode("300101-wx", Event.PAYMENT, PostingMode.BUFFERED, TUESDAY)
    assert [(rule.mode, rule.effective_day) for rule in PostingModeRule.objects.all()] == [("buffered", TUESDAY)]


def test_an_end_that_was_planned_is_taken_back(buffered_payments: None) -> None:
    mode("300101-wx", Event.PAYMENT, PostingMode.REALTIME, WEDNESDAY)
    assert mode("300101-wx", Event.PAYMENT, PostingMode.BUFFERED, WEDNESDAY) is None
    assert PostingModeRule.objects.get(account__account_no="300101-wx").end_day is None


@pytest.mark.parametrize(("event", "to"), [(Event.PAYMENT, PostingMode.BUFFERED), (Event.TOPUP, PostingMode.REALTIME)])
def test_a_mode_that_is_in_force_already_is_said(buffered_payments: None, event: Event, to: str) -> None:
    with pytest.raises(PayopsError) as caught:
        mode("300101-wx", event, to, WEDNESDAY)
    assert caught.value.code == "modes.unchanged"


def test_documents_own_lines_have_no_mode(ledger: dt.date) -> None:
    with pytest.raises(PayopsError) as caught:
        mode("300101-wx", Event.MANUAL, PostingMode.BUFFERED)
    assert caught.value.code == "modes.line_event"


def test_documents_own_lines_move_the_balance_at_once(buffered_payments: None) -> None:
    lines = [RawLine("300101-wx", "D", 5), RawLine("220201-M-A", "C", 5)]
    post_lines(LinesPosting(Event.MANUAL, "manual_voucher", 1, lines, MONDAY))
    assert (stored("220201-M-A"), QueuedMovement.objects.count()) == (5, 0)


# --- what a mode does ---


def test_a_buffered_entry_is_written_at_once_without_a_balance(buffered_payments: None, book: Book, post: Post) -> None:
    post(book.posting(Event.PAYMENT, A=100))
    entry = Entry.objects.for_days(TUESDAY).get(account=the("220201-M-A"))
    assert (entry.amount, entry.balance_after) == (100, None)
    movement = QueuedMovement.objects.get(account_id=the("220201-M-A").pk)
    assert (movement.entry_id, movement.delta) == (entry.pk, 100)


def test_other_events_of_the_account_are_real_time(buffered_payments: None, book: Book, post: Post) -> None:
    post(book.posting(Event.TOPUP, A=100))
    assert (stored("300101-wx"), queued("300101-wx")) == (100, 0)


def test_merchants_debits_are_real_time_whatever_the_rule(buffered_payments: None, book: Book, post: Post) -> None:
    post(book.posting(Event.VOID, A=30))
    assert (stored("220201-M-A"), queued("220201-M-A")) == (-30, 0)


def test_a_negative_amount_that_debits_a_merchant_is_real_time(buffered_payments: None, book: Book, post: Post) -> None:
    post(book.posting(Event.PAYMENT, A=-30))
    assert (stored("220201-M-A"), queued("220201-M-A")) == (-30, 0)
    assert (stored("300101-wx"), queued("300101-wx")) == (0, -30)


def test_one_voucher_debits_in_real_time_and_buffers_the_rest(ledger: dt.date, book: Book, post: Post) -> None:
    for account in ("220201-M-A", "220202-M-A", "602101"):
        mode(account, Event.CLEARING_NET, PostingMode.BUFFERED)
    next_day()
    post(book.posting(Event.CLEARING_NET, A=100, X=0, F=1))
    assert (stored("220201-M-A"), stored("220202-M-A"), stored("602101")) == (-100, 0, 0)
    assert (queued("220201-M-A"), queued("220202-M-A"), queued("602101")) == (0, 99, 1)


def test_a_real_time_entry_states_the_stored_balance_after_it(buffered_payments: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    services.post(book.posting(Event.VOID, A=30))
    entry = Entry.objects.for_days(TUESDAY).get(account=the("220201-M-A"), event=Event.VOID)
    assert entry.balance_after == -30


def test_an_instruction_counts_money_that_is_still_queued(ledger: dt.date, book: Book) -> None:
    mode("220202-M-A", Event.TOPUP, PostingMode.BUFFERED)
    next_day()
    services.post(book.posting(Event.TOPUP, A=100))
    assert queued("220202-M-A") == 100
    voucher = services.post(book.posting(Event.PAYOUT_SUBMITTED, P=60), instruction=True)
    assert voucher is not None
    assert (stored("220202-M-A"), queued("220202-M-A")) == (40, 0)
    assert Entry.objects.for_days(TUESDAY).get(pk=voucher.pk + 1).balance_after == 40


def test_an_instruction_never_takes_more_than_there_is_queued_or_not(ledger: dt.date, book: Book) -> None:
    mode("220202-M-A", Event.TOPUP, PostingMode.BUFFERED)
    next_day()
    services.post(book.posting(Event.TOPUP, A=100))
    with pytest.raises(PayopsError) as caught:
        services.post(book.posting(Event.PAYOUT_SUBMITTED, P=101), instruction=True)
    assert caught.value.code == "ledger.insufficient"
    assert (stored("220202-M-A"), queued("220202-M-A")) == (0, 100)


def test_bulk_leaves_buffered_accounts_unlocked_and_counts_right(buffered_payments: None, book: Book) -> None:
    many = [book.posting(Event.PAYMENT, {"merchant": "M-A" if n % 2 else "M-B"}, A=n + 1) for n in range(20)]
    many += [book.posting(Event.VOID, A=1) for _ in range(3)]
    services.post_many(many, chunk_size=5)
    assert (stored("220201-M-A"), queued("220201-M-A")) == (-3, sum(range(2, 21, 2)))
    assert (stored("220201-M-B"), queued("300101-wx")) == (sum(range(1, 20, 2)), 210)


def test_balances_include_what_is_queued(buffered_payments: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    assert selectors.balance_of("2202.01", "merchant", "M-A") == 100
    assert selectors.balances_of("2202.01", "merchant") == {"M-A": 100, "M-B": 0}
    assert selectors.subject_balance("2202") == selectors.subject_balance("3001") == 100
    assert selectors.customers_money_guard()["currencies"]["CNY"]["terms"]["payable_to_merchants"] == 100


# --- summary ---


@pytest.fixture
def summed_channel(ledger: dt.date) -> None:
    """Payments on channel wx are summed at day end; Tuesday is open."""
    mode("300101-wx", Event.PAYMENT, PostingMode.SUMMARY)
    next_day()
    services.close_day(MONDAY)


def test_a_summary_entry_is_neither_in_balance_nor_queue(summed_channel: None, book: Book, post: Post) -> None:
    post(book.posting(Event.PAYMENT, A=100))
    assert (stored("300101-wx"), QueuedMovement.objects.count()) == (0, 0)
    assert selectors.balance_of("3001.01", "channel", "wx") == 100


def test_the_close_moves_one_sum(summed_channel: None, book: Book, post: Post) -> None:
    for amount in (100, 20, -5):
        post(book.posting(Event.PAYMENT, A=amount))
    next_day()
    post(book.posting(Event.PAYMENT, A=1000))
    closed = services.close_day(TUESDAY)
    assert closed.findings == ()
    assert (stored("300101-wx"), selectors.balance_of("3001.01", "channel", "wx")) == (115, 1115)


def test_closing_again_moves_nothing(summed_channel: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    next_day()
    services.close_day(TUESDAY)
    services.close_day(TUESDAY)
    assert stored("300101-wx") == 100


# --- the close ---


def test_the_close_flushes_what_the_day_queued_and_leaves_the_next_days(
    buffered_payments: None, book: Book, post: Post
) -> None:
    post(book.posting(Event.PAYMENT, A=100))
    next_day()
    post(book.posting(Event.PAYMENT, A=7))
    services.close_day(MONDAY)
    closed = services.close_day(TUESDAY)
    assert closed.findings == ()
    assert (stored("220201-M-A"), queued("220201-M-A")) == (100, 7)


def test_a_stored_balance_that_is_wrong_is_rebuilt_without_what_is_queued(buffered_payments: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    next_day()
    services.post(book.posting(Event.PAYMENT, A=7))
    run("UPDATE accounts_account SET balance = 55 WHERE account_no = '220201-M-A'")
    services.close_day(MONDAY)
    findings = services.close_day(TUESDAY).findings
    assert [finding.check for finding in findings][-1:] == ["stored_balance"] or findings == ()
    assert stored("220201-M-A") + queued("220201-M-A") == 107


# --- closing an account ---


def test_an_account_closes_only_with_an_empty_queue(buffered_payments: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    with pytest.raises(PayopsError) as caught:
        services.account_status_set(account=the("220201-M-A"), status=AccountStatus.CLOSED)
    assert caught.value.code in {"ledger.not_followed", "ledger.mode"}


def test_an_account_with_sums_to_come_does_not_close(summed_channel: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    with pytest.raises(PayopsError) as caught:
        services.account_status_set(account=the("300101-wx"), status=AccountStatus.CLOSED)
    assert caught.value.code == "ledger.mode"


# --- attacks ---


INSERT_RULE = (
    "INSERT INTO accounts_postingmoderule (account_id, event, mode, effective_day, end_day, created_by, created_at)"
    " SELECT id, 101, %s, %s, %s, 'x', now() FROM accounts_account WHERE account_no = '300101-wx'"
)


def test_raw_sql_makes_no_rule_for_a_day_that_has_begun(ledger: dt.date) -> None:
    with refused("PL010"):
        run(INSERT_RULE, "buffered", MONDAY, None)


def test_raw_sql_makes_no_two_rules_for_one_day(ledger: dt.date) -> None:
    run(INSERT_RULE, "buffered", TUESDAY, dt.date(2026, 11, 20))
    with refused("PL010"):
        run(INSERT_RULE, "summary", dt.date(2026, 11, 19), None)
    run(INSERT_RULE, "summary", dt.date(2026, 11, 20), None)


def test_raw_sql_makes_no_real_time_rule(ledger: dt.date) -> None:
    with refused("23514"):
        run(INSERT_RULE, "realtime", TUESDAY, None)


@pytest.mark.parametrize(
    "change",
    [
        "mode = 'summary'",
        "effective_day = '2026-11-25'",
        "event = 102",
        "end_day = '2026-11-17', effective_day = '2026-11-16'",
    ],
)
def test_raw_sql_changes_no_rule(buffered_payments: None, change: str) -> None:
    with refused("PL010"):
        run(f"UPDATE accounts_postingmoderule SET {change}")


def test_raw_sql_ends_no_rule_on_a_day_that_has_begun(buffered_payments: None) -> None:
    next_day()
    with refused("PL010"):
        run("UPDATE accounts_postingmoderule SET end_day = '2026-11-18'")
    run("UPDATE accounts_postingmoderule SET end_day = '2026-11-19'")
    next_day()
    with refused("PL010"):
        run("UPDATE accounts_postingmoderule SET end_day = NULL")


def test_raw_sql_removes_no_rule_that_has_begun(buffered_payments: None) -> None:
    with refused("PL010"):
        run("DELETE FROM accounts_postingmoderule")
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"):
        run("TRUNCATE accounts_postingmoderule")


def test_raw_sql_queues_nothing(buffered_payments: None) -> None:
    with refused("PL013"):
        run("INSERT INTO accounts_queuedmovement (account_id, entry_id, delta, queued_at) VALUES (1, 1, 1, now())")


def test_raw_sql_changes_nothing_queued(buffered_payments: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    with refused("PL013"):
        run("UPDATE accounts_queuedmovement SET delta = 1")
    with refused("23001"):
        run("TRUNCATE accounts_queuedmovement")


def test_taking_a_movement_out_of_the_queue_moves_the_balance(buffered_payments: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    run("DELETE FROM accounts_queuedmovement WHERE account_id = %s", the("220201-M-A").pk)
    assert (stored("220201-M-A"), queued("220201-M-A")) == (100, 0)


def test_an_entry_without_a_balance_is_queued_whoever_writes_it(ledger: dt.date) -> None:
    key()
    header()
    entries((1, the("300101-wx").pk, "D", 5), (2, the("220201-M-A").pk, "C", 5))
    assert (queued("300101-wx"), queued("220201-M-A")) == (5, 5)


@pytest.mark.parametrize(
    "lines", [[("220201-M-A", "D", 5), ("300101-wx", "C", 5)], [("220201-M-A", "C", -5), ("300101-wx", "D", -5)]]
)
def test_raw_sql_does_not_put_off_a_merchants_debit(ledger: dt.date, lines: list[tuple[str, str, int]]) -> None:
    key(VOUCHER, 1)
    header()
    with refused("PL013"):
        entries(*((n, the(account).pk, side, amount) for n, (account, side, amount) in enumerate(lines, start=1)))


def test_raw_sql_closes_no_account_with_movements_in_the_queue(buffered_payments: None, book: Book) -> None:
    services.post(book.posting(Event.PAYMENT, A=100))
    with refused("PL013"):
        run("UPDATE accounts_account SET status = 'closed' WHERE account_no = '220201-M-A'")


# --- hot accounts ---


def test_an_account_is_hot_by_its_entries_a_minute(ledger: dt.date, book: Book) -> None:
    services.post_many([book.posting(Event.PAYMENT, {"merchant": "M-A" if n else "M-B"}, A=1) for n in range(30)])
    hot = hot_accounts(window=dt.timedelta(minutes=5), per_minute=6)
    assert [(h.account_no, h.event, h.entries, h.per_minute) for h in hot] == [("300101-wx", Event.PAYMENT, 30, 6)]


def test_what_is_long_ago_is_not_hot(ledger: dt.date, book: Book) -> None:
    services.post_many([book.posting(Event.PAYMENT, A=1) for _ in range(30)])
    assert hot_accounts(per_minute=1, now=timezone.now() + dt.timedelta(minutes=6)) == []


def test_merchants_debits_are_never_hot(ledger: dt.date, book: Book) -> None:
    services.post_many([book.posting(Event.VOID, A=1) for _ in range(30)])
    assert [h.account_no for h in hot_accounts(per_minute=1)] == ["300101-wx"]


def test_what_has_a_rule_already_is_not_proposed_again(ledger: dt.date, book: Book) -> None:
    mode("300101-wx", Event.PAYMENT, PostingMode.BUFFERED)
    services.post_many([book.posting(Event.PAYMENT, A=1) for _ in range(30)])
    assert [h.account_no for h in hot_accounts(per_minute=1)] == ["220201-M-A"]


# --- maker and checker ---


def propose(maker: User, mode: str = "buffered", day: dt.date = TUESDAY, account_no: str = "300101-wx") -> Any:
    return mode_propose(
        account_no=account_no, event=Event.PAYMENT, mode=mode, effective_day=day, reason="hot", maker=maker
    )


def test_a_switch_is_proposed_by_one_and_approved_by_another(ledger: dt.date, alice: User, bob: User) -> None:
    request = propose(alice)
    assert not PostingModeRule.objects.exists()
    request_approve(request_id=request.pk, checker=bob)
    rule = PostingModeRule.objects.get()
    assert (rule.account.account_no, rule.mode, rule.effective_day, rule.created_by) == (
        "300101-wx",
        "buffered",
        TUESDAY,
        "alice",
    )


def test_a_switch_approved_after_its_day_began_is_refused(ledger: dt.date, alice: User, bob: User) -> None:
    request = propose(alice)
    next_day()
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=bob)
    assert caught.value.code == "modes.too_early"


def test_a_switch_over_rules_that_changed_meanwhile_is_refused(ledger: dt.date, alice: User, bob: User) -> None:
    request = propose(alice)
    mode("300101-wx", Event.PAYMENT, PostingMode.SUMMARY)
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=bob)
    assert caught.value.code == "approvals.target_changed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"day": MONDAY}, "modes.too_early"),
        ({"mode": "realtime"}, "modes.unchanged"),
        ({"account_no": "999999-x"}, "ledger.unknown_account"),
    ],
)
def test_a_switch_that_cannot_be_is_refused_when_proposed(
    ledger: dt.date, alice: User, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(PayopsError) as caught:
        propose(alice, **changes)
    assert caught.value.code == code
