"""Received files and attachments on disk: under <year>/<month>/ by their SHA-256, written once, never changed.

What is removed one day lies in a folder of its own (`below`), or it would take an attachment of the same bytes along.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A kept file: where (relative to PAYOPS_FILES_DIR), its digest and size."""

    path: str
    sha256: str
    size: int


def keep(stream: str | PathLike[str] | BinaryIO, *, name: str, limit: int | None = None, below: str = "") -> Stored:
    """Copy a file or stream into the store (or its folder `below`) and return where it is.

    The same content is stored once. Raises PayopsError 'files.too_large' beyond `limit` bytes (default
    PAYOPS_MAX_UPLOAD_BYTES) and 'files.unreadable' for a path that cannot be read; nothing is left behind then.
    """
    if hasattr(stream, "read"):
        return _keep(stream, name, limit, below)  # type: ignore[arg-type]
    try:
        opened = Path(stream).open("rb")  # type: ignore[arg-type]  # noqa: SIM115 - closed below
    except OSError as error:
        raise PayopsError(
            "files.unreadable",
            _("“%(path)s” cannot be read (%(reason)s). Check the path.")
            % {"path": str(stream), "reason": error.strerror or error},
            {"path": str(stream)},
        ) from error
    with opened:
        return _keep(opened, name, limit, below)


def _keep(stream: BinaryIO, name: str, limit: int | None, below: str) -> Stored:
    limit = settings.PAYOPS_MAX_UPLOAD_BYTES if limit is None else limit
    folder = Path(below) / Path(timezone.localtime().strftime("%Y/%m"))
    root = Path(settings.PAYOPS_FILES_DIR)
    (root / folder).mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    handle, temporary = tempfile.mkstemp(prefix=".incoming-", dir=root / folder)
    try:
        with os.fdopen(handle, "wb") as target:
            while piece := stream.read(_PIECE):
                size += len(piece)
                if size > limit:
                    raise PayopsError(
                        "files.too_large",
                        _("“%(name)s” is larger than %(limit)d bytes and is refused.") % {"name": name, "limit": limit},
                        {"name": name, "limit": limit},
                    )
                digest.update(piece)
                target.write(piece)
            # The row that names this file must not outlive it in a power cut.
            target.flush()
            os.fsync(target.fileno())
        path = folder / digest.hexdigest()
        os.replace(temporary, root / path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Stored(str(path), digest.hexdigest(), size)


def full_path(stored_path: str) -> Path:
    """The kept file on this machine."""
    return Path(settings.PAYOPS_FILES_DIR) / stored_path
