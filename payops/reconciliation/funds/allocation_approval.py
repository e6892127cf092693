"""Dividing a settlement line among channel days by maker and checker ('reconciliation.receipt_allocation')."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.accounts import selectors as ledger
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.models import BankLine
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.identity.models import User
from payops.reconciliation.funds.allocation import allocation_set, shares_check
from payops.reconciliation.funds.receipts import receipt_checked
from payops.reconciliation.models import ChannelReceipt, ReceiptAllocation

ACTION: Final = "reconciliation.receipt_allocation"
TARGET: Final = "channels.bankline"


def allocation_propose(
    *, bank_line_id: int, shares: Mapping[int, int], attributed: bool, reason: str, maker: User
) -> ApprovalRequest:
    """Propose which channel days a settlement line pays: minor units by id of the channel receipt.

    `attributed` as in `allocation_set`. Raises PayopsError 'funds.not_found', what `shares_check` raises and what
    `request_submit` raises.
    """
    line = BankLine.objects.select_related("contract").filter(pk=bank_line_id).first()
    if line is None:
        raise PayopsError("funds.not_found", _("There is no such bank line."), {"bank_line": bank_line_id})
    shares_check(line=line, shares=shares)
    days = ChannelReceipt.objects.in_bulk(list(shares))
    payload = {
        "line": line.reference,
        "channel": line.contract.code,
        "attributed": attributed,
        "shares": [
            {"receipt": pk, "day": days[pk].channel_date.isoformat(), "due": days[pk].due, "amount": shares[pk]}
            for pk in sorted(days, key=lambda pk: days[pk].channel_date)
        ],
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
    """The line and how it is divided now: a group found meanwhile changes what this one means."""
    line = BankLine.objects.get(pk=int(target_id))
    current = ReceiptAllocation.objects.filter(bank_line=line, is_current=True).first()
    return f"{line.kind} {line.amount} {line.contract_id} {current.number if current else 0}"


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """Divide, then compare every day the line leaves or reaches, so that suspense and cases follow at once."""
    line_id = int(request.target_id)
    shares = {share["receipt"]: share["amount"] for share in request.payload["shares"]}
    left = set(
        ChannelReceipt.objects.filter(
            parts__allocation__bank_line=line_id, parts__allocation__is_current=True
        ).values_list("pk", flat=True)
    )
    allocation = allocation_set(
        bank_line_id=line_id,
        shares=shares,
        attributed=request.payload["attributed"],
        by=request.maker.username,
        approval_id=request.pk,
    )
    for receipt_id in sorted(left | set(shares)):
        receipt_checked(receipt_id, ledger.open_day(), request.checker.username, None)
    return {"allocation": allocation.pk, "number": allocation.number}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    rows: list[tuple[Any, Any]] = [
        (_("Channel"), payload["channel"]),
        (_("Bank reference"), payload["line"]),
        (_("Bank line"), format_amount(request.amount, request.currency)),
    ]
    rows.extend(
        (
            share["day"],
            _("%(amount)s, due by the bill %(due)s")
            % {
                "amount": format_amount(share["amount"], request.currency),
                "due": format_amount(share["due"], request.currency),
            },
        )
        for share in payload["shares"]
    )
    if not payload["attributed"]:
        rows.append((_("Difference"), _("Belongs to these days together; they pass the balance check as one.")))
    return Description(_title(payload), "console:bank_line", (int(request.target_id),), rows)


def _title(payload: dict[str, Any]) -> str:
    return _("Divide bank line %(line)s of %(channel)s among %(count)d days") % {
        "line": payload["line"],
        "channel": payload["channel"],
        "count": len(payload["shares"]),
    }
