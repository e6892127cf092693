"""What a result means: booked once, whoever tells it first, the bank's answer or the line on its statement."""

from __future__ import annotations

import logging
from typing import Final

from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts.choices import Event
from payops.channels.choices import BankLineState
from payops.channels.models import BankLine
from payops.merchants.services import settlement_account_flag
from payops.reconciliation.funds import RETURN
from payops.reconciliation.models import ExpectedMovement
from payops.settlement.bank import BankAnswer, BankStatus
from payops.settlement.choices import PayoutState, SheetState
from payops.settlement.models import Payout
from payops.settlement.payouts.history import (
    IN_DOUBT,
    SYSTEM,
    batch_follow,
    now,
    payout_lock,
    payout_move,
    payout_note,
    payout_post,
    sheet_move,
)

logger = logging.getLogger(__name__)

UNFINISHED: Final = (PayoutState.SENDING, *IN_DOUBT)
MISMATCH: Final = "answer_mismatch"
CONFLICT: Final = "payout_conflict"
PAID_BEFORE: Final = "paid_before"
ACCOUNT_ALTERED: Final = "account_altered"
FOR_A_PERSON: Final = (MISMATCH, CONFLICT, PAID_BEFORE, ACCOUNT_ALTERED)
"""Failure codes of payouts no answer of the bank settles: it uses the number for something else, it debited the attempt
before this one although it had called that failed, or the account is not the one approved and nothing was sent."""


@transaction.atomic
def payout_result_take(*, payout_id: int, answer: BankAnswer, username: str = SYSTEM) -> Payout:
    """Take in what the bank says of a payout; saying it again changes nothing.

    Succeeded → PAYOUT_CONFIRMED and the sheet is paid. Failed by the account's fault → PAYOUT_FAILED, account flagged,
    sheet failed. Failed otherwise → nothing booked, a second attempt may be proposed. Returned → PAYOUT_RETURNED. An
    answer about another amount is not believed: the payout stays unknown for a person.
    """
    payout = payout_lock(payout_id)
    if answer.amount not in (None, payout.amount) or answer.currency not in ("", payout.currency):
        logger.error("payout %s: the bank speaks of %s %s", payout.payout_no, answer.amount, answer.currency)
        _doubt(payout, MISMATCH, _("The bank speaks of another amount under this number."), username)
        return payout
    note = f"{answer.code} {answer.message}".strip()
    if answer.status == BankStatus.RETURNED:
        _returned(payout, answer, note, username)
    elif payout.state not in UNFINISHED:
        if answer.status == BankStatus.FAILED and payout.state == PayoutState.SUCCEEDED:
            payout_note(payout, username=username, note=note)
    elif answer.status == BankStatus.SUCCEEDED:
        _succeeded(payout, note, username, answer.bank_reference)
    elif answer.status == BankStatus.FAILED:
        _failed(payout, answer, note, username)
    else:
        to = PayoutState.SENT if answer.status == BankStatus.ACCEPTED else PayoutState.UNKNOWN
        if payout.state != to:
            payout_move(payout, to, username=username, note=note, bank_reference=answer.bank_reference)
    batch_follow(payout.batch_id)
    return payout


@transaction.atomic
def payout_unknown(*, payout_id: int, code: str, note: str, username: str = SYSTEM) -> Payout:
    """No usable answer came: from now on the payout counts as paid until a query or the statement tells more."""
    payout = payout_lock(payout_id)
    _doubt(payout, code if code in FOR_A_PERSON else "", note, username)
    batch_follow(payout.batch_id)
    return payout


def bank_line_paid(payout_no: str, line: BankLine) -> bool:
    """The statement shows the debit: the payout was paid, whatever the bank's answers say so far.

    False for one that failed or was never sent: money left the account that should not have.
    """
    payout = _locked_by_number(payout_no)
    if payout is None:
        return False
    if payout.state in UNFINISHED:
        _succeeded(payout, _line_note(line), SYSTEM, line.reference)
        batch_follow(payout.batch_id)
    return payout.state in (PayoutState.SUCCEEDED, PayoutState.RETURNED)


def numbers_debited_all_the_same() -> set[str]:
    """Numbers of payouts whose debit the statement shows although they had failed; those lines wait in suspense."""
    named = BankLine.objects.filter(state=BankLineState.UNIDENTIFIED, amount__lt=0).exclude(payout_no="")
    failed = Payout.objects.filter(payout_no__in=named.values("payout_no"), state=PayoutState.FAILED)
    return set(failed.values_list("payout_no", flat=True))


def bank_line_returned(payout_no: str, line: BankLine) -> bool:
    """The statement shows the money back; booked unless the bank's answer told it before. False if it never left."""
    payout = _locked_by_number(payout_no)
    if payout is None:
        return False
    if payout.state in (*UNFINISHED, PayoutState.SUCCEEDED):
        answer = BankAnswer(payout_no, BankStatus.RETURNED, "RETURNED", account_fault=True)
        _returned(payout, answer, _line_note(line), SYSTEM)
        batch_follow(payout.batch_id)
    return payout.state == PayoutState.RETURNED


def _line_note(line: BankLine) -> str:
    return _("Bank line %(reference)s of %(date)s") % {"reference": line.reference, "date": line.value_date}


def _locked_by_number(payout_no: str) -> Payout | None:
    found = Payout.objects.filter(payout_no=payout_no).values_list("pk", flat=True).first()
    return None if found is None else payout_lock(found)


def _succeeded(payout: Payout, note: str, username: str, bank_reference: str) -> None:
    voucher = payout_post(payout, Event.PAYOUT_CONFIRMED, username=username)
    payout_move(
        payout,
        PayoutState.SUCCEEDED,
        username=username,
        note=note,
        voucher=voucher,
        bank_reference=bank_reference or payout.bank_reference,
        failure_code="",
        failure_reason="",
        finished_at=now(),
    )
    sheet_move(payout.sheet_id, (SheetState.IN_PAYMENT,), SheetState.PAID)


def _failed(payout: Payout, answer: BankAnswer, note: str, username: str) -> None:
    """By the account's fault the money goes back to the merchant; by the bank's it waits for the next attempt."""
    voucher = payout_post(payout, Event.PAYOUT_FAILED, username=username) if answer.account_fault else None
    payout_move(
        payout,
        PayoutState.FAILED,
        username=username,
        note=note,
        voucher=voucher,
        bank_reference=answer.bank_reference or payout.bank_reference,
        failure_code=answer.code,
        failure_reason=answer.message,
        finished_at=now(),
    )
    # Nothing will move: a debit that comes all the same is nobody's.
    ExpectedMovement.objects.filter(reference=payout.payout_no, bank_line_id=None).delete()
    if answer.account_fault:
        settlement_account_flag(account=payout.settlement_account, reason=f"{payout.payout_no} {note}")
        sheet_move(payout.sheet_id, (SheetState.IN_PAYMENT,), SheetState.FAILED, carry_out=payout.amount)


def _returned(payout: Payout, answer: BankAnswer, note: str, username: str) -> None:
    if payout.state in UNFINISHED:
        _succeeded(payout, note, username, answer.bank_reference)
    if payout.state != PayoutState.SUCCEEDED:
        return
    voucher = payout_post(payout, Event.PAYOUT_RETURNED, username=username)
    payout_move(
        payout,
        PayoutState.RETURNED,
        username=username,
        note=note,
        voucher=voucher,
        failure_code=answer.code,
        failure_reason=answer.message or note[:200],
        finished_at=now(),
    )
    ExpectedMovement.objects.get_or_create(
        reference=payout.payout_no,
        kind=RETURN,
        defaults={
            "bank_account": payout.batch.bank_account,
            "amount": payout.amount,
            "expected_on": payout.batch.pay_date,
        },
    )
    settlement_account_flag(account=payout.settlement_account, reason=f"{payout.payout_no} {note}")
    sheet_move(payout.sheet_id, (SheetState.PAID,), SheetState.RETURNED, carry_out=payout.amount)


def _doubt(payout: Payout, code: str, note: str, username: str) -> None:
    fields = {"failure_code": code, "failure_reason": note[:200]} if code else {}
    if payout.state in (PayoutState.SENDING, PayoutState.SENT):
        payout_move(payout, PayoutState.UNKNOWN, username=username, note=note, **fields)
    elif code and payout.failure_code != code and payout.state == PayoutState.UNKNOWN:
        Payout.objects.filter(pk=payout.pk).update(**fields)
        payout.failure_code = code
        payout_note(payout, username=username, note=note)
