"""Bank lines that move the institution's own money out of the reserve: booked only when a second person agrees.

The bank has moved the money already; until it is booked it is an open item "bank paid, we not" (DOMAIN 7.1).
"""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.channels.choices import BankAccountKind, BankLineKind, BankLineState
from payops.channels.models import BankAccount, BankLine
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.identity.models import User

ACTION: Final = "reconciliation.own_money_line"
TARGET: Final = "channels.bankline"
KINDS: Final = (BankLineKind.CARRIED, BankLineKind.CHARGE)


def own_money_propose(*, bank_line_id: int, own_account: BankAccount, reason: str, maker: User) -> ApprovalRequest:
    """Propose to book a waiting line: fee income carried to `own_account`, or a charge paid out of it that way.

    Raises PayopsError 'funds.not_waiting', 'funds.not_own_funds', and what `request_submit` raises.
    """
    line = BankLine.objects.select_related("bank_account").get(pk=bank_line_id)
    _check(line, own_account)
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id=line.pk,
        payload={"line": line.reference, "kind": line.kind, "own_account": own_account.code},
        amount=line.amount,
        currency=line.currency,
        title=_title(line),
        reason=reason,
        maker=maker,
    )


def _check(line: BankLine, own_account: BankAccount) -> None:
    if line.state != BankLineState.WAITING or line.kind not in KINDS:
        raise PayopsError(
            "funds.not_waiting",
            _("Bank line %(line)s does not wait for a decision: it is “%(state)s”.")
            % {"line": line.reference, "state": line.get_state_display()},
            {"bank_line": line.pk},
        )
    if own_account.kind != BankAccountKind.OWN or own_account.currency != line.currency:
        raise PayopsError(
            "funds.not_own_funds",
            _("%(account)s is not an own-funds account in %(currency)s.")
            % {"account": own_account.code, "currency": line.currency},
            {"account": own_account.code},
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
    line = BankLine.objects.get(pk=int(target_id))
    return f"{line.state} {line.kind} {line.amount}"


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """Claim the line and book it: out of the reserve into own funds, and a charge out of own funds at once."""
    line = BankLine.objects.select_related("bank_account").get(pk=int(request.target_id))
    own = BankAccount.objects.get(code=request.payload["own_account"])
    _check(line, own)
    claimed = BankLine.objects.filter(pk=line.pk, state=BankLineState.WAITING).update(state=BankLineState.MATCHED)
    if not claimed:
        line.refresh_from_db()
        _check(line, own)
    vouchers = [_post(Event.FEE_CARRIED, "P", line, own, request)]
    if line.kind == BankLineKind.CHARGE:
        vouchers.append(_post(Event.BANK_CHARGE, "R", line, own, request))
    BankLine.objects.filter(pk=line.pk).update(voucher_id=vouchers[0])
    return {"vouchers": [str(voucher) for voucher in vouchers]}


def _post(event: Event, amount: str, line: BankLine, own: BankAccount, request: ApprovalRequest) -> int | None:
    voucher = ledger.post(
        Posting(
            event=event,
            source_kind="bank_line",
            source_id=line.pk,
            amounts={amount: -line.amount},
            owners={"bank": line.bank_account.code, "own_bank": own.code},
            business_date=line.value_date,
            currency=line.currency,
            memo=f"{line.reference} {line.memo}",
        ),
        posted_by=request.checker.username,
    )
    return voucher.pk if voucher else None


def _describe(request: ApprovalRequest) -> Description:
    line = BankLine.objects.select_related("bank_account").get(pk=int(request.target_id))
    rows: list[tuple[Any, Any]] = [
        (_("Bank account"), line.bank_account.code),
        (_("Bank reference"), line.reference),
        (_("Value date"), line.value_date.isoformat()),
        (_("Counterparty"), line.counterparty or "–"),
        (_("Memo"), line.memo or "–"),
        (_("Amount"), format_amount(line.amount, line.currency)),
        (_("Is taken for"), BankLineKind(request.payload["kind"]).label),
        (_("Own-funds account"), request.payload["own_account"]),
    ]
    return Description(_title(line), "console:bank_line", (line.pk,), rows)


def _title(line: BankLine) -> str:
    return _("Book bank line %(line)s: %(kind)s") % {"line": line.reference, "kind": line.get_kind_display()}
