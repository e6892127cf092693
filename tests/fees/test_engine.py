"""The arithmetic of fees: rounding, bounds, components, returned fees (DOMAIN 10)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payops.core.errors import PayopsError
from payops.fees.engine import Component, ComponentError, compute, parse_components, parse_rate, refund_fee

ISSUER_DEBIT = Component("issuer", rate=Decimal("0.0035"), maximum=1300)
NETWORK = Component("network", rate=Decimal("0.000325"), maximum=325)
ISSUER_CREDIT = Component("issuer", rate=Decimal("0.0045"))


@pytest.mark.parametrize(
    ("amount", "fee"),
    [
        (100, 0),  # 0.0035 + 0.000325 fen: both round to nothing
        (10_000, 35 + 3),  # 100.00: 0.35 and 0.0325 → 0.03
        (100_000, 350 + 33),  # 1,000.00: 3.50 and 0.325 → 0.33, half up
        (371_428, 1300 + 121),  # the issuer's part reaches its cap at 3,714.28: 12.99998 → 13.00
        (1_000_000, 1300 + 325),  # 10,000.00: both at the cap exactly
        (5_000_000, 1300 + 325),
    ],
)
def test_card_scheme_debit_card_is_capped_per_component(amount: int, fee: int) -> None:
    assert compute([ISSUER_DEBIT, NETWORK], amount) == fee


@pytest.mark.parametrize(("amount", "fee"), [(10_000, 45 + 3), (1_000_000, 4500 + 325), (5_000_000, 22_500 + 325)])
def test_card_scheme_credit_card_has_an_uncapped_issuer_part(amount: int, fee: int) -> None:
    assert compute([ISSUER_CREDIT, NETWORK], amount) == fee


def test_one_yuan_at_two_per_mille_rounds_to_nothing() -> None:
    assert compute([Component(rate=Decimal("0.002"))], 100) == 0


def test_one_yuan_at_two_per_mille_with_a_minimum_costs_the_minimum() -> None:
    assert compute([Component(rate=Decimal("0.002"), minimum=1)], 100) == 1


def test_half_a_fen_rounds_up() -> None:
    assert compute([Component(rate=Decimal("0.005"))], 100) == 1
    assert compute([Component(rate=Decimal("0.005"))], 99) == 0


def test_fixed_and_percentage_are_rounded_together_then_bounded() -> None:
    both = Component(fixed=10, rate=Decimal("0.0038"), minimum=12, maximum=100)
    assert compute([both], 100) == 12
    assert compute([both], 10_000) == 48
    assert compute([both], 1_000_000) == 100


def test_components_are_rounded_before_they_are_summed() -> None:
    half = Component(rate=Decimal("0.005"))
    assert compute([half, half], 100) == 2


def test_the_fee_may_exceed_the_amount() -> None:
    assert compute([Component(fixed=50)], 30) == 50


def test_no_component_is_a_free_payment() -> None:
    assert compute([], 1_000_000) == 0


def test_a_cap_of_zero_is_free() -> None:
    assert compute([Component(rate=Decimal("0.01"), maximum=0)], 1_000_000) == 0


@given(
    amount=st.integers(0, 10**12),
    rate=st.decimals(0, "0.9999", places=6),
    fixed=st.integers(0, 10_000),
    minimum=st.none() | st.integers(0, 5_000),
    extra=st.none() | st.integers(0, 10**9),
)
def test_integer_arithmetic_equals_exact_decimals(
    amount: int, rate: Decimal, fixed: int, minimum: int | None, extra: int | None
) -> None:
    maximum = None if extra is None else (minimum or 0) + extra
    expected = int((Decimal(amount) * rate + fixed).to_integral_value(ROUND_HALF_UP))
    expected = max(expected, minimum) if minimum is not None else expected
    expected = min(expected, maximum) if maximum is not None else expected
    assert compute([Component(fixed=fixed, rate=rate, minimum=minimum, maximum=maximum)], amount) == expected


# --- returned fees ----------------------------------------------------------------------------------------------------


def test_pro_rata_returns_the_share_of_the_running_total() -> None:
    assert refund_fee(policy="pro_rata", fee=100, amount=30_000, refunded=10_000, returned=0) == 33
    assert refund_fee(policy="pro_rata", fee=100, amount=30_000, refunded=20_000, returned=33) == 34
    assert refund_fee(policy="pro_rata", fee=100, amount=30_000, refunded=30_000, returned=67) == 33


def test_a_kept_fee_returns_nothing() -> None:
    assert refund_fee(policy="kept", fee=100, amount=30_000, refunded=30_000, returned=0) == 0


def test_full_policy_returns_the_fee_with_the_last_refund_only() -> None:
    assert refund_fee(policy="full", fee=100, amount=30_000, refunded=29_999, returned=0) == 0
    assert refund_fee(policy="full", fee=100, amount=30_000, refunded=30_000, returned=0) == 100


def test_refunding_more_than_was_paid_is_refused() -> None:
    with pytest.raises(PayopsError) as caught:
        refund_fee(policy="pro_rata", fee=1, amount=100, refunded=101, returned=0)
    assert caught.value.code == "fees.refund_above_paid"
    assert str(caught.value) == "1.01 refunded of 1.00 paid is not possible."


def test_an_unknown_refund_policy_is_refused() -> None:
    with pytest.raises(PayopsError) as caught:
        refund_fee(policy="half", fee=1, amount=100, refunded=50, returned=0)
    assert caught.value.code == "fees.unknown_policy"


@given(
    fee=st.integers(0, 10**7),
    amount=st.integers(1, 10**9),
    cuts=st.lists(st.integers(0, 10**9), max_size=12),
)
def test_pro_rata_returns_sum_to_the_fee_on_full_refund_and_never_go_back(
    fee: int, amount: int, cuts: list[int]
) -> None:
    returned = 0
    for refunded in [*sorted(cut % (amount + 1) for cut in cuts), amount]:
        back = refund_fee(policy="pro_rata", fee=fee, amount=amount, refunded=refunded, returned=returned)
        assert back >= 0
        returned += back
    assert returned == fee


# --- reading rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"), [("0.0038", "0.0038"), ("0.38%", "0.0038"), (" 0.38 % ", "0.0038"), ("0", "0"), ("1e-3", "0.001")]
)
def test_a_rate_is_a_decimal_or_a_percentage(text: str, rate: str) -> None:
    assert parse_rate(text) == Decimal(rate)


@pytest.mark.parametrize(
    "text", ["abc", "", "%", "-0.01", "1", "38", "NaN", "Infinity", "0.38 percent", "0.00000000001"]
)
def test_what_is_no_rate_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(PayopsError) as caught:
        parse_rate(text)
    assert caught.value.code == "fees.bad_rate"
    assert text.strip() in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "field"),
    [
        ({"rate": "0.01"}, "components"),
        (["0.01"], "components"),
        ([{"rate": "abc"}], "rate"),
        ([{"fixed": "1.5"}], "fixed"),
        ([{"fixed": True}], "fixed"),
        ([{"min": -1}], "min"),
        ([{"min": 2, "max": 1}], "min"),
        ([{"cap": 1}], "cap"),
    ],
)
def test_a_damaged_component_names_the_wrong_part(stored: object, field: str) -> None:
    with pytest.raises(ComponentError) as caught:
        parse_components(stored)
    assert caught.value.field == field


def test_a_minimum_above_the_maximum_is_told_in_amounts_of_its_currency() -> None:
    with pytest.raises(ComponentError, match=r"The minimum 2,000\.00 is above the maximum 0\.01\."):
        parse_components([{"min": 200_000, "max": 1}])
    with pytest.raises(ComponentError, match=r"The minimum 200,000 is above the maximum 1\."):
        parse_components([{"min": 200_000, "max": 1}], "JPY")


def test_a_component_survives_storage() -> None:
    component = Component("issuer", 10, Decimal("0.00350"), 1, 1300)
    assert parse_components([component.as_json()]) == (Component("issuer", 10, Decimal("0.0035"), 1, 1300),)
