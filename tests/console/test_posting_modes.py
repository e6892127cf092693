"""The page of posting modes, and proposing a switch on it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from payops.accounts import selectors, services
from payops.accounts.choices import Event
from payops.accounts.models import Account, PostingModeRule
from payops.accounts.modes import earliest_day, mode_set
from payops.accounts.posting import Posting
from payops.approvals.models import ApprovalRequest
from tests.console.conftest import Books, address

Read = Callable[..., str]


def account() -> Account:
    return Account.objects.filter(subject__code="300101").order_by("account_no").first()


def proposal(**changes: object) -> dict[str, object]:
    return {
        "account_no": account().account_no,
        "event": int(Event.PAYMENT),
        "mode": "buffered",
        "effective_day": earliest_day().isoformat(),
        "reason": "Every payment of the channel waits for it.",
        **changes,
    }


def buffered() -> None:
    """Payments of the account are buffered from the day that opens now."""
    day = earliest_day()
    mode_set(account=account(), event=Event.PAYMENT, mode="buffered", effective_day=day, by="bob")
    services.day_cut_off(day - dt.timedelta(days=1))


def pay(source: int) -> None:
    merchant = Account.objects.filter(subject__code="220201").order_by("account_no").first()
    owners = {"merchant": merchant.owner_no, "channel": account().owner_no}
    services.post(Posting(Event.PAYMENT, "test", source, {"A": 12_345}, owners, selectors.open_day()))


def test_without_rules_everything_is_real_time(read: Read) -> None:
    page = read("carol", "posting_mode_list")
    assert "All accounts are posted in real time." in page
    assert "Every stored balance has followed its entries." in page


def test_rules_and_what_waits_in_the_queue_are_shown(books: Books, read: Read) -> None:
    buffered()
    pay(10**9)
    page = read("bob", "posting_mode_list")
    assert "In force" in page
    assert page.count(account().account_no) >= 2
    assert "123.45" in page


def test_a_queue_nobody_drains_is_told_in_words(books: Books, settings: object, read: Read) -> None:
    buffered()
    pay(10**9)
    assert "is not being drained" not in read("bob", "posting_mode_list")
    settings.PAYOPS_DRAIN_SECONDS = -1
    assert "is not being drained" in read("bob", "posting_mode_list")


def test_accounts_are_shown_with_the_subject_they_belong_to(books: Books, read: Read) -> None:
    buffered()
    page = read("bob", "posting_mode_list")
    assert "Channel pending clearing" in page


def test_the_form_offers_accounts_to_choose_from(books: Books, read: Read) -> None:
    page = read("alice", "posting_mode_propose")
    assert f'data-suggest="{address("account_suggest")}"' in page
    assert '<datalist id="account_no-choices">' in page


def test_the_account_page_shows_the_balance_with_what_is_queued(books: Books, read: Read) -> None:
    before = account().balance
    buffered()
    pay(10**9)
    page = read("bob", "account", account().pk)
    assert "Payment succeeded: Buffered" in page
    assert f"{(before + 12_345) / 100:,.2f}" in page


def test_a_hot_account_is_shown_with_a_way_to_propose_it(books: Books, settings: object, read: Read) -> None:
    settings.PAYOPS_HOT_ENTRIES_PER_MINUTE = 1  # type: ignore[attr-defined]
    for source in range(10**9, 10**9 + 6):
        pay(source)
    assert "Propose buffering" in read("alice", "posting_mode_list")
    page = read("bob", "posting_mode_list")
    assert account().account_no in page
    assert "Propose buffering" not in page


def test_operations_propose_and_the_proposal_waits(books: Books, read: Read) -> None:
    response = books.client("alice").post(address("posting_mode_propose"), proposal())
    assert response.status_code == 302
    waiting = ApprovalRequest.objects.get(action="ledger.posting_mode")
    assert f"#{waiting.pk}" in read("bob", "posting_mode_list")
    assert not PostingModeRule.objects.exists()
    assert account().account_no in read("bob", "approval", waiting.pk)


def test_a_form_opened_from_a_hot_account_is_filled_in(read: Read) -> None:
    page = read("alice", "posting_mode_propose", account_no="300101-wx", event=int(Event.PAYMENT), mode="summary")
    assert 'value="300101-wx"' in page
    assert '<option value="summary" selected>' in page


def test_a_refusal_stays_on_the_form(books: Books) -> None:
    client = books.client("alice")
    for changes in ({"effective_day": "2026-01-01"}, {"account_no": "999"}, {"mode": "realtime"}, {"event": "901"}):
        response = client.post(address("posting_mode_propose"), proposal(**changes))
        assert response.status_code == 400, changes
    assert not ApprovalRequest.objects.filter(action="ledger.posting_mode").exists()


def test_finance_does_not_propose(books: Books) -> None:
    assert books.client("bob").post(address("posting_mode_propose"), proposal()).status_code == 403
