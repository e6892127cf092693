"""The checks of the day end: plain functions from a day to its findings (DOMAIN 4.6).

They run inside the close, after the day balances are written and before the seal. A finding alerts and is sealed with
the day; it never blocks the close and never makes an entry. Apps above the ledger add theirs with `register_check`.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import OperationalError, transaction
from django.utils.translation import gettext as _

from payops.accounts import sql
from payops.accounts.chart import dotted
from payops.accounts.choices import FindingLevel
from payops.accounts.models import AccountingDay
from payops.accounts.periods import accounts_that_differ, subjects_that_differ
from payops.accounts.selectors import customers_money_guard
from payops.core.ids import id_range
from payops.core.money import format_amount

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check found."""

    check: str
    message: str
    level: str = FindingLevel.ERROR.value
    context: dict[str, Any] = field(default_factory=dict)


Check = Callable[[dt.date], list[Finding]]
_registered: Final[dict[str, Check]] = {}


def register_check(name: str, check: Check) -> None:
    """Add a check to every close; the same name again replaces it."""
    _registered[name] = check


def run_checks(day: dt.date) -> list[Finding]:
    """All findings of all checks about one day; a check that breaks is a finding too, so the close goes on."""
    return [finding for name, check in {**CHECKS, **_registered}.items() for finding in _run(name, check, day)]


def _run(name: str, check: Check, day: dt.date) -> list[Finding]:
    try:
        with transaction.atomic():
            return check(day)
    except OperationalError:
        # The database went away or a lock was not to be had: that is the close's failure, not the books'.
        raise
    except Exception as error:
        logger.exception("day_end_check_failed", extra={"check": name, "day": day.isoformat()})
        return [
            Finding(
                name,
                _("The check “%(name)s” could not be made: %(reason)s") % {"name": name, "reason": error},
                context={"error": type(error).__name__},
            )
        ]


def check_complete_vouchers(day: dt.date) -> list[Finding]:
    """Every header has its lines: the one thing the guards cannot refuse, because headers come first."""
    lo, hi = id_range(day, day)
    rows = sql.fetch(sql.bounded(sql.HEADERS_WITHOUT_ENTRIES, lo, hi))
    return [
        Finding(
            "complete_vouchers", _("Voucher %(id)s has no entries.") % {"id": row["id"]}, context={"id": str(row["id"])}
        )
        for row in rows
    ]


def check_debit_equals_credit(day: dt.date) -> list[Finding]:
    """Debit total = credit total, per currency, summed from the entries; memorandum accounts stand outside."""
    lo, hi = id_range(day, day)
    rows = sql.fetch(sql.bounded(sql.DEBIT_LESS_CREDIT, lo, hi))
    return [
        Finding(
            "debit_equals_credit",
            _("Debit less credit of the day is %(amount)s %(currency)s.")
            % {"amount": format_amount(row["difference"], row["currency"]), "currency": row["currency"]},
            context={"currency": row["currency"], "difference": row["difference"]},
        )
        for row in rows
        if row["difference"]
    ]


def check_trial_balance(day: dt.date) -> list[Finding]:
    """Closing balances on debit and credit sides agree, per currency."""
    rows = sql.fetch(
        "SELECT a.currency, sum(CASE s.normal_side WHEN 'D' THEN b.closing ELSE -b.closing END)::bigint AS difference"
        " FROM accounts_daybalance b JOIN accounts_account a ON a.id = b.account_id"
        " JOIN accounts_subject s ON s.id = a.subject_id WHERE b.day = %s AND s.element <> 'memo'"
        " GROUP BY a.currency ORDER BY a.currency",
        [day],
    )
    return [
        Finding(
            "trial_balance",
            _("The trial balance is off by %(amount)s %(currency)s.")
            % {"amount": format_amount(row["difference"], row["currency"]), "currency": row["currency"]},
            context={"currency": row["currency"], "difference": row["difference"]},
        )
        for row in rows
        if row["difference"]
    ]


def check_subject_totals(day: dt.date) -> list[Finding]:
    """Subject total = Σ of its accounts: turnover summed by subject from the entries against the day balances."""
    lo, hi = id_range(day, day)
    rows = sql.fetch(sql.bounded(sql.SUBJECT_DIFFERENCES, lo, hi), {"day": day})
    return [
        Finding(
            "subject_totals",
            _("Subject %(code)s: its entries and its accounts' day balances differ.") % {"code": row["code"]},
            context={"subject": row["code"]},
        )
        for row in rows
    ]


def check_opening(day: dt.date) -> list[Finding]:
    """T opening = T−1 closing, account by account."""
    before = day - dt.timedelta(days=1)
    rows = sql.fetch(
        "SELECT a.account_no, a.currency, coalesce(p.closing, 0) AS closing, coalesce(b.opening, 0) AS opening"
        " FROM (SELECT * FROM accounts_daybalance WHERE day = %s) b"
        " FULL JOIN (SELECT * FROM accounts_daybalance WHERE day = %s) p ON p.account_id = b.account_id"
        " JOIN accounts_account a ON a.id = coalesce(b.account_id, p.account_id)"
        " WHERE coalesce(p.closing, 0) <> coalesce(b.opening, 0) ORDER BY a.id LIMIT 20",
        [day, before],
    )
    return [
        Finding(
            "opening_equals_closing",
            _("Account %(account)s opens with %(opening)s but closed the day before with %(closing)s.")
            % {
                "account": row["account_no"],
                "opening": format_amount(row["opening"], row["currency"]),
                "closing": format_amount(row["closing"], row["currency"]),
            },
            context=row,
        )
        for row in rows
    ]


def check_stored_balances(day: dt.date) -> list[Finding]:
    """A stored balance that is not the sum of its entries is rebuilt from them, and said so."""
    findings = []
    for row in rebuild_balances(day):
        findings.append(
            Finding(
                "stored_balance",
                _("Account %(account)s showed %(stored)s; its entries make %(computed)s. The balance was rebuilt.")
                % {
                    "account": row["account_no"],
                    "stored": format_amount(row["stored"], row["currency"]),
                    "computed": format_amount(row["computed"], row["currency"]),
                },
                context={**row, "id": str(row["id"])},
            )
        )
    return findings


def rebuild_balances(day: dt.date) -> list[dict[str, Any]]:
    """Set stored balances that differ from the day's closing plus later entries, less what is not in them yet.

    Returns what was different. A close calls it before the day's sums are applied, so they count as not in them yet.
    """
    newest = AccountingDay.objects.order_by("-day").values_list("day", flat=True).first() or day
    lo, hi = id_range(day, newest)
    lo = id_range(day, day)[1]
    differences = sql.with_open_days(sql.bounded(sql.BALANCE_DIFFERENCES, lo, max(hi, lo)))
    found = sql.fetch(differences, {"day": day})
    if not found:
        return []
    # Rare: lock what looked wrong, look again, and set only what is still wrong.
    ids = sorted(row["id"] for row in found)
    sql.fetch("SELECT id FROM accounts_account WHERE id = ANY (%s) ORDER BY id FOR NO KEY UPDATE", [ids])
    wrong = [row for row in sql.fetch(differences, {"day": day}) if row["id"] in set(ids)]
    for row in wrong:
        sql.fetch("UPDATE accounts_account SET balance = %s WHERE id = %s RETURNING id", [row["computed"], row["id"]])
    return wrong


def check_reports(day: dt.date) -> list[Finding]:
    """Ledger ↔ reports (账表): day totals by event, and periods that end, come to what the day balances say."""
    findings = [
        Finding(
            "reports",
            _("The totals by event of subject %(subject)s are not the turnover of its accounts.")
            % {"subject": dotted(code)},
            context={"subject": code},
        )
        for code in subjects_that_differ(day)
    ]
    return findings + [
        Finding(
            "reports",
            _("The balance of account %(account)s for %(period)s is not made of its days.")
            % {"account": account_no, "period": period.label},
            context={"account_no": account_no, "period": period.label},
        )
        for period, account_no in accounts_that_differ(day)
    ]


def check_customers_money(day: dt.date) -> list[Finding]:
    """The customers' money guard of DOMAIN 4.5: negative own money in the reserve means theirs is being used."""
    return [
        Finding(
            "customers_money",
            _("Customers' money is being used: own money in the reserve is %(amount)s %(currency)s.")
            % {"amount": format_amount(guard["own_money"], currency), "currency": currency},
            context=guard,
        )
        for currency, guard in customers_money_guard(day)["currencies"].items()
        if guard["own_money"] < 0
    ]


CHECKS: Final[dict[str, Check]] = {
    "complete_vouchers": check_complete_vouchers,
    "debit_equals_credit": check_debit_equals_credit,
    "trial_balance": check_trial_balance,
    "subject_totals": check_subject_totals,
    "opening_equals_closing": check_opening,
    "stored_balance": check_stored_balances,
    "reports": check_reports,
    "customers_money": check_customers_money,
}
