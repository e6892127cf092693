"""Corrections and manual vouchers over the walked days, as Alice proposes them."""

from __future__ import annotations

import io
from typing import Any

from payops.accounts.choices import Event
from payops.accounts.corrections import RightLine, correction_propose
from payops.accounts.manual import (
    ManualDraft,
    ManualLine,
    attachment_keep,
    manual_batch_propose,
    manual_voucher_propose,
)
from payops.accounts.models import Account, Correction, Entry, ManualVoucher, Voucher
from payops.accounts.selectors import open_day, voucher_entries
from payops.identity.models import User
from tests.console.conftest import MON, TUE


def payment(day: Any = MON) -> Voucher:
    """The first payment voucher of a day: channel pending clearing to the merchant's pending account."""
    return Voucher.objects.for_days(day).filter(event=Event.PAYMENT).order_by("id").first()


def credit(voucher: Voucher) -> Entry:
    """The line on the merchant's side."""
    return next(entry for entry in voucher_entries(voucher.pk) if entry.side == "C")


def other_merchant(voucher: Voucher) -> Account:
    """The pending account of another merchant."""
    wrong = credit(voucher).account
    rows = Account.objects.filter(subject=wrong.subject, currency=wrong.currency, status="normal")
    return rows.exclude(pk=wrong.pk).order_by("account_no").first()


def correction(voucher: Voucher | None = None) -> Correction:
    """A proposed correction of Monday's first payment: it was another merchant's."""
    voucher = voucher or payment()
    wrong = credit(voucher)
    return correction_propose(
        voucher_id=voucher.pk,
        entry_ids=[wrong.pk],
        right=[RightLine(other_merchant(voucher).account_no, wrong.amount)],
        user=User.objects.get(username="alice"),
        reason="The other merchant's sale.",
    )


def own_funds() -> str:
    return Account.objects.filter(subject__code="100202").order_by("account_no").first().account_no


def draft(amount: int = 1250) -> ManualDraft:
    """A bank charge paid from own funds."""
    lines = [ManualLine("6603.01", "D", amount), ManualLine(own_funds(), "C", amount)]
    return ManualDraft(memo="Bank charge", business_date=open_day(), lines=lines)


def manual_voucher() -> ManualVoucher:
    """A proposed bank charge with the bank's advice."""
    stored = attachment_keep(io.BytesIO(b"%PDF-1.7 advice"), "advice.pdf")
    return manual_voucher_propose(
        draft=draft(), user=User.objects.get(username="alice"), attachment=stored, attachment_name="advice.pdf"
    )


def batch() -> ManualVoucher:
    """The first of two proposed vouchers of one batch."""
    request = manual_batch_propose(drafts=[draft(), draft(300)], user=User.objects.get(username="alice"))
    return ManualVoucher.objects.filter(batch_no=request.target_id).order_by("pk").first()


__all__ = ["MON", "TUE", "batch", "correction", "credit", "draft", "manual_voucher", "other_merchant", "payment"]
