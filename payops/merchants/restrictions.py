"""Freezing a customer: all accounts of all its merchants, and its merchants' users (DOMAIN 4.4).

An order is proposed by one person and approved by another. Its accounts get a row of status history each, under the
order's number; lifting restores exactly what was before, except where somebody or another order set a status since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import AccountStatus, OwnerKind
from payops.accounts.models import Account
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.identity.models import User
from payops.merchants.models import Customer, CustomerFreeze, CustomerFreezeState, Merchant

ACTION = "merchants.customer_freeze"
TARGET_CUSTOMER = "customer"
TARGET_FREEZE = "customer_freeze"
SOURCE = "customer_freeze"


# --- what an order does -----------------------------------------------------------------------------------------------


@transaction.atomic
def customer_freeze(
    *, customer: Customer, status: str, reason: str, document: str, placed_by: str
) -> tuple[CustomerFreeze, int]:
    """Put every account of every merchant of the customer under an order; returns it and how many accounts it holds."""
    order = CustomerFreeze.objects.create(
        customer=customer, status=status, reason=reason[:200], document=document[:80], placed_by=placed_by
    )
    return order, _put_under(order, _accounts_of(_merchant_nos(customer)))


@transaction.atomic
def customer_freeze_lift(*, freeze: CustomerFreeze, reason: str, lifted_by: str) -> int:
    """Lift an order; returns how many accounts changed back. PayopsError 'merchants.freeze_lifted' the second time."""
    changed = CustomerFreeze.objects.filter(pk=freeze.pk, state=CustomerFreezeState.IN_FORCE).update(
        state=CustomerFreezeState.LIFTED, lift_reason=reason[:200], lifted_by=lifted_by, lifted_at=timezone.now()
    )
    if not changed:
        raise PayopsError(
            "merchants.freeze_lifted",
            _("Freeze %(freeze)d of the customer is lifted already.") % {"freeze": freeze.pk},
            {"freeze": freeze.pk},
        )
    orders = CustomerFreeze.objects.filter(customer=freeze.customer_id, state=CustomerFreezeState.LIFTED)
    lifted = {str(pk) for pk in orders.values_list("pk", flat=True)}
    return ledger.statuses_restore(
        source_kind=SOURCE, source_id=freeze.pk, lifted=lifted.__contains__, reason=reason, changed_by=lifted_by
    )


@transaction.atomic
def freezes_cover(*, merchant_nos: Sequence[str]) -> int:
    """Put accounts opened since under the orders in force over their customers; returns how many rows it wrote."""
    orders = CustomerFreeze.objects.filter(
        state=CustomerFreezeState.IN_FORCE, customer__merchants__merchant_no__in=list(merchant_nos)
    )
    covered = 0
    for order in orders.distinct().order_by("id"):
        accounts = _accounts_of(_merchant_nos(order.customer))
        new = accounts.exclude(status_changes__source_kind=SOURCE, status_changes__source_id=str(order.pk))
        covered += _put_under(order, new)
    return covered


def _put_under(order: CustomerFreeze, accounts: Any) -> int:
    return ledger.statuses_set(
        account_ids=accounts.values_list("pk", flat=True),
        status=order.status,
        reason=order.reason,
        source_kind=SOURCE,
        source_id=order.pk,
        changed_by=order.placed_by,
    )


def _merchant_nos(customer: Customer) -> list[str]:
    return list(Merchant.objects.filter(customer=customer).values_list("merchant_no", flat=True))


def _accounts_of(merchant_nos: Sequence[str]) -> Any:
    return Account.objects.filter(owner_kind=OwnerKind.MERCHANT, owner_no__in=merchant_nos)


def user_is_blocked(user: User) -> bool:
    """Whether an order is in force over the customer of a merchant's user: it may look, and give no instructions."""
    return (
        bool(user.merchant_no)
        and CustomerFreeze.objects.filter(
            state=CustomerFreezeState.IN_FORCE, customer__merchants__merchant_no=user.merchant_no
        ).exists()
    )


# --- maker and checker ------------------------------------------------------------------------------------------------


def customer_freeze_propose(
    *, customer: Customer, status: str, reason: str, document: str, maker: User
) -> ApprovalRequest:
    """Propose an order over a customer; `status` restricts ('merchants.freeze_status'), reason and document are needed.

    Raises PayopsError 'merchants.freeze_reason' without one of them, and what `request_submit` raises.
    """
    if status not in AccountStatus.values or status in {AccountStatus.NORMAL, AccountStatus.CLOSED}:
        raise PayopsError("merchants.freeze_status", _("Choose a status that restricts the accounts."))
    if not reason.strip() or not document.strip():
        raise PayopsError(
            "merchants.freeze_reason", _("Name the order or letter and say why: both stay with the freeze.")
        )
    payload = {
        "customer": customer.pk,
        "customer_no": customer.customer_no,
        "name": customer.name,
        "status": str(status),
        "document": document,
        "merchants": sorted(_merchant_nos(customer)),
    }
    return _submit(TARGET_CUSTOMER, customer.pk, payload, reason, maker)


def customer_freeze_lift_propose(*, freeze: CustomerFreeze, reason: str, maker: User) -> ApprovalRequest:
    """Propose to lift an order. Raises PayopsError 'merchants.freeze_lifted' or 'merchants.freeze_reason'."""
    if freeze.state != CustomerFreezeState.IN_FORCE:
        raise PayopsError(
            "merchants.freeze_lifted",
            _("Freeze %(freeze)d of the customer is lifted already.") % {"freeze": freeze.pk},
            {"freeze": freeze.pk},
        )
    if not reason.strip():
        raise PayopsError("merchants.freeze_reason", _("Say why the freeze is lifted."))
    customer = freeze.customer
    payload = {
        "freeze": freeze.pk,
        "customer": customer.pk,
        "customer_no": customer.customer_no,
        "name": customer.name,
        "status": freeze.status,
        "document": freeze.document,
        "merchants": sorted(_merchant_nos(customer)),
    }
    return _submit(TARGET_FREEZE, freeze.pk, payload, reason, maker)


def _submit(kind: str, number: int, payload: dict[str, Any], reason: str, maker: User) -> ApprovalRequest:
    return request_submit(
        action=ACTION,
        target_kind=kind,
        target_id=number,
        payload=payload,
        amount=None,
        currency="",
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


def _fingerprint(target_kind: str, target_id: str) -> str:
    """The orders in force, and the merchants they hold."""
    if target_kind == TARGET_FREEZE:
        return CustomerFreeze.objects.values_list("state", flat=True).get(pk=int(target_id))
    merchants = Merchant.objects.filter(customer=int(target_id)).order_by("pk").values_list("merchant_no", flat=True)
    return "|".join(merchants)


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    payload, username = request.payload, request.maker.username
    if request.target_kind == TARGET_FREEZE:
        freeze = CustomerFreeze.objects.get(pk=payload["freeze"])
        return {"changed": customer_freeze_lift(freeze=freeze, reason=request.reason, lifted_by=username)}
    order, accounts = customer_freeze(
        customer=Customer.objects.get(pk=payload["customer"]),
        status=payload["status"],
        reason=request.reason,
        document=payload["document"],
        placed_by=username,
    )
    return {"freeze": order.pk, "accounts": accounts}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    accounts = _accounts_of(payload["merchants"]).exclude(status=AccountStatus.CLOSED).count()
    rows: list[tuple[Any, Any]] = [
        (_("Customer"), f"{payload['customer_no']} {payload['name']}"),
        (_("Status of the accounts"), AccountStatus(payload["status"]).label),
        (_("Order or letter"), payload["document"]),
        (_("Merchants"), ", ".join(payload["merchants"])),
        (_("Accounts"), accounts),
        (_("Users"), User.objects.filter(merchant_no__in=payload["merchants"]).count()),
    ]
    first = payload["merchants"][:1]
    return Description(_title(payload), "console:merchant" if first else "", tuple(first), rows)


def _title(payload: dict[str, Any]) -> str:
    values = {"customer": payload["name"], "document": payload["document"]}
    if "freeze" in payload:
        return _("Lift the freeze of %(customer)s (%(document)s)") % values
    return _("Freeze %(customer)s (%(document)s)") % values
