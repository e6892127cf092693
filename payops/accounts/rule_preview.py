"""A posting rule tried before it is proposed: old lines beside new ones, and what is missing for posting at all.

The example is a past voucher of the event, whose amounts are recovered from its entries, or amounts typed in.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from fractions import Fraction
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.accounts.choices import LINE_EVENTS, Event, RuleState, Side
from payops.accounts.models import AccountingDay, Entry, PostingRule, Voucher
from payops.accounts.owners import OPENING_RULES, OwnerGap, owners_lacking
from payops.accounts.posting import Line, Posting, lines_of
from payops.accounts.rules import ROLES, CompiledRule, compile_rule
from payops.core.errors import PayopsError

# The opening rule that tells which owners stand behind a role of a posting rule.
_OPENED_BY: Final = {"merchant": "merchant", "channel": "channel", "bank": "reserve", "own_bank": "own"}
GAPS_LISTED: Final = 100


# --- preview ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Example:
    """Amounts and owners of one booking. `assumed` names variables its entries do not tell, taken as 0 or from it."""

    amounts: Mapping[str, int]
    owners: Mapping[str, str]
    currency: str
    assumed: tuple[str, ...] = ()
    voucher_id: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """The lines both versions make of one example."""

    example: Example
    old: list[Line]
    new: list[Line]


def rule_preview(*, event: int, lines: Sequence[Mapping[str, Any]], example: Example, day: dt.date) -> Preview:
    """What the version in force on a day and the proposed lines make of an example.

    Raises PayopsError 'ledger.variable_missing' or 'ledger.owner_missing' when the new lines ask for more than the
    example tells: type the amount in.
    """
    now = rule_in_force(event, day)
    new = compile_rule(event, now.version + 1 if now else 1, lines)
    return Preview(example, _lines(event, now, example) if now else [], _lines(event, new, example))


def _lines(event: int, rule: PostingRule | CompiledRule, example: Example) -> list[Line]:
    compiled = rule if isinstance(rule, CompiledRule) else compile_rule(event, rule.version, rule.lines)
    posting = Posting(event, "", 0, example.amounts, example.owners, dt.date(2000, 1, 1), example.currency)
    return lines_of(posting, compiled)


def rule_in_force(event: int, day: dt.date) -> PostingRule | None:
    """The version of the event's rule on an accounting day, None when there is none."""
    rules = PostingRule.objects.filter(event=event, state=RuleState.ACTIVE, effective_day__lte=day)
    return rules.order_by("-effective_day", "-version").first()


def example_of_voucher(voucher: Voucher) -> Example:
    """The amounts and owners of a booked voucher, recovered from its entries by the version that made it.

    Each account's sum is one equation over the variables; what they leave open counts as 0 and is named in `assumed`,
    with everything that depends on it. Raises PayopsError 'rules.not_by_rule' for a voucher no version explains.
    """
    rule = PostingRule.objects.filter(event=voucher.event, version=voucher.rule_version).first()
    entries = list(
        Entry.objects.in_range(voucher.pk, voucher.pk + 1000).select_related("account__subject").order_by("id")
    )
    if rule is None or not entries:
        raise _unexplained(voucher)
    compiled = compile_rule(rule.event, rule.version, rule.lines)
    booked: dict[tuple[str, str], int] = defaultdict(int)
    owners: dict[tuple[str, str], str] = {}
    for entry in entries:
        place = (entry.account.subject.code, entry.account.owner_kind)
        booked[place] += entry.amount if entry.side == Side.DEBIT else -entry.amount
        owners[place] = entry.account.owner_no
    equations: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    by_role: dict[str, str] = {}
    for line in compiled.lines:
        place = (line.subject, line.owner_kind)
        for name, factor in line.terms:
            equations[place][name] += factor if line.side == Side.DEBIT else -factor
        if line.owner_key and place in owners:
            by_role[line.owner_key] = owners[place]
    if booked.keys() - equations.keys():
        raise _unexplained(voucher)
    amounts, assumed = _solve(
        sorted(compiled.variables), [(terms, booked.get(place, 0)) for place, terms in equations.items()]
    )
    if amounts is None:
        raise _unexplained(voucher)
    return Example(amounts, by_role, entries[0].currency, assumed, voucher.pk)


def _unexplained(voucher: Voucher) -> PayopsError:
    return PayopsError(
        "rules.not_by_rule",
        _("Voucher %(voucher)d was not made by a posting rule, so it is no example of one.") % {"voucher": voucher.pk},
        {"voucher_id": str(voucher.pk)},
    )


def _solve(
    names: list[str], equations: Sequence[tuple[Mapping[str, int], int]]
) -> tuple[dict[str, int] | None, tuple[str, ...]]:
    """Whole values of the variables by elimination, and the names that are not determined; None without a solution."""
    rows = [[Fraction(terms.get(name, 0)) for name in names] + [Fraction(value)] for terms, value in equations]
    pivots: dict[int, int] = {}
    at = 0
    for column in range(len(names)):
        found = next((n for n in range(at, len(rows)) if rows[n][column]), None)
        if found is None:
            continue
        rows[at], rows[found] = rows[found], rows[at]
        rows[at] = [value / rows[at][column] for value in rows[at]]
        for other in range(len(rows)):
            if other != at and rows[other][column]:
                factor = rows[other][column]
                rows[other] = [mine - factor * pivot for mine, pivot in zip(rows[other], rows[at], strict=True)]
        pivots[column] = at
        at += 1
    if any(row[-1] for row in rows[at:]):
        return None, ()
    free = [column for column in range(len(names)) if column not in pivots]
    values = {names[column]: rows[n][-1] for column, n in pivots.items()} | {
        names[column]: Fraction(0) for column in free
    }
    if any(value.denominator != 1 for value in values.values()):
        return None, ()
    depending = [column for column, n in pivots.items() if any(rows[n][other] for other in free)]
    return {name: int(value) for name, value in values.items()}, tuple(names[n] for n in sorted([*free, *depending]))


def latest_example(event: int, *, days: int = 31) -> Example | None:
    """The newest voucher of the event that can serve as an example, looked for on the latest accounting days."""
    opened = list(AccountingDay.objects.order_by("-day").values_list("day", flat=True)[:days])
    if not opened:
        return None
    rows = Voucher.objects.for_days(min(opened), max(opened)).filter(event=event, rule_version__gt=0).order_by("-id")
    for voucher in rows[:3]:
        try:
            return example_of_voucher(voucher)
        except PayopsError:
            continue
    return None


# --- differences ------------------------------------------------------------------------------------------------------


def line_text(line: Mapping[str, Any]) -> str:
    """A line in one row of text: D 2202.02 merchant A - X."""
    return f"{line['side']} {line['subject']} {line['owner']} {line['amount']}"


def rule_difference(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Lines kept (" "), taken away ("−") and added ("+") between two versions, in reading order."""
    before, after = [line_text(line) for line in old], [line_text(line) for line in new]
    found: list[tuple[str, str]] = []
    for kind, a, b, c, d in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if kind == "equal":
            found += [(" ", text) for text in before[a:b]]
            continue
        found += [("−", text) for text in before[a:b]]
        found += [("+", text) for text in after[c:d]]
    return found


# --- what is missing --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RulesMissing:
    """What stands in the way of posting: events without a rule, and accounts that rules need and owners lack."""

    events: list[Event]
    accounts: list[OwnerGap]

    def __bool__(self) -> bool:
        return bool(self.events or self.accounts)

    def lines(self) -> list[str]:
        """One sentence per gap."""
        texts = [
            _("No posting rule in force for event %(code)d, %(event)s.") % {"code": event, "event": event.label}
            for event in self.events
        ]
        return texts + [
            _("%(owner)s (%(currency)s) has no account under %(subjects)s, which posting rules need.")
            % {
                "owner": gap.owner_no or gap.owner_kind,
                "currency": gap.currency,
                "subjects": ", ".join(gap.missing),
            }
            for gap in self.accounts
        ]


def rules_missing(day: dt.date | None = None) -> RulesMissing:
    """What is missing for posting on an accounting day, default the newest; ask it after adding a bank or an event.

    Every owner is expected to be able to play its role in every rule. The first GAPS_LISTED owners are named.
    """
    when = day or AccountingDay.objects.order_by("-day").values_list("day", flat=True).first() or dt.date.max
    rules = PostingRule.objects.filter(state=RuleState.ACTIVE, effective_day__lte=when)
    in_force = list(rules.order_by("event", "-effective_day", "-version").distinct("event"))
    have = {rule.event for rule in in_force}
    events = [event for event in Event if event not in LINE_EVENTS and event not in have]
    needed: dict[str, set[str]] = defaultdict(set)
    for rule in in_force:
        for line in compile_rule(rule.event, rule.version, rule.lines).lines:
            role = next(role for role, wanted in ROLES.items() if wanted == (line.owner_kind, line.owner_key))
            needed[_OPENED_BY.get(role, role)].add(line.subject)
    gaps = [
        gap
        for opening in OPENING_RULES
        if needed[opening.key]
        for gap in owners_lacking(tuple(sorted(needed[opening.key])), opening, GAPS_LISTED)
    ]
    return RulesMissing(events, gaps[:GAPS_LISTED])
