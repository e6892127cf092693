"""Walks the sample days as people and outside parties would: feeds each day, runs it, approves, asks the bank."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.approvals import services as approvals
from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.channels.bills import services as bills
from payops.channels.choices import FileState
from payops.channels.models import BankLine, ChannelContract
from payops.channels.receipts import services as receipts
from payops.core.errors import PayopsError
from payops.dayend import services as dayend
from payops.dayend.models import DayStep, StepState
from payops.dayend.sample.bank import Bank
from payops.dayend.sample.plan import RESERVE_ACCOUNT
from payops.dayend.setup_file import load_setup
from payops.identity.models import User
from payops.orders import services as orders
from payops.orders.models import Intake, IntakeState
from payops.reconciliation import funds
from payops.settlement.models import Payout

MAKER: Final = "alice"
CHECKER: Final = "bob"
DAY: Final = dt.timedelta(days=1)
MAX_ROUNDS: Final = 12
"""How often the days are taken up again in one morning: approval, sending, queries until every result is in."""


class Walk:
    """One walk over the days below `root`. Everything it does may be repeated without effect."""

    def __init__(self, root: Path, bank: Bank, say: Callable[[str], None]) -> None:
        self.root, self.bank, self.say = root, bank, say
        self.days = sorted(dt.date.fromisoformat(path.name) for path in root.iterdir() if path.is_dir())

    def run(self) -> None:
        """Set-up, every day in order, then the days after the last until the bank has nothing more to tell."""
        load_setup(self.root / "setup.yaml")
        if not Payout.objects.exists() and not BankLine.objects.exists():
            # What the bank remembers of an earlier database is not ours.
            self.bank.reset(self.days[0])
        for day in self.days:
            self.say(_("%(day)s …") % {"day": day.isoformat()})
            self._orders(day)
            self._bills(day)
            self._morning(day + DAY)
        # The last receipts and the last returned payouts come on the days after.
        for later in (2, 3):
            self._morning(self.days[-1] + later * DAY)
            funds.funds_match(username=MAKER)

    def _orders(self, day: dt.date) -> None:
        """The day's orders, once: a second time they would contradict the lost orders recovered since."""
        path = self.root / day.isoformat() / "orders.csv"
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if Intake.objects.filter(sha256=digest, state=IntakeState.LOADED).exists():
            return
        intake = orders.transactions_load(source=path, name=f"orders_{day}.csv", user=MAKER)
        if intake.state != IntakeState.LOADED or intake.refused:
            raise PayopsError(
                "sample.orders_refused",
                _("The orders of %(day)s were not taken as they are: %(reason)s")
                % {"day": day.isoformat(), "reason": intake.refused[:3]},
            )

    def _bills(self, day: dt.date) -> None:
        """Every channel's bill of the day to us, and to the bank what the channels will pay for it."""
        folder = self.root / day.isoformat()
        settlements = json.loads((folder / "settlements.json").read_text(encoding="utf-8"))["settlements"]
        self.bank.settle(settlements)
        for contract in ChannelContract.objects.filter(active=True):
            for path in sorted(folder.glob(f"bill_{contract.code}_*")):
                file = bills.bill_load(
                    contract=contract, channel_date=day, stream=path, name=path.name, source="sample", user=MAKER
                )
                if file.state != FileState.ACCEPTED:
                    raise PayopsError(
                        "sample.bill_refused",
                        _("%(name)s is %(state)s: %(reason)s")
                        % {"name": path.name, "state": file.state, "reason": file.error_message},
                    )

    def _morning(self, today: dt.date) -> None:
        """The morning after: the bank's statement comes, and every unfinished day goes on as far as it can."""
        self.bank.move_on(today)
        self._statement(today)
        before: Any = None
        for _round in range(MAX_ROUNDS):
            for day in self._unfinished(today - DAY):
                dayend.day_run(day, username=MAKER)
            self._approve_payouts()
            now = _state_of_things()
            if now == before:
                return
            before = now

    def _statement(self, today: dt.date) -> None:
        text = self.bank.statement(RESERVE_ACCOUNT, self.days[0], today)
        result = receipts.receipts_load(
            stream=io.BytesIO(text), name=f"statement_{today}.csv", user=MAKER, source="sample"
        )
        if result.refused_count:
            raise PayopsError(
                "sample.statement_refused",
                _("The bank's statement of %(day)s was not taken as it is: %(reason)s")
                % {"day": today.isoformat(), "reason": result.refused[:3]},
            )

    def _unfinished(self, last: dt.date) -> list[dt.date]:
        """Days up to `last` with a step that still waits for something, in order."""
        return [
            day
            for day in self.days
            if day <= last and (DayStep.objects.filter(day=day).exclude(state=StepState.DONE).exists() or day == last)
        ]

    def _approve_payouts(self) -> None:
        checker = User.objects.get(username=CHECKER)
        waiting = ApprovalRequest.objects.filter(status=RequestStatus.PENDING, action__startswith="settlement.")
        for request in waiting.order_by("id"):
            approvals.request_approve(request_id=request.pk, checker=checker, note="sample days")


def _state_of_things() -> tuple[Any, ...]:
    """What has to stand still before a morning is over."""
    return (
        tuple(DayStep.objects.order_by("day", "id").values_list("day", "step", "state")),
        tuple(Payout.objects.order_by("id").values_list("payout_no", "state", "query_count")),
        ApprovalRequest.objects.filter(status=RequestStatus.PENDING).count(),
    )
