"""Posting modes: how the stored balance of an account follows its entries (DOMAIN 4.3).

Per account and business code (event): real-time without a rule; *buffered*, the balance follows within an interval
through the queue; *summary*, one sum at day end. A rule begins and ends with an accounting day, so the mode of every
entry follows from its account, its event and the day its id carries, for ever.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet
from django.utils.translation import gettext as _

from payops.accounts.choices import LINE_EVENTS, Event, PostingMode
from payops.accounts.errors import guard_errors
from payops.accounts.models import Account, AccountingDay, PostingModeRule
from payops.core.errors import PayopsError
from payops.core.locks import lock_timeout

MERCHANTS_MONEY: Final = ("2202", "2203")
"""Subjects of merchants' money: debited in real time whatever the rule, because what is gone must not be spent."""

HOLD_SECONDS: Final = 5
"""How long closing an account waits for postings under way, a bulk posting for instance."""

AccountKey = tuple[str, str, str, str]
"""Subject, owner kind, owner number, currency."""


def debited_in_real_time(subject_code: str) -> bool:
    """Whether debits of accounts under this subject move the stored balance at once, whatever the rule."""
    return subject_code.startswith(MERCHANTS_MONEY)


def in_force(day: dt.date) -> Q:
    """Rules that decide about entries of an accounting day."""
    return Q(effective_day__lte=day) & (Q(end_day__isnull=True) | Q(end_day__gt=day))


def modes_on(day: dt.date) -> frozenset[tuple[AccountKey, int]]:
    """Accounts and events whose balances follow later on that day, whether buffered or summed."""
    rows = PostingModeRule.objects.filter(in_force(day)).values_list(
        "account__subject__code", "account__owner_kind", "account__owner_no", "account__currency", "event"
    )
    return frozenset((row[:4], row[4]) for row in rows)


def earliest_day() -> dt.date:
    """The first accounting day a new mode can take effect on: the one after the newest day opened."""
    newest = AccountingDay.objects.aggregate(newest=Max("day"))["newest"]
    if newest is None:
        raise PayopsError("ledger.no_open_day", _("No accounting day is open. Open the first one with the set-up."))
    return newest + dt.timedelta(days=1)


def mode_check(*, account: Account, event: int, mode: str, effective_day: dt.date) -> None:
    """Refuse what `mode_set` would refuse; changes nothing."""
    _check(event, effective_day)
    _rules_around(account, event, mode, effective_day)


@transaction.atomic
def mode_set(*, account: Account, event: int, mode: str, effective_day: dt.date, by: str) -> PostingModeRule | None:
    """From `effective_day` on, entries of the account and event follow `mode`; real-time ends the rule in force.

    The rule before ends on that day; what was planned for later days is removed. Returns the rule that begins, None
    where none does. Raises PayopsError 'modes.too_early' (the day has begun), 'modes.unchanged', or 'modes.line_event'
    (a document's own lines are always real-time).
    """
    _check(event, effective_day)
    # The account's row makes two changes of its rules take turns, as the guard does.
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    before, planned = _rules_around(account, event, mode, effective_day)
    with guard_errors():
        planned.delete()
        if before is not None:
            before.end_day = None if before.mode == mode else effective_day
            before.save(update_fields=["end_day"])
        if mode == PostingMode.REALTIME or (before is not None and before.mode == mode):
            return None
        return PostingModeRule.objects.create(
            account=account, event=event, mode=mode, effective_day=effective_day, created_by=by
        )


def _rules_around(
    account: Account, event: int, mode: str, effective_day: dt.date
) -> tuple[PostingModeRule | None, QuerySet[PostingModeRule]]:
    """The rule that lasts until the day, or through it, and those planned from it on; 'modes.unchanged'."""
    rules = PostingModeRule.objects.filter(account=account, event=event).exclude(end_day__lt=effective_day)
    before = rules.filter(effective_day__lt=effective_day).first()
    planned = rules.filter(effective_day__gte=effective_day)
    lasting = before.mode if before is not None and before.end_day != effective_day else PostingMode.REALTIME
    if mode == lasting and not planned.exists() and (before is None or before.end_day in {None, effective_day}):
        raise PayopsError(
            "modes.unchanged",
            _("“%(event)s” on account %(account)s is posted that way already: %(mode)s.")
            % {"event": Event(event).label, "account": account.account_no, "mode": PostingMode(mode).label},
            {"account_no": account.account_no, "event": int(event), "mode": mode},
        )
    return before, planned


def _check(event: int, effective_day: dt.date) -> None:
    if event in LINE_EVENTS:
        raise PayopsError(
            "modes.line_event",
            _("“%(event)s” is booked by its own lines, which are always posted in real time.")
            % {"event": Event(event).label},
            {"event": int(event)},
        )
    first = earliest_day()
    if effective_day < first:
        raise PayopsError(
            "modes.too_early",
            _("A posting mode takes effect at the start of a later accounting day: %(first)s at the earliest.")
            % {"first": first.isoformat()},
            {"first_day": first.isoformat(), "effective_day": effective_day.isoformat()},
        )


def hold_days() -> None:
    """Wait until every posting under way has ended, and keep others out until this transaction ends.

    Taken before an account's row by whoever closes it, so that no posting is caught between the two locks. While it
    waits, new postings wait behind it: so not for long, then PayopsError 'locks.busy' (retry).
    """
    with lock_timeout(HOLD_SECONDS), connection.cursor() as cursor:
        cursor.execute("SELECT accounts_hold_days()")
