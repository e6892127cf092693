"""Mapped formats in the console: tried on a sample, proposed, decided by somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from payops.approvals.models import ApprovalRequest
from payops.channels.mapping.models import FormatMapping
from tests.channels.test_generic import HEADER, PAID, REFUNDED, bill
from tests.console import configuration
from tests.console.conftest import Books, address, text_of

Read = Callable[..., str]
FILLED = {
    "code": "newpay", "name": "New Pay", "layout": "delimited", "encoding": "utf-8", "delimiter": ",", "quote": '"',
    "trim": "", "sheet": "", "skip_lines": "0", "header": "names", "footer_mark": "合计",
    "kinds": "类型 = 支付: payment\r\n类型 = 退款: refund", "words": "", "time_pattern": "YYYY-MM-DD hh:mm:ss",
    "row_days": "0", "unit": "major", "decimal": ".", "thousands": "", "sign": "unsigned", "fee_sign": "by_kind",
    "settled": "less_fee", "settled_sign": "signed", "totals": "footer 1 2: count\r\nfooter 1 3: amount",
    "sample_day": "2026-11-18", "sample_account": "", "reason": "New channel.", "column_trade_no": "流水号",
    "column_order_no": "订单号", "column_request_no": "退款单号", "column_amount": "金额", "column_fee": "手续费",
    "column_occurred_at": "日期 + 时间", "column_currency": "=CNY",
}  # fmt: skip


def sample(text: str, name: str = "sample.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def send(books: Books, button: str, username: str = "alice", name: str = "mapping_new", *args: Any, **changes: Any):
    return books.client(username).post(address(name, *args), {**FILLED, button: "", **changes})


def test_the_preview_shows_each_line_of_the_sample_with_its_error_in_place(books: Books) -> None:
    text = bill(PAID, REFUNDED.replace("20.00", "20.001"))
    page = text_of(send(books, "try", sample=sample(text)))
    for words in (
        "1 line read",
        "1 not readable",
        "100.00",
        "99.40",
        "20.001",
        "more than 2 decimals",
        "Control totals",
    ):
        assert words in page
    assert not ApprovalRequest.objects.filter(action="channels.format_mapping").exists()


def test_a_refused_sample_says_why_above_its_lines(books: Books) -> None:
    page = text_of(send(books, "try", sample=sample(bill(PAID))))
    assert "The file states count 2, but its lines add up to 1" in page


def test_the_sample_of_the_last_try_is_proposed_without_sending_it_again(books: Books) -> None:
    page = text_of(send(books, "try", sample=sample(bill(PAID, REFUNDED))))
    assert "It would be accepted as it is." in page
    kept = page.split('name="kept_sample" value="')[1].split('"')[0]
    response = send(books, "propose", kept_sample=kept)
    proposal = ApprovalRequest.objects.get(action="channels.format_mapping")
    assert response.url == address("approval", proposal.pk)
    assert proposal.payload["sample"]["lines"] == 2
    books.client("bob").post(address("approval_approve", proposal.pk))
    assert FormatMapping.objects.get().format_code == "generic:newpay@1"


def test_a_forged_sample_is_no_sample(books: Books) -> None:
    response = send(books, "propose", kept_sample="eyJwYXRoIjoiL2V0Yy9wYXNzd2QifQ:1:x")
    assert response.status_code == 400
    assert "nothing is proposed untried" in text_of(response)


@pytest.mark.parametrize(("changes", "words"), [
    ({"kinds": "支付"}, "write “column = word: kind”"),
    ({"kinds": "类型 = 支付: gift"}, "is no kind"),
    ({"column_trade_no": ""}, "This field is needed"),
    ({"totals": "footer: 3"}, "write “footer 1 2: count”"),
    ({"time_pattern": "D.M.Y"}, "YYYY, MM, DD"),
    ({"code": "New Pay"}, "Lower-case letters"),
    ({"reason": ""}, "Write the reason"),
    ({"settled": "column"}, "This field is needed"),
])  # fmt: skip
def test_what_is_wrong_stands_at_its_field_and_nothing_is_proposed(
    books: Books, changes: dict[str, str], words: str
) -> None:
    response = send(books, "propose", sample=sample(bill(PAID, REFUNDED)), **changes)
    assert response.status_code == 400
    assert words in text_of(response)
    assert not ApprovalRequest.objects.filter(action="channels.format_mapping").exists()


def test_a_sample_that_is_too_large_is_refused(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payops.console.views.mappings.SAMPLE_LIMIT", 100)
    response = send(books, "try", sample=sample(HEADER * 10))
    assert response.status_code == 400
    assert "larger than 100 bytes" in text_of(response)


def test_a_version_is_shown_part_by_part_and_changed_by_proposing_the_next(books: Books, read: Read) -> None:
    made = configuration.mapping()
    page = read("carol", "mapping", made.pk)
    for words in ("generic:newpay", "流水号", "日期 + 时间", "类型 = 退款: refund"):
        assert words in page
    assert "generic:newpay" in read("carol", "mapping_list")
    form = read("alice", "mapping_change", made.pk)
    assert 'value="流水号"' in form
    response = send(books, "propose", "alice", "mapping_change", made.pk, sample=sample(bill(PAID, REFUNDED)))
    proposal = ApprovalRequest.objects.order_by("-id").first()
    assert response.url == address("approval", proposal.pk)
    books.client("bob").post(address("approval_approve", proposal.pk))
    assert FormatMapping.objects.order_by("-version").first().version == 2


# --- decided otherwise, too late, by the wrong person -----------------------------------------------------------------


def proposed(books: Books, username: str = "alice", **changes: Any) -> ApprovalRequest:
    response = send(books, "propose", username, sample=sample(bill(PAID, REFUNDED)), **changes)
    assert response.status_code == 302, text_of(response)
    return ApprovalRequest.objects.filter(action="channels.format_mapping").latest("id")


def test_a_mapping_that_is_refused_reads_no_file(books: Books, read: Read) -> None:
    request = proposed(books)
    books.client("bob").post(address("approval_reject", request.pk), {"note": "The fee column is the wrong one."})
    request.refresh_from_db()
    assert (request.status, FormatMapping.objects.count()) == ("rejected", 0)
    assert "The fee column is the wrong one." in read("alice", "approval", request.pk)


def test_who_proposed_a_mapping_does_not_agree_to_it(books: Books) -> None:
    request = proposed(books)
    books.client("alice").post(address("approval_approve", request.pk))
    request.refresh_from_db()
    assert (request.status, FormatMapping.objects.count()) == ("pending", 0)


@pytest.mark.parametrize("button", ["try", "propose"])
def test_an_auditor_neither_tries_nor_proposes_a_mapping(books: Books, button: str) -> None:
    response = send(books, button, "carol", sample=sample(bill(PAID, REFUNDED)))
    assert response.status_code == 403
    assert not ApprovalRequest.objects.filter(action="channels.format_mapping").exists()


def test_while_a_change_waits_another_of_the_same_mapping_is_refused(books: Books) -> None:
    made = configuration.mapping()
    send(books, "propose", "alice", "mapping_change", made.pk, sample=sample(bill(PAID, REFUNDED)))
    second = send(books, "propose", "alice", "mapping_change", made.pk, sample=sample(bill(PAID, REFUNDED)))
    assert second.status_code == 400
    assert ApprovalRequest.objects.filter(action="channels.format_mapping", status="pending").count() == 1
