"""Switching posting modes by maker and checker ('ledger.posting_mode'), from a later accounting day on."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.accounts.choices import Event, PostingMode
from payops.accounts.models import Account, PostingModeRule
from payops.accounts.modes import mode_check, mode_set
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.identity.models import User

ACTION: Final = "ledger.posting_mode"
TARGET: Final = "posting_mode"


def mode_propose(
    *, account_no: str, event: int, mode: str, effective_day: dt.date, reason: str, maker: User
) -> ApprovalRequest:
    """Propose that entries of the account and event follow `mode` from a later accounting day on.

    Raises PayopsError 'ledger.unknown_account', what `mode_set` raises, and what `request_submit` raises.
    """
    account = Account.objects.filter(account_no=account_no).first()
    if account is None:
        raise PayopsError(
            "ledger.unknown_account",
            _("There is no account “%(account)s”. Check its number.") % {"account": account_no},
            {"account_no": account_no},
        )
    mode_check(account=account, event=event, mode=mode, effective_day=effective_day)
    payload = {
        "account": account.pk,
        "account_no": account.account_no,
        "event": int(event),
        "mode": str(mode),
        "effective_day": effective_day.isoformat(),
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=f"{account.pk}:{int(event)}",
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
    """Every rule of the account and event: another switch decided meanwhile changes what this one means."""
    account, event = map(int, target_id.split(":"))
    rules = PostingModeRule.objects.filter(account=account, event=event).order_by("effective_day")
    return "|".join(f"{rule.mode} {rule.effective_day} {rule.end_day}" for rule in rules)


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    payload = request.payload
    rule = mode_set(
        account=Account.objects.get(pk=payload["account"]),
        event=payload["event"],
        mode=payload["mode"],
        effective_day=dt.date.fromisoformat(payload["effective_day"]),
        by=request.maker.username,
    )
    return {"rule": rule.pk if rule else None}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    rows: list[tuple[Any, Any]] = [
        (_("Account"), payload["account_no"]),
        (_("Business code"), f"{payload['event']} {Event(payload['event']).label}"),
        (_("Posting mode"), PostingMode(payload["mode"]).label),
        (_("Effective from"), payload["effective_day"]),
    ]
    return Description(_title(payload), "console:posting_mode_list", (), rows)


def _title(payload: dict[str, Any]) -> str:
    return _("%(account)s, %(event)s: %(mode)s from %(day)s") % {
        "account": payload["account_no"],
        "event": Event(payload["event"]).label,
        "mode": PostingMode(payload["mode"]).label,
        "day": payload["effective_day"],
    }
