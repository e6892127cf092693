"""Transactions, their intake and the search by number."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from payops.core.ids import id_range
from payops.core.models import AuditLog, JobRun
from payops.discrepancies.models import Discrepancy
from payops.orders.models import Intake, Transaction
from payops.settlement.models import Payout, SettlementSheet
from tests.console.conftest import MON, TUE, Books, address, text_of

Read = Callable[..., str]
LO, HI = id_range(MON, TUE)


def a_payment() -> Transaction:
    """The first succeeded payment of Monday."""
    return Transaction.objects.in_range(LO, HI).filter(own_date=MON, kind=1, status="succeeded").order_by("id").first()


def test_a_day_lists_its_own_transactions_and_their_sums(books: Books, read: Read) -> None:
    text = read("alice", "transaction_list", day=MON)
    total = Transaction.objects.in_range(LO, HI).filter(own_date=MON).count()
    assert f">{total:,}<" in text.replace("\n", "").replace(" ", "")
    assert a_payment().transaction_no in read("alice", "transaction_list", day=MON, number=a_payment().transaction_no)


def test_the_list_filters_by_merchant_and_status(books: Books, read: Read) -> None:
    row = a_payment()
    text = read("alice", "transaction_list", day=MON, merchant=row.merchant.merchant_no, status="succeeded")
    other = Transaction.objects.in_range(LO, HI).filter(own_date=MON).exclude(merchant=row.merchant).first()
    assert row.transaction_no in text
    assert other.transaction_no not in text


def test_pages_follow_each_other_without_a_gap_or_a_repeat(books: Books) -> None:
    client, seen, url = books.client("alice"), [], address("transaction_list", day=MON)
    while url:
        text = text_of(client.get(url))
        seen += [row for row in _numbers() if f">{row}<" in text]
        url = _next(text, address("transaction_list"))
    assert sorted(seen) == sorted(_numbers())


def _numbers() -> list[str]:
    rows = Transaction.objects.in_range(LO, HI).filter(own_date=MON)
    return list(rows.order_by("-id").values_list("transaction_no", flat=True))


def _next(text: str, base: str) -> str:
    import html
    import re

    found = re.search(r'rel="next" href="([^"]+)"', text)
    return base + html.unescape(found[1]) if found else ""


@pytest.mark.parametrize("day", ["tomorrow", "1999-01-01", "2026-02-30"])
def test_a_day_that_cannot_be_is_no_server_error(books: Books, day: str) -> None:
    assert books.client("alice").get(address("transaction_list") + f"?day={day}").status_code == 200


@pytest.mark.parametrize("cursor", ["after=abc", "before=-1", "after=99999999999999999999999"])
def test_a_cursor_that_cannot_be_is_no_server_error(books: Books, cursor: str) -> None:
    assert books.client("alice").get(address("transaction_list", day=MON) + f"&{cursor}").status_code == 200


def test_the_list_as_csv_holds_every_row_and_is_logged(books: Books) -> None:
    lines = text_of(books.client("carol").get(address("transaction_list", day=MON, export="csv"))).splitlines()
    assert len(lines) == 1 + len(_numbers())
    assert AuditLog.objects.filter(username="carol", action="console.downloaded").exists()


def test_a_transaction_tells_its_whole_story(books: Books, read: Read) -> None:
    case = Discrepancy.objects.filter(transaction_id__isnull=False).first()
    text = read("alice", "transaction", case.transaction_id)
    assert address("case_detail", case.pk) in text
    assert "Vouchers" in text
    assert "Bill lines with the same key" in text


def test_the_list_needs_the_same_few_queries_however_long_it_is(
    books: Books, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = books.client("alice")
    with django_assert_max_num_queries(16):
        client.get(address("transaction_list", day=MON))


# --- search by number -------------------------------------------------------------------------------------------------


def test_a_transaction_is_found_by_its_own_and_by_the_channels_request_number(books: Books) -> None:
    row = a_payment()
    client = books.client("alice")
    assert client.get(address("find", q=row.transaction_no)).url == address("transaction", row.pk)
    found = client.get(address("find", q=row.match_key))
    assert found.status_code in {200, 302}
    assert address("transaction", row.pk) in (found.url if found.status_code == 302 else text_of(found))


def test_cases_sheets_payouts_and_merchants_are_found_by_their_numbers(books: Books) -> None:
    client = books.client("bob")
    case, sheet, payout = Discrepancy.objects.first(), SettlementSheet.objects.first(), Payout.objects.first()
    assert client.get(address("find", q=case.case_no)).url == address("case_detail", case.pk)
    assert client.get(address("find", q=sheet.sheet_no)).url == address("sheet", sheet.pk)
    assert client.get(address("find", q=payout.payout_no)).url == address("payout", payout.pk)
    assert client.get(address("find", q=sheet.merchant.merchant_no)).url == address(
        "merchant", sheet.merchant.merchant_no
    )


@pytest.mark.parametrize("number", ["nothing-has-this", "999999999999999999", "' OR 1=1 --", "<script>"])
def test_a_number_nothing_has_is_said_so(books: Books, number: str) -> None:
    text = text_of(books.client("alice").get(address("find", q=number)))
    assert "Nothing has the number" in text
    assert "<script>alert" not in text
    assert "“<script>" not in text


# --- intake -----------------------------------------------------------------------------------------------------------


def test_an_uploaded_file_is_read_by_a_worker(books: Books) -> None:
    file = io.BytesIO(b"transaction_no\n")
    file.name = "orders.csv"
    response = books.client("alice").post(address("intake_upload"), {"file": file})
    job = JobRun.objects.order_by("-id").first()
    assert response.url == address("job", job.pk)
    assert job.created_by == "alice"


def test_no_file_comes_back_with_what_is_missing(books: Books) -> None:
    response = books.client("alice").post(address("intake_upload"), {})
    assert response.status_code == 400
    assert "This field is required" in text_of(response)


def test_finance_takes_in_no_transactions(books: Books) -> None:
    assert books.client("bob").get(address("intake_upload")).status_code == 403


def test_an_intake_shows_what_it_made(books: Books, read: Read) -> None:
    intake = Intake.objects.first()
    text = read("carol", "intake", intake.pk)
    assert intake.source_name in text
    assert intake.sha256 in text
