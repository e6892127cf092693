"""The bank's balance at the end of a day: what the bank says, or what its lines come to (DOMAIN 7.1)."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce

from payops.channels.models import BankAccount, BankLine, BankStatement
from payops.reconciliation.bank.choices import BalanceSource


def lines_of(account: BankAccount) -> QuerySet[BankLine]:
    """The lines of an account with `bank_day`, the day whose closing balance holds them.

    The bank may date the value of a line before or after the statement that has it; its balance holds the line from
    the statement's day on. Without a statement the value date is all there is.
    """
    lines = BankLine.objects.filter(bank_account=account)
    return lines.annotate(bank_day=Coalesce("statement__statement_date", "value_date"))


def stated_balance(account: BankAccount, day: dt.date) -> tuple[int, BalanceSource] | None:
    """The closing balance the bank gave for the day (minor units), by a statement or on its last line; else None."""
    statement = (
        BankStatement.objects.filter(bank_account=account, statement_date=day)
        .order_by(F("sequence").desc(nulls_last=True), "-id")
        .first()
    )
    if statement is not None:
        return statement.closing, BalanceSource.STATEMENT
    last = _last_balance(list(lines_of(account).filter(bank_day=day).order_by("id")))
    return None if last is None else (last, BalanceSource.LINE)


def first_balance(account: BankAccount) -> tuple[dt.date | None, int]:
    """The day the bank's side begins, and what it then held (minor units; 0 where the bank does not say)."""
    line = lines_of(account).order_by("bank_day", "id").first()
    statement = (
        BankStatement.objects.filter(bank_account=account)
        .order_by("statement_date", F("sequence").asc(nulls_last=True), "id")
        .first()
    )
    if statement is not None and (line is None or statement.statement_date <= line.bank_day):
        return statement.statement_date, statement.opening
    if line is None:
        return None, 0
    of_day = list(lines_of(account).filter(bank_day=line.bank_day).order_by("id"))
    last = _last_balance(of_day)
    return line.bank_day, 0 if last is None else last - sum(each.amount for each in of_day)


def _last_balance(lines: Sequence[BankLine]) -> int | None:
    """The balance after the last of a day's lines, in whichever order the bank lists them.

    Each line goes from balance − amount to balance; the one balance more arrived at than left is the last. None where
    a line has no balance or the lines do not form a chain.
    """
    if not lines or any(line.balance is None for line in lines):
        return None
    ends: Counter[int] = Counter()
    for line in lines:
        ends[line.balance] += 1
        ends[line.balance - line.amount] -= 1
    last = [balance for balance, count in ends.items() if count > 0]
    first = [balance for balance, count in ends.items() if count < 0]
    if not last and not first:
        # The day ends where it began.
        return lines[-1].balance
    return last[0] if len(last) == 1 and ends[last[0]] == 1 and len(first) == 1 else None
