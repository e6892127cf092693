"""A bank rule made, changed or ended by maker and checker ('reconciliation.bank_rule'); versions are never edited."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.choices import BankLineKind, BankLineState
from payops.channels.models import BankAccount, BankLine, ChannelContract
from payops.core.money import format_amount
from payops.identity.models import User
from payops.reconciliation.choices import Direction
from payops.reconciliation.funds.rules import rule_check
from payops.reconciliation.models import BankRule

ACTION: Final = "reconciliation.bank_rule"
TARGET: Final = "reconciliation.bankrule"
FIELDS: Final = (
    "name", "priority", "direction", "counterparty", "memo_pattern", "min_amount", "max_amount", "kind", "active",
)  # fmt: skip
"""What of a rule stands in a proposal as it is; bank account and contract stand there by their codes."""


def rule_propose(*, rule: BankRule, tried: int, changed: int, reason: str, maker: User) -> ApprovalRequest:
    """Propose an unsaved rule as the next version of its name; `tried` and `changed` are what `rule_try` counted.

    Raises what `rule_check` and `request_submit` raise.
    """
    rule_check(rule)
    payload = {
        **{field: getattr(rule, field) for field in FIELDS},
        "bank_account": rule.bank_account.code,
        "contract": rule.contract.code if rule.contract else None,
        "currency": rule.bank_account.currency,
        "tried": tried,
        "changed": changed,
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=rule.bank_account.code,
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


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """Every rule of the account in force: another one decided meanwhile changes what this one does."""
    current = BankRule.objects.filter(bank_account__code=target_id, is_current=True)
    return "|".join(map(str, current.order_by("pk").values_list("pk", flat=True)))


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    rule = rule_set(payload=request.payload, by=request.maker.username, approval_id=request.pk)
    return {"rule": rule.pk, "version": rule.version}


@transaction.atomic
def rule_set(*, payload: dict[str, Any], by: str, approval_id: int) -> BankRule:
    """Put the proposed version in the place of the one before; it holds for lines taken from now on."""
    account = BankAccount.objects.get(code=payload["bank_account"])
    rule = BankRule(
        **{field: payload[field] for field in FIELDS},
        bank_account=account,
        contract=ChannelContract.objects.get(code=payload["contract"]) if payload["contract"] else None,
        made_by=by,
        approval_id=approval_id,
    )
    rule_check(rule)
    before = BankRule.objects.filter(bank_account=account, name=rule.name, is_current=True).first()
    if before is not None:
        BankRule.objects.filter(pk=before.pk).update(is_current=False)
        # What the former version only set aside is asked again; what is booked stays booked.
        BankLine.objects.filter(rule_id=before.pk, state=BankLineState.WAITING).update(
            state=BankLineState.NEW, kind=BankLineKind.OTHER, rule_id=None
        )
        rule.version = before.version + 1
    rule.save(force_insert=True)
    return rule


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    currency = payload["currency"]
    limits = [
        format_amount(payload[name], currency) if payload[name] is not None else "…"
        for name in ("min_amount", "max_amount")
    ]
    rows: list[tuple[Any, Any]] = [
        (_("Bank account"), payload["bank_account"]),
        (_("Rule"), payload["name"]),
        (_("Priority"), str(payload["priority"])),
        (_("Direction"), Direction(payload["direction"]).label),
        (_("Counterparty contains"), payload["counterparty"] or "–"),
        (_("Memo pattern"), payload["memo_pattern"] or "–"),
        (_("Amount"), " – ".join(limits)),
        (_("Is then"), BankLineKind(payload["kind"]).label),
        (_("Channel"), payload["contract"] or "–"),
        (
            _("Tried on past lines"),
            _("%(changed)d of %(tried)d would be taken for something else.")
            % {"changed": payload["changed"], "tried": payload["tried"]},
        ),
    ]
    return Description(_title(payload), "console:bank_rule_list", (), rows)


def _title(payload: dict[str, Any]) -> str:
    title = (
        _("Bank rule “%(name)s” of %(account)s") if payload["active"] else _("End bank rule “%(name)s” of %(account)s")
    )
    return title % {"name": payload["name"], "account": payload["bank_account"]}
