"""The one error of the simulated bank: it becomes the answer."""

from __future__ import annotations


class BankError(Exception):
    """A refusal, answered as `{"error": code, "message": …}` with the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
