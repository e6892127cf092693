"""Rows of a form that name accounts and amounts: read from what was sent, and drawn again with what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path

from payops.accounts.chart import dotted
from payops.accounts.choices import Side
from payops.accounts.documents import accounts_matching
from payops.accounts.models import Account
from payops.console.shell import view
from payops.console.vouchers import subject_name
from payops.core.errors import PayopsError
from payops.core.money import format_amount, parse_amount

LEAST_ROWS = 3
MOST_ROWS = 999


@dataclass(slots=True)
class LineRow:
    """One row as it was written; texts, not figures, so that a wrong one is shown again as it was."""

    account: str = ""
    amount: str = ""
    side: str = ""
    error: str = ""

    @property
    def blank(self) -> bool:
        """Nothing was written here."""
        return not (self.account.strip() or self.amount.strip())


def rows_sent(request: HttpRequest) -> list[LineRow]:
    """The rows of the form, blank ones left out."""
    columns = [request.POST.getlist(name)[:MOST_ROWS] for name in ("account", "amount", "side")]
    rows = [LineRow(*(str(text)[:100].strip() for text in row)) for row in zip_longest(*columns, fillvalue="")]
    return [row for row in rows if not row.blank]


def rows_drawn(rows: Iterable[LineRow], least: int = LEAST_ROWS) -> list[LineRow]:
    """The rows and at least one blank row below them, so that the form also grows without a script."""
    drawn = list(rows)
    return [*drawn, *(LineRow() for _number in range(max(least - len(drawn), 1)))]


def amount_of(row: LineRow, currency: str) -> int:
    """The row's amount in minor units; a PayopsError is also written into the row."""
    try:
        return parse_amount(row.amount, currency)
    except PayopsError as error:
        row.error = str(error)
        raise


def amount_text(minor: int, currency: str) -> str:
    """An amount as a person would write it into the form."""
    return format_amount(minor, currency)


def side_choices() -> list[tuple[str, Any]]:
    """Debit and credit."""
    return list(Side.choices)


@view("ledger.view")
def account_suggest(request: HttpRequest) -> HttpResponseBase:
    """Accounts that begin with what was written, for the form's list of suggestions."""
    found = accounts_matching(request.GET.get("q", "")[:64], request.GET.get("currency", "")[:3])
    return JsonResponse({"accounts": [{"number": each.account_no, "label": _label(each)} for each in found]})


def _label(account: Account) -> str:
    return f"{dotted(account.subject.code)} {subject_name(account.subject)} {account.owner_no}".strip()


urlpatterns = [path("ledger/account-suggestions/", account_suggest, name="account_suggest")]
