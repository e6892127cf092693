"""Amounts: whole minor units of a currency, exact parsing and the one rounding rule of the house.

An amount is an `int` of minor units (fen, cents, yen) and travels with its currency code. Nothing here, and nothing
that uses it, lets a binary fraction near an amount.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Final

from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

CURRENCY_EXPONENTS: Final[dict[str, int]] = {
    "AED": 2,
    "AUD": 2,
    "BHD": 3,
    "BRL": 2,
    "CAD": 2,
    "CHF": 2,
    "CLP": 0,
    "CNY": 2,
    "DKK": 2,
    "EUR": 2,
    "GBP": 2,
    "HKD": 2,
    "IDR": 2,
    "INR": 2,
    "ISK": 0,
    "JOD": 3,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "MOP": 2,
    "MYR": 2,
    "NOK": 2,
    "NZD": 2,
    "OMR": 3,
    "PHP": 2,
    "RUB": 2,
    "SEK": 2,
    "SGD": 2,
    "THB": 2,
    "TND": 3,
    "TWD": 2,
    "USD": 2,
    "VND": 0,
    "ZAR": 2,
}
"""ISO 4217 decimals per currency; a currency not listed is refused, never guessed."""

MAX_MINOR: Final[int] = 2**63 - 1
"""What a BIGINT column holds; a larger amount is an error when read, not when stored."""

# One context for all of it: wide enough that a product of a BIGINT and a NUMERIC(20,10) is exact.
_EXACT: Final[Context] = Context(prec=60, rounding=ROUND_HALF_UP)

# Either plain digits or correctly placed thousands separators: "1,234.50" is an amount, "12,34.50" is a damaged file.
# The part before the point may be missing (".50"), the part after it may not ("5." is damaged too).
_AMOUNT: Final[re.Pattern[str]] = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.(?P<fraction>[0-9]+))?", re.ASCII
)
_MAX_TEXT: Final[int] = 64


def exponent(currency: str) -> int:
    """Number of decimals of `currency` (CNY 2, JPY 0, KWD 3); PayopsError 'money.unknown_currency' otherwise."""
    try:
        return CURRENCY_EXPONENTS[currency]
    except (KeyError, TypeError):
        raise PayopsError(
            "money.unknown_currency",
            _("Currency “%(currency)s” is not known. Use a three-letter ISO 4217 code such as CNY.")
            % {"currency": currency},
            {"currency": currency},
        ) from None


def parse_amount(text: str, currency: str) -> int:
    """Minor units of an amount as files and forms write it: "1,234.50" → 123450, "-1.56000" → -156.

    Exact or an error: surplus decimals must be zeros. Blanks around the amount are dropped. Raises PayopsError
    'money.not_text', 'money.empty', 'money.not_an_amount', 'money.too_many_decimals' or 'money.too_large'.
    """
    digits = exponent(currency)
    if not isinstance(text, str):
        raise PayopsError(
            "money.not_text",
            _("An amount is read from text, not from %(type)s.") % {"type": type(text).__name__},
            {"type": type(text).__name__},
        )
    stripped = text.strip()
    if not stripped:
        raise PayopsError("money.empty", _("The amount is empty. Enter a number such as 1,234.50."), {"value": text})
    match = _AMOUNT.fullmatch(stripped) if len(stripped) <= _MAX_TEXT else None
    if match is None or not (match["whole"] or match["fraction"]):
        raise PayopsError(
            "money.not_an_amount",
            _("“%(value)s” is not an amount. Write it like 1,234.50.") % {"value": stripped[:_MAX_TEXT]},
            {"value": stripped[:_MAX_TEXT]},
        )
    fraction = match["fraction"] or ""
    if fraction[digits:].strip("0"):
        raise PayopsError(
            "money.too_many_decimals",
            _("“%(value)s” has more decimals than %(currency)s allows (%(digits)d).")
            % {"value": stripped, "currency": currency, "digits": digits},
            {"value": stripped, "currency": currency, "digits": digits},
        )
    units = int((match["whole"].replace(",", "") or "0") + fraction[:digits].ljust(digits, "0"))
    if units > MAX_MINOR:
        raise PayopsError(
            "money.too_large", _("“%(value)s” is too large to be an amount.") % {"value": stripped}, {"value": stripped}
        )
    return -units if match["sign"] == "-" else units


def format_amount(minor: int, currency: str, grouping: bool = True) -> str:
    """The amount as operators write it: 123450 CNY → "1,234.50"; without grouping "1234.50". Never localised."""
    digits = exponent(currency)
    _require_int(minor)
    whole, fraction = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    head = f"{whole:,}" if grouping else str(whole)
    return f"{sign}{head}.{fraction:0{digits}d}" if digits else f"{sign}{head}"


def major(minor: int, currency: str) -> Decimal:
    """The amount in major units with exactly the currency's decimals: 123450 CNY → Decimal("1234.50")."""
    _require_int(minor)
    return Decimal(minor).scaleb(-exponent(currency), _EXACT)


def round_half_up(value: Decimal) -> int:
    """The one rounding rule: to a whole number, ties away from zero (0.5 → 1, -0.5 → -1)."""
    if not isinstance(value, Decimal):
        raise TypeError(f"round_half_up takes a Decimal, not {type(value).__name__}")
    try:
        return int(value.to_integral_value(rounding=ROUND_HALF_UP, context=_EXACT))
    except (InvalidOperation, ValueError, OverflowError):
        raise PayopsError(
            "money.not_finite", _("%(value)s cannot be rounded to an amount.") % {"value": value}, {"value": str(value)}
        ) from None


def apply_rate(amount: int, rate: Decimal) -> int:
    """`amount` (minor units) × `rate` (0.006 is 0.6 %), rounded half up once, ties away from zero."""
    _require_int(amount)
    if not isinstance(rate, Decimal):
        raise TypeError(f"a rate is a Decimal, not {type(rate).__name__}")
    return round_half_up(_EXACT.multiply(Decimal(amount), rate))


_NUMERALS: Final[str] = "零壹贰叁肆伍陆柒捌玖"
_SMALL_UNITS: Final[tuple[str, ...]] = ("", "拾", "佰", "仟")
_GROUP_UNITS: Final[tuple[str, ...]] = ("", "万", "亿", "万亿", "亿亿")


def _group_in_capitals(group: int) -> str:
    """Four digits in capitals; zeros between figures collapse to one 零, zeros at the end are silent."""
    text, pending_zero = "", False
    for position in (3, 2, 1, 0):
        digit = group // 10**position % 10
        if digit == 0:
            pending_zero = bool(text)
            continue
        text += ("零" if pending_zero else "") + _NUMERALS[digit] + _SMALL_UNITS[position]
        pending_zero = False
    return text


def _yuan_in_capitals(yuan: int) -> str:
    groups: list[int] = []
    while yuan:
        yuan, group = divmod(yuan, 10_000)
        groups.append(group)
    text, gap = "", False
    for index in range(len(groups) - 1, -1, -1):
        group = groups[index]
        if group == 0:
            gap = bool(text)
            continue
        # A group that does not fill its thousands place, or follows an empty group, is announced by 零.
        if text and (gap or group < 1_000):
            text += "零"
        text += _group_in_capitals(group) + _GROUP_UNITS[index]
        gap = False
    return text


def amount_in_capitals(minor: int) -> str:
    """人民币大写 of an amount in fen, as on payment vouchers: 1680032 → 人民币壹万陆仟捌佰元零叁角贰分.

    Follows the central bank's rules for filling in bills: 整 after 元 and 角, none after 分; 零 stands for a gap
    between figures. Raises PayopsError 'money.too_large' beyond 10^18 yuan.
    """
    _require_int(minor)
    yuan, fen = divmod(abs(minor), 100)
    if yuan >= 10**18:
        raise PayopsError("money.too_large", _("%(value)d is too large to be written out.") % {"value": minor})
    jiao, fen = divmod(fen, 10)
    head = "人民币" + ("负" if minor < 0 else "")
    if minor == 0:
        return head + "零元整"
    text = _yuan_in_capitals(yuan)
    text += "元" if text else ""
    if not jiao and not fen:
        return head + text + "整"
    if text and (not jiao or yuan % 10 == 0):
        text += "零"
    if jiao:
        text += _NUMERALS[jiao] + "角"
    return head + text + (_NUMERALS[fen] + "分" if fen else "整")


def _require_int(minor: int) -> None:
    # bool is an int to Python, but never an amount; a float here would be the defect this module exists to prevent.
    if not isinstance(minor, int) or isinstance(minor, bool):
        raise TypeError(f"an amount is an int of minor units, not {type(minor).__name__}")
