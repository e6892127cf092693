"""Where intake rows come from: a file or stream, packed or not, as CSV or NDJSON, read as a stream.

Yields (line number, values in the order of FIELDS). Nothing is decoded or unpacked beyond a bounded buffer, so memory
stays flat and a decompression bomb ends in an error.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.utils.translation import gettext as _

from payops.channels.formats.base import FormatError
from payops.channels.formats.container import Limits, Source, unwrap
from payops.core.errors import PayopsError

FIELDS: Final = (
    "transaction_no",
    "kind",
    "original_transaction_no",
    "merchant_no",
    "merchant_order_no",
    "product",
    "channel",
    "channel_account",
    "channel_request_no",
    "channel_trade_no",
    "amount",
    "currency",
    "status",
    "card_type",
    "payer",
    "created_at",
    "succeeded_at",
    "extra",
)
REQUIRED: Final = (
    "transaction_no",
    "kind",
    "merchant_no",
    "product",
    "channel",
    "channel_account",
    "channel_request_no",
    "amount",
    "currency",
    "status",
    "created_at",
    "succeeded_at",
)
MAX_LINE: Final = 256 * 1024
_PIECE: Final = 1 << 20
_SPOOL: Final = 8 << 20

Row = tuple[int, Sequence[str]]


def storable(text: str) -> str:
    """The text with what PostgreSQL keeps in no JSON, null and lone surrogates, replaced by the sign for that."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


class RowError(PayopsError):
    """One row that cannot be taken; `field` and `value` say what is wrong with it."""

    def __init__(self, line: int, field: str, value: str, code: str, reason: str) -> None:
        super().__init__(code, reason, {"line": line, "field": field, "value": value})
        self.line, self.field, self.value = line, field, value

    def as_row(self) -> dict[str, Any]:
        """As it stands in the list of refused rows."""
        return {
            "line": self.line,
            "field": self.field,
            "value": storable(self.value[:200]),
            "code": self.code,
            "reason": storable(str(self.message)),
        }


class FileError(PayopsError):
    """The file as a whole cannot be read."""


@dataclass(frozen=True, slots=True)
class Received:
    """A source kept seekable, with its digest and size."""

    source: Source
    name: str
    sha256: str
    size: int


@contextmanager
def receive(source: str | PathLike[str] | BinaryIO, name: str = "") -> Iterator[Received]:
    """Digest and size of a file or stream; a stream is spooled to a temporary file first.

    Raises FileError 'intake.too_large' beyond PAYOPS_MAX_UPLOAD_BYTES and 'intake.no_file' for a missing path.
    """
    if hasattr(source, "read"):
        with tempfile.NamedTemporaryFile(prefix="intake-") as spool:
            digest, size = _copied(source, spool, name)  # type: ignore[arg-type]
            spool.flush()
            yield Received(Source.of(spool.name, name), name, digest, size)
        return
    path = Path(source)  # type: ignore[arg-type]
    name = name or path.name
    try:
        with path.open("rb") as stream:
            digest, size = _copied(stream, None, name)
    except OSError as error:
        raise FileError(
            "intake.no_file",
            _("“%(path)s” cannot be read (%(reason)s). Check the path.")
            % {"path": str(path), "reason": error.strerror or error},
            {"path": str(path)},
        ) from error
    yield Received(Source.of(path, name), name, digest, size)


def _copied(stream: BinaryIO, target: Any, name: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(_PIECE):
        digest.update(piece)
        size += len(piece)
        if size > settings.PAYOPS_MAX_UPLOAD_BYTES:
            raise FileError(
                "intake.too_large",
                _("“%(name)s” is larger than %(limit)d bytes. Send it in several files.")
                % {"name": name, "limit": settings.PAYOPS_MAX_UPLOAD_BYTES},
                {"limit": settings.PAYOPS_MAX_UPLOAD_BYTES},
            )
        if target is not None:
            target.write(piece)
    return digest.hexdigest(), size


def read_rows(received: Received) -> Iterator[Row | RowError]:
    """The rows of the file in order; a row that cannot be cut into fields comes as a RowError.

    Raises FileError when the file is no intake file at all (packing, encoding, header).
    """
    try:
        with _unpacked(received) as stream:
            head = stream.peek(4096)
            text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
            if not text and not head:
                raise _bad_file("intake.empty", _("“%(name)s” is empty.") % {"name": received.name})
            yield from _ndjson(stream, received.name) if text[:1] == b"{" else _csv(stream, received.name)
    except FormatError as error:
        raise _unreadable(received.name, error) from error


@contextmanager
def _unpacked(received: Received) -> Iterator[io.BufferedReader]:
    limits = Limits(max_bytes=settings.PAYOPS_MAX_UNPACKED_BYTES, max_members=1)
    members = unwrap(received.source, limits)
    if len(members) != 1:
        raise _bad_file("intake.not_one_file", _("“%(name)s” must hold exactly one file.") % {"name": received.name})
    raw = members[0].open()
    try:
        yield io.BufferedReader(_Raw(raw), buffer_size=1 << 18)  # type: ignore[arg-type]
    finally:
        raw.close()


class _Raw(io.RawIOBase):
    """Anything with read(n) as a raw stream that BufferedReader can fill from."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _bad_file(code: str, message: str, **context: Any) -> FileError:
    return FileError(code, message, context)


def _unreadable(name: str, error: FormatError) -> FileError:
    reasons = {
        "bill.too_large": _("“%(name)s” unpacks to more than is allowed, as a decompression bomb does."),
        "bill.damaged_archive": _("“%(name)s” is a damaged or incomplete archive. Send it again."),
        "bill.encrypted": _("“%(name)s” is protected by a password. Send it unprotected."),
        "bill.too_many_members": _("“%(name)s” must hold exactly one file."),
        "bill.nested_archive": _("“%(name)s” is packed several times over. Pack it once."),
    }
    template = reasons.get(error.code)
    message = template % {"name": name} if template else str(error)
    return FileError("intake." + error.code.partition(".")[2], message, dict(error.context))


# --- CSV ---


def _csv(stream: io.BufferedReader, name: str) -> Iterator[Row | RowError]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="strict", newline="")
    reader = csv.reader(text, strict=True)
    line = 0
    try:
        header = next(reader, None)
        order = _header_order(header, name)
        width = len(header or ())
        line = reader.line_num
        for cells in reader:
            first, line = line + 1, reader.line_num
            if len(cells) != width:
                if not any(cells):
                    continue
                yield RowError(
                    first,
                    "",
                    ",".join(cells)[:200],
                    "intake.wrong_width",
                    _("The row has %(cells)d cells, the header %(width)d.") % {"cells": len(cells), "width": width},
                )
                continue
            cells.append("")
            yield first, [cells[index].strip() for index in order]
    except UnicodeDecodeError as error:
        raise _not_utf8(name, line) from error
    except csv.Error as error:
        raise _bad_file(
            "intake.not_csv",
            _("“%(name)s” cannot be read as CSV after line %(line)d: %(reason)s.")
            % {"name": name, "line": line, "reason": error},
            line=line,
        ) from error
    finally:
        text.detach()


def _not_utf8(name: str, line: int) -> FileError:
    return _bad_file(
        "intake.not_utf8",
        _("“%(name)s” is not UTF-8 text (after line %(line)d). Save it as UTF-8 and send it again.")
        % {"name": name, "line": line},
        line=line,
    )


def _header_order(header: list[str] | None, name: str) -> list[int]:
    """For each of FIELDS its column, −1 (an empty cell put behind every row) for an absent optional one."""
    names = [cell.strip() for cell in header or ()]
    missing = [field for field in REQUIRED if field not in names]
    if missing:
        raise _bad_file(
            "intake.bad_header",
            _("“%(name)s” lacks the column %(missing)s in its first line. The columns are described in docs/orders.md.")
            % {"name": name, "missing": ", ".join(missing)},
            missing=missing,
        )
    unknown = [cell for cell in names if cell not in FIELDS]
    repeated = sorted({cell for cell in names if names.count(cell) > 1})
    if unknown or repeated:
        raise _bad_file(
            "intake.bad_header",
            _("“%(name)s” has the column %(columns)s, which is unknown or repeated. Remove or rename it.")
            % {"name": name, "columns": ", ".join(unknown or repeated)[:200]},
            columns=unknown or repeated,
        )
    return [names.index(field) if field in names else -1 for field in FIELDS]


# --- NDJSON ---


def _ndjson(stream: io.BufferedReader, name: str) -> Iterator[Row | RowError]:
    known = frozenset(FIELDS)
    number = 0
    while data := stream.readline(MAX_LINE + 1):
        number += 1
        if len(data) > MAX_LINE:
            raise _bad_file(
                "intake.line_too_long",
                _("Line %(line)d of “%(name)s” is longer than %(limit)d bytes.")
                % {"line": number, "name": name, "limit": MAX_LINE},
                line=number,
            )
        if not data.strip():
            continue
        yield _json_row(number, data, known)


def _json_row(number: int, data: bytes, known: frozenset[str]) -> Row | RowError:
    try:
        # Numbers stay exact: an amount written as 12.30 never passes through a binary fraction.
        record = json.loads(data.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return RowError(
            number, "", data[:200].decode(errors="replace"), "intake.not_json", _("Not a JSON object: %s") % error
        )
    if not isinstance(record, dict):
        return RowError(number, "", str(record)[:200], "intake.not_json", _("Each line is one JSON object."))
    unknown = record.keys() - known
    if unknown:
        field = min(unknown)
        return RowError(number, field, str(record[field])[:200], "intake.unknown_field", _("This field is not known."))
    values = []
    for field in FIELDS:
        value = record.get(field)
        if isinstance(value, str):
            values.append(value.strip())
        elif value is None:
            values.append("")
        elif field == "extra":
            values.append(json.dumps(value, ensure_ascii=False, default=str))
        elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            values.append(str(value))
        else:
            return RowError(number, field, str(value)[:200], "intake.not_text", _("A text is expected here."))
    return number, values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
