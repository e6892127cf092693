"""Reads of fee packages and rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db.models import Q

from payops.fees.engine import Rule
from payops.fees.models import FeeRule

_COLUMNS = (
    "id",
    "package__code",
    "product",
    "channel",
    "card_type",
    "kind",
    "currency",
    "amount_from",
    "amount_to",
    "components",
    "refund_policy",
    "effective_from",
    "effective_to",
)


def rules_of(*, packages: Iterable[str] | None = None, not_ended_before: dt.date | None = None) -> list[Rule]:
    """Rules as the engine takes them, of the named packages or all; one query.

    With `not_ended_before`, rules that ended on or before that day are left out.
    """
    rules = FeeRule.objects.order_by("id")
    if packages is not None:
        rules = rules.filter(package__code__in=list(packages))
    if not_ended_before is not None:
        rules = rules.filter(Q(effective_to__isnull=True) | Q(effective_to__gt=not_ended_before))
    return [Rule(*row) for row in rules.values_list(*_COLUMNS)]
