"""One process of a crew: takes blocks of a bill from standard input and answers with COPY text (see `crew`).

It has no language: whatever would need words it leaves to the reader. `python -m payops.channels.formats.crew_member`.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from typing import TYPE_CHECKING, Any, BinaryIO

from django.conf import settings

from payops.channels.formats import Expectation, Source, get_format
from payops.channels.formats.crew import ANSWER, BLOCK, FIGURES, ODD, TEXT

if TYPE_CHECKING:
    from payops.channels.formats.divided import DivisibleReader


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Blocks from `source`, answers to `target`, until a block of no bytes; without one the reader is gone."""
    order = _taken(source)
    if order is None:
        return
    reader = _reader(json.loads(order[1]))
    while (taken := _taken(source)) is not None:
        start, block = taken
        if not block:
            _answer(target, FIGURES, 0, json.dumps(reader.figures()).encode())
            return
        answer = reader.text_of(start, block)
        if answer is None:
            _answer(target, ODD, 0, b"")
        else:
            _answer(target, TEXT, *answer)


def _reader(order: dict[str, Any]) -> DivisibleReader:
    expect = Expectation(
        account=order["account"],
        channel_date=date.fromisoformat(order["channel_date"]),
        file_name=order["file_name"],
        currency=order["currency"],
        options=order["options"],
    )
    reader: Any = get_format(order["format"]).open(Source.of(order["path"], order["name"]), expect)
    reader.obey(order["prefix_id"], order["contract_id"])
    return reader


def _taken(source: BinaryIO) -> tuple[int, bytes] | None:
    head = source.read(BLOCK.size)
    if len(head) < BLOCK.size:
        return None
    start, length = BLOCK.unpack(head)
    block = source.read(length)
    return (start, block) if len(block) == length else None


def _answer(target: BinaryIO, what: bytes, rows: int, body: bytes) -> None:
    target.write(ANSWER.pack(what, rows, len(body)))
    target.write(body)
    target.flush()


def main() -> None:
    """Serve the reader that started this process."""
    settings.configure(USE_I18N=False)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # The reader is gone, and so is whoever would want to know.
        sys.stdout = None  # type: ignore[assignment]


if __name__ == "__main__":
    main()
