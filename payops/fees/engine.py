"""The fee engine: what a payment costs by which rule (DOMAIN 10). Merchant fees and channel cost alike.

`compute` and `refund_fee` are pure arithmetic on minor units. `RuleBook` is a snapshot of all rules that finds the one
that applies; it is built for intake of millions of rows, so the search is done once per combination of criteria and a
row costs one look-up and integer arithmetic.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.fees.choices import RefundPolicy

RATE_DECIMALS: Final[int] = 10
_NO_UPPER_BOUND: Final[int] = 2**63
_MAX_COMBINATIONS: Final[int] = 200_000
_COMPONENT_KEYS: Final[frozenset[str]] = frozenset({"name", "fixed", "rate", "min", "max"})


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a fee: `fixed` + amount × `rate`, within `minimum` and `maximum` (minor units, None = no bound)."""

    name: str = "fee"
    fixed: int = 0
    rate: Decimal = Decimal(0)
    minimum: int | None = None
    maximum: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As stored in `FeeRule.components`: the rate as normalised text, absent parts left out."""
        stored: dict[str, Any] = {"name": self.name}
        if self.fixed:
            stored["fixed"] = self.fixed
        if self.rate:
            stored["rate"] = format(self.rate.normalize(), "f")
        if self.minimum is not None:
            stored["min"] = self.minimum
        if self.maximum is not None:
            stored["max"] = self.maximum
        return stored


class FeeQuote(NamedTuple):
    """What a rule charges: rule, fee in minor units of the payment's currency, what a refund gives back."""

    rule_id: int
    fee: int
    refund_policy: str


class ComponentError(PayopsError):
    """A component that cannot be used; `field` tells the set-up file and forms which part is wrong."""

    def __init__(self, code: str, message: str, field: str, context: dict[str, Any]) -> None:
        super().__init__(code, message, {"field": field, **context})
        self.field = field


# --- arithmetic -------------------------------------------------------------------------------------------------------


def parse_rate(value: str) -> Decimal:
    """A rate from text: "0.0038" or "0.38%". Exact; PayopsError 'fees.bad_rate' when it is not 0 ≤ rate < 1."""
    text = str(value).strip()
    try:
        rate = Decimal(text[:-1].strip()).scaleb(-2) if text.endswith("%") else Decimal(text)
    except InvalidOperation:
        rate = Decimal("NaN")
    if not rate.is_finite() or not 0 <= rate < 1:
        raise PayopsError(
            "fees.bad_rate",
            _("“%(value)s” is not a rate. Write it as a decimal (0.0038) or in percent (0.38%%), from 0 to below 1.")
            % {"value": text[:40]},
            {"value": text[:40]},
        )
    if -rate.normalize().as_tuple().exponent > RATE_DECIMALS:
        raise PayopsError(
            "fees.bad_rate",
            _("Rate “%(value)s” has more than %(digits)d decimals.") % {"value": text[:40], "digits": RATE_DECIMALS},
            {"value": text[:40]},
        )
    return rate


def parse_components(stored: Any, currency: str = "CNY") -> tuple[Component, ...]:
    """Components as stored in `FeeRule.components`, checked. Raises ComponentError ('fees.bad_component' and others).

    An empty list is a fee of nothing (free). `currency` is that of the amounts a refusal names.
    """
    if not isinstance(stored, list):
        raise ComponentError("fees.bad_component", _("The components of a fee are a list."), "components", {})
    return tuple(_parse_component(entry, currency) for entry in stored)


def _parse_component(entry: Any, currency: str) -> Component:
    if not isinstance(entry, Mapping):
        raise ComponentError("fees.bad_component", _("A fee component has named parts."), "components", {})
    unknown = sorted(set(entry) - _COMPONENT_KEYS)
    if unknown:
        raise ComponentError(
            "fees.bad_component", _("A fee component has no part “%s”.") % unknown[0], unknown[0], {"key": unknown[0]}
        )
    bounds = {name: _minor(entry, name) for name in ("fixed", "min", "max")}
    try:
        rate = parse_rate(entry.get("rate") or "0")
    except PayopsError as error:
        raise ComponentError(error.code, str(error), "rate", error.context) from error
    if bounds["min"] is not None and bounds["max"] is not None and bounds["min"] > bounds["max"]:
        raise ComponentError(
            "fees.min_above_max",
            _("The minimum %(min)s is above the maximum %(max)s.")
            % {"min": format_amount(bounds["min"], currency), "max": format_amount(bounds["max"], currency)},
            "min",
            dict(bounds),
        )
    return Component(str(entry.get("name") or "fee"), bounds["fixed"] or 0, rate, bounds["min"], bounds["max"])


def _minor(entry: Mapping[str, Any], name: str) -> int | None:
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ComponentError(
            "fees.bad_component",
            _("“%(name)s” of a fee component is whole minor units, not below zero; %(value)s is not.")
            % {"name": name, "value": value},
            name,
            {"value": str(value)},
        )
    return value


def compile_component(component: Component) -> Callable[[int], int]:
    """A function from amount to fee (minor units): exact, rounded half up, then minimum and maximum.

    The rate becomes a fraction of integers, so nothing but integer arithmetic is left for each payment.
    """
    numerator, denominator = component.rate.as_integer_ratio()
    twice, offset = 2 * numerator, 2 * component.fixed * denominator + denominator
    divisor = 2 * denominator
    low, high = component.minimum, component.maximum
    if low is None and high is None:
        return lambda amount: (amount * twice + offset) // divisor
    floor = 0 if low is None else low
    ceiling = _NO_UPPER_BOUND if high is None else high

    def bounded(amount: int) -> int:
        fee = (amount * twice + offset) // divisor
        if fee < floor:
            return floor
        return fee if fee < ceiling else ceiling

    return bounded


def compile_components(components: Sequence[Component]) -> Callable[[int], int]:
    """A function from amount to the whole fee; most rules have one component and then pay for no loop."""
    parts = tuple(compile_component(component) for component in components)
    if not parts:
        return lambda amount: 0
    if len(parts) == 1:
        return parts[0]
    return lambda amount: sum([part(amount) for part in parts])


def compute(components: Iterable[Component], amount: int) -> int:
    """The fee on `amount` (minor units, not negative): each component rounded and bounded by itself, then summed.

    The fee may exceed the amount (DOMAIN 10: a line may be negative).
    """
    return compile_components(tuple(components))(amount)


def refund_fee(*, policy: str, fee: int, amount: int, refunded: int, returned: int, currency: str = "CNY") -> int:
    """How much fee this refund gives back to the merchant, minor units.

    `fee` and `amount` are those of the payment, `refunded` is what is refunded of it *including* this refund,
    `returned` the fee given back before. Pro rata is computed on the running total, so that roundings cancel out and
    a full refund returns exactly the fee (DOMAIN 10). Raises PayopsError 'fees.refund_above_paid', whose message has
    its amounts in `currency`.
    """
    if not 0 <= refunded <= amount or amount <= 0:
        raise PayopsError(
            "fees.refund_above_paid",
            _("%(refunded)s refunded of %(amount)s paid is not possible.")
            % {"refunded": format_amount(refunded, currency), "amount": format_amount(amount, currency)},
            {"refunded": refunded, "amount": amount},
        )
    if policy == RefundPolicy.KEPT:
        return 0
    if policy == RefundPolicy.FULL:
        return fee - returned if refunded == amount else 0
    if policy == RefundPolicy.PRO_RATA:
        return (2 * fee * refunded + amount) // (2 * amount) - returned
    raise PayopsError("fees.unknown_policy", _("“%s” is not a refund policy.") % policy, {"policy": policy})


# --- finding the rule -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """A fee rule as the engine sees it. Blank criteria fit anything; `amount_to` and `effective_to` are exclusive."""

    rule_id: int
    package_code: str
    product: str
    channel: str
    card_type: str
    kind: str
    currency: str
    amount_from: int
    amount_to: int | None
    components: list[dict[str, Any]]
    refund_policy: str
    effective_from: dt.date
    effective_to: dt.date | None

    @property
    def criteria(self) -> tuple[str, str, str, str]:
        """What may be left blank, in the order the rules are shown."""
        return (self.product, self.channel, self.card_type, self.kind)

    @property
    def specificity(self) -> int:
        """How many criteria are given; a range of amounts is one."""
        return sum(1 for value in self.criteria if value) + (self.amount_from > 0 or self.amount_to is not None)

    @property
    def upper(self) -> int:
        """End of the amount range, exclusive."""
        return _NO_UPPER_BOUND if self.amount_to is None else self.amount_to

    def in_force(self, day: dt.date) -> bool:
        """Whether the rule applies on `day`."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)

    def label(self) -> str:
        """How messages name the rule: its criteria, range and period."""
        names = ("product", "channel", "card_type", "kind")
        parts = [f"{name}={value}" for name, value in zip(names, self.criteria, strict=True) if value]
        if self.amount_from or self.amount_to is not None:
            parts.append(f"amount={self.amount_from}–{'' if self.amount_to is None else self.amount_to}")
        parts += [self.currency, f"{self.effective_from}–{self.effective_to or ''}"]
        return f"{self.package_code}[{' '.join(parts)}]"


def ties(first: Rule, second: Rule) -> bool:
    """Whether some payment on some day fits both rules equally well, so that neither can win."""
    if first.package_code != second.package_code or first.currency != second.currency:
        return False
    if first.specificity != second.specificity:
        return False
    if any(a and b and a != b for a, b in zip(first.criteria, second.criteria, strict=True)):
        return False
    if first.amount_from >= second.upper or second.amount_from >= first.upper:
        return False
    return (first.effective_to is None or second.effective_from < first.effective_to) and (
        second.effective_to is None or first.effective_from < second.effective_to
    )


def ambiguous(first: Rule, second: Rule) -> PayopsError:
    """The refusal that names both rules of a tie."""
    return PayopsError(
        "fees.tie",
        _(
            "Fee rules %(first)s and %(second)s fit the same payments equally well. "
            "Give one of them another criterion, or let their periods follow each other."
        )
        % {"first": first.label(), "second": second.label()},
        {"rules": [first.label(), second.label()], "rule_ids": [first.rule_id, second.rule_id]},
    )


Candidate = tuple[int, int, int, Callable[[int], int], str]
"""Range from, range to (exclusive), rule, fee function, refund policy."""


class RuleBook:
    """A snapshot of fee rules that answers `fee_for` fast; make a new one after rules have changed.

    Not for sharing between threads that write; reading from several is safe.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_package: dict[str, list[Rule]] = {}
        for rule in rules:
            self._by_package.setdefault(rule.package_code, []).append(rule)
        self._candidates: dict[tuple[Any, ...], tuple[Candidate, ...]] = {}
        self._compiled: dict[int, Callable[[int], int]] = {}

    @classmethod
    def load(cls, day: dt.date | None = None, *, packages: Iterable[str] | None = None) -> RuleBook:
        """Snapshot from the database; with `day`, rules that ended on or before it are left out."""
        from payops.fees.selectors import rules_of  # the engine itself stays free of the database

        return cls(rules_of(packages=packages, not_ended_before=day))

    def fee_for(
        self,
        package_code: str,
        *,
        product: str,
        channel: str,
        card_type: str,
        kind: str,
        currency: str,
        amount: int,
        day: dt.date,
    ) -> FeeQuote:
        """The fee of the most specific rule in force on `day`; `amount` is what was paid, minor units, not negative.

        `channel` is a channel's code, `kind` a name such as "payment". Raises PayopsError 'fees.no_rule' when nothing
        fits and 'fees.tie' when two rules fit equally well.
        """
        key = (package_code, product, channel, card_type, kind, currency, day)
        candidates = self._candidates.get(key)
        if candidates is None:
            candidates = self._match(key)
        for low, high, rule_id, fee, policy in candidates:
            if low <= amount < high:
                return FeeQuote(rule_id, fee(amount), policy)
        raise _no_rule(key, amount)

    def _match(self, key: tuple[Any, ...]) -> tuple[Candidate, ...]:
        package_code, product, channel, card_type, kind, currency, day = key
        wanted = (product, channel, card_type, kind)
        fitting = [
            rule
            for rule in self._by_package.get(package_code, ())
            if rule.currency == currency
            and rule.in_force(day)
            and all(not own or own == value for own, value in zip(rule.criteria, wanted, strict=True))
        ]
        fitting.sort(key=lambda rule: (-rule.specificity, rule.amount_from, rule.rule_id))
        for first, second in pairwise(fitting):
            if ties(first, second):
                raise ambiguous(first, second)
        found = tuple(
            (rule.amount_from, rule.upper, rule.rule_id, self._fee_function(rule), rule.refund_policy)
            for rule in fitting
        )
        if len(self._candidates) >= _MAX_COMBINATIONS:
            self._candidates.clear()
        self._candidates[key] = found
        return found

    def _fee_function(self, rule: Rule) -> Callable[[int], int]:
        function = self._compiled.get(rule.rule_id)
        if function is None:
            function = self._compiled[rule.rule_id] = compile_components(
                parse_components(rule.components, rule.currency)
            )
        return function


def _no_rule(key: tuple[Any, ...], amount: int) -> PayopsError:
    names = ("package", "product", "channel", "card_type", "kind", "currency", "day")
    context = {name: str(value) for name, value in zip(names, key, strict=True)} | {"amount": amount}
    return PayopsError(
        "fees.no_rule",
        _(
            "Fee package %(package)s has no rule on %(day)s for product “%(product)s”, channel “%(channel)s”, "
            "card type “%(card_type)s”, kind “%(kind)s”, amount %(amount)s %(currency)s. "
            "Add a rule to the package or correct the row."
        )
        % {**context, "amount": format_amount(amount, context["currency"])},
        context,
    )
