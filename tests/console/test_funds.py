"""The bank's lines and the channels' receipts in the console."""

from __future__ import annotations

from collections.abc import Callable

from django.core.files.uploadedfile import SimpleUploadedFile

from payops.approvals.models import ApprovalRequest
from payops.channels.models import BankLine
from payops.dayend.sample.plan import RESERVE_ACCOUNT
from payops.reconciliation.models import ChannelReceipt
from payops.settlement.models import PayoutEvent
from tests.console.conftest import MON, Books, address, text_of

Read = Callable[..., str]
HEADER = "bank_account,value_date,bank_reference,counterparty,memo,direction,amount,currency,balance\n"


def upload(books: Books, rows: str, **options: bool):
    file = SimpleUploadedFile("statement.csv", (HEADER + rows).encode())
    return books.client("alice").post(address("receipts_upload"), {"file": file}, **options)


def test_a_settlement_leads_to_its_channel_day_and_voucher(books: Books, read: Read) -> None:
    line = BankLine.objects.filter(kind="settlement").order_by("id").first()
    text = read("carol", "bank_line", line.pk)
    assert address("voucher", line.voucher_id) in text
    assert line.contract.code in text


def test_a_line_leads_to_the_lines_of_the_same_file(books: Books, read: Read) -> None:
    upload(books, f"{RESERVE_ACCOUNT},2026-11-18,FROM-A-FILE,,SETTLE,in,1.00,CNY,\n")
    line = BankLine.objects.get(reference="FROM-A-FILE")
    text = read("carol", "bank_line", line.pk)
    assert "statement.csv" in text
    assert "Row 2" in text
    listed = read("carol", "bank_line_list", file="statement.csv")
    assert "FROM-A-FILE" in listed
    assert BankLine.objects.exclude(pk=line.pk).latest("id").reference not in listed


def test_a_payout_line_leads_to_its_payout(books: Books, read: Read) -> None:
    line = BankLine.objects.filter(kind="payout").order_by("id").first()
    text = read("bob", "bank_line", line.pk)
    assert line.payout_no in text
    booked = PayoutEvent.objects.filter(payout__payout_no=line.payout_no).exclude(voucher_id=None)
    assert booked.exists()
    for event in booked:
        assert address("voucher", event.voucher_id) in text


def test_a_channel_day_shows_due_received_and_the_lines_between(books: Books, read: Read) -> None:
    receipt = ChannelReceipt.objects.filter(channel_date=MON, contract__code="WECHAT").get()
    text = read("carol", "receipt", receipt.pk)
    assert f"{receipt.due / 100:,.2f}" in text
    for part in receipt.parts.all():
        assert address("bank_line", part.allocation.bank_line_id) in text


def a_settlement() -> tuple[BankLine, ChannelReceipt]:
    receipt = ChannelReceipt.objects.filter(channel_date=MON, contract__code="WECHAT").get()
    return receipt.parts.first().allocation.bank_line, receipt


def test_the_form_of_a_division_starts_from_what_the_line_pays_now(books: Books, read: Read) -> None:
    line, receipt = a_settlement()
    assert address("bank_line_divide", line.pk) in read("alice", "bank_line", line.pk)
    text = read("alice", "bank_line_divide", line.pk)
    assert MON.isoformat() in text
    assert f"{receipt.received / 100:.2f}" in text.replace(",", "")


def test_a_division_becomes_a_proposal_for_finance(books: Books) -> None:
    line, receipt = a_settlement()
    form = {f"day_{receipt.pk}": str(line.amount / 100), "attributed": "group", "reason": "the channel's advice"}
    response = books.client("alice").post(address("bank_line_divide", line.pk), form)
    request = ApprovalRequest.objects.latest("pk")
    assert response.url == address("approval", request.pk)
    assert [share["amount"] for share in request.payload["shares"]] == [line.amount]
    assert request.payload["attributed"] is False


def test_a_division_that_does_not_add_up_stays_on_its_form(books: Books) -> None:
    line, receipt = a_settlement()
    form = {f"day_{receipt.pk}": "1.00", "attributed": "day", "reason": "a slip"}
    response = books.client("alice").post(address("bank_line_divide", line.pk), form)
    assert response.status_code == 400
    assert "The shares add up to 1.00" in text_of(response)


def test_who_proposes_nothing_sees_no_button_to_divide(books: Books, read: Read) -> None:
    line, _receipt = a_settlement()
    assert address("bank_line_divide", line.pk) not in read("carol", "bank_line", line.pk)


def test_uploaded_receipts_become_lines(books: Books) -> None:
    upload(books, f"{RESERVE_ACCOUNT},2026-11-18,NEW-1,Somebody,gift,in,12.34,CNY,\n")
    assert BankLine.objects.get(reference="NEW-1").amount == 1234


def test_a_receipt_with_three_decimals_is_refused_with_its_line(books: Books) -> None:
    response = upload(books, f"{RESERVE_ACCOUNT},2026-11-18,NEW-1,Somebody,gift,in,12.345,CNY,\n")
    assert response.status_code == 400
    assert "12.345" in text_of(response)
    assert not BankLine.objects.filter(reference="NEW-1").exists()


def test_a_file_that_is_none_is_refused_in_words(books: Books) -> None:
    file = SimpleUploadedFile("statement.csv", b"\x00\x01\x02" * 1000)
    response = books.client("alice").post(address("receipts_upload"), {"file": file}, follow=True)
    assert "c-message-error" in text_of(response)


def test_new_lines_are_identified_on_request_and_the_unknown_becomes_a_case(books: Books, read: Read) -> None:
    upload(books, f"{RESERVE_ACCOUNT},2026-11-18,NEW-1,Somebody,gift,in,12.34,CNY,\n")
    assert "Identify the new lines" in read("alice", "bank_line_list")
    books.client("alice").post(address("funds_match"))
    line = BankLine.objects.get(reference="NEW-1")
    assert line.state == "unidentified"
    assert "Unidentified bank line" in read("alice", "bank_line", line.pk)


def test_finance_uploads_no_receipts(books: Books, read: Read) -> None:
    assert "Upload bank receipts" not in read("bob", "bank_line_list")
    assert books.client("bob").get(address("receipts_upload")).status_code == 403


def test_the_list_needs_the_same_few_queries_however_long_it_is(
    books: Books, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = books.client("alice")
    with django_assert_max_num_queries(14):
        client.get(address("bank_line_list"))
