"""What may belong together although its keys differ: suggestions with a score and reasons, never booked by themselves.

Candidates are found by amount in one query for all items asked about; only those few are compared in full. A score says
how much speaks for a pair, 0 to 100; below `SHOWN_FROM` nothing is suggested.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import models
from django.db.models import Q
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from payops.channels.models import BillLine
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemSide
from payops.reconciliation.matching.claims import LIVE
from payops.reconciliation.matching.hand import MATCHABLE
from payops.reconciliation.models import OpenItem

SHOWN_FROM: Final = 45
MOST_CANDIDATES: Final = 2000
MOST_EACH: Final = 5
SHORTEST_PART: Final = 6
"""A shorter number is the beginning of too many others."""


class Reason(models.TextChoices):
    """What speaks for a pair."""

    AMOUNT = "amount", _("Same amount")
    CENTS = "cents", _("Amount 100 times as much (yuan and fen)")
    SIGN = "sign", _("Same amount, other direction")
    MINUTE = "minute", _("Same minute")
    TEN_MINUTES = "ten_minutes", _("Within ten minutes")
    TRADE_NO = "trade_no", _("Same channel trade number")
    ORDER_NO = "order_no", _("Same order number")
    SPELLING = "spelling", _("Number differs in case, spaces or leading zeros only")
    TRUNCATED = "truncated", _("Number cut off")
    SWAPPED = "swapped", _("Two digits swapped")
    ONE_DIGIT = "one_digit", _("One character different")
    PAYER = "payer", _("Same payer")


WEIGHTS: Final[Mapping[Reason, int]] = {
    Reason.AMOUNT: 30,
    Reason.CENTS: 10,
    Reason.SIGN: 10,
    Reason.MINUTE: 20,
    Reason.TEN_MINUTES: 10,
    Reason.TRADE_NO: 45,
    Reason.ORDER_NO: 40,
    Reason.SPELLING: 40,
    Reason.TRUNCATED: 35,
    Reason.SWAPPED: 35,
    Reason.ONE_DIGIT: 30,
    Reason.PAYER: 15,
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Another item that may be the other half, and why. Only `exact` ones can be matched without a tolerance."""

    item: OpenItem
    score: int
    reasons: tuple[Reason, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class Face:
    """What of an item is compared."""

    amount: int
    key: str
    at: datetime | None
    trade_no: str
    orders: frozenset[str]
    payer: str


def suggestions_of(item: OpenItem) -> list[Suggestion]:
    """The best other halves of one item, best first."""
    return suggest([item]).get(item.pk, [])


def suggest(items: Iterable[OpenItem]) -> dict[int, list[Suggestion]]:
    """Item id → what may be its other half, best first; items that cannot be matched by hand have none."""
    asked = [item for item in items if item.state in LIVE and item.result in MATCHABLE and item.d]
    if not asked:
        return {}
    candidates = _candidates(asked)
    faces = _faces([*asked, *(other for others in candidates.values() for other in others)])
    found = {}
    for item in asked:
        scored = [
            suggestion
            for other in candidates[_bucket(item)]
            if (suggestion := _compare(item, other, faces[item.pk], faces[other.pk])).score >= SHOWN_FROM
        ]
        scored.sort(key=lambda suggestion: (-suggestion.score, suggestion.item.pk))
        if scored:
            found[item.pk] = scored[:MOST_EACH]
    return found


Bucket = tuple[int, str, str, int]


def _bucket(item: OpenItem) -> Bucket:
    return item.contract_id, item.currency, item.side, abs(_amount(item))


def _amount(item: OpenItem) -> int:
    return item.own_amount if item.side == ItemSide.OWN else item.channel_amount


def _alike(amount: int) -> set[int]:
    """Magnitudes an amount may have been mistaken for."""
    return {amount, amount * 100} | ({amount // 100} if amount % 100 == 0 else set())


def _candidates(asked: Sequence[OpenItem]) -> dict[Bucket, list[OpenItem]]:
    """Items of the other side with such an amount, for each bucket of the items asked about."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for item in asked:
        wanted[item.side] |= _alike(abs(_amount(item)))
    condition = Q()
    for side, amounts in wanted.items():
        both = [*amounts, *(-amount for amount in amounts)]
        if side == ItemSide.OWN:
            condition |= Q(side=ItemSide.CHANNEL, channel_amount__in=both)
        else:
            condition |= Q(side=ItemSide.OWN, own_amount__in=both)
    rows = (
        OpenItem.objects.filter(condition, contract__in={item.contract_id for item in asked}, state__in=LIVE)
        .filter(result__in=MATCHABLE)
        .exclude(d=0)
        .select_related("case", "contract")
        .order_by("-first_date", "-pk")[:MOST_CANDIDATES]
    )
    by_amount: dict[tuple[int, str, str, int], list[OpenItem]] = defaultdict(list)
    for row in rows:
        by_amount[_bucket(row)].append(row)
    other = {ItemSide.OWN: ItemSide.CHANNEL, ItemSide.CHANNEL: ItemSide.OWN}
    return {
        bucket: [
            row
            for amount in sorted(_alike(size))
            for row in by_amount[contract, currency, other[ItemSide(side)], amount]
        ]
        for bucket in {_bucket(item) for item in asked}
        for contract, currency, side, size in [bucket]
    }


def _faces(items: Iterable[OpenItem]) -> dict[int, Face]:
    listed = list({item.pk: item for item in items}.values())
    own = Transaction.objects.filter(id__in=[i.transaction_id for i in listed if i.side == ItemSide.OWN])
    ours = {pk: (order_no, payer) for pk, order_no, payer in own.values_list("pk", "merchant_order_no", "payer")}
    lines = BillLine.objects.filter(id__in=[i.bill_line_id for i in listed if i.side == ItemSide.CHANNEL])
    line_payers = dict(lines.values_list("pk", "payer_masked"))
    faces = {}
    for item in listed:
        seen = (item.evidence.get("own") if item.side == ItemSide.OWN else item.evidence.get("channel")) or {}
        if item.side == ItemSide.OWN:
            order_no, payer = ours.get(item.transaction_id, ("", ""))
            payer = payer_as_billed(payer)
            numbers = {order_no, item.match_key}
        else:
            numbers = {seen.get("merchant_order_no"), item.match_key}
            payer = line_payers.get(item.bill_line_id)
        faces[item.pk] = Face(
            amount=_amount(item),
            key=item.match_key,
            at=_moment(seen),
            trade_no=str(seen.get("channel_trade_no") or ""),
            orders=frozenset(str(number) for number in numbers if number),
            payer=payer if payer and payer.strip("*") else "",
        )
    return faces


def payer_as_billed(payer: str) -> str:
    """Our payer as bill lines keep theirs: a card number masked at its source stays, of an id its last four do."""
    if not payer or "*" in payer:
        return payer
    return f"****{payer[-4:]}" if len(payer) > 8 else "****"


def _moment(seen: Mapping[str, Any]) -> datetime | None:
    value = seen.get("occurred_at")
    return parse_datetime(value) if isinstance(value, str) else value


def _compare(item: OpenItem, other: OpenItem, one: Face, two: Face) -> Suggestion:
    reasons: list[Reason] = [_amount_reason(one.amount, two.amount)]
    if one.at and two.at:
        apart = abs((one.at - two.at).total_seconds())
        if one.at.replace(second=0, microsecond=0) == two.at.replace(second=0, microsecond=0):
            reasons.append(Reason.MINUTE)
        elif apart <= 600:
            reasons.append(Reason.TEN_MINUTES)
    if one.trade_no and one.trade_no == two.trade_no:
        reasons.append(Reason.TRADE_NO)
    if one.orders & two.orders:
        reasons.append(Reason.ORDER_NO)
    elif number := number_reason(one.key, two.key):
        reasons.append(number)
    if one.payer and one.payer == two.payer:
        reasons.append(Reason.PAYER)
    score = min(100, sum(WEIGHTS[reason] for reason in reasons))
    return Suggestion(other, score, tuple(reasons), one.amount == two.amount)


def _amount_reason(one: int, two: int) -> Reason:
    if one == two:
        return Reason.AMOUNT
    return Reason.SIGN if one == -two else Reason.CENTS


def number_reason(one: str, two: str) -> Reason | None:
    """How two numbers that are not equal resemble each other, if they do."""
    for holds, reason in _NUMBER_CHECKS:
        if holds(_plain(one), _plain(two)):
            return reason
    return None


def _plain(number: str) -> str:
    return "".join(number.split()).upper().lstrip("0")


def _is_cut_off(one: str, two: str) -> bool:
    short, long = sorted((one, two), key=len)
    return len(short) >= SHORTEST_PART and len(short) < len(long) and (long.startswith(short) or long.endswith(short))


def _is_swapped(one: str, two: str) -> bool:
    off = _where_different(one, two)
    return len(off) == 2 and off[1] == off[0] + 1 and (one[off[0]], one[off[1]]) == (two[off[1]], two[off[0]])


def _is_one_off(one: str, two: str) -> bool:
    return len(one) >= SHORTEST_PART and len(_where_different(one, two)) == 1


def _where_different(one: str, two: str) -> list[int]:
    """Positions at which two numbers of one length differ; none for numbers of different lengths."""
    return [at for at, (a, b) in enumerate(zip(one, two, strict=True)) if a != b] if len(one) == len(two) else []


_NUMBER_CHECKS: Final[tuple[tuple[Callable[[str, str], bool], Reason], ...]] = (
    (lambda one, two: bool(one) and one == two, Reason.SPELLING),
    (_is_cut_off, Reason.TRUNCATED),
    (_is_swapped, Reason.SWAPPED),
    (_is_one_off, Reason.ONE_DIGIT),
)
