"""The equation of DOMAIN 11.4 for one contract and accounting date, term by term, and which part of it is off."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from payops.accounts.choices import Event
from payops.channels.choices import CostMode
from payops.channels.models import ChannelContract
from payops.core.money import format_amount
from payops.merchants.models import Collection
from payops.reconciliation.choices import ItemState, ResultKind
from payops.reconciliation.funds.allocation import group_of_receipt
from payops.reconciliation.funds.receipts import receipt_is_given_up
from payops.reconciliation.models import ChannelReceipt, OpenItem
from payops.reconciliation.selectors import run_vouchers_standing
from payops.settlement import holds, sql
from payops.settlement.choices import HoldState, SessionKind
from payops.settlement.clearing import discounts_of_runs, returns_of_surplus
from payops.settlement.models import ClearingHold, ClearingItem

TERM_NAMES: Final[dict[str, str]] = {
    "receipt": gettext_noop("Receipt"),
    "netted_cost": gettext_noop("Channel cost netted by the bill"),
    "receipt_short": gettext_noop("Receipt short of the bill"),
    "receipt_group": gettext_noop("Received for this date with the other dates of one receipt"),
    "receivable": gettext_noop("Receivable allowed instead of the receipt"),
    "new.own": gettext_noop("System-only differences of this date"),
    "new.channel": gettext_noop("Channel-only differences of this date"),
    "new.pair": gettext_noop("Mismatches of this date"),
    "cleared.own": gettext_noop("Earlier system-only differences cleared on this date"),
    "cleared.channel": gettext_noop("Earlier channel-only differences cleared on this date"),
    "cleared.pair": gettext_noop("Earlier mismatches cleared on this date"),
    "supplements": gettext_noop("Earlier surplus passed to merchants on this date's discrepancy sheet"),
    "held": gettext_noop("Own rows of this date held back from clearing"),
    "dropped": gettext_noop("Own rows of this date recovered instead of cleared"),
    "released_later": gettext_noop("Own rows of this date cleared with a later date"),
    "topups": gettext_noop("Top-ups, not cleared"),
    "surplus_refunds": gettext_noop("Refunds of a surplus, not cleared"),
    "released": gettext_noop("Held rows of earlier dates cleared now"),
    "discounts_elsewhere": gettext_noop("Merchant discounts cleared with another date"),
    "fees": gettext_noop("Fees of net-settled merchants"),
}
"""The practitioners' names of the terms, in English; shown translated. The order is the order of the equation."""

_SIDES = {
    ResultKind.OWN_IN_DOUBT: "own",
    ResultKind.OWN_ONLY: "own",
    ResultKind.OWN_CLEARED: "own",
    ResultKind.DUPLICATE_OWN: "own",
    ResultKind.CHANNEL_IN_DOUBT: "channel",
    ResultKind.CHANNEL_ONLY: "channel",
    ResultKind.CHANNEL_CLEARED: "channel",
    ResultKind.DUPLICATE_CHANNEL: "channel",
}
_HOLD_TERMS = {HoldState.HELD: "held", HoldState.DROPPED: "dropped", HoldState.RELEASED: "released_later"}


@dataclass(slots=True)
class Equation:
    """The terms with their signs, what they come to, and what clearing says; minor units."""

    contract: ChannelContract
    own_date: dt.date
    amounts: dict[str, int]
    details: dict[str, dict[str, int]]
    clearing_amount: int
    receipt_missing: bool = False
    group_off: int = 0
    group: tuple[dt.date, ...] = ()
    suspect: str = ""
    reason: str = ""
    terms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def computed(self) -> int:
        """Σ of the terms."""
        return sum(self.amounts.values())

    @property
    def passed(self) -> bool:
        """Whether the money is there and adds up."""
        return self.computed == self.clearing_amount and not self.receipt_missing and not self.group_off


def equation_of(contract: ChannelContract, own_date: dt.date) -> Equation:
    """Compute the equation from what reconciliation, the bank and clearing left; says what is off when it fails."""
    due, cost = bill_totals(contract, own_date)
    amounts: dict[str, int] = dict.fromkeys(TERM_NAMES, 0)
    details: dict[str, dict[str, int]] = defaultdict(dict)
    money = _money_terms(contract, own_date, due, amounts)
    if contract.cost_mode == CostMode.NETTED:
        amounts["netted_cost"] = cost
    _difference_terms(contract, own_date, amounts, details)
    _uncleared_terms(contract, own_date, amounts)
    clearing_amount = _item_terms(contract, own_date, amounts)
    equation = Equation(
        contract,
        own_date,
        amounts,
        details,
        clearing_amount,
        receipt_missing=money.missing,
        group_off=money.group_off,
        group=money.group,
    )
    equation.terms = [
        {"code": code, "name": name, "amount": amounts[code], "detail": details.get(code, {})}
        for code, name in TERM_NAMES.items()
        if amounts[code] or code in {"receipt", "fees"}
    ]
    if not equation.passed:
        _explain(equation, due)
    return equation


def bill_totals(contract: ChannelContract, own_date: dt.date) -> tuple[int, int]:
    """What the channel owes by its bill (S) and what it costs (K): all run vouchers of the date together."""
    due = cost = 0
    vouchers = run_vouchers_standing().filter(
        contract=contract, channel_date=own_date, event__in=(Event.BILL_NETTED, Event.BILL_BILLED)
    )
    for amounts in vouchers.values_list("amounts", flat=True):
        due += int(amounts.get("S", 0))
        cost += int(amounts.get("K", 0))
    return due, cost


@dataclass(frozen=True, slots=True)
class _Money:
    """What the receipt says beyond its terms; `group_off` is what the dates of one receipt lack together."""

    missing: bool = False
    group_off: int = 0
    group: tuple[dt.date, ...] = ()


def _money_terms(contract: ChannelContract, own_date: dt.date, due: int, amounts: dict[str, int]) -> _Money:
    """Receipt, and what stands for the missing part of it; whether nothing came at all.

    A shortage in suspense explains a receipt that is too small, never one that did not come: merchants would be paid
    with money nobody has. One that never comes is explained when finance has accepted the loss of all of it. Where a
    receipt pays several dates and its difference belongs to none of them alone, each date takes from the others what it
    lacks, and all of them fail while they lack something together.
    """
    receipt = ChannelReceipt.objects.filter(contract=contract, channel_date=own_date).first()
    received = receipt.received if receipt else 0
    short = receipt.short_booked if receipt else 0
    amounts["receipt"] = received
    amounts["receipt_short"] = short
    if contract.receivable_allowed:
        amounts["receivable"] = due - received - short
        return _Money()
    group = group_of_receipt(receipt) if receipt else []
    if len(group) > 1:
        amounts["receipt_group"] = receipt.due - received - short
        off = sum(other.due - other.received - other.short_booked for other in group)
        came = any(other.received for other in group)
        return _Money(not came and due != 0, off, tuple(sorted(other.channel_date for other in group)))
    given_up = receipt is not None and receipt_is_given_up(receipt)
    return _Money(not received and due != 0 and not given_up)


def _difference_terms(
    contract: ChannelContract, own_date: dt.date, amounts: dict[str, int], details: dict[str, dict[str, int]]
) -> None:
    items = OpenItem.objects.filter(contract=contract).exclude(state=ItemState.WITHDRAWN).order_by()
    for prefix, sign, of_date in (
        ("new", -1, items.filter(first_date=own_date)),
        ("cleared", 1, items.filter(cleared_date=own_date, state=ItemState.CLEARED)),
    ):
        for result, total in of_date.values_list("result").annotate(total=Sum("d")):
            if total:
                code = f"{prefix}.{_SIDES.get(ResultKind(result), 'pair')}"
                amounts[code] += sign * total
                details[code][result] = sign * total


def _uncleared_terms(contract: ChannelContract, own_date: dt.date, amounts: dict[str, int]) -> None:
    for state, total in holds.held_amounts(contract, own_date).items():
        amounts[_HOLD_TERMS[HoldState(state)]] -= total
    never = sql.never_cleared(contract.pk, own_date, returns_of_surplus(contract, own_date))
    amounts["topups"] -= never.get("topup", 0)
    amounts["surplus_refunds"] -= never.get("surplus_refund", 0)
    earlier = ClearingHold.objects.filter(contract=contract, released_date=own_date).exclude(own_date=own_date)
    amounts["released"] += earlier.aggregate(total=Sum("amount", default=0))["total"]


def _item_terms(contract: ChannelContract, own_date: dt.date, amounts: dict[str, int]) -> int:
    """Fees, supplements and discounts; returns the clearing amount Σ (A − X − F where net)."""
    items = ClearingItem.objects.filter(contract=contract, own_date=own_date).order_by()
    groups = items.values_list("kind", "collection").annotate(
        amounts=Sum("amount"), discounts=Sum("discount"), fees=Sum("fee")
    )
    clearing_amount = discounts = 0
    for kind, collection, amount, discount, fee in groups:
        discounts += discount
        clearing_amount += amount - discount
        if collection == Collection.NET:
            clearing_amount -= fee
            amounts["fees"] -= fee
        if kind == SessionKind.DISCREPANCY:
            amounts["supplements"] += amount
    # A re-run after clearing changes the discount of a day that is cleared: the next item takes the change.
    amounts["discounts_elsewhere"] = sum(discounts_of_runs(contract, [own_date]).values()) - discounts
    return clearing_amount


# --- what is off ------------------------------------------------------------------------------------------------------


def _explain(equation: Equation, due: int) -> None:
    """Name the part that does not hold. Three comparisons add up to the whole difference, so one of them must be off:
    money against bill, bill against own total and differences, own total against what was cleared."""
    contract, own_date, amounts = equation.contract, equation.own_date, equation.amounts
    currency = contract.currency
    if equation.receipt_missing:
        equation.suspect = "receipt"
        equation.reason = _("No receipt from %(contract)s for %(day)s: %(due)s is due.") % {
            "contract": contract.code,
            "day": own_date.isoformat(),
            "due": format_amount(due, currency),
        }
        return
    if equation.group_off:
        equation.suspect = "receipt"
        equation.reason = _(
            "One receipt for %(first)s to %(last)s: %(off)s less (−: more) than the bills together."
        ) % {
            "first": equation.group[0].isoformat(),
            "last": equation.group[-1].isoformat(),
            "off": format_amount(equation.group_off, currency),
        }
        return
    money = sum(amounts[code] for code in ("receipt", "receipt_short", "receipt_group", "receivable")) - due
    differences = sum(amounts[code] for code in amounts if code.startswith(("new.", "cleared.")))
    discount = sum(discounts_of_runs(contract, [own_date]).values())
    bill = due + amounts["netted_cost"] + differences - (sql.own_total(contract.pk, own_date) - discount)
    rows = equation.computed - equation.clearing_amount - money - bill
    parts = {"receipt": money, "differences": bill, "rows": rows}
    equation.suspect = max(parts, key=lambda part: abs(parts[part]))
    equation.reason = _part_reason(equation.suspect) % {
        "contract": contract.code,
        "day": own_date.isoformat(),
        "off": format_amount(parts[equation.suspect], currency),
    }


def _part_reason(part: str) -> str:
    if part == "receipt":
        return _(
            "Receipt: %(off)s more (−: less) than the bill of %(contract)s for %(day)s, and not booked to suspense."
        )
    if part == "differences":
        return _("Differences: bill and own total of %(contract)s for %(day)s are %(off)s apart after the open items.")
    return _("Rows: what was cleared of %(contract)s for %(day)s differs from its own rows by %(off)s.")
