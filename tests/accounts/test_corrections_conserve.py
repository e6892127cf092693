"""Random corrections over random vouchers and days: no cent appears or vanishes, and nothing is corrected twice."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from payops.accounts import selectors, services, verify
from payops.accounts.choices import DayState, DocumentState, Event
from payops.accounts.corrections import RightLine, correction_propose
from payops.accounts.models import Account, AccountingDay, CorrectedEntry, Correction, CorrectionVoucher, Entry, Voucher
from payops.accounts.posting import Posting
from payops.approvals.services import request_approve, request_reject
from payops.core.errors import PayopsError
from tests.accounts.conftest import OWNERS, set_up_ledger
from tests.examples import examples

FIRST_DAY = dt.date(2025, 12, 29)
NEW_YEARS_EVE = dt.date(2025, 12, 31)
LAST_DAY = dt.date(2026, 1, 2)
PLACES = ("220201-M-A", "220201-M-B", "220202-M-A", "300101-wx", "300101-up", "602101")
EVENTS = (Event.PAYMENT, Event.REFUND_ACCEPTED_PENDING, Event.REFUND_TAKEN, Event.CLEARING_NET, Event.RECEIPT)


def post(source: int, event: Event, amount: int, fee: int) -> None:
    amounts = {"A": amount, "X": 0, "F": fee, "R": amount}
    services.post(Posting(event, "random", source, amounts, OWNERS, FIRST_DAY))


vouchers = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(EVENTS), st.integers(1, 10**6), st.integers(0, 10**4)),
    min_size=6,
    max_size=14,
    unique_by=lambda each: each[:2],
)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("move"),
            st.integers(0, 40),
            st.sampled_from("DC"),
            st.integers(1, 3),
            st.lists(st.tuples(st.sampled_from(PLACES), st.integers(1, 100)), min_size=1, max_size=3),
            st.sampled_from(["approve", "approve", "reject", "wait"]),
        ),
        st.tuples(st.just("reverse"), st.integers(0, 40), st.sampled_from(["approve", "wait"])),
        st.tuples(st.just("approve_oldest")),
        st.tuples(st.just("next_day"), st.booleans()),
    ),
    min_size=8,
    max_size=16,
)


def take(step: tuple[Any, ...], alice: Any, bob: Any) -> None:
    kind, *values = step
    if kind == "next_day":
        next_day(close=values[0])
    elif kind == "approve_oldest":
        waiting = Correction.objects.filter(state=DocumentState.PROPOSED).order_by("pk").first()
        if waiting:
            request_approve(request_id=waiting.approval_id, checker=bob)
    else:
        voucher = pick(values[0])
        proposed = (
            correction_propose(voucher_id=voucher.pk, user=alice, reason="random", whole=True)
            if kind == "reverse"
            else move(voucher, *values[1:4], user=alice)
        )
        if values[-1] == "approve":
            request_approve(request_id=proposed.approval_id, checker=bob)
        elif values[-1] == "reject":
            request_reject(request_id=proposed.approval_id, checker=bob, note="no")


def move(voucher: Voucher, side: str, mask: int, places: list[tuple[str, int]], *, user: Any) -> Correction:
    """Some of the lines of one side to some of the places; the masks leave corrected lines in, to be refused."""
    entries = [entry for entry in selectors.voucher_entries(voucher.pk) if entry.side == side]
    ticked = [entry for bit, entry in enumerate(entries) if mask >> bit & 1] or entries
    right = split(sum(entry.amount for entry in ticked), places)
    return correction_propose(
        voucher_id=voucher.pk, entry_ids=[entry.pk for entry in ticked], right=right, user=user, reason="random"
    )


def next_day(*, close: bool) -> None:
    day = selectors.open_day()
    if day < LAST_DAY:
        services.day_cut_off(day)
    while close and (cut_off := AccountingDay.objects.filter(state=DayState.CUT_OFF).order_by("day").first()):
        services.close_day(cut_off.day)


def pick(number: int) -> Voucher:
    """One of the vouchers so far, corrections' own among them."""
    booked = list(Voucher.objects.for_days(FIRST_DAY, selectors.open_day()).order_by("id"))
    return booked[number % len(booked)]


def split(total: int, parts: list[tuple[str, int]]) -> list[RightLine]:
    """The total over the accounts in proportion, the last one taking the rest."""
    whole = sum(weight for _account, weight in parts)
    amounts = [total * weight // whole for _account, weight in parts[:-1]]
    return [
        RightLine(account, amount)
        for (account, _weight), amount in zip(parts, [*amounts, total - sum(amounts)], strict=True)
    ]


def check_books() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    assert verify.ledger_verify().problems == []
    newest = selectors.open_day()
    assert all(total.balanced for total in selectors.trial_balance_totals(selectors.trial_balance(newest)))
    entries = {entry.pk: entry for entry in Entry.objects.for_days(FIRST_DAY, newest)}
    for account in Account.objects.select_related("subject"):
        mine = [entry for entry in entries.values() if entry.account_id == account.pk]
        signed = sum(e.amount if e.side == account.subject.normal_side else -e.amount for e in mine)
        assert account.balance == signed, account.account_no
    check_links(entries)


def check_links(entries: dict[int, Entry]) -> None:
    """Every red line answers one wrong line, and a voucher is corrected or reversed, never both."""
    links = list(CorrectedEntry.objects.select_related("correction"))
    taken, taking = [link.entry_id for link in links], [link.red_entry_id for link in links]
    assert len(set(taken)) == len(taken)
    assert len(set(taking)) == len(taking)
    assert not set(taken) & set(taking)
    assert {pk for pk, entry in entries.items() if entry.amount < 0} <= set(taking)
    for link in links:
        wrong, back = entries[link.entry_id], entries[link.red_entry_id]
        sign = {wrong.side: 1}.get(back.side, -1)
        assert (wrong.account_id, wrong.amount + sign * back.amount) == (back.account_id, 0)
    reversed_ones = set(CorrectionVoucher.objects.filter(reverses__isnull=False).values_list("reverses", flat=True))
    for link in links:
        whole = link.correction.kind in {"same_day_reversal", "red_reversal"}
        assert (link.entry_id - link.entry_id % 1000 in reversed_ones) == whole
    booked = Correction.objects.filter(state=DocumentState.BOOKED)
    assert {link.correction_id for link in links} == set(booked.values_list("pk", flat=True))


@pytest.mark.django_db
@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(start=st.sampled_from([FIRST_DAY, NEW_YEARS_EVE]), first=vouchers, programme=steps)
def test_random_corrections_keep_the_books_and_correct_nothing_twice(
    alice: Any, bob: Any, start: dt.date, first: list[Any], programme: list[Any]
) -> None:
    with transaction.atomic():
        set_up_ledger(start)
        for each in first:
            post(*each)
        for step in programme:
            with suppress(PayopsError), transaction.atomic():
                take(step, alice, bob)
        check_books()
        transaction.set_rollback(True)
