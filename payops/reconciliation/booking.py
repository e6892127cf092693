"""The vouchers of a run: one total per rule, new less what earlier runs of the same day booked (DOMAIN 4.5, 7.2)."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from django.db.models import Q, Sum

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.channels.choices import CostMode
from payops.channels.models import ChannelContract
from payops.reconciliation.choices import ItemState
from payops.reconciliation.models import OpenItem, ReconRun, RunVoucher
from payops.reconciliation.selectors import run_vouchers_standing

SOURCE_KIND = "recon_run_voucher"
Rule = tuple[int, str]
Amounts = dict[str, int]


def book(run: ReconRun, *, settled: int, cost: int, discounts: Mapping[str, int], username: str) -> list[RunVoucher]:
    """Book what this run adds: `settled` S and `cost` K of the whole bill, `discounts` X by merchant, and its items.

    Amounts in minor units, signed. The same input again adds nothing and makes no voucher.
    """
    wanted = _wanted(run, settled, cost, discounts)
    booked = booked_totals(run.contract, run.channel_date, run.batch)
    vouchers = []
    for rule in sorted(wanted.keys() | booked.keys()):
        target, done = wanted.get(rule, {}), booked.get(rule, {})
        delta = {name: target.get(name, 0) - done.get(name, 0) for name in target.keys() | done.keys()}
        if any(delta.values()):
            vouchers.append(_post(run, rule, delta, username))
    return vouchers


def booked_totals(contract: ChannelContract, day: date, batch: int) -> dict[Rule, Amounts]:
    """What the runs of this day have booked so far, by rule; a voucher that was reversed is no longer in the books."""
    totals: dict[Rule, Amounts] = defaultdict(lambda: defaultdict(int))
    for voucher in run_vouchers_standing().filter(contract=contract, channel_date=day, batch=batch):
        for name, amount in voucher.amounts.items():
            totals[voucher.event, voucher.merchant_no][name] += amount
    return totals


def _wanted(run: ReconRun, settled: int, cost: int, discounts: Mapping[str, int]) -> dict[Rule, Amounts]:
    bill = Event.BILL_NETTED if run.contract.cost_mode == CostMode.NETTED else Event.BILL_BILLED
    wanted: dict[Rule, Amounts] = {(bill, ""): {"S": settled, "K": cost}}
    for merchant_no, amount in discounts.items():
        wanted[Event.BILL_DISCOUNT, merchant_no] = {"X": amount}
    for event, amount in item_totals(run).items():
        wanted[event, ""] = {"D": amount}
    return wanted


def item_totals(run: ReconRun) -> dict[int, int]:
    """Suspense found and cleared by the runs of this day, as magnitudes by rule."""
    items = OpenItem.objects.filter(contract=run.contract).exclude(state=ItemState.WITHDRAWN)
    of_day = Q(channel_date=run.channel_date, batch=run.batch)
    runs = ReconRun.objects.filter(of_day, contract=run.contract)
    found = items.filter(definite_run__in=runs).aggregate(
        surplus=Sum("d", filter=Q(d__gt=0), default=0),
        shortage=Sum("d", filter=Q(d__lt=0), default=0),
        claims=Sum("fee_claim", default=0),
    )
    cleared = items.filter(cleared_run__in=runs, definite_run__isnull=False, state=ItemState.CLEARED).aggregate(
        surplus=Sum("d", filter=Q(d__gt=0), default=0),
        shortage=Sum("d", filter=Q(d__lt=0), default=0),
    )
    totals = {
        Event.SURPLUS_FOUND: found["surplus"],
        Event.SHORTAGE_FOUND: -found["shortage"],
        Event.SURPLUS_CLEARED: cleared["surplus"],
        Event.SHORTAGE_CLEARED: -cleared["shortage"],
        Event.FEE_CLAIM: found["claims"],
    }
    return {event: int(amount) for event, amount in totals.items() if amount}


def _post(run: ReconRun, rule: Rule, delta: Amounts, username: str) -> RunVoucher:
    event, merchant_no = rule
    record = RunVoucher.objects.create(
        run=run,
        contract=run.contract,
        channel_date=run.channel_date,
        batch=run.batch,
        event=event,
        merchant_no=merchant_no,
        amounts=dict(delta),
    )
    owners = {"channel": run.contract.code} | ({"merchant": merchant_no} if merchant_no else {})
    voucher = ledger.post(
        Posting(
            event=Event(event),
            source_kind=SOURCE_KIND,
            source_id=record.pk,
            amounts=delta,
            owners=owners,
            business_date=run.channel_date,
            currency=run.contract.currency,
            memo=f"{run.contract.code} {run.channel_date:%Y-%m-%d} #{run.run_no}",
        ),
        posted_by=username,
    )
    if voucher is not None:
        record.voucher_id = voucher.pk
        record.save(update_fields=["voucher_id"])
    return record
