"""The database's own guards on cases, attacked with raw SQL past every service."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from payops.discrepancies.choices import ActionKind
from payops.discrepancies.models import CaseAction
from payops.discrepancies.services import action_propose

pytestmark = pytest.mark.django_db
CASE, ACTION, EVENT = "discrepancies_discrepancy", "discrepancies_caseaction", "discrepancies_caseevent"


def attack(statement: str, parameters: list | None = None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.fixture
def proposed(lost, alice) -> CaseAction:
    return action_propose(case_id=lost(10000).pk, kind=ActionKind.SUPPLEMENT, params={}, user=alice)


@pytest.mark.parametrize("state", ["closed", "auto_cleared", "withdrawn"])
def test_a_case_with_suspense_cannot_be_closed(lost, state):
    case = lost()
    with pytest.raises(IntegrityError, match="case_closed_only_without_suspense"):
        attack(f"UPDATE {CASE} SET state = %s WHERE id = %s", [state, case.pk])


def test_suspense_has_the_sign_of_the_difference(lost):
    case = lost()
    with pytest.raises(IntegrityError, match="case_suspense_has_the_sign"):
        attack(f"UPDATE {CASE} SET suspense = -suspense WHERE id = %s", [case.pk])


def test_one_key_has_one_case(lost):
    first, second = lost(), lost()
    with pytest.raises(IntegrityError, match="dedupe_key"):
        attack(f"UPDATE {CASE} SET dedupe_key = %s WHERE id = %s", [first.dedupe_key, second.pk])


@pytest.mark.parametrize("table", [CASE, ACTION, EVENT])
def test_nothing_about_a_case_is_deleted(proposed, table):
    with pytest.raises(DatabaseError, match="refused"):
        attack(f"DELETE FROM {table}")
    with pytest.raises(DatabaseError, match="refused"):
        attack(f"SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE {table} CASCADE")


def test_history_is_append_only_and_says_who(proposed):
    with pytest.raises(DatabaseError, match="refused"):
        attack(f"UPDATE {EVENT} SET username = 'carol'")
    with pytest.raises(IntegrityError, match="case_event_says_who"):
        attack(
            f"INSERT INTO {EVENT} (case_id, at, username, what, from_state, to_state, note) "
            "VALUES (%s, now(), '', 'noted', '', '', '')",
            [proposed.case_id],
        )


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'income'",
        "amount = 1",
        'params = \'{"merchant_no": "M-B"}\'',
        "batch_no = 'x'",
        "approval_id = NULL",
        "proposed_by_id = (SELECT id FROM identity_user WHERE username = 'bob')",
    ],
)
def test_what_was_proposed_cannot_be_changed(proposed, bob, change):
    with pytest.raises(DatabaseError, match="frozen"):
        attack(f"UPDATE {ACTION} SET {change} WHERE id = %s", [proposed.pk])


def test_an_action_is_not_booked_without_approval_time_and_voucher(proposed, lost, alice):
    with pytest.raises(IntegrityError, match="case_action_booked_has"):
        attack(f"UPDATE {ACTION} SET state = 'booked', voucher_id = 1 WHERE id = %s", [proposed.pk])
    with pytest.raises(IntegrityError, match="case_action_booked_has"):
        attack(f"UPDATE {ACTION} SET state = 'booked', booked_at = now() WHERE id = %s", [proposed.pk])
    bare = CaseAction.objects.create(case=lost(), kind=ActionKind.WAIT, amount=1, proposed_by=alice)
    with pytest.raises(IntegrityError, match="case_action_booked_was_approved"):
        attack(f"UPDATE {ACTION} SET state = 'booked', booked_at = now() WHERE id = %s", [bare.pk])


def test_a_booked_action_never_changes_again(lost, decide):
    action = decide(lost(), ActionKind.SUPPLEMENT)
    for change in ("state = 'proposed'", "state = 'rejected'", "voucher_id = 1", "booked_at = now()"):
        with pytest.raises(DatabaseError, match="never changed again"):
            attack(f"UPDATE {ACTION} SET {change} WHERE id = %s", [action.pk])


def test_an_action_cannot_be_born_booked(lost, alice):
    with pytest.raises(DatabaseError, match="begins as a proposal"):
        attack(
            f"INSERT INTO {ACTION} (case_id, kind, params, state, amount, proposed_by_id, batch_no, created_at,"
            " booked_at) VALUES (%s, 'loss', '{}', 'booked', 1, %s, '', now(), now())",
            [lost().pk, alice.pk],
        )


def test_a_case_has_one_waiting_proposal(proposed, bob):
    with pytest.raises(IntegrityError, match="case_action_one_proposed"):
        attack(
            f"INSERT INTO {ACTION} (case_id, kind, params, state, amount, proposed_by_id, batch_no, created_at)"
            " VALUES (%s, 'income', '{}', 'proposed', 1, %s, '', now())",
            [proposed.case_id, bob.pk],
        )
