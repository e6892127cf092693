"""What higher floors ask to be told or know better: handlers of resolved cases, and whether a row is cleared.

Cases live below reconciliation and settlement, so those register here from their `AppConfig.ready`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payops.discrepancies.models import CaseAction, Discrepancy
    from payops.orders.models import Transaction

ResolutionHandler = Callable[["Discrepancy", "CaseAction"], None]
ClearedCheck = Callable[["Transaction"], bool | None]

_resolution_handlers: list[ResolutionHandler] = []
_cleared_checks: list[ClearedCheck] = []


def register_resolution_handler(handler: ResolutionHandler) -> None:
    """Call `handler(case, action)` in the transaction that closed a case by a booked action, after its voucher.

    It is not called for waiting (nothing is resolved), nor for cases cleared or withdrawn by runs, which know.
    """
    if handler not in _resolution_handlers:
        _resolution_handlers.append(handler)


def register_cleared_check(check: ClearedCheck) -> None:
    """Ask `check(transaction)` whether the row is cleared to its merchant: True, False, or None for "I cannot tell"."""
    if check not in _cleared_checks:
        _cleared_checks.append(check)


def unregister(function: ResolutionHandler | ClearedCheck) -> None:
    """Forget a handler or check; for tests that register their own."""
    for registered in (_resolution_handlers, _cleared_checks):
        if function in registered:
            registered.remove(function)


def tell_resolved(case: Discrepancy, action: CaseAction) -> None:
    """Run all handlers, in order of registration; an error of one undoes the whole resolution."""
    for handler in _resolution_handlers:
        handler(case, action)


def ask_cleared(transaction: Transaction) -> bool | None:
    """The first definite answer, or None when nobody knows."""
    for check in _cleared_checks:
        answer = check(transaction)
        if answer is not None:
            return answer
    return None
