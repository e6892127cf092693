"""Money: exact parsing and writing, one rounding rule, amounts in Chinese capitals."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payops.core import money
from payops.core.errors import PayopsError
from payops.core.formatting import money as money_text
from payops.core.formatting import money_with_currency

CURRENCIES = st.sampled_from(["CNY", "JPY", "KWD"])
MINOR = st.integers(min_value=-money.MAX_MINOR, max_value=money.MAX_MINOR)


@given(minor=MINOR, currency=CURRENCIES, grouping=st.booleans())
def test_what_is_written_is_read_back_the_same(minor: int, currency: str, grouping: bool) -> None:
    assert money.parse_amount(money.format_amount(minor, currency, grouping), currency) == minor


@given(minor=MINOR, currency=CURRENCIES)
def test_the_major_amount_is_exact(minor: int, currency: str) -> None:
    assert Fraction(money.major(minor, currency)) == Fraction(minor, 10 ** money.exponent(currency))


@given(whole=st.integers(-(10**20), 10**20), digits=st.integers(0, 15))
def test_rounding_is_never_further_than_half_and_ties_go_away_from_zero(whole: int, digits: int) -> None:
    value = Decimal(whole).scaleb(-digits)
    rounded = money.round_half_up(value)
    distance = abs(Fraction(value) - rounded)
    assert distance <= Fraction(1, 2)
    if distance == Fraction(1, 2):
        assert abs(rounded) > abs(Fraction(value))


@given(amount=MINOR, rate=st.decimals(min_value=0, max_value=1, places=10))
def test_a_rate_is_applied_exactly_and_rounded_once(amount: int, rate: Decimal) -> None:
    exact = Fraction(amount) * Fraction(rate)
    half_up = (2 * abs(exact) + 1) // 2 * (1 if exact >= 0 else -1)
    assert money.apply_rate(amount, rate) == half_up


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1,234.50", "CNY", 123450),
        ("0.00000", "CNY", 0),
        ("-1.56000", "CNY", -156),
        ("+0.01", "CNY", 1),
        (" 12 ", "CNY", 1200),
        (".5", "CNY", 50),
        ("-0.00", "CNY", 0),
        ("007", "CNY", 700),
        ("1,000,000", "JPY", 1000000),
        ("5.000", "JPY", 5),
        ("1.234", "KWD", 1234),
    ],
)
def test_amounts_are_read_as_files_write_them(text: str, currency: str, minor: int) -> None:
    assert money.parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "money.empty"),
        ("   ", "money.empty"),
        ("0.001", "money.too_many_decimals"),
        ("1.2345", "money.too_many_decimals"),
        ("12,34.50", "money.not_an_amount"),
        ("1,23", "money.not_an_amount"),
        (",100", "money.not_an_amount"),
        ("1.5e3", "money.not_an_amount"),
        ("0x10", "money.not_an_amount"),
        ("nan", "money.not_an_amount"),
        ("Infinity", "money.not_an_amount"),
        ("--1", "money.not_an_amount"),
        ("1 000", "money.not_an_amount"),
        ("1_000", "money.not_an_amount"),
        ("5.", "money.not_an_amount"),
        (".", "money.not_an_amount"),
        ("-", "money.not_an_amount"),
        ("１２", "money.not_an_amount"),
        ("1\n2", "money.not_an_amount"),
        ("9" * 19, "money.too_large"),
        ("9" * 5000, "money.not_an_amount"),
    ],
)
def test_what_is_not_exactly_an_amount_is_an_error_not_a_guess(text: str, code: str) -> None:
    with pytest.raises(PayopsError) as caught:
        money.parse_amount(text, "CNY")
    assert caught.value.code == code


def test_yen_have_no_decimals() -> None:
    with pytest.raises(PayopsError, match="JPY"):
        money.parse_amount("1.5", "JPY")


def test_a_float_is_refused_everywhere() -> None:
    with pytest.raises(PayopsError):
        money.parse_amount(1.5, "CNY")  # type: ignore[arg-type]
    for call in (
        lambda: money.format_amount(1.5, "CNY"),  # type: ignore[arg-type]
        lambda: money.apply_rate(100, 0.5),  # type: ignore[arg-type]
        lambda: money.apply_rate(1.5, Decimal(1)),  # type: ignore[arg-type]
        lambda: money.round_half_up(0.5),  # type: ignore[arg-type]
        lambda: money.major(True, "CNY"),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("currency", ["", "cny", "XXX", "人民币", None])
def test_an_unknown_currency_is_named_in_the_error(currency: str) -> None:
    with pytest.raises(PayopsError) as caught:
        money.exponent(currency)
    assert caught.value.code == "money.unknown_currency"
    assert str(currency) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("0.5", 1), ("-0.5", -1), ("1.5", 2), ("2.5", 3), ("2.4999999999", 2), ("-2.5", -3), ("0", 0)],
)
def test_ties_round_away_from_zero(value: str, rounded: int) -> None:
    assert money.round_half_up(Decimal(value)) == rounded
    assert rounded == int(Decimal(value).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def test_what_is_not_a_finite_number_cannot_be_rounded() -> None:
    for value in ("NaN", "Infinity"):
        with pytest.raises(PayopsError):
            money.round_half_up(Decimal(value))


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123450, "CNY", "1,234.50"),
        (-5, "CNY", "-0.05"),
        (0, "CNY", "0.00"),
        (1234567, "JPY", "1,234,567"),
        (1, "KWD", "0.001"),
    ],
)
def test_amounts_are_written_as_operators_write_them(minor: int, currency: str, text: str) -> None:
    assert money.format_amount(minor, currency) == text


def test_an_absent_amount_is_empty_not_zero() -> None:
    assert money_text(None, "CNY") == ""
    assert money_with_currency(None, "CNY") == ""
    assert money_with_currency(100, "HKD") == "1.00 HKD"


@pytest.mark.parametrize(
    ("minor", "capitals"),
    [
        (0, "人民币零元整"),
        (1, "人民币壹分"),
        (10, "人民币壹角整"),
        (150, "人民币壹元伍角整"),
        (205, "人民币贰元零伍分"),
        (140950, "人民币壹仟肆佰零玖元伍角整"),
        (600714, "人民币陆仟零柒元壹角肆分"),
        (168032, "人民币壹仟陆佰捌拾元零叁角贰分"),
        (10700053, "人民币壹拾万柒仟元零伍角叁分"),
        (1640902, "人民币壹万陆仟肆佰零玖元零贰分"),
        (32504, "人民币叁佰贰拾伍元零肆分"),
        (100010000_00, "人民币壹亿零壹万元整"),
        (10**12 + 1, "人民币壹佰亿元零壹分"),
        (100000001_00, "人民币壹亿零壹元整"),
        (-100, "人民币负壹元整"),
    ],
)
def test_amounts_in_capitals_follow_the_rules_for_bills(minor: int, capitals: str) -> None:
    assert money.amount_in_capitals(minor) == capitals
