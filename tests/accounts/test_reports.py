"""The ledger's reports: every figure is made of the entries, and closed days are read without them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from payops.accounts import reports, services
from payops.accounts.buffering import drain
from payops.accounts.choices import Element, Event
from payops.accounts.classification import (
    classification_load,
    classified,
    event_totals,
    mapped_report,
    mapped_reports,
)
from payops.accounts.erp import erp_lines
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.models import (
    Account,
    ClassificationRule,
    Entry,
    PostingRule,
    ReportLine,
    ReportTerm,
    Subject,
    Voucher,
)
from payops.accounts.modes import mode_set
from payops.accounts.selectors import account_ledger, trial_balance
from payops.core.errors import PayopsError
from payops.core.partitions import ensure_days
from tests.accounts.conftest import MONDAY, TUESDAY, Book, set_up_ledger

WEDNESDAY = dt.date(2026, 11, 18)
ONE_DAY = dt.timedelta(days=1)


def close(day: dt.date) -> None:
    services.day_cut_off(day)
    services.close_day(day)


@pytest.fixture
def days(book: Book) -> Book:
    """Monday closed: 100 paid to A, 60 of it voided. Tuesday cut off: 40 paid to B. Wednesday open: 5 paid to A."""
    classification_load()
    book(Event.PAYMENT, A=100)
    book(Event.VOID, A=60)
    close(MONDAY)
    book(Event.PAYMENT, {"channel": "up", "merchant": "M-B"}, A=40)
    services.day_cut_off(TUESDAY)
    book(Event.PAYMENT, A=5)
    return book


def figures(row: Any) -> tuple[int, int, int, int]:
    return row.opening, row.debit, row.credit, row.closing


def subject(code: str) -> Subject:
    return reports.subject_by_code(code)


def account(number: str) -> Account:
    return reports.account_by_number(number)


# --- subject daily sheet ----------------------------------------------------------------------------------------------


def test_the_daily_sheet_counts_entries_beside_the_turnover(days: Book) -> None:
    sheet = {row.balance.dotted_code: row for row in reports.subject_daily_sheet(MONDAY)}
    pending = sheet["2202.01"]
    assert (pending.debit_count, pending.credit_count) == (1, 1)
    assert (pending.balance.opening, pending.balance.debit, pending.balance.credit, pending.balance.closing) == (
        0,
        60,
        100,
        40,
    )


def test_the_daily_sheet_of_a_day_still_open_equals_that_of_the_same_day_closed(days: Book) -> None:
    before = reports.subject_daily_sheet(TUESDAY)
    services.close_day(TUESDAY)
    assert reports.subject_daily_sheet(TUESDAY) == before


def test_the_daily_sheet_sums_up_to_a_level(days: Book) -> None:
    days(Event.REFUND_ACCEPTED_PENDING, A=3)
    (row,) = [row for row in reports.subject_daily_sheet(WEDNESDAY, level=1) if row.balance.code == "2202"]
    assert (row.debit_count, row.credit_count, row.balance.debit, row.balance.credit) == (1, 2, 3, 8)


# --- general ledger ---------------------------------------------------------------------------------------------------


def test_the_general_ledger_has_a_row_for_every_day_closed_or_not(days: Book) -> None:
    (part,) = reports.general_ledger(subject("2202.01"), MONDAY, WEDNESDAY)
    assert [(row.day, row.opening, row.debit, row.credit, row.closing) for row in part.rows] == [
        (MONDAY, 0, 60, 100, 40),
        (TUESDAY, 40, 0, 40, 80),
        (WEDNESDAY, 80, 0, 5, 85),
    ]
    assert (part.opening, part.debit, part.credit, part.closing) == (0, 60, 145, 85)


def test_the_general_ledger_opens_with_days_cut_off_but_not_closed(days: Book) -> None:
    (part,) = reports.general_ledger(subject("2202"), WEDNESDAY, WEDNESDAY)
    assert (part.opening, part.credit, part.closing) == (80, 5, 85)


def test_the_general_ledger_keeps_currencies_apart(days: Book) -> None:
    services.open_channel_accounts("wx", "USD")
    services.open_merchant_accounts("M-A", "USD")
    services.post(days.posting(Event.PAYMENT, A=7)._replace(currency="USD"))
    parts = reports.general_ledger(subject("2202.01"), MONDAY, WEDNESDAY)
    assert [(part.currency, part.closing) for part in parts] == [("CNY", 85), ("USD", 7)]


@pytest.mark.parametrize("day", [MONDAY, TUESDAY, WEDNESDAY])
def test_the_general_ledger_of_a_day_is_the_line_of_the_trial_balance(days: Book, day: dt.date) -> None:
    for row in trial_balance(day):
        (part,) = reports.general_ledger(subject(row.code), day, day)
        assert (part.opening, part.debit, part.credit, part.closing) == (
            row.opening,
            row.debit,
            row.credit,
            row.closing,
        )


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_an_account_day_by_day(days: Book) -> None:
    rows = reports.account_days(account("220201-M-A"), MONDAY, WEDNESDAY)
    assert [(row.day, row.opening, row.debit, row.credit, row.closing) for row in rows] == [
        (MONDAY, 0, 60, 100, 40),
        (TUESDAY, 40, 0, 0, 40),
        (WEDNESDAY, 40, 0, 5, 45),
    ]


def test_the_streamed_account_ledger_is_the_account_ledger(days: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "CHUNK", 1)
    whole = account_ledger(account("220201-M-A"), MONDAY, WEDNESDAY)
    assert list(reports.account_ledger_rows(account("220201-M-A"), MONDAY, WEDNESDAY)) == whole.rows
    assert len(whole.rows) == 3


def test_day_balances_list_every_account_of_a_closed_day(days: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "CHUNK", 1)
    rows = [(row.account_no, row.opening, row.closing) for row in reports.day_balances(MONDAY)]
    assert rows == [("300101-wx", 0, 40), ("220201-M-A", 0, 40)]
    assert [row.account_no for row in reports.day_balances(MONDAY, subject="2202")] == ["220201-M-A"]


def test_day_balances_of_a_day_not_closed_are_refused(days: Book) -> None:
    with pytest.raises(PayopsError) as caught:
        reports.day_balances(TUESDAY)
    assert caught.value.code == "reports.day_not_closed"


def test_the_balance_at_a_moment_counts_what_was_posted_by_then(days: Book) -> None:
    found = account("220201-M-A")
    before = timezone.now()
    assert reports.balance_at(found, before).balance == 45
    vouchers = Voucher.objects.for_days(WEDNESDAY).order_by("id")
    just_before = vouchers[0].posted_at - dt.timedelta(microseconds=1)
    at = reports.balance_at(found, just_before)
    assert (at.base_day, at.base) == (MONDAY, 40)
    assert at.balance == 40


def test_a_buffered_account_held_the_sum_of_its_entries_drained_or_not(days: Book) -> None:
    found = account("220201-M-A")
    mode_set(account=found, event=Event.PAYMENT, mode="buffered", effective_day=WEDNESDAY + ONE_DAY, by="bob")
    services.day_cut_off(WEDNESDAY)
    days(Event.PAYMENT, A=1_000)
    found.refresh_from_db()
    now = timezone.now()
    assert (found.balance, reports.balance_at(found, now).balance) == (45, 1_045)
    drain()
    found.refresh_from_db()
    assert (found.balance, reports.balance_at(found, now).balance) == (1_045, 1_045)


def test_before_the_first_entry_the_balance_was_zero(days: Book) -> None:
    assert reports.balance_at(account("220201-M-A"), timezone.now() - dt.timedelta(days=400)).balance == 0


def test_an_account_or_subject_that_is_none_is_named(days: Book) -> None:
    with pytest.raises(PayopsError, match="220201-X"):
        account("220201-X")
    with pytest.raises(PayopsError, match="9999"):
        subject("9999")


# --- periods ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def november(db: None) -> Book:
    """The ledger opened on 29 November; the month has ended."""
    set_up_ledger(dt.date(2026, 11, 29))
    book = Book()
    book(Event.PAYMENT, A=100)
    ensure_days(dt.date(2026, 11, 29), dt.date(2026, 12, 3))
    close(dt.date(2026, 11, 29))
    book(Event.VOID, A=30)
    close(dt.date(2026, 11, 30))
    return book


def test_a_period_has_a_trial_balance_of_its_own(november: Book) -> None:
    (month,) = reports.periods_written()
    assert month.label == "2026-11"
    rows = {
        row.dotted_code: (row.opening, row.debit, row.credit, row.closing)
        for row in reports.period_trial_balance(month)
    }
    assert rows == {"2202.01": (0, 30, 100, 70), "3001.01": (0, 100, 30, 70)}
    assert [row.code for row in reports.period_trial_balance(month, level=1)] == ["2202", "3001"]
    assert [row.account_no for row in reports.period_account_balances(month, subject="2202")] == ["220201-M-A"]
    assert not reports.period_is_empty(month)


def test_a_period_that_has_not_ended_is_unknown(november: Book) -> None:
    assert reports.period_named("2026-11").kind == "month"
    with pytest.raises(PayopsError) as caught:
        reports.period_named("2026-Q4")
    assert caught.value.code == "reports.period_unknown"


# --- closed days are read without entries -----------------------------------------------------------------------------

READS = {
    "trial balance": lambda: trial_balance(MONDAY),
    "daily sheet": lambda: reports.subject_daily_sheet(MONDAY),
    "general ledger": lambda: reports.general_ledger(subject("2202"), MONDAY, MONDAY),
    "account days": lambda: reports.account_days(account("220201-M-A"), MONDAY, MONDAY),
    "day balances": lambda: list(reports.day_balances(MONDAY)),
    "classification": lambda: classified(MONDAY, MONDAY),
    "mapped report": lambda: mapped_report("customer_flows", MONDAY, MONDAY),
}


@pytest.mark.parametrize("name", READS)
def test_a_closed_day_is_read_without_its_entries(days: Book, name: str) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert READS[name]()
    assert not [query["sql"] for query in queries if "accounts_entry" in query["sql"]]
    assert len(queries) <= 8


# --- classification ---------------------------------------------------------------------------------------------------


def test_the_day_is_summed_by_code_first_then_by_subject(days: Book) -> None:
    rows = [
        (row.code.code, row.subject.code, row.debit, row.credit, row.entries) for row in classified(MONDAY, WEDNESDAY)
    ]
    assert rows == [
        ("PAY", "220201", 0, 145, 3),
        ("PAY", "300101", 145, 0, 3),
        ("PAY-VOID", "220201", 60, 0, 1),
        ("PAY-VOID", "300101", 0, 60, 1),
    ]


def test_an_event_nobody_classified_is_shown_and_not_left_out(days: Book) -> None:
    ClassificationRule.objects.filter(event=Event.VOID).delete()
    rows = classified(MONDAY, MONDAY)
    assert [(row.code, row.subject.code, row.debit) for row in rows if row.code is None] == [
        (None, "220201", 60),
        (None, "300101", 0),
    ]
    assert sum(row.debit for row in rows) == sum(row.credit for row in rows)


def test_totals_by_event_equal_the_entries(days: Book) -> None:
    totals = event_totals(MONDAY, WEDNESDAY)
    entries = list(Entry.objects.for_days(MONDAY, WEDNESDAY))
    assert sum(total.debit for total in totals) == sum(entry.amount for entry in entries if entry.side == "D")
    assert sum(total.debit_count + total.credit_count for total in totals) == len(entries)


def test_a_new_report_is_only_a_new_mapping(days: Book, tmp_path: Path) -> None:
    path = tmp_path / "classification.yaml"
    path.write_text(
        "- {code: P, name: Payments, name_zh: 收款, events: [PAYMENT, VOID]}\n"
        '- {report: regulator, line: 1, name: Net, name_zh: 净额, terms: [["+", P, "2202", C], ["-", P, "2202", D]]}\n',
        encoding="utf-8",
    )
    classification_load(path=path)
    assert mapped_reports() == ["regulator"]
    (row,) = mapped_report("regulator", MONDAY, WEDNESDAY)
    assert (row.line.name, row.currency, row.amount) == ("Net", "CNY", 85)


def test_customers_money_by_flow(days: Book) -> None:
    days(Event.REFUND_ACCEPTED_PENDING, A=10)
    days(Event.REFUND_TAKEN, A=10)
    days(Event.CLEARING_NET, A=30, X=0, F=2)
    days(Event.PAYOUT_SUBMITTED, P=28)
    days(Event.PAYOUT_CONFIRMED, P=28)
    days(Event.PAYOUT_RETURNED, P=28)
    amounts = [row.amount for row in mapped_report("customer_flows", MONDAY, WEDNESDAY)]
    assert amounts == [85, -10, -28, 28, 0]
    assert mapped_report("result", MONDAY, WEDNESDAY)[0].amount == 2


def test_the_lines_of_the_result_are_income_less_expense(days: Book) -> None:
    days(Event.BILL_NETTED, S=99, K=1)
    days(Event.CLEARING_NET, A=30, X=0, F=2)
    days(Event.SHORTAGE_FOUND, D=7)
    days(Event.LOSS, D=7)
    numbers = ["660301", "100202-B-O1"]
    lines = [RawLine(numbers[0], "D", 5), RawLine(numbers[1], "C", 5)]
    post_lines(LinesPosting(Event.MANUAL, "manual_voucher", 1, lines, WEDNESDAY))
    earned = sum(
        row.credit - row.debit for row in trial_balance(WEDNESDAY) if row.element in {Element.INCOME, Element.EXPENSE}
    )
    assert sum(row.amount for row in mapped_report("result", WEDNESDAY, WEDNESDAY)) == earned == 2 - 1 - 7 - 5


def test_every_event_that_can_reach_income_or_expense_is_in_the_result(days: Book) -> None:
    """Whatever a posting rule may book under 6… is under a term of the report, so that nothing earned is left out."""
    terms = {
        (term.code_id, subject.code)
        for term in ReportTerm.objects.filter(line__report="result").select_related("subject")
        for subject in Subject.objects.filter(code__startswith=term.subject.code, is_leaf=True)
    }
    codes = dict(ClassificationRule.objects.values_list("event", "code_id"))
    missing = {
        (rule.get_event_display(), line["subject"])
        for rule in PostingRule.objects.all()
        for line in rule.lines
        if line["subject"].startswith("6") and (codes[rule.event], line["subject"].replace(".", "")) not in terms
    }
    assert missing == set()


def test_loading_the_classification_again_changes_nothing(days: Book) -> None:
    before = [list(model.objects.values_list()) for model in (ClassificationRule,)]
    lines = ReportLine.objects.count()
    classification_load()
    assert [list(model.objects.values_list()) for model in (ClassificationRule,)] == before
    assert ReportLine.objects.count() == lines


def test_every_event_has_a_classification_code(days: Book) -> None:
    classed = set(ClassificationRule.objects.values_list("event", flat=True))
    assert [event.name for event in Event if event.value not in classed] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- {code: P, name: x, name_zh: x}", "missing events"),
        ("- {code: P, name: x, name_zh: x, events: [NONE]}", "no event “NONE”"),
        ("- {report: r, line: 1, name: x, name_zh: x}", "missing terms"),
        ('- {report: r, line: 1, name: x, name_zh: x, terms: [["+", P, "2202", C]]}', "no code “P”"),
        (
            "- {code: P, name: x, name_zh: x, events: []}\n"
            '- {report: r, line: 1, name: x, name_zh: x, terms: [["+", P, "9", C]]}',
            "no subject “9”",
        ),
        (
            "- {code: P, name: x, name_zh: x, events: []}\n"
            '- {report: r, line: 1, name: x, name_zh: x, terms: [["*", P, "2202", C]]}',
            "a sign, a code",
        ),
        ("- {name: x}", "neither a code nor a line"),
    ],
)
def test_a_wrong_classification_is_refused_and_changes_nothing(
    days: Book, tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "classification.yaml"
    path.write_text(text, encoding="utf-8")
    lines = ReportLine.objects.count()
    with pytest.raises(PayopsError, match=reason) as caught:
        classification_load(path=path)
    assert caught.value.code == "classification.row"
    assert ReportLine.objects.count() == lines > 0


# --- ERP --------------------------------------------------------------------------------------------------------------


def with_erp_codes() -> None:
    for each in Subject.objects.filter(is_leaf=True):
        Subject.objects.filter(pk=each.pk).update(erp_code=f"E{each.code}")


def test_the_erp_gets_one_balanced_voucher_a_day_by_subject(days: Book) -> None:
    with_erp_codes()
    services.close_day(TUESDAY)
    lines = erp_lines(MONDAY, TUESDAY)
    assert [(each.voucher_no, each.line_no, each.erp_code, each.debit, each.credit) for each in lines] == [
        ("PAYOPS-20261116-CNY", 1, "E220201", 60, 0),
        ("PAYOPS-20261116-CNY", 2, "E220201", 0, 100),
        ("PAYOPS-20261116-CNY", 3, "E300101", 100, 0),
        ("PAYOPS-20261116-CNY", 4, "E300101", 0, 60),
        ("PAYOPS-20261117-CNY", 1, "E220201", 0, 40),
        ("PAYOPS-20261117-CNY", 2, "E300101", 40, 0),
    ]


def test_subjects_without_an_erp_code_are_named(days: Book) -> None:
    with_erp_codes()
    Subject.objects.filter(code="300101").update(erp_code="")
    with pytest.raises(PayopsError, match=r"3001\.01") as caught:
        erp_lines(MONDAY, MONDAY)
    assert (caught.value.code, caught.value.context["subjects"]) == ("erp.no_code", ["3001.01"])


def test_an_erp_voucher_that_does_not_balance_is_told_with_the_amount(days: Book) -> None:
    with_erp_codes()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE accounts_daytotal SET debit = debit + 123456"
            " WHERE ctid = (SELECT min(ctid) FROM accounts_daytotal WHERE day = %s AND debit > 0)",
            [MONDAY],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
    with pytest.raises(PayopsError, match=r"debit less credit is 1,234\.56 CNY"):
        erp_lines(MONDAY, MONDAY)


def test_memorandum_accounts_stay_out_of_the_erp_and_of_the_sums(days: Book) -> None:
    Subject.objects.create(code="9001", name="Claims", name_zh="索赔", element=Element.MEMO, normal_side="D")
    claims = services.account_open(subject_code="9001", owner_kind="institution").account_no
    post_lines(LinesPosting(Event.MANUAL, "manual_voucher", 1, [RawLine(claims, "D", 700)], TUESDAY), day=TUESDAY)
    services.close_day(TUESDAY)
    with_erp_codes()
    lines = erp_lines(TUESDAY, TUESDAY)
    assert "9001" not in {each.subject_code for each in lines}
    assert sum(each.debit for each in lines) == sum(each.credit for each in lines) == 40
    assert account(claims).balance == 700


def test_the_erp_gets_closed_days_only(days: Book) -> None:
    with pytest.raises(PayopsError) as caught:
        erp_lines(MONDAY, TUESDAY)
    assert caught.value.code == "erp.day_not_closed"
    with pytest.raises(PayopsError) as caught:
        erp_lines(dt.date(2025, 1, 1), dt.date(2025, 1, 2))
    assert caught.value.code == "erp.no_days"


# --- freezes ----------------------------------------------------------------------------------------------------------


def test_the_freeze_register_lists_slips_in_order(days: Book) -> None:
    slips = [
        services.freeze_place(
            account=account("220201-M-A"),
            amount=each,
            reason="dispute",
            source_kind="case",
            source_id=1,
            created_by="a",
        )
        for each in (10, 20)
    ]
    services.freeze_release(freeze=slips[0])
    assert [slip.amount for slip in reports.freeze_register()] == [10, 20]
    assert [slip.amount for slip in reports.freeze_register(in_force=True)] == [20]
