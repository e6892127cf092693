"""Request bodies that are streamed on, never read into memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from rest_framework.parsers import BaseParser


class NdjsonParser(BaseParser):
    """One JSON object per line; hands the stream on as it is."""

    media_type = "application/x-ndjson"

    def parse(
        self, stream: BinaryIO, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The stream itself."""
        return stream


class CsvParser(NdjsonParser):
    """The same transactions as CSV."""

    media_type = "text/csv"


class PackedParser(NdjsonParser):
    """Either of them, packed."""

    media_type = "application/gzip"
