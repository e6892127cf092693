"""Maker and checker: what one person proposes another decides, and it happens exactly once."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from payops.approvals import selectors
from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.registry import Description, Tier, register_action
from payops.approvals.services import (
    canonical_json,
    payload_hash,
    request_approve,
    request_overtake,
    request_reject,
    request_submit,
    request_withdraw,
)
from payops.core.errors import PayopsError
from payops.core.models import AuditLog
from payops.identity import models as identity_models

pytestmark = pytest.mark.django_db


def refusal(function, **arguments) -> PayopsError:
    with pytest.raises(PayopsError) as caught:
        function(**arguments)
    return caught.value


def test_a_proposed_action_waits_and_does_nothing(submit, target):
    request = submit(amount=100)
    assert request.status == RequestStatus.PENDING
    assert target.executed == []


def test_approval_executes_the_action_and_keeps_who_when_and_the_result(submit, target, bob):
    request = submit(amount=100)
    request_approve(request_id=request.pk, checker=bob, note="checked")
    request.refresh_from_db()
    assert target.executed == [(request.pk, "bob")]
    assert (request.status, request.checker, request.decision_note) == (RequestStatus.EXECUTED, bob, "checked")
    assert request.decided_at is not None
    assert request.result == {"moved": 100}


def test_a_double_click_on_approve_executes_once(submit, target, bob):
    request = submit()
    request_approve(request_id=request.pk, checker=bob)
    error = refusal(request_approve, request_id=request.pk, checker=bob)
    assert error.code == "approvals.already_decided"
    assert "bob" in str(error)
    assert len(target.executed) == 1


def test_one_person_cannot_both_propose_and_approve(submit, target, alice, monkeypatch):
    """A peer let one person audit and pay; here even somebody who holds both permissions is refused."""
    monkeypatch.setattr(identity_models, "permissions_of", lambda *_: frozenset({"cases.propose", "cases.approve"}))
    request = submit(maker=alice)
    error = refusal(request_approve, request_id=request.pk, checker=alice)
    assert error.code == "approvals.own_request"
    assert refusal(request_reject, request_id=request.pk, checker=alice, note="no").code == "approvals.own_request"
    assert target.executed == []


def test_the_auditor_can_neither_propose_nor_approve(submit, target, carol):
    assert refusal(submit, maker=carol).code == "approvals.not_allowed"
    request = submit()
    error = refusal(request_approve, request_id=request.pk, checker=carol)
    assert error.code == "approvals.not_allowed"
    assert error.context["permission"] == "cases.approve"


def test_a_target_changed_since_submission_is_an_error_that_says_what_to_do(submit, target, bob):
    request = submit()
    target.version = "2"
    error = refusal(request_approve, request_id=request.pk, checker=bob)
    assert error.code == "approvals.target_changed"
    assert f"Reject request #{request.pk}" in str(error)
    request.refresh_from_db()
    assert request.status == RequestStatus.PENDING
    assert target.executed == []


def test_a_failing_action_leaves_the_request_pending(submit, target, bob):
    request = submit()
    target.failure = PayopsError("tests.no", "not today")
    assert refusal(request_approve, request_id=request.pk, checker=bob).code == "tests.no"
    request.refresh_from_db()
    assert (request.status, request.checker) == (RequestStatus.PENDING, None)
    target.failure = None
    request_approve(request_id=request.pk, checker=bob)
    assert len(target.executed) == 1


def test_proposing_the_same_twice_names_the_request_that_waits(submit):
    first = submit()
    error = refusal(submit)
    assert error.code == "approvals.already_pending"
    assert f"#{first.pk}" in str(error)
    assert ApprovalRequest.objects.count() == 1


def test_after_a_decision_the_target_can_be_proposed_again(submit, bob):
    request_reject(request_id=submit().pk, checker=bob, note="wrong amount")
    assert submit().status == RequestStatus.PENDING


def test_a_rejection_needs_a_reason_and_tells_the_owner_of_the_target(submit, target, bob):
    request = submit()
    assert refusal(request_reject, request_id=request.pk, checker=bob, note=" ").code == "approvals.note_missing"
    request_reject(request_id=request.pk, checker=bob, note="wrong amount")
    request.refresh_from_db()
    assert (request.status, request.checker, request.decision_note) == ("rejected", bob, "wrong amount")
    assert target.closed == [(request.pk, "rejected")]
    assert target.executed == []
    assert refusal(request_approve, request_id=request.pk, checker=bob).code == "approvals.already_decided"


def test_only_the_maker_withdraws(submit, target, alice, bob):
    request = submit()
    assert refusal(request_withdraw, request_id=request.pk, maker=bob).code == "approvals.not_maker"
    request_withdraw(request_id=request.pk, maker=alice)
    request.refresh_from_db()
    assert (request.status, request.checker) == (RequestStatus.WITHDRAWN, None)
    assert target.closed == [(request.pk, "withdrawn")]
    assert refusal(request_approve, request_id=request.pk, checker=bob).code == "approvals.already_decided"


def test_events_may_overtake_a_request_but_not_a_decision(submit, target, bob):
    request = submit()
    assert request_overtake(request_id=request.pk, note="the other half arrived").status == RequestStatus.WITHDRAWN
    decided = submit(target_id="8")
    request_approve(request_id=decided.pk, checker=bob)
    assert request_overtake(request_id=decided.pk, note="too late") is None
    decided.refresh_from_db()
    assert decided.status == RequestStatus.EXECUTED


def test_an_unknown_request_or_action_is_named(submit, alice, bob):
    assert refusal(request_approve, request_id=987, checker=bob).code == "approvals.not_found"
    error = refusal(
        request_submit,
        action="nobody.knows",
        target_kind="thing",
        target_id=1,
        payload={},
        amount=None,
        currency="",
        title="?",
        reason="",
        maker=alice,
    )
    assert error.code == "approvals.unknown_action"
    assert "nobody.knows" in str(error)


def test_every_step_is_in_the_audit_log(submit, bob):
    request = submit()
    request_approve(request_id=request.pk, checker=bob)
    log = AuditLog.objects.filter(object_kind="approval", object_id=str(request.pk)).order_by("id")
    assert [(entry.username, entry.action) for entry in log] == [
        ("alice", "approval.submitted"),
        ("bob", "approval.executed"),
    ]


@pytest.mark.parametrize(("amount", "tier"), [(0, 1), (500000, 1), (500001, 2), (-500001, 2), (5000001, 3)])
def test_the_tier_follows_the_magnitude_of_the_amount(submit, amount, tier):
    assert submit(amount=amount).tier == tier


def test_a_higher_tier_needs_the_higher_permission(submit, target, bob, monkeypatch):
    request = submit(amount=500001)
    monkeypatch.setattr(identity_models, "permissions_of", lambda *_: frozenset({"cases.approve", "approvals.view"}))
    error = refusal(request_approve, request_id=request.pk, checker=bob)
    assert (error.code, error.context["permission"]) == ("approvals.not_allowed", "approvals.decide")
    assert list(selectors.pending_for(bob)) == []


def test_what_waits_for_me_is_what_i_may_decide_and_did_not_make(submit, alice, bob, carol):
    small, large = submit(amount=1), submit(amount=600000, target_id="8")
    assert list(selectors.pending_for(bob)) == [small, large]
    assert list(selectors.pending_for(alice)) == []
    assert list(selectors.pending_for(carol)) == []
    assert set(selectors.pending_made_by(alice)) == {small, large}


def test_a_person_with_both_permissions_does_not_see_their_own_request_as_waiting(submit, bob, alice, monkeypatch):
    codes = frozenset({"cases.propose", "cases.approve", "approvals.view"})
    monkeypatch.setattr(identity_models, "permissions_of", lambda *_: codes)
    own, others = submit(maker=bob), submit(maker=alice, target_id="8")
    assert list(selectors.pending_for(bob)) == [others]
    assert (selectors.may_decide(bob, own), selectors.may_decide(bob, others)) == (False, True)


def test_a_merchant_sees_no_request(submit, mei):
    submit()
    assert list(selectors.requests_for(mei)) == []
    assert list(selectors.history(mei)) == []


def test_history_lists_decisions_the_latest_first(submit, bob, carol):
    first, second = submit(), submit(target_id="8")
    request_approve(request_id=second.pk, checker=bob)
    request_reject(request_id=first.pk, checker=bob, note="no")
    assert list(selectors.history(carol)) == [first, second]
    assert list(selectors.history_of("thing", 7)) == [first]


def test_a_request_whose_action_is_gone_still_has_a_title(submit):
    request = submit()
    request.action = "gone.away"
    assert selectors.describe(request).title == "Move 100"


def test_one_request_may_cover_many_targets(submit, target, bob):
    request = submit(amount=300, items=[{"id": 1, "amount": 100}, {"id": 2, "amount": 200}])
    request_approve(request_id=request.pk, checker=bob)
    assert [item["amount"] for item in request.payload["items"]] == [100, 200]
    assert len(target.executed) == 1


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert payload_hash({"a": 1, "b": [1, {"x": "元"}]}) == payload_hash({"b": [1, {"x": "元"}], "a": 1})
    assert canonical_json({"b": 1, "a": "元"}) == '{"a":"元","b":1}'


def test_a_float_in_a_payload_is_a_programming_mistake():
    with pytest.raises(TypeError, match=r"0\.1"):
        payload_hash({"lines": [{"amount": 0.1}]})


def test_an_action_is_registered_once_and_with_known_permissions(target):
    def register(name: str, permission: str) -> None:
        register_action(
            name,
            execute=lambda request: {},
            fingerprint=lambda kind, id: "",
            describe=lambda request: Description(title=""),
            maker_permission="cases.propose",
            checker_permission="cases.approve",
            tiers=[Tier(above=1, permission=permission)],
        )

    with pytest.raises(ImproperlyConfigured, match="twice"):
        register("tests.move", "cases.approve")
    with pytest.raises(ImproperlyConfigured, match=r"cases\.aprove"):
        register("tests.other", "cases.aprove")
