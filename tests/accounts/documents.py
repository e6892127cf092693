"""People and books for corrections and manual vouchers: a maker, a checker, and how their decisions are made."""

from __future__ import annotations

import datetime as dt
from typing import Any

from payops.accounts.corrections import RightLine, correction_propose
from payops.accounts.days import close_day, day_cut_off
from payops.accounts.models import Account, Correction, Entry, Voucher
from payops.accounts.selectors import voucher_entries
from payops.approvals.services import request_approve


def number(subject: str, owner_no: str = "") -> str:
    """The account's number."""
    return Account.objects.get(subject__code=subject.replace(".", ""), owner_no=owner_no, currency="CNY").account_no


def lines_of(voucher_id: int) -> list[tuple[str, str, int]]:
    """Account, side, amount of every line."""
    return [(entry.account.account_no, entry.side, entry.amount) for entry in voucher_entries(voucher_id)]


def line(voucher: Voucher, account_no: str) -> Entry:
    """The line of a voucher on an account."""
    return next(entry for entry in voucher_entries(voucher.pk) if entry.account.account_no == account_no)


def next_day(day: dt.date) -> dt.date:
    """Cut the day off and close it; the next one is open."""
    following = day + dt.timedelta(days=1)
    day_cut_off(day)
    close_day(day)
    return following


def move(voucher: Voucher, wrong: str, right: str, user: Any, amount: int | None = None) -> Correction:
    """Propose to move what stands on one account of a voucher to another."""
    entry = line(voucher, wrong)
    return correction_propose(
        voucher_id=voucher.pk,
        entry_ids=[entry.pk],
        right=[RightLine(right, entry.amount if amount is None else amount)],
        user=user,
        reason="Booked on the wrong account.",
    )


def approve(document: Any, checker: Any) -> Any:
    """Approve and execute; the document as it is afterwards."""
    request_approve(request_id=document.approval_id, checker=checker, note="")
    document.refresh_from_db()
    return document
