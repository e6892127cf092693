"""Merchant reconciliation (DOMAIN 7.1): what is on the statement, what was cleared, and what was paid.

One row per settlement sheet of a day. Statement, sheet, clearing, transactions and ledger must say the same at once;
the payment may still be under way, which is waiting and no difference.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from django.db.models import Count, Sum
from django.utils.translation import gettext as _

from payops.core.money import format_amount
from payops.settlement.choices import PayoutState, SheetState
from payops.settlement.models import ClearingItem, Payout, SettlementSheet
from payops.statements.agreement import comparisons
from payops.statements.document import CURRENCY, figures_of
from payops.statements.models import Statement
from payops.statements.selectors import SheetContent, contents_of, sheets_of_day

SHEETS_AT_A_TIME: Final = 200
AGREES, WAITING, DIFFERS = "agreed", "waiting", "different"
_ENDED: Final = (PayoutState.FAILED, PayoutState.RETURNED, PayoutState.CANCELLED)
_COUNTS: Final = ("forward_count", "reverse_count")


@dataclass(slots=True)
class MerchantRow:
    """One settlement sheet beside its statement and its payouts; minor units.

    `stated` is the payout on the statement, None while there is none; `paid` what the bank confirmed, `under_way` what
    it has not yet answered for good.
    """

    sheet: SettlementSheet
    cleared_count: int
    cleared_net: int
    stated: int | None
    paid: int
    under_way: int
    differences: list[str] = field(default_factory=list)
    waits_for: str = ""

    @property
    def verdict(self) -> str:
        """agreed, waiting or different."""
        if self.differences:
            return DIFFERS
        return WAITING if self.waits_for else AGREES


@dataclass(frozen=True, slots=True)
class NotSettled:
    """What of a merchant was cleared for the day and stands on no settlement sheet yet; minor units."""

    merchant_no: str
    count: int
    net: int


@dataclass(frozen=True, slots=True)
class MerchantCheck:
    """The merchant reconciliation of one settlement day."""

    day: dt.date
    rows: list[MerchantRow]
    not_settled: list[NotSettled]

    def count(self, verdict: str) -> int:
        """How many sheets came out so."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def agrees(self) -> bool:
        """Nothing differs; what waits is not wrong."""
        return not self.count(DIFFERS)

    def as_dict(self) -> dict[str, Any]:
        """For machines; minor units."""
        return {
            "date": self.day.isoformat(),
            "agrees": self.agrees,
            "sheets": [
                {
                    "merchant": row.sheet.merchant.merchant_no,
                    "sheet": row.sheet.sheet_no,
                    "state": row.verdict,
                    "cleared": {"count": row.cleared_count, "net": row.cleared_net},
                    "settled": row.sheet.payout_amount,
                    "stated": row.stated,
                    "paid": row.paid,
                    "under_way": row.under_way,
                    "differences": row.differences,
                    "waits_for": row.waits_for,
                }
                for row in self.rows
            ],
            "not_settled": [
                {"merchant": each.merchant_no, "count": each.count, "net": each.net} for each in self.not_settled
            ],
        }


def merchant_check(day: dt.date) -> MerchantCheck:
    """Compare statements, clearing and payouts of the settlement of accounting date `day`."""
    rows = []
    sheets = sheets_of_day(day).iterator(chunk_size=SHEETS_AT_A_TIME)
    while chunk := list(islice(sheets, SHEETS_AT_A_TIME)):
        rows.extend(_rows(chunk))
    rows.sort(key=lambda row: (row.sheet.merchant.merchant_no, row.sheet.pk))
    return MerchantCheck(day, rows, _not_settled(day))


def _rows(sheets: Sequence[SettlementSheet]) -> Iterator[MerchantRow]:
    ids = [sheet.pk for sheet in sheets]
    stated: dict[int, list[Statement]] = defaultdict(list)
    for statement in Statement.objects.filter(sheet__in=ids):
        stated[statement.sheet_id].append(statement)
    payouts: dict[int, list[Payout]] = defaultdict(list)
    for payout in Payout.objects.filter(sheet__in=ids).exclude(state=PayoutState.CANCELLED):
        payouts[payout.sheet_id].append(payout)
    for content in contents_of(sheets):
        yield _row(content, stated[content.sheet.pk], payouts[content.sheet.pk])


def _row(content: SheetContent, statements: Sequence[Statement], payouts: Sequence[Payout]) -> MerchantRow:
    sheet = content.sheet
    row = MerchantRow(
        sheet=sheet,
        cleared_count=sum(item.count for item in content.items),
        cleared_net=sum(item.net for item in content.items),
        stated=statements[0].totals.get("payout_amount") if statements else None,
        paid=sum(payout.amount for payout in payouts if payout.state == PayoutState.SUCCEEDED),
        under_way=sum(payout.amount for payout in payouts if payout.state not in (*_ENDED, PayoutState.SUCCEEDED)),
    )
    row.differences = [
        *_in_the_books(content),
        *_on_the_statement(content, statements),
        *_at_the_bank(sheet, row),
    ]
    if not statements:
        row.waits_for = _("the statement")
    elif sheet.state in (SheetState.READY, SheetState.IN_PAYMENT):
        row.waits_for = _("the payment")
    elif sheet.state in (SheetState.FAILED, SheetState.RETURNED):
        row.waits_for = _("the next sheet, because the payment failed or came back")
    return row


def _in_the_books(content: SheetContent) -> Iterator[str]:
    for each in comparisons(content):
        if each.one_value != each.other_value:
            yield _differ(each.what, each.one, each.one_value, each.other, each.other_value, is_count=each.is_count)


def _on_the_statement(content: SheetContent, statements: Sequence[Statement]) -> Iterator[str]:
    figures = figures_of(content)
    for statement in statements:
        for name, value in figures.items():
            said = statement.totals.get(name)
            if said != value:
                yield _differ(name, statement.file_name, said or 0, _("the books"), value, is_count=name in _COUNTS)


def _at_the_bank(sheet: SettlementSheet, row: MerchantRow) -> Iterator[str]:
    owed = sheet.payout_amount
    if row.paid + row.under_way > owed or (sheet.state == SheetState.PAID and row.paid != owed):
        yield _differ(
            _("the payout"), _("the bank"), row.paid + row.under_way, _("the settlement sheet"), owed, is_count=False
        )


def _differ(what: str, one: str, one_value: int, other: str, other_value: int, *, is_count: bool) -> str:
    shown = str if is_count else (lambda minor: format_amount(minor, CURRENCY))
    return _("%(what)s: %(value)s by %(one)s, %(other_value)s by %(other)s") % {
        "what": what,
        "value": shown(one_value),
        "one": one,
        "other_value": shown(other_value),
        "other": other,
    }


def _not_settled(day: dt.date) -> list[NotSettled]:
    items = (
        ClearingItem.objects.filter(own_date=day, settlement_sheet__isnull=True)
        .order_by("merchant__merchant_no")
        .values_list("merchant__merchant_no")
        .annotate(Count("id"), Sum("net"))
    )
    return [NotSettled(*each) for each in items]
