"""How plain-text accounting programs write the journal: beancount and hledger, from the same records.

Amounts are signed, debit positive. A red line keeps its side as metadata, because a sign alone cannot tell a red debit
from a credit. Account names are valid in both programs and never change: element, code of the subject by level, owner.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from django.utils.translation import gettext as _

from payops.accounts.choices import Element, Side
from payops.core.errors import PayopsError
from payops.core.money import exponent, format_amount

MEMORANDUM: Final = "Equity:Memorandum"
"""The other side of memorandum lines, which have none of their own."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9-]")


@dataclass(frozen=True, slots=True)
class JournalAccount:
    """One account as the journal names it."""

    name: str
    account_no: str
    subject: str
    currency: str
    memo: bool


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One entry: signed amount in minor units, debit positive; `red` is the side of a red line, else empty."""

    account: JournalAccount
    amount: int
    red: str


@dataclass(slots=True)
class JournalVoucher:
    """One voucher with its lines."""

    id: int
    day: dt.date
    event: int
    event_label: str
    source: str
    business_date: dt.date
    posted_at: dt.datetime
    posted_by: str
    memo: str
    lines: list[JournalLine] = field(default_factory=list)

    @property
    def memorandum(self) -> dict[str, int]:
        """What the contra line of memorandum lines needs, by currency."""
        sums: dict[str, int] = {}
        for line in self.lines:
            if line.account.memo:
                sums[line.account.currency] = sums.get(line.account.currency, 0) - line.amount
        return sums


Balances = Iterable[tuple[JournalAccount, int]]
"""Accounts with their balance, signed, debit positive."""


class JournalFormat(Protocol):
    """A file format: every method gives the text of one thing."""

    suffix: str

    def head(self, title: str, base_currency: str, currencies: Sequence[str]) -> Iterator[str]:
        """What stands on top."""
        ...

    def account(self, day: dt.date, name: str, accounts: Sequence[JournalAccount]) -> str:
        """The declaration of a name and the accounts behind it, one per currency."""
        ...

    def opening(self, day: dt.date, currency: str, balances: Balances) -> Iterator[str]:
        """What was there before the first day, as one transaction of one currency."""
        ...

    def voucher(self, voucher: JournalVoucher) -> str:
        """One voucher as a transaction."""
        ...

    def assertions(self, day: dt.date, balances: Balances) -> Iterator[str]:
        """What the accounts must come to at the end of a day."""
        ...


def owner_component(owner_kind: str, owner_no: str) -> str:
    """Merchant-M-A; other characters than letters, digits and hyphens become -u005f-, so that no two owners meet."""
    text = "".join(
        char if _PLAIN.match(char) and not (char == "-" and owner_no[at + 1 : at + 2] == "u") else f"-u{ord(char):04x}-"
        for at, char in enumerate(owner_no)
    )
    kind = owner_kind.capitalize()
    return f"{kind}-{text}" if text else kind


def account_name(element: str, normal_side: str, code: str, owner_kind: str, owner_no: str) -> str:
    """Liabilities:2202:01:Merchant-M-A. Common subjects stand under their normal side, memorandum ones apart."""
    roots = {
        Element.ASSET: "Assets",
        Element.LIABILITY: "Liabilities",
        Element.INCOME: "Income",
        Element.EXPENSE: "Expenses",
        Element.COMMON: "Assets:Common" if normal_side == Side.DEBIT else "Liabilities:Common",
        Element.MEMO: f"{MEMORANDUM}:Accounts",
    }
    levels = [code[:4], *(code[at : at + 2] for at in range(4, len(code), 2))]
    return ":".join([roots[Element(element)], *levels, owner_component(owner_kind, owner_no)])


def _plain(minor: int, currency: str) -> str:
    return f"{format_amount(minor, currency, grouping=False)} {currency}"


def _moment(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _contra(totals: dict[str, int]) -> Iterator[tuple[str, int, str]]:
    for currency, amount in sorted(totals.items()):
        if amount:
            yield MEMORANDUM, amount, currency


class Beancount:
    """beancount 3; `bean-check` reads it without an error when the books are right."""

    suffix = "beancount"

    def head(self, title: str, base_currency: str, currencies: Sequence[str]) -> Iterator[str]:
        """Options; the title is the institution's name."""
        yield f'option "title" {self._quoted(title)}\n'
        for currency in dict.fromkeys([base_currency, *currencies]):
            yield f'option "operating_currency" "{currency}"\n'
        yield "\n"

    def account(self, day: dt.date, name: str, accounts: Sequence[JournalAccount]) -> str:
        """An `open` directive; without accounts one of our helpers, which takes any currency."""
        text = f"{day.isoformat()} open {name}"
        if not accounts:
            return f"{text}\n"
        currencies = ",".join(sorted({account.currency for account in accounts}))
        numbers = " ".join(account.account_no for account in accounts)
        return (
            f"{text} {currencies}\n  account: {self._quoted(numbers)}\n  subject: {self._quoted(accounts[0].subject)}\n"
        )

    def opening(self, day: dt.date, currency: str, balances: Balances) -> Iterator[str]:
        """It balances by itself, because the books did at the end of that day."""
        yield f'\n{day.isoformat()} * "Opening balances ({currency})" #opening\n'
        contra = 0
        for account, amount in balances:
            contra -= amount if account.memo else 0
            yield f"  {account.name}  {_plain(amount, currency)}\n"
        for name, amount, _currency in _contra({currency: contra}):
            yield f"  {name}  {_plain(amount, currency)}\n"

    def voucher(self, voucher: JournalVoucher) -> str:
        """A transaction linked to its source document."""
        narration = f"{voucher.event_label}: {voucher.memo}" if voucher.memo else voucher.event_label
        link = re.sub(r"[^A-Za-z0-9_/.-]", "-", voucher.source)
        parts = [
            f"\n{voucher.day.isoformat()} * {self._quoted(narration)} #event-{voucher.event} ^{link}\n"
            f'  voucher: "{voucher.id}"\n  business-date: {voucher.business_date.isoformat()}\n'
            f'  posted-at: "{_moment(voucher.posted_at)}"\n'
        ]
        if voucher.posted_by:
            parts.append(f"  posted-by: {self._quoted(voucher.posted_by)}\n")
        for line in voucher.lines:
            parts.append(f"  {line.account.name}  {_plain(line.amount, line.account.currency)}\n")
            if line.red:
                parts.append(f'    red: "{line.red}"\n')
        parts += [f"  {name}  {_plain(amount, currency)}\n" for name, amount, currency in _contra(voucher.memorandum)]
        return "".join(parts)

    def assertions(self, day: dt.date, balances: Balances) -> Iterator[str]:
        """`balance` holds at the beginning of a date, so the end of D is said of D+1; exact, without tolerance."""
        date = (day + dt.timedelta(days=1)).isoformat()
        yield "\n"
        for account, amount in balances:
            number = format_amount(amount, account.currency, grouping=False)
            yield f"{date} balance {account.name}  {number} ~ 0 {account.currency}\n"

    @staticmethod
    def _quoted(text: str) -> str:
        escaped = re.sub(r"\s+", " ", text).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'


class Hledger:
    """hledger's journal format; also read by ledger-cli but for the balance assertions' details."""

    suffix = "journal"

    def head(self, title: str, base_currency: str, currencies: Sequence[str]) -> Iterator[str]:
        """Decimal mark and the decimals of every currency."""
        yield f"; {self._text(title)}\ndecimal-mark .\n"
        for currency in dict.fromkeys([base_currency, *currencies]):
            yield f"commodity 1000.{'0' * exponent(currency)} {currency}\n"
        yield "\n"

    def account(self, day: dt.date, name: str, accounts: Sequence[JournalAccount]) -> str:
        """An `account` directive with its type."""
        kind = {"Assets": "A", "Liabilities": "L", "Equity": "E", "Income": "R", "Expenses": "X"}[name.split(":")[0]]
        text = f"account {name}  ; type:{kind}"
        if accounts:
            numbers = " ".join(account.account_no for account in accounts)
            text += f", account:{self._text(numbers)}, subject:{self._text(accounts[0].subject)}"
        return f"{text}\n"

    def opening(self, day: dt.date, currency: str, balances: Balances) -> Iterator[str]:
        """It balances by itself, because the books did at the end of that day."""
        yield f"\n{day.isoformat()} * Opening balances ({currency})\n"
        contra = 0
        for account, amount in balances:
            contra -= amount if account.memo else 0
            yield f"    {account.name}  {_plain(amount, currency)}\n"
        for name, amount, _currency in _contra({currency: contra}):
            yield f"    {name}  {_plain(amount, currency)}\n"

    def voucher(self, voucher: JournalVoucher) -> str:
        """A transaction whose code is the voucher and whose tags name the source document."""
        description = self._text(voucher.event_label)
        if voucher.memo:
            description += f" | {self._text(voucher.memo)}"
        tags = (
            f"event:{voucher.event}, source:{self._text(voucher.source)},"
            f" business-date:{voucher.business_date.isoformat()}, posted-at:{_moment(voucher.posted_at)}"
        )
        if voucher.posted_by:
            tags += f", posted-by:{self._text(voucher.posted_by)}"
        parts = [f"\n{voucher.day.isoformat()} * ({voucher.id}) {description}  ; {tags}\n"]
        for line in voucher.lines:
            red = f"  ; red:{line.red}" if line.red else ""
            parts.append(f"    {line.account.name}  {_plain(line.amount, line.account.currency)}{red}\n")
        parts += [f"    {name}  {_plain(amount, currency)}\n" for name, amount, currency in _contra(voucher.memorandum)]
        return "".join(parts)

    def assertions(self, day: dt.date, balances: Balances) -> Iterator[str]:
        """A transaction of nothing that asserts the balances."""
        yield f"\n{day.isoformat()} * Balances at the end of the day\n"
        for account, amount in balances:
            yield f"    {account.name}  0 {account.currency} = {_plain(amount, account.currency)}\n"

    @staticmethod
    def _text(text: str) -> str:
        """One line without what would begin a comment, end a tag's value or split a description."""
        return re.sub(r"\s+", " ", text).translate({ord(";"): ",", ord("|"): "/", ord(","): " "}).strip()


FORMATS: Final[dict[str, JournalFormat]] = {"beancount": Beancount(), "hledger": Hledger()}


def format_get(name: str) -> JournalFormat:
    """The format of a name; PayopsError 'journal.format_unknown'."""
    if name not in FORMATS:
        raise PayopsError(
            "journal.format_unknown",
            _("The journal is written for %(formats)s, not for “%(name)s”.")
            % {"formats": ", ".join(FORMATS), "name": name},
            {"format": name},
        )
    return FORMATS[name]
