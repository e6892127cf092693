"""Placing and releasing freeze slips by people: proposed by one, approved by another ('ledger.freeze')."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from payops.accounts.freezes import SLIP_SOURCE, freeze_place, freeze_release, source_text
from payops.accounts.models import Account, Freeze
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import LARGE_AMOUNT, Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.identity.models import User

ACTION = "ledger.freeze"
TARGET_ACCOUNT = "account"
TARGET_SLIP = "freeze"


def freeze_propose(
    *, account: Account, amount: int, reason: str, source_kind: str, source_id: str, maker: User
) -> ApprovalRequest:
    """Propose a slip over `amount` minor units; it may exceed the balance, whatever comes is frozen then.

    `source_kind`, `source_id`: the order it comes from (court order, police letter, dispute, risk). Raises PayopsError
    'freeze.amount' or 'freeze.reason_missing'.
    """
    if amount <= 0:
        raise PayopsError("freeze.amount", _("The amount to freeze must be positive."), {"amount": amount})
    _require_reason(reason)
    return request_submit(
        action=ACTION,
        target_kind=TARGET_ACCOUNT,
        target_id=account.pk,
        payload={
            "account": account.pk,
            "account_no": account.account_no,
            "amount": amount,
            "source_kind": source_kind,
            "source_id": source_id,
        },
        amount=amount,
        currency=account.currency,
        title=_("Freeze %(amount)s on %(account)s")
        % {"amount": format_amount(amount, account.currency), "account": account.account_no},
        reason=reason,
        maker=maker,
    )


def release_propose(*, freeze: Freeze, amount: int | None, reason: str, maker: User) -> ApprovalRequest:
    """Propose to release a slip by `amount` minor units, None for all that is left.

    Raises PayopsError 'freeze.amount', 'freeze.reason_missing', and 'freeze.of_a_deduction' for what is kept for a
    deduction: that is released by collecting it.
    """
    released = freeze.remaining if amount is None else amount
    if not 0 < released <= freeze.remaining:
        raise PayopsError(
            "freeze.amount",
            _("Of this freeze %(remaining)s is left; %(amount)s cannot be released.")
            % {
                "remaining": format_amount(freeze.remaining, freeze.account.currency),
                "amount": format_amount(released, freeze.account.currency),
            },
            {"remaining": freeze.remaining, "amount": released},
        )
    if freeze.source_kind == SLIP_SOURCE:
        raise PayopsError(
            "freeze.of_a_deduction",
            _("Freeze %(freeze)d keeps money for a deduction and ends when that is collected.") % {"freeze": freeze.pk},
            {"freeze": freeze.pk},
        )
    _require_reason(reason)
    account = freeze.account
    return request_submit(
        action=ACTION,
        target_kind=TARGET_SLIP,
        target_id=freeze.pk,
        payload={
            "freeze": freeze.pk,
            "account": account.pk,
            "account_no": account.account_no,
            "amount": released,
            "remaining": freeze.remaining,
        },
        amount=released,
        currency=account.currency,
        title=_("Release %(amount)s of freeze %(freeze)d on %(account)s")
        % {
            "amount": format_amount(released, account.currency),
            "freeze": freeze.pk,
            "account": account.account_no,
        },
        reason=reason,
        maker=maker,
    )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise PayopsError("freeze.reason_missing", _("Say why: the reason stays on the slip."))


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        maker_permission="adjustments.propose",
        checker_permission="adjustments.approve",
        tiers=LARGE_AMOUNT,
    )


def _fingerprint(target_kind: str, target_id: str) -> str:
    """A slip is decided on as it was; a new slip holds whatever happens to the account meanwhile, unless it closes."""
    if target_kind == TARGET_SLIP:
        return str(Freeze.objects.values_list("remaining", flat=True).get(pk=int(target_id)))
    return str(Account.objects.filter(pk=int(target_id), status="closed").exists())


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    payload = request.payload
    if request.target_kind == TARGET_SLIP:
        slip = freeze_release(
            freeze=Freeze.objects.get(pk=payload["freeze"]),
            amount=payload["amount"],
            reason=request.reason,
            released_by=request.maker.username,
        )
        return {"freeze": slip.pk, "remaining": slip.remaining}
    slip = freeze_place(
        account=Account.objects.get(pk=payload["account"]),
        amount=payload["amount"],
        reason=request.reason,
        source_kind=payload["source_kind"],
        source_id=payload["source_id"],
        created_by=request.maker.username,
    )
    return {"freeze": slip.pk, "remaining": slip.remaining}


def _describe(request: ApprovalRequest) -> Description:
    payload, currency = request.payload, request.currency
    rows: list[tuple[Any, Any]] = [
        (_("Account"), payload["account_no"]),
        (_("Amount"), f"{format_amount(payload['amount'], currency)} {currency}"),
    ]
    if request.target_kind == TARGET_SLIP:
        left = payload["remaining"] - payload["amount"]
        rows.append((_("Still frozen afterwards"), format_amount(left, currency)))
        title = _("Release %(amount)s of freeze %(freeze)d on %(account)s") % {
            "amount": format_amount(payload["amount"], currency),
            "freeze": payload["freeze"],
            "account": payload["account_no"],
        }
        return Description(title, "console:freeze", (payload["freeze"],), rows)
    account = Account.objects.get(pk=payload["account"])
    rows.append((_("Available now"), format_amount(account.available, currency)))
    rows.append((_("Source"), source_text(payload["source_kind"], payload["source_id"])))
    title = _("Freeze %(amount)s on %(account)s") % {
        "amount": format_amount(payload["amount"], currency),
        "account": payload["account_no"],
    }
    return Description(title, "console:account", (payload["account"],), rows)
