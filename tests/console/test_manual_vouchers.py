"""Manual vouchers in the console: templates, entering, attachments, spreadsheets, and who sees what."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from payops.accounts.models import ManualVoucher
from payops.approvals.services import request_approve
from payops.core.models import AuditLog
from tests.accounts.test_manual_vouchers import sheet
from tests.console import documents
from tests.console.conftest import Books, address, read_out, text_of

Read = Callable[..., str]


@pytest.fixture
def entered(books: Books) -> Callable[..., Any]:
    """``entered(memo="")``: the form with a bank charge, changed, sent by Bob."""

    def send(who: str = "bob", **changes: Any) -> Any:
        data = {
            "memo": "Bank charge",
            "business_date": documents.open_day().isoformat(),
            "currency": "CNY",
            "template": "bank_charge",
            "side": ["D", "C", "D"],
            "account": ["6603.01", documents.own_funds(), ""],
            "amount": ["1,234.50", "1234.5", ""],
            **changes,
        }
        return books.client(who).post(address("manual_voucher_new"), data)

    return send


def test_a_template_fills_in_the_lines(read: Read) -> None:
    text = read("bob", "manual_voucher_new", template="bank_charge")
    assert 'value="Bank charge"' in text
    assert 'value="660301"' in text


def test_the_form_without_a_template_has_blank_rows(read: Read) -> None:
    assert read("bob", "manual_voucher_new").count("data-row>") >= 2


def test_a_voucher_is_entered_and_booked_by_another_person(
    books: Books, read: Read, entered: Callable[..., Any]
) -> None:
    response = entered(who="alice")
    document = ManualVoucher.objects.get()
    assert response.url == address("manual_voucher", document.pk)
    assert (document.amount, document.template, len(document.lines)) == (123_450, "bank_charge", 2)
    books.client("bob").post(address("approval_approve", document.approval_id), {"note": ""})
    document.refresh_from_db()
    text = read("carol", "manual_voucher", document.pk)
    assert address("voucher", document.voucher_id) in text
    assert address("manual_voucher", document.pk) in read("carol", "voucher", document.voucher_id)


def test_lines_that_do_not_balance_come_back(entered: Callable[..., Any]) -> None:
    response = entered(amount=["1.00", "2.00", ""])
    assert response.status_code == 400
    assert "they must be equal" in text_of(response)
    assert 'value="2.00"' in text_of(response)


def test_the_row_that_is_wrong_is_marked(entered: Callable[..., Any]) -> None:
    text = text_of(entered(account=["6603.01", "nobody", ""]))
    assert text.count("There is no account “nobody”") == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memo": ""}, "Say in the memo"),
        ({"business_date": "soon"}, "Write the day as"),
        ({"currency": "XXX"}, "is not known"),
        ({"amount": ["1.005", "1.005", ""]}, "decimal"),
    ],
)
def test_what_is_wrong_is_said(entered: Callable[..., Any], changes: dict[str, Any], said: str) -> None:
    response = entered(**changes)
    assert response.status_code == 400
    assert said in text_of(response)
    assert not ManualVoucher.objects.exists()


def test_an_attachment_is_kept_downloaded_and_logged(books: Books, entered: Callable[..., Any]) -> None:
    entered(attachment=SimpleUploadedFile("advice.pdf", b"%PDF-1.7 advice"))
    document = ManualVoucher.objects.get()
    response = read_out(books.client("carol").get(address("manual_voucher_attachment", document.pk)))
    assert response.content_read == b"%PDF-1.7 advice"
    assert response["Content-Type"] == "application/octet-stream"
    assert 'filename="advice.pdf"' in response["Content-Disposition"]
    logged = AuditLog.objects.filter(action="console.downloaded", object_id=document.number).get()
    assert logged.username == "carol"


def test_a_page_disguised_as_a_pdf_is_not_attached(entered: Callable[..., Any]) -> None:
    response = entered(attachment=SimpleUploadedFile("advice.pdf", b"<script>alert(1)</script>"))
    assert "not a file that can be attached" in text_of(response)


def test_a_voucher_without_attachment_has_none_to_download(books: Books, entered: Callable[..., Any]) -> None:
    entered()
    document = ManualVoucher.objects.get()
    assert books.client("bob").get(address("manual_voucher_attachment", document.pk)).status_code == 404


def upload(books: Books, content: bytes, who: str = "alice", name: str = "batch.xlsx") -> Any:
    return books.client(who).post(address("manual_batch_upload"), {"file": SimpleUploadedFile(name, content)})


def rows() -> list[list[str]]:
    day = documents.open_day().isoformat()
    return [
        ["1", day, "Charge", "D", "6603.01", "3.00", ""],
        ["1", "", "", "C", documents.own_funds(), "3.00", ""],
        ["2", day, "Charge", "D", "6603.01", "4.00", ""],
        ["2", "", "", "C", documents.own_funds(), "4.00", ""],
    ]


def test_a_spreadsheet_is_proposed_as_one_batch_and_booked_whole(books: Books, read: Read) -> None:
    response = upload(books, sheet(*rows()).getvalue())
    first = ManualVoucher.objects.order_by("pk").first()
    assert response.url == address("manual_batch", first.batch_no)
    text = read("carol", "manual_batch", first.batch_no)
    assert "7.00" in text
    assert address("manual_voucher", first.pk) in text
    request_approve(request_id=first.approval_id, checker=books.user("bob"))
    assert set(ManualVoucher.objects.values_list("state", flat=True)) == {"booked"}


def test_wrong_rows_are_listed_and_nothing_is_proposed(books: Books) -> None:
    wrong = rows()
    wrong[3][4] = "nobody"
    response = upload(books, sheet(*wrong).getvalue())
    assert response.status_code == 400
    assert "What to mend" in text_of(response)
    assert "There is no account “nobody”" in text_of(response)
    assert not ManualVoucher.objects.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"a,b\n1,2\n"])
def test_what_is_no_spreadsheet_is_refused(books: Books, content: bytes) -> None:
    response = upload(books, content)
    assert response.status_code == 400
    assert not ManualVoucher.objects.exists()


def test_the_empty_spreadsheet_is_downloaded(books: Books) -> None:
    response = books.client("bob").get(address("manual_batch_sheet"))
    assert response.content.startswith(b"PK")
    assert io.BytesIO(response.content).read(2) == b"PK"


def test_the_list_filters_by_batch_and_state(books: Books, read: Read) -> None:
    single, of_batch = documents.manual_voucher(), documents.batch()
    text = read("carol", "manual_voucher_list", batch=of_batch.batch_no)
    assert of_batch.number in text
    assert single.number not in text
    assert single.number in read("carol", "manual_voucher_list", state="proposed")


def test_an_auditor_enters_nothing(books: Books, entered: Callable[..., Any]) -> None:
    assert entered(who="carol").status_code == 403
    assert upload(books, b"x", who="carol").status_code == 403
    assert "Enter a voucher" not in text_of(books.client("carol").get(address("manual_voucher_list")))
