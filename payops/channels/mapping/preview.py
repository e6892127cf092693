"""What a mapping makes of a sample, before anybody proposes it: the first lines with their errors in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from payops.channels.formats import BadLine, Expectation, FormatError, Line, Reader, Source
from payops.channels.formats.generic import PREFIX, GenericFormat
from payops.channels.formats.generic_spec import spec_of

SHOWN: Final = 50


@dataclass(slots=True)
class Preview:
    """The first lines, good and bad in the order of the file, and what became of the whole."""

    lines: list[Line | BadLine] = field(default_factory=list)
    read: int = 0
    bad: int = 0
    proven: bool = False
    reader: Reader | None = None
    refused: FormatError | None = None

    @property
    def good(self) -> bool:
        """Whether the sample would be accepted as it is."""
        return self.refused is None and not self.bad


def preview(spec: Mapping[str, Any], source: Source, expect: Expectation) -> Preview:
    """Read a sample whole and keep its first lines; a refusal is part of the answer. SpecError for a wrong mapping."""
    found = Preview()
    fmt = GenericFormat(f"{PREFIX}preview", "preview", spec_of(spec))
    lines: list[Line | BadLine] = []
    try:
        reader = found.reader = fmt.open(source, expect)
        for line in reader:
            found.read += 1
            if len(lines) < SHOWN:
                lines.append(line)
    except FormatError as error:
        found.refused = error
    if found.reader is not None:
        found.bad = len(found.reader.bad_lines)
        found.proven = found.refused is None and found.reader.totals.proven
        lines += found.reader.bad_lines[:SHOWN]
    found.lines = sorted(lines, key=lambda line: line.line_no)[:SHOWN]
    return found


def outcome_of(found: Preview, *, name: str, sha256: str) -> dict[str, Any]:
    """What of a preview goes with a proposal, so that the checker knows what the maker saw."""
    return {
        "name": name[-200:],
        "sha256": sha256,
        "lines": found.read,
        "bad": found.bad,
        "proven": found.proven,
        "refused": found.refused.code if found.refused else "",
    }
