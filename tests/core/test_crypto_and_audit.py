"""Encrypted fields, blind index, masks; and the audit log nobody can rewrite."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import IntegrityError, connection, models, transaction
from hypothesis import given
from hypothesis import strategies as st

from payops.core import audit, crypto
from payops.core.errors import PayopsError
from payops.core.models import AuditLog

OLD = base64.urlsafe_b64encode(b"o" * 32).decode()
NEW = base64.urlsafe_b64encode(b"n" * 32).decode()


@pytest.fixture(autouse=True)
def old_key(settings: Any) -> None:
    settings.PAYOPS_ENCRYPTION_KEYS = {"old": OLD}
    settings.PAYOPS_BLIND_INDEX_KEY = "test"


class Secret(models.Model):
    """A row with an encrypted column."""

    number = crypto.EncryptedTextField(purpose="test.number", blank=True, null=True)

    class Meta:
        apps = Apps()
        app_label = "core"
        db_table = "test_secret"

    def __str__(self) -> str:
        return "secret"


@pytest.fixture
def secrets(db: None) -> type[Secret]:
    with connection.schema_editor() as editor:
        editor.create_model(Secret)
    return Secret


def stored(pk: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM test_secret WHERE id = %s", [pk])
        return cursor.fetchone()[0]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_what_is_encrypted_is_decrypted(text: str) -> None:
    assert crypto.decrypt(crypto.encrypt(text, "a"), "a") == text


def test_the_database_sees_ciphertext_and_python_sees_text(secrets: type[Secret]) -> None:
    row = secrets.objects.create(number="6222021234567890123")
    assert stored(row.pk).startswith("old:")
    assert "6222" not in stored(row.pk)
    assert secrets.objects.get(pk=row.pk).number == "6222021234567890123"


def test_equal_values_look_different_in_the_database(secrets: type[Secret]) -> None:
    first, second = (secrets.objects.create(number="same") for _n in range(2))
    assert stored(first.pk) != stored(second.pk)


def test_empty_and_absent_values_stay_as_they_are(secrets: type[Secret]) -> None:
    assert secrets.objects.get(pk=secrets.objects.create(number="").pk).number == ""
    assert secrets.objects.get(pk=secrets.objects.create(number=None).pk).number is None
    assert secrets.objects.filter(number__isnull=True).count() == 1


@pytest.mark.parametrize("lookup", ["number", "number__icontains", "number__startswith", "number__in"])
def test_searching_an_encrypted_column_is_an_error_not_an_empty_list(secrets: type[Secret], lookup: str) -> None:
    with pytest.raises(FieldError, match="blind index"):
        secrets.objects.filter(**{lookup: ["x"] if lookup.endswith("in") else "x"}).count()


def test_a_changed_or_moved_value_does_not_decrypt() -> None:
    token = crypto.encrypt("6222", "account")
    for damaged, purpose in ((token, "id_card"), (token[:-4] + "AAAA", "account"), ("old:!!", "account")):
        with pytest.raises(PayopsError) as caught:
            crypto.decrypt(damaged, purpose)
        assert caught.value.code == "crypto.damaged"


def test_after_a_rotation_old_values_are_read_and_new_ones_use_the_new_key(settings: Any) -> None:
    token = crypto.encrypt("6222")
    settings.PAYOPS_ENCRYPTION_KEYS = {"new": NEW, "old": OLD}
    assert crypto.decrypt(token) == "6222"
    assert not crypto.is_current(token)
    assert crypto.is_current(crypto.encrypt("6222"))


def test_rows_move_to_the_new_key_after_which_the_old_one_may_go(secrets: type[Secret], settings: Any) -> None:
    rows = [secrets.objects.create(number=f"n{n}") for n in range(7)]
    secrets.objects.create(number="")
    settings.PAYOPS_ENCRYPTION_KEYS = {"new": NEW, "old": OLD}
    assert crypto.reencrypt(secrets, "number", batch=3) == 7
    assert crypto.reencrypt(secrets, "number", batch=3) == 0
    settings.PAYOPS_ENCRYPTION_KEYS = {"new": NEW}
    assert [secrets.objects.get(pk=row.pk).number for row in rows] == [f"n{n}" for n in range(7)]


def test_a_missing_key_is_named(settings: Any) -> None:
    token = crypto.encrypt("6222")
    settings.PAYOPS_ENCRYPTION_KEYS = {"new": NEW}
    with pytest.raises(PayopsError, match="old") as caught:
        crypto.decrypt(token)
    assert caught.value.code == "crypto.unknown_key"


@pytest.mark.parametrize(
    "keys", [None, {}, "", {"a": "c2hvcnQ="}, {"a b": OLD}, {"": OLD}, ["a:" + OLD, "a:" + NEW], {"a": "!" * 44}]
)
def test_a_bad_key_ring_fails_loudly(settings: Any, keys: Any) -> None:
    settings.PAYOPS_ENCRYPTION_KEYS = keys
    with pytest.raises(ImproperlyConfigured):
        crypto.encrypt("x")


@pytest.mark.parametrize("keys", [{"a": OLD, "b": NEW}, [f"a:{OLD}", f"b:{NEW}"], f"a:{OLD}, b:{NEW}"])
def test_the_key_ring_may_be_written_in_three_ways(settings: Any, keys: Any) -> None:
    settings.PAYOPS_ENCRYPTION_KEYS = keys
    assert list(crypto.key_ring()) == ["a", "b"]


def test_the_blind_index_is_stable_keyed_and_separate_per_purpose(settings: Any) -> None:
    index = crypto.blind_index("6222", "account")
    assert index == crypto.blind_index("6222", "account")
    assert len(index) == 64
    assert index != crypto.blind_index("6222", "id_card")
    assert index != crypto.blind_index("6223", "account")
    settings.PAYOPS_ENCRYPTION_KEYS = {"new": NEW, "old": OLD}
    assert index == crypto.blind_index("6222", "account"), "a rotation must not change what a search looks for"
    settings.PAYOPS_BLIND_INDEX_KEY = "another"
    assert index != crypto.blind_index("6222", "account")


def test_without_a_key_of_its_own_the_blind_index_survives_adding_a_key(settings: Any) -> None:
    settings.PAYOPS_BLIND_INDEX_KEY = ""
    index = crypto.blind_index("6222", "account")
    settings.PAYOPS_ENCRYPTION_KEYS = {"new": NEW, "old": OLD}
    assert index == crypto.blind_index("6222", "account")


def test_the_field_keeps_its_purpose_in_migrations() -> None:
    field = Secret._meta.get_field("number")
    _name, _path, args, kwargs = field.deconstruct()
    assert crypto.EncryptedTextField(*args, **kwargs).purpose == "test.number"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("6222021234567890123", "622202*********0123"),
        ("4111 1111 1111 1111", "411111******1111"),
        ("12345", "*****"),
        ("", ""),
    ],
)
def test_card_numbers_show_six_and_four(value: str, masked: str) -> None:
    assert crypto.mask_card(value) == masked


@pytest.mark.parametrize(
    ("value", "keep", "masked"),
    [("13800138000", 4, "*******8000"), ("123", 4, "***"), ("1234", 4, "****"), ("ab", 0, "**")],
)
def test_other_numbers_show_their_tail_only(value: str, keep: int, masked: str) -> None:
    assert crypto.mask_tail(value, keep) == masked


# --- audit ------------------------------------------------------------------------------------------------------------


def test_an_entry_tells_who_did_what_to_which_object(db: None) -> None:
    entry = audit.record(
        username="alice", action="reveal", object_kind="merchant", object_id=7, detail={"why": "call"}, ip="10.0.0.1"
    )
    entry.refresh_from_db()
    assert (entry.username, entry.object_id, entry.detail, entry.ip) == ("alice", "7", {"why": "call"}, "10.0.0.1")


def test_an_entry_falls_with_the_change_it_tells_of(db: None) -> None:
    with transaction.atomic():
        audit.record(username="alice", action="change", object_kind="merchant")
        transaction.set_rollback(True)
    assert not AuditLog.objects.exists()


@pytest.mark.parametrize(
    "attack", ["UPDATE core_auditlog SET username = 'bob'", "DELETE FROM core_auditlog", "TRUNCATE core_auditlog"]
)
def test_the_audit_log_refuses_every_change(db: None, attack: str) -> None:
    audit.record(username="alice", action="change", object_kind="merchant")
    with pytest.raises(IntegrityError, match="never changed or removed"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(attack)


def test_an_entry_without_a_person_is_refused(db: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        audit.record(username="", action="change", object_kind="merchant")
