"""Matching in the console: suggestions, the form of a match by hand, its decision, and taking it back.

Here and not beside the other pages, because their sample days have no two rows that belong together under two numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from payops.approvals.models import ApprovalRequest
from payops.channels.models import BillLine
from payops.console.cells import link
from payops.discrepancies.models import Discrepancy
from payops.orders.models import Transaction
from payops.reconciliation.exports import exports
from payops.reconciliation.matching.apart import offsets_of
from payops.reconciliation.matching.hand import hand_match_propose
from payops.reconciliation.models import MatchEnd, MatchGroup, MatchRule, OpenItem, ReconRun, RunVoucher
from payops.reconciliation.services import run_reconcile
from tests.reconciliation.builders import MON, TUE, Town, line, live, pay, reverse
from tests.reconciliation.test_matching import rule
from tests.reconciliation.test_matching_by_hand import item, match, propose
from tests.reconciliation.test_matching_undo import propose as propose_undo

ClientFor = Callable[[Any], Client]


@pytest.fixture
def cut_off(town: Town) -> Town:
    """Our order of Monday and a line of Tuesday whose number was cut off, and another order of that amount."""
    town.day(MON, [pay("100001", MON), pay("777777", MON, "15:00:00")])
    town.day(TUE, [], [line("R-10000", TUE)])
    return town


@pytest.fixture
def ops(client_for: ClientFor, alice: Any) -> Client:
    return client_for(alice)


@pytest.fixture
def finance(client_for: ClientFor, bob: Any) -> Client:
    return client_for(bob)


def text_of(response: Any) -> str:
    return response.content.decode()


def form_of(*keys: str, reason: str = "the channel cut the number") -> dict[str, Any]:
    return {"others": [item(key).pk for key in keys], "reason": reason}


def decide(client: Client, request: ApprovalRequest, how: str, **data: str) -> str:
    """Press the button on the request's page; what the console says."""
    response = client.post(link(f"approval_{how}", request.pk), data, follow=True)
    return text_of(response)


# --- suggestions ------------------------------------------------------------------------------------------------------


def test_the_list_of_open_items_leads_from_a_score_to_the_form_filled_in(cut_off: Town, ops: Client) -> None:
    ours, theirs = item("R-100001"), item("R-10000")
    url = link("open_item_match", ours.pk, other=theirs.pk)
    assert url.replace("&", "&amp;") in text_of(ops.get(link("open_item_list")))
    form = text_of(ops.get(url))
    assert re.search(f'name="others" value="{theirs.pk}"[^>]* checked', form)


def test_the_page_of_a_case_leads_to_the_form_filled_in(cut_off: Town, ops: Client) -> None:
    ours, theirs = item("R-100001"), item("R-10000")
    page = text_of(ops.get(link("case_detail", ours.case_id)))
    assert link("open_item_match", ours.pk, other=theirs.pk).replace("&", "&amp;") in page


def test_who_may_not_propose_sees_the_score_and_no_way_to_the_form(cut_off: Town, finance: Client) -> None:
    page = text_of(finance.get(link("open_item_list")))
    assert "R-10000" in page
    assert link("open_item_match", item("R-100001").pk) not in page


def test_what_is_proposed_leads_to_its_request_everywhere(cut_off: Town, ops: Client, alice: Any) -> None:
    request = propose(alice, "R-100001", "R-10000")
    for name in ("open_item_list", "suggestion_list"):
        page = text_of(ops.get(link(name)))
        assert link("approval", request.pk) in page
        assert link("open_item_match", item("R-100001").pk) not in page


def test_the_list_of_open_items_needs_the_same_few_queries_however_many_there_are(
    cut_off: Town, ops: Client, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    with django_assert_max_num_queries(22):
        ops.get(link("open_item_list"))


# --- proposing --------------------------------------------------------------------------------------------------------


def test_a_match_is_proposed_and_waits_for_somebody_else(cut_off: Town, ops: Client) -> None:
    response = ops.post(link("open_item_match", item("R-100001").pk), form_of("R-10000"))
    request = ApprovalRequest.objects.get()
    assert response.url == link("approval", request.pk)
    assert {row["key"] for row in request.payload["items"]} == {"R-100001", "R-10000"}
    assert MatchGroup.objects.count() == 0


def test_a_second_click_proposes_nothing_more(cut_off: Town, ops: Client) -> None:
    form = form_of("R-10000")
    ops.post(link("open_item_match", item("R-100001").pk), form)
    again = ops.post(link("open_item_match", item("R-100001").pk), form)
    assert again.status_code == 400
    assert "already proposes a match" in text_of(again)
    assert ApprovalRequest.objects.count() == 1


def test_sums_that_differ_stay_on_the_form_with_both_figures(town: Town, ops: Client) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON, amount=9_990)])
    response = ops.post(link("open_item_match", item("R-100001").pk), form_of("R-10000"))
    assert response.status_code == 400
    assert "Ours is 100.00, the channel&#x27;s 99.90" in text_of(response)


def test_a_stale_form_is_told_that_the_item_is_open_no_more(cut_off: Town, ops: Client) -> None:
    url, form = link("open_item_match", item("R-100001").pk), form_of("R-10000")
    cut_off.bill(MON, line("R-100001", MON))
    run_reconcile(contract=cut_off.contract, day=MON)
    said = text_of(ops.post(url, form, follow=True))
    assert "is not open any more" in said
    assert ApprovalRequest.objects.count() == 0


def test_older_items_are_found_by_their_numbers_and_ticked(cut_off: Town, ops: Client) -> None:
    page = text_of(ops.get(link("open_item_match", item("R-777777").pk, number="R-10000 R-100001")))
    for name, key in (("others", "R-10000"), ("beside", "R-100001")):
        assert re.search(f'name="{name}" value="{item(key).pk}"[^>]* checked', page)


def test_a_number_nothing_open_has_offers_nothing(cut_off: Town, ops: Client) -> None:
    page = text_of(ops.get(link("open_item_match", item("R-777777").pk, number="R-1")))
    assert 'name="others"' not in page


def test_every_offer_carries_its_amount_for_the_sums_below(cut_off: Town, ops: Client) -> None:
    page = text_of(ops.get(link("open_item_match", item("R-100001").pk)))
    assert re.search('data-match-sums data-side="own" data-amount="10000" data-exponent="2"', page)
    assert re.search(f'value="{item("R-10000").pk}"[^>]* data-amount="10000"', page)
    assert "amounts=" not in page


def test_a_case_leads_to_the_form_though_nothing_is_suggested(town: Town, ops: Client, finance: Client) -> None:
    town.day(MON, [pay("1", MON)])
    url, case = link("open_item_match", item("R-1").pk), link("case_detail", item("R-1").case_id)
    assert url in text_of(ops.get(case))
    assert url not in text_of(finance.get(case))


def test_finance_proposes_no_match(cut_off: Town, finance: Client) -> None:
    assert finance.post(link("open_item_match", item("R-100001").pk), form_of("R-10000")).status_code == 403
    assert ApprovalRequest.objects.count() == 0


# --- deciding ---------------------------------------------------------------------------------------------------------


def test_approving_clears_both_and_shows_the_group(cut_off: Town, finance: Client, alice: Any) -> None:
    request = propose(alice, "R-100001", "R-10000")
    assert "is approved and done" in decide(finance, request, "approve")
    group = MatchGroup.objects.get()
    page = text_of(finance.get(link("match_group", group.pk)))
    for shown in ("R-100001", "R-10000", "Shortage cleared by its other half", "Surplus cleared by its other half"):
        assert shown in page
    assert live() == [("R-777777", "definite", -10_000)]


def test_whoever_decides_sees_both_rows_with_their_numbers_and_ways_to_them(
    cut_off: Town, finance: Client, alice: Any
) -> None:
    ours, theirs = item("R-100001"), item("R-10000")
    request = hand_match_propose(item_ids=[ours.pk, theirs.pk], reason="cut off", maker=alice)
    page = text_of(finance.get(link("approval", request.pk)))
    for url in (link("transaction", ours.transaction_id), link("bill_line", theirs.bill_line_id)):
        assert url in page
    line = BillLine.objects.get(pk=theirs.bill_line_id)
    assert line.trade_no in page
    assert link("open_item_match", ours.pk) not in page
    decide(finance, request, "approve")
    group = MatchGroup.objects.get()
    page = text_of(finance.get(link("approval", request.pk)))
    assert link("match_group", group.pk) in page
    assert "What was proposed" in page


def test_the_payer_of_ours_is_shown_without_its_head(cut_off: Town, finance: Client, alice: Any) -> None:
    ours, theirs = item("R-100001"), item("R-10000")
    Transaction.objects.filter(pk=ours.transaction_id).update(payer="oWHOLE-NUMBER-OF-THE-PAYER-5678")
    request = hand_match_propose(item_ids=[ours.pk, theirs.pk], reason="cut off", maker=alice)
    page = text_of(finance.get(link("approval", request.pk)))
    assert "5678" in page
    assert "oWHOLE" not in page


def test_what_is_suggested_says_why_on_the_form_and_stands_beside_the_item(cut_off: Town, ops: Client) -> None:
    ours, theirs = item("R-100001"), item("R-10000")
    page = text_of(ops.get(link("open_item_match", ours.pk)))
    assert "Number cut off" in page
    assert link("bill_line", theirs.bill_line_id) in page


def test_approving_twice_says_who_was_first(cut_off: Town, finance: Client, alice: Any) -> None:
    request = propose(alice, "R-100001", "R-10000")
    decide(finance, request, "approve")
    assert "is approved and done" not in decide(finance, request, "approve")
    assert MatchGroup.objects.count() == 1


def test_rejecting_leaves_everything_open_and_free(cut_off: Town, finance: Client, alice: Any) -> None:
    request = propose(alice, "R-100001", "R-10000")
    assert "is rejected" in decide(finance, request, "reject", note="two customers")
    assert MatchGroup.objects.count() == 0
    propose(alice, "R-777777", "R-10000")


def test_its_maker_does_not_approve_a_match(cut_off: Town, ops: Client, alice: Any) -> None:
    request = propose(alice, "R-100001", "R-10000")
    assert ops.post(link("approval_approve", request.pk)).status_code == 403
    assert MatchGroup.objects.count() == 0


def test_the_other_half_that_came_meanwhile_stops_the_approval(cut_off: Town, finance: Client, alice: Any) -> None:
    request = propose(alice, "R-100001", "R-10000")
    cut_off.bill(MON, line("R-100001", MON))
    run_reconcile(contract=cut_off.contract, day=MON)
    assert "is approved and done" not in decide(finance, request, "approve")
    assert MatchGroup.objects.count() == 0


# --- taking back ------------------------------------------------------------------------------------------------------


@pytest.fixture
def matched(cut_off: Town, alice: Any, bob: Any) -> MatchGroup:
    match(alice, bob, "R-100001", "R-10000")
    return MatchGroup.objects.get()


def test_a_match_is_taken_back_from_its_own_page(matched: MatchGroup, ops: Client, finance: Client) -> None:
    assert link("match_group_undo", matched.pk) in text_of(ops.get(link("match_group", matched.pk)))
    response = ops.post(link("match_group_undo", matched.pk), {"reason": "two customers after all"})
    request = ApprovalRequest.objects.latest("pk")
    assert response.url == link("approval", request.pk)
    assert link("approval", request.pk) in text_of(ops.get(link("match_group", matched.pk)))
    assert "is approved and done" in decide(finance, request, "approve")
    booked = RunVoucher.objects.exclude(voucher_id=None).filter(amounts__D__lt=0)
    page = text_of(ops.get(link("match_group", matched.pk)))
    for voucher in booked:
        assert link("voucher", voucher.voucher_id) in page
        assert link("voucher", voucher.voucher_id) in text_of(ops.get(link("approval", request.pk)))
    assert "Taken back" in page
    assert link("match_group_undo", matched.pk) not in page
    assert len(live()) == 3


def test_a_second_click_takes_nothing_more_back(matched: MatchGroup, ops: Client) -> None:
    for _click in range(2):
        response = ops.post(link("match_group_undo", matched.pk), {"reason": "wrong"})
    assert response.status_code == 400
    assert ApprovalRequest.objects.filter(action="reconciliation.hand_match_undo").count() == 1


def test_what_rests_on_a_match_is_said_before_anything_is_filled_in(
    town: Town, ops: Client, alice: Any, bob: Any
) -> None:
    town.day(MON, [pay("100001", MON)], [line("R-10000", MON)])
    match(alice, bob, "R-100001", "R-10000")
    town.bill(MON, line("R-10000", MON), line("R-5", MON))
    page = text_of(ops.get(link("match_group_undo", MatchGroup.objects.get().pk)))
    assert "Run the day first" in page
    assert 'name="reason"' not in page


def test_a_match_ended_meanwhile_is_not_taken_back_again(
    matched: MatchGroup, ops: Client, finance: Client, alice: Any
) -> None:
    decide(finance, propose_undo(alice), "approve")
    response = ops.post(link("match_group_undo", matched.pk), {"reason": "again"})
    assert response.status_code == 400
    assert "counts no more already" in text_of(response)
    assert MatchEnd.objects.count() == 1


def test_finance_and_auditors_take_nothing_back(
    matched: MatchGroup, finance: Client, client_for: ClientFor, carol: Any
) -> None:
    for client in (finance, client_for(carol)):
        assert link("match_group_undo", matched.pk) not in text_of(client.get(link("match_group", matched.pk)))
        assert client.post(link("match_group_undo", matched.pk), {"reason": "x"}).status_code == 403


def test_a_case_that_is_open_again_says_why(matched: MatchGroup, finance: Client, alice: Any) -> None:
    decide(finance, propose_undo(alice), "approve")
    case = Discrepancy.objects.get(kind="channel_only")
    assert "was taken back" in text_of(finance.get(link("case_detail", case.pk)))


# --- rules ------------------------------------------------------------------------------------------------------------


def test_a_rule_is_proposed_approved_and_shown_with_its_first_day(town: Town, ops: Client, finance: Client) -> None:
    form = {"group_by": "order", "fee_tolerance": "0.02", "amount_tolerance": "0.10", "reason": "split payments"}
    ops.post(link("match_rule_change", "WECHAT"), form)
    request = ApprovalRequest.objects.get()
    assert "is approved and done" in decide(finance, request, "approve")
    made = MatchRule.objects.get()
    assert (made.group_by, made.fee_tolerance, made.amount_tolerance) == ("order", 2, 10)
    assert made.effective_from.isoformat() in text_of(finance.get(link("match_rule_list")))


@pytest.mark.parametrize(("amount", "said"), [("10.01", "from 0 to 10.00"), ("a lot", ""), ("0.001", "")])
def test_a_tolerance_that_is_no_rounding_stays_on_the_form(town: Town, ops: Client, amount: str, said: str) -> None:
    form = {"group_by": "none", "fee_tolerance": "0.00", "amount_tolerance": amount, "reason": "x"}
    response = ops.post(link("match_rule_change", "WECHAT"), form)
    assert response.status_code == 400
    assert said in text_of(response)
    assert ApprovalRequest.objects.count() == 0


def test_a_rule_decided_meanwhile_stops_the_other(town: Town, ops: Client, finance: Client) -> None:
    form = {"group_by": "order", "fee_tolerance": "0.00", "amount_tolerance": "0.00", "reason": "x"}
    ops.post(link("match_rule_change", "WECHAT"), form)
    rule(town)
    assert "the target has changed" in decide(finance, ApprovalRequest.objects.get(), "approve")
    assert MatchRule.objects.count() == 1


# --- exports ----------------------------------------------------------------------------------------------------------


def test_open_items_are_exported_as_they_are_filtered(cut_off: Town, ops: Client) -> None:
    page = text_of(ops.get(link("open_item_list", state="definite", result="own_only")))
    for name, value in (("what", "open_items"), ("state", "definite"), ("result", "own_only")):
        assert f'name="{name}" value="{value}"' in page
    sent = {"what": "open_items", "form": "csv", "state": "definite", "result": "own_only"}
    ops.post(link("result_export"), sent)
    job = exports("alice").get()
    assert job.params["values"] == {"state": "definite", "result": "own_only"}
    assert job.progress_total == OpenItem.objects.filter(result="own_only").count() == 2


def test_a_comparison_is_exported_from_its_page(cut_off: Town, ops: Client) -> None:
    again = run_reconcile(contract=cut_off.contract, day=TUE)
    page = text_of(ops.get(link("run_compare", again.pk, change="same")))
    for name, value in (("what", "comparison"), ("run", again.pk), ("change", "same")):
        assert f'name="{name}" value="{value}"' in page
    assert "My exports" in page


def test_who_may_not_export_is_offered_none(cut_off: Town, client_for: ClientFor, dave: Any) -> None:
    page = text_of(client_for(dave).get(link("open_item_list")))
    assert 'name="what"' not in page


# --- offsets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def offset_run(town: Town) -> ReconRun:
    """A payment of ours and its void, of which the channel knows neither."""
    return town.day(MON, [pay("1", MON), reverse("2", "1", MON, amount="100.00", kind="void")])


def test_an_offset_is_found_from_its_run_and_taken_back(offset_run: ReconRun, ops: Client, finance: Client) -> None:
    assert link("run_offset_list", offset_run.pk) in text_of(ops.get(link("run", offset_run.pk)))
    (offset,) = offsets_of(offset_run)
    url = link("run_offset_undo", offset_run.pk, offset=offset.target)
    assert url in text_of(ops.get(link("run_offset_list", offset_run.pk)))
    response = ops.post(url, {"reason": "two customers"})
    request = ApprovalRequest.objects.get()
    assert response.url == link("approval", request.pk)
    assert link("approval", request.pk) in text_of(ops.get(link("run_offset_list", offset_run.pk)))
    assert "is approved and done" in decide(finance, request, "approve")
    assert live() == [("R-1", "definite", -10_000), ("R-2", "definite", 10_000)]


def test_a_second_click_on_an_offset_proposes_nothing_more(offset_run: ReconRun, ops: Client) -> None:
    (offset,) = offsets_of(offset_run)
    for _click in range(2):
        response = ops.post(link("run_offset_undo", offset_run.pk, offset=offset.target), {"reason": "x"})
    assert (response.status_code, ApprovalRequest.objects.count()) == (400, 1)


def test_an_offset_of_a_replaced_run_is_looked_at_again(offset_run: ReconRun, town: Town, ops: Client) -> None:
    (offset,) = offsets_of(offset_run)
    town.run(MON)
    response = ops.post(link("run_offset_undo", offset_run.pk, offset=offset.target), {"reason": "x"})
    assert response.status_code == 400
    assert "Look again" in text_of(response)


def test_finance_takes_no_offset_back(offset_run: ReconRun, finance: Client) -> None:
    (offset,) = offsets_of(offset_run)
    url = link("run_offset_undo", offset_run.pk, offset=offset.target)
    assert url not in text_of(finance.get(link("run_offset_list", offset_run.pk)))
    assert finance.post(url, {"reason": "x"}).status_code == 403
