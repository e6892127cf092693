"""Source documents of vouchers: which console page shows the document behind a kind and a number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from payops.accounts.models import CorrectionVoucher, DeductionPart, ManualVoucher
from payops.channels.models import BankLine
from payops.console import cells
from payops.console.cells import Cell, link
from payops.discrepancies.models import CaseAction
from payops.orders.models import Transaction
from payops.reconciliation.models import ReceiptDifference, RunVoucher
from payops.settlement.models import ClearingItem, Payout, SettlementSheet

Source = tuple[str, int]

SOURCE_LABELS: dict[str, Any] = {
    "transaction": _("Transaction"),
    "recon_run_voucher": _("Reconciliation run"),
    "bank_line": _("Bank line"),
    "receipt_difference": _("Receipt difference"),
    "case_action": _("Case action"),
    "clearing_item": _("Clearing item"),
    "payout": _("Payout"),
    "settlement_sheet": _("Settlement sheet"),
    "deduction_part": _("Deduction"),
    "manual_voucher": _("Manual voucher"),
    "correction_voucher": _("Correction"),
}
"""What each kind of source document is called."""


def _of_transaction(row: Transaction) -> tuple[str, str]:
    return row.transaction_no, link("transaction", row.pk)


def _of_run_voucher(row: RunVoucher) -> tuple[str, str]:
    run = row.run
    return f"{run.contract.code} {run.channel_date} #{run.run_no}", link("run", run.pk)


def _of_bank_line(row: BankLine) -> tuple[str, str]:
    return row.reference, link("bank_line", row.pk)


def _of_receipt_difference(row: ReceiptDifference) -> tuple[str, str]:
    receipt = row.receipt
    return f"{receipt.contract.code} {receipt.channel_date}", link("receipt", receipt.pk)


def _of_case_action(row: CaseAction) -> tuple[str, str]:
    return row.case.case_no, link("case_detail", row.case_id)


def _of_clearing_item(row: ClearingItem) -> tuple[str, str]:
    return f"{row.merchant.merchant_no} {row.contract.code} {row.own_date}", link("clearing_item", row.pk)


def _of_payout(row: Payout) -> tuple[str, str]:
    return row.payout_no, link("payout", row.pk)


def _of_sheet(row: SettlementSheet) -> tuple[str, str]:
    return row.sheet_no, link("sheet", row.pk)


def _of_manual_voucher(row: ManualVoucher) -> tuple[str, str]:
    return row.number, link("manual_voucher", row.pk)


def _of_correction_voucher(row: CorrectionVoucher) -> tuple[str, str]:
    return row.correction.number, link("correction", row.correction_id)


def _of_deduction_part(row: DeductionPart) -> tuple[str, str]:
    deduction = row.deduction
    url = link("freeze", deduction.freeze_id) if deduction.freeze_id else link("deduction_list")
    return f"{deduction.source_kind} {deduction.source_id}", url


_PAGES: dict[str, tuple[type[Model], tuple[str, ...], Callable[[Any], tuple[str, str]]]] = {
    "transaction": (Transaction, (), _of_transaction),
    "recon_run_voucher": (RunVoucher, ("run__contract",), _of_run_voucher),
    "bank_line": (BankLine, (), _of_bank_line),
    "receipt_difference": (ReceiptDifference, ("receipt__contract",), _of_receipt_difference),
    "case_action": (CaseAction, ("case",), _of_case_action),
    "clearing_item": (ClearingItem, ("merchant", "contract"), _of_clearing_item),
    "payout": (Payout, (), _of_payout),
    "settlement_sheet": (SettlementSheet, (), _of_sheet),
    "deduction_part": (DeductionPart, ("deduction",), _of_deduction_part),
    "manual_voucher": (ManualVoucher, (), _of_manual_voucher),
    "correction_voucher": (CorrectionVoucher, ("correction",), _of_correction_voucher),
}


def source_cells(sources: Iterable[Source]) -> dict[Source, Cell]:
    """A linked cell for every source document, in one query per kind; what is not known stays words."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for kind, number in sources:
        wanted[kind].add(number)
    found: dict[Source, Cell] = {}
    for kind, numbers in sorted(wanted.items()):
        found |= {(kind, number): cells.number(f"{source_label(kind)} {number}") for number in numbers}
        if kind not in _PAGES:
            continue
        model, related, describe = _PAGES[kind]
        rows = model._default_manager.filter(pk__in=sorted(numbers))
        for row in rows.select_related(*related) if related else rows:
            text, url = describe(row)
            found[kind, row.pk] = cells.number(text, url)
    return found


def source_cell(kind: str, number: int) -> Cell:
    """The linked cell of one source document, saying what it is."""
    found = source_cells([(kind, number)])[kind, number]
    return replace(found, note=source_label(kind)) if found.url else found


def source_label(kind: str) -> Any:
    """The name of a kind of document in the reader's language."""
    return SOURCE_LABELS.get(kind, kind)
