"""Who proposes and who approves what people do about matches: the same two for making one and for taking one back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import LARGE_AMOUNT, Description, register_action


def register_match_action(
    action: str,
    *,
    execute: Callable[[ApprovalRequest], dict[str, Any]],
    fingerprint: Callable[[str, str], str],
    describe: Callable[[ApprovalRequest], Description],
) -> None:
    """Make such an action known to approvals."""
    register_action(
        action,
        execute=execute,
        fingerprint=fingerprint,
        describe=describe,
        maker_permission="cases.propose",
        checker_permission="cases.approve",
        tiers=LARGE_AMOUNT,
    )
