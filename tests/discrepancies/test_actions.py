"""The bookings of DOMAIN 4.5 that resolve a difference, proposed by one person and approved by another."""

from __future__ import annotations

import pytest

from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.accounts.services import freeze_place
from payops.approvals.services import request_approve, request_reject, request_withdraw
from payops.core.errors import PayopsError
from payops.discrepancies import handlers, selectors
from payops.discrepancies.checks import check_suspense
from payops.discrepancies.choices import ActionKind, CaseKind, CaseState
from payops.discrepancies.models import CaseAction, CaseEvent
from payops.discrepancies.services import (
    action_propose,
    case_auto_clear,
    case_suspense_set,
    surplus_refund_failed,
)
from payops.orders.choices import Kind, Origin, Status
from payops.orders.models import Transaction
from payops.orders.services import watermark_set
from tests.discrepancies.conftest import (
    DAY,
    balance,
    book,
    give_settlement,
    in_flight,
    owed,
    pending,
    request_of,
    settlement,
    shortage,
    surplus,
)

pytestmark = pytest.mark.django_db


def refusal(function, *arguments, **named) -> PayopsError:
    with pytest.raises(PayopsError) as caught:
        function(*arguments, **named)
    return caught.value


def event_of(action: CaseAction) -> int:
    return Voucher.objects.get(pk=action.voucher_id).event


# -- the worked bookings, by name --------------------------------------------------------------------------------------


def test_lost_order_supplemented(lost, decide, world):
    """Surplus in suspense → merchant pending, with a transaction of its own and no payment voucher."""
    case = lost(10000)
    action = decide(case, ActionKind.SUPPLEMENT)
    assert event_of(action) == Event.SUPPLEMENT
    assert (surplus(world.wechat), pending(world.a)) == (0, 10000)
    made = Transaction.objects.get(pk=action.transaction_id)
    assert (made.origin, made.kind, made.status, made.amount) == (
        Origin.SUPPLEMENT,
        Kind.PAYMENT,
        Status.SUCCEEDED,
        10000,
    )
    assert (made.merchant, made.match_key, made.merchant_order_no) == (world.a, "R-LOST", "O-LOST")
    assert (case.state, case.suspense) == (CaseState.CLOSED, 0)


def test_surplus_to_payer(lost, decide, world):
    """Surplus in suspense → refunds in flight, with a refund that is still processing."""
    case = lost(10000)
    action = decide(case, ActionKind.REFUND_PAYER)
    assert event_of(action) == Event.SURPLUS_TO_PAYER
    assert (surplus(world.wechat), in_flight(world.a), pending(world.a)) == (0, 10000, 0)
    refund = Transaction.objects.get(pk=action.transaction_id)
    assert (refund.origin, refund.kind, refund.status) == (Origin.SURPLUS_REFUND, Kind.REFUND, Status.PROCESSING)
    assert refund.match_key == action.params["match_key"] == f"{case.case_no}R1"
    assert case.state == CaseState.CLOSED


def test_surplus_to_income(find, decide, world):
    case = find(CaseKind.CHANNEL_ONLY, 777)
    action = decide(case, ActionKind.INCOME, note="unclaimed for three years")
    assert event_of(action) == Event.SURPLUS_TO_INCOME
    assert (surplus(world.wechat), balance("630101", "institution")) == (0, 777)
    assert case.state == CaseState.CLOSED


def test_loss_accepted(find, decide, world):
    case = find(CaseKind.OWN_ONLY, -500)
    action = decide(case, ActionKind.LOSS, note="channel refuses")
    assert event_of(action) == Event.LOSS
    assert (shortage(world.wechat), balance("671101", "institution")) == (0, 500)
    assert case.state == CaseState.CLOSED


def test_recovery_from_pending_while_the_own_row_is_not_cleared(find, decide, paid, world):
    row = paid("1")
    case = find(CaseKind.OWN_ONLY, -row.amount, merchant=world.a, transaction_id=row.pk)
    before = pending(world.a)
    action = decide(case, ActionKind.RECOVER)
    assert event_of(action) == Event.RECOVER_PENDING
    assert pending(world.a) == before - row.amount
    assert shortage(world.wechat) == 0


def test_a_part_of_a_row_is_never_recovered_from_pending(find, decide, paid, world):
    row = paid("1")
    before = pending(world.a)
    case = find(CaseKind.AMOUNT, -3000, merchant=world.a, transaction_id=row.pk)
    assert event_of(decide(case, ActionKind.RECOVER)) == Event.RECOVER_RECEIVABLE
    assert (pending(world.a), owed(world.a)) == (before, 3000)


def test_recovery_from_settlement_once_the_own_row_is_cleared(find, decide, paid, world):
    row = paid("1")
    give_settlement(world.a, world.wechat, 50000)
    watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=DAY)
    case = find(CaseKind.AMOUNT, -3000, merchant=world.a, transaction_id=row.pk)
    action = decide(case, ActionKind.RECOVER)
    assert event_of(action) == Event.RECOVER_SETTLEMENT
    assert (settlement(world.a), shortage(world.wechat), owed(world.a)) == (47000, 0, 0)


@pytest.mark.parametrize("frozen", [0, 48000])
def test_recovery_as_a_receivable_when_the_settlement_account_cannot_give_it(find, decide, paid, world, frozen):
    """Frozen money is not available money."""
    row = paid("1")
    give_settlement(world.a, world.wechat, 50000 if frozen else 2999)
    if frozen:
        freeze(world.a, frozen)
    watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=DAY)
    before = settlement(world.a)
    case = find(CaseKind.AMOUNT, -3000, merchant=world.a, transaction_id=row.pk)
    action = decide(case, ActionKind.RECOVER)
    assert event_of(action) == Event.RECOVER_RECEIVABLE
    assert (settlement(world.a), shortage(world.wechat), owed(world.a)) == (before, 0, 3000)


def freeze(merchant, amount):
    from payops.accounts.selectors import account_get

    freeze_place(
        account=account_get("220202", "merchant", merchant.merchant_no),
        amount=amount,
        reason="court",
        source_kind="test",
        source_id="1",
        created_by="bob",
    )


def test_where_recovery_takes_from_is_decided_when_it_is_approved(find, paid, world, alice, bob):
    row = paid("1")
    give_settlement(world.a, world.wechat, 50000)
    case = find(CaseKind.OWN_ONLY, -row.amount, merchant=world.a, transaction_id=row.pk)
    action = action_propose(case_id=case.pk, kind=ActionKind.RECOVER, params={}, user=alice)
    watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=DAY)
    request_approve(request_id=action.approval_id, checker=bob)
    action.refresh_from_db()
    assert event_of(action) == Event.RECOVER_SETTLEMENT


def test_settlement_knows_better_than_the_watermark_what_is_cleared(find, decide, paid, world):
    """An own-only row is held back from clearing although the watermark has passed its day."""
    row = paid("1")
    watermark_set(merchant_id=world.a.pk, contract_id=world.wechat.pk, day=DAY)
    case = find(CaseKind.OWN_ONLY, -row.amount, merchant=world.a, transaction_id=row.pk)

    def held(transaction: Transaction) -> bool | None:
        return False if transaction.pk == row.pk else None

    handlers.register_cleared_check(held)
    try:
        action = decide(case, ActionKind.RECOVER)
    finally:
        handlers.unregister(held)
    assert event_of(action) == Event.RECOVER_PENDING


def test_keep_waiting_books_nothing_and_returns_the_case_to_open(lost, decide, world):
    case = lost(10000)
    action = decide(case, ActionKind.WAIT, days=3)
    assert action.voucher_id is None
    assert (case.state, case.suspense, case.wait_until.isoformat()) == (CaseState.OPEN, 10000, "2026-11-23")
    assert selectors.is_waiting(case)
    assert surplus(world.wechat) == 10000


def test_a_fee_claim_is_a_shortage_and_can_be_written_off(find, decide, world):
    case = find(CaseKind.FEE, -45)
    assert shortage(world.wechat) == 45
    decide(case, ActionKind.LOSS, note="claim refused")
    assert (shortage(world.wechat), case.state) == (0, CaseState.CLOSED)


# -- exactly once ------------------------------------------------------------------------------------------------------


def test_handling_the_same_difference_twice_credits_the_merchant_once(lost, decide, alice, bob, world):
    """A peer credited it twice: two operators, two actions, one surplus."""
    case = lost(10000)
    action = decide(case, ActionKind.SUPPLEMENT)
    again = refusal(action_propose, case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    assert again.code == "discrepancies.wrong_state"
    second = refusal(request_approve, request_id=action.approval_id, checker=bob)
    assert second.code == "approvals.already_decided"
    assert pending(world.a) == 10000
    assert CaseAction.objects.filter(case=case).count() == 1


def test_a_second_proposal_names_the_one_that_waits(lost, alice):
    case = lost()
    action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    error = refusal(action_propose, case_id=case.pk, kind=ActionKind.REFUND_PAYER, params={}, user=alice)
    assert error.code == "discrepancies.action_pending"
    assert "alice" in str(error)


def test_finding_a_resolved_difference_again_does_not_open_it_again(find, decide):
    case = find(CaseKind.CHANNEL_ONLY, 100, key="same")
    decide(case, ActionKind.INCOME, note="old")
    again = find(CaseKind.CHANNEL_ONLY, 100, key="same", suspense=0)
    assert (again.pk, again.state, again.opened_now) == (case.pk, CaseState.CLOSED, False)


# -- maker and checker -------------------------------------------------------------------------------------------------


def test_nothing_is_booked_before_the_second_person_approves(lost, alice, world):
    case = lost(10000)
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice, note="seen at channel")
    case.refresh_from_db()
    assert (case.state, case.suspense) == (CaseState.PROPOSED, 10000)
    assert (surplus(world.wechat), pending(world.a)) == (10000, 0)
    request = request_of(action)
    assert (request.maker, request.amount, request.reason) == (alice, 10000, "seen at channel")


def test_one_person_cannot_both_propose_and_approve(lost, alice, bob):
    case = lost()
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    assert refusal(request_approve, request_id=action.approval_id, checker=alice).code == "approvals.own_request"
    error = refusal(action_propose, case_id=lost().pk, kind=ActionKind.SUPPLEMENT, params={}, user=bob)
    assert error.code == "discrepancies.not_allowed"


def test_who_proposed_and_who_decided_is_always_filled(lost, decide, alice, bob):
    """A peer never filled the operator columns."""
    action = decide(lost(), ActionKind.SUPPLEMENT)
    request = request_of(action)
    assert (action.proposed_by, request.maker, request.checker) == (alice, alice, bob)
    assert request.decided_at is not None
    told = list(CaseEvent.objects.filter(case=action.case).values_list("what", "username"))
    assert told == [
        ("opened", "system"),
        ("proposed", "alice"),
        ("booked", "bob"),
        ("closed", "bob"),
    ]
    assert Voucher.objects.get(pk=action.voucher_id).posted_by == "bob"


def test_only_finance_accepts_a_loss_whatever_the_permission_map_says(find, alice, monkeypatch):
    from payops.identity import models as identity_models
    from payops.identity.services import user_create

    case = find(CaseKind.OWN_ONLY, -500)
    action = action_propose(case_id=case.pk, kind=ActionKind.LOSS, params={}, user=alice, note="gone")
    monkeypatch.setattr(identity_models, "permissions_of", lambda *_: frozenset({"cases.approve"}))
    other = user_create(username="other", password=None, role="operations")
    error = refusal(request_approve, request_id=action.approval_id, checker=other)
    assert error.code == "discrepancies.loss_needs_finance"
    case.refresh_from_db()
    assert (case.state, case.suspense) == (CaseState.PROPOSED, -500)


def test_a_rejected_proposal_returns_the_case_to_open_and_books_nothing(lost, alice, bob, world):
    case = lost(10000)
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    request_reject(request_id=action.approval_id, checker=bob, note="wrong merchant")
    case.refresh_from_db()
    action.refresh_from_db()
    assert (case.state, action.state, pending(world.a)) == (CaseState.OPEN, "rejected", 0)
    last = case.events.last()
    assert (last.what, last.username, last.note) == ("rejected", "bob", "wrong merchant")
    assert action_propose(case_id=case.pk, kind=ActionKind.REFUND_PAYER, params={}, user=alice).pk


def test_the_maker_can_take_a_proposal_back(lost, alice):
    case = lost()
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    request_withdraw(request_id=action.approval_id, maker=alice)
    case.refresh_from_db()
    assert case.state == CaseState.OPEN
    assert (case.events.last().what, case.events.last().username) == ("taken_back", "alice")


# -- stale pages -------------------------------------------------------------------------------------------------------


def test_a_case_changed_after_the_proposal_is_not_approved(lost, alice, bob, world):
    case = lost(10000)
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    case_suspense_set(case_id=case.pk, suspense=8000, amount=8000, note="re-issued bill")
    error = refusal(request_approve, request_id=action.approval_id, checker=bob)
    assert error.code == "approvals.target_changed"
    assert "Reject" in str(error)
    assert pending(world.a) == 0


def test_a_proposal_from_a_stale_page_is_refused(lost, alice):
    case = lost(10000)
    seen = selectors.fingerprint(case)
    case_suspense_set(case_id=case.pk, suspense=8000, amount=8000, note="re-issued bill")
    error = refusal(
        action_propose,
        case_id=case.pk,
        kind=ActionKind.SUPPLEMENT,
        params={},
        user=alice,
        expected_fingerprint=seen,
    )
    assert error.code == "discrepancies.stale_page"


def test_the_arriving_half_overtakes_a_waiting_proposal(lost, alice, bob, world):
    case = lost(10000)
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    book(Event.SURPLUS_CLEARED, 10000, channel=world.wechat.code)
    case_auto_clear(case_id=case.pk, note="own half arrived", run_id=7)
    case.refresh_from_db()
    assert (case.state, case.suspense) == (CaseState.AUTO_CLEARED, 0)
    assert request_of(action).status == "withdrawn"
    assert refusal(request_approve, request_id=action.approval_id, checker=bob).code == "approvals.already_decided"
    assert pending(world.a) == 0
    assert check_suspense(DAY) == []


# -- what is possible --------------------------------------------------------------------------------------------------


def test_a_surplus_is_never_ok(find, alice):
    """Peers tested only for shortages; here a surplus is a case with its own actions and is never simply closed."""
    case = find(CaseKind.CHANNEL_ONLY, 1)
    assert case.is_open
    assert selectors.open_counts().surplus == 1
    assert refusal(action_propose, case_id=case.pk, kind=ActionKind.LOSS, params={}, user=alice, note="x").code == (
        "discrepancies.action_not_allowed"
    )


@pytest.mark.parametrize(
    ("kind", "d", "action"),
    [
        (CaseKind.OWN_ONLY, -1, ActionKind.SUPPLEMENT),
        (CaseKind.OWN_ONLY, -1, ActionKind.INCOME),
        (CaseKind.AMOUNT, 1, ActionKind.RECOVER),
        (CaseKind.FEE, -1, ActionKind.RECOVER),
        (CaseKind.RECEIPT, 1, ActionKind.REFUND_PAYER),
    ],
)
def test_an_action_that_does_not_fit_names_those_that_do(find, alice, kind, d, action):
    case = find(kind, d)
    error = refusal(action_propose, case_id=case.pk, kind=action, params={}, user=alice, note="x")
    assert error.code == "discrepancies.action_not_allowed"
    assert "Keep waiting" in str(error)


def test_a_merchant_is_needed_where_money_becomes_a_merchants(find, alice):
    case = find(CaseKind.CHANNEL_ONLY, 100)
    error = refusal(action_propose, case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    assert error.code == "discrepancies.merchant_missing"
    error = refusal(action_propose, case_id=case.pk, kind="supplement", params={"merchant_no": "M-X"}, user=alice)
    assert (error.code, error.context["merchant_no"]) == ("discrepancies.unknown_merchant", "M-X")


def test_the_merchant_is_prefilled_from_the_evidence(find, decide, world):
    from payops.discrepancies.services.params import prefill

    case = find(CaseKind.CHANNEL_ONLY, 100, evidence={"own": None, "channel": {"merchant_no": "M-B"}})
    assert prefill(case)["merchant_no"] == "M-B"
    decide(case, ActionKind.SUPPLEMENT)
    assert pending(world.b) == 100


def test_a_known_merchants_money_cannot_go_to_another(lost, alice):
    error = refusal(action_propose, case_id=lost().pk, kind="supplement", params={"merchant_no": "M-B"}, user=alice)
    assert error.code == "discrepancies.other_merchant"


def test_the_merchant_of_our_own_row_is_certain(find, decide, paid, alice, world):
    row = paid("1")
    case = find(CaseKind.AMOUNT, 300, transaction_id=row.pk)
    error = refusal(action_propose, case_id=case.pk, kind="supplement", params={"merchant_no": "M-B"}, user=alice)
    assert error.code == "discrepancies.other_merchant"
    before = pending(world.a)
    decide(case, ActionKind.SUPPLEMENT)
    assert pending(world.a) == before + 300


def test_a_refund_of_surplus_points_to_the_payment_it_gives_back(find, decide, paid):
    row = paid("1")
    case = find(CaseKind.DUPLICATE_CHANNEL, row.amount, transaction_id=row.pk)
    action = decide(case, ActionKind.REFUND_PAYER)
    assert Transaction.objects.get(pk=action.transaction_id).original_id == row.pk


def test_loss_and_income_need_a_reason(find, alice):
    error = refusal(action_propose, case_id=find(CaseKind.OWN_ONLY, -1).pk, kind="loss", params={}, user=alice)
    assert error.code == "discrepancies.note_missing"


@pytest.mark.parametrize("days", [0, 31, -1, "x", "1.5", "²"])
def test_waiting_has_a_number_of_days(lost, alice, days):
    error = refusal(action_propose, case_id=lost().pk, kind="wait", params={"days": days}, user=alice)
    assert error.code == "discrepancies.wait_days"
    assert str(days) in str(error)


def test_a_refunds_request_number_can_be_given(lost, decide):
    action = decide(lost(), ActionKind.REFUND_PAYER, match_key="RF20261120001")
    assert Transaction.objects.get(pk=action.transaction_id).match_key == "RF20261120001"


def test_an_impossible_request_number_is_refused(lost, alice):
    error = refusal(action_propose, case_id=lost().pk, kind="refund_payer", params={"match_key": "a b"}, user=alice)
    assert error.code == "discrepancies.request_number"


# -- what others are told ----------------------------------------------------------------------------------------------


def test_handlers_hear_of_a_resolution_after_its_voucher_but_not_of_waiting(lost, decide):
    heard = []

    def handler(case, action):
        heard.append((case.state, action.kind, action.voucher_id is not None))

    handlers.register_resolution_handler(handler)
    try:
        case = lost()
        decide(case, ActionKind.WAIT)
        decide(case, ActionKind.SUPPLEMENT)
    finally:
        handlers.unregister(handler)
    assert heard == [(CaseState.CLOSED, ActionKind.SUPPLEMENT, True)]


def test_a_failing_handler_undoes_the_whole_resolution(lost, alice, bob, world):
    def handler(case, action):
        raise PayopsError("tests.no", "not like that")

    case = lost(10000)
    action = action_propose(case_id=case.pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)
    handlers.register_resolution_handler(handler)
    try:
        assert refusal(request_approve, request_id=action.approval_id, checker=bob).code == "tests.no"
    finally:
        handlers.unregister(handler)
    case.refresh_from_db()
    assert (case.state, pending(world.a), surplus(world.wechat)) == (CaseState.PROPOSED, 0, 10000)
    assert check_suspense(DAY) == []


def test_a_failed_refund_of_a_surplus_opens_the_case_again(lost, decide, world):
    case = lost(10000)
    action = decide(case, ActionKind.REFUND_PAYER)
    Transaction.objects.filter(pk=action.transaction_id).update(status=Status.FAILED)
    surplus_refund_failed(transaction_id=action.transaction_id, note="account closed")
    case.refresh_from_db()
    assert (case.state, case.suspense, case.closed_at) == (CaseState.OPEN, 10000, None)
    assert (surplus(world.wechat), in_flight(world.a)) == (10000, 0)
    assert check_suspense(DAY) == []
    surplus_refund_failed(transaction_id=action.transaction_id)
    assert surplus(world.wechat) == 10000
    second = decide(case, ActionKind.SUPPLEMENT)
    assert (second.state, pending(world.a)) == ("booked", 10000)


def test_a_failed_refund_told_again_after_the_case_was_resolved_otherwise_leaves_it_closed(lost, decide, world):
    case = lost(10000)
    action = decide(case, ActionKind.REFUND_PAYER)
    Transaction.objects.filter(pk=action.transaction_id).update(status=Status.FAILED)
    surplus_refund_failed(transaction_id=action.transaction_id)
    decide(case, ActionKind.SUPPLEMENT)
    surplus_refund_failed(transaction_id=action.transaction_id)
    case.refresh_from_db()
    assert (case.state, case.suspense, surplus(world.wechat)) == (CaseState.CLOSED, 0, 0)
    assert check_suspense(DAY) == []


def test_history_and_approval_page_speak_the_readers_language(lost, decide):
    """Codes are stored, words are chosen by whoever reads."""
    from payops.approvals.selectors import describe

    action = decide(lost(10000), ActionKind.WAIT, days=2)
    assert [event.action_id for event in action.case.events.all()] == [None, action.pk, action.pk]
    description = describe(request_of(action))
    assert description.title == f"{action.case.case_no}: Keep waiting, 100.00 CNY"


def test_the_evidence_on_the_approval_page(lost, alice):
    from payops.approvals.selectors import describe

    action = action_propose(case_id=lost(10000).pk, kind="refund_payer", params={}, user=alice)
    description = describe(request_of(action))
    rows = {str(label): str(value) for label, value in description.rows}
    assert (rows["Action"], rows["Total"], rows["Merchant"]) == ("Refund the payer", "100.00 CNY", "M-A")
    assert description.url_args == (action.case_id,)
