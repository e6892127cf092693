"""Where a bill's bytes come from: plain files and bytes, and what channels wrap around them.

Unpacks gzip, zip (member names in GBK without the UTF-8 flag) and UnionPay's base64 of a deflated zip, as streams and
never by name: a member is recognised by its first bytes. Every unpacked stream is limited in size, expansion ratio,
number of members and depth, so a decompression bomb ends in a clear error long before it fills memory or disk.
"""

from __future__ import annotations

import base64
import gzip
import io
import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final

from django.utils.translation import gettext as _

from payops.channels.formats.base import FormatError

_WORKBOOK: Final = "xl/workbook.xml"
_PIECE: Final = 96 << 10
"""Bytes read at a time: the cells of one block then stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a source may unpack. The ratio counts only past `ratio_after` bytes: small files compress well."""

    max_bytes: int = 4 << 30
    max_ratio: int = 200
    ratio_after: int = 32 << 20
    max_members: int = 32
    max_depth: int = 3
    spool_bytes: int = 8 << 20


DEFAULT_LIMITS: Final = Limits()


class Source:
    """Bytes that can be opened again and again, with the name they came under.

    `size` is that of the bytes kept; `unpacked_size` of those read, None when unknown. An archive's word for the latter
    is not checked here: good for estimates only.
    """

    def __init__(
        self,
        opener: Callable[[], BinaryIO],
        name: str,
        *,
        size: int,
        unpacked_size: int | None = None,
        seekable: bool = True,
    ) -> None:
        self._opener = opener
        self.name = name
        self.size = size
        self.unpacked_size = unpacked_size
        self.seekable = seekable

    @classmethod
    def of(cls, value: Source | str | PathLike[str] | bytes, name: str = "") -> Source:
        """A source over a path or bytes; a source is returned as it is."""
        if isinstance(value, Source):
            return value
        if isinstance(value, bytes):
            return cls(lambda: io.BytesIO(value), name, size=len(value), unpacked_size=len(value))
        path = Path(value)
        size = path.stat().st_size
        return cls(lambda: path.open("rb"), name or path.name, size=size, unpacked_size=size)

    def open(self) -> BinaryIO:
        """A fresh stream at the first byte; the caller closes it."""
        return self._opener()

    def head(self, length: int = 4096) -> bytes:
        """The first bytes."""
        with self.open() as stream:
            return stream.read(length)


class _Guarded(io.RawIOBase):
    """An unpacked stream that stops at the limits and turns damage into an error for people."""

    def __init__(self, stream: BinaryIO, name: str, packed: int, limits: Limits, owner: object = None) -> None:
        self._stream = stream
        self._name = name
        self._limit = limits.max_bytes
        by_ratio = max(packed * limits.max_ratio, limits.ratio_after)
        self._by_ratio = by_ratio < self._limit
        self._limit = min(self._limit, by_ratio)
        self._done = 0
        self._owner = owner

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = self._limit - self._done + 1
        with _damage_named(self._name):
            data = self._stream.read(size)
        self._done += len(data)
        if self._done > self._limit:
            raise _too_large(self._name, self._limit, by_ratio=self._by_ratio)
        return data

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            if self._owner is not None:
                self._owner.close()  # type: ignore[attr-defined]
        super().close()


def _too_large(name: str, limit: int, *, by_ratio: bool) -> FormatError:
    reason = (
        _("it unpacks to far more than its packed size, as a decompression bomb does")
        if by_ratio
        else _("it is larger than any bill")
    )
    return FormatError(
        "bill.too_large",
        _("“%(name)s” is refused after %(limit)s bytes: %(reason)s.")
        % {"name": name, "limit": limit, "reason": reason},
        {"name": name, "limit": limit},
    )


# What the standard library raises over bytes that were flipped or lost; bz2 reports them as OSError without a number.
_DAMAGE: Final = (
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's trouble, not the file's
        raise _damaged(name, str(error)) from error
    except RuntimeError as error:  # zipfile's way of saying that a member is encrypted
        raise FormatError(
            "bill.encrypted",
            _("“%(name)s” is protected by a password; unpack it and load the bill itself.") % {"name": name},
            {"name": name},
        ) from error


def _damaged(name: str, detail: str) -> FormatError:
    return FormatError(
        "bill.damaged_archive",
        _("“%(name)s” is a damaged or incomplete archive (%(detail)s). Fetch it again from the channel.")
        % {"name": name, "detail": detail},
        {"name": name},
    )


def unwrap(source: Source, limits: Limits = DEFAULT_LIMITS, *, depth: int = 0) -> list[Source]:
    """The bare files inside a source: itself when it is plain, else what gzip, zip or base64 hold."""
    kind = _wrapping(source.head(256))
    if kind is None or (kind == "zip" and is_workbook(source, limits)):
        return [_limited(source, limits)] if depth == 0 else [source]
    if depth >= limits.max_depth:
        raise FormatError(
            "bill.nested_archive",
            _("“%(name)s” is packed more than %(depth)s times; unpack it and load the bill itself.")
            % {"name": source.name, "depth": limits.max_depth},
            {"name": source.name},
        )
    inner = {"gzip": _gzip, "zip": _zip, "base64": _base64}[kind](source, limits)
    return [leaf for member in inner for leaf in unwrap(member, limits, depth=depth + 1)]


_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}\s*")


def _wrapping(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x9d"):
        raise FormatError(
            "bill.unsupported_archive",
            _("The file is packed with Unix compress (.Z); unpack it with uncompress and load the bill itself."),
        )
    text = b"".join(head.split())[:200]
    text = text[: len(text) // 4 * 4]
    if _BASE64.fullmatch(text):
        start = base64.b64decode(text[:8])
        # The zlib header: method 8, and both bytes together divisible by 31.
        if start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0:
            return "base64"
    return None


def _limited(source: Source, limits: Limits) -> Source:
    if source.size > limits.max_bytes:
        raise _too_large(source.name, limits.max_bytes, by_ratio=False)
    return source


def _gzip(source: Source, limits: Limits) -> list[Source]:
    name = re.sub(r"\.gz$", "", source.name, flags=re.IGNORECASE)

    def opener() -> BinaryIO:
        packed = source.open()
        return _Guarded(gzip.GzipFile(fileobj=packed), source.name, source.size, limits, packed)  # type: ignore[return-value,arg-type]

    return [Source(opener, name, size=source.size, seekable=False)]


def _spooled(source: Source, limits: Limits) -> BinaryIO:
    """A seekable stream over a source, through a temporary file when it is itself unpacked."""
    if source.seekable:
        return source.open()
    target = tempfile.SpooledTemporaryFile(max_size=limits.spool_bytes)  # noqa: SIM115 - closed by the caller
    try:
        with source.open() as stream:
            while piece := stream.read(_PIECE):
                target.write(piece)
    except BaseException:
        target.close()
        raise
    target.seek(0)
    return target  # type: ignore[return-value]


def _archive(stream: BinaryIO, name: str) -> zipfile.ZipFile:
    with _damage_named(name):
        try:
            return zipfile.ZipFile(stream, metadata_encoding="gb18030")
        except UnicodeDecodeError:
            stream.seek(0)
            return zipfile.ZipFile(stream)


def is_workbook(source: Source, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether the bytes are an XLSX file: a zip as well, but a bill itself and no archive of bills."""
    if not source.head(4).startswith(b"PK\x03\x04"):
        return False
    with _spooled(source, limits) as stream, _archive(stream, source.name) as archive:
        return _WORKBOOK in archive.NameToInfo


@contextmanager
def members_of(source: Source, limits: Limits = DEFAULT_LIMITS) -> Iterator[Callable[[str], BinaryIO | None]]:
    """A function that opens a member of a zip by its name within the limits, None when there is none of that name."""
    with _spooled(source, limits) as packed, _archive(packed, source.name) as archive:

        def member(name: str) -> BinaryIO | None:
            info = archive.NameToInfo.get(name)
            if info is None:
                return None
            with _damage_named(source.name):
                stream = archive.open(info)
            return _Guarded(stream, source.name, info.compress_size, limits)  # type: ignore[return-value,arg-type]

        yield member


def _zip(source: Source, limits: Limits) -> list[Source]:
    with _spooled(source, limits) as stream, _archive(stream, source.name) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) > limits.max_members:
        raise FormatError(
            "bill.too_many_members",
            _("“%(name)s” holds %(count)s files; a bill archive holds at most %(limit)s.")
            % {"name": source.name, "count": len(members), "limit": limits.max_members},
            {"name": source.name, "count": len(members)},
        )

    def opener_of(info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
        def opener() -> BinaryIO:
            packed = _spooled(source, limits)
            try:
                with _damage_named(source.name):
                    member = _archive(packed, source.name).open(info)
            except BaseException:
                packed.close()
                raise
            return _Guarded(member, info.filename, info.compress_size, limits, packed)  # type: ignore[return-value,arg-type]

        return opener

    return [
        Source(
            opener_of(info),
            Path(info.filename).name,
            size=info.compress_size,
            unpacked_size=info.file_size,
            seekable=False,
        )
        for info in members
    ]


def _base64(source: Source, limits: Limits) -> list[Source]:
    def opener() -> BinaryIO:
        return _Guarded(_Inflated(source.open(), limits), source.name, source.size, limits)  # type: ignore[return-value,arg-type]

    return [Source(opener, source.name, size=source.size, seekable=False)]


class _Inflated:
    """base64 text of a zlib stream, decoded and inflated piece by piece."""

    def __init__(self, stream: BinaryIO, limits: Limits) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj()
        self._rest = b""
        self._packed = b""

    def read(self, size: int) -> bytes:
        """At most `size` unpacked bytes; raises EOFError on a cut stream."""
        while not self._inflate.eof:
            if not self._packed:
                self._packed = self._decode()
                if not self._packed:
                    raise EOFError("the base64 text ends early")
            data = self._inflate.decompress(self._packed, max(size, 1))
            self._packed = self._inflate.unconsumed_tail
            if data:
                return data
        return b""

    def _decode(self) -> bytes:
        while True:
            piece = self._stream.read(_PIECE)
            text = self._rest + b"".join(piece.split())
            whole = len(text) // 4 * 4
            self._rest = text[whole:]
            if whole:
                return base64.b64decode(text[:whole], validate=True)
            if not piece:
                if self._rest:
                    raise EOFError("the base64 text ends early")
                return b""

    def close(self) -> None:
        """Close the text below."""
        self._stream.close()


class LineStream:
    """A stream cut at line ends: single lines for headers, then blocks of whole lines for rows."""

    MAX_LINE: Final = 1 << 20

    def __init__(self, stream: BinaryIO, name: str, block: int = _PIECE) -> None:
        self._stream = stream
        self._name = name
        self._block = block
        self._rest = b""

    def line(self) -> bytes | None:
        """The next line without its end, None after the last."""
        while (end := self._rest.find(b"\n")) < 0:
            piece = self._stream.read(self._block)
            if not piece:
                line, self._rest = self._rest, b""
                return line.rstrip(b"\r") if line else None
            self._rest += piece
            self._check(len(self._rest) if b"\n" not in self._rest else 0)
        line, self._rest = self._rest[:end], self._rest[end + 1 :]
        return line.rstrip(b"\r")

    def blocks(self) -> Iterator[bytes]:
        """The rest in pieces that end with a line end, except perhaps the last."""
        rest = self._rest
        self._rest = b""
        while True:
            piece = self._stream.read(self._block)
            if not piece:
                break
            rest += piece
            end = rest.rfind(b"\n") + 1
            if end:
                yield rest[:end]
                rest = rest[end:]
            self._check(len(rest))
        if rest:
            yield rest

    def _check(self, length: int) -> None:
        if length > self.MAX_LINE + self._block:
            raise FormatError(
                "bill.not_a_bill",
                _("“%(name)s” has a line of more than %(limit)s bytes; that is no bill. Check what was uploaded.")
                % {"name": self._name, "limit": self.MAX_LINE},
                {"name": self._name},
            )

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()
