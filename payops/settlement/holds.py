"""Rows kept out of clearing because only we have them, until their case ends (DOMAIN 11.5).

A hold is released when the other half came, the run no longer misses the row, or its case was closed; it is dropped
when the money was recovered from the merchant's pending settlement, because then nothing is left to clear.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import Q

from payops.accounts.choices import Event
from payops.accounts.models import PostingKey
from payops.channels.models import ChannelContract
from payops.discrepancies.choices import OPEN_STATES, ActionKind, ActionState
from payops.discrepancies.models import CaseAction
from payops.orders.choices import Kind, Origin
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemSide, ItemState, ResultKind
from payops.reconciliation.models import OpenItem
from payops.settlement.choices import HoldState, SessionKind
from payops.settlement.models import ClearedDay, ClearingHold, ClearingItem

_OWN_ONLY = (ResultKind.OWN_ONLY, ResultKind.DUPLICATE_OWN)
_LIVE = (ItemState.IN_DOUBT, ItemState.DEFINITE)


def hold_rows(contract: ChannelContract, day: dt.date, *, never: Collection[int] = ()) -> list[int]:
    """Hold the day's own-only rows and drop those recovered before clearing; the ids clearing must leave out.

    Rows that are never cleared (top-ups, refunds of a surplus, `never`) have nothing to be held from.
    """
    items = OpenItem.objects.filter(
        contract=contract,
        side=ItemSide.OWN,
        result__in=_OWN_ONLY,
        state__in=(ItemState.DEFINITE, ItemState.RESOLVED),
        transaction_id__isnull=False,
    ).order_by("pk")
    by_row = {item.transaction_id: item for item in items}
    if not by_row:
        return []
    rows = Transaction.objects.filter(
        id__in=list(by_row.keys() - set(never)), own_date=day, effective_at__isnull=False
    ).exclude(Q(kind=Kind.TOPUP) | Q(origin=Origin.SURPLUS_REFUND))
    recovered = _recovered({item.case_id for item in by_row.values() if item.case_id})
    made = []
    for row in rows.order_by("pk"):
        item = by_row[row.pk]
        if item.state == ItemState.DEFINITE and not _case_ended(item):
            state = HoldState.HELD
        elif item.case_id in recovered:
            state = HoldState.DROPPED
        else:
            continue
        made.append(
            ClearingHold(
                transaction_id=row.pk,
                contract=contract,
                merchant_id=row.merchant_id,
                own_date=day,
                amount=row.sign * row.amount,
                state=state,
                case_id=item.case_id,
            )
        )
    ClearingHold.objects.bulk_create(made)
    return [hold.transaction_id for hold in made]


def release_rows(contract: ChannelContract, day: dt.date) -> list[int]:
    """Release or drop the contract's earlier holds whose difference has ended; the ids to clear with `day`."""
    held = list(
        ClearingHold.objects.filter(contract=contract, state=HoldState.HELD)
        .exclude(own_date=day)
        .select_related("case")
        .order_by("pk")
    )
    if not held:
        return []
    last_item = {
        item.transaction_id: item
        for item in OpenItem.objects.filter(
            contract=contract, side=ItemSide.OWN, transaction_id__in=[hold.transaction_id for hold in held]
        ).order_by("pk")
    }
    recovered = _recovered({hold.case_id for hold in held if hold.case_id})
    released = []
    for hold in held:
        item = last_item.get(hold.transaction_id)
        case_over = hold.case is not None and hold.case.state not in OPEN_STATES
        if not case_over and (item is None or item.state in _LIVE):
            continue
        if hold.case_id in recovered:
            hold.state = HoldState.DROPPED
        else:
            hold.state, hold.released_date = HoldState.RELEASED, day
            released.append(hold.transaction_id)
        hold.save(update_fields=["state", "released_date"])
    return released


def tie_released(items: Iterable[ClearingItem], day: dt.date) -> None:
    """Write on each hold released with `day` which item its row joined."""
    of: dict[tuple[int, int, str], ClearingItem] = {
        (item.contract_id, item.merchant_id, item.collection): item for item in items if item.kind == SessionKind.TRADE
    }
    contracts = {key[0] for key in of}
    holds = list(
        ClearingHold.objects.filter(
            contract__in=contracts, released_date=day, state=HoldState.RELEASED, released_in__isnull=True
        )
    )
    if not holds:
        return
    rows = Transaction.objects.filter(id__in=[hold.transaction_id for hold in holds])
    collections = dict(rows.values_list("pk", "collection"))
    for hold in holds:
        hold.released_in = of[hold.contract_id, hold.merchant_id, collections[hold.transaction_id]]
        hold.save(update_fields=["released_in"])


def held_amounts(contract: ChannelContract, day: dt.date) -> dict[str, int]:
    """Signed sums of the date's rows not cleared with it, by state of the hold; minor units."""
    sums: dict[str, int] = defaultdict(int)
    for hold in ClearingHold.objects.filter(contract=contract, own_date=day).exclude(released_date=day):
        sums[hold.state] += hold.amount
    return dict(sums)


def row_is_cleared(row: Transaction) -> bool | None:
    """Whether a row went into a clearing; None for rows clearing does not decide about (asked when recovering)."""
    state = ClearingHold.objects.filter(transaction_id=row.pk).values_list("state", flat=True).first()
    if state is not None:
        return state == HoldState.RELEASED
    return ClearedDay.objects.filter(contract_id=row.contract_id, own_date=row.own_date).exists() or None


def _case_ended(item: OpenItem) -> bool:
    return item.case is not None and item.case.state not in OPEN_STATES


def _recovered(case_ids: set[int]) -> set[int]:
    """Cases whose money was taken back from pending settlement: by the booking itself, not by what was proposed."""
    actions = dict(
        CaseAction.objects.filter(case__in=case_ids, kind=ActionKind.RECOVER, state=ActionState.BOOKED).values_list(
            "pk", "case_id"
        )
    )
    booked = PostingKey.objects.filter(event=Event.RECOVER_PENDING, source_id__in=list(actions))
    return {actions[pk] for pk in booked.values_list("source_id", flat=True)}
