"""Fee rules as a set-up file writes them (docs/setup.md), turned into the data of the fee services."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Final

from django.utils.translation import gettext as _

from payops.dayend.setup_reader import Fields
from payops.fees.choices import RefundPolicy
from payops.fees.engine import Component
from payops.fees.services import FeeRuleData
from payops.orders.choices import CardType, Kind

KINDS: Final[tuple[str, ...]] = tuple(
    kind.name.lower() for kind in (Kind.PAYMENT, Kind.REFUND, Kind.VOID, Kind.PREAUTH_COMPLETION, Kind.TOPUP)
)
PART_KEYS: Final[tuple[str, ...]] = ("rate", "fixed", "min", "max")
RULE_KEYS: Final[tuple[str, ...]] = (
    "product",
    "channel",
    "card_type",
    "kind",
    "currency",
    "amount_from",
    "amount_to",
    "refund_policy",
    "effective_from",
    "effective_to",
    "components",
    "free",
    *PART_KEYS,
)


def read_rule(fields: Fields, *, currency: str, effective_from: dt.date) -> FeeRuleData:
    """One fee rule; amounts become minor units of `currency`."""
    return FeeRuleData(
        components=_components(fields, currency),
        effective_from=effective_from,
        effective_to=fields.date("effective_to", None),
        product=fields.text("product", "", limit=30),
        channel=fields.text("channel", "", limit=30),
        card_type=fields.choice("card_type", CardType.values, ""),
        kind=fields.choice("kind", KINDS, ""),
        currency=currency,
        amount_from=fields.amount("amount_from", currency, 0),
        amount_to=fields.amount("amount_to", currency, None),
        refund_policy=fields.choice("refund_policy", RefundPolicy.values, RefundPolicy.PRO_RATA.value),
    )


def _components(fields: Fields, currency: str) -> tuple[Component, ...]:
    short = [key for key in PART_KEYS if fields.has(key)]
    given = [
        *short[:1],
        *(key for key in ("components",) if fields.has(key)),
        *(["free"] if fields.flag("free") else []),
    ]
    if len(given) > 1:
        raise fields.error(
            given[1],
            "setup.either_or",
            _("a fee is either “rate/fixed/min/max”, or “components”, or “free: true”; here are %s.")
            % ", ".join(given),
        )
    if not given:
        raise fields.error(
            "rate", "setup.missing", _("the rule says no fee: give “rate”, “fixed”, “components” or “free: true”.")
        )
    if given == ["free"]:
        return ()
    if given == ["components"]:
        parts = fields.items("components", ("name", *PART_KEYS))
        return tuple(_component(part, currency, f"part{number}") for number, part in enumerate(parts, start=1))
    return (_component(fields, currency, "fee"),)


def _component(fields: Fields, currency: str, name: str) -> Component:
    minimum, maximum = fields.amount("min", currency, None), fields.amount("max", currency, None)
    if minimum is not None and maximum is not None and minimum > maximum:
        raise fields.error("min", "fees.min_above_max", _("the minimum is above the maximum."))
    return Component(
        name=fields.text("name", name, limit=30) if name != "fee" else name,
        fixed=fields.amount("fixed", currency, 0),
        rate=fields.rate("rate", Decimal(0)),
        minimum=minimum,
        maximum=maximum,
    )
