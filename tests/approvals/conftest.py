"""A small action of the tests' own: its target is a row in a dictionary, executing it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, Tier, register_action, unregister_action
from payops.approvals.services import request_submit

ACTION = "tests.move"


@dataclass
class Target:
    """What the action works on: a version that changes, and a count of executions and closures."""

    version: str = "1"
    executed: list[tuple[int, str]] = field(default_factory=list)
    closed: list[tuple[int, str]] = field(default_factory=list)
    failure: Exception | None = None

    def execute(self, request: ApprovalRequest) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        self.executed.append((request.pk, request.checker.username))
        return {"moved": request.payload["amount"]}


@pytest.fixture
def target() -> Iterator[Target]:
    """The registered action's target."""
    it = Target()
    register_action(
        ACTION,
        execute=lambda request: it.execute(request),
        fingerprint=lambda kind, id: f"{kind}:{id}:{it.version}",
        describe=lambda request: Description(title=f"Move {request.payload['amount']}", url_name="", rows=[("a", 1)]),
        maker_permission="cases.propose",
        checker_permission="cases.approve",
        tiers=[Tier(above=5_000_00, permission="approvals.decide"), Tier(above=50_000_00, permission="days.close")],
        closed=lambda request: it.closed.append((request.pk, request.status)),
    )
    yield it
    unregister_action(ACTION)


@pytest.fixture
def submit(target: Target, alice: Any) -> Callable[..., ApprovalRequest]:
    """``submit(amount=100)``: Alice proposes to move an amount."""

    def make(*, amount: int = 100, target_id: str = "7", maker: Any = None, **extra: Any) -> ApprovalRequest:
        return request_submit(
            action=ACTION,
            target_kind="thing",
            target_id=target_id,
            payload={"amount": amount, **extra},
            amount=amount,
            currency="CNY",
            title=f"Move {amount}",
            reason="because",
            maker=maker or alice,
        )

    return make
