"""What each step of a day does. Every function may be called again at any time and goes on where things stand.

A step returns `StepResult`: done, or waiting for something from outside (a file, a receipt, an approval, a bank's
answer) that its message names. An error is a PayopsError; the step is then failed until a person has looked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from payops.accounts import selectors as ledger
from payops.accounts import services as ledger_services
from payops.accounts.models import AccountingDay
from payops.channels.bills.selectors import accepted_file
from payops.channels.bills.services import bill_parse
from payops.channels.choices import FileState
from payops.channels.models import BillFile, ChannelContract
from payops.core.models import JobRun
from payops.dayend.models import Step
from payops.identity.models import User
from payops.orders import services as orders
from payops.orders.models import OpenTransaction
from payops.reconciliation.bank.services import bank_reconcile_all
from payops.reconciliation.choices import ReceiptState
from payops.reconciliation.funds import funds_check, funds_match
from payops.reconciliation.models import ChannelReceipt
from payops.reconciliation.selectors import current_run
from payops.reconciliation.services import run_reconcile
from payops.settlement import payouts as payout_services
from payops.settlement import services as settlement
from payops.settlement.choices import PayoutState, SheetState
from payops.settlement.models import ClearedDay, Payout, SettlementSheet
from payops.statements.merchant_check import DIFFERS, merchant_check
from payops.statements.services import statements_build

ONE_DAY = dt.timedelta(days=1)
FINAL_PAYOUTS = (PayoutState.SUCCEEDED, PayoutState.FAILED, PayoutState.RETURNED, PayoutState.CANCELLED)


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step stands. `summary` is JSON; `message` says what is waited for."""

    done: bool
    summary: dict[str, Any] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a step is run for: the business day, the person it is done for, the job that runs it."""

    day: dt.date
    username: str
    job: JobRun | None = None


def _contracts() -> list[ChannelContract]:
    return list(ChannelContract.objects.filter(active=True).select_related("channel").order_by("code"))


def cut_off(context: Context) -> StepResult:
    """Cut the day off; the next one opens in the same moment."""
    following = ledger_services.day_cut_off(context.day)
    return StepResult(True, {"next_day": following.day.isoformat()})


def intake_check(context: Context) -> StepResult:
    """Post what intake left unposted, and count what has no final result yet."""
    posted = orders.post_missing(context.day, posted_by=context.username or "system")
    orders.post_missing(context.day + ONE_DAY, posted_by=context.username or "system")
    undecided = OpenTransaction.objects.filter(own_date__lte=context.day).count()
    return StepResult(True, {"posted": posted["total"], "undecided": undecided})


def close(context: Context) -> StepResult:
    """Close the day with its checks and seal; findings alert and never block."""
    result = ledger_services.close_day(context.day)
    return StepResult(
        True,
        {
            "vouchers": result.voucher_count,
            "entries": result.entry_count,
            "findings": len(result.findings),
            "seal": result.seal,
        },
    )


def bills(context: Context) -> StepResult:
    """Read the files received for the day; waits while a channel has no accepted one."""
    for bill_file in BillFile.objects.filter(channel_date=context.day, state=FileState.RECEIVED).order_by("id"):
        bill_parse(bill_file.pk)
    missing = [contract.code for contract in _contracts() if accepted_file(contract, context.day) is None]
    if missing:
        return StepResult(False, {"missing": missing}, _("No accepted bill yet: %s.") % ", ".join(missing))
    return StepResult(True, {"accepted": len(_contracts())})


def runs(context: Context) -> StepResult:
    """Reconcile every channel whose accepted bill has not been run; channels without a bill are waited for."""
    made, waiting = [], []
    for contract in _contracts():
        bill_file = accepted_file(contract, context.day)
        if bill_file is None:
            waiting.append(contract.code)
            continue
        run = current_run(contract, context.day)
        if run is None or run.file_id != bill_file.pk:
            run_reconcile(contract=contract, day=context.day, job=context.job, username=context.username or "system")
            made.append(contract.code)
    message = _("Waiting for the bills of %s.") % ", ".join(waiting) if waiting else ""
    return StepResult(not waiting, {"made": made, "waiting": waiting}, message)


def receipts(context: Context) -> StepResult:
    """Match the bank's lines, compare receipts with bills and the journal with the bank's statement.

    Waits while the day's money is not yet due or here.
    """
    matched = funds_match(username=context.username or "system")
    checked = funds_check(day=ledger.open_day(), username=context.username or "system")
    bank = bank_reconcile_all(day=context.day, by=context.username or "system")
    off = {f"{made.bank_account.code} {made.day}": made.difference for made in bank if made.difference}
    waiting = ChannelReceipt.objects.filter(channel_date=context.day, state=ReceiptState.WAITING).exclude(due=0)
    codes = list(waiting.values_list("contract__code", flat=True))
    message = _("Money of the day not here yet: %s.") % ", ".join(codes) if codes else ""
    return StepResult(not codes, {"matched": matched, "checked": checked, "bank_differs": off}, message)


def clearing(context: Context) -> StepResult:
    """Clear every channel that has a run; the others are waited for."""
    summary = settlement.clearing_run(day=context.day, username=context.username or "system")
    cleared = set(ClearedDay.objects.filter(own_date=context.day).values_list("contract__code", flat=True))
    waiting = [contract.code for contract in _contracts() if contract.code not in cleared]
    message = _("Not cleared yet: %s.") % ", ".join(waiting) if waiting else ""
    return StepResult(not waiting, summary, message)


def settle(context: Context) -> StepResult:
    """Make the settlement sheets due on the next day."""
    return StepResult(True, settlement.settlement_run(day=context.day, username=context.username or "system"))


def balance_check(context: Context) -> StepResult:
    """Prove each channel day before money leaves; what fails is withheld, the rest goes on."""
    checks = settlement.balance_check_run(day=context.day)
    failed = [f"{check['contract']} {check['own_date']}" for check in checks if not check["passed"]]
    message = _("Withheld: %s.") % ", ".join(failed) if failed else ""
    return StepResult(True, {"checked": len(checks), "failed": failed}, message)


def payouts(context: Context) -> StepResult:
    """Propose the day's batch, send what is approved, query what is under way."""
    pay_date = context.day + ONE_DAY
    maker = User.objects.filter(username=context.username).first()
    if maker is not None and maker.may("payouts.propose"):
        payout_services.payout_batch_create(day=context.day, maker=maker)
    payout_services.payouts_send(day=context.day)
    payout_services.payouts_poll(day=context.day)
    unpaid = SettlementSheet.objects.filter(pay_date__lte=pay_date, state=SheetState.READY)
    open_payouts = Payout.objects.filter(sheet__pay_date=pay_date).exclude(state__in=FINAL_PAYOUTS)
    summary = {
        "open": open_payouts.count(),
        "ready": unpaid.count(),
        "paid": Payout.objects.filter(sheet__pay_date=pay_date, state=PayoutState.SUCCEEDED).count(),
    }
    if open_payouts.filter(state=PayoutState.CREATED).exists():
        return StepResult(False, summary, _("The payout batch waits for finance to approve it."))
    if summary["open"]:
        return StepResult(False, summary, _("The bank has not given every result yet."))
    if summary["ready"]:
        return StepResult(False, summary, _("Sheets are ready; somebody in operations has to propose the payouts."))
    return StepResult(True, summary)


def statements(context: Context) -> StepResult:
    """Make the statements of the day's settlement, and compare them with what was cleared and paid."""
    made = statements_build(day=context.day, username=context.username or "system")
    compared = merchant_check(context.day)
    return StepResult(True, {"statements": len(made), "differ": compared.count(DIFFERS)})


@dataclass(frozen=True, slots=True)
class Work:
    """A step's function, and the steps that must be done before it may start."""

    do: Callable[[Context], StepResult]
    needs: tuple[Step, ...] = ()


# A late channel holds only what needs all channels: settlement starts once everything of the day is cleared.
TIMETABLE: dict[Step, Work] = {
    Step.CUT_OFF: Work(cut_off),
    Step.INTAKE_CHECK: Work(intake_check, (Step.CUT_OFF,)),
    Step.CLOSE: Work(close, (Step.INTAKE_CHECK,)),
    Step.BILLS: Work(bills, (Step.CLOSE,)),
    Step.RUNS: Work(runs, (Step.CLOSE,)),
    Step.RECEIPTS: Work(receipts, (Step.CLOSE,)),
    Step.CLEARING: Work(clearing, (Step.CLOSE,)),
    Step.SETTLEMENT: Work(settle, (Step.CLEARING,)),
    Step.BALANCE_CHECK: Work(balance_check, (Step.SETTLEMENT,)),
    Step.PAYOUTS: Work(payouts, (Step.BALANCE_CHECK,)),
    Step.STATEMENTS: Work(statements, (Step.BALANCE_CHECK,)),
}


def day_is_known(day: dt.date) -> bool:
    """Whether the accounting day was ever opened."""
    return AccountingDay.objects.filter(day=day).exists()
