"""A watched folder: complete files are copied, then moved to `taken` or `refused`; what is being written is left alone.

A file counts as complete when its name has no temporary ending and neither content nor inode has changed for the
settling time. The change time counts as well as the modification time, because a copy can keep an old one of the
latter while it grows. After copying the file is looked at again; had it changed meanwhile, the copy is thrown away.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils.translation import gettext as _

from payops.channels.fetch.checks import below, name_pattern
from payops.channels.fetch.choices import FetchOutcome
from payops.channels.fetch.deliveries import Delivery, copied, day_in_name, day_trouble, digest_of, unfinished
from payops.channels.fetch.errors import FetchError, NotHandedOverError
from payops.channels.fetch.models import FileSource

TAKEN: Final = "taken"
REFUSED: Final = "refused"
SETTLE_SECONDS: Final = 30


class FolderAdapter:
    """Files of a source below PAYOPS_INBOX_DIR."""

    def __init__(self, source: FileSource) -> None:
        self.folder = below(Path(settings.PAYOPS_INBOX_DIR), source.address, "address")
        self.pattern = name_pattern(source)
        self.settle_seconds = int(source.options.get("settle_seconds", SETTLE_SECONDS))
        self.offset_days = int(source.options.get("date_offset_days", 0))

    def deliveries(self, day: dt.date | None, folder: Path, today: dt.date) -> Iterator[Delivery]:
        """All complete files of the source, whatever their day, in the order of their names."""
        for number, name in enumerate(self._names()):
            of_day = day_in_name(self.pattern, name, self.offset_days)
            if of_day is None:
                continue
            original = self.folder / name
            private = folder / f"{number}"
            trouble = day_trouble(of_day, today)
            shown_day = of_day if of_day != dt.date.min else day or today - dt.timedelta(days=1)
            try:
                seen = self._copy(original, private)
            except NotHandedOverError as error:
                # It stays where it is: put away, it would have to be brought back once its rights are mended.
                yield Delivery(name, private, shown_day, trouble=str(error))
                continue
            except FetchError as error:
                trouble, seen = str(error), original.lstat()
            if seen is None:
                continue
            yield Delivery(
                name,
                private,
                shown_day,
                remote=f"{name}|{seen.st_size}|{seen.st_mtime_ns}|{seen.st_ino}",
                settle=_Mover(original, seen.st_ino),
                trouble=trouble,
            )

    def waits(self, today: dt.date) -> bool:
        """Whether there is any file to look at; cheap enough for every tick."""
        try:
            return any(day_in_name(self.pattern, name, self.offset_days) for name in self._names())
        except FetchError:
            return False

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.folder) if not unfinished(name))
        except OSError as error:
            raise FetchError(
                FetchOutcome.UNREACHABLE,
                _("The folder %(folder)s cannot be read: %(reason)s.")
                % {"folder": self.folder, "reason": error.strerror or error},
            ) from error

    def _copy(self, original: Path, private: Path) -> os.stat_result | None:
        """What was copied, None where the file is not complete, no plain file, or gone again.

        Raises NotHandedOverError where it may not be read.
        """
        try:
            handle = os.open(original, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError as error:
            raise NotHandedOverError(
                FetchOutcome.REFUSED,
                _("%(name)s may not be read: %(reason)s. Change its rights; it is tried again.")
                % {"name": original.name, "reason": error.strerror or error},
            ) from error
        except OSError:
            return None
        with os.fdopen(handle, "rb") as stream:
            before = os.fstat(handle)
            age = time.time() - max(before.st_mtime, before.st_ctime)
            if not stat.S_ISREG(before.st_mode) or age < self.settle_seconds:
                return None
            size = copied(stream, private)
            after = os.fstat(handle)
        same = (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (size, before.st_mtime_ns, before.st_ctime_ns)
        return after if same else None


class _Mover:
    """Puts the original away under a name nothing has there; what stands at its place meanwhile is left alone."""

    def __init__(self, original: Path, inode: int) -> None:
        self.original, self.inode = original, inode

    def __call__(self, taken: bool) -> None:
        folder = self.original.parent / (TAKEN if taken else REFUSED)
        folder.mkdir(exist_ok=True)
        try:
            if self.original.lstat().st_ino != self.inode:
                return
            target = folder / self.original.name
            if target.exists():
                target = folder / f"{self.original.name}.{digest_of(self.original)[:12]}"
            os.replace(self.original, target)
        except FileNotFoundError:
            # Another worker took the same file and was faster; it is known by its digest either way.
            return
