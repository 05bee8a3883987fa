"""Money: integers inside, decimals at the edges."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.money import MAX_PICO, PICO_PER_USD, from_usd, to_json, to_usd

AMOUNTS = st.integers(-MAX_PICO, MAX_PICO)


@given(amount=AMOUNTS)
def test_usd_round_trip_is_exact(amount: int) -> None:
    assert from_usd(to_usd(amount)) == amount


@given(a=AMOUNTS, b=AMOUNTS)
def test_sums_are_exact(a: int, b: int) -> None:
    assert to_usd(a) + to_usd(b) == to_usd(a + b)


@given(amount=st.integers(0, 8192 * PICO_PER_USD))
def test_json_is_exact_up_to_eight_thousand_dollars(amount: int) -> None:
    assert from_usd(to_json(amount)) == amount


@pytest.mark.parametrize(
    ("amount", "pico"),
    [
        (0.1, 10**11),
        ("0.25", 25 * 10**10),
        (10, 10**13),
        (Decimal("0.0000000000005"), 0),
        (Decimal("0.0000000000015"), 2),
        (-1, -(10**12)),
        ("1e-12", 1),
    ],
)
def test_from_usd(amount: Decimal | float | int | str, pico: int) -> None:
    assert from_usd(amount) == pico


@pytest.mark.parametrize("amount", [math.nan, math.inf, "-inf", "NaN"])
def test_from_usd_rejects_non_numbers(amount: float | str) -> None:
    with pytest.raises(ValueError, match="not a finite amount"):
        from_usd(amount)


def test_to_usd_is_a_decimal() -> None:
    assert to_usd(1) == Decimal("1e-12")
