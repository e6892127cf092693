"""Reads of payouts: for staff, for the merchant they belong to, and what is on its way."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext_lazy as _

from payops.identity.models import User
from payops.settlement.choices import PayoutState
from payops.settlement.models import Payout, PayoutEvent
from payops.settlement.payouts.history import IN_DOUBT, TO_SEND
from payops.settlement.payouts.results import FOR_A_PERSON

NOT_FOR_MERCHANTS: Final = (PayoutState.CREATED, PayoutState.CANCELLED)
MERCHANT_LABELS: Final[dict[str, Any]] = {
    PayoutState.APPROVED: _("On its way"),
    PayoutState.SENDING: _("On its way"),
    PayoutState.SENT: _("On its way"),
    PayoutState.UNKNOWN: _("On its way"),
    PayoutState.SUCCEEDED: _("Paid"),
    PayoutState.FAILED: _("Failed"),
    PayoutState.RETURNED: _("Returned by your bank"),
}
"""What a merchant is told; which step of ours it is in does not concern it."""


def payouts_for_user(user: User) -> QuerySet[Payout]:
    """The payouts a user may see: staff all, a merchant's user its own once approved, anybody else none."""
    payouts = Payout.objects.select_related("batch", "sheet", "merchant", "settlement_account", "previous")
    if not user.is_authenticated or not user.is_active:
        return payouts.none()
    if user.is_merchant:
        return payouts.filter(merchant__merchant_no=user.merchant_no).exclude(state__in=NOT_FOR_MERCHANTS)
    return payouts if user.is_staff_member and user.may("payouts.view") else payouts.none()


def payout_history(payout: Payout) -> QuerySet[PayoutEvent]:
    """Everything that happened to a payout and to the ones it replaces, oldest first."""
    chain = [payout.pk]
    while payout.previous is not None:
        payout = payout.previous
        chain.append(payout.pk)
    return PayoutEvent.objects.filter(payout__in=chain).select_related("payout").order_by("id")


def payouts_in_flight() -> dict[str, int]:
    """Number and amount (minor units) of payouts sent or about to be, whose result is not in."""
    rows = Payout.objects.filter(state__in=(*TO_SEND, *IN_DOUBT)).aggregate(
        count=Count("id"), amount=Sum("amount", default=0)
    )
    return {"count": rows["count"], "amount": rows["amount"]}


def payouts_needing_a_person() -> QuerySet[Payout]:
    """Payouts no query can settle: the number means something else to the bank, or the attempt before was debited."""
    states = (PayoutState.APPROVED, *IN_DOUBT)
    return Payout.objects.filter(failure_code__in=FOR_A_PERSON, state__in=states).order_by("id")
