"""Freeze slips: they change only the available amount and make no voucher (DOMAIN 4.4)."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts.models import Account, Freeze
from payops.core.errors import PayopsError


@transaction.atomic
def freeze_place(
    *, account: Account, amount: int, reason: str, source_kind: str, source_id: str | int, created_by: str
) -> Freeze:
    """Freeze `amount` minor units; may exceed the balance. PayopsError 'freeze.amount' unless positive."""
    if amount <= 0:
        raise PayopsError("freeze.amount", _("The amount to freeze must be positive."), {"amount": amount})
    Account.objects.filter(pk=account.pk).update(frozen=F("frozen") + amount)
    return Freeze.objects.create(
        account=account,
        amount=amount,
        remaining=amount,
        reason=reason,
        source_kind=source_kind,
        source_id=str(source_id),
        created_by=created_by,
    )


@transaction.atomic
def freeze_release(*, freeze: Freeze, amount: int | None = None) -> Freeze:
    """Release a slip wholly or by `amount`; PayopsError 'freeze.amount' when that much is no longer frozen."""
    # The account first, as everywhere; then the slip, so that two releases take turns.
    account = Account.objects.select_for_update(no_key=True).get(pk=freeze.account_id)
    slip = Freeze.objects.select_for_update().get(pk=freeze.pk)
    released = slip.remaining if amount is None else amount
    if released < 0 or released > slip.remaining or (released == 0 and amount is not None):
        raise PayopsError(
            "freeze.amount",
            _("Of this freeze %(remaining)d minor units are left; %(amount)d cannot be released.")
            % {"remaining": slip.remaining, "amount": released},
            {"remaining": slip.remaining, "amount": released},
        )
    slip.remaining -= released
    if slip.remaining == 0 and slip.released_at is None:
        slip.released_at = timezone.now()
    slip.save(update_fields=["remaining", "released_at"])
    Account.objects.filter(pk=account.pk).update(frozen=F("frozen") - released)
    return slip
