"""The workbench: one channel day with both sides, its days around it, hand-over and exports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from payops.core.jobs import run_now
from payops.core.models import JobRun
from payops.discrepancies.models import CaseEvent, Discrepancy
from payops.orders.models import Transaction
from payops.reconciliation.exports import exports
from payops.reconciliation.models import ReconResult, ReconRun
from payops.reconciliation.workbench import DayMark, timeline
from tests.console.conftest import MON, TUE, Books, address, text_of

Read = Callable[..., str]
CODE = "WECHAT"


def the_run(day: dt.date = TUE) -> ReconRun:
    return ReconRun.objects.get(contract__code=CODE, channel_date=day, is_current=True)


def open_cases(run: ReconRun) -> list[ReconResult]:
    """Results whose case is still open."""
    rows = run.result_rows.filter(case__state__in=["open", "investigating"]).select_related("case")
    return list(rows.order_by("id"))


def test_it_opens_on_the_last_closed_day(books: Books, read: Read) -> None:
    assert f'value="{TUE.isoformat()}"' in read("alice", "workbench")


def test_both_sides_of_a_difference_stand_beside_each_other(books: Books, read: Read) -> None:
    text = read("alice", "workbench", contract=CODE, day=TUE, hands="all")
    for result in the_run().result_rows.order_by("id")[:50]:
        assert result.match_key in text
        if result.transaction_id:
            row = Transaction.objects.get(pk=result.transaction_id)
            assert row.transaction_no in text
            assert address("transaction", row.pk) in text
        if result.bill_line_id:
            assert address("bill_line", result.bill_line_id) in text
        if result.case_id:
            assert address("case_detail", result.case_id) in text


def test_what_somebody_has_to_act_on_is_shown_first(books: Books, read: Read) -> None:
    run = the_run()
    text = read("alice", "workbench", contract=CODE, day=TUE)
    waiting = open_cases(run)
    done = run.result_rows.exclude(match_key__in=[row.match_key for row in waiting])
    assert waiting
    assert all(row.match_key in text for row in waiting)
    assert not any(row.match_key in text for row in done)


def test_a_tile_leads_to_its_result_and_once_chosen_back_to_all(books: Books, read: Read) -> None:
    kind = open_cases(the_run())[0].kind
    text = read("alice", "workbench", contract=CODE, day=TUE, kind=kind)
    others = (
        the_run()
        .result_rows.exclude(kind=kind)
        .exclude(match_key__in=the_run().result_rows.filter(kind=kind).values("match_key"))
    )
    assert not any(row.match_key in text for row in others)
    assert "c-tile-chosen" in text


def test_htmx_is_given_only_the_differences(books: Books) -> None:
    url = address("workbench", contract=CODE, day=TUE, hands="all")
    client = books.client("alice")
    part = client.get(url, headers={"hx-request": "true"})
    assert "HX-Request" in part.headers["Vary"]
    assert text_of(part).strip().startswith('<div id="workbench-results"')
    back = client.get(url, headers={"hx-request": "true", "hx-history-restore-request": "true"})
    assert "<html" in text_of(back)


def test_the_totals_of_both_sides_and_the_equation_are_there(books: Books, read: Read) -> None:
    run = the_run()
    text = read("carol", "workbench", contract=CODE, day=TUE)
    assert f"{run.own_amount / 100:,.2f}" in text
    assert f"{run.channel_amount / 100:,.2f}" in text
    assert "Channel total: agrees" in text


def test_a_day_without_a_bill_says_what_it_waits_for(books: Books, read: Read) -> None:
    day = TUE + dt.timedelta(days=1)
    assert "not closed yet" in read("alice", "workbench", contract=CODE, day=day)
    assert "No accounting day" in read("alice", "workbench", contract=CODE, day=MON - dt.timedelta(days=20))


def test_the_timeline_tells_each_day_by_its_open_items(books: Books) -> None:
    run = the_run()
    days = {day.day: day for day in timeline(run.contract, TUE)}
    assert len(days) == 30
    assert days[TUE].run == run
    assert days[TUE].definite == run.contract.open_items.filter(first_date=TUE, state="definite").count()
    assert days[TUE].mark == DayMark.OPEN
    assert days[MON - dt.timedelta(days=20)].mark == DayMark.NONE


def test_a_closed_day_without_its_bill_is_marked_and_with_it_ready_to_run(books: Books) -> None:
    run = the_run()
    ReconRun.objects.filter(pk=run.pk).update(is_current=False)
    assert timeline(run.contract, TUE)[-1].mark == DayMark.TO_RUN
    run.file.__class__.objects.filter(pk=run.file_id).update(state="held")
    assert timeline(run.contract, TUE)[-1].mark == DayMark.HELD
    run.file.__class__.objects.filter(pk=run.file_id).update(state="rejected")
    assert timeline(run.contract, TUE)[-1].mark == DayMark.NO_BILL


def test_days_follow_each_other_by_links(books: Books, read: Read) -> None:
    text = read("alice", "workbench", contract=CODE, day=TUE)
    assert f"day={MON.isoformat()}" in text
    assert "data-previous=" in text


def test_the_page_needs_the_same_few_queries_however_many_rows_there_are(
    books: Books, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = books.client("alice")
    url = address("workbench", contract=CODE, day=TUE, hands="all")
    with django_assert_max_num_queries(20):
        client.get(url)
    with django_assert_max_num_queries(16):
        client.get(url, headers={"hx-request": "true"})


@pytest.mark.parametrize("query", [{"contract": "NOBODY"}, {"day": "yesterday"}, {"day": "2026-13-40"}])
def test_a_mistyped_address_is_told_so(books: Books, query: dict[str, str]) -> None:
    assert books.client("alice").get(address("workbench", **query)).status_code == 400


# --- hand-over --------------------------------------------------------------------------------------------------------


def hand_over(books: Books, username: str = "alice", **data: object) -> object:
    run = the_run()
    values = {"run": run.pk, "owner": books.user("alice").pk, **data}
    return books.client(username).post(address("workbench_hand_over"), values, follow=True)


def test_ticked_differences_go_into_the_hands_of_one_person(books: Books) -> None:
    rows = open_cases(the_run())
    note = "after lunch"
    hand_over(books, ids=[row.pk for row in rows], note=note)
    for row in rows:
        case = Discrepancy.objects.get(pk=row.case_id)
        assert (case.owner, case.state) == (books.user("alice"), "investigating")
        assert CaseEvent.objects.filter(case=case, what="assigned", username="alice", note=note).count() == 1


def test_handing_over_twice_changes_nothing_the_second_time(books: Books) -> None:
    rows = open_cases(the_run())
    for _time in range(2):
        response = hand_over(books, ids=[row.pk for row in rows])
    assert "0 cases are in the hands of alice now." in text_of(response)
    assert CaseEvent.objects.filter(case=rows[0].case_id, what="assigned").count() == 1


def test_all_of_a_result_can_be_handed_over_at_once(books: Books) -> None:
    rows = open_cases(the_run())
    kind = rows[0].kind
    hand_over(books, all="1", kind=kind)
    owners = {row.kind: Discrepancy.objects.get(pk=row.case_id).owner for row in rows}
    assert owners[kind] == books.user("alice")
    assert all(owner is None for other, owner in owners.items() if other != kind)


def test_nothing_ticked_is_told_so(books: Books) -> None:
    assert "Tick differences that have an open case first." in text_of(hand_over(books))


def test_cases_go_only_to_people_who_work_on_them(books: Books) -> None:
    rows = open_cases(the_run())
    response = hand_over(books, ids=[rows[0].pk], owner=books.user("bob").pk)
    assert "Choose who takes the cases." in text_of(response)
    assert Discrepancy.objects.get(pk=rows[0].case_id).owner is None


def test_whoever_may_not_propose_is_not_offered_to_hand_over(books: Books, read: Read) -> None:
    assert "data-bulk" not in read("bob", "workbench", contract=CODE, day=TUE)
    assert hand_over(books, "bob").status_code == 403


# --- running and exporting --------------------------------------------------------------------------------------------


def test_a_day_is_run_from_the_bench_and_the_page_waits_for_it(books: Books, read: Read) -> None:
    books.client("alice").post(address("workbench_run"), {"contract": CODE, "day": TUE.isoformat()})
    job = JobRun.objects.order_by("-id").first()
    assert (job.kind, job.params["channel"], job.business_date) == ("reconciliation.run", CODE, TUE)
    assert "data-reload" in read("alice", "workbench", contract=CODE, day=TUE)


def test_an_export_is_asked_for_watched_and_downloaded(books: Books, read: Read) -> None:
    run = the_run()
    client = books.client("alice")
    client.post(address("result_export"), {"what": "results", "form": "csv", "run": run.pk, "hands": "all"})
    job = exports("alice").first()
    waiting = text_of(client.get(address("result_export_list")))
    assert "every 2s" in waiting
    assert f"{CODE}_{TUE:%Y%m%d}_run{run.run_no}_results.csv" in waiting
    assert "waits for a worker" in waiting
    run_now(job.pk)
    panel = text_of(client.get(address("result_export_list")))
    assert address("result_export_download", job.pk) in panel
    assert "every 2s" not in panel
    content = text_of(client.get(address("result_export_download", job.pk)))
    assert content.count("\n") == run.result_rows.count() + 1


def test_an_export_takes_the_filter_of_the_page(books: Books) -> None:
    run = the_run()
    client = books.client("alice")
    client.post(address("result_export"), {"what": "results", "form": "csv", "run": run.pk, "hands": "open"})
    assert run_now(exports("alice").first().pk).result["rows"] == len(open_cases(run))


def test_an_export_that_cannot_be_is_refused_in_words(books: Books) -> None:
    data = {"what": "results", "form": "csv", "run": "999999"}
    response = books.client("alice").post(address("result_export"), data, follow=True)
    assert "There is no complete run" in text_of(response)


def test_everybody_sees_only_their_own_exports_on_the_bench(books: Books, read: Read) -> None:
    run = the_run()
    books.client("alice").post(address("result_export"), {"what": "results", "form": "csv", "run": run.pk})
    assert "No export has been asked for yet." in read("bob", "result_export_list")


def test_an_export_that_is_gone_is_not_there_to_download(books: Books) -> None:
    assert books.client("alice").get(address("result_export_download", 999_999)).status_code == 404
