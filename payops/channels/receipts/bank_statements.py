"""Statements of the bank into bank lines: the account is ours, statements join, nothing is taken in part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import Q
from django.utils.translation import gettext as _

from payops.channels.models import BankAccount, BankLine, BankStatement
from payops.channels.receipts.taking import BATCH, ReceiptsResult, take
from payops.channels.statements import Statement, StatementError
from payops.core.locks import xact_locks
from payops.core.money import format_amount

LOCK: Final = "channels.statement"

# Each kind of file words counterparty and memo its own way, and only a CSV has a balance per line.
_FACTS: Final = ("value_date", "amount", "currency")


def statements_take(statements: Sequence[Statement], result: ReceiptsResult) -> None:
    """Take proven statements in the order of the file, inside the caller's transaction.

    A statement known already, by date, number and figures, changes nothing, whichever form it came in. Where a line
    contradicts what is recorded the result becomes `refused`, and the caller takes nothing. Raises StatementError for
    an account that is not ours, another currency, other figures under a known number, or a chain that does not join.
    """
    accounts = [_account(statement) for statement in statements]
    xact_locks(LOCK, {account.pk for account in accounts})
    for statement, account in zip(statements, accounts, strict=True):
        result.rows += len(statement.entries)
        result.statements.append(_summary(statement, account))
        if _known(statement, account):
            result.unchanged += len(statement.entries)
            continue
        _check_chain(statement, account, result)
        stored = BankStatement.objects.create(
            bank_account=account,
            statement_date=statement.date,
            number=statement.number,
            sequence=statement.sequence,
            opening=statement.opening,
            credits=statement.credits,
            debits=statement.debits,
            closing=statement.closing,
            currency=statement.currency,
            entry_count=len(statement.booked),
            pending=[_announced(entry) for entry in statement.pending],
            sha256=result.sha256,
        )
        _take_lines(statement, stored, result)
    if result.refused_count:
        result.state = "refused"
        result.created = 0


def _take_lines(statement: Statement, stored: BankStatement, result: ReceiptsResult) -> None:
    """The lines of a statement; one known from a CSV keeps its file and gets the statement that proves it."""
    account = stored.bank_account
    lines = [
        (
            number,
            BankLine(
                bank_account=account,
                value_date=entry.value_date,
                reference=entry.reference,
                counterparty=entry.counterparty,
                memo=entry.memo,
                amount=entry.amount,
                currency=account.currency,
                statement=stored,
                file_name=result.name[:200],
                file_sha256=result.sha256,
                file_row=number,
            ),
        )
        for number, entry in enumerate(statement.entries, 1)
    ]
    parts = {entry.reference: entry.batch for entry in statement.entries if entry.batch}
    for start in range(0, len(lines), BATCH):
        take(lines[start : start + BATCH], result, _FACTS, parts)
    BankLine.objects.filter(
        bank_account=account, statement=None, reference__in=[entry.reference for entry in statement.entries]
    ).update(statement=stored)


def _account(statement: Statement) -> BankAccount:
    account = BankAccount.objects.filter(Q(account_no=statement.account) | Q(code=statement.account)).first()
    if account is None:
        raise StatementError(
            "statement.unknown_account",
            _("Statement %(number)s is of account %(account)s, which is not set up.")
            % {"number": statement.number, "account": statement.account},
            {"account": statement.account},
        )
    if account.currency != statement.currency:
        raise StatementError(
            "statement.currency",
            _("Account %(code)s is kept in %(expected)s, but the statement is in %(found)s.")
            % {"code": account.code, "expected": account.currency, "found": statement.currency},
            {"account": account.code, "found": statement.currency},
        )
    return account


def _known(statement: Statement, account: BankAccount) -> bool:
    stored = BankStatement.objects.filter(
        bank_account=account, statement_date=statement.date, number=statement.number
    ).first()
    if stored is None:
        return False
    figures = (stored.opening, stored.credits, stored.debits, stored.closing, stored.entry_count)
    if figures != (statement.opening, statement.credits, statement.debits, statement.closing, len(statement.booked)):
        raise StatementError(
            "statement.contradiction",
            _("Statement %(number)s of %(day)s is recorded with other figures (closing %(stored)s). Ask the bank.")
            % {
                "number": statement.number,
                "day": statement.date.isoformat(),
                "stored": format_amount(stored.closing, stored.currency),
            },
            {"number": statement.number, "stored": stored.closing, "found": statement.closing},
        )
    return True


def _check_chain(statement: Statement, account: BankAccount, result: ReceiptsResult) -> None:
    """The statement before closes where this one opens, and the one after opens where it closes; a gap is noted.

    Numbers start anew every year, so only those of one year are neighbours.
    """
    if statement.sequence is None:
        return
    of_year = BankStatement.objects.filter(
        bank_account=account, statement_date__year=statement.date.year, sequence__isnull=False
    )
    before = of_year.filter(sequence__lt=statement.sequence).order_by("-sequence", "-id").first()
    after = of_year.filter(sequence__gt=statement.sequence).order_by("sequence", "id").first()
    if before is not None and before.sequence == statement.sequence - 1 and before.closing != statement.opening:
        raise _broken(statement, before.number, before.closing, statement.opening)
    if after is not None and after.sequence == statement.sequence + 1 and after.opening != statement.closing:
        raise _broken(statement, after.number, after.opening, statement.closing)
    if before is not None and before.sequence != statement.sequence - 1:
        result.warnings.append(
            _("Account %(code)s: statement %(number)s follows %(before)s; those between are missing.")
            % {"code": account.code, "number": statement.number, "before": before.number}
        )


def _broken(statement: Statement, neighbour: str, theirs: int, ours: int) -> StatementError:
    return StatementError(
        "statement.chain",
        _("Statements %(number)s and %(neighbour)s do not join: %(ours)s here, %(theirs)s there. Nothing was taken.")
        % {
            "number": statement.number,
            "neighbour": neighbour,
            "ours": format_amount(ours, statement.currency),
            "theirs": format_amount(theirs, statement.currency),
        },
        {"number": statement.number, "neighbour": neighbour, "ours": ours, "theirs": theirs},
    )


def _announced(entry: Any) -> dict[str, Any]:
    return {
        "reference": entry.reference,
        "value_date": entry.value_date.isoformat(),
        "amount": entry.amount,
        "counterparty": entry.counterparty,
        "memo": entry.memo,
    }


def _summary(statement: Statement, account: BankAccount) -> dict[str, Any]:
    """A statement for machines; amounts in minor units."""
    return {
        "account": account.code,
        "number": statement.number,
        "date": statement.date.isoformat(),
        "opening": statement.opening,
        "closing": statement.closing,
        "entries": len(statement.booked),
        "pending": len(statement.pending),
    }
