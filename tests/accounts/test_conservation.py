"""Whatever is booked in whatever order: no cent appears or vanishes, nothing is booked twice, closed days stay."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from random import Random
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from payops.accounts import buffering, modes, selectors, services
from payops.accounts.choices import LINE_EVENTS, DayState, Event, PostingMode
from payops.accounts.corrections import RightLine, correction_propose
from payops.accounts.expressions import imbalance, parse_expression
from payops.accounts.models import Account, AccountingDay, Deduction, Freeze, PostingKey, PostingRule, Voucher
from payops.accounts.posting import Posting
from payops.accounts.rules import compile_rule
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from payops.identity.models import User
from tests.accounts.conftest import MONDAY, OWNERS, set_up_ledger
from tests.accounts.conservation import Books
from tests.examples import examples

# A failing programme is short enough to read; shrinking it would take minutes.
SLOW = settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
MONEY = st.integers(-(10**9), 10**9)
VARIABLES = ("A", "X", "F", "Fd", "S", "K", "R", "D", "P")
LAST_DAY = MONDAY + dt.timedelta(days=3)
RULE_EVENTS = [event for event in Event if event not in LINE_EVENTS]
HOT_EVENTS = [Event.PAYMENT, Event.VOID, Event.TOPUP, Event.CLEARING_NET]
HOT = [(account_no, event) for account_no in ("300101-wx", "220201-M-A", "602101") for event in HOT_EVENTS]
"""Where a posting mode may change in these programmes: account and business code."""

postings = st.builds(
    lambda event, source, merchant, channel, amounts: Posting(
        event,
        "random",
        source,
        dict(zip(VARIABLES, amounts, strict=True)),
        {**OWNERS, "merchant": merchant, "channel": channel},
        MONDAY,
    ),
    st.one_of(st.sampled_from(RULE_EVENTS), st.sampled_from(HOT_EVENTS)),
    st.integers(1, 40),
    st.sampled_from(["M-A", "M-B"]),
    st.sampled_from(["wx", "up"]),
    st.lists(MONEY, min_size=len(VARIABLES), max_size=len(VARIABLES)),
)
picks = st.integers(0, 10**6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), postings),
        st.tuples(st.just("post_late"), postings),
        st.tuples(st.just("post_many"), st.lists(postings, max_size=8)),
        st.tuples(st.just("crash"), st.lists(postings, max_size=4)),
        st.tuples(st.just("mode"), st.tuples(st.sampled_from(HOT), st.sampled_from(PostingMode.values))),
        st.tuples(st.just("drain"), st.integers(1, 5)),
        st.tuples(st.just("crash_drain"), st.integers(1, 5)),
        st.tuples(st.just("freeze"), st.tuples(picks, st.integers(1, 10**9))),
        st.tuples(st.just("release"), picks),
        st.tuples(st.just("deduct"), st.tuples(st.sampled_from(["M-A", "M-B"]), st.integers(1, 10**9))),
        st.tuples(st.just("collect"), st.none()),
        st.tuples(st.just("correct"), st.tuples(picks, picks, picks)),
        st.tuples(st.just("reverse"), picks),
        st.tuples(st.just("cut_off"), st.none()),
        st.tuples(st.just("close"), st.none()),
    ),
    min_size=4,
    max_size=16,
)
mode_changes = st.lists(st.tuples(st.sampled_from(HOT), st.sampled_from(["buffered", "summary"])), max_size=6)


class CrashError(Exception):
    """Stands for a process killed inside its transaction."""


def key_of(posting: Posting) -> dict[str, int]:
    return {"event": posting.event, "source_id": posting.source_id}


@contextmanager
def unless(*codes: str) -> Iterator[None]:
    """What the ledger may refuse in these books, by the beginning of its code; anything else is a failure."""
    try:
        with transaction.atomic():
            yield
    except PayopsError as error:
        if not error.code.startswith(codes):
            raise


def cut_off_day() -> dt.date | None:
    return AccountingDay.objects.filter(state=DayState.CUT_OFF).order_by("day").values_list("day", flat=True).first()


def post(posting: Posting, day: dt.date | None = None) -> None:
    with suppress(PayopsError) if PostingKey.objects.filter(**key_of(posting)).exists() else nullcontext():
        services.post(posting, day=day)


def crash(action: Callable[[], Any]) -> None:
    with suppress(CrashError), transaction.atomic():
        action()
        raise CrashError


def change_mode(place: tuple[str, Event], mode: str) -> None:
    with unless("modes.unchanged"):
        modes.mode_set(
            account=Account.objects.get(account_no=place[0]),
            event=place[1],
            mode=mode,
            effective_day=selectors.open_day() + dt.timedelta(days=1),
            by="bob",
        )


def freeze(pick: int, amount: int) -> None:
    accounts = Account.objects.order_by("id")
    services.freeze_place(
        account=accounts[pick % len(accounts)],
        amount=amount,
        reason="court order",
        source_kind="court",
        source_id=pick,
        created_by="bob",
    )


def release(pick: int) -> None:
    slips = Freeze.objects.filter(remaining__gt=0, deduction=None).order_by("id")
    if slips:
        slip = slips[pick % len(slips)]
        services.freeze_release(freeze=slip, amount=1 + pick % slip.remaining)


def deduct(merchant: str, amount: int) -> None:
    services.deduct(
        account=Account.objects.get(account_no=f"220202-{merchant}"),
        amount=amount,
        event=Event.RECOVERY_COLLECTED,
        variable="D",
        owners={"merchant": merchant},
        source_kind="recovery",
        source_id=Deduction.objects.count() + 1,
        business_date=MONDAY,
        reason="chargeback",
        created_by="bob",
    )


def correct(pick: int, line: int, place: int, *, whole: bool = False) -> None:
    """Somebody proposes, somebody else approves; what the rules of corrections refuse is refused."""
    vouchers = list(Voucher.objects.for_days(MONDAY, LAST_DAY).order_by("id"))
    if not vouchers:
        return
    voucher = vouchers[pick % len(vouchers)]
    entries = list(selectors.voucher_entries(voucher.pk))
    wrong = entries[line % len(entries)]
    accounts = Account.objects.order_by("id")
    alice, bob = (User.objects.get(username=name) for name in ("alice", "bob"))
    with unless("corrections.", "approvals.already_pending"):
        correction = correction_propose(
            voucher_id=voucher.pk,
            user=alice,
            reason="wrong account",
            entry_ids=() if whole else [wrong.pk],
            right=() if whole else [RightLine(accounts[place % len(accounts)].account_no, wrong.amount)],
            whole=whole,
        )
        request_approve(request_id=correction.approval_id, checker=bob, note="")


def cut_off() -> None:
    if selectors.open_day() < LAST_DAY:
        services.day_cut_off(selectors.open_day())


def close() -> None:
    if day := cut_off_day():
        services.close_day(day)


STEPS: dict[str, Callable[[Any], Any]] = {
    "post": post,
    "post_late": lambda posting: post(posting, cut_off_day()),
    "post_many": lambda batch: services.post_many(batch, chunk_size=3),
    "crash": lambda batch: crash(lambda: services.post_many(batch)),
    "mode": lambda value: change_mode(*value),
    "drain": lambda limit: buffering.drain(limit=limit),
    "crash_drain": lambda limit: crash(lambda: buffering.drain(limit=limit)),
    "freeze": lambda value: freeze(*value),
    "release": release,
    "deduct": lambda value: deduct(*value),
    "collect": lambda _value: services.deductions_collect(),
    "correct": lambda value: correct(*value),
    "reverse": lambda pick: correct(pick, 0, 0, whole=True),
    "cut_off": lambda _value: cut_off(),
    "close": lambda _value: close(),
}


def take(step: tuple[str, Any]) -> None:
    kind, value = step
    STEPS[kind](value)


@pytest.mark.django_db
@SLOW
@given(first_modes=mode_changes, program=steps)
def test_random_programmes_of_all_that_is_done_to_the_books_conserve_every_cent(
    alice: Any, bob: Any, first_modes: list[Any], program: list[tuple[str, Any]]
) -> None:
    with transaction.atomic():
        set_up_ledger()
        books = Books(MONDAY)
        for change in first_modes:
            change_mode(*change)
        cut_off()
        for step in program:
            take(step)
            books.check()
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
@settings(max_examples=examples(50), deadline=None, suppress_health_check=list(HealthCheck))
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


# --- several connections, some of them killed ---


class Worker:
    """One connection that works through its own list; started again with the same list after it was killed."""

    def __init__(self, number: int, random: Random) -> None:
        self.postings = [
            Posting(
                random.choice(HOT_EVENTS),
                "race",
                number * 1000 + n,
                {
                    "A": random.randint(1, 1000) * random.choice([1, 1, -1]),
                    "X": random.randint(0, 9),
                    "F": random.randint(0, 9),
                },
                {**OWNERS, "merchant": random.choice(["M-A", "M-B"])},
                MONDAY,
            )
            for n in range(40)
        ]
        self.random = random
        self.pid = 0
        self.killed = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Until every posting of the list is booked, or something happens that no killed connection explains."""
        try:
            self._work()
        except Exception as error:
            self.error = error
        finally:
            connection.close()

    def _work(self) -> None:
        todo = list(self.postings)
        while todo:
            batch = todo[: self.random.choice([1, 1, 5, 20])]
            try:
                self._book(batch)
            except (OperationalError, InterfaceError):
                # Killed: whether the batch was committed nobody knows, so it is simply given again.
                self.killed += 1
                connection.close()
            except PayopsError as error:
                if not error.context.get("retryable"):
                    raise
            else:
                todo = todo[len(batch) :]

    def _book(self, batch: list[Posting]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self.pid = cursor.fetchone()[0]
        with transaction.atomic():
            services.post_many(batch, chunk_size=3)
            if self.random.random() < 0.5:
                freeze(self.random.randrange(10**6), 5)
        buffering.drain(limit=self.random.randint(1, 9))


def kill_now_and_then(workers: list[Worker], stop: threading.Event, random: Random) -> None:
    while not stop.wait(0.03):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = %s AND datname = current_database()",
                [random.choice(workers).pid],
            )
    connection.close()


def days_go_by(stop: threading.Event) -> None:
    while selectors.open_day() < LAST_DAY and not stop.wait(0.2):
        cut_off()
        close()
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [1, 2])
def test_connections_killed_anywhere_lose_nothing_and_book_nothing_twice(committed_ledger: dt.date, seed: int) -> None:
    """Three workers post, freeze and drain, days are cut off and closed, and somebody keeps killing connections."""
    for place in HOT[::2]:
        change_mode(place, "buffered" if place[0] != "602101" else "summary")
    cut_off()
    workers = [Worker(number, Random(seed * 10 + number)) for number in range(1, 4)]
    stop = threading.Event()
    helpers = [
        threading.Thread(target=kill_now_and_then, args=(workers, stop, Random(seed))),
        threading.Thread(target=days_go_by, args=(stop,)),
    ]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in [*helpers, *threads]:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "somebody waits for ever"
    stop.set()
    for helper in helpers:
        helper.join(60)
    assert [worker.error for worker in workers] == [None] * 3
    assert sum(worker.killed for worker in workers), "nobody was killed"
    Books(MONDAY).check()
    assert_booked_once([posting for worker in workers for posting in worker.postings])
    buffering.drain_all()
    while (day := selectors.open_day()) < LAST_DAY:
        services.day_cut_off(day)
    while cut_off_day():
        close()
    Books(MONDAY).check()


def assert_booked_once(postings: list[Posting]) -> None:
    """Every posting made its voucher once, and the merchants have exactly what the list says."""
    expected = {(posting.event, posting.source_id) for posting in postings}
    assert set(PostingKey.objects.values_list("event", "source_id")) == expected
    for merchant in ("M-A", "M-B"):
        mine = [posting for posting in postings if posting.owners["merchant"] == merchant]
        pending = sum(
            {Event.PAYMENT: a["A"], Event.VOID: -a["A"], Event.CLEARING_NET: a["X"] - a["A"]}.get(posting.event, 0)
            for posting in mine
            for a in [posting.amounts]
        )
        assert selectors.balance_of("2202.01", "merchant", merchant) == pending
