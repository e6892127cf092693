"""Posting rules: configuration that says what an event books, proved to balance before it is kept (DOMAIN 4.5).

A rule is read once per process and (event, day) and compiled. That is safe because versions never change and a new
one only takes effect on a day later than every day opened so far; `accounts_post` checks the version all the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted, normalised, read_yaml
from payops.accounts.choices import Element, Event, OwnerKind, RuleState, Side
from payops.accounts.expressions import Terms, imbalance, parse_expression
from payops.accounts.models import AccountingDay, PostingRule, Subject
from payops.core.errors import PayopsError

FIRST_EFFECTIVE_DAY: Final = dt.date(2000, 1, 1)

# Role in a rule → (owner kind of the account, key in Posting.owners; None = the institution itself).
ROLES: Final[dict[str, tuple[str, str | None]]] = {
    "merchant": (OwnerKind.MERCHANT.value, "merchant"),
    "channel": (OwnerKind.CHANNEL.value, "channel"),
    "bank": (OwnerKind.BANK.value, "bank"),
    "own_bank": (OwnerKind.BANK.value, "own_bank"),
    "agent": (OwnerKind.AGENT.value, "agent"),
    "institution": (OwnerKind.INSTITUTION.value, None),
}
_OTHER: Final[dict[str, str]] = {"D": "C", "C": "D"}


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One compiled line."""

    side: str
    other_side: str
    subject: str
    owner_kind: str
    owner_key: str | None
    terms: Terms
    single: str | None
    """The variable when the amount is just that variable: the common case, spared the sum."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A version of a rule, ready to be applied."""

    event: int
    version: int
    lines: tuple[RuleLine, ...]
    owner_keys: tuple[str, ...]
    variables: frozenset[str]

    def amounts(self, values: Mapping[str, int]) -> list[int]:
        """One amount per line, minor units, signed; PayopsError 'ledger.variable_missing' or '.amount_not_whole'."""
        try:
            amounts = []
            # A plain loop: this is the innermost of bulk posting, and a generator per line would double its cost.
            for line in self.lines:
                if line.single:
                    amounts.append(values[line.single])
                    continue
                amount = 0
                for name, factor in line.terms:
                    amount += factor * values[name]
                amounts.append(amount)
            return amounts
        except KeyError as error:
            raise PayopsError(
                "ledger.variable_missing",
                _("“%(event)s” needs the amount %(name)s, which was not given.")
                % {"event": Event(self.event).label, "name": error.args[0]},
                {"event": self.event, "variable": error.args[0]},
            ) from None

    def owners(self, owners: Mapping[str, str]) -> tuple[str, ...]:
        """The owner numbers the rule needs, in the order of `owner_keys`; PayopsError 'ledger.owner_missing'."""
        try:
            return tuple([owners[key] for key in self.owner_keys])
        except KeyError as error:
            raise PayopsError(
                "ledger.owner_missing",
                _("“%(event)s” needs to know the %(role)s it concerns.")
                % {"event": Event(self.event).label, "role": error.args[0]},
                {"event": self.event, "owner": error.args[0]},
            ) from None


def compile_rule(event: int, version: int, lines: Sequence[Mapping[str, Any]]) -> CompiledRule:
    """The rule ready to be applied; lines are those of `PostingRule.lines`."""
    compiled = []
    for line in lines:
        terms = parse_expression(line["amount"])
        kind, key = ROLES[line["owner"]]
        single = terms[0][0] if len(terms) == 1 and terms[0][1] == 1 else None
        compiled.append(
            RuleLine(line["side"], _OTHER[line["side"]], normalised(line["subject"]), kind, key, terms, single)
        )
    keys = sorted({line.owner_key for line in compiled if line.owner_key})
    variables = frozenset(name for line in compiled for name, _factor in line.terms)
    return CompiledRule(event, version, tuple(compiled), tuple(keys), variables)


_cache: dict[tuple[int, dt.date], CompiledRule] = {}


def rule_for(event: int, day: dt.date, *, fresh: bool = False) -> CompiledRule:
    """The version of the event's rule in force on an accounting day; PayopsError 'rules.none'.

    `fresh` reads it again, for a caller told by the database that its version is not the right one.
    """
    rule = None if fresh else _cache.get((event, day))
    if rule is not None:
        return rule
    row = (
        PostingRule.objects.filter(event=event, state=RuleState.ACTIVE, effective_day__lte=day)
        .order_by("-effective_day", "-version")
        .first()
    )
    if row is None:
        raise PayopsError(
            "rules.none",
            _("There is no posting rule for “%(event)s” on %(day)s. Load or enter one.")
            % {"event": Event(event).label, "day": day.isoformat()},
            {"event": event, "day": day.isoformat()},
        )
    if len(_cache) > 10_000:
        _cache.clear()
    rule = _cache[event, day] = compile_rule(event, row.version, row.lines)
    return rule


def rules_forget() -> None:
    """Empty the process's cache (tests; after rules were loaded)."""
    _cache.clear()


def chart_subjects() -> dict[str, Subject]:
    """The chart by code."""
    return {subject.code: subject for subject in Subject.objects.all()}


def rule_lines_check(lines: Sequence[Mapping[str, Any]], *, subjects: Mapping[str, Subject] | None = None) -> None:
    """Refuse lines that cannot be booked or do not balance for all values of their variables.

    Raises the first of `rule_lines_errors`: PayopsError 'rules.line', 'rules.expression' or 'rules.unbalanced'.
    """
    for error in rule_lines_errors(lines, subjects=subjects):
        raise error


def rule_lines_errors(
    lines: Sequence[Mapping[str, Any]], *, subjects: Mapping[str, Subject] | None = None
) -> list[PayopsError]:
    """Everything wrong with a rule's lines; an error of one line names it in its context ("line", from 1).

    Whether the whole balances is asked when every line can be read. Memorandum lines stand alone and need no balance.
    `subjects` is the chart by code, for a caller who checks many rules.
    """
    if subjects is None:
        subjects = chart_subjects()
    errors: list[PayopsError] = []
    for number, line in enumerate(lines, start=1):
        try:
            _check_line(number, line, subjects)
        except PayopsError as error:
            errors.append(error)
    if errors:
        return errors
    memo = [subjects[normalised(str(line["subject"]))].element == Element.MEMO for line in lines]
    if any(memo) and not all(memo):
        return [
            PayopsError(
                "rules.memorandum",
                _("Line %(n)d: memorandum subjects are never mixed with others in one voucher.")
                % {"n": memo.index(True) + 1},
                {"line": memo.index(True) + 1},
            )
        ]
    rest = imbalance((line["side"], parse_expression(str(line["amount"]))) for line in lines)
    if lines and all(memo):
        return []
    if rest or len(lines) < 2:
        return [
            PayopsError(
                "rules.unbalanced",
                _("The lines do not balance: debit less credit leaves %(rest)s. Every variable must cancel out.")
                % {"rest": " ".join(f"{factor:+d}·{name}" for name, factor in sorted(rest.items())) or "0"},
                {"imbalance": rest},
            )
        ]
    return []


def _check_line(number: int, line: Mapping[str, Any], subjects: Mapping[str, Subject]) -> None:
    def refuse(reason: str, code: str = "rules.line") -> PayopsError:
        return PayopsError(code, _("Line %(n)d: %(reason)s") % {"n": number, "reason": reason}, {"line": number})

    missing = {"side", "subject", "owner", "amount"} - line.keys()
    if missing:
        raise refuse(_("missing %(fields)s.") % {"fields": ", ".join(sorted(missing))})
    if line["side"] not in Side.values:
        raise refuse(_("the side is D or C, not “%(side)s”.") % {"side": line["side"]})
    if line["owner"] not in ROLES:
        raise refuse(_("“%(owner)s” is none of %(roles)s.") % {"owner": line["owner"], "roles": ", ".join(ROLES)})
    subject = subjects.get(normalised(str(line["subject"])))
    if subject is None:
        raise refuse(_("subject %(code)s is not in the chart.") % {"code": line["subject"]})
    if not subject.is_leaf:
        raise refuse(_("subject %(code)s has sub-subjects.") % {"code": dotted(subject.code)})
    try:
        terms = parse_expression(str(line["amount"]))
    except PayopsError as error:
        raise refuse(str(error), error.code) from error
    if not terms:
        raise refuse(_("its amount is always zero."))


@transaction.atomic
def posting_rule_create(
    *,
    event: int,
    lines: Sequence[Mapping[str, Any]],
    effective_day: dt.date,
    summary: str = "",
    created_by: str = "",
) -> PostingRule:
    """A new version of an event's rule, in force from an accounting day later than every day opened so far.

    Raises what `rule_lines_check` raises, and 'rules.too_early' for a day that has begun (DOMAIN 3).
    """
    rule_lines_check(lines)
    refuse_day_begun(effective_day)
    last = PostingRule.objects.filter(event=event).aggregate(last=Max("version"))["last"] or 0
    rule = PostingRule.objects.create(
        event=event,
        version=last + 1,
        effective_day=effective_day,
        lines=[{**line, "subject": dotted(normalised(str(line["subject"])))} for line in lines],
        summary=summary or Event(event).label,
        created_by=created_by,
    )
    rules_forget()
    return rule


def refuse_day_begun(effective_day: dt.date) -> None:
    """PayopsError 'rules.too_early' unless the day is later than every accounting day so far (DOMAIN 3)."""
    newest = AccountingDay.objects.aggregate(newest=Max("day"))["newest"]
    if newest is not None and effective_day <= newest:
        raise PayopsError(
            "rules.too_early",
            _("A rule takes effect at the start of a later accounting day: %(day)s has begun, choose one after it.")
            % {"day": newest.isoformat()},
            {"newest_day": newest.isoformat(), "effective_day": effective_day.isoformat()},
        )


def rules_file() -> Path:
    """The posting rules that come with payops."""
    return Path(settings.BASE_DIR) / "fixtures" / "posting_rules.yaml"


@transaction.atomic
def posting_rules_load(*, path: Path | None = None) -> int:
    """First versions of the rules of a file, for events that have none yet; returns how many were added.

    Only gaps are filled, so loading again changes nothing and never touches what was configured since.
    """
    have = set(PostingRule.objects.values_list("event", flat=True))
    subjects, new = chart_subjects(), {}
    for row in read_yaml(path or rules_file()):
        event = Event.__members__.get(str(row.get("event")))
        if event is None:
            raise PayopsError("rules.event", _("Event “%(event)s” is not known.") % {"event": row.get("event")})
        lines = [dict(zip(("side", "subject", "owner", "amount"), line, strict=True)) for line in row["lines"]]
        try:
            rule_lines_check(lines, subjects=subjects)
        except PayopsError as error:
            raise PayopsError(error.code, f"{event.name}: {error.message}", error.context) from error
        if event not in have:
            new[event] = PostingRule(
                event=event, version=1, effective_day=FIRST_EFFECTIVE_DAY, lines=lines, summary=row["summary"]
            )
    PostingRule.objects.bulk_create(new.values())
    rules_forget()
    return len(new)
