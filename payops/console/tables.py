"""Tables that more than one page shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.channels.choices import LineKind
from payops.channels.models import BillFile, BillLine
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.words import coded
from payops.core.formatting import money
from payops.core.models import JobRun
from payops.core.retelling import retold
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.selectors import reference_day
from payops.merchants.models import Collection
from payops.orders.choices import Kind
from payops.reconciliation.models import OpenItem
from payops.settlement.models import ClearingItem, Payout, SettlementSheet

_KINDS = dict(LineKind.choices) | dict(Kind.choices)


def kind_label(kind: int) -> str:
    """The name of a kind code on either side."""
    return str(_KINDS.get(kind, kind))


def booked_amounts(amounts: dict[str, int], currency: str) -> str:
    """What a run booked under a rule, in words instead of the rule's variables; minor units."""
    names = {"S": _("Settled"), "K": _("Channel fee"), "X": _("Discount"), "D": _("Difference")}
    order = [*names, *sorted(set(amounts) - set(names))]
    shown = [(names.get(name, name), money(amounts[name], currency)) for name in order if name in amounts]
    return ", ".join(f"{label} {amount}" for label, amount in shown)


def bill_line_columns() -> list[Column]:
    """Headings of bill lines."""
    return [
        Column(_("Line")),
        Column(_("Kind")),
        Column(_("Matching key")),
        Column(_("Channel trade number")),
        Column(_("Status")),
        Column(_("Amount"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("Occurred")),
    ]


def bill_line_row(line: BillLine) -> list[Cell]:
    """One bill line."""
    return [
        cells.number(line.line_no, link("bill_line", line.pk)),
        cells.text(kind_label(line.kind)),
        cells.number(line.match_key),
        cells.number(line.trade_no),
        cells.text(line.status),
        cells.money(line.amount, line.currency),
        cells.money(line.settled_amount, line.currency),
        cells.money(line.fee, line.currency),
        cells.moment(line.occurred_at),
    ]


def bill_line_table(lines: Iterable[BillLine], *, title: str = "") -> Table:
    """Bill lines."""
    return Table(
        bill_line_columns(),
        [bill_line_row(line) for line in lines],
        title=title or _("Bill lines"),
        empty=_("No bill has a line with this key."),
    )


def open_item_table(items: Iterable[OpenItem], *, named: bool = False, empty: str = "") -> Table:
    """Open items with their case selected along; `named` where they are of several matching keys."""
    columns = [
        Column(_("Result")),
        *([Column(_("Matching key"))] if named else []),
        Column(_("State")),
        Column(_("Difference"), "c-amount"),
        Column(_("First seen")),
        Column(_("Cleared on")),
        Column(_("Case")),
    ]
    rows = [
        [
            cells.result(item.result, item.get_result_display()),
            *([_named(item)] if named else []),
            cells.state(item),
            cells.money(item.d, item.currency, signed=True),
            cells.date(item.first_date, link("run", item.first_run_id)),
            cells.date(item.cleared_date, link("run", item.cleared_run_id) if item.cleared_run_id else ""),
            cells.number(item.case.case_no, link("case_detail", item.case_id)) if item.case else cells.text("–"),
        ]
        for item in items
    ]
    return Table(columns, rows, title=_("Open items"), empty=empty)


def _named(item: OpenItem) -> Cell:
    return cells.number(item.match_key, link("explain", q=item.transaction_id or item.bill_line_id))


def case_columns() -> list[Column]:
    """Headings of cases."""
    return [
        Column(_("Case number")),
        Column(_("Kind")),
        Column(_("State")),
        Column(_("Channel")),
        Column(_("Channel date")),
        Column(_("Age"), "c-amount"),
        Column(_("Merchant")),
        Column(_("Difference"), "c-amount"),
        Column(_("In suspense"), "c-amount"),
        Column(_("Suggested action")),
        Column(pgettext("case", "Owner")),
    ]


def case_row(case: Discrepancy, today: dt.date) -> list[Cell]:
    """One case with its age on `today`; `contract`, `merchant` and `owner` are expected to be there already."""
    age = max(0, (today - case.business_date).days)
    escalated = cells.badge("escalated", _("%d days, escalated") % age, tone="danger")
    return [
        cells.number(case.case_no, link("case_detail", case.pk)),
        cells.text(case.get_kind_display(), note=case.get_reason_code_display()),
        cells.state(case),
        cells.text(case.contract.code if case.contract else "–"),
        cells.date(case.business_date),
        escalated if case.escalated_at and case.is_open else cells.count(age),
        cells.text(case.merchant.merchant_no if case.merchant else "–"),
        cells.money(case.amount, case.currency, signed=True),
        cells.money(case.suspense, case.currency, signed=True),
        cells.text(case.get_suggested_action_display() or "–"),
        cells.text(case.owner.username if case.owner else "–"),
    ]


def case_table(cases: Iterable[Discrepancy], *, title: str = "") -> Table:
    """Cases."""
    today = reference_day()
    return Table(case_columns(), [case_row(case, today) for case in cases], title=title, empty=_("There are no cases."))


def file_columns() -> list[Column]:
    """Headings of bill files."""
    return [
        Column(_("File name")),
        Column(_("Channel")),
        Column(_("Channel date")),
        Column(_("Type")),
        Column(_("Version"), "c-amount"),
        Column(_("State")),
        Column(_("Proven")),
        Column(_("Lines"), "c-amount"),
        Column(_("Quarantined"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("Received")),
        Column(_("By")),
    ]


def file_row(file: BillFile) -> list[Cell]:
    """One bill file."""
    currency = file.contract.currency
    proven = cells.text("–")
    if file.line_count or file.proven:
        proven = cells.badge(
            "proven", _("Proven") if file.proven else _("Unproven"), tone="success" if file.proven else "warning"
        )
    return [
        Cell(file.original_name, link("bill_file", file.pk), "c-wrap"),
        cells.text(file.contract.code),
        cells.date(file.channel_date),
        cells.text(file.get_bill_type_display()),
        cells.count(file.version),
        cells.state(file),
        proven,
        cells.count(file.line_count),
        cells.count(len(file.bad_lines)),
        cells.money((file.totals.get("all") or {}).get("settled"), currency),
        cells.moment(file.received_at),
        cells.text(file.received_by),
    ]


def item_columns() -> list[Column]:
    """Headings of clearing items: every term of what a merchant is owed."""
    return [
        Column(_("Item")),
        Column(_("Accounting date")),
        Column(_("Channel")),
        Column(_("Merchant")),
        Column(_("Kind")),
        Column(_("Collection")),
        Column(_("Count"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Discount"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("Added back"), "c-amount"),
        Column(_("Net"), "c-amount"),
        Column(_("Pay date")),
        Column(_("Settlement sheet")),
    ]


def item_row(item: ClearingItem) -> list[Cell]:
    """One clearing item."""
    sheet = item.settlement_sheet
    return [
        cells.number(item.pk, link("clearing_item", item.pk)),
        cells.date(item.own_date),
        cells.text(item.contract.code),
        cells.text(item.merchant.merchant_no, link("merchant", item.merchant.merchant_no)),
        cells.text(item.get_kind_display()),
        cells.text(
            pgettext("collection", "Net") if item.collection == Collection.NET else pgettext("collection", "Gross")
        ),
        cells.count(item.count),
        cells.money(item.amount),
        cells.money(item.discount),
        cells.money(item.fee),
        cells.money(item.refunded_from_settlement),
        cells.money(item.net),
        cells.date(item.pay_date),
        cells.number(sheet.sheet_no, link("sheet", sheet.pk)) if sheet else cells.text("–"),
    ]


def item_table(items: Iterable[ClearingItem], *, title: str = "") -> Table:
    """Clearing items with their totals."""
    found = list(items)
    foot: list[Cell] = []
    if found:
        foot = [
            cells.text(_("Total")),
            *[cells.text("")] * 5,
            cells.count(sum(item.count for item in found)),
            cells.money(sum(item.amount for item in found)),
            cells.money(sum(item.discount for item in found)),
            cells.money(sum(item.fee for item in found)),
            cells.money(sum(item.refunded_from_settlement for item in found)),
            cells.money(sum(item.net for item in found)),
            cells.text(""),
            cells.text(""),
        ]
    return Table(item_columns(), [item_row(item) for item in found], title=title or _("Clearing items"), foot=foot)


def sheet_columns() -> list[Column]:
    """Headings of settlement sheets: every term of what is paid."""
    return [
        Column(_("Sheet number")),
        Column(_("Merchant")),
        Column(_("Pay date")),
        Column(_("State")),
        Column(_("Count"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("Settlement amount"), "c-amount"),
        Column(_("Adjustment"), "c-amount"),
        Column(_("Carried in"), "c-amount"),
        Column(_("Withheld"), "c-amount"),
        Column(_("Payout amount"), "c-amount"),
        Column(_("Carried out"), "c-amount"),
    ]


def sheet_row(sheet: SettlementSheet) -> list[Cell]:
    """One settlement sheet."""
    return [
        cells.number(sheet.sheet_no, link("sheet", sheet.pk)),
        cells.text(sheet.merchant.merchant_no, link("merchant", sheet.merchant.merchant_no), note=sheet.merchant.name),
        cells.date(sheet.pay_date),
        cells.state(sheet),
        cells.count(sheet.count),
        cells.money(sheet.amount),
        cells.money(sheet.fee),
        cells.money(sheet.settlement_amount),
        cells.money(sheet.adjustment_amount),
        cells.money(sheet.carried_in),
        cells.money(sheet.withheld_amount),
        cells.money(sheet.payout_amount),
        cells.money(sheet.carry_out),
    ]


def payout_columns() -> list[Column]:
    """Headings of payouts."""
    return [
        Column(_("Payout number")),
        Column(_("State")),
        Column(_("Merchant")),
        Column(_("Account")),
        Column(_("Amount"), "c-amount"),
        Column(_("Sheet")),
        Column(_("Batch")),
        Column(_("Sent, finished")),
        Column(_("Reason")),
    ]


def payout_row(payout: Payout) -> list[Cell]:
    """One payout."""
    account = payout.settlement_account
    return [
        cells.number(payout.payout_no, link("payout", payout.pk)),
        cells.state(payout),
        cells.text(
            payout.merchant.merchant_no, link("merchant", payout.merchant.merchant_no), note=payout.merchant.name
        ),
        cells.text(account.number_masked, note=account.bank_name),
        cells.money(payout.amount, payout.currency),
        cells.number(payout.sheet.sheet_no, link("sheet", payout.sheet_id)),
        cells.number(payout.batch.batch_no, link("payout_batch", payout.batch_id)),
        cells.between(payout.sent_at, payout.finished_at),
        Cell(retold(payout.failure_reason) or payout.failure_code, css="c-wrap" if payout.failure_reason else ""),
    ]


def job_columns() -> list[Column]:
    """Headings of jobs."""
    return [
        Column(_("Job")),
        Column(_("Kind")),
        Column(_("State")),
        Column(_("Business date")),
        Column(_("Progress"), "c-amount"),
        Column(_("Attempt"), "c-amount"),
        Column(_("By")),
        Column(_("Queued")),
        Column(_("Finished")),
        Column(_("Message")),
    ]


def job_row(job: JobRun) -> list[Cell]:
    """One job."""
    progress = f"{job.progress_done:,} / {job.progress_total:,}" if job.progress_total else ""
    message = retold(job.error_message or job.message)
    return [
        cells.number(job.pk, link("job", job.pk)),
        coded(job.kind),
        cells.state(job),
        cells.date(job.business_date),
        Cell(progress, css="c-amount"),
        cells.count(job.attempt),
        cells.text(job.created_by),
        cells.moment(job.queued_at),
        cells.moment(job.finished_at),
        Cell(message[:160], css="c-wrap" if message else ""),
    ]
