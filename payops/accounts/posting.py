"""Posting one voucher: what a caller hands over, and the one door into the ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted
from payops.accounts.choices import DayState, Event
from payops.accounts.diverting import divert, suspense_account, suspense_owner
from payops.accounts.errors import guard_errors
from payops.accounts.models import Account, AccountingDay, DivertedEntry, Voucher
from payops.accounts.rules import CompiledRule, RuleLine, rule_for
from payops.core.errors import PayopsError

MEMO_LENGTH: Final = 200


class Posting(NamedTuple):
    """One source document to be booked by its event's rule.

    `amounts`: the rule's variables in minor units; a negative line swaps its side. `owners`: owner numbers by role
    (merchant, agent, channel, bank, own_bank). (event, source_id) is the key: booked at most once, ever.
    """

    event: int
    source_kind: str
    source_id: int
    amounts: Mapping[str, int]
    owners: Mapping[str, str]
    business_date: dt.date
    currency: str = "CNY"
    memo: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it will be booked: amount > 0."""

    subject: str
    owner_kind: str
    owner_no: str
    side: str
    amount: int


def lines_of(posting: Posting, rule: CompiledRule) -> list[Line]:
    """The lines a posting makes by a rule: zero lines left out, negative ones on the other side."""
    rule.owners(posting.owners)
    amounts = rule.amounts(posting.amounts)
    for amount in amounts:
        if type(amount) is not int:
            raise TypeError(f"amounts are whole minor units, not {type(amount).__name__}")
    return [
        Line(
            line.subject,
            line.owner_kind,
            posting.owners[line.owner_key] if line.owner_key else "",
            line.side if amount > 0 else line.other_side,
            abs(amount),
        )
        for line, amount in zip(rule.lines, amounts, strict=True)
        if amount
    ]


def open_accounting_day() -> dt.date:
    """The day that is open; PayopsError 'ledger.no_open_day' when none is."""
    day = AccountingDay.objects.filter(state=DayState.OPEN).values_list("day", flat=True).first()
    if day is None:
        raise no_open_day()
    return day


def no_open_day() -> PayopsError:
    """The refusal when nothing can be booked because no day is open."""
    return PayopsError("ledger.no_open_day", _("No accounting day is open. Open the first one with the set-up."))


def day_not_open(day: dt.date | str) -> PayopsError:
    """The refusal for a day that was never opened or is closed."""
    return PayopsError(
        "ledger.day_not_open",
        _("Accounting day %(day)s is closed or was never opened. Book on the day that is open.") % {"day": day},
        {"day": str(day)},
    )


def no_account(line: Line | RuleLine, owner_no: str, currency: str) -> PayopsError:
    """The refusal for an account nobody opened."""
    return PayopsError(
        "ledger.no_account",
        _("There is no %(currency)s account %(subject)s of %(kind)s “%(owner)s”. Open the owner's accounts first.")
        % {
            "currency": currency,
            "subject": dotted(line.subject),
            "kind": line.owner_kind,
            "owner": owner_no,
        },
        {"subject": line.subject, "owner_kind": line.owner_kind, "owner_no": owner_no, "currency": currency},
    )


def account_closed(account_no: str) -> PayopsError:
    """The refusal of an entry on a closed account."""
    return PayopsError(
        "ledger.account_closed",
        _("Account %(account)s is closed and takes no more entries.") % {"account": account_no},
        {"account_no": account_no},
    )


# The day used for choosing a rule before the database has said which day is open; wrong once after each cut-off.
_last_open_day: list[dt.date] = []


def post(
    posting: Posting, *, day: dt.date | None = None, posted_by: str = "", instruction: bool = False
) -> Voucher | None:
    """Book one source document; returns its voucher, or None when all its lines are zero.

    `day`: the accounting day, default the open one. `instruction`: somebody asks for money to move (a payout), so the
    restrictions and the available amount of merchants' accounts are respected; facts ignore them (DOMAIN 4.4), and
    their lines for a merchant's closed account go to suspense (`diverting`).
    Works in the caller's transaction. Raises PayopsError 'ledger.already_posted' (context voucher_id),
    'ledger.no_account', 'ledger.account_closed' (an instruction, or not a merchant's account), 'ledger.day_not_open',
    'ledger.no_open_day', 'ledger.restricted', 'ledger.insufficient', 'rules.none', 'ledger.busy' (retry).
    """
    guess = day or (_last_open_day[0] if _last_open_day else open_accounting_day())
    fresh = False
    for _attempt in range(3):
        rule = rule_for(posting.event, guess, fresh=fresh)
        lines = lines_of(posting, rule)
        if not lines:
            return None
        status, voucher_id, detail = _call(posting, day, rule, lines, posted_by, instruction)
        if status == "divert":
            return _post_diverted(posting, day, rule, lines, posted_by)
        if status == "posted":
            _last_open_day[:] = [_day_of_detail(detail)] if day is None else _last_open_day
            return _voucher(posting, voucher_id, rule, lines, posted_by)
        if status != "stale_rule":
            _refuse(status, posting, lines, voucher_id, detail)
        guess, fresh = _day_of_detail(detail), True
    raise PayopsError("ledger.busy", _("The posting rules are being changed. Try again."), {"retryable": True})


def _post_diverted(
    posting: Posting, day: dt.date | None, rule: CompiledRule, lines: list[Line], posted_by: str
) -> Voucher:
    """The same with the lines for closed merchant accounts on suspense; remembered and told in one transaction."""
    with transaction.atomic():
        # Asked again inside: now the day is held, so no account closes between the answer and the booking.
        status, voucher_id, detail = _call(posting, day, rule, lines, posted_by, instruction=False)
        if status != "divert":
            _refuse(status, posting, lines, voucher_id, detail)
        owner = suspense_owner(posting.owners)
        meant = {}
        booked = list(lines)
        for number in map(int, detail.split(",")):
            line = meant[number] = lines[number - 1]
            suspense = suspense_account(line.side, owner, posting.currency)
            booked[number - 1] = Line(suspense.subject.code, *owner, line.side, line.amount)
        status, voucher_id, detail = _call(posting, day, rule, booked, posted_by, instruction=False)
        if status != "posted":
            _refuse(status, posting, booked, voucher_id, detail)
        divert(
            [
                DivertedEntry(
                    entry_id=voucher_id + number,
                    account=Account.objects.get(
                        subject__code=line.subject,
                        owner_kind=line.owner_kind,
                        owner_no=line.owner_no,
                        currency=posting.currency,
                    ),
                    side=line.side,
                    amount=line.amount,
                    event=int(posting.event),
                )
                for number, line in meant.items()
            ]
        )
    return _voucher(posting, voucher_id, rule, booked, posted_by)


def _day_of_detail(detail: str) -> dt.date:
    return dt.date.fromisoformat(detail)


def _call(
    posting: Posting, day: dt.date | None, rule: CompiledRule, lines: list[Line], posted_by: str, instruction: bool
) -> tuple[str, int, str]:
    # An instruction may be refused after the key was taken; the savepoint gives the key back.
    savepoint: Any = transaction.atomic() if instruction else nullcontext()
    with guard_errors(posting.currency), savepoint, connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM accounts_post(%s::date, %s, %s, %s, %s::date, %s, %s, %s, %s, %s::text[], %s::text[],"
            " %s::text[], %s::text[], %s::bigint[], %s)",
            [
                day,
                int(posting.event),
                posting.source_kind,
                posting.source_id,
                posting.business_date,
                rule.version,
                posting.memo[:MEMO_LENGTH],
                posted_by,
                posting.currency,
                [line.subject for line in lines],
                [line.owner_kind for line in lines],
                [line.owner_no for line in lines],
                [line.side for line in lines],
                [line.amount for line in lines],
                instruction,
            ],
        )
        return cursor.fetchone()


def _voucher(posting: Posting, voucher_id: int, rule: CompiledRule, lines: list[Line], posted_by: str) -> Voucher:
    voucher = Voucher(
        id=voucher_id,
        event=int(posting.event),
        source_kind=posting.source_kind,
        source_id=posting.source_id,
        business_date=posting.business_date,
        line_count=len(lines),
        rule_version=rule.version,
        memo=posting.memo[:MEMO_LENGTH],
        posted_at=timezone.now(),
        posted_by=posted_by,
    )
    voucher._state.adding = False
    voucher._state.db = "default"
    return voucher


def _refuse(status: str, posting: Posting, lines: list[Line], voucher_id: int, detail: str) -> NoReturn:
    if status == "already_posted":
        raise PayopsError(
            "ledger.already_posted",
            _("“%(event)s” of %(kind)s %(id)s is booked already, by voucher %(voucher)s.")
            % {
                "event": Event(posting.event).label,
                "kind": posting.source_kind,
                "id": posting.source_id,
                "voucher": voucher_id,
            },
            {"voucher_id": voucher_id, "event": int(posting.event), "source_id": str(posting.source_id)},
        )
    if status == "no_account":
        line = lines[int(detail) - 1]
        raise no_account(line, line.owner_no, posting.currency)
    if status == "account_closed":
        raise account_closed(detail)
    raise no_open_day() if status == "no_open_day" else day_not_open(detail)
