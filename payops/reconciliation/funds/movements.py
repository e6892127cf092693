"""Movements settlement expects at the bank: payouts and their returns, matched by our number in the memo."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Final

from django.db.models import QuerySet

from payops.channels.choices import BankLineKind
from payops.channels.models import BankLine
from payops.reconciliation.models import ExpectedMovement

PAYOUT: Final = "payout"
RETURN: Final = "return"
NUMBER_LENGTH: Final = 40
_MEMO: Final = re.compile(r"\s*(?P<word>PAYOUT|RETURN)\s+(?P<number>[A-Za-z0-9_-]{1,40})\b", re.ASCII)

Handler = Callable[[str, BankLine], bool | None]
_handlers: dict[str, Handler] = {}


def register_return_handler(handler: Handler) -> None:
    """`handler(payout_no, bank_line)` books the return of a payout, once, inside the line's transaction.

    It answers False when the payout cannot have come back; the line is unidentified then.
    """
    _handlers[RETURN] = handler


def register_payout_handler(handler: Handler) -> None:
    """`handler(payout_no, bank_line)` learns that a payout left our account; the same rules as for a return."""
    _handlers[PAYOUT] = handler


def number_of(line: BankLine) -> tuple[str, str] | None:
    """The kind and our number, where the memo is worded as we word it."""
    match = _MEMO.match(line.memo)
    return (match["word"].lower(), match["number"]) if match else None


def movement_take(line: BankLine, kind: str, number: str) -> bool:
    """Match a payout or a returned payout with what settlement expects; False when nothing of the kind is expected.

    The number stays on the line in any case: money that leaves under it all the same must not leave a second time.
    """
    line.payout_no = number if len(number) <= NUMBER_LENGTH else ""
    if (kind == PAYOUT) != (line.amount < 0):
        return False
    if kind == RETURN:
        _return_expect(line, number)
    expected = ExpectedMovement.objects.filter(
        reference=number, kind=kind, amount=line.amount, bank_account=line.bank_account, bank_line_id=None
    ).update(bank_line_id=line.pk)
    if not expected:
        return False
    handler = _handlers.get(kind)
    if handler is not None and handler(number, line) is False:
        ExpectedMovement.objects.filter(reference=number, kind=kind).update(bank_line_id=None)
        return False
    line.kind = BankLineKind(kind)
    return True


def _return_expect(line: BankLine, number: str) -> None:
    """The bank line may be the first to tell of a return: the payout itself is what makes it expected."""
    paid = ExpectedMovement.objects.filter(
        reference=number, kind=PAYOUT, amount=-line.amount, bank_account=line.bank_account
    )
    if paid.exists():
        ExpectedMovement.objects.get_or_create(
            reference=number,
            kind=RETURN,
            defaults={
                "bank_account": line.bank_account,
                "amount": line.amount,
                "expected_on": line.value_date,
            },
        )


def movements_overdue(*, day: dt.date) -> QuerySet[ExpectedMovement]:
    """Movements settlement expected before `day` that no bank line has shown yet."""
    return ExpectedMovement.objects.filter(bank_line_id=None, expected_on__lt=day).order_by("expected_on", "id")
