"""Saying what an unidentified bank line is, by maker and checker ('reconciliation.bank_assignment', DOMAIN 7.4).

The line waits in suspense with a case. When a second person agrees, its suspense is taken back and it is booked as
what it is, in one transaction; the case is cleared, and a channel's date is compared with its bill again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.choices import BankAccountKind, BankLineKind, BankLineState
from payops.channels.models import BankAccount, BankLine, ChannelContract
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.discrepancies.choices import CaseKind
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import case_auto_clear, refuse_reversed
from payops.identity.models import User
from payops.merchants.models import Merchant
from payops.reconciliation.bank.choices import AssignPurpose
from payops.reconciliation.bank.models import BankAssignment, BankAssignmentPart
from payops.reconciliation.funds.allocation import allocation_set, shares_check
from payops.reconciliation.funds.movements import movement_take
from payops.reconciliation.funds.receipts import receipt_checked
from payops.reconciliation.models import ChannelReceipt

ACTION: Final = "reconciliation.bank_assignment"
TARGET: Final = "channels.bankline"
DIRECTIONS: Final = {
    AssignPurpose.PAYOUT: -1,
    AssignPurpose.RETURN: 1,
    AssignPurpose.OFFLINE: 1,
    AssignPurpose.INTEREST: 1,
    AssignPurpose.CHARGE: -1,
}
"""Which way money goes; a channel's settlement goes either way."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a line is said to be. `target`: channel contract, payout number, merchant number, or own-funds account.

    `shares` are minor units by id of the channel receipt, of a settlement only.
    """

    purpose: AssignPurpose
    target: str = ""
    shares: Mapping[int, int] | None = None


def assignment_propose(*, bank_line_id: int, assignment: Assignment, reason: str, maker: User) -> ApprovalRequest:
    """Propose what an unidentified bank line is.

    Raises PayopsError 'bank.not_unidentified', 'bank.wrong_direction', 'bank.unknown_target', what `shares_check`
    raises for a settlement, and what `request_submit` raises.
    """
    line = BankLine.objects.select_related("bank_account").get(pk=bank_line_id)
    _check(line, assignment)
    payload = {
        "line": line.reference,
        "purpose": assignment.purpose.value,
        "target": assignment.target,
        "shares": sorted((assignment.shares or {}).items()),
        "days": {
            str(receipt.pk): receipt.channel_date.isoformat()
            for receipt in ChannelReceipt.objects.filter(pk__in=list(assignment.shares or {}))
        },
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=line.pk,
        payload=payload,
        amount=line.amount,
        currency=line.currency,
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def _check(line: BankLine, assignment: Assignment) -> None:
    if line.state != BankLineState.UNIDENTIFIED:
        raise PayopsError(
            "bank.not_unidentified",
            _("Bank line %(line)s is not unidentified: it is “%(state)s”.")
            % {"line": line.reference, "state": line.get_state_display()},
            {"bank_line": line.pk},
        )
    direction = DIRECTIONS.get(assignment.purpose)
    if direction is not None and (line.amount > 0) != (direction > 0):
        raise PayopsError(
            "bank.wrong_direction",
            _("%(purpose)s cannot be a bank line of %(amount)s.")
            % {"purpose": assignment.purpose.label, "amount": format_amount(line.amount, line.currency)},
            {"bank_line": line.pk},
        )
    if assignment.purpose in (AssignPurpose.PAYOUT, AssignPurpose.RETURN):
        if not assignment.target:
            raise _unknown(_("Give the number of the payout."))
    elif assignment.purpose == AssignPurpose.OFFLINE:
        if not Merchant.objects.filter(merchant_no=assignment.target).exists():
            raise _unknown(_("There is no merchant %s.") % assignment.target)
    elif assignment.purpose == AssignPurpose.CHARGE:
        own = BankAccount.objects.filter(code=assignment.target, kind=BankAccountKind.OWN, currency=line.currency)
        if not own.exists():
            raise _unknown(_("%s is not an own-funds account in the currency of the line.") % assignment.target)
    elif assignment.purpose == AssignPurpose.SETTLEMENT:
        contract = ChannelContract.objects.filter(code=assignment.target, reserve_account=line.bank_account).first()
        if contract is None:
            raise _unknown(_("%s is no channel that pays into this account.") % assignment.target)
        line.kind, line.contract = BankLineKind.SETTLEMENT, contract
        shares_check(line=line, shares=assignment.shares or {})


def _unknown(message: str) -> PayopsError:
    return PayopsError("bank.unknown_target", message)


# --- approved ---------------------------------------------------------------------------------------------------------


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        maker_permission="adjustments.propose",
        checker_permission="adjustments.approve",
    )


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """The line and what its case still has in suspense: an action on the case would have spent it."""
    line = BankLine.objects.get(pk=int(target_id))
    case = _case_of(line)
    return f"{line.state} {line.amount} {case.suspense if case else None}"


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    line = BankLine.objects.select_related("bank_account").get(pk=int(request.target_id))
    assignment = Assignment(
        AssignPurpose(request.payload["purpose"]),
        request.payload["target"],
        {int(pk): amount for pk, amount in request.payload["shares"]},
    )
    _check(line, assignment)
    claimed = BankLine.objects.filter(pk=line.pk, state=BankLineState.UNIDENTIFIED).update(state=BankLineState.MATCHED)
    if not claimed:
        line.refresh_from_db()
        _check(line, assignment)
    case = _case_of(line)
    if case is None or not case.is_open or case.suspense != line.amount:
        raise PayopsError(
            "bank.case_resolved",
            _("What bank line %(line)s had in suspense was resolved by its case already.") % {"line": line.reference},
            {"bank_line": line.pk, "case": case.pk if case else None},
        )
    refuse_reversed([case])
    line.state = BankLineState.MATCHED
    booking = _Booking(line, assignment, request)
    if assignment.purpose != AssignPurpose.OFFLINE:
        known = Event.UNIDENTIFIED_CREDIT_KNOWN if line.amount > 0 else Event.UNIDENTIFIED_DEBIT_KNOWN
        booking.post(known, abs(line.amount))
    _BOOKED_AS[assignment.purpose](booking)
    line.voucher_id = booking.vouchers[-1] if booking.vouchers else None
    line.save(update_fields=["state", "kind", "contract", "channel_date", "payout_no", "voucher_id"])
    made = BankAssignment.objects.create(
        bank_line=line,
        purpose=assignment.purpose,
        made_by=request.maker.username,
        approval_id=request.pk,
    )
    BankAssignmentPart.objects.bulk_create(
        BankAssignmentPart(assignment=made, target=target, amount=amount) for target, amount in booking.parts.items()
    )
    case_auto_clear(case_id=case.pk, note=_("Assigned by request #%d.") % request.pk)
    for receipt_id in sorted(assignment.shares or {}):
        receipt_checked(receipt_id, balances.open_day(), request.checker.username, None)
    return {"assignment": made.pk, "vouchers": [str(voucher) for voucher in booking.vouchers]}


def _case_of(line: BankLine) -> Discrepancy | None:
    return Discrepancy.objects.filter(kind=CaseKind.BANK, bank_line_id=line.pk).order_by("-pk").first()


class _Booking:
    """One line being booked as what it is said to be: its vouchers, and where its money goes."""

    def __init__(self, line: BankLine, assignment: Assignment, request: ApprovalRequest) -> None:
        self.line, self.assignment, self.request = line, assignment, request
        self.vouchers: list[int] = []
        self.parts: dict[str, int] = {assignment.target or assignment.purpose.value: line.amount}

    def post(self, event: Event, amount: int, name: str = "R", **owners: str) -> None:
        """Book one event of the line, whose number no other booking of the event can have."""
        voucher = ledger.post(
            Posting(
                event=event,
                source_kind="bank_line",
                source_id=self.line.pk,
                amounts={name: amount},
                owners={"bank": self.line.bank_account.code, **owners},
                business_date=self.line.value_date,
                currency=self.line.currency,
                memo=f"{self.line.reference} {self.line.memo}",
            ),
            posted_by=self.request.checker.username,
        )
        if voucher is not None:
            self.vouchers.append(voucher.pk)


def _settlement(booking: _Booking) -> None:
    line, shares = booking.line, booking.assignment.shares or {}
    days = {receipt.pk: receipt.channel_date for receipt in ChannelReceipt.objects.filter(pk__in=list(shares))}
    line.channel_date = min(days.values())
    line.save(update_fields=["kind", "contract", "channel_date"])
    allocation_set(
        bank_line_id=line.pk,
        shares=shares,
        attributed=True,
        by=booking.request.maker.username,
        approval_id=booking.request.pk,
    )
    booking.post(Event.RECEIPT, line.amount, channel=booking.assignment.target)
    booking.parts = {f"{booking.assignment.target} {days[pk]}": amount for pk, amount in shares.items()}


def _movement(booking: _Booking) -> None:
    line, number = booking.line, booking.assignment.target
    if not movement_take(line, booking.assignment.purpose.value, number):
        raise PayopsError(
            "bank.not_expected",
            _("No %(purpose)s %(number)s of %(amount)s is expected on this account.")
            % {
                "purpose": booking.assignment.purpose.label,
                "number": number,
                "amount": format_amount(line.amount, line.currency),
            },
            {"bank_line": line.pk, "number": number},
        )


def _interest(booking: _Booking) -> None:
    booking.line.kind = BankLineKind.INTEREST
    booking.post(Event.RESERVE_INTEREST, booking.line.amount)


def _charge(booking: _Booking) -> None:
    """Own funds pay charges, never customers: out of the reserve into own funds, and out of them at once."""
    booking.line.kind = BankLineKind.CHARGE
    own = booking.assignment.target
    booking.post(Event.FEE_CARRIED, -booking.line.amount, "P", own_bank=own)
    booking.post(Event.BANK_CHARGE, -booking.line.amount, own_bank=own)


def _offline(booking: _Booking) -> None:
    """The money is in the reserve and in suspense already; it goes from there through the transit to the merchant."""
    booking.line.kind = BankLineKind.OFFLINE
    booking.post(Event.OFFLINE_RECEIPT, booking.line.amount, merchant=booking.assignment.target)


_BOOKED_AS: Final[dict[AssignPurpose, Callable[[_Booking], None]]] = {
    AssignPurpose.SETTLEMENT: _settlement,
    AssignPurpose.PAYOUT: _movement,
    AssignPurpose.RETURN: _movement,
    AssignPurpose.OFFLINE: _offline,
    AssignPurpose.INTEREST: _interest,
    AssignPurpose.CHARGE: _charge,
}


# --- shown to the checker ---------------------------------------------------------------------------------------------


def _describe(request: ApprovalRequest) -> Description:
    line = BankLine.objects.select_related("bank_account").get(pk=int(request.target_id))
    payload = request.payload
    rows: list[tuple[Any, Any]] = [
        (_("Bank account"), line.bank_account.code),
        (_("Bank reference"), line.reference),
        (_("Value date"), line.value_date.isoformat()),
        (_("Counterparty"), line.counterparty or "–"),
        (_("Memo"), line.memo or "–"),
        (_("Amount"), format_amount(line.amount, line.currency)),
        (_("Is"), AssignPurpose(payload["purpose"]).label),
        (_("For"), payload["target"] or "–"),
        *(
            (payload["days"].get(str(receipt), str(receipt)), format_amount(amount, request.currency))
            for receipt, amount in payload["shares"]
        ),
    ]
    return Description(_title(payload), "console:bank_line", (line.pk,), rows)


def _title(payload: dict[str, Any]) -> str:
    return _("Bank line %(line)s is: %(purpose)s") % {
        "line": payload["line"],
        "purpose": AssignPurpose(payload["purpose"]).label,
    }
