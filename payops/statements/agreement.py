"""Whether a statement's figures agree with each other and with the books, before anybody may download it.

Four sources must say the same: the transactions, the clearing items, the settlement sheet, and the entries of the
clearing vouchers on the merchant's settlement account (DOMAIN 13: totals equal to the ledger).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.settlement.selectors import settled_part, sheet_total
from payops.statements.selectors import SheetContent


class Comparison(NamedTuple):
    """Two figures that must be equal; counts are plain numbers, everything else minor units."""

    what: str
    one: str
    one_value: int
    other: str
    other_value: int
    is_count: bool = False


def statement_verify(content: SheetContent) -> None:
    """Raise PayopsError 'statements.do_not_agree' naming the first two figures that differ."""
    for each in comparisons(content):
        if each.one_value != each.other_value:
            shown = str if each.is_count else (lambda minor: format_amount(minor, "CNY"))
            raise PayopsError(
                "statements.do_not_agree",
                _(
                    "Statement %(sheet)s of %(merchant)s: %(what)s is %(value)s by %(one)s, but %(other_value)s by "
                    "%(other)s. No statement was made; find the difference, then build it again."
                )
                % {
                    "sheet": content.sheet.sheet_no,
                    "merchant": content.sheet.merchant.merchant_no,
                    "what": each.what,
                    "one": each.one,
                    "value": shown(each.one_value),
                    "other": each.other,
                    "other_value": shown(each.other_value),
                },
                {
                    "sheet_no": content.sheet.sheet_no,
                    "what": str(each.what),
                    "values": [each.one_value, each.other_value],
                },
            )


def comparisons(content: SheetContent) -> Iterator[Comparison]:
    """All pairs of figures, from the transactions up to the payout."""
    yield from _items_with_rows(content)
    yield from _items_with_ledger(content)
    yield from _sheet_with_items(content)


def _place(item: object) -> dict[str, str]:
    return {"channel": item.contract.code, "day": item.own_date.isoformat()}  # type: ignore[attr-defined]


def _items_with_rows(content: SheetContent) -> Iterator[Comparison]:
    one, other = _("the transactions"), _("the clearing")
    for item in content.items:
        rows = content.rows[item.pk]
        pairs = (
            (_("the count of %(channel)s on %(day)s"), rows.count, item.count, True),
            (_("the amount of %(channel)s on %(day)s"), rows.amount, item.amount, False),
            (_("the fee of %(channel)s on %(day)s"), rows.fee, item.fee, False),
            (
                _("what refunds of %(channel)s on %(day)s took from the settlement account"),
                rows.refunded,
                item.refunded_from_settlement,
                False,
            ),
        )
        for what, value, stored, is_count in pairs:
            yield Comparison(what % _place(item), one, value, other, stored, is_count)


def _items_with_ledger(content: SheetContent) -> Iterator[Comparison]:
    for item in content.items:
        what = _("the net amount of %(channel)s on %(day)s") % _place(item)
        yield Comparison(what, _("the ledger"), content.ledger[item.pk], _("the clearing"), item.net)


def _sheet_with_items(content: SheetContent) -> Iterator[Comparison]:
    sheet, items = content.sheet, [*content.items, *content.withheld]
    one, other = _("the clearing"), _("the settlement sheet")
    yield Comparison(_("the count"), one, sum(item.count for item in items), other, sheet.count, True)
    yield Comparison(_("the amount"), one, sum(item.amount for item in items), other, sheet.amount)
    yield Comparison(_("the fee"), one, sum(item.fee for item in items), other, sheet.fee)
    settled = sum(settled_part(item) for item in items)
    yield Comparison(_("the settlement amount"), one, settled, other, sheet.settlement_amount)
    withheld = sum(item.net for item in content.withheld)
    yield Comparison(_("the withheld amount"), one, withheld, other, sheet.withheld_amount)
    carried = sum(each.carry_out for each in content.carried)
    yield Comparison(_("the carried amount"), _("the sheets before"), carried, other, sheet.carried_in)
    if sheet.payout_amount:
        what, terms = _("the payout"), _("the terms of the sheet")
        yield Comparison(what, terms, sheet_total(sheet), other, sheet.payout_amount)
