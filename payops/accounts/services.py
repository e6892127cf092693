"""Every write of the ledger, in one place to import from."""

from __future__ import annotations

from django.db import transaction

from payops.accounts.bulk import PostManyResult, post_many
from payops.accounts.chart import (
    account_open,
    chart_load,
    open_accounts_of_merchants,
    open_agent_accounts,
    open_bank_account,
    open_channel_accounts,
    open_institution_accounts,
    open_merchant_accounts,
)
from payops.accounts.chart_files import chart_apply, chart_propose
from payops.accounts.checks import Finding, register_check
from payops.accounts.classification import classification_load
from payops.accounts.days import CloseResult, close_day, day_cut_off, day_open, days_hold, open_day_hold
from payops.accounts.deductions import deduct, deductions_collect
from payops.accounts.freeze_approval import freeze_propose, release_propose
from payops.accounts.freezes import freeze_place, freeze_release
from payops.accounts.owners import owner_open_missing
from payops.accounts.posting import Posting, post
from payops.accounts.rule_approval import posting_rule_propose
from payops.accounts.rules import posting_rule_create, posting_rules_load
from payops.accounts.statuses import (
    account_status_propose,
    account_status_set,
    owner_close_propose,
    statuses_restore,
    statuses_set,
)

__all__ = [
    "CloseResult",
    "Finding",
    "PostManyResult",
    "Posting",
    "account_open",
    "account_status_propose",
    "account_status_set",
    "chart_apply",
    "chart_load",
    "chart_propose",
    "classification_load",
    "close_day",
    "day_cut_off",
    "day_open",
    "days_hold",
    "deduct",
    "deductions_collect",
    "freeze_place",
    "freeze_propose",
    "freeze_release",
    "ledger_setup",
    "open_accounts_of_merchants",
    "open_agent_accounts",
    "open_bank_account",
    "open_channel_accounts",
    "open_day_hold",
    "open_institution_accounts",
    "open_merchant_accounts",
    "owner_close_propose",
    "owner_open_missing",
    "post",
    "post_many",
    "posting_rule_create",
    "posting_rule_propose",
    "posting_rules_load",
    "register_check",
    "release_propose",
    "statuses_restore",
    "statuses_set",
]


@transaction.atomic
def ledger_setup() -> None:
    """Chart, rules, classification and the institution's own accounts: what an installation begins with. Repeatable."""
    chart_load()
    posting_rules_load()
    classification_load()
    open_institution_accounts()
