"""Processes that convert blocks of a bill for its reader, so that reading uses more than one processor.

A member is a plain Python process (`crew_member`) with a pipe in each direction: in go blocks with the number of their
first line, out comes COPY text, block by block, and at the end what was counted. No member knows the database, Django's
apps or a language. A block it finds anything odd in it names, and the reader, which kept it, converts it itself.

Nothing here waits for one pipe while another one fills: both ends are served whenever the reader comes by, and a
member has at most `DEPTH` blocks, so memory stays flat. A member that ends too early is an error of the load, never a
shorter bill; one whose reader is gone finds its pipe closed and ends.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from django.utils.translation import gettext as _

from payops.channels.formats.base import Expectation
from payops.core.errors import PayopsError

DEPTH: Final = 4
"""Blocks a member may have at a time."""
SILENCE_SECONDS: Final = 300
"""A member that has work and says nothing for so long hangs."""
TEXT: Final = b"T"
ODD: Final = b"O"
FIGURES: Final = b"F"
BLOCK: Final = struct.Struct("=QI")
"""Number of the first line, bytes that follow."""
ANSWER: Final = struct.Struct("=cII")
"""What it is, rows, bytes that follow."""
_MODULE: Final = "payops.channels.formats.crew_member"
_ROOT: Final = Path(__file__).resolve().parents[3]
_PIPE_BYTES: Final = 1 << 20
_SET_PIPE_SIZE: Final = 1031
"""fcntl's F_SETPIPE_SZ, which Linux alone has."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the members read: a kept file under the name it came under, its format and what it has to be."""

    path: str
    name: str
    format_code: str
    expect: Expectation


class _Member:
    """One process and what goes to and comes from it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            bufsize=0,
        )
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()  # type: ignore[union-attr]
        for pipe in (self._in, self._out):
            _enlarge(pipe)
            os.set_blocking(pipe, False)
        text = json.dumps(order).encode()
        self._to_write: deque[memoryview] = deque([memoryview(BLOCK.pack(0, len(text)) + text)])
        self._read = bytearray()
        self.kept: deque[tuple[int, bytes]] = deque()
        """Blocks whose answer has not come, in the order in which they were given."""
        self.figures: dict[str, Any] | None = None

    def give(self, start: int, block: bytes) -> None:
        self.kept.append((start, block))
        self._to_write += (memoryview(BLOCK.pack(start, len(block))), memoryview(block))

    def finish(self) -> None:
        """A block of no bytes: there are no more."""
        self._to_write.append(memoryview(BLOCK.pack(0, 0)))

    def pump(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Write and read what can be without waiting; yields whole answers: what, rows, bytes."""
        self._write()
        while True:
            try:
                piece = os.read(self._out, _PIPE_BYTES)
            except BlockingIOError:
                break
            if not piece:
                if self.figures is None and not self._answered():
                    raise self.lost()
                break
            self._read += piece
        while (answer := self._next_answer()) is not None:
            yield answer

    def _answered(self) -> bool:
        """Whether the last answer of all is among what was read."""
        at = 0
        while len(self._read) - at >= ANSWER.size:
            what, _rows, length = ANSWER.unpack_from(self._read, at)
            at += ANSWER.size + length
            if what == FIGURES:
                return len(self._read) >= at
        return False

    def _next_answer(self) -> tuple[bytes, int, bytes] | None:
        if len(self._read) < ANSWER.size:
            return None
        what, rows, length = ANSWER.unpack_from(self._read)
        end = ANSWER.size + length
        if len(self._read) < end:
            return None
        body = bytes(self._read[ANSWER.size : end])
        del self._read[:end]
        return what, rows, body

    def _write(self) -> None:
        while self._to_write:
            piece = self._to_write.popleft()
            try:
                done = os.write(self._in, piece)
            except BlockingIOError:
                done = 0
            except BrokenPipeError:
                raise self.lost() from None
            if done < len(piece):
                self._to_write.appendleft(piece[done:])
                return

    def wait(self) -> None:
        """Until it says something or takes more."""
        ready = select.select([self._out], [self._in] if self._to_write else [], [], SILENCE_SECONDS)
        if not any(ready):
            raise self.lost()

    def lost(self) -> PayopsError:
        """Why it does not answer, after it was ended."""
        self.end()
        return PayopsError(
            "bill.reader_lost",
            _("A process that helped to read the file ended with %(status)s. Nothing was loaded; load it again.")
            % {"status": self._process.returncode},
            {"status": self._process.returncode, "retryable": True},
        )

    def end(self) -> None:
        """No process is left behind, whatever happened."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        if self.figures is None:
            self._process.kill()
        self._process.wait()


class Crew:
    """The members and what they gave. A context: it ends them all. Without members it is of no use, but harmless."""

    def __init__(self, task: Task, members: int) -> None:
        self._task = task
        self._size = members
        self._members: list[_Member] = []
        self._chunks: list[bytes] = []
        self._rows = 0
        self._odd: list[tuple[int, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for member in self._members:
            member.end()

    def start(self, options: dict[str, Any], prefix_id: int, contract: bytes) -> None:
        """Start the processes; `options` are format options the reader settled from the file itself."""
        expect = self._task.expect
        order = {
            "path": self._task.path,
            "name": self._task.name,
            "format": self._task.format_code,
            "prefix_id": prefix_id,
            "contract_id": int(contract),
            "account": expect.account,
            "channel_date": expect.channel_date.isoformat(),
            "file_name": expect.file_name,
            "currency": expect.currency,
            "options": {**expect.options, **options},
        }
        for _number in range(self._size):
            self._members.append(_Member(order))

    def takes(self, start: int, block: bytes) -> bool:
        """Give a block of whole lines to the member that has least to do; False when all have enough."""
        member = min(self._members, key=lambda one: len(one.kept), default=None)
        if member is None or len(member.kept) >= DEPTH:
            return False
        member.give(start, block)
        return True

    def pump(self) -> None:
        """Serve the pipes without waiting."""
        for member in self._members:
            for what, rows, body in member.pump():
                if what == FIGURES:
                    member.figures = json.loads(body)
                    continue
                block = member.kept.popleft()
                if what == TEXT:
                    self._rows += rows
                    self._chunks.append(body)
                else:
                    self._odd.append(block)

    def chunks(self) -> list[bytes]:
        """COPY text that came since the last call."""
        chunks, self._chunks = self._chunks, []
        return chunks

    def rows(self) -> int:
        """Rows that came since the last call."""
        rows, self._rows = self._rows, 0
        return rows

    def given_back(self) -> list[tuple[int, bytes]]:
        """Blocks with something odd, with the number of their first line."""
        odd, self._odd = self._odd, []
        return odd

    def finish(self) -> list[dict[str, Any]]:
        """Wait for all answers; what each member counted."""
        for member in self._members:
            member.finish()
        self.pump()
        for member in self._members:
            while member.figures is None:
                member.wait()
                self.pump()
        return [member.figures for member in self._members if member.figures is not None]


def _enlarge(pipe: int) -> None:
    """Room for all blocks a member may have, so that it seldom waits for its reader to come by."""
    try:
        import fcntl

        fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE_BYTES)
    except OSError:
        return
