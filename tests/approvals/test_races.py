"""Two people, two real connections, one request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.services import request_approve, request_reject, request_withdraw
from payops.core.errors import PayopsError
from payops.identity.services import user_create

pytestmark = pytest.mark.django_db(transaction=True)


def race(*contestants: Callable[[], Any]) -> list[str]:
    """Start all at the same moment, each on its own connection; the outcome of each, as 'ok' or the error's code."""
    barrier = threading.Barrier(len(contestants))
    outcomes: list[str] = [""] * len(contestants)

    def run(index: int, contestant: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout=10)
            contestant()
            outcomes[index] = "ok"
        except PayopsError as error:
            outcomes[index] = error.code
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(contestants)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return outcomes


def test_two_approvers_at_once_execute_once(submit, target, bob):
    second = user_create(username="barbara", password=None, role="finance")
    request = submit()
    plain = target.execute

    def slowly(request: ApprovalRequest) -> dict[str, Any]:
        time.sleep(0.2)
        return plain(request)

    target.execute = slowly
    outcomes = race(
        lambda: request_approve(request_id=request.pk, checker=bob),
        lambda: request_approve(request_id=request.pk, checker=second),
    )
    assert sorted(outcomes) == ["approvals.already_decided", "ok"]
    assert len(target.executed) == 1
    request.refresh_from_db()
    assert request.checker.username == target.executed[0][1]


def test_a_double_click_from_two_windows_executes_once(submit, target, bob):
    request = submit()
    outcomes = race(*[lambda: request_approve(request_id=request.pk, checker=bob)] * 4)
    assert sorted(outcomes) == ["approvals.already_decided"] * 3 + ["ok"]
    assert len(target.executed) == 1


def test_approval_against_withdrawal_has_one_winner(submit, target, alice, bob):
    request = submit()
    outcomes = race(
        lambda: request_approve(request_id=request.pk, checker=bob),
        lambda: request_withdraw(request_id=request.pk, maker=alice),
    )
    assert sorted(outcomes) == ["approvals.already_decided", "ok"]
    request.refresh_from_db()
    assert (request.status == RequestStatus.EXECUTED) == (len(target.executed) == 1)


def test_approval_against_rejection_has_one_winner(submit, target, bob):
    second = user_create(username="barbara", password=None, role="finance")
    request = submit()
    outcomes = race(
        lambda: request_approve(request_id=request.pk, checker=bob),
        lambda: request_reject(request_id=request.pk, checker=second, note="no"),
    )
    assert sorted(outcomes) == ["approvals.already_decided", "ok"]


def test_the_same_proposal_from_two_windows_is_made_once(submit, target):
    outcomes = race(submit, submit, submit)
    assert sorted(outcomes) == ["approvals.already_pending"] * 2 + ["ok"]
    assert ApprovalRequest.objects.count() == 1
