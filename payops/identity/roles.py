"""Which role may do what: the whole permission map of payops on one page.

A code is ``<thing>.<act>``. Codes that begin with ``portal.`` belong to merchants, all others to staff; nobody holds
both kinds. Proposing and approving are never in the same role, and approving a settlement is a code of its own, apart
from approving the payout: in a peer's system they were one, and one person did both.

``ledger.correct``, proposing corrections and manual vouchers, is bookkeeping: finance holds it as well as operations.
Who approves one (``adjustments.approve``) is always another person; the database keeps maker and checker apart.
"""

from __future__ import annotations

from payops.identity.choices import MerchantRole, Role

PORTAL_PREFIX = "portal."

STAFF_VIEWS = frozenset(
    {
        "dashboard.view",
        "transactions.view",
        "files.view",
        "runs.view",
        "cases.view",
        "approvals.view",
        "ledger.view",
        "settlement.view",
        "payouts.view",
        "merchants.view",
        "reports.view",
        "jobs.view",
        "setup.view",
        "audit.view",
    }
)

OPERATIONS = STAFF_VIEWS | {
    "files.upload",
    "orders.upload",
    "receipts.upload",
    "runs.start",
    "cases.propose",
    "adjustments.propose",
    "ledger.correct",
    "settlement.run",
    "payouts.propose",
    "days.run",
    "jobs.retry",
    "reports.export",
    "reveal.data",
}

FINANCE = STAFF_VIEWS | {
    "cases.approve",
    "adjustments.approve",
    "ledger.correct",
    "approvals.decide",
    "settlement.approve",
    "payouts.approve",
    "payouts.send",
    "days.close",
    "reports.export",
    "reveal.data",
}

ADMIN = STAFF_VIEWS | {"setup.change", "users.manage", "jobs.retry"}

STAFF_PERMISSIONS: dict[str, frozenset[str]] = {
    Role.OPERATIONS: frozenset(OPERATIONS),
    Role.FINANCE: frozenset(FINANCE),
    Role.AUDITOR: STAFF_VIEWS,
    Role.ADMIN: frozenset(ADMIN),
}

PORTAL_VIEWS = frozenset({"portal.view", "portal.transactions", "portal.statements"})

PORTAL_PERMISSIONS: dict[str, frozenset[str]] = {
    MerchantRole.VIEWER: PORTAL_VIEWS,
    MerchantRole.MAKER: PORTAL_VIEWS | {"portal.refunds.propose", "portal.orders.upload"},
    MerchantRole.CHECKER: PORTAL_VIEWS | {"portal.refunds.approve"},
    MerchantRole.ADMINISTRATOR: PORTAL_VIEWS | {"portal.users.manage", "portal.settings.change"},
}

PORTAL_INSTRUCTIONS = frozenset(
    {"portal.refunds.propose", "portal.refunds.approve", "portal.orders.upload", "portal.settings.change"}
)
"""What moves a merchant's money or decides where it goes; a merchant under a freeze only looks."""

ALL_CODES = frozenset().union(*STAFF_PERMISSIONS.values(), *PORTAL_PERMISSIONS.values())


def permissions_of(role: str, merchant_role: str = "") -> frozenset[str]:
    """The codes a user of this role holds; an unknown role holds none."""
    if role == Role.MERCHANT:
        return PORTAL_PERMISSIONS.get(merchant_role, frozenset())
    return STAFF_PERMISSIONS.get(role, frozenset())


def is_portal_code(code: str) -> bool:
    """Whether the code belongs to the merchants' side."""
    return code.startswith(PORTAL_PREFIX)
