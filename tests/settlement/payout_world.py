"""What payout tests stand on: settlement sheets with money behind them, and the simulated bank on a free port."""

from __future__ import annotations

import datetime as dt
import io
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Account
from payops.approvals.services import request_approve
from payops.channels.models import BankAccount
from payops.channels.receipts.services import receipts_load
from payops.discrepancies.checks import check_suspense
from payops.merchants.models import Merchant, SettlementAccount
from payops.merchants.services import SettlementAccountData, settlement_account_set
from payops.reconciliation.funds import funds_match
from payops.settlement.bank import HttpBank
from payops.settlement.models import Payout, PayoutBatch, SettlementSession, SettlementSheet
from payops.settlement.payouts import payout_batch_create, payouts_poll, payouts_send
from simulators.bank.server import BankServer
from simulators.bank.store import Store
from tests.orders.conftest import build_world

DAY = dt.date(2026, 11, 16)
PAY_DATE = DAY + dt.timedelta(days=1)
RESERVE = "6222"
_sources = count(1)


def build(day: dt.date = DAY) -> None:
    """The institution with two merchants, one accounting day open."""
    build_world()
    ledger.day_open(day)


@contextmanager
def running_bank(folder: Path) -> Iterator[SimulatedBank]:
    """The real simulator, served from a thread."""
    store = Store(folder / "bank.sqlite3", PAY_DATE)
    server = BankServer(("127.0.0.1", 0), store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield SimulatedBank(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        store.close()


class SimulatedBank(HttpBank):
    """Our client, and the handles a test needs on the bank's other side. Counts what is asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_seconds=5)
        self.url = url
        self.sent: list[str] = []

    def payout_send(self, order: Any) -> Any:
        self.sent.append(order.payout_no)
        return super().payout_send(order)

    def post(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())

    def next_day(self, days: int = 1) -> None:
        self.post("/clock", date=(PAY_DATE + dt.timedelta(days=days)).isoformat())

    def take_statement(self) -> dict[str, Any]:
        """Load the whole statement and identify its lines."""
        content = self.statement(RESERVE, PAY_DATE, PAY_DATE + dt.timedelta(days=9))
        receipts_load(stream=io.BytesIO(content), name="statement.csv")
        return funds_match()

    def paid_out(self) -> int:
        """What left our account less what came back, minor units."""
        content = self.statement(RESERVE, PAY_DATE, PAY_DATE + dt.timedelta(days=9)).decode()
        rows = [row.split(",") for row in content.splitlines()[1:]]
        return sum(round(float(row[6]) * 100) * (1 if row[5] == "debit" else -1) for row in rows)


def account(merchant_no: str, ending: str = "0001", **fields: str) -> SettlementAccount:
    """Name the account the merchant is paid to; its last digits decide the bank's behaviour."""
    data = {"bank_name": "Bank of Tests", "branch_code": "102100099996", "holder": "Tea House", **fields}
    return settlement_account_set(
        merchant=Merchant.objects.get(merchant_no=merchant_no),
        data=SettlementAccountData(number=f"6225880000{ending}", **data),
    )


def give(merchant_no: str, amount: int) -> None:
    """Paid for, received from the channel and cleared: the merchant's settlement account holds it."""
    owners = {"merchant": merchant_no, "channel": "WECHAT", "bank": "RSV"}
    for event, amounts in (
        (Event.PAYMENT, {"A": amount}),
        (Event.BILL_NETTED, {"S": amount, "K": 0}),
        (Event.RECEIPT, {"R": amount}),
        (Event.CLEARING_NET, {"A": amount, "X": 0, "F": 0}),
    ):
        ledger.post(ledger.Posting(event, "test", next(_sources), amounts, owners, DAY))


def ready_sheet(merchant_no: str = "M-A", amount: int = 10_000, **fields: Any) -> SettlementSheet:
    """A sheet the balance check has let through, with its money."""
    give(merchant_no, amount)
    session, _created = SettlementSession.objects.get_or_create(pay_date=PAY_DATE, own_date=DAY, session_no=1)
    values = {"count": 1, "amount": amount, "fee": 0, "settlement_amount": amount, "payout_amount": amount}
    return SettlementSheet.objects.create(
        session=session,
        sheet_no=f"S{next(_sources)}",
        merchant=Merchant.objects.get(merchant_no=merchant_no),
        **{"pay_date": PAY_DATE, "state": "ready", **values, **fields},
    )


def propose(maker: Any) -> PayoutBatch:
    batch = payout_batch_create(day=DAY, maker=maker)
    assert batch is not None
    return batch


def approve(batch: PayoutBatch, checker: Any) -> dict[str, Any]:
    result = request_approve(request_id=batch.approval_id, checker=checker).result
    assert isinstance(result, dict)
    return result


def pay(maker: Any, checker: Any, bank: Any, *, polls: int = 1) -> Payout:
    """Propose, approve, send and ask; returns the batch's first payout."""
    batch = propose(maker)
    approve(batch, checker)
    payouts_send(bank=bank)
    payouts_poll(bank=bank, rounds=polls)
    first = batch.payouts.order_by("id").first()
    assert first is not None
    return first


def settlement(merchant_no: str = "M-A") -> int:
    return balances.balance_of("220202", "merchant", merchant_no)


def in_flight() -> int:
    return sum(Account.objects.filter(subject__code="224102").values_list("balance", flat=True))


def reserve() -> int:
    return balances.balance_of("100201", "bank", BankAccount.objects.get().code)


def books_agree() -> bool:
    """Nothing in flight and every cent of suspense remembered."""
    return in_flight() == 0 and check_suspense(DAY) == []


def states(payout: Payout) -> tuple[str, str]:
    """The payout's state and its sheet's."""
    payout.refresh_from_db()
    payout.sheet.refresh_from_db()
    return payout.state, payout.sheet.state
