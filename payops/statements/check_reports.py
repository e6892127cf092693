"""Reconciliations as files: the balance adjustment statement, the internal and the merchants' check.

They join the ledger's reports, so the console's downloads, background exports and `report` offer them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from payops.accounts.choices import Event
from payops.core.money import major
from payops.orders.ledger_comparison import ComparedRow, ledger_comparison
from payops.reconciliation.bank.choices import OpenKind
from payops.reconciliation.bank.models import BankReconciliation
from payops.reconciliation.bank.selectors import age_of, statement_of
from payops.statements.document import CURRENCY
from payops.statements.ledger_reports import REPORTS, FileColumn, LedgerReport, ReportQuery
from payops.statements.merchant_check import MerchantRow, merchant_check


@dataclass(frozen=True, slots=True)
class AdjustmentLine:
    """One line of the balance adjustment statement: a balance, an open item below it, or what it comes to."""

    side: Any
    term: Any
    amount: int
    currency: str
    document: str = ""
    since: Any = None
    days: int | None = None
    memo: str = ""


def _bank_lines(query: ReportQuery) -> Iterator[AdjustmentLine]:
    found = statement_of(query.account, query.day)
    ours, bank = _("Our journal"), _("The bank")
    currency = found.bank_account.currency
    yield AdjustmentLine(ours, _("Balance of the journal"), found.journal_balance, currency)
    yield from _items(found, ours, OpenKind.BANK_RECEIVED, 1)
    yield from _items(found, ours, OpenKind.BANK_PAID, -1)
    yield AdjustmentLine(ours, _("Adjusted balance"), found.adjusted_journal, currency)
    yield AdjustmentLine(bank, _("Balance at the bank"), found.bank_balance, currency, found.get_source_display())
    yield from _items(found, bank, OpenKind.WE_RECEIVED, 1)
    yield from _items(found, bank, OpenKind.WE_PAID, -1)
    yield AdjustmentLine(bank, _("Adjusted balance"), found.adjusted_bank, currency)
    yield AdjustmentLine("", _("Difference"), found.difference, currency)


def _items(found: BankReconciliation, side: Any, kind: OpenKind, sign: int) -> Iterator[AdjustmentLine]:
    for item in found.items.filter(kind=kind).select_related("bank_line"):
        yield AdjustmentLine(
            side,
            kind.label,
            sign * item.amount,
            found.bank_account.currency,
            item.bank_line.reference if item.bank_line else str(item.entry_id),
            item.since,
            age_of(item, found.day),
            item.memo,
        )


def _column(title: Any, name: str) -> FileColumn:
    return FileColumn(title, lambda row: getattr(row, name))


def _compared(title: Any, name: str) -> FileColumn:
    def value(row: ComparedRow) -> Any:
        return major(getattr(row, name), row.currency)

    return FileColumn(title, value)


def _of_sheet(title: Any, figure: Callable[[MerchantRow], int | None]) -> FileColumn:
    def value(row: MerchantRow) -> Any:
        minor = figure(row)
        return None if minor is None else major(minor, CURRENCY)

    return FileColumn(title, value)


CHECK_REPORTS: Final[dict[str, LedgerReport]] = {
    "bank_reconciliation": LedgerReport(
        gettext_lazy("Balance adjustment statement"),
        ("account", "day"),
        (
            _column(pgettext_lazy("reconciliation", "Side"), "side"),
            _column(gettext_lazy("Term"), "term"),
            _column(gettext_lazy("Document"), "document"),
            _column(gettext_lazy("Open since"), "since"),
            _column(gettext_lazy("Days"), "days"),
            _column(gettext_lazy("Memo"), "memo"),
            _column(gettext_lazy("Currency"), "currency"),
            FileColumn(gettext_lazy("Amount"), lambda row: major(row.amount, row.currency)),
        ),
        _bank_lines,
        required=("account",),
    ),
    "internal_check": LedgerReport(
        gettext_lazy("Internal reconciliation"),
        ("day",),
        (
            _column(gettext_lazy("Merchant"), "merchant_no"),
            FileColumn(gettext_lazy("Event"), lambda row: Event(row.event).label),
            _column(gettext_lazy("Currency"), "currency"),
            _column(gettext_lazy("Transactions"), "own_count"),
            _compared(gettext_lazy("Amount"), "own_amount"),
            _column(gettext_lazy("Vouchers"), "booked_count"),
            _compared(gettext_lazy("Booked"), "booked_amount"),
            _column(gettext_lazy("Rows that differ"), "differing"),
        ),
        lambda query: ledger_comparison(query.day).rows,
    ),
    "merchant_check": LedgerReport(
        gettext_lazy("Merchant reconciliation"),
        ("day",),
        (
            FileColumn(gettext_lazy("Merchant"), lambda row: row.sheet.merchant.merchant_no),
            FileColumn(gettext_lazy("Settlement sheet"), lambda row: row.sheet.sheet_no),
            _column(gettext_lazy("Cleared rows"), "cleared_count"),
            _of_sheet(gettext_lazy("Net cleared"), lambda row: row.cleared_net),
            _of_sheet(gettext_lazy("Settled"), lambda row: row.sheet.payout_amount),
            _of_sheet(gettext_lazy("On the statement"), lambda row: row.stated),
            _of_sheet(gettext_lazy("Paid"), lambda row: row.paid),
            _of_sheet(gettext_lazy("Under way"), lambda row: row.under_way),
            _column(gettext_lazy("State"), "verdict"),
            FileColumn(gettext_lazy("What differs"), lambda row: "; ".join(row.differences)),
            FileColumn(gettext_lazy("Waits for"), lambda row: row.waits_for),
        ),
        lambda query: merchant_check(query.day).rows,
    ),
}


def register() -> None:
    """Offer them beside the ledger's; called once from `AppConfig.ready`."""
    REPORTS.update(CHECK_REPORTS)
