"""Freeze slips: they change only the available amount and make no voucher (DOMAIN 4.4).

`account.frozen` follows its slips and a slip its releases by database triggers (`guards_accounts`); here are only the
rows that make it so.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.choices import AccountStatus
from payops.accounts.models import Account, Freeze, FreezeRelease
from payops.accounts.posting import account_closed
from payops.core.errors import PayopsError
from payops.core.money import format_amount

REASON_LENGTH: Final = 200
SLIP_SOURCE: Final = "deduction"
"""The source of slips that keep what a deduction still needs: placed and released by `deductions` alone."""

SOURCES: Final[dict[str, Any]] = {
    "court_order": gettext_lazy("Court order"),
    "police_letter": gettext_lazy("Letter of the police"),
    "dispute": gettext_lazy("Dispute"),
    "risk": gettext_lazy("Risk control"),
    SLIP_SOURCE: gettext_lazy("Deduction"),
    "other": gettext_lazy("Other"),
}
"""What a slip comes from; other apps may name documents of their own."""


def source_text(kind: str, number: str) -> str:
    """Where a slip comes from, in words."""
    return f"{SOURCES.get(kind, kind)} {number}".strip()


@transaction.atomic
def freeze_place(
    *, account: Account, amount: int, reason: str, source_kind: str, source_id: str | int, created_by: str
) -> Freeze:
    """Freeze `amount` minor units; may exceed the balance.

    Raises PayopsError 'freeze.amount' unless positive, and 'ledger.account_closed'.
    """
    if amount <= 0:
        raise PayopsError("freeze.amount", _("The amount to freeze must be positive."), {"amount": amount})
    # Taken first, as everywhere, so that slips of one account are placed and released in turn.
    locked = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    if locked.status == AccountStatus.CLOSED:
        raise account_closed(locked.account_no)
    return Freeze.objects.create(
        account=account,
        amount=amount,
        remaining=amount,
        reason=reason[:REASON_LENGTH],
        source_kind=source_kind,
        source_id=str(source_id),
        created_by=created_by,
    )


@transaction.atomic
def freeze_release(
    *, freeze: Freeze, amount: int | None = None, reason: str = "", released_by: str = "system"
) -> Freeze:
    """Release a slip wholly or by `amount` minor units; returns it as it is then.

    Raises PayopsError 'freeze.amount' when that much is no longer frozen. Releasing a whole slip again does nothing.
    """
    account = Account.objects.select_for_update(no_key=True).get(pk=freeze.account_id)
    slip = Freeze.objects.select_for_update().get(pk=freeze.pk)
    released = slip.remaining if amount is None else amount
    if released < 0 or released > slip.remaining or (released == 0 and amount is not None):
        raise PayopsError(
            "freeze.amount",
            _("Of this freeze %(remaining)s %(currency)s are left; %(amount)s cannot be released.")
            % {
                "remaining": format_amount(slip.remaining, account.currency),
                "amount": format_amount(released, account.currency),
                "currency": account.currency,
            },
            {"remaining": slip.remaining, "amount": released},
        )
    if released:
        FreezeRelease.objects.create(
            freeze=slip, amount=released, reason=reason[:REASON_LENGTH], released_by=released_by
        )
        slip.refresh_from_db()
    return slip
