"""Whatever people and runs do to cases in whatever order, no cent is lost, none is booked twice."""

from __future__ import annotations

import contextlib
from itertools import count
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payops.accounts.choices import Event
from payops.accounts.models import Account
from payops.approvals.services import request_approve, request_reject, request_withdraw
from payops.core.errors import PayopsError
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.choices import OPEN_STATES, WORKABLE_STATES, ActionKind, CaseKind
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.rules import allowed_actions
from payops.discrepancies.services import (
    action_propose,
    actions_propose_many,
    case_auto_clear,
    case_open,
    surplus_refund_failed,
)
from payops.orders.choices import Status
from payops.orders.models import Transaction
from tests.discrepancies.conftest import DAY, book
from tests.examples import examples

pytestmark = pytest.mark.django_db
KEYS = count(1)

FOUND = [CaseKind.CHANNEL_ONLY, CaseKind.OWN_ONLY, CaseKind.AMOUNT, CaseKind.DUPLICATE_CHANNEL, CaseKind.RECEIPT]
differences = st.lists(st.tuples(st.integers(-999, 999).filter(bool), st.sampled_from(FOUND)), min_size=3, max_size=6)
step = st.tuples(
    st.sampled_from(["find", "decide", "decide", "propose", "batch", "approve", "reject", "withdraw", "clear", "fail"]),
    st.integers(0, 9),
    st.integers(0, 9),
)


class Life:
    """Applies steps; a step that does not fit is refused by the services and must leave nothing behind."""

    def __init__(self, world: Any, maker: Any, checker: Any) -> None:
        self.world, self.maker, self.checker = world, maker, checker

    def find(self, which: int, choice: int) -> None:
        self.open(100 * (which + 1) * (-1) ** choice, FOUND[choice % len(FOUND)])

    def open(self, d: int, kind: str) -> None:
        event = Event.SURPLUS_FOUND if d > 0 else Event.SHORTAGE_FOUND
        book(event, abs(d), channel=self.world.wechat.code)
        case_open(
            dedupe_key=f"L{next(KEYS)}",
            kind=kind,
            amount=d,
            suspense=d,
            currency="CNY",
            business_date=DAY,
            evidence={},
            contract=self.world.wechat,
            merchant=self.world.a,
        )

    def propose(self, which: int, choice: int) -> CaseAction:
        case = self.nth(Discrepancy.objects.filter(state__in=WORKABLE_STATES), which)
        kinds = allowed_actions(case)
        kind = kinds[-1 - choice % len(kinds)]  # waiting stands first and is the dullest
        return action_propose(case_id=case.pk, kind=kind, params={}, user=self.maker, note="n")

    def decide(self, which: int, choice: int) -> None:
        request_approve(request_id=self.propose(which, choice).approval_id, checker=self.checker)

    def batch(self, which: int, choice: int) -> None:
        kind = ActionKind.values[choice % len(ActionKind.values)]
        cases = Discrepancy.objects.filter(state__in=WORKABLE_STATES).order_by("pk")
        fit = [case.pk for case in cases if kind in allowed_actions(case)]
        actions_propose_many(case_ids=fit[: which + 1], kind=kind, params={}, user=self.maker, note="n")

    def approve(self, which: int, _: int) -> None:
        request_approve(request_id=self.action(which).approval_id, checker=self.checker)

    def reject(self, which: int, _: int) -> None:
        request_reject(request_id=self.action(which).approval_id, checker=self.checker, note="no")

    def withdraw(self, which: int, _: int) -> None:
        request_withdraw(request_id=self.action(which).approval_id, maker=self.maker)

    def clear(self, which: int, _: int) -> None:
        case = self.nth(Discrepancy.objects.filter(state__in=OPEN_STATES), which)
        event = Event.SURPLUS_CLEARED if case.suspense > 0 else Event.SHORTAGE_CLEARED
        with transaction.atomic():
            book(event, abs(case.suspense), channel=self.world.wechat.code)
            case_auto_clear(case_id=case.pk, note="other half")

    def fail(self, which: int, _: int) -> None:
        action = self.nth(CaseAction.objects.filter(kind=ActionKind.REFUND_PAYER, state="booked"), which)
        Transaction.objects.filter(pk=action.transaction_id).update(status=Status.FAILED)
        surplus_refund_failed(transaction_id=action.transaction_id)

    def action(self, which: int) -> CaseAction:
        """Mostly one that still waits; sometimes one decided long ago, as from a stale page."""
        waiting = CaseAction.objects.filter(state="proposed")
        return self.nth(waiting if which < 8 else CaseAction.objects.all(), which)

    def nth(self, rows: Any, which: int) -> Any:
        found = list(rows.order_by("pk"))
        if not found:
            raise PayopsError("tests.nothing", "nothing there yet")
        return found[which % len(found)]


def difference_of_all_accounts() -> int:
    """Debit balances less credit balances: zero as long as every voucher balances."""
    accounts = Account.objects.select_related("subject")
    return sum(account.balance if account.subject.normal_side == "D" else -account.balance for account in accounts)


@given(found=differences, steps=st.lists(step, min_size=6, max_size=20))
@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_suspense_equals_the_open_cases_after_every_step(world, alice, bob, found, steps):
    life = Life(world, alice, bob)
    with transaction.atomic():
        for d, kind in found:
            life.open(d, kind)
        for name, which, choice in steps:
            with contextlib.suppress(PayopsError), transaction.atomic():
                getattr(life, name)(which, choice)
            assert check_suspense(DAY) == []
            assert difference_of_all_accounts() == 0
            closed = CaseAction.objects.filter(state="booked").exclude(kind=ActionKind.WAIT)
            assert closed.count() == closed.values("voucher_id").distinct().count()
        transaction.set_rollback(True)
