"""What others read from the ledger: days, accounts, balances, trial balance, account ledger, the money guard."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from payops.accounts import sql
from payops.accounts.chart import dotted, normalised
from payops.accounts.choices import DayState, OwnerKind
from payops.accounts.models import Account, AccountingDay, DayBalance, Entry, Subject, Voucher
from payops.accounts.posting import open_accounting_day
from payops.core.archive import put_away
from payops.core.errors import PayopsError
from payops.core.ids import day_floor, day_of, id_range

# --- days -------------------------------------------------------------------------------------------------------------


def open_day() -> dt.date:
    """The accounting day that is open; PayopsError 'ledger.no_open_day'."""
    return open_accounting_day()


def posting_day_for(own_date: dt.date) -> dt.date:
    """Where a fact of an own date is booked: on that day while it is open or cut off, else on the open day."""
    state = AccountingDay.objects.filter(day=own_date).values_list("state", flat=True).first()
    return own_date if state in {DayState.OPEN, DayState.CUT_OFF} else open_day()


def last_closed_day(before: dt.date | None = None) -> dt.date | None:
    """The newest closed day, optionally among those before a day."""
    days = AccountingDay.objects.filter(state=DayState.CLOSED)
    if before is not None:
        days = days.filter(day__lt=before)
    return days.order_by("-day").values_list("day", flat=True).first()


def day_require(day: dt.date) -> dt.date:
    """The day if it was ever opened, else PayopsError 'ledger.unknown_day': a mistyped date is no empty day."""
    if not AccountingDay.objects.filter(day=day).exists():
        raise PayopsError(
            "ledger.unknown_day",
            _("%(day)s was never opened as an accounting day. Check the date.") % {"day": day},
            {"day": day.isoformat()},
        )
    return day


def day_is_closed(day: dt.date) -> bool:
    """True once the day is sealed."""
    return AccountingDay.objects.filter(day=day, state=DayState.CLOSED).exists()


# --- accounts and balances --------------------------------------------------------------------------------------------


def account_get(
    subject_code: str, owner_kind: str = OwnerKind.INSTITUTION, owner_no: str = "", currency: str = "CNY"
) -> Account:
    """The owner's account with its subject; PayopsError 'ledger.no_account'."""
    account = (
        Account.objects.select_related("subject")
        .filter(subject__code=normalised(subject_code), owner_kind=owner_kind, owner_no=owner_no, currency=currency)
        .first()
    )
    if account is None:
        raise PayopsError(
            "ledger.no_account",
            _("There is no %(currency)s account %(subject)s of %(kind)s “%(owner)s”. Open the owner's accounts first.")
            % {
                "currency": currency,
                "subject": dotted(normalised(subject_code)),
                "kind": owner_kind,
                "owner": owner_no,
            },
            {"subject": subject_code, "owner_kind": owner_kind, "owner_no": owner_no, "currency": currency},
        )
    return account


def balance_of(
    subject_code: str, owner_kind: str = OwnerKind.INSTITUTION, owner_no: str = "", currency: str = "CNY"
) -> int:
    """Balance in minor units on the subject's normal side, with what is queued; 0 for an account nobody opened."""
    return balances_of(subject_code, owner_kind, [owner_no], currency).get(owner_no, 0)


def balances_of(
    subject_code: str, owner_kind: str, owner_nos: Iterable[str] | None = None, currency: str = "CNY"
) -> dict[str, int]:
    """Balances by owner number, with what is queued; all owners of the kind when none are named."""
    rows = balances_now(
        "s.code = %(code)s AND a.owner_kind = %(kind)s AND a.currency = %(currency)s"
        " AND (%(owners)s::text[] IS NULL OR a.owner_no = ANY (%(owners)s::text[]))",
        {
            "code": normalised(subject_code),
            "kind": owner_kind,
            "currency": currency,
            "owners": None if owner_nos is None else list(owner_nos),
        },
    )
    return {row["owner_no"]: row["balance"] for row in rows}


def balances_now(condition: str = "true", parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Accounts as they stand with what their stored balances do not hold yet: the sum of their entries.

    `condition` in SQL over a (account) and s (subject). Rows: id, account_no, code, normal_side, owner_kind, owner_no,
    currency, frozen, stored, balance (minor units, the last two on the normal side). The stored balance alone is what
    an instruction is measured by, under the account's lock.
    """
    return sql.fetch(sql.with_open_days(sql.BALANCES_NOW.replace("{condition}", condition)), parameters or {})


def subject_balance(subject_code: str, currency: str = "CNY") -> int:
    """Sum of the balances of a subject and everything below it, minor units on the subject's normal side."""
    code = normalised(subject_code)
    subject = Subject.objects.filter(code=code).first()
    if subject is None:
        return 0
    rows = [row for row in sql.fetch(sql.with_open_days(sql.TOTALS_NOW), {"code": code}) if row["currency"] == currency]
    return sum(row["total"] if row["normal_side"] == subject.normal_side else -row["total"] for row in rows)


def voucher_entries(voucher_id: int) -> QuerySet[Entry]:
    """The lines of a voucher in their order."""
    return (
        Entry.objects.in_range(voucher_id, voucher_id + 1000)
        .select_related("account", "account__subject")
        .order_by("id")
    )


def vouchers_of_source(
    source_kind: str, source_id: int, first_day: dt.date, last_day: dt.date | None = None
) -> QuerySet[Voucher]:
    """Vouchers made from one source document, on accounting days first_day … last_day (default: the open day)."""
    last = last_day or max(open_day(), first_day)
    return Voucher.objects.for_days(first_day, last).filter(source_kind=source_kind, source_id=source_id).order_by("id")


# --- trial balance ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """One subject in one currency. Opening and closing stand on the normal side, turnovers are plain sums."""

    code: str
    name: str
    name_zh: str
    element: str
    normal_side: str
    currency: str
    level: int
    opening: int
    debit: int
    credit: int
    closing: int

    @property
    def dotted_code(self) -> str:
        """2202.01"""
        return dotted(self.code)

    @property
    def closing_debit(self) -> int:
        """The closing balance if it stands on the debit side, else 0."""
        return max(self.closing if self.normal_side == "D" else -self.closing, 0)

    @property
    def closing_credit(self) -> int:
        """The closing balance if it stands on the credit side, else 0."""
        return max(self.closing if self.normal_side == "C" else -self.closing, 0)


def trial_balance(day: dt.date, *, level: int | None = None) -> list[TrialBalanceRow]:
    """Opening, turnover and closing by subject and currency of an accounting day, closed or not.

    Leaf subjects by default; `level` 1 to 4 sums up to that level (1 = four-digit subjects). A closed day is read from
    its day balances, an open one from the last closed day and the entries since.
    """
    if day_is_closed(day):
        rows = sql.fetch(sql.TRIAL_BALANCE_CLOSED, {"day": day})
    else:
        base = last_closed_day(before=day)
        first = base + dt.timedelta(days=1) if base else _first_day(day)
        lo, hi = id_range(min(first, day), day)
        parameters = {"base": base, "floor": day_floor(day)}
        rows = sql.fetch(sql.bounded(sql.TRIAL_BALANCE, lo, hi), parameters)
    return [_trial_row(row) for row in rows] if level is None else _rolled_up(rows, level)


def _first_day(default: dt.date) -> dt.date:
    return AccountingDay.objects.order_by("day").values_list("day", flat=True).first() or default


def _trial_row(row: dict[str, Any]) -> TrialBalanceRow:
    sign = 1 if row["normal_side"] == "D" else -1
    opening = row["base"] + sign * (row["debit_before"] - row["credit_before"])
    return TrialBalanceRow(
        code=row["code"],
        name=row["name"],
        name_zh=row["name_zh"],
        element=row["element"],
        normal_side=row["normal_side"],
        currency=row["currency"],
        level=(len(row["code"]) - 2) // 2,
        opening=opening,
        debit=row["debit"],
        credit=row["credit"],
        closing=opening + sign * (row["debit"] - row["credit"]),
    )


def _rolled_up(rows: list[dict[str, Any]], level: int) -> list[TrialBalanceRow]:
    length = 2 + 2 * level
    subjects = {subject.code: subject for subject in Subject.objects.all()}
    sums: dict[tuple[str, str], list[int]] = {}
    for row in map(_trial_row, rows):
        code = row.code[:length]
        # A subject may sum sub-subjects of the other normal side (3001): theirs count against it.
        sign = 1 if row.normal_side == subjects[code].normal_side else -1
        total = sums.setdefault((code, row.currency), [0, 0, 0, 0])
        for at, value in enumerate((sign * row.opening, row.debit, row.credit, sign * row.closing)):
            total[at] += value
    return [
        TrialBalanceRow(
            code, s.name, s.name_zh, s.element, s.normal_side, currency, (len(code) - 2) // 2, *sums[code, currency]
        )
        for code, currency in sorted(sums)
        for s in [subjects[code]]
    ]


@dataclass(frozen=True, slots=True)
class TrialBalanceTotal:
    """Sums of one currency; balanced when both pairs agree."""

    currency: str
    debit: int
    credit: int
    closing_debit: int
    closing_credit: int

    @property
    def balanced(self) -> bool:
        """Debit = credit, in turnover and in closing balances."""
        return self.debit == self.credit and self.closing_debit == self.closing_credit


def trial_balance_totals(rows: Iterable[TrialBalanceRow]) -> list[TrialBalanceTotal]:
    """One total per currency; memorandum subjects stand outside."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        if row.element == "memo":
            continue
        total = sums.setdefault(row.currency, [0, 0, 0, 0])
        for at, value in enumerate((row.debit, row.credit, row.closing_debit, row.closing_credit)):
            total[at] += value
    return [TrialBalanceTotal(currency, *sums[currency]) for currency in sorted(sums)]


# --- account ledger ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One entry of an account with the balance after it, on the subject's normal side."""

    entry_id: int
    voucher_id: int
    day: dt.date
    side: str
    amount: int
    balance: int
    event: int
    source_kind: str
    source_id: int
    business_date: dt.date
    memo: str
    posted_at: dt.datetime


@dataclass(frozen=True, slots=True)
class AccountLedger:
    """An account over a period: opening, its entries, closing."""

    account: Account
    first_day: dt.date
    last_day: dt.date
    opening: int
    debit: int
    credit: int
    closing: int
    rows: list[LedgerRow]


def balance_at_end_of(account: Account, day: dt.date) -> int:
    """The account's balance at the end of an accounting day, from day balances and entries; minor units."""
    base = last_closed_day(before=day + dt.timedelta(days=1))
    closing = 0
    if base is not None:
        closing = DayBalance.objects.filter(day=base, account=account).values_list("closing", flat=True).first() or 0
        if base >= day:
            return closing
    lo, hi = id_range(base + dt.timedelta(days=1) if base else min(_first_day(day), day), day)
    moved = sql.fetch(sql.bounded(sql.ACCOUNT_MOVED, lo, hi), {"account": account.pk, "subject": account.subject_id})
    return closing + moved[0]["moved"]


def entries_require(first_day: dt.date, last_day: dt.date) -> None:
    """Refuse ('archive.put_away') a period of which entries are in the archive: no balance is run over the rest."""
    if away := put_away(Entry, *id_range(first_day, last_day)):
        raise away


def account_ledger(account: Account, first_day: dt.date, last_day: dt.date) -> AccountLedger:
    """The account's entries of a period with the running balance, its opening and its closing.

    Raises PayopsError 'archive.put_away'.
    """
    entries_require(first_day, last_day)
    lo, hi = id_range(first_day, last_day)
    opening = balance = balance_at_end_of(account, first_day - dt.timedelta(days=1))
    totals = {"D": 0, "C": 0}
    rows = []
    for row in sql.fetch(sql.bounded(sql.ACCOUNT_LEDGER, lo, hi), {"account": account.pk}):
        totals[row["side"]] += row["amount"]
        balance += row["amount"] if row["side"] == account.subject.normal_side else -row["amount"]
        rows.append(
            LedgerRow(
                entry_id=row["id"],
                voucher_id=row["voucher_id"],
                day=day_of(row["id"]),
                side=row["side"],
                amount=row["amount"],
                balance=balance,
                event=row["event"],
                source_kind=row["source_kind"],
                source_id=row["source_id"],
                business_date=row["business_date"],
                memo=row["memo"],
                posted_at=row["posted_at"],
            )
        )
    return AccountLedger(account, first_day, last_day, opening, totals["D"], totals["C"], balance, rows)


# --- the customers' money guard ---------------------------------------------------------------------------------------

# Term → (subjects by prefix, owner kind or None for all, sign). Balances stand on the subjects' normal sides.
MONEY_GUARD_TERMS: Final[dict[str, tuple[tuple[str, ...], str | None, int]]] = {
    "reserve": (("100201",), None, 1),
    "payable_to_merchants": (("2202",), None, -1),
    "merchants_deposits": (("220301",), None, -1),
    "payouts_in_flight": (("224102",), OwnerKind.MERCHANT.value, -1),
    "surplus": (("224101",), None, -1),
    "receivable_from_channels": (("112201",), None, 1),
    "channel_pending_clearing": (("300101",), None, 1),
    "shortage": (("122101",), None, 1),
    # Not in the formula of DOMAIN 4.5, which ends at everyday business: unconfirmed escrow money is customers' money
    # too, and what is between two reserve accounts is still in the reserve.
    "escrow": (("300102",), None, -1),
    "between_reserve_accounts": (("300103",), OwnerKind.INSTITUTION.value, 1),
}


def customers_money_guard(day: dt.date | None = None) -> dict[str, Any]:
    """Own money in the reserve per currency, with its terms (DOMAIN 4.5): negative = customers' money is being used.

    Of a closed or open accounting day, or, without a day, of this moment. Returns {"day", "ok", "currencies":
    {currency: {"own_money", "terms": {name: balance}}}}, minor units.
    """
    guards: dict[str, dict[str, Any]] = {}
    for subject, kind, currency, balance in _balances_for_guard(day):
        guard = guards.setdefault(currency, {"own_money": 0, "terms": dict.fromkeys(MONEY_GUARD_TERMS, 0)})
        for name, (prefixes, owner_kind, sign) in MONEY_GUARD_TERMS.items():
            if subject.startswith(prefixes) and owner_kind in {None, kind}:
                guard["terms"][name] += balance
                guard["own_money"] += sign * balance
    return {
        "day": day.isoformat() if day else None,
        "ok": all(guard["own_money"] >= 0 for guard in guards.values()),
        "currencies": guards,
    }


def _balances_for_guard(day: dt.date | None) -> list[tuple[str, str, str, int]]:
    """Subject code, owner kind, currency and summed balance; from what is closest to the day asked for."""
    if day is None:
        rows = sql.fetch(sql.with_open_days(sql.TOTALS_NOW), {"code": ""})
        return [(row["code"], row["owner_kind"], row["currency"], row["total"]) for row in rows]
    base = last_closed_day(before=day + dt.timedelta(days=1))
    has_balances = DayBalance.objects.filter(day=day).exists()
    # Inside the close the day's balances are there already, though the day is not closed yet.
    base = day if has_balances else base
    first = base + dt.timedelta(days=1) if base else min(_first_day(day), day)
    lo, hi = id_range(first, day) if first <= day else (0, 0)
    rows = sql.fetch(sql.bounded(sql.BALANCES_BY_SUBJECT, lo, hi), {"base": base})
    return [(row["code"], row["owner_kind"], row["currency"], row["total"]) for row in rows]
