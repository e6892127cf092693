"""Whose accounts there are: which subjects an owner gets when it is set up, what it lacks, opening what is missing.

The tuples of `chart.py` are the opening rules; here they are read by kind of owner, and compared with what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.chart import (
    AGENT_SUBJECTS,
    CHANNEL_SUBJECTS,
    INSTITUTION_SUBJECTS,
    MERCHANT_SUBJECTS,
    OWN_FUNDS_SUBJECTS,
    RESERVE_SUBJECTS,
    account_open,
)
from payops.accounts.choices import AccountStatus, OwnerKind
from payops.accounts.models import Account
from payops.core import audit
from payops.core.errors import PayopsError

RESERVE: Final = "100201"
OWN_FUNDS: Final = "100202"


@dataclass(frozen=True, slots=True)
class OpeningRule:
    """The subjects an owner of a kind gets. `told_by`: the subject that tells reserve and own-funds accounts apart."""

    key: str
    title: object
    owner_kind: str
    subjects: tuple[str, ...]
    told_by: str = ""


OPENING_RULES: Final = (
    OpeningRule("institution", gettext_lazy("Institution"), OwnerKind.INSTITUTION, INSTITUTION_SUBJECTS),
    OpeningRule("channel", gettext_lazy("Channel contract"), OwnerKind.CHANNEL, CHANNEL_SUBJECTS),
    OpeningRule("reserve", gettext_lazy("Reserve account"), OwnerKind.BANK, RESERVE_SUBJECTS, RESERVE),
    OpeningRule("own", gettext_lazy("Own-funds account"), OwnerKind.BANK, OWN_FUNDS_SUBJECTS, OWN_FUNDS),
    OpeningRule("merchant", gettext_lazy("Merchant"), OwnerKind.MERCHANT, MERCHANT_SUBJECTS),
    OpeningRule("agent", gettext_lazy("Agent"), OwnerKind.AGENT, AGENT_SUBJECTS),
)


@dataclass(frozen=True, slots=True)
class OwnerGap:
    """An owner and the subjects it has no account under, in one currency."""

    owner_kind: str
    owner_no: str
    currency: str
    missing: tuple[str, ...]


def opening_rule_of(owner_kind: str, owner_no: str) -> OpeningRule:
    """The rule an owner was set up by; PayopsError 'ledger.owner_not_found' for one that has no account at all."""
    rules = [rule for rule in OPENING_RULES if rule.owner_kind == owner_kind]
    subjects = set(
        Account.objects.filter(owner_kind=owner_kind, owner_no=owner_no).values_list("subject__code", flat=True)
    )
    for rule in rules:
        if subjects and (not rule.told_by or rule.told_by in subjects):
            return rule
    raise PayopsError(
        "ledger.owner_not_found",
        _("%(owner)s has no accounts. They are opened when it is set up.") % {"owner": owner_no or owner_kind},
        {"owner_kind": owner_kind, "owner_no": owner_no},
    )


def owners_lacking(subjects: tuple[str, ...], rule: OpeningRule, limit: int | None = None) -> list[OwnerGap]:
    """Owners of a rule's kind without an account under one of the subjects, by owner and currency."""
    owners = _owners(rule).annotate(have=Count("pk", filter=Q(subject__code__in=subjects)))
    short = list(owners.filter(have__lt=len(set(subjects))).order_by("owner_no", "currency")[:limit])
    have: dict[tuple[str, str], set[str]] = {(row["owner_no"], row["currency"]): set() for row in short}
    held = Account.objects.filter(
        owner_kind=rule.owner_kind, owner_no__in=[number for number, _currency in have], subject__code__in=subjects
    )
    for number, currency, code in held.values_list("owner_no", "currency", "subject__code"):
        if (number, currency) in have:
            have[number, currency].add(code)
    return [
        OwnerGap(rule.owner_kind, number, currency, tuple(code for code in subjects if code not in codes))
        for (number, currency), codes in have.items()
    ]


def _owners(rule: OpeningRule) -> QuerySet[Account, dict[str, str]]:
    rows = Account.objects.filter(owner_kind=rule.owner_kind)
    if rule.told_by:
        rows = rows.filter(
            owner_no__in=Account.objects.filter(owner_kind=rule.owner_kind, subject__code=rule.told_by).values(
                "owner_no"
            )
        )
    return rows.order_by().values("owner_no", "currency")


def owner_missing(owner_kind: str, owner_no: str) -> list[OwnerGap]:
    """What one owner lacks of its opening rule, by currency; PayopsError 'ledger.owner_not_found'."""
    rule = opening_rule_of(owner_kind, owner_no)
    held: dict[str, set[str]] = {}
    rows = Account.objects.filter(owner_kind=owner_kind, owner_no=owner_no)
    for currency, code in rows.order_by("currency").values_list("currency", "subject__code"):
        held.setdefault(currency, set()).add(code)
    return [
        OwnerGap(owner_kind, owner_no, currency, lacking)
        for currency, codes in held.items()
        if (lacking := tuple(code for code in rule.subjects if code not in codes))
    ]


@transaction.atomic
def owner_open_missing(*, owner_kind: str, owner_no: str, username: str) -> list[Account]:
    """Open what an owner lacks of its opening rule; returns the accounts opened. Harmless to repeat.

    Raises PayopsError 'ledger.owner_not_found', and 'ledger.owner_closed' for an owner whose accounts are all closed.
    """
    gaps = owner_missing(owner_kind, owner_no)
    open_ones = Account.objects.filter(owner_kind=owner_kind, owner_no=owner_no).exclude(status=AccountStatus.CLOSED)
    if not open_ones.exists():
        raise PayopsError(
            "ledger.owner_closed",
            _("The accounts of %(owner)s are closed for good.") % {"owner": owner_no or owner_kind},
            {"owner_kind": owner_kind, "owner_no": owner_no},
        )
    opened = [
        account_open(subject_code=code, owner_kind=owner_kind, owner_no=owner_no, currency=gap.currency)
        for gap in gaps
        for code in gap.missing
    ]
    if opened:
        audit.record(
            username=username,
            action="ledger.accounts_opened",
            object_kind="ledger_owner",
            object_id=f"{owner_kind}:{owner_no}",
            detail={"accounts": ", ".join(account.account_no for account in opened)},
        )
    return opened
