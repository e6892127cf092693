"""Settings: production stops with a sentence when something is missing, development needs nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from payops.config.settings.business import parse_keys
from payops.config.settings.database import parse_database_url
from payops.config.settings.environment import BASE_DIR

COMPLETE = {
    "PAYOPS_ENV": "production",
    "SECRET_KEY": "a-long-and-random-secret-for-this-test-only-0123456789",
    "ALLOWED_HOSTS": "pay.example.com",
    "DATABASE_URL": "postgresql://payops:p%40ss@db.example.com:5433/payops?sslmode=require",
    "PAYOPS_ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
    "PAYOPS_BLIND_INDEX_KEY": "index-key-of-the-tests",
}
SHOWN = "SECRET_KEY DEBUG SECURE_SSL_REDIRECT SESSION_COOKIE_SECURE PAYOPS_REQUIRE_SECOND_FACTOR DATABASES"


def read_settings(var: Path, **environment: str) -> subprocess.CompletedProcess:
    """Import the settings in a fresh process with exactly this environment."""
    script = (
        "import json; from django.conf import settings as s; "
        f"print(json.dumps({{n: getattr(s, n) for n in '{SHOWN}'.split()}}, default=str))"
    )
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    clean |= {"DJANGO_SETTINGS_MODULE": "payops.config.settings", "PAYOPS_VAR_DIR": str(var), **environment}
    return subprocess.run([sys.executable, "-c", script], env=clean, cwd=BASE_DIR, capture_output=True, text=True)


def test_development_needs_no_environment_at_all(tmp_path):
    shown = json.loads(read_settings(tmp_path).stdout)
    assert shown["DATABASES"]["default"]["ENGINE"] == "payops.config.postgresql"
    assert shown["PAYOPS_REQUIRE_SECOND_FACTOR"] is False


def test_development_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path):
    first = json.loads(read_settings(tmp_path).stdout)["SECRET_KEY"]
    second = json.loads(read_settings(tmp_path).stdout)["SECRET_KEY"]
    assert first == second
    files = list((tmp_path / "secrets").iterdir())
    assert {path.name for path in files} == {"secret_key", "encryption_keys", "blind_index_key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_complete_production_settings_are_strict(tmp_path):
    ran = read_settings(tmp_path, **COMPLETE)
    shown = json.loads(ran.stdout)
    assert shown["DEBUG"] is False
    assert shown["SECURE_SSL_REDIRECT"] is True
    assert shown["SESSION_COOKIE_SECURE"] is True
    assert shown["PAYOPS_REQUIRE_SECOND_FACTOR"] is True
    assert not (tmp_path / "secrets").exists()


@pytest.mark.parametrize(
    "missing", ["SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "PAYOPS_ENCRYPTION_KEYS", "PAYOPS_BLIND_INDEX_KEY"]
)
def test_production_stops_when_something_is_missing_and_names_it(tmp_path, missing):
    ran = read_settings(tmp_path, **{**COMPLETE, missing: ""})
    assert ran.returncode != 0
    assert f"ImproperlyConfigured: {missing} is not set. Production needs it" in ran.stderr


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PAYOPS_ENV", "prod", "PAYOPS_ENV is 'prod'; it must be one of development, test, production."),
        ("PAYOPS_DEBUG", "ja", "PAYOPS_DEBUG is 'ja'; write 1 or 0."),
        ("PAYOPS_WORKERS", "two", "PAYOPS_WORKERS is 'two'; write a whole number."),
        ("PAYOPS_PG_VERSION", "9", "PAYOPS_PG_VERSION may be 18, 16."),
        ("DATABASE_URL", "mysql://x/y", "DATABASE_URL must look like postgresql://"),
        ("PAYOPS_ENCRYPTION_KEYS", "k1:short", "32 bytes"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_write_instead(tmp_path, name, value, told):
    assert told in read_settings(tmp_path, **{name: value}).stderr


def test_debug_in_production_is_refused(tmp_path):
    assert "PAYOPS_DEBUG is on in production" in read_settings(tmp_path, **COMPLETE, PAYOPS_DEBUG="1").stderr


def test_production_settings_pass_djangos_own_check(tmp_path):
    clean = {"PATH": os.environ["PATH"], "PAYOPS_VAR_DIR": str(tmp_path), **COMPLETE}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING", "--tag", "security"]
    ran = subprocess.run(command, env=clean, cwd=BASE_DIR, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_database_url_is_taken_apart():
    parsed = parse_database_url("DATABASE_URL", COMPLETE["DATABASE_URL"])
    assert (parsed["HOST"], parsed["PORT"], parsed["NAME"]) == ("db.example.com", "5433", "payops")
    assert parsed["PASSWORD"] == "p@ss"
    assert parsed["OPTIONS"] == {"sslmode": "require"}


def test_a_database_url_may_name_a_socket_folder():
    assert parse_database_url("DATABASE_URL", "postgresql:///payops?host=/run/pg")["HOST"] == "/run/pg"


def test_several_encryption_keys_keep_their_order():
    key = "B" * 43 + "="
    assert list(parse_keys(f"new:{key}, old:{key}")) == ["new", "old"]


def test_a_broken_key_is_refused_without_being_shown():
    with pytest.raises(ImproperlyConfigured) as refused:
        parse_keys("k1:" + "secret" * 5)
    assert "secretsecret" not in str(refused.value)
