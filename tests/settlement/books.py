"""Days told in a few lines: sold, reconciled, received. Fees are 0.6 %, the channel keeps 0.2 % back.

Reconciliation's facts are written as a run would leave them, with their vouchers, so that the ledger means something.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from itertools import count
from typing import Any

from django.db import connection
from django.db.models import Model

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.channels.models import BankLine, BillFile, ChannelContract
from payops.discrepancies.choices import CaseKind
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.services import action_propose, case_auto_clear, case_open
from payops.merchants.models import Merchant
from payops.merchants.services import SettlementAccountData, TermsData, settlement_account_set, settlement_terms_set
from payops.orders.models import Transaction
from payops.orders.services import transactions_load
from payops.reconciliation.choices import ItemSide, ItemState, ReceiptState, ResultKind, RunState
from payops.reconciliation.models import (
    ChannelReceipt,
    OpenItem,
    ReceiptAllocation,
    ReceiptPart,
    ReconRun,
    RunVoucher,
)
from payops.settlement import sql
from payops.settlement.equation import bill_totals
from payops.settlement.models import ClearingItem, SettlementSheet
from payops.settlement.services import balance_check_run, clearing_run, settlement_run
from tests.orders.conftest import build_world, ndjson, order, refund, transaction

_numbers = count(1)
TUESDAY = dt.date(2026, 11, 17)


def damage(row: Model, **values: Any) -> None:
    """Change what the database would not let anybody change, to see who notices."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        type(row)._default_manager.filter(pk=row.pk).update(**values)
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")


class Books:
    """An institution whose first accounting day is open."""

    def __init__(self, first_day: dt.date = TUESDAY) -> None:
        self.world = build_world()
        self.wechat, self.alipay = self.world.wechat, self.world.alipay
        self.a, self.b = self.world.a, self.world.b
        ledger.day_open(first_day)
        for n, merchant in enumerate((self.a, self.b), start=1):
            settlement_terms_set(merchant=merchant, data=TermsData())
            self.account(merchant, f"622202000000{n:04d}")

    # --- what happens ---

    def account(self, merchant: Merchant, number: str) -> None:
        data = SettlementAccountData(bank_name="ICBC", holder=merchant.name, number=number, branch_code="102100099996")
        settlement_account_set(merchant=merchant, data=data)

    def pay(self, number: str, amount: str, day: dt.date, **changes: Any) -> Transaction:
        at = f"{day.isoformat()}T10:00:00"
        return self._load(order(number, amount=amount, created_at=at, succeeded_at=at, **changes), number)

    def refund(self, number: str, original: str, amount: str, day: dt.date, **changes: Any) -> Transaction:
        at = f"{day.isoformat()}T11:00:00"
        row = refund(number, original, amount, created_at=at, **changes)
        if row["status"] == "succeeded":
            row["succeeded_at"] = at
        return self._load(row, number)

    def _load(self, row: dict[str, Any], number: str) -> Transaction:
        intake = transactions_load(source=ndjson(row), name="orders.ndjson", user="alice")
        assert not intake.refused, intake.refused
        return transaction(number)

    def close(self, day: dt.date) -> None:
        ledger.day_cut_off(day)
        ledger.close_day(day)

    def reconcile(
        self, contract: ChannelContract, day: dt.date, *, cost: int = 0, discounts: Mapping[str, int] | None = None
    ) -> ReconRun:
        """A complete run after its items are told: the bill holds what own total and items leave."""
        run = self.run_of(contract, day)
        discounts = discounts or {}
        of = OpenItem.objects.filter(contract=contract)
        value = sql.own_total(contract.pk, day) - sum(discounts.values())
        value += sum(of.filter(first_date=day).exclude(state=ItemState.WITHDRAWN).values_list("d", flat=True))
        value -= sum(of.filter(cleared_date=day).values_list("d", flat=True))
        self._book(run, Event.BILL_NETTED, {"S": value - cost, "K": cost}, {"channel": contract.code})
        for merchant_no, discount in discounts.items():
            owners = {"channel": contract.code, "merchant": merchant_no}
            self._book(run, Event.BILL_DISCOUNT, {"X": discount}, owners, merchant_no)
        ReconRun.objects.filter(pk=run.pk).update(state=RunState.COMPLETE, is_current=True)
        return run

    def run_of(self, contract: ChannelContract, day: dt.date) -> ReconRun:
        run = ReconRun.objects.filter(contract=contract, channel_date=day).first()
        if run is None:
            file = BillFile.objects.create(
                contract=contract,
                channel_date=day,
                version=1,
                original_name="bill",
                stored_path="",
                sha256=f"{next(_numbers):064d}",
                size=0,
            )
            run = ReconRun.objects.create(contract=contract, channel_date=day, run_no=1, file=file)
        return run

    def _book(
        self, run: ReconRun, event: Event, amounts: dict[str, int], owners: dict[str, str], merchant_no: str = ""
    ) -> None:
        row = RunVoucher.objects.create(
            run=run,
            contract=run.contract,
            channel_date=run.channel_date,
            event=event,
            merchant_no=merchant_no,
            amounts=amounts,
        )
        ledger.post(ledger.Posting(event, "run_voucher", row.pk, amounts, owners, business_date=run.channel_date))

    def differ(
        self,
        contract: ChannelContract,
        day: dt.date,
        d: int,
        result: ResultKind,
        row: Transaction | None = None,
        *,
        merchant: Merchant | None = None,
    ) -> OpenItem:
        """A difference first seen by the day's run; definite ones have a case and their suspense."""
        run = self.run_of(contract, day)
        doubt = result in (ResultKind.OWN_IN_DOUBT, ResultKind.CHANNEL_IN_DOUBT)
        side = ItemSide.OWN if row is not None else ItemSide.CHANNEL
        n = next(_numbers)
        item = OpenItem(
            contract=contract,
            side=ItemSide.PAIR if result == ResultKind.AMOUNT else side,
            result=result,
            state=ItemState.IN_DOUBT if doubt else ItemState.DEFINITE,
            match_key=f"K{n}",
            kind=1,
            transaction_id=row.pk if row else None,
            d=d,
            identity=str(n),
            first_date=day,
            first_run=run,
        )
        if not doubt:
            event = Event.SURPLUS_FOUND if d > 0 else Event.SHORTAGE_FOUND
            ledger.post(ledger.Posting(event, "test", n, {"D": abs(d)}, {"channel": contract.code}, day))
            channel = {"match_key": f"K{n}", "occurred_at": f"{day}T10:00:00+08:00"}
            item.case = case_open(
                dedupe_key=str(n),
                kind=CaseKind(result),
                amount=d,
                suspense=d,
                currency="CNY",
                business_date=day,
                contract=contract,
                merchant=merchant or (row.merchant if row else self.a),
                transaction_id=row.pk if row else None,
                evidence={"own": None, "channel": channel},
            )
        item.save()
        return item

    def other_half(self, item: OpenItem, day: dt.date) -> None:
        """The day's bill brings what was missing; a definite item's suspense and case are cleared."""
        item.state, item.cleared_date, item.cleared_run = ItemState.CLEARED, day, self.run_of(item.contract, day)
        item.save()
        if item.case is not None:
            event = Event.SURPLUS_CLEARED if item.d > 0 else Event.SHORTAGE_CLEARED
            ledger.post(
                ledger.Posting(event, "test", item.pk, {"D": abs(item.d)}, {"channel": item.contract.code}, day)
            )
            case_auto_clear(case_id=item.case_id, note="came")

    def decide(self, case: Discrepancy, kind: str, maker: Any, checker: Any, **params: Any) -> CaseAction:
        from payops.approvals.services import request_approve

        action = action_propose(case_id=case.pk, kind=kind, params=params, user=maker, note="because")
        request_approve(request_id=action.approval_id, checker=checker)
        OpenItem.objects.filter(case=case).update(state=ItemState.RESOLVED)
        action.refresh_from_db()
        return action

    def receive(self, contract: ChannelContract, day: dt.date, *, less: int = 0, short: int = 0) -> ChannelReceipt:
        """The bank brings what the bill says is due, or `less`; `short` of that is booked to suspense."""
        due, _cost = bill_totals(contract, day)
        receipt = ChannelReceipt.objects.create(
            contract=contract,
            channel_date=day,
            due=due,
            received=due - less,
            short_booked=short,
            due_date=day,
            state=ReceiptState.AGREED,
        )
        if due - less:
            self._part(receipt, due - less)
        owners = {"channel": contract.code, "bank": "RSV"}
        ledger.post(ledger.Posting(Event.RECEIPT, "test", next(_numbers), {"R": due - less}, owners, day))
        return receipt

    def _part(self, receipt: ChannelReceipt, amount: int) -> None:
        """The bank's line behind what a date received; the database asks for it."""
        line = BankLine.objects.create(
            bank_account=receipt.contract.reserve_account, value_date=receipt.channel_date, currency="CNY",
            reference=f"R{next(_numbers)}", amount=amount, kind="settlement", state="matched",
            contract=receipt.contract, channel_date=receipt.channel_date,
        )  # fmt: skip
        allocation = ReceiptAllocation.objects.create(bank_line=line, number=1, kind="named", made_by="test")
        ReceiptPart.objects.create(allocation=allocation, receipt=receipt, amount=amount)
        # Checked as at a commit: what a test damages afterwards is not asked about again.
        connection.check_constraints()

    # --- the steps ---

    def clear(self, day: dt.date) -> dict[str, Any]:
        return clearing_run(day=day)

    def settle(self, day: dt.date) -> dict[str, Any]:
        return settlement_run(day=day)

    def check(self, day: dt.date) -> list[dict[str, Any]]:
        return balance_check_run(day=day)

    def finish(self, day: dt.date) -> list[dict[str, Any]]:
        """Clear, settle, check: with nothing special the whole work after a day."""
        self.clear(day)
        self.settle(day)
        return self.check(day)

    def plain_day(self, day: dt.date, *contracts: ChannelContract, cost: int = 0) -> list[dict[str, Any]]:
        """Close, reconcile, receive and finish a day without differences."""
        self.close(day)
        for contract in contracts or (self.wechat,):
            self.reconcile(contract, day, cost=cost)
            self.receive(contract, day)
        return self.finish(day)

    def paid_out(self, sheet: SettlementSheet) -> None:
        """What approving and confirming its payout does to the books."""
        for event in (Event.PAYOUT_SUBMITTED, Event.PAYOUT_CONFIRMED):
            owners = {"merchant": sheet.merchant.merchant_no, "bank": "RSV"}
            ledger.post(
                ledger.Posting(event, "test", next(_numbers), {"P": sheet.payout_amount}, owners, sheet.pay_date)
            )
        SettlementSheet.objects.filter(pk=sheet.pk).update(state="paid")

    # --- what is there then ---

    def item(self, merchant: Merchant, day: dt.date, **filters: Any) -> ClearingItem:
        return ClearingItem.objects.get(merchant=merchant, own_date=day, **filters)

    def sheet(self, merchant: Merchant, pay_date: dt.date) -> SettlementSheet:
        return SettlementSheet.objects.get(merchant=merchant, pay_date=pay_date)

    def settlement(self, merchant: Merchant) -> int:
        return balances.balance_of("220202", "merchant", merchant.merchant_no)

    def pending(self, merchant: Merchant) -> int:
        return balances.balance_of("220201", "merchant", merchant.merchant_no)
