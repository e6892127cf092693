"""What every test may rely on: fixed days of partitions, a fixed cast, and nothing that leaks out of the test run."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings as django_settings
from django.db import connections
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client
from django.utils import translation

# Playwright keeps an event loop in the main thread, which Django would otherwise take for an asynchronous context.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
# Tests neither wait for slow hashes nor put messages where a running demo would find them.
django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
django_settings.CELERY_BROKER_URL = "memory://"
django_settings.CELERY_BROKER_TRANSPORT_OPTIONS = {}

# A developer's machine draws new examples every time; CI plays the same ones, so that it judges the change, not luck.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

FIRST_DAY = dt.date(2026, 11, 10)
LAST_DAY = dt.date(2026, 11, 24)
SEEDED_YEARS = (2025, 2026)
KEPT_BY_FLUSH = {"core_businessday", "django_content_type", "auth_permission"}
PASSWORD = "correct horse battery"
CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


# -- the database --------------------------------------------------------------------------------------------------


def _flush_past_the_guards(self: DatabaseOperations, sql_list: list[str]) -> None:
    """Guards would stop the flush between tests; off inside one transaction, in test databases only."""
    connection = self.connection
    name = connection.settings_dict["NAME"]
    assert name.startswith("test_"), f"refusing to flush {name}: not a test database"
    from django.db import transaction

    with transaction.atomic(using=connection.alias, savepoint=connection.features.can_rollback_ddl):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for statement in sql_list:
                cursor.execute(statement)


def _flush_what_has_rows(self: DatabaseOperations, style: Any, tables: list[str], **options: Any) -> list[str]:
    """DELETE from the few tables a test filled: TRUNCATE of every table and partition takes seconds a test.

    What is made once per test database is left alone: the calendar, and what Django would only make again.
    """
    assert not options.get("reset_sequences"), "sequences go on from test to test"
    names = {table: self.connection.ops.quote_name(table) for table in tables if table not in KEPT_BY_FLUSH}
    with self.connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {name})" for table, name in names.items())
        )
        filled = [table for (table,) in cursor.fetchall()]
    return [f"DELETE FROM {names[table]}" for table in filled]


def _drop_databases_of_dead_runs() -> None:
    """A killed test run leaves its database behind; its name tells the process, and that one is gone."""
    if not django_settings.PAYOPS_EMBEDDED_PG:
        return
    with connections["default"]._nodb_cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_payops\\_%'")
        for (name,) in cursor.fetchall():
            pid = re.match(r"test_payops_(\d+)", name)
            if pid and not Path(f"/proc/{pid[1]}").exists() and Path("/proc").exists():
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_blocker: Any) -> None:
    """Runs before the test database is made."""
    DatabaseOperations.execute_sql_flush = _flush_past_the_guards
    DatabaseOperations.sql_flush = _flush_what_has_rows
    with django_db_blocker.unblock():
        _drop_databases_of_dead_runs()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Django's test database plus the fixed days' partitions and the business-day table."""
    with django_db_blocker.unblock():
        _seed()


def _seed() -> None:
    # Imported here because the models they need are not loaded yet when this file is.
    from payops.core.business_days import seed_business_days
    from payops.core.partitions import ensure_days

    ensure_days(FIRST_DAY, LAST_DAY)
    seed_business_days(*SEEDED_YEARS)


# -- the cast ------------------------------------------------------------------------------------------------------


@pytest.fixture
def alice(db: None) -> Any:
    """Operations: the maker."""
    return _person("alice", "operations")


@pytest.fixture
def bob(db: None) -> Any:
    """Finance: the checker."""
    return _person("bob", "finance")


@pytest.fixture
def carol(db: None) -> Any:
    """The auditor: sees everything, changes nothing."""
    return _person("carol", "auditor")


@pytest.fixture
def dave(db: None) -> Any:
    """The administrator: users and set-up, no money."""
    return _person("dave", "admin")


@pytest.fixture
def mei(db: None) -> Any:
    """Administrator of merchant M-A."""
    return _person("mei", "merchant", merchant_no="M-A")


@pytest.fixture
def omar(db: None) -> Any:
    """Administrator of merchant M-B: the stranger in Mei's tests."""
    return _person("omar", "merchant", merchant_no="M-B")


def _person(username: str, role: str, **extra: str) -> Any:
    from payops.identity.services import user_create

    return user_create(username=username, password=PASSWORD, role=role, full_name=username.title(), **extra)


@pytest.fixture
def client_for() -> Callable[[Any], Client]:
    """``client_for(alice)``: a browserless client logged in as that person; ``client_for(None)`` is a stranger."""

    def make(user: Any) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


# -- the surroundings ----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _files_stay_in_the_test(settings: Any, tmp_path: Path) -> None:
    """Received and built files go to the test's own folder."""
    settings.PAYOPS_FILES_DIR = tmp_path / "files"
    settings.MEDIA_ROOT = tmp_path / "files"
    settings.PAYOPS_ARCHIVE_DIR = tmp_path / "archive"


@pytest.fixture(autouse=True)
def _english_unless_asked() -> None:
    """A request in Chinese leaves its language active in the thread; the next test begins anew."""
    translation.activate("en")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium; root cannot use its sandbox."""
    options = [*browser_type_launch_args.get("args", []), "--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": options}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """English unless a test asks for Chinese."""
    return {**browser_context_args, "locale": "en-GB", "timezone_id": "Asia/Shanghai"}


@pytest.fixture
def context(context: Any) -> Any:
    """A page that does not show up within ten seconds will not."""
    context.set_default_timeout(10_000)
    return context


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without Chromium the browser tests are skipped aloud on a developer's machine and fail in CI."""
    if CHROMIUM or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="no Chromium on this machine; install the package chromium to run browser tests")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(skip)
