"""What follows from a case alone: why it arose, what may be done about it, and what is suggested (DOMAIN 7.2, 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payops.discrepancies.choices import SHORTAGE_ACTIONS, SURPLUS_ACTIONS, ActionKind, CaseKind, ReasonCode
from payops.discrepancies.models import Discrepancy

FIXED_REASONS: dict[str, str] = {
    CaseKind.OWN_ONLY: ReasonCode.NOT_AT_CHANNEL,
    CaseKind.AMOUNT: ReasonCode.AMOUNT_CHANGED,
    CaseKind.FEE: ReasonCode.FEE_RATE,
    CaseKind.DUPLICATE_CHANNEL: ReasonCode.DUPLICATE,
    CaseKind.DUPLICATE_OWN: ReasonCode.DUPLICATE,
    CaseKind.RECEIPT: ReasonCode.BANK,
    CaseKind.BANK: ReasonCode.BANK,
    CaseKind.CLOSED_ACCOUNT: ReasonCode.CLOSED_ACCOUNT,
}

# Kinds with no merchant behind them: the other party is the channel or the bank.
WITHOUT_MERCHANT = (CaseKind.FEE, CaseKind.RECEIPT, CaseKind.BANK)
NEEDS_MERCHANT = (ActionKind.SUPPLEMENT, ActionKind.REFUND_PAYER, ActionKind.RECOVER)


def derive_reason(kind: str, evidence: Mapping[str, Any]) -> str:
    """Why the difference arose, as far as kind and evidence tell; OTHER when they do not."""
    if kind in FIXED_REASONS:
        return FIXED_REASONS[kind]
    own = evidence.get("own")
    if kind in (CaseKind.CHANNEL_ONLY, CaseKind.STATUS):
        if not own:
            return ReasonCode.NOT_OURS
        return ReasonCode.LATE_SUCCESS if own.get("status") == "closed" else ReasonCode.LOST_ORDER
    return ReasonCode.OTHER


def allowed_actions(case: Discrepancy) -> list[ActionKind]:
    """What may be proposed now, by the sign of what is in suspense; waiting is always possible.

    A surplus is as much a difference as a shortage: it is never simply accepted. Fee claims and receipts concern no
    merchant, and the suspense of an unidentified bank line belongs to the bank account, where only fund reconciliation
    books.
    """
    if case.suspense == 0 or case.contract_id is None:
        return [ActionKind.WAIT]
    allowed = SURPLUS_ACTIONS if case.suspense > 0 else SHORTAGE_ACTIONS
    if case.kind == CaseKind.CLOSED_ACCOUNT:
        # Whatever would book to the merchant's accounts again meets the closed one.
        return [kind for kind in allowed if kind not in (ActionKind.SUPPLEMENT, ActionKind.RECOVER)]
    if case.kind not in WITHOUT_MERCHANT:
        return list(allowed)
    if case.kind == CaseKind.FEE and case.suspense > 0:
        return [ActionKind.WAIT]
    return [kind for kind in allowed if kind not in NEEDS_MERCHANT]


def suggest_action(kind: str, suspense: int, *, merchant_known: bool, reason: str = "") -> str:
    """The action operators take most often for this kind; empty when there is nothing in suspense to act on."""
    if suspense == 0:
        return ""
    if kind in WITHOUT_MERCHANT or not merchant_known:
        return ActionKind.WAIT
    if kind == CaseKind.CLOSED_ACCOUNT:
        return ActionKind.REFUND_PAYER if suspense > 0 else ActionKind.WAIT
    if suspense < 0:
        return ActionKind.RECOVER
    if kind == CaseKind.DUPLICATE_CHANNEL or reason == ReasonCode.LATE_SUCCESS:
        return ActionKind.REFUND_PAYER
    # Our own row that the channel does not have is a surplus only when it is a refund: the payer still waits for it.
    if kind == CaseKind.OWN_ONLY:
        return ActionKind.REFUND_PAYER
    return ActionKind.SUPPLEMENT
