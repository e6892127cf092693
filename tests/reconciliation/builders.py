"""Days of a small institution for the tests of runs: orders taken in, days closed, bills accepted, runs made.

Own cut-off 23:00, both channels cut off at 24:00, margin ten minutes. WECHAT nets its cost (0.2 %, checked), ALIPAY has
no cost rules; tests that need billed cost change the contract. Amounts of lines are minor units.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.selectors import trial_balance, trial_balance_totals
from payops.channels.bills.selectors import line_range
from payops.channels.choices import FileState
from payops.channels.models import BillFile, BillLine, ChannelContract
from payops.core.institution import institution_update
from payops.core.partitions import ensure_day
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.models import Discrepancy
from payops.orders.choices import Kind
from payops.orders.models import Intake, Transaction
from payops.orders.services import post_missing, transactions_load
from payops.reconciliation.checks import clearing_account
from payops.reconciliation.models import OpenItem, ReconResult, ReconRun, RunVoucher
from payops.reconciliation.services import run_reconcile
from tests.orders.conftest import World, build_world, ndjson, order

MON = dt.date(2026, 11, 16)
TUE = dt.date(2026, 11, 17)
WED = dt.date(2026, 11, 18)
THU = dt.date(2026, 11, 19)
FRI = dt.date(2026, 11, 20)
BEIJING = dt.timezone(dt.timedelta(hours=8))
REVERSE = (Kind.REFUND, Kind.VOID, 4)
BILL_KINDS = {"payment": 1, "refund": 2, "void": 3, "reversal": 4}
_files = count(1)


def moment(day: dt.date, clock: str) -> dt.datetime:
    """The instant of a Beijing clock on a day."""
    return dt.datetime.combine(day, dt.time.fromisoformat(clock), BEIJING)


def cost(amount: int) -> int:
    """0.2 % of a payment, rounded half up: what the channel should keep."""
    return (amount * 2 + 500) // 1000


def pay(number: str, day: dt.date, clock: str = "10:00:00", amount: str = "100.00", **changes: Any) -> dict[str, Any]:
    """A payment over WeChat that succeeded at once, as the payment core sends it; its key is R-<number>."""
    at = f"{day.isoformat()}T{clock}"
    row = order(number, amount=amount, created_at=at, succeeded_at=at)
    row.update(changes)
    if row["status"] != "succeeded" and "succeeded_at" not in changes:
        row["succeeded_at"] = ""
    return row


def reverse(
    number: str, original: str, day: dt.date, clock: str = "12:00:00", amount: str = "40.00", **changes: Any
) -> dict[str, Any]:
    """A refund (or, by `kind`, a void) of a payment."""
    changes.setdefault("kind", "refund")
    return pay(number, day, clock, amount, original_transaction_no=original, **changes)


@dataclass
class Bill:
    """One line of a bill to be. `fee` is what the channel keeps (given back: negative), by default the right one.

    `original` is the trade number it refers to where it names no order.
    """

    key: str
    amount: int
    at: dt.datetime
    kind: str = "payment"
    fee: int | None = None
    discount: int = 0
    currency: str = "CNY"
    trade_no: str = ""
    order_no: str = ""
    original: str = ""

    def row(self, pk: int, contract: ChannelContract) -> BillLine:
        """As the loader would store it."""
        code = BILL_KINDS[self.kind]
        sign = -1 if code in REVERSE else 1
        fee = sign * cost(self.amount) if self.fee is None else self.fee
        if self.fee is None and contract.cost_package_id is None:
            fee = 0
        net = sign * (self.amount - self.discount)
        return BillLine(
            id=pk,
            contract_id=contract.pk,
            kind=code,
            match_key=self.key,
            trade_no=self.trade_no or f"T-{self.key}",
            order_no="" if self.original else self.order_no or self.key,
            original_trade_no=self.original or None,
            status="SUCCESS",
            amount=self.amount,
            settled_amount=net - fee if contract.cost_mode == "netted" else net,
            fee=fee,
            currency=self.currency,
            occurred_at=self.at,
            row_hash=pk,
        )


def line(key: str, day: dt.date, clock: str = "10:00:00", amount: int = 10_000, **fields: Any) -> Bill:
    """A line of the channel's bill for a payment of 100.00."""
    return Bill(key, amount, moment(day, clock), **fields)


@dataclass
class Town:
    """The institution with what the tests do to it."""

    world: World
    contract: ChannelContract
    seen: list[ReconRun] = field(default_factory=list, repr=False)

    # -- days ------------------------------------------------------------------------------------------------------

    def orders(self, *rows: dict[str, Any]) -> Intake:
        """Take orders in; none may be refused."""
        intake = transactions_load(source=ndjson(*rows), name="orders.ndjson", user="alice")
        assert (intake.state, intake.refused_count) == ("loaded", 0), intake.refused
        return intake

    def close(self, day: dt.date) -> None:
        """Cut the day off, post what is due, close it."""
        ledger.day_cut_off(day)
        post_missing(day)
        ledger.close_day(day)

    def bill(self, day: dt.date, *lines: Bill, contract: ChannelContract | None = None) -> BillFile:
        """An accepted bill of the day; one that was there before is superseded, as a take-over would do it."""
        return bill_of(contract or self.contract, day, lines)

    def run(self, day: dt.date, contract: ChannelContract | None = None) -> ReconRun:
        """Reconcile, and see that the books explain themselves afterwards."""
        run = run_reconcile(contract=contract or self.contract, day=day)
        self.seen.append(run)
        self.books_agree()
        return run

    def day(self, day: dt.date, orders: Iterable[dict[str, Any]] = (), lines: Iterable[Bill] = ()) -> ReconRun:
        """A whole day: orders in, closed, bill accepted, run."""
        rows = list(orders)
        if rows:
            self.orders(*rows)
        self.close(day)
        self.bill(day, *lines)
        return self.run(day)

    # -- looking ---------------------------------------------------------------------------------------------------

    def books_agree(self) -> None:
        """Trial balance; pending clearing explained; suspense = open cases; every current equation holds."""
        today = balances.open_day()
        assert all(total.balanced for total in trial_balance_totals(trial_balance(today)))
        for contract in ChannelContract.objects.all():
            account = clearing_account(contract, today)
            assert account.unexplained == 0, (contract.code, account)
        assert check_suspense(today) == []
        for run in ReconRun.objects.filter(is_current=True):
            assert run.equation["holds"], run.equation

    @property
    def surplus(self) -> int:
        return balances.balance_of("224101", "channel", self.contract.code)

    @property
    def shortage(self) -> int:
        return balances.balance_of("122101", "channel", self.contract.code)

    @property
    def clearing(self) -> int:
        return balances.balance_of("300101", "channel", self.contract.code)

    @property
    def receivable(self) -> int:
        return balances.balance_of("112201", "channel", self.contract.code)

    def pending(self, merchant_no: str = "M-A") -> int:
        return balances.balance_of("220201", "merchant", merchant_no)


def bill_of(contract: ChannelContract, day: dt.date, lines: Iterable[Bill]) -> BillFile:
    """An accepted bill file with its lines, written directly."""
    files = BillFile.objects.filter(contract=contract, channel_date=day)
    files.filter(state=FileState.ACCEPTED).update(state=FileState.SUPERSEDED)
    number = BillFile.objects.filter(channel_date=day).count()
    made = BillFile.objects.create(
        contract=contract,
        channel_date=day,
        version=files.count() + 1,
        state=FileState.ACCEPTED,
        original_name="bill.csv",
        stored_path="bill.csv",
        sha256=hashlib.sha256(str(next(_files)).encode()).hexdigest(),
        size=1,
        day_file_no=number,
        proven=True,
    )
    ensure_day(day, only=[BillLine])
    lo, _hi = line_range(made)
    rows = [entry.row(lo + n, contract) for n, entry in enumerate(lines, start=1)]
    BillLine.objects.bulk_create(rows)
    made.line_count = len(rows)
    made.save(update_fields=["line_count"])
    return made


def build_town() -> Town:
    """The institution with Monday open."""
    world = build_world()
    institution_update(name="Test", own_cut_off=dt.time(23, 0))
    ledger.day_open(MON)
    return Town(world, world.wechat)


# -- reading results ---------------------------------------------------------------------------------------------------


def found(run: ReconRun) -> list[tuple[str, str, int]]:
    """(result, key, d) of what the run reports, in order of result and key."""
    rows = ReconResult.objects.filter(run=run).values_list("kind", "match_key", "d")
    return sorted((kind, key, d) for kind, key, d in rows)


def booked(run: ReconRun) -> dict[str, dict[str, int]]:
    """Rule name (with the merchant where there is one) → amounts of the run's vouchers."""
    vouchers = RunVoucher.objects.filter(run=run)
    return {
        " ".join(filter(None, [v.get_event_display(), v.merchant_no])): {k: a for k, a in v.amounts.items() if a}
        for v in vouchers
    }


def live() -> list[tuple[str, str, int]]:
    """(key, state, d) of the items that are carried on."""
    items = OpenItem.objects.filter(state__in=("in_doubt", "definite")).order_by("match_key", "id")
    return [(item.match_key, item.state, item.d) for item in items]


def cases() -> list[tuple[str, str, int]]:
    """(kind, state, suspense) of every case, oldest first."""
    return [(case.kind, case.state, case.suspense) for case in Discrepancy.objects.order_by("pk")]


def stored(number: str) -> Transaction:
    """The transaction as it stands."""
    return Transaction.objects.for_days(dt.date(2026, 11, 10), dt.date(2026, 11, 24)).get(transaction_no=number)
