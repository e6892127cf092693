"""The one way a payout changes its state: by the allowed step, conditionally, with a line in its history."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from payops.settlement.choices import PAYOUT_TRANSITIONS, BatchState, PayoutState, SheetState
from payops.settlement.models import Payout, PayoutBatch, PayoutEvent, SettlementSheet

SYSTEM: Final = "system"
SOURCE_KIND: Final = "payout"
NOTE_LENGTH: Final = 240

TO_SEND: Final = (PayoutState.APPROVED, PayoutState.SENDING)
IN_DOUBT: Final = (PayoutState.SENT, PayoutState.UNKNOWN)
"""Sent, and the result not known: counted as paid, queried, never sent under another number."""
DEAD: Final = (PayoutState.FAILED, PayoutState.RETURNED, PayoutState.CANCELLED)
"""A sheet whose payouts are all in these states has none on its way (the partial unique index says the same)."""


def payout_lock(payout_id: int) -> Payout:
    """The payout as it is now, locked until the transaction ends."""
    return (
        Payout.objects.select_for_update(of=("self",), no_key=True)
        .select_related("batch__bank_account", "merchant", "settlement_account")
        .get(pk=payout_id)
    )


def payout_move(
    payout: Payout, to: PayoutState, *, username: str, note: str = "", voucher: Voucher | None = None, **fields: Any
) -> None:
    """Take one allowed step; PayopsError 'payouts.wrong_state' when somebody else took another one first."""
    source = payout.state
    allowed = to in PAYOUT_TRANSITIONS[source]
    if not allowed or not Payout.objects.filter(pk=payout.pk, state=source).update(state=to, **fields):
        raise PayopsError(
            "payouts.wrong_state",
            _("Payout %(number)s is %(state)s and cannot become %(to)s. Reload the page; somebody was faster.")
            % {"number": payout.payout_no, "state": PayoutState(source).label, "to": to.label},
            {"payout_no": payout.payout_no, "state": str(source)},
        )
    payout.state = to
    for name, value in fields.items():
        setattr(payout, name, value)
    payout_note(payout, from_state=source, username=username, note=note, voucher=voucher)


def payout_note(
    payout: Payout, *, username: str, note: str, from_state: str = "", voucher: Voucher | None = None
) -> PayoutEvent:
    """A line in the history; without `from_state` nothing changed but something is worth knowing."""
    return PayoutEvent.objects.create(
        payout=payout,
        from_state=from_state or payout.state,
        to_state=payout.state,
        username=username,
        note=note[:NOTE_LENGTH],
        voucher_id=voucher.pk if voucher else None,
    )


def payout_post(payout: Payout, event: Event, *, username: str, instruction: bool = False) -> Voucher | None:
    """Book one event of a payout from its batch's account."""
    return ledger.post(
        Posting(
            event=event,
            source_kind=SOURCE_KIND,
            source_id=payout.pk,
            amounts={"P": payout.amount},
            owners={"merchant": payout.merchant.merchant_no, "bank": payout.batch.bank_account.code},
            business_date=payout.batch.pay_date,
            currency=payout.currency,
            memo=payout.payout_no,
        ),
        posted_by=username,
        instruction=instruction,
    )


def sheet_move(sheet_id: int, sources: tuple[SheetState, ...], to: SheetState, **fields: Any) -> bool:
    """Change a sheet if it still is where the payout expects it."""
    return bool(SettlementSheet.objects.filter(pk=sheet_id, state__in=sources).update(state=to, **fields))


def batch_follow(batch_id: int) -> None:
    """The batch is sent when nothing of it waits to be sent, done when every result is in."""
    states = set(Payout.objects.filter(batch=batch_id).order_by().values_list("state", flat=True))
    if states.intersection((PayoutState.CREATED, *TO_SEND)):
        return
    to = BatchState.SENT if states.intersection(IN_DOUBT) else BatchState.DONE
    sources = (BatchState.APPROVED, BatchState.SENT)
    PayoutBatch.objects.filter(pk=batch_id, state__in=sources).exclude(state=to).update(state=to)


def now() -> Any:
    """The moment put into sent_at and finished_at."""
    return timezone.now()
