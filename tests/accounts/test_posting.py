"""Posting one voucher and many: keys, days, rules, accounts, balances."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from payops.accounts import selectors, services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.models import Account, Entry, PostingKey, Voucher
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, OWNERS, TUESDAY, Book, lines

Balance = Callable[..., int]


def payment(source: int, amount: int = 100, **changes: object) -> Posting:
    values = {
        "event": Event.PAYMENT,
        "source_kind": "transaction",
        "source_id": source,
        "amounts": {"A": amount},
        "owners": OWNERS,
        "business_date": MONDAY,
        **changes,
    }
    return Posting(**values)


def error_of(call: Callable[[], object]) -> PayopsError:
    with pytest.raises(PayopsError) as caught:
        call()
    return caught.value


# --- one ---


def test_a_voucher_keeps_its_source_business_date_and_memo(ledger: dt.date) -> None:
    voucher = services.post(payment(7, memo="first", business_date=dt.date(2026, 11, 15)), posted_by="alice")
    stored = Voucher.objects.get(pk=voucher.pk)
    assert (stored.source_kind, stored.source_id, stored.memo, stored.posted_by) == ("transaction", 7, "first", "alice")
    assert stored.business_date == dt.date(2026, 11, 15)
    assert voucher.line_count == stored.line_count == 2


def test_posting_takes_one_round_trip(ledger: dt.date) -> None:
    services.post(payment(1))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        services.post(payment(2))
    assert len(queries) == 1


def test_the_same_source_document_is_booked_once(ledger: dt.date) -> None:
    voucher = services.post(payment(7))
    error = error_of(lambda: services.post(payment(7, 200)))
    assert error.code == "ledger.already_posted"
    assert error.context["voucher_id"] == voucher.pk
    assert Voucher.objects.for_days(MONDAY).count() == 1


def test_another_event_of_the_same_source_document_is_booked(ledger: dt.date) -> None:
    services.post(payment(7))
    assert services.post(payment(7, event=Event.VOID)) is not None


def test_zero_lines_are_left_out(book: Book) -> None:
    assert len(book(Event.CLEARING_NET, A=100, X=0, F=0)) == 2


def test_a_posting_of_zeros_books_nothing_and_keeps_its_key_free(ledger: dt.date) -> None:
    assert services.post(payment(7, 0)) is None
    assert not PostingKey.objects.exists()
    assert services.post(payment(7, 5)) is not None


def test_balance_after_follows_each_entry(book: Book) -> None:
    for amount in (100, 50, 25):
        book(Event.PAYMENT, A=amount)
    pending = selectors.account_get("2202.01", "merchant", "M-A")
    entries = Entry.objects.for_days(MONDAY).filter(account=pending)
    assert list(entries.values_list("balance_after", flat=True)) == [100, 150, 175]
    assert pending.balance == 175


def test_an_account_nobody_opened_is_named(ledger: dt.date) -> None:
    error = error_of(lambda: services.post(payment(7, owners={"merchant": "M-X", "channel": "wx"})))
    assert error.code == "ledger.no_account"
    assert "2202.01" in str(error)
    assert "M-X" in str(error)


def test_a_missing_owner_is_named(ledger: dt.date) -> None:
    error = error_of(lambda: services.post(payment(7, owners={"channel": "wx"})))
    assert (error.code, error.context["owner"]) == ("ledger.owner_missing", "merchant")


def test_a_missing_amount_is_named(ledger: dt.date) -> None:
    error = error_of(lambda: services.post(payment(7, amounts={"B": 1})))
    assert (error.code, error.context["variable"]) == ("ledger.variable_missing", "A")


def test_an_amount_that_is_not_whole_is_a_defect(ledger: dt.date) -> None:
    with pytest.raises(TypeError):
        services.post(payment(7, amounts={"A": 1.5}))
    with pytest.raises(TypeError):
        services.post_many([payment(7, amounts={"A": 1.5})])


def test_a_closed_channel_account_is_named_and_the_transaction_goes_on(ledger: dt.date) -> None:
    services.account_status_set(account=selectors.account_get("3001.01", "channel", "wx"), status=AccountStatus.CLOSED)
    for call in (lambda: services.post(payment(7)), lambda: services.post_many([payment(7)])):
        error = error_of(call)
        assert (error.code, error.context["account_no"]) == ("ledger.account_closed", "300101-wx")
    assert services.post(payment(8, owners={"merchant": "M-B", "channel": "up"})) is not None


def test_postings_go_to_the_open_day(ledger: dt.date) -> None:
    services.day_cut_off(MONDAY)
    voucher = services.post(payment(7))
    assert list(selectors.vouchers_of_source("transaction", 7, TUESDAY)) == [voucher]


def test_a_day_cut_off_still_takes_what_is_meant_for_it(ledger: dt.date) -> None:
    services.day_cut_off(MONDAY)
    services.post(payment(7), day=MONDAY)
    services.post_many([payment(8)], day=MONDAY)
    assert Voucher.objects.for_days(MONDAY).count() == 2


def test_a_closed_day_is_refused_with_a_sentence(ledger: dt.date) -> None:
    services.day_cut_off(MONDAY)
    services.close_day(MONDAY)
    assert error_of(lambda: services.post(payment(7), day=MONDAY)).code == "ledger.day_not_open"
    assert error_of(lambda: services.post_many([payment(7)], day=MONDAY)).code == "ledger.day_not_open"


def test_without_an_open_day_nothing_is_booked(db: None) -> None:
    services.ledger_setup()
    assert error_of(lambda: services.post(payment(7))).code == "ledger.no_open_day"


def test_a_new_version_of_a_rule_books_from_its_day_on(ledger: dt.date) -> None:
    services.post(payment(1))
    services.posting_rule_create(
        event=Event.PAYMENT,
        effective_day=TUESDAY,
        lines=[
            {"side": "D", "subject": "3001.01", "owner": "channel", "amount": "A"},
            {"side": "C", "subject": "2202.02", "owner": "merchant", "amount": "A"},
        ],
    )
    services.day_cut_off(MONDAY)
    monday, tuesday = services.post(payment(2), day=MONDAY), services.post(payment(3))
    assert [line[1] for line in lines(monday)] == ["3001.01", "2202.01"]
    assert [line[1] for line in lines(tuesday)] == ["3001.01", "2202.02"]
    assert (monday.rule_version, tuesday.rule_version) == (1, 2)


# --- instructions and facts ---


@pytest.mark.parametrize("status", [AccountStatus.STOPPED, AccountStatus.JUDICIAL, AccountStatus.CREDIT_ONLY])
def test_a_restricted_account_refuses_instructions_but_never_facts(book: Book, status: str) -> None:
    book(Event.CLEARING_NET, A=1_000, X=0, F=0)
    account = selectors.account_get("2202.02", "merchant", "M-A")
    services.account_status_set(account=account, status=status)
    payout = book.posting(Event.PAYOUT_SUBMITTED, P=500)
    assert error_of(lambda: services.post(payout, instruction=True)).code == "ledger.restricted"
    assert services.post(payout) is not None


def test_an_instruction_above_the_available_balance_is_refused(book: Book) -> None:
    book(Event.CLEARING_NET, A=1_000, X=0, F=0)
    services.freeze_place(
        account=selectors.account_get("2202.02", "merchant", "M-A"),
        amount=600,
        reason="court order",
        source_kind="letter",
        source_id=1,
        created_by="alice",
    )
    payout = book.posting(Event.PAYOUT_SUBMITTED, P=500)
    assert error_of(lambda: services.post(payout, instruction=True)).code == "ledger.insufficient"
    smaller = book.posting(Event.PAYOUT_SUBMITTED, P=400)
    assert services.post(smaller, instruction=True) is not None


# --- many ---


def test_many_book_the_same_as_one_by_one(book: Book, balance: Balance) -> None:
    postings = [
        book.posting(Event.PAYMENT, A=1_000),
        book.posting(Event.REFUND_ACCEPTED_PENDING, A=300),
        book.posting(Event.BILL_NETTED, S=-994, K=-6),
        book.posting(Event.CLEARING_NET, {"merchant": "M-B"}, A=5, X=0, F=10),
        book.posting(Event.PAYMENT, A=0),
    ]
    result = services.post_many(postings)
    assert (result.posted, result.skipped, result.empty) == (4, 0, 1)
    booked = [lines(voucher) for voucher in Voucher.objects.for_days(MONDAY)]
    assert booked[2] == [("C", "1122.01", "wx", 994), ("C", "6421.01", "wx", 6), ("D", "3001.01", "wx", 1_000)]
    assert booked[3][1] == ("D", "2202.02", "M-B", 5)
    assert balance("3001.01", "wx") == 2_000
    assert balance("2202.01", "M-A") == 700
    assert balance("2202.02", "M-B") == -5
    assert stored_balances_equal_entries()


def test_many_write_the_balance_after_each_entry(ledger: dt.date) -> None:
    services.post(payment(1, 100))
    services.post_many([payment(source, 10) for source in range(2, 7)], chunk_size=2)
    pending = selectors.account_get("2202.01", "merchant", "M-A")
    entries = Entry.objects.for_days(MONDAY).filter(account=pending)
    assert list(entries.values_list("balance_after", flat=True)) == [100, 110, 120, 130, 140, 150]


def test_many_skip_what_is_booked_already(ledger: dt.date, balance: Balance) -> None:
    services.post(payment(3))
    result = services.post_many([payment(source) for source in range(1, 6)])
    assert (result.posted, result.skipped) == (4, 1)
    again = services.post_many([payment(source) for source in range(1, 6)], chunk_size=2)
    assert (again.posted, again.skipped) == (0, 5)
    assert balance("2202.01", "M-A") == 500


def test_many_come_from_a_stream_that_reads_the_same_database(ledger: dt.date, balance: Balance) -> None:
    """Chunks are taken behind the stream, some after a failed first try: the stream must never meet them half way."""
    services.post_many([payment(source) for source in range(1, 61, 3)])

    def stream() -> Iterator[Posting]:
        events = [Event.PAYMENT, Event.VOID, Event.TOPUP, Event.REFUND_ACCEPTED_PENDING]
        with connection.chunked_cursor() as cursor:
            cursor.itersize = 5
            cursor.execute("SELECT generate_series(1, 60)")
            for (source,) in cursor:
                assert Account.objects.filter(owner_no="M-A").exists()
                event = Event.PAYMENT if source % 3 == 1 else events[source // 20 % 4]
                yield payment(source, event=event, amounts={"A": 100, "F": 0, "X": 0, "S": 100, "K": 0})

    result = services.post_many(stream(), chunk_size=7)
    assert (result.posted, result.skipped) == (40, 20)
    stored_balances_equal_entries()


def test_many_book_a_document_given_twice_once(ledger: dt.date, balance: Balance) -> None:
    result = services.post_many([payment(1), payment(1), payment(2), payment(1)], chunk_size=3)
    assert (result.posted, result.skipped) == (2, 2)
    assert balance("2202.01", "M-A") == 200


def test_many_are_all_or_nothing(ledger: dt.date) -> None:
    bad = [*[payment(source) for source in range(1, 6)], payment(9, owners={"merchant": "M-X", "channel": "wx"})]
    assert error_of(lambda: services.post_many(bad, chunk_size=2)).code == "ledger.no_account"
    assert not PostingKey.objects.exists()
    assert Voucher.objects.for_days(MONDAY).count() == 0


def test_many_need_no_account_for_a_zero_line(ledger: dt.date) -> None:
    Account.objects.filter(subject__code="602101").exists()
    posting = Posting(Event.BILL_NETTED, "run", 1, {"S": 100, "K": 0}, {"channel": "zfb"}, MONDAY)
    for subject in ("1122.01", "3001.01"):
        services.account_open(subject_code=subject, owner_kind="channel", owner_no="zfb")
    assert services.post_many([posting]).posted == 1


def test_many_of_nothing_is_nothing(ledger: dt.date) -> None:
    assert services.post_many([]).posted == 0


def test_memos_with_tabs_and_backslashes_survive_the_copy(ledger: dt.date) -> None:
    memo = "tab\there \\N and\nline"
    services.post_many([payment(1, memo=memo)])
    assert Voucher.objects.for_days(MONDAY).get().memo == memo


def test_a_long_stream_keeps_memory_flat(ledger: dt.date) -> None:
    def stream(count: int, first: int) -> Iterator[Posting]:
        return (payment(first + n) for n in range(count))

    def peak(count: int, first: int) -> int:
        tracemalloc.start()
        services.post_many(stream(count, first), chunk_size=500)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(500, 0)
    assert peak(8_000, 20_000) < 2 * peak(2_000, 10_000)


def stored_balances_equal_entries() -> bool:
    from payops.accounts import sql
    from payops.core.ids import id_range

    statement = sql.with_open_days(
        sql.bounded(sql.BALANCE_DIFFERENCES, *id_range(dt.date(2026, 11, 10), dt.date(2026, 11, 21)))
    )
    return sql.fetch(statement, {"day": dt.date(2000, 1, 1)}) == []
