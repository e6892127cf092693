"""Two small sample days, fed piece by piece: what the tests of the day end and of crashes walk through.

The pieces come as they do in life: orders during the day, bills at night, the bank's statement in the morning.
"""

from __future__ import annotations

import datetime as dt
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from payops.accounts.models import Account, DayBalance
from payops.approvals import services as approvals
from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.channels.bills.selectors import contract_by_code
from payops.channels.bills.services import bill_load
from payops.channels.models import BillFile
from payops.dayend.models import DayStep
from payops.dayend.sample.bank import Bank
from payops.dayend.sample.plan import RESERVE_ACCOUNT, Options
from payops.dayend.sample.walk import Walk
from payops.dayend.services import day_run
from payops.dayend.setup_file import load_setup
from payops.identity.models import User
from payops.settlement.models import Payout, SettlementSheet
from simulators.bank.server import BankServer
from simulators.bank.store import Store

MON = dt.date(2026, 11, 16)
TUE = dt.date(2026, 11, 17)
WED = dt.date(2026, 11, 18)
DAY = dt.timedelta(days=1)
CHANNELS = ("WECHAT", "ALIPAY", "UNIONPAY")
SMALL = Options(seed=7, merchants=12, transactions=120, first=MON, last=TUE)


@contextmanager
def bank_at(folder: Path, day: dt.date) -> Iterator[Bank]:
    """A simulated bank of the test's own, in a thread, whose date is `day`."""
    store = Store(folder / "bank.sqlite3", day)
    server = BankServer(("127.0.0.1", 0), store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Bank(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        store.close()


class SampleDays:
    """The sample below `root`, given to payops piece by piece."""

    def __init__(self, root: Path, bank: Bank) -> None:
        self.root, self.bank = root, bank
        self.walk = Walk(root, bank, lambda _text: None)
        load_setup(root / "setup.yaml")
        bank.reset(self.walk.days[0])

    @property
    def reserve(self) -> str:
        """The number of the reserve account."""
        return RESERVE_ACCOUNT

    def orders_file(self, day: dt.date) -> Path:
        return self.root / day.isoformat() / "orders.csv"

    def bill_file(self, channel: str, day: dt.date) -> Path:
        (path,) = (self.root / day.isoformat()).glob(f"bill_{channel}_*")
        return path

    def orders(self, day: dt.date) -> None:
        self.walk._orders(day)

    def bill(self, channel: str, day: dt.date, path: Path | None = None) -> BillFile:
        path = path or self.bill_file(channel, day)
        contract = contract_by_code(channel)
        return bill_load(contract=contract, channel_date=day, stream=path, name=path.name, source="test", user="alice")

    def bills(self, day: dt.date, *, without: str = "") -> None:
        for channel in CHANNELS:
            if channel != without:
                assert self.bill(channel, day).state == "accepted"

    def money(self, day: dt.date) -> None:
        """What the channels pay for a day is on the bank's statement of the next morning."""
        import json

        told = json.loads((self.root / day.isoformat() / "settlements.json").read_text(encoding="utf-8"))
        self.bank.settle(told["settlements"])
        self.bank.move_on(day + DAY)
        self.walk._statement(day + DAY)

    def all_of(self, day: dt.date, *, without: str = "") -> None:
        """Everything a day needs from outside."""
        self.orders(day)
        self.bills(day, without=without)
        self.money(day)

    def run(self, day: dt.date, **options: Any) -> dict[str, DayStep]:
        """`day_run` in alice's name; the day's steps by name."""
        return {row.step: row for row in day_run(day, username="alice", **options)}

    def finish(self, day: dt.date, rounds: int = 6) -> dict[str, DayStep]:
        """Approve and go on until the day is done or stands still."""
        steps: dict[str, DayStep] = {}
        for _round in range(rounds):
            steps = self.run(day)
            approve_payouts()
            if all(step.state == "done" for step in steps.values()):
                break
        return steps


def approve_payouts() -> None:
    """Bob approves the payouts that wait for him."""
    waiting = ApprovalRequest.objects.filter(status=RequestStatus.PENDING, action__startswith="settlement.")
    for request in waiting.order_by("id"):
        approvals.request_approve(request_id=request.pk, checker=User.objects.get(username="bob"), note="ok")


def steps_of(day: dt.date) -> dict[str, str]:
    """The day's steps and their states, as they stand in the database."""
    return dict(DayStep.objects.filter(day=day).values_list("step", "state"))


def books() -> dict[str, Any]:
    """What must not move when something is done twice: balances, closed days, sheets and payouts."""
    return {
        "accounts": list(
            Account.objects.exclude(balance=0)
            .order_by("subject__code", "owner_kind", "owner_no", "currency")
            .values_list("subject__code", "owner_kind", "owner_no", "currency", "balance")
        ),
        "closings": list(
            DayBalance.objects.order_by("day", "account_id").values_list("day", "account_id", "debit", "credit")
        ),
        "sheets": list(
            SettlementSheet.objects.order_by("pay_date", "merchant__merchant_no").values_list(
                "pay_date", "merchant__merchant_no", "state", "payout_amount", "carry_out"
            )
        ),
        "payouts": list(
            Payout.objects.order_by("sheet__pay_date", "sheet__merchant__merchant_no", "id").values_list(
                "sheet__merchant__merchant_no", "state", "amount"
            )
        ),
    }


def output_of(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a management command."""
    from django.core.management import CommandError, call_command

    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()
