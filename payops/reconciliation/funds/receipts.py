"""Whether the money a channel owes for a day has come: bill against bank, the difference booked to suspense."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import PostingKey
from payops.accounts.posting import Posting
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.discrepancies.choices import ActionKind, ActionState, CaseKind, CaseState
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import case_auto_clear, case_open, case_suspense_set
from payops.reconciliation.choices import ReceiptState, RunState
from payops.reconciliation.funds.allocation import lines_regroup
from payops.reconciliation.funds.faults import ONE_LINE_FAULTS
from payops.reconciliation.models import ChannelReceipt, ReceiptDifference, ReconRun
from payops.reconciliation.selectors import receipt_differences_reversed, receipt_lost

DIFFERENCE_SOURCE = "receipt_difference"


def funds_check(*, day: dt.date, username: str = "system", open_day: dt.date | None = None) -> dict[str, Any]:
    """Compare what each channel owes with what the bank received, as of `day` (the open accounting day).

    Too much is a difference at once, too little only from the due date on. Only the change against what is booked is
    booked; money that comes later books the opposite and clears the case. A day without a finished run has no known
    due amount and waits. Lines that pay a group of days whose bills came only now are divided first.
    Returns counts and the sums now in suspense.
    """
    counts: Counter[str] = Counter()
    changed = 0
    failed: list[dict[str, Any]] = []
    regrouped = lines_regroup(day=day)
    for receipt_id in _undecided().values_list("id", flat=True):
        try:
            state, delta = receipt_checked(receipt_id, day, username, open_day)
        except PayopsError as error:
            if error.code not in ONE_LINE_FAULTS:
                raise
            failed.append({"receipt": receipt_id, "code": error.code, "message": str(error)})
            continue
        counts[state] += 1
        changed += delta != 0
    booked = ChannelReceipt.objects.exclude(short_booked=0).values_list("short_booked", flat=True)
    return {
        "checked": counts.total(),
        "agreed": counts[ReceiptState.AGREED],
        "different": counts[ReceiptState.DIFFERENT],
        "waiting": counts[ReceiptState.WAITING],
        "booked": changed,
        "regrouped": regrouped,
        "short": sum(amount for amount in booked if amount > 0),
        "over": -sum(amount for amount in booked if amount < 0),
        "failed": failed,
    }


def _undecided() -> QuerySet[ChannelReceipt]:
    """Receipts whose comparison may come out differently than it is stored."""
    return ChannelReceipt.objects.filter(
        ~Q(due=F("received") + F("short_booked"))
        | Q(state=ReceiptState.WAITING)
        | Q(pk__in=receipt_differences_reversed().values("receipt"))
    ).order_by("channel_date", "id")


def receipt_checked(receipt_id: int, day: dt.date, username: str, open_day: dt.date | None) -> tuple[ReceiptState, int]:
    """Compare one day: its new state and the change of what is booked.

    Done again if an action resolved the case between its reading and its change.
    """
    try:
        return _receipt_check(receipt_id, day, username, open_day)
    except PayopsError as error:
        if error.code != "discrepancies.already_resolved":
            raise
        return _receipt_check(receipt_id, day, username, open_day)


@transaction.atomic
def _receipt_check(receipt_id: int, day: dt.date, username: str, open_day: dt.date | None) -> tuple[ReceiptState, int]:
    """The receipt's new state and the change of what is booked as its difference."""
    run = ReconRun.objects.filter(
        contract=OuterRef("contract"), channel_date=OuterRef("channel_date"), is_current=True, state=RunState.COMPLETE
    )
    receipt = (
        ChannelReceipt.objects.select_for_update(of=("self",), no_key=True)
        .select_related("contract", "case")
        .annotate(due_known=Exists(run))
        .get(pk=receipt_id)
    )
    if not receipt.due_known:
        return ReceiptState.WAITING, 0
    _reversed_book_again(receipt, username, open_day)
    short = receipt.due - receipt.received
    # Money still to come (or to be paid by us, on a day of refunds) is awaited; money beyond what is due is not. What
    # was once booked as short stays booked until money comes, even if an earlier day is checked again.
    awaited = short * receipt.due > 0 and short * receipt.short_booked <= 0
    too_early = awaited and day < receipt.due_date
    target = 0 if too_early else short
    delta = target - receipt.short_booked
    if delta:
        _difference_book(receipt, delta, username, open_day)
    receipt.short_booked = target
    receipt.state = _state(short, target)
    receipt.save(update_fields=["short_booked", "state", "case"])
    return receipt.state, delta


def _reversed_book_again(receipt: ChannelReceipt, username: str, open_day: dt.date | None) -> None:
    """A difference whose voucher was reversed is booked once more, as it was: what follows starts from it.

    The newest first, until what the receipt has booked is in the books again.
    """
    lost = receipt_lost([receipt.pk]).get(receipt.pk, 0)
    for difference in receipt_differences_reversed().filter(receipt=receipt).order_by("-pk"):
        if not lost:
            return
        event = Event(PostingKey.objects.get(voucher_id=difference.voucher_id).event)
        change = difference.amount if event == Event.RECEIPT_SHORT else -difference.amount
        _difference_post(receipt, event, change, username, open_day)
        lost -= difference.amount


def receipt_is_given_up(receipt: ChannelReceipt) -> bool:
    """Whether finance accepted the loss of all that was still due: the institution bears it, so nobody waits for it."""
    case = receipt.case
    return (
        case is not None
        and case.state == CaseState.CLOSED
        and receipt.due == receipt.received + receipt.short_booked
        and case.actions.filter(kind=ActionKind.LOSS, state=ActionState.BOOKED).exists()
    )


def _state(short: int, booked: int) -> ReceiptState:
    if short == 0:
        return ReceiptState.AGREED
    return ReceiptState.DIFFERENT if booked else ReceiptState.WAITING


def _difference_book(receipt: ChannelReceipt, delta: int, username: str, open_day: dt.date | None) -> None:
    """Book the change and keep the case's suspense equal to what is in the suspense accounts.

    A shortage that an action resolved (a loss accepted) is gone from suspense: money coming after it is a surplus, and
    a case of its own.
    """
    case = receipt.case
    before = case.suspense if case is not None else 0
    after = before - delta
    for event, change in (
        (Event.RECEIPT_SHORT, max(-after, 0) - max(-before, 0)),
        (Event.RECEIPT_OVER, max(after, 0) - max(before, 0)),
    ):
        if change:
            _difference_post(receipt, event, change, username, open_day)
    _case_follow(receipt, after)


def _difference_post(
    receipt: ChannelReceipt, event: Event, change: int, username: str, open_day: dt.date | None
) -> None:
    difference = ReceiptDifference.objects.create(
        receipt=receipt, amount=change if event == Event.RECEIPT_SHORT else -change
    )
    voucher = ledger.post(
        Posting(
            event=event,
            source_kind=DIFFERENCE_SOURCE,
            source_id=difference.pk,
            amounts={"D": change},
            owners={"channel": receipt.contract.code},
            business_date=receipt.channel_date,
            currency=receipt.contract.currency,
            memo=f"{receipt.contract.code} {receipt.channel_date}",
        ),
        day=open_day,
        posted_by=username,
    )
    difference.voucher_id = voucher.pk if voucher else None
    difference.save(update_fields=["voucher_id"])


def _case_follow(receipt: ChannelReceipt, suspense: int) -> None:
    """Open, change or clear the receipt's case so that it remembers `suspense` (minor units, + surplus)."""
    case = receipt.case
    note = _("Due %(due)s, received %(received)s.") % {
        "due": format_amount(receipt.due, receipt.contract.currency),
        "received": format_amount(receipt.received, receipt.contract.currency),
    }
    if case is not None and case.is_open:
        if suspense == 0:
            case_auto_clear(case_id=case.pk, note=note)
        else:
            case_suspense_set(case_id=case.pk, suspense=suspense, amount=suspense, note=note)
    elif suspense:
        receipt.case = case_open(
            dedupe_key=_case_key(receipt, case),
            kind=CaseKind.RECEIPT,
            amount=suspense,
            suspense=suspense,
            currency=receipt.contract.currency,
            business_date=receipt.channel_date,
            contract=receipt.contract,
            evidence={
                "own": None,
                "channel": None,
                "receipt": {
                    "due": receipt.due,
                    "received": receipt.received,
                    "due_date": receipt.due_date.isoformat(),
                },
            },
        )


def _case_key(receipt: ChannelReceipt, case: Discrepancy | None) -> str:
    """A cleared case is opened again under its key; after one closed by an action a new one begins."""
    if case is None:
        return f"receipt:{receipt.pk}"
    return f"receipt:{receipt.pk}:{case.pk}" if case.state == CaseState.CLOSED else case.dedupe_key
