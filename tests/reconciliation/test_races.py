"""Two runs at once, and runs beside people: the books stay consistent (real transactions, real threads)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from payops.accounts.models import Voucher
from payops.approvals.services import request_approve
from payops.channels.bills import services as bills
from payops.channels.models import BillFile
from payops.core.errors import PayopsError
from payops.core.ids import id_range
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose
from payops.identity.models import User
from payops.orders import services as orders
from payops.orders.intake import load
from payops.orders.intake.source import Received
from payops.reconciliation import services
from payops.reconciliation.models import OpenItem, ReconRun
from payops.reconciliation.services import run_reconcile
from tests.reconciliation.builders import MON, TUE, WED, Town, booked, build_town, found, line, live, pay, stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def town(transactional_db: None) -> Town:
    made = build_town()
    made.orders(pay("1", MON), pay("2", MON, "22:55:00"), pay("3", MON, status="unknown"), pay("4", MON))
    made.close(MON)
    made.bill(MON, line("R-1", MON), line("R-3", MON), line("R-9", MON, amount=700))
    return made


def at_once(*works: Callable[[], object]) -> list[object]:
    """Runs the works in threads started together; returns results, or the errors they ended with."""
    gate = threading.Barrier(len(works))
    results: list[object] = [None] * len(works)

    def run(position: int) -> None:
        gate.wait()
        try:
            results[position] = works[position]()
        except Exception as error:
            results[position] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_two_runs_of_one_day_at_once_take_turns_and_book_once(town: Town) -> None:
    results = at_once(*[lambda: run_reconcile(contract=town.contract, day=MON)] * 2)
    errors = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(error, PayopsError) for error in errors)

    runs = list(ReconRun.objects.order_by("run_no"))
    assert [run.run_no for run in runs] == list(range(1, 3 - len(errors)))
    assert ReconRun.objects.filter(is_current=True).count() == 1
    assert sum(bool(booked(run)) for run in runs) == 1
    assert found(runs[0]) == found(runs[-1])
    town.books_agree()
    assert town.surplus == 700 + 10_000


def test_runs_of_two_days_at_once_end_as_one_after_the_other(town: Town) -> None:
    town.close(TUE)
    town.bill(TUE, line("R-2", TUE, "00:00:30"), line("R-4", TUE))
    at_once(
        lambda: run_reconcile(contract=town.contract, day=MON),
        lambda: run_reconcile(contract=town.contract, day=TUE),
    )
    town.run(MON)
    town.run(TUE)
    # The lost order counts from the open Wednesday.
    assert found(town.day(WED)) == [("channel_cleared", "R-3", 10_000)]
    assert (live(), town.surplus, town.shortage, town.clearing) == ([("R-9", "definite", 700)], 700, 0, 0)


def test_a_killed_run_leaves_nothing_and_the_next_one_does_everything(town: Town) -> None:
    vouchers = Voucher.objects.in_range(*id_range(MON, TUE))
    before = vouchers.count()

    def killed() -> None:
        with transaction.atomic():
            run_reconcile(contract=town.contract, day=MON)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    (result,) = at_once(killed)
    assert isinstance(result, Exception)
    assert (ReconRun.objects.count(), OpenItem.objects.count(), vouchers.count()) == (0, 0, before)
    assert town.run(MON).run_no == 1


class Beside:
    """Work on another connection, begun in the middle of a run and waited for a moment."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work, self.result = work, None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.result = self.work()
        except Exception as error:
            self.result = error
        finally:
            connection.close()

    def begin(self) -> None:
        if self.thread.ident is None:
            self.thread.start()
            self.thread.join(1.5)


@pytest.fixture
def run_beside(town: Town, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], object]:
    """Monday is run, and once it has read its items the work is done beside it; what the work came to."""

    def run(work: Callable[[], object]) -> object:
        beside, real = Beside(work), services.load_before

        def load(*args: object) -> object:
            before = real(*args)
            beside.begin()
            return before

        monkeypatch.setattr(services, "load_before", load)
        try:
            run_reconcile(contract=town.contract, day=MON)
        finally:
            beside.thread.join(60)
            monkeypatch.setattr(services, "load_before", real)
        return beside.result

    return run


def proposed_income(alice: User) -> tuple[Discrepancy, int]:
    """The surplus of R-9 is to be taken to income: its case, and the request."""
    case = Discrepancy.objects.get(evidence__channel__match_key="R-9")
    return case, action_propose(case_id=case.pk, kind="income", params={}, user=alice, note="old").approval_id


def test_what_is_decided_while_its_day_is_run_again_stays_decided(
    town: Town, alice: User, bob: User, run_beside: Callable
) -> None:
    town.run(MON)
    case, request = proposed_income(alice)
    run_beside(lambda: request_approve(request_id=request, checker=bob))
    case.refresh_from_db()
    assert (OpenItem.objects.get(match_key="R-9").state, case.state, case.suspense) == ("resolved", "closed", 0)
    town.run(MON)
    assert town.surplus == 10_000


def test_a_run_that_would_change_what_is_decided_beside_it_is_refused_and_run_again(
    town: Town, alice: User, bob: User, run_beside: Callable
) -> None:
    town.run(MON)
    case, request = proposed_income(alice)
    town.bill(MON, line("R-1", MON), line("R-3", MON))
    with pytest.raises(PayopsError) as refused:
        run_beside(lambda: request_approve(request_id=request, checker=bob))
    assert (refused.value.code, refused.value.context["retryable"]) == ("recon.changed_meanwhile", True)

    town.run(MON)
    case.refresh_from_db()
    assert (case.state, case.suspense) == ("closed", 0)
    # The line is gone although its surplus is income already: that is a difference of its own.
    assert ("R-9", "definite", -700) in live()


def test_a_version_read_while_the_one_before_it_is_run_waits_for_a_person(town: Town, run_beside: Callable) -> None:
    before = BillFile.objects.get()

    def decided() -> str:
        with transaction.atomic():
            version = BillFile.objects.create(
                contract=town.contract,
                channel_date=MON,
                version=2,
                original_name="bill.csv",
                stored_path="bill.csv",
                sha256="0" * 64,
                size=1,
            )
            bills._decide(version)
            version.save()
        return version.state

    assert run_beside(decided) == "held"
    before.refresh_from_db()
    assert before.state == "accepted"


def test_orders_read_while_their_day_closes_belong_to_the_next(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.close(MON)
    town.orders(pay("5", TUE))
    beside, stream = Beside(lambda: town.close(TUE)), load._Load._stream

    def read_and_close(self: load._Load, received: Received) -> None:
        stream(self, received)
        beside.begin()

    monkeypatch.setattr(load._Load, "_stream", read_and_close)
    town.orders(pay("6", TUE), pay("7", TUE, status="unknown"))
    beside.thread.join(60)
    assert [stored(number).own_date for number in "567"] == [TUE, WED, WED]


def test_a_day_does_not_close_between_the_reading_of_an_order_for_it_and_its_booking(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, post = Beside(lambda: town.close(TUE)), load._Load._post

    def close_and_post(self: load._Load) -> None:
        beside.begin()
        post(self)

    monkeypatch.setattr(load._Load, "_post", close_and_post)
    town.orders(pay("6", TUE))
    beside.thread.join(60)
    assert Voucher.objects.for_days(TUE).filter(source_id=stored("6").pk).exists()


def test_a_day_does_not_close_while_a_lost_order_is_set_right_on_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, sync = Beside(lambda: town.close(TUE)), orders.open_list_sync

    def close_and_sync(ids: list[int]) -> None:
        beside.begin()
        sync(ids)

    monkeypatch.setattr(orders, "open_list_sync", close_and_sync)
    town.run(MON)
    beside.thread.join(60)
    recovered = stored("3")
    assert (recovered.own_date, recovered.status) == (TUE, "succeeded")
    assert Voucher.objects.for_days(TUE).filter(source_id=recovered.pk).exists()
