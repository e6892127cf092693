"""Day-end check ledger ↔ money (账实, DOMAIN 4.6): the adjusted balances agree, and nothing stays open for long."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.utils.translation import gettext as _

from payops.accounts.checks import Finding
from payops.accounts.choices import FindingLevel
from payops.core.money import format_amount
from payops.reconciliation.bank.models import BankReconciliation
from payops.reconciliation.bank.services import bank_reconcile_all

CHECK: Final = "bank_reconciliation"
OPEN_TOO_LONG: Final = dt.timedelta(days=7)


def bank_reconciled(day: dt.date) -> list[Finding]:
    """Statements of all reserve accounts made for the day; what they find.

    The bank's statement of the day itself comes after the close: that of the day before is what is compared for good.
    """
    findings = []
    for made in bank_reconcile_all(day=day):
        if made.difference:
            findings.append(_differs(made))
        if made.day == day:
            findings += _open_too_long(made)
    return findings


def _differs(made: BankReconciliation) -> Finding:
    currency = made.bank_account.currency
    return Finding(
        CHECK,
        _("%(account)s on %(day)s: the bank's adjusted balance is %(bank)s, ours %(journal)s; %(off)s is unexplained.")
        % {
            "account": made.bank_account.code,
            "day": made.day.isoformat(),
            "bank": format_amount(made.adjusted_bank, currency),
            "journal": format_amount(made.adjusted_journal, currency),
            "off": format_amount(made.difference, currency),
        },
        FindingLevel.ERROR,
        {"account": made.bank_account.code, "day": made.day.isoformat(), "difference": made.difference},
    )


def _open_too_long(made: BankReconciliation) -> list[Finding]:
    old = list(made.items.filter(since__lt=made.day - OPEN_TOO_LONG).order_by("since").values_list("since", flat=True))
    if not old:
        return []
    return [
        Finding(
            CHECK,
            _("%(account)s: %(count)d items are open between journal and bank for more than %(days)d days.")
            % {"account": made.bank_account.code, "count": len(old), "days": OPEN_TOO_LONG.days},
            FindingLevel.WARNING,
            {"account": made.bank_account.code, "count": len(old), "oldest": old[0].isoformat()},
        )
    ]
