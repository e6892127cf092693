"""Following the running balance of an account log: where it starts and ends, and where a row does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from payops.channels.formats.columns import show_hundredths

if TYPE_CHECKING:
    from payops.channels.formats.base import Reader


@dataclass(frozen=True, slots=True)
class Break:
    """A row whose balance does not follow from the row before (minor units)."""

    number: int
    stated: int
    computed: int


class RunningBalance:
    """balance(n) = balance(n − 1) ± amount, row by row; rows set aside in between are not held against the next."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._last: int | None = None
        self._last_number = 0
        self.opening: int | None = None
        self.first_break: Break | None = None
        self.breaks = 0

    def follow(self, numbers: Sequence[int], movements: Sequence[int], balances: Sequence[int]) -> None:
        """Take in consecutive rows: what each did to the account and the balance it states after."""
        aside = {line.line_no for line in self._reader.bad_lines}
        for number, movement, balance in zip(numbers, movements, balances, strict=True):
            if self._last is None:
                self.opening = balance - movement
            elif balance != self._last + movement and not self._gap_before(number, aside):
                self.breaks += 1
                self.first_break = self.first_break or Break(number, balance, self._last + movement)
            self._last, self._last_number = balance, number

    def _gap_before(self, number: int, aside: set[int]) -> bool:
        return not aside.isdisjoint(range(self._last_number + 1, number))

    def warn(self) -> None:
        """Note a break as a warning of the file."""
        if self.first_break is not None:
            self._reader.warn(
                "bill.balance_break",
                _("Row %(row)s has balance %(stated)s, but %(computed)s follows from the one before (%(count)s such).")
                % {
                    "row": self.first_break.number,
                    "stated": show_hundredths(self.first_break.stated),
                    "computed": show_hundredths(self.first_break.computed),
                    "count": self.breaks,
                },
                self.first_break.number,
            )

    def add_totals(self) -> None:
        """Where the log starts and ends, among the figures of the file."""
        if self.opening is not None and self._last is not None:
            self._reader.totals.add("balance.opening", None, self.opening)
            self._reader.totals.add("balance.closing", None, self._last)
