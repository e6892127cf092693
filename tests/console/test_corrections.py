"""Corrections in the console: find the voucher, tick, say what is right, look, propose; and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payops.accounts.models import CorrectedEntry, Correction, Voucher
from payops.approvals.services import request_approve
from payops.console.views import corrections
from payops.core.formatting import money
from payops.merchants.models import Merchant
from payops.orders.models import Transaction
from tests.console import documents
from tests.console.conftest import MON, TUE, Books, address, text_of

Read = Callable[..., str]


def sent(books: Books, voucher: Voucher, who: str = "bob", **changes: Any) -> Any:
    """The guided form, filled in and sent: the credit line was another merchant's."""
    wrong = documents.credit(voucher)
    data = {
        "voucher": str(voucher.pk),
        "scope": "lines",
        "entry": [str(wrong.pk)],
        "account": [documents.other_merchant(voucher).account_no, "", ""],
        "amount": [money(wrong.amount, wrong.currency), "", ""],
        "reason": "The other merchant's sale.",
        "step": "preview",
        **changes,
    }
    return books.client(who).post(address("correction_new"), data)


def test_a_voucher_is_found_by_its_own_number(books: Books) -> None:
    voucher = documents.payment()
    response = books.client("bob").get(address("correction_new", q=str(voucher.pk)))
    assert response.url == address("correction_new", voucher=voucher.pk)


def test_a_voucher_is_found_by_one_of_its_lines(books: Books) -> None:
    voucher = documents.payment()
    response = books.client("bob").get(address("correction_new", q=str(voucher.pk + 2)))
    assert response.url == address("correction_new", voucher=voucher.pk)


def test_a_voucher_is_found_by_its_transaction(books: Books) -> None:
    voucher = documents.payment()
    transaction = Transaction.objects.get(pk=voucher.source_id)
    response = books.client("bob").get(address("correction_new", q=transaction.transaction_no))
    assert response.url == address("correction_new", voucher=voucher.pk)


def test_a_voucher_is_found_by_the_number_the_channel_knows_its_payment_by(books: Books) -> None:
    voucher = documents.payment()
    transaction = Transaction.objects.get(pk=voucher.source_id)
    response = books.client("bob").get(address("correction_new", q=transaction.match_key))
    assert response.url == address("correction_new", voucher=voucher.pk)


def test_whoever_corrects_a_cleared_payment_is_told_which_account_it_has_moved_to(
    books: Books, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "settlement account (2202.02)"
    cleared = documents.payment(MON)
    assert said in read("bob", "correction_new", voucher=cleared.pk)
    assert said in text_of(sent(books, cleared))
    monkeypatch.setattr(corrections, "row_is_cleared", lambda row: None)
    assert said not in read("bob", "correction_new", voucher=cleared.pk)


def test_the_preview_names_the_merchants(books: Books) -> None:
    voucher = documents.payment()
    other = documents.other_merchant(voucher)
    assert Merchant.objects.get(merchant_no=other.owner_no).name in text_of(sent(books, voucher))


def test_what_is_not_found_is_said(read: Read) -> None:
    assert "Nothing has the number “X-1”" in read("bob", "correction_new", q="X-1")


def test_the_form_offers_the_kinds_that_follow_from_the_days(read: Read) -> None:
    closed = read("bob", "correction_new", voucher=documents.payment(MON).pk)
    assert "Next-day correction" in closed
    assert "Next-day red reversal" in closed
    assert "Same-day wipe" not in closed


def test_the_form_shows_the_lines_of_the_voucher(read: Read) -> None:
    voucher = documents.payment()
    text = read("bob", "correction_new", voucher=voucher.pk)
    assert f'value="{voucher.pk + 1}"' in text
    assert f'value="{voucher.pk + 2}"' in text


def test_the_vouchers_page_leads_to_the_form_for_who_may_correct(read: Read) -> None:
    voucher = documents.payment()
    target = address("correction_new", voucher=voucher.pk)
    assert target in read("bob", "voucher", voucher.pk)
    assert target not in read("carol", "voucher", voucher.pk)


def test_the_preview_shows_red_and_blue_and_books_nothing(books: Books) -> None:
    voucher = documents.payment()
    wrong = documents.credit(voucher)
    text = text_of(sent(books, voucher))
    assert f"-{money(wrong.amount, wrong.currency)}" in text
    assert documents.other_merchant(voucher).account_no in text
    assert "What it does to the accounts" in text
    assert not Correction.objects.exists()


def test_going_back_keeps_what_was_filled_in(books: Books) -> None:
    voucher = documents.payment()
    text = text_of(sent(books, voucher, step="change"))
    assert f'value="{documents.other_merchant(voucher).account_no}"' in text
    assert "The other merchant&#x27;s sale." in text


def test_finance_proposes_a_next_day_correction_and_another_person_books_it(books: Books, read: Read) -> None:
    voucher = documents.payment()
    response = sent(books, voucher, who="alice", step="propose")
    proposed = Correction.objects.get()
    assert response.url == address("correction", proposed.pk)
    assert "What will be booked once it is approved" in read("carol", "correction", proposed.pk)
    books.client("bob").post(address("approval_approve", proposed.approval_id), {"note": ""})
    text = read("carol", "correction", proposed.pk)
    assert "Booked by this correction" in text
    link = CorrectedEntry.objects.get()
    assert f"corrected by {proposed.number}" in read("carol", "voucher", voucher.pk)
    assert str(link.red_entry_id) in read("carol", "voucher", link.red_entry_id // 1000 * 1000)
    assert address("voucher", proposed.vouchers.get().voucher_id) in read("carol", "approval", proposed.approval_id)


def test_a_finance_user_proposes_but_does_not_approve_its_own(books: Books) -> None:
    sent(books, documents.payment(), who="bob", step="propose")
    proposed = Correction.objects.get()
    books.client("bob").post(address("approval_approve", proposed.approval_id), {"note": ""})
    proposed.refresh_from_db()
    assert proposed.state == "proposed"


def test_totals_that_do_not_agree_come_back_with_what_was_written(books: Books) -> None:
    response = sent(books, documents.payment(), amount=["1.00"])
    assert response.status_code == 400
    assert "they must be equal" in text_of(response)
    assert 'value="1.00"' in text_of(response)


def test_an_amount_that_is_none_is_marked_in_its_row(books: Books) -> None:
    response = sent(books, documents.payment(), amount=["12,34.5"])
    assert response.status_code == 400
    assert 'value="12,34.5"' in text_of(response)
    assert text_of(response).count('role="alert"') == 2


def test_an_unknown_account_is_named(books: Books) -> None:
    response = sent(books, documents.payment(), account=["220201-NOBODY"])
    assert "There is no account “220201-NOBODY”" in text_of(response)


def test_a_reason_is_asked_for_before_the_preview(books: Books) -> None:
    assert "Say why the voucher is wrong" in text_of(sent(books, documents.payment(), reason=" "))


def test_a_whole_voucher_is_previewed_and_proposed(books: Books) -> None:
    voucher = documents.payment()
    text = text_of(sent(books, voucher, scope="whole"))
    assert f"Cancels voucher {voucher.pk}" in text
    sent(books, voucher, scope="whole", step="propose")
    assert Correction.objects.get().kind == "red_reversal"


def test_a_second_click_proposes_nothing_more(books: Books) -> None:
    voucher = documents.payment()
    sent(books, voucher, step="propose")
    response = sent(books, voucher, step="propose")
    assert response.status_code == 400
    assert "already waits for approval" in text_of(response)
    assert Correction.objects.count() == 1


def test_a_corrected_line_cannot_be_ticked_again(books: Books, read: Read) -> None:
    proposed = documents.correction()
    request_approve(request_id=proposed.approval_id, checker=books.user("bob"))
    text = read("alice", "correction_new", voucher=proposed.voucher_id)
    assert f"corrected by {proposed.number}" in text
    assert "data-refused" in text


def test_the_account_ledger_marks_both_lines_for_auditors(books: Books, read: Read) -> None:
    proposed = documents.correction()
    request_approve(request_id=proposed.approval_id, checker=books.user("bob"))
    wrong = documents.credit(Voucher.objects.get(pk=proposed.voucher_id))
    text = read("carol", "account", wrong.account_id, first=MON, last=documents.open_day())
    assert f"corrected by {proposed.number}" in text
    assert f"takes a line back, {proposed.number}" in text


def test_the_list_filters_by_state_and_exports(books: Books, read: Read) -> None:
    proposed = documents.correction()
    assert proposed.number in read("carol", "correction_list", state="proposed")
    assert proposed.number not in read("carol", "correction_list", state="booked")
    assert proposed.number in read("carol", "correction_list", export="csv")


def test_a_correction_is_found_by_its_number(books: Books) -> None:
    proposed = documents.correction()
    response = books.client("carol").get(address("find", q=proposed.number))
    assert response.url == address("correction", proposed.pk)


def test_the_voucher_of_a_correction_leads_to_it(books: Books, read: Read) -> None:
    proposed = documents.correction()
    request_approve(request_id=proposed.approval_id, checker=books.user("bob"))
    assert address("correction", proposed.pk) in read("carol", "voucher", proposed.vouchers.get().voucher_id)


def test_who_only_looks_is_refused_the_form(books: Books) -> None:
    assert books.client("carol").get(address("correction_new")).status_code == 403
    assert sent(books, documents.payment(), who="carol", step="propose").status_code == 403


def test_a_voucher_that_does_not_exist_is_not_found(books: Books) -> None:
    for number in ("261116999999999000", "x", "9" * 40):
        assert books.client("bob").get(address("correction_new", voucher=number)).status_code == 404


def test_accounts_are_suggested_by_number_subject_and_owner(books: Books) -> None:
    account = documents.other_merchant(documents.payment())
    client = books.client("bob")
    for words in (account.account_no[:9], account.owner_no, f"2202.01 {account.owner_no}"):
        found = client.get(address("account_suggest", q=words, currency="CNY")).json()["accounts"]
        assert account.account_no in [each["number"] for each in found], words
    assert client.get(address("account_suggest", q="")).json() == {"accounts": []}


def test_the_open_day_is_wiped_not_corrected(books: Books, read: Read) -> None:
    voucher = Voucher.objects.for_days(documents.open_day()).order_by("id").first()
    assert voucher is not None
    assert "Same-day wipe" in read("bob", "correction_new", voucher=voucher.pk)
    assert documents.open_day() > TUE


def test_the_lists_cost_the_same_however_many_rows(books: Books, django_assert_max_num_queries: Any) -> None:
    client = books.client("carol")
    for day in (MON, TUE):
        documents.correction(documents.payment(day))
    documents.batch()
    for name in ("correction_list", "manual_voucher_list"):
        client.get(address(name))
        with django_assert_max_num_queries(8):
            client.get(address(name))
