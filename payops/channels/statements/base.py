"""What every bank statement is once it is read, and what it has to prove before a line of it is believed."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.money import format_amount, parse_amount


class StatementError(PayopsError):
    """The whole file is refused; nothing of it is taken. Codes start with `statement.`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of the account; `amount` in minor units, + = in.

    `batch` is the reference of the bank's entry this is a part of, empty when it is the entry itself.
    """

    reference: str
    value_date: dt.date
    amount: int
    counterparty: str = ""
    memo: str = ""
    end_to_end: str = ""
    code: str = ""
    batch: str = ""


@dataclass(slots=True)
class Statement:
    """A statement over one account: balances in minor units, booked entries, and those only announced."""

    account: str
    number: str
    date: dt.date
    currency: str
    opening: int
    closing: int
    entries: list[Entry] = field(default_factory=list)
    pending: list[Entry] = field(default_factory=list)
    booked: list[int] = field(default_factory=list)
    """Amounts of the bank's entries before batches were split."""

    @property
    def sequence(self) -> int | None:
        """The bank's number as a number, None when it is none."""
        digits = self.number.split("/")[0]
        return int(digits) if digits.isdecimal() and len(digits) <= 9 else None

    @property
    def credits(self) -> int:
        """Sum of what came in."""
        return sum(amount for amount in self.booked if amount > 0)

    @property
    def debits(self) -> int:
        """Sum of what went out, without sign."""
        return -sum(amount for amount in self.booked if amount < 0)

    def prove(self) -> Statement:
        """The statement, once opening balance and booked entries make up the closing one; StatementError otherwise."""
        computed = self.opening + sum(self.booked)
        if computed != self.closing:
            raise StatementError(
                "statement.balance",
                _(
                    "Statement %(number)s of account %(account)s closes at %(stated)s, but its opening balance and "
                    "entries make %(computed)s. Nothing was taken; ask the bank for a whole statement."
                )
                % {
                    "number": self.number,
                    "account": self.account,
                    "stated": format_amount(self.closing, self.currency),
                    "computed": format_amount(computed, self.currency),
                },
                {"number": self.number, "stated": self.closing, "computed": computed},
            )
        if sum(entry.amount for entry in self.entries) != sum(self.booked):
            raise AssertionError("the parts of a batch were checked against it")
        self.entries = _told_apart(self)
        return self


def _told_apart(statement: Statement) -> list[Entry]:
    """Entries with references of their own: the bank's need not be unique, and may be missing.

    What is added depends on the statement only, so reading it again gives the same references.
    """
    seen: Counter[str] = Counter()
    result = []
    for number, entry in enumerate(statement.entries, 1):
        base = entry.reference or f"{statement.date:%Y%m%d}-{statement.number}-{number}"
        seen[base] += 1
        reference = base if seen[base] == 1 else f"{base}#{seen[base]}"
        result.append(replace(entry, reference=reference))
    return result


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def plain(text: str, longest: int) -> str:
    """Free text on one line, cut to a length."""
    return " ".join(_CONTROL.sub(" ", text).split())[:longest]


def memo_of(parts: Sequence[str], end_to_end: str) -> str:
    """What the bank wrote, with the payer's own reference behind it where it is not part of that."""
    text = plain(" ".join(parts), 240)
    if end_to_end and end_to_end not in text:
        text = plain(f"{text[: 239 - len(end_to_end)]} {end_to_end}", 240)
    return text


def minor(text: str, currency: str, where: str) -> int:
    """An unsigned amount with a point, in minor units; StatementError names where it stands."""
    try:
        if not re.fullmatch(r"[0-9]{1,18}(?:\.[0-9]{1,5})?", text):
            raise PayopsError("money.not_an_amount", _("“%(value)s” is not an amount.") % {"value": text[:40]})
        return parse_amount(text, currency)
    except PayopsError as error:
        raise StatementError(
            "statement.amount", f"{where}: {error.message}", {"where": where, "value": text[:40]}
        ) from error
