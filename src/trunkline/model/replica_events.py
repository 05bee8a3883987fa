"""Events that replicas exchange: attempts, recoveries, credential rests and sticky routes.

They are encoded as JSON arrays whose first element is the tag.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

Outcome: TypeAlias = Literal["served", "failed", "limited"]
"""The outcome of an attempt: a response, a failure of the provider, or a 429, which is counted separately."""


class AttemptEnded(Struct, frozen=True, array_like=True, tag="attempt"):
    """An attempt at the named endpoint has ended.

    `latency_s` is seconds to the first token, `seconds` the total duration; None and 0 where the attempt failed.
    `tools` tells whether all tool calls were valid; None where there were none or they were not checked.
    """

    endpoint: str
    outcome: Outcome
    latency_s: float | None = None
    tokens: int = 0
    seconds: float = 0.0
    tools: bool | None = None


class EndpointRecovered(Struct, frozen=True, array_like=True, tag="recovered"):
    """A recovery probe of the endpoint's provider succeeded."""

    endpoint: str


class CredentialRested(Struct, frozen=True, array_like=True, tag="rest"):
    """A credential is not used for *seconds*: it was rate-limited, or refused (`denied`) with this HTTP status.

    `model` is the upstream model that it is not used for; empty: for none.
    """

    provider: str
    credential: str
    seconds: float
    denied: bool
    status: int
    model: str = ""


class StickyRouteSet(Struct, frozen=True, array_like=True, tag="stick"):
    """A conversation (a hex digest) was served by this endpoint and is routed to it again for *seconds*."""

    conversation: str
    endpoint: str
    seconds: float


ReplicaEvent: TypeAlias = AttemptEnded | EndpointRecovered | CredentialRested | StickyRouteSet
