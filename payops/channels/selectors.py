"""Reads of channels, contracts and bank accounts."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from payops.channels.models import BankAccount, ChannelContract
from payops.core.errors import PayopsError


def contract_get(code: str) -> ChannelContract:
    """The contract with this code, with channel, cost package and reserve account; PayopsError 'channels.unknown'."""
    contract = contracts().filter(code=code).first()
    if contract is None:
        known = ", ".join(ChannelContract.objects.values_list("code", flat=True)[:20]) or "–"
        raise PayopsError(
            "channels.unknown",
            _("There is no channel contract “%(code)s”. Known are: %(known)s.") % {"code": code, "known": known},
            {"code": code},
        )
    return contract


def contracts(*, active_only: bool = False) -> QuerySet[ChannelContract]:
    """Contracts with what they point to, by code."""
    found = ChannelContract.objects.select_related("channel", "cost_package", "reserve_account").order_by("code")
    return found.filter(active=True) if active_only else found


def contracts_by_account() -> dict[tuple[str, str], ChannelContract]:
    """Contracts by (channel code, our number at the channel), as rows of the payment core name them."""
    return {(contract.channel.code, contract.account_no): contract for contract in contracts()}


def bank_account_get(code: str) -> BankAccount:
    """The bank account with this code; PayopsError 'channels.unknown_bank_account'."""
    account = BankAccount.objects.filter(code=code).first()
    if account is None:
        raise PayopsError(
            "channels.unknown_bank_account",
            _("There is no bank account “%(code)s”. Add it to the set-up file.") % {"code": code},
            {"code": code},
        )
    return account


def bank_account_by_number(account_no: str) -> BankAccount:
    """The bank account with this number, as bank statements name it; PayopsError 'channels.unknown_bank_account'."""
    account = BankAccount.objects.filter(account_no=account_no).first()
    return account or bank_account_get(account_no)
