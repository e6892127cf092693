"""How a contract's rows are matched beyond their key: versions by maker and checker, in force from a later day."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts import selectors as ledger
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.identity.models import User
from payops.reconciliation.choices import GroupBy
from payops.reconciliation.models import MatchRule

ACTION: Final = "reconciliation.match_rule"
TARGET: Final = "reconciliation.matchrule"
LARGEST_TOLERANCE: Final = 1_000
"""A tolerance is for rounding: 10.00 of a currency with two decimals and no more (minor units)."""


def rule_of(contract: ChannelContract, day: dt.date) -> MatchRule | None:
    """The version that counts for a channel date, whenever that is run; None before the first."""
    return MatchRule.objects.filter(contract=contract, effective_from__lte=day).order_by("-version").first()


def under_rule(contract: ChannelContract, day: dt.date) -> ChannelContract:
    """The contract as the date's rule has it: a copy, which is not for saving."""
    rule = rule_of(contract, day)
    ruled = copy.copy(contract)
    if rule is not None:
        ruled.fee_tolerance = rule.fee_tolerance
    return ruled


def group_by_of(contract: ChannelContract, day: dt.date) -> GroupBy:
    """By what the date's rows are grouped."""
    rule = rule_of(contract, day)
    return GroupBy(rule.group_by) if rule else GroupBy.NONE


def amount_tolerance_of(contract: ChannelContract, day: dt.date) -> int:
    """By how much a pair matched by hand may differ, minor units; 0 without a rule."""
    rule = rule_of(contract, day)
    return rule.amount_tolerance if rule else 0


def match_rule_propose(
    *, contract: ChannelContract, group_by: str, fee_tolerance: int, amount_tolerance: int, reason: str, maker: User
) -> ApprovalRequest:
    """Propose another version of a contract's matching rule; tolerances in minor units.

    Raises PayopsError 'matching.tolerance' for one that is negative or no rounding any more, 'matching.unchanged' for
    what is in force already, and what `request_submit` raises.
    """
    for amount in (fee_tolerance, amount_tolerance):
        if not 0 <= amount <= LARGEST_TOLERANCE:
            raise PayopsError(
                "matching.tolerance",
                _("A tolerance is from 0 to %(most)s; you gave %(given)s.")
                % {
                    "most": format_amount(LARGEST_TOLERANCE, contract.currency),
                    "given": format_amount(amount, contract.currency),
                },
                {"given": amount},
            )
    latest = MatchRule.objects.filter(contract=contract).order_by("-version").first()
    now = (
        (latest.group_by, latest.fee_tolerance, latest.amount_tolerance)
        if latest
        else (GroupBy.NONE.value, contract.fee_tolerance, 0)
    )
    if now == (group_by, fee_tolerance, amount_tolerance):
        raise PayopsError("matching.unchanged", _("That is the rule already."))
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=contract.code,
        payload={
            "channel": contract.code,
            "currency": contract.currency,
            "group_by": GroupBy(group_by).value,
            "fee_tolerance": fee_tolerance,
            "amount_tolerance": amount_tolerance,
        },
        amount=None,
        currency="",
        title=_title(contract.code),
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
    """The latest version: another one decided meanwhile changes what this one replaces."""
    return str(MatchRule.objects.filter(contract__code=target_id).count())


@transaction.atomic
def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """The next version, in force from the day after the one that is open: no day is matched by two rules."""
    payload = request.payload
    contract = ChannelContract.objects.select_for_update().get(code=payload["channel"])
    rule = MatchRule.objects.create(
        contract=contract,
        version=MatchRule.objects.filter(contract=contract).count() + 1,
        effective_from=ledger.open_day() + dt.timedelta(days=1),
        group_by=payload["group_by"],
        fee_tolerance=payload["fee_tolerance"],
        amount_tolerance=payload["amount_tolerance"],
        made_by=request.maker.username,
        approval_id=request.pk,
    )
    return {"rule": rule.pk, "version": rule.version, "effective_from": rule.effective_from.isoformat()}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    currency = payload["currency"]
    rows = [
        (_("Channel"), payload["channel"]),
        (_("Grouped by"), GroupBy(payload["group_by"]).label),
        (_("Fee tolerance"), format_amount(payload["fee_tolerance"], currency)),
        (_("Amount tolerance by hand"), format_amount(payload["amount_tolerance"], currency)),
        (_("In force"), _("From the day after the one that is open when this is approved.")),
    ]
    return Description(_title(payload["channel"]), "console:match_rule_list", (), rows)


def _title(code: str) -> str:
    return _("Matching rule of %(channel)s") % {"channel": code}
