"""Every write on fee packages and rules: checked components, no ties, nothing in force changed behind a booked day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts.choices import DayState
from payops.accounts.models import AccountingDay
from payops.core.errors import PayopsError
from payops.core.locks import xact_locks
from payops.core.money import exponent, format_amount
from payops.core.upserts import Upserted, upsert_rows
from payops.fees.choices import RefundPolicy
from payops.fees.engine import Component, Rule, ambiguous, parse_components, ties
from payops.fees.models import FeePackage, FeeRule

LOCK_NAMESPACE = "fees.package"
RULE_KEY = (
    "package_id",
    "product",
    "channel",
    "card_type",
    "kind",
    "currency",
    "amount_from",
    "amount_to",
    "effective_from",
)


@dataclass(frozen=True, slots=True)
class FeeRuleData:
    """A fee rule as somebody wants it; amounts in minor units of `currency`, blank criteria mean any."""

    components: Sequence[Component]
    effective_from: dt.date
    effective_to: dt.date | None = None
    product: str = ""
    channel: str = ""
    card_type: str = ""
    kind: str = ""
    currency: str = "CNY"
    amount_from: int = 0
    amount_to: int | None = None
    refund_policy: str = RefundPolicy.PRO_RATA

    def key(self, package_id: int) -> tuple[Any, ...]:
        """What recognises the rule within all rules: package, criteria, range and first day."""
        criteria = (self.product, self.channel, self.card_type, self.kind, self.currency)
        return (package_id, *criteria, self.amount_from, self.amount_to, self.effective_from)

    def charges(self) -> dict[str, Any]:
        """The rest: what it charges, gives back, and until when."""
        return {
            "components": [component.as_json() for component in self.components],
            "refund_policy": str(self.refund_policy),
            "effective_to": self.effective_to,
        }


def fee_package_upsert(*, code: str, name: str = "", reason: str = "") -> FeePackage:
    """Create the package or rename it; a blank name means the code."""
    return fee_packages_upsert(names={code: name}, reason=reason).rows[(code,)]


def fee_packages_upsert(*, names: Mapping[str, str], reason: str = "") -> Upserted:
    """`fee_package_upsert` for many: {code: name}."""
    wanted = {(code,): {"name": name or code} for code, name in names.items()}
    return upsert_rows(FeePackage, wanted, key=["code"], reason=reason, label=lambda package: package.code)


@transaction.atomic
def fee_rule_create(
    *,
    package: FeePackage,
    components: Sequence[Component] | list[dict[str, Any]],
    effective_from: dt.date,
    effective_to: dt.date | None = None,
    product: str = "",
    channel: str = "",
    card_type: str = "",
    kind: str = "",
    currency: str = "CNY",
    amount_from: int = 0,
    amount_to: int | None = None,
    refund_policy: str = RefundPolicy.PRO_RATA,
    reason: str = "",
) -> FeeRule:
    """Add one rule to a package; amounts in minor units, `effective_to` and `amount_to` exclusive.

    `components` are engine components or their stored form. Raises PayopsError 'fees.tie' naming both rules when
    another rule of the package fits the same payments equally well, 'fees.bad_component' and others when the rule
    itself is wrong.
    """
    parts = tuple(components)
    if not all(isinstance(part, Component) for part in parts):
        parts = parse_components(list(components), currency)
    data = FeeRuleData(
        components=parts,
        effective_from=effective_from,
        effective_to=effective_to,
        product=product,
        channel=channel,
        card_type=card_type,
        kind=kind,
        currency=currency,
        amount_from=amount_from,
        amount_to=amount_to,
        refund_policy=refund_policy,
    )
    _check(data)
    xact_locks(LOCK_NAMESPACE, [package.pk])
    row = FeeRule(**dict(zip(RULE_KEY, data.key(package.pk), strict=True)), **data.charges())
    others = FeeRule.objects.filter(package=package).order_by("id")
    _refuse_ties([_as_rule(other, package.code) for other in others], [_as_rule(row, package.code)])
    row._change_reason = reason or None
    row.save(force_insert=True)
    return row


def fee_rules_upsert(
    *, packages: Mapping[str, FeePackage], rules: Mapping[str, Sequence[FeeRuleData]], reason: str = ""
) -> Upserted:
    """Bring packages' rules to the wanted ones: {package code: rules}. Rules not named stay.

    A rule is recognised by criteria, range and first day. What a rule in force charges cannot change, and a package
    already in use takes new rules only from a day after the open one (DOMAIN 3: never in the middle of a day);
    PayopsError 'fees.in_force', 'fees.too_early', 'fees.tie' or 'fees.twice', with package and index in the context.
    """
    wanted: dict[tuple[Any, ...], dict[str, Any]] = {}
    places: dict[tuple[Any, ...], tuple[str, int]] = {}
    for code, listed in rules.items():
        for index, data in enumerate(listed):
            with_place = {"package": code, "index": index}
            _check(data, with_place)
            key = data.key(packages[code].pk)
            if key in wanted:
                raise PayopsError(
                    "fees.twice",
                    _("Fee package %(package)s lists the same rule twice: criteria, range and first day are equal.")
                    % {"package": code},
                    with_place,
                )
            wanted[key], places[key] = data.charges(), (code, index)
    with transaction.atomic():
        ids = sorted({key[0] for key in wanted})
        xact_locks(LOCK_NAMESPACE, ids)
        open_day = _open_day()
        in_use = set(FeeRule.objects.filter(package_id__in=ids).values_list("package_id", flat=True))
        outcome = upsert_rows(
            FeeRule,
            wanted,
            key=RULE_KEY,
            reason=reason,
            label=lambda rule: _label(rule, places),
            before_change=lambda row, fields, values: _refuse_if_in_force(row, fields, values, open_day, places),
        )
        _refuse_early(outcome, set(outcome.created), in_use, open_day, places)
        _refuse_ties_in_packages(ids, places)
    return outcome


# --- checks -----------------------------------------------------------------------------------------------------------


def _upper(data: FeeRuleData) -> str:
    return "∞" if data.amount_to is None else format_amount(data.amount_to, data.currency)


def _check(data: FeeRuleData, place: Mapping[str, Any] | None = None) -> None:
    context = dict(place or {})
    exponent(data.currency)
    if data.refund_policy not in RefundPolicy.values:
        raise PayopsError(
            "fees.unknown_policy",
            _("“%s” is not a refund policy.") % data.refund_policy,
            {**context, "field": "refund_policy"},
        )
    if data.amount_from < 0 or (data.amount_to is not None and data.amount_to <= data.amount_from):
        raise PayopsError(
            "fees.bad_range",
            _("The amount range %(low)s to %(high)s is empty (the end is exclusive).")
            % {"low": format_amount(data.amount_from, data.currency), "high": _upper(data)},
            {**context, "field": "amount_to"},
        )
    if data.effective_to is not None and data.effective_to <= data.effective_from:
        raise PayopsError(
            "fees.bad_period",
            _("The period from %(first)s until %(last)s is empty (the end is exclusive).")
            % {"first": data.effective_from, "last": data.effective_to},
            {**context, "field": "effective_to"},
        )


def _open_day() -> dt.date | None:
    return AccountingDay.objects.filter(state=DayState.OPEN).values_list("day", flat=True).first()


def _as_rule(row: FeeRule, package_code: str) -> Rule:
    return Rule(
        row.pk or 0,
        package_code,
        row.product,
        row.channel,
        row.card_type,
        row.kind,
        row.currency,
        row.amount_from,
        row.amount_to,
        row.components,
        row.refund_policy,
        row.effective_from,
        row.effective_to,
    )


def _row_key(row: FeeRule) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in RULE_KEY)


def _label(row: FeeRule, places: Mapping[tuple[Any, ...], tuple[str, int]]) -> str:
    return _as_rule(row, places[_row_key(row)][0]).label()


def _context(row: FeeRule, places: Mapping[tuple[Any, ...], tuple[str, int]]) -> dict[str, Any]:
    code, index = places[_row_key(row)]
    return {"package": code, "index": index}


def _refuse_if_in_force(
    row: FeeRule,
    fields: Sequence[str],
    values: Mapping[str, Any],
    open_day: dt.date | None,
    places: Mapping[tuple[Any, ...], tuple[str, int]],
) -> None:
    if open_day is None or row.effective_from > open_day:
        return
    ended = row.effective_to is not None and row.effective_to <= open_day
    new_end = values["effective_to"]
    if set(fields) == {"effective_to"} and not ended and (new_end is None or new_end > open_day):
        return
    raise PayopsError(
        "fees.in_force",
        _(
            "Fee rule %(rule)s is in force since %(since)s, and days up to %(open_day)s are booked with it. "
            "Give it an effective_to after %(open_day)s and add a rule that begins then."
        )
        % {"rule": _label(row, places), "since": row.effective_from, "open_day": open_day},
        {**_context(row, places), "field": fields[0], "open_day": str(open_day)},
    )


def _refuse_early(
    outcome: Upserted,
    created: set[str],
    in_use: set[int],
    open_day: dt.date | None,
    places: Mapping[tuple[Any, ...], tuple[str, int]],
) -> None:
    if open_day is None or not created:
        return
    for key, row in outcome.rows.items():
        if key[0] in in_use and row.effective_from <= open_day and _label(row, places) in created:
            raise PayopsError(
                "fees.too_early",
                _(
                    "New fee rule %(rule)s would change what package %(package)s charges in the middle of the books. "
                    "Let it begin after the open accounting day %(open_day)s."
                )
                % {"rule": _label(row, places), "package": places[key][0], "open_day": open_day},
                {**_context(row, places), "field": "effective_from", "open_day": str(open_day)},
            )


def _refuse_ties(others: Sequence[Rule], new: Sequence[Rule]) -> None:
    for rule in new:
        for other in others:
            if ties(other, rule):
                raise ambiguous(other, rule)


def _refuse_ties_in_packages(ids: Sequence[int], places: Mapping[tuple[Any, ...], tuple[str, int]]) -> None:
    by_package: dict[str, list[tuple[Rule, FeeRule]]] = {}
    for row in FeeRule.objects.filter(package_id__in=ids).select_related("package").order_by("id"):
        by_package.setdefault(row.package.code, []).append((_as_rule(row, row.package.code), row))
    for listed in by_package.values():
        for position, (rule, row) in enumerate(listed):
            for earlier, earlier_row in listed[:position]:
                if ties(earlier, rule):
                    error = ambiguous(earlier, rule)
                    named = next((r for r in (row, earlier_row) if _row_key(r) in places), row)
                    error.context.update(_context(named, places))
                    raise error
