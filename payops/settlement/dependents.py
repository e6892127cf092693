"""What was cleared because rows were matched by hand: asked before such a match is taken back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db.models import Q
from django.utils.translation import gettext as _

from payops.core.locks import xact_lock
from payops.orders.models import Transaction
from payops.settlement.choices import SessionKind
from payops.settlement.clearing import LOCK
from payops.settlement.models import ClearedDay, ClearingHold, ClearingSession


def cleared_since(transaction_ids: Sequence[int], since: dt.datetime, lock: bool) -> list[str]:
    """The clearings these rows went into after `since`, each by its accounting date.

    With `lock` clearing waits until the transaction ends, so that none of them is cleared meanwhile.
    """
    if lock:
        xact_lock(*LOCK)
    holds = list(ClearingHold.objects.filter(transaction_id__in=transaction_ids).select_related("released_in__sheet"))
    held = {hold.transaction_id for hold in holds}
    sessions = {hold.released_in.sheet.session_id for hold in holds if hold.released_in}
    days = Q(pk__in=[])
    for row in Transaction.objects.filter(id__in=[pk for pk in transaction_ids if pk not in held]):
        days |= Q(contract=row.contract_id, own_date=row.own_date)
    sessions |= set(ClearedDay.objects.filter(days).values_list("session_id", flat=True))
    found = ClearingSession.objects.filter(pk__in=sessions, kind=SessionKind.TRADE, made_at__gt=since)
    return [_("clearing of %s") % day for day in found.order_by("own_date").values_list("own_date", flat=True)]
