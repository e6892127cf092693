"""The status of accounts: who restricted one, why, and the way back (DOMAIN 4.4).

A status changes by a row of `AccountStatusChange`; a database trigger applies it, so there is no change without its
history. People change one by proposal and approval ('ledger.account_status'); orders over many accounts (a customer is
frozen) write their rows through `statuses_set` and are lifted by `statuses_restore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from payops.accounts.choices import AccountStatus
from payops.accounts.errors import guard_errors
from payops.accounts.models import Account, AccountStatusChange, Deduction, QueuedMovement
from payops.accounts.modes import hold_days
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.identity.models import User

ACTION = "ledger.account_status"
TARGET_ACCOUNT = "account"
TARGET_OWNER = "ledger_owner"
REASON_LENGTH = 200
LISTED = 20
INSTITUTION_IN_ADDRESSES = "-"
"""The institution has no owner number, and an address needs something in its place."""


# --- changing ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def account_status_set(
    *,
    account: Account,
    status: str,
    reason: str = "",
    source_kind: str = "",
    source_id: str | int = "",
    changed_by: str = "system",
) -> Account:
    """Restrict, free or close an account and write its history; the status it has already changes nothing.

    Raises PayopsError 'ledger.not_zero' (it closes only at zero), 'ledger.mode' (movements of its balance still wait in
    the queue or for the day's end) or 'ledger.account_closed' (it never opens again).
    """
    status = AccountStatus(status)
    if status == AccountStatus.CLOSED:
        # Before the row: postings under way finish first, and none is caught between the two locks.
        hold_days()
    row = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    if row.status == status:
        return row
    _refuse_impossible(row, status)
    with guard_errors():
        AccountStatusChange.objects.create(
            account=row,
            from_status=row.status,
            to_status=status,
            reason=reason[:REASON_LENGTH],
            source_kind=source_kind,
            source_id=str(source_id),
            changed_by=changed_by,
        )
    row.refresh_from_db(fields=["status", "closed_at"])
    return row


def _refuse_impossible(row: Account, status: AccountStatus) -> None:
    if row.status == AccountStatus.CLOSED:
        raise PayopsError(
            "ledger.account_closed",
            _("Account %(account)s is closed for good; open another one.") % {"account": row.account_no},
            {"account_no": row.account_no},
        )
    if status == AccountStatus.CLOSED and (row.balance or row.frozen):
        raise PayopsError(
            "ledger.not_zero",
            _("Account %(account)s closes only at zero: balance %(balance)s, frozen %(frozen)s %(currency)s.")
            % {
                "account": row.account_no,
                "balance": format_amount(row.balance, row.currency),
                "frozen": format_amount(row.frozen, row.currency),
                "currency": row.currency,
            },
            {"account_no": row.account_no, "balance": row.balance, "frozen": row.frozen},
        )
    if status == AccountStatus.CLOSED and QueuedMovement.objects.filter(account_id=row.pk).exists():
        raise PayopsError(
            "ledger.not_followed",
            _("The balance of account %(account)s has not followed its entries yet. Try again in a minute.")
            % {"account": row.account_no},
            {"account_no": row.account_no, "retryable": True},
        )


@transaction.atomic
def statuses_set(
    *,
    account_ids: Iterable[int],
    status: str,
    reason: str,
    source_kind: str,
    source_id: str | int,
    changed_by: str,
) -> int:
    """Put accounts under one order; returns how many. Closed ones are left alone.

    An account that has the status already gets its row too: the order holds it there when an earlier one is lifted.
    """
    status = AccountStatus(status)
    if status == AccountStatus.CLOSED:
        raise ValueError("an order restricts accounts, it does not close them")
    rows = _locked(account_ids)
    AccountStatusChange.objects.bulk_create(
        AccountStatusChange(
            account=row,
            from_status=row.status,
            to_status=status,
            reason=reason[:REASON_LENGTH],
            source_kind=source_kind,
            source_id=str(source_id),
            changed_by=changed_by,
        )
        for row in rows
    )
    return len(rows)


@transaction.atomic
def statuses_restore(
    *,
    source_kind: str,
    source_id: str | int,
    lifted: Callable[[str], bool],
    reason: str,
    changed_by: str,
) -> int:
    """Lift an order: each of its accounts gets the status it would have without it; returns how many changed.

    The history is read again without the rows of orders of this kind that are lifted (`lifted(source number)`), so a
    status set later, by a person or by an order still in force, stays.
    """
    concerned = AccountStatusChange.objects.filter(source_kind=source_kind, source_id=str(source_id))
    rows = _locked(concerned.values_list("account_id", flat=True))
    without = _replayed({row.pk for row in rows}, source_kind, lifted)
    changes = [
        AccountStatusChange(
            account=row,
            from_status=row.status,
            to_status=without[row.pk],
            reason=reason[:REASON_LENGTH],
            source_kind=source_kind,
            source_id=str(source_id),
            changed_by=changed_by,
        )
        for row in rows
        if row.status != without[row.pk]
    ]
    AccountStatusChange.objects.bulk_create(changes)
    return len(changes)


def _replayed(accounts: set[int], source_kind: str, lifted: Callable[[str], bool]) -> dict[int, str]:
    """The status of each account if lifted orders had never been."""
    status: dict[int, str] = dict.fromkeys(accounts, AccountStatus.NORMAL.value)
    history = AccountStatusChange.objects.filter(account__in=accounts).order_by("id")
    for account, to_status, kind, number in history.values_list("account_id", "to_status", "source_kind", "source_id"):
        if kind != source_kind or not lifted(number):
            status[account] = to_status
    return status


def _locked(account_ids: Iterable[int]) -> list[Account]:
    """The accounts that are not closed, locked in order of id."""
    accounts = Account.objects.filter(pk__in=list(account_ids)).exclude(status=AccountStatus.CLOSED)
    return list(accounts.select_for_update(no_key=True).order_by("id"))


# --- closing an owner's accounts --------------------------------------------------------------------------------------


def accounts_of_owner(owner_kind: str, owner_no: str) -> list[Account]:
    """The owner's accounts that are not closed, by subject."""
    rows = Account.objects.filter(owner_kind=owner_kind, owner_no=owner_no).exclude(status=AccountStatus.CLOSED)
    return list(rows.select_related("subject").order_by("subject__code", "currency"))


def closing_obstacles(accounts: Iterable[Account]) -> list[tuple[Account, str]]:
    """What stands in the way of closing the accounts, each with a sentence; empty when all can be closed."""
    accounts = list(accounts)
    owing = set(
        Deduction.objects.filter(account__in=accounts, collected__lt=F("amount")).values_list("account_id", flat=True)
    )
    queued = set(
        QueuedMovement.objects.filter(account_id__in=[row.pk for row in accounts]).values_list("account_id", flat=True)
    )
    found = []
    for row in accounts:
        if row.balance:
            found.append((row, _("Balance %s") % format_amount(row.balance, row.currency)))
        if row.frozen:
            found.append((row, _("Frozen %s") % format_amount(row.frozen, row.currency)))
        if row.pk in owing:
            found.append((row, _("A deduction is not collected yet")))
        if row.pk in queued:
            found.append((row, _("Its balance has not followed its entries yet")))
    return found


# --- maker and checker ------------------------------------------------------------------------------------------------


def account_status_propose(*, account: Account, status: str, reason: str, source: str, maker: User) -> ApprovalRequest:
    """Propose another status. `source`: the letter or order it comes from.

    Raises PayopsError 'ledger.status_same', 'ledger.reason_missing', and what `account_status_set` raises.
    """
    status = AccountStatus(status)
    if account.status == status:
        raise PayopsError(
            "ledger.status_same",
            _("Account %(account)s already is “%(status)s”.") % {"account": account.account_no, "status": status.label},
            {"account_no": account.account_no, "status": status},
        )
    _require_reason(reason)
    _refuse_impossible(account, status)
    return request_submit(
        action=ACTION,
        target_kind=TARGET_ACCOUNT,
        target_id=account.pk,
        payload={
            "accounts": [{"id": account.pk, "account_no": account.account_no, "from": account.status}],
            "to": status.value,
            "source": source,
        },
        amount=None,
        currency=account.currency,
        title=_title({"accounts": [{"account_no": account.account_no}], "to": status.value}),
        reason=reason,
        maker=maker,
    )


def owner_close_propose(*, owner_kind: str, owner_no: str, reason: str, source: str, maker: User) -> ApprovalRequest:
    """Propose to close all accounts of an owner, all or none.

    Raises PayopsError 'ledger.owner_not_found', 'ledger.reason_missing', or 'ledger.owner_not_closable' whose context
    lists account and obstacle.
    """
    accounts = accounts_of_owner(owner_kind, owner_no)
    if not accounts:
        raise PayopsError(
            "ledger.owner_not_found",
            _("%(owner)s has no accounts that could be closed.") % {"owner": owner_no or owner_kind},
            {"owner_kind": owner_kind, "owner_no": owner_no},
        )
    _require_reason(reason)
    _refuse_obstacles(accounts)
    payload = {
        "accounts": [{"id": row.pk, "account_no": row.account_no, "from": row.status} for row in accounts],
        "to": AccountStatus.CLOSED.value,
        "source": source,
        "owner": [owner_kind, owner_no],
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET_OWNER,
        target_id=f"{owner_kind}:{owner_no}",
        payload=payload,
        amount=None,
        currency="",
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise PayopsError("ledger.reason_missing", _("Say why: the reason stays in the account's history."))


def _refuse_obstacles(accounts: Iterable[Account]) -> None:
    obstacles = closing_obstacles(accounts)
    if obstacles:
        named = "; ".join(f"{row.account_no}: {what}" for row, what in obstacles[:LISTED])
        raise PayopsError(
            "ledger.owner_not_closable",
            _("The accounts are closed all together or not at all. In the way: %(obstacles)s.") % {"obstacles": named},
            {"obstacles": [{"account_no": row.account_no, "obstacle": what} for row, what in obstacles]},
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
    """The statuses the proposal starts from, each with the last row of its history."""
    if target_kind == TARGET_ACCOUNT:
        rows = Account.objects.filter(pk=int(target_id))
    else:
        kind, number = target_id.split(":", 1)
        rows = Account.objects.filter(owner_kind=kind, owner_no=number)
    newest = AccountStatusChange.objects.filter(account__in=rows).order_by("account_id", "-id").distinct("account_id")
    changes = dict(newest.values_list("account_id", "id"))
    return "|".join(
        f"{pk}:{status}:{changes.get(pk, 0)}" for pk, status in rows.order_by("id").values_list("id", "status")
    )


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    payload = request.payload
    if payload["to"] == AccountStatus.CLOSED:
        # Before the accounts, as everywhere: a posting under way holds its day and waits for them.
        hold_days()
    rows = _locked(item["id"] for item in payload["accounts"])
    if "owner" in payload:
        _refuse_obstacles(rows)
    for row in rows:
        account_status_set(
            account=row,
            status=payload["to"],
            reason=request.reason,
            source_kind="approval",
            source_id=request.pk,
            changed_by=request.maker.username,
        )
    return {"accounts": len(rows), "to": payload["to"]}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    listed = payload["accounts"][:LISTED]
    to_status = AccountStatus(payload["to"]).label
    rows: list[tuple[Any, Any]] = [
        (item["account_no"], f"{AccountStatus(item['from']).label} → {to_status}") for item in listed
    ]
    if len(payload["accounts"]) > LISTED:
        rows.append(("…", _("and %(count)d more") % {"count": len(payload["accounts"]) - LISTED}))
    if payload["source"]:
        rows.append((_("Source"), payload["source"]))
    if "owner" in payload:
        kind, number = payload["owner"]
        return Description(_title(payload), "console:owner", (kind, number or INSTITUTION_IN_ADDRESSES), rows)
    return Description(_title(payload), "console:account", (payload["accounts"][0]["id"],), rows)


def _title(payload: Mapping[str, Any]) -> str:
    status = AccountStatus(payload["to"]).label
    if "owner" in payload:
        return _("Close the accounts of %(owner)s") % {"owner": payload["owner"][1] or payload["owner"][0]}
    return _("Account %(account)s: %(status)s") % {
        "account": payload["accounts"][0]["account_no"],
        "status": status,
    }
