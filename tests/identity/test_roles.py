"""The permission map: who proposes never approves, and an auditor changes nothing."""

from __future__ import annotations

import pytest

from payops.identity.choices import MerchantRole, Role
from payops.identity.models import User
from payops.identity.roles import ALL_CODES, PORTAL_PERMISSIONS, STAFF_PERMISSIONS, is_portal_code, permissions_of


def user(role: str, merchant_role: str = "", **extra) -> User:
    return User(username="u", role=role, merchant_role=merchant_role, **extra)


def test_operations_proposes_and_does_not_approve():
    alice = user(Role.OPERATIONS)
    assert alice.may("cases.propose")
    assert not alice.may("cases.approve")


def test_finance_approves_and_does_not_propose():
    bob = user(Role.FINANCE)
    assert bob.may("cases.approve")
    assert not bob.may("cases.propose")


def test_an_auditor_sees_everything_and_changes_nothing():
    codes = permissions_of(Role.AUDITOR)
    assert all(code.endswith(".view") for code in codes)
    assert codes == {code for code in ALL_CODES if code.endswith(".view") and not is_portal_code(code)}


@pytest.mark.parametrize("codes", [*STAFF_PERMISSIONS.values(), *PORTAL_PERMISSIONS.values()])
def test_no_role_both_proposes_and_approves_the_same_thing(codes):
    proposes = {code.removesuffix(".propose") for code in codes if code.endswith(".propose")}
    approves = {code.removesuffix(".approve") for code in codes if code.endswith(".approve")}
    assert not proposes & approves


def test_who_runs_a_settlement_neither_approves_nor_pays_it():
    assert {"settlement.run"} == STAFF_PERMISSIONS[Role.OPERATIONS] & {
        "settlement.run",
        "settlement.approve",
        "payouts.approve",
        "payouts.send",
    }


@pytest.mark.parametrize("role", [role for role in Role if role != Role.MERCHANT])
def test_staff_hold_no_portal_permission(role):
    assert not any(is_portal_code(code) for code in permissions_of(role))


@pytest.mark.parametrize("merchant_role", list(MerchantRole))
def test_merchants_hold_only_portal_permissions(merchant_role):
    codes = permissions_of(Role.MERCHANT, merchant_role)
    assert codes
    assert all(is_portal_code(code) for code in codes)


def test_an_administrator_moves_no_money():
    codes = permissions_of(Role.ADMIN)
    assert not any(code.split(".")[1] in {"propose", "approve", "decide", "send", "run"} for code in codes)


def test_a_closed_account_may_nothing():
    assert not user(Role.FINANCE, is_active=False).may("cases.approve")


def test_an_unknown_role_may_nothing():
    assert permissions_of("king") == frozenset()


def test_an_unknown_code_is_a_programming_mistake():
    with pytest.raises(KeyError, match=r"cases\.aprove"):
        user(Role.FINANCE).may("cases.aprove")
