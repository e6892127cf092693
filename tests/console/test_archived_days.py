"""Days whose rows are in the archive: every page that would show them says so, and none calls it nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from payops.accounts import reports, selectors
from payops.accounts.journal import journal_write
from payops.accounts.models import Account
from payops.core.errors import PayopsError
from payops.core.ids import id_range
from payops.core.models import ArchivedPartition
from payops.orders.ledger_comparison import ledger_comparison
from payops.orders.models import TransactionKey
from payops.reconciliation.models import ReconResult, ReconRun
from tests.console.conftest import MON, Books, address, text_of

LONG_AGO = dt.date(2026, 11, 2)
LO, HI = id_range(LONG_AGO, LONG_AGO)
SAID = f"The rows of {LONG_AGO} are in the archive"
LISTS = [("transaction_list", "orders_transaction"), ("voucher_list", "accounts_voucher")]
ROWS = [
    ("transaction", "orders_transaction"),
    ("bill_line", "channels_billline"),
    ("voucher", "accounts_voucher"),
]


def put_away(*tables: str, lo: int = LO, hi: int = HI, day: dt.date = LONG_AGO) -> None:
    """The register as archiving leaves it: the rows of that day are no more in these tables."""
    for table in tables:
        ArchivedPartition.objects.create(
            parent=table,
            name=f"{table}_p{lo // 10**12}",
            day=day,
            lo=lo,
            hi=hi,
            rows=1,
            columns=["id"],
            sha256="0" * 64,
            path="x",
            file_sha256="0" * 64,
            file_size=1,
            state="archived",
            written_by="carol",
            archived_at=timezone.now(),
        )


def shown(books: Books, name: str, *args: Any, **query: Any) -> str:
    return text_of(books.client("carol").get(address(name, *args, **query), follow=True))


@pytest.mark.parametrize(("name", "table"), LISTS)
def test_an_empty_list_of_an_archived_day_says_where_its_rows_are(books: Books, name: str, table: str) -> None:
    assert SAID not in shown(books, name, day=LONG_AGO)
    put_away(table)
    assert SAID in shown(books, name, day=LONG_AGO)


@pytest.mark.parametrize(("name", "table"), ROWS)
def test_a_link_to_an_archived_row_says_where_it_is(books: Books, name: str, table: str) -> None:
    assert books.client("carol").get(address(name, LO + 1)).status_code == 404
    put_away(table)
    assert SAID in shown(books, name, LO + 1)


def test_a_bill_file_whose_lines_are_archived_does_not_say_that_it_has_none(books: Books) -> None:
    file = ReconRun.objects.filter(channel_date=MON, is_current=True).first().file
    lo, hi = id_range(MON, MON)
    put_away("channels_billline", lo=lo, hi=hi, day=MON)
    assert f"The rows of {MON} are in the archive" in shown(books, "bill_file", file.pk, match_key="X")


def test_no_balance_is_run_over_a_period_of_which_entries_are_archived(books: Books) -> None:
    put_away("accounts_entry")
    account = Account.objects.order_by("pk").first()
    assert SAID in shown(books, "account", account.pk, first=LONG_AGO, last=MON)
    assert SAID not in shown(books, "account", account.pk, first=MON, last=MON)
    for read in (selectors.account_ledger, reports.account_ledger_rows):
        with pytest.raises(PayopsError, match="in the archive"):
            read(account, LONG_AGO, MON)


def test_no_journal_is_exported_without_its_archived_days(books: Books) -> None:
    lo, hi = id_range(MON, MON)
    put_away("accounts_entry", lo=lo, hi=hi, day=MON)
    written: list[str] = []
    with pytest.raises(PayopsError, match="in the archive"):
        journal_write(written.append, form="hledger")
    assert not written


@pytest.mark.parametrize("table", ["orders_transaction", "accounts_voucher"])
def test_an_archived_day_is_not_called_in_agreement(books: Books, table: str) -> None:
    put_away(table)
    with pytest.raises(PayopsError) as refused:
        ledger_comparison(LONG_AGO)
    assert refused.value.code == "archive.put_away"
    text = shown(books, "internal_check", day=LONG_AGO)
    assert SAID in text
    assert "Agrees" not in text


def test_the_story_of_an_archived_payment_says_where_it_is(books: Books) -> None:
    TransactionKey.objects.create(transaction_no="T-LONG-AGO", transaction_id=LO + 1)
    put_away("orders_transaction")
    for asked in ({"q": "T-LONG-AGO"}, {"q": LO + 1}, {"q": "unknown", "day": LONG_AGO}):
        assert SAID in shown(books, "explain", **asked)
    assert SAID in shown(books, "find", q="T-LONG-AGO")


def test_the_workbench_does_not_say_that_a_side_has_nothing_when_its_row_is_archived(books: Books) -> None:
    run = ReconRun.objects.filter(channel_date=MON, is_current=True).first()
    ReconResult.objects.create(run=run, kind="own_cleared", match_key="LONG-AGO", transaction_id=LO + 1)
    put_away("orders_transaction")
    text = shown(books, "workbench", contract=run.contract.code, day=MON, kind="own_cleared", hands="all")
    row = text[text.index("LONG-AGO") :]
    assert "in the archive" in row[: row.index("nothing")]
