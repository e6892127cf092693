"""What higher floors ask to be told or know better: resolved cases, whether a row is cleared, what was reversed.

Cases live below reconciliation and settlement, so those register here from their `AppConfig.ready`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payops.discrepancies.models import CaseAction, Discrepancy
    from payops.orders.models import Transaction

ResolutionHandler = Callable[["Discrepancy", "CaseAction"], None]
ClearedCheck = Callable[["Transaction"], bool | None]
ReversedCheck = Callable[[Sequence["Discrepancy"]], Mapping[int, int]]

_resolution_handlers: list[ResolutionHandler] = []
_cleared_checks: list[ClearedCheck] = []
_reversed_checks: list[ReversedCheck] = []


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


def register_reversed_check(check: ReversedCheck) -> None:
    """Ask `check(cases)` which cases' suspense stands in a voucher that was reversed: case id → that voucher."""
    if check not in _reversed_checks:
        _reversed_checks.append(check)


def unregister(function: ResolutionHandler | ClearedCheck | ReversedCheck) -> None:
    """Forget a handler or check; for tests that register their own."""
    for registered in (_resolution_handlers, _cleared_checks, _reversed_checks):
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


def ask_reversed(cases: Sequence[Discrepancy]) -> dict[int, int]:
    """Case id → reversed voucher, for those of the cases whose suspense was cancelled that way."""
    found: dict[int, int] = {}
    for check in _reversed_checks:
        found |= check(cases)
    return found
