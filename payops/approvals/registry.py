"""The registry of actions that need a second person: lower floors know nothing of them, so each app registers its own.

An app calls `register_action` from its `AppConfig.ready`. Executing, describing and taking the fingerprint of the
target stay in the app that owns the target; approvals only decides whether and when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from payops.core.errors import PayopsError
from payops.identity.roles import ALL_CODES

if TYPE_CHECKING:
    from payops.approvals.models import ApprovalRequest


@dataclass(frozen=True, slots=True)
class Tier:
    """From amounts above `above` (minor units, magnitude) the checker needs `permission` instead."""

    above: int
    permission: str


LARGE_AMOUNT: Final = (Tier(above=5_000_000, permission="approvals.decide"),)
"""Above 50,000.00 (5,000,000 minor units) the second tier decides; of a batch its total counts."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a decision page shows of a request: heading, where the target lives, and the facts as label and value."""

    title: str
    url_name: str = ""
    url_args: Sequence[Any] = ()
    rows: Sequence[tuple[Any, Any]] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of action: who may propose it, who may decide it from which amount, and what deciding does."""

    name: str
    execute: Callable[[ApprovalRequest], Mapping[str, Any] | None]
    fingerprint: Callable[[str, str], str]
    describe: Callable[[ApprovalRequest], Description]
    maker_permission: str
    checker_permission: str
    tiers: Sequence[Tier] = field(default=())
    closed: Callable[[ApprovalRequest], None] | None = None

    def tier_of(self, amount: int | None) -> int:
        """1 for the ordinary tier, 2 and up for each limit the amount is above; without an amount always 1."""
        return 1 + sum(abs(amount or 0) > tier.above for tier in self.tiers)

    def permission_for(self, tier: int) -> str:
        """What the checker of a request of that tier must hold."""
        if tier <= 1 or not self.tiers:
            return self.checker_permission
        return self.tiers[min(tier - 1, len(self.tiers)) - 1].permission


_actions: dict[str, Action] = {}


def register_action(
    name: str,
    *,
    execute: Callable[[ApprovalRequest], Mapping[str, Any] | None],
    fingerprint: Callable[[str, str], str],
    describe: Callable[[ApprovalRequest], Description],
    maker_permission: str,
    checker_permission: str,
    tiers: Sequence[Tier] = (),
    closed: Callable[[ApprovalRequest], None] | None = None,
) -> Action:
    """Make an action known under its dotted name, once per process; a second registration of a name is a mistake.

    `execute(request)` runs inside the transaction of the approval, with `request.checker` set, and returns JSON values
    kept as the result; raising leaves the request pending. `fingerprint(target_kind, target_id)` is any text that
    changes whenever the target changes in a way the checker has to know. `closed(request)`, optional, runs when a
    request ends without execution (rejected or withdrawn), in that transaction.
    """
    if name in _actions:
        raise ImproperlyConfigured(f"The approval action {name!r} is registered twice.")
    ordered = tuple(sorted(tiers, key=lambda tier: tier.above))
    for code in (maker_permission, checker_permission, *(tier.permission for tier in ordered)):
        if code not in ALL_CODES:
            raise ImproperlyConfigured(f"The approval action {name!r} names the unknown permission {code!r}.")
    _actions[name] = Action(
        name=name,
        execute=execute,
        fingerprint=fingerprint,
        describe=describe,
        maker_permission=maker_permission,
        checker_permission=checker_permission,
        tiers=ordered,
        closed=closed,
    )
    return _actions[name]


def unregister_action(name: str) -> None:
    """Forget an action; for tests that register their own."""
    _actions.pop(name, None)


def action_get(name: str) -> Action:
    """The action of that name; PayopsError 'approvals.unknown_action' when no app registered it."""
    try:
        return _actions[name]
    except KeyError:
        raise PayopsError(
            "approvals.unknown_action",
            _("%s is not an action that can be approved. Was the part of the program that knows it removed?") % name,
            {"action": name},
        ) from None


def actions() -> list[Action]:
    """All registered actions, by name."""
    return [_actions[name] for name in sorted(_actions)]
