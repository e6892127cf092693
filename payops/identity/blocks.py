"""Who may give no instructions for now, whatever the role says: asked of the apps above, which register a check.

A freeze of a customer is no change of its users' roles; it ends, and new users are under it too. So it is asked each
time an instruction is about to be given, and nowhere stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from payops.identity.models import User

Check = Callable[["User"], bool]
_checks: Final[list[Check]] = []


def register_block(check: Check) -> None:
    """Ask `check(user)` before a merchant's user gives an instruction; called from `AppConfig.ready`."""
    if check not in _checks:
        _checks.append(check)


def is_blocked(user: User) -> bool:
    """Whether any check blocks the user's instructions now."""
    return any(check(user) for check in _checks)
