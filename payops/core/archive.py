"""Partitions of old days as files: written and proved, detached, dropped or kept aside, and brought back.

What may be archived is decided above (`dayend.archiving`); here is how. The file is COPY text in the order of ids,
compressed, named after its own digest. It is read back before the partition is detached, and the detached table is
compared with it once more before it goes. Every step is found again by the next call, so a process killed anywhere is
only started again. See docs/archive.md.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.core import audit
from payops.core.choices import ArchiveState
from payops.core.copying import copy_text
from payops.core.errors import PayopsError
from payops.core.ids import day_of
from payops.core.locks import lock_timeout, xact_lock
from payops.core.models import ArchivedPartition
from payops.core.partitions import LOCK_NAMESPACE, LOCK_SECONDS, DayPartitionedModel, attach, create_detached
from payops.core.sql import append_only_triggers, quote_table

SCHEMA: Final = "archive"
"""Where detached partitions are kept that are not dropped."""
_PIECE: Final = 1 << 20
_BOUNDS: Final = re.compile(r"FROM \('?(\d+)'?\) TO \('?(\d+)'?\)")

_PARTITIONS: Final = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), i.inhdetachpending
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(quote_ident(%s)) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a table: ids in [lo, hi), all of one day; `detaching` when a detach was interrupted."""

    model: type[DayPartitionedModel]
    name: str
    lo: int
    hi: int
    detaching: bool = False

    @property
    def day(self) -> dt.date:
        """The day its ids carry."""
        return day_of(self.lo)

    @property
    def parent(self) -> str:
        """The partitioned table."""
        return self.model._meta.db_table


def partitions_of(model: type[DayPartitionedModel]) -> list[Partition]:
    """All partitions a table has now, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_PARTITIONS, [model._meta.db_table])
        found = cursor.fetchall()
    partitions = []
    for name, bounds, detaching in found:
        lo, hi = (int(bound) for bound in _BOUNDS.search(bounds).groups())  # type: ignore[union-attr]
        partitions.append(Partition(model, name, lo, hi, detaching))
    return sorted(partitions, key=lambda partition: partition.lo)


def archived_on(model: type[DayPartitionedModel], day: dt.date) -> list[ArchivedPartition]:
    """What of a day's rows is in the archive and not in the table."""
    return list(
        ArchivedPartition.objects.filter(parent=model._meta.db_table, day=day, state=ArchiveState.ARCHIVED.value)
    )


def put_away(model: type[DayPartitionedModel], lo: int, hi: int) -> PayopsError | None:
    """What to tell whoever asks for rows of the half-open id range of which some are in the archive; else None.

    The error is 'archive.put_away' and names the oldest such day.
    """
    rows = ArchivedPartition.objects.filter(
        parent=model._meta.db_table, state=ArchiveState.ARCHIVED.value, lo__lt=hi, hi__gt=lo
    )
    day = rows.order_by("day").values_list("day", flat=True).first()
    if day is None:
        return None
    return PayopsError(
        "archive.put_away",
        _("The rows of %(day)s are in the archive. The operator of the system brings them back for a day.")
        % {"day": day.isoformat()},
        {"day": day.isoformat()},
    )


# --- out --------------------------------------------------------------------------------------------------------------


def partition_archive(
    partition: Partition, *, by: str, keep: bool = False, ledger_digest: dict[str, Any] | None = None
) -> ArchivedPartition:
    """Write, prove, detach and drop one partition (or keep its table in the schema `archive`).

    Goes on where an interrupted call stopped. Raises PayopsError 'archive.damaged' when the file does not read back as
    written, 'locks.busy' while somebody writes to the partition.
    """
    row = _written(partition) or _write(partition, by, ledger_digest)
    _detach(partition)
    return _put_away(partition, row, by=by, keep=keep)


def unfinished(model: type[DayPartitionedModel]) -> list[tuple[Partition, ArchivedPartition]]:
    """Partitions written and perhaps detached by a call that did not come to its end."""
    rows = ArchivedPartition.objects.filter(parent=model._meta.db_table, state=ArchiveState.WRITTEN.value)
    return [(Partition(model, row.name, row.lo, row.hi), row) for row in rows]


def _written(partition: Partition) -> ArchivedPartition | None:
    row = ArchivedPartition.objects.filter(name=partition.name, state=ArchiveState.WRITTEN.value).first()
    if row is not None:
        archive_read_back(row)
    return row


def _write(partition: Partition, by: str, ledger_digest: dict[str, Any] | None) -> ArchivedPartition:
    with lock_timeout(LOCK_SECONDS), transaction.atomic():
        with connection.cursor() as cursor:
            # Readers go on; a writer there should be none of, and none may come in between.
            cursor.execute(f"LOCK TABLE {quote_table(partition.name)} IN SHARE MODE")
        columns = _columns(partition.name)
        folder = Path(settings.PAYOPS_ARCHIVE_DIR) / partition.parent
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{partition.name}.writing"
        rows, digest = _copy_out(partition.name, columns, temporary)
        path = folder / f"{partition.name}-{digest[:16]}.copy.gz"
        os.replace(temporary, path)
        row = ArchivedPartition(
            parent=partition.parent,
            name=partition.name,
            day=partition.day,
            lo=partition.lo,
            hi=partition.hi,
            rows=rows,
            columns=columns,
            sha256=digest,
            path=str(path.relative_to(settings.PAYOPS_ARCHIVE_DIR)),
            file_sha256=_file_digest(path),
            file_size=path.stat().st_size,
            ledger_digest=ledger_digest,
            written_by=by,
        )
        archive_read_back(row)
        row.save(force_insert=True)
        return row


def _columns(name: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(%s))"
            " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [name],
        )
        return [column for (column,) in cursor.fetchall()]


def _copy_statement(name: str, columns: list[str]) -> str:
    names = ", ".join(quote_table(column) for column in columns)
    return f"COPY (SELECT {names} FROM {quote_table(name)} ORDER BY id) TO STDOUT"  # noqa: S608


def _table_text(name: str, columns: list[str]) -> Iterator[bytes]:
    with connection.wrap_database_errors, connection.cursor() as cursor:
        with cursor.copy(_copy_statement(name, columns)) as copy:
            for piece in copy:
                yield bytes(piece)


def _counted(pieces: Iterator[bytes], into: IO[bytes] | None = None) -> tuple[int, str]:
    """Rows and digest of the text; a line is a row, because COPY escapes the breaks inside one."""
    digest, rows = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        rows += piece.count(b"\n")
        if into is not None:
            into.write(piece)
    return rows, digest.hexdigest()


def _digest_of_table(name: str, columns: list[str]) -> tuple[int, str]:
    return _counted(_table_text(name, columns))


def _copy_out(name: str, columns: list[str], path: Path) -> tuple[int, str]:
    with path.open("wb") as file:
        # Without name and time in the head the same rows make the same file.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
            counted = _counted(_table_text(name, columns), packed)
        # The row that names this file must not outlive it in a power cut.
        file.flush()
        os.fsync(file.fileno())
    return counted


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_text(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as packed:
        while piece := packed.read(_PIECE):
            yield piece


def archive_read_back(row: ArchivedPartition) -> None:
    """Unpack the file and compare rows and digests with the register; PayopsError 'archive.damaged' else."""
    path = Path(settings.PAYOPS_ARCHIVE_DIR) / row.path
    try:
        intact = _file_digest(path) == row.file_sha256 and _counted(_file_text(path)) == (row.rows, row.sha256)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(row, str(error)) from error
    if not intact:
        raise _damaged(row, _("its digest is another one"))


def _damaged(row: ArchivedPartition, reason: str) -> PayopsError:
    return PayopsError(
        "archive.damaged",
        _("The archive file %(path)s is not what was written (%(reason)s). Bring it back from a backup.")
        % {"path": row.path, "reason": reason},
        {"path": row.path, "name": row.name},
    )


def _detach(partition: Partition) -> None:
    """Out of the table: without blocking anybody where the transaction allows it; an interrupted detach is finished."""
    current = {found.name: found for found in partitions_of(partition.model)}.get(partition.name)
    if current is None:
        return
    parent, name = quote_table(partition.parent), quote_table(partition.name)
    with connection.cursor() as cursor:
        if current.detaching:
            cursor.execute(f"ALTER TABLE {parent} DETACH PARTITION {name} FINALIZE")
        elif not connection.in_atomic_block:
            cursor.execute(f"ALTER TABLE {parent} DETACH PARTITION {name} CONCURRENTLY")
        else:
            with lock_timeout(LOCK_SECONDS):
                xact_lock(LOCK_NAMESPACE, partition.parent)
                cursor.execute(f"ALTER TABLE {parent} DETACH PARTITION {name}")


def _put_away(partition: Partition, row: ArchivedPartition, *, by: str, keep: bool) -> ArchivedPartition:
    name = quote_table(partition.name)
    with transaction.atomic(), connection.cursor() as cursor:
        with lock_timeout(LOCK_SECONDS):
            # A load writes into a partition by its own name: from here on nothing comes into the table any more.
            cursor.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        row = _as_it_is_now(partition, row, by)
        if keep:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            # Its own guards went with the parent's.
            cursor.execute(f"DROP TRIGGER IF EXISTS no_truncate ON {name}")
            for statement in append_only_triggers(partition.name):
                cursor.execute(statement)
            cursor.execute(f"ALTER TABLE {name} SET SCHEMA {SCHEMA}")
        else:
            cursor.execute(f"DROP TABLE {name}")
        row.state, row.kept, row.archived_at = ArchiveState.ARCHIVED.value, keep, timezone.now()
        row.save(update_fields=["state", "kept", "archived_at"])
        _recorded(row, "archive.archived", row.written_by)
    return row


def _as_it_is_now(partition: Partition, row: ArchivedPartition, by: str) -> ArchivedPartition:
    """The row of a file with what the table holds now; another file where that has changed since it was written."""
    if _digest_of_table(partition.name, row.columns) == (row.rows, row.sha256):
        return row
    # What is in the table counts. The file stays, nobody will ask for it.
    ArchivedPartition.objects.filter(pk=row.pk, state=ArchiveState.WRITTEN.value).update(
        state=ArchiveState.DROPPED.value
    )
    return _write(partition, by, row.ledger_digest)


def _recorded(row: ArchivedPartition, action: str, by: str) -> None:
    audit.record(
        username=by,
        action=action,
        object_kind="archived_partition",
        object_id=row.name,
        detail={"rows": row.rows, "file": row.path, "sha256": row.sha256},
    )


# --- and back ---------------------------------------------------------------------------------------------------------


def partition_restore(model: type[DayPartitionedModel], row: ArchivedPartition, *, by: str) -> ArchivedPartition:
    """Bring an archived partition back from its file, with all indexes and guards; one transaction.

    Columns the table has got since take their default. Raises PayopsError 'archive.not_archived', 'archive.damaged'
    and 'archive.other_columns' when the file has columns the table has lost.
    """
    with transaction.atomic():
        locked = ArchivedPartition.objects.select_for_update().get(pk=row.pk)
        if locked.state != ArchiveState.ARCHIVED:
            raise PayopsError(
                "archive.not_archived",
                _("Partition %(name)s is not in the archive: it is %(state)s.")
                % {"name": locked.name, "state": locked.get_state_display()},
                {"name": locked.name},
            )
        archive_read_back(locked)
        missing = sorted(set(locked.columns) - set(_columns(locked.parent)))
        if missing:
            raise PayopsError(
                "archive.other_columns",
                _("Partition %(name)s has columns that its table no longer has: %(columns)s.")
                % {"name": locked.name, "columns": ", ".join(missing)},
                {"name": locked.name, "columns": missing},
            )
        path = Path(settings.PAYOPS_ARCHIVE_DIR) / locked.path
        create_detached(model, locked.name, locked.lo, locked.hi)
        copy_text(locked.name, locked.columns, _file_text(path), freeze=True)
        if _digest_of_table(locked.name, locked.columns) != (locked.rows, locked.sha256):
            raise _damaged(locked, _("the database reads other rows from it"))
        attach(model, locked.name, locked.lo, locked.hi)
        if locked.kept:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {SCHEMA}.{quote_table(locked.name)}")
        locked.state, locked.restored_at, locked.kept = ArchiveState.RESTORED.value, timezone.now(), False
        locked.save(update_fields=["state", "restored_at", "kept"])
        _recorded(locked, "archive.restored", by)
        return locked
