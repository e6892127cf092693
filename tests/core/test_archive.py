"""The archive: a partition becomes a proved file and comes back the same; killed anywhere, it is only started again."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import DatabaseError, IntegrityError, connection, transaction

from payops.core import archive, partitions
from payops.core.choices import ArchiveState
from payops.core.errors import PayopsError
from payops.core.models import ArchivedPartition, AuditLog
from tests.core.daybook import DAY, NEXT_DAY, Daybook, create_table, drop_table, row

NAME = "test_daybook_p261120"
AWKWARD = ["plain", "tab\tand\nbreak", "back\\slash", "差错", ""]


@pytest.fixture
def daybook(db: None) -> type[Daybook]:
    create_table()
    partitions.ensure_days(DAY, NEXT_DAY, only=[Daybook])
    _fill()
    return Daybook


@pytest.fixture
def committed(transactional_db: None) -> Iterator[type[Daybook]]:
    drop_table()
    create_table()
    partitions.ensure_days(DAY, NEXT_DAY, only=[Daybook])
    _fill()
    yield Daybook
    drop_table()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {NAME}, archive.{NAME}" if _schema() else f"DROP TABLE IF EXISTS {NAME}")


def _schema() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('archive') IS NOT NULL")
        return cursor.fetchone()[0]


def _fill() -> None:
    Daybook.objects.bulk_create([row(DAY, n, label=label, amount=n) for n, label in enumerate(AWKWARD, start=1)])
    Daybook.objects.bulk_create([row(NEXT_DAY, 1, label="tomorrow")])


def contents() -> list[tuple[Any, ...]]:
    return list(Daybook.objects.for_days(DAY, NEXT_DAY).order_by("id").values_list("id", "label", "amount"))


def partition() -> archive.Partition:
    (found,) = [each for each in archive.partitions_of(Daybook) if each.name == NAME]
    return found


def put_away(**options: Any) -> ArchivedPartition:
    return archive.partition_archive(partition(), by="alice", **options)


def file_of(entry: ArchivedPartition) -> Path:
    return Path(django_settings.PAYOPS_ARCHIVE_DIR) / entry.path


# --- out and back -----------------------------------------------------------------------------------------------------


def test_an_archived_partition_is_a_file_a_line_of_the_register_and_gone_from_its_table(
    daybook: type[Daybook],
) -> None:
    entry = put_away()
    assert (entry.state, entry.rows, entry.day, entry.columns) == ("archived", 5, DAY, ["id", "label", "amount"])
    assert [found.name for found in archive.partitions_of(Daybook)] == ["test_daybook_p261121"]
    assert [label for _id, label, _amount in contents()] == ["tomorrow"]
    assert gzip.decompress(file_of(entry).read_bytes()).count(b"\n") == 5
    assert AuditLog.objects.filter(username="alice", action="archive.archived", object_id=NAME).exists()


def test_what_comes_back_is_what_went_to_the_last_character(daybook: type[Daybook]) -> None:
    before = contents()
    entry = archive.partition_restore(Daybook, put_away(), by="bob")
    assert contents() == before
    assert entry.state == ArchiveState.RESTORED
    assert AuditLog.objects.filter(username="bob", action="archive.restored").exists()


def test_guards_and_indexes_stand_on_what_came_back(daybook: type[Daybook]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass", [NAME])
        indexes = cursor.fetchone()
        archive.partition_restore(Daybook, put_away(), by="bob")
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass", [NAME])
        assert cursor.fetchone() == indexes
    for attack in (f"UPDATE {NAME} SET amount = 0", f"DELETE FROM {NAME}", f"TRUNCATE {NAME}"):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            connection.cursor().execute(attack)


def test_the_same_rows_make_the_same_file_again(daybook: type[Daybook]) -> None:
    first = put_away()
    archive.partition_restore(Daybook, first, by="bob")
    second = put_away()
    assert (second.path, second.sha256, second.file_sha256) == (first.path, first.sha256, first.file_sha256)
    assert ArchivedPartition.objects.filter(name=NAME).count() == 2


def test_an_archived_day_is_not_made_anew_empty(daybook: type[Daybook]) -> None:
    put_away()
    assert partitions.ensure_day(DAY, only=[Daybook]) == []
    with pytest.raises(IntegrityError), transaction.atomic():
        row(DAY, 9).save(force_insert=True)


def test_a_kept_table_lies_aside_and_cannot_be_changed(daybook: type[Daybook]) -> None:
    entry = put_away(keep=True)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM archive.{NAME}")
        assert cursor.fetchone() == (5,)
    for attack in ("UPDATE archive.{} SET amount = 0", "DELETE FROM archive.{}", "TRUNCATE archive.{}"):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            connection.cursor().execute(attack.format(NAME))
    archive.partition_restore(Daybook, entry, by="bob")
    assert len(contents()) == 6


def test_a_column_added_since_takes_its_default_when_the_day_comes_back(daybook: type[Daybook]) -> None:
    entry = put_away()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE test_daybook ADD COLUMN added integer NOT NULL DEFAULT 7")
        archive.partition_restore(Daybook, entry, by="bob")
        cursor.execute(f"SELECT DISTINCT added FROM {NAME}")
        assert cursor.fetchall() == [(7,)]


def test_a_column_lost_since_is_named(daybook: type[Daybook]) -> None:
    entry = put_away()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE test_daybook DROP COLUMN amount CASCADE")
    with pytest.raises(PayopsError, match="amount") as caught, transaction.atomic():
        archive.partition_restore(Daybook, entry, by="bob")
    assert caught.value.code == "archive.other_columns"


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_file_brings_nothing_back(daybook: type[Daybook], damage: str) -> None:
    entry = put_away()
    path = file_of(entry)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"plain", b"plane"), mtime=0))
    with pytest.raises(PayopsError) as caught, transaction.atomic():
        archive.partition_restore(Daybook, entry, by="bob")
    assert caught.value.code == "archive.damaged"
    assert [label for _id, label, _amount in contents()] == ["tomorrow"]


def test_what_is_not_archived_cannot_be_restored(daybook: type[Daybook]) -> None:
    entry = archive.partition_restore(Daybook, put_away(), by="bob")
    with pytest.raises(PayopsError) as caught:
        archive.partition_restore(Daybook, entry, by="bob")
    assert caught.value.code == "archive.not_archived"


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE core_archivedpartition SET rows = rows - 1",
        "UPDATE core_archivedpartition SET sha256 = repeat('0', 64)",
        "UPDATE core_archivedpartition SET path = 'elsewhere'",
        "UPDATE core_archivedpartition SET columns = '[]'",
        "UPDATE core_archivedpartition SET lo = lo + 1",
        "UPDATE core_archivedpartition SET ledger_digest = '{}'",
        "UPDATE core_archivedpartition SET state = 'written', archived_at = NULL",
        "DELETE FROM core_archivedpartition",
        "TRUNCATE core_archivedpartition",
    ],
)
def test_the_register_never_changes_what_was_written_and_forgets_nothing(daybook: type[Daybook], attack: str) -> None:
    put_away()
    with pytest.raises(DatabaseError), transaction.atomic():
        connection.cursor().execute(attack)


def test_one_partition_is_in_the_archive_once(daybook: type[Daybook]) -> None:
    entry = put_away()
    entry.pk = None
    with pytest.raises(IntegrityError, match="core_archived_once"), transaction.atomic():
        entry.save(force_insert=True)


# --- interrupted ------------------------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
import django
from django.conf import settings
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
settings.PAYOPS_ARCHIVE_DIR = __import__("pathlib").Path(sys.argv[2])
from payops.core import archive
from tests.core.daybook import Daybook
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(archive, sys.argv[3], die)
(found,) = [each for each in archive.partitions_of(Daybook) if each.name == sys.argv[4]]
archive.partition_archive(found, by="alice")
"""


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("step", ["archive_read_back", "_detach", "_put_away"])
def test_killed_between_any_two_steps_it_is_only_started_again(committed: type[Daybook], step: str) -> None:
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            CHILD,
            connection.settings_dict["NAME"],
            str(django_settings.PAYOPS_ARCHIVE_DIR),
            step,
            NAME,
        ],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = [each for each in archive.partitions_of(Daybook) if each.name == NAME]
    todo = left or [each for each, _entry in archive.unfinished(Daybook)]
    entry = archive.partition_archive(todo[0], by="alice")
    assert (entry.state, entry.rows) == ("archived", 5)
    assert ArchivedPartition.objects.count() == 1
    archive.partition_restore(Daybook, entry, by="bob")
    assert len(contents()) == 6


def test_outside_a_transaction_it_is_detached_without_blocking_readers(committed: type[Daybook]) -> None:
    with connection.execute_wrapper(_recorder(statements := [])):
        entry = put_away()
    assert entry.state == ArchiveState.ARCHIVED
    assert any("CONCURRENTLY" in statement for statement in statements)


def _recorder(statements: list[str]) -> Any:
    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    return record


def test_a_row_changed_after_the_file_was_written_is_in_the_file_that_counts(
    committed: type[Daybook], monkeypatch: pytest.MonkeyPatch
) -> None:
    detach = archive._detach

    def change_and_detach(which: archive.Partition) -> None:
        if which.name in {found.name for found in archive.partitions_of(Daybook)}:
            Daybook.objects.bulk_create([row(DAY, 99, label="late")])
        detach(which)

    monkeypatch.setattr(archive, "_detach", change_and_detach)
    entry = put_away()
    assert entry.rows == 6
    assert sorted(ArchivedPartition.objects.values_list("state", flat=True)) == ["archived", "dropped"]
    archive.partition_restore(Daybook, entry, by="bob")
    assert "late" in [label for _id, label, _amount in contents()]


def test_a_row_loaded_into_the_table_after_it_was_compared_is_not_dropped_with_it(
    committed: type[Daybook], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_aside = archive._put_away

    def load_and_put_aside(*args: Any, **options: Any) -> ArchivedPartition:
        # A load writes into the partition by its own name.
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {NAME} (id, label, amount) VALUES (%s, 'late', 1)", [row(DAY, 99).pk])
        return put_aside(*args, **options)

    monkeypatch.setattr(archive, "_put_away", load_and_put_aside)
    entry = put_away()
    archive.partition_restore(Daybook, entry, by="bob")
    assert "late" in [label for _id, label, _amount in contents()]


def test_killed_while_a_changed_table_is_written_anew_it_is_found_again(
    committed: type[Daybook], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, detach = archive._write, archive._detach
    written: list[str] = []

    def change_and_detach(which: archive.Partition) -> None:
        Daybook.objects.bulk_create([row(DAY, 99, label="late")])
        detach(which)

    def write_once(which: archive.Partition, *args: Any) -> ArchivedPartition:
        if written:
            raise KeyboardInterrupt
        written.append(which.name)
        return write(which, *args)

    monkeypatch.setattr(archive, "_detach", change_and_detach)
    monkeypatch.setattr(archive, "_write", write_once)
    with pytest.raises(KeyboardInterrupt):
        put_away()
    monkeypatch.undo()
    ((left, _entry),) = archive.unfinished(Daybook)
    archive.partition_restore(Daybook, archive.partition_archive(left, by="alice"), by="bob")
    assert "late" in [label for _id, label, _amount in contents()]
