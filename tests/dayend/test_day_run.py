"""A day walked through its timetable: in order, once, waiting for what is missing, going on when it has come."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.models import JobRun
from payops.dayend import services
from payops.dayend.models import DayStep, Step
from payops.dayend.services import STEP_JOB, day_run
from payops.dayend.steps import TIMETABLE
from payops.discrepancies.choices import CaseKind
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.models import ReconRun
from payops.settlement.models import ClearedDay, ClearingItem, SettlementSheet
from payops.statements.models import Statement
from tests.dayend.days import CHANNELS, MON, TUE, WED, SampleDays, books, steps_of


@pytest.fixture
def broken_settlement(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`broken_settlement(error)` lets the settlement step fail with it, until called with None."""
    work = TIMETABLE[Step.SETTLEMENT]

    def fail_with(error: Exception | None) -> None:
        def do(context: Any) -> Any:
            if error is not None:
                raise error
            return work.do(context)

        monkeypatch.setitem(TIMETABLE, Step.SETTLEMENT, dataclasses.replace(work, do=do))

    return fail_with


def test_steps_run_in_the_order_of_the_timetable_each_as_a_job(days: SampleDays) -> None:
    days.all_of(MON)
    days.run(MON)
    jobs = JobRun.objects.filter(kind=STEP_JOB, business_date=MON).order_by("id")
    assert [job.params["step"] for job in jobs] == [step.value for step in Step]
    assert {job.state for job in jobs} == {"succeeded"}
    assert list(DayStep.objects.filter(day=MON).order_by("id").values_list("job_id", flat=True)) == [
        job.pk for job in jobs
    ]


def test_every_step_needs_only_steps_before_it(db: None) -> None:
    order = list(Step)
    assert list(TIMETABLE) == order
    for step, work in TIMETABLE.items():
        assert all(order.index(needed) < order.index(step) for needed in work.needs), step


def test_payouts_wait_for_finance_while_statements_are_made(days: SampleDays) -> None:
    days.all_of(MON)
    steps = days.run(MON)
    assert steps["payouts"].state == "waiting"
    assert "finance" in steps["payouts"].message
    assert {step.state for name, step in steps.items() if name != "payouts"} == {"done"}
    assert Statement.objects.exists()


def test_an_approved_day_ends_with_every_step_done(days: SampleDays) -> None:
    days.all_of(MON)
    steps = days.finish(MON)
    assert {name: step.state for name, step in steps.items()} == dict.fromkeys(Step.values, "done")
    assert steps["payouts"].summary["paid"] > 0


def test_a_finished_day_run_again_changes_nothing(days: SampleDays) -> None:
    days.all_of(MON)
    days.finish(MON)
    before, jobs = books(), JobRun.objects.count()
    days.run(MON)
    assert books() == before
    assert JobRun.objects.count() == jobs


def test_a_waiting_day_run_again_books_nothing_twice(days: SampleDays) -> None:
    days.all_of(MON)
    days.run(MON)
    before = books()
    days.run(MON)
    assert books() == before


def test_a_missing_bill_is_waited_for_by_name_and_the_other_channels_go_on(days: SampleDays) -> None:
    days.all_of(MON, without="ALIPAY")
    steps = days.run(MON)
    assert (steps["bills"].state, steps["bills"].summary) == ("waiting", {"missing": ["ALIPAY"]})
    assert "ALIPAY" in steps["bills"].message
    assert steps["runs"].summary["waiting"] == ["ALIPAY"]
    assert set(ReconRun.objects.values_list("contract__code", flat=True)) == {"WECHAT", "UNIONPAY"}
    assert set(ClearedDay.objects.values_list("contract__code", flat=True)) == {"WECHAT", "UNIONPAY"}


def test_settlement_waits_until_every_channel_is_cleared(days: SampleDays) -> None:
    days.all_of(MON, without="ALIPAY")
    days.run(MON)
    assert {name: state for name, state in steps_of(MON).items() if state == "pending"}.keys() == {
        "settlement",
        "balance_check",
        "payouts",
        "statements",
    }
    assert not SettlementSheet.objects.exists()


def test_a_late_bill_finishes_the_day_as_if_it_had_come_in_time(days: SampleDays) -> None:
    days.all_of(MON, without="ALIPAY")
    days.run(MON)
    days.bill("ALIPAY", MON)
    steps = days.finish(MON)
    assert {step.state for step in steps.values()} == {"done"}
    assert ClearedDay.objects.filter(own_date=MON).count() == 3


def test_skipping_what_is_waited_for_settles_the_others(days: SampleDays) -> None:
    days.all_of(MON, without="ALIPAY")
    steps = days.run(MON, force=True)
    assert steps["settlement"].state == "done"
    assert steps["clearing"].state == "waiting"
    assert SettlementSheet.objects.exists()
    assert not ClearedDay.objects.filter(contract__code="ALIPAY").exists()


def test_a_skipped_channel_is_settled_on_a_later_day_once_its_bill_is_here(days: SampleDays) -> None:
    days.all_of(MON, without="ALIPAY")
    days.run(MON, force=True)
    days.bill("ALIPAY", MON)
    days.run(MON)
    assert steps_of(MON)["clearing"] == "done"
    days.all_of(TUE)
    days.finish(TUE)
    late = ClearingItem.objects.filter(contract__code="ALIPAY", own_date=MON)
    due = [item.settlement_sheet for item in late if item.pay_date <= WED]
    assert due
    assert {sheet.pay_date for sheet in due if sheet is not None} == {WED}
    assert None not in due


def test_money_not_due_yet_is_waited_for_by_name(days: SampleDays) -> None:
    ChannelContract.objects.update(settle_days=2)
    days.orders(MON)
    days.bills(MON)
    steps = days.run(MON)
    assert steps["receipts"].state == "waiting"
    assert "WECHAT" in steps["receipts"].message


def test_money_that_did_not_come_when_due_is_a_case_and_its_day_is_withheld(days: SampleDays) -> None:
    days.orders(MON)
    days.bills(MON)
    steps = days.run(MON)
    assert steps["receipts"].state == "done"
    assert Discrepancy.objects.filter(kind=CaseKind.RECEIPT).count() == len(CHANNELS)
    assert steps["balance_check"].summary["failed"] == [f"{code} {MON}" for code in sorted(CHANNELS)]
    assert not SettlementSheet.objects.filter(payout_amount__gt=0).exists()


def test_withheld_money_is_paid_with_the_next_day_once_it_came(days: SampleDays) -> None:
    days.orders(MON)
    days.bills(MON)
    days.run(MON)
    days.money(MON)
    days.all_of(TUE)
    days.finish(TUE)
    late = Discrepancy.objects.filter(kind=CaseKind.RECEIPT, business_date=MON)
    assert set(late.values_list("state", flat=True)) == {"auto_cleared"}
    assert not ClearingItem.objects.filter(pay_date__lte=WED, settlement_sheet=None).exists()


def test_from_a_step_on_everything_is_done_again_and_the_books_stay(days: SampleDays) -> None:
    days.all_of(MON)
    days.finish(MON)
    before = books()
    jobs = JobRun.objects.filter(kind=STEP_JOB).count()
    steps = days.run(MON, from_step="runs")
    assert {step.state for step in steps.values()} == {"done"}
    assert JobRun.objects.filter(kind=STEP_JOB).count() - jobs == len(Step) - list(Step).index(Step.RUNS)
    assert books() == before


def test_an_unknown_step_is_refused_with_those_there_are(days: SampleDays) -> None:
    with pytest.raises(PayopsError) as refused:
        days.run(MON, from_step="lunch")
    assert refused.value.code == "dayend.unknown_step"
    assert "lunch" in str(refused.value)
    assert "clearing" in str(refused.value)


def test_a_failed_step_keeps_its_reason_and_holds_what_needs_it(days: SampleDays, broken_settlement: Any) -> None:
    broken_settlement(PayopsError("test.broken", "The drawer is stuck."))
    days.all_of(MON)
    with pytest.raises(PayopsError, match="The drawer is stuck"):
        days.run(MON)
    row = DayStep.objects.get(day=MON, step="settlement")
    assert (row.state, row.message) == ("failed", "The drawer is stuck.")
    assert row.job is not None
    assert row.job.state == "failed"
    assert steps_of(MON)["balance_check"] == "pending"


def test_a_repeat_recovers_from_a_failed_step(days: SampleDays, broken_settlement: Any) -> None:
    broken_settlement(PayopsError("test.broken", "The drawer is stuck."))
    days.all_of(MON)
    with pytest.raises(PayopsError):
        days.run(MON)
    broken_settlement(None)
    steps = days.finish(MON)
    assert {step.state for step in steps.values()} == {"done"}
    assert steps["settlement"].message == ""


def test_a_defect_is_not_told_in_its_own_words_but_by_its_job(days: SampleDays, broken_settlement: Any) -> None:
    broken_settlement(ZeroDivisionError("secret detail"))
    days.all_of(MON)
    with pytest.raises(PayopsError) as stopped:
        days.run(MON)
    row = DayStep.objects.get(day=MON, step="settlement")
    assert "secret detail" not in row.message + str(stopped.value)
    assert str(row.job_id) in row.message


def test_skipping_does_not_get_past_a_failed_step(days: SampleDays, broken_settlement: Any) -> None:
    broken_settlement(PayopsError("test.broken", "The drawer is stuck."))
    days.all_of(MON)
    for _attempt in range(2):
        with pytest.raises(PayopsError):
            days.run(MON, force=True)
    assert steps_of(MON)["balance_check"] == "pending"


def test_a_day_that_was_never_opened_is_a_clear_error(days: SampleDays) -> None:
    with pytest.raises(PayopsError) as refused:
        day_run(dt.date(2026, 11, 20))
    assert refused.value.code == "dayend.unknown_day"
    assert "2026-11-20" in str(refused.value)
    assert not DayStep.objects.exists()


def test_orders_of_the_next_day_are_taken_while_the_day_is_closed(days: SampleDays) -> None:
    days.all_of(MON)
    days.run(MON)
    days.orders(TUE)
    days.finish(MON)
    assert services.day_is_known(TUE)
