"""Every write on cases. Others import from here; the parts stand in the modules of this package."""

from payops.discrepancies.handlers import (
    register_cleared_check,
    register_resolution_handler,
    register_reversed_check,
)
from payops.discrepancies.services.bookings import refuse_reversed
from payops.discrepancies.services.cases import (
    case_assign,
    case_close,
    case_note,
    case_open,
    cases_assign_many,
    cases_open_many,
)
from payops.discrepancies.services.proposals import action_propose, actions_propose_many
from payops.discrepancies.services.reopening import case_reopen, surplus_refund_failed
from payops.discrepancies.services.runs import (
    case_auto_clear,
    case_escalate,
    case_suspense_set,
    case_withdraw,
    cases_auto_clear_many,
)

__all__ = [
    "action_propose",
    "actions_propose_many",
    "case_assign",
    "case_auto_clear",
    "case_close",
    "case_escalate",
    "case_note",
    "case_open",
    "case_reopen",
    "case_suspense_set",
    "case_withdraw",
    "cases_assign_many",
    "cases_auto_clear_many",
    "cases_open_many",
    "refuse_reversed",
    "register_cleared_check",
    "register_resolution_handler",
    "register_reversed_check",
    "surplus_refund_failed",
]
