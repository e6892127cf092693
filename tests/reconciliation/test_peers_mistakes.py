"""Mistakes other systems made, where no test of ours shows by its name that we do not.

docs/reconciliation.md lists all of them with the test that proves each.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import models

from payops.approvals.services import request_approve
from payops.channels.bills.selectors import line_range
from payops.core.errors import PayopsError
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import action_propose
from payops.reconciliation import services
from payops.reconciliation.models import OpenItem, ReconRun
from tests.reconciliation.builders import MON, TUE, Town, booked, found, line, live, pay, reverse, stored


def test_a_day_whose_run_failed_can_be_run_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.orders(pay("1", MON))
    town.close(MON)
    town.bill(MON, line("R-1", MON), line("R-9", MON, amount=700))
    with monkeypatch.context() as patched:
        patched.setattr(services, "_equation", lambda _run, _discount: {"holds": False, "left": 1})
        with pytest.raises(PayopsError) as caught:
            services.run_reconcile(contract=town.contract, day=MON)
    assert caught.value.code == "recon.equation"
    assert not ReconRun.objects.exists()
    assert found(town.run(MON)) == [("channel_only", "R-9", 700)]


def test_what_waits_from_yesterday_and_comes_back_with_another_amount_debits_nobody_in_full(town: Town) -> None:
    town.day(MON, [pay("1", MON, "22:55:00")])
    town.day(TUE, lines=[line("R-1", TUE, "00:00:30", amount=9_000)])
    assert live() == [("R-1", "definite", -1_000)]
    assert (town.shortage, town.pending()) == (1_000, 10_000)


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("loss", [line("R-1", MON, amount=9_000)]),
        ("recover", [line("R-1", MON, amount=9_000)]),
        ("income", [line("R-1", MON, amount=11_000)]),
        ("loss", []),
    ],
    ids=["loss", "recovery", "income", "loss of all"],
)
def test_what_is_decided_about_a_difference_never_overwrites_the_orders_amount(
    town: Town, alice: Any, bob: Any, kind: str, lines: list[Any]
) -> None:
    town.day(MON, [pay("1", MON)], lines)
    before = stored("1")
    action = action_propose(case_id=Discrepancy.objects.get().pk, kind=kind, params={}, user=alice, note="n")
    request_approve(request_id=action.approval_id, checker=bob)
    after = stored("1")
    for name in ("amount", "fee", "currency", "status", "own_date", "expected_cost", "effective_at"):
        assert getattr(after, name) == getattr(before, name), name


def test_a_surplus_is_a_difference_as_much_as_a_shortage(town: Town) -> None:
    town.day(MON, [pay("1", MON), pay("2", MON)], [line("R-1", MON, amount=10_100), line("R-2", MON, amount=9_900)])
    kept = Discrepancy.objects.order_by("suspense").values_list("kind", "state", "suspense")
    assert list(kept) == [("amount_mismatch", "open", -100), ("amount_mismatch", "open", 100)]
    assert (town.surplus, town.shortage) == (100, 100)


def test_refunds_are_reconciled_each_by_itself(town: Town) -> None:
    orders = [pay("1", MON), reverse("2", "1", MON), reverse("3", "1", MON, amount="10.00")]
    run = town.day(MON, orders, [line("R-1", MON), line("R-2", MON, "12:00:00", 4_000, kind="refund")])
    assert found(run) == [("own_only", "R-3", 1_000)]
    assert town.surplus == 1_000


def test_one_transaction_takes_one_line_however_many_carry_its_key(town: Town) -> None:
    lines = [line("R-1", MON, trade_no=f"T-{n}") for n in range(3)]
    run = town.day(MON, [pay("1", MON)], lines)
    run = town.day(TUE, lines=[line("R-1", TUE, trade_no="T-3")])
    assert found(run) == [("duplicate_channel", "R-1", 10_000)]
    assert (town.surplus, town.clearing) == (30_000, 0)


def test_more_than_five_thousand_candidates_on_each_side_are_one_run(town: Town) -> None:
    many = 5_200
    town.orders(*(pay(f"{n}", MON, amount="1.00") for n in range(many)))
    town.close(MON)
    town.bill(MON, *(line(f"X-{n}", MON, amount=200) for n in range(many)))
    run = town.run(MON)
    assert {kind: figures["count"] for kind, figures in run.results.items()} == {
        "matched": 0,
        "own_only": many,
        "channel_only": many,
    }
    assert (town.shortage, town.surplus, town.clearing) == (many * 100, many * 200, 0)
    assert booked(town.run(MON)) == {}


def test_no_amount_is_a_float_or_a_decimal() -> None:
    ours = [model for model in apps.get_models() if model.__module__.startswith("payops.")]
    fractions = [
        f"{model.__name__}.{field.name}"
        for model in ours
        for field in model._meta.get_fields()
        if isinstance(field, models.FloatField | models.DecimalField)
    ]
    assert [name for name in fractions if "rate" not in name.lower()] == []


def test_a_line_stored_under_one_file_is_never_shown_for_another(town: Town) -> None:
    town.day(MON, [pay("1", MON)], [line("R-1", MON)])
    first = ReconRun.objects.get().file
    second = town.bill(MON, line("R-1", MON), line("R-2", MON, amount=500))
    run = town.run(MON)
    assert (run.file_id, run.channel_count) == (second.pk, 2)
    lo, hi = line_range(second)
    assert lo <= OpenItem.objects.get(match_key="R-2").bill_line_id < hi
    assert line_range(first)[1] <= lo or line_range(first)[0] >= hi
