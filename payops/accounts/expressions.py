"""Amount expressions of posting rules: whole-number sums of an event's variables, "A - X - F" or "2*A + K".

Linear on purpose: then a rule can be proved to balance for all values (`imbalance`), and nothing here can execute code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

_TERM: Final[re.Pattern[str]] = re.compile(
    r"\s*(?P<sign>[+-])?\s*(?:(?P<factor>\d{1,4})\s*\*?\s*)?(?P<name>[A-Z][a-z]?)\s*"
)

Terms = tuple[tuple[str, int], ...]
"""Variable and coefficient, sorted by variable; no variable twice, no coefficient 0."""


def parse_expression(text: str) -> Terms:
    """The terms of an expression; PayopsError 'rules.expression' names the place that cannot be read."""
    coefficients: dict[str, int] = {}
    position = 0
    while position < len(text) or position == 0:
        match = _TERM.match(text, position)
        if match is None or (position > 0 and not match["sign"]):
            raise PayopsError(
                "rules.expression",
                _("“%(text)s” cannot be read at character %(position)d. Write a sum of variables such as A - X - F.")
                % {"text": text, "position": position + 1},
                {"expression": text, "position": position + 1},
            )
        factor = int(match["factor"] or 1) * (-1 if match["sign"] == "-" else 1)
        coefficients[match["name"]] = coefficients.get(match["name"], 0) + factor
        position = match.end()
    return tuple(sorted((name, factor) for name, factor in coefficients.items() if factor))


def evaluate(terms: Terms, amounts: Mapping[str, int]) -> int:
    """The value in minor units; KeyError for a variable the caller did not give."""
    return sum(factor * amounts[name] for name, factor in terms)


def imbalance(lines: Iterable[tuple[str, Terms]]) -> dict[str, int]:
    """Debit less credit per variable of (side, terms) lines: empty when the rule balances whatever the values are."""
    rest: dict[str, int] = {}
    for side, terms in lines:
        for name, factor in terms:
            rest[name] = rest.get(name, 0) + (factor if side == "D" else -factor)
    return {name: factor for name, factor in rest.items() if factor}
