"""Fund reconciliation (DOMAIN 7.4): what each line of the reserve accounts' statements is, and whether the money a
channel owes for a day has come.

A line is claimed by a conditional update in the transaction that books it, so a killed or doubled run books nothing
twice. Settlement stands above this app: it announces the movements it expects as `ExpectedMovement` rows and registers
what a payout's bank lines mean to it.
"""

from payops.reconciliation.funds.allocation import allocation_set, lines_regroup
from payops.reconciliation.funds.days import receipt_due_set
from payops.reconciliation.funds.lines import funds_match
from payops.reconciliation.funds.movements import (
    PAYOUT,
    RETURN,
    movements_overdue,
    register_payout_handler,
    register_return_handler,
)
from payops.reconciliation.funds.receipts import funds_check

__all__ = [
    "PAYOUT",
    "RETURN",
    "allocation_set",
    "funds_check",
    "funds_match",
    "lines_regroup",
    "movements_overdue",
    "receipt_due_set",
    "register_payout_handler",
    "register_return_handler",
]
