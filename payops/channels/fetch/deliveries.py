"""What an adapter hands over: one complete file for one channel day, in a private place, and what to do afterwards."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from django.conf import settings
from django.utils.translation import gettext as _

from payops.channels.fetch.choices import FetchOutcome
from payops.channels.fetch.errors import FetchError

PIECE: Final = 1 << 20
UNFINISHED: Final = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".writing", ".swp", "~")
OLDEST: Final = dt.timedelta(days=400)


def _nothing(_taken: bool) -> None:
    """Where a file stays as it is."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file of a day. `path` is a private copy; `settle(taken)` puts the original away, whichever way it went."""

    name: str
    path: Path
    channel_date: dt.date
    remote: str = ""
    settle: Callable[[bool], None] = field(default=_nothing)
    trouble: str = ""
    """Why the file is refused before anybody reads it."""


class Adapter(Protocol):
    """How files of one kind of source are reached."""

    def deliveries(self, day: dt.date | None, folder: Path, today: dt.date) -> Iterator[Delivery]:
        """Files there are now, copied below `folder`: for folders all of them, for an interface that of `day`.

        Raises FetchError when the place cannot be reached or says that there is no file. A file that is still being
        written is left alone.
        """
        ...


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder nobody else reads, gone afterwards; beside the store, so that big bills do not fill /tmp."""
    root = Path(settings.PAYOPS_FILES_DIR)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as folder:
        yield Path(folder)


def unfinished(name: str) -> bool:
    """Whether the name says that somebody is still writing."""
    return name.startswith((".", "~")) or name.lower().endswith(UNFINISHED)


def day_in_name(pattern: re.Pattern[str], name: str, offset_days: int) -> dt.date | None:
    """The channel day the name stands for, None when the name is not of this source.

    A name that fits with an impossible date gives `date.min`: it is this source's, and wrong. A name that leads to
    another folder is never of this source, however wide its pattern is.
    """
    if "/" in name or "\\" in name:
        return None
    found = pattern.fullmatch(name)
    if found is None:
        return None
    digits = (found["date"] or "").replace("-", "").replace("_", "")
    try:
        day = dt.datetime.strptime(digits, "%Y%m%d").date()  # noqa: DTZ007 - a day, not an instant
    except ValueError:
        return dt.date.min
    return day + dt.timedelta(days=offset_days)


def day_trouble(day: dt.date, today: dt.date) -> str:
    """Why a day cannot be meant; empty for one that can."""
    if today - OLDEST <= day < today:
        return ""
    if day == dt.date.min:
        return _("The date in the file's name does not exist.")
    return _("The file's name says %(day)s, which is no past day of the last year.") % {"day": day.isoformat()}


def copied(source: BinaryIO, target: Path) -> int:
    """Copy a stream into a new file, at most PAYOPS_MAX_UPLOAD_BYTES; how many bytes."""
    size, limit = 0, settings.PAYOPS_MAX_UPLOAD_BYTES
    with target.open("wb") as out:
        while piece := source.read(PIECE):
            size += len(piece)
            if size > limit:
                raise FetchError(FetchOutcome.REFUSED, _("The file is larger than %(limit)d bytes.") % {"limit": limit})
            out.write(piece)
    return size


def digest_of(path: Path, name: str = "sha256") -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, name).hexdigest()
