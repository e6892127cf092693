"""The whole story of a payment: found by any of its numbers, told in order, every event leading to its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command

from payops.channels.models import BillLine
from payops.core.ids import id_range
from payops.discrepancies.models import Discrepancy
from payops.orders.models import Transaction
from payops.reconciliation.models import OpenItem, ReconResult, ReconRun
from payops.settlement.models import ClearingItem, Payout
from payops.statements.story import Story, story_of
from tests.console.conftest import MON, TUE, Books, address

Read = Callable[..., str]


def a_paid_row() -> Transaction:
    """A payment of Monday that matched and was cleared."""
    differing = ReconResult.objects.exclude(transaction_id=None).values("transaction_id")
    rows = Transaction.objects.for_days(MON, MON).filter(own_date=MON, status="succeeded", kind=1)
    return rows.exclude(pk__in=differing).select_related("contract", "merchant").order_by("id").first()


def line_of(row: Transaction) -> BillLine:
    return BillLine.objects.for_days(MON, TUE).get(contract_id=row.contract_id, match_key=row.match_key)


def kinds(story: Story) -> list[str]:
    return [event.kind for event in story.events]


def test_a_matched_payment_is_told_from_order_to_payout(books: Books) -> None:
    story = story_of(a_paid_row().transaction_no)
    told = kinds(story)
    for kind in ("order_created", "order_counts", "bill_line", "run_result", "cleared", "receipt", "voucher"):
        assert kind in told, kind
    matched = next(event for event in story.events if event.kind == "run_result")
    assert str(matched.text) == "Matched"


def test_a_story_is_in_the_order_of_time(books: Books) -> None:
    seconds = [event.at.replace(microsecond=0) for event in story_of(a_paid_row().transaction_no).events]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("name", ["transaction_no", "match_key", "pk", "merchant_order_no"])
def test_every_number_of_an_order_tells_the_same_story(books: Books, name: str) -> None:
    row = Transaction.objects.for_days(MON, MON).exclude(merchant_order_no="").filter(kind=1).order_by("id").first()
    assert row.pk in story_of(str(getattr(row, name))).subjects.transactions


def test_the_channels_trade_number_finds_the_order_too(books: Books) -> None:
    row = a_paid_row()
    subjects = story_of(line_of(row).trade_no).subjects
    assert row.pk in subjects.transactions
    assert line_of(row).pk in subjects.lines


def test_a_refunds_own_number_tells_of_the_refund_and_names_its_payment(books: Books) -> None:
    refund = Transaction.objects.for_days(MON, TUE).filter(kind=2).exclude(original_id=None).order_by("id").first()
    story = story_of(refund.match_key)
    assert refund.pk in story.subjects.transactions
    assert "order_original" in kinds(story)


def test_the_voucher_of_a_payment_is_told_with_entries_that_balance(books: Books) -> None:
    row = a_paid_row()
    vouchers = [event for event in story_of(row.transaction_no).events if event.kind == "voucher"]
    assert vouchers
    for voucher in vouchers:
        debit, credit = (sum(e.amount for e in voucher.entries if e.side == side) for side in "DC")
        assert debit == credit != 0


def test_a_case_is_told_with_its_item_its_run_and_who_did_what(books: Books) -> None:
    case = Discrepancy.objects.filter(items__isnull=False).exclude(transaction_id=None).order_by("id").first()
    story = story_of(case.case_no)
    assert {"case_opened", "item_first_seen", "run_result"} <= set(kinds(story))
    said = next(event for event in story.events if event.kind == "run_result" and case.case_no in str(event.text))
    assert said.amount == ReconResult.objects.filter(case=case).order_by("id").first().d


def test_a_bill_without_the_line_is_told_as_one_that_does_not_have_it(books: Books) -> None:
    item = OpenItem.objects.filter(result="own_only").order_by("id").first()
    story = story_of(str(item.transaction_id))
    assert "bill_without" in kinds(story)


def test_a_payment_paid_out_is_told_down_to_the_bank(books: Books) -> None:
    payout = Payout.objects.filter(state="succeeded").order_by("id").first()
    item = ClearingItem.objects.filter(settlement_sheet=payout.sheet, case_action=None).order_by("id").first()
    rows = Transaction.objects.for_days(item.own_date, item.own_date)
    row = rows.filter(
        own_date=item.own_date, merchant=item.merchant_id, contract=item.contract_id, status="succeeded"
    ).first()
    events = [event for event in story_of(row.transaction_no).events if event.kind == "payout"]
    assert any("Succeeded" in str(event.title) for event in events)


def test_a_story_needs_the_same_queries_on_any_day(
    books: Books, django_assert_max_num_queries: Callable[..., object]
) -> None:
    number = a_paid_row().transaction_no
    with django_assert_max_num_queries(45):
        story_of(number)


def test_the_command_tells_it_as_text_and_as_data(books: Books) -> None:
    row = a_paid_row()
    text, data = StringIO(), StringIO()
    call_command("explain", row.transaction_no, stdout=text)
    call_command("explain", row.transaction_no, json=True, stdout=data)
    told = json.loads(data.getvalue())
    assert row.transaction_no in text.getvalue()
    assert told["transactions"] == [str(row.pk)]
    assert len(told["events"]) == len(story_of(row.transaction_no).events)
    assert all(isinstance(event["amount"], int | None.__class__) for event in told["events"])


def test_the_command_fails_for_a_number_nothing_has(books: Books) -> None:
    error = StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("explain", "NOBODY-1", stderr=error, stdout=StringIO())
    assert stopped.value.code == 1
    assert "NOBODY-1" in error.getvalue()


def test_the_page_leads_from_every_event_to_what_it_speaks_of(books: Books, read: Read) -> None:
    row = a_paid_row()
    run = ReconRun.objects.get(contract=row.contract, channel_date=MON, is_current=True)
    text = read("carol", "explain", q=row.transaction_no)
    for page in (
        address("transaction", row.pk),
        address("bill_line", line_of(row).pk),
        address("run", run.pk),
    ):
        assert page in text


def test_the_page_says_what_it_did_not_find_and_offers_another_day(books: Books, read: Read) -> None:
    text = read("alice", "explain", q="NOBODY-1")
    assert "NOBODY-1" in text
    assert 'name="day"' in text


def test_a_mistyped_day_is_pointed_out(books: Books, read: Read) -> None:
    assert "Enter a valid date" in read("alice", "explain", q="X", day="yesterday")


def test_the_search_box_leads_to_the_story_of_an_order_number(books: Books) -> None:
    row = Transaction.objects.for_days(MON, MON).exclude(merchant_order_no="").order_by("id").first()
    response = books.client("alice").get(address("find", q=row.merchant_order_no))
    assert response.url == address("explain", q=row.merchant_order_no)


def test_a_search_without_a_hit_offers_to_look_through_the_bills(books: Books, read: Read) -> None:
    assert address("explain", q="NOBODY-1") in read("alice", "find", q="NOBODY-1")


def test_transaction_line_and_case_lead_to_their_story(books: Books, read: Read) -> None:
    row = a_paid_row()
    line = BillLine.objects.in_range(*id_range(MON, TUE)).order_by("id").first()
    case = Discrepancy.objects.exclude(transaction_id=None).first()
    assert address("explain", q=row.transaction_no) in read("alice", "transaction", row.pk)
    assert address("explain", q=line.pk) in read("alice", "bill_line", line.pk)
    assert address("explain", q=case.case_no) in read("alice", "case_detail", case.pk)
