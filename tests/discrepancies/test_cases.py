"""The life of a case: opened once, cleared or withdrawn by runs, reopened when it is back, closed when empty."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from payops.core.errors import PayopsError
from payops.discrepancies.choices import CASE_TRANSITIONS, OPEN_STATES, ActionKind, CaseKind, CaseState, ReasonCode
from payops.discrepancies.models import CaseEvent, Discrepancy
from payops.discrepancies.rules import allowed_actions, derive_reason, suggest_action
from payops.discrepancies.services import (
    case_assign,
    case_auto_clear,
    case_close,
    case_escalate,
    case_note,
    case_open,
    case_reopen,
    case_suspense_set,
    case_withdraw,
    cases_auto_clear_many,
    cases_open_many,
)
from tests.discrepancies.conftest import DAY

pytestmark = pytest.mark.django_db


def refusal(function, **arguments) -> PayopsError:
    with pytest.raises(PayopsError) as caught:
        function(**arguments)
    return caught.value


def finding(world, key: str, **changes):
    return {
        "dedupe_key": key,
        "kind": CaseKind.CHANNEL_ONLY,
        "amount": 100,
        "suspense": 100,
        "currency": "CNY",
        "business_date": DAY,
        "contract": world.wechat,
        "evidence": {"own": None, "channel": {"channel_trade_no": "1"}},
        **changes,
    }


def events_of(case: Discrepancy) -> list[str]:
    return list(CaseEvent.objects.filter(case=case).order_by("id").values_list("what", flat=True))


# -- opening -----------------------------------------------------------------------------------------------------------


def test_a_case_is_opened_with_a_number_of_its_day(world):
    case = case_open(**finding(world, "a"))
    assert case.case_no.startswith("DC261120")
    assert (case.state, case.opened_now, events_of(case)) == (CaseState.OPEN, True, ["opened"])


def test_opening_twice_with_one_key_gives_one_case(world):
    first = case_open(**finding(world, "a"))
    second = case_open(**finding(world, "a", amount=999, suspense=999))
    assert (second.pk, second.opened_now, second.amount) == (first.pk, False, 100)
    assert events_of(first) == ["opened"]


def test_many_findings_open_many_cases_in_their_order_and_one_per_key(world):
    known = case_open(**finding(world, "b"))
    cases = cases_open_many([finding(world, key) for key in ("a", "b", "c", "a")])
    assert [case.dedupe_key for case in cases] == ["a", "b", "c", "a"]
    assert cases[0] is cases[3]
    assert cases[1].pk == known.pk
    assert [case.opened_now for case in cases] == [True, False, True, True]
    assert len({case.case_no for case in cases}) == 3


def test_five_thousand_findings_do_not_fail_the_run(world):
    """A peer failed whole runs above 5,000 candidates. Statements grow with chunks, not with cases."""
    with CaptureQueriesContext(connection) as queries:
        cases = cases_open_many([finding(world, f"k{number}") for number in range(5001)])
    assert len({case.case_no for case in cases}) == 5001
    assert CaseEvent.objects.count() == 5001
    assert len(queries) < 60


@pytest.mark.parametrize("end", [case_auto_clear, case_withdraw])
def test_a_difference_that_is_back_opens_its_case_again_with_what_was_found_now(world, end):
    case = case_open(**finding(world, "a"))
    end(case_id=case.pk, note="gone")
    again = case_open(**finding(world, "a", amount=-70, suspense=-70, kind=CaseKind.OWN_ONLY, transaction_id=5))
    assert again.pk == case.pk
    assert (again.state, again.opened_now, again.amount, again.suspense) == (CaseState.OPEN, True, -70, -70)
    assert (again.kind, again.transaction_id, again.closed_at) == (CaseKind.OWN_ONLY, 5, None)
    assert events_of(case)[-1] == "reopened"


# -- reason and suggestion ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "own", "reason"),
    [
        (CaseKind.OWN_ONLY, {"status": "succeeded"}, ReasonCode.NOT_AT_CHANNEL),
        (CaseKind.CHANNEL_ONLY, None, ReasonCode.NOT_OURS),
        (CaseKind.CHANNEL_ONLY, {"status": "failed"}, ReasonCode.LOST_ORDER),
        (CaseKind.STATUS, {"status": "closed"}, ReasonCode.LATE_SUCCESS),
        (CaseKind.STATUS, {"status": "unknown"}, ReasonCode.LOST_ORDER),
        (CaseKind.AMOUNT, {"status": "succeeded"}, ReasonCode.AMOUNT_CHANGED),
        (CaseKind.FEE, {"status": "succeeded"}, ReasonCode.FEE_RATE),
        (CaseKind.DUPLICATE_CHANNEL, None, ReasonCode.DUPLICATE),
        (CaseKind.RECEIPT, None, ReasonCode.BANK),
        (CaseKind.CURRENCY, {"status": "succeeded"}, ReasonCode.OTHER),
    ],
)
def test_the_reason_follows_from_kind_and_evidence(kind, own, reason):
    assert derive_reason(kind, {"own": own}) == reason


def test_a_reason_the_run_knows_is_kept(world):
    assert case_open(**finding(world, "a", reason_code=ReasonCode.CUT_OFF)).reason_code == ReasonCode.CUT_OFF


@pytest.mark.parametrize(
    ("kind", "suspense", "known", "action"),
    [
        (CaseKind.CHANNEL_ONLY, 1, True, ActionKind.SUPPLEMENT),
        (CaseKind.CHANNEL_ONLY, 1, False, ActionKind.WAIT),
        (CaseKind.DUPLICATE_CHANNEL, 1, True, ActionKind.REFUND_PAYER),
        (CaseKind.OWN_ONLY, -1, True, ActionKind.RECOVER),
        (CaseKind.OWN_ONLY, 1, True, ActionKind.REFUND_PAYER),
        (CaseKind.AMOUNT, -1, True, ActionKind.RECOVER),
        (CaseKind.FEE, -1, True, ActionKind.WAIT),
        (CaseKind.BANK, 1, False, ActionKind.WAIT),
        (CaseKind.STATUS, 0, True, ""),
    ],
)
def test_the_suggestion_is_always_something_allowed(world, kind, suspense, known, action):
    assert suggest_action(kind, suspense, merchant_known=known) == action
    case = Discrepancy(kind=kind, amount=suspense, suspense=suspense, contract=world.wechat)
    assert action == "" or action in allowed_actions(case)


def test_a_closed_order_paid_late_is_suggested_for_refund():
    suggested = suggest_action(CaseKind.STATUS, 5, merchant_known=True, reason=ReasonCode.LATE_SUCCESS)
    assert suggested == ActionKind.REFUND_PAYER


def test_suspense_of_a_bank_account_is_left_to_fund_reconciliation(world):
    case = Discrepancy(kind=CaseKind.BANK, amount=5, suspense=5, contract=None)
    assert allowed_actions(case) == [ActionKind.WAIT]


# -- runs --------------------------------------------------------------------------------------------------------------


def test_the_other_half_clears_a_case_and_clearing_again_changes_nothing(world):
    case = case_open(**finding(world, "a"))
    case_auto_clear(case_id=case.pk, note="own half arrived", run_id=3)
    case_auto_clear(case_id=case.pk, note="own half arrived", run_id=3)
    case.refresh_from_db()
    assert (case.state, case.suspense, case.closed_at is not None) == (CaseState.AUTO_CLEARED, 0, True)
    assert events_of(case) == ["opened", "auto_cleared"]
    last = case.events.last()
    assert (last.username, last.amount, "run 3" in last.note) == ("system", 100, True)


def test_many_cases_are_cleared_in_one_transaction(world):
    cases = cases_open_many([finding(world, key) for key in "abc"])
    cleared = cases_auto_clear_many([case.pk for case in cases], note="late file")
    assert [case.state for case in cleared] == [CaseState.AUTO_CLEARED] * 3


def test_a_run_does_not_touch_what_an_action_closed(find, decide):
    case = find(CaseKind.CHANNEL_ONLY, 100)
    decide(case, ActionKind.INCOME, note="old")
    for service in (case_auto_clear, case_withdraw):
        assert refusal(service, case_id=case.pk, note="x").code == "discrepancies.already_resolved"
    error = refusal(case_suspense_set, case_id=case.pk, suspense=1, note="x")
    assert error.code == "discrepancies.already_resolved"


def test_escalation_is_told_once(world):
    case = case_open(**finding(world, "a"))
    first = case_escalate(case_id=case.pk, note="T+2 is over").escalated_at
    assert case_escalate(case_id=case.pk, note="again").escalated_at == first
    assert events_of(case) == ["opened", "escalated"]


def test_a_re_run_changes_what_is_in_suspense(world):
    case = case_open(**finding(world, "a"))
    case_suspense_set(case_id=case.pk, suspense=60, amount=60, note="re-issued bill")
    case.refresh_from_db()
    assert (case.amount, case.suspense, events_of(case)) == (60, 60, ["opened", "suspense"])
    case_suspense_set(case_id=case.pk, suspense=0, note="re-issued bill")
    case.refresh_from_db()
    assert (case.state, case.suspense) == (CaseState.AUTO_CLEARED, 0)


# -- people ------------------------------------------------------------------------------------------------------------


def test_taking_a_case_on_makes_it_investigated(world, alice):
    case = case_open(**finding(world, "a"))
    case_assign(case_id=case.pk, owner=alice, user=alice)
    case.refresh_from_db()
    assert (case.state, case.owner, case.events.last().username) == (CaseState.INVESTIGATING, alice, "alice")


def test_a_case_that_is_done_is_put_into_nobodys_hands(world, alice):
    case = case_open(**finding(world, "a", kind=CaseKind.KIND, suspense=0))
    case_close(case_id=case.pk, note="a void sent as a refund", user=alice)
    assert refusal(case_assign, case_id=case.pk, owner=alice, user=alice).code == "discrepancies.wrong_state"


def test_the_auditor_changes_nothing(world, alice, carol):
    case = case_open(**finding(world, "a", suspense=0))
    for service, arguments in (
        (case_assign, {"owner": alice, "user": carol}),
        (case_assign, {"owner": carol, "user": alice}),
        (case_note, {"user": carol, "note": "hm"}),
        (case_close, {"user": carol, "note": "fine"}),
    ):
        assert refusal(service, case_id=case.pk, **arguments).code == "discrepancies.not_allowed"


def test_a_case_without_suspense_is_closed_with_a_word(world, alice):
    case = case_open(**finding(world, "a", kind=CaseKind.KIND, suspense=0))
    assert refusal(case_close, case_id=case.pk, note="", user=alice).code == "discrepancies.note_missing"
    case_close(case_id=case.pk, note="a void sent as a refund", user=alice)
    case.refresh_from_db()
    assert (case.state, case.events.last().note) == (CaseState.CLOSED, "a void sent as a refund")


def test_a_case_with_suspense_is_not_closed_by_hand(world, alice):
    """Suspense is closed by the action that resolves it, not by hand."""
    case = case_open(**finding(world, "a"))
    assert refusal(case_close, case_id=case.pk, note="so what", user=alice).code == "discrepancies.suspense_left"


def test_a_note_is_part_of_the_history(world, alice, bob):
    case = case_open(**finding(world, "a"))
    case_note(case_id=case.pk, user=alice, note="asked the channel")
    case_note(case_id=case.pk, user=bob, note="ask again")
    assert refusal(case_note, case_id=case.pk, user=bob, note=" ").code == "discrepancies.note_missing"
    assert [(event.username, event.note) for event in case.events.filter(what="noted")] == [
        ("alice", "asked the channel"),
        ("bob", "ask again"),
    ]


def test_a_register_gives_a_closed_case_its_suspense_back(find, decide):
    case = find(CaseKind.CHANNEL_ONLY, 100)
    assert refusal(case_reopen, case_id=case.pk, suspense=100, note="x").code == "discrepancies.wrong_state"
    decide(case, ActionKind.INCOME, note="old")
    case_reopen(case_id=case.pk, suspense=100, note="the owner was found", username="bob")
    case.refresh_from_db()
    assert (case.state, case.suspense, case.closed_at) == (CaseState.OPEN, 100, None)


def test_an_unknown_case_is_named(world, alice):
    error = refusal(case_note, case_id=4711, user=alice, note="x")
    assert (error.code, "4711" in str(error)) == ("discrepancies.not_found", True)


# -- the transition table ----------------------------------------------------------------------------------------------


def test_every_state_has_its_transitions_and_every_end_can_be_reopened():
    assert set(CASE_TRANSITIONS) == set(CaseState)
    for state in set(CaseState) - set(OPEN_STATES):
        assert CASE_TRANSITIONS[state] == {CaseState.OPEN}


def test_a_state_changed_behind_ones_back_is_noticed(world):
    from payops.discrepancies.services.history import move

    case = case_open(**finding(world, "a"))
    Discrepancy.objects.filter(pk=case.pk).update(state=CaseState.INVESTIGATING)
    error = refusal(move, case=case, to=CaseState.PROPOSED)
    assert error.code == "discrepancies.changed_meanwhile"


def test_a_business_date_may_lie_in_another_year(world):
    case = case_open(**finding(world, "a", business_date=dt.date(2025, 12, 31)))
    assert case.case_no.startswith("DC251231")
