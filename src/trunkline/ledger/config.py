"""The configuration's `ledger` block."""

from typing import Literal

from msgspec import Struct

InterruptedPolicy = Literal["reserve", "estimate", "free"]


class LedgerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is charged where the provider's usage is not known."""

    interrupted: InterruptedPolicy = "estimate"
    """What a request costs that was under way when the gateway was killed: `reserve` is the most that it can have cost,
    `estimate` the estimate of its input, `free` nothing. Applied at the next start."""
