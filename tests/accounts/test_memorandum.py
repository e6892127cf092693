"""Memorandum subjects: single-sided accounts outside the books, in vouchers of their own (DOMAIN 4.1)."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection

from payops.accounts import checks, rules, selectors, services, verify
from payops.accounts.choices import Element, Event
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.models import Account, Subject
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, Book
from tests.accounts.test_guards import VOUCHER, account, entries, header, key, refused

MEMO = "900101"


@pytest.fixture
def memo(ledger: dt.date) -> Account:
    """A memorandum account of the institution: disputed claims, say."""
    parent = Subject.objects.create(
        code="9001", name="Memorandum", name_zh="表外", element=Element.MEMO, normal_side="D", is_leaf=False
    )
    Subject.objects.create(
        code=MEMO, name="Claims", name_zh="索赔", element=Element.MEMO, normal_side="D", parent=parent
    )
    return services.account_open(subject_code=MEMO, owner_kind="institution")


def manual(source: int, *lines: RawLine) -> LinesPosting:
    return LinesPosting(Event.MANUAL, "manual_voucher", source, lines, MONDAY)


def test_a_memorandum_voucher_has_one_side(memo: Account) -> None:
    post_lines(manual(1, RawLine(memo.account_no, "D", 500)))
    post_lines(manual(2, RawLine(memo.account_no, "C", 200)))
    memo.refresh_from_db()
    assert memo.balance == 300


def test_a_memorandum_voucher_of_several_lines_need_not_balance(memo: Account) -> None:
    post_lines(manual(1, RawLine(memo.account_no, "D", 500), RawLine(memo.account_no, "C", 1)))
    memo.refresh_from_db()
    assert memo.balance == 499


@pytest.mark.parametrize("amount", [5, 7], ids=["balanced", "unbalanced"])
def test_memorandum_accounts_are_never_mixed_with_others(memo: Account, amount: int) -> None:
    key()
    header()
    with refused("PL014"):
        entries((1, memo.pk, "D", 5), (2, account("220201", "M-A"), "C", amount))


def test_mixing_is_refused_among_many_vouchers_of_one_statement(memo: Account) -> None:
    for source, voucher in enumerate((VOUCHER, VOUCHER + 1000), start=1):
        key(voucher, source)
        header(voucher=voucher, source=source)
    pair = account("300101", "wx"), account("220201", "M-A")
    with refused("PL014"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), (1001, memo.pk, "D", 5), (1002, pair[1], "C", 5))


def test_an_unbalanced_voucher_does_not_hide_behind_a_memorandum_voucher(memo: Account) -> None:
    for source, (voucher, count) in enumerate(((VOUCHER, 2), (VOUCHER + 1000, 1)), start=1):
        key(voucher, source)
        header(voucher=voucher, source=source, lines=count)
    pair = account("300101", "wx"), account("220201", "M-A")
    with refused("PL001"):
        entries((1, pair[0], "D", 5), (2, pair[1], "C", 4), (1001, memo.pk, "C", 1))


def test_a_memorandum_voucher_goes_in_beside_balanced_ones(memo: Account) -> None:
    for source, (voucher, count) in enumerate(((VOUCHER, 2), (VOUCHER + 1000, 1)), start=1):
        key(voucher, source)
        header(voucher=voucher, source=source, lines=count)
    pair = account("300101", "wx"), account("220201", "M-A")
    entries((1, pair[0], "D", 5), (2, pair[1], "C", 5), (1001, memo.pk, "D", 5))


def test_a_memorandum_voucher_keeps_its_lines_complete(memo: Account) -> None:
    key()
    header(lines=2)
    with refused("PL002"):
        entries((1, memo.pk, "D", 5))


def test_a_posting_rule_of_memorandum_subjects_need_not_balance(memo: Account) -> None:
    rules.rule_lines_check([{"side": "D", "subject": "9001.01", "owner": "institution", "amount": "A"}])


def test_a_posting_rule_never_mixes_memorandum_subjects_with_others(memo: Account) -> None:
    with pytest.raises(PayopsError) as caught:
        rules.rule_lines_check(
            [
                {"side": "D", "subject": "9001.01", "owner": "institution", "amount": "A"},
                {"side": "C", "subject": "2202.01", "owner": "merchant", "amount": "A"},
            ]
        )
    assert caught.value.code == "rules.memorandum"


def test_the_books_balance_with_memorandum_entries_beside_them(memo: Account, book: Book) -> None:
    book(Event.PAYMENT, A=70)
    post_lines(manual(1, RawLine(memo.account_no, "D", 500)))
    services.day_cut_off(MONDAY)
    closed = services.close_day(MONDAY)
    assert [finding.message for finding in closed.findings] == []
    assert checks.check_debit_equals_credit(MONDAY) == checks.check_trial_balance(MONDAY) == []
    rows = selectors.trial_balance(MONDAY)
    assert {row.code: row.closing for row in rows}[MEMO] == 500
    assert [total.balanced for total in selectors.trial_balance_totals(rows)] == [True]
    assert verify.ledger_verify().problems == []


def test_an_entry_changed_past_the_guards_is_still_found_beside_memorandum_entries(memo: Account, book: Book) -> None:
    book(Event.PAYMENT, A=70)
    post_lines(manual(1, RawLine(memo.account_no, "D", 500)))
    services.day_cut_off(MONDAY)
    services.close_day(MONDAY)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE accounts_entry_p261116 SET amount = 71 WHERE account_id = %s", [account("220201", "M-A")]
        )
    assert any("is off by 1" in problem for problem in verify.ledger_verify().problems)
