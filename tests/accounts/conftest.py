"""A small ledger: two merchants, an agent, two channels, two reserve accounts, one of own funds, and one open day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from payops.accounts import checks, rules, selectors, services
from payops.accounts import posting as posting_module
from payops.accounts.chart import dotted
from payops.accounts.choices import Event, OwnerKind
from payops.accounts.models import Voucher
from payops.accounts.posting import Posting

MONDAY = dt.date(2026, 11, 16)
TUESDAY = dt.date(2026, 11, 17)
OWNERS = {"merchant": "M-A", "channel": "wx", "bank": "R1", "own_bank": "O1", "agent": "AG"}


@pytest.fixture(autouse=True)
def _only_the_ledgers_own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps above the ledger register theirs; these books have no cases and files to compare with."""
    monkeypatch.setattr(checks, "_registered", {})


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """What the process remembers of rules and days belongs to a database that is rolled back."""
    rules.rules_forget()
    posting_module._last_open_day.clear()
    yield
    rules.rules_forget()


def set_up_ledger(day: dt.date = MONDAY) -> None:
    services.ledger_setup()
    for code in ("wx", "up"):
        services.open_channel_accounts(code)
    for merchant in ("M-A", "M-B"):
        services.open_merchant_accounts(merchant)
    services.open_bank_account("R1", "reserve")
    services.open_bank_account("R2", "reserve")
    services.open_bank_account("O1", "own")
    services.open_agent_accounts("AG")
    services.day_open(day)


@pytest.fixture
def ledger(db: None) -> dt.date:
    """The ledger with Monday open; gives the day."""
    set_up_ledger()
    return MONDAY


@pytest.fixture
def committed_ledger(transactional_db: None) -> dt.date:
    """The same, committed, for tests with several connections."""
    set_up_ledger()
    return MONDAY


class Book:
    """Books events with running source numbers and shows what they did."""

    def __init__(self) -> None:
        self.last_source = 0

    def posting(self, event: Event, owners: dict[str, str] | None = None, **amounts: int) -> Posting:
        self.last_source += 1
        return Posting(event, "test", self.last_source, amounts, {**OWNERS, **(owners or {})}, MONDAY)

    def __call__(self, event: Event, owners: dict[str, str] | None = None, **amounts: int) -> list[tuple[Any, ...]]:
        """The lines booked: side, subject, owner, amount."""
        voucher = services.post(self.posting(event, owners, **amounts))
        return lines(voucher) if voucher else []


def lines(voucher: Voucher) -> list[tuple[Any, ...]]:
    return [
        (entry.side, dotted(entry.account.subject.code), entry.account.owner_no, entry.amount)
        for entry in selectors.voucher_entries(voucher.pk)
    ]


@pytest.fixture
def book(ledger: dt.date) -> Book:
    return Book()


@pytest.fixture
def balance() -> Callable[..., int]:
    """balance("2202.01", "M-A"): stored balance on the subject's normal side."""
    kinds = {
        "M-A": OwnerKind.MERCHANT,
        "M-B": OwnerKind.MERCHANT,
        "wx": OwnerKind.CHANNEL,
        "up": OwnerKind.CHANNEL,
        "R1": OwnerKind.BANK,
        "R2": OwnerKind.BANK,
        "O1": OwnerKind.BANK,
        "AG": OwnerKind.AGENT,
        "": OwnerKind.INSTITUTION,
    }

    def of(subject: str, owner: str = "") -> int:
        return selectors.balance_of(subject, kinds[owner], owner)

    return of
