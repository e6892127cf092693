"""Facts for closed merchant accounts: to suspense, remembered, and told to whoever opens cases (DOMAIN 4.4).

A closed account takes no entries, but a fact is never refused. Its line goes to the suspense of the posting's channel,
else of its bank account, else of the institution: a credit to surplus, a debit to shortage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from payops.accounts.chart import account_open
from payops.accounts.choices import OwnerKind
from payops.accounts.models import Account, DivertedEntry, Entry, Voucher

SURPLUS: Final = "224101"
SHORTAGE: Final = "122101"

Handler = Callable[[Sequence["Diversion"]], None]
_handlers: Final[list[Handler]] = []


@dataclass(frozen=True, slots=True)
class Diversion:
    """One diverted line with what it was meant for: account, and the voucher that carries it."""

    diverted: DivertedEntry
    account: Account
    """The closed account it was meant for."""
    suspense: Account
    voucher: Voucher

    @property
    def signed(self) -> int:
        """What it adds to surplus − shortage, minor units."""
        return self.diverted.amount if self.diverted.side == "C" else -self.diverted.amount


def register_diversion_handler(handler: Handler) -> None:
    """Call `handler(diversions)` in the transaction of every posting that had lines for closed accounts."""
    if handler not in _handlers:
        _handlers.append(handler)


def unregister_diversion_handler(handler: Handler) -> None:
    """Forget a handler; for tests that register their own."""
    if handler in _handlers:
        _handlers.remove(handler)


def suspense_owner(owners: Mapping[str, str]) -> tuple[str, str]:
    """Whose suspense takes the lines of a posting with these owners: owner kind and number."""
    if channel := owners.get("channel"):
        return OwnerKind.CHANNEL.value, channel
    if bank := owners.get("bank"):
        return OwnerKind.BANK.value, bank
    return OwnerKind.INSTITUTION.value, ""


def suspense_key(side: str, owner: tuple[str, str], currency: str) -> tuple[str, str, str, str]:
    """Subject, owner kind, owner number and currency of the suspense account for a line on `side`."""
    return SURPLUS if side == "C" else SHORTAGE, *owner, currency


def suspense_account(side: str, owner: tuple[str, str], currency: str) -> Account:
    """The suspense account for a line on `side`, opened when it is the owner's first in this currency."""
    subject, kind, owner_no, currency = suspense_key(side, owner, currency)
    return account_open(subject_code=subject, owner_kind=kind, owner_no=owner_no, currency=currency)


def divert(entries: Sequence[DivertedEntry]) -> None:
    """Remember diverted lines whose entries are booked, and tell the handlers; an error of one undoes the posting."""
    DivertedEntry.objects.bulk_create(entries, batch_size=1000)
    if not _handlers:
        return
    numbers = [entry.entry_id for entry in entries]
    lo, hi = min(numbers) - min(numbers) % 1000, max(numbers) + 1
    booked = Entry.objects.in_range(lo, hi).select_related("account").in_bulk(numbers)
    vouchers = Voucher.objects.in_range(lo, hi).in_bulk({number - number % 1000 for number in numbers})
    meant = Account.objects.in_bulk({entry.account_id for entry in entries})
    diversions = [
        Diversion(
            entry, meant[entry.account_id], booked[entry.entry_id].account, vouchers[entry.entry_id // 1000 * 1000]
        )
        for entry in entries
    ]
    for handler in _handlers:
        handler(diversions)
