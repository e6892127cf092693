"""What the dashboard shows: what needs doing today, how far the days are, and where each channel day stands."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from payops.accounts.choices import FindingLevel
from payops.accounts.models import DayFinding
from payops.accounts.selectors import customers_money_guard
from payops.approvals.selectors import pending_for
from payops.channels.choices import BankLineState, BillType, FileState
from payops.channels.models import BankLine, BillFile, ChannelContract
from payops.channels.schedules import late_days
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.views.runs import unmatched_count
from payops.core.choices import JobState
from payops.core.models import JobRun
from payops.core.retelling import retold
from payops.dayend.models import DayStep, Step, StepState
from payops.discrepancies.choices import OPEN_STATES
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.selectors import open_counts
from payops.identity.models import User
from payops.orders.models import OpenTransaction
from payops.reconciliation.choices import ItemState, ReceiptState
from payops.reconciliation.models import ChannelReceipt, OpenItem, ReconRun
from payops.settlement.choices import PayoutState, SheetState
from payops.settlement.models import BalanceCheck, ClearedDay, Payout, SettlementSheet
from payops.settlement.selectors import last_checks

DAYS_SHOWN = 6
DAYS_LOOKED_BACK = dt.timedelta(days=3)
SHOWN_ON_A_TILE = 2
URGENCY = ("danger", "warning", "info")


@dataclass(frozen=True, slots=True)
class DayRow:
    """One accounting date on the dashboard with the state of its steps."""

    day: dt.date
    steps: list[dict[str, Any]]
    finished: bool
    started: bool


def todo_for(user: User, today: dt.date) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What waits, wrong before waiting, each in the order of a day's work; and what is in order."""
    tiles = _tiles(user, today)
    due = [tile for tile in tiles if tile["tone"] != "success"]
    return sorted(due, key=lambda tile: URGENCY.index(tile["tone"])), [t for t in tiles if t["tone"] == "success"]


def _tiles(user: User, today: dt.date) -> list[dict[str, Any]]:
    cases = open_counts()
    missing, held = files_missing(today), BillFile.objects.filter(state=FileState.HELD).count()
    late = [f"{each.source.contract.code} {each.day}" for each in late_days()]
    failed_checks = sum(1 for check in last_checks() if not check.passed)
    payouts = _payouts_by_state()
    trouble = payouts[PayoutState.UNKNOWN] + _open_failures()
    failed_jobs = JobRun.objects.filter(
        state=JobState.FAILED, parent=None, business_date__gte=today - DAYS_LOOKED_BACK
    ).count()
    findings = DayFinding.objects.filter(day__gte=today - DAYS_LOOKED_BACK).exclude(level=FindingLevel.INFO).count()
    unidentified = BankLine.objects.filter(state=BankLineState.UNIDENTIFIED).count()
    mine = Discrepancy.objects.filter(state__in=OPEN_STATES, owner=user).count()
    guard = customers_money_guard()
    return [
        {
            "value": _("safe") if guard["ok"] else _("USED"),
            "label": _("Customers' money"),
            "note": "",
            "tone": "success" if guard["ok"] else "danger",
            "url": link("money_guard"),
        },
        _tile(_("Bills late"), len(late), link("file_source_list"), "danger", _first_few(late)),
        _tile(_("Bills missing"), len(missing), link("bill_file_list"), "warning", _first_few(missing)),
        _tile(_("Bills held"), held, link("bill_file_list", state="held"), "danger"),
        _tile(_("Balance checks failed"), failed_checks, link("balance_check_list", passed="0"), "danger"),
        _tile(_("Payouts in trouble"), trouble, link("payout_list", state=_worst(payouts)), "danger"),
        _tile(_("Findings of the day end"), findings, link("day_list"), "danger"),
        _tile(_("Jobs failed"), failed_jobs, link("job_list", state="failed"), "danger"),
        _tile(_("Escalated cases"), cases.escalated, link("case_list", state="open_states", escalated="1"), "danger"),
        _tile(_("Approvals waiting for me"), pending_for(user).count(), link("approval_list"), "warning"),
        _tile(_("My cases"), mine, link("case_list", state="open_states", owner="me"), "warning"),
        _tile(_("Open cases"), cases.total, link("case_list"), "warning"),
        _tile(_("Unidentified bank lines"), unidentified, link("bank_unexplained"), "warning"),
        _tile(_("Transactions without result"), OpenTransaction.objects.count(), link("transaction_list"), "info"),
    ]


def _tile(label: str, value: int, url: str, tone: str, note: str = "") -> dict[str, Any]:
    return {"value": f"{value:,}", "label": label, "note": note, "tone": tone if value else "success", "url": url}


def _first_few(names: list[str]) -> str:
    """The first of them and how many more there are: a tile is no list."""
    shown = ", ".join(names[:SHOWN_ON_A_TILE])
    more = len(names) - SHOWN_ON_A_TILE
    return shown if more <= 0 else _("%(names)s and %(count)d more") % {"names": shown, "count": more}


def _payouts_by_state() -> dict[str, int]:
    counts = dict.fromkeys(PayoutState.values, 0)
    counts.update(Payout.objects.order_by().values_list("state").annotate(number=Count("id")))
    return counts


def _open_failures() -> int:
    """Sheets whose payment failed or came back and that nobody has paid otherwise."""
    return SettlementSheet.objects.filter(state__in=[SheetState.FAILED, SheetState.RETURNED]).count()


def _worst(payouts: dict[str, int]) -> str:
    for state in (PayoutState.UNKNOWN, PayoutState.FAILED, PayoutState.RETURNED):
        if payouts[state]:
            return state.value
    return ""


def files_missing(today: dt.date) -> list[str]:
    """Channel days that are closed and have no accepted bill, as "WECHAT 2026-11-18", the oldest first."""
    days = [day.day for day in day_rows(today) if day.started]
    accepted = set(
        BillFile.objects.filter(channel_date__in=days, state=FileState.ACCEPTED, bill_type=BillType.TRADE).values_list(
            "contract__code", "channel_date"
        )
    )
    codes = list(ChannelContract.objects.filter(active=True).order_by("code").values_list("code", flat=True))
    return [f"{code} {day}" for day in sorted(days) for code in codes if (code, day) not in accepted]


def day_rows(today: dt.date) -> list[DayRow]:
    """The latest days that were begun, the open one first, with the state of each step."""
    first = today - dt.timedelta(days=DAYS_SHOWN)
    rows: dict[dt.date, dict[str, DayStep]] = {today: {}}
    for step in DayStep.objects.filter(day__gte=first).select_related("job"):
        rows.setdefault(step.day, {})[step.step] = step
    return [_day_row(day, steps) for day, steps in sorted(rows.items(), reverse=True)]


def _day_row(day: dt.date, steps: dict[str, DayStep]) -> DayRow:
    shown = []
    for step in Step:
        row = steps.get(step.value)
        shown.append(
            {
                "label": step.label,
                "state": row.state if row else StepState.PENDING.value,
                "state_label": row.get_state_display() if row else StepState.PENDING.label,
                "message": retold(row.message) if row else "",
                "url": link("job", row.job_id) if row and row.job_id else "",
            }
        )
    closed = steps.get(Step.CLOSE.value)
    return DayRow(
        day,
        shown,
        finished=bool(steps) and all(step["state"] == StepState.DONE for step in shown),
        started=closed is not None and closed.state == StepState.DONE,
    )


def channel_table(today: dt.date) -> Table:
    """Each channel day from bill to balance check; every cell leads to what it speaks of."""
    first = today - dt.timedelta(days=DAYS_SHOWN)
    contracts = list(ChannelContract.objects.filter(active=True).order_by("code"))
    bills = BillFile.objects.filter(channel_date__gte=first, bill_type=BillType.TRADE)
    files = _latest(bills.order_by("id"), "channel_date")
    runs = _latest(ReconRun.objects.filter(channel_date__gte=first, is_current=True), "channel_date")
    receipts = _latest(ChannelReceipt.objects.filter(channel_date__gte=first), "channel_date")
    cleared = _latest(ClearedDay.objects.filter(own_date__gte=first), "own_date")
    checks = _latest(BalanceCheck.objects.filter(own_date__gte=first).order_by("attempt"), "own_date")
    still_open = _still_open(first)
    rows = []
    days = [row.day for row in day_rows(today) if row.started]
    for day in days:
        for contract in contracts:
            key = (contract.pk, day)
            rows.append(
                [
                    cells.date(day),
                    cells.text(contract.code, link("workbench", contract=contract.code, day=day)),
                    _open_cell(still_open.get(key, 0), runs.get(key), contract, day),
                    _file_cell(files.get(key), contract, day),
                    _run_cell(runs.get(key)),
                    _unmatched_cell(runs.get(key)),
                    _receipt_cell(receipts.get(key)),
                    _cleared_cell(cleared.get(key), contract, day),
                    _check_cell(checks.get(key)),
                ]
            )
    columns = [
        Column(_("Channel date")),
        Column(_("Channel")),
        Column(_("Still open"), "c-amount"),
        Column(_("Bill")),
        Column(_("Matched"), "c-amount"),
        Column(_("Not matched"), "c-amount"),
        Column(_("Receipt")),
        Column(_("Clearing")),
        Column(_("Balance check")),
    ]
    return Table(columns, rows, title=_("Channel days"), empty=_("No day has been closed yet."))


def _still_open(first: dt.date) -> dict[tuple[int, dt.date], int]:
    """Definite differences nobody has cleared yet, by contract and the day they were first seen on."""
    items = OpenItem.objects.filter(state=ItemState.DEFINITE, first_date__gte=first).order_by()
    counted = items.values_list("contract_id", "first_date").annotate(number=Count("id"))
    return {(contract_id, day): number for contract_id, day, number in counted}


def _latest(rows: QuerySet[Any], date_field: str) -> dict[tuple[int, dt.date], Any]:
    """The last row of each contract and date, in the order of the query."""
    return {(row.contract_id, getattr(row, date_field)): row for row in rows}


def _file_cell(file: BillFile | None, contract: ChannelContract, day: dt.date) -> Cell:
    if file is None:
        return cells.badge("waiting", _("missing"), link("bill_file_upload", contract=contract.code, date=day))
    return cells.state(file, url=link("bill_file", file.pk))


def _run_cell(run: ReconRun | None) -> Cell:
    return cells.count(run.matched_count, link("run", run.pk)) if run else Cell("–", css="c-amount")


def _unmatched_cell(run: ReconRun | None) -> Cell:
    return cells.count(unmatched_count(run), link("run", run.pk)) if run else Cell("–", css="c-amount")


def _open_cell(number: int, run: ReconRun | None, contract: ChannelContract, day: dt.date) -> Cell:
    """What somebody has to act on, with the way to the screen it is worked on."""
    if run is None:
        return Cell("–", css="c-amount")
    url = link("workbench", contract=contract.code, day=day)
    return Cell(f"{number:,}", url, "c-amount", tone="danger" if number else "success")


def _receipt_cell(receipt: ChannelReceipt | None) -> Cell:
    if receipt is None:
        return cells.text("–")
    tone = "info" if receipt.state == ReceiptState.WAITING else ""
    return cells.badge(receipt.state, receipt.get_state_display(), link("receipt", receipt.pk), tone=tone)


def _cleared_cell(cleared: ClearedDay | None, contract: ChannelContract, day: dt.date) -> Cell:
    if cleared is None:
        return cells.text("–")
    url = link("clearing_item_list", contract=contract.code, date=day.isoformat())
    return cells.badge("done", _("cleared"), url)


def _check_cell(check: BalanceCheck | None) -> Cell:
    if check is None:
        return cells.text("–")
    label = _("passed") if check.passed else _("failed")
    return cells.badge("done" if check.passed else "failed", label, link("balance_check", check.pk))


def payout_table() -> Table:
    """Payouts of the latest pay dates by state."""
    days = list(Payout.objects.order_by("-batch__pay_date").values_list("batch__pay_date", flat=True).distinct()[:3])
    figures = (
        Payout.objects.filter(batch__pay_date__in=days)
        .order_by("-batch__pay_date", "state")
        .values("batch__pay_date", "state", "currency")
        .annotate(number=Count("id"), total=Sum("amount"))
    )
    labels = dict(PayoutState.choices)
    rows = [
        [
            cells.date(row["batch__pay_date"], link("payout_batch_list", date=row["batch__pay_date"].isoformat())),
            cells.badge(
                row["state"],
                labels[row["state"]],
                link("payout_list", date=row["batch__pay_date"].isoformat(), state=row["state"]),
            ),
            cells.count(row["number"]),
            cells.money(row["total"], row["currency"]),
        ]
        for row in figures
    ]
    columns = [
        Column(_("Pay date")),
        Column(_("State")),
        Column(_("Payouts"), "c-amount"),
        Column(_("Amount"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Payouts"), empty=_("Nothing has been paid out yet."))


def volume_table(today: dt.date) -> Table:
    """Volume and success per channel on the last closed days, from the current runs."""
    first = today - dt.timedelta(days=DAYS_SHOWN)
    runs = (
        ReconRun.objects.filter(channel_date__gte=first, is_current=True)
        .order_by("contract__code")
        .values("contract__code", "contract__currency")
        .annotate(
            days=Count("id"),
            own=Sum("own_count"),
            amount=Sum("own_amount"),
            matched=Sum("matched_count"),
            proven=Count("id", filter=Q(file__proven=True)),
        )
    )
    rows = [
        [
            cells.text(row["contract__code"], link("run_list", contract=row["contract__code"])),
            cells.count(row["days"]),
            cells.count(row["own"]),
            cells.money(row["amount"], row["contract__currency"]),
            Cell(_share(row["matched"], row["own"]), css="c-amount"),
        ]
        for row in runs
    ]
    columns = [
        Column(_("Channel")),
        Column(_("Days"), "c-amount"),
        Column(_("Own rows"), "c-amount"),
        Column(_("Own total"), "c-amount"),
        Column(_("Matched"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Volume of the last days"), empty=_("No run yet."))


def _share(part: int, whole: int) -> str:
    """A share in percent with two decimals, exact arithmetic, rounded down: 99.99 % is not 100 %."""
    if not whole:
        return "–"
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02d} %"
