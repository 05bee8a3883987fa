"""Money: an integer number of pico-dollars (1e-12 USD) internally, a decimal at the edges.

One token at 0.000001 USD per million tokens costs exactly one pico-dollar. Prices with up to six decimals and sums of
any length are therefore exact. Python's integers do not overflow. The database column has 64 bits and holds up to 9.2
million USD in one row; `record` checks this.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeAlias

Pico: TypeAlias = int
"""Pico-dollars: 1e-12 USD."""

PICO_PER_USD = 10**12
MAX_PICO = 2**63 - 1


def from_usd(amount: Decimal | float | int | str) -> Pico:
    """Convert *amount* USD to pico-dollars, rounding halves to even. A float is read as printed: 0.1 is one tenth.

    Raises:
        ValueError: the amount is not a finite number.
    """
    value = Decimal(str(amount))
    if not value.is_finite():
        raise ValueError(f"not a finite amount: {amount}")
    return int((value * PICO_PER_USD).to_integral_value(rounding=ROUND_HALF_EVEN))


def to_usd(amount: Pico) -> Decimal:
    """Convert *amount* to USD, exactly."""
    return Decimal(amount).scaleb(-12)


def to_json(amount: Pico) -> float:
    """Convert *amount* to USD as a JSON number; exact in pico-dollars up to 8,192 USD."""
    return amount / PICO_PER_USD
