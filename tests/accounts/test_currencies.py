"""Currencies with 0, 2 and 3 decimals in one ledger: each balances for itself and is written its own way."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command

from payops.accounts import selectors, services, verify
from payops.accounts.choices import Event
from payops.accounts.journal import journal_write
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.models import Account, AccountingDay, DayBalance, PostingRule, Voucher
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from payops.core.formatting import money
from payops.core.money import parse_amount
from tests.accounts.conftest import MONDAY, TUESDAY, Book, lines
from tests.accounts.test_journal import BEAN_CHECK

CURRENCIES = ("JPY", "CNY", "KWD")
every_currency = pytest.mark.parametrize("currency", CURRENCIES)

In = Callable[..., Posting]


@pytest.fixture
def world(ledger: dt.date) -> None:
    """Every owner has its accounts in all three currencies."""
    for currency in ("JPY", "KWD"):
        services.open_channel_accounts("wx", currency)
        services.open_merchant_accounts("M-A", currency)
        services.open_bank_account("R1", "reserve", currency)
        services.open_bank_account("O1", "own", currency)
        services.open_agent_accounts("AG", currency)
        services.open_institution_accounts(currency)


@pytest.fixture
def posting(world: None, book: Book) -> In:
    """posting("JPY", Event.PAYMENT, A=1_234)"""

    def make(currency: str, event: Event, **amounts: int) -> Posting:
        return book.posting(event, **amounts)._replace(currency=currency)

    return make


def balance(subject: str, kind: str, owner: str, currency: str) -> int:
    return selectors.balance_of(subject, kind, owner, currency)


# --- amounts ---


@pytest.mark.parametrize(("currency", "text"), [("JPY", "1,234,567"), ("CNY", "12,345.67"), ("KWD", "1,234.567")])
def test_minor_units_are_written_and_read_with_the_decimals_of_their_currency(currency: str, text: str) -> None:
    assert money(1_234_567, currency) == text
    assert parse_amount(text, currency) == 1_234_567


@pytest.mark.parametrize(("currency", "text"), [("JPY", "1.5"), ("CNY", "1.234"), ("KWD", "1.2345")])
def test_more_decimals_than_the_currency_has_are_refused(currency: str, text: str) -> None:
    with pytest.raises(PayopsError) as caught:
        parse_amount(text, currency)
    assert caught.value.code == "money.too_many_decimals"


# --- accounts and postings ---


@every_currency
def test_an_account_outside_the_base_currency_says_so_in_its_number(world: None, currency: str) -> None:
    account = Account.objects.get(subject__code="220201", owner_no="M-A", currency=currency)
    assert account.account_no == ("220201-M-A" if currency == "CNY" else f"220201-M-A-{currency}")


@every_currency
def test_every_seeded_rule_books_in_every_currency(posting: In, currency: str) -> None:
    amounts = dict.fromkeys(("A", "X", "F", "Fd", "S", "K", "R", "D", "P"), 7)
    for event in PostingRule.objects.values_list("event", flat=True):
        services.post(posting(currency, Event(event), **amounts))
    assert {row.currency for row in selectors.trial_balance(MONDAY)} == {currency}
    assert all(total.balanced for total in selectors.trial_balance_totals(selectors.trial_balance(MONDAY)))


def test_a_posting_moves_the_accounts_of_its_currency_only(posting: In) -> None:
    services.post(posting("JPY", Event.PAYMENT, A=1_234))
    assert [balance("2202.01", "merchant", "M-A", currency) for currency in CURRENCIES] == [1_234, 0, 0]


def test_one_batch_books_all_currencies(posting: In) -> None:
    batch = [posting(currency, Event.PAYMENT, A=n) for n, currency in enumerate(CURRENCIES * 3, start=1)]
    assert services.post_many(batch, chunk_size=2).posted == 9
    assert [balance("2202.01", "merchant", "M-A", currency) for currency in CURRENCIES] == [12, 15, 18]


@pytest.mark.parametrize("many", [False, True])
def test_a_currency_the_owner_has_no_account_in_is_named(posting: In, many: bool) -> None:
    wanted = posting("USD", Event.PAYMENT, A=5)
    with pytest.raises(PayopsError) as caught:
        services.post_many([wanted]) if many else services.post(wanted)
    assert caught.value.code == "ledger.no_account"
    assert "USD" in str(caught.value)


def test_an_instruction_beyond_the_available_amount_is_refused_in_the_decimals_of_the_currency(posting: In) -> None:
    services.post(posting("KWD", Event.TOPUP, A=1_234))
    with pytest.raises(PayopsError) as caught:
        services.post(posting("KWD", Event.PAYOUT_SUBMITTED, P=5_000), instruction=True)
    assert caught.value.code == "ledger.insufficient"
    assert "1.234" in str(caught.value)
    assert "5.000 KWD" in str(caught.value)


# --- vouchers over several currencies ---


def exchange(*rows: RawLine) -> Voucher:
    return post_lines(LinesPosting(Event.MANUAL, "manual", 1, rows, MONDAY))


def test_a_voucher_over_two_currencies_balances_in_each(world: None) -> None:
    """Reserve money moves to own funds in two currencies at once; entries keep their own currency."""
    voucher = exchange(
        RawLine("100202-B-O1", "D", 700),
        RawLine("100201-B-R1", "C", 700),
        RawLine("100202-B-O1-JPY", "D", 15_000),
        RawLine("100201-B-R1-JPY", "C", 15_000),
    )
    assert [line[3] for line in lines(voucher)] == [700, 700, 15_000, 15_000]
    assert {entry.currency for entry in selectors.voucher_entries(voucher.pk)} == {"CNY", "JPY"}


def test_a_voucher_that_balances_only_when_currencies_are_mixed_is_refused(world: None) -> None:
    with pytest.raises(PayopsError) as caught:
        exchange(RawLine("100202-B-O1-JPY", "D", 700), RawLine("100201-B-R1", "C", 700))
    assert caught.value.code == "ledger.unbalanced"


def test_a_voucher_off_in_one_currency_is_refused_though_the_other_balances(world: None) -> None:
    with pytest.raises(PayopsError) as caught:
        exchange(
            RawLine("100202-B-O1", "D", 700),
            RawLine("100201-B-R1", "C", 700),
            RawLine("100202-B-O1-KWD", "D", 15_000),
            RawLine("100201-B-R1-KWD", "C", 14_999),
        )
    assert caught.value.code == "ledger.unbalanced"


# --- days, reports, journal ---


@pytest.fixture
def two_days(posting: In) -> None:
    """A payment of 1,000,000 minor units in every currency on Monday, its bill on Tuesday; both days closed."""
    for currency in CURRENCIES:
        services.post(posting(currency, Event.PAYMENT, A=1_000_000))
    services.day_cut_off(MONDAY)
    services.close_day(MONDAY)
    for currency in CURRENCIES:
        services.post(posting(currency, Event.BILL_NETTED, S=1_000_000, K=0))
    services.day_cut_off(TUESDAY)
    services.close_day(TUESDAY)


@every_currency
def test_day_balances_are_kept_per_currency(two_days: None, currency: str) -> None:
    rows = DayBalance.objects.filter(account__subject__code="300101", account__currency=currency).order_by("day")
    assert [(row.opening, row.debit, row.credit, row.closing) for row in rows] == [
        (0, 1_000_000, 0, 1_000_000),
        (1_000_000, 0, 1_000_000, 0),
    ]


def test_the_trial_balance_balances_per_currency(two_days: None) -> None:
    totals = selectors.trial_balance_totals(selectors.trial_balance(TUESDAY))
    assert {total.currency: (total.debit, total.credit, total.balanced) for total in totals} == dict.fromkeys(
        CURRENCIES, (1_000_000, 1_000_000, True)
    )


def test_a_superior_subject_never_adds_currencies_up(two_days: None) -> None:
    rows = selectors.trial_balance(TUESDAY, level=1)
    assert sorted((row.currency, row.closing) for row in rows if row.code == "2202") == [
        (currency, 1_000_000) for currency in sorted(CURRENCIES)
    ]


def test_the_close_states_totals_per_currency_and_finds_nothing(two_days: None) -> None:
    for row in AccountingDay.objects.filter(state="closed"):
        assert row.debit_total == dict.fromkeys(CURRENCIES, 1_000_000)
        assert not row.findings.exists()
    assert verify.ledger_verify().problems == []


def test_the_trial_balance_is_printed_with_each_currencys_decimals(two_days: None) -> None:
    printed = io.StringIO()
    call_command("trial_balance", date=TUESDAY, stdout=printed)
    for text in ("JPY: turnover 1,000,000 =", "CNY: turnover 10,000.00 =", "KWD: turnover 1,000.000 ="):
        assert text in printed.getvalue()
    figures = io.StringIO()
    call_command("trial_balance", date=TUESDAY, json=True, stdout=figures)
    assert {total["debit"] for total in json.loads(figures.getvalue())["totals"]} == {1_000_000}


def test_customers_money_is_guarded_per_currency(posting: In) -> None:
    """Own yen in the reserve do not make up for dinars that are missing."""
    services.post(posting("JPY", Event.OWN_FUNDS_COVER, P=10_000))
    services.post(posting("KWD", Event.SUBSIDY, A=1_500))
    guard = selectors.customers_money_guard()
    assert {name: each["own_money"] for name, each in guard["currencies"].items() if each["own_money"]} == {
        "JPY": 10_000,
        "KWD": -1_500,
    }
    assert not guard["ok"]
    services.day_cut_off(MONDAY)
    (finding,) = services.close_day(MONDAY).findings
    assert "-1.500 KWD" in finding.message


def test_an_outside_program_comes_to_the_same_balances_in_every_currency(two_days: None, tmp_path: Path) -> None:
    journal = tmp_path / "books.beancount"
    with journal.open("w", encoding="utf-8") as file:
        journal_write(file.write, form="beancount")
    text = journal.read_text(encoding="utf-8")
    for amount in ("1000000 JPY", "10000.00 CNY", "1000.000 KWD"):
        assert amount in text
    read = subprocess.run(
        [str(BEAN_CHECK), "--no-cache", str(journal)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (read.returncode, read.stderr) == (0, "")
