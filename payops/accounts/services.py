"""Every write of the ledger, in one place to import from."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts.bulk import PostManyResult, post_many
from payops.accounts.chart import (
    account_open,
    chart_load,
    open_accounts_of_merchants,
    open_bank_account,
    open_channel_accounts,
    open_institution_accounts,
    open_merchant_accounts,
)
from payops.accounts.checks import Finding, register_check
from payops.accounts.choices import AccountStatus
from payops.accounts.days import CloseResult, close_day, day_cut_off, day_open
from payops.accounts.freezes import freeze_place, freeze_release
from payops.accounts.models import Account
from payops.accounts.posting import Posting, post
from payops.accounts.rules import posting_rule_create, posting_rules_load
from payops.core.errors import PayopsError

__all__ = [
    "CloseResult",
    "Finding",
    "PostManyResult",
    "Posting",
    "account_open",
    "account_status_set",
    "chart_load",
    "close_day",
    "day_cut_off",
    "day_open",
    "freeze_place",
    "freeze_release",
    "ledger_setup",
    "open_accounts_of_merchants",
    "open_bank_account",
    "open_channel_accounts",
    "open_institution_accounts",
    "open_merchant_accounts",
    "post",
    "post_many",
    "posting_rule_create",
    "posting_rules_load",
    "register_check",
]


@transaction.atomic
def ledger_setup() -> None:
    """Chart, posting rules and the institution's own accounts: what every installation begins with. Repeatable."""
    chart_load()
    posting_rules_load()
    open_institution_accounts()


@transaction.atomic
def account_status_set(*, account: Account, status: str) -> Account:
    """Restrict, free or close an account; it closes only at zero ('ledger.not_zero') and never opens again."""
    row = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    if row.status == AccountStatus.CLOSED and status != AccountStatus.CLOSED:
        raise PayopsError(
            "ledger.account_closed",
            _("Account %(account)s is closed for good; open another one.") % {"account": row.account_no},
            {"account_no": row.account_no},
        )
    if status == AccountStatus.CLOSED and (row.balance or row.frozen):
        raise PayopsError(
            "ledger.not_zero",
            _("Account %(account)s closes only at zero: balance %(balance)d, frozen %(frozen)d minor units.")
            % {"account": row.account_no, "balance": row.balance, "frozen": row.frozen},
            {"account_no": row.account_no, "balance": row.balance, "frozen": row.frozen},
        )
    row.status = AccountStatus(status)
    row.closed_at = timezone.now() if status == AccountStatus.CLOSED else None
    row.save(update_fields=["status", "closed_at"])
    return row
