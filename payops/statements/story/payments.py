"""The end of a story: what was cleared and paid of the rows, and the money of their channel days."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q
from django.utils.translation import gettext as _

from payops.core.ids import day_of
from payops.core.retelling import retold
from payops.reconciliation.models import ChannelReceipt
from payops.settlement.models import BalanceCheck, ClearingHold, ClearingItem, Payout, SettlementSheet
from payops.statements.story.events import Event
from payops.statements.story.finding import Subjects


def settlement_told(subjects: Subjects) -> tuple[list[Event], list[int | None]]:
    """Clearing, sheets, payouts, receipts and balance checks as events, and the numbers of their vouchers."""
    items = _clearing_items(subjects)
    payouts = Payout.objects.filter(sheet__in={item.settlement_sheet_id for item in items if item.settlement_sheet_id})
    payouts = payouts.select_related("merchant", "batch").prefetch_related("events").order_by("id")
    receipts = _receipts(subjects)
    events = [
        *_hold_events(subjects),
        *_clearing_events(items),
        *_sheet_events(items),
        *_payout_events(payouts),
        *_receipt_events(receipts),
        *_check_events(subjects),
    ]
    vouchers = [
        *(item.voucher_id for item in items),
        *(line.voucher_id for payout in payouts for line in payout.events.all()),
        *(row.voucher_id for receipt in receipts for row in receipt.differences.all()),
        *(part.allocation.bank_line.voucher_id for receipt in receipts for part in _parts(receipt)),
    ]
    return events, vouchers


def _clearing_items(subjects: Subjects) -> list[ClearingItem]:
    """The items the rows were cleared in: their date's, unless held; then the one that released them."""
    holds = {hold.transaction_id: hold for hold in _holds(subjects)}
    wanted = Q(pk__in=[hold.released_in_id for hold in holds.values() if hold.released_in_id])
    for row in subjects.transactions.values():
        if row.effective_at is not None and row.pk not in holds:
            wanted |= Q(
                merchant=row.merchant_id, contract=row.contract_id, own_date=row.own_date, collection=row.collection
            ) & Q(case_action=None)
    items = ClearingItem.objects.filter(wanted | Q(case_action__transaction_id__in=list(subjects.transactions)))
    return list(items.select_related("sheet__session", "settlement_sheet", "merchant", "contract").order_by("id"))


def _holds(subjects: Subjects) -> Iterable[ClearingHold]:
    return ClearingHold.objects.filter(transaction_id__in=list(subjects.transactions)).select_related("released_in")


def _hold_events(subjects: Subjects) -> Iterable[Event]:
    for hold in _holds(subjects):
        row = subjects.transactions[hold.transaction_id]
        at = row.effective_at or row.created_at
        text = f"{hold.get_state_display()} {hold.released_date or ''}".strip()
        page = ("transaction", row.pk)
        yield Event(at, "settlement", "hold", _("Held back from clearing"), page, text, hold.amount, row.currency)


def _clearing_events(items: list[ClearingItem]) -> Iterable[Event]:
    for item in items:
        yield Event(
            item.sheet.session.made_at,
            "settlement",
            "cleared",
            _("Cleared with %(count)d rows of %(day)s") % {"count": item.count, "day": item.own_date},
            ("clearing_item", item.pk),
            _("to be paid on %s") % item.pay_date,
            item.net,
        )


def _sheet_events(items: list[ClearingItem]) -> Iterable[Event]:
    sheets: dict[int, SettlementSheet] = {
        item.settlement_sheet_id: item.settlement_sheet for item in items if item.settlement_sheet
    }
    for sheet in sheets.values():
        yield Event(
            sheet.made_at,
            "settlement",
            "sheet",
            _("Settlement sheet %s") % sheet.sheet_no,
            ("sheet", sheet.pk),
            sheet.get_state_display(),
            sheet.payout_amount,
        )


def _payout_events(payouts: Iterable[Payout]) -> Iterable[Event]:
    for payout in payouts:
        labels = dict(Payout._meta.get_field("state").choices or ())
        for line in payout.events.all():
            yield Event(
                line.at,
                "settlement",
                "payout",
                _("Payout %(number)s: %(state)s")
                % {"number": payout.payout_no, "state": labels.get(line.to_state, line.to_state)},
                ("payout", payout.pk),
                retold(line.note),
                payout.amount,
                payout.currency,
                line.username,
            )


def _days(subjects: Subjects) -> Q:
    """Contract and channel date of every row."""
    days = Q(pk=None)
    for contract_id, day in {
        *((row.contract_id, row.own_date) for row in subjects.transactions.values()),
        *((line.contract_id, day_of(line.pk)) for line in subjects.lines.values()),
    }:
        days |= Q(contract=contract_id, channel_date=day)
    return days


def _receipts(subjects: Subjects) -> list[ChannelReceipt]:
    receipts = ChannelReceipt.objects.filter(_days(subjects)).select_related("contract")
    return list(receipts.prefetch_related("differences", "parts__allocation__bank_line").order_by("channel_date", "id"))


def _parts(receipt: ChannelReceipt) -> list:
    return [part for part in receipt.parts.all() if part.allocation.is_current]


def _receipt_events(receipts: list[ChannelReceipt]) -> Iterable[Event]:
    for receipt in receipts:
        day = f"{receipt.contract.code} {receipt.channel_date}"
        currency = receipt.contract.currency
        for part in _parts(receipt):
            line = part.allocation.bank_line
            title = _("Money of %s received") % day
            text = f"{line.reference}, {receipt.get_state_display()}"
            yield Event(line.loaded_at, "money", "receipt", title, ("bank_line", line.pk), text, part.amount, currency)
        for row in receipt.differences.all():
            title = _("Receipt difference of %s booked") % day
            yield Event(
                row.made_at, "money", "receipt_difference", title, ("receipt", receipt.pk), "", row.amount, currency
            )


def _check_events(subjects: Subjects) -> Iterable[Event]:
    """The last attempt of each balance check of the rows' own dates."""
    days = Q(pk=None)
    for row in subjects.transactions.values():
        days |= Q(contract=row.contract_id, own_date=row.own_date)
    last: dict[tuple[int, object], BalanceCheck] = {}
    for check in BalanceCheck.objects.filter(days).select_related("contract").order_by("attempt"):
        last[check.contract_id, check.own_date] = check
    for check in last.values():
        title = _("Balance check %(channel)s %(day)s") % {"channel": check.contract.code, "day": check.own_date}
        text = _("passed") if check.passed else retold(check.reason)
        yield Event(
            check.checked_at,
            "settlement",
            "balance_check",
            title,
            ("balance_check", check.pk),
            text,
            check.difference,
            check.contract.currency,
            tone="success" if check.passed else "danger",
        )
