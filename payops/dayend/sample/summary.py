"""What came of the sample days, as rows for people and as JSON: runs, cases, sheets, payouts, trial balances."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Max, Sum
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.accounts.models import AccountingDay
from payops.accounts.selectors import trial_balance, trial_balance_totals
from payops.core.money import format_amount
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.choices import ResultKind
from payops.reconciliation.models import ChannelReceipt, ReconRun
from payops.settlement.models import BalanceCheck, Payout, SettlementSheet


def summarise() -> dict[str, Any]:
    """Everything the table shows, as plain values; amounts are minor units of CNY."""
    return {
        "runs": [_run(run) for run in ReconRun.objects.filter(is_current=True).order_by("channel_date", "contract")],
        "receipts": _receipts(),
        "balance_checks": _balance_checks(),
        "cases": _by(Discrepancy.objects, "kind", "state"),
        "sheets": _by(SettlementSheet.objects, "pay_date", "state", amount="payout_amount"),
        "payouts": _by(Payout.objects, "state", amount="amount"),
        "days": [_day(day) for day in AccountingDay.objects.order_by("day")],
    }


def _run(run: ReconRun) -> dict[str, Any]:
    kinds = dict(run.result_rows.order_by().values_list("kind").annotate(count=Count("id")))
    return {
        "channel_date": run.channel_date.isoformat(),
        "contract": run.contract.code,
        "own_count": run.own_count,
        "own_amount": run.own_amount,
        "channel_count": run.channel_count,
        "channel_amount": run.channel_amount,
        "matched": run.matched_count,
        "results": {kind: kinds[kind] for kind in ResultKind.values if kinds.get(kind) and kind != ResultKind.MATCHED},
    }


def _receipts() -> list[dict[str, Any]]:
    return [
        {
            "channel_date": receipt.channel_date.isoformat(),
            "contract": receipt.contract.code,
            "due": receipt.due,
            "received": receipt.received,
            "state": receipt.state,
        }
        for receipt in ChannelReceipt.objects.select_related("contract").order_by("channel_date", "contract")
    ]


def _balance_checks() -> list[dict[str, Any]]:
    """The last attempt of each contract and accounting date; it is the one that counts."""
    last = BalanceCheck.objects.order_by().values("contract", "own_date").annotate(last=Max("id")).values("last")
    checks = BalanceCheck.objects.filter(pk__in=last).select_related("contract").order_by("own_date", "contract")
    return [
        {
            "own_date": check.own_date.isoformat(),
            "contract": check.contract.code,
            "passed": check.passed,
            "computed": check.computed,
            "clearing_amount": check.clearing_amount,
            "reason": check.reason,
        }
        for check in checks
    ]


def _by(manager: Any, *fields: str, amount: str = "") -> list[dict[str, Any]]:
    sums = {"count": Count("id")} | ({"amount": Sum(amount)} if amount else {})
    rows = manager.order_by(*fields).values(*fields).annotate(**sums)
    return [{name: str(value) if name in fields else value for name, value in row.items()} for row in rows]


def _day(day: AccountingDay) -> dict[str, Any]:
    totals = trial_balance_totals(trial_balance(day.day))
    return {
        "day": day.day.isoformat(),
        "state": day.state,
        "findings": day.findings.count(),
        "debit": sum(total.debit for total in totals),
        "balanced": all(total.balanced for total in totals),
    }


def lines_of(summary: dict[str, Any]) -> list[str]:
    """The table as text."""
    # Extraction does not look into f-strings, so words are named first.
    date, channel, own, matched, of = _("Date"), _("Channel"), _("Own"), _("Matched"), pgettext("receipt", "of")
    lines = [f"{date:<11}{channel:<10}{own:>7}{'':>16}{channel:>9}{'':>16}{matched:>9}"]
    for run in summary["runs"]:
        found = ", ".join(f"{count} {ResultKind(kind).label}" for kind, count in run["results"].items())
        lines.append(
            f"{run['channel_date']:<11}{run['contract']:<10}{run['own_count']:>7}{_money(run['own_amount']):>16}"
            f"{run['channel_count']:>9}{_money(run['channel_amount']):>16}{run['matched']:>9}"
        )
        lines.append(f"{'':11}{found}")
    lines += ["", _("Receipts")]
    for receipt in summary["receipts"]:
        lines.append(
            f"  {receipt['channel_date']} {receipt['contract']:<10}{_money(receipt['received']):>16} "
            f"{of} {_money(receipt['due']):>16}  {receipt['state']}"
        )
    lines += ["", _("Balance checks")]
    for check in summary["balance_checks"]:
        word = _("passed") if check["passed"] else _("NOT PASSED: %s") % check["reason"]
        lines.append(f"  {check['own_date']} {check['contract']:<10}{_money(check['clearing_amount']):>16}  {word}")
    lines += ["", _("Cases")] + [f"  {row['kind']:<20}{row['state']:<16}{row['count']:>5}" for row in summary["cases"]]
    for title, rows, name in ((_("Sheets"), summary["sheets"], "pay_date"), (_("Payouts"), summary["payouts"], "")):
        lines += ["", title]
        for row in rows:
            lines.append(
                f"  {row.get(name, ''):<12}{row['state']:<12}{row['count']:>5}{_money(row['amount'] or 0):>18}"
            )
    lines += ["", _("Accounting days")]
    for day in summary["days"]:
        word = _("balanced") if day["balanced"] else _("NOT BALANCED")
        lines.append(f"  {day['day']}  {day['state']:<10}{_money(day['debit']):>18}  {word}")
    return lines


def _money(minor: int) -> str:
    return format_amount(minor, "CNY")
