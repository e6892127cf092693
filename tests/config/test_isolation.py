"""The test run's own promises: fixed days, a kept calendar, and no way to flush a real database."""

from __future__ import annotations

import datetime as dt

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from payops.core.business_days import is_working_day
from tests.conftest import FIRST_DAY, LAST_DAY, _flush_past_the_guards


@pytest.mark.django_db
def test_the_database_is_this_processes_own():
    import os

    assert connection.settings_dict["NAME"].startswith(f"test_payops_{os.getpid()}")


@pytest.mark.django_db
def test_the_calendar_is_seeded():
    assert is_working_day(dt.date(2026, 11, 20))
    assert not is_working_day(dt.date(2026, 11, 21))


@pytest.mark.django_db(transaction=True)
def test_a_flush_keeps_the_calendar():
    call_command("flush", interactive=False, reset_sequences=False, verbosity=0)
    assert is_working_day(dt.date(2026, 11, 20))


@pytest.mark.django_db
def test_every_fixed_day_has_its_partitions():
    days = (LAST_DAY - FIRST_DAY).days + 1
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhparent::regclass::text, count(*) FROM pg_inherits JOIN pg_class ON oid = inhrelid"
            " WHERE relkind = 'r' GROUP BY 1"
        )
        counts = dict(cursor.fetchall())
    assert counts
    assert all(count >= days for count in counts.values()), counts


@pytest.mark.django_db
def test_a_database_that_is_no_test_database_is_not_flushed(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "NAME", "payops")
    with pytest.raises(AssertionError, match="not a test database"):
        _flush_past_the_guards(connection.ops, ["SELECT 1"])


def test_files_stay_in_the_tests_own_folder(tmp_path):
    assert tmp_path / "files" == settings.PAYOPS_FILES_DIR
