"""Making the balance adjustment statement of a reserve account and day (docs/bank-reconciliation.md)."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from payops.accounts import selectors as ledger
from payops.accounts.choices import OwnerKind, Side
from payops.accounts.models import Account, AccountingDay
from payops.channels.choices import BankAccountKind
from payops.channels.models import BankAccount, BankLine, BankStatement
from payops.core.errors import PayopsError
from payops.core.locks import xact_locks
from payops.reconciliation.bank.balances import first_balance, lines_of, stated_balance
from payops.reconciliation.bank.choices import BalanceSource, OpenKind
from payops.reconciliation.bank.documents import entry_keys, line_key
from payops.reconciliation.bank.models import BankOpenItem, BankReconciliation

RESERVE: Final = "100201"
LOCK: Final = "reconciliation.bank"
ONE_DAY: Final = dt.timedelta(days=1)
_SUMS: Final = tuple(kind.value for kind in OpenKind)


@dataclass(frozen=True, slots=True)
class Half:
    """One entry or one bank line that may still find its other half. `amount` signed, + into the account."""

    key: str
    amount: int
    since: dt.date
    entry_id: int | None = None
    line_id: int | None = None
    source_kind: str = ""
    source_id: int | None = None
    memo: str = ""

    @property
    def kind(self) -> OpenKind:
        """Which of the four kinds of open items it is while it is alone."""
        if self.entry_id is not None:
            return OpenKind.WE_RECEIVED if self.amount > 0 else OpenKind.WE_PAID
        return OpenKind.BANK_RECEIVED if self.amount > 0 else OpenKind.BANK_PAID


def bank_reconcile_all(*, day: dt.date, by: str = "system") -> list[BankReconciliation]:
    """The statements of all reserve accounts for a day, and of earlier days that had become out of date."""
    accounts = BankAccount.objects.filter(kind=BankAccountKind.RESERVE).order_by("code")
    return [
        made for account in accounts if _journal(account) for made in bank_reconcile(account=account, day=day, by=by)
    ]


@transaction.atomic
def bank_reconcile(*, account: BankAccount, day: dt.date, by: str = "system") -> list[BankReconciliation]:
    """Make the balance adjustment statement of a reserve account at the end of `day`; the last returned is it.

    Earlier statements that a late line, entry or bank statement has overtaken are made anew first, and those of earlier
    days the bank has a statement for are made where there are none; where nothing changed, the one there is is
    returned. Raises PayopsError 'bank.not_a_reserve_account'.
    """
    journal = _journal(account)
    if journal is None:
        raise PayopsError(
            "bank.not_a_reserve_account",
            _("%(account)s is not a reserve account with an account in the ledger.") % {"account": account.code},
            {"account": account.code},
        )
    xact_locks(LOCK, {account.pk})
    base, days = None, {day, *_days_without(account, day)}
    overdue = min([*days, *_days_overtaken(account, day)])
    began, _opening = first_balance(account)
    earlier = BankReconciliation.objects.filter(bank_account=account, is_current=True, day__lt=day).order_by("-day")
    for former in earlier.iterator(chunk_size=20):
        if began is None or former.day < began:
            # What the bank held when its side began is known only now: both sides are read from their beginning.
            break
        if former.day < overdue and _is_fresh(former, journal):
            base = former
            break
        days.add(former.day)
    made = []
    for each in sorted(days):
        base = _statement(account, journal, each, base, by)
        made.append(base)
    return made


def _journal(account: BankAccount) -> Account | None:
    return (
        Account.objects.select_related("subject")
        .filter(subject__code=RESERVE, owner_kind=OwnerKind.BANK, owner_no=account.code, currency=account.currency)
        .first()
        if account.kind == BankAccountKind.RESERVE
        else None
    )


def _days_without(account: BankAccount, day: dt.date) -> list[dt.date]:
    """Days before `day`, since statements are made, that the bank has one for and we have not, movements or none."""
    made = BankReconciliation.objects.filter(bank_account=account, is_current=True).order_by("day")
    first = made.values_list("day", flat=True).first()
    if first is None:
        return []
    stated = BankStatement.objects.filter(bank_account=account, statement_date__gt=first, statement_date__lt=day)
    without = ~Exists(made.filter(day=OuterRef("statement_date")))
    return list(stated.filter(without).order_by().values_list("statement_date", flat=True).distinct())


def _days_overtaken(account: BankAccount, day: dt.date) -> list[dt.date]:
    """Days before `day` for which the bank has said another balance since, be it without a new line.

    Lines and entries tell the days after theirs, too; a balance tells its own day alone, so that a later statement
    which is still right says nothing of it.
    """
    stated = BankStatement.objects.filter(bank_account=account, statement_date=OuterRef("day"))
    closing = stated.order_by(F("sequence").desc(nulls_last=True), "-id").values("closing")[:1]
    made = BankReconciliation.objects.filter(bank_account=account, is_current=True, day__lt=day)
    heard = Q(source=BalanceSource.STATEMENT, bank_balance=F("closing"))
    overtaken = made.annotate(closing=Subquery(closing)).filter(closing__isnull=False).exclude(heard)
    return list(overtaken.values_list("day", flat=True))


def _is_fresh(former: BankReconciliation, journal: Account) -> bool:
    """Whether no line or entry of its days came after it was made."""
    late = lines_of(former.bank_account).filter(bank_day__lte=former.day, pk__gt=former.last_line)
    return not late.exists() and former.journal_balance == ledger.balance_at_end_of(journal, former.day)


def _statement(
    account: BankAccount, journal: Account, day: dt.date, base: BankReconciliation | None, by: str
) -> BankReconciliation:
    entries, lines, opening = _new_halves(account, journal, day, base)
    halves = [*_carried(base), *entries, *lines]
    left = sorted(_alone(halves), key=lambda half: (half.since, half.line_id or 0, half.entry_id or 0))
    stated = stated_balance(account, day)
    computed = (base.bank_balance if base else opening) + sum(line.amount for line in lines)
    balance, source = stated or (computed, BalanceSource.COMPUTED)
    sums = dict.fromkeys(_SUMS, 0)
    for half in left:
        sums[half.kind] += abs(half.amount)
    closing = ledger.balance_at_end_of(journal, day)
    newest = lines_of(account).filter(bank_day__lte=day).aggregate(last=Max("pk"))["last"] or 0
    found = BankReconciliation(
        bank_account=account,
        day=day,
        journal_balance=closing,
        bank_balance=balance,
        source=source,
        entry_count=len(entries),
        line_count=len(lines),
        last_line=newest,
        made_by=by,
        **sums,
    )
    found.difference = found.adjusted_bank - found.adjusted_journal
    return _stored(found, left)


def _carried(base: BankReconciliation | None) -> list[Half]:
    """What the statement before left open. A line is known by what it is now, which may be more than it was then."""
    if base is None:
        return []
    return [
        Half(
            key=line_key(item.bank_line) if item.bank_line else item.match_key,
            amount=item.amount if item.kind in (OpenKind.WE_RECEIVED, OpenKind.BANK_RECEIVED) else -item.amount,
            since=item.since,
            entry_id=item.entry_id,
            line_id=item.bank_line_id,
            source_kind=item.source_kind,
            source_id=item.source_id,
            memo=item.memo,
        )
        for item in base.items.select_related("bank_line")
    ]


def _new_halves(
    account: BankAccount, journal: Account, day: dt.date, base: BankReconciliation | None
) -> tuple[list[Half], list[Half], int]:
    """Entries and lines since `base`, and what the bank held before the first of them; minor units.

    Without a base both sides are read from their beginning. Entries of before the bank's first day that come to what
    the bank then held are the opening balance, on which both sides agree.
    """
    lines = lines_of(account).filter(bank_day__lte=day)
    if base is not None:
        first = base.day + ONE_DAY
        return _entries(journal, first, day), _lines(lines.filter(bank_day__gte=first)), 0
    began, opening = first_balance(account)
    start = AccountingDay.objects.order_by("day").values_list("day", flat=True).first() or day
    entries = _entries(journal, min(start, day), day)
    if opening and began is not None:
        before = [half for half in entries if half.since < began]
        if sum(half.amount for half in before) == opening:
            entries = [half for half in entries if half.since >= began]
    return entries, _lines(lines), opening


def _entries(journal: Account, first: dt.date, last: dt.date) -> list[Half]:
    rows = ledger.account_ledger(journal, first, last).rows
    keys = entry_keys(rows)
    return [
        Half(
            key=keys[row.entry_id],
            amount=row.amount if row.side == Side.DEBIT else -row.amount,
            since=row.day,
            entry_id=row.entry_id,
            source_kind=row.source_kind,
            source_id=row.source_id,
            memo=row.memo,
        )
        for row in rows
    ]


def _lines(lines: QuerySet[BankLine]) -> list[Half]:
    return [
        Half(
            key=line_key(line),
            amount=line.amount,
            since=line.bank_day,
            line_id=line.pk,
            memo=f"{line.counterparty} {line.memo}".strip()[:240],
        )
        for line in lines
    ]


def _alone(halves: Sequence[Half]) -> list[Half]:
    """What found no other half: a key is done when its entries and its lines come to the same."""
    rest: dict[str, int] = defaultdict(int)
    for half in halves:
        rest[half.key] += half.amount if half.entry_id is not None else -half.amount
    return [half for half in halves if rest[half.key] and half.amount]


def _stored(found: BankReconciliation, left: Sequence[Half]) -> BankReconciliation:
    """Keep the statement in the place of the one before, unless it says the same."""
    before = BankReconciliation.objects.filter(bank_account=found.bank_account, day=found.day, is_current=True).first()
    if before is not None and _same(before, found, left):
        return before
    if before is not None:
        BankReconciliation.objects.filter(pk=before.pk).update(is_current=False)
    last = BankReconciliation.objects.filter(bank_account=found.bank_account, day=found.day).aggregate(n=Max("number"))
    found.number = (last["n"] or 0) + 1
    found.save(force_insert=True)
    BankOpenItem.objects.bulk_create(
        BankOpenItem(
            reconciliation=found,
            kind=half.kind,
            entry_id=half.entry_id,
            bank_line_id=half.line_id,
            amount=abs(half.amount),
            since=half.since,
            match_key=half.key,
            source_kind=half.source_kind,
            source_id=half.source_id,
            memo=half.memo,
        )
        for half in left
    )
    return found


_FIGURES: Final = (
    "journal_balance", "bank_balance", "source", *_SUMS, "difference", "entry_count", "line_count", "last_line",
)  # fmt: skip


def _same(before: BankReconciliation, found: BankReconciliation, left: Sequence[Half]) -> bool:
    if any(getattr(before, name) != getattr(found, name) for name in _FIGURES):
        return False
    stored = set(before.items.values_list("entry_id", "bank_line_id", "match_key"))
    return stored == {(half.entry_id, half.line_id, half.key) for half in left}
