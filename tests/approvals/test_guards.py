"""The database's own guards, attacked with raw SQL past every service."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError

pytestmark = pytest.mark.django_db
TABLE = "approvals_approvalrequest"


def attack(statement: str, parameters: list | None = None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_the_database_refuses_a_checker_who_is_the_maker(submit):
    request = submit()
    with pytest.raises(IntegrityError, match="approval_maker_is_not_checker"):
        attack(
            f"UPDATE {TABLE} SET status = 'executed', checker_id = maker_id, decided_at = now() WHERE id = %s",
            [request.pk],
        )


def test_the_database_refuses_a_decision_nobody_made(submit):
    request = submit()
    for status in ("executed", "rejected"):
        with pytest.raises(IntegrityError, match="approval_decision_has_checker"):
            attack(f"UPDATE {TABLE} SET status = %s WHERE id = %s", [status, request.pk])


@pytest.mark.parametrize(
    "change",
    [
        "payload = '{\"amount\": 999}'",
        "payload_hash = 'x'",
        "amount = 999",
        "currency = 'USD'",
        "action = 'tests.other'",
        "maker_id = (SELECT id FROM identity_user WHERE username = 'carol')",
        "target_id = '8'",
        "target_fingerprint = 'x'",
        "tier = 9",
        "title = 'harmless'",
        "reason = 'other'",
        "made_at = now() + interval '1 day'",
    ],
)
def test_what_was_proposed_cannot_be_changed(submit, bob, carol, change):
    request = submit()
    with pytest.raises(DatabaseError, match="frozen"):
        attack(f"UPDATE {TABLE} SET {change} WHERE id = %s", [request.pk])
    with pytest.raises(DatabaseError, match="what was proposed cannot be changed"):
        attack(
            f"UPDATE {TABLE} SET {change}, status = 'executed', checker_id = %s, decided_at = now() WHERE id = %s",
            [bob.pk, request.pk],
        )


def test_a_decided_request_never_changes_again(submit, bob, carol):
    request = submit()
    request_approve(request_id=request.pk, checker=bob)
    for change in ("status = 'pending'", "status = 'rejected'", f"checker_id = {carol.pk}", "decision_note = 'other'"):
        with pytest.raises(DatabaseError, match="is decided"):
            attack(f"UPDATE {TABLE} SET {change} WHERE id = %s", [request.pk])


def test_no_request_is_deleted(submit):
    request = submit()
    with pytest.raises(DatabaseError, match="refused"):
        attack(f"DELETE FROM {TABLE} WHERE id = %s", [request.pk])
    with pytest.raises(DatabaseError, match="refused"):
        attack(f"SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE {TABLE} CASCADE")


def test_a_request_cannot_be_born_decided(submit, bob):
    request = submit()
    columns = [field.column for field in ApprovalRequest._meta.fields if field.name not in ("id", "status", "checker")]
    listed = ", ".join(columns)
    with pytest.raises(DatabaseError, match="begins pending"):
        attack(
            f"INSERT INTO {TABLE} ({listed}, status, checker_id) "
            f"SELECT {listed}, 'executed', %s FROM {TABLE} WHERE id = %s",
            [bob.pk, request.pk],
        )


def test_two_pending_requests_for_one_target_cannot_exist(submit):
    request = submit()
    columns = ", ".join(field.column for field in ApprovalRequest._meta.fields if field.name != "id")
    with pytest.raises(IntegrityError, match="approval_one_pending_per_target"):
        attack(f"INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE} WHERE id = %s", [request.pk])


def test_a_payload_changed_behind_the_guards_is_noticed_by_its_hash(submit, target, bob):
    """Only a superuser who switches the triggers off gets this far."""
    request = submit()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(f"UPDATE {TABLE} SET payload = '{{\"amount\": 999}}' WHERE id = %s", [request.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=bob)
    assert caught.value.code == "approvals.payload_changed"
    assert target.executed == []
