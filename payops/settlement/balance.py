"""The balance check before any payout (DOMAIN 11.4): what a channel's day brought must be what merchants are to get.

Every term comes from another source than the clearing amount it must add up to: bank receipts, bill totals and open
items of reconciliation, holds. A channel-date that fails is withheld from the sheets; the rest is paid.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.db.models import F, Sum

from payops.channels.models import ChannelContract
from payops.core.locks import xact_lock
from payops.merchants.models import AccountState, MerchantStatus, SettlementTerms
from payops.reconciliation.models import ChannelReceipt
from payops.settlement.choices import SheetState
from payops.settlement.clearing import LOCK
from payops.settlement.equation import Equation, equation_of
from payops.settlement.models import BalanceCheck, ClearedDay, ClearingItem, SettlementSheet
from payops.settlement.sheets import available_of, sheet_total


def balance_check_run(*, day: dt.date) -> list[dict[str, Any]]:
    """Check every contract and own date in the drafts of pay date `day` + 1, then decide what each sheet pays.

    A contract that cleared `day` and has its receipt is checked too, even when nothing of it is due yet. Returns one
    entry per check: {"contract", "own_date", "passed", "computed", "clearing_amount", "difference", "reason", "term",
    "terms", "withheld"}, minor units. Repeating it adds nothing unless something changed.
    """
    paid_on = day + dt.timedelta(days=1)
    results = []
    with transaction.atomic():
        xact_lock(*LOCK)
        drafts = SettlementSheet.objects.filter(state=SheetState.DRAFT, pay_date__lte=paid_on)
        for contract, own_date in _dates_to_check(day, drafts):
            equation = equation_of(contract, own_date)
            check = _record(equation)
            withheld = 0 if check.passed else _withhold(contract, own_date, drafts)
            results.append(_as_result(equation, check, withheld))
        _decide(drafts)
    return results


def _dates_to_check(day: dt.date, drafts: Any) -> list[tuple[ChannelContract, dt.date]]:
    in_drafts = ClearingItem.objects.filter(settlement_sheet__in=drafts).order_by()
    wanted = set(in_drafts.values_list("contract_id", "own_date").distinct())
    received = ChannelReceipt.objects.filter(channel_date=day).exclude(received=0).values("contract")
    cleared = ClearedDay.objects.filter(own_date=day, contract__in=received)
    wanted.update(cleared.values_list("contract_id", "own_date"))
    contracts = ChannelContract.objects.in_bulk({contract for contract, _own_date in wanted})
    return sorted(
        ((contracts[contract], own_date) for contract, own_date in wanted), key=lambda at: (at[0].code, at[1])
    )


def _record(equation: Equation) -> BalanceCheck:
    """The attempt as a row, or the last attempt's when nothing changed since."""
    values = {
        "terms": equation.terms,
        "computed": equation.computed,
        "clearing_amount": equation.clearing_amount,
        "passed": equation.passed,
        "reason": equation.reason[:200],
    }
    attempts = BalanceCheck.objects.filter(contract=equation.contract, own_date=equation.own_date)
    last = attempts.order_by("-attempt").first()
    if last is not None and all(getattr(last, name) == value for name, value in values.items()):
        return last
    attempt = last.attempt + 1 if last is not None else 1
    return BalanceCheck.objects.create(
        contract=equation.contract, own_date=equation.own_date, attempt=attempt, **values
    )


def _withhold(contract: ChannelContract, own_date: dt.date, drafts: Any) -> int:
    """Take the channel-date out of the drafts: its items wait for a later sheet. What was taken out, minor units.

    Where a merchant owes us for that date, the items stay: leaving them out would pay out money that is not there.
    """
    items = ClearingItem.objects.filter(contract=contract, own_date=own_date, settlement_sheet__in=drafts)
    by_sheet = dict(items.order_by().values_list("settlement_sheet_id").annotate(total=Sum("net")))
    owed = {sheet_id: total for sheet_id, total in sorted(by_sheet.items()) if total > 0}
    for sheet_id, total in owed.items():
        SettlementSheet.objects.filter(pk=sheet_id).update(withheld_amount=F("withheld_amount") + total)
    items.filter(settlement_sheet__in=list(owed)).update(settlement_sheet=None)
    return sum(owed.values())


def _as_result(equation: Equation, check: BalanceCheck, withheld: int) -> dict[str, Any]:
    return {
        "contract": equation.contract.code,
        "own_date": equation.own_date.isoformat(),
        "attempt": check.attempt,
        "passed": check.passed,
        "computed": check.computed,
        "clearing_amount": check.clearing_amount,
        "difference": check.difference,
        "reason": check.reason,
        "term": equation.suspect,
        "terms": check.terms,
        "withheld": withheld,
    }


# --- what each sheet pays ---------------------------------------------------------------------------------------------


def _decide(drafts: Any) -> None:
    """Draft → ready, carried or held. What is not paid now is carried to the merchant's next sheet."""
    sheets = list(drafts.select_related("merchant", "settlement_account", "session").order_by("pk"))
    minimums = dict(
        SettlementTerms.objects.filter(merchant__in=[sheet.merchant_id for sheet in sheets]).values_list(
            "merchant_id", "minimum_amount"
        )
    )
    available = available_of([sheet.merchant.merchant_no for sheet in sheets])
    for sheet in sheets:
        total = sheet_total(sheet)
        if total <= 0 or total < minimums.get(sheet.merchant_id, 0):
            sheet.state, sheet.payout_amount, sheet.carry_out = SheetState.CARRIED, 0, total
        elif _is_held(sheet) or available.get(sheet.merchant.merchant_no, 0) < total:
            sheet.state, sheet.payout_amount, sheet.carry_out = SheetState.HELD, 0, total
        else:
            sheet.state, sheet.payout_amount, sheet.carry_out = SheetState.READY, total, 0
    SettlementSheet.objects.bulk_update(sheets, ["state", "payout_amount", "carry_out"], batch_size=1000)
    for session in {sheet.session for sheet in sheets}:
        session.payout_amount = session.sheets.aggregate(total=Sum("payout_amount", default=0))["total"]
        session.save(update_fields=["payout_amount"])


def _is_held(sheet: SettlementSheet) -> bool:
    account = sheet.settlement_account
    return sheet.merchant.status == MerchantStatus.HELD or account is None or account.state != AccountState.ACTIVE
