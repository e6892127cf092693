"""Whatever is booked in whatever order: no cent appears or vanishes, nothing is booked twice, closed days stay."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from payops.accounts import selectors, services, verify
from payops.accounts.choices import DayState, Event
from payops.accounts.expressions import imbalance, parse_expression
from payops.accounts.models import AccountingDay, DayBalance, PostingKey, PostingRule, Voucher
from payops.accounts.posting import Posting
from payops.accounts.rules import compile_rule
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, OWNERS, set_up_ledger

# A failing programme is short enough to read; shrinking it would take minutes.
SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
MONEY = st.integers(-(10**9), 10**9)
VARIABLES = ("A", "X", "F", "S", "K", "R", "D", "P")
LAST_DAY = MONDAY + dt.timedelta(days=3)

postings = st.builds(
    lambda event, source, merchant, channel, amounts: Posting(
        event,
        "random",
        source,
        dict(zip(VARIABLES, amounts, strict=True)),
        {**OWNERS, "merchant": merchant, "channel": channel},
        MONDAY,
    ),
    st.sampled_from(list(Event)),
    st.integers(1, 40),
    st.sampled_from(["M-A", "M-B"]),
    st.sampled_from(["wx", "up"]),
    st.lists(MONEY, min_size=len(VARIABLES), max_size=len(VARIABLES)),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), postings),
        st.tuples(st.just("post_many"), st.lists(postings, max_size=8)),
        st.tuples(st.just("crash"), st.lists(postings, max_size=4)),
        st.tuples(st.just("cut_off"), st.none()),
        st.tuples(st.just("close"), st.none()),
    ),
    max_size=12,
)


class CrashError(Exception):
    """Stands for a process killed inside its transaction."""


def key_of(posting: Posting) -> dict[str, int]:
    return {"event": posting.event, "source_id": posting.source_id}


def take(step: tuple[str, Any]) -> None:
    kind, value = step
    if kind == "post":
        with suppress(PayopsError) if PostingKey.objects.filter(**key_of(value)).exists() else nullcontext():
            services.post(value)
    elif kind == "post_many":
        services.post_many(value, chunk_size=3)
    elif kind == "crash":
        with suppress(CrashError), transaction.atomic():
            services.post_many(value)
            raise CrashError
    elif kind == "cut_off" and selectors.open_day() < LAST_DAY:
        services.day_cut_off(selectors.open_day())
    elif kind == "close":
        day = AccountingDay.objects.filter(state=DayState.CUT_OFF).order_by("day").first()
        if day:
            services.close_day(day.day)


def check_books(sealed: dict[dt.date, str]) -> None:
    assert verify.ledger_verify().problems == []
    newest = selectors.open_day()
    for total in selectors.trial_balance_totals(selectors.trial_balance(newest)):
        assert total.balanced
    assert PostingKey.objects.count() == Voucher.objects.for_days(MONDAY, newest).count()
    for row in AccountingDay.objects.filter(state=DayState.CLOSED):
        assert sealed.setdefault(row.day, row.seal) == row.seal
        following = DayBalance.objects.filter(day=row.day + dt.timedelta(days=1))
        closing = dict(DayBalance.objects.filter(day=row.day).values_list("account", "closing"))
        for balance in following:
            assert balance.opening == closing.get(balance.account_id, 0)
        assert not [finding for finding in row.findings.all() if finding.check_name != "customers_money"]


@pytest.mark.django_db
@SLOW
@given(program=steps)
def test_random_programmes_of_postings_crashes_and_days_conserve_every_cent(program: list[tuple[str, Any]]) -> None:
    with transaction.atomic():
        set_up_ledger()
        sealed: dict[dt.date, str] = {}
        for step in program:
            take(step)
            check_books(sealed)
        transaction.set_rollback(True)


@pytest.mark.django_db
@SLOW
@given(batch=st.lists(postings, max_size=20))
def test_many_at_once_and_one_by_one_end_in_the_same_balances(batch: list[Posting]) -> None:
    def balances(bulk: bool) -> list[Any]:
        with transaction.atomic():
            set_up_ledger()
            if bulk:
                services.post_many(batch, chunk_size=7)
            else:
                for posting in batch:
                    take(("post", posting))
            rows = [(row.code, row.currency, row.debit, row.credit) for row in selectors.trial_balance(MONDAY)]
            transaction.set_rollback(True)
        return rows

    assert balances(True) == balances(False)


@pytest.mark.django_db
def test_every_seeded_rule_balances_symbolically(ledger: dt.date) -> None:
    for rule in PostingRule.objects.all():
        assert imbalance((line["side"], parse_expression(line["amount"])) for line in rule.lines) == {}


@pytest.mark.django_db
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(MONEY, min_size=len(VARIABLES), max_size=len(VARIABLES)))
def test_every_seeded_rule_balances_for_any_amounts(ledger: dt.date, values: list[int]) -> None:
    amounts = dict(zip(VARIABLES, values, strict=True))
    for rule in PostingRule.objects.all():
        compiled = compile_rule(rule.event, rule.version, rule.lines)
        signed = [
            amount if line.side == "D" else -amount
            for line, amount in zip(compiled.lines, compiled.amounts(amounts), strict=True)
        ]
        assert sum(signed) == 0
