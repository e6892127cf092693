"""What each action books: one voucher of DOMAIN 4.5 for the whole suspense, from the action as its source document."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from payops.core.institution import day_bounds
from payops.discrepancies.choices import ActionKind, CaseKind
from payops.discrepancies.handlers import ask_reversed
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.selectors import own_row, own_row_is_cleared
from payops.identity.choices import Role
from payops.identity.models import User
from payops.merchants.selectors import merchant_get
from payops.orders import services as orders
from payops.orders.choices import Kind
from payops.orders.models import Transaction

SOURCE_KIND = "case_action"
WHOLE_ROW = (CaseKind.OWN_ONLY, CaseKind.DUPLICATE_OWN)
"""Kinds whose difference is our row itself: clearing holds it, and drops it once it was recovered from pending."""
# The settlement account cannot or may not give the money: the merchant owes it instead.
NOT_AVAILABLE = ("ledger.insufficient", "ledger.restricted", "ledger.account_closed")


@dataclass(frozen=True, slots=True)
class Booking:
    """What an executed action made: its voucher, the transaction it created, and the event that was booked."""

    voucher_id: int | None = None
    transaction_id: int | None = None
    event: Event | None = None


def refuse_reversed(cases: Sequence[Discrepancy]) -> None:
    """Suspense whose voucher was reversed is gone: writing it off would take it out a second time (DOMAIN 9).

    Raises PayopsError 'discrepancies.suspense_reversed' for the first such case.
    """
    found = ask_reversed(cases)
    case = next((case for case in cases if case.pk in found), None)
    if case is not None:
        raise PayopsError(
            "discrepancies.suspense_reversed",
            _(
                "Case %(case)s: voucher %(voucher)s, which took the difference to suspense, was reversed. "
                "There is nothing left to write off; keep the case waiting and have the difference booked again."
            )
            % {"case": case.case_no, "voucher": found[case.pk]},
            {"case": case.pk, "voucher_id": str(found[case.pk])},
        )


def book(case: Discrepancy, action: CaseAction, params: dict[str, Any], checker: User) -> Booking:
    """Book one approved action in the caller's transaction; waiting books nothing."""
    kind = ActionKind(action.kind)
    if kind == ActionKind.WAIT:
        return Booking()
    if kind == ActionKind.SUPPLEMENT:
        return _supplement(case, action, params["merchant_no"], checker)
    if kind == ActionKind.REFUND_PAYER:
        return _refund_payer(case, action, params, checker)
    if kind == ActionKind.RECOVER:
        return _recover(case, action, params["merchant_no"], checker)
    if kind == ActionKind.LOSS:
        _only_finance(case, checker)
        return _posted(Event.LOSS, _post(Event.LOSS, case, action, checker))
    return _posted(Event.SURPLUS_TO_INCOME, _post(Event.SURPLUS_TO_INCOME, case, action, checker))


def _supplement(case: Discrepancy, action: CaseAction, merchant_no: str, checker: User) -> Booking:
    """The lost order is entered; its money comes out of the surplus instead of from a payment voucher."""
    channel = case.evidence.get("channel") or {}
    row = own_row(case)
    transaction = orders.transaction_supplement(
        contract=case.contract,
        merchant=merchant_get(merchant_no),
        amount=abs(action.amount),
        match_key=str(channel.get("match_key") or case.case_no),
        occurred_at=_occurred_at(case, channel),
        username=checker.username,
        channel_trade_no=str(channel.get("channel_trade_no") or ""),
        merchant_order_no=str(channel.get("merchant_order_no") or ""),
        product=row.product if row else "",
        card_type=row.card_type if row else "",
    )
    voucher = _post(Event.SUPPLEMENT, case, action, checker, merchant_no)
    return _posted(Event.SUPPLEMENT, voucher, transaction.pk)


def _refund_payer(case: Discrepancy, action: CaseAction, params: dict[str, Any], checker: User) -> Booking:
    """The surplus becomes a refund in flight, finished by intake or the next bill."""
    row = own_row(case)
    refund = orders.surplus_refund_create(
        contract=case.contract,
        merchant=merchant_get(params["merchant_no"]),
        amount=abs(action.amount),
        original_id=_paid_row_id(row),
        match_key=params["match_key"],
        username=checker.username,
    )
    voucher = _post(Event.SURPLUS_TO_PAYER, case, action, checker, params["merchant_no"])
    return _posted(Event.SURPLUS_TO_PAYER, voucher, refund.pk)


def _recover(case: Discrepancy, action: CaseAction, merchant_no: str, checker: User) -> Booking:
    """From where the merchant's money is now: pending while our row is not cleared, then settlement, else a debt.

    From pending only where the whole row is recovered, because that row is then left out of clearing. Of any other the
    whole amount is still cleared and paid: what pending lacked would be made up from the merchant's next sales.
    Decided here, at execution: between proposal and approval a clearing may have run. The ledger itself says whether
    the settlement account can give the amount, under its own lock.
    """
    if case.kind in WHOLE_ROW and not own_row_is_cleared(case):
        event = Event.RECOVER_PENDING
        return _posted(event, _post(event, case, action, checker, merchant_no))
    event = Event.RECOVER_SETTLEMENT
    try:
        return _posted(event, _post(event, case, action, checker, merchant_no, instruction=True))
    except PayopsError as error:
        if error.code not in NOT_AVAILABLE:
            raise
    event = Event.RECOVER_RECEIVABLE
    return _posted(event, _post(event, case, action, checker, merchant_no))


def _post(
    event: Event,
    case: Discrepancy,
    action: CaseAction,
    checker: User,
    merchant_no: str = "",
    *,
    instruction: bool = False,
) -> Voucher:
    voucher = ledger.post(
        Posting(
            event=event,
            source_kind=SOURCE_KIND,
            source_id=action.pk,
            amounts={"D": abs(action.amount)},
            owners=_owners(case, merchant_no),
            business_date=case.business_date,
            currency=case.currency,
            memo=case.case_no,
        ),
        posted_by=checker.username,
        instruction=instruction,
    )
    if voucher is None:
        raise PayopsError(
            "discrepancies.nothing_to_book",
            _("Case %(case)s has nothing in suspense; there is nothing to book.") % {"case": case.case_no},
            {"case": case.pk},
        )
    return voucher


def _posted(event: Event, voucher: Voucher, transaction_id: int | None = None) -> Booking:
    return Booking(voucher_id=voucher.pk, transaction_id=transaction_id, event=event)


def _owners(case: Discrepancy, merchant_no: str) -> dict[str, str]:
    owners = {"channel": case.contract.code}
    return {**owners, "merchant": merchant_no} if merchant_no else owners


def _only_finance(case: Discrepancy, checker: User) -> None:
    """A loss is the institution's own money: only finance accepts it, whatever the permission map says one day."""
    if checker.role != Role.FINANCE:
        raise PayopsError(
            "discrepancies.loss_needs_finance",
            _("Case %(case)s: only finance can accept a loss.") % {"case": case.case_no},
            {"case": case.pk, "username": checker.username},
        )


def _paid_row_id(row: Transaction | None) -> int | None:
    """What the refund gives back: our row, or the payment behind it where our row is a refund itself."""
    if row is None:
        return None
    return row.original_id if row.kind == Kind.REFUND else row.pk


def _occurred_at(case: Discrepancy, channel: Mapping[str, Any]) -> dt.datetime:
    """When the channel says it happened; without that, the beginning of the channel date."""
    value = channel.get("occurred_at")
    if not value:
        return day_bounds(case.business_date)[0]
    moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
