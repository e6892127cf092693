"""The exported journal, read by the programs it is written for: they must come to the same balances."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from payops.accounts import services
from payops.accounts.choices import Element, Event
from payops.accounts.journal import journal_write
from payops.accounts.journal_formats import (
    FORMATS,
    MEMORANDUM,
    JournalAccount,
    JournalLine,
    JournalVoucher,
    account_name,
    owner_component,
)
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.models import Account, Subject
from payops.core.errors import PayopsError
from payops.core.money import major
from tests.accounts.conftest import MONDAY, TUESDAY, Book

WEDNESDAY = dt.date(2026, 11, 18)
ODD_MERCHANT = "u_M.乙-u7"
BEAN_CHECK = Path(sys.executable).with_name("bean-check")
HLEDGER = shutil.which("hledger")
needs_hledger = pytest.mark.skipif(HLEDGER is None, reason="hledger is not installed; install the package hledger")

Read = Callable[[Path], subprocess.CompletedProcess[str]]


@pytest.fixture
def books(book: Book) -> Book:
    """Monday and Tuesday closed, Wednesday open; three currencies, red lines, a memorandum, an impossible owner."""
    Subject.objects.create(code="9001", name="Claims", name_zh="索赔", element=Element.MEMO, normal_side="D")
    claims = services.account_open(subject_code="9001", owner_kind="institution").account_no
    post_lines(LinesPosting(Event.MANUAL, "manual_voucher", 1, [RawLine(claims, "D", 700)], MONDAY))
    services.open_merchant_accounts(ODD_MERCHANT)
    for currency in ("JPY", "KWD"):
        services.open_channel_accounts("wx", currency)
        services.open_merchant_accounts("M-A", currency)
    book(Event.PAYMENT, A=10_000)
    book(Event.PAYMENT, {"merchant": ODD_MERCHANT}, A=77)
    services.post(book.posting(Event.PAYMENT, A=1_234)._replace(currency="JPY"))
    services.post(book.posting(Event.PAYMENT, A=1_234_567)._replace(currency="KWD", memo='50% "off"; red | blue, \\ '))
    next_day(MONDAY)
    book(Event.BILL_NETTED, S=9_962, K=38)
    book(Event.RECEIPT, R=9_962)
    book(Event.CLEARING_NET, A=10_000, X=0, F=60)
    services.post(book.posting(Event.VOID, A=34)._replace(currency="JPY"))
    next_day(TUESDAY)
    post_lines(
        LinesPosting(
            Event.CORRECTION_NEXT_DAY,
            "correction",
            1,
            [RawLine("220202-M-A", "C", -100), RawLine("220202-M-B", "C", 100)],
            TUESDAY,
        )
    )
    book(Event.PAYOUT_SUBMITTED, P=9_000)
    return book


def next_day(day: dt.date) -> None:
    services.day_cut_off(day)
    services.close_day(day)


def written(form: str, first: dt.date | None = None, last: dt.date | None = None, assertions: str = "day") -> str:
    buffer = io.StringIO()
    journal_write(buffer.write, form=form, first=first, last=last, assertions=assertions)
    return buffer.getvalue()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A program apart from us, which sees nothing but the file."""
    return subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=120, check=False)


def bean_check(path: Path) -> subprocess.CompletedProcess[str]:
    return run(BEAN_CHECK, "--no-cache", path)


def hledger_check(path: Path) -> subprocess.CompletedProcess[str]:
    return run(HLEDGER, "-f", path, "check", "balancednoautoconversion", "accounts", "commodities")


READERS = [
    pytest.param("beancount", bean_check, id="beancount"),
    pytest.param("hledger", hledger_check, id="hledger", marks=needs_hledger),
]
RANGES = [(None, None), (TUESDAY, None), (WEDNESDAY, WEDNESDAY), (None, MONDAY), (TUESDAY, TUESDAY)]


def name_of(account: Account) -> str:
    subject = account.subject
    return account_name(subject.element, subject.normal_side, subject.code, account.owner_kind, account.owner_no)


def signed(account: Account) -> Decimal:
    """The stored balance, debit positive, in major units."""
    balance = account.balance if account.subject.normal_side == "D" else -account.balance
    return major(balance, account.currency)


# --- the oracle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "reader"), READERS)
@pytest.mark.parametrize(("first", "last"), RANGES)
def test_the_program_reads_every_range_without_an_error(
    books: Book, tmp_path: Path, form: str, reader: Read, first: dt.date | None, last: dt.date | None
) -> None:
    path = tmp_path / "books"
    path.write_text(written(form, first, last), encoding="utf-8")
    read = reader(path)
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("first", [None, TUESDAY, WEDNESDAY])
def test_beancount_comes_to_the_stored_balance_of_every_account(
    books: Book, tmp_path: Path, first: dt.date | None
) -> None:
    path = tmp_path / "books"
    lines = [
        f"2026-11-19 balance {name_of(account)}  {signed(account)} ~ 0 {account.currency}"
        for account in Account.objects.select_related("subject")
    ]
    path.write_text(written("beancount", first, assertions="none") + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    read = bean_check(path)
    assert (read.returncode, read.stderr) == (0, "")
    assert len(lines) == Account.objects.count() > 50


@needs_hledger
@pytest.mark.parametrize("first", [None, TUESDAY, WEDNESDAY])
def test_hledger_comes_to_the_stored_balance_of_every_account(
    books: Book, tmp_path: Path, first: dt.date | None
) -> None:
    path = tmp_path / "books"
    path.write_text(written("hledger", first, assertions="none"), encoding="utf-8")
    read = run(HLEDGER, "-f", path, "balance", "--flat", "--layout=bare", "-O", "csv", "-N")
    found = {(row[0], row[1]): Decimal(row[2]) for row in list(csv.reader(io.StringIO(read.stdout)))[1:]}
    ours = {
        (name_of(account), account.currency): signed(account)
        for account in Account.objects.select_related("subject")
        if account.balance
    }
    # The claims have no other side in the books; in the journal they have this one.
    assert found.pop((MEMORANDUM, "CNY")) == -ours["Equity:Memorandum:Accounts:9001:Institution", "CNY"]
    assert {key: value for key, value in found.items() if value} == ours


@pytest.mark.parametrize(("form", "reader"), READERS)
def test_a_balance_off_by_one_fen_is_noticed(books: Book, tmp_path: Path, form: str, reader: Read) -> None:
    path = tmp_path / "books"
    text = written(form)
    assert text.count("99.40") == 1 or "-99.40 " in text
    path.write_text(text.replace("-99.40 ~ 0 CNY", "-99.41 ~ 0 CNY").replace("= -99.40", "= -99.41"), encoding="utf-8")
    assert reader(path).returncode != 0


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_voucher_leads_to_its_source_document(books: Book) -> None:
    assert "^test-1\n" in written("beancount")
    assert "source:test-1," in written("hledger")


def test_a_red_line_keeps_its_side(books: Book) -> None:
    account = Account.objects.select_related("subject").get(account_no="220202-M-A")
    assert f'  {name_of(account)}  1.00 CNY\n    red: "C"\n' in written("beancount", WEDNESDAY)
    assert f"    {name_of(account)}  1.00 CNY  ; red:C\n" in written("hledger", WEDNESDAY)


def test_currencies_are_written_with_their_own_decimals(books: Book) -> None:
    text = written("beancount", MONDAY, MONDAY)
    assert "  1234 JPY\n" in text
    assert "  1234.567 KWD\n" in text


def test_from_the_first_day_on_there_is_no_opening(books: Book) -> None:
    assert "Opening balances" not in written("hledger")
    assert "Opening balances (KWD)" in written("hledger", TUESDAY)


def test_closed_days_are_written_the_same_for_ever(books: Book) -> None:
    before = written("beancount", MONDAY, TUESDAY)
    books(Event.PAYMENT, A=5)
    next_day(WEDNESDAY)
    assert written("beancount", MONDAY, TUESDAY) == before


def test_a_day_still_open_ends_like_the_same_day_closed(books: Book) -> None:
    before = written("beancount", WEDNESDAY, WEDNESDAY)
    next_day(WEDNESDAY)
    assert written("beancount", WEDNESDAY, WEDNESDAY) == before


def test_assertions_come_daily_at_the_end_or_not_at_all(books: Book) -> None:
    daily, at_end, none = (written("beancount", assertions=each).count(" balance ") for each in ("day", "end", "none"))
    assert at_end == Account.objects.count()
    assert daily > at_end
    assert none == 0


def test_memorandum_lines_are_set_against_an_account_of_their_own(tmp_path: Path) -> None:
    memo = JournalAccount(account_name("memo", "D", "9001", "institution", ""), "9001", "9001 Pledges", "CNY", True)
    moment = dt.datetime(2026, 11, 16, 4, tzinfo=dt.UTC)
    voucher = JournalVoucher(1, MONDAY, 901, "Manual voucher", "manual-1", MONDAY, moment, "", "")
    voucher.lines.append(JournalLine(memo, 500, ""))
    assert voucher.memorandum == {"CNY": -500}
    for form in FORMATS.values():
        assert "Equity:Memorandum  -5.00 CNY" in form.voucher(voucher)
        assert "Equity:Memorandum  -5.00 CNY" in "".join(form.opening(MONDAY, "CNY", [(memo, 500)]))


@pytest.mark.parametrize(
    ("owner", "component"),
    [("M-A", "Merchant-M-A"), ("a_b", "Merchant-a-u005f-b"), ("-u005f-", "Merchant--u002d-u005f-"), ("", "Merchant")],
)
def test_owners_become_components_that_both_programs_allow(owner: str, component: str) -> None:
    assert owner_component("merchant", owner) == component


def test_no_two_owners_share_a_component() -> None:
    owners = ["_", "-u005f-", "a_", "a-u005f-", "a-u005f", "-_", "_-", "--", "u_u", "乙", "-u4e59-"]
    assert len({owner_component("merchant", owner) for owner in owners}) == len(owners)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_file_and_says_what_is_in_it(books: Book, tmp_path: Path) -> None:
    out, path = io.StringIO(), tmp_path / "books.beancount"
    call_command("export_journal", "--format", "beancount", "--out", str(path), "--json", stdout=out)
    assert json.loads(out.getvalue()) == {
        "from": "2026-11-16",
        "to": "2026-11-18",
        "days": 3,
        "vouchers": 11,
        "entries": 23,
    }
    assert path.read_text(encoding="utf-8") == written("beancount")
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_writes_to_standard_output(books: Book) -> None:
    out, err = io.StringIO(), io.StringIO()
    call_command("export_journal", "--format", "hledger", "--from", "2026-11-17", stdout=out, stderr=err)
    assert out.getvalue() == written("hledger", TUESDAY)
    assert "2 days, 6 vouchers" in err.getvalue()


def test_days_that_were_never_opened_are_said_to_be_missing(books: Book) -> None:
    with pytest.raises(CommandError, match="No accounting day lies between 2026-12-01"):
        call_command("export_journal", "--format", "hledger", "--from", "2026-12-01")
    with pytest.raises(PayopsError) as caught:
        written("gnucash")
    assert caught.value.code == "journal.format_unknown"
