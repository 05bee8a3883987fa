"""Money is an integer number of pico-dollars (1e-12 USD) inside, and a decimal at the edges.

One token at 0.000001 USD per million tokens costs exactly one pico-dollar, so prices with up to six decimals are
exact, and sums of any length stay exact. Python's integers do not overflow; the database column is 64 bits wide and
holds up to 9.2 million USD in one row, which `record` checks.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeAlias

Pico: TypeAlias = int
"""Pico-dollars: 1e-12 USD."""

PICO_PER_USD = 10**12
MAX_PICO = 2**63 - 1


def from_usd(amount: Decimal | float | int | str) -> Pico:
    """*amount* USD in pico-dollars, halves to even. A float is read as it prints, so 0.1 is a tenth.

    Raises:
        ValueError: not a finite number.
    """
    value = Decimal(str(amount))
    if not value.is_finite():
        raise ValueError(f"not a finite amount: {amount}")
    return int((value * PICO_PER_USD).to_integral_value(rounding=ROUND_HALF_EVEN))


def to_usd(amount: Pico) -> Decimal:
    """*amount* in USD, exactly."""
    return Decimal(amount).scaleb(-12)


def to_json(amount: Pico) -> float:
    """*amount* in USD as the JSON number clients read; exact in pico-dollars up to 8,192 USD."""
    return amount / PICO_PER_USD
