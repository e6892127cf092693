"""Prioritised rules that say what a bank line is (DOMAIN 7.4), and what they would say of past lines if changed."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.channels.choices import BankLineKind
from payops.channels.models import BankAccount, BankLine, ChannelContract
from payops.core.errors import PayopsError
from payops.reconciliation.choices import Direction
from payops.reconciliation.models import BankRule

TRIED_DAYS: Final = 31
TRIED_LINES: Final = 20_000
NEEDED_GROUP: Final = {
    BankLineKind.SETTLEMENT: "date",
    BankLineKind.PAYOUT: "number",
    BankLineKind.RETURN: "number",
}
"""What the memo pattern of a rule of that kind has to find."""
KINDS: Final = (
    BankLineKind.SETTLEMENT,
    BankLineKind.PAYOUT,
    BankLineKind.RETURN,
    BankLineKind.TRANSFER,
    BankLineKind.INTEREST,
    BankLineKind.CHARGE,
    BankLineKind.CARRIED,
)
_DIRECTIONS: Final = {
    BankLineKind.PAYOUT: Direction.OUT,
    BankLineKind.RETURN: Direction.IN,
    BankLineKind.INTEREST: Direction.IN,
    BankLineKind.CHARGE: Direction.OUT,
    BankLineKind.CARRIED: Direction.OUT,
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a line is, by which rule; contract and date of a settlement, our number of a payout or return."""

    kind: BankLineKind
    rule: BankRule
    contract: ChannelContract | None = None
    channel_date: dt.date | None = None
    number: str = ""


def rules_of(account: BankAccount | int) -> list[BankRule]:
    """The rules in force for a bank account, in the order they are tried."""
    rules = BankRule.objects.filter(bank_account=account, is_current=True, active=True).select_related("contract")
    return list(rules.order_by("priority", "pk"))


def line_found(line: BankLine, rules: Iterable[BankRule]) -> Found | None:
    """The first rule whose conditions all hold; None where none does, and the line is for a person."""
    for rule in rules:
        found = _found_by(rule, line)
        if found is not None:
            return found
    return None


def _found_by(rule: BankRule, line: BankLine) -> Found | None:
    if not _conditions_hold(rule, line):
        return None
    match = re.search(rule.memo_pattern, line.memo) if rule.memo_pattern else None
    if rule.memo_pattern and match is None:
        return None
    kind = BankLineKind(rule.kind)
    if kind == BankLineKind.SETTLEMENT:
        date = compact_date(match["date"]) if match else None
        if date is None or rule.contract is None or rule.contract.currency != line.currency:
            return None
        return Found(kind, rule, contract=rule.contract, channel_date=date)
    if kind in NEEDED_GROUP:
        return Found(kind, rule, number=match["number"]) if match and match["number"] else None
    return Found(kind, rule)


def _conditions_hold(rule: BankRule, line: BankLine) -> bool:
    size = abs(line.amount)
    direction = Direction.IN if line.amount > 0 else Direction.OUT
    return (
        rule.direction in (Direction.ANY, direction)
        and rule.counterparty.casefold() in line.counterparty.casefold()
        and (rule.min_amount is None or size >= rule.min_amount)
        and (rule.max_amount is None or size <= rule.max_amount)
    )


def compact_date(text: str | None) -> dt.date | None:
    """20261113 as a date; None for anything else."""
    if text is None or len(text) != 8 or not text.isascii() or not text.isdigit():
        return None
    try:
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def rule_check(rule: BankRule) -> None:
    """PayopsError 'bank_rules.…' for a rule that could never hold, or hold for what it must not."""
    if not (rule.counterparty or rule.memo_pattern):
        raise _refusal("no_condition", _("Say which counterparty or memo the rule is for; it would take every line."))
    needed = NEEDED_GROUP.get(BankLineKind(rule.kind))
    try:
        groups = re.compile(rule.memo_pattern).groupindex
    except re.error as error:
        raise _refusal("bad_pattern", _("The memo pattern cannot be read: %(error)s.") % {"error": error}) from error
    if needed and needed not in groups:
        raise _refusal(
            "no_group",
            _("A rule for %(kind)s needs the group (?P<%(group)s>…) in its memo pattern.")
            % {"kind": BankLineKind(rule.kind).label, "group": needed},
        )
    if (rule.kind == BankLineKind.SETTLEMENT) != (rule.contract is not None):
        raise _refusal("contract", _("A rule for settlements names the channel that pays; other rules name none."))
    if rule.contract is not None and rule.contract.reserve_account_id != rule.bank_account_id:
        raise _refusal("contract", _("%(channel)s pays into another bank account.") % {"channel": rule.contract.code})
    wanted = _DIRECTIONS.get(BankLineKind(rule.kind))
    if wanted is not None and rule.direction != wanted:
        raise _refusal(
            "direction",
            _("%(kind)s is always “%(direction)s”: set the direction of the rule to it.")
            % {"kind": BankLineKind(rule.kind).label, "direction": wanted.label},
        )
    if rule.min_amount is not None and rule.max_amount is not None and rule.min_amount > rule.max_amount:
        raise _refusal("amounts", _("The smallest amount is above the largest one."))
    same = BankRule.objects.filter(bank_account=rule.bank_account_id, is_current=True, active=True)
    tied = same.filter(priority=rule.priority).exclude(name=rule.name).first() if rule.active else None
    if tied is not None:
        raise _refusal(
            "priority",
            _("Rule “%(name)s” has priority %(priority)d already; two rules are never tried at once.")
            % {"name": tied.name, "priority": rule.priority},
        )


def _refusal(code: str, message: str) -> PayopsError:
    return PayopsError(f"bank_rules.{code}", message)


# --- what would change ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A past line that the rules with the change would take for something else."""

    line: BankLine
    now: Found | None
    then: Found | None


def rules_with(rule: BankRule) -> list[BankRule]:
    """The account's rules as they would be with this one in the place of its former version."""
    rules = [other for other in rules_of(rule.bank_account_id) if other.name != rule.name]
    if rule.active:
        rules.append(rule)
    return sorted(rules, key=lambda each: each.priority)


def rule_try(rule: BankRule, *, until: dt.date) -> tuple[int, Sequence[Change]]:
    """How many lines of the last 31 days were tried, and those for which the rule makes a difference. Books nothing."""
    since = until - dt.timedelta(days=TRIED_DAYS)
    lines = BankLine.objects.filter(bank_account=rule.bank_account_id, value_date__gt=since, value_date__lte=until)
    now, then = rules_of(rule.bank_account_id), rules_with(rule)
    changes, tried = [], 0
    for line in lines.order_by("-value_date", "-pk")[:TRIED_LINES]:
        tried += 1
        change = Change(line, line_found(line, now), line_found(line, then))
        if _told(change.now) != _told(change.then):
            changes.append(change)
    return tried, changes


def _told(found: Found | None) -> tuple[Any, ...]:
    return (None,) if found is None else (found.kind, found.contract, found.channel_date, found.number)
