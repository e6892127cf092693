"""How a try ends without a file: an outcome and a sentence for the person who reads the log."""

from __future__ import annotations

from typing import Any

from payops.channels.fetch.choices import FetchOutcome
from payops.core.errors import PayopsError


class FetchError(PayopsError):
    """A try that brought no file; `answer` is what the channel said, where a decision may rest on it."""

    def __init__(self, outcome: FetchOutcome, message: str, *, answer: bytes = b"", **context: Any) -> None:
        super().__init__(f"fetch.{outcome.value}", message, context)
        self.outcome = outcome
        self.answer = answer


class NotHandedOverError(FetchError):
    """One file that is there and cannot be had; the others of its folder may be, and it is asked for again."""
