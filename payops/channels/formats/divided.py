"""Readers whose blocks several processes convert side by side.

Reading a bill is work for the processor, and one Python process uses one of them. The reader unpacks the file, finds
where its rows end and proves its totals; blocks of whole rows it deals out to its crew (`payops.channels.formats.crew`)
and converts what the crew has no room for. A member only ever answers with COPY text: a block in which anything is odd
comes back and is converted here, so bad lines, their wording and every refusal come from one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from payops.channels.formats.base import Batch, FormatError, KindSums, Reader
from payops.channels.formats.columns import IrregularError
from payops.channels.formats.copy_columns import block_hashes

if TYPE_CHECKING:
    from payops.channels.formats.crew import Crew

Blocks = Iterator[tuple[bytes, bool]]
"""Blocks of whole lines in file order, each with whether it is the last one with rows."""

ODD: Final = (IrregularError, FormatError)


class DivisibleReader(Reader):
    """A reader whose rows come in blocks that can be converted apart from each other.

    Subclasses give `row_blocks`, `rows_of` one of them, and the figures they keep beside those of every reader.
    """

    divisible = True

    def __init__(self, *arguments: Any) -> None:
        self._crew: Crew | None = None
        self._target = (0, b"")
        self._next = 1
        self._carry = b""
        """A record begun in one block that ends in the next."""
        super().__init__(*arguments)

    # -- for subclasses -----------------------------------------------------------------------------------------

    def row_blocks(self) -> Blocks:
        """The file between its header and its footer, which is kept for later."""
        raise NotImplementedError

    def rows_of(self, block: bytes, *, last: bool) -> Iterator[Batch]:
        """The good rows of a block whose first line has the number `_next`, which then is that of the line after."""
        raise NotImplementedError

    def divides(self, block: bytes, following: bytes) -> bool:
        """Whether all rows of a block end in it; `following` is empty when none follows."""
        return True

    def member_options(self) -> dict[str, Any]:
        """Format options with which a member reads as this reader does, whatever the start of the file is."""
        return {}

    def own_figures(self) -> dict[str, Any]:
        """What the format adds up over its rows, as JSON; the sums by currency and kind are carried besides."""
        raise NotImplementedError

    def add_own_figures(self, figures: dict[str, Any]) -> None:
        """Add what a member counted to what was counted here."""
        raise NotImplementedError

    # -- the reader that has a crew -----------------------------------------------------------------------------

    def divide_with(self, crew: Crew) -> None:
        """Let a crew convert blocks while `copy_chunks` runs; it looks for no repeated rows."""
        self._crew = crew
        self.leave_repeats()

    def copy_chunks(self, prefix_id: int, contract_id: int) -> Iterator[bytes]:
        """As any reader's; the crew's part stands between, so that rows are not in the order of the file."""
        crew = self._crew
        if crew is None:
            yield from super().copy_chunks(prefix_id, contract_id)
            return
        self._target = (prefix_id, b"%d" % contract_id)
        for batch, hashes in self._checked():
            yield self._copy_text(batch, hashes, *self._target)
            yield from crew.chunks()
        yield from crew.chunks()

    def spread(self) -> Iterator[Batch]:
        """All rows that are converted here, in file order but for those the crew gave back."""
        crew = self._crew
        if crew is None:
            for block, last in self.row_blocks():
                yield from self.rows_of(block, last=last)
            return
        crew.start(self.member_options(), *self._target)
        for block, following, last in _with_following(self.row_blocks()):
            if block and self.divides(block, following) and not self._carry and crew.takes(self._next, block):
                self._next += block.count(b"\n") + (not block.endswith(b"\n"))
            else:
                yield from self.rows_of(block, last=last)
            crew.pump()
            if not self._carry:
                yield from self._given_back(crew)
            self.line_count += crew.rows()
        for figures in crew.finish():
            self._add_figures(figures)
        yield from self._given_back(crew)
        self.line_count += crew.rows()
        self.bad_lines.sort(key=lambda line: line.line_no)
        self.warnings.sort(key=lambda warning: warning["line_no"])

    def _given_back(self, crew: Crew) -> Iterator[Batch]:
        for start, block in crew.given_back():
            ahead, self._next = self._next, start
            yield from self.rows_of(block, last=True)
            self._next = ahead

    def _add_figures(self, figures: dict[str, Any]) -> None:
        for currency, kinds in figures["sums"].items():
            for kind, sums in kinds.items():
                self._add_sum(currency.encode(), int(kind), KindSums(*sums))
        self.add_own_figures(figures["own"])

    # -- the reader of a member ---------------------------------------------------------------------------------

    def obey(self, prefix_id: int, contract_id: int) -> None:
        """Convert blocks for another reader: `text_of` each, then `figures`."""
        self._target = (prefix_id, b"%d" % contract_id)
        self.strict = True
        self.leave_repeats()

    def text_of(self, start: int, block: bytes) -> tuple[int, bytes] | None:
        """How many rows a block has and their COPY text; None, and nothing counted, when one of them is odd."""
        self._next = start
        try:
            batches = list(self.rows_of(block, last=True))
        except ODD:
            return None
        rows, text = 0, []
        for batch in batches:
            self._add_sums(batch)
            rows += len(batch.numbers)
            text.append(self._copy_text(batch, block_hashes(batch.key), *self._target))
        return rows, b"".join(text)

    def figures(self) -> dict[str, Any]:
        """What was counted over all blocks, as JSON."""
        return {"sums": self.sums_by_code(), "own": self.own_figures()}


def _with_following(blocks: Blocks) -> Iterator[tuple[bytes, bytes, bool]]:
    held: tuple[bytes, bool] | None = None
    for block in blocks:
        if held is not None:
            yield held[0], block[0], held[1]
        held = block
    if held is not None:
        yield held[0], b"", held[1]
