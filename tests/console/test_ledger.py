"""The ledger in the console: from the trial balance to the accounts, their entries, vouchers and documents."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from payops.accounts.chart import dotted
from payops.accounts.models import Account, AccountingDay, DayFinding, Entry, PostingRule, Subject, Voucher
from payops.accounts.selectors import account_ledger, customers_money_guard, open_day, trial_balance
from payops.accounts.services import posting_rule_create
from payops.console.sources import SOURCE_LABELS, source_cells
from payops.core.formatting import money
from payops.core.ids import day_of
from payops.settlement.models import SettlementSheet
from tests.console.conftest import MON, TUE, Books, address

Read = Callable[..., str]
ONE_DAY = dt.timedelta(days=1)


def minor(cell: Any) -> int:
    """The amount a cell shows, in minor units."""
    return int(Decimal(cell.raw or 0) * 100)


def context(books: Books, name: str, *args: Any, **query: Any) -> Any:
    response = books.client("carol").get(address(name, *args, **query))
    assert response.status_code == 200
    return response.context


def account_of(subject: str) -> Account:
    """The account under a subject with the most entries."""
    accounts = Account.objects.filter(subject__code=subject).select_related("subject")
    return max(accounts, key=lambda account: Entry.objects.for_days(MON, TUE).filter(account=account).count())


# --- trial balance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", [MON, TUE, TUE + ONE_DAY])
def test_the_trial_balance_balances_in_all_three_pairs(books: Books, day: dt.date) -> None:
    (table,) = context(books, "trial_balance", day=day)["tables"]
    totals = [minor(cell) for cell in table.foot[3:]]
    assert totals[0] == totals[1]
    assert totals[2] == totals[3] > 0
    assert totals[4] == totals[5] > 0


def test_the_trial_balance_says_that_it_balances(read: Read) -> None:
    text = read("carol", "trial_balance", day=MON)
    assert "CNY balanced" in text
    assert "Closed day" in text


def test_every_figure_leads_to_the_accounts_it_is_the_sum_of(books: Books) -> None:
    (table,) = context(books, "trial_balance", day=MON)["tables"]
    for row in table.rows:
        code = row[0].text.replace(".", "")
        assert {cell.url for cell in row[3:] if cell.text} == {address("account_list", subject=code, day=MON)}


@pytest.mark.parametrize("day", [MON, TUE + ONE_DAY])
def test_the_accounts_of_a_subject_add_up_to_its_line(books: Books, day: dt.date) -> None:
    for row in trial_balance(day):
        page = context(books, "account_list", subject=row.code, day=day)
        sums = [minor(cell) for _label, cell in page["summary"]]
        assert sums == [row.opening, row.debit, row.credit, row.closing], row.code
        listed = [[minor(cell) for cell in line[5:9]] for line in page["table"].rows]
        assert [sum(column) for column in zip(*listed, strict=True)] == sums, row.code


def test_a_higher_subject_leads_to_the_leaves_below_it(books: Books) -> None:
    (table,) = context(books, "trial_balance", day=MON, level=1)["tables"]
    urls = {row[0].text: row[0].url for row in table.rows}
    assert urls["2202"] == address("trial_balance", day=MON, within="2202")
    (below,) = context(books, "trial_balance", day=MON, within="2202")["tables"]
    assert {row[0].text[:4] for row in below.rows} == {"2202"}
    line = next(row for row in table.rows if row[0].text == "2202")
    assert [minor(cell) for cell in line[5:7]] == [minor(cell) for cell in below.foot[5:7]]


@pytest.mark.parametrize("query", [{"day": "x"}, {"day": "1999-01-01"}, {"level": "9"}, {"within": "22'; --"}])
def test_a_trial_balance_of_nonsense_is_answered_at_its_field(books: Books, query: dict[str, str]) -> None:
    assert books.client("carol").get(address("trial_balance", **query)).status_code == 400


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_an_account_shows_its_entries_with_the_balance_after_each(books: Books) -> None:
    account = account_of("220202")
    page = context(books, "account", account.pk, first=MON, last=TUE)
    ledger = account_ledger(account, MON, TUE)
    assert [minor(row[7]) for row in page["ledger"].rows] == [row.balance for row in ledger.rows]
    figures = [minor(cell) for _label, cell in page["summary"]]
    assert figures == [ledger.opening, ledger.debit, ledger.credit, ledger.closing]


def test_the_balance_goes_on_where_the_page_before_ended(books: Books) -> None:
    account = account_of("300101")
    ledger = account_ledger(account, MON, TUE)
    assert len(ledger.rows) > 50
    first = context(books, "account", account.pk, first=MON, last=TUE)
    second = books.client("carol").get(address("account", account.pk) + first["pages"].older).context
    shown = [minor(row[7]) for page in (first, second) for row in page["ledger"].rows]
    assert shown == [row.balance for row in ledger.rows][: len(shown)]
    back = books.client("carol").get(address("account", account.pk) + second["pages"].newer).context
    assert [row[1].text for row in back["ledger"].rows] == [row[1].text for row in first["ledger"].rows]


def test_an_entry_leads_to_its_voucher_and_its_document(books: Books) -> None:
    account = account_of("300101")
    page = context(books, "account", account.pk, first=MON, last=MON)
    for row in page["ledger"].rows:
        assert row[1].url == address("voucher", row[1].text)
        assert row[3].url


def test_an_account_leads_to_its_owner(books: Books, read: Read) -> None:
    merchant = account_of("220202")
    assert address("merchant", merchant.owner_no) in read("carol", "account", merchant.pk)
    channel = account_of("300101")
    assert address("run_list", contract=channel.owner_no) in read("carol", "account", channel.pk)
    bank = account_of("100201")
    assert address("bank_line_list", account=bank.owner_no) in read("carol", "account", bank.pk)


@pytest.mark.parametrize(
    "period",
    [
        {"first": "x"},
        {"first": "2026-11-17", "last": "2026-11-16"},
        {"first": "2026-01-01", "last": "2026-11-17"},
        {"first": "1990-01-01", "last": "1990-01-02"},
    ],
)
def test_a_period_that_cannot_be_shown_is_refused_in_words(books: Books, period: dict[str, str]) -> None:
    response = books.client("carol").get(address("account", account_of("220202").pk, **period))
    assert response.status_code == 400
    assert 'class="c-error"' in response.content.decode()


def test_an_account_is_found_by_number_and_owner(books: Books, read: Read) -> None:
    account = account_of("220202")
    assert address("account", account.pk) in read("carol", "account_list", account_no=account.account_no)
    assert address("account", account.pk) in read("carol", "account_list", owner_no=account.owner_no)
    assert address("account", account.pk) not in read("carol", "account_list", owner_kind="bank")


# --- vouchers ---------------------------------------------------------------------------------------------------------


def test_vouchers_are_listed_by_day_with_what_they_moved(books: Books, read: Read) -> None:
    voucher = Voucher.objects.for_days(MON).order_by("-id").first()
    text = read("carol", "voucher_list", day=MON)
    assert address("voucher", voucher.pk) in text
    assert address("voucher", voucher.pk) not in read("carol", "voucher_list", day=TUE)


def test_without_a_day_the_open_one_is_shown(books: Books) -> None:
    page = context(books, "voucher_list")
    assert page["filters"].data["day"] == open_day().isoformat()


@pytest.mark.parametrize("day", ["x", "1999-01-01", "2026-02-31"])
def test_vouchers_of_a_day_that_is_none_are_none(books: Books, day: str) -> None:
    assert not context(books, "voucher_list", day=day)["table"].rows


def test_vouchers_can_be_narrowed_to_an_event_and_a_document(books: Books) -> None:
    voucher = Voucher.objects.for_days(MON).filter(event=101).first()
    query = {"day": MON, "event": 101, "source_kind": voucher.source_kind, "source_id": voucher.source_id}
    (row,) = context(books, "voucher_list", **query)["table"].rows
    assert row[0].text == str(voucher.pk)


def test_a_voucher_shows_its_entries_balanced(books: Books) -> None:
    for voucher in Voucher.objects.for_days(MON).order_by("event", "id").distinct("event"):
        table = context(books, "voucher", voucher.pk)["tables"][0]
        assert len(table.rows) == voucher.line_count
        assert minor(table.foot[3]) == minor(table.foot[4])


def test_every_kind_of_document_leads_to_its_page(books: Books) -> None:
    vouchers = Voucher.objects.for_days(MON, open_day()).order_by("source_kind", "id").distinct("source_kind")
    found = source_cells((voucher.source_kind, voucher.source_id) for voucher in vouchers)
    assert {"transaction", "recon_run_voucher", "bank_line", "clearing_item", "payout"} <= {kind for kind, _id in found}
    for (kind, _number), cell in found.items():
        assert kind in SOURCE_LABELS
        assert books.client("carol").get(cell.url).status_code == 200, kind


def test_a_sheet_that_collected_a_recovery_is_a_document_too(books: Books) -> None:
    sheet = SettlementSheet.objects.first()
    cell = source_cells([("settlement_sheet", sheet.pk)])["settlement_sheet", sheet.pk]
    assert (cell.text, cell.url) == (sheet.sheet_no, address("sheet", sheet.pk))


def test_a_document_nobody_knows_stays_words(books: Books) -> None:
    cells = source_cells([("stars", 7), ("payout", 999_999_999)])
    assert [(cell.text, cell.url) for cell in cells.values()] == [("Payout 999999999", ""), ("stars 7", "")]


def test_a_voucher_leads_to_its_rule_and_to_the_others_of_its_document(books: Books, read: Read) -> None:
    payout = Voucher.objects.for_days(MON, open_day()).filter(source_kind="payout").order_by("id").first()
    text = read("carol", "voucher", payout.pk)
    assert address("posting_rule", PostingRule.objects.get(event=payout.event).pk) in text
    others = Voucher.objects.for_days(day_of(payout.pk), open_day()).filter(
        source_kind="payout", source_id=payout.source_id
    )
    for other in others.exclude(pk=payout.pk):
        assert address("voucher", other.pk) in text


# --- days -------------------------------------------------------------------------------------------------------------


def test_days_are_listed_with_their_seals(books: Books, read: Read) -> None:
    text = read("carol", "day_list")
    for day in AccountingDay.objects.all():
        assert address("day", day.day) in text
        assert day.seal[:16] in text


def test_a_closed_day_shows_each_check_and_its_balances(read: Read) -> None:
    text = read("carol", "day", MON)
    assert "Debit total = credit total" in text
    assert "nothing found" in text
    assert "Balances by subject (CNY)" in text
    assert AccountingDay.objects.get(day=MON).seal in text


def test_a_finding_is_shown_on_its_day_and_in_the_list(read: Read) -> None:
    DayFinding.objects.create(
        day_id=AccountingDay.objects.get(state="open").day, check_name="trial_balance", level="error", message="Off."
    )
    assert "Off." in read("carol", "day", AccountingDay.objects.get(state="open").day)


def test_a_day_not_closed_has_not_been_checked(read: Read) -> None:
    assert "Checks of the day end" not in read("carol", "day", AccountingDay.objects.get(state="open").day)


@pytest.mark.parametrize("day", ["x", "2026-02-31", "2031-01-01"])
def test_a_day_that_is_none_is_not_found(books: Books, day: str) -> None:
    assert books.client("carol").get(f"/console/ledger/days/{day}/").status_code == 404


@pytest.mark.parametrize("cursor", ["abc", "2026-02-31"])
def test_a_broken_cursor_of_days_is_refused(books: Books, cursor: str) -> None:
    assert books.client("carol").get(address("day_list", after=cursor)).status_code == 400


# --- the customers' money ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", [MON, TUE + ONE_DAY])
def test_the_guards_terms_make_the_own_money(books: Books, day: dt.date) -> None:
    table = context(books, "money_guard", day=day)["tables"][0]
    signs = {"+": 1, "−": -1}
    own = sum(signs[row[0].text] * minor(row[3]) for row in table.rows)
    assert own == minor(table.foot[3]) == customers_money_guard(day)["currencies"]["CNY"]["own_money"]


def test_each_term_of_the_guard_leads_to_accounts_that_add_up_to_it(books: Books) -> None:
    for row in context(books, "money_guard", day=MON)["tables"][0].rows:
        if row[3].url.startswith(address("account_list")):
            page = books.client("carol").get(row[3].url).context
            closing = {str(label).split(" ")[0]: cell for label, cell in page["summary"]}["Closing"]
            assert minor(closing) == minor(row[3]), row[1].text


def test_a_guard_of_nonsense_is_answered_at_its_field(books: Books) -> None:
    assert books.client("carol").get(address("money_guard", day="x")).status_code == 400


# --- posting rules ----------------------------------------------------------------------------------------------------


def test_every_event_is_listed_with_what_it_books(read: Read) -> None:
    text = read("carol", "posting_rule_list")
    for rule in PostingRule.objects.all():
        assert address("posting_rule", rule.pk) in text
    assert "2202.02 A - X - F" in text


def test_a_rule_shows_its_lines_and_versions(books: Books, read: Read) -> None:
    rule = PostingRule.objects.get(event=101)
    later = posting_rule_create(
        event=101, lines=rule.lines, effective_day=open_day() + 30 * ONE_DAY, created_by="alice"
    )
    text = read("carol", "posting_rule", rule.pk)
    assert address("posting_rule", later.pk) in text
    assert Subject.objects.get(code="300101").name in text
    assert dotted("300101") in text
    assert "a newer one waits" in read("carol", "posting_rule_list")


# --- every page -------------------------------------------------------------------------------------------------------


def test_nobody_has_a_button_that_changes_the_books(books: Books, read: Read) -> None:
    account, voucher = account_of("220202"), Voucher.objects.for_days(MON).first()
    pages = [
        ("trial_balance", ()), ("account_list", ()), ("account", (account.pk,)), ("voucher_list", ()),
        ("voucher", (voucher.pk,)), ("day_list", ()), ("day", (MON,)), ("money_guard", ()), ("posting_rule_list", ()),
    ]  # fmt: skip
    for name, args in pages:
        main = read("bob", name, *args).split("<main", 1)[1]
        assert not re.search(r'method="post"', main), name


@pytest.mark.parametrize(
    ("name", "queries"),
    [("account_list", 6), ("voucher_list", 5), ("day_list", 4), ("posting_rule_list", 12)],
)
def test_a_list_costs_the_same_queries_however_long(
    books: Books, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int
) -> None:
    client = books.client("carol")
    with django_assert_num_queries(queries):
        client.get(address(name, day=MON))


def test_amounts_are_written_as_operators_know_them(read: Read) -> None:
    row = next(row for row in trial_balance(MON) if row.code == "300101")
    assert money(row.debit) in read("carol", "trial_balance", day=MON)
