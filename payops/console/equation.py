"""The balance check as it is read: every term under its practitioner's name, by kind, with the way to its rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.core.retelling import retold
from payops.orders.choices import Kind
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.models import ChannelReceipt, ReconRun
from payops.settlement.equation import equation_of
from payops.settlement.models import BalanceCheck, ClearingHold
from payops.settlement.selectors import check_terms

_RESULTS = dict(ResultKind.choices)
_PARTS = {
    "receipt": ("receipt", "receipt_short", "receipt_group", "receivable"),
    "differences": ("netted_cost", "new.", "cleared."),
    "rows": (
        "supplements", "held", "dropped", "released", "topups", "surplus_refunds", "discounts_elsewhere", "fees",
    ),
}  # fmt: skip
"""Which terms belong to the part of the equation a failed check names."""


def equation_table(check: BalanceCheck, *, receipt: ChannelReceipt | None, run: ReconRun | None, newest: bool) -> Table:
    """The terms with their signs, what they come to, and the clearing amount they must equal; minor units."""
    currency = check.contract.currency
    suspect = "" if check.passed else _suspect(check, newest)
    rows = []
    for term in check_terms(check):
        code = term["code"]
        url = _term_url(check, code, receipt, run)
        rows.append(
            [
                cells.text(term["name"], url),
                cells.text(""),
                cells.money(term["amount"], currency),
                _off(code, suspect),
            ]
        )
        rows += [
            [
                Cell(_RESULTS.get(kind, kind), _term_url(check, code, receipt, run, kind), "c-indent"),
                cells.money(amount, currency),
                cells.text(""),
                cells.text(""),
            ]
            for kind, amount in sorted(term["detail"].items())
        ]
    cleared_url = link("clearing_item_list", date=check.own_date, contract=check.contract.code)
    rows += [
        _total(_("Computed: what the day brought"), check.computed, currency),
        _total(_("Clearing amount: what merchants are to get"), check.clearing_amount, currency, cleared_url),
    ]
    columns = [Column(_("Term")), Column(_("By kind"), "c-amount"), Column(_("Amount"), "c-amount"), Column("")]
    difference = cells.money(check.difference, currency, signed=True)
    foot = [
        cells.text(_("Difference")),
        cells.text(""),
        difference,
        cells.yes_no(check.passed, _("Balanced"), _("Off")),
    ]
    return Table(columns, rows, title=_("The equation"), foot=foot)


def _total(label: Any, amount: int, currency: str, url: str = "") -> list[Cell]:
    shown = cells.money(amount, currency, url)
    return [
        Cell(label, css="c-sum"),
        Cell(css="c-sum"),
        Cell(shown.text, url, f"{shown.css} c-sum", raw=shown.raw),
        Cell(css="c-sum"),
    ]


def _suspect(check: BalanceCheck, newest: bool) -> str:
    """The part of the equation that is off: of the attempt that counts as it is explained now, if nothing changed."""
    terms = {term["code"]: term["amount"] for term in check.terms}
    if not terms.get("receipt") and not terms.get("receipt_short") and "receivable" not in terms:
        return "receipt"
    if not newest:
        return ""
    now = equation_of(check.contract, check.own_date)
    return now.suspect if now.terms == check.terms and now.clearing_amount == check.clearing_amount else ""


def _off(code: str, suspect: str) -> Cell:
    if suspect and code.startswith(_PARTS[suspect]):
        return cells.badge("off", _("Look here"), tone="danger")
    return cells.text("")


def _term_url(
    check: BalanceCheck, code: str, receipt: ChannelReceipt | None, run: ReconRun | None, result: str = ""
) -> str:
    """The page with the rows a term is the sum of."""
    contract, day = check.contract.code, check.own_date.isoformat()
    if code in _PARTS["receipt"]:
        return link("receipt", receipt.pk) if receipt else link("receipt_list", contract=contract, date=day)
    if code.startswith("new."):
        return link("open_item_list", contract=contract, first_date=day, result=result)
    if code.startswith("cleared."):
        return link("open_item_list", contract=contract, cleared_date=day, result=result)
    if code in {"fees", "supplements"}:
        return link("clearing_item_list", contract=contract, date=day)
    if code in {"topups", "surplus_refunds"}:
        kind = Kind.TOPUP if code == "topups" else Kind.REFUND
        return link("transaction_list", contract=contract, day=day, kind=int(kind))
    if code in {"netted_cost", "discounts_elsewhere"} and run is not None:
        return link("run", run.pk)
    return "#held" if code in {"held", "dropped", "released", "released_later"} else ""


def holds_table(holds: Iterable[ClearingHold], day: dt.date) -> Table:
    """Rows of the date kept out of its clearing, and earlier ones cleared with it."""
    rows = [
        [
            cells.number(hold.transaction_id, link("transaction", hold.transaction_id)),
            cells.text(hold.merchant.merchant_no, link("merchant", hold.merchant.merchant_no)),
            cells.date(hold.own_date),
            cells.money(hold.amount),
            cells.state(hold),
            cells.date(hold.released_date),
            cells.number(hold.released_in_id, link("clearing_item", hold.released_in_id))
            if hold.released_in_id
            else cells.text("–"),
            cells.number(hold.case.case_no, link("case_detail", hold.case_id)) if hold.case else cells.text("–"),
        ]
        for hold in holds
    ]
    columns = [
        Column(_("Transaction")),
        Column(_("Merchant")),
        Column(_("Accounting date")),
        Column(_("Amount"), "c-amount"),
        Column(_("State")),
        Column(_("Cleared with")),
        Column(_("Clearing item")),
        Column(_("Case")),
    ]
    return Table(columns, rows, title=_("Own rows held back from clearing or released"))


def check_columns() -> list[Column]:
    """Headings of balance checks."""
    return [
        Column(_("Check")),
        Column(_("Accounting date")),
        Column(_("Channel")),
        Column(_("Attempt"), "c-amount"),
        Column(_("Result")),
        Column(_("Computed"), "c-amount"),
        Column(_("Clearing amount"), "c-amount"),
        Column(_("Difference"), "c-amount"),
        Column(_("Reason")),
        Column(_("Checked at")),
    ]


def check_row(check: BalanceCheck) -> list[Cell]:
    """One attempt."""
    currency = check.contract.currency
    return [
        cells.number(check.pk, link("balance_check", check.pk)),
        cells.date(check.own_date),
        cells.text(check.contract.code),
        cells.count(check.attempt),
        passed_cell(check),
        cells.money(check.computed, currency),
        cells.money(check.clearing_amount, currency),
        cells.money(check.difference, currency, signed=True),
        Cell(retold(check.reason), css="c-wrap" if check.reason else ""),
        cells.moment(check.checked_at),
    ]


def passed_cell(check: BalanceCheck) -> Cell:
    """Whether an attempt passed, as a badge."""
    return cells.yes_no(check.passed, _("Passed"), pgettext("balance check", "Failed"))
