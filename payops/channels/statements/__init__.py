"""Readers of the banks' own statements (FORMATS 6): pure Python, no models, no database.

`sniff` tells camt.053 and MT940 from anything else by their first bytes; `read` gives statements that have proven
themselves, or raises StatementError.
"""

from __future__ import annotations

import re
from typing import BinaryIO, Final

from payops.channels.statements.base import Entry, Statement, StatementError
from payops.channels.statements.camt053 import read_camt053
from payops.channels.statements.mt940 import read_mt940

__all__ = ["CAMT053", "MT940", "Entry", "Statement", "StatementError", "read", "sniff"]

CAMT053: Final = "camt.053"
MT940: Final = "MT940"

_XML: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*<|\xff\xfe<\x00|\xfe\xff\x00<")
_SWIFT: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{1:|:20:)")


def sniff(head: bytes) -> str:
    """CAMT053, MT940, or nothing: XML counts as camt.053, whose reader says what else it is."""
    if _XML.match(head):
        return CAMT053
    return MT940 if _SWIFT.match(head) else ""


def read(stream: BinaryIO, kind: str, name: str) -> list[Statement]:
    """The statements of a file of the kind that `sniff` found, each proven; StatementError when one is not."""
    return read_camt053(stream, name) if kind == CAMT053 else read_mt940(stream, name)
