"""Users: what the services accept and what the database refuses."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from payops.core.errors import PayopsError
from payops.identity.models import User
from payops.identity.services import user_create, user_set_language, user_set_password

pytestmark = pytest.mark.django_db


def test_staff_work_in_the_console_and_a_merchants_user_does_not(alice, mei):
    assert alice.is_staff
    assert alice.is_staff_member
    assert not mei.is_staff
    assert mei.is_merchant


def test_a_merchants_user_is_an_administrator_unless_told_otherwise(mei):
    assert mei.merchant_role == "administrator"


def test_a_merchants_user_needs_a_merchant():
    with pytest.raises(PayopsError) as refused:
        user_create(username="nobody", password=None, role="merchant")
    assert refused.value.code == "identity.merchant_missing"


def test_staff_carry_no_merchant_number():
    with pytest.raises(PayopsError) as refused:
        user_create(username="x", password=None, role="finance", merchant_no="M-A")
    assert "M-A" in str(refused.value)


def test_a_name_is_given_once(alice):
    with pytest.raises(PayopsError) as refused:
        user_create(username="alice", password=None, role="finance")
    assert refused.value.code == "identity.username_taken"


def test_an_unknown_role_is_refused():
    with pytest.raises(PayopsError) as refused:
        user_create(username="x", password=None, role="king")
    assert refused.value.code == "identity.unknown_role"


def test_a_weak_password_is_refused_with_the_reason():
    with pytest.raises(PayopsError) as refused:
        user_create(username="x", password="short", role="finance")
    assert "10" in str(refused.value)


def test_without_a_password_nobody_logs_in_by_password():
    assert not user_create(username="x", password=None, role="finance").has_usable_password()


def test_a_password_can_be_changed(alice):
    user_set_password(user=alice, password="another good one")
    assert User.objects.get(pk=alice.pk).check_password("another good one")


def test_a_chosen_language_is_kept_and_an_unknown_one_forgotten(alice):
    user_set_language(user=alice, language="zh-hans")
    assert User.objects.get(pk=alice.pk).language == "zh-hans"
    user_set_language(user=alice, language="tlh")
    assert User.objects.get(pk=alice.pk).language == ""


@pytest.mark.parametrize(
    "change",
    [
        {"merchant_no": ""},
        {"merchant_role": ""},
        {"role": "finance"},
        {"role": "king"},
        {"is_staff": True},
        {"is_superuser": True},
    ],
)
def test_the_database_refuses_a_merchants_user_that_is_also_something_else(mei, change):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=mei.pk).update(**change)


def test_the_database_refuses_staff_with_a_merchant(alice):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=alice.pk).update(merchant_no="M-A", merchant_role="viewer")


def test_a_superuser_made_on_the_command_line_is_an_administrator():
    assert User.objects.create_superuser("root", password="x").role == "admin"
