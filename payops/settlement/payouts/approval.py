"""The second person's part: what finance sees of a batch, and what approving or refusing it does."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum
from django.utils.translation import gettext as _

from payops.accounts import selectors as balances
from payops.accounts.choices import Event, OwnerKind
from payops.accounts.models import Account
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.core import jobs
from payops.core.errors import PayopsError
from payops.core.money import amount_in_capitals, format_amount
from payops.reconciliation.funds import PAYOUT, register_payout_handler, register_return_handler
from payops.reconciliation.models import ExpectedMovement
from payops.settlement.choices import BatchState, PayoutState, SheetState
from payops.settlement.models import Payout, PayoutBatch
from payops.settlement.payouts.batches import ACTION, CURRENCY, RESERVE_SUBJECT, batch_title
from payops.settlement.payouts.history import batch_follow, payout_move, payout_post, sheet_move
from payops.settlement.payouts.results import bank_line_paid, bank_line_returned

SEND_JOB = "settlement.payouts_send"
SETTLEMENT_SUBJECT = "220202"
LISTED = 20
# The merchant's account refuses this one instruction; the others of the batch go on.
REFUSALS = ("ledger.restricted", "ledger.insufficient", "ledger.account_closed", "ledger.no_account")


def register() -> None:
    """Called once, when the app is ready: the approval action, and what bank lines of payouts mean."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        closed=_closed,
        maker_permission="payouts.propose",
        checker_permission="payouts.approve",
    )
    register_payout_handler(bank_line_paid)
    register_return_handler(bank_line_returned)


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """Changes with anything that decides who is paid how much to which account."""
    rows = (
        Payout.objects.filter(batch=int(target_id))
        .order_by("id")
        .values_list(
            "id", "state", "amount", "settlement_account_id", "settlement_account__state", "merchant__status",
            "sheet__state", "sheet__payout_amount", "batch__state", "batch__bank_account_id",
        )
    )  # fmt: skip
    return "\n".join("|".join(map(str, row)) for row in rows)


def _describe(request: ApprovalRequest) -> Description:
    batch = PayoutBatch.objects.select_related("bank_account").get(pk=int(request.target_id))
    payouts = batch.payouts.select_related("merchant", "settlement_account", "previous")
    again = batch.payouts.filter(sheet__state=SheetState.IN_PAYMENT).count()
    largest = payouts.order_by("-amount", "id")[:LISTED]
    held = balances.balance_of(RESERVE_SUBJECT, OwnerKind.BANK, batch.bank_account.code)
    rows: list[tuple[Any, Any]] = [
        (_("Batch"), batch.batch_no),
        (_("Pay date"), batch.pay_date),
        (_("From account"), str(batch.bank_account)),
        (_("Balance of the account"), format_amount(held, CURRENCY)),
        (_("Payouts"), batch.count),
        (_("Amount"), f"{format_amount(batch.amount, CURRENCY)} {CURRENCY}"),
        (_("Amount in capitals"), amount_in_capitals(batch.amount)),
    ]
    if held < batch.amount:
        rows.append((_("Warning"), _("The account holds less than the batch needs.")))
    if again:
        rows.append((_("Sent again after a failure of the bank"), again))
    rows += [
        (payout.merchant.merchant_no, f"{format_amount(payout.amount, CURRENCY)} → {payout.settlement_account}")
        for payout in largest
    ]
    if batch.count > LISTED:
        rest = batch.amount - sum(payout.amount for payout in largest)
        rows.append((_("%(count)d more") % {"count": batch.count - LISTED}, format_amount(rest, CURRENCY)))
    return Description(title=batch_title(batch), rows=rows)


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """Book the instruction of every payout and queue the sending; an account that refuses holds its own sheet only."""
    batch = _decide(request, BatchState.APPROVED)
    username = request.checker.username
    refused = []
    for payout in _in_account_order(batch):
        try:
            _instruct(payout, username)
        except PayopsError as error:
            if error.code not in REFUSALS:
                raise
            _refuse(payout, error, username)
            refused.append({"payout_no": payout.payout_no, "code": error.code, "message": str(error)})
    going = batch.payouts.filter(state=PayoutState.APPROVED)
    if not going.exists():
        batch_follow(batch.pk)
        return {"batch_no": batch.batch_no, "approved": 0, "amount": 0, "refused": refused}
    job = jobs.enqueue(
        SEND_JOB,
        {"batch_id": batch.pk},
        key=f"payouts_send:{batch.batch_no}",
        business_date=batch.pay_date,
        created_by=username,
    )
    return {
        "batch_no": batch.batch_no,
        "approved": going.count(),
        "amount": going.aggregate(total=Sum("amount"))["total"],
        "refused": refused,
        "job": job.pk,
    }


def _decide(request: ApprovalRequest, to: BatchState) -> PayoutBatch:
    changed = PayoutBatch.objects.filter(pk=int(request.target_id), state=BatchState.PENDING).update(state=to)
    batch = PayoutBatch.objects.select_related("bank_account").get(pk=int(request.target_id))
    if not changed:
        raise PayopsError(
            "payouts.batch_decided",
            _("Batch %(batch)s is already %(state)s.")
            % {"batch": batch.batch_no, "state": batch.get_state_display().lower()},
            {"batch": batch.pk, "state": batch.state},
        )
    return batch


def _in_account_order(batch: PayoutBatch) -> list[Payout]:
    """In the order in which bulk postings lock accounts, so that neither waits for the other in a circle."""
    payouts = list(
        batch.payouts.filter(state=PayoutState.CREATED).select_related("merchant", "batch__bank_account", "sheet")
    )
    accounts = dict(
        Account.objects.filter(
            subject__code=SETTLEMENT_SUBJECT,
            owner_kind=OwnerKind.MERCHANT,
            owner_no__in=[payout.merchant.merchant_no for payout in payouts],
        ).values_list("owner_no", "id")
    )
    return sorted(payouts, key=lambda payout: (accounts.get(payout.merchant.merchant_no, 0), payout.pk))


def _instruct(payout: Payout, username: str) -> None:
    voucher = None
    if payout.sheet.state == SheetState.READY:
        voucher = payout_post(payout, Event.PAYOUT_SUBMITTED, username=username, instruction=True)
        sheet_move(
            payout.sheet_id,
            (SheetState.READY,),
            SheetState.IN_PAYMENT,
            settlement_account=payout.settlement_account_id,
        )
    payout_move(payout, PayoutState.APPROVED, username=username, voucher=voucher)
    ExpectedMovement.objects.create(
        bank_account=payout.batch.bank_account,
        reference=payout.payout_no,
        kind=PAYOUT,
        amount=-payout.amount,
        expected_on=payout.batch.pay_date,
    )


def _refuse(payout: Payout, error: PayopsError, username: str) -> None:
    payout_move(
        payout,
        PayoutState.CANCELLED,
        username=username,
        note=str(error),
        failure_code=error.code[:40],
        failure_reason=str(error)[:200],
    )
    sheet_move(payout.sheet_id, (SheetState.READY,), SheetState.HELD, carry_out=payout.amount, payout_amount=0)


def _closed(request: ApprovalRequest) -> None:
    """Rejected or withdrawn: the sheets are free for another batch."""
    batch = _decide(request, BatchState.REJECTED)
    for payout in batch.payouts.filter(state=PayoutState.CREATED):
        payout_move(payout, PayoutState.CANCELLED, username=request.decided_by_name, note=request.decision_note)
