"""The bank's statements of the samples and how the tests read them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from payops.channels.statements import Statement, StatementError, read, sniff

SAMPLES = Path(__file__).parents[2] / "samples"
CAMT = SAMPLES / "bank" / "camt053_001_02_20261118.xml"
SWIFT = SAMPLES / "bank" / "mt940_20261118_swift_blocks.sta"


def statements(data: Path | bytes) -> list[Statement]:
    """The statements of a file, read as what its first bytes say it is."""
    content = data.read_bytes() if isinstance(data, Path) else data
    return read(io.BytesIO(content), sniff(content[:256]), "bank.file")


def refused(data: Path | bytes) -> StatementError:
    """Why a file is refused."""
    with pytest.raises(StatementError) as caught:
        statements(data)
    return caught.value


def edited(path: Path, old: str, new: str, count: int = 1) -> bytes:
    """A sample with a passage replaced; the passage must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    return text.replace(old, new, count).encode()
