"""The one error type whose message is written for the person who has to act on it."""

from __future__ import annotations

from typing import Any


class PayopsError(Exception):
    """A refusal the user can act on.

    `code` is stable and dotted ("money.too_many_decimals"), `message` names the wrong value and what to do and may be
    a lazy translation, `context` carries the same facts for machines (JSON output, API, logs).
    Everything that is not a PayopsError is a defect and reaches the user as a generic sentence only.
    """

    def __init__(self, code: str, message: Any, context: dict[str, Any] | None = None) -> None:
        super().__init__(code, message, context)
        self.code = code
        self.message = message
        self.context: dict[str, Any] = dict(context or {})

    def __str__(self) -> str:
        return str(self.message)

    def __repr__(self) -> str:
        return f"PayopsError({self.code!r}, {str(self.message)!r})"

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON output and the API show it."""
        return {"code": self.code, "message": str(self.message), "context": self.context}
