"""Random residues: whatever is split, lumped, taken back or mistyped, nothing is claimed twice and no cent is lost."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.identity.models import User
from payops.orders.models import Transaction
from payops.reconciliation.choices import GroupBy
from payops.reconciliation.matching.hand import hand_match_propose
from payops.reconciliation.matching.suggest import suggestions_of
from payops.reconciliation.matching.undo import hand_match_undo_propose
from payops.reconciliation.models import MatchGroup, MatchLink, MatchMember, OpenItem, RunVoucher
from tests.examples import examples
from tests.reconciliation.builders import MON, TUE, WED, Bill, Town, found, line, live, pay, reverse
from tests.reconciliation.test_matching import part, rule

DAYS = (MON, TUE, WED)
FATES = (
    "matched",
    "split",
    "split_later",
    "lump",
    "taken_back",
    "mistyped",
    "mistyped_later",
    "own_only",
    "channel_only",
)


@dataclass
class Plan:
    """What is taken in and what the channel says, by day."""

    orders: dict[dt.date, list[dict]] = field(default_factory=lambda: {day: [] for day in DAYS})
    lines: dict[dt.date, list[Bill]] = field(default_factory=lambda: {day: [] for day in DAYS})
    mistyped: int = 0


def plan_of(fates: list[tuple[str, int, int]]) -> Plan:
    """Each fate with an amount (minor units) and the day it begins, 0 or 1."""
    plan = Plan()
    for number, (fate, amount, first) in enumerate(fates):
        _plan(plan, fate, f"{number:03}77", amount, DAYS[first], DAYS[first + 1])
    return plan


def _plan(plan: Plan, fate: str, number: str, amount: int, day: dt.date, later: dt.date) -> None:
    key, clock = f"R-{number}", "10:00:00"
    orders, lines = plan.orders, plan.lines
    if fate != "channel_only":
        orders[day].append(pay(number, day, clock, amount=f"{amount / 100:.2f}", channel_trade_no=f"T-{key}"))
    if fate == "matched":
        lines[day].append(line(key, day, clock, amount))
    elif fate in ("split", "split_later"):
        second = day if fate == "split" else later
        lines[day].append(part(f"A-{number}", key, day, amount - 7))
        lines[second].append(part(f"B-{number}", key, second, 7))
    elif fate == "lump":
        orders[day][-1]["merchant_order_no"] = f"MO-{number}"
        orders[day].append(pay(f"{number}9", day, clock, amount="1.00"))
        lines[day].append(part(f"L-{number}", f"MO-{number}", day, amount + 100))
    elif fate == "taken_back":
        orders[day].append(reverse(f"{number}8", number, day, amount=f"{amount / 100:.2f}", kind="void"))
    elif fate in ("mistyped", "mistyped_later"):
        plan.mistyped += 1
        when = day if fate == "mistyped" else later
        lines[when].append(line(key[:-1], when, clock, amount, order_no=key[:-1]))
    elif fate == "channel_only":
        lines[day].append(line(f"Z-{number}", day, clock, amount))


def nothing_is_claimed_twice() -> None:
    members = list(MatchMember.objects.filter(is_live=True).values_list("side", "row_id"))
    links = list(MatchLink.objects.values_list("transaction_id", "bill_line_id"))
    claims = Counter(members)
    claims.update(("own", own) for own, _line in links)
    claims.update(("channel", line_id) for _own, line_id in links)
    assert not [claim for claim, times in claims.items() if times > 1]
    waiting = OpenItem.objects.filter(state__in=("in_doubt", "definite")).exclude(side="pair")
    waits = {(i.side, i.transaction_id if i.side == "own" else i.bill_line_id) for i in waiting}
    assert not waits & claims.keys()


def match_what_is_suggested(alice: User, bob: User) -> int:
    """Two people accept every suggestion that adds up; how many they were."""
    accepted = 0
    items = list(OpenItem.objects.filter(side="own", state="definite").select_related("contract").order_by("pk"))
    for item in items:
        exact = [other.item.pk for other in suggestions_of(item) if other.exact]
        try:
            request = hand_match_propose(item_ids=[item.pk, *exact[:1]], reason="mistyped", maker=alice)
        except PayopsError:
            continue
        request_approve(request_id=request.pk, checker=bob)
        accepted += 1
    return accepted


def take_all_back(alice: User, bob: User) -> None:
    """Two people take every match by hand back, the latest first."""
    for group in MatchGroup.objects.filter(kind="by_hand", end__isnull=True).order_by("-pk"):
        request = hand_match_undo_propose(group_id=group.pk, reason="not mistyped", maker=alice)
        request_approve(request_id=request.pk, checker=bob)


FATE = st.tuples(st.sampled_from(FATES), st.integers(1_000, 90_000), st.integers(0, 1))


@pytest.mark.django_db
@given(fates=st.lists(FATE, min_size=1, max_size=9), by=st.sampled_from([GroupBy.REQUEST, GroupBy.NONE]))
@settings(max_examples=examples(9), deadline=None, suppress_health_check=list(HealthCheck))
def test_random_residues(town: Town, alice: User, bob: User, fates: list[tuple[str, int, int]], by: GroupBy) -> None:
    with transaction.atomic():
        _live(town, alice, bob, fates, by)
        transaction.set_rollback(True)


def _live(town: Town, alice: User, bob: User, fates: list[tuple[str, int, int]], by: GroupBy) -> None:
    rule(town, by)
    plan = plan_of(fates)
    for day in DAYS:
        town.day(day, plan.orders[day], plan.lines[day])
        nothing_is_claimed_twice()
    before = (live(), town.surplus, town.shortage)
    match_what_is_suggested(alice, bob)
    town.books_agree()
    nothing_is_claimed_twice()
    take_all_back(alice, bob)
    town.books_agree()
    nothing_is_claimed_twice()
    assert (live(), town.surplus, town.shortage) == before
    match_what_is_suggested(alice, bob)
    town.books_agree()
    nothing_is_claimed_twice()
    for day in DAYS:
        again = town.run(day)
        assert RunVoucher.objects.filter(run=again).count() == 0
        told = found(again)
        assert found(town.run(day)) == told
        nothing_is_claimed_twice()
    assert town.clearing == 0
    assert town.surplus - town.shortage == sum(d for _key, _state, d in live())
    own = sum(row.sign * row.amount for row in Transaction.objects.for_days(MON, WED).filter(contract=town.contract))
    channel = sum(entry.amount for lines in plan.lines.values() for entry in lines)
    assert town.surplus - town.shortage == channel - own
