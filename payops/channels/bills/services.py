"""Bill files from receipt to acceptance (DOMAIN 6): keep, recognise, check, load lines, accept, hold or reject."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.db import DataError, connection, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.channels.bills.selectors import FILE_STEP, expectation_of, line_range, source_of
from payops.channels.choices import FileState
from payops.channels.formats import (
    BILL_COPY_COLUMNS,
    Format,
    FormatError,
    KindSums,
    Limits,
    Reader,
    Source,
    detect_all,
    get_format,
    unwrap,
)
from payops.channels.formats.crew import Crew, Task
from payops.channels.models import BillFile, BillLine, ChannelContract
from payops.core import audit
from payops.core.copying import copy_text
from payops.core.errors import PayopsError
from payops.core.jobs import enqueue
from payops.core.locks import xact_lock
from payops.core.models import JobRun
from payops.core.partitions import ensure_day, own_partition, own_partition_name, partition_name
from payops.core.sql import quote_table
from payops.core.storage import Stored, full_path, keep

LOCK: Final = "channels.bill"
PARSE_JOB: Final = "channels.bill_parse"
OWN_PARTITION_LINES: Final = 500_000
FIRST_OWN_NUMBER: Final = 5_000
LAST_NUMBER: Final = 9_999
_PIECE: Final = 1 << 20

_take_over_checks: list[Callable[[BillFile], bool]] = []


def register_take_over_check(check: Callable[[BillFile], bool]) -> None:
    """`check(accepted_file)` answers whether work stands on it, so that a re-issue must be taken over by a person."""
    if check not in _take_over_checks:
        _take_over_checks.append(check)


# --- receiving --------------------------------------------------------------------------------------------------------


def bill_receive(
    *,
    contract: ChannelContract,
    channel_date: dt.date,
    stream: str | PathLike[str] | BinaryIO,
    name: str = "",
    source: str = "upload",
    user: str = "",
    batch: int = 1,
) -> BillFile:
    """Keep a file as received and register it for its contract and channel day; no line is read from it yet.

    A file whose bytes are registered already for the day is recognised by its digest: the existing row comes back with
    `duplicate` True. Otherwise it becomes version n + 1. A rejected file may be sent again, and so may one whose
    mapped format has a newer version, to be read with that.

    What the file is, its content says: an account log or an error file of the contract's channel is registered as such
    and never as a version of the bill. An archive that holds several of them is registered once for each; the bill, or
    else the first of them, comes back with the others in `companions`.
    """
    name = Path(name or (stream if not hasattr(stream, "read") else "bill")).name  # type: ignore[arg-type]
    stored = keep(stream, name=name)
    formats = _formats_in(contract, Source.of(full_path(stored.path), name))
    with transaction.atomic():
        xact_lock(LOCK, f"{contract.pk}/{channel_date}/{batch}")
        received = [
            _register(contract, channel_date, batch, fmt, stored, name=name[-200:], source=source, user=str(user))
            for fmt in formats
        ]
    bill_file, *companions = received
    bill_file.companions = companions
    return bill_file


def _formats_in(contract: ChannelContract, source: Source) -> list[Format]:
    """The contract's own format and those of other types beside it; only the latter when the file is all theirs."""
    own = get_format(contract.bill_format)
    try:
        found = detect_all(source)
    except FormatError:
        return [own]  # damaged; reading it says what is wrong
    beside = [fmt for fmt in found if fmt.family == own.family and fmt.bill_type != own.bill_type]
    return beside if beside and len(beside) == len(found) else [own, *beside]


def _register(
    contract: ChannelContract,
    channel_date: dt.date,
    batch: int,
    fmt: Format,
    stored: Stored,
    *,
    name: str,
    source: str,
    user: str,
) -> BillFile:
    bill_type = fmt.bill_type.value
    files = BillFile.objects.filter(contract=contract, channel_date=channel_date, batch=batch, bill_type=bill_type)
    same = files.filter(sha256=stored.sha256, bill_format__in=("", fmt.code))
    existing = same.exclude(state=FileState.REJECTED).first()
    if existing is not None:
        existing.duplicate = True
        return existing
    bill_file = BillFile.objects.create(
        contract=contract,
        channel_date=channel_date,
        batch=batch,
        bill_type=bill_type,
        bill_format=fmt.code,
        version=(files.aggregate(last=Max("version"))["last"] or 0) + 1,
        original_name=name,
        stored_path=stored.path,
        sha256=stored.sha256,
        size=stored.size,
        source=source,
        received_by=user,
    )
    audit.record(
        username=user or "system",
        action="channels.bill_received",
        object_kind="channels.billfile",
        object_id=bill_file.pk,
        detail={"contract": contract.code, "day": channel_date.isoformat(), "sha256": stored.sha256},
    )
    bill_file.duplicate = False
    return bill_file


def bill_load(
    *,
    contract: ChannelContract,
    channel_date: dt.date,
    stream: str | PathLike[str] | BinaryIO,
    name: str = "",
    source: str = "upload",
    user: str = "",
    batch: int = 1,
) -> BillFile:
    """`bill_receive` and `bill_parse` in one, companions included.

    Look at `state`, `error_message`, `duplicate` and `companions` of what comes back.
    """
    bill_file = bill_receive(
        contract=contract,
        channel_date=channel_date,
        stream=stream,
        name=name,
        source=source,
        user=user,
        batch=batch,
    )
    parsed, *companions = [_parsed(received) for received in (bill_file, *bill_file.companions)]
    parsed.companions = companions
    return parsed


def _parsed(received: BillFile) -> BillFile:
    parsed = bill_parse(received.pk)
    parsed.duplicate = received.duplicate
    return parsed


def bill_enqueue(bill_file: BillFile, *, user: str = "") -> JobRun:
    """Have a received file read by a worker (`bill_parse`), and what came in the same archive; once per file."""
    together = BillFile.objects.filter(
        contract_id=bill_file.contract_id, channel_date=bill_file.channel_date, batch=bill_file.batch,
        sha256=bill_file.sha256, state=FileState.RECEIVED,
    ).exclude(pk=bill_file.pk)  # fmt: skip
    for companion in together:
        _enqueue(companion, user)
    return _enqueue(bill_file, user)


def _enqueue(bill_file: BillFile, user: str) -> JobRun:
    return enqueue(
        PARSE_JOB,
        {"bill_file_id": bill_file.pk},
        key=f"{PARSE_JOB}/{bill_file.pk}",
        business_date=bill_file.channel_date,
        created_by=str(user),
    )


# --- parsing ----------------------------------------------------------------------------------------------------------


def bill_parse(bill_file_id: int) -> BillFile:
    """Read a received file into bill lines and decide its state; one that is past `received` comes back as it is.

    rejected: a check of the whole file failed; no line of it is kept, `error_code` and `error_message` say why.
    held: lines that cannot be read (`bad_lines`), or a re-issue of a file that work stands on; a person decides.
    accepted: everything read; `proven` when the file's own totals agree.
    Its number within the day comes first, so that bills of one day load side by side; all the rest is one transaction:
    a killed load leaves the file received.
    """
    unnumbered = _reserve_number(bill_file_id)
    with transaction.atomic():
        bill_file = _locked(bill_file_id)
        if bill_file.state != FileState.RECEIVED:
            return bill_file
        try:
            if unnumbered is not None:
                raise unnumbered
            reader = _load_lines(bill_file)
        except FormatError as error:
            _reject(bill_file, error.code, str(error))
        except DataError as error:
            _reject(
                bill_file,
                "bill.unstorable",
                _("A value of the file does not fit where it belongs: %s. Check that it is the bill of this channel.")
                % str(error).splitlines()[0],
            )
        else:
            _take_figures(bill_file, reader)
            _decide(bill_file)
        bill_file.save()
    return bill_file


def _locked(bill_file_id: int) -> BillFile:
    return BillFile.objects.select_for_update(of=("self",)).select_related("contract").get(pk=bill_file_id)


@transaction.atomic
def _reserve_number(bill_file_id: int) -> FormatError | None:
    """Give a received file its number, from which the ids of its lines follow; why it gets none, when it is refused."""
    bill_file = _locked(bill_file_id)
    if bill_file.state != FileState.RECEIVED or bill_file.day_file_no is not None:
        return None
    try:
        big = _has_many_lines(source_of(bill_file), Limits(max_bytes=settings.PAYOPS_MAX_UNPACKED_BYTES))
        bill_file.day_file_no = _next_number(bill_file.channel_date, big=big)
    except FormatError as error:
        return error
    bill_file.save(update_fields=["day_file_no"])
    return None


def _reject(bill_file: BillFile, code: str, message: str) -> None:
    bill_file.state = FileState.REJECTED
    bill_file.error_code, bill_file.error_message = code[:60], message
    bill_file.day_file_no = None
    bill_file.decided_at = timezone.now()


def _load_lines(bill_file: BillFile) -> Reader:
    """The lines in their partition and the reader with its figures.

    A big file is read by several processes. When that ends in a refusal, one reads it again from the start: what is
    wrong first, and how it is said, then does not depend on who read which part.
    """
    source, expect = source_of(bill_file), expectation_of(bill_file)
    fmt = get_format(bill_file.format_code)
    big = bill_file.day_file_no >= FIRST_OWN_NUMBER
    reader = fmt.open(source, expect)
    members = bill_readers() - 1 if big and reader.divisible else 0
    if members > 0:
        try:
            with transaction.atomic():
                task = Task(
                    str(full_path(bill_file.stored_path)), bill_file.original_name, bill_file.format_code, expect
                )
                with Crew(task, members) as crew:
                    reader.divide_with(crew)
                    return _store_lines(bill_file, reader, big=True)
        except (FormatError, DataError):
            reader = fmt.open(source, expect)
    with transaction.atomic():
        return _store_lines(bill_file, reader, big=big)


def bill_readers() -> int:
    """How many processes read a big bill: PAYOPS_BILL_READERS, or as many as there are processors to run on."""
    return min(settings.PAYOPS_BILL_READERS, len(os.sched_getaffinity(0)))


def _store_lines(bill_file: BillFile, reader: Reader, *, big: bool) -> Reader:
    lo, hi = line_range(bill_file)
    ensure_day(bill_file.channel_date, only=[BillLine])
    chunks = _bounded(reader, reader.copy_chunks(lo, bill_file.contract_id))
    if big:
        # Many lines would fill the reader's memory of keys for nothing: all of them are compared once they are stored.
        reader.leave_repeats()
        with own_partition(BillLine, lo, hi, name=own_partition_name(BillLine, lo)) as table:
            copy_text(table, BILL_COPY_COLUMNS, chunks, freeze=True, behind=True)
            _refuse_repeats(table, lo, hi, reader)
    else:
        table = partition_name(BillLine, bill_file.channel_date)
        copy_text(table, BILL_COPY_COLUMNS, chunks)
        _refuse_repeats(table, lo, hi, reader)
    return reader


def _has_many_lines(source: Source, limits: Limits) -> bool:
    """Whether any member has the lines that make a partition of its own worth it.

    Where the unpacked size is known, the first lines tell how many there will be: being wrong costs time, no line.
    """
    for member in unwrap(source, limits):
        if member.unpacked_size is None:
            lines = _counted_lines(member)
        else:
            head = member.head(_PIECE)
            lines = head.count(b"\n") * member.unpacked_size // max(len(head), 1)
        if lines >= OWN_PARTITION_LINES:
            return True
    return False


def _counted_lines(member: Source) -> int:
    """The member's lines; counting stops where they are many."""
    lines = 0
    with member.open() as stream:
        while lines < OWN_PARTITION_LINES and (piece := stream.read(_PIECE)):
            lines += piece.count(b"\n")
    return lines


def _next_number(day: dt.date, *, big: bool) -> int:
    """The file's number within the day: below 5,000 in the common partition, from there in one of its own."""
    xact_lock(LOCK, f"numbers/{day}")
    first, last = (FIRST_OWN_NUMBER, LAST_NUMBER) if big else (0, FIRST_OWN_NUMBER - 1)
    used = BillFile.objects.filter(channel_date=day, day_file_no__range=(first, last)).aggregate(
        last=Max("day_file_no")
    )["last"]
    number = first if used is None else used + 1
    if number > last:
        raise FormatError(
            "bill.too_many_files",
            _("The day %(day)s already has %(count)d files. Load what belongs together as one file.")
            % {"day": day, "count": last - first + 1},
            {"day": day.isoformat()},
        )
    return number


def _bounded(reader: Reader, chunks: Iterator[bytes]) -> Iterator[bytes]:
    limit = min(settings.PAYOPS_MAX_BILL_LINES, FILE_STEP - 1)
    for chunk in chunks:
        if reader.line_count > limit:
            raise FormatError(
                "bill.too_many_lines",
                _("The file has more than %(limit)d lines and is rejected.") % {"limit": limit},
                {"limit": limit},
            )
        yield chunk


def _refuse_repeats(table: str, lo: int, hi: int, reader: Reader) -> None:
    """Set-based: one sorted pass over the 64-bit row keys; only a hit looks at the rows themselves."""
    name = quote_table(table)
    with connection.cursor() as cursor:
        # Sorting a million integers takes less time than starting processes for it and merging what they sorted.
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        cursor.execute(
            f"SELECT count(row_hash) = count(DISTINCT row_hash) FROM {name}"  # noqa: S608 - our own table name
            " WHERE id >= %s AND id < %s",
            [lo, hi],
        )
        distinct = cursor.fetchone()[0]
        cursor.execute("RESET max_parallel_workers_per_gather")
        cursor.execute("RESET work_mem")
        if distinct:
            return
        cursor.execute(
            f"SELECT row_hash FROM {name} WHERE id >= %s AND id < %s"  # noqa: S608 - our own table name
            " GROUP BY row_hash HAVING count(*) > 1 LIMIT 100",
            [lo, hi],
        )
        hashes = [value for (value,) in cursor.fetchall()]
        # Different keys may share a hash once in a few hundred million files; equal ones share the trade as well.
        cursor.execute(
            "SELECT min(trade_no), array_agg(id - %s ORDER BY id)"  # noqa: S608 - our own table name
            f" FROM {name} WHERE id >= %s AND id < %s AND row_hash = ANY (%s)"
            " GROUP BY row_hash, trade_no, kind, request_no HAVING count(*) > 1 ORDER BY min(id) LIMIT 10",
            [lo, lo, hi, hashes],
        )
        repeats = cursor.fetchall()
    if repeats:
        trade_no, lines = repeats[0]
        numbers = ", ".join(str(line + reader.header_lines) for line in lines[:10])
        raise FormatError(
            "bill.duplicate_row",
            _("Lines %(lines)s are the same row (%(key)s). The file is rejected; fetch it again from the channel.")
            % {"lines": numbers, "key": trade_no},
            {"repeats": [{"trade_no": trade, "lines": rows[:10]} for trade, rows in repeats]},
        )


def _take_figures(bill_file: BillFile, reader: Reader) -> None:
    bill_file.line_count = reader.line_count
    bill_file.proven = reader.totals.proven
    bill_file.bad_lines = [line.as_dict() for line in reader.bad_lines]
    totals: dict[str, Any] = {kind: sums._asdict() for kind, sums in reader.sums_by_kind.items()}
    totals["all"] = _sum(reader.sums_by_kind)._asdict()
    others = {
        currency: _sum(kinds)._asdict()
        for currency, kinds in reader.sums_by_currency.items()
        if currency != bill_file.contract.currency
    }
    if others:
        totals["other_currencies"] = others
    totals["control"] = [{"name": name, **figures} for name, figures in reader.totals.as_dict().items()]
    if reader.warnings:
        totals["warnings"] = reader.warnings
    bill_file.totals = totals


def _sum(kinds: dict[str, KindSums]) -> KindSums:
    return KindSums(*(sum(part) for part in zip(*kinds.values(), strict=True))) if kinds else KindSums(0, 0, 0, 0)


# --- deciding ---------------------------------------------------------------------------------------------------------


def _decide(bill_file: BillFile) -> None:
    previous = _accepted(bill_file)
    if previous is not None and previous.version > bill_file.version:
        # Its reading was late or begun again; what the channel said last counts.
        bill_file.state = FileState.SUPERSEDED
        bill_file.decided_at = timezone.now()
        return
    if bill_file.bad_lines:
        first = bill_file.bad_lines[0]
        bill_file.state = FileState.HELD
        bill_file.error_code = "bill.unreadable_lines"
        bill_file.error_message = _(
            "%(count)d lines cannot be read, first row %(row)s: %(reason)s "
            "Send a corrected file, or propose to accept it without them."
        ) % {"count": len(bill_file.bad_lines), "row": first["line_no"], "reason": first["message"]}
        return
    if previous is not None and any(check(previous) for check in _take_over_checks):
        bill_file.state = FileState.HELD
        bill_file.error_code = "bill.needs_take_over"
        bill_file.error_message = _(
            "Version %(old)d of this day is reconciled already. Compare both and take version %(new)d over explicitly."
        ) % {"old": previous.version, "new": bill_file.version}
        return
    _accept(bill_file, previous)


def _accepted(bill_file: BillFile) -> BillFile | None:
    return (
        BillFile.objects.select_for_update(of=("self",))
        .filter(
            contract_id=bill_file.contract_id,
            channel_date=bill_file.channel_date,
            batch=bill_file.batch,
            bill_type=bill_file.bill_type,
            state=FileState.ACCEPTED,
        )
        .exclude(pk=bill_file.pk)
        .first()
    )


def _accept(bill_file: BillFile, previous: BillFile | None) -> None:
    if previous is not None:
        previous.state = FileState.SUPERSEDED
        previous.decided_at = timezone.now()
        previous.save(update_fields=["state", "decided_at"])
    bill_file.state = FileState.ACCEPTED
    bill_file.decided_at = timezone.now()


def bill_take_over(*, bill_file_id: int, user: str) -> BillFile:
    """Let a held file without unreadable lines replace the accepted version; the day is then to be run again."""
    return _release(bill_file_id, user=user, action="channels.bill_taken_over", with_bad_lines=False)


def bill_accept_without_bad_lines(*, bill_file_id: int, user: str) -> BillFile:
    """Accept a held file without its unreadable lines; executed by the approval `channels.bill_accept_held`."""
    return _release(bill_file_id, user=user, action="channels.bill_accepted_without_lines", with_bad_lines=True)


def _release(bill_file_id: int, *, user: str, action: str, with_bad_lines: bool) -> BillFile:
    with transaction.atomic():
        bill_file = _locked(bill_file_id)
        if bill_file.state != FileState.HELD or bool(bill_file.bad_lines) != with_bad_lines:
            raise PayopsError(
                "bill.not_held",
                _("File %(name)s is %(state)s; there is nothing to decide. Reload the page.")
                % {"name": bill_file.original_name, "state": bill_file.get_state_display()},
                {"bill_file_id": bill_file.pk, "state": bill_file.state},
            )
        newest = BillFile.objects.filter(
            contract_id=bill_file.contract_id, channel_date=bill_file.channel_date, batch=bill_file.batch,
            bill_type=bill_file.bill_type, state=FileState.ACCEPTED, version__gt=bill_file.version,
        )  # fmt: skip
        if newest.exists():
            raise PayopsError(
                "bill.newer_accepted",
                _("A newer version of this day is accepted already. This one stays as it is."),
                {"bill_file_id": bill_file.pk},
            )
        _accept(bill_file, _accepted(bill_file))
        bill_file.save(update_fields=["state", "decided_at"])
        audit.record(
            username=user,
            action=action,
            object_kind="channels.billfile",
            object_id=bill_file.pk,
            detail={"bad_lines": len(bill_file.bad_lines)},
        )
    return bill_file
