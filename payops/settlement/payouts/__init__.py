"""Payouts (DOMAIN 11.5): batches approved by finance, sent to the bank, their results taken in. Import from here."""

from payops.settlement.payouts.approval import ACTION, register
from payops.settlement.payouts.batches import payout_batch_create, sheets_hold_unpayable
from payops.settlement.payouts.export import payout_batch_export
from payops.settlement.payouts.results import payout_result_take
from payops.settlement.payouts.selectors import (
    payout_history,
    payouts_for_user,
    payouts_in_flight,
    payouts_needing_a_person,
)
from payops.settlement.payouts.sending import payouts_poll, payouts_send

__all__ = [
    "ACTION",
    "payout_batch_create",
    "payout_batch_export",
    "payout_history",
    "payout_result_take",
    "payouts_for_user",
    "payouts_in_flight",
    "payouts_needing_a_person",
    "payouts_poll",
    "payouts_send",
    "register",
    "sheets_hold_unpayable",
]
