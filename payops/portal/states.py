"""Our states in a merchant's words: what it means for its money, and what it has to do."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.utils.translation import gettext_lazy as _

from payops.orders.choices import Status
from payops.settlement.choices import SheetState


class Told(NamedTuple):
    """A badge's words and colour, and one sentence more."""

    label: Any
    tone: str
    sentence: Any = ""


SHEETS: Final[dict[str, Told]] = {
    SheetState.READY: Told(_("Being prepared"), "", _("We are about to send the payment to your bank.")),
    SheetState.IN_PAYMENT: Told(_("On its way"), "", _("The payment was sent; your bank usually has it the same day.")),
    SheetState.PAID: Told(_("Paid"), "good", _("Your bank has confirmed the payment.")),
    SheetState.CARRIED: Told(
        _("Carried forward"),
        "warn",
        _("The amount is below your minimum or not positive; it is added to your next settlement."),
    ),
    SheetState.HELD: Told(
        _("On hold"), "warn", _("The payment waits: please check your settlement account with us. Nothing is lost.")
    ),
    SheetState.FAILED: Told(
        _("Refused by your bank"), "bad", _("Please check your account details with us; the amount is kept for you.")
    ),
    SheetState.RETURNED: Told(
        _("Returned by your bank"),
        "bad",
        _("The payment came back. Please give us new account details; the amount is kept for you."),
    ),
}

TRANSACTIONS: Final[dict[str, str]] = {
    Status.SUCCEEDED: "good",
    Status.FAILED: "bad",
    Status.CLOSED: "",
    Status.CREATED: "warn",
    Status.PROCESSING: "warn",
    Status.UNKNOWN: "warn",
}
"""The badge's colour by status."""


def sheet_told(state: str) -> Told:
    """What a merchant is told of a sheet's state."""
    return SHEETS.get(SheetState(state), Told(_("Being prepared"), ""))
