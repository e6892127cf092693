"""Writes on channels, their contracts and the institution's bank accounts. Bill files and receipts stand apart."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.channels.choices import BankAccountKind, BillType, CostMode, RefundDate
from payops.channels.formats import get_format
from payops.channels.models import BankAccount, BankLine, BillFile, Channel, ChannelContract
from payops.core.errors import PayopsError
from payops.core.money import exponent
from payops.core.upserts import Upserted, upsert_rows
from payops.fees.models import FeePackage


@dataclass(frozen=True, slots=True)
class BankAccountData:
    """A bank account of the institution as somebody describes it."""

    bank_name: str
    account_no: str
    kind: str
    currency: str = "CNY"


@dataclass(frozen=True, slots=True)
class ContractData:
    """A channel contract as somebody describes it; the tolerance in minor units, cut-off 00:00 = end of the day."""

    channel: Channel
    account_no: str
    bill_format: str
    cut_off: dt.time
    reserve_account: BankAccount
    currency: str = "CNY"
    format_options: Mapping[str, Any] = field(default_factory=dict)
    doubt_margin_minutes: int = 10
    refund_date: str = RefundDate.COMPLETION
    cost_mode: str = CostMode.NETTED
    cost_package: FeePackage | None = None
    fee_tolerance: int = 0
    escalate_after_days: int = 2
    settle_days: int = 1
    receipt_pattern: str = ""
    receivable_allowed: bool = False
    clear_without_run: bool = False
    active: bool = True


# --- bank accounts ----------------------------------------------------------------------------------------------------


def bank_account_upsert(*, code: str, data: BankAccountData, reason: str = "") -> BankAccount:
    """Create or change one bank account of the institution; its ledger account is opened with it."""
    return bank_accounts_upsert(accounts={code: data}, reason=reason).rows[(code,)]


@transaction.atomic
def bank_accounts_upsert(*, accounts: Mapping[str, BankAccountData], reason: str = "") -> Upserted:
    """`bank_account_upsert` for many, by code. Kind and currency are fixed once the ledger account is opened."""
    owners = dict(BankAccount.objects.exclude(code__in=list(accounts)).values_list("account_no", "code"))
    for code, data in accounts.items():
        exponent(data.currency)
        other = owners.setdefault(data.account_no, code)
        if other != code:
            raise _account_no_taken(code, other, data.account_no)
    wanted = {
        (code,): {
            "bank_name": data.bank_name,
            "account_no": data.account_no,
            "kind": str(data.kind),
            "currency": data.currency,
        }
        for code, data in accounts.items()
    }
    outcome = upsert_rows(
        BankAccount,
        wanted,
        key=["code"],
        reason=reason,
        label=lambda row: row.code,
        before_change=_check_bank_change,
    )
    for code in outcome.created:
        ledger.open_bank_account(code, accounts[code].kind, accounts[code].currency)
    return outcome


def _account_no_taken(code: str, other: str, account_no: str) -> PayopsError:
    return PayopsError(
        "channels.account_number_taken",
        _("Account number %(number)s of bank account %(code)s is already that of %(other)s.")
        % {"number": account_no, "code": code, "other": other},
        {"code": code, "other": other, "field": "account_no"},
    )


def _check_bank_change(row: BankAccount, fields: Sequence[str], values: Mapping[str, Any]) -> None:
    for name in ("kind", "currency"):
        if name in fields:
            raise _fixed(row.code, name, getattr(row, name), values[name])


def _fixed(code: str, name: str, old: Any, new: Any) -> PayopsError:
    return PayopsError(
        "channels.field_fixed",
        _("“%(field)s” of %(code)s is %(old)s and cannot become %(new)s: books hang on it. Add a new code.")
        % {"field": name, "code": code, "old": old, "new": new},
        {"code": code, "field": name, "old": str(old), "new": str(new)},
    )


# --- channels and contracts -------------------------------------------------------------------------------------------


def channels_upsert(*, channels: Mapping[str, Mapping[str, str]], reason: str = "") -> Upserted:
    """Create or change channels: {code: {"name": …, "name_zh": …}}."""
    wanted = {(code,): {"name": names["name"], "name_zh": names.get("name_zh", "")} for code, names in channels.items()}
    return upsert_rows(Channel, wanted, key=["code"], reason=reason, label=lambda row: row.code)


def channel_contract_upsert(*, code: str, data: ContractData, reason: str = "") -> ChannelContract:
    """Create or change one contract; its ledger accounts are opened with it."""
    return channel_contracts_upsert(contracts={code: data}, reason=reason).rows[(code,)]


@transaction.atomic
def channel_contracts_upsert(*, contracts: Mapping[str, ContractData], reason: str = "") -> Upserted:
    """`channel_contract_upsert` for many, by code.

    Channel, number at the channel and currency are fixed once files have come. Raises PayopsError 'channels.*'.
    """
    for code, data in contracts.items():
        _check_contract(code, data)
    _refuse_shared_numbers(contracts)
    outcome = upsert_rows(
        ChannelContract,
        {(code,): _contract_values(data) for code, data in contracts.items()},
        key=["code"],
        reason=reason,
        label=lambda row: row.code,
        before_change=_check_contract_change,
    )
    for code in outcome.created:
        ledger.open_channel_accounts(code, contracts[code].currency)
    return outcome


def _contract_values(data: ContractData) -> dict[str, Any]:
    return {
        "channel_id": data.channel.pk,
        "account_no": data.account_no,
        "currency": data.currency,
        "bill_format": data.bill_format,
        "format_options": dict(data.format_options),
        "cut_off": data.cut_off,
        "doubt_margin_minutes": data.doubt_margin_minutes,
        "refund_date": str(data.refund_date),
        "cost_mode": str(data.cost_mode),
        "cost_package_id": data.cost_package.pk if data.cost_package else None,
        "fee_tolerance": data.fee_tolerance,
        "escalate_after_days": data.escalate_after_days,
        "settle_days": data.settle_days,
        "reserve_account_id": data.reserve_account.pk,
        "receipt_pattern": data.receipt_pattern,
        "receivable_allowed": data.receivable_allowed,
        "clear_without_run": data.clear_without_run,
        "active": data.active,
    }


def _check_contract(code: str, data: ContractData) -> None:
    exponent(data.currency)
    if data.reserve_account.kind != BankAccountKind.RESERVE:
        raise PayopsError(
            "channels.not_a_reserve_account",
            _("Contract %(code)s settles to %(account)s, which is not a reserve account.")
            % {"code": code, "account": data.reserve_account.code},
            {"code": code, "field": "reserve_account"},
        )
    check_receipt_pattern(code, data.receipt_pattern)
    if get_format(data.bill_format).bill_type != BillType.TRADE:
        raise PayopsError(
            "channels.not_a_bill_format",
            _(
                "“%(format)s” is no bill of trades, which is what contract %(code)s is reconciled by. Name the bill's "
                "format; files beside it are recognised by their content."
            )
            % {"code": code, "format": data.bill_format},
            {"code": code, "field": "bill_format", "value": data.bill_format},
        )


def check_receipt_pattern(code: str, pattern: str) -> None:
    """Refuse a receipt pattern that is no regular expression or lacks the group `date`; blank is allowed."""
    if not pattern:
        return
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise PayopsError(
            "channels.bad_pattern",
            _("The receipt pattern of %(code)s is not a regular expression: %(reason)s.")
            % {"code": code, "reason": error},
            {"code": code, "field": "receipt_pattern"},
        ) from error
    if "date" not in groups:
        raise PayopsError(
            "channels.bad_pattern",
            _("The receipt pattern of %(code)s needs the group (?P<date>…) that finds the channel date (YYYYMMDD).")
            % {"code": code},
            {"code": code, "field": "receipt_pattern"},
        )


def _refuse_shared_numbers(contracts: Mapping[str, ContractData]) -> None:
    owners = {
        (channel_id, account_no): code
        for channel_id, account_no, code in ChannelContract.objects.exclude(code__in=list(contracts)).values_list(
            "channel_id", "account_no", "code"
        )
    }
    for code, data in contracts.items():
        other = owners.setdefault((data.channel.pk, data.account_no), code)
        if other != code:
            raise PayopsError(
                "channels.number_taken",
                _("Number %(number)s at channel %(channel)s is in both contract %(code)s and contract %(other)s.")
                % {"number": data.account_no, "channel": data.channel.code, "code": code, "other": other},
                {"code": code, "other": other, "field": "account_no"},
            )


def _check_contract_change(row: ChannelContract, fields: Sequence[str], values: Mapping[str, Any]) -> None:
    names = {"channel_id": "channel", "account_no": "account_no", "currency": "currency"}
    fixed = [name for name in names if name in fields]
    if fixed and (BillFile.objects.filter(contract=row).exists() or BankLine.objects.filter(contract=row).exists()):
        raise _fixed(row.code, names[fixed[0]], getattr(row, fixed[0]), values[fixed[0]])
