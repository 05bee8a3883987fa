"""What one replica has learned and the others should know. Encoded as JSON arrays: the first word is the kind."""

from typing import Literal, TypeAlias

from msgspec import Struct

Outcome: TypeAlias = Literal["served", "failed", "limited"]
"""Of an attempt: an answer; a fault of the provider's; a 429, which is counted apart."""


class Attempted(Struct, frozen=True, array_like=True, tag="attempt"):
    """An attempt at the endpoint with this name has ended.

    Seconds to the first token and in all; None and 0 where it failed. `tools` tells whether all tool calls were valid,
    None where there were none or nobody looked.
    """

    endpoint: str
    outcome: Outcome
    latency_s: float | None = None
    tokens: int = 0
    seconds: float = 0.0
    tools: bool | None = None


class Recovered(Struct, frozen=True, array_like=True, tag="recovered"):
    """A probe of this endpoint's provider was answered."""

    endpoint: str


class Rested(Struct, frozen=True, array_like=True, tag="rest"):
    """A credential rests for so many seconds: it was limited, or refused (`denied`) with this HTTP status."""

    provider: str
    credential: str
    seconds: float
    denied: bool
    status: int


class Stuck(Struct, frozen=True, array_like=True, tag="stick"):
    """A conversation (a digest, as hex) was served by this endpoint, and stays with it for so many seconds."""

    conversation: str
    endpoint: str
    seconds: float


Fact: TypeAlias = Attempted | Recovered | Rested | Stuck
