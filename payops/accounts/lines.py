"""Booking lines that a document gives itself (manual vouchers, corrections), instead of an event's rule.

The second door into the ledger, with the same locks, keys and guards as `post`; only the ledger's own documents use
it. Entries may be red: negative on the same side (DOMAIN 4.2).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts.choices import LINE_EVENTS, AccountStatus, DayState, Event, Side
from payops.accounts.errors import guard_errors
from payops.accounts.guards import DAY_LOCK
from payops.accounts.models import Account, AccountingDay, Entry, PostingKey, Voucher
from payops.accounts.posting import MEMO_LENGTH, account_closed, day_not_open, open_accounting_day
from payops.core.errors import PayopsError
from payops.core.ids import day_code, day_floor
from payops.core.locks import xact_lock

LARGEST_VOUCHER = 999


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line as it will be booked: `amount` in minor units, never zero, negative only when it is red."""

    account_no: str
    side: str
    amount: int


@dataclass(frozen=True, slots=True)
class LinesPosting:
    """One document to be booked by its own lines. (event, source_id) is the key: booked at most once, ever."""

    event: Event
    source_kind: str
    source_id: int
    lines: Sequence[RawLine]
    business_date: dt.date
    memo: str = ""


def post_lines(posting: LinesPosting, *, day: dt.date | None = None, posted_by: str = "") -> Voucher:
    """Book a document's own lines in the caller's transaction; returns the voucher.

    Raises PayopsError 'ledger.already_posted', 'ledger.no_lines', 'ledger.unknown_account', 'ledger.account_closed',
    'ledger.unbalanced' (debit ≠ credit in a currency, memorandum lines apart), 'ledger.day_not_open', 'ledger.busy'.
    """
    if posting.event not in LINE_EVENTS:
        raise ValueError(f"{posting.event!r} is booked by its posting rule")
    if not 1 <= len(posting.lines) <= LARGEST_VOUCHER or not all(line.amount for line in posting.lines):
        raise PayopsError(
            "ledger.no_lines",
            _("A voucher has from 1 to %(most)d lines and none of zero.") % {"most": LARGEST_VOUCHER},
            {"lines": len(posting.lines)},
        )
    with guard_errors(), transaction.atomic():
        day = _held_day(day)
        voucher_id = _take_key(posting, day)
        accounts = _locked({line.account_no for line in posting.lines})
        return _write(posting, voucher_id, accounts, posted_by)


def _held_day(day: dt.date | None) -> dt.date:
    """The day, which cannot be closed until the caller's transaction ends."""
    wanted = day or open_accounting_day()
    xact_lock(DAY_LOCK, day_code(wanted), shared=True)
    state = AccountingDay.objects.filter(day=wanted).values_list("state", flat=True).first()
    if state not in {DayState.OPEN, DayState.CUT_OFF}:
        raise day_not_open(wanted)
    return wanted


def _take_key(posting: LinesPosting, day: dt.date) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('accounts_voucher_n')")
        voucher_id = day_floor(day) + cursor.fetchone()[0] * 1000
        cursor.execute(
            "INSERT INTO accounts_postingkey (event, source_id, voucher_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [int(posting.event), posting.source_id, voucher_id],
        )
        if cursor.rowcount:
            return voucher_id
    booked = PostingKey.objects.get(event=int(posting.event), source_id=posting.source_id).voucher_id
    raise PayopsError(
        "ledger.already_posted",
        _("“%(event)s” of %(kind)s %(id)s is booked already, by voucher %(voucher)s.")
        % {
            "event": posting.event.label,
            "kind": posting.source_kind,
            "id": posting.source_id,
            "voucher": booked,
        },
        {"voucher_id": booked, "event": int(posting.event), "source_id": str(posting.source_id)},
    )


def _locked(numbers: set[str]) -> dict[str, Account]:
    """The accounts by number, locked in order of id until the transaction ends."""
    rows = (
        Account.objects.filter(account_no__in=numbers)
        .select_for_update(of=("self",), no_key=True)
        .select_related("subject")
        .order_by("id")
    )
    found = {account.account_no: account for account in rows}
    for number in sorted(numbers - found.keys()):
        raise PayopsError(
            "ledger.unknown_account",
            _("There is no account “%(account)s”. Check its number.") % {"account": number},
            {"account_no": number},
        )
    for account in found.values():
        if account.status == AccountStatus.CLOSED:
            raise account_closed(account.account_no)
    return found


def _write(posting: LinesPosting, voucher_id: int, accounts: dict[str, Account], posted_by: str) -> Voucher:
    voucher = Voucher(
        id=voucher_id,
        event=posting.event,
        source_kind=posting.source_kind,
        source_id=posting.source_id,
        business_date=posting.business_date,
        line_count=len(posting.lines),
        rule_version=0,
        memo=posting.memo[:MEMO_LENGTH],
        posted_at=timezone.now(),
        posted_by=posted_by,
    )
    voucher.save(force_insert=True)
    moved: dict[int, int] = defaultdict(int)
    entries = []
    for number, line in enumerate(posting.lines, start=1):
        account = accounts[line.account_no]
        delta = line.amount if line.side == account.subject.normal_side else -line.amount
        moved[account.pk] += delta
        entries.append(
            Entry(
                id=voucher_id + number,
                account=account,
                side=Side(line.side),
                amount=line.amount,
                currency=account.currency,
                event=posting.event,
                balance_after=account.balance + moved[account.pk],
            )
        )
    Entry.objects.bulk_create(entries)
    for account in sorted(accounts.values(), key=lambda account: account.pk):
        account.balance += moved[account.pk]
        account.save(update_fields=["balance"])
    return voucher
