"""Reads of balance adjustment statements: as data, by age, and the lines nobody has explained."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from payops.channels.choices import BankAccountKind, BankLineState
from payops.channels.models import BankLine
from payops.core.errors import PayopsError
from payops.discrepancies.choices import AGE_BUCKETS
from payops.reconciliation.bank.choices import OpenKind
from payops.reconciliation.bank.models import BankOpenItem, BankReconciliation


def statement_of(account: str, day: dt.date) -> BankReconciliation:
    """The statement that counts for a reserve account and day; PayopsError 'bank.not_found' when none was made."""
    found = (
        BankReconciliation.objects.select_related("bank_account")
        .filter(bank_account__code=account, day=day, is_current=True)
        .first()
    )
    if found is None:
        raise PayopsError(
            "bank.not_found",
            _("No balance adjustment statement was made for %(account)s on %(day)s.")
            % {"account": account, "day": day.isoformat()},
            {"account": account, "day": day.isoformat()},
        )
    return found


def age_of(item: BankOpenItem, day: dt.date) -> int:
    """Days the item has been open at the end of `day`."""
    return (day - item.since).days


def ageing(statement: BankReconciliation) -> dict[OpenKind, list[int]]:
    """Minor units of each kind of open items by the age buckets of DOMAIN 8."""
    found = {kind: [0] * len(AGE_BUCKETS) for kind in OpenKind}
    for item in statement.items.all():
        age = age_of(item, statement.day)
        position = next(at for at, (_first, last) in enumerate(AGE_BUCKETS) if last is None or age <= last)
        found[OpenKind(item.kind)][position] += item.amount
    return found


def statement_as_dict(statement: BankReconciliation) -> dict[str, Any]:
    """A statement with its open items for machines; minor units, entries as text (they exceed 2⁵³)."""
    return {
        "account": statement.bank_account.code,
        "date": statement.day.isoformat(),
        "number": statement.number,
        "currency": statement.bank_account.currency,
        "journal_balance": statement.journal_balance,
        "bank_balance": statement.bank_balance,
        "bank_balance_from": statement.source,
        **{kind.value: getattr(statement, kind.value) for kind in OpenKind},
        "adjusted_journal": statement.adjusted_journal,
        "adjusted_bank": statement.adjusted_bank,
        "difference": statement.difference,
        "items": [
            {
                "kind": item.kind,
                "amount": item.amount,
                "since": item.since.isoformat(),
                "age": age_of(item, statement.day),
                "entry": str(item.entry_id) if item.entry_id else None,
                "bank_reference": item.bank_line.reference if item.bank_line else None,
                "memo": item.memo,
            }
            for item in statement.items.select_related("bank_line")
        ],
    }


def unexplained_lines() -> QuerySet[BankLine]:
    """Lines of reserve accounts whose money nobody has explained: unidentified, or waiting for a decision."""
    return BankLine.objects.filter(
        Q(state=BankLineState.UNIDENTIFIED) | Q(state=BankLineState.WAITING),
        bank_account__kind=BankAccountKind.RESERVE,
    ).select_related("bank_account")
