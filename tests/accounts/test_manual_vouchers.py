"""Manual vouchers: templates, maker and checker, tiers, batches by spreadsheet, and the database's own part."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from typing import Any

import pytest
import xlsxwriter
from django.db import DatabaseError, transaction

from payops.accounts import services
from payops.accounts.choices import DocumentState, Event
from payops.accounts.documents import account_find
from payops.accounts.manual import (
    ManualDraft,
    ManualLine,
    attachment_keep,
    draft_checked,
    manual_batch_propose,
    manual_voucher_propose,
    template_account,
    template_get,
    templates,
)
from payops.accounts.manual_sheet import BatchError, empty_sheet, read_batch
from payops.accounts.models import Account, Entry, ManualVoucher, Subject, Voucher
from payops.accounts.posting import Posting
from payops.approvals.models import ApprovalRequest
from payops.approvals.services import request_approve, request_reject
from payops.core.errors import PayopsError
from payops.core.storage import full_path
from tests.accounts.conftest import MONDAY, OWNERS, TUESDAY
from tests.accounts.documents import approve, lines_of, number
from tests.accounts.test_guards import refused, run

CHARGE = [ManualLine("6603.01", "D", 500), ManualLine("1002.02 O1", "C", 500)]


def draft(lines: list[ManualLine] | None = None, **changes: Any) -> ManualDraft:
    values: dict[str, Any] = {"memo": "Bank charge of November", "business_date": MONDAY, **changes}
    return ManualDraft(lines=CHARGE if lines is None else lines, **values)


@pytest.fixture
def propose(ledger: dt.date, alice: Any) -> Callable[..., ManualVoucher]:
    """``propose(lines)``: by Alice; without lines a bank charge of 5.00."""
    return lambda lines=None, **changes: manual_voucher_propose(draft=draft(lines, **changes), user=alice)


def code_of(action: Callable[[], Any]) -> str:
    with pytest.raises(PayopsError) as caught:
        action()
    return caught.value.code


# --- booking ---


def test_a_manual_voucher_is_booked_when_another_person_approves_it(propose: Any, bob: Any) -> None:
    proposed = propose()
    assert proposed.state == DocumentState.PROPOSED
    assert not Entry.objects.for_days(MONDAY).exists()
    booked = approve(proposed, bob)
    assert booked.state == DocumentState.BOOKED
    assert lines_of(booked.voucher_id) == [(number("660301"), "D", 500), (number("100202", "O1"), "C", 500)]
    voucher = Voucher.objects.get(pk=booked.voucher_id)
    assert (voucher.event, voucher.source_kind, voucher.source_id) == (Event.MANUAL, "manual_voucher", booked.pk)
    assert (voucher.posted_by, voucher.memo) == ("bob", "Bank charge of November")


def test_a_manual_voucher_is_booked_once(propose: Any, bob: Any) -> None:
    booked = approve(propose(), bob)
    assert code_of(lambda: request_approve(request_id=booked.approval_id, checker=bob)) == "approvals.already_decided"
    assert Entry.objects.for_days(MONDAY).count() == 2


def test_finance_may_enter_one_but_not_approve_its_own(ledger: dt.date, bob: Any) -> None:
    proposed = manual_voucher_propose(draft=draft(), user=bob)
    assert code_of(lambda: approve(proposed, bob)) == "approvals.own_request"


def test_an_auditor_enters_none(ledger: dt.date, carol: Any) -> None:
    assert code_of(lambda: manual_voucher_propose(draft=draft(), user=carol)) == "approvals.not_allowed"


def test_a_rejected_one_is_never_booked(propose: Any, bob: Any) -> None:
    proposed = propose()
    request_reject(request_id=proposed.approval_id, checker=bob, note="Whose charge is it?")
    proposed.refresh_from_db()
    assert (proposed.state, proposed.voucher_id) == (DocumentState.REJECTED, None)


@pytest.mark.parametrize(("amount", "tier"), [(5_000_000, 1), (5_000_001, 2)])
def test_above_fifty_thousand_the_second_tier_decides(propose: Any, amount: int, tier: int) -> None:
    lines = [ManualLine("6603.01", "D", amount), ManualLine("1002.02 O1", "C", amount)]
    assert propose(lines).approval.tier == tier


def test_an_account_closed_meanwhile_stops_the_approval(propose: Any, bob: Any) -> None:
    lines = [ManualLine("1002.01 R2", "D", 500), ManualLine("1002.01 R1", "C", 500)]
    proposed = propose(lines)
    services.account_status_set(account=Account.objects.get(account_no=number("100201", "R2")), status="closed")
    assert code_of(lambda: approve(proposed, bob)) == "approvals.target_changed"


# --- what is checked ---


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"memo": " "}, "manual.memo"),
        ({"business_date": TUESDAY}, "manual.business_date"),
        ({"lines": []}, "manual.lines"),
        ({"lines": [ManualLine("6603.01", "D", 500)]}, "manual.unbalanced"),
        ({"lines": [*CHARGE, ManualLine("6603.01", "D", 0)]}, "manual.amount"),
        ({"lines": [*CHARGE, ManualLine("6603.01", "D", -5)]}, "manual.amount"),
        ({"lines": [*CHARGE, ManualLine("6603.01", "X", 5)]}, "manual.side"),
        ({"lines": [*CHARGE, ManualLine("9999", "D", 5)]}, "ledger.unknown_account"),
        ({"lines": [*CHARGE, ManualLine("", "D", 5)]}, "ledger.unknown_account"),
        ({"currency": "USD"}, "ledger.unknown_account"),
    ],
)
def test_what_is_no_voucher_is_refused(ledger: dt.date, changes: dict[str, Any], code: str) -> None:
    assert code_of(lambda: draft_checked(draft(**changes))) == code


def test_an_account_in_another_currency_is_named(ledger: dt.date) -> None:
    wrong = [ManualLine("6603.01", "D", 500), ManualLine(number("100202", "O1"), "C", 500)]
    assert code_of(lambda: draft_checked(draft([wrong[1]], currency="USD"))) == "manual.currency"


@pytest.mark.parametrize(
    ("subject", "owner"),
    [("122101", "wx"), ("224101", "wx"), ("300101", "wx"), ("220203", "M-A"), ("224102", "M-A")],
)
def test_what_a_register_remembers_is_not_moved_by_hand(ledger: dt.date, subject: str, owner: str) -> None:
    lines = [ManualLine(number(subject, owner), "D", 5), ManualLine("1002.02 O1", "C", 5)]
    assert code_of(lambda: draft_checked(draft(lines))) == "manual.registered"


def test_an_unclear_account_is_asked_about(ledger: dt.date) -> None:
    services.open_bank_account("R1", "reserve", "USD")
    with pytest.raises(PayopsError, match="100201-B-R1-USD") as caught:
        account_find("1002.01 R1")
    assert caught.value.code == "ledger.account_unclear"


# --- merchants' accounts: a debit is an instruction ---


@pytest.fixture
def settled(ledger: dt.date) -> Account:
    """Merchant A has 1.00 in its settlement account."""
    services.post(Posting(Event.PAYMENT, "transaction", 1, {"A": 100}, OWNERS, MONDAY))
    services.post(Posting(Event.CLEARING_NET, "clearing_item", 1, {"A": 100, "X": 0, "F": 0}, OWNERS, MONDAY))
    return Account.objects.get(account_no="220202-M-A")


def take(amount: int) -> list[ManualLine]:
    return [ManualLine("220202-M-A", "D", amount), ManualLine("220301-M-A", "C", amount)]


def test_a_deposit_is_taken_from_what_is_available(propose: Any, settled: Account, bob: Any) -> None:
    approve(propose(take(100)), bob)
    assert Account.objects.get(account_no="220301-M-A").balance == 100


def test_more_than_is_available_is_not_taken(propose: Any, settled: Account, bob: Any) -> None:
    services.freeze_place(
        account=settled, amount=1, reason="risk", source_kind="test", source_id="1", created_by="alice"
    )
    assert code_of(lambda: approve(propose(take(100)), bob)) == "ledger.insufficient"
    assert Account.objects.get(account_no="220202-M-A").balance == 100


def test_nothing_is_taken_from_a_stopped_account(propose: Any, settled: Account, bob: Any) -> None:
    services.account_status_set(account=settled, status="stopped")
    assert code_of(lambda: approve(propose(take(100)), bob)) == "ledger.restricted"


def test_what_arrives_is_never_refused(propose: Any, settled: Account, bob: Any) -> None:
    services.account_status_set(account=settled, status="stopped")
    give = [ManualLine("1002.02 O1", "D", 50), ManualLine("220202-M-A", "C", 50)]
    assert approve(propose(give), bob).state == DocumentState.BOOKED


# --- templates ---


def test_every_template_balances_and_names_subjects_of_the_chart(ledger: dt.date) -> None:
    leaves = set(Subject.objects.filter(is_leaf=True).values_list("code", flat=True))
    for template in templates():
        assert {line["side"] for line in template.lines} == {"D", "C"}, template.code
        assert {line["subject"].replace(".", "") for line in template.lines} <= leaves, template.code


def test_bank_interest_debits_the_reserve_and_credits_interest_not_yet_carried() -> None:
    lines = template_get("reserve_interest").lines
    assert [(line["side"], line["subject"]) for line in lines] == [("D", "1002.01"), ("C", "2241.06")]


def test_a_transfer_between_reserve_accounts_leaves_fund_transfer_at_zero(propose: Any, bob: Any) -> None:
    approve(propose([ManualLine("3001.03", "D", 900), ManualLine("1002.01 R1", "C", 900)]), bob)
    approve(propose([ManualLine("1002.01 R2", "D", 900), ManualLine("3001.03", "C", 900)]), bob)
    balances = {name: Account.objects.get(account_no=name).balance for name in ("300103", "100201-B-R1", "100201-B-R2")}
    assert balances == {"300103": 0, "100201-B-R1": -900, "100201-B-R2": 900}


def test_a_template_fills_in_the_account_when_there_is_only_one(ledger: dt.date) -> None:
    own, transfer = template_get("bank_charge").lines[1], template_get("transfer_out").lines[0]
    assert (template_account(own), template_account(transfer)) == ("100202-B-O1", "300103")
    assert template_account(template_get("transfer_out").lines[1]) == "1002.01 "


# --- attachments ---


def test_an_attachment_is_kept_by_its_digest(ledger: dt.date, alice: Any, settings: Any, tmp_path: Any) -> None:
    settings.PAYOPS_FILES_DIR = tmp_path
    stored = attachment_keep(io.BytesIO(b"%PDF-1.7 advice"), "advice.pdf")
    document = manual_voucher_propose(draft=draft(), user=alice, attachment=stored, attachment_name="advice.pdf")
    assert full_path(document.attachment_path).read_bytes() == b"%PDF-1.7 advice"
    assert document.approval.payload["vouchers"][0]["attachment"] == stored.sha256


@pytest.mark.parametrize(("name", "content"), [("a.exe", b"MZ"), ("a.pdf", b"<script>"), ("a", b"%PDF-")])
def test_other_files_are_not_attached(name: str, content: bytes) -> None:
    assert code_of(lambda: attachment_keep(io.BytesIO(content), name)) == "manual.attachment"


# --- batches by spreadsheet ---

HEADER = ["Voucher", "Business date", "Memo", "Side", "Account", "Amount", "Currency"]
GOOD = [
    ["1", "2026-11-16", "Interest", "D", "100201-B-R1", "12.50", "CNY"],
    ["1", "", "", "C", "224106-B-R1", 12.5, ""],
    ["2", dt.date(2026, 11, 16), "Charge", "借", "6603.01", 3, ""],
    ["2", "", "", "贷", "1002.02 O1", "3.00", ""],
]


def sheet(*rows: list[Any], header: list[str] = HEADER) -> io.BytesIO:
    target = io.BytesIO()
    with xlsxwriter.Workbook(target, {"in_memory": True}) as book:
        page = book.add_worksheet()
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        page.write_row(0, 0, header)
        for at, row in enumerate(rows, start=1):
            for column, value in enumerate(row):
                if isinstance(value, dt.date):
                    page.write_datetime(at, column, dt.datetime(value.year, value.month, value.day), day)
                else:
                    page.write(at, column, value)
    target.seek(0)
    return target


def test_a_batch_is_read_as_vouchers_of_several_lines(ledger: dt.date) -> None:
    first, second = read_batch(sheet(*GOOD))
    assert (first.memo, first.business_date, [line.amount for line in first.lines]) == (
        "Interest",
        MONDAY,
        [1250, 1250],
    )
    assert [(line.side, line.amount) for line in second.lines] == [("D", 300), ("C", 300)]


def test_a_batch_is_approved_once_with_its_total_and_booked_whole(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = manual_batch_propose(drafts=read_batch(sheet(*GOOD)), user=alice)
    assert (request.amount, request.payload["count"]) == (1550, 2)
    request_approve(request_id=request.pk, checker=bob)
    assert set(ManualVoucher.objects.values_list("state", "batch_no")) == {("booked", request.target_id)}
    assert Entry.objects.for_days(MONDAY).count() == 4


def test_a_batch_of_which_one_voucher_cannot_be_booked_is_not_booked_at_all(
    ledger: dt.date, settled: Account, alice: Any, bob: Any
) -> None:
    request = manual_batch_propose(drafts=[draft(), draft(take(60)), draft(take(60))], user=alice)
    assert code_of(lambda: request_approve(request_id=request.pk, checker=bob)) == "ledger.insufficient"
    assert set(ManualVoucher.objects.values_list("state", flat=True)) == {"proposed"}


def test_every_wrong_row_is_named_with_column_value_and_reason(ledger: dt.date) -> None:
    rows = [
        ["1", "16.11.2026", "Interest", "D", "100201-B-R1", "12.50", ""],
        ["1", "", "Other", "X", "224106-B-R1", "12.505", ""],
        ["2", "2026-11-16", "Charge", "D", "6603.01", "3", ""],
        ["2", "", "", "C", "nobody", "3", ""],
        ["", "2026-11-16", "Charge", "D", "6603.01", "3", ""],
    ]
    with pytest.raises(BatchError) as caught:
        read_batch(sheet(*rows))
    named = [(error.row, error.column.split()[0], error.value) for error in caught.value.errors]
    assert named == [
        (2, "Business", "16.11.2026"),
        (3, "Side", "X"),
        (3, "Amount", "12.505"),
        (3, "Memo", "Other"),
        (5, "Account", "nobody"),
        (6, "Voucher", ""),
    ]
    assert all(error.reason for error in caught.value.errors)


def test_a_batch_with_a_wrong_row_proposes_nothing(ledger: dt.date) -> None:
    with pytest.raises(BatchError):
        read_batch(sheet(*GOOD, ["3", "2026-11-16", "Half", "D", "6603.01", "1", ""]))
    assert not ManualVoucher.objects.exists()
    assert not ApprovalRequest.objects.exists()


def test_a_batch_is_in_one_currency(ledger: dt.date) -> None:
    services.open_bank_account("R1", "reserve", "USD")
    services.open_bank_account("R2", "reserve", "USD")
    dollars = [
        ["3", "2026-11-16", "Move", "D", "100201-B-R1-USD", "1", "USD"],
        ["3", "", "", "C", "100201-B-R2-USD", "1", "USD"],
    ]
    with pytest.raises(BatchError) as caught:
        read_batch(sheet(*GOOD, *dollars))
    assert [(error.row, error.value) for error in caught.value.errors] == [(6, "USD")]


def test_the_empty_file_can_be_filled_in_and_sent(ledger: dt.date) -> None:
    assert empty_sheet() == empty_sheet()
    with pytest.raises(BatchError) as caught:
        read_batch(io.BytesIO(empty_sheet()))
    # Its example is dated later than the open day: the headings were understood.
    assert [error.value for error in caught.value.errors] == ["2026-11-20"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (io.BytesIO(b"voucher,amount\n1,2\n"), "manual.batch_unreadable"),
        (io.BytesIO(b""), "manual.batch_unreadable"),
        (sheet(["1"], header=["Voucher"]), "manual.batch_header"),
        (sheet(), "manual.batch_empty"),
    ],
)
def test_what_is_no_filled_in_file_is_refused(ledger: dt.date, content: io.BytesIO, code: str) -> None:
    assert code_of(lambda: read_batch(content)) == code


# --- the database's own part, attacked with raw SQL ---


def test_a_manual_voucher_is_not_booked_without_an_executed_approval(propose: Any, bob: Any) -> None:
    proposed, booked = propose(), approve(propose(), bob)
    with refused("PL022"):
        run(
            "UPDATE accounts_manualvoucher SET state = 'booked', booked_at = now(), voucher_id = %s WHERE id = %s",
            booked.voucher_id,
            proposed.pk,
        )
        run("SET CONSTRAINTS ALL IMMEDIATE")


def test_what_was_proposed_stays(propose: Any) -> None:
    propose()
    for change in (
        "lines = '[]'",
        "amount = 1",
        "memo = 'x'",
        "attachment_sha256 = 'x'",
        "business_date = '2020-01-01'",
    ):
        with refused("PL010"):
            run(f"UPDATE accounts_manualvoucher SET {change}")


def test_a_booked_one_never_changes_again(propose: Any, bob: Any) -> None:
    approve(propose(), bob)
    for statement in ("UPDATE accounts_manualvoucher SET state = 'rejected'", "DELETE FROM accounts_manualvoucher"):
        with refused("PL010"):
            run(statement)


def test_manual_vouchers_are_never_emptied(propose: Any, bob: Any) -> None:
    approve(propose(), bob)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with refused("23001"):
        run("TRUNCATE accounts_manualvoucher")


def test_it_is_not_born_booked(ledger: dt.date, alice: Any) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        ManualVoucher.objects.create(
            number="X", memo="x", business_date=MONDAY, lines=[], amount=1, state="booked", proposed_by=alice
        )


def test_the_voucher_of_another_document_is_not_its_voucher(propose: Any, bob: Any) -> None:
    proposed, other = propose(), approve(propose(), bob)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("ALTER TABLE approvals_approvalrequest DISABLE TRIGGER frozen")
    run(
        "UPDATE approvals_approvalrequest SET status = 'executed', checker_id = %s, decided_at = now() WHERE id = %s",
        bob.pk,
        proposed.approval_id,
    )
    with refused("PL021"):
        run(
            "UPDATE accounts_manualvoucher SET state = 'booked', booked_at = now(), voucher_id = %s WHERE id = %s",
            other.voucher_id,
            proposed.pk,
        )
